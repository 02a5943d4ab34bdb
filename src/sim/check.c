/* What must hold in every run. Numbers are those of docs/consensus.md.
 *
 *   1  one final block per height          6  an honest node is never convicted
 *   2  one notarized header per view       7  a vote leaves after its record
 *   3  no view both final and nullified    9  heights are committed in order
 *   4  what is final was notarized        15  supply is conserved
 *   5  a block stands on a certified parent, with every view between nullified
 *   8  a restarted node never contradicts what it said
 *  16  equal blocks give equal roots (seeds and committees are in the state)
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

static uint64_t view_key(uint32_t epoch, uint64_t view)
{
    return (uint64_t)epoch << 40 | view;
}

/* The first hash seen for KEY stays; says whether HASH agrees. */
static bool agrees(struct pairs *p, uint64_t key, const uint8_t hash[32])
{
    struct pair *at = pair_at(p, key);
    if (!at->used) {
        at->used = true;
        memcpy(at->hash, hash, 32);
    }
    return !memcmp(at->hash, hash, 32);
}

void check_cert(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_cert c;
    if (poa_cert_decode(bytes, &c)) {
        violation(s, n, "keeps a certificate that cannot be decoded");
        return;
    }
    uint64_t key = view_key(c.epoch, c.view);
    if (c.kind == POA_VOTE_NULLIFY)
        (void)agrees(&s->cleared, key, c.hash);
    else if (!agrees(c.kind == POA_VOTE_NOTARIZE ? &s->notarized : &s->finalized, key, c.hash))
        violation(s, n, "[%d] two headers %s in view %u.%llu", c.kind == POA_VOTE_NOTARIZE ? 2 : 1,
                  c.kind == POA_VOTE_NOTARIZE ? "notarized" : "final", c.epoch,
                  (unsigned long long)c.view);
    /* Whoever helped to notarize it had the nullifications of the gap. */
    const struct pair *at = pair_at(&s->proposed, poa_le64(c.hash));
    for (uint64_t v = at->used ? poa_le64(at->hash + 8) + 1 : c.view;
         c.kind == POA_VOTE_NOTARIZE && v < c.view; v++)
        if (!pair_at(&s->cleared, view_key(c.epoch, v))->used)
            violation(s, n,
                      "[5] view %u.%llu is notarized on a parent before view %llu, which was "
                      "not nullified",
                      c.epoch, (unsigned long long)c.view, (unsigned long long)v);
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
        (void)agrees(&s->cleared, view_key(r.epoch, v), zero);
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

void check_durable_vote(struct node *n, struct poa_slice bytes)
{
    uint64_t tag = tag_of(bytes), *at = tag_at(n, tag);
    if (!*at) {
        *at = tag;
        n->vote_tags++;
    }
}

/* The vote that N sent of KIND in a view, perhaps none yet. */
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
    uint64_t view = view_key(v.epoch, v.view) << 2;
    struct vote_seen *at = seen_at(n, view | v.kind);
    if (!at->key) {
        at->key = view | v.kind;
        memcpy(at->hash, v.hash, 32);
        n->seens++;
    } else if (memcmp(at->hash, v.hash, 32)) {
        violation(s, n, "[8] votes twice in view %u.%llu", v.epoch, (unsigned long long)v.view);
    }
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
}

/* --- blocks ------------------------------------------------------------------------- */

