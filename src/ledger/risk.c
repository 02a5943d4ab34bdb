/* The witness bound of networks and committees: see poa_risk.h. */
#include "poa_risk.h"

#include <math.h>

#define PPB 1e9

/* Distinct devices over the span: each draws k times per window. */
static struct poa_seal_bounds seal_bounds(const struct poa_genesis *g, const struct poa_risk *r)
{
    struct poa_lottery lottery = {r->devices, g->seats_per_slot, g->window_slots};
    if (!r->devices)
        return (struct poa_seal_bounds){{0, -INFINITY}, {1, 0}};
    uint32_t draws = poa_lottery_draws(&lottery) * g->grade2_span / g->window_slots;
    return poa_bounds_seals_fleet((double)g->seats_per_slot * g->grade2_span, r->devices,
                                  draws ? draws : 1, g->grade2_seals, r->device_p,
                                  r->device_offline);
}

static void fill(const struct poa_genesis *g, struct poa_risk *r)
{
    uint32_t largest = r->maker > r->region ? r->maker : r->region;
    if (r->provider > largest)
        largest = r->provider;
    r->p = (double)g->risk_p_ppb / PPB;
    r->offline = (double)g->risk_offline_ppb / PPB;
    r->target = g->risk_target_exp ? pow(10, -(double)g->risk_target_exp) : 0;
    r->stall_target = g->risk_stall_exp ? pow(10, -(double)g->risk_stall_exp) : r->target;
    r->bounds = poa_bounds_binomial(r->n, r->q, r->p, r->offline);
    r->group = poa_bounds_correlated(r->n, r->q, r->p, r->offline, largest);
    r->met = g->risk_target_exp &&
             poa_bounds_met(r->n, r->q, g->risk_p_ppb, g->risk_offline_ppb, g->risk_target_exp,
                            g->risk_stall_exp ? g->risk_stall_exp : g->risk_target_exp);
    r->device_p = (double)g->risk_device_p_ppb / PPB;
    r->device_offline = (double)g->risk_device_offline_ppb / PPB;
    if (g->grade2_seals) {
        r->seals = seal_bounds(g, r);
        r->met =
            r->met && r->seals.forge.value <= r->target && r->seals.delay.value <= r->stall_target;
    }
}

enum { MAKER, REGION, PROVIDER, KINDS };

static uint32_t group_of(const struct poa_member *m, int kind)
{
    return kind == MAKER ? m->maker : kind == REGION ? m->region : m->provider;
}

void poa_risk_of(const struct poa_genesis *g, const struct poa_committee *c, uint32_t relaxed,
                 uint32_t eligible, struct poa_risk *out)
{
    uint32_t most[KINDS] = {0};
    struct poa_list_iter outer = poa_list_begin(&c->members);
    struct poa_member a, b;
    while (poa_member_next(&outer, &a)) {
        uint32_t same[KINDS] = {0};
        struct poa_list_iter inner = poa_list_begin(&c->members);
        while (poa_member_next(&inner, &b))
            for (int kind = 0; kind < KINDS; kind++)
                same[kind] += group_of(&a, kind) == group_of(&b, kind);
        for (int kind = 0; kind < KINDS; kind++)
            most[kind] = same[kind] > most[kind] ? same[kind] : most[kind];
    }
    *out = (struct poa_risk){.n = c->members.count,
                             .q = c->quorum,
                             .maker = most[MAKER],
                             .region = most[REGION],
                             .provider = most[PROVIDER],
                             .devices = eligible,
                             .relaxed = relaxed};
    fill(g, out);
}

