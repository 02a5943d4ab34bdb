/* Replay: the blocks of a store through the core again.
 *
 *   reader thread ── bundles ──> workers (decode, and signatures if asked)
 *                                   └──> in order to STEP, on the caller's thread
 *
 * So reading, decoding and hashing go on while the core executes. */
#ifndef POA_NODE_REPLAY_H
#define POA_NODE_REPLAY_H

#include "poa_node_bundle.h"

struct node_replay_config {
    struct poa_store *store;
    struct node_workers *workers;
    bool verify; /* signatures of transactions too, not only the certificates that cover them */
    void *ctx;
    /* Before a bundle's check, on the reader's thread: may add claims. NULL: none. */
    void (*opened)(void *ctx, struct node_bundle *b);
    /* A step of the core. POA_E_AGAIN: the same event again. */
    int (*step)(void *ctx, const struct poa_event *e);
};

/* Blocks after *HEIGHT up to LAST; *HEIGHT is what was reached. A block at the
 * end without certificate is left alone: POA_OK.
 * Errors: those of the store, of node_bundle_open and of STEP. */
POA_MUST_USE int node_replay(const struct node_replay_config *c, uint64_t *height, uint64_t last);

#endif
