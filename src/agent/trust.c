/* Anchor of trust of a device: the committee of a genesis. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "poa_agent.h"
#include "poa_ledger.h"

static void *ledger_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return calloc(1, n);
}

static void ledger_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static int encode_trust(const struct poa_ledger *l, struct poa_writer *out)
{
    uint8_t params[POA_EDGE_PARAMS_BYTES], epoch[64], committee[POA_COMMITTEE_BYTES_MAX];
    const struct poa_genesis *g = poa_ledger_genesis(l);
    struct poa_st_epoch st;
    struct poa_committee members;
    struct poa_lottery lottery;
    int e = poa_ledger_epoch(l, POA_STATE_BASE, 0, &st, &members, &lottery);
    if (e)
        return e;
    struct poa_edge_params p = {.genesis_ms = g->time_ms,
                                .slot_ms = g->slot_ms,
                                .window_slots = g->window_slots,
                                .seats_per_slot = g->seats_per_slot,
                                .seal_slots = g->seal_slots,
                                .drift_ms = g->drift_ms,
                                .policy = g->policy,
                                .fee_min = g->fee_min,
                                .fee_per_kib = g->fee_per_kib};
    struct poa_edge_epoch info = {.epoch = 0, .eligible = st.eligible, .first_slot = st.first_slot};
    memcpy(info.seed, st.seed, 32);
    struct poa_writer params_w = poa_writer_over(params, sizeof params);
    struct poa_writer epoch_w = poa_writer_over(epoch, sizeof epoch);
    struct poa_writer committee_w = poa_writer_over(committee, sizeof committee);
    e = poa_edge_params_encode(&params_w, &p);
    if (!e)
        e = poa_edge_epoch_encode(&epoch_w, &info);
    if (!e)
        e = poa_committee_encode(&committee_w, &members);
    struct poa_edge_trust t = {.params = poa_written(&params_w),
                               .time_ms = g->time_ms,
                               .epoch = poa_written(&epoch_w),
                               .committee = poa_written(&committee_w)};
    memcpy(t.chain, poa_ledger_chain(l), 32);
    return e ? e : poa_edge_trust_encode(out, &t);
}

int agent_trust_of_genesis(struct poa_slice genesis, struct poa_writer *out, struct poa_why *why)
{
    struct poa_ledger_config c = {.suite = &poa_suite_ed25519,
                                  .alloc = {ledger_alloc, ledger_free, NULL},
                                  .genesis = genesis};
    struct poa_ledger *l = NULL;
    int e = poa_ledger_new(&c, &l);
    if (!e)
        e = encode_trust(l, out);
    poa_ledger_free(l);
    malloc_trim(0); /* a whole state was in memory */
    return e ? poa_because(why, e, "genesis: %s", poa_error_text(e)) : POA_OK;
}
