/* A gateway that answers and has nothing new is left, one that has is not. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_agent.h"

#define GENESIS 1700000000000
#define EPOCH   600000 /* ms */

static struct agent_news n;
static uint64_t now;

/* The device trusts the committee of EPOCH, by a header of so long after genesis. */
static void trust(uint32_t epoch, uint64_t after_ms, bool whole)
{
    uint8_t params[POA_EDGE_PARAMS_BYTES], committee[128], record[512];
    uint8_t member[POA_MEMBER_BYTES] = {0};
    struct poa_writer pw = poa_writer_over(params, sizeof params);
    struct poa_writer cw = poa_writer_over(committee, sizeof committee);
    struct poa_writer w = poa_writer_over(record, sizeof record);
    const struct poa_edge_params p = {.genesis_ms = GENESIS, .slot_ms = 1000, .window_slots = 8};
    const struct poa_edge_committee_id id = {.epoch = epoch, .members = 4};
    const struct poa_committee c = {
        .epoch = epoch, .quorum = 1, .members = {poa_slice(member, sizeof member), 1}};
    cr_assert_eq(poa_edge_params_encode(&pw, &p), POA_OK);
    cr_assert_eq(whole ? poa_committee_encode(&cw, &c) : poa_edge_committee_id_encode(&cw, &id),
                 POA_OK);
    const struct poa_edge_trust t = {
        .params = poa_written(&pw), .time_ms = GENESIS + after_ms, .committee = poa_written(&cw)};
    cr_assert_eq(poa_edge_trust_encode(&w, &t), POA_OK);
    agent_news_trust(&n, poa_written(&w));
}

static void start(void)
{
    now = 5000000;
    agent_news_init(&n);
    trust(10, 10 * EPOCH, true);
    agent_news_connected(&n, 0, 10);
    cr_assert_eq(agent_news_turn(&n, now, true, 2), AGENT_NOTHING_WITHHELD);
}

/* Seconds until it is to leave, at most MOST. */
static uint64_t leaves(enum agent_withheld why, size_t gateways, uint64_t most)
{
    enum agent_withheld w = AGENT_NOTHING_WITHHELD;
    uint64_t s = 0;
    while (!w && s < most) {
        now += 1000;
        s++;
        w = agent_news_turn(&n, now, true, gateways);
    }
    cr_assert_eq(w, why, "%d after %lu s", w, (unsigned long)s);
    return s;
}
#define STAYS(gateways, s) leaves(AGENT_NOTHING_WITHHELD, gateways, s)

/* A gateway that tells the epochs from now on. */
static void honest(uint32_t *epoch)
{
    for (int i = 0; i < 20; i++) {
        ++*epoch;
        trust(*epoch, *epoch * EPOCH, i & 1);
        agent_news_said(&n, *epoch);
        (void)STAYS(2, EPOCH / 1000);
    }
}

TestSuite(news, .init = start);

Test(news, the_usual_pace_is_no_reason)
{
    uint32_t epoch = 10;
    honest(&epoch);
    (void)STAYS(2, 1100); /* and one that is late */
    honest(&epoch);
}

Test(news, after_three_epochs_without_one)
{
    uint32_t epoch = 10;
    honest(&epoch);
    uint64_t s = leaves(AGENT_NO_EPOCH, 2, 10000) + EPOCH / 1000; /* its last one was silent too */
    cr_assert(s >= 1800 && s <= 2260, "%lu", (unsigned long)s);
    /* The other one knows more: it stays there. */
    agent_news_connected(&n, 1, epoch + 3);
    honest(&epoch);
}

/* The network got quiet: epochs of views take longer. */
Test(news, as_long_as_the_last_one_took)
{
    trust(11, 10 * EPOCH + 7200000, true);
    agent_news_said(&n, 11);
    uint64_t s = leaves(AGENT_NO_EPOCH, 2, 40000);
    cr_assert(s >= 3 * 7200 && s <= 4 * 7200, "%lu", (unsigned long)s);
}

