/* Memory for a ledger: large pieces lie in huge pages.
 *
 * A state of millions of entries is read at random, and with pages of 4 KiB the
 * processor looks up nearly every access in tables of the kernel, on virtual
 * machines in two. Small states stay in ordinary memory: a huge page is resident as
 * a whole. One thread at a time. */
#ifndef POA_NODE_PAGES_H
#define POA_NODE_PAGES_H

#include "poa_ledger.h"

struct node_region;
struct node_pages {
    size_t bytes;                /* that are out, with what the allocator adds */
    size_t plain;                /* of it, large pieces in ordinary memory */
    struct node_region *regions; /* the newest first: from it pieces are taken */
};

/* Zeroed memory, as calloc; PAGES starts as zero bytes and outlives what it gives. */
struct poa_alloc node_pages_alloc(struct node_pages *pages);

#endif
