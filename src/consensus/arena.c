/* Buddy allocator over one region that was allocated up front: variable-size
 * things (bodies, certificates, results) live in it, so that a step never
 * allocates and memory has a bound. Pages are touched when they are used. */
#include "core.h"

#define UNIT_BITS 8u /* smallest block: 256 bytes; core_arena_size knows it */
#define NIL       UINT32_MAX
#define HEAD_FREE 0x80u
#define HEAD_USED 0x40u

struct links {
    uint32_t prev, next;
};

static struct links *links_of(struct arena *a, uint32_t unit)
{
    return (struct links *)(void *)(a->base + ((size_t)unit << UNIT_BITS));
}

static void push(struct arena *a, uint32_t unit, uint32_t k)
{
    struct links *l = links_of(a, unit);
    l->prev = NIL;
    l->next = a->free[k];
    if (l->next != NIL)
        links_of(a, l->next)->prev = unit;
    a->free[k] = unit;
    a->head[unit] = (uint8_t)(HEAD_FREE | k);
}

static void unlink_free(struct arena *a, uint32_t unit, uint32_t k)
{
    struct links *l = links_of(a, unit);
    if (l->prev != NIL)
        links_of(a, l->prev)->next = l->next;
    else
        a->free[k] = l->next;
    if (l->next != NIL)
        links_of(a, l->next)->prev = l->prev;
    a->head[unit] = 0;
}

int core_arena_init(struct arena *a, const struct poa_alloc *alloc, size_t bytes)
{
    uint32_t top = 0;
    while (((size_t)2 << (top + UNIT_BITS)) <= bytes && top + 1 < ARENA_ORDERS)
        top++;
    a->top = top;
    a->base = (uint8_t *)alloc->alloc(alloc->ctx, (size_t)1 << (top + UNIT_BITS));
    a->head = (uint8_t *)alloc->alloc(alloc->ctx, (size_t)1 << top);
    if (!a->base || !a->head)
        return POA_E_NO_MEMORY;
    for (uint32_t k = 0; k < ARENA_ORDERS; k++)
        a->free[k] = NIL;
    push(a, 0, top);
    return POA_OK;
}

void core_arena_free_all(struct arena *a, const struct poa_alloc *alloc)
{
    if (a->base)
        alloc->free(alloc->ctx, a->base);
    if (a->head)
        alloc->free(alloc->ctx, a->head);
    a->base = NULL;
    a->head = NULL;
}

uint8_t *core_arena_take(struct arena *a, size_t n)
{
    uint32_t k = 0;
    while (((size_t)1 << (k + UNIT_BITS)) < n)
        if (++k > a->top)
            return NULL;
    uint32_t j = k;
    while (j <= a->top && a->free[j] == NIL)
        j++;
    if (j > a->top)
        return NULL;
    uint32_t unit = a->free[j];
    unlink_free(a, unit, j);
    while (j > k) {
        j--;
        push(a, unit + (1u << j), j);
    }
    a->head[unit] = (uint8_t)(HEAD_USED | k);
    a->used += (size_t)1 << (k + UNIT_BITS);
    return a->base + ((size_t)unit << UNIT_BITS);
}

void core_arena_give(struct arena *a, void *p)
{
    if (!p)
        return;
    uint32_t unit = (uint32_t)((size_t)((uint8_t *)p - a->base) >> UNIT_BITS);
    POA_ASSERT((a->head[unit] & HEAD_USED) != 0);
    uint32_t k = a->head[unit] & 0x3fu;
    a->used -= (size_t)1 << (k + UNIT_BITS);
    a->head[unit] = 0;
    while (k < a->top) {
        uint32_t buddy = unit ^ (1u << k);
        if (a->head[buddy] != (HEAD_FREE | k))
            break;
        unlink_free(a, buddy, k);
        unit &= ~(1u << k);
        k++;
    }
    push(a, unit, k);
}
