/* What a message claims: the signatures and proofs in it, for the workers. They
 * remember the answers (poa_node_memo.h), so nothing here decides anything: what
 * is left out, the core verifies itself. Left out is what it will not look at. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* A proposal with 64 certificates of 128 signatures. */
#define CLAIMS_MAX 8704u

struct claims {
    const uint8_t *chain;
    struct node_roster roster;
    struct node_claim *claim;
    uint32_t n, cap;
};

/* --- the roster ------------------------------------------------------------------- */

void node_roster_set(struct poa_node *n)
{
    const struct poa_committee *c = poa_core_committee(n->core);
    struct poa_list_iter it = poa_list_begin(&c->members);
    struct poa_member m;
    struct poa_st_epoch epoch = {.seed = {0}};
    struct poa_committee ignored;
    struct poa_lottery lottery;
    bool known = !poa_ledger_epoch(n->ledger, POA_STATE_BASE, c->epoch, &epoch, &ignored, &lottery);
    pthread_mutex_lock(&n->roster_mutex);
    struct node_roster *r = &n->roster;
    r->epoch = c->epoch;
    r->n = 0;
    for (; known && poa_member_next(&it, &m); r->n++)
        memcpy(r->key[r->n], m.key, 32);
    memcpy(r->seed, epoch.seed, 32);
    pthread_mutex_unlock(&n->roster_mutex);
    if (n->workers)
        node_workers_enough(n->workers, c->quorum - 1u); /* and our own */
}

void node_roster_view(struct poa_node *n, const struct poa_core_status *s)
{
    pthread_mutex_lock(&n->roster_mutex);
    n->roster.view = s->epoch == n->roster.epoch ? s->view : 0;
    n->roster.tip_view = s->epoch == n->roster.epoch ? s->tip_view : 0;
    for (unsigned i = 0; i < 2; i++)
        n->roster.leader[i] = poa_core_leader(n->core, s->view + i);
    pthread_mutex_unlock(&n->roster_mutex);
    if (n->workers)
        node_workers_at(n->workers, s->epoch, s->view, s->tip_view);
}

/* --- collecting --------------------------------------------------------------------- */

static struct node_claim *add(struct claims *c, const uint8_t key[32])
{
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 8;
        struct node_claim *p =
            cap <= 2 * CLAIMS_MAX ? realloc(c->claim, cap * sizeof *c->claim) : NULL;
        if (!p)
            return NULL;
        c->claim = p;
        c->cap = cap;
    }
    struct node_claim *k = &c->claim[c->n++];
    memset(k, 0, sizeof *k);
    memcpy(k->key, key, 32);
    return k;
}

static void add_signature(struct claims *c, const uint8_t key[32], const uint8_t msg[32],
                          const uint8_t sig[64])
{
    struct node_claim *k = add(c, key);
    if (!k)
        return;
    memcpy(k->msg, msg, 32);
    memcpy(k->proof, sig, 64);
}

static void add_proof(struct claims *c, const uint8_t key[32], const uint8_t alpha[32],
                      const uint8_t proof[80])
{
    struct node_claim *k = add(c, key);
    if (!k)
        return;
    k->vrf = true;
    memcpy(k->msg, alpha, 32);
    memcpy(k->proof, proof, 80);
}

static void add_vote(struct claims *c, const struct poa_vote *v)
{
    uint8_t digest[32];
    if (v->epoch != c->roster.epoch || v->voter >= c->roster.n)
        return;
    poa_vote_digest(c->chain, v->kind, v->epoch, v->view, v->hash, digest);
    add_signature(c, c->roster.key[v->voter], digest, v->sig);
}

/* One that counts only until its view is decided. */
static void add_current_vote(struct claims *c, const struct poa_vote *v)
{
    uint32_t before = c->n;
    add_vote(c, v);
    if (c->n == before)
        return;
    struct node_claim *k = &c->claim[before];
    k->vote = (uint8_t)(1 + v->kind);
    k->voter = (uint8_t)v->voter;
    k->epoch = v->epoch;
    k->view = v->view;
}

static void of_vote(struct claims *c, struct poa_slice bytes)
{
    struct poa_vote v;
    if (poa_vote_decode(bytes, &v) || v.view <= c->roster.tip_view)
        return;
    /* The view is decided: one vote more is not looked at. */
    if (v.kind == POA_VOTE_NOTARIZE && v.view < c->roster.view)
        return;
    add_current_vote(c, &v);
}

static void of_cert(struct claims *c, struct poa_slice bytes)
{
    struct poa_cert cert;
    struct poa_sig sig;
    uint8_t digest[32];
    /* What is final here came with a certificate; while nothing happens, all pass it on. */
    if (poa_cert_decode(bytes, &cert) || cert.epoch != c->roster.epoch ||
        cert.view <= c->roster.tip_view)
        return;
    poa_vote_digest(c->chain, cert.kind, cert.epoch, cert.view, cert.hash, digest);
    struct poa_list_iter it = poa_list_begin(&cert.sigs);
    for (uint32_t i = 0; i < c->roster.n; i++)
        if (cert.signers[i / 8] >> (i % 8) & 1) {
            if (!poa_sig_next(&it, &sig))
                return;
            add_signature(c, c->roster.key[i], digest, sig.sig);
        }
}

