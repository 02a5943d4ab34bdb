/* poa-sim: runs seeds, reports what broke. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "poa_base.h"
#include "poa_sim.h"
#include "poa_sim_options.h"

struct mutant_row {
    const char *name, *what;
    uint8_t core, sim;
};
static const struct mutant_row mutants[] = {
#define CORE_ROW(name, text, what) {text, what, POA_MUTANT_##name, 0},
#define SIM_ROW(name, text, what)  {text, what, 0, POA_SIM_MUTANT_##name},
    POA_MUTANTS(CORE_ROW) POA_SIM_MUTANTS(SIM_ROW)
#undef CORE_ROW
#undef SIM_ROW
};
#define MUTANTS (sizeof mutants / sizeof mutants[0])

struct fault_row {
    const char *name, *what;
};
static const struct fault_row device_faults[] = {
#define FAULT_ROW(name, text, what) {text, what},
    POA_SIM_DEVICE_FAULTS(FAULT_ROW)
#undef FAULT_ROW
};

static void usage(FILE *out)
{
    fputs("usage: " POA_SIM_USAGE "\n" POA_SIM_ABOUT "\n\noptions:\n", out);
#define ROW(name, letter, argument, text)                                                          \
    fprintf(out, "  --%-13s %-5s %s\n", name, (argument) ? (const char *)(argument) : "", text);
    POA_SIM_OPTIONS(ROW)
#undef ROW
    fputs("\nexamples:\n", out);
#define ROW(line) fprintf(out, "  %s\n", line);
    POA_SIM_EXAMPLES(ROW)
#undef ROW
    fputs("\nfaults of devices:\n", out);
    for (size_t i = 0; i < POA_SIM_DEVICES_FAULTS; i++)
        fprintf(out, "  %-15s %s\n", device_faults[i].name, device_faults[i].what);
    fputs("\nExit status: " POA_SIM_EXITS "\n", out);
}

static int parse_number(const char *text, char **end, uint64_t *out)
{
    errno = 0;
    *out = strtoull(text, end, 10);
    return *end == text || *text == '-' || errno ? -1 : 0;
}

static int parse_range(const char *text, uint64_t *from, uint64_t *to)
{
    char *end;
    if (parse_number(text, &end, from))
        return -1;
    *to = *from;
    if (!*end)
        return 0;
    if (strncmp(end, "..", 2) || parse_number(end + 2, &end, to) || *end || *to < *from)
        return -1;
    return 0;
}

struct options {
    uint64_t from, to;
    uint32_t nodes, jobs;
    bool json, replay, clean, real;
    const struct mutant_row *mutant;
    int device_fault; /* -1: drawn */
};

struct totals {
    uint64_t seeds, bad, violations, stuck, accusations;
    uint64_t blocks, epochs, txs, lost, seals, restarts, messages, evidence, nullified;
    double finality, period;
};

struct progress {
    const struct options *o;
    struct totals t;
    struct timespec begin, last;
};

static void configure(void *ctx, uint64_t seed, struct poa_sim_config *c)
{
    const struct options *o = ((struct progress *)ctx)->o;
    if (o->clean)
        poa_sim_config_clean(c, o->nodes);
    else
        poa_sim_config_random(c, seed, o->nodes);
    if (o->clean)
        c->seed = seed;
    c->real_crypto = c->real_crypto || o->real;
    c->trace = o->replay ? stdout : NULL;
    if (o->device_fault >= 0) {
        c->device_fault = (uint8_t)o->device_fault;
        c->devices = c->devices ? c->devices : 6;
    }
    if (o->mutant) {
        c->mutant = o->mutant->core;
        c->sim_mutant = o->mutant->sim;
        /* What only a fault of devices shows. */
        if (c->sim_mutant == POA_SIM_MUTANT_ANY_SEAL && o->device_fault < 0)
            c->device_fault = POA_SIM_DEVICES_FORGING;
    }
}

