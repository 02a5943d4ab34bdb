/* A leader's beacon proof: made ahead of its turn, and shown to the others as soon
 * as its view has begun, so that neither waits between a batch and finality. */
#include "core.h"

static bool beacon_next(const struct poa_core *c)
{
    return voter(c) && c->beacon_view <= c->view && core_leader_of(c, c->view + 1) == c->self;
}

/* Not at the beginning of a view, when the votes come that make the last block
 * final. */
static uint64_t beacon_early_us(const struct poa_core *c)
{
    return c->entered_us + (uint64_t)c->genesis->block_min_ms * 250;
}

/* The proof of our next turn is made ahead of it, off the critical path: by the
 * driver when it looks in time, else here. */
static uint64_t beacon_due(const struct poa_core *c)
{
    if (!beacon_next(c))
        return NO_DEADLINE;
    uint64_t early = beacon_early_us(c);
    return c->now.us < early ? early : c->entered_us + (uint64_t)c->genesis->block_min_ms * 500;
}

/* Others can check our proof while we wait for our pace or for a batch. Not before
 * the view began: until the block before was notarized, its leader could still
 * have given it up with its own output, knowing ours. */
static uint64_t beacon_tell_due(const struct poa_core *c)
{
    const struct slot *s = &c->ring[c->view % RING];
    if (!voter(c) || c->beacon_view != c->view || c->beacon_told == c->view || c->n < 2 ||
        core_leader_of(c, c->view) != c->self || (s->view == c->view && s->proposed))
        return NO_DEADLINE;
    return beacon_early_us(c);
}

static void beacon_tell(struct poa_core *c)
{
    struct poa_beacon_ahead b = {.epoch = c->epoch, .view = c->view};
    memcpy(b.proof, c->beacon, sizeof b.proof);
    struct poa_slice bytes = core_encode(c, &poa_beacon_ahead_record, &b);
    c->beacon_told = c->view;
    if (bytes.n)
        core_send_all(c, POA_MSG_BEACON, bytes, false, 0);
}

/* It decides nothing: a driver has it checked behind the suite, where the check of
 * the proposal finds the answer. */
int core_on_beacon(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_beacon_ahead b;
    int e = poa_beacon_ahead_decode(bytes, &b);
    if (e)
        return e;
    if (b.epoch != c->epoch)
        return POA_E_EPOCH;
    return peer < c->n && peer == core_leader_of(c, b.view) ? POA_OK : POA_E_LEADER;
}

bool poa_core_beacon_next(const struct poa_core *c, uint64_t *view, uint8_t alpha[32])
{
    if (!beacon_next(c) || c->now.us < beacon_early_us(c))
        return false;
    *view = c->view + 1;
    poa_beacon_alpha(c->chain, c->epoch, *view, c->epoch_seed, alpha);
    return true;
}

void core_beacon_tick(struct poa_core *c)
{
    if (c->now.us >= beacon_due(c)) {
        uint8_t alpha[32];
        poa_beacon_alpha(c->chain, c->epoch, c->view + 1, c->epoch_seed, alpha);
        if (c->suite->vrf_prove(c->seed, c->key, alpha, sizeof alpha, c->beacon) == POA_OK)
            c->beacon_view = c->view + 1;
    }
    if (c->now.us >= beacon_tell_due(c))
        beacon_tell(c);
}

uint64_t core_beacon_deadline(const struct poa_core *c)
{
    uint64_t made = beacon_due(c), told = beacon_tell_due(c);
    return made < told ? made : told;
}
