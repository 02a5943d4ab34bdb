/* What a runner must not let pass, in every profile: see planted.sh. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <stdlib.h>

Test(bad, assertion)
{
    cr_assert_eq(1, 2);
    abort();
}

Test(bad, expectation_goes_on)
{
    cr_expect_eq(1, 2);
}

Test(bad, new_assertion)
{
    cr_assert(eq(int, 1, 2));
}

Test(bad, crash)
{
    raise(SIGKILL);
}

Test(bad, missing_signal, .signal = SIGABRT)
{
}

Test(bad, missing_exit, .exit_code = 7)
{
}

Test(bad, unexpected_exit)
{
    exit(3);
}

Test(bad, never_ends, .timeout = 0.1)
{
    for (;;)
        ;
}
