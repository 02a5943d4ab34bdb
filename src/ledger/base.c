/* The finalized base: entries in slabs, found by an open-addressing table.
 *
 * The table doubles when it is two thirds full. The entries then move over
 * some thousand at a time, in reserve, so that no step waits for millions:
 * meanwhile both tables are asked, the old one only from slot `moved` on. */
#include "ledger.h"

#define FIRST_SLOTS 4096u
#define MOVE_SLOTS  32768u
#define TOMBSTONE   UINT32_MAX /* in the old table: moved or deleted */

static uint64_t spread(const struct base *b, const uint8_t key[32])
{
    /* Multiply-shift with multipliers that the network does not know: keys can
     * be ground, those of a snapshot are anybody's, and none may meet in one
     * place. */
    return poa_le64(key) * b->multiplier[0] + poa_le64(key + 8) * b->multiplier[1];
}

static uint32_t tag_of(const uint8_t key[32])
{
    return poa_le32(key + 16);
}

static int table_new(struct poa_ledger *l, struct table *t, uint32_t slots)
{
    t->slot = poa_mem_new(&l->config.alloc, (size_t)slots * sizeof *t->slot);
    if (!t->slot)
        return POA_E_NO_MEMORY;
    t->mask = slots - 1;
    t->shift = 64;
    while (slots > 1) {
        slots /= 2;
        t->shift--;
    }
    return POA_OK;
}

int poa_base_init(struct poa_ledger *l)
{
    struct base *b = &l->base;
    memset(b, 0, sizeof *b);
    b->dirty_head = DIRTY_END;
    uint8_t salt[8], spread32[32];
    poa_put_le64(salt, l->config.salt);
    poa_hash(POA_DOMAIN_STATE_KEY, salt, sizeof salt, spread32);
    b->multiplier[0] = poa_le64(spread32) | 1;
    b->multiplier[1] = poa_le64(spread32 + 8) | 1;
    b->slab_used = 1; /* reference 0 means none */
    return table_new(l, &b->now, FIRST_SLOTS);
}

void poa_base_clear(struct poa_ledger *l)
{
    struct base *b = &l->base;
    for (uint32_t i = 0; i < b->slabs; i++)
        poa_mem_free(&l->config.alloc, b->slab[i]);
    poa_mem_free(&l->config.alloc, b->slab);
    poa_mem_free(&l->config.alloc, b->now.slot);
    poa_mem_free(&l->config.alloc, b->old.slot);
    memset(b, 0, sizeof *b);
}

/* Slot of KEY in T, or NULL. Slots below FROM count as taken by others. */
static struct slot32 *table_find(const struct base *b, const struct table *t, const uint8_t key[32],
                                 uint32_t from)
{
    uint32_t tag = tag_of(key);
    for (uint32_t i = (uint32_t)(spread(b, key) >> t->shift);; i = (i + 1) & t->mask) {
        struct slot32 *s = &t->slot[i];
        if (!s->ref)
            return NULL;
        if (s->tag == tag && s->ref != TOMBSTONE && i >= from &&
            !memcmp(base_entry(b, s->ref)->key, key, 32))
            return s;
    }
}

static void table_add(const struct base *b, struct table *t, const uint8_t key[32], uint32_t ref)
{
    uint32_t i = (uint32_t)(spread(b, key) >> t->shift);
    while (t->slot[i].ref)
        i = (i + 1) & t->mask;
    t->slot[i].ref = ref;
    t->slot[i].tag = tag_of(key);
}

static struct slot32 *find_slot(const struct base *b, const uint8_t key[32])
{
    struct slot32 *s = table_find(b, &b->now, key, 0);
    return s || !b->old.slot ? s : table_find(b, &b->old, key, b->moved);
}

/* Empties slot S: in the old table a mark, in the new one the followers of its
 * run close the gap. */
static void remove_slot(struct base *b, struct slot32 *s)
{
    struct table *t = &b->now;
    if (b->old.slot && s >= b->old.slot && s <= b->old.slot + b->old.mask) {
        s->ref = TOMBSTONE;
        return;
    }
    uint32_t hole = (uint32_t)(s - t->slot);
    for (uint32_t i = (hole + 1) & t->mask; t->slot[i].ref; i = (i + 1) & t->mask) {
        uint32_t home = (uint32_t)(spread(b, base_entry(b, t->slot[i].ref)->key) >> t->shift);
        /* May it move back to the hole? Only if its home is not after it. */
        if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
            t->slot[hole] = t->slot[i];
            hole = i;
        }
    }
    t->slot[hole].ref = 0;
}

