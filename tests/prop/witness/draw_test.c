/* The draw of committees over thousands of epochs.
 *
 * Statistical tests fail by chance less than once in 10^9 runs. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "poa_bounds.h"
#include "poa_witness.h"
#include "seed.h"

#define EPOCHS   10000u
#define POOL_MAX 200u
#define UNLIKELY 1e-9

static struct poa_candidate pool[POOL_MAX];

static uint32_t draw(const struct poa_committee_rule *rule, const struct seed *s, uint32_t epoch,
                     uint32_t n)
{
    uint8_t seed[32] = {0};
    poa_put_le64(seed, s->value);
    poa_put_le32(seed + 8, epoch);
    return poa_committee_draw(rule, seed, pool, n);
}

static struct poa_candidate candidate(uint32_t i, uint32_t maker, uint32_t region,
                                      uint32_t provider)
{
    struct poa_candidate c = {
        .member = {.maker = maker, .region = (uint16_t)region, .provider = provider}};
    poa_put_le32(c.member.key, i + 1);
    return c;
}

/* P[a chi-squared variable of DF degrees is above X], rounded up to even DF,
 * where it is a Poisson tail. */
static double chi2_above(double x, uint32_t df)
{
    return poa_poisson_below(x / 2, (df + 1) / 2).value;
}

/* P[counts as far from N draws of P or farther]; both sides. */
static double binomial_two_sided(uint32_t n, double p, uint32_t x)
{
    double low = poa_binomial_below(n, p, x + 1).value, high = poa_binomial_tail(n, p, x).value;
    return 2 * (low < high ? low : high);
}

/* A world as uneven as the real one: 200 nodes of 12 makers, of which the
 * largest has 30 %, in 8 regions, at 9 providers. */
static void uneven_pool(struct seed *s)
{
    static const uint32_t share[12] = {30, 20, 12, 10, 8, 5, 4, 3, 3, 2, 2, 1};
    for (uint32_t i = 0; i < POOL_MAX; i++) {
        uint32_t at = seed_below(s, 100), maker = 0;
        while (at >= share[maker])
            at -= share[maker++];
        pool[i] = candidate(i, maker, seed_below(s, 8), seed_below(s, 9));
    }
}

static void assert_caps(struct seed *s, const struct poa_committee_rule *rule, uint32_t n,
                        uint32_t slack)
{
    uint32_t maker[16] = {0}, region[16] = {0}, provider[16] = {0}, seats = 0;
    uint64_t taken[4] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const struct poa_candidate *c = &pool[i];
        if (!c->seat)
            continue;
        seats++;
        seed_assert(s, c->seat <= rule->size, "seat %u", c->seat);
        taken[(c->seat - 1) / 64] |= (uint64_t)1 << (c->seat - 1) % 64;
        maker[c->member.maker]++;
        region[c->member.region]++;
        provider[c->member.provider]++;
    }
    seed_assert(s, seats == rule->size, "%u seats of %u", seats, rule->size);
    for (uint32_t i = 0; i < seats; i++)
        seed_assert(s, taken[i / 64] >> i % 64 & 1, "seat %u is empty", i);
    for (int g = 0; g < 16; g++)
        seed_assert(s,
                    (!rule->cap_maker || maker[g] <= rule->cap_maker + slack) &&
                        (!rule->cap_region || region[g] <= rule->cap_region + slack) &&
                        (!rule->cap_provider || provider[g] <= rule->cap_provider + slack),
                    "group %d: %u of a maker, %u of a region, %u of a provider", g, maker[g],
                    region[g], provider[g]);
}

Test(draw, caps_hold_for_ten_thousand_epochs)
{
    static const struct poa_committee_rule rules[] = {
        {.size = 31, .cap_maker = 6, .cap_region = 6, .cap_provider = 6},
        {.size = 31, .cap_maker = 4, .cap_region = 4, .cap_provider = 4},
        {.size = 64, .cap_maker = 8, .cap_region = 9, .cap_provider = 8},
    };
    struct seed s = seed_take();
    for (size_t r = 0; r < 3; r++) {
        uneven_pool(&s);
        for (uint32_t epoch = 0; epoch < EPOCHS / (r == 2 ? 200 : 1); epoch++) {
            uint32_t slack = draw(&rules[r], &s, epoch, POOL_MAX);
            /* The last rule leaves little choice; the pool may lack it. */
            seed_assert(&s, slack == 0 || r == 2, "epoch %u: raised by %u", epoch, slack);
            assert_caps(&s, &rules[r], POOL_MAX, slack);
        }
    }
}

