/* poa witness bounds, plan: what docs/witness.md explains, in numbers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_bounds.h"
#include "poa_cli.h"
#include "poa_witness.h"

#define N_MAX 1000000u

static bool probability(const struct cli *c, enum cli_option option, const char *name, bool needed,
                        double *out)
{
    const char *text = c->option[option];
    char *end = NULL;
    if (text == NULL) {
        if (needed)
            cli_misuse("%s is missing: a probability from 0 to 1", name);
        return !needed;
    }
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || *end != 0 || errno == ERANGE || !(v >= 0 && v <= 1)) {
        cli_misuse("%s: %s is not a probability from 0 to 1", name, text);
        return false;
    }
    *out = v;
    return true;
}

static bool count(const struct cli *c, enum cli_option option, const char *name, uint64_t min,
                  uint64_t max, uint32_t *out)
{
    uint64_t v = *out;
    if (c->option[option] != NULL && !cli_u64(name, c->option[option], min, max, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

/* --- bounds ------------------------------------------------------------------------------ */

/* Named probabilities, at most four. */
struct row {
    const char *name;
    struct poa_prob prob;
    char text[64];
};

static json_t *log10_json(struct poa_prob a)
{
    return isinf(a.ln) ? json_null() : json_real(a.ln / M_LN10);
}

/* {NAME: value ..., "log10": {NAME: ...}}: a value below the smallest double is
 * 0, its logarithm is exact. */
static json_t *rows_json(json_t *object, const struct row *rows, size_t n)
{
    json_t *logs = json_object();
    for (size_t i = 0; i < n; i++) {
        json_object_set_new(object, rows[i].name, json_real(rows[i].prob.value));
        json_object_set_new(logs, rows[i].name, log10_json(rows[i].prob));
    }
    json_object_set_new(object, "log10", logs);
    return object;
}

static void print_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[32];
        double log = rows[i].prob.ln / M_LN10;
        if (rows[i].prob.value > 1e-300 || isinf(log))
            snprintf(text, sizeof text, "%.4g", rows[i].prob.value);
        else
            snprintf(text, sizeof text, "10^%.2f", log);
        printf("  %-6s %-12s %s\n", rows[i].name, text, rows[i].text);
    }
}

static void committee_rows(struct row rows[3], struct poa_bounds b, uint32_t n, uint32_t q,
                           uint32_t lost)
{
    uint32_t fork = 2 * q > n ? 2 * q - n : 0, stall = n - q + 1;
    rows[0] = (struct row){.name = "forge", .prob = b.forge};
    rows[1] = (struct row){.name = "fork", .prob = b.fork};
    rows[2] = (struct row){.name = "stall", .prob = b.stall};
    snprintf(rows[0].text, sizeof rows[0].text, "%u bad write certificates without help",
             q > lost ? q - lost : 0);
    snprintf(rows[1].text, sizeof rows[1].text, "%u bad sign two conflicting blocks",
             fork > lost ? fork - lost : 0);
    snprintf(rows[2].text, sizeof rows[2].text, "%u bad or offline: no certificate",
             stall > lost ? stall - lost : 0);
}

