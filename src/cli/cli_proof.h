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
/* Checks each member of PROOFS against the chain that C's options name, with the "genesis"
 * and "handovers" of SHARED, and hands what it proves to USE, with its name; the exit
 * code, a line is printed. */
int cli_check_proofs(const struct cli *c, json_t *shared, json_t *proofs,
                     int (*use)(void *ctx, const char *name, const struct cli_proven *p),
                     void *ctx);

#endif
