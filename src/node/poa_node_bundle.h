/* Bundles: consecutive finalized blocks with their batches as one record. They
 * travel in follow answers, and the core replays its own store in the same form. */
#ifndef POA_NODE_BUNDLE_H
#define POA_NODE_BUNDLE_H

#include "poa_consensus.h"
#include "poa_node_queue.h"
#include "poa_node_workers.h"
#include "poa_store.h"

/* Bytes of one follow answer that we ask for, and that we give at most. */
#define NODE_BUNDLE_BYTES  ((size_t)3 << 20)
#define NODE_BUNDLE_BLOCKS 1024

struct poa_node;

/* Blocks after AFTER from the store, up to about MAX_BYTES or to the first certified
 * one from UNTIL on (0: no matter), ending with a certified one; *BYTES is malloc'ed,
 * an encoded poa_blocks. NOT_FOUND. */
int node_bundle_read(struct poa_store *s, uint64_t after, uint64_t until, size_t max_bytes,
                     uint8_t **bytes, size_t *n, uint64_t *last);

struct node_bundle {
    struct node_event event;
    struct poa_node *node;
    uint8_t *bytes; /* owned */
    size_t bytes_n;
    struct poa_checked_batch *batch;
    uint32_t batches;
    uint64_t first, last; /* heights, without fillers; 0: it is empty */
    bool closing;         /* it ends with an epoch */
    uint32_t steps;       /* taken for it by the core */
    bool parsed;          /* follow.c: by the workers */
    struct node_check *check;
    struct node_claim *claim;                      /* what CHECK points to, or NULL */
    void (*done)(struct node_bundle *b, int code); /* after the last step; frees B */
    void *ctx;
};
/* Takes BYTES over, also on error. The transactions wait in CHECK to be parsed. */
int node_bundle_open(struct poa_node *node, uint8_t *bytes, size_t n, struct node_bundle **out);
/* After the check: verdicts go to the batches. */
void node_bundle_parsed(struct node_bundle *b);
void node_bundle_free(struct node_bundle *b);
struct poa_event node_bundle_event(const struct node_bundle *b);

#endif
