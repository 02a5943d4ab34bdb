/* Memory of the ledger: everything is taken here, from the driver's allocator,
 * and only between steps. */
#include "ledger.h"

void *poa_mem_new(const struct poa_alloc *a, size_t bytes)
{
    return a->alloc(a->ctx, bytes);
}

void poa_mem_free(const struct poa_alloc *a, void *p)
{
    if (p)
        a->free(a->ctx, p);
}

/* Grows an array of pointers; readers may be at the old one until the write
 * section begins, so it is replaced inside of one. */
static int grow_list(struct poa_ledger *l, uint8_t ***list, uint32_t *cap, uint32_t want)
{
    if (want <= *cap)
        return POA_OK;
    uint32_t more = *cap ? *cap : 16;
    while (more < want)
        more *= 2;
    uint8_t **fresh = poa_mem_new(&l->config.alloc, more * sizeof *fresh), **old = *list;
    if (!fresh)
        return POA_E_NO_MEMORY;
    if (*cap)
        memcpy(fresh, old, *cap * sizeof *fresh);
    poa_ledger_write_begin(l);
    *list = fresh;
    *cap = more;
    poa_ledger_write_end(l);
    poa_mem_free(&l->config.alloc, old);
    return POA_OK;
}

static int add_piece(struct poa_ledger *l, uint8_t ***list, uint32_t *n, uint32_t *cap,
                     size_t bytes)
{
    int e = grow_list(l, list, cap, *n + 1);
    if (e)
        return e;
    uint8_t *piece = poa_mem_new(&l->config.alloc, bytes);
    if (!piece)
        return POA_E_NO_MEMORY;
    (*list)[(*n)++] = piece;
    return POA_OK;
}

/* --- node pools -------------------------------------------------------------- */

int poa_pool_reserve(struct poa_ledger *l, struct pool *p, uint64_t room)
{
    while (pool_room(p) < room) {
        if (p->chunks == LEAF_BIT / POOL_CHUNK_ITEMS - 1)
            return POA_E_NO_MEMORY; /* of indices */
        int e = add_piece(l, &p->chunk, &p->chunks, &p->chunk_cap,
                          (p->item + sizeof(uint32_t)) * POOL_CHUNK_ITEMS);
        if (e)
            return e;
    }
    return POA_OK;
}

static uint32_t *free_at(const struct pool *p, uint32_t i)
{
    return (uint32_t *)(void *)(p->chunk[i / POOL_CHUNK_ITEMS] +
                                (size_t)POOL_CHUNK_ITEMS * p->item) +
           i % POOL_CHUNK_ITEMS;
}

/* Items ahead of their use: writing to memory that is in no cache holds up
 * everything that is written after it. */
#define POOL_AHEAD 8u

static void fetch_item(const struct pool *p, uint32_t i)
{
    const uint8_t *item = pool_at(p, i);
    for (uint32_t at = 0; at < p->item; at += 64)
        __builtin_prefetch(item + at, 1);
    __builtin_prefetch(item + p->item - 1, 1);
}

