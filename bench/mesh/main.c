/* bench-mesh: finality and throughput of ledger servers on this machine, as ratios
 * to limits measured in the same run. docs/mesh.md explains every figure. */
#include <getopt.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "poa_log.h"
#include "poa_store.h"

#define SLOW_TPS 25.0
/* Offered and not final: more would only wait. */
#define WINDOW      12000
#define MINUTES_MAX 60

struct plan {
    double limit_s, slow_s, warm_s, full_s, pruned_s;
    double sign_s;     /* 0: as long as it takes */
    const char *parts; /* idle comes always: the floor needs it */
};
static const struct plan quick = {
    .limit_s = 1, .slow_s = 7, .warm_s = 2, .full_s = 9, .sign_s = 8, .parts = "full"};
static const struct plan full = {.limit_s = 3,
                                 .slow_s = 30,
                                 .warm_s = 5,
                                 .full_s = 300,
                                 .pruned_s = 120,
                                 .parts = "full,catchup,half,dead,pruned,seven,sevenhalf"};

static bool has(const struct plan *p, const char *part)
{
    size_t n = strlen(part);
    for (const char *at = p->parts; (at = strstr(at, part)); at += n)
        if ((at == p->parts || at[-1] == ',') && (!at[n] || at[n] == ','))
            return true;
    return false;
}

struct latency {
    double p50, p99; /* ms */
    uint64_t count;
    double cpu_us; /* of all servers, per transfer */
};

static struct {
    unsigned cores;
    double verify_per_s, verify_cpu_us, tps, tps_limit, generator, server_cpu_us;
    double wire_bytes_per_tx, tx_bytes;
    uint64_t rss_idle, rss_start, rss_end, refused;
    struct latency idle, half, idle7, half7, dead;
    struct floor floor, floor7;
    uint64_t rss_minute[MINUTES_MAX]; /* of the largest server under full load */
    unsigned minutes;
    struct caught caught;
    double replay_certs_s, replay_s; /* of what it caught up with */
    struct pruned {
        uint64_t disk_mid, disk_end, rss_mid, rss_end, server_disk, txs;
    } pruned;
} r;

static bool json;
static char tmp[256], bin[400];

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

static void nap(double s)
{
    usleep((useconds_t)(s * 1e6));
}

/* --- finality ------------------------------------------------------------------------------ */

static struct latency latency_between(const struct poa_histogram *before,
                                      struct poa_histogram *after)
{
    for (unsigned i = 0; i < POA_HISTOGRAM_BUCKETS; i++)
        after->bucket[i] -= before->bucket[i];
    after->count -= before->count;
    struct latency l = {.count = after->count};
    l.p50 = (double)poa_histogram_quantile(after, 0.5) / 1000;
    l.p99 = (double)poa_histogram_quantile(after, 0.99) / 1000;
    return l;
}

/* Transfers one by one over RPC, from any server, for SECONDS; F, when not NULL,
 * gets the fsyncs of these seconds, and what signatures cost in them. */
static struct latency trickle(struct net *net, double seconds, uint32_t *nonce, struct floor *f)
{
    struct said from, to;
    static struct poa_histogram before, after;
    struct load slow;
    uint64_t accepted = 0;
    uint32_t each = 1 + (uint32_t)(seconds * SLOW_TPS / SLOW);
    load_sign(&slow, net, ACCOUNTS - SLOW, SLOW, each, *nonce, 1);
    *nonce += each;
    net_latency(net, &before);
    net_ask(net, &from);
    struct sampler *sampler = f ? floor_sample() : NULL;
    struct trickle *t = trickle_start(net, &slow, SLOW_TPS);
    nap((double)SLOW * each / SLOW_TPS + 1);
    trickle_stop(t, &accepted);
    net_latency(net, &after);
    net_ask(net, &to);
    double fsyncs = to.fsyncs - from.fsyncs;
    if (f)
        floor_sampled(f, sampler, fsyncs > 0 ? (to.fsync_s - from.fsync_s) / fsyncs * 1e6 : 0);
    load_free(&slow);
    struct latency l = latency_between(&before, &after);
    l.cpu_us = accepted ? (to.cpu - from.cpu) / (double)accepted * 1e6 : 0;
    return l;
}

static void say_latency(const char *what, const struct latency *l, const struct floor *f)
{
    say("%s: finality p50 %.1f ms, p99 %.1f ms over %llu transfers; floor %.1f ms: %.2f; %.0f us "
        "of "
        "CPU per transfer\n",
        what, l->p50, l->p99, (unsigned long long)l->count, f->total_us / 1000,
        l->p50 * 1000 / f->total_us, l->cpu_us);
}

