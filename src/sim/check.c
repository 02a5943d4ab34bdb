/* What must hold in every run. Numbers are those of docs/sim.md.
 *
 * here             2, 3, 4, 5   certificates and what blocks stand on
 *                  6            who is accused
 *                  7, 8         what leaves, and what was said before
 *                  11           signatures of certificates
 * check_chain.c    1, 9, 16     heights, their order, their state
 *                  10           memory
 *                  12, 13, 14   beacon, pay, tickets and seals
 *                  15           supply; at the end, everybody's progress
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>

void violation(struct poa_sim *s, const struct node *n, const char *format, ...)
{
    va_list args;
    char text[160];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!s->result.violations && !s->result.stuck && !s->result.false_accusations)
        snprintf(s->result.first, sizeof s->result.first, "%.3f ms, node %u: %s",
                 (double)s->now / 1000.0, n ? n->id : 0, text);
    s->result.violations++;
    if (n)
        trace(s, n, "VIOLATION: %s", text);
}

/* Open addressing; the entry of KEY, perhaps unused. */
struct pair *pair_at(struct pairs *p, uint64_t key)
{
    if (2 * p->n >= p->cap) {
        struct pairs old = *p;
        p->cap = old.cap ? old.cap * 2 : 256;
        p->pair = calloc(p->cap, sizeof *p->pair);
        p->n = 0;
        POA_ASSERT(p->pair);
        for (size_t i = 0; i < old.cap; i++)
            if (old.pair[i].used)
                *pair_at(p, old.pair[i].key) = old.pair[i];
        free(old.pair);
    }
    uint64_t at = key;
    for (size_t i = (size_t)(sim_random(&at) % p->cap);; i = (i + 1) % p->cap) {
        if (p->pair[i].used && p->pair[i].key == key)
            return &p->pair[i];
        if (!p->pair[i].used) {
            p->pair[i].key = key;
            p->n++;
            return &p->pair[i];
        }
    }
}

/* The first hash seen for KEY stays; says whether HASH agrees. */
bool check_agrees(struct pairs *p, uint64_t key, const uint8_t hash[32])
{
    struct pair *at = pair_at(p, key);
    if (!at->used) {
        at->used = true;
        memcpy(at->hash, hash, 32);
    }
    return !memcmp(at->hash, hash, 32);
}

/* The epoch's committee as N's state knows it, whatever N's core goes by. */
static void check_signers(struct poa_sim *s, struct node *n, struct poa_slice bytes,
                          const struct poa_cert *c)
{
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    uint64_t sum = 0;
    sim_fold(&sum, bytes.p, bytes.n);
    struct pair *known = pair_at(&s->certs, sum);
    if (known->used)
        return;
    known->used = true;
    if (poa_ledger_epoch(poa_core_ledger(n->core), POA_STATE_BASE, c->epoch, &epoch, &committee,
                         NULL))
        return;
    int e = poa_cert_check(s->suite, s->chain, &committee, c);
    if (e)
        violation(s, n, "[11] keeps a certificate of view %u.%llu that is none: %s", c->epoch,
                  (unsigned long long)c->view, poa_error_name(e));
}

/* Where a block stands: its parent is certified, the views between are
 * nullified. Whoever votes for it has seen that, so the network has. */
static void check_stand(struct poa_sim *s, const struct node *n, uint32_t epoch, uint64_t view,
                        const uint8_t hash[32], const char *what)
{
    const struct pair *at = pair_at(&s->proposed, poa_le64(hash));
    if (!at->used)
        return;
    uint64_t parent = poa_le64(at->hash + 8);
    for (uint64_t v = parent + 1; v < view; v++)
        if (!pair_at(&s->cleared, view_key(epoch, v))->used)
            violation(s, n,
                      "[5] %s view %u.%llu on a parent before view %llu, which was not "
                      "nullified",
                      what, epoch, (unsigned long long)view, (unsigned long long)v);
    if (!parent)
        return;
    struct pairs *of[] = {&s->notarized, &s->finalized, &s->committed};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        const struct pair *p = pair_at(of[i], view_key(epoch, parent));
        if (p->used && !memcmp(p->hash, at->hash + 16, 16))
            return;
    }
    violation(s, n, "[5] %s view %u.%llu on a parent that was not certified in view %llu", what,
              epoch, (unsigned long long)view, (unsigned long long)parent);
}

