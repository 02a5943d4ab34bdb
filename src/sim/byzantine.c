/* Byzantine nodes: honest cores whose mouths lie. What a core would send to a
 * peer passes here and becomes something else, nothing, or more. */
#include "world.h"

static void pass(struct poa_sim *s, const struct node *n, uint32_t to, uint16_t type,
                 struct poa_slice bytes)
{
    struct message *m = message_new(n->id, type, bytes);
    network(s, n->id, to, m);
    message_free(m);
}

static void sign_vote(struct poa_sim *s, const struct node *n, struct poa_vote *v)
{
    uint8_t digest[32];
    poa_vote_digest(s->chain, v->kind, v->epoch, v->view, v->hash, digest);
    s->suite->sign(n->seed, n->key, digest, sizeof digest, v->sig);
}

static void send_vote(struct poa_sim *s, const struct node *n, uint32_t to, struct poa_vote *v)
{
    uint8_t buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    sign_vote(s, n, v);
    if (poa_vote_encode(&w, v) == POA_OK)
        pass(s, n, to, POA_MSG_VOTE, poa_written(&w));
}

/* The same proposal a millisecond later: another header of the same view. */
static struct message *second_header(struct poa_sim *s, const struct node *n,
                                     const struct message *m, uint8_t hash[32])
{
    struct poa_proposal p;
    struct poa_header h;
    uint8_t header[POA_HEADER_BYTES], digest[32];
    if (poa_proposal_decode(poa_slice(m->bytes, m->n), &p) || poa_header_decode(p.header, &h))
        return NULL;
    if (h.leader != (uint16_t)n->member[n->id])
        return NULL; /* it answers for somebody else's block */
    h.time_ms++;
    struct poa_writer w = poa_writer_over(header, sizeof header);
    POA_ASSERT(poa_header_encode(&w, &h) == POA_OK);
    poa_header_hash(&h, hash);
    poa_proposal_digest(hash, digest);
    p.header = poa_slice(header, sizeof header);
    s->suite->sign(n->seed, n->key, digest, sizeof digest, p.sig);
    uint8_t *out = malloc(m->n + 64);
    POA_ASSERT(out);
    w = poa_writer_over(out, m->n + 64);
    POA_ASSERT(poa_proposal_encode(&w, &p) == POA_OK);
    struct message *copy = message_new(n->id, POA_MSG_PROPOSAL, poa_written(&w));
    free(out);
    return copy;
}

static void equivocate(struct poa_sim *s, struct node *n, uint32_t to, struct message *m)
{
    struct poa_vote v;
    if (m->type == POA_MSG_PROPOSAL) {
        uint8_t hash[32];
        struct message *other = second_header(s, n, m, hash);
        uint32_t mode = below(&s->random, 4);
        if (!other) {
            network(s, n->id, to, m);
            return;
        }
        if (mode != 1)
            network(s, n->id, to, to % 2 ? m : other);
        if (mode == 0)
            network(s, n->id, to, to % 2 ? other : m);
        struct poa_header h;
        struct poa_proposal p;
        if (!poa_proposal_decode(poa_slice(other->bytes, other->n), &p) &&
            !poa_header_decode(p.header, &h)) {
            v = (struct poa_vote){
                .kind = POA_VOTE_NOTARIZE, .epoch = h.epoch, .view = h.view, .voter = h.leader};
            memcpy(v.hash, hash, 32);
            send_vote(s, n, to, &v);
        }
        message_free(other);
        return;
    }
    network(s, n->id, to, m);
    if (m->type != POA_MSG_VOTE || poa_vote_decode(poa_slice(m->bytes, m->n), &v))
        return;
    if (v.kind == POA_VOTE_NOTARIZE && below(&s->random, 2)) {
        v.kind = below(&s->random, 2) ? POA_VOTE_FINALIZE : POA_VOTE_NULLIFY;
        if (v.kind == POA_VOTE_NULLIFY)
            memset(v.hash, 0, 32);
        send_vote(s, n, to, &v);
    } else if (v.kind == POA_VOTE_FINALIZE && below(&s->random, 2)) {
        v.kind = POA_VOTE_NULLIFY;
        memset(v.hash, 0, 32);
        send_vote(s, n, to, &v);
    }
}

