/* Lost logs: so many that the chain stands still, and the operators' order that
 * gets it going again. The checkers of the simulator watch: a member that forgot
 * what it said must not contradict it, and no skipped view may be final. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

static const uint8_t token[32] = {1, 2, 3}, other_token[32] = {9};

static struct poa_core_status status(struct poa_sim *s, uint32_t node)
{
    struct poa_core_status st;
    cr_assert(poa_sim_core(s, node) != NULL);
    poa_core_status(poa_sim_core(s, node), &st);
    return st;
}

static void run_ms(struct poa_sim *s, uint64_t ms)
{
    poa_sim_run(s, poa_sim_now_us(s) + ms * 1000);
}

static struct poa_sim *network(uint64_t seed, uint32_t nodes, uint64_t epoch_views)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.seed = seed;
    c.nodes = nodes;
    c.delay_max_us = 3 * c.delay_min_us;
    c.txs_per_s = 200;
    c.accounts = 20;
    c.epoch_views = epoch_views;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    return s;
}

static void finish(struct poa_sim *s)
{
    const struct poa_sim_result *r = poa_sim_result(s);
    cr_expect(eq(u32, r->violations, 0), "%s", r->first);
    cr_expect(eq(u32, r->false_accusations, 0), "%s", r->first);
    cr_expect(eq(u64, r->evidence, 0));
    poa_sim_free(s);
}

static void lose(struct poa_sim *s, uint32_t node)
{
    poa_sim_kill(s, node);
    poa_sim_wipe_log(s, node);
}

static void expect_stalled(struct poa_sim *s)
{
    run_ms(s, 2000);
    uint64_t height = poa_sim_height(s, 0);
    run_ms(s, 5000);
    cr_assert(eq(u64, poa_sim_height(s, 0), height));
}

static void expect_progress(struct poa_sim *s, uint32_t nodes)
{
    uint64_t height = poa_sim_height(s, 0);
    for (int i = 0; i < 200 && poa_sim_height(s, 0) < height + 10; i++)
        run_ms(s, 100);
    run_ms(s, 500);
    for (uint32_t i = 0; i < nodes; i++)
        cr_assert(lt(u64, height + 5, poa_sim_height(s, i)), "node %u: %s", i,
                  poa_sim_result(s)->first);
}

Test(recovery, two_of_four_lost)
{
    struct poa_sim *s = network(1, 4, 100000);
    run_ms(s, 1000);
    lose(s, 2);
    lose(s, 3);
    run_ms(s, 300);
    poa_sim_start(s, 2);
    poa_sim_start(s, 3);
    expect_stalled(s);
    /* Who kept its log says who is silent; who lost it says why it is. */
    struct poa_core_status st = status(s, 0);
    cr_expect(eq(u8, st.heard[0], 3));
    cr_expect(lt(u64, 5000000, st.final_us));
    cr_expect(st.abstaining == false && status(s, 2).abstaining == true);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
    expect_progress(s, 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect(status(s, i).abstaining == false);
        cr_expect(status(s, i).recovering == false);
    }
    finish(s);
}

Test(recovery, enough_to_make_a_quorum)
{
    struct poa_sim *s = network(2, 4, 100000);
    run_ms(s, 1000);
    lose(s, 0);
    lose(s, 1);
    poa_sim_start(s, 0);
    poa_sim_start(s, 1);
    expect_stalled(s);
    cr_assert(eq(int, poa_sim_recover(s, 0, token), POA_OK));
    cr_assert(eq(int, poa_sim_recover(s, 2, token), POA_OK));
    expect_stalled(s); /* one that kept its log is not enough to speak for two */
    cr_expect(status(s, 0).abstaining == true);
    cr_assert(eq(int, poa_sim_recover(s, 3, token), POA_OK));
    expect_progress(s, 4);
    cr_expect(status(s, 0).abstaining == false);
    cr_expect(status(s, 1).abstaining == true); /* nobody told it: it waits for the next epoch */
    finish(s);
}

/* What two of the others state does not reach node 3, only the certificate that comes of it. */
static bool unheard(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    (void)ctx;
    (void)bytes;
    return type != POA_MSG_RECOVER || to != 3 || from == 0;
}

Test(recovery, who_hears_the_certificate_first_takes_part)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct poa_sim *s = network(seed, 4, 100000);
        run_ms(s, 1000);
        lose(s, 2);
        lose(s, 3);
        poa_sim_start(s, 2);
        poa_sim_start(s, 3);
        run_ms(s, 2000);
        poa_sim_filter(s, unheard, NULL);
        for (uint32_t i = 0; i < 4; i++)
            cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
        expect_progress(s, 4);
        cr_expect(status(s, 3).abstaining == false, "seed %lu", (unsigned long)seed);
        finish(s);
    }
}