struct sim_block *check_commit(struct poa_sim *s, struct node *n, const struct poa_commit *c)
{
    uint64_t h = c->header->height;
    if (h != n->height + 1)
        violation(s, n, "[9] commits height %llu after %llu", (unsigned long long)h,
                  (unsigned long long)n->height);
    if (h > s->block_cap) {
        uint64_t cap = s->block_cap ? s->block_cap * 2 : 1024;
        s->block = realloc(s->block, cap * sizeof *s->block);
        POA_ASSERT(s->block);
        memset(s->block + s->block_cap, 0, (cap - s->block_cap) * sizeof *s->block);
        s->block_cap = cap;
    }
    struct sim_block *b = s->block[h - 1];
    while (b && memcmp(b->hash, c->hash, 32))
        b = b->next;
    const struct pair *at = pair_at(&s->proposed, poa_le64(c->hash));
    if (at->used && h > 4) {
        s->finality_sum += (double)(s->now - poa_le64(at->hash));
        s->finality_n++;
    }
    if (b) {
        if (memcmp(b->root, c->root, 32))
            violation(s, n, "[16] another state root at height %llu", (unsigned long long)h);
        return b;
    }
    size_t n_bytes = c->header_bytes.n + c->body.n + (size_t)32 * c->batches;
    b = calloc(1, sizeof *b + n_bytes);
    POA_ASSERT(b);
    b->height = h;
    b->epoch = c->header->epoch;
    b->kind = c->header->kind;
    memcpy(b->hash, c->hash, 32);
    memcpy(b->root, c->root, 32);
    uint8_t *p = b->data;
    b->batch = (uint8_t(*)[32])p;
    if (c->batches)
        memcpy(p, c->batch, (size_t)32 * c->batches);
    p += (size_t)32 * c->batches;
    b->batches = c->batches;
    b->header = poa_slice(p, c->header_bytes.n);
    memcpy(p, c->header_bytes.p, c->header_bytes.n);
    p += c->header_bytes.n;
    b->body = poa_slice(p, c->body.n);
    if (c->body.n)
        memcpy(p, c->body.p, c->body.n);
    if (s->block[h - 1] && n->kind == HONEST)
        violation(s, n, "[1] two final blocks at height %llu", (unsigned long long)h);
    b->next = s->block[h - 1];
    s->block[h - 1] = b;
    if (h > s->blocks)
        s->blocks = h;
    s->result.height = s->blocks;
    if (b->epoch > s->result.epochs)
        s->result.epochs = b->epoch;
    return b;
}

/* --- the end -------------------------------------------------------------------------- */

static void stuck(struct poa_sim *s, const struct node *n, const char *what, uint64_t number)
{
    if (!s->result.violations && !s->result.stuck && !s->result.false_accusations)
        snprintf(s->result.first, sizeof s->result.first, "at the end, node %u: %s %llu", n->id,
                 what, (unsigned long long)number);
    s->result.stuck++;
}

/* Blocks that the network makes at least, once it is healed and has time. */
static uint64_t expected(const struct poa_sim *s)
{
    uint64_t span_ms = (s->config.end_us - s->config.gst_us) / 1000;
    uint64_t n = span_ms / (4 * (uint64_t)s->config.timeout_ms + s->config.heartbeat_ms) / 4;
    uint64_t turns = 2 * (uint64_t)s->config.nodes + 4;
    n = n > 3 ? n : 3;
    return s->config.settle && n > turns ? turns : n;
}

static bool left_behind(const struct poa_sim *s, const struct node *n)
{
    return !n->up || n->height + 12 < s->blocks;
}

/* Everybody has caught up, and the network went on. */
bool check_settled(const struct poa_sim *s)
{
    if (s->blocks < s->healed_height + expected(s))
        return false;
    for (uint32_t i = 0; i < s->nodes; i++)
        if (s->node[i].kind == HONEST && left_behind(s, &s->node[i]))
            return false;
    return true;
}

/* Nobody makes progress after the network healed, or somebody is left behind. */
void check_finish(struct poa_sim *s)
{
    if (s->result.violations)
        return;
    if (s->blocks < s->healed_height + expected(s)) {
        stuck(s, &s->node[0], "blocks since the network healed:", s->blocks - s->healed_height);
        return;
    }
    for (uint32_t i = 0; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        struct poa_core_status st;
        bool conserved = false;
        if (n->kind != HONEST)
            continue;
        if (left_behind(s, n)) {
            stuck(s, n, "is left behind at height", n->height);
            continue;
        }
        if (poa_ledger_audit(poa_core_ledger(n->core), &conserved) || !conserved)
            violation(s, n, "[15] supply is not conserved");
        poa_core_status(n->core, &st);
        if (st.views_nullified > s->result.nullified)
            s->result.nullified = st.views_nullified;
    }
}
