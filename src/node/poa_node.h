/* node: a running node, and what poad's main needs of it. Configuration is in
 * poa_config.h, genesis files in poa_genesis_json.h. */
#ifndef POA_NODE_H
#define POA_NODE_H

#include "poa_config.h"

struct poa_node;

/* Opens keys, genesis and store, restores the state, starts every thread, and
 * listens. STARTED_US: monotonic time at which the process began.
 * Errors: WHY has the one line that poad prints. */
POA_MUST_USE int poa_node_start(const struct poa_config *config, uint64_t started_us,
                                struct poa_node **out, struct poa_why *why);
/* Waits until the node halts by itself (POA_E_STORE, or what the core said; WHY)
 * or poa_node_wake was called (POA_OK). */
int poa_node_wait(struct poa_node *n, struct poa_why *why);
/* Reads again what may change while it runs: certificate, key and tokens of the RPC. Says in
 * the log what became of it. Any thread. */
void poa_node_reload(struct poa_node *n);
/* Ends poa_node_wait; async-signal-unsafe, any thread. */
void poa_node_wake(struct poa_node *n);
/* Checkpoint, then everything stops and is freed. */
void poa_node_stop(struct poa_node *n);
/* What it listens on, one `name address` per line, for people and scripts. */
void poa_node_addresses(const struct poa_node *n, char *out, size_t out_n);

#endif
