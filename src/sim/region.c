/* Memory of cores: address space that a node keeps, from which its cores take
 * and never give back; when a core is gone its pages go back to the kernel. A
 * seed makes a dozen cores of 70 MB each and touches little of it: zeroing
 * what nobody reads was a third of a run. */
#include "world.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void *region_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return calloc(1, bytes);
}

void region_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

void region_reset(struct region *r)
{
    (void)r;
}

void region_drop(struct region *r)
{
    (void)r;
}

#else

#include <sys/mman.h>

#define REGION_BYTES ((size_t)1 << 28)
#define SPARE        POA_SIM_NODES_MAX

static _Thread_local uint8_t *spare[SPARE];
static _Thread_local size_t spares;

static bool region_map(struct region *r)
{
    if (spares) {
        r->base = spare[--spares];
        return true;
    }
    void *p = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    /* A page that holds one counter should not cost 2 MB. */
    (void)madvise(p, REGION_BYTES, MADV_NOHUGEPAGE);
    r->base = p;
    return true;
}

void *region_alloc(void *ctx, size_t bytes)
{
    struct region *r = ctx;
    size_t n = (bytes + 63) & ~(size_t)63;
    if (!r->base && !region_map(r))
        return NULL;
    if (n > REGION_BYTES - r->used)
        return NULL;
    void *p = r->base + r->used;
    r->used += n;
    return p;
}

void region_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

void region_reset(struct region *r)
{
    if (r->used)
        POA_ASSERT(madvise(r->base, r->used, MADV_DONTNEED) == 0);
    r->used = 0;
}

void region_drop(struct region *r)
{
    if (!r->base)
        return;
    region_reset(r);
    if (spares < SPARE)
        spare[spares++] = r->base;
    else
        munmap(r->base, REGION_BYTES);
    r->base = NULL;
}

#endif