/* The last ones that were given back first: they are in a cache more likely. */
static void fill_hand(struct pool *p, struct pool_hand *h)
{
    uint32_t have = __atomic_load_n(&p->free_count, __ATOMIC_RELAXED), take = 0;
    do
        take = have < POOL_HAND ? have : POOL_HAND;
    while (take && !__atomic_compare_exchange_n(&p->free_count, &have, have - take, true,
                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    for (; h->n < take; h->n++)
        h->id[h->n] = *free_at(p, have - take + h->n);
    if (take)
        return;
    uint32_t all = p->chunks * POOL_CHUNK_ITEMS, used = __atomic_load_n(&p->used, __ATOMIC_RELAXED);
    do
        take = all - used < POOL_HAND ? all - used : POOL_HAND;
    while (take && !__atomic_compare_exchange_n(&p->used, &used, used + take, true,
                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    for (; h->n < take; h->n++)
        h->id[h->n] = used + take - 1 - h->n;
}

uint32_t poa_pool_take(struct pool *p, struct pool_hand *h)
{
    if (!h->n) {
        fill_hand(p, h);
        for (uint32_t i = 0; i < h->n && i < POOL_AHEAD; i++)
            fetch_item(p, h->id[h->n - 1 - i]);
    }
    if (!h->n)
        return NIL;
    if (h->n > POOL_AHEAD)
        fetch_item(p, h->id[h->n - 1 - POOL_AHEAD]);
    return h->id[--h->n];
}

void poa_pool_give(struct pool *p, uint32_t i)
{
    *free_at(p, p->free_count++) = i;
}

void poa_pool_give_hand(struct pool *p, struct pool_hand *h)
{
    for (uint32_t i = 0; i < h->n; i++)
        poa_pool_give(p, h->id[i]);
    h->n = 0;
}

void poa_pool_clear(struct poa_ledger *l, struct pool *p)
{
    for (uint32_t i = 0; i < p->chunks; i++)
        poa_mem_free(&l->config.alloc, p->chunk[i]);
    poa_mem_free(&l->config.alloc, p->chunk);
    *p = (struct pool){.item = p->item};
}

/* --- chunks of overlays --------------------------------------------------------- */

/* Chunks come in groups, so that the allocator is asked rarely; the first of a
 * group is given up to link the groups. */
#define GROUP_CHUNKS 17u

int poa_chunks_reserve(struct poa_ledger *l, uint64_t n)
{
    while (l->free_chunk_count < n) {
        struct chunk *group = poa_mem_new(&l->config.alloc, GROUP_CHUNKS * sizeof *group);
        if (!group)
            return POA_E_NO_MEMORY;
        group->next = l->all_chunks;
        l->all_chunks = group;
        for (uint32_t i = GROUP_CHUNKS - 1; i > 0; i--) {
            group[i].next = l->free_chunks;
            l->free_chunks = &group[i];
            l->free_chunk_count++;
        }
    }
    return POA_OK;
}

void poa_chunks_clear(struct poa_ledger *l)
{
    while (l->all_chunks) {
        struct chunk *group = l->all_chunks;
        l->all_chunks = group->next;
        poa_mem_free(&l->config.alloc, group);
    }
    l->free_chunks = NULL;
    l->free_chunk_count = 0;
}

/* While nobody gives any back, a chunk that was taken never returns: so it is
 * enough to see that the first one still is the first. */
static struct chunk *take_chunk(struct poa_ledger *l)
{
    struct chunk *c = __atomic_load_n(&l->free_chunks, __ATOMIC_ACQUIRE);
    while (c && !__atomic_compare_exchange_n(&l->free_chunks, &c,
                                             __atomic_load_n(&c->next, __ATOMIC_RELAXED), true,
                                             __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    if (c)
        __atomic_sub_fetch(&l->free_chunk_count, 1, __ATOMIC_RELAXED);
    return c;
}

void *poa_chunk_bytes(struct poa_ledger *l, struct chunk **chunks, size_t n)
{
    struct chunk *c = *chunks;
    n = (n + 7) & ~(size_t)7;
    if (n > sizeof c->data)
        return NULL;
    if (!c || sizeof c->data - c->used < n) {
        c = take_chunk(l);
        if (!c)
            return NULL;
        __atomic_store_n(&c->next, *chunks, __ATOMIC_RELAXED);
        c->used = 0;
        *chunks = c;
    }
    void *p = c->data + c->used;
    c->used += (uint32_t)n;
    return p;
}

void *poa_overlay_bytes(struct poa_ledger *l, struct overlay *o, size_t n)
{
    return poa_chunk_bytes(l, &o->chunks, n);
}

bool poa_id_push(struct poa_ledger *l, struct chunk **chunks, struct id_block **list, uint32_t id)
{
    struct id_block *b = *list;
    if (!b || b->n == sizeof b->id / sizeof b->id[0]) {
        b = poa_chunk_bytes(l, chunks, sizeof *b);
        if (!b)
            return false;
        b->next = *list;
        b->n = 0;
        *list = b;
    }
    b->id[b->n++] = id;
    return true;
}

/* --- slabs of the base ------------------------------------------------------------ */

int poa_slab_reserve(struct poa_ledger *l, uint32_t slabs)
{
    struct base *b = &l->base;
    while (b->slabs < slabs) {
        if (b->slabs == UINT32_MAX / SLAB_GRANULES)
            return POA_E_NO_MEMORY; /* of references */
        int e = add_piece(l, &b->slab, &b->slabs, &b->slab_cap, SLAB_BYTES);
        if (e)
            return e;
    }
    return POA_OK;
}

/* --- all of it ---------------------------------------------------------------------- */

/* What a block with CHANGES changed keys takes at most, for keys that nobody
 * ground: a batch of m keys among n makes about m * (log2(n / m) + 2) inner
 * nodes. Should a block need more, execute says FULL with nothing changed and
 * the next reserve asks for twice as much. */
static uint64_t inner_need(const struct poa_ledger *l, uint64_t changes)
{
    uint64_t leaves = l->tree.leaf.used, depth = 2;
    while (leaves > changes) {
        leaves /= 2;
        depth++;
    }
    return changes * depth + changes / 2 + 1024;
}

int poa_ledger_reserve(struct poa_ledger *l)
{
    uint64_t changes = l->want_changes, inner = inner_need(l, changes);
    /* Entries with their values, lists of made and replaced nodes. */
    uint64_t bytes = changes * 224 + (inner + changes) * 2 * 9;
    int e = poa_pool_reserve(l, &l->tree.inner, inner);
    if (!e)
        e = poa_pool_reserve(l, &l->tree.leaf, changes);
    uint64_t chunks = bytes / sizeof((struct chunk *)0)->data + 4;
    if (l->plan && changes >= POA_PARALLEL_LEAST)
        chunks += POA_TREE_PARTS; /* each has lists of its own */
    if (!e)
        e = poa_chunks_reserve(l, chunks);
    if (!e)
        e = poa_base_reserve(l, l->pending_count + changes, l->pending_granules + changes * 8);
    if (!e && l->change_cap < changes) {
        poa_mem_free(&l->config.alloc, l->change);
        poa_mem_free(&l->config.alloc, l->change_scratch);
        l->change_cap = 0;
        l->change = poa_mem_new(&l->config.alloc, changes * sizeof *l->change);
        l->change_scratch = poa_mem_new(&l->config.alloc, changes * sizeof *l->change);
        if (!l->change || !l->change_scratch)
            return POA_E_NO_MEMORY;
        l->change_cap = (uint32_t)changes;
    }
    return e;
}
