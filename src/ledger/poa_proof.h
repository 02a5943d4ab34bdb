/* ledger, state proofs: what a node answers so that nobody has to believe it.
 * Freestanding C99 (light.c, proof.c): devices link it.
 *
 *   committee ──certificate──> run of headers, the first one of block h + 1
 *                              └──state root after h──> entry
 */
#ifndef POA_PROOF_H
#define POA_PROOF_H

#include "poa_ledger.h"

#define POA_STATE_PROOF_TABLE(F)                                                                   \
    F(U8, table, 0, _, "number of the state table")                                                \
    F(BLOB, key, 255, _, "key in that table")                                                      \
    F(BLOB, value, 8192, _, "encoded entry; empty: there is none")                                 \
    F(BLOB, proof, 12288, _, "path from the entry to the first header's state root")               \
    F(BLOB, run, 312000, _, "encoded run: its certificate makes the first header final")
POA_RECORD_DECLARE(state_proof, POA_STATE_PROOF_TABLE)

/* The entry of P is what the state holds after the parent of the block in OUT,
 * or is proven absent. C has been moved to the epoch of that block (by genesis and
 * hand-overs) and not beyond it; it moves to the end of the run.
 * Errors: those of the decoders and of poa_chain_run, PROOF; C is then of no
 * further use. */
POA_MUST_USE int poa_state_proof_check(struct poa_chain_check *c, const struct poa_state_proof *p,
                                       struct poa_header *out);

#endif
