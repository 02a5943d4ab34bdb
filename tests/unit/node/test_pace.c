/* The floor for strangers while a server is busy. */
#include <criterion/criterion.h>

#include "poa_node_pace.h"

static struct node_pace p;
static uint64_t now;
static struct node_pace_seen seen;

static void begin(void)
{
    p = (struct node_pace){.floor = 0};
    now = 1000000;
    seen = (struct node_pace_seen){.txs = 5000};
}

/* LAG for MS; PER_S transactions of others, and 100 per second of strangers when LET_IN, which
 * are executed a second later. */
static uint32_t run(unsigned ms, uint64_t lag_us, unsigned per_s, bool let_in)
{
    uint32_t floor = p.floor;
    for (unsigned t = 0; t < ms; t += 10) {
        now += 10000;
        seen.lag_us = lag_us;
        seen.txs += t % 1000 == 0 ? per_s : 0;
        seen.txs += t % 1000 == 990 && let_in ? 100 : 0;
        seen.admitted += let_in;
        seen.accepted += let_in;
        if (node_pace_due(&p, now))
            floor = node_pace_floor(&p, now, &seen);
    }
    return floor;
}

Test(pace, no_floor_while_there_is_little_to_do)
{
    begin();
    cr_assert_eq(run(5000, 0, 100, true), NODE_PACE_LEAST);
    cr_assert_eq(run(5000, 20000, 100, true), NODE_PACE_LEAST);
    cr_assert_eq(run(5000, 70000, 100, true), NODE_PACE_LEAST);
}

Test(pace, looks_now_and_then)
{
    begin();
    cr_assert(node_pace_due(&p, now), "at the start");
    (void)node_pace_floor(&p, now, &seen);
    cr_assert(!node_pace_due(&p, now + NODE_PACE_EVERY_US - 1));
    cr_assert(node_pace_due(&p, now + NODE_PACE_EVERY_US));
}

/* A link of 300 ms is no sign of work. */
Test(pace, what_is_always_slow_is_not_busy)
{
    begin();
    cr_assert_eq(run(5000, 900000, 100, true), NODE_PACE_LEAST);
    cr_assert_eq(run(5000, 1700000, 100, true), NODE_PACE_LEAST);
    cr_assert_eq(run(100, 2000000, 100, false), 2 * NODE_PACE_LEAST);
}

Test(pace, the_floor_rises_while_what_pays_it_keeps_the_server_busy)
{
    begin();
    (void)run(1000, 20000, 100, false);
    cr_assert_eq(run(30, 200000, 100, false), 2 * NODE_PACE_LEAST);
    cr_assert_eq(run(5000, 200000, 100, false), 2 * NODE_PACE_LEAST, "others keep it busy");
    cr_assert_eq(run(30, 200000, 100, true), 4 * NODE_PACE_LEAST);
    cr_assert_eq(run(20000, 200000, 100, true), NODE_PACE_MOST);
}

Test(pace, the_floor_falls_when_it_was_calm_for_a_while)
{
    begin();
    (void)run(1000, 20000, 100, false);
    cr_assert_eq(run(100, 200000, 100, false), 2 * NODE_PACE_LEAST);
    cr_assert_eq(run(400, 20000, 100, false), 2 * NODE_PACE_LEAST);
    cr_assert_eq(run(40, 200000, 100, false), 2 * NODE_PACE_LEAST);
    cr_assert_eq(run(400, 20000, 100, false), 2 * NODE_PACE_LEAST, "it was busy in between");
    cr_assert_eq(run(200, 20000, 100, false), NODE_PACE_LEAST);
}

Test(pace, strangers_alone_make_room_for_nobody)
{
    begin();
    (void)run(1000, 20000, 0, true);
    cr_assert_eq(run(5000, 2000000, 0, true), NODE_PACE_LEAST);
    cr_assert(run(1500, 2000000, 100, true) > NODE_PACE_LEAST);
    cr_assert_eq(run(6000, 2000000, 0, true), NODE_PACE_LEAST, "the others are gone");
}

/* Others submit elsewhere: what the chain executes tells. */
Test(pace, a_flood_through_a_server_without_others_is_seen)
{
    begin();
    (void)run(3000, 20000, 0, true);
    cr_assert_eq(run(3000, 200000, 7, true), NODE_PACE_LEAST, "nearly nobody");
    cr_assert(run(3000, 200000, 50, true) > NODE_PACE_LEAST);
}

/* What was taken and never executed hides others for a while, not for good. */
Test(pace, what_is_never_executed_does_not_hide_the_others)
{
    begin();
    seen.accepted = 1000000;
    (void)run(1000, 20000, 100, false);
    cr_assert_eq(run(3000, 200000, 1000, false), NODE_PACE_LEAST);
    cr_assert(run(20000, 200000, 1000, false) > NODE_PACE_LEAST);
}

/* When what was fast is slow for good, that is how it is now. */
Test(pace, forgets_how_fast_it_was)
{
    begin();
    (void)run(1000, 20000, 100, false);
    cr_assert_eq(run(1000, 200000, 100, false), 2 * NODE_PACE_LEAST);
    cr_assert_eq(run(200000, 200000, 100, false), NODE_PACE_LEAST);
}
