/* What grades add to answers. */
#ifndef RPC_GRADES_H
#define RPC_GRADES_H

#include "poa_rpc_json.h"

/* Adds grade, grade2 (what is counted and missing) and hold to V, the answer about
 * transaction ID32 of the final block HEIGHT. Nothing when the block is pruned. */
POA_MUST_USE int poa_rpc_add_grade(const struct poa_rpc_node *node, const uint8_t id32[32],
                                   uint64_t height, json_t *v);
/* Adds held, and without_hold: what may still be sent at once in this span. */
POA_MUST_USE int poa_rpc_add_outgoing(const struct poa_rpc_node *node, const uint8_t address32[32],
                                      json_t *v);

#endif
