/* Which slots are ours: the device computes it, nobody tells it. */
#include <string.h>

#include "device_internal.h"
#include "poa_vrf.h"

static struct poa_lottery lottery_of(const struct poa_device *d, const struct poa_edge_epoch *e)
{
    struct poa_lottery l = {e->eligible, d->params.seats_per_slot, d->params.window_slots};
    return l;
}

static int cached(const struct poa_device *d, uint32_t epoch, uint32_t window)
{
    for (int i = 0; i < 2; i++)
        if (d->draw[i].valid && d->draw[i].epoch == epoch && d->draw[i].window == window)
            return i;
    return -1;
}

int poa_device_draw(struct poa_device *d, const struct poa_edge_epoch *e, uint32_t window)
{
    const struct poa_device_config *c = &d->config;
    uint8_t alpha[32];
    int slot = 0;
    int have = cached(d, e->epoch, window);
    if (have >= 0)
        return have;
    /* The one that is further in the past makes room: the current window's draw
     * stays while the next one's is made. */
    if (!d->draw[1].valid || (d->draw[0].valid && (d->draw[1].epoch < d->draw[0].epoch ||
                                                   (d->draw[1].epoch == d->draw[0].epoch &&
                                                    d->draw[1].window < d->draw[0].window))))
        slot = 1;
    d->draw[slot].valid = false;
    poa_ticket_alpha(d->chain, e->seed, e->epoch, window, alpha);
    d->counts[POA_DEVICE_COUNT_VRF]++;
    if (c->suite->vrf_prove(c->seed32, c->key32, alpha, sizeof alpha, d->draw[slot].proof))
        return POA_E_PROOF;
    /* With the real suite the output follows from the proof without a check. */
    int rc = POA_LEAN || c->suite->vrf_prove == poa_suite_ed25519.vrf_prove
                 ? poa_vrf_proof_to_hash(POA_VRF_TAI, d->draw[slot].proof, d->draw[slot].beta)
                 : c->suite->vrf_verify(c->key32, alpha, sizeof alpha, d->draw[slot].proof,
                                        d->draw[slot].beta);
    if (rc)
        return POA_E_PROOF;
    d->draw[slot].epoch = e->epoch;
    d->draw[slot].window = window;
    d->draw[slot].valid = true;
    return slot;
}

uint32_t poa_device_draw_seats(const struct poa_device *d, const struct poa_edge_epoch *e, int i)
{
    struct poa_lottery l = lottery_of(d, e);
    struct poa_seat s;
    uint32_t n = 0, k = l.eligible ? poa_lottery_draws(&l) : 0;
    for (uint32_t j = 0; j < k; j++)
        n += poa_ticket_seat(&l, d->draw[i].beta, j, &s);
    return n;
}

static bool drawn_by_ticket(const struct poa_device *d, const struct poa_edge_epoch *e,
                            uint32_t window, uint32_t rest)
{
    struct poa_lottery l = lottery_of(d, e);
    struct poa_seat s;
    int i = cached(d, e->epoch, window);
    if (i < 0)
        return false;
    /* Draw j sits in the j-th part of the window. */
    uint32_t j = rest / (l.window_slots / poa_lottery_draws(&l));
    return poa_ticket_seat(&l, d->draw[i].beta, j, &s) && s.slot == rest;
}

/* As the ledger draws: until seats_per_slot different devices sit. It passes
 * over suspended devices, which we do not know: after one was drawn, the seat
 * that falls to somebody else may be ours unknown to us, never the reverse. */
static bool drawn_at_random(const struct poa_device *d, const struct poa_edge_epoch *e,
                            uint64_t slot)
{
    uint32_t seen[POA_DRAWS_MAX], n = 0;
    for (uint32_t j = 0; j < POA_DRAWS_MAX && n < d->params.seats_per_slot; j++) {
        uint32_t index, k = 0;
        uint64_t rank;
        poa_random_seat(d->chain, e->seed, slot, j, e->eligible, &index, &rank);
        if (index == d->index)
            return true;
        while (k < n && seen[k] != index)
            k++;
        if (k == n)
            seen[n++] = index;
    }
    return false;
}

const struct poa_edge_epoch *poa_device_epoch(const struct poa_device *d, uint32_t epoch)
{
    return d->have_ahead && d->ahead.epoch == epoch ? &d->ahead
           : d->epoch.epoch == epoch                ? &d->epoch
                                                    : NULL;
}

void poa_device_prepare(struct poa_device *d, uint64_t slot)
{
    const struct poa_edge_epoch *e = d->have_trust ? poa_device_epoch(d, d->committee.epoch) : NULL;
    uint64_t now = poa_device_slot(d, poa_device_wall(d) + d->params.drift_ms);
    if (!e || d->params.policy != POA_EDGE_POLICY_VRF || d->status != POA_EDGE_ACTIVE ||
        d->index >= e->eligible || slot < e->first_slot || slot > now ||
        now - slot > (uint64_t)d->params.seal_slots + d->params.window_slots)
        return;
    uint64_t window = (slot - e->first_slot) / d->params.window_slots;
    if (window && window <= UINT32_MAX && poa_device_draw(d, e, (uint32_t)window) < 0)
        return; /* then the slot is not ours */
}

int poa_device_assigned(const struct poa_device *d, const struct poa_edge_epoch *e, uint64_t slot)
{
    if (d->status != POA_EDGE_ACTIVE || d->index >= e->eligible || slot < e->first_slot)
        return POA_E_SEAL_NOT_ASSIGNED;
    uint64_t window = (slot - e->first_slot) / d->params.window_slots;
    bool mine = false;
    if (window > UINT32_MAX)
        return POA_E_SEAL_NOT_ASSIGNED;
    switch ((enum poa_edge_policy)d->params.policy) {
    case POA_EDGE_POLICY_VRF:
        mine = window == 0
                   ? drawn_at_random(d, e, slot)
                   : drawn_by_ticket(d, e, (uint32_t)window,
                                     (uint32_t)((slot - e->first_slot) % d->params.window_slots));
        break;
    case POA_EDGE_POLICY_RANDOM:
        mine = drawn_at_random(d, e, slot);
        break;
    case POA_EDGE_POLICY_WEIGHTED:
        /* The weights of all devices decide: only the ledger can tell, and a
         * seal for a slot that is not ours is refused there without harm. */
        mine = true;
        break;
    }
    return mine ? POA_OK : POA_E_SEAL_NOT_ASSIGNED;
}