/* Witnesses of the largest group of KIND in the pool of genesis. */
static uint32_t largest_group(const struct poa_genesis *g, int kind)
{
    uint32_t most = 0;
    struct poa_list_iter outer = poa_list_begin(&g->witnesses);
    struct poa_op_witness a, b;
    while (poa_op_witness_next(&outer, &a)) {
        uint32_t same = 0;
        struct poa_member x = {.maker = a.maker, .region = a.region, .provider = a.provider};
        struct poa_list_iter inner = poa_list_begin(&g->witnesses);
        while (poa_op_witness_next(&inner, &b)) {
            struct poa_member y = {.maker = b.maker, .region = b.region, .provider = b.provider};
            same += group_of(&x, kind) == group_of(&y, kind);
        }
        most = same > most ? same : most;
    }
    return most;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void poa_risk_planned(const struct poa_genesis *g, struct poa_risk *out)
{
    const uint32_t cap[KINDS] = {g->cap_maker, g->cap_region, g->cap_provider};
    uint32_t most[KINDS], size = g->committee_size ? g->committee_size : POA_COMMITTEE_MAX;
    uint32_t n = least(size, g->witnesses.count);
    for (int kind = 0; kind < KINDS; kind++) {
        most[kind] = least(largest_group(g, kind), n);
        if (cap[kind] && g->witnesses.count > n)
            most[kind] = least(most[kind], cap[kind]);
    }
    *out = (struct poa_risk){
        .n = n,
        .q = least(n, n - poa_committee_faults(n) + g->quorum_extra),
        .maker = most[MAKER],
        .region = most[REGION],
        .provider = most[PROVIDER],
        .devices = g->devices.count,
    };
    fill(g, out);
}

static int missed(const struct poa_risk *r, struct poa_why *why)
{
    uint32_t n, q;
    bool fork = r->bounds.fork.value > r->target;
    struct poa_why remedy;
    if (!poa_bounds_plan_quorum(r->p, r->offline, r->target, r->stall_target, r->n, &q))
        poa_because(&remedy, 0, "the same %u with quorum %u would meet it", r->n, q);
    else if (!poa_bounds_plan(r->p, r->offline, r->target, r->stall_target, POA_COMMITTEE_MAX, &n,
                              &q))
        poa_because(&remedy, 0, "%u members with quorum %u would meet it", n, q);
    else
        poa_because(&remedy, 0, "no committee of up to %d would meet it", POA_COMMITTEE_MAX);
    return poa_because(why, POA_E_CONFIG,
                       "a committee of %u with quorum %u %s with probability %.2g at p = %g and "
                       "%g offline, above the network's own target of %g: %s",
                       r->n, r->q, fork ? "forks" : "stalls",
                       fork ? r->bounds.fork.value : r->bounds.stall.value, r->p, r->offline,
                       fork ? r->target : r->stall_target, remedy.text);
}

static int missed_seals(const struct poa_genesis *g, const struct poa_risk *r, struct poa_why *why)
{
    bool forge = r->seals.forge.value > r->target;
    return poa_because(why, POA_E_CONFIG,
                       "grade 2 asks for %u seals in %u slots: with %u devices, each bad with p = "
                       "%g and %g offline, they are %s with probability %.2g, above the network's "
                       "own target of %g: ask for %s seals, or a longer span",
                       g->grade2_seals, g->grade2_span, r->devices, r->device_p, r->device_offline,
                       forge ? "forged by bad devices" : "not there in time",
                       forge ? r->seals.forge.value : r->seals.delay.value,
                       forge ? r->target : r->stall_target, forge ? "more" : "fewer");
}

int poa_risk_change(const struct poa_genesis *g, uint32_t pool, struct poa_why *why)
{
    uint32_t n = least(g->committee_size ? g->committee_size : POA_COMMITTEE_MAX, pool);
    struct poa_risk r = {.n = n, .q = least(n, n - poa_committee_faults(n) + g->quorum_extra)};
    fill(g, &r);
    if (g->devnet ||
        poa_bounds_met(r.n, r.q, g->risk_p_ppb, g->risk_offline_ppb, g->risk_target_exp,
                       g->risk_stall_exp ? g->risk_stall_exp : g->risk_target_exp))
        return POA_OK;
    return missed(&r, why);
}

int poa_risk_check(const struct poa_genesis *g, struct poa_risk *out, struct poa_why *why)
{
    poa_risk_planned(g, out);
    if (g->devnet)
        return POA_OK;
    if (!g->risk_target_exp || !g->risk_p_ppb)
        return poa_because(why, POA_E_CONFIG,
                           "the network does not say what it withstands: set risk_p_ppb, "
                           "risk_offline_ppb and risk_target_exp, or devnet");
    if (out->met)
        return POA_OK;
    bool committee =
        out->bounds.fork.value <= out->target && out->bounds.stall.value <= out->stall_target;
    return committee ? missed_seals(g, out, why) : missed(out, why);
}
