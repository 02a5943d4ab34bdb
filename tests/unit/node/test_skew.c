/* Whether the clock agrees with the blocks. */
#include <criterion/criterion.h>

#include "poa_node_skew.h"

static struct node_skew s;
static uint64_t now;

/* BLOCKS, one per second, the K-th LATE[K % N] ms old; how often a while ended. */
static unsigned saw(unsigned blocks, const int64_t *late, unsigned n)
{
    unsigned ended = 0;
    for (unsigned k = 0; k < blocks; k++) {
        now += 1000000;
        ended += node_skew_saw(&s, now, 1700000000000, 1700000000000 - (uint64_t)late[k % n]);
    }
    return ended;
}

static void begin(void)
{
    s = (struct node_skew){.blocks = 0};
    now = 5;
}

Test(skew, late_blocks_are_no_wrong_clock)
{
    begin();
    cr_assert_eq(saw(11, (const int64_t[]){9000, 4000, 20, 30000}, 4), 1);
    cr_assert_eq(s.ms, 20);
}

Test(skew, a_wrong_clock_is_wrong_by_the_nearest)
{
    begin();
    cr_assert_eq(saw(11, (const int64_t[]){2100, 2020, 5000}, 3), 1);
    cr_assert_eq(s.ms, 2020);
    cr_assert_eq(saw(11, (const int64_t[]){-3600000, -3599990}, 2), 1);
    cr_assert_eq(s.ms, -3599990, "behind, and what was before is forgotten");
}

Test(skew, a_few_blocks_say_nothing)
{
    begin();
    cr_assert_eq(saw(7, (const int64_t[]){5000}, 1), 0);
    now += 60000000;
    cr_assert_eq(s.ms, 0);
    cr_assert_eq(saw(1, (const int64_t[]){5000}, 1), 1);
}
