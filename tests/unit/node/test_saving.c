/* When the state is saved. Time is a number here. */
#include <criterion/criterion.h>

#include "poa_node_saving.h"

#define S UINT64_C(1000000)

static struct node_saved last;
static struct node_saving now;
static uint32_t saves;
static uint64_t lost_us, lost_blocks; /* by a kill at the worst moment */

static void set_up(void)
{
    last = (struct node_saved){.height = 1000, .txs = 5000, .at_us = 100 * S};
    now = (struct node_saving){.each_us = 60 * S,
                               .each_blocks = 10000,
                               .now_us = last.at_us,
                               .height = last.height,
                               .txs = last.txs};
    saves = 0;
    lost_us = lost_blocks = 0;
}

TestSuite(saving, .init = set_up);

/* SECONDS in which so many blocks come in each, looked at once a second as the node does. */
static void run(uint64_t seconds, uint64_t blocks)
{
    uint64_t saved_us = now.now_us;
    while (seconds--) {
        now.now_us += S;
        now.height += blocks;
        lost_us = now.now_us - saved_us > lost_us ? now.now_us - saved_us : lost_us;
        uint64_t missing = now.height - last.height;
        lost_blocks = missing > lost_blocks ? missing : lost_blocks;
        if (!node_saving_due(&now, &last))
            continue;
        last = (struct node_saved){now.height, now.txs, now.now_us};
        saved_us = now.now_us;
        saves++;
    }
}

Test(saving, by_time)
{
    run(3600, 1);
    cr_expect_eq(saves, 60);
    cr_expect_eq(lost_us, 60 * S);
}

Test(saving, by_blocks)
{
    now.each_us = 86400 * S;
    run(100, 500);
    cr_expect_eq(saves, 5);
    cr_expect_eq(lost_blocks, 10000);
}

/* Who is killed in a catch-up of an hour begins again 10 s before, whatever the configuration
 * says of quiet times. */
Test(saving, every_ten_seconds_of_a_long_catch_up)
{
    now.each_us = 86400 * S;
    now.each_blocks = 1000000;
    now.far = true;
    run(3600, 200);
    cr_expect_eq(saves, 360, "%u", saves);
    cr_expect_eq(lost_us, NODE_SAVING_FAR_US);
    cr_expect_eq(lost_blocks, 2000);
    now.far = false;
    run(3600, 1);
    cr_expect_eq(saves, 360, "%u", saves);
}

/* One that looks rarely, because each of its steps takes long. */
Test(saving, at_the_next_look_after_ten_seconds)
{
    now.each_us = 86400 * S;
    now.far = true;
    now.now_us = last.at_us + NODE_SAVING_FAR_US - 1;
    cr_expect_not(node_saving_due(&now, &last));
    now.now_us = last.at_us + NODE_SAVING_FAR_US;
    cr_expect(node_saving_due(&now, &last));
    now.now_us = last.at_us + 7 * NODE_SAVING_FAR_US;
    cr_expect(node_saving_due(&now, &last));
}

Test(saving, a_catch_up_makes_it_no_rarer)
{
    now.each_us = 3 * S;
    now.far = true;
    run(300, 10);
    cr_expect_eq(saves, 100);
}

Test(saving, what_a_start_would_be_slow_with)
{
    cr_expect_not(node_saving_worth(&now, &last), "nothing new");
    now.height = last.height + 1000;
    cr_expect_not(node_saving_worth(&now, &last), "a thousand empty blocks");
    now.height++;
    cr_expect(node_saving_worth(&now, &last));
    now.height = last.height + 1;
    now.txs = last.txs + 49950;
    cr_expect_not(node_saving_worth(&now, &last));
    now.txs++;
    cr_expect(node_saving_worth(&now, &last));
}

Test(saving, once_it_has_caught_up)
{
    now.height += 1000;
    now.caught_up = true;
    cr_expect_not(node_saving_due(&now, &last), "not worth it");
    now.height++;
    cr_expect(node_saving_due(&now, &last));
    now.caught_up = false;
    cr_expect_not(node_saving_due(&now, &last), "and only then");
}
