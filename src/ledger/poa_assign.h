/* assign: who sits in a slot, by each policy. Pure, integers only, and nothing
 * but what the chain says goes in: nodes, `poa why` and `poa lottery simulate`
 * compute the same from the same numbers.
 *
 *   vrf       poa_ticket_seats (poa_witness.h) of every ticket, kept by
 *             poa_seats_insert; the first window of an epoch as `random`
 *   random    poa_assign_public: the first draws whose devices are active
 *   weighted  the same, where a draw counts with probability weight / 64
 *
 * Source: docs/assignment.md.
 */
#ifndef POA_ASSIGN_H
#define POA_ASSIGN_H

#include "poa_ledger.h"

/* Seats of a slot: rank ascending, the key deciding between equals. A full list
 * keeps the lowest. */
struct poa_seat_list {
    struct poa_st_seat seat[POA_SLOT_SEATS_MAX];
    uint32_t n;
};
bool poa_seats_fit(const struct poa_seat_list *list, uint64_t rank, const uint8_t device32[32]);
void poa_seats_insert(struct poa_seat_list *list, uint64_t rank, const uint8_t device32[32]);
/* Place of DEVICE32, or -1. */
int poa_seats_find(const struct poa_seat_list *list, const uint8_t device32[32]);
void poa_seats_unpack(const struct poa_st_slot *slot, struct poa_seat_list *out);

/* Weight of a device under policy `weighted`, 16..64: see docs/assignment.md. */
struct poa_weight {
    uint32_t base;        /* 16 */
    uint32_t reliability; /* 0..32: of its last 32 settled seats, those that it sealed */
    uint32_t age;         /* 0..8: a third of the bits of the slots since its registration */
    uint32_t balance;     /* 0..8: an eighth of the bits of its payout account's balance */
    uint32_t sum;
};
struct poa_weight poa_assign_weight(const struct poa_st_device *d, uint64_t balance, uint64_t slot);
/* HISTORY of a newcomer: half of 32 seats. */
#define POA_HISTORY_NEW UINT32_C(0x55555555)

/* The registry as the public draws see it. */
struct poa_assign_pool {
    void *ctx;
    uint32_t eligible; /* indices below this may be drawn */
    /* Key of device INDEX and, when WEIGHT is not NULL, its weight; false: it is
     * passed over (suspended). */
    bool (*device)(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight);
};
/* One draw, for those who ask why. */
struct poa_assign_draw {
    uint32_t index;
    uint64_t rank;
    uint32_t lot, weight; /* weighted: seated when lot < weight; 0: passed over */
    bool seated;          /* false also when seated before */
};
/* Policies `random` and `weighted`: draws until SEATS different devices sit, at
 * most poa_assign_draws_max times. DRAWS (may be NULL) takes each draw. Returns
 * how many there were. */
uint32_t poa_assign_public(enum poa_policy_kind policy, const uint8_t chain32[32],
                           const uint8_t seed32[32], uint64_t slot, uint32_t seats,
                           const struct poa_assign_pool *pool, struct poa_seat_list *out,
                           struct poa_assign_draw *draws);
#define POA_ASSIGN_DRAWS_MAX (4 * POA_DRAWS_MAX) /* as many as st_slot.weights holds */
static inline uint32_t poa_assign_draws_max(enum poa_policy_kind policy)
{
    /* A weight is at least a quarter of the largest. */
    return policy == POA_POLICY_WEIGHTED ? POA_ASSIGN_DRAWS_MAX : POA_DRAWS_MAX;
}

#endif
