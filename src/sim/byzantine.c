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
    struct pair *at = pair_at(&s->proposed, poa_le64(hash));
    poa_put_le64(at->hash, s->now);
    poa_put_le64(at->hash + 8, h.parent_view);
    memcpy(at->hash + 16, h.parent, 16);
    at->used = true;
    free(out);
    return copy;
}

static void pair_keep(struct node *n, struct message *a, struct message *b)
{
    struct message **at = n->pair[n->pairs % PAIRS];
    const struct message *last = n->pairs ? n->pair[(n->pairs - 1) % PAIRS][0] : NULL;
    if (last == a)
        return;
    message_free(at[0]);
    message_free(at[1]);
    at[0] = a;
    at[1] = b;
    a->refs++;
    b->refs++;
    n->pairs++;
}

static void pair_offer(struct poa_sim *s, struct node *n, uint32_t to, uint32_t which)
{
    struct message **at = n->pair[which % PAIRS];
    uint32_t first = below(&s->random, 2);
    network(s, n->id, to, at[first]);
    if (below(&s->random, 2))
        network(s, n->id, to, at[1 - first]);
}

/* It has voted for one of two headers; this is the other. */
void byzantine_restarted(struct poa_sim *s, uint32_t victim)
{
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        struct node *n = &s->node[i];
        for (uint32_t k = 1; n->up && k <= PAIRS && k <= n->pairs; k++) {
            struct message **at = n->pair[(n->pairs - k) % PAIRS];
            struct poa_header h;
            struct poa_proposal p;
            uint8_t hash[32];
            if (poa_proposal_decode(poa_slice(at[0]->bytes, at[0]->n), &p) ||
                poa_header_decode(p.header, &h))
                continue;
            poa_header_hash(&h, hash);
            bool first = check_voted(&s->node[victim], h.epoch, h.view, hash);
            network_at(s, victim, at[first], s->now + s->config.delay_min_us);
        }
    }
}

/* N has just voted in a view of a liar that has a second header for it: a good
 * moment to lose power. */
void byzantine_voted(struct poa_sim *s, const struct node *n, uint64_t view)
{
    const struct poa_sim_config *c = &s->config;
    if (!c->crash_ppm || s->now >= c->gst_us || below(&s->random, 3))
        return;
    for (uint32_t i = 0; i < c->nodes; i++) {
        const struct node *liar = &s->node[i];
        struct poa_header h;
        struct poa_proposal p;
        const struct message *m = liar->pairs ? liar->pair[(liar->pairs - 1) % PAIRS][0] : NULL;
        if (!m || poa_proposal_decode(poa_slice(m->bytes, m->n), &p) ||
            poa_header_decode(p.header, &h) || view_key(h.epoch, h.view) != view)
            continue;
        event_push(s, (struct event){.at = s->now + between(&s->random, 1, c->delay_max_us),
                                     .kind = EV_CRASH,
                                     .node = n->id,
                                     .life = n->life});
        return;
    }
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
        pair_keep(n, m, other);
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
    if (n->pairs && below(&s->random, 4) == 0)
        pair_offer(s, n, to, n->pairs - 1); /* perhaps it votes again */
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

/* Everybody's votes for what M is about, in this node's own hand. */
static void forge_quorum(struct poa_sim *s, struct node *n, uint32_t to, const struct message *m)
{
    struct poa_vote v;
    struct poa_header h;
    struct poa_proposal p;
    if (m->type == POA_MSG_PROPOSAL && !poa_proposal_decode(poa_slice(m->bytes, m->n), &p) &&
        !poa_header_decode(p.header, &h)) {
        v = (struct poa_vote){.epoch = h.epoch, .view = h.view};
        poa_header_hash(&h, v.hash);
    } else if (m->type != POA_MSG_VOTE || poa_vote_decode(poa_slice(m->bytes, m->n), &v)) {
        return;
    }
    v.kind = (uint8_t)below(&s->random, 3);
    if (v.kind == POA_VOTE_NULLIFY)
        memset(v.hash, 0, 32);
    for (uint32_t i = 0; i < n->members; i++) {
        v.voter = (uint16_t)i;
        send_vote(s, n, to, &v);
    }
}

static void forge(struct poa_sim *s, struct node *n, uint32_t to, struct message *m)
{
    struct poa_vote v;
    uint8_t garbage[64];
    network(s, n->id, to, m);
    switch (below(&s->random, 8)) {
    case 5:
        forge_quorum(s, n, to, m);
        break;
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

/* --- one notarization that a single honest node sees ------------------------------------ */

static bool plain(const struct poa_sim *s, uint32_t i, const struct node *n)
{
    return s->node[i].kind == HONEST && s->node[i].up && n->member[i] >= 0;
}

/* The proposal goes to as many honest members as make a quorum with the liars'
 * votes, and those to the victim only: it alone leaves the view. Nobody else
 * can, unless it passes the certificate on. */
static void strike_plan(struct poa_sim *s, const struct node *n, const struct poa_header *h)
{
    uint32_t liars = 0, honest = 0, q = poa_core_committee(n->core)->quorum;
    uint32_t from = below(&s->random, s->config.nodes);
    s->strike.done = true;
    s->strike.epoch = h->epoch;
    s->strike.view = h->view;
    s->strike.told = 0;
    for (uint32_t i = 0; i < s->config.nodes; i++)
        if (s->node[i].kind == BYZ_STRIKE && n->member[i] >= 0) {
            s->strike.told |= 1u << i;
            liars++;
        }
    for (uint32_t k = 0; k < s->config.nodes && honest + liars < q; k++) {
        uint32_t i = (from + k) % s->config.nodes;
        if (!plain(s, i, n))
            continue;
        s->strike.victim = i;
        s->strike.told |= 1u << i;
        honest++;
    }
}

static void strike(struct poa_sim *s, struct node *n, uint32_t to, struct message *m)
{
    struct poa_vote v;
    struct poa_header h;
    struct poa_proposal p;
    bool proposal = m->type == POA_MSG_PROPOSAL &&
                    !poa_proposal_decode(poa_slice(m->bytes, m->n), &p) &&
                    !poa_header_decode(p.header, &h);
    if (!s->strike.done && s->now >= s->strike.at && proposal &&
        h.leader == (uint16_t)n->member[n->id])
        strike_plan(s, n, &h);
    if (!s->strike.done) {
        network(s, n->id, to, m);
    } else if (proposal) {
        if (h.epoch == s->strike.epoch && h.view == s->strike.view && (s->strike.told >> to & 1u))
            network(s, n->id, to, m);
    } else if (m->type == POA_MSG_VOTE && to == s->strike.victim &&
               !poa_vote_decode(poa_slice(m->bytes, m->n), &v) && v.epoch == s->strike.epoch &&
               v.view == s->strike.view && v.kind == POA_VOTE_NOTARIZE) {
        network(s, n->id, to, m);
    }
}

static bool finalizes(const struct message *m)
{
    struct poa_vote v;
    return m->type == POA_MSG_VOTE && !poa_vote_decode(poa_slice(m->bytes, m->n), &v) &&
           v.kind == POA_VOTE_FINALIZE;
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
        if (!finalizes(m))
            network(s, n->id, to, m);
        return;
    case BYZ_STRIKE:
        strike(s, n, to, m);
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
