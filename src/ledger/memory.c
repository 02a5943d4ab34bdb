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
        int e =
            add_piece(l, &p->chunk, &p->chunks, &p->chunk_cap, (size_t)p->item * POOL_CHUNK_ITEMS);
        if (e)
            return e;
    }
    return POA_OK;
}

/* Moves the head of the free list into READY. */
static void make_ready(struct pool *p)
{
    uint32_t i = p->free_head;
    uint8_t *item = pool_at(p, i);
    memcpy(&p->free_head, item, sizeof p->free_head);
    for (uint32_t at = 0; at < p->item; at += 64)
        __builtin_prefetch(item + at, 1);
    __builtin_prefetch(item + p->item - 1, 1);
    p->ready[(p->ready_at + p->ready_n++) % POOL_READY] = i;
    if (p->free_count > p->ready_n)
        __builtin_prefetch(pool_at(p, p->free_head)); /* its link is read next time */
}

uint32_t poa_pool_take(struct pool *p)
{
    if (!p->free_count)
        return p->used < p->chunks * POOL_CHUNK_ITEMS ? p->used++ : NIL;
    while (p->ready_n < POOL_READY && p->ready_n < p->free_count)
        make_ready(p);
    uint32_t i = p->ready[p->ready_at];
    p->ready_at = (p->ready_at + 1) % POOL_READY;
    p->ready_n--;
    p->free_count--;
    return i;
}

void poa_pool_give(struct pool *p, uint32_t i)
{
    memcpy(pool_at(p, i), &p->free_head, sizeof p->free_head);
    p->free_head = i;
    p->free_count++;
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

void *poa_overlay_bytes(struct poa_ledger *l, struct overlay *o, size_t n)
{
    struct chunk *c = o->chunks;
    n = (n + 7) & ~(size_t)7;
    if (n > sizeof c->data)
        return NULL;
    if (!c || sizeof c->data - c->used < n) {
        c = l->free_chunks;
        if (!c)
            return NULL;
        l->free_chunks = c->next;
        l->free_chunk_count--;
        c->next = o->chunks;
        c->used = 0;
        o->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += (uint32_t)n;
    return p;
}

bool poa_id_push(struct poa_ledger *l, struct overlay *o, struct id_block **list, uint32_t id)
{
    struct id_block *b = *list;
    if (!b || b->n == sizeof b->id / sizeof b->id[0]) {
        b = poa_overlay_bytes(l, o, sizeof *b);
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
    if (!e)
        e = poa_chunks_reserve(l, bytes / sizeof((struct chunk *)0)->data + 4);
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