static double since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void done(void *ctx, uint64_t seed, const struct poa_sim_result *r)
{
    struct progress *p = ctx;
    const struct options *o = p->o;
    struct totals *t = &p->t;
    bool bad = r->violations || r->stuck || r->false_accusations;
    if (bad)
        fprintf(stderr, "seed %llu: %s\n  rerun: poa-sim --replay %llu%s%s%s%s\n",
                (unsigned long long)seed, r->first, (unsigned long long)seed,
                o->device_fault >= 0 ? " --devices " : "",
                o->device_fault >= 0 ? device_faults[o->device_fault].name : "",
                o->mutant ? " --mutant " : "", o->mutant ? o->mutant->name : "");
    t->seeds++;
    t->bad += bad;
    t->violations += r->violations;
    t->stuck += r->stuck;
    t->accusations += r->false_accusations;
    t->blocks += r->height;
    t->epochs += r->epochs;
    t->txs += r->txs_final;
    t->lost += r->txs_lost;
    t->seals += r->seals;
    t->restarts += r->restarts;
    t->messages += r->messages;
    t->evidence += r->evidence;
    t->nullified += r->nullified;
    if (o->clean) {
        t->finality += r->finality_delays / (double)(o->to - o->from + 1);
        t->period += r->period_delays / (double)(o->to - o->from + 1);
    }
    if (since(&p->last) > 5 && seed != o->to) {
        fprintf(stderr, "seed %llu of %llu..%llu, %llu bad, %.1f seeds/s\n",
                (unsigned long long)seed, (unsigned long long)o->from, (unsigned long long)o->to,
                (unsigned long long)t->bad, (double)t->seeds / since(&p->begin));
        clock_gettime(CLOCK_MONOTONIC, &p->last);
    }
}

/* Seconds of processor time that this process and its children used: on a
 * machine that does other things, the rate that means something. */
static double cpu_seconds(void)
{
    struct rusage a, b;
    getrusage(RUSAGE_SELF, &a);
    getrusage(RUSAGE_CHILDREN, &b);
    return (double)(a.ru_utime.tv_sec + a.ru_stime.tv_sec + b.ru_utime.tv_sec + b.ru_stime.tv_sec) +
           (double)(a.ru_utime.tv_usec + a.ru_stime.tv_usec + b.ru_utime.tv_usec +
                    b.ru_stime.tv_usec) /
               1e6;
}

/* What delays mean is clear only where nothing else delays. */
static void measure(const struct options *o, struct totals *t)
{
    struct poa_sim_config c;
    struct poa_sim_result r;
    poa_sim_config_clean(&c, o->nodes);
    c.end_us = 2000000;
    poa_sim_whole(&c, &r);
    t->finality = r.finality_delays;
    t->period = r.period_delays;
}

static void report(const struct options *o, const struct totals *t, double seconds)
{
    double cpu = cpu_seconds(), seeds = (double)t->seeds;
    if (o->json) {
        printf("{\"seeds\":%llu,\"violations\":%llu,\"stuck\":%llu,\"false_accusations\":%llu,"
               "\"bad_seeds\":%llu,\"blocks\":%llu,\"epochs\":%llu,\"transactions\":%llu,"
               "\"lost\":%llu,\"seals\":%llu,\"restarts\":%llu,\"messages\":%llu,"
               "\"evidence\":%llu,\"nullified\":%llu,\"finality_delays\":%.2f,"
               "\"period_delays\":%.2f,\"jobs\":%u,\"seconds\":%.1f,\"seeds_per_second\":%.1f,"
               "\"cpu_seconds\":%.1f,\"seeds_per_cpu_second\":%.1f}\n",
               (unsigned long long)t->seeds, (unsigned long long)t->violations,
               (unsigned long long)t->stuck, (unsigned long long)t->accusations,
               (unsigned long long)t->bad, (unsigned long long)t->blocks,
               (unsigned long long)t->epochs, (unsigned long long)t->txs,
               (unsigned long long)t->lost, (unsigned long long)t->seals,
               (unsigned long long)t->restarts, (unsigned long long)t->messages,
               (unsigned long long)t->evidence, (unsigned long long)t->nullified, t->finality,
               t->period, o->jobs, seconds, seconds > 0 ? seeds / seconds : 0.0, cpu,
               cpu > 0 ? seeds / cpu : 0.0);
        return;
    }
    printf("%llu seeds, %llu violations, %llu stuck, %llu false accusations\n",
           (unsigned long long)t->seeds, (unsigned long long)t->violations,
           (unsigned long long)t->stuck, (unsigned long long)t->accusations);
    printf("%llu blocks, %llu hand-overs, %llu transactions, %llu seals, %llu restarts, "
           "%llu messages, %.1f seeds/s, %.1f seeds/s of processor time\n",
           (unsigned long long)t->blocks, (unsigned long long)t->epochs, (unsigned long long)t->txs,
           (unsigned long long)t->seals, (unsigned long long)t->restarts,
           (unsigned long long)t->messages, seconds > 0 ? seeds / seconds : 0.0,
           cpu > 0 ? seeds / cpu : 0.0);
    printf("without faults: finality %.2f, period %.2f message delays\n", t->finality, t->period);
}