static int committee_bounds(const struct cli *c)
{
    uint32_t n = 0, q = 0, pool = 0, bad = 0, group = 0;
    double p = 0, offline = 0;
    bool drawn = c->option[CLI_POOL] != NULL, falls = c->option[CLI_GROUP] != NULL;
    if (drawn != (c->option[CLI_BAD] != NULL))
        return cli_misuse("--pool and --bad go together: M nodes, B of them bad");
    if (c->option[CLI_N] == NULL)
        return cli_misuse("--n is missing: how many members the committee has");
    if (!count(c, CLI_N, "--n", 1, N_MAX, &n))
        return 2;
    q = n - (n - 1) / 3;
    if (!count(c, CLI_Q, "--q", 1, n, &q) || !count(c, CLI_POOL, "--pool", n, N_MAX, &pool) ||
        !count(c, CLI_BAD, "--bad", 0, pool, &bad) || !count(c, CLI_GROUP, "--group", 0, n, &group))
        return 2;
    if (!probability(c, CLI_P, "--p", !drawn || falls, &p) ||
        !probability(c, CLI_OFFLINE, "--offline", false, &offline))
        return 2;
    bool given = c->option[CLI_P] != NULL;
    struct row rows[3], binomial[3], lost[3];
    committee_rows(binomial, poa_bounds_binomial(n, q, p, offline), n, q, 0);
    committee_rows(lost, poa_bounds_correlated(n, q, p, offline, group), n, q, group);
    if (drawn)
        committee_rows(rows, poa_bounds_pool(n, q, pool, bad, offline), n, q, 0);
    else
        memcpy(rows, binomial, sizeof rows);
    if (c->json) {
        json_t *v = json_pack("{s:I, s:I, s:f}", "n", (json_int_t)n, "q", (json_int_t)q, "offline",
                              offline);
        if (given)
            json_object_set_new(v, "p", json_real(p));
        if (drawn) {
            json_object_set_new(v, "pool", json_integer(pool));
            json_object_set_new(v, "bad", json_integer(bad));
            if (given)
                json_object_set_new(v, "binomial", rows_json(json_object(), binomial, 3));
        }
        if (falls)
            json_object_set_new(v, "group",
                                rows_json(json_pack("{s:I}", "seats", (json_int_t)group), lost, 3));
        return cli_print_json(rows_json(v, rows, 3));
    }
    printf("%u members, quorum %u, ", n, q);
    if (drawn)
        printf("drawn from %u of which %u are bad", pool, bad);
    else
        printf("each bad with p = %g", p);
    printf(", offline %g\n", offline);
    print_rows(rows, 3);
    if (drawn && given) {
        printf("each bad with p = %g instead\n", p);
        print_rows(binomial, 3);
    }
    if (falls) {
        printf("a group of %u falls as a whole, the others bad with p = %g\n", group, p);
        print_rows(lost, 3);
    }
    return 0;
}

static void seal_rows(struct row rows[2], struct poa_seal_bounds b, uint32_t t)
{
    rows[0] = (struct row){.name = "forge", .prob = b.forge};
    rows[1] = (struct row){.name = "delay", .prob = b.delay};
    snprintf(rows[0].text, sizeof rows[0].text, "%u bad devices are seated", t);
    snprintf(rows[1].text, sizeof rows[1].text, "fewer than %u honest ones answer", t);
}

static int seal_bounds(const struct cli *c)
{
    uint32_t t = 0, seats = 0, fleet = 0, draws = 0;
    double p = 0, offline = 0;
    if (c->option[CLI_N] != NULL || c->option[CLI_Q] != NULL || c->option[CLI_POOL] != NULL ||
        c->option[CLI_BAD] != NULL || c->option[CLI_GROUP] != NULL)
        return cli_misuse("--seals and --seats speak of devices, --n and --q of witnesses: ask for "
                          "one of them");
    if (c->option[CLI_SEALS] == NULL || c->option[CLI_SEATS] == NULL)
        return cli_misuse("--seals T and --seats S go together: T seals of S expected seats");
    if (!count(c, CLI_SEALS, "--seals", 1, N_MAX, &t) ||
        !count(c, CLI_SEATS, "--seats", 1, N_MAX, &seats) ||
        !count(c, CLI_FLEET, "--fleet", 1, UINT32_MAX, &fleet) ||
        !count(c, CLI_DRAWS, "--draws", 1, N_MAX, &draws) ||
        !probability(c, CLI_P, "--p", true, &p) ||
        !probability(c, CLI_OFFLINE, "--offline", false, &offline))
        return 2;
    struct row poisson[2], drawn[2], exact[2];
    seal_rows(poisson, poa_bounds_seals(seats, t, p, offline), t);
    seal_rows(drawn, poa_bounds_seals_drawn(seats, t, p, offline), t);
    seal_rows(exact, poa_bounds_seals_fleet(seats, fleet, draws, t, p, offline), t);
    if (c->json) {
        json_t *v = json_pack("{s:I, s:I, s:f, s:f}", "seals", (json_int_t)t, "seats",
                              (json_int_t)seats, "p", p, "offline", offline);
        json_object_set_new(v, "binomial", rows_json(json_object(), drawn, 2));
        if (fleet)
            json_object_set_new(
                v, "fleet", rows_json(json_pack("{s:I}", "devices", (json_int_t)fleet), exact, 2));
        return cli_print_json(rows_json(v, poisson, 2));
    }
    printf("%u seals of %u expected seats, each device bad with p = %g, offline %g\n", t, seats, p,
           offline);
    print_rows(poisson, 2);
    printf("exactly %u seats (policy random)\n", seats);
    print_rows(drawn, 2);
    if (fleet) {
        printf("distinct devices of a fleet of %u\n", fleet);
        print_rows(exact, 2);
    }
    return 0;
}

