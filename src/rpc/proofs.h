/* Reads with their proof. */
#ifndef RPC_PROOFS_H
#define RPC_PROOFS_H

#include "poa_rpc_json.h"

/* Reads with `"proof": true`: whether WANTED is that, and the call is then answered with the
 * fields of the entry as they are proven, and `proof`, what poa_proof_get answers. */
bool poa_rpc_proven(void *ctx, const json_t *wanted, enum poa_state_table table, const void *key,
                    size_t n, struct poa_rpc_call *call);

#endif
