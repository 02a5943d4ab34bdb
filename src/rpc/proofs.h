/* Shared by methods.c and proofs.c. */
#ifndef RPC_PROOFS_H
#define RPC_PROOFS_H

#include "poa_rpc_json.h"

void poa_rpc_proof_get(void *ctx, json_t *const *param, struct poa_rpc_call *call);

#endif
