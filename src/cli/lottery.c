/* poa lottery: how fair a policy is, by the product's own draws.
 *
 * Epochs of windows of slots, as the ledger runs them: window 0 by the public
 * draw, the others by tickets under policy vrf. Every device seals every seat.
 * A VRF is replaced by a keyed hash, which is as unpredictable and 50 times
 * faster, unless --real-vrf asks for it.
 *
 * Malicious leaders own some devices and bias the one thing they can: the
 * seed. K of them at the end of an epoch may each leave out their block, and
 * take the best of 2^K seeds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "poa_assign.h"
#include "poa_cli.h"
#include "poa_clock.h"

#define EPOCH_WINDOWS 16
#define WINDOW_SLOTS  64
#define SEATS         3
#define LEADERS       31
#define LIARS         10 /* f of LEADERS */
/* Of the subsidy, in basis points, as the devnet has them. */
#define MINER_SHARE   0.5
#define SEALERS_SHARE 0.3

struct fleet {
    uint32_t n, malicious; /* the first MALICIOUS belong to the leaders */
    enum poa_policy_kind policy;
    bool real;
    uint8_t (*seed)[32], (*key)[32]; /* of each device; SEED only when REAL */
    struct poa_st_device *state;     /* history, for weights */
};

struct outcome { /* of an epoch, or of all */
    uint64_t slots, seats, mined, malicious;
    uint32_t *mines, *last; /* per device: slots mined; slot after the last seat */
    double *earned;
    uint64_t drought;
};

/* --- drawing --------------------------------------------------------------------- */

static bool pool_device(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight)
{
    const struct fleet *f = ctx;
    memcpy(key32, f->key[index], 32);
    if (weight != NULL)
        *weight = poa_assign_weight(&f->state[index], 0, 0).sum;
    return true;
}

/* Keys carry the device's number in their first bytes: seats lead back to it. */
static uint32_t device_of(const uint8_t key32[32])
{
    return poa_le32(key32);
}

static void ticket_beta(const struct fleet *f, uint32_t device, const uint8_t alpha[32],
                        uint8_t beta[64])
{
    uint8_t pi[POA_VRF_PI_BYTES];
    if (f->real) {
        uint8_t pk[32];
        poa_ed25519_public(f->seed[device], pk);
        int rc = poa_suite_ed25519.vrf_prove(f->seed[device], pk, alpha, 32, pi);
        if (rc == POA_OK)
            rc = poa_suite_ed25519.vrf_verify(pk, alpha, 32, pi, beta);
        POA_ASSERT(rc == POA_OK);
        return;
    }
    poa_hash2(POA_DOMAIN_SIM, f->key[device], 32, alpha, 32, beta);
    memset(beta + 32, 0, 32);
}

/* Seats of the slots of a window. */
static void draw_window(const struct fleet *f, const uint8_t chain[32], const uint8_t seed[32],
                        uint32_t epoch, uint32_t window, struct poa_seat_list *slots)
{
    struct poa_lottery lottery = {f->n, SEATS, WINDOW_SLOTS};
    struct poa_assign_pool pool = {(void *)(uintptr_t)f, f->n, pool_device};
    uint8_t alpha[32], beta[64];
    if (f->policy != POA_POLICY_VRF || window == 0) {
        enum poa_policy_kind policy =
            f->policy == POA_POLICY_WEIGHTED ? POA_POLICY_WEIGHTED : POA_POLICY_RANDOM;
        for (uint64_t i = 0; i < WINDOW_SLOTS; i++)
            poa_assign_public(policy, chain, seed, (uint64_t)window * WINDOW_SLOTS + i, SEATS,
                              &pool, &slots[i], NULL);
        return;
    }
    for (uint32_t i = 0; i < WINDOW_SLOTS; i++)
        slots[i].n = 0;
    poa_ticket_alpha(chain, seed, epoch, window, alpha);
    for (uint32_t d = 0; d < f->n; d++) {
        struct poa_seat seats[POA_DRAWS_MAX];
        ticket_beta(f, d, alpha, beta);
        for (size_t n = poa_ticket_seats(&lottery, beta, seats); n-- > 0;)
            if (poa_seats_fit(&slots[seats[n].slot], seats[n].rank, f->key[d]))
                poa_seats_insert(&slots[seats[n].slot], seats[n].rank, f->key[d]);
    }
}

static void take_slot(const struct fleet *f, const struct poa_seat_list *list, struct outcome *o)
{
    uint64_t slot = o->slots++;
    for (uint32_t i = 0; i < list->n; i++) {
        uint32_t d = device_of(list->seat[i].device);
        if (o->mines != NULL) {
            uint64_t since = slot - o->last[d];
            o->drought = since > o->drought ? since : o->drought;
            o->last[d] = (uint32_t)slot + 1;
            o->earned[d] += i == 0 ? MINER_SHARE : SEALERS_SHARE / (list->n - 1);
            o->mines[d] += i == 0;
            f->state[d].history = f->state[d].history << 1 | 1;
        }
        o->malicious += i == 0 && d < f->malicious;
    }
    o->seats += list->n;
    o->mined += list->n != 0;
}

