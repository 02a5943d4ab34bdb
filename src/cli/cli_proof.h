/* Proofs of state entries, as JSON: what poa proof makes and poa verify proof checks. */
#ifndef POA_CLI_PROOF_H
#define POA_CLI_PROOF_H

#include "poa_cli.h"
#include "poa_ledger.h"

/* Adds what leads from the chain id to the committee of EPOCH: "genesis", "handovers". */
int cli_add_chain(const struct cli *c, uint64_t epoch, json_t *proof);

struct cli_proven {
    enum poa_state_table table;
    struct poa_slice key, value; /* VALUE empty: proven absent */
    const uint8_t *chain;
};
/* Checks PROOF against the chain that C's options name and hands what it proves to
 * USE; the exit code, a line is printed. */
int cli_check_proof(const struct cli *c, json_t *proof,
                    int (*use)(void *ctx, const struct cli_proven *p), void *ctx);

#endif
