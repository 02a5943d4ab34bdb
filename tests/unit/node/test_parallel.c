/* Work that threads share. */
#include "poa_node_parallel.h"
#include "support.h"

#define TASKS 1000

static _Atomic uint32_t done[TASKS];

static void task(void *arg, uint32_t i)
{
    cr_assert_eq(arg, (void *)done);
    done[i]++;
}

Test(parallel, each_task_runs_once)
{
    for (uint32_t n = 0; n <= TASKS; n += 250) {
        for (uint32_t i = 0; i < TASKS; i++)
            done[i] = 0;
        node_parallel(NULL, task, done, n);
        for (uint32_t i = 0; i < TASKS; i++)
            cr_assert_eq(done[i], i < n, "%u of %u", i, n);
    }
    cr_assert_geq(node_cores(), 1);
}