int cli_witness_bounds(const struct cli *c)
{
    bool seals = c->option[CLI_SEALS] != NULL || c->option[CLI_SEATS] != NULL ||
                 c->option[CLI_FLEET] != NULL || c->option[CLI_DRAWS] != NULL;
    return seals ? seal_bounds(c) : committee_bounds(c);
}

/* --- plan --------------------------------------------------------------------------------- */

/* Beyond this we only say that it is beyond. */
#define PLAN_MAX 2000u
#define AROUND   4u

struct plan {
    double p, offline, fork, stall;
};

/* The best quorum of N: the smallest that does not fork too easily. */
static uint32_t best_quorum(const struct plan *plan, uint32_t n, bool *meets)
{
    uint32_t q = 0;
    *meets = poa_bounds_plan_quorum(plan->p, plan->offline, plan->fork, plan->stall, n, &q) == 0;
    return q ? q : n;
}

static json_t *plan_row(const struct plan *plan, uint32_t n)
{
    struct row rows[3];
    bool meets;
    uint32_t q = best_quorum(plan, n, &meets);
    committee_rows(rows, poa_bounds_binomial(n, q, plan->p, plan->offline), n, q, 0);
    return rows_json(
        json_pack("{s:I, s:I, s:b, s:I}", "n", (json_int_t)n, "q", (json_int_t)q, "meets",
                  (int)meets, "certificate_bytes",
                  (json_int_t)(POA_CERT_BYTES_MAX - POA_SIG_BYTES * (POA_COMMITTEE_MAX - (int)q))),
        rows, 3);
}

static void print_plan_row(const struct plan *plan, uint32_t n, uint32_t chosen)
{
    bool meets;
    uint32_t q = best_quorum(plan, n, &meets);
    struct poa_bounds b = poa_bounds_binomial(n, q, plan->p, plan->offline);
    printf("  %4u %5u  %10.3g %10.3g %10.3g  %s\n", n, q, b.forge.value, b.fork.value,
           b.stall.value,
           n == chosen                 ? "<- the smallest"
           : meets                     ? "meets"
           : b.fork.value > plan->fork ? "forks"
                                       : "stalls");
}

int cli_witness_plan(const struct cli *c)
{
    struct plan plan = {0, 0, 0, 0};
    uint32_t n = 0, q = 0;
    if (!probability(c, CLI_P, "--p", true, &plan.p) ||
        !probability(c, CLI_TARGET, "--target", true, &plan.fork) ||
        !probability(c, CLI_OFFLINE, "--offline", false, &plan.offline))
        return 2;
    plan.stall = plan.fork;
    if (!probability(c, CLI_STALL_TARGET, "--stall-target", false, &plan.stall))
        return 2;
    if (poa_bounds_plan(plan.p, plan.offline, plan.fork, plan.stall, POA_COMMITTEE_MAX, &n, &q)) {
        if (!poa_bounds_plan(plan.p, plan.offline, plan.fork, plan.stall, PLAN_MAX, &n, &q))
            return cli_fail("it would take %u members with quorum %u, more than the %d that a "
                            "committee can have: relax --target, or --stall-target",
                            n, q, POA_COMMITTEE_MAX);
        return cli_fail("no committee of up to %u members meets it: relax --target, or "
                        "--stall-target",
                        PLAN_MAX);
    }
    uint32_t from = n > AROUND ? n - AROUND : 1;
    uint32_t to = n + AROUND < POA_COMMITTEE_MAX ? n + AROUND : POA_COMMITTEE_MAX;
    if (c->json) {
        json_t *v = plan_row(&plan, n), *table = json_array();
        json_object_update_new(v, json_pack("{s:f, s:f, s:f, s:f}", "p", plan.p, "offline",
                                            plan.offline, "target", plan.fork, "stall_target",
                                            plan.stall));
        for (uint32_t i = from; i <= to; i++)
            json_array_append_new(table, plan_row(&plan, i));
        json_object_set_new(v, "table", table);
        return cli_print_json(v);
    }
    printf("%u members with quorum %u: fork at most %g, stall at most %g, for p = %g, offline %g\n"
           "\n     n     q       forge       fork      stall\n",
           n, q, plan.fork, plan.stall, plan.p, plan.offline);
    for (uint32_t i = from; i <= to; i++)
        print_plan_row(&plan, i, n);
    return 0;
}