static void of_seal(struct claims *c, const struct poa_seal *s)
{
    uint8_t digest[32];
    poa_seal_digest(c->chain, s, digest);
    add_signature(c, s->device, digest, s->sig);
}

static void of_tickets(struct claims *c, const struct poa_list *tickets)
{
    struct poa_list_iter it = poa_list_begin(tickets);
    struct poa_ticket t;
    uint8_t alpha[32];
    while (poa_ticket_next(&it, &t)) {
        if (t.epoch != c->roster.epoch || !c->roster.n)
            continue;
        poa_ticket_alpha(c->chain, c->roster.seed, t.epoch, t.window, alpha);
        add_proof(c, t.device, alpha, t.proof);
    }
}

static void of_seals(struct claims *c, const struct poa_list *seals)
{
    struct poa_list_iter it = poa_list_begin(seals);
    struct poa_seal s;
    while (poa_seal_next(&it, &s))
        of_seal(c, &s);
}

static void of_header(struct claims *c, struct poa_slice bytes, const uint8_t sig[64])
{
    struct poa_header h;
    uint8_t hash[32], digest[32];
    if (poa_header_decode(bytes, &h) || h.epoch != c->roster.epoch || h.leader >= c->roster.n)
        return;
    poa_hash(POA_DOMAIN_HEADER, bytes.p, bytes.n, hash);
    poa_proposal_digest(hash, digest);
    add_signature(c, c->roster.key[h.leader], digest, sig);
}

static void of_signed_header(struct claims *c, struct poa_slice bytes)
{
    struct poa_signed_header s;
    if (!poa_signed_header_decode(bytes, &s))
        of_header(c, s.header, s.sig);
}

static void of_batch(struct claims *c, struct poa_slice bytes)
{
    struct poa_batch b;
    if (poa_batch_decode(bytes, &b) || b.epoch != c->roster.epoch || b.author >= c->roster.n)
        return;
    struct node_claim *k = add(c, c->roster.key[b.author]);
    if (!k)
        return;
    memcpy(k->proof, b.sig, 64);
    k->batch = bytes;
}

/* Signed by its author, and every transaction in it, for one that is not valid. */
static void of_batch_evidence(struct claims *c, struct poa_slice bytes)
{
    struct poa_batch b;
    struct poa_raw_tx raw;
    const uint8_t nobody[32] = {0};
    of_batch(c, bytes);
    if (poa_batch_decode(bytes, &b))
        return;
    struct poa_list_iter it = poa_list_begin(&b.txs);
    while (poa_raw_tx_next(&it, &raw)) {
        struct node_claim *k = add(c, nobody);
        if (!k)
            return;
        k->tx = raw.tx;
    }
}

static void of_evidence(struct claims *c, const struct poa_list *evidence)
{
    struct poa_list_iter it = poa_list_begin(evidence);
    struct poa_evidence e;
    while (poa_evidence_next(&it, &e))
        for (int i = 0; i < 2; i++) {
            struct poa_slice object = i ? e.second : e.first;
            struct poa_vote v;
            struct poa_seal s;
            switch ((enum poa_evidence_kind)e.kind) {
            case POA_EVIDENCE_VOTES:
                if (!poa_vote_decode(object, &v))
                    add_vote(c, &v);
                break;
            case POA_EVIDENCE_HEADERS:
                of_signed_header(c, object);
                break;
            case POA_EVIDENCE_SEALS:
            case POA_EVIDENCE_FORK:
                if (!poa_seal_decode(object, &s))
                    of_seal(c, &s);
                break;
            case POA_EVIDENCE_BATCH:
                if (!i)
                    of_batch_evidence(c, object);
                break;
            }
        }
}

static void of_mining(struct claims *c, struct poa_slice bytes)
{
    struct poa_mining m;
    if (poa_mining_decode(bytes, &m))
        return;
    of_tickets(c, &m.tickets);
    of_seals(c, &m.seals); /* evidence comes in blocks */
}

/* Of a block, in a proposal or in a bundle, whose certificate covers the beacon. */
static void of_block(struct claims *c, struct poa_slice header, struct poa_slice body,
                     bool certified)
{
    struct poa_header h;
    struct poa_body b;
    uint8_t alpha[32];
    if (poa_header_decode(header, &h) || h.epoch != c->roster.epoch || h.leader >= c->roster.n ||
        h.view <= c->roster.tip_view)
        return;
    if (!certified) {
        poa_beacon_alpha(c->chain, h.epoch, h.view, c->roster.seed, alpha);
        add_proof(c, c->roster.key[h.leader], alpha, h.beacon);
    }
    if (poa_body_decode(body, &b))
        return;
    of_tickets(c, &b.tickets);
    of_seals(c, &b.seals);
    of_evidence(c, &b.evidence);
}

