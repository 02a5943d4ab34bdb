/* The tails against published values and against exhaustive sums. */
#include <criterion/criterion.h>
#include <math.h>

#include "poa_bounds.h"

static double near(double got, double want, double tolerance)
{
    return want == 0 ? got == 0 : fabs(got / want - 1) <= tolerance;
}

/* Pascal's rule in long double: exact enough for n <= 60. */
static long double choose(unsigned n, unsigned k)
{
    long double c = 1;
    if (k > n)
        return 0;
    for (unsigned i = 1; i <= k; i++)
        c = c * (n - k + i) / i;
    return c;
}

Test(bounds, binomial_matches_exhaustive_sum)
{
    static const double ps[] = {1e-9, 0.001, 0.05, 0.1, 0.3, 0.5, 0.77, 0.999};
    for (unsigned n = 1; n <= 40; n += 3)
        for (unsigned i = 0; i < sizeof ps / sizeof *ps; i++)
            for (unsigned t = 0; t <= n + 1; t++) {
                long double want = 0;
                for (unsigned k = t; k <= n; k++)
                    want += choose(n, k) * powl(ps[i], k) * powl(1 - (long double)ps[i], n - k);
                struct poa_prob got = poa_binomial_tail(n, ps[i], t);
                cr_assert(near(got.value, (double)want, 1e-11), "n=%u p=%g t=%u: %.17g, not %.17Lg",
                          n, ps[i], t, got.value, want);
            }
}

Test(bounds, hypergeometric_matches_exhaustive_sum)
{
    for (unsigned m = 1; m <= 30; m += 2)
        for (unsigned b = 0; b <= m; b += 3)
            for (unsigned n = 1; n <= m; n += 2)
                for (unsigned t = 0; t <= n + 1; t++) {
                    long double want = 0;
                    for (unsigned k = t; k <= n; k++)
                        if (n - k <= m - b)
                            want += choose(b, k) * choose(m - b, n - k) / choose(m, n);
                    double got = poa_hypergeometric_tail(m, b, n, t).value;
                    cr_assert(fabs(got - (double)want) <= 1e-12 + 1e-11 * (double)want,
                              "m=%u b=%u n=%u t=%u: %.17g, not %.17Lg", m, b, n, t, got, want);
                }
}

Test(bounds, poisson_matches_series)
{
    static const double means[] = {0.1, 3, 19.2, 63, 192};
    for (unsigned i = 0; i < sizeof means / sizeof *means; i++)
        for (unsigned t = 0; t <= 300; t += 7) {
            long double term = expl(-(long double)means[i]), below = 0, above = 0;
            for (unsigned k = 0; k < 900; k++) {
                if (k < t)
                    below += term;
                else
                    above += term;
                term = term * means[i] / (k + 1);
            }
            cr_assert(near(poa_poisson_below(means[i], t).value, (double)below, 1e-11));
            cr_assert(near(poa_poisson_tail(means[i], t).value, (double)above, 1e-11));
        }
}

/* The committees that docs/witness.md names. */
Test(bounds, known_committees)
{
    struct poa_bounds b = poa_bounds_binomial(31, 21, 0.1, 0);
    cr_expect(near(b.forge.value, 1.6e-14, 0.05), "%g", b.forge.value);
    cr_expect(near(b.fork.value, 1.3e-4, 0.05), "%g", b.fork.value);
    b = poa_bounds_binomial(64, 43, 0.05, 0);
    cr_expect(near(b.fork.value, 2.5e-13, 0.1), "%g", b.fork.value);
}

/* Far below the smallest double only the logarithm is left. */
Test(bounds, underflow_keeps_the_logarithm)
{
    struct poa_prob a = poa_binomial_tail(10000, 1e-6, 5000);
    cr_expect_eq(a.value, 0.0);
    cr_expect(a.ln < -60000 && a.ln > -70000, "%g", a.ln);
}

/* A pool of which all are drawn, and a binomial limit. */
Test(bounds, pool_limits)
{
    cr_expect_eq(poa_bounds_pool(10, 7, 10, 3, 0).fork.value, 0.0);
    cr_expect_eq(poa_bounds_pool(10, 7, 10, 4, 0).fork.value, 1.0);
    cr_expect_eq(poa_bounds_pool(10, 7, 10, 4, 0).stall.value, 1.0);
    struct poa_bounds pool = poa_bounds_pool(31, 21, 1000000, 100000, 0.05);
    struct poa_bounds free = poa_bounds_binomial(31, 21, 0.1, 0.05);
    cr_expect(near(pool.fork.value, free.fork.value, 1e-2));
    cr_expect(near(pool.stall.value, free.stall.value, 1e-2), "%g %g", pool.stall.value,
              free.stall.value);
}

Test(bounds, plan_meets_its_target)
{
    uint32_t n, q;
    cr_assert_eq(poa_bounds_plan(0.05, 0.01, 1e-9, 128, &n, &q), 0);
    struct poa_bounds b = poa_bounds_binomial(n, q, 0.05, 0.01);
    cr_expect(b.fork.value <= 1e-9 && b.stall.value <= 1e-9, "n=%u q=%u", n, q);
    cr_expect_eq(poa_bounds_plan(0.4, 0, 1e-12, 64, &n, &q), -1);
}