/* Smallest raise with which any committee at all keeps the caps: all subsets. */
static uint32_t least_slack(const struct poa_committee_rule *rule, uint32_t n)
{
    uint32_t least = rule->size;
    for (uint32_t set = 0; set < 1u << n; set++) {
        uint32_t need = 0;
        if (__builtin_popcount(set) != rule->size)
            continue;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t maker = 0, region = 0, provider = 0;
            for (uint32_t k = 0; k < n; k++) {
                maker += (set >> k & 1) && pool[k].member.maker == pool[i].member.maker;
                region += (set >> k & 1) && pool[k].member.region == pool[i].member.region;
                provider += (set >> k & 1) && pool[k].member.provider == pool[i].member.provider;
            }
            uint32_t over[3] = {
                rule->cap_maker && maker > rule->cap_maker ? maker - rule->cap_maker : 0,
                rule->cap_region && region > rule->cap_region ? region - rule->cap_region : 0,
                rule->cap_provider && provider > rule->cap_provider ? provider - rule->cap_provider
                                                                    : 0};
            for (int k = 0; k < 3; k++)
                need = over[k] > need ? over[k] : need;
        }
        least = need < least ? need : least;
    }
    return least;
}

Test(draw, caps_rise_only_when_no_committee_keeps_them)
{
    struct seed s = seed_take();
    uint32_t kept = 0, raised = 0;
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t n = 3 + seed_below(&s, 8);
        struct poa_committee_rule rule = {.size = (uint16_t)(2 + seed_below(&s, n - 1)),
                                          .cap_maker = (uint16_t)seed_below(&s, 4),
                                          .cap_region = (uint16_t)seed_below(&s, 4),
                                          .cap_provider = (uint16_t)seed_below(&s, 4)};
        uint32_t makers = 1 + seed_below(&s, 5), regions = 1 + seed_below(&s, 5),
                 providers = 1 + seed_below(&s, 5);
        for (uint32_t i = 0; i < n; i++)
            pool[i] = candidate(i, seed_below(&s, makers), seed_below(&s, regions),
                                seed_below(&s, providers));
        uint32_t got = draw(&rule, &s, epoch, n), want = least_slack(&rule, n);
        seed_assert(&s, got == want, "epoch %u: raised by %u, %u would do", epoch, got, want);
        assert_caps(&s, &rule, n, got);
        kept += !got;
        raised += got != 0;
    }
    seed_assert(&s, kept > EPOCHS / 10 && raised > EPOCHS / 10, "%u kept, %u raised", kept, raised);
}

Test(draw, without_caps_every_candidate_is_as_likely)
{
    enum { N = 60, SIZE = 16 };
    struct poa_committee_rule rule = {.size = SIZE};
    struct seed s = seed_take();
    uint32_t drawn[N] = {0}, first[N] = {0}, pair[N][N] = {{0}};
    for (uint32_t i = 0; i < N; i++)
        pool[i] = candidate(i, i % 7, i % 5, i % 3);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        draw(&rule, &s, epoch, N);
        for (uint32_t i = 0; i < N; i++) {
            drawn[i] += pool[i].seat != 0;
            first[i] += pool[i].seat == 1;
            for (uint32_t k = 0; k < i; k++)
                pair[i][k] += pool[i].seat && pool[k].seat;
        }
    }
    /* Drawn without replacement: the counts are chi-squared with N-1 degrees
     * when their variance is that of one count, times N / (N-1). */
    double p = (double)SIZE / N, mean = EPOCHS * p, chi2 = 0, chi2_first = 0;
    for (uint32_t i = 0; i < N; i++) {
        chi2 += (drawn[i] - mean) * (drawn[i] - mean) / (mean * (1 - p)) * (N - 1) / N;
        chi2_first += (first[i] - EPOCHS / (double)N) * (first[i] - EPOCHS / (double)N) /
                      (EPOCHS / (double)N);
    }
    seed_assert(&s, chi2_above(chi2, N - 1) > UNLIKELY, "seats: chi2 %.1f over %d", chi2, N - 1);
    seed_assert(&s, chi2_above(chi2_first, N - 1) > UNLIKELY, "first seats: chi2 %.1f over %d",
                chi2_first, N - 1);
    double both = p * (SIZE - 1) / (N - 1);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t k = 0; k < i; k++)
            seed_assert(&s,
                        binomial_two_sided(EPOCHS, both, pair[i][k]) > UNLIKELY / (N * (N - 1) / 2),
                        "%u and %u met %u times", i, k, pair[i][k]);
}

