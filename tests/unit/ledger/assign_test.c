/* The public draws, their weights, and the seats of a slot. */
#include "poa_assign.h"
#include "support.h"

#define POOL 40

struct pool {
    uint32_t weight[POOL];
    uint32_t suspended; /* index, POOL: none */
};

static bool pool_device(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight)
{
    const struct pool *p = ctx;
    memset(key32, 0, 32);
    poa_put_le32(key32, index + 1);
    if (weight)
        *weight = p->weight[index];
    return index != p->suspended;
}

static const uint8_t chain[32] = {1}, seed[32] = {2};

Test(assign, weights_come_from_history_age_and_balance)
{
    struct poa_st_device d = {.history = 0, .since = 100};
    struct poa_weight w = poa_assign_weight(&d, 0, 100);
    cr_assert_eq(w.sum, 16); /* nothing speaks for it, and it still takes part */
    d.history = POA_HISTORY_NEW;
    cr_assert_eq(poa_assign_weight(&d, 0, 100).sum, 32);
    d.history = UINT32_MAX;
    cr_assert_eq(poa_assign_weight(&d, 0, 100).sum, 48);
    cr_assert_eq(poa_assign_weight(&d, 0, 99).age, 0); /* a registration of the same block */
    cr_assert_eq(poa_assign_weight(&d, 0, 100 + 7).age, 1);
    cr_assert_eq(poa_assign_weight(&d, 0, 100 + 4096).age, 4);
    cr_assert_eq(poa_assign_weight(&d, 0, UINT64_MAX).age, 8);
    cr_assert_eq(poa_assign_weight(&d, 255, 100).balance, 1);
    cr_assert_eq(poa_assign_weight(&d, 127, 100).balance, 0);
    w = poa_assign_weight(&d, UINT64_MAX, UINT64_MAX);
    cr_assert_eq(w.sum, POA_LOTS); /* the largest: no draw of it is lost */
    cr_assert_eq(w.base + w.reliability + w.age + w.balance, w.sum);
}

/* Seats in proportion to weights: 40,000 slots of three seats over two groups. */
Test(assign, weighted_draws_follow_the_weights)
{
    struct pool p = {.suspended = POOL};
    struct poa_assign_pool pool = {&p, POOL, pool_device};
    uint64_t heavy = 0, light = 0;
    for (uint32_t i = 0; i < POOL; i++)
        p.weight[i] = i % 2 ? 64 : 16;
    for (uint64_t slot = 0; slot < 40000; slot++) {
        struct poa_seat_list list;
        uint32_t draws =
            poa_assign_public(POA_POLICY_WEIGHTED, chain, seed, slot, 3, &pool, &list, NULL);
        cr_assert_eq(list.n, 3);
        cr_assert_leq(draws, POA_ASSIGN_DRAWS_MAX);
        for (uint32_t i = 0; i < list.n; i++) {
            cr_assert(!i || list.seat[i - 1].rank <= list.seat[i].rank);
            *(poa_le32(list.seat[i].device) % 2 ? &light : &heavy) += 1; /* key = index + 1 */
        }
    }
    /* 4 to 1, a little less because nobody sits twice: 0.787 of the seats, measured
     * against 0.8 of the draws. */
    double share = (double)heavy / (double)(heavy + light);
    cr_assert(share > 0.775 && share < 0.8, "%f", share);
}

Test(assign, random_ignores_weights_and_nobody_suspended_sits)
{
    struct pool p = {.suspended = 7};
    struct poa_assign_pool pool = {&p, POOL, pool_device};
    struct poa_assign_draw draws[POA_ASSIGN_DRAWS_MAX];
    uint32_t seats[POOL] = {0};
    for (uint64_t slot = 0; slot < 20000; slot++) {
        struct poa_seat_list list;
        uint32_t n =
            poa_assign_public(POA_POLICY_RANDOM, chain, seed, slot, 3, &pool, &list, draws);
        uint32_t seated = 0;
        for (uint32_t j = 0; j < n; j++) {
            seated += draws[j].seated;
            seats[draws[j].index] += draws[j].seated;
            cr_assert_lt(draws[j].lot, POA_LOTS);
        }
        cr_assert_eq(seated, list.n);
        cr_assert_eq(seated, 3);
    }
    cr_assert_eq(seats[7], 0);
    for (uint32_t i = 0; i < POOL; i++) /* 1538 expected, standard deviation 38 */
        cr_assert(i == 7 || (seats[i] > 1538 - 250 && seats[i] < 1538 + 250), "%u: %u", i,
                  seats[i]);
}

Test(assign, a_pool_of_nobody_ends)
{
    struct pool p = {.suspended = 0};
    struct poa_assign_pool one = {&p, 1, pool_device}, none = {&p, 0, pool_device};
    struct poa_seat_list list;
    cr_assert_eq(poa_assign_public(POA_POLICY_WEIGHTED, chain, seed, 1, 3, &one, &list, NULL),
                 POA_ASSIGN_DRAWS_MAX);
    cr_assert_eq(list.n, 0);
    cr_assert_eq(poa_assign_public(POA_POLICY_RANDOM, chain, seed, 1, 3, &none, &list, NULL), 0);
    cr_assert_eq(list.n, 0);
}

Test(assign, a_full_slot_keeps_the_lowest_ranks)
{
    struct poa_seat_list list = {.n = 0};
    uint8_t key[32] = {0};
    for (uint32_t i = 0; i < 3 * POA_SLOT_SEATS_MAX; i++) {
        uint64_t rank = (i * 37) % 96;
        poa_put_le32(key, i);
        bool fits = poa_seats_fit(&list, rank, key);
        cr_assert(fits || rank > 31);
        if (fits)
            poa_seats_insert(&list, rank, key);
    }
    cr_assert_eq(list.n, POA_SLOT_SEATS_MAX);
    for (uint32_t i = 0; i < list.n; i++)
        cr_assert_eq(list.seat[i].rank, i);
    poa_put_le32(key, 0);
    cr_assert_eq(poa_seats_find(&list, key), 0);
    poa_put_le32(key, 5000);
    cr_assert_eq(poa_seats_find(&list, key), -1);
}

Test(assign, policies_have_names)
{
    enum poa_policy_kind k;
    cr_assert_eq(poa_policy_kind_of("weighted", &k), POA_OK);
    cr_assert_eq(k, POA_POLICY_WEIGHTED);
    cr_assert_str_eq(poa_policy_kind_name(POA_POLICY_RANDOM), "random");
    cr_assert_eq(poa_policy_kind_of("chance", &k), POA_E_NOT_FOUND);
}
