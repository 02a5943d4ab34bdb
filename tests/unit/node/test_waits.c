/* How long a joining node waits for whom. Time is a number here. */
#include <criterion/criterion.h>

#include "poa_node_waits.h"

#define S UINT64_C(1000000)

static struct node_waits w;
static uint64_t now_us;

static void set_up(void)
{
    now_us = 1000 * S;
    node_waits_begin(&w, now_us);
}

TestSuite(waits, .init = set_up);

Test(waits, who_is_silent_is_asked_less_and_less)
{
    static const uint64_t want_s[] = {2, 4, 8, 16, 32, 64, 64, 64};
    for (uint32_t i = 0; i < sizeof want_s / sizeof want_s[0]; i++)
        cr_expect_eq(node_waits_again_us(i), want_s[i] * S, "%u", i);
    cr_expect_eq(node_waits_again_us(UINT32_MAX), 64 * S);
}

Test(waits, others_have_a_second_after_the_first_offer)
{
    now_us += 500 * S;
    cr_expect(node_waits_for_offers(&w, now_us), "nobody has any yet");
    node_waits_offer(&w, now_us);
    cr_expect(node_waits_for_offers(&w, now_us + S - 1));
    node_waits_offer(&w, now_us + S - 1); /* a later one changes nothing */
    cr_expect_not(node_waits_for_offers(&w, now_us + S));
    node_waits_again(&w, true);
    cr_expect_not(node_waits_for_offers(&w, now_us), "another one is there");
    node_waits_again(&w, false);
    cr_expect(node_waits_for_offers(&w, now_us + 100 * S));
    node_waits_offer(&w, now_us + 100 * S);
    cr_expect_not(node_waits_for_offers(&w, now_us + 101 * S));
}

Test(waits, a_minute_without_use_ends_it)
{
    for (int i = 0; i < 100; i++) {
        now_us += 60 * S;
        cr_expect_not(node_waits_given_up(&w, now_us), "something came a minute ago");
        cr_expect(node_waits_given_up(&w, now_us + 1));
        node_waits_moved(&w, now_us);
    }
    node_waits_parts(&w, now_us + 50 * S);
    cr_expect_not(node_waits_given_up(&w, now_us + 110 * S));
    cr_expect(node_waits_given_up(&w, now_us + 110 * S + 1));
}

/* A server that takes each question and never answers: one patience. */
static uint64_t a_silent_round(uint32_t silent)
{
    uint64_t begun_us = now_us;
    for (uint32_t i = 0; i < silent; i++) {
        node_waits_proof(&w, now_us);
        now_us += w.patience_ms * UINT64_C(1000);
    }
    return now_us - begun_us;
}

Test(waits, who_never_answers_costs_one_patience)
{
    uint64_t took_us = a_silent_round(15);
    cr_expect_eq(took_us, 45 * S);
    cr_expect_not(node_waits_given_up(&w, now_us), "the next one has its turn within a minute");
    static const uint32_t want_ms[] = {6000, 12000, 15000, 15000};
    for (int i = 0; i < 4; i++) {
        node_waits_round(&w);
        cr_expect_eq(w.patience_ms, want_ms[i], "%d: %u", i, w.patience_ms);
    }
}

/* Pieces come, one in EACH_US, and never end: after how many is it left? */
static uint32_t pieces_of_a_drip(uint64_t each_us, bool others)
{
    uint32_t n = 0;
    node_waits_proof(&w, now_us);
    do {
        now_us += each_us;
        node_waits_moved(&w, now_us);
        n++;
    } while (!node_waits_proof_late(&w, now_us, others) && n < 100000);
    cr_expect_not(node_waits_given_up(&w, now_us), "pieces did come");
    return n;
}

Test(waits, who_drips_makes_room_for_the_next)
{
    cr_expect_eq(pieces_of_a_drip(S, true), 16, "15 s are allowed, and the piece after is late");
    cr_expect_eq(pieces_of_a_drip(S, false), 151, "alone it may take ten times as long");
    cr_expect_eq(pieces_of_a_drip(14 * S, true), 2);
    node_waits_round(&w);
    cr_expect_eq(pieces_of_a_drip(S, true), 31, "nobody was faster: twice as long");
    node_waits_round(&w);
    cr_expect_eq(pieces_of_a_drip(S, true), 61);
    cr_expect_eq(pieces_of_a_drip(S, false), 601);
    node_waits_begin(&w, now_us);
    cr_expect_eq(pieces_of_a_drip(S, true), 16);
}

Test(waits, however_many_rounds_a_proof_has_its_time)
{
    for (int i = 0; i < 100; i++) {
        node_waits_round(&w);
        node_waits_proof(&w, now_us);
        cr_assert_not(node_waits_proof_late(&w, now_us + 30 * S, true), "round %d", i);
        cr_assert(node_waits_proof_late(&w, now_us + 86400 * S, false), "round %d", i);
    }
}

Test(waits, a_proof_in_time_is_not_late)
{
    node_waits_proof(&w, now_us);
    cr_expect_not(node_waits_proof_late(&w, now_us + 15 * S, true));
    cr_expect(node_waits_proof_late(&w, now_us + 15 * S + 1, true));
    node_waits_proof(&w, now_us + 15 * S);
    cr_expect_not(node_waits_proof_late(&w, now_us + 30 * S, true), "each has its own time");
}

/* The state at BYTES_PER_S for SECONDS: when is it found slow? 0: never. */
static uint64_t slow_after_s(uint64_t bytes_per_s, uint64_t seconds)
{
    node_waits_parts(&w, now_us);
    for (uint64_t s = 1; s <= seconds; s++)
        if (node_waits_slow(&w, now_us + s * S, s * bytes_per_s))
            return s;
    return 0;
}

Test(waits, a_state_that_comes_slowly)
{
    const uint64_t limit = NODE_WAITS_SLOW_BYTES_PER_S;
    cr_expect_eq(slow_after_s(0, 100), 20, "nothing at all");
    cr_expect_eq(slow_after_s(limit / 2, 1000), 40);
    cr_expect_eq(slow_after_s(limit * 9 / 10, 1000), 200);
    cr_expect_eq(slow_after_s(limit, 10000), 0, "just enough");
    cr_expect_eq(slow_after_s(limit * 100, 10000), 0);
    /* Fast at first, and then it stands: as long as what it gave was worth. */
    node_waits_parts(&w, now_us);
    cr_expect_not(node_waits_slow(&w, now_us + 119 * S, 100 * limit));
    cr_expect(node_waits_slow(&w, now_us + 120 * S, 100 * limit));
}
