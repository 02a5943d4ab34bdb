/* States: the base, and overlays of entries that a block changed.
 *
 *   base <── overlay A <── overlay B
 *                    <── overlay C          reads walk towards the base
 *
 * An overlay owns its entries and the tree nodes that it made; applying it
 * moves the entries into the base and frees the nodes that it replaced. */
#include "ledger.h"

void poa_ledger_write_begin(struct poa_ledger *l)
{
    if (l->config.write_begin)
        l->config.write_begin(l->config.write_ctx);
}

void poa_ledger_write_end(struct poa_ledger *l)
{
    if (l->config.write_end)
        l->config.write_end(l->config.write_ctx);
}

/* --- handles: generation << ROW_BITS | row + 1 ----------------------------------- */

poa_state_id poa_overlay_id(const struct poa_ledger *l, const struct overlay *o)
{
    return o->generation << ROW_BITS | (uint32_t)(o - l->overlay + 1);
}

struct overlay *poa_state_overlay(const struct poa_ledger *l, poa_state_id s)
{
    if (s == POA_STATE_BASE)
        return NULL;
    uint32_t row = (s & ((1u << ROW_BITS) - 1)) - 1;
    POA_ASSERT(row < OVERLAY_ROWS);
    const struct overlay *o = &l->overlay[row];
    POA_ASSERT(o->used && o->generation == s >> ROW_BITS); /* else: used after apply or drop */
    return (struct overlay *)(uintptr_t)o;
}

int poa_overlay_open(struct poa_ledger *l, struct overlay *parent, uint32_t limit, uint32_t changes,
                     struct overlay **out)
{
    uint32_t row = 0, depth = parent ? parent->depth + 1 : 1, buckets = 64;
    while (row < OVERLAY_ROWS && l->overlay[row].used)
        row++;
    if (row == OVERLAY_ROWS || depth > limit)
        return POA_E_FULL;
    struct overlay *o = &l->overlay[row];
    uint32_t generation = (o->generation + 1) & (UINT32_MAX >> ROW_BITS);
    *o = (struct overlay){.generation = generation,
                          .used = true,
                          .depth = depth,
                          .parent = parent,
                          .root = *state_root(l, parent)};
    l->overlays++;
    if (row == l->row_top)
        l->row_top++;
    while (buckets < changes && buckets < OV_SEGMENTS * OV_SEGMENT_BUCKETS)
        buckets *= 2;
    uint32_t each = buckets < OV_SEGMENT_BUCKETS ? buckets : OV_SEGMENT_BUCKETS;
    for (uint32_t i = 0; i * OV_SEGMENT_BUCKETS < buckets; i++) {
        o->bucket[i] = poa_overlay_bytes(l, o, each * sizeof *o->bucket[i]);
        if (!o->bucket[i]) {
            poa_overlay_close(l, o);
            return POA_E_FULL;
        }
        memset(o->bucket[i], 0, each * sizeof *o->bucket[i]);
    }
    o->bucket_mask = buckets - 1;
    *out = o;
    return POA_OK;
}

static void give_chunks(struct poa_ledger *l, struct overlay *o)
{
    while (o->chunks) {
        struct chunk *c = o->chunks;
        o->chunks = c->next;
        c->next = l->free_chunks;
        l->free_chunks = c;
        l->free_chunk_count++;
    }
    l->pending_count -= o->new_count;
    l->pending_granules -= o->granules;
    o->used = false;
    l->overlays--;
    while (l->row_top && !l->overlay[l->row_top - 1].used)
        l->row_top--;
}

void poa_overlay_close(struct poa_ledger *l, struct overlay *o)
{
    for (const struct id_block *b = o->made; b; b = b->next)
        poa_tree_free_nodes(&l->tree, b);
    give_chunks(l, o);
}

/* --- reading ------------------------------------------------------------------------ */

static struct ov_entry **bucket_of(const struct overlay *o, const uint8_t key[32])
{
    uint32_t i = poa_le32(key + 8) & o->bucket_mask;
    return &o->bucket[i / OV_SEGMENT_BUCKETS][i % OV_SEGMENT_BUCKETS];
}

static struct ov_entry *find_own(const struct overlay *o, const uint8_t key[32])
{
    struct ov_entry *e = *bucket_of(o, key);
    while (e && memcmp(e->key, key, 32))
        e = e->next;
    return e;
}

bool poa_state_get(const struct poa_ledger *l, const struct overlay *o, const uint8_t key[32],
                   struct poa_slice *value)
{
    for (; o; o = o->parent) {
        const struct ov_entry *e = find_own(o, key);
        if (!e || e->state == OV_INHERIT)
            continue;
        *value = poa_slice(e->value, e->value_n);
        return e->state == OV_PRESENT;
    }
    const struct entry *e = poa_base_find(&l->base, key);
    if (!e)
        return false;
    *value = poa_slice(e->data + e->key_n, e->value_n);
    return true;
}