/* With caps, all orders of the candidates are as likely, and each gives its
 * first committee: the law of the committees of a small pool, by going through
 * the orders. */
#define SMALL 6u
static uint32_t first_committee(const struct poa_committee_rule *rule, const uint32_t *order)
{
    uint32_t best = 0, best_key = UINT32_MAX;
    for (uint32_t set = 0; set < 1u << SMALL; set++) {
        uint32_t key = 0, over = 0;
        if (__builtin_popcount(set) != rule->size)
            continue;
        for (uint32_t i = 0; i < SMALL; i++) {
            uint32_t maker = 0, region = 0;
            for (uint32_t k = 0; k < SMALL; k++) {
                maker += (set >> k & 1) && pool[k].member.maker == pool[i].member.maker;
                region += (set >> k & 1) && pool[k].member.region == pool[i].member.region;
            }
            over |= maker > rule->cap_maker || region > rule->cap_region;
            key |= (uint32_t) !(set >> order[i] & 1) << (SMALL - 1 - i);
        }
        if (!over && key < best_key) {
            best = set;
            best_key = key;
        }
    }
    return best;
}

Test(draw, with_caps_every_order_is_as_likely)
{
    struct poa_committee_rule rule = {.size = 3, .cap_maker = 2, .cap_region = 1};
    struct seed s = seed_take();
    static const uint32_t maker[SMALL] = {0, 0, 0, 0, 1, 1}, region[SMALL] = {0, 1, 2, 2, 0, 2};
    uint32_t order[SMALL], law[1 << SMALL] = {0}, seen[1 << SMALL] = {0}, orders = 0, kinds = 0;
    for (uint32_t i = 0; i < SMALL; i++)
        pool[i] = candidate(i, maker[i], region[i], i);
    for (uint32_t code = 0; code < SMALL * SMALL * SMALL * SMALL * SMALL * SMALL; code++) {
        uint32_t used = 0, rest = code;
        for (uint32_t i = 0; i < SMALL; i++, rest /= SMALL)
            used |= 1u << (order[i] = rest % SMALL);
        if (used != (1u << SMALL) - 1)
            continue;
        law[first_committee(&rule, order)]++;
        orders++;
    }
    cr_assert_eq(orders, 720);
    cr_assert_eq(law[0], 0);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t set = 0;
        cr_assert_eq(draw(&rule, &s, epoch, SMALL), 0);
        for (uint32_t i = 0; i < SMALL; i++)
            set |= (uint32_t)(pool[i].seat != 0) << i;
        seen[set]++;
    }
    double chi2 = 0;
    for (uint32_t set = 0; set < 1u << SMALL; set++) {
        double want = EPOCHS * (law[set] / 720.0);
        seed_assert(&s, law[set] || !seen[set], "committee %x breaks a cap", set);
        kinds += law[set] != 0;
        if (law[set])
            chi2 += (seen[set] - want) * (seen[set] - want) / want;
    }
    cr_assert_gt(kinds, 3);
    seed_assert(&s, chi2_above(chi2, kinds - 1) > UNLIKELY, "chi2 %.1f over %u", chi2, kinds - 1);
}

