/* When a node's answers are current. */
#include <criterion/criterion.h>

#include "poa_node_behind.h"

#define MEMBER(h)                                                                                  \
    {                                                                                              \
        .height = (h), .member = true, .up = true                                                  \
    }
#define LEFT(h)                                                                                    \
    {                                                                                              \
        .height = (h), .member = true                                                              \
    }
#define OTHER(h)                                                                                   \
    {                                                                                              \
        .height = (h), .up = true                                                                  \
    }

static struct node_behind b;

static void set_up(void)
{
    b = (struct node_behind){.known = false};
}

TestSuite(behind, .init = set_up);

#define LOOK(height, ...)                                                                          \
    (node_behind_look(&b, (const struct node_heard[]){__VA_ARGS__},                                \
                      sizeof((const struct node_heard[]){__VA_ARGS__}) /                           \
                          sizeof(struct node_heard),                                               \
                      height, false),                                                              \
     b.current)

Test(behind, nobody_has_spoken)
{
    node_behind_look(&b, NULL, 0, 500, false);
    cr_expect_not(b.current);
    cr_expect_not(b.known);
    node_behind_look(&b, NULL, 0, 500, true);
    cr_expect(b.current, "it makes the blocks alone");
}

Test(behind, a_fresh_network)
{
    cr_expect_not(LOOK(0, OTHER(0)), "a follower that knows nothing itself");
    cr_expect(LOOK(0, MEMBER(0)));
}

Test(behind, catches_up_and_falls_behind)
{
    cr_expect_not(LOOK(0, MEMBER(3319)));
    cr_expect_eq(b.target, 3319);
    cr_expect_not(LOOK(3300, MEMBER(3319)), "near is not there");
    cr_expect(LOOK(3317, MEMBER(3319)));
    cr_expect(LOOK(3320, MEMBER(3340)), "blocks come in bursts");
    cr_expect_not(LOOK(3320, MEMBER(3341)));
    cr_expect_not(LOOK(3330, MEMBER(3341)));
    cr_expect(LOOK(3345, MEMBER(3341)), "its own tip may be newer than what it heard");
}

Test(behind, a_server_that_hangs_up_is_not_forgotten)
{
    cr_expect_not(LOOK(2088, MEMBER(8553)));
    cr_expect_not(LOOK(2088, LEFT(8553)));
    cr_expect_not(LOOK(2088, LEFT(8553), OTHER(2090)), "the other one syncs too");
    cr_expect_eq(b.target, 8553);
    cr_expect_not(LOOK(8553, LEFT(8553), OTHER(9000)));
    cr_expect(LOOK(9000, LEFT(8553), OTHER(9000)));
}

Test(behind, a_server_that_starts_again)
{
    uint64_t said = node_behind_highest(0, 1770);
    cr_expect_not(LOOK(672, MEMBER(said)));
    said = node_behind_highest(said, 672); /* it executes its own blocks */
    cr_expect_not(LOOK(672, MEMBER(said)));
    said = node_behind_highest(said, 1785);
    cr_expect_not(LOOK(1770, MEMBER(said)));
    cr_expect(LOOK(1785, MEMBER(said)));
}

Test(behind, who_hears_nothing_any_more_has_old_blocks)
{
    const uint64_t stall_us = 3000000;
    cr_expect(LOOK(100, MEMBER(100)));
    cr_expect(LOOK(100, LEFT(100)), "nobody says that something is missing");
    cr_expect_not(node_behind_old(2999999, stall_us, true));
    cr_expect(node_behind_old(3000000, stall_us, true));
    cr_expect_not(node_behind_old(17999999, stall_us, false));
    cr_expect(node_behind_old(18000000, stall_us, false));
}

Test(behind, members_go_before_the_rest)
{
    cr_expect_not(LOOK(100, MEMBER(8553), OTHER(90), OTHER(100), OTHER(80)));
    set_up();
    cr_expect(LOOK(8553, MEMBER(8553), OTHER(99999), OTHER(99999)), "whatever strangers say");
    set_up();
    cr_expect(LOOK(8560, MEMBER(8560), LEFT(99999)), "nor those who left");
}

Test(behind, no_single_one_decides)
{
    cr_expect(LOOK(100, MEMBER(100), MEMBER(101), MEMBER(UINT64_MAX)));
    set_up();
    cr_expect_not(LOOK(0, MEMBER(0), MEMBER(101), MEMBER(101)));
    set_up();
    cr_expect(LOOK(100, OTHER(100), OTHER(UINT64_MAX)));
}

Test(behind, what_is_left_does_not_jump_with_every_reading)
{
    const struct node_behind_pace all = {1000, 10000000}, slow = {50, 5000000},
                                  fast = {5000, 5000000}, none = {0, 5000000};
    cr_expect_eq(node_behind_left_s(all, all, 1000), 11);
    cr_expect_eq(node_behind_left_s(all, slow, 1000), 19, "0.5 of 100 and of 10 per second");
    cr_expect_eq(node_behind_left_s(all, fast, 1000), 2);
    cr_expect_eq(node_behind_left_s(all, none, 1000), 21);
    cr_expect_eq(node_behind_left_s(none, none, 1000), 0, "not known");
    cr_expect_eq(node_behind_left_s(none, (struct node_behind_pace){0, 0}, 1000), 0);
    cr_expect_eq(node_behind_left_s(slow, slow, UINT64_MAX), UINT64_C(1000000000000));
}

Test(behind, a_process_that_stood_still_accuses_nobody)
{
    cr_expect_not(node_behind_paused(5000000, 5000000));
    cr_expect_not(node_behind_paused(5000000, 7999999), "a busy machine");
    cr_expect(node_behind_paused(5000000, 8000000));
    cr_expect_not(node_behind_paused(5000000, 4000000));
    cr_expect(node_behind_paused(0, 8000000), "so the time counts from the first round on");
}
