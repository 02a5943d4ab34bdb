#include "support.h"

static void beta_of(uint32_t device, uint8_t beta[64])
{
    uint8_t h[4];
    poa_put_le32(h, device);
    poa_hash(POA_DOMAIN_SIM, h, 4, beta);
    poa_hash(POA_DOMAIN_SIM, beta, 32, beta + 32);
}

Test(draw, seats_are_in_the_window_ascending_and_distinct)
{
    for (uint32_t devices = 1; devices < 300; devices += 7)
        for (uint32_t window = 4; window <= 256; window *= 4) {
            struct poa_lottery l = {devices, 3, window};
            struct poa_seat seat[POA_DRAWS_MAX];
            uint32_t k = poa_lottery_draws(&l);
            cr_assert(k >= 1 && k <= POA_DRAWS_MAX && window % k == 0);
            for (uint32_t d = 0; d < 20; d++) {
                uint8_t beta[64];
                beta_of(d, beta);
                size_t n = poa_ticket_seats(&l, beta, seat);
                cr_assert_leq(n, k);
                for (size_t i = 0; i < n; i++) {
                    cr_assert_lt(seat[i].slot, window);
                    cr_assert(!i || seat[i].slot > seat[i - 1].slot);
                }
            }
        }
}

Test(draw, seats_meet_their_expectation)
{
    /* Over many devices the seats per window are seats_per_slot * window, and
     * slots share them evenly: 4-sigma bounds, fixed inputs. */
    static const uint32_t fleet[] = {20, 100, 1000, 20000};
    for (size_t f = 0; f < sizeof fleet / sizeof fleet[0]; f++) {
        struct poa_lottery l = {fleet[f], 3, 64};
        uint32_t windows = 200000 / fleet[f], total = 0, per_slot[64] = {0};
        for (uint32_t d = 0; d < fleet[f] * windows; d++) {
            struct poa_seat seat[POA_DRAWS_MAX];
            uint8_t beta[64];
            beta_of(d, beta);
            size_t n = poa_ticket_seats(&l, beta, seat);
            total += (uint32_t)n;
            for (size_t i = 0; i < n; i++)
                per_slot[seat[i].slot]++;
        }
        double want = 192.0 * windows, slot_want = 3.0 * windows, chi2 = 0;
        cr_assert(total > want - 4 * __builtin_sqrt(want) &&
                      total < want + 4 * __builtin_sqrt(want),
                  "%u devices: %u seats, wanted %.0f", fleet[f], total, want);
        for (int s = 0; s < 64; s++)
            chi2 += (per_slot[s] - slot_want) * (per_slot[s] - slot_want) / slot_want;
        cr_assert_lt(chi2, 120, "%u devices: chi2 %.1f over 63", fleet[f], chi2);
    }
}

Test(draw, more_seats_than_draws_seat_everybody)
{
    struct poa_lottery l = {1, 32, 64}, none = {0, 3, 64};
    struct poa_seat seat[POA_DRAWS_MAX];
    uint8_t beta[64] = {1};
    cr_assert_eq(poa_ticket_seats(&l, beta, seat), 64);
    cr_assert_eq(poa_ticket_seats(&none, beta, seat), 0);
}

Test(draw, random_seats_are_uniform_and_repeatable)
{
    uint8_t seed[32] = {4};
    uint32_t count[10] = {0}, index, again;
    uint64_t rank, rank2;
    for (uint64_t slot = 0; slot < 5000; slot++)
        for (uint32_t j = 0; j < 2; j++) {
            poa_random_seat(chain_a, seed, slot, j, 10, &index, &rank);
            poa_random_seat(chain_a, seed, slot, j, 10, &again, &rank2);
            cr_assert(index < 10 && index == again && rank == rank2);
            count[index]++;
        }
    double chi2 = 0;
    for (int i = 0; i < 10; i++)
        chi2 += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
    cr_assert_lt(chi2, 30);
    poa_random_seat(chain_a, seed, 1, 0, 1000000, &index, &rank);
    poa_random_seat(chain_b, seed, 1, 0, 1000000, &again, &rank2);
    cr_assert_neq(rank, rank2);
}

#define POOL 60
static struct poa_candidate pool[POOL];

static void fill_pool(uint32_t makers, uint32_t regions, uint32_t providers)
{
    memset(pool, 0, sizeof pool);
    for (uint32_t i = 0; i < POOL; i++) {
        pool[i].member.key[0] = (uint8_t)(i + 1);
        pool[i].member.maker = i % makers;
        pool[i].member.region = (uint16_t)(i / 3 % regions);
        pool[i].member.provider = i / 5 % providers;
    }
}

static uint32_t worst(size_t offset, bool wide)
{
    uint32_t most = 0;
    for (int i = 0; i < POOL; i++) {
        uint32_t same = 0;
        for (int k = 0; k < POOL; k++) {
            uint32_t a = 0, b = 0;
            memcpy(&a, (char *)&pool[i].member + offset, wide ? 4 : 2);
            memcpy(&b, (char *)&pool[k].member + offset, wide ? 4 : 2);
            same += pool[i].seat && pool[k].seat && a == b;
        }
        most = same > most ? same : most;
    }
    return most;
}