/* Monte Carlo of compromise against the bounds: an attacker holds B of the
 * pool, or each node with probability P. */
struct tally {
    uint32_t forge, fork, stall;
};
static void judge(struct tally *t, uint32_t n, uint32_t q, uint32_t bad, uint32_t off)
{
    t->forge += bad >= q;
    t->fork += bad + n >= 2 * q;
    t->stall += bad + off >= n - q + 1;
}

static void assert_agrees(struct seed *s, const char *what, struct tally t, struct poa_bounds b)
{
    const uint32_t count[3] = {t.forge, t.fork, t.stall};
    const double bound[3] = {b.forge.value, b.fork.value, b.stall.value};
    for (int i = 0; i < 3; i++)
        seed_assert(s, binomial_two_sided(EPOCHS, bound[i], count[i]) > UNLIKELY,
                    "%s: number %d: %u of %u, the bound is %g", what, i, count[i], EPOCHS,
                    bound[i]);
}

Test(draw, monte_carlo_of_compromise_agrees_with_the_bounds)
{
    enum { N = 80, SIZE = 16, Q = 11 };
    const double p = 0.3, offline = 0.08;
    const uint32_t held = 24;
    struct poa_committee_rule rule = {.size = SIZE};
    struct seed s = seed_take();
    struct tally fixed = {0, 0, 0}, independent = {0, 0, 0};
    for (uint32_t i = 0; i < N; i++)
        pool[i] = candidate(i, i % 7, i % 5, i % 3);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t bad = 0, off = 0, bad2 = 0, off2 = 0;
        cr_assert_eq(draw(&rule, &s, epoch, N), 0);
        for (uint32_t i = 0; i < N; i++) {
            bool lost = seed_chance(&s, p), away = seed_chance(&s, offline);
            if (!pool[i].seat)
                continue;
            bad += i < held;
            off += i >= held && away;
            bad2 += lost;
            off2 += !lost && away;
        }
        judge(&fixed, SIZE, Q, bad, off);
        judge(&independent, SIZE, Q, bad2, off2);
    }
    assert_agrees(&s, "pool", fixed, poa_bounds_pool(SIZE, Q, N, held, offline));
    assert_agrees(&s, "independent", independent, poa_bounds_binomial(SIZE, Q, p, offline));
}

/* The largest maker falls as a whole, with everybody else at 5 %: what caps are
 * for. The bound takes all C seats as lost, so it is not below. */
Test(draw, caps_bound_correlated_compromise)
{
    enum { SIZE = 31, Q = 21 };
    static const uint16_t caps[3] = {0, 6, 4};
    struct seed s = seed_take();
    double share[3];
    for (int k = 0; k < 3; k++) {
        struct poa_committee_rule rule = {.size = SIZE, .cap_maker = caps[k]};
        struct tally t = {0, 0, 0};
        for (uint32_t i = 0; i < POOL_MAX; i++) /* maker 0 has 54 of 200 */
            pool[i] = candidate(i, i < 54 ? 0 : 1 + i % 11, i % 8, i % 9);
        for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
            uint32_t bad = 0;
            cr_assert_eq(draw(&rule, &s, epoch, POOL_MAX), 0);
            for (uint32_t i = 0; i < POOL_MAX; i++)
                bad += pool[i].seat && (i < 54 || seed_chance(&s, 0.05));
            judge(&t, SIZE, Q, bad, 0);
        }
        share[k] = (double)t.fork / EPOCHS;
        if (!caps[k])
            continue;
        double bound = poa_bounds_correlated(SIZE, Q, 0.05, 0, caps[k]).fork.value;
        seed_assert(&s, poa_binomial_tail(EPOCHS, bound, t.fork).value > UNLIKELY,
                    "cap %u: %u forks of %u, the bound is %g", caps[k], t.fork, EPOCHS, bound);
    }
    /* Uncapped about a third, with a cap of 6 under 1 %, of 4 under 0.1 %. */
    seed_assert(&s, share[0] > 0.2 && share[1] < 0.02 && share[2] < 0.002, "%g, %g, %g", share[0],
                share[1], share[2]);
}