/* What a certified header says counts, not when the gateway passed it on. */
Test(news, a_gateway_cannot_stretch_it)
{
    uint32_t epoch = 10;
    for (int i = 0; i < 10; i++) {
        (void)STAYS(2, 1790);
        ++epoch;
        trust(epoch, epoch * EPOCH, false);
        agent_news_said(&n, epoch);
    }
    uint64_t s = leaves(AGENT_NO_EPOCH, 2, 10000);
    cr_assert(s >= 1800 && s <= 2260, "%lu", (unsigned long)s);
}

Test(news, an_epoch_that_is_over)
{
    agent_news_connected(&n, 1, 9);
    uint64_t s = leaves(AGENT_OLD_EPOCH, 2, 1000);
    cr_assert(s >= 20 && s <= 26, "%lu", (unsigned long)s);
    agent_news_connected(&n, 0, 9);
    (void)STAYS(2, 15);
    agent_news_said(&n, 10);
    (void)STAYS(2, 1000);
}

/* Each once; then the chain stands, and nobody is asked all the time. */
Test(news, nobody_has_any)
{
    uint64_t before = 0, day = 0;
    unsigned moves = 0;
    while (day < 7 * 86400) {
        uint64_t s = leaves(AGENT_NO_EPOCH, 3, 100000000);
        if (moves % 3 == 0) {
            cr_assert(s > before, "%lu after %lu", (unsigned long)s, (unsigned long)before);
            before = s;
        }
        moves++;
        day += s;
        agent_news_connected(&n, moves % 3, 10);
    }
    cr_assert(moves > 12 && moves <= 21, "%u", moves);
    uint32_t epoch = 10;
    honest(&epoch);
    uint64_t s = leaves(AGENT_NO_EPOCH, 3, 100000000);
    cr_assert(s <= 2260, "as patient as at first: %lu", (unsigned long)s);
}

static void draw(unsigned windows, uint32_t seats)
{
    for (unsigned i = 0; i < windows; i++)
        agent_news_drawn(&n, seats);
}

Test(news, seats_without_a_task)
{
    for (int i = 0; i < 100; i++) {
        draw(1, 1);
        (void)STAYS(2, 1);
        if (i % 31 == 30)
            agent_news_sealed(&n);
    }
    agent_news_sealed(&n);
    draw(31, 1);
    draw(100, 0); /* nothing was won */
    (void)STAYS(2, 30);
    draw(1, 1);
    (void)leaves(AGENT_NO_TASK, 2, 1);
    agent_news_connected(&n, 1, 10);
    draw(32, 1);
    (void)STAYS(2, 19); /* none of them can have come yet */
    (void)leaves(AGENT_NO_TASK, 2, 1);
    agent_news_connected(&n, 0, 10);
    draw(63, 1); /* nobody had one */
    (void)STAYS(2, 30);
    draw(1, 1);
    (void)leaves(AGENT_NO_TASK, 2, 1);
    agent_news_sealed(&n);
    draw(3, 100); /* a small fleet */
    (void)STAYS(2, 30);
    draw(1, 100);
    (void)leaves(AGENT_NO_TASK, 2, 1);
}

Test(news, time_asleep_or_alone_does_not_count)
{
    for (int i = 0; i < 1000; i++) {
        now += 60000;
        cr_assert_eq(agent_news_turn(&n, now, true, 2), AGENT_NOTHING_WITHHELD);
        now += 1000;
        cr_assert_eq(agent_news_turn(&n, now, false, 2), AGENT_NOTHING_WITHHELD);
    }
}

/* Another gateway does not pay for the one before. */
Test(news, the_next_one_has_its_time)
{
    (void)STAYS(2, 1790);
    agent_news_connected(&n, 1, 10);
    (void)STAYS(2, 1790);
    agent_news_connected(&n, 1, 10); /* the same one again, which went on and off */
    (void)leaves(AGENT_NO_EPOCH, 2, 470);
}

Test(news, no_epoch_was_ever_seen)
{
    agent_news_init(&n);
    trust(0, 0, true);
    agent_news_connected(&n, 0, 0);
    uint64_t s = leaves(AGENT_NO_EPOCH, 2, 100000);
    cr_assert(s >= 3 * 3600 && s <= 4 * 3600, "%lu", (unsigned long)s);
    agent_news_trust(&n, poa_slice("what is no record", 17));
    (void)STAYS(2, 3 * 3600);
}
