/* Blocks in memory: the pool, asking for those that are missing, finding
 * parents. */
#include "core.h"

/* --- the pool ------------------------------------------------------------------ */

struct block *core_block_find(const struct poa_core *c, const uint8_t hash[32])
{
    struct block *b = c->bucket[hash_low(hash) % BLOCK_BUCKETS];
    while (b && !hash_eq(b->hash, hash))
        b = b->next;
    return b;
}

void core_block_drop(struct poa_core *c, struct block *b)
{
    struct block **at = &c->bucket[hash_low(b->hash) % BLOCK_BUCKETS];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    struct slot *s = core_slot_get(c, b->h.view);
    if (s && s->prop == b)
        s->prop = NULL;
    if (b->own_state)
        poa_ledger_drop(c->ledger, b->state);
    if (c->tip_block == b)
        c->tip_block = NULL;
    core_give_later(c, b->body);
    core_give_later(c, b->tx);
    memset(b, 0, sizeof *b);
}

static bool certified(struct poa_core *c, const struct block *b)
{
    const struct slot *s = core_slot_get(c, b->h.view);
    return s &&
           ((s->cert[POA_VOTE_NOTARIZE].have &&
             hash_eq(s->cert[POA_VOTE_NOTARIZE].hash, b->hash)) ||
            (s->cert[POA_VOTE_FINALIZE].have && hash_eq(s->cert[POA_VOTE_FINALIZE].hash, b->hash)));
}

static bool has_child(const struct poa_core *c, const struct block *b)
{
    for (uint32_t i = 0; i < c->block_top; i++)
        if (c->block[i].used && c->block[i].own_state && hash_eq(c->block[i].h.parent, b->hash))
            return true;
    return false;
}

/* Nothing stands on a block that was not certified in its view. Should it be
 * certified late, it is executed again. */
void core_overlays_evict(struct poa_core *c)
{
    if (c->view < c->tip_view + 16)
        return;
    for (uint32_t i = 0; i < c->block_top; i++) {
        struct block *b = &c->block[i];
        if (!b->used || b->final || !b->own_state || b->h.view + 4 > c->view || certified(c, b) ||
            has_child(c, b))
            continue;
        poa_ledger_drop(c->ledger, b->state);
        b->own_state = false;
        b->exec = EXEC_NONE;
        core_give_later(c, b->tx);
        b->tx = NULL;
    }
}

/* Room for one more: the furthest header ahead of us goes first, then the
 * oldest that was not certified; both can be fetched again. */
static struct block *block_slot(struct poa_core *c)
{
    struct block *worst = NULL, *oldest = NULL;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct block *b = &c->block[i];
        if (!b->used) {
            if (i >= c->block_top)
                c->block_top = i + 1;
            return b;
        }
        if (!b->final && !b->own_state && b->h.view > c->view &&
            (!worst || b->h.view > worst->h.view))
            worst = b;
        if (!b->final && !b->own_state && b->h.view < c->view && !certified(c, b) &&
            (!oldest || b->h.view < oldest->h.view))
            oldest = b;
    }
    if (!worst)
        worst = oldest;
    if (worst)
        core_block_drop(c, worst);
    return worst;
}

struct block *core_block_insert(struct poa_core *c, const uint8_t hash[32],
                                const struct poa_header *h, struct poa_slice header,
                                const uint8_t sig[64], struct poa_slice body)
{
    struct block *b = block_slot(c);
    uint8_t *copy = b ? core_arena_take(&c->arena, body.n ? body.n : 1) : NULL;
    if (!copy)
        return NULL;
    memset(b, 0, sizeof *b);
    memcpy(copy, body.p, body.n);
    b->body = copy;
    b->body_n = (uint32_t)body.n;
    if (poa_body_decode(poa_slice(copy, body.n), &b->b)) {
        core_arena_give(&c->arena, copy);
        b->body = NULL;
        return NULL;
    }
    b->used = true;
    b->h = *h;
    memcpy(b->hash, hash, 32);
    memcpy(b->header, header.p, POA_HEADER_BYTES);
    memcpy(b->sig, sig, 64);
    b->next = c->bucket[hash_low(hash) % BLOCK_BUCKETS];
    c->bucket[hash_low(hash) % BLOCK_BUCKETS] = b;
    return b;
}

/* Drops what a commit left behind: first the states of dead forks, children
 * before parents, then their blocks. KEEP is the block being committed, NULL
 * to drop all that is not final. */
void core_blocks_sweep(struct poa_core *c, const struct block *keep)
{
    struct block *dead[BLOCKS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->block_top; i++) {
        struct block *b = &c->block[i];
        if (!b->used || b == keep)
            continue;
        if (b->final) {
            if (b->h.height + RECENT_BLOCKS < c->height)
                core_block_drop(c, b);
            continue;
        }
        const struct block *x = b;
        while (keep && x != keep && x->h.height > keep->h.height) {
            const struct block *p = core_block_find(c, x->h.parent);
            if (!p)
                break;
            x = p;
        }
        /* An orphan above KEEP may still turn out to descend from it. */
        bool alive =
            keep && (x == keep || x->h.height > keep->h.height) && b->h.view > keep->h.view;
        if (!alive)
            dead[n++] = b;
    }
    while (n) {
        uint32_t top = 0;
        for (uint32_t i = 1; i < n; i++)
            if (dead[i]->h.height > dead[top]->h.height)
                top = i;
        core_block_drop(c, dead[top]);
        dead[top] = dead[--n];
    }
}

void core_blocks_reset(struct poa_core *c)
{
    core_blocks_sweep(c, NULL);
    memset(c->want, 0, sizeof c->want);
    c->wants = 0;
}

