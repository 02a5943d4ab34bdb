/* bench-ledger: transactions per second through decode, verify, execute,
 * Merkle and store, as ratios to the raw rate of BIP340 verification measured
 * in between. docs/performance.md explains every figure. */
#include <dirent.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_ledger.h"
#include "poa_crypto.h"
#include "poa_store.h"

#define GROWTH_MAX 8

/* How much of everything, and for how long. */
struct plan {
    uint64_t accounts;
    uint32_t one_txs, all_txs, hot_txs, multi_txs, growth_txs, state_txs;
    unsigned slices;
    double limit_s;
    uint64_t growth[GROWTH_MAX]; /* up to the first 0 */
};
static const struct plan quick = {.accounts = 1000000,
                                  .one_txs = 15000,
                                  .all_txs = 60000,
                                  .hot_txs = 15000,
                                  .multi_txs = 2000,
                                  .growth_txs = 10000,
                                  .state_txs = 50000,
                                  .slices = 2,
                                  .limit_s = 0.2,
                                  .growth = {10000, 1000000, 10000000}};
static const struct plan full = {
    .accounts = 1000000,
    .one_txs = 100000,
    .all_txs = 400000,
    .hot_txs = 100000,
    .multi_txs = 8000,
    .growth_txs = 40000,
    .state_txs = 200000,
    .slices = 5,
    .limit_s = 1,
    .growth = {10000, 30000, 100000, 300000, 1000000, 3000000, 10000000}};

#define SLICES_MAX     16
#define GROWTH_MAX     8
#define GROWTH_SIGNERS 10000u
struct growth {
    uint64_t accounts;
    double us_per_tx, state_us_per_tx; /* CPU: all of it; ledger alone */
    double limit_us;                   /* of a verification, measured around it */
    double bytes_per_account;
};

static struct {
    double verify_per_s_core, verify_per_s_all;
    double ratio_one, ratio_all, ratio_hot, cpu_ratio_all;
    double tx_per_s_one, tx_per_s_all, multi_per_s, multi_cpu_us;
    double start_s, checkpoint_s, replay_certs_s, replay_s, ratio_replay, certs_over_replay;
    double disk_bytes, wire_bytes, disk_index_bytes, account_bytes;
    struct growth growth[GROWTH_MAX];
    unsigned growths;
} r;

static bool json;
static unsigned cores;
static char tmp[256];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list ap;
    if (json)
        return;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    fflush(stdout);
}

/* --- files ------------------------------------------------------------------------------ */

static void remove_dir(const char *dir)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command))
        fprintf(stderr, "bench: cannot remove %s\n", dir);
}

static void store_dir(const char *name, char *out, size_t out_n)
{
    snprintf(out, out_n, "%s/%s", tmp, name);
}

/* Bytes of the files of a database. */
static uint64_t disk_use(const char *dir)
{
    char path[600];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "%s/db", dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char file[900];
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (!stat(file, &st) && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    }
    if (d)
        closedir(d);
    return sum;
}

/* --- slices: limit, pipeline, limit, ... ------------------------------------------------------ */

struct rates {
    double ratio, per_s, limit; /* wall time */
    double cpu_us, limit_us;    /* CPU per transaction and per verification */
};

/* The pipeline over LOAD on CORES cores, in slices between measurements of the
 * limit, so that other work on the machine meets both. */
