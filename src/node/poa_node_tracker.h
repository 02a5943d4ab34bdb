/* Transactions accepted here that are not final yet, why some of them never will be, and
 * how long the others took from acceptance to finality. Bounded: when full, the oldest is
 * forgotten (it still becomes final, but is not counted). Thread-safe. */
#ifndef POA_NODE_TRACKER_H
#define POA_NODE_TRACKER_H

#include "poa_rpc.h"

#define NODE_TRACKED_MAX 65536

struct node_tracker;
POA_MUST_USE int node_tracker_new(struct node_tracker **out);
void node_tracker_free(struct node_tracker *t);
/* It may be accepted. One that was let go waits again, from now on. */
void node_tracker_add(struct node_tracker *t, const uint8_t id32[32], uint64_t accepted_us);
/* It was; true when nobody had said so before and it is not final yet. */
bool node_tracker_accepted(struct node_tracker *t, const uint8_t id32[32]);
/* It was not after all. What was accepted before stays: it was sent a second time. */
void node_tracker_drop(struct node_tracker *t, const uint8_t id32[32]);
/* Nobody said, and CODE is why. */
void node_tracker_unsure(struct node_tracker *t, const uint8_t id32[32], int code);
/* These are not on their way any more; others than ours may be among them. */
void node_tracker_gone(struct node_tracker *t, const struct poa_tx_gone *gone, size_t n);
/* OK: it is on its way; NOT_FOUND; or why it was let go. */
int node_tracker_get(struct node_tracker *t, const uint8_t id32[32]);
/* The transactions of a final block. */
void node_tracker_final(struct node_tracker *t, const struct poa_tx_result *tx, size_t n,
                        uint64_t now_us);
void node_tracker_latency(struct node_tracker *t, struct poa_histogram *out);

#endif
