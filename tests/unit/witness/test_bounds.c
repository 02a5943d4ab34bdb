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

Test(bounds, plan_is_the_smallest_that_meets_its_target)
{
    static const double ps[] = {0, 0.01, 0.05, 0.1}, targets[] = {1e-3, 1e-6, 1e-9};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 3; k++) {
            uint32_t n = 0, q = 0;
            int found = poa_bounds_plan(ps[i], 0.02, targets[k], targets[k], 128, &n, &q);
            for (uint32_t m = 1; m <= 128 && (found || m <= n); m++)
                for (uint32_t j = m - (m - 1) / 3; j <= m; j++) {
                    struct poa_bounds b = poa_bounds_binomial(m, j, ps[i], 0.02);
                    bool meets = b.fork.value <= targets[k] && b.stall.value <= targets[k];
                    cr_expect_eq(meets && (m < n || j < q), 0, "p=%g: n=%u q=%u", ps[i], m, j);
                    cr_expect(m != n || j != q || meets, "p=%g: n=%u q=%u", ps[i], m, j);
                }
        }
    uint32_t n, q;
    cr_expect_eq(poa_bounds_plan(0.4, 0, 1e-12, 1e-12, 64, &n, &q), -1);
}

/* Safety and liveness may have targets of their own. */
Test(bounds, plan_with_two_targets)
{
    uint32_t n, q, n2, q2;
    cr_assert_eq(poa_bounds_plan(0.05, 0.05, 1e-9, 1e-9, 128, &n, &q), 0);
    cr_assert_eq(poa_bounds_plan(0.05, 0.05, 1e-9, 1e-3, 128, &n2, &q2), 0);
    cr_expect_lt(n2, n);
    struct poa_bounds b = poa_bounds_binomial(n2, q2, 0.05, 0.05);
    cr_expect(b.fork.value <= 1e-9 && b.stall.value <= 1e-3 && b.stall.value > 1e-9);
}

/* The honest members of a drawn committee are offline at random: the sum over
 * how many bad ones were drawn, by counting. */
Test(bounds, pool_stall_matches_exhaustive_sum)
{
    for (unsigned m = 4; m <= 24; m += 4)
        for (unsigned b = 0; b <= m / 2; b++)
            for (unsigned n = 4; n <= m; n += 3) {
                unsigned q = n - (n - 1) / 3;
                long double want = 0;
                for (unsigned x = 0; x <= n && x <= b; x++)
                    for (unsigned off = 0; off <= n - x && n - x <= m - b; off++)
                        if (x + off >= n - q + 1)
                            want += choose(b, x) * choose(m - b, n - x) / choose(m, n) *
                                    choose(n - x, off) * powl(0.03L, off) *
                                    powl(0.97L, n - x - off);
                double got = poa_bounds_pool(n, q, m, b, 0.03).stall.value;
                cr_assert(near(got, (double)want, 1e-11), "m=%u b=%u n=%u: %.17g, not %.17Lg", m, b,
                          n, got, want);
            }
}

/* A stall that needs many to be offline at once keeps its digits. */
Test(bounds, pool_stall_far_out)
{
    struct poa_bounds b = poa_bounds_pool(64, 43, 1000, 10, 1e-12);
    long double want = 0; /* 22 of 64: up to 10 bad, the rest offline */
    for (unsigned x = 0; x <= 10; x++) {
        long double h = 1; /* C(10,x) C(990,64-x) / C(1000,64) */
        h *= choose(10, x);
        for (unsigned i = 0; i < 64 - x; i++)
            h *= (long double)(990 - i) / (i + 1);
        for (unsigned i = 0; i < 64; i++)
            h /= (long double)(1000 - i) / (i + 1);
        long double off = 0;
        for (unsigned k = 22 - x; k <= 64 - x; k++)
            off += expl(lgammal(65 - x) - lgammal(k + 1) - lgammal(65 - x - k) + k * logl(1e-12L)) *
                   powl(1 - 1e-12L, 64 - x - k);
        want += h * off;
    }
    cr_expect(near(b.stall.value, (double)want, 1e-10), "%g, not %Lg", b.stall.value, want);
    cr_expect(b.stall.value < 1e-130);
}

/* A group that falls as a whole is a committee without it, with thresholds that
 * much lower. */
Test(bounds, correlated_groups)
{
    struct poa_bounds none = poa_bounds_binomial(31, 21, 0.05, 0.01);
    struct poa_bounds b = poa_bounds_correlated(31, 21, 0.05, 0.01, 0);
    cr_expect_eq(b.fork.value, none.fork.value);
    cr_expect_eq(b.stall.value, none.stall.value);
    double last = b.fork.value;
    for (uint32_t c = 1; c <= 10; c++) {
        b = poa_bounds_correlated(31, 21, 0.05, 0.01, c);
        cr_expect_gt(b.fork.value, last);
        cr_expect(near(b.fork.value, poa_binomial_tail(31 - c, 0.05, 11 - c).value, 1e-13));
        last = b.fork.value;
    }
    cr_expect_eq(poa_bounds_correlated(31, 21, 0.05, 0.01, 11).fork.value, 1.0);
    cr_expect_eq(poa_bounds_correlated(31, 21, 0.05, 0.01, 31).forge.value, 1.0);
}

/* The figures of docs/witness.md: 192 seats, 63 seals. */
Test(bounds, seals)
{
    struct poa_seal_bounds b = poa_bounds_seals(192, 63, 0.1, 0.4);
    cr_expect(near(b.forge.value, 2.32e-15, 0.01), "%g", b.forge.value);
    cr_expect(near(b.delay.value, 6.75e-6, 0.01), "%g", b.delay.value);
    cr_expect(near(poa_bounds_seals(192, 63, 0.2, 0.4).forge.value, 2e-4, 0.2));
    /* A fixed number of seats varies less than a Poisson one. */
    struct poa_seal_bounds drawn = poa_bounds_seals_drawn(192, 63, 0.1, 0.4);
    cr_expect_eq(drawn.forge.value, poa_binomial_tail(192, 0.1, 63).value);
    cr_expect_eq(drawn.delay.value, poa_binomial_below(192, 0.9 * 0.6, 63).value);
    cr_expect(drawn.forge.value < b.forge.value && drawn.delay.value < b.delay.value);
    /* A large fleet is Poisson; a small one has too few devices to be so wild. */
    struct poa_seal_bounds fleet = poa_bounds_seals_fleet(192, 100000000, 0, 63, 0.1, 0.4);
    cr_expect(near(fleet.forge.value, b.forge.value, 1e-3), "%g", fleet.forge.value);
    cr_expect(near(fleet.delay.value, b.delay.value, 1e-3), "%g", fleet.delay.value);
    fleet = poa_bounds_seals_fleet(192, 40, 0, 63, 0.1, 0.4);
    cr_expect_eq(fleet.forge.value, 0.0);
    cr_expect_eq(fleet.delay.value, 1.0);
    /* One draw each, certain to win: everybody is seated. */
    fleet = poa_bounds_seals_fleet(50, 50, 1, 20, 0.3, 0);
    cr_expect(near(fleet.forge.value, poa_binomial_tail(50, 0.3, 20).value, 1e-12));
    /* Nonsense is clamped. */
    cr_expect_eq(poa_bounds_seals(192, 63, -1, 0).forge.value, 0.0);
    cr_expect_eq(poa_bounds_seals(192, 63, 2, 0).delay.value, 1.0);
    cr_expect_eq(poa_bounds_seals(192, 0, 0.5, 0).forge.value, 1.0);
}