/* A signed batch that no honest author makes: its only transaction is junk. */
static void junk_batch(struct poa_sim *s, const struct node *n, uint32_t to)
{
    uint8_t list[16], bytes[256], digest[32], signed_digest[32];
    struct poa_writer l = poa_writer_over(list, sizeof list);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_raw_tx raw = {.tx = poa_slice("junk", 4)};
    if (n->member[n->id] < 0 || poa_raw_tx_encode(&l, &raw))
        return;
    struct poa_batch b = {.epoch = n->epoch,
                          .author = (uint16_t)n->member[n->id],
                          .seq = sim_random(&s->random) >> 20,
                          .expires_ms = s->genesis_ms + s->now / 1000 + 60000,
                          .txs = {.bytes = poa_written(&l), .count = 1}};
    if (poa_batch_encode(&w, &b))
        return;
    poa_batch_digest(poa_written(&w), digest);
    poa_batch_sig_digest(s->chain, digest, signed_digest);
    s->suite->sign(n->seed, n->key, signed_digest, 32, bytes + w.n - 64);
    pass(s, n, to, POA_MSG_BATCH, poa_written(&w));
}

static void forge(struct poa_sim *s, struct node *n, uint32_t to, struct message *m)
{
    struct poa_vote v;
    uint8_t garbage[64];
    network(s, n->id, to, m);
    switch (below(&s->random, 6)) {
    case 0: /* somebody else's vote */
        if (m->type == POA_MSG_VOTE && !poa_vote_decode(poa_slice(m->bytes, m->n), &v)) {
            v.voter = (uint16_t)(v.voter ? 0 : 1);
            if (v.kind != POA_VOTE_NULLIFY && below(&s->random, 2))
                v.hash[0] ^= 1;
            send_vote(s, n, to, &v);
        }
        break;
    case 1: /* a message with a bit turned */
        if (m->n) {
            struct message *copy = message_new(n->id, m->type, poa_slice(m->bytes, m->n));
            copy->bytes[below(&s->random, copy->n)] ^= (uint8_t)(1u << below(&s->random, 8));
            network(s, n->id, to, copy);
            message_free(copy);
        }
        break;
    case 2: /* noise */
        for (size_t i = 0; i < sizeof garbage; i++)
            garbage[i] = (uint8_t)sim_random(&s->random);
        pass(s, n, to, (uint16_t)below(&s->random, 12), poa_slice(garbage, sizeof garbage));
        break;
    case 4:
        if (below(&s->random, 30) == 0)
            junk_batch(s, n, to);
        break;
    case 3: /* cut short */
        if (m->n > 1)
            pass(s, n, to, m->type, poa_slice(m->bytes, below(&s->random, m->n)));
        break;
    default:
        break;
    }
}

void byzantine_send(struct poa_sim *s, struct node *n, uint32_t to, struct message *m)
{
    switch (n->kind) {
    case HONEST:
    case BYZ_KINDS:
    case BYZ_SILENT:
        return;
    case BYZ_EQUIVOCATE:
        equivocate(s, n, to, m);
        return;
    case BYZ_HALF:
        if (below(&s->random, 2))
            network(s, n->id, to, m);
        return;
    case BYZ_GAP:
        network(s, n->id, to, m);
        return;
    case BYZ_SLEEPER:
        if (s->now < s->config.gst_us && below(&s->random, 2))
            network(s, n->id, to, m);
        return;
    case BYZ_LATE:
        network_at(s, to, m, s->now + below(&s->random, 3000 * (uint64_t)s->config.timeout_ms + 1));
        return;
    case BYZ_FORGE:
        forge(s, n, to, m);
        return;
    case BYZ_REPLAY:
        network(s, n->id, to, m);
        if (n->last_n && below(&s->random, 3) == 0)
            network(s, n->id, to, n->last[below(&s->random, n->last_n < 16 ? n->last_n : 16)]);
        if (below(&s->random, 8) == 0) {
            if (n->last_n >= 16)
                message_free(n->last[n->last_n % 16]);
            m->refs++;
            n->last[n->last_n++ % 16] = m;
        }
        return;
    case BYZ_WITHHOLD:
        if (m->type == POA_MSG_VOTE || (m->type == POA_MSG_PROPOSAL && below(&s->random, 2)))
            network(s, n->id, to, m);
        return;
    }
}