/* --- throughput ------------------------------------------------------------------------------ */

/* Waits S seconds while the offer's window follows the chain. */
static void follow(struct net *net, struct offer *o, uint64_t base, double s, struct said *out)
{
    double until = bench_now() + s, tell = bench_now() + 10, minute = bench_now() + 60;
    uint64_t before = 0;
    r.minutes = 0;
    do {
        nap(0.1);
        net_ask(net, out);
        offer_final(o, out->txs - base);
        if (bench_now() >= minute && r.minutes < MINUTES_MAX) {
            r.rss_minute[r.minutes++] = out->rss_max;
            minute += 60;
        }
        if (bench_now() < tell)
            continue;
        if (before)
            say("  %.0f tx/s, largest server %.1f MiB\n", (double)(out->txs - before) / 10,
                (double)out->rss_max / 1048576);
        before = out->txs;
        tell += 10;
    } while (bench_now() < until);
}

static void run_full(struct net *net, const struct plan *p, struct load *l)
{
    struct said begin, from, to;
    struct offered offered;
    net_ask(net, &begin);
    double cpu = bench_cpu();
    struct offer *o = offer_start(net, l, WINDOW, 0);
    follow(net, o, begin.txs, p->warm_s, &from);
    cpu = bench_cpu();
    follow(net, o, begin.txs, p->full_s, &to);
    r.generator = (bench_cpu() - cpu) / (to.at - from.at);
    offer_stats(o, &offered);
    offer_stop(o);
    double txs = (double)(to.txs - from.txs);
    r.tps = txs / (to.at - from.at);
    r.server_cpu_us = (to.cpu - from.cpu) / txs * 1e6;
    r.wire_bytes_per_tx = (double)(to.sent_bytes - from.sent_bytes) / txs;
    r.rss_start = from.rss_max;
    r.rss_end = to.rss_max;
    r.refused = offered.refused;
    if (offered.all)
        say("the load ended early: the figure is too low\n");
    if (offered.refused)
        say("%llu transfers were offered again; the first because: %s\n",
            (unsigned long long)offered.refused, poa_error_text(offered.first_refusal));
}

/* Latency of transfers over RPC while the mesh carries PER_S. */
static struct latency run_half(struct net *net, struct load *l, double per_s, double seconds,
                               uint32_t *nonce)
{
    struct said from, to;
    struct offer *o = offer_start(net, l, 1000000, per_s);
    nap(2);
    net_ask(net, &from);
    struct latency latency = trickle(net, seconds, nonce, NULL);
    net_ask(net, &to);
    offer_stop(o);
    if (to.txs > from.txs)
        latency.cpu_us = (to.cpu - from.cpu) / (double)(to.txs - from.txs) * 1e6;
    return latency;
}

/* While transfers come in one by one. */
static void run_catch_up(struct net *net, const struct plan *p, uint32_t *nonce)
{
    struct load slow;
    uint64_t accepted;
    double seconds = p->full_s * 2 + 30;
    uint32_t each = 1 + (uint32_t)(seconds * SLOW_TPS / SLOW);
    load_sign(&slow, net, ACCOUNTS - SLOW, SLOW, each, *nonce, 1);
    struct trickle *t = trickle_start(net, &slow, SLOW_TPS);
    catch_up(net, bin, seconds, &r.caught);
    trickle_stop(t, &accepted);
    load_free(&slow);
}