void check_cert(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_cert c;
    if (poa_cert_decode(bytes, &c)) {
        violation(s, n, "keeps a certificate that cannot be decoded");
        return;
    }
    check_signers(s, n, bytes, &c);
    uint64_t key = view_key(c.epoch, c.view);
    if (c.kind == POA_VOTE_NULLIFY)
        (void)check_agrees(&s->cleared, key, c.hash);
    else if (!check_agrees(c.kind == POA_VOTE_NOTARIZE ? &s->notarized : &s->finalized, key,
                           c.hash))
        violation(s, n, "[%d] two headers %s in view %u.%llu", c.kind == POA_VOTE_NOTARIZE ? 2 : 1,
                  c.kind == POA_VOTE_NOTARIZE ? "notarized" : "final", c.epoch,
                  (unsigned long long)c.view);
    if (c.kind == POA_VOTE_NOTARIZE)
        check_stand(s, n, c.epoch, c.view, c.hash, "keeps a notarization of");
    const struct pair *final = pair_at(&s->finalized, key);
    if (final->used && pair_at(&s->cleared, key)->used)
        violation(s, n, "[3] view %u.%llu is both final and nullified", c.epoch,
                  (unsigned long long)c.view);
    final = pair_at(&s->finalized, key);
    uint8_t hash[32];
    memcpy(hash, final->hash, 32);
    bool is_final = final->used;
    const struct pair *notarized = pair_at(&s->notarized, key);
    if (is_final && notarized->used && memcmp(hash, notarized->hash, 32))
        violation(s, n, "[4] another header is final than notarized in view %u.%llu", c.epoch,
                  (unsigned long long)c.view);
}

/* Skipped views count as nullified: nobody may ever hold one of them for final. */
void check_recovered(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_recovered r;
    static const uint8_t zero[32];
    if (poa_recovered_decode(bytes, &r)) {
        violation(s, n, "keeps a recovery that cannot be decoded");
        return;
    }
    for (uint64_t v = r.view; v <= r.view + 1; v++) {
        (void)check_agrees(&s->cleared, view_key(r.epoch, v), zero);
        if (pair_at(&s->finalized, view_key(r.epoch, v))->used)
            violation(s, n, "[3] view %u.%llu is both final and skipped", r.epoch,
                      (unsigned long long)v);
    }
}

/* --- votes ------------------------------------------------------------------------ */

static uint64_t tag_of(struct poa_slice bytes)
{
    uint64_t s = 0;
    sim_fold(&s, bytes.p, bytes.n);
    return s | 1u;
}

/* Position of TAG in the node's set of durable votes. */
static uint64_t *tag_at(struct node *n, uint64_t tag)
{
    if (2 * n->vote_tags >= n->vote_tag_cap) {
        size_t cap = n->vote_tag_cap;
        uint64_t *old = n->vote_tag;
        n->vote_tag_cap = cap ? cap * 2 : 256;
        n->vote_tag = calloc(n->vote_tag_cap, sizeof *n->vote_tag);
        POA_ASSERT(n->vote_tag);
        for (size_t i = 0; i < cap; i++)
            if (old[i])
                *tag_at(n, old[i]) = old[i];
        free(old);
    }
    size_t i = (size_t)(tag >> 1) % n->vote_tag_cap;
    while (n->vote_tag[i] && n->vote_tag[i] != tag)
        i = (i + 1) % n->vote_tag_cap;
    return &n->vote_tag[i];
}

/* What of a record has to be durable before it leaves. */
void check_durable(struct node *n, uint16_t type, struct poa_slice bytes)
{
    struct poa_proposal p;
    uint8_t digest[32];
    if (type == POA_WAL_PROPOSAL && !poa_proposal_decode(bytes, &p)) {
        bytes = p.header;
    } else if (type == POA_WAL_BATCH) {
        poa_batch_digest(bytes, digest);
        bytes = poa_slice(digest, 32);
    } else if (type != POA_WAL_VOTE) {
        return;
    }
    uint64_t tag = tag_of(bytes), *at = tag_at(n, tag);
    if (!*at) {
        *at = tag;
        n->vote_tags++;
    }
}

/* What N sent of KEY, perhaps nothing yet. */
static struct vote_seen *seen_at(struct node *n, uint64_t key)
{
    if (2 * n->seens >= n->seen_cap) {
        size_t cap = n->seen_cap;
        struct vote_seen *old = n->seen;
        n->seen_cap = cap ? cap * 2 : 256;
        n->seen = calloc(n->seen_cap, sizeof *n->seen);
        POA_ASSERT(n->seen);
        for (size_t i = 0; i < cap; i++)
            if (old[i].key)
                *seen_at(n, old[i].key) = old[i];
        free(old);
    }
    uint64_t mix = key;
    size_t i = (size_t)(sim_random(&mix) % n->seen_cap);
    while (n->seen[i].key && n->seen[i].key != key)
        i = (i + 1) % n->seen_cap;
    return &n->seen[i];
}

/* Under KEY a node says one thing only. */
static bool says_again(struct node *n, uint64_t key, const uint8_t what[32])
{
    struct vote_seen *at = seen_at(n, key);
    if (at->key)
        return !memcmp(at->hash, what, 32);
    at->key = key;
    memcpy(at->hash, what, 32);
    n->seens++;
    return true;
}

bool check_voted(struct node *n, uint32_t epoch, uint64_t view, const uint8_t hash[32])
{
    const struct vote_seen *at = seen_at(n, view_key(epoch, view) << 2 | POA_VOTE_NOTARIZE);
    return at->key && !memcmp(at->hash, hash, 32);
}

