/* Which slots are ours: the device computes it, nobody tells it. */
#include <string.h>

#include "device_internal.h"
#include "poa_vrf.h"

static struct poa_lottery lottery_of(const struct poa_device *d, const struct poa_edge_epoch *e)
{
    struct poa_lottery l = {e->eligible, d->params.seats_per_slot, d->params.window_slots};
    return l;
}

int poa_device_draw(struct poa_device *d, const struct poa_edge_epoch *e, uint32_t window)
{
    const struct poa_device_config *c = &d->config;
    uint8_t alpha[32];
    int slot = 0;
    for (int i = 0; i < 2; i++)
        if (d->draw[i].valid && d->draw[i].epoch == e->epoch && d->draw[i].window == window)
            return i;
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
    int rc = c->suite->vrf_prove == poa_suite_ed25519.vrf_prove
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

size_t poa_device_draw_seats(const struct poa_device *d, const struct poa_edge_epoch *e, int i,
                             struct poa_seat seats[POA_DRAWS_MAX])
{
    struct poa_lottery l = lottery_of(d, e);
    return poa_ticket_seats(&l, d->draw[i].beta, seats);
}

static bool drawn_by_ticket(struct poa_device *d, const struct poa_edge_epoch *e, uint32_t window,
                            uint32_t rest)
{
    struct poa_seat seats[POA_DRAWS_MAX];
    int i = poa_device_draw(d, e, window);
    if (i < 0)
        return false;
    size_t n = poa_device_draw_seats(d, e, i, seats);
    while (n-- > 0)
        if (seats[n].slot == rest)
            return true;
    return false;
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

int poa_device_assigned(struct poa_device *d, const struct poa_edge_epoch *e, uint64_t slot)
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