/* Of a view that is cleared here: mostly we hold it, made of other votes perhaps. */
static void of_justification(struct claims *c, struct poa_slice bytes)
{
    struct poa_cert cert;
    if (poa_cert_decode(bytes, &cert) || cert.view < c->roster.view)
        return;
    of_cert(c, bytes);
}

static void of_proposal(struct claims *c, struct poa_slice bytes)
{
    struct poa_proposal p;
    struct poa_raw_cert raw;
    if (poa_proposal_decode(bytes, &p))
        return;
    of_header(c, p.header, p.sig);
    of_block(c, p.header, p.body, false);
    struct poa_list_iter it = poa_list_begin(&p.just);
    while (poa_raw_cert_next(&it, &raw))
        of_justification(c, raw.cert);
}

/* From the leader of a view that is near: what its header will carry. */
static void of_beacon(struct claims *c, struct poa_slice bytes)
{
    struct poa_beacon_ahead b;
    uint8_t alpha[32];
    const struct node_roster *r = &c->roster;
    if (poa_beacon_ahead_decode(bytes, &b) || b.epoch != r->epoch || b.view < r->view ||
        b.view - r->view > 1 || r->leader[b.view - r->view] >= r->n)
        return;
    poa_beacon_alpha(c->chain, b.epoch, b.view, r->seed, alpha);
    add_proof(c, r->key[r->leader[b.view - r->view]], alpha, b.proof);
}

static struct claims begin(struct poa_node *n)
{
    struct claims c = {.chain = n->chain};
    pthread_mutex_lock(&n->roster_mutex);
    c.roster = n->roster;
    pthread_mutex_unlock(&n->roster_mutex);
    return c;
}

struct node_claim *node_claims_message(struct poa_node *n, uint16_t type, struct poa_slice bytes,
                                       uint32_t *count)
{
    struct claims c = begin(n);
    switch ((enum poa_message)type) {
    case POA_MSG_VOTE:
        of_vote(&c, bytes);
        break;
    case POA_MSG_CERT:
        of_cert(&c, bytes);
        break;
    case POA_MSG_PROPOSAL:
        of_proposal(&c, bytes);
        break;
    case POA_MSG_BATCH:
        of_batch(&c, bytes);
        break;
    case POA_MSG_MINING:
        of_mining(&c, bytes);
        break;
    case POA_MSG_BEACON:
        of_beacon(&c, bytes);
        break;
    case POA_MSG_BATCH_ACK:
    case POA_MSG_TX:
    case POA_MSG_GET_CERTS:
    case POA_MSG_GET_BLOCK:
    case POA_MSG_GET_BATCH:
    case POA_MSG_RECOVER:
    case POA_MSG_RECOVERED:
    case POA_MSG_REQ_FOLLOW:
    case POA_MSG_ANS_FOLLOW:
    case POA_MSG_REQ_SUBMIT:
    case POA_MSG_ANS_SUBMIT:
    case POA_MSG_REQ_MINING:
    case POA_MSG_ANS_MINING:
    case POA_MSG_REQ_STATUS:
    case POA_MSG_ANS_STATUS:
        break;
    }
    *count = c.n;
    return c.claim;
}

void node_claims_bundle(struct node_bundle *b)
{
    struct claims c = begin(b->node);
    struct poa_blocks r;
    struct poa_block raw;
    if (poa_blocks_decode(poa_slice(b->bytes, b->bytes_n), &r))
        return;
    struct poa_list_iter it = poa_list_begin(&r.blocks);
    of_cert(&c, r.cert);
    while (poa_block_next(&it, &raw))
        of_block(&c, raw.header, raw.body, true);
    b->claim = c.claim;
    b->check->claim = c.claim;
    b->check->claims = c.n;
}

static void beacon_made(struct node_check *c)
{
    free(c);
}

void node_claims_beacon(struct poa_node *n)
{
    uint64_t view;
    uint32_t epoch = poa_core_committee(n->core)->epoch;
    uint8_t alpha[32];
    if (!n->workers || !poa_core_beacon_next(n->core, &view, alpha) ||
        (n->beacon_epoch == epoch && n->beacon_view == view))
        return;
    void *extra = NULL;
    struct node_check *c = node_check_new(0, sizeof(struct node_claim), &extra);
    if (!c)
        return;
    struct node_claim *k = extra;
    k->seed = n->seed;
    memcpy(k->key, n->key, 32);
    memcpy(k->msg, alpha, 32);
    c->claim = k;
    c->claims = 1;
    c->done = beacon_made;
    if (node_workers_check(n->workers, c)) {
        free(c);
        return;
    }
    n->beacon_epoch = epoch;
    n->beacon_view = view;
}
