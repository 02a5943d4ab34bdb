/* What a runner must let pass, in every profile: see planted.sh. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdlib.h>

static int order;

static void suite_up(void)
{
    order = 1;
}

static void test_up(void)
{
    order = order * 10 + 2;
}

static void test_down(void)
{
    if (order != 123)
        abort();
}

TestSuite(good, .init = suite_up);

Test(good, fixtures, .init = test_up, .fini = test_down)
{
    cr_assert_eq(order, 12);
    order = order * 10 + 3;
}

Test(good, expected_signal, .signal = SIGABRT)
{
    abort();
}

Test(good, expected_exit, .exit_code = 7)
{
    exit(7);
}

Test(good, not_run, .disabled = true)
{
    abort();
}

Test(good, new_assertions)
{
    cr_assert(all(eq(int, 1, 1), eq(str, "a", "a"), not(eq(int, 1, 2))));
}

ParameterizedTestParameters(good, parameters)
{
    static int values[] = {3, 5, 7};
    return cr_make_param_array(int, values, sizeof values / sizeof values[0]);
}

ParameterizedTest(int *value, good, parameters)
{
    cr_assert_eq(*value % 2, 1);
}