/* The epoch on SEED into O, at most MAX slots of it. */
static void run_epoch(const struct fleet *f, const uint8_t seed[32], uint32_t epoch, uint64_t max,
                      struct outcome *o)
{
    static const uint8_t chain[32] = {'l', 'o', 't', 't', 'e', 'r', 'y'};
    static struct poa_seat_list slots[WINDOW_SLOTS];
    for (uint32_t w = 0; w < EPOCH_WINDOWS && max > 0; w++) {
        draw_window(f, chain, seed, epoch, w, slots);
        for (uint32_t i = 0; i < WINDOW_SLOTS && max > 0; i++, max--)
            take_slot(f, &slots[i], o);
    }
}

/* --- the seed, and who bends it ------------------------------------------------------ */

/* How many of the leaders of the last views are malicious without a break: the
 * length of the run at the end of a random order of LEADERS with LIARS. */
static uint32_t last_run(const uint8_t entropy[32])
{
    uint32_t left = LEADERS, liars = LIARS, run = 0;
    while (liars > 0 && poa_le64(entropy + (run % 4) * 8) / (run / 4 + 1) % left < liars) {
        run++;
        left--;
        liars--;
    }
    return run;
}

/* E[2^K] of the study: what having a choice of seeds can multiply a probability by. */
static double expected_choices(void)
{
    double p = 1, sum = 0;
    for (uint32_t k = 0; k <= LIARS; k++) { /* P: the last K are malicious */
        double next = k < LIARS ? p * (LIARS - k) / (LEADERS - k) : 0;
        sum += (p - next) * pow(2, k);
        p = next;
    }
    return sum;
}

static void choose_seed(const struct fleet *f, uint64_t run, uint32_t epoch, uint64_t slots,
                        uint8_t best[32])
{
    uint8_t in[20], entropy[32];
    poa_put_le64(in, run);
    poa_put_le32(in + 8, epoch);
    poa_put_le64(in + 12, UINT64_MAX);
    poa_hash(POA_DOMAIN_SIM, in, sizeof in, entropy);
    uint64_t choices = UINT64_C(1) << (f->malicious ? last_run(entropy) : 0), most = 0;
    for (uint64_t i = 0; i < choices; i++) {
        struct outcome o = {.slots = 0};
        uint8_t seed[32];
        poa_put_le64(in + 12, i);
        poa_hash(POA_DOMAIN_SEED, in, sizeof in, seed);
        if (choices > 1)
            run_epoch(f, seed, epoch, slots, &o);
        if (i == 0 || o.malicious > most) {
            most = o.malicious;
            memcpy(best, seed, 32);
        }
    }
}

/* --- what it means ------------------------------------------------------------------- */

/* P[chi-squared of DOF degrees > X], as the sum of its series (Abramowitz and
 * Stegun 26.4.4, 26.4.5), with logarithms because single terms underflow. */
