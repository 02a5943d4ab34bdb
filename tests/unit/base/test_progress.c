#include <criterion/criterion.h>

#include "poa_progress.h"

#define S UINT64_C(1000000)

Test(progress, speaks_seldom_in_a_log)
{
    struct poa_progress p = {0};
    unsigned lines = 0;
    cr_assert_not(poa_progress_due(&p, "replaying", 5 * S, false));
    cr_assert_not(poa_progress_due(&p, "replaying", 7 * S - 1, false));
    cr_assert(poa_progress_due(&p, "replaying", 7 * S, false));
    cr_assert_not(poa_progress_due(&p, "replaying", 8 * S, false));
    for (uint64_t t = 8; t < 7200; t++)
        lines += poa_progress_due(&p, "replaying", t * S, false);
    cr_assert(lines > 120 && lines < 180, "%u lines in two hours", lines);
    cr_assert_not(poa_progress_due(&p, "executing", 7300 * S, false), "another part begins anew");
    cr_assert(poa_progress_due(&p, "executing", 7302 * S, false));
}

Test(progress, speaks_every_second_on_a_terminal)
{
    struct poa_progress p = {0};
    unsigned lines = 0;
    for (uint64_t t = 0; t < 600; t++)
        lines += poa_progress_due(&p, "x", 3 * S + t * S / 10, true);
    cr_assert_eq(lines, 59);
}

static const char *text(uint64_t age_s, uint64_t done, uint64_t total)
{
    static char out[POA_PROGRESS_TEXT_MAX];
    struct poa_progress p = {.what = "x", .begun_us = 9 * S};
    poa_progress_text(&p, (9 + age_s) * S, done, total, out);
    return out;
}

Test(progress, says_what_is_left)
{
    cr_assert_str_eq(text(10, 0, 100), "0 %");
    cr_assert_str_eq(text(0, 10, 100), "10 %");
    cr_assert_str_eq(text(10, 25, 100), "25 %, 30 s left");
    cr_assert_str_eq(text(100, 25, 100), "25 %, 5 min left");
    cr_assert_str_eq(text(10000, 25, 100), "25 %, 8 h left");
    cr_assert_str_eq(text(10, 100, 100), "100 %, 0 s left");
    cr_assert_str_eq(text(10, 101, 100), "100 %, 0 s left");
    cr_assert_str_eq(text(10, 77, 0), "77");
    cr_assert_str_eq(text(4, UINT64_MAX / 2, UINT64_MAX), "50 %, 4 s left");
    cr_assert_str_eq(text(2, 1, UINT64_MAX), "0 %, 277777777 h left");
}
