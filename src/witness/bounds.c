/* Tail probabilities: see poa_bounds.h for the method and its accuracy. */
#include "poa_bounds.h"

#include <math.h>

#define LN_2PI 1.837877066409345483560659472811

static const struct poa_prob never = {0.0, -INFINITY};
static const struct poa_prob always = {1.0, 0.0};

static struct poa_prob from_ln(double ln)
{
    return ln >= 0 ? always : (struct poa_prob){exp(ln), ln};
}

static struct poa_prob complement(struct poa_prob a)
{
    return (struct poa_prob){1.0 - a.value, log1p(-a.value)};
}

/* ln(n!) - ln(sqrt(2 pi n) (n/e)^n): the error of Stirling's formula. Exact
 * values below 16, then the series, whose first omitted term is below 1e-17. */
static double stirling_error(double n)
{
    static const double exact[16] = {
        0.0,
        0.0810614667953272582196702,
        0.0413406959554092940938221,
        0.02767792568499833914878929,
        0.02079067210376509311152277,
        0.01664469118982119216319487,
        0.01387612882307074799874573,
        0.01189670994589177009505572,
        0.010411265261972096497478567,
        0.009255462182712732917728637,
        0.008330563433362871256469318,
        0.007573675487951840794972024,
        0.006942840107209529865664152,
        0.006408994188004207068439631,
        0.005951370112758847735624416,
        0.005554733551962801371038690,
    };
    if (n < 16)
        return exact[(int)n];
    double nn = n * n;
    return (1.0 / 12 -
            (1.0 / 360 -
             (1.0 / 1260 - (1.0 / 1680 - (1.0 / 1188 - 691.0 / 360360 / nn) / nn) / nn) / nn) /
                nn) /
           n;
}

/* Deviance x ln(x/m) + m - x without cancellation near x = m. */
static double deviance(double x, double m)
{
    if (fabs(x - m) < 0.1 * (x + m)) {
        double v = (x - m) / (x + m);
        double s = (x - m) * v;
        double ej = 2 * x * v;
        v *= v;
        for (int j = 1; j < 1000; j++) {
            ej *= v;
            double next = s + ej / (2 * j + 1);
            if (next == s)
                break;
            s = next;
        }
        return s;
    }
    return x * log(x / m) + m - x;
}

/* ln P[X = x], X ~ Binomial(n, p), 0 < p < 1, 0 <= x <= n. */
static double binomial_ln(double n, double p, double x)
{
    if (x <= 0)
        return p < 0.1 ? -deviance(n, n * (1 - p)) - n * p : n * log1p(-p);
    if (x >= n)
        return p > 0.9 ? -deviance(n, n * p) - n * (1 - p) : n * log(p);
    double lc = stirling_error(n) - stirling_error(x) - stirling_error(n - x) - deviance(x, n * p) -
                deviance(n - x, n * (1 - p));
    return lc - 0.5 * (LN_2PI + log(x) + log1p(-x / n));
}

/* First term FIRST_LN times 1 + r(1) + r(1)r(2) + ...; STEP gives the ratio of
 * term i to term i-1 and 0 past the last. Terms fall from the first on. */
struct ratio {
    double (*step)(const struct ratio *r, double i);
    double a, b, c, d;
};

static struct poa_prob sum_falling(double first_ln, const struct ratio *r)
{
    double term = 1, sum = 1, lost = 0;
    for (double i = 1;; i++) {
        term *= r->step(r, i);
        if (term < sum * 1e-18)
            break;
        double y = term - lost; /* Kahan: thousands of terms near the mean */
        double t = sum + y;
        lost = t - sum - y;
        sum = t;
    }
    return from_ln(first_ln + log(sum));
}

/* Binomial, from x upward (a = n, b = first x, c = p / (1-p)) and downward. */
static double binomial_up(const struct ratio *r, double i)
{
    return (r->a - r->b - i + 1) / (r->b + i) * r->c;
}

static double binomial_down(const struct ratio *r, double i)
{
    return (r->b - i + 1) / (r->a - r->b + i) / r->c;
}

struct poa_prob poa_binomial_tail(uint32_t n, double p, uint32_t t)
{
    if (t == 0)
        return always;
    if (t > n || !(p > 0))
        return never;
    if (p >= 1)
        return always;
    if (t <= n * p)
        return complement(poa_binomial_below(n, p, t));
    struct ratio r = {binomial_up, n, t, p / (1 - p), 0};
    return sum_falling(binomial_ln(n, p, t), &r);
}

struct poa_prob poa_binomial_below(uint32_t n, double p, uint32_t t)
{
    if (t == 0)
        return never;
    if (t > n || !(p > 0))
        return always;
    if (p >= 1)
        return never;
    if (t > n * p)
        return complement(poa_binomial_tail(n, p, t));
    struct ratio r = {binomial_down, n, t - 1.0, p / (1 - p), 0};
    return sum_falling(binomial_ln(n, p, t - 1.0), &r);
}

