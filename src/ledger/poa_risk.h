/* Risk: what the witness bound says of a network and of its drawn committees.
 *
 * A genesis record states which fraction of witnesses may be bad (risk_p_ppb),
 * which may be offline (risk_offline_ppb), and the probabilities that the network
 * promises not to exceed: of two conflicting certificates (10^-risk_target_exp),
 * and of a stall (10^-risk_stall_exp, when that is not 0). Pure; hosts only
 * (libm). Explained in docs/witness.md.
 */
#ifndef POA_RISK_H
#define POA_RISK_H

#include "poa_bounds.h"
#include "poa_file.h"
#include "poa_ledger.h"

struct poa_risk {
    uint32_t n, q;               /* the committee */
    double p, offline;           /* as genesis states */
    double target, stall_target; /* of fork and stall; 0: not stated */
    struct poa_bounds bounds;
    /* Seats of the largest group of each kind, and the bounds when the largest of
     * them all falls as a whole while the others are bad with probability P. */
    uint32_t maker, region, provider;
    struct poa_bounds group;
    /* Grade 2, when the network has it: seals of a span forged by bad devices alone,
     * and too few honest ones in time. */
    uint32_t devices; /* that may be drawn */
    double device_p, device_offline;
    struct poa_seal_bounds seals;
    uint32_t relaxed; /* by how much the draw had to raise the caps */
    bool met;         /* a target is stated, fork and stall are at or below theirs; and so are,
                         with grade 2, seals.forge and seals.delay */
};

/* Committee C, for which the draw had to raise the caps by RELAXED, and ELIGIBLE
 * devices. */
void poa_risk_of(const struct poa_genesis *g, const struct poa_committee *c, uint32_t relaxed,
                 uint32_t eligible, struct poa_risk *out);
/* The committee that the genesis record's own pool gives: its size and quorum,
 * and as groups the caps, where there are any and they bind. */
void poa_risk_planned(const struct poa_genesis *g, struct poa_risk *out);
/* Whether a network may start: a devnet always, another one when it states its
 * risk and meets its own target. Errors: POA_E_CONFIG; WHY is one line that says
 * what is missed and which committee would meet it. OUT is set in any case. */
POA_MUST_USE int poa_risk_check(const struct poa_genesis *g, struct poa_risk *out,
                                struct poa_why *why);
/* The same of parameters that are to change, with a pool of POOL active witnesses:
 * what poa_params_check calls TX_BOUND. */
POA_MUST_USE int poa_risk_change(const struct poa_genesis *g, uint32_t pool, struct poa_why *why);

#endif