static struct rates measure(struct pipe *p, const struct load *load, const struct plan *plan,
                            unsigned on)
{
    double ratio[SLICES_MAX], per_s[SLICES_MAX], cpu[SLICES_MAX];
    double limit[SLICES_MAX + 1], limit_us[SLICES_MAX + 1];
    struct bench_limit b = bench_verify(on, plan->limit_s);
    limit[0] = b.per_s;
    limit_us[0] = b.cpu_us;
    for (unsigned i = 0; i < plan->slices; i++) {
        uint32_t from = load->batches * i / plan->slices;
        uint32_t to = load->batches * (i + 1) / plan->slices;
        uint64_t before = p->executed;
        struct spent spent = pipe_run(p, load, from, to);
        double txs = (double)(p->executed - before);
        b = bench_verify(on, plan->limit_s);
        limit[i + 1] = b.per_s;
        limit_us[i + 1] = b.cpu_us;
        per_s[i] = txs / spent.wall;
        cpu[i] = spent.cpu / txs * 1e6;
        ratio[i] = per_s[i] * 2 / (limit[i] + limit[i + 1]);
    }
    return (struct rates){bench_median(ratio, plan->slices), bench_median(per_s, plan->slices),
                          bench_median(limit, plan->slices + 1), bench_median(cpu, plan->slices),
                          bench_median(limit_us, plan->slices + 1)};
}

static void say_rates(const char *what, const struct rates *x)
{
    say("%s: %.0f tx/s, %.2f of %.0f verifications/s; CPU %.1f us per transaction, %.1f per "
        "verification: %.2f\n",
        what, x->per_s, x->ratio, x->limit, x->cpu_us, x->limit_us, x->limit_us / x->cpu_us);
}

/* --- the runs ----------------------------------------------------------------------------------
 */

static void run_rates(const struct world *w, const struct plan *plan)
{
    struct load one, all, hot, multi;
    struct load_kind k = {
        .txs = plan->one_txs, .ops = 1, .signers = plan->one_txs, .accounts = plan->accounts};
    double begin = bench_now();
    load_make(&one, w, &k);
    k.first_signer += k.signers;
    k.seq += 10000;
    k.txs = k.signers = plan->all_txs;
    load_make(&all, w, &k);
    k.first_signer += k.signers;
    k.seq += 10000;
    k.txs = k.signers = plan->multi_txs;
    k.ops = 50;
    load_make(&multi, w, &k);
    /* Hot: a hundred accounts among themselves. */
    k.first_signer += k.signers;
    k.seq += 10000;
    k.txs = plan->hot_txs;
    k.ops = 1;
    k.signers = 100;
    k.accounts = 100;
    load_make(&hot, w, &k);
    say("signed %u transactions in %.1f s\n", one.txs + all.txs + multi.txs + hot.txs,
        bench_now() - begin);

    char dir[300];
    struct pipe p;
    store_dir("chain", dir, sizeof dir);
    struct poa_store *s = pipe_store(w, dir, false);
    struct node_pages m = {0};
    begin = bench_now();
    struct poa_ledger *l = world_state(w, plan->accounts, &m, s);
    r.account_bytes = (double)m.bytes / (double)plan->accounts;
    say("%llu accounts in %.1f s: %.0f bytes each\n", (unsigned long long)plan->accounts,
        bench_now() - begin, r.account_bytes);
    pipe_open(&p, w, l, s, cores);
    struct rates rates = measure(&p, &all, plan, cores);
    r.ratio_all = rates.ratio;
    r.tx_per_s_all = rates.per_s;
    r.verify_per_s_all = rates.limit;
    r.cpu_ratio_all = rates.limit_us / rates.cpu_us;
    say_rates("all cores", &rates);
    pipe_close(&p);
    POA_ASSERT(p.failed == 0);
    poa_store_close(s);

    /* The rest into another store, so that the replay is of the first alone. */
    store_dir("more", dir, sizeof dir);
    s = pipe_store(w, dir, false);
    pipe_open(&p, w, l, s, cores);
    rates = measure(&p, &hot, plan, cores);
    r.ratio_hot = rates.ratio;
    say_rates("hot accounts", &rates);
    rates = measure(&p, &multi, plan, cores);
    r.multi_per_s = rates.per_s * 50;
    r.multi_cpu_us = rates.cpu_us / 50;
    say("50 transfers each: %.0f transfers/s; %.2f us CPU per transfer\n", r.multi_per_s,
        r.multi_cpu_us);
    pipe_close(&p);
    POA_ASSERT(p.failed == 0);

    pipe_open(&p, w, l, s, 1);
    bench_pin(1);
    rates = measure(&p, &one, plan, 1);
    bench_pin(cores);
    begin = bench_now();
    size_t saved = pipe_checkpoint(&p);
    r.checkpoint_s = bench_now() - begin;
    say("checkpoint of %.1f MB of changes: %.2f s\n", (double)saved / 1e6, r.checkpoint_s);
    pipe_close(&p);
    r.ratio_one = rates.ratio;
    r.tx_per_s_one = rates.per_s;
    r.verify_per_s_core = rates.limit;
    say_rates("one core", &rates);
    poa_store_close(s);
    remove_dir(dir);
    poa_ledger_free(l);
    load_free(&one);
    load_free(&all);
    load_free(&hot);
    load_free(&multi);
}