struct entry *poa_base_find(const struct base *b, const uint8_t key[32])
{
    const struct slot32 *s = find_slot(b, key);
    struct entry *e = s ? base_entry(b, s->ref) : NULL;
    return e && e->value_n != ENTRY_GONE ? e : NULL;
}

void poa_base_fetch_slot(const struct base *b, const uint8_t key[32])
{
    __builtin_prefetch(&b->now.slot[spread(b, key) >> b->now.shift]);
}

void poa_base_fetch_entry(const struct base *b, const uint8_t key[32])
{
    const struct slot32 *s = &b->now.slot[spread(b, key) >> b->now.shift];
    if (!s->ref)
        return;
    const struct entry *e = base_entry(b, s->ref);
    __builtin_prefetch(e);
    __builtin_prefetch(e->data + 40); /* where an account's value ends */
}

/* --- room -------------------------------------------------------------------------- */

static uint64_t table_limit(const struct table *t)
{
    return ((uint64_t)t->mask + 1) / 3 * 2;
}

/* Granules that puts can surely have: each slab may waste less than the
 * longest entry at its end. */
static uint64_t slab_room(const struct base *b)
{
    if (!b->slabs)
        return 0;
    uint64_t whole = b->slabs - b->slab_now - 1, first = SLAB_GRANULES - b->slab_used;
    return whole * (SLAB_GRANULES - ENTRY_GRANULES) +
           (first > ENTRY_GRANULES ? first - ENTRY_GRANULES : 0);
}

bool poa_base_has_room(const struct base *b, uint64_t count, uint64_t granules)
{
    return b->count + count <= table_limit(&b->now) && granules <= slab_room(b);
}

int poa_base_reserve(struct poa_ledger *l, uint64_t count, uint64_t granules)
{
    struct base *b = &l->base;
    int e;
    if (b->old.slot) { /* go on with the move that is under way */
        uint64_t end = (uint64_t)b->moved + MOVE_SLOTS;
        bool all = b->count + count > table_limit(&b->now);
        poa_ledger_write_begin(l);
        for (; b->moved <= b->old.mask && (all || b->moved < end); b->moved++) {
            struct slot32 s = b->old.slot[b->moved];
            if (s.ref && s.ref != TOMBSTONE)
                table_add(b, &b->now, base_entry(b, s.ref)->key, s.ref);
        }
        struct slot32 *done = b->moved > b->old.mask ? b->old.slot : NULL;
        if (done)
            b->old.slot = NULL;
        poa_ledger_write_end(l);
        poa_mem_free(&l->config.alloc, done);
    }
    if (!b->old.slot && b->count + count > table_limit(&b->now)) {
        struct table bigger;
        uint32_t slots = b->now.mask + 1;
        do {
            if (slots > UINT32_MAX / 4)
                return POA_E_NO_MEMORY;
            slots *= 2;
        } while (b->count + count > (uint64_t)slots / 3 * 2);
        e = table_new(l, &bigger, slots);
        if (e)
            return e;
        poa_ledger_write_begin(l);
        b->old = b->now;
        b->now = bigger;
        b->moved = 0;
        poa_ledger_write_end(l);
    }
    while (slab_room(b) < granules) {
        e = poa_slab_reserve(l, b->slabs + 1);
        if (e)
            return e;
    }
    return POA_OK;
}

/* --- puts ---------------------------------------------------------------------------- */

static void give_block(struct base *b, uint32_t ref, uint32_t granules)
{
    memcpy(base_entry(b, ref), &b->free_head[granules], 4);
    b->free_head[granules] = ref;
}