/* Hypergeometric: x bad among n drawn; a = b_bad, b = first x, c = n, d = m. */
static double hyper_up(const struct ratio *r, double i)
{
    double x = r->b + i; /* ratio of P[x] to P[x-1] */
    double top = (r->a - x + 1) * (r->c - x + 1);
    return top <= 0 ? 0 : top / (x * (r->d - r->a - r->c + x));
}

static double hyper_down(const struct ratio *r, double i)
{
    double x = r->b - i; /* ratio of P[x] to P[x+1] */
    double top = (x + 1) * (r->d - r->a - r->c + x + 1);
    return top <= 0 || x < 0 ? 0 : top / ((r->a - x) * (r->c - x));
}

/* ln P[X = x]. The identity holds for any p; this one keeps all three terms
 * central. */
static double hyper_ln(double m, double b, double n, double x)
{
    double p = n / m;
    if (n >= m || b >= m || !(b > 0)) /* only one outcome */
        return 0;
    return binomial_ln(b, p, x) + binomial_ln(m - b, p, n - x) - binomial_ln(m, p, n);
}

struct poa_prob poa_hypergeometric_tail(uint32_t m, uint32_t b, uint32_t n, uint32_t t)
{
    if (b > m || n > m)
        return never;
    uint32_t low = n > m - b ? n - (m - b) : 0; /* smallest possible count */
    uint32_t high = n < b ? n : b;
    if (t <= low)
        return always;
    if (t > high)
        return never;
    double mean = (double)n * b / m;
    double x = t > mean ? t : t - 1.0;
    double first = hyper_ln(m, b, n, x);
    if (t > mean) {
        struct ratio r = {hyper_up, b, x, n, m};
        return sum_falling(first, &r);
    }
    struct ratio r = {hyper_down, b, x, n, m};
    return complement(sum_falling(first, &r));
}

static double poisson_ln(double mean, double x)
{
    if (x <= 0)
        return -mean;
    return -stirling_error(x) - deviance(x, mean) - 0.5 * (LN_2PI + log(x));
}

static double poisson_up(const struct ratio *r, double i)
{
    return r->a / (r->b + i);
}

static double poisson_down(const struct ratio *r, double i)
{
    return (r->b - i + 1) / r->a;
}

struct poa_prob poa_poisson_tail(double mean, uint32_t t)
{
    if (t == 0)
        return always;
    if (!(mean > 0))
        return never;
    if (t <= mean)
        return complement(poa_poisson_below(mean, t));
    struct ratio r = {poisson_up, mean, t, 0, 0};
    return sum_falling(poisson_ln(mean, t), &r);
}

struct poa_prob poa_poisson_below(double mean, uint32_t t)
{
    if (t == 0)
        return never;
    if (!(mean > 0))
        return always;
    if (t > mean)
        return complement(poa_poisson_tail(mean, t));
    struct ratio r = {poisson_down, mean, t - 1.0, 0, 0};
    return sum_falling(poisson_ln(mean, t - 1.0), &r);
}

/* --- committees ---------------------------------------------------------------- */

static uint32_t fork_threshold(uint32_t n, uint32_t q)
{
    return 2 * q > n ? 2 * q - n : 0;
}

static uint32_t stall_threshold(uint32_t n, uint32_t q)
{
    return q > n ? 0 : n - q + 1;
}

struct poa_bounds poa_bounds_binomial(uint32_t n, uint32_t q, double p, double offline)
{
    struct poa_bounds b;
    b.forge = poa_binomial_tail(n, p, q);
    b.fork = poa_binomial_tail(n, p, fork_threshold(n, q));
    b.stall = poa_binomial_tail(n, p + (1 - p) * offline, stall_threshold(n, q));
    return b;
}

/* Sum over the number x of bad members of P[x] P[enough of the honest n-x are
 * offline], scaled by its largest term so that nothing underflows. */
static struct poa_prob pool_stall(uint32_t n, uint32_t q, uint32_t m, uint32_t b, double offline)
{
    uint32_t need = stall_threshold(n, q);
    uint32_t low = n > m - b ? n - (m - b) : 0, high = n < b ? n : b;
    double top = -INFINITY, sum = 0;
    for (uint32_t x = low; x <= high; x++) {
        uint32_t rest = x < need ? need - x : 0;
        double ln = hyper_ln(m, b, n, x) + poa_binomial_tail(n - x, offline, rest).ln;
        if (ln == -INFINITY)
            continue;
        if (ln > top) {
            sum = sum * exp(top - ln) + 1;
            top = ln;
        } else {
            sum += exp(ln - top);
        }
    }
    return sum > 0 ? from_ln(top + log(sum)) : never;
}