static const struct mutant_row *mutant_named(const char *name)
{
    for (size_t i = 0; i < MUTANTS; i++)
        if (!strcmp(mutants[i].name, name))
            return &mutants[i];
    return NULL;
}

static int parse(int argc, char **argv, struct options *o)
{
#define ROW(name, letter, argument, text)                                                          \
    {name, (argument) ? required_argument : no_argument, NULL, letter},
    static const struct option options[] = {POA_SIM_OPTIONS(ROW){NULL, 0, NULL, 0}};
#undef ROW
    int k;
    uint64_t n;
    char *end;
    while ((k = getopt_long(argc, argv, "h", options, NULL)) != -1)
        switch (k) {
        case 's':
            if (parse_range(optarg, &o->from, &o->to)) {
                fprintf(stderr, "poa-sim: --seeds wants A..B, not '%s'\n", optarg);
                return 2;
            }
            break;
        case 'n':
            if (parse_number(optarg, &end, &n) || *end || !n || n > POA_SIM_NODES_MAX - 2) {
                fprintf(stderr, "poa-sim: --nodes wants 1 to %d\n", POA_SIM_NODES_MAX - 2);
                return 2;
            }
            o->nodes = (uint32_t)n;
            break;
        case 'J':
            if (parse_number(optarg, &end, &n) || *end || !n || n > POA_SIM_JOBS_MAX) {
                fprintf(stderr, "poa-sim: --jobs wants 1 to %d, not '%s'\n", POA_SIM_JOBS_MAX,
                        optarg);
                return 2;
            }
            o->jobs = (uint32_t)n;
            break;
        case 'r':
            if (parse_range(optarg, &o->from, &o->to) || o->from != o->to) {
                fprintf(stderr, "poa-sim: --replay wants one seed, not '%s'\n", optarg);
                return 2;
            }
            o->replay = true;
            break;
        case 'm':
            o->mutant = mutant_named(optarg);
            if (!o->mutant) {
                fprintf(stderr, "poa-sim: no mutant '%s'; see --list-mutants\n", optarg);
                return 2;
            }
            break;
        case 'd':
            o->device_fault = POA_SIM_DEVICES_FAULTS - 1;
            while (o->device_fault >= 0 && strcmp(device_faults[o->device_fault].name, optarg))
                o->device_fault--;
            if (o->device_fault < 0) {
                fprintf(stderr, "poa-sim: no fault of devices '%s'; see --help\n", optarg);
                return 2;
            }
            break;
        case 'l':
            for (size_t i = 0; i < MUTANTS; i++)
                printf("%s\n", mutants[i].name);
            exit(0);
        case 'c':
            o->clean = true;
            break;
        case 'R':
            o->real = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            return 2;
        }
    if (optind < argc) {
        fprintf(stderr, "poa-sim: unexpected argument '%s'\n", argv[optind]);
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .to = 100, .device_fault = -1};
    struct progress p = {.o = &o};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o.jobs = cores < 1 ? 1 : cores > POA_SIM_JOBS_MAX ? POA_SIM_JOBS_MAX : (uint32_t)cores;
    int bad = parse(argc, argv, &o);
    if (bad)
        return bad;
    if (o.clean && o.to == 100 && o.from == 1)
        o.to = 1;
    if (poa_crypto_init()) {
        fputs("poa-sim: libsodium does not start\n", stderr);
        return 2;
    }
    /* Cores reserve address space that they hardly touch: let the kernel zero it. */
    mallopt(M_MMAP_THRESHOLD, 1 << 18);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    clock_gettime(CLOCK_MONOTONIC, &p.begin);
    p.last = p.begin;
    if (o.replay) {
        struct poa_sim_config c;
        struct poa_sim_result r;
        configure(&p, o.from, &c);
        poa_sim_whole(&c, &r);
        done(&p, o.from, &r);
    } else if (poa_sim_seeds(o.from, o.to, o.jobs, configure, done, &p)) {
        fputs("poa-sim: cannot start processes: try fewer with --jobs\n", stderr);
        return 2;
    }
    if (!o.clean)
        measure(&o, &p.t);
    report(&o, &p.t, since(&p.begin));
    return p.t.bad ? 1 : 0;
}