static uint32_t take_block(struct base *b, uint32_t granules)
{
    uint32_t ref = b->free_head[granules];
    POA_ASSERT(granules <= ENTRY_GRANULES);
    if (ref) {
        memcpy(&b->free_head[granules], base_entry(b, ref), 4);
        return ref;
    }
    if (SLAB_GRANULES - b->slab_used < granules) {
        uint32_t rest = SLAB_GRANULES - b->slab_used;
        if (rest)
            give_block(b, b->slab_now * SLAB_GRANULES + b->slab_used, rest);
        b->slab_now++;
        b->slab_used = 0;
    }
    POA_ASSERT(b->slab_now < b->slabs);
    ref = b->slab_now * SLAB_GRANULES + b->slab_used;
    b->slab_used += granules;
    return ref;
}

static void mark_dirty(struct base *b, uint32_t ref)
{
    struct entry *e = base_entry(b, ref);
    if (e->dirty)
        return;
    e->dirty = b->dirty_head;
    b->dirty_head = ref;
}

uint32_t poa_base_put(struct base *b, const uint8_t key[32], uint8_t table,
                      struct poa_slice raw_key, struct poa_slice value)
{
    struct slot32 *s = find_slot(b, key);
    struct entry *e = s ? base_entry(b, s->ref) : NULL;
    bool was_live = e && e->value_n != ENTRY_GONE;
    uint32_t granules = entry_granules((uint32_t)raw_key.n, (uint32_t)value.n);
    if (!value.n) { /* stays until the checkpoint has seen that it is gone */
        if (!was_live)
            return 0;
        b->live--;
        /* Its block keeps the size that the value gave it. */
        poa_put_le32(e->data + e->key_n, e->value_n);
        e->value_n = ENTRY_GONE;
        mark_dirty(b, s->ref);
        return 0;
    }
    b->live += !was_live;
    uint32_t old = !e         ? 0
                   : was_live ? entry_granules(e->key_n, e->value_n)
                              : entry_granules(e->key_n, poa_le32(e->data + e->key_n));
    if (old == granules) {
        memcpy(e->data + e->key_n, value.p, value.n);
        e->value_n = (uint16_t)value.n;
        mark_dirty(b, s->ref);
        return s->ref;
    }
    uint32_t ref = take_block(b, granules);
    struct entry *fresh = base_entry(b, ref);
    memcpy(fresh->key, key, 32);
    fresh->dirty = 0;
    fresh->value_n = (uint16_t)value.n;
    fresh->table = table;
    fresh->key_n = (uint8_t)raw_key.n;
    memcpy(fresh->data, raw_key.p, raw_key.n);
    memcpy(fresh->data + raw_key.n, value.p, value.n);
    mark_dirty(b, ref);
    if (!e) {
        table_add(b, &b->now, key, ref);
        b->count++;
        return ref;
    }
    if (e->dirty) { /* linked in the list of changes: freed with it */
        if (was_live)
            poa_put_le32(e->data + e->key_n, e->value_n);
        e->value_n = ENTRY_MOVED;
    } else {
        give_block(b, s->ref, old);
    }
    s->ref = ref;
    return ref;
}

static int visit_table(const struct base *b, const struct table *t, uint32_t from,
                       int (*visit)(void *ctx, const struct entry *e), void *ctx)
{
    int e = POA_OK;
    for (uint32_t i = from; !e && i <= t->mask; i++)
        if (t->slot[i].ref && t->slot[i].ref != TOMBSTONE) {
            const struct entry *entry = base_entry(b, t->slot[i].ref);
            if (entry->value_n != ENTRY_GONE)
                e = visit(ctx, entry);
        }
    return e;
}

int poa_base_visit(const struct base *b, int (*visit)(void *ctx, const struct entry *e), void *ctx)
{
    int e = visit_table(b, &b->now, 0, visit, ctx);
    return e || !b->old.slot ? e : visit_table(b, &b->old, b->moved, visit, ctx);
}

void poa_base_checkpointed(struct base *b)
{
    uint32_t ref = b->dirty_head;
    while (ref != DIRTY_END) {
        struct entry *e = base_entry(b, ref);
        uint32_t next = e->dirty;
        e->dirty = 0;
        if (e->value_n == ENTRY_GONE || e->value_n == ENTRY_MOVED) {
            if (e->value_n == ENTRY_GONE) {
                remove_slot(b, find_slot(b, e->key));
                b->count--;
            }
            give_block(b, ref, entry_granules(e->key_n, poa_le32(e->data + e->key_n)));
        }
        ref = next;
    }
    b->dirty_head = DIRTY_END;
}