Test(recovery, nothing_happens_without_those_who_remember)
{
    struct poa_sim *s = network(3, 4, 100000);
    run_ms(s, 1000);
    for (uint32_t i = 1; i < 4; i++)
        lose(s, i);
    for (uint32_t i = 1; i < 4; i++)
        poa_sim_start(s, i);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
    expect_stalled(s);
    finish(s);
}

Test(recovery, a_token_of_another_day_is_worth_nothing)
{
    struct poa_sim *s = network(4, 4, 100000);
    run_ms(s, 1000);
    lose(s, 2);
    lose(s, 3);
    poa_sim_start(s, 2);
    poa_sim_start(s, 3);
    run_ms(s, 1000);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(eq(int, poa_sim_recover(s, i, i < 2 ? other_token : token), POA_OK));
    expect_stalled(s);
    cr_expect(status(s, 2).abstaining == true);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
    expect_progress(s, 4);
    finish(s);
}

Test(recovery, an_order_where_nothing_is_lost_does_no_harm)
{
    struct poa_sim *s = network(5, 4, 100000);
    run_ms(s, 1000);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
    expect_progress(s, 4);
    poa_sim_kill(s, 1); /* views are skipped now, with the order still there */
    run_ms(s, 3000);
    uint64_t height = poa_sim_height(s, 0);
    run_ms(s, 3000);
    cr_expect(lt(u64, height + 5, poa_sim_height(s, 0)));
    finish(s);
}

Test(recovery, it_survives_crashes)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct poa_sim *s = network(seed, 4, 100000);
        run_ms(s, 1000);
        lose(s, 0);
        lose(s, 1);
        poa_sim_start(s, 0);
        poa_sim_start(s, 1);
        run_ms(s, 2000);
        for (uint32_t i = 0; i < 4; i++)
            cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
        /* Each of them dies at some moment of it and comes back without the order. */
        for (uint32_t i = 0; i < 4; i++) {
            poa_sim_run(s, poa_sim_now_us(s) + seed * 7001 % 90000);
            poa_sim_kill(s, i);
            poa_sim_start(s, i);
        }
        run_ms(s, 1000);
        for (uint32_t i = 0; i < 4; i++)
            (void)poa_sim_recover(s, i, token);
        expect_progress(s, 4);
        finish(s);
    }
}

/* Nodes 4, 5 and 6 hear everybody; nobody else hears them. */
static bool deaf(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    (void)ctx;
    (void)type;
    (void)bytes;
    return from < 4 || to >= 4;
}

/* Three of seven know a certificate that the others do not, finalize its view and
 * vote in the next one; then they forget it all. One of them is told to recover
 * before there are enough for a quorum: it waits, and says nothing of views in which
 * it may have spoken. */
Test(recovery, who_forgot_more_than_the_others_ever_knew)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct poa_sim *s = network(seed, 7, 100000);
        run_ms(s, 1000);
        poa_sim_filter(s, deaf, NULL);
        run_ms(s, 2500);
        uint64_t w = status(s, 0).view;
        cr_expect(lt(u64, w, status(s, 4).view), "seed %lu", (unsigned long)seed);
        for (uint32_t i = 4; i < 7; i++)
            lose(s, i);
        poa_sim_filter(s, NULL, NULL);
        for (uint32_t i = 4; i < 7; i++)
            poa_sim_start(s, i);
        run_ms(s, 2000);
        cr_assert(eq(u64, status(s, 0).view, w));
        for (uint32_t i = 0; i < 5; i += i == 2 ? 2 : 1) /* 0, 1, 2, 4 */
            cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
        run_ms(s, 5000);
        cr_expect(status(s, 4).abstaining == true);
        for (uint32_t i = 0; i < 7; i++)
            cr_assert(eq(int, poa_sim_recover(s, i, token), POA_OK));
        expect_progress(s, 7);
        finish(s);
    }
}

/* Losses at any moment, any of seven, over hand-overs, and twice. */
Test(recovery, any_moment_of_any_epoch)
{
    for (uint64_t seed = 1; seed <= 16; seed++) {
        struct poa_sim *s = network(seed, 7, seed % 3 ? 40 : 100000);
        uint8_t t[32] = {0};
        for (int round = 0; round < 2; round++) {
            poa_sim_run(s, poa_sim_now_us(s) + 700000 + seed * 104729 % 500000);
            for (uint32_t i = 0; i < 3; i++)
                lose(s, (uint32_t)(seed + 2 * i) % 7);
            if (seed % 2)
                run_ms(s, seed % 200);
            for (uint32_t i = 0; i < 3; i++)
                poa_sim_start(s, (uint32_t)(seed + 2 * i) % 7);
            run_ms(s, 3000);
            poa_put_le64(t, 2 * seed + (uint64_t)round);
            for (uint32_t i = 0; i < 7; i++)
                (void)poa_sim_recover(s, i, t);
            expect_progress(s, 7);
        }
        finish(s);
    }
}