/* Liars may say that they hold it. */
static void check_listed(struct poa_sim *s, struct node *n, struct poa_slice body)
{
    struct poa_body b;
    struct poa_digest d;
    if (poa_body_decode(body, &b))
        return;
    struct poa_list_iter it = poa_list_begin(&b.batches);
    while (poa_digest_next(&it, &d)) {
        uint32_t holders = 0;
        for (uint32_t i = 0; i < n->members; i++) {
            struct node *m = n->node_of[i] < 0 ? NULL : &s->node[n->node_of[i]];
            holders += !m || m->kind != HONEST || *tag_at(m, tag_of(poa_slice(d.digest, 32)));
        }
        if (holders < (n->members - 1) / 3 + 1)
            violation(s, n, "[19] lists a batch that %u of %u hold durably", holders, n->members);
    }
}

void check_sent_proposal(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_proposal p;
    struct poa_header h;
    uint8_t hash[32];
    if (poa_proposal_decode(bytes, &p) || poa_header_decode(p.header, &h) || h.epoch != n->epoch ||
        h.leader != (uint16_t)n->member[n->id])
        return; /* somebody else's block, which was asked for */
    if (*tag_at(n, tag_of(p.header)) == 0)
        violation(s, n, "[7] the proposal of view %u.%llu leaves before its record is durable",
                  h.epoch, (unsigned long long)h.view);
    poa_header_hash(&h, hash);
    if (!says_again(n, view_key(h.epoch, h.view) << 2 | 3u, hash))
        violation(s, n, "[8] proposes twice in view %u.%llu", h.epoch, (unsigned long long)h.view);
    check_listed(s, n, p.body);
}

void check_sent_batch(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_batch b;
    uint8_t what[32] = {0};
    uint64_t key = 1;
    if (poa_batch_decode(bytes, &b) || b.epoch != n->epoch ||
        b.author != (uint16_t)n->member[n->id])
        return;
    sim_fold(&key, &b.epoch, sizeof b.epoch);
    sim_fold(&key, &b.seq, sizeof b.seq);
    poa_put_le64(what, tag_of(bytes));
    if (!says_again(n, key | (uint64_t)1 << 63, what))
        violation(s, n, "[8] makes two batches %llu", (unsigned long long)b.seq);
}

/* A batch itself leaves while the disk works. */
void check_sent_ack(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_batch_ack ack;
    struct poa_digest d;
    if (poa_batch_ack_decode(bytes, &ack)) {
        violation(s, n, "sends an acknowledgement that cannot be decoded");
        return;
    }
    struct poa_list_iter it = poa_list_begin(&ack.batches);
    while (poa_digest_next(&it, &d))
        if (*tag_at(n, tag_of(poa_slice(d.digest, 32))) == 0)
            violation(s, n, "[7] acknowledges batch %02x%02x%02x%02x before it is durable",
                      d.digest[0], d.digest[1], d.digest[2], d.digest[3]);
}

void check_sent_vote(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_vote v;
    if (poa_vote_decode(bytes, &v)) {
        violation(s, n, "sends a vote that cannot be decoded");
        return;
    }
    if (*tag_at(n, tag_of(bytes)) == 0)
        violation(s, n, "[7] a vote for view %u.%llu leaves before its record is durable", v.epoch,
                  (unsigned long long)v.view);
    if (v.kind == POA_VOTE_NOTARIZE)
        check_stand(s, n, v.epoch, v.view, v.hash, "votes to notarize");
    uint64_t view = view_key(v.epoch, v.view) << 2;
    if (v.kind == POA_VOTE_NOTARIZE && !seen_at(n, view | v.kind)->key)
        byzantine_voted(s, n, view_key(v.epoch, v.view));
    if (!says_again(n, view | v.kind, v.hash))
        violation(s, n, "[8] votes twice in view %u.%llu", v.epoch, (unsigned long long)v.view);
    if (v.kind != POA_VOTE_NOTARIZE &&
        seen_at(n, view | (v.kind == POA_VOTE_NULLIFY ? POA_VOTE_FINALIZE : POA_VOTE_NULLIFY))->key)
        violation(s, n, "[6] nullifies and finalizes view %u.%llu", v.epoch,
                  (unsigned long long)v.view);
}

void check_evidence(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_evidence e;
    s->result.evidence++;
    if (poa_evidence_decode(bytes, &e)) {
        violation(s, n, "makes evidence that cannot be decoded");
        return;
    }
    for (uint32_t i = 0; i < s->config.nodes; i++)
        if (s->node[i].kind == HONEST && !memcmp(s->node[i].key, e.author, 32)) {
            if (!s->result.false_accusations && !s->result.violations)
                snprintf(s->result.first, sizeof s->result.first,
                         "%.3f ms, node %u: [6] accuses honest node %u (kind %u)",
                         (double)s->now / 1000.0, n->id, i, e.kind);
            s->result.false_accusations++;
        }
    for (uint32_t i = 0; i < s->config.devices; i++)
        if (!s->device[i].liar && !memcmp(s->device[i].key, e.author, 32)) {
            if (!s->result.false_accusations && !s->result.violations)
                snprintf(s->result.first, sizeof s->result.first,
                         "%.3f ms, node %u: [6] accuses honest device %u (kind %u)",
                         (double)s->now / 1000.0, n->id, i, e.kind);
            s->result.false_accusations++;
        }
}