static double chi2_tail(double x, uint32_t dof)
{
    double ln = dof % 2 ? log(2) - x / 2 - log(2 * M_PI) / 2 + log(x) / 2 : -x / 2;
    double sum = dof % 2 ? erfc(sqrt(x / 2)) : 0;
    for (uint32_t r = dof % 2 ? 3 : 2; r <= dof; r += 2) {
        sum += exp(ln);
        ln += log(x) - log(r);
    }
    return sum < 1 ? sum : 1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* 0: everybody earned the same, 1: one earned everything. Sorts V. */
static double gini(double *v, uint32_t n)
{
    double sum = 0, weighted = 0;
    qsort(v, n, sizeof *v, by_value);
    for (uint32_t i = 0; i < n; i++) {
        sum += v[i];
        weighted += (i + 1) * v[i];
    }
    return sum > 0 ? 2 * weighted / (n * sum) - (n + 1.0) / n : 0;
}

static int report(const struct cli *c, const struct fleet *f, struct outcome *o, double seconds)
{
    double mean = (double)o->mined / f->n, chi2 = 0;
    for (uint32_t d = 0; d < f->n; d++) {
        chi2 += (o->mines[d] - mean) * (o->mines[d] - mean) / mean;
        uint64_t since = o->slots - o->last[d];
        o->drought = since > o->drought ? since : o->drought;
    }
    double p = chi2_tail(chi2, f->n - 1), part = (double)f->malicious / f->n;
    double share = o->mined ? (double)o->malicious / (double)o->mined : 0;
    double bound = part * expected_choices();
    if (bound > 1)
        bound = 1;
    double g = gini(o->earned, f->n);
    if (c->json)
        return cli_print_json(
            json_pack("{s:I, s:s, s:I, s:b, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f}",
                      "devices", (json_int_t)f->n, "policy", poa_policy_kind_name(f->policy),
                      "slots", (json_int_t)o->slots, "real_vrf", (int)f->real, "seats_per_slot",
                      (double)o->seats / (double)o->slots, "empty_share",
                      1 - (double)o->mined / (double)o->slots, "chi2", chi2, "chi2_dof",
                      (json_int_t)(f->n - 1), "chi2_p", p, "mean_mined", mean, "gini", g,
                      "longest_drought_slots", (json_int_t)o->drought, "malicious_share", share,
                      "malicious_bound", bound, "seconds", seconds));
    printf("%u devices, policy %s, %" PRIu64 " slots, %s, %.1f s\n", f->n,
           poa_policy_kind_name(f->policy), o->slots,
           f->policy != POA_POLICY_VRF ? "no VRF"
           : f->real                   ? "real VRFs"
                                       : "VRFs as keyed hashes",
           seconds);
    printf("  seats            %.3f per slot, %.2f %% of the slots without any\n",
           (double)o->seats / (double)o->slots, 100 - 100 * (double)o->mined / (double)o->slots);
    printf("  chi-squared      %.1f with %u degrees of freedom over slots mined: p = %.3f\n", chi2,
           f->n - 1, p);
    printf("  gini             %.4f of earnings\n", g);
    printf("  longest drought  %" PRIu64 " slots without a seat\n", o->drought);
    if (f->malicious)
        printf(
            "  malicious        %.2f %% of the slots for %.2f %% of the devices; bound %.2f %%\n",
            100 * share, 100 * part, 100 * bound);
    return 0;
}

/* --- the command --------------------------------------------------------------------- */

static bool number(const struct cli *c, enum cli_option option, const char *name, uint64_t min,
                   uint64_t max, uint64_t *v)
{
    return c->option[option] == NULL || cli_u64(name, c->option[option], min, max, v);
}

static void make_fleet(struct fleet *f, uint64_t run)
{
    uint8_t in[12];
    poa_put_le64(in, run);
    for (uint32_t d = 0; d < f->n; d++) {
        poa_put_le32(in + 8, d);
        poa_hash(POA_DOMAIN_SIM, in, sizeof in, f->key[d]);
        if (f->real)
            memcpy(f->seed[d], f->key[d], 32);
        poa_put_le32(f->key[d], d);
        f->state[d].history = UINT32_MAX; /* equal ones: none is a newcomer any more */
    }
}

int cli_lottery_simulate(const struct cli *c)
{
    uint64_t devices = 10000, slots = 100000, run = 1;
    double part = 0;
    struct fleet f = {.policy = POA_POLICY_VRF, .real = c->option[CLI_REAL_VRF] != NULL};
    if (!number(c, CLI_DEVICES, "--devices", 2, 1000000, &devices) ||
        !number(c, CLI_SLOTS, "--slots", 1, 100000000, &slots) ||
        !number(c, CLI_RUN, "--run", 0, UINT64_MAX, &run))
        return 2;
    if (c->option[CLI_POLICY] != NULL && poa_policy_kind_of(c->option[CLI_POLICY], &f.policy))
        return cli_misuse("--policy is vrf, random or weighted");
    if (c->option[CLI_MALICIOUS] != NULL) {
        char *end;
        part = strtod(c->option[CLI_MALICIOUS], &end);
        if (*end != 0 || end == c->option[CLI_MALICIOUS] || !(part >= 0 && part <= 1))
            return cli_misuse("--malicious is a fraction of the devices, 0 to 1");
    }
    f.n = (uint32_t)devices;
    f.malicious = (uint32_t)(part * (double)devices);
    struct outcome o = {.slots = 0};
    f.key = calloc(f.n, 32);
    f.seed = calloc(f.n, 32);
    f.state = calloc(f.n, sizeof *f.state);
    o.mines = calloc(f.n, sizeof *o.mines);
    o.last = calloc(f.n, sizeof *o.last);
    o.earned = calloc(f.n, sizeof *o.earned);
    int rc = 1;
    if (!f.key || !f.seed || !f.state || !o.mines || !o.last || !o.earned) {
        cli_fail("out of memory");
    } else {
        const struct poa_clock *clock = poa_clock_system();
        uint64_t start_us = poa_clock_monotonic_us(clock);
        make_fleet(&f, run);
        for (uint32_t epoch = 0; o.slots < slots; epoch++) {
            uint8_t seed[32];
            choose_seed(&f, run, epoch, slots - o.slots, seed);
            run_epoch(&f, seed, epoch, slots - o.slots, &o);
        }
        rc = report(c, &f, &o, (double)(poa_clock_monotonic_us(clock) - start_us) / 1e6);
    }
    free(f.key);
    free(f.seed);
    free(f.state);
    free(o.mines);
    free(o.last);
    free(o.earned);
    return rc;
}
