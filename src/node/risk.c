/* The witness bound of this network: refused at the start, warned about later. */
#include "poa_risk.h"

#include "node.h"

int node_risk_check(struct poa_node *n, struct poa_why *why)
{
    struct poa_risk r;
    struct poa_why missed;
    if (poa_risk_check(&n->genesis, &r, &missed))
        return poa_because(why, POA_E_CONFIG, "%s: %.260s", n->config.genesis, missed.text);
    if (n->genesis.devnet)
        POA_LOG_INFO(NODE,
                     "a devnet: any committee may serve; this one of %u, quorum %u, forks with "
                     "probability %.2g at p = %g",
                     r.n, r.q, r.bounds.fork.value, r.p);
    else
        POA_LOG_INFO(NODE,
                     "committee of %u, quorum %u: fork %.2g, stall %.2g at p = %g and %g offline, "
                     "within the targets of %g and %g",
                     r.n, r.q, r.bounds.fork.value, r.bounds.stall.value, r.p, r.offline, r.target,
                     r.stall_target);
    return POA_OK;
}

void node_risk_epoch(struct poa_node *n)
{
    struct poa_risk r;
    struct poa_genesis params;
    struct poa_st_epoch e = {.relaxed = 0};
    const struct poa_committee *c = poa_core_committee(n->core);
    uint8_t key[4];
    poa_put_le32(key, c->epoch);
    if (poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_EPOCH, key, sizeof key, &e))
        return;
    poa_ledger_params(n->ledger, POA_STATE_BASE, c->epoch, &params);
    poa_risk_of(&params, c, e.relaxed, e.eligible, &r);
    if (r.relaxed)
        POA_LOG_WARN(NODE,
                     "epoch %u: the draw had to raise the caps by %u; the committee has %u of a "
                     "maker, %u of a region, %u of a provider",
                     c->epoch, r.relaxed, r.maker, r.region, r.provider);
    if (r.target > 0 && !r.met)
        POA_LOG_WARN(NODE,
                     "epoch %u: a committee of %u with quorum %u forks with probability %.2g and "
                     "stalls with %.2g, the targets are %g and %g%s",
                     c->epoch, r.n, r.q, r.bounds.fork.value, r.bounds.stall.value, r.target,
                     r.stall_target, n->genesis.devnet ? " (a devnet)" : "");
}
