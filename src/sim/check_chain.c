/* What must hold of the chain, of memory, and at the end. The list is in check.c. */
#include "world.h"

#include <stdio.h>

/* --- blocks ------------------------------------------------------------------------- */

/* --- what a new block must be ---------------------------------------------------------- */

/* Before the first block. */
void check_first(struct poa_sim *s, const struct node *n)
{
    struct poa_st_global g;
    poa_ledger_global(poa_core_ledger(n->core), POA_STATE_BASE, &g);
    if (g.height == 0 && !s->checked)
        memcpy(s->beacon, g.beacon, 32);
}

/* The beacon's output is over the seed of its epoch, which outputs of earlier
 * epochs alone have made. */
static void check_beacon(struct poa_sim *s, struct node *n, const struct poa_header *h)
{
    const struct poa_ledger *l = poa_core_ledger(n->core);
    struct poa_st_epoch epoch, next;
    struct poa_committee c;
    struct poa_member m;
    uint8_t alpha[32], beta[64], key[4];
    if (poa_ledger_epoch(l, POA_STATE_BASE, h->epoch, &epoch, &c, NULL))
        return;
    if (!check_agrees(&s->seeds, h->epoch, epoch.seed))
        violation(s, n, "[12] the seed of epoch %u changed within it", h->epoch);
    if (h->kind == POA_BLOCK_CLOSING) {
        poa_put_le32(key, h->epoch + 1);
        poa_hash2(POA_DOMAIN_SEED, s->beacon, 32, key, sizeof key, s->beacon);
        if (!poa_ledger_epoch(l, POA_STATE_BASE, h->epoch + 1, &next, NULL, NULL) &&
            memcmp(next.seed, s->beacon, 32))
            violation(s, n, "[12] the seed of epoch %u is not what epoch %u made", h->epoch + 1,
                      h->epoch);
        return;
    }
    struct poa_list_iter it = poa_list_begin(&c.members);
    bool found = false;
    for (uint32_t i = 0; !found && poa_member_next(&it, &m); i++)
        found = i == h->leader;
    poa_beacon_alpha(s->chain, h->epoch, h->view, epoch.seed, alpha);
    if (!found || s->suite->vrf_verify(m.key, alpha, sizeof alpha, h->beacon, beta))
        violation(s, n, "[12] the beacon of height %llu is not over its epoch's seed",
                  (unsigned long long)h->height);
    else
        poa_hash2(POA_DOMAIN_SEED, s->beacon, 32, beta, 64, s->beacon);
}

/* Something that a chain may hold once; says whether it does already. */
static bool again(struct poa_sim *s, uint8_t what, const void *a, size_t a_n, const void *b,
                  size_t b_n)
{
    uint64_t sum = what;
    sim_fold(&sum, a, a_n);
    sim_fold(&sum, b, b_n);
    struct pair *at = pair_at(&s->once, sum);
    bool was = at->used;
    at->used = true;
    return was;
}

static void check_once(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_body body;
    struct poa_ticket t;
    struct poa_seal x;
    if (poa_body_decode(bytes, &body)) {
        violation(s, n, "commits a body that cannot be decoded");
        return;
    }
    struct poa_list_iter it = poa_list_begin(&body.tickets);
    while (poa_ticket_next(&it, &t)) {
        uint64_t window = (uint64_t)t.epoch << 32 | t.window;
        if (again(s, 't', t.device, 32, &window, sizeof window))
            violation(s, n, "[14] a device has two tickets of window %u.%u", t.epoch, t.window);
    }
    it = poa_list_begin(&body.seals);
    while (poa_seal_next(&it, &x)) {
        check_seal(s, n, &x);
        if (again(s, 's', x.device, 32, &x.slot, sizeof x.slot))
            violation(s, n, "[14] a device has two seals of slot %llu", (unsigned long long)x.slot);
    }
}

/* One subsidy for each slot that has a block. */
static void check_pay(struct poa_sim *s, struct node *n, const struct poa_header *h)
{
    const struct poa_genesis *g = poa_ledger_genesis(poa_core_ledger(n->core));
    struct poa_st_global now;
    uint64_t slot = poa_slot_of(g, h->time_ms) + 1;
    s->slots += slot != s->last_slot;
    s->last_slot = slot;
    poa_ledger_global(poa_core_ledger(n->core), POA_STATE_BASE, &now);
    uint64_t issued = now.issued;
    if (s->config.sim_mutant == POA_SIM_MUTANT_PAY_TWICE)
        issued *= 2;
    /* The step may have gone on to later blocks already. */
    if (now.height == h->height && issued > s->slots * g->subsidy)
        violation(s, n, "[13] %llu issued in %llu slots of %llu each", (unsigned long long)issued,
                  (unsigned long long)s->slots, (unsigned long long)g->subsidy);
}

/* --- memory ------------------------------------------------------------------------------ */

#define MEMORY_MAX ((size_t)MEMORY_MB << 20)
#define MEMORY_MB  112u
#define LOG_MAX    16384u

/* A core takes what it needs at first, and its ledger what the state needs; the
 * log is trimmed. */
void check_memory(struct poa_sim *s, const struct node *n)
{
    if (n->kind != HONEST)
        return;
    if (n->memory.used > MEMORY_MAX)
        violation(s, n, "[10] the core took %zu MB", n->memory.used >> 20);
    if (n->disk.ops > LOG_MAX)
        violation(s, n, "[10] the log has %zu records", n->disk.ops);
}

/* --- commits ------------------------------------------------------------------------------- */

struct sim_block *check_commit(struct poa_sim *s, struct node *n, const struct poa_commit *c)
{
    uint64_t h = c->header->height;
    uint64_t view = view_key(c->header->epoch, c->header->view);
    uint8_t root[32];
    memcpy(root, c->root, 32);
    if (s->config.sim_mutant == POA_SIM_MUTANT_OTHER_ROOT && n->id == 1)
        root[h % 32] ^= 1;
    if (s->config.sim_mutant == POA_SIM_MUTANT_COMMIT_TWICE && h == 5)
        n->height = h;
    if (s->config.sim_mutant == POA_SIM_MUTANT_LEAK)
        (void)region_alloc(&n->memory, 4u << 20);
    if (n->kind == HONEST && !check_agrees(&s->committed, view, c->hash))
        violation(s, n, "[1] two final blocks of view %u.%llu", c->header->epoch,
                  (unsigned long long)c->header->view);
    const struct pair *other = pair_at(&s->notarized, view);
    if (n->kind == HONEST && other->used && memcmp(other->hash, c->hash, 32))
        violation(s, n, "[4] another header is final than notarized in view %u.%llu",
                  c->header->epoch, (unsigned long long)c->header->view);
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
    if (n->kind == HONEST && h == s->checked + 1) {
        s->checked = h;
        check_beacon(s, n, c->header);
        check_pay(s, n, c->header);
        check_once(s, n, c->body);
        if (s->config.sim_mutant == POA_SIM_MUTANT_LIST_TWICE)
            check_once(s, n, c->body);
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
        if (memcmp(b->root, root, 32))
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
    memcpy(b->root, root, 32);
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
        check_memory(s, n);
        if (left_behind(s, n)) {
            stuck(s, n, "is left behind at height", n->height);
            continue;
        }
        if (poa_ledger_audit(poa_core_ledger(n->core), &conserved) || !conserved)
            violation(s, n, "[15] supply is not conserved");
        check_devices(s, n);
        poa_core_status(n->core, &st);
        if (st.views_nullified > s->result.nullified)
            s->result.nullified = st.views_nullified;
    }
}