/* --- fetching -------------------------------------------------------------------- */

static uint64_t ask_interval(const struct poa_core *c)
{
    return (uint64_t)c->genesis->timeout_ms * 500;
}

static void ask(struct poa_core *c, struct want *w)
{
    struct poa_get_block get;
    memcpy(get.hash, w->hash, 32);
    struct poa_slice bytes = core_encode(c, &poa_get_block_record, &get);
    w->ask_us = c->now.us + ask_interval(c);
    if (!bytes.n || c->n < 2)
        return;
    uint16_t first = w->hint;
    if (w->tries || w->hint >= c->n || (int32_t)w->hint == c->self)
        first = (uint16_t)((w->tries + hash_low(w->hash)) % c->n);
    if ((int32_t)first == c->self)
        first = (uint16_t)((first + 1) % c->n);
    core_send_to(c, POA_MSG_GET_BLOCK, bytes, first, 0);
    /* Whoever is asked may not have it either: widen with every try. */
    for (uint32_t i = 1; i < w->tries && i < c->n; i++) {
        uint16_t other = (uint16_t)((first + i) % c->n);
        if ((int32_t)other != c->self)
            core_send_to(c, POA_MSG_GET_BLOCK, bytes, other, 0);
    }
    w->tries++;
    if (w->tries > 6)
        core_behind(c, c->height + 1);
}

void core_want_block(struct poa_core *c, const uint8_t hash[32], uint16_t hint)
{
    struct want *free_want = NULL;
    if (c->self < 0 || c->restoring || c->mutant == POA_MUTANT_NO_FETCH)
        return;
    for (uint32_t i = 0; i < WANTS; i++) {
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            return;
        if (!c->want[i].used)
            free_want = &c->want[i];
    }
    if (!free_want)
        return;
    memset(free_want, 0, sizeof *free_want);
    free_want->used = true;
    c->wants++;
    memcpy(free_want->hash, hash, 32);
    free_want->hint = hint;
    ask(c, free_want);
}

static void want_drop(struct poa_core *c, struct want *w)
{
    w->used = false;
    c->wants--;
}

bool core_want_find(const struct poa_core *c, const uint8_t hash[32])
{
    for (uint32_t i = 0; i < WANTS && c->wants; i++)
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            return true;
    return false;
}

void core_want_done(struct poa_core *c, const uint8_t hash[32])
{
    for (uint32_t i = 0; i < WANTS && c->wants; i++)
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            want_drop(c, &c->want[i]);
}

void core_wants_tick(struct poa_core *c)
{
    for (uint32_t i = 0; i < WANTS && c->wants; i++) {
        struct want *w = &c->want[i];
        if (!w->used || w->ask_us > c->now.us)
            continue;
        if (w->tries > 12)
            want_drop(c, w);
        else
            ask(c, w);
    }
}

uint64_t core_wants_deadline(const struct poa_core *c)
{
    uint64_t d = NO_DEADLINE;
    for (uint32_t i = 0; i < WANTS && c->wants; i++)
        if (c->want[i].used && c->want[i].ask_us < d)
            d = c->want[i].ask_us;
    return d;
}

int core_on_get_block(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_get_block get;
    int e = poa_get_block_decode(bytes, &get);
    if (e)
        return e;
    const struct block *b = core_block_find(c, get.hash);
    if (!b || !b->has_sig)
        return POA_E_NOT_FOUND;
    if (!core_serve_allowed(c, peer, 16))
        return POA_E_RATE;
    struct poa_list none = {.bytes = {NULL, 0}, .count = 0};
    struct poa_slice p = core_proposal_encode(c, b, &none);
    if (p.n)
        core_send_to(c, POA_MSG_PROPOSAL, p, peer, 0);
    return POA_OK;
}

/* --- parents ---------------------------------------------------------------------- */

bool core_parent_find(struct poa_core *c, const uint8_t hash[32], uint64_t view, struct parent *out)
{
    memset(out, 0, sizeof *out);
    if (hash_eq(hash, c->tip)) {
        out->height = c->height;
        out->time_ms = c->tip_time;
        out->kind = c->tip_kind;
        out->executed = true;
        out->state = POA_STATE_BASE;
        memcpy(out->root, c->tip_root, 32);
        return view == c->tip_view;
    }
    struct block *b = core_block_find(c, hash);
    if (!b || b->final || b->h.view != view || b->h.epoch != c->epoch)
        return false;
    out->height = b->h.height;
    out->time_ms = b->h.time_ms;
    out->kind = b->h.kind;
    out->closing_height = b->h.closing_height;
    out->executed = b->exec == EXEC_DONE;
    out->state = b->state;
    memcpy(out->root, b->root, 32);
    out->block = b;
    return true;
}

void core_path_mark(struct poa_core *c, const struct block *b)
{
    c->mark++;
    for (; b && !b->final; b = core_block_find(c, b->h.parent)) {
        struct poa_list_iter it = poa_list_begin(&b->b.batches);
        struct poa_digest d;
        while (poa_digest_next(&it, &d)) {
            struct batch *x = core_batch_find(c, d.digest);
            if (x)
                x->mark = c->mark;
        }
    }
}

void core_blocks_mark(struct poa_core *c)
{
    c->mark++;
    for (uint32_t i = 0; i < c->block_top; i++) {
        const struct block *b = &c->block[i];
        if (!b->used || b->final)
            continue;
        struct poa_list_iter it = poa_list_begin(&b->b.batches);
        struct poa_digest d;
        while (poa_digest_next(&it, &d)) {
            struct batch *x = core_batch_find(c, d.digest);
            if (x)
                x->mark = c->mark;
        }
    }
}
