/* Transactions accepted here that are not final yet, and how long the others
 * took from acceptance to finality. Bounded: when full, the oldest is forgotten
 * (it still becomes final, but is not counted). Thread-safe. */
#ifndef POA_NODE_TRACKER_H
#define POA_NODE_TRACKER_H

#include "poa_rpc.h"

#define NODE_TRACKED_MAX 65536

struct node_tracker;
POA_MUST_USE int node_tracker_new(struct node_tracker **out);
void node_tracker_free(struct node_tracker *t);
void node_tracker_add(struct node_tracker *t, const uint8_t id32[32], uint64_t accepted_us);
void node_tracker_drop(struct node_tracker *t, const uint8_t id32[32]);
bool node_tracker_has(struct node_tracker *t, const uint8_t id32[32]);
/* The transactions of a final block. */
void node_tracker_final(struct node_tracker *t, const struct poa_tx_result *tx, size_t n,
                        uint64_t now_us);
void node_tracker_latency(struct node_tracker *t, struct poa_histogram *out);

#endif
