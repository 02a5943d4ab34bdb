/* Readings that a command prints. */
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "poa_agent.h"

#define T UINT64_C(1600000000000)

/* What COMMAND gives, once it has ended. */
static struct agent_exec *e;
static const struct agent_reading *r;
static size_t n;

static int run(const char *command)
{
    struct poa_why why = {""};
    int rc = POA_E_AGAIN;
    cr_assert_eq(agent_exec_open(command, &e, &why), POA_OK, "%s", why.text);
    agent_exec_start(e, 1, T);
    agent_exec_start(e, 2, T + 5); /* it runs already */
    for (int i = 0; i < 3000 && rc == POA_E_AGAIN; i++) {
        struct pollfd p = {.fd = agent_exec_fd(e), .events = POLLIN};
        poll(&p, 1, 10);
        rc = agent_exec_read(e, 10, &r, &n);
    }
    return rc;
}

Test(exec, lines_become_readings)
{
    cr_assert_eq(run("echo 'power 12.5 W'; echo temp=-3; echo; echo 'state on'; printf 'a "
                     "b,7\\nx,8,%%RH\\n'"),
                 POA_OK);
    cr_assert_eq(n, 3);
    cr_expect_str_eq(r[0].name, "power");
    cr_expect_str_eq(r[0].number, "12.5");
    cr_expect_str_eq(r[0].unit, "W");
    cr_expect_eq(r[0].time_ms, T);
    cr_expect_str_eq(r[1].name, "temp");
    cr_expect_str_eq(r[1].number, "-3");
    cr_expect_null(r[1].unit);
    cr_expect_str_eq(r[2].name, "x");
    cr_expect_str_eq(r[2].unit, "%RH");
    cr_expect_eq(agent_exec_fd(e), -1);
    agent_exec_close(e);
}

Test(exec, a_value_that_no_double_holds_is_left_out)
{
    cr_assert_eq(run("echo t 1e400; echo u 1e30"), POA_OK);
    cr_assert_eq(n, 1);
    cr_expect_str_eq(r[0].number, "1e30");
    agent_exec_close(e);
}

Test(exec, a_command_that_fails_gives_nothing)
{
    cr_assert_eq(run("echo power 1; exit 3"), POA_OK);
    cr_expect_eq(n, 0);
    agent_exec_close(e);
    cr_assert_eq(run("echo power 1; kill -9 $$"), POA_OK);
    cr_expect_eq(n, 0);
    agent_exec_close(e);
    cr_assert_eq(run("/nowhere/at/all 2>/dev/null"), POA_OK);
    cr_expect_eq(n, 0);
    agent_exec_close(e);
}

Test(exec, very_much_output_is_bounded)
{
    cr_assert_eq(run("i=0; while [ $i -lt 3000 ]; do echo v$i $i; i=$((i + 1)); done"), POA_OK);
    cr_expect_eq(n, AGENT_EXEC_READINGS);
    agent_exec_close(e);
}

Test(exec, one_that_hangs_is_killed, .timeout = 60)
{
    struct poa_why why = {""};
    cr_assert_eq(agent_exec_open("echo power 1; sleep 1000", &e, &why), POA_OK);
    agent_exec_start(e, 1000, T);
    int first = agent_exec_fd(e);
    cr_assert_geq(first, 0);
    usleep(50000);
    cr_expect_eq(agent_exec_read(e, 1050, &r, &n), POA_E_AGAIN);
    cr_expect_eq(agent_exec_read(e, 30999, &r, &n), POA_E_AGAIN);
    cr_expect_eq(agent_exec_fd(e), first);
    /* Nothing of it counts, whenever the next one is due. */
    cr_expect_eq(agent_exec_read(e, 31000, &r, &n), POA_OK);
    cr_expect_eq(n, 0);
    cr_expect_eq(agent_exec_fd(e), -1);
    agent_exec_start(e, 31001, T + 30000);
    cr_expect_geq(agent_exec_fd(e), 0);
    agent_exec_close(e); /* does not wait for it */
}

Test(exec, one_that_never_stops_talking_is_killed, .timeout = 60)
{
    struct poa_why why = {""};
    cr_assert_eq(agent_exec_open("yes power 1", &e, &why), POA_OK);
    agent_exec_start(e, 1000, T);
    for (uint64_t now = 1000; now < 31000; now += 100)
        cr_assert_eq(agent_exec_read(e, now, &r, &n), POA_E_AGAIN);
    cr_expect_eq(agent_exec_read(e, 31000, &r, &n), POA_OK);
    cr_expect_eq(n, 0);
    agent_exec_close(e);
}

Test(exec, no_command)
{
    struct poa_why why = {""};
    cr_assert_eq(agent_exec_open("", &e, &why), POA_E_CONFIG);
    cr_expect_gt(strlen(why.text), 0);
}