Test(draw, small_pool_serves_whole)
{
    struct poa_committee_rule rule = {.size = POOL};
    uint8_t seed[32] = {0}, bytes[128 * 42];
    struct poa_committee c;
    fill_pool(7, 5, 4);
    cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 0);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_committee_build(&rule, 3, pool, POOL, &w, &c), POA_OK);
    cr_assert_eq(c.members.count, POOL);
    cr_assert_eq(c.quorum, POOL - 19);
    cr_assert_eq(poa_committee_find(&c, pool[17].member.key), 17);
    cr_assert_eq(poa_committee_build(&rule, 3, pool, 0, &w, &c), POA_E_RANGE);
    rule.quorum_extra = 100;
    w.n = 0;
    cr_assert_eq(poa_committee_build(&rule, 3, pool, POOL, &w, &c), POA_OK);
    cr_assert_eq(c.quorum, POOL);
}

Test(draw, caps_hold_while_they_can)
{
    struct poa_committee_rule rule = {
        .size = 16, .cap_maker = 3, .cap_region = 4, .cap_provider = 6};
    uint32_t drawn[POOL] = {0};
    fill_pool(7, 5, 4);
    for (uint32_t epoch = 0; epoch < 3000; epoch++) {
        uint8_t seed[32] = {0};
        poa_put_le32(seed, epoch);
        cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 0);
        cr_assert_leq(worst(offsetof(struct poa_member, maker), true), 3);
        cr_assert_leq(worst(offsetof(struct poa_member, region), false), 4);
        cr_assert_leq(worst(offsetof(struct poa_member, provider), true), 6);
        uint32_t seats = 0;
        for (int i = 0; i < POOL; i++) {
            seats += pool[i].seat != 0;
            drawn[i] += pool[i].seat != 0;
        }
        cr_assert_eq(seats, 16);
    }
    for (int i = 0; i < POOL; i++) /* 16/60 of 3000 is 800 */
        cr_assert(drawn[i] > 600 && drawn[i] < 1000, "candidate %d drawn %u times", i, drawn[i]);
}

Test(draw, caps_relax_by_the_least)
{
    struct poa_committee_rule rule = {.size = 16, .cap_maker = 3};
    uint8_t seed[32] = {1};
    fill_pool(2, 1, 1);
    cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 5); /* 8 of each maker */
    cr_assert_eq(worst(offsetof(struct poa_member, maker), true), 8);
}

Test(draw, a_whole_pool_counts_what_its_caps_lack)
{
    struct poa_committee_rule rule = {.cap_maker = 3, .cap_region = 20, .cap_provider = 60};
    uint8_t seed[32] = {1};
    fill_pool(10, 5, 4); /* 6 per maker, 12 per region, 15 per provider */
    cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 3);
    rule.cap_region = 7;
    cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 5);
    rule.cap_maker = 6;
    rule.cap_region = 12;
    cr_assert_eq(poa_committee_draw(&rule, seed, pool, POOL), 0);
}

/* Whoever takes candidates as they come ends with an empty seat here: two
 * makers, two regions, caps of one, and the only committee is the diagonal that
 * is not first in every order. */
Test(draw, looks_ahead)
{
    struct poa_committee_rule rule = {.size = 2, .cap_maker = 1, .cap_region = 1};
    for (uint32_t epoch = 0; epoch < 200; epoch++) {
        uint8_t seed[32] = {0};
        memset(pool, 0, sizeof pool);
        for (uint32_t i = 0; i < 3; i++) {
            pool[i].member.key[0] = (uint8_t)(i + 1);
            pool[i].member.maker = i == 2;
            pool[i].member.region = i == 1;
        } /* (0,0) fits beside nobody; (0,1) and (1,0) fit together */
        poa_put_le32(seed, epoch);
        cr_assert_eq(poa_committee_draw(&rule, seed, pool, 3), 0);
        cr_assert(!pool[0].seat && pool[1].seat && pool[2].seat);
    }
}

Test(draw, anybody_can_repeat_it)
{
    struct poa_committee_rule rule = {.size = 10, .cap_maker = 2};
    uint8_t seed[32] = {1}, a[128 * 42], b[128 * 42], ha[32], hb[32];
    struct poa_committee ca, cb;
    struct poa_writer wa = poa_writer_over(a, sizeof a), wb = poa_writer_over(b, sizeof b);
    fill_pool(7, 5, 4);
    poa_committee_draw(&rule, seed, pool, POOL);
    cr_assert_eq(poa_committee_build(&rule, 3, pool, POOL, &wa, &ca), POA_OK);
    for (int i = 0; i < POOL / 2; i++) { /* the order of the pool does not matter */
        struct poa_candidate t = pool[i];
        pool[i] = pool[POOL - 1 - i];
        pool[POOL - 1 - i] = t;
    }
    poa_committee_draw(&rule, seed, pool, POOL);
    cr_assert_eq(poa_committee_build(&rule, 3, pool, POOL, &wb, &cb), POA_OK);
    poa_committee_hash(&ca, ha);
    poa_committee_hash(&cb, hb);
    cr_assert_arr_eq(ha, hb, 32);
    seed[0]++;
    poa_committee_draw(&rule, seed, pool, POOL);
    wb.n = 0;
    cr_assert_eq(poa_committee_build(&rule, 3, pool, POOL, &wb, &cb), POA_OK);
    poa_committee_hash(&cb, hb);
    cr_assert(memcmp(ha, hb, 32));
}