const struct poa_record *poa_state_record(enum poa_state_table table)
{
    switch (table) {
#define RECORD_ROW(name, number, record, key)                                                      \
    case POA_STATE_##name:                                                                         \
        return &poa_##record##_record;
        POA_STATE_TABLES(RECORD_ROW)
#undef RECORD_ROW
    }
    return NULL;
}

int poa_state_read(const struct poa_ledger *l, const struct overlay *o, enum poa_state_table table,
                   const void *key, size_t key_n, void *out)
{
    uint8_t skey[32];
    struct poa_slice value;
    poa_state_key_from(&l->key_begun, table, key, key_n, skey);
    if (!poa_state_get(l, o, skey, &value))
        return POA_E_NOT_FOUND;
    return poa_record_decode(poa_state_record(table), value, out);
}

int poa_state_read_u32(const struct poa_ledger *l, const struct overlay *o,
                       enum poa_state_table table, uint32_t key, void *out)
{
    uint8_t raw[4];
    poa_put_le32(raw, key);
    return poa_state_read(l, o, table, raw, sizeof raw, out);
}

int poa_ledger_get(const struct poa_ledger *l, poa_state_id s, enum poa_state_table table,
                   const void *key, size_t key_n, struct poa_slice *value)
{
    uint8_t skey[32];
    poa_state_key_from(&l->key_begun, table, key, key_n, skey);
    return poa_state_get(l, poa_state_overlay(l, s), skey, value) ? POA_OK : POA_E_NOT_FOUND;
}

int poa_ledger_read(const struct poa_ledger *l, poa_state_id s, enum poa_state_table table,
                    const void *key, size_t key_n, void *out)
{
    return poa_state_read(l, poa_state_overlay(l, s), table, key, key_n, out);
}

void poa_ledger_global(const struct poa_ledger *l, poa_state_id s, struct poa_st_global *out)
{
    int e = poa_ledger_read(l, s, POA_STATE_GLOBAL, NULL, 0, out);
    POA_ASSERT(e == POA_OK);
}

void poa_ledger_root(const struct poa_ledger *l, poa_state_id s, uint8_t out32[32])
{
    memcpy(out32, state_root(l, poa_state_overlay(l, s))->hash, 32);
}

const uint8_t *poa_ledger_chain(const struct poa_ledger *l)
{
    return l->chain;
}

const struct poa_genesis *poa_ledger_genesis(const struct poa_ledger *l)
{
    return &l->genesis;
}

/* --- writing ------------------------------------------------------------------------- */

static struct ov_entry *make_entry(struct poa_ledger *l, struct overlay *o, const uint8_t key[32],
                                   enum poa_state_table table, const void *raw, size_t raw_n)
{
    struct ov_entry *e = poa_overlay_bytes(l, o, sizeof *e + raw_n);
    struct poa_slice ignored;
    if (!e)
        return NULL;
    *e = (struct ov_entry){.table = (uint8_t)table, .raw_n = (uint8_t)raw_n, .state = OV_INHERIT};
    memcpy(e->key, key, 32);
    if (raw_n)
        memcpy(e->raw, raw, raw_n);
    e->existed = poa_state_get(l, o->parent, key, &ignored);
    struct ov_entry **bucket = bucket_of(o, key);
    e->next = *bucket;
    *bucket = e;
    e->prev_made = o->last_made;
    o->last_made = e;
    o->entries++;
    return e;
}

int poa_overlay_put(struct poa_ledger *l, struct overlay *o, const uint8_t key[32],
                    enum poa_state_table table, const void *raw, size_t raw_n,
                    struct poa_slice value)
{
    struct ov_entry *e = find_own(o, key);
    if (!e)
        e = make_entry(l, o, key, table, raw, raw_n);
    if (!e)
        return POA_E_FULL;
    if (l->stamp && e->stamp != l->stamp) {
        POA_ASSERT(l->journal_n < JOURNAL_MAX);
        l->journal[l->journal_n++] =
            (struct journal_row){e, e->value, e->stamp, e->value_n, e->value_cap, e->state};
        e->stamp = l->stamp;
        e->value_cap = 0; /* the old bytes belong to the journal now */
    }
    if (value.n > e->value_cap) {
        /* Values that grow (seats of a slot) get twice what they need. */
        size_t cap = e->value_cap ? 2 * value.n : (value.n + 7) & ~(size_t)7;
        e->value = poa_overlay_bytes(l, o, cap);
        if (!e->value)
            return POA_E_FULL;
        e->value_cap = (uint16_t)cap;
    }
    if (value.n)
        memcpy(e->value, value.p, value.n);
    e->value_n = (uint16_t)value.n;
    e->state = value.n ? OV_PRESENT : OV_DELETED;
    return POA_OK;
}