/* Disk: the same blocks into fresh stores, without state, with and without index. */
static void run_disk(const struct world *w, const struct plan *plan)
{
    struct load load;
    struct load_kind k = {.txs = plan->growth_txs * 2,
                          .ops = 1,
                          .signers = plan->growth_txs * 2,
                          .accounts = plan->accounts};
    load_make(&load, w, &k);
    r.wire_bytes = (double)load.wire_bytes / load.txs;
    for (int index = 0; index < 2; index++) {
        char dir[300];
        struct pipe p;
        struct node_pages m = {0};
        store_dir("disk", dir, sizeof dir);
        struct poa_ledger *l = world_state(w, k.signers, &m, NULL);
        struct poa_store *s = pipe_store(w, dir, index);
        pipe_open(&p, w, l, s, cores);
        uint64_t before = disk_use(dir);
        (void)pipe_run(&p, &load, 0, load.batches);
        pipe_close(&p);
        /* What was written last is in LevelDB's log; a start writes it into tables. */
        poa_store_close(s);
        s = pipe_store(w, dir, index);
        poa_store_close(s);
        double bytes = (double)(disk_use(dir) - before) / load.txs;
        *(index ? &r.disk_index_bytes : &r.disk_bytes) = bytes;
        poa_ledger_free(l);
        remove_dir(dir);
    }
    say("disk: %.1f bytes per transaction of %.1f bytes (%.3f), with index %.1f\n", r.disk_bytes,
        r.wire_bytes, r.disk_bytes / r.wire_bytes, r.disk_index_bytes);
    load_free(&load);
}

static void run_replay(const struct world *w, const struct plan *plan)
{
    char dir[300];
    struct replayed trust, full_check;
    store_dir("chain", dir, sizeof dir);
    struct poa_store *s = pipe_store(w, dir, false);
    double a = bench_verify(cores, plan->limit_s).per_s;
    replay_run(w, s, false, cores, &trust);
    replay_run(w, s, true, cores, &full_check);
    double b = bench_verify(cores, plan->limit_s).per_s;
    poa_store_close(s);
    POA_ASSERT(!memcmp(trust.root, full_check.root, 32) && trust.txs == full_check.txs);
    r.start_s = trust.start < full_check.start ? trust.start : full_check.start;
    r.replay_certs_s = (double)trust.txs / trust.replay;
    r.replay_s = (double)full_check.txs / full_check.replay;
    r.ratio_replay = r.replay_s * 2 / (a + b);
    r.certs_over_replay = r.replay_certs_s / r.replay_s;
    say("start with %llu accounts: %.2f s\n", (unsigned long long)plan->accounts, r.start_s);
    say("replay: %.0f tx/s with signatures (%.2f), %.0f tx/s trusting certificates: %.1f times\n",
        r.replay_s, r.ratio_replay, r.replay_certs_s, r.certs_over_replay);
}

/* Execution and tree alone, TXS transactions at N accounts: for profiles. */
static void run_state(const struct world *w, uint64_t n, uint32_t txs)
{
    struct pipe p = {.world = w};
    struct plain plain;
    struct node_pages m = {0};
    p.ledger = world_state(w, n, &m, NULL);
    for (unsigned round = 0; round < 4; round++) {
        plain_make(&plain, w, n, (uint64_t)round * txs, txs, 0, 0);
        double us = pipe_state(&p, &plain) / txs * 1e6;
        plain_free(&plain);
        POA_ASSERT(p.failed == 0);
        say("%llu accounts: %.2f us for the state of a transaction, %.0f keys/s\n",
            (unsigned long long)n, us, 2e6 / us);
    }
    poa_ledger_free(p.ledger);
}

