#include "poa_node_pages.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define REGION    ((size_t)32 << 20)
/* Smaller pieces are malloc's. */
#define LARGE ((size_t)128 << 10)
/* So much of large pieces is ordinary memory: states of up to about 50,000 accounts. */
#define PLAIN ((size_t)16 << 20)
#define ALIGN ((size_t)64)

/* Pieces are never used again: a ledger gives back all of them or hardly any. */
struct node_region {
    struct node_region *next;
    uint8_t *at;
    size_t size, used;
    size_t out; /* bytes of pieces that were not given back */
};

/* Before each piece of a region. */
struct head {
    size_t bytes;
    uint8_t pad[ALIGN - sizeof(size_t)];
};

/* SIZE bytes that begin with a huge page; NULL. */
static uint8_t *map(size_t size)
{
    uint8_t *p =
        mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        (void)munmap(p, before);
    if (before < HUGE_PAGE)
        (void)munmap(p + before + size, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    (void)madvise(p + before, size, MADV_HUGEPAGE); /* where there are none, it is slower */
#endif
    return p + before;
}

static struct node_region *region_new(struct node_pages *pages, size_t bytes)
{
    struct node_region *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->size = bytes > REGION ? (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : REGION;
    r->at = map(r->size);
    if (!r->at) {
        free(r);
        return NULL;
    }
    /* A piece with a region of its own leaves the first one as it is. */
    struct node_region **link =
        pages->regions && bytes > REGION / 2 ? &pages->regions->next : &pages->regions;
    r->next = *link;
    *link = r;
    return r;
}

static void *pages_take(void *ctx, size_t n)
{
    struct node_pages *pages = ctx;
    struct node_region *r = pages->regions;
    if (n < LARGE || pages->plain < PLAIN || n > SIZE_MAX / 2) {
        void *p = calloc(1, n);
        size_t usable = p ? malloc_usable_size(p) : 0;
        pages->bytes += usable;
        pages->plain += n < LARGE ? 0 : usable;
        return p;
    }
    size_t bytes = sizeof(struct head) + (n + ALIGN - 1) / ALIGN * ALIGN;
    if (!r || r->size - r->used < bytes)
        r = region_new(pages, bytes);
    if (!r)
        return NULL;
    struct head *h = (struct head *)(void *)(r->at + r->used);
    h->bytes = bytes;
    r->used += bytes;
    r->out += bytes;
    pages->bytes += bytes;
    return h + 1;
}

static void pages_give(void *ctx, void *p)
{
    struct node_pages *pages = ctx;
    struct node_region **link = &pages->regions;
    while (*link && ((uint8_t *)p < (*link)->at || (uint8_t *)p >= (*link)->at + (*link)->size))
        link = &(*link)->next;
    struct node_region *r = *link;
    if (!r) {
        size_t usable = malloc_usable_size(p);
        pages->bytes -= usable;
        pages->plain -= usable < LARGE || usable > pages->plain ? 0 : usable;
        free(p);
        return;
    }
    size_t bytes = ((struct head *)p - 1)->bytes;
    r->out -= bytes;
    pages->bytes -= bytes;
    if (r->out)
        return;
    *link = r->next;
    (void)munmap(r->at, r->size);
    free(r);
}

struct poa_alloc node_pages_alloc(struct node_pages *pages)
{
    return (struct poa_alloc){pages_take, pages_give, pages};
}