static void run_four(const struct plan *p)
{
    struct net net;
    struct load l;
    uint32_t nonce = 0;
    net_start(&net, bin, tmp, 4);
    nap(2);
    struct said idle;
    net_ask(&net, &idle);
    r.rss_idle = idle.rss_max;
    r.idle = trickle(&net, p->slow_s, &nonce, &r.floor);
    say("floor: fsync %.2f ms (alone %.2f), hop %.3f ms, signatures %.2f ms; verifying takes "
        "%.1f us (account), %.1f (Ed25519), %.1f (VRF)\n",
        r.floor.fsync_us / 1000, r.floor.probe_us / 1000, r.floor.hop_us / 1000,
        r.floor.signatures_us / 1000, r.floor.account_us, r.floor.verify_us, r.floor.vrf_us);
    say_latency("4 servers, idle", &r.idle, &r.floor);
    /* More than the limit in the time, as CPU time tells it, which feels other work
     * on the machine least, or twice what was verified a moment ago; quickly, no more
     * than is signed in a few seconds. */
    if (!has(p, "full")) {
        net_stop(&net);
        r.tps = r.tps_limit * 0.7; /* for what is a part of it */
        return;
    }
    uint32_t accounts = ACCOUNTS - SLOW;
    double most = 1e6 / r.floor.account_us * r.cores / 4 * 1.1 * (p->warm_s + p->full_s);
    double signed_ = p->sign_s > 0 ? r.tps_limit * 4 * 0.5 * p->sign_s
                                   : r.tps_limit * 2 * (p->warm_s + p->full_s);
    uint32_t each = 1 + (uint32_t)((signed_ < most ? signed_ : most) / accounts);
    load_sign(&l, &net, 0, accounts, each, 0, r.cores);
    r.tx_bytes = (double)l.tx_bytes;
    say("%u transfers of %zu bytes signed in %.1f s\n", accounts * each, l.tx_bytes, l.sign_s);
    struct bench_limit before = bench_verify(r.cores, p->limit_s);
    run_full(&net, p, &l);
    nap(2); /* what is under way ends */
    struct bench_limit after = bench_verify(r.cores, p->limit_s);
    r.verify_per_s = (before.per_s + after.per_s) / 2;
    r.verify_cpu_us = (before.cpu_us + after.cpu_us) / 2;
    r.tps_limit = r.verify_per_s / 4;
    load_free(&l);
    say("4 servers: %.0f tx/s committed, %.2f of %.0f verifications/s on %u cores / 4; "
        "%.0f us CPU of the servers per transaction, generator %.2f cores\n",
        r.tps, r.tps / r.tps_limit, r.tps_limit * 4, r.cores, r.server_cpu_us, r.generator);
    say("%.0f bytes on the wire per transaction of %.0f; memory %.1f MiB idle, %.1f at the start "
        "of the load, %.1f at its end\n",
        r.wire_bytes_per_tx, r.tx_bytes, (double)r.rss_idle / 1048576,
        (double)r.rss_start / 1048576, (double)r.rss_end / 1048576);
    if (has(p, "catchup"))
        run_catch_up(&net, p, &nonce);
    net_stop(&net);
    if (has(p, "catchup")) {
        r.replay_certs_s = replay_of(&net, r.caught.dir, r.cores, false);
        r.replay_s = replay_of(&net, r.caught.dir, r.cores, true);
        say("catch-up: %llu transactions in %.1f s, %.0f tx/s, %.1f us of CPU each; replay of the "
            "same blocks %.0f tx/s trusting certificates (%.2f), %.0f with signatures (%.2f); the "
            "servers committed %llu meanwhile\n",
            (unsigned long long)r.caught.txs, r.caught.seconds, r.caught.per_s, r.caught.cpu_us,
            r.replay_certs_s, r.caught.per_s / r.replay_certs_s, r.replay_s,
            r.caught.per_s / r.replay_s, (unsigned long long)r.caught.others_txs);
    }
}

/* A load of its own for what follows: PER_S for SECONDS. */
static void sign_for(struct load *l, struct net *net, double per_s, double seconds)
{
    uint32_t accounts = ACCOUNTS - SLOW;
    load_sign(l, net, 0, accounts, 1 + (uint32_t)(per_s * seconds / accounts), 0, r.cores);
}

static void run_dead(const struct plan *p)
{
    struct net net;
    struct load l;
    uint32_t nonce = 0;
    net_start(&net, bin, tmp, 4);
    if (has(p, "half")) {
        sign_for(&l, &net, r.tps / 2, p->slow_s + 10);
        r.half = run_half(&net, &l, r.tps / 2, p->slow_s, &nonce);
        say_latency("4 servers, half load", &r.half, &r.floor);
        load_free(&l);
        nap(5);
    }
    if (has(p, "dead")) {
        net_kill(&net, 3);
        nap(5);
        r.dead = trickle(&net, p->slow_s, &nonce, NULL);
        say_latency("4 servers, one dead", &r.dead, &r.floor);
    }
    net_stop(&net);
}