struct poa_bounds poa_bounds_pool(uint32_t n, uint32_t q, uint32_t m, uint32_t b, double offline)
{
    struct poa_bounds r = {never, never, never};
    if (b > m || n > m)
        return r;
    r.forge = poa_hypergeometric_tail(m, b, n, q);
    r.fork = poa_hypergeometric_tail(m, b, n, fork_threshold(n, q));
    r.stall = offline > 0 ? pool_stall(n, q, m, b, offline)
                          : poa_hypergeometric_tail(m, b, n, stall_threshold(n, q));
    return r;
}

struct poa_bounds poa_bounds_correlated(uint32_t n, uint32_t q, double p, double offline,
                                        uint32_t c)
{
    uint32_t rest = n > c ? n - c : 0;
    uint32_t fork = fork_threshold(n, q), stall = stall_threshold(n, q);
    struct poa_bounds b;
    b.forge = poa_binomial_tail(rest, p, q > c ? q - c : 0);
    b.fork = poa_binomial_tail(rest, p, fork > c ? fork - c : 0);
    b.stall = poa_binomial_tail(rest, p + (1 - p) * offline, stall > c ? stall - c : 0);
    return b;
}

/* P[X >= T] by plain arithmetic: every term is a product in which factors above
 * and below one take turns, so that none leaves the range of a double before the
 * result does. */
static double plain_tail(uint32_t n, double p, uint32_t t)
{
    double sum = 0;
    if (!t)
        return 1;
    for (uint32_t x = n; x >= t && x <= n; x--) { /* the smallest terms first when p is small */
        double term = 1;
        uint32_t misses = n - x;
        for (uint32_t i = 1; i <= x; i++) {
            term *= (double)(n - x + i) / (double)i;
            term *= p;
            for (; misses && term > 1; misses--)
                term *= 1 - p;
        }
        for (; misses; misses--)
            term *= 1 - p;
        sum += term;
    }
    return sum > 1 ? 1 : sum;
}

static double power_of_tenth(uint32_t exp)
{
    double ten = 1;
    for (uint32_t i = 0; i < exp && i < 308; i++)
        ten *= 10;
    return exp > 308 ? 0 : 1 / ten;
}

bool poa_bounds_met(uint32_t n, uint32_t q, uint64_t p_ppb, uint64_t offline_ppb, uint32_t fork_exp,
                    uint32_t stall_exp)
{
    double p = (double)p_ppb / 1e9, offline = (double)offline_ppb / 1e9;
    return plain_tail(n, p, fork_threshold(n, q)) <= power_of_tenth(fork_exp) &&
           plain_tail(n, p + (1 - p) * offline, stall_threshold(n, q)) <= power_of_tenth(stall_exp);
}

int poa_bounds_plan_quorum(double p, double offline, double fork, double stall, uint32_t n,
                           uint32_t *q)
{
    /* A larger quorum forks less and stalls more: the first one that does not
     * fork is the best. */
    for (uint32_t j = n - (n - 1) / 3; j <= n; j++) {
        struct poa_bounds b = poa_bounds_binomial(n, j, p, offline);
        if (b.fork.value > fork)
            continue;
        *q = j;
        return b.stall.value <= stall ? 0 : -1;
    }
    return -1;
}

int poa_bounds_plan(double p, double offline, double fork, double stall, uint32_t n_max,
                    uint32_t *n, uint32_t *q)
{
    for (uint32_t i = 1; i <= n_max; i++)
        if (!poa_bounds_plan_quorum(p, offline, fork, stall, i, q)) {
            *n = i;
            return 0;
        }
    return -1;
}

/* --- device seals ----------------------------------------------------------------- */

static double between(double low, double x, double high)
{
    return !(x > low) ? low : x < high ? x : high;
}

struct poa_seal_bounds poa_bounds_seals(double seats, uint32_t t, double p, double offline)
{
    p = between(0, p, 1);
    offline = between(0, offline, 1);
    struct poa_seal_bounds b = {poa_poisson_tail(seats * p, t),
                                poa_poisson_below(seats * (1 - p) * (1 - offline), t)};
    return b;
}

struct poa_seal_bounds poa_bounds_seals_drawn(uint32_t seats, uint32_t t, double p, double offline)
{
    p = between(0, p, 1);
    offline = between(0, offline, 1);
    struct poa_seal_bounds b = {poa_binomial_tail(seats, p, t),
                                poa_binomial_below(seats, (1 - p) * (1 - offline), t)};
    return b;
}

struct poa_seal_bounds poa_bounds_seals_fleet(double seats, uint32_t fleet, uint32_t draws,
                                              uint32_t t, double p, double offline)
{
    double each = fleet ? seats / fleet : 0; /* expected seats of a device */
    double seated = draws ? -expm1(draws * log1p(-between(0, each / draws, 1))) : -expm1(-each);
    p = between(0, p, 1);
    offline = between(0, offline, 1);
    struct poa_seal_bounds b = {poa_binomial_tail(fleet, p * seated, t),
                                poa_binomial_below(fleet, (1 - p) * (1 - offline) * seated, t)};
    return b;
}
