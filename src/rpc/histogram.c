/* Latency histograms. */
#include "poa_rpc.h"

#define STEPS ((uint64_t)1 << POA_HISTOGRAM_BITS)

static size_t index_of(uint64_t us)
{
    if (us < STEPS)
        return (size_t)us;
    unsigned shift = 63u - (unsigned)__builtin_clzll(us) - POA_HISTOGRAM_BITS;
    return (size_t)(((uint64_t)(shift + 1) << POA_HISTOGRAM_BITS) + ((us >> shift) & (STEPS - 1)));
}

uint64_t poa_histogram_bound(size_t i)
{
    if (i < STEPS)
        return i;
    unsigned shift = (unsigned)(i >> POA_HISTOGRAM_BITS) - 1;
    return (((STEPS | (i & (STEPS - 1))) + 1) << shift) - 1;
}

void poa_histogram_add(struct poa_histogram *h, uint64_t us)
{
    if (us >= (uint64_t)1 << 40)
        us = ((uint64_t)1 << 40) - 1;
    h->count++;
    h->sum_us += us;
    if (us > h->max_us)
        h->max_us = us;
    h->bucket[index_of(us)]++;
}

void poa_histogram_merge(struct poa_histogram *into, const struct poa_histogram *from)
{
    into->count += from->count;
    into->sum_us += from->sum_us;
    if (from->max_us > into->max_us)
        into->max_us = from->max_us;
    for (size_t i = 0; i < POA_HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

uint64_t poa_histogram_quantile(const struct poa_histogram *h, double q)
{
    if (h->count == 0)
        return 0;
    double want = q * (double)h->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < POA_HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > 0 && (double)seen >= want) {
            uint64_t bound = poa_histogram_bound(i);
            return bound < h->max_us ? bound : h->max_us;
        }
    }
    return h->max_us;
}
