/* Shared by methods.c and proofs.c. */
#ifndef RPC_PROOFS_H
#define RPC_PROOFS_H

#include "poa_rpc_json.h"

void poa_rpc_proof_get(void *ctx, json_t *const *param, struct poa_rpc_call *call);
/* Reads with `"proof": true`: whether WANTED is that, and the call is then answered with the
 * fields of the entry as they are proven, and `proof`, what poa_proof_get answers. */
bool poa_rpc_proven(void *ctx, const json_t *wanted, enum poa_state_table table, const void *key,
                    size_t n, struct poa_rpc_call *call);

#endif
