/* Usage packs that gateways keep: what `poa data get` writes and `poa data verify` checks. */
#ifndef POA_CLI_PACKS_H
#define POA_CLI_PACKS_H

#include "poa_cli.h"

/* Everything that the node keeps of DEVICE, with its proofs: {"device", "packs": [{"pack",
 * "receipt"}], "anchors": {ROOT: proof}, "genesis", "handovers"}; WAITING: packs without a
 * receipt yet. The exit code. */
int cli_packs_fetch(const struct cli *c, const char *device, json_t **out, uint64_t *waiting);

#endif