/* A follower that keeps a few blocks, at half load. */
static void run_pruned(const struct plan *p)
{
    struct net net;
    struct load l;
    struct fresh f;
    struct said said;
    char data[400];
    net_start(&net, bin, tmp, 4);
    fresh_start(&f, &net, bin, "pruned",
                "role = trusted\nprune = 100\ncheckpoint_blocks = 50\ncheckpoint_s = 5\n");
    snprintf(data, sizeof data, "%s/data", f.dir);
    sign_for(&l, &net, r.tps / 2, p->pruned_s + 5);
    struct offer *o = offer_start(&net, &l, 1000000, r.tps / 2);
    for (double begin = bench_now(); bench_now() < begin + p->pruned_s; nap(0.5)) {
        uint64_t disk = poa_store_files_bytes(data), rss = net_rss(f.node.pid);
        if (bench_now() < begin + p->pruned_s / 2) {
            r.pruned.disk_mid = disk > r.pruned.disk_mid ? disk : r.pruned.disk_mid;
            r.pruned.rss_mid = rss > r.pruned.rss_mid ? rss : r.pruned.rss_mid;
        } else {
            r.pruned.disk_end = disk > r.pruned.disk_end ? disk : r.pruned.disk_end;
            r.pruned.rss_end = rss > r.pruned.rss_end ? rss : r.pruned.rss_end;
        }
    }
    offer_stop(o);
    net_ask(&net, &said);
    r.pruned.txs = net_txs(&f.node);
    snprintf(data, sizeof data, "%s/ledger-0/data", net.dir);
    r.pruned.server_disk = poa_store_files_bytes(data);
    fresh_stop(&f);
    net_stop(&net);
    load_free(&l);
    say("pruned follower: after %llu of %llu transactions at most %.1f MiB of disk in the first "
        "half, "
        "%.1f in the second (a server: %.1f); memory %.1f and %.1f MiB\n",
        (unsigned long long)r.pruned.txs, (unsigned long long)said.txs,
        (double)r.pruned.disk_mid / 1048576, (double)r.pruned.disk_end / 1048576,
        (double)r.pruned.server_disk / 1048576, (double)r.pruned.rss_mid / 1048576,
        (double)r.pruned.rss_end / 1048576);
}

static void run_seven(const struct plan *p)
{
    struct net net;
    struct load l;
    uint32_t nonce = 0;
    net_start(&net, bin, tmp, 7);
    nap(2);
    r.idle7 = trickle(&net, p->slow_s, &nonce, &r.floor7);
    say_latency("7 servers, idle", &r.idle7, &r.floor7);
    if (has(p, "sevenhalf")) {
        double half = r.tps / 2 * 4 / 7;
        sign_for(&l, &net, half, p->slow_s + 10);
        r.half7 = run_half(&net, &l, half, p->slow_s, &nonce);
        say_latency("7 servers, half load", &r.half7, &r.floor7);
        load_free(&l);
    }
    net_stop(&net);
}

static void print_latency(const char *name, const struct latency *l)
{
    printf(", \"%s_p50\": %.2f, \"%s_p99\": %.2f, \"%s_cpu_us_per_tx\": %.0f", name, l->p50, name,
           l->p99, name, l->cpu_us);
}