/* Bytes that a state of N accounts takes while it is made. */
static bool fits(uint64_t n)
{
    double free_bytes = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    return (double)n * 360 < free_bytes;
}

static void grow(const struct world *w, const struct plan *plan, uint64_t n)
{
    struct load load;
    struct load_kind k = {
        .txs = plan->growth_txs, .ops = 1, .signers = GROWTH_SIGNERS, .accounts = n, .seq = 1};
    char dir[300];
    struct pipe p;
    struct plain plain;
    struct node_pages m = {0};
    struct growth *g = &r.growth[r.growths++];
    double begin = bench_now();
    struct poa_ledger *l = world_state(w, n, &m, NULL);
    double made = bench_now() - begin;
    *g = (struct growth){.accounts = n, .bytes_per_account = (double)m.bytes / (double)n};
    load_make(&load, w, &k);
    plain_make(&plain, w, n, 0, plan->state_txs, k.signers, plan->growth_txs / k.signers);
    store_dir("growth", dir, sizeof dir);
    struct poa_store *s = pipe_store(w, dir, false);
    pipe_open(&p, w, l, s, cores);
    double before = bench_verify(cores, plan->limit_s / 2).cpu_us;
    g->us_per_tx = pipe_run(&p, &load, 0, load.batches).cpu / load.txs * 1e6;
    g->state_us_per_tx = pipe_state(&p, &plain) / plan->state_txs * 1e6;
    g->limit_us = (before + bench_verify(cores, plan->limit_s / 2).cpu_us) / 2;
    pipe_close(&p);
    POA_ASSERT(p.failed == 0);
    plain_free(&plain);
    load_free(&load);
    poa_store_close(s);
    poa_ledger_free(l);
    remove_dir(dir);
    say("%8llu accounts: CPU per transaction %.1f us, %.2f verifications; of it %.2f us for the "
        "state, %.3f (%.0f keys/s); %.0f bytes per account (made in %.1f s)\n",
        (unsigned long long)n, g->us_per_tx, g->us_per_tx / g->limit_us, g->state_us_per_tx,
        g->state_us_per_tx / g->limit_us, 2e6 / g->state_us_per_tx, g->bytes_per_account, made);
}

static void run_growth(const struct world *w, const struct plan *plan)
{
    for (unsigned i = 0; i < GROWTH_MAX && plan->growth[i]; i++) {
        if (fits(plan->growth[i]))
            grow(w, plan, plan->growth[i]);
        else
            say("%llu accounts: not enough memory\n", (unsigned long long)plan->growth[i]);
    }
}

/* What AT costs in verifications over what FROM does; 0: not measured. */
static double growth_ratio(uint64_t at, uint64_t from)
{
    double a = 0, b = 0;
    for (unsigned i = 0; i < r.growths; i++) {
        const struct growth *g = &r.growth[i];
        a = g->accounts == at ? g->us_per_tx / g->limit_us : a;
        b = g->accounts == from ? g->us_per_tx / g->limit_us : b;
    }
    return b > 0 ? a / b : 0;
}