void poa_overlay_begin(struct poa_ledger *l)
{
    l->journal_n = 0;
    l->stamp = ++l->last_stamp ? l->last_stamp : ++l->last_stamp; /* never 0 */
}

void poa_overlay_commit(struct poa_ledger *l)
{
    l->stamp = 0;
}

void poa_overlay_rollback(struct poa_ledger *l)
{
    while (l->journal_n) {
        const struct journal_row *j = &l->journal[--l->journal_n];
        j->e->value = j->value;
        j->e->value_n = j->value_n;
        j->e->value_cap = j->value_cap;
        j->e->state = j->state;
        j->e->stamp = j->stamp;
    }
    l->stamp = 0;
}

/* --- the root ------------------------------------------------------------------------- */

int poa_overlay_seal(struct poa_ledger *l, struct overlay *o)
{
    uint32_t n = 0;
    uint64_t granules = 0, created = 0;
    if (o->entries > l->change_cap)
        return POA_E_FULL;
    for (const struct ov_entry *e = o->last_made; e; e = e->prev_made) {
        if (e->state == OV_INHERIT || (e->state == OV_DELETED && !e->existed))
            continue;
        struct change *c = &l->change[n++];
        *c = (struct change){.prefix = poa_be64(e->key),
                             .key = e->key,
                             .value = e->value,
                             .value_n = e->state == OV_PRESENT ? e->value_n : 0,
                             .diverge = 256};
        if (!c->value_n)
            continue;
        granules += entry_granules(e->raw_n, e->value_n);
        created += !e->existed;
        if (!e->existed) {
            uint32_t leaf = poa_tree_find(&l->tree, o->root.node, e->key);
            if (leaf != NIL) {
                const struct leaf *near = pool_at(&l->tree.leaf, leaf & ~LEAF_BIT);
                c->diverge = (uint16_t)poa_key_diff(near->key, e->key);
            }
        }
    }
    if (!poa_base_has_room(&l->base, l->pending_count + created, l->pending_granules + granules))
        return POA_E_FULL;
    poa_changes_sort(l->change, l->change_scratch, n);
    int e = poa_tree_update(l, o, l->change, n);
    if (e)
        return e;
    o->new_count = created;
    o->granules = granules;
    l->pending_count += created;
    l->pending_granules += granules;
    return POA_OK;
}

/* Entries whose places in the base are asked for ahead of their turn: first the
 * slot, then what it points to. */
#define SLOTS_AHEAD   32u
#define ENTRIES_AHEAD 16u

static void apply_entries(struct poa_ledger *l, const struct overlay *o)
{
    const struct ov_entry *slot = o->last_made, *entry = slot;
    uint32_t slots = 0, entries = 0;
    for (const struct ov_entry *e = o->last_made; e; e = e->prev_made) {
        for (; slot && slots < SLOTS_AHEAD; slot = slot->prev_made, slots++)
            poa_base_fetch_slot(&l->base, slot->key);
        for (; entry && entries < ENTRIES_AHEAD; entry = entry->prev_made, entries++)
            poa_base_fetch_entry(&l->base, entry->key);
        if (e->state != OV_INHERIT)
            poa_base_put(&l->base, e->key, e->table, poa_slice(e->raw, e->raw_n),
                         poa_slice(e->value, e->state == OV_PRESENT ? e->value_n : 0));
        slots--;
        entries--;
    }
}

int poa_ledger_apply(struct poa_ledger *l, poa_state_id s)
{
    struct overlay *o = poa_state_overlay(l, s);
    if (!o || o->parent)
        return POA_E_INVALID;
    poa_ledger_write_begin(l);
    apply_entries(l, o);
    for (const struct id_block *b = o->replaced; b; b = b->next)
        poa_tree_free_nodes(&l->tree, b);
    l->base_root = o->root;
    poa_ledger_write_end(l);
    for (uint32_t i = 0; i < l->row_top; i++) {
        struct overlay *other = &l->overlay[i];
        if (other->used && other->parent == o)
            other->parent = NULL;
        other->depth--;
    }
    give_chunks(l, o);
    return POA_OK;
}

void poa_ledger_drop(struct poa_ledger *l, poa_state_id s)
{
    struct overlay *o = poa_state_overlay(l, s);
    POA_ASSERT(o);
    for (uint32_t i = 0; i < l->row_top; i++) /* descendants first */
        POA_ASSERT(!l->overlay[i].used || l->overlay[i].parent != o);
    poa_overlay_close(l, o);
}