static void print_json(const struct plan *p)
{
    printf("{\"tps\": %.0f, \"tps_limit\": %.0f, \"tps_ratio\": %.3f, \"finality_ms_p50\": %.2f, "
           "\"finality_ms_p99\": %.2f, \"floor_ms\": %.2f, \"finality_over_floor\": %.2f, "
           "\"wire_bytes_per_tx\": %.0f, \"rss_idle_bytes\": %llu",
           r.tps, r.tps_limit, r.tps / r.tps_limit, r.idle.p50, r.idle.p99, r.floor.total_us / 1000,
           r.idle.p50 * 1000 / r.floor.total_us, r.wire_bytes_per_tx,
           (unsigned long long)r.rss_idle);
    printf(", \"cores\": %u, \"verify_per_s\": %.0f, \"generator_cores\": %.3f, "
           "\"server_cpu_us_per_tx\": %.1f, \"cpu_ratio\": %.3f, \"tx_bytes\": %.0f, "
           "\"rss_load_start_bytes\": %llu, "
           "\"rss_load_end_bytes\": %llu, \"refused\": %llu, \"fsync_ms\": %.3f, "
           "\"fsync_alone_ms\": %.3f, \"hop_ms\": %.4f, "
           "\"signatures_ms\": %.3f, \"account_verify_us\": %.1f, \"known_key_verify_us\": %.1f, "
           "\"idle_cpu_us_per_tx\": %.0f",
           r.cores, r.verify_per_s, r.generator, r.server_cpu_us,
           r.server_cpu_us > 0 ? 4 * r.verify_cpu_us / r.server_cpu_us : 0, r.tx_bytes,
           (unsigned long long)r.rss_start, (unsigned long long)r.rss_end,
           (unsigned long long)r.refused, r.floor.fsync_us / 1000, r.floor.probe_us / 1000,
           r.floor.hop_us / 1000, r.floor.signatures_us / 1000, r.floor.account_us,
           r.floor.known_us, r.idle.cpu_us);
    for (unsigned i = 0; i < r.minutes; i++)
        printf("%s%llu%s", i ? ", " : ", \"rss_minute_bytes\": [",
               (unsigned long long)r.rss_minute[i], i + 1 == r.minutes ? "]" : "");
    if (has(p, "half"))
        print_latency("half_load_ms", &r.half);
    if (has(p, "dead"))
        print_latency("one_dead_ms", &r.dead);
    if (has(p, "seven"))
        print_latency("seven_ms", &r.idle7);
    if (has(p, "sevenhalf"))
        print_latency("seven_half_load_ms", &r.half7);
    if (has(p, "seven"))
        printf(", \"seven_floor_ms\": %.2f", r.floor7.total_us / 1000);
    if (has(p, "catchup"))
        printf(", \"catchup_txs\": %llu, \"catchup_complete\": %s, \"catchup_tx_per_s\": %.0f, "
               "\"catchup_cpu_us_per_tx\": %.1f, \"catchup_rss_bytes\": %llu, "
               "\"replay_certs_tx_per_s\": %.0f, \"replay_tx_per_s\": %.0f, "
               "\"catchup_over_replay_certs\": %.3f, \"catchup_over_replay\": %.3f, "
               "\"catchup_committed_meanwhile\": %llu",
               (unsigned long long)r.caught.txs, r.caught.all ? "true" : "false", r.caught.per_s,
               r.caught.cpu_us, (unsigned long long)r.caught.rss_max, r.replay_certs_s, r.replay_s,
               r.caught.per_s / r.replay_certs_s, r.caught.per_s / r.replay_s,
               (unsigned long long)r.caught.others_txs);
    if (has(p, "pruned"))
        printf(", \"pruned_txs\": %llu, \"pruned_disk_bytes\": [%llu, %llu], "
               "\"pruned_rss_bytes\": [%llu, %llu], \"pruned_server_disk_bytes\": %llu",
               (unsigned long long)r.pruned.txs, (unsigned long long)r.pruned.disk_mid,
               (unsigned long long)r.pruned.disk_end, (unsigned long long)r.pruned.rss_mid,
               (unsigned long long)r.pruned.rss_end, (unsigned long long)r.pruned.server_disk);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'},     {"json", no_argument, NULL, 'j'},
        {"dir", required_argument, NULL, 'd'}, {"seconds", required_argument, NULL, 's'},
        {"for", required_argument, NULL, 's'}, {"parts", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},      {0}};
    struct plan plan = full;
    double seconds = 0;
    const char *parts = NULL;
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char self[400] = "";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'q')
            plan = quick;
        else if (c == 'j')
            json = true;
        else if (c == 'd')
            dir = optarg;
        else if (c == 'p')
            parts = optarg;
        else if (c == 's' && (seconds = atof(optarg)) > 0)
            continue;
        else {
            printf(
                "usage: bench-mesh [--quick] [--json] [--for SECONDS] [--parts LIST] [--dir DIR]\n"
                "Finality and throughput of ledger servers on the loopback, as ratios to limits "
                "measured in\nthe same run. --for: how long the full load lasts. --parts: of "
                "%s,\nby commas; quick: %s. The last line is one JSON object.\n"
                "Files go below DIR (default: TMPDIR or /tmp).\n",
                full.parts, quick.parts);
            return c == 'h' ? 0 : 2;
        }
    }
    if (seconds > 0) {
        plan.full_s = plan.pruned_s = seconds;
        plan.sign_s = 0;
    }
    if (parts)
        plan.parts = parts;
    if (!plan.pruned_s)
        plan.pruned_s = 20;
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    snprintf(bin, sizeof bin, "%s", dirname(self));
    snprintf(tmp, sizeof tmp, "%s/bench-mesh.XXXXXX", dir);
    if (!mkdtemp(tmp)) {
        fprintf(stderr, "bench: cannot make a directory in %s\n", dir);
        return 1;
    }
    bench_must(poa_crypto_init(), "crypto");
    struct poa_log_config silent = {.fd = STDERR_FILENO, .level = POA_LOG_WARN};
    poa_log_setup(&silent);
    r.cores = bench_cores();
    r.floor = floor_measure(tmp, 4, r.cores);
    r.floor7 = floor_measure(tmp, 7, r.cores);
    r.tps_limit = bench_verify(r.cores, plan.limit_s / 2).per_s / 4;
    run_four(&plan);
    if (has(&plan, "half") || has(&plan, "dead"))
        run_dead(&plan);
    if (has(&plan, "pruned"))
        run_pruned(&plan);
    if (has(&plan, "seven") || has(&plan, "sevenhalf"))
        run_seven(&plan);
    print_json(&plan);
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", tmp);
    return system(command) ? 1 : 0;
}