static void print_json(void)
{
    double cost = growth_ratio(10000000, 10000), keys = 0;
    for (unsigned i = 0; i < r.growths; i++)
        if (r.growth[i].accounts == 1000000)
            keys = 2e6 / r.growth[i].state_us_per_tx;
    printf("{\"verify_per_s_core\": %.0f, \"ratio_one_core\": %.3f, \"ratio_all_cores\": %.3f, "
           "\"ratio_replay\": %.3f, \"replay_certs_over_replay\": %.2f, "
           "\"transfers_per_s_multi_op\": %.0f, \"disk_bytes_per_tx\": %.1f, "
           "\"wire_bytes_per_tx\": %.1f, \"bytes_per_account\": %.0f, \"cost_1e7_over_1e4\": %.3f, "
           "\"cores\": %u, \"tx_per_s_one_core\": %.0f, \"tx_per_s_all_cores\": %.0f, "
           "\"verify_per_s_all_cores\": %.0f, \"cpu_ratio_all_cores\": %.3f, \"ratio_hot\": %.3f, "
           "\"replay_tx_per_s\": %.0f, \"replay_certs_tx_per_s\": %.0f, "
           "\"disk_bytes_per_tx_indexed\": %.1f, \"start_s\": %.2f, \"checkpoint_s\": %.2f, "
           "\"state_keys_per_s_core\": %.0f, \"growth\": [",
           r.verify_per_s_core, r.ratio_one, r.ratio_all, r.ratio_replay, r.certs_over_replay,
           r.multi_per_s, r.disk_bytes, r.wire_bytes, r.account_bytes, cost, cores, r.tx_per_s_one,
           r.tx_per_s_all, r.verify_per_s_all, r.cpu_ratio_all, r.ratio_hot, r.replay_s,
           r.replay_certs_s, r.disk_index_bytes, r.start_s, r.checkpoint_s, keys);
    for (unsigned i = 0; i < r.growths; i++)
        printf("%s{\"accounts\": %llu, \"us_per_tx\": %.2f, \"state_us_per_tx\": %.2f, "
               "\"verify_us\": %.2f, "
               "\"bytes_per_account\": %.0f}",
               i ? ", " : "", (unsigned long long)r.growth[i].accounts, r.growth[i].us_per_tx,
               r.growth[i].state_us_per_tx, r.growth[i].limit_us, r.growth[i].bytes_per_account);
    printf("]}\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'},       {"json", no_argument, NULL, 'j'},
        {"growth", no_argument, NULL, 'g'},      {"accounts", required_argument, NULL, 'a'},
        {"state", required_argument, NULL, 's'}, {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},        {0}};
    const struct plan *plan = &full;
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    struct world w;
    bool only_growth = false;
    uint64_t only = 0, state = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'q')
            plan = &quick;
        else if (c == 'j')
            json = true;
        else if (c == 'g')
            only_growth = true;
        else if (c == 'a')
            only = strtoull(optarg, NULL, 10);
        else if (c == 's')
            state = strtoull(optarg, NULL, 10);
        else if (c == 'd')
            dir = optarg;
        else {
            printf("usage: bench-ledger [--quick] [--json] [--growth | --accounts N [--state TXS]] "
                   "[--dir DIR]\n"
                   "Speed of the ledger as ratios to raw BIP340 verification, measured in the "
                   "same run.\nThe last line is one JSON object. With --growth only the cost as "
                   "the state "
                   "grows, with --accounts at one size, with --state execution and tree "
                   "alone (TXS transactions, four times). Databases go below DIR "
                   "(default: TMPDIR or /tmp).\n");
            return c == 'h' ? 0 : 2;
        }
    }
    snprintf(tmp, sizeof tmp, "%s/bench-ledger.XXXXXX", dir);
    if (!mkdtemp(tmp)) {
        fprintf(stderr, "bench: cannot make a directory in %s\n", dir);
        return 1;
    }
    cores = bench_cores();
    bench_must(poa_crypto_init(), "crypto");
    world_make(&w, only_growth || only ? GROWTH_SIGNERS
                                       : plan->one_txs + plan->all_txs + plan->multi_txs + 100);
    if (!only_growth && !only) {
        run_rates(&w, plan);
        run_replay(&w, plan);
        run_disk(&w, plan);
    }
    if (only && state)
        run_state(&w, only, (uint32_t)state);
    else if (only)
        grow(&w, plan, only);
    else
        run_growth(&w, plan);
    print_json();
    world_free(&w);
    remove_dir(tmp);
    return 0;
}
