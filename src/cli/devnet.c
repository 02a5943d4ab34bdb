/* poa devnet: the commands, the live line and the final report. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devnet.h"

#define SETTLE_MAX_MS 1500 /* idle, before the load: memory is measured here */
#define DRAIN_MAX_MS  2000 /* after it: what was accepted becomes final */
/* The report, all together: a node that was started again is back, what was accepted is final,
 * everybody answers, and a device earned something, also on a busy machine. Less for a node that
 * has no process. */
#define BACK_MAX_MS     120000
#define GONE_MAX_MS     10000
#define SEALING_MS      8000 /* a device that sealed within this long is "sealing" */
#define COMMITTED_SHARE 0.95
/* Rewards need a window's tickets or a random slot, a seal, and its settlement. */
#define REWARDS_AFTER_MS 12000

static volatile sig_atomic_t stopping; /* 2: asked twice, do not wait for anything */
static void on_signal(int signal)
{
    (void)signal;
    stopping = stopping ? 2 : 1;
}

static void pause_ms(uint64_t ms)
{
    nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
}

/* --- looking at the network ------------------------------------------------------------ */

/* Of those that answer; not known: too few do. */
enum verdict { NO, YES, NOT_KNOWN };
static const char *const verdict_text[] = {"no", "yes", "not known"};

static json_t *verdict_json(enum verdict v)
{
    return v == NOT_KNOWN ? json_null() : json_boolean(v == YES);
}

/* Adds a node's latency histogram to H. */
static void add_latency(struct devnet_process *p, struct poa_histogram *h)
{
    json_t *v = devnet_ask(p, "poa_latency_get", NULL);
    const json_t *buckets = json_object_get(v, "buckets");
    for (size_t i = 0; i < json_array_size(buckets); i++) {
        const json_t *row = json_array_get(buckets, i);
        json_int_t index = json_integer_value(json_array_get(row, 0));
        const char *count = json_string_value(json_array_get(row, 1));
        if (index >= 0 && index < POA_HISTOGRAM_BUCKETS && count != NULL) {
            uint64_t n = strtoull(count, NULL, 10);
            h->bucket[index] += n;
            h->count += n;
        }
    }
    uint64_t max_us = cli_number(v, "max_us");
    if (max_us > h->max_us)
        h->max_us = max_us;
    json_decref(v);
}

static void all_latencies(struct devnet *d, struct poa_histogram *h)
{
    memset(h, 0, sizeof *h);
    for (uint32_t i = 0; i < d->ledgers; i++)
        add_latency(&d->process[i], h);
}

/* What the devices did, as the first node that answers has it. */
struct devices {
    uint64_t *sealed, *changed_ms; /* by registry index */
    uint32_t rewarded, sealing, registered, suspended;
};

static bool look_at_devices(struct devnet *d, struct devices *out)
{
    uint64_t now = devnet_now_ms();
    for (size_t k = 0; k < devnet_nodes(d); k++) {
        uint64_t from = 0;
        bool more = true;
        out->rewarded = out->sealing = out->registered = out->suspended = 0;
        while (more) {
            json_t *v =
                devnet_ask(&d->process[k], "poa_devices_list",
                           json_pack("{s:I, s:i}", "from", (json_int_t)from, "limit", 1000));
            if (v == NULL)
                break;
            const json_t *items = json_object_get(v, "items");
            for (size_t i = 0; i < json_array_size(items); i++) {
                const json_t *item = json_array_get(items, i);
                uint64_t index = cli_number(item, "index"), sealed = cli_number(item, "sealed");
                out->registered++;
                out->rewarded += cli_number(item, "earned") > 0;
                out->suspended += cli_number(item, "status") != 0;
                if (index >= d->devices)
                    continue;
                if (sealed > out->sealed[index])
                    out->changed_ms[index] = now;
                out->sealed[index] = sealed;
                out->sealing +=
                    out->changed_ms[index] != 0 && now - out->changed_ms[index] < SEALING_MS;
            }
            more = json_is_integer(json_object_get(v, "next"));
            from = cli_number(v, "next");
            json_decref(v);
            if (!more)
                return true;
        }
    }
    return false;
}

/* Status of every node: heights, and the highest one's counters. */
struct view {
    uint64_t height, lowest, slot, txs, anchors, epoch;
    size_t answered;
};

static void look(struct devnet *d, struct view *out)
{
    memset(out, 0, sizeof *out);
    out->lowest = UINT64_MAX;
    for (size_t i = 0; i < devnet_nodes(d); i++) {
        struct devnet_process *p = &d->process[i];
        json_t *v = devnet_ask(p, "poa_status", NULL);
        p->answers = v != NULL;
        if (v == NULL)
            continue;
        const json_t *state = json_object_get(v, "state");
        p->height = cli_number(v, "height");
        if (p->first_block_ms == POA_NEVER && json_is_string(json_object_get(v, "first_block_ms")))
            p->first_block_ms = cli_number(v, "first_block_ms");
        out->answered++;
        if (p->height < out->lowest)
            out->lowest = p->height;
        if (p->height >= out->height) {
            out->height = p->height;
            out->slot = cli_number(v, "slot");
            out->txs = cli_number(state, "txs");
            out->anchors = cli_number(state, "anchors");
            out->epoch = cli_number(json_object_get(v, "consensus"), "epoch");
        }
        json_decref(v);
    }
}

/* A moment later, when as many answer. */
static void look_again(struct devnet *d, struct view *view)
{
    struct view now;
    devnet_watch(d);
    pause_ms(100);
    look(d, &now);
    if (now.answered >= view->answered)
        *view = now;
}

/* Asks again until P answers. */
static json_t *ask_until(struct devnet_process *p, const char *method, json_t *params,
                         uint64_t until)
{
    json_t *v;
    while ((v = devnet_ask(p, method, json_incref(params))) == NULL && stopping < 2 &&
           devnet_now_ms() < until)
        pause_ms(100);
    json_decref(params);
    return v;
}

static size_t answering(const struct devnet *d)
{
    size_t n = 0;
    for (size_t i = 0; i < devnet_nodes(d); i++)
        n += d->process[i].answers;
    return n;
}

/* Whether all that answer have the same block at the lowest height, which is looked for again when
 * one does not give it: it may be pruned meanwhile. */
static enum verdict agree(struct devnet *d, struct view *view, uint64_t *height, char hash[65],
                          uint64_t until)
{
    for (;;) {
        char text[24];
        hash[0] = 0;
        if (answering(d) < 2 && answering(d) < devnet_nodes(d))
            return NOT_KNOWN;
        snprintf(text, sizeof text, "%" PRIu64, *height = view->lowest);
        const struct devnet_process *lacks = NULL;
        for (size_t i = 0; i < devnet_nodes(d) && lacks == NULL; i++) {
            struct devnet_process *p = &d->process[i];
            if (!p->answers)
                continue;
            json_t *v = devnet_ask(p, "poa_block_get", json_pack("{s:s}", "height", text));
            const char *got = cli_text(v, "hash");
            bool same = hash[0] == 0 || strcmp(got, hash) == 0;
            if (v == NULL || strlen(got) != 64)
                lacks = p;
            else if (same)
                snprintf(hash, 65, "%s", got);
            else
                fprintf(stderr, "%s has %s at height %s, others %s\n", p->name, got, text, hash);
            json_decref(v);
            if (lacks == NULL && !same)
                return NO;
        }
        if (lacks == NULL)
            return YES;
        if (stopping > 1 || devnet_now_ms() >= until) {
            fprintf(stderr, "%s does not give block %s\n", lacks->name, text);
            return NOT_KNOWN;
        }
        look_again(d, view);
    }
}

static enum verdict conserved(struct devnet *d, uint64_t until)
{
    enum verdict all = NOT_KNOWN;
    for (size_t i = 0; i < devnet_nodes(d); i++) {
        if (!d->process[i].answers)
            continue;
        json_t *v = ask_until(&d->process[i], "poa_supply_audit", NULL, until);
        bool answered = v != NULL, fine = json_is_true(json_object_get(v, "conserved"));
        json_decref(v);
        if (!answered) {
            fprintf(stderr, "%s does not audit the supply\n", d->process[i].name);
            return NOT_KNOWN;
        }
        if (!fine) {
            fprintf(stderr, "%s: the audit of the supply failed\n", d->process[i].name);
            return NO;
        }
        all = YES;
    }
    return all;
}

/* --- starting ------------------------------------------------------------------------------ */

static int start_all(struct devnet *d)
{
    size_t nodes = devnet_nodes(d);
    for (size_t i = 0; i < d->ledgers; i++)
        if (devnet_start(d, &d->process[i]) != 0)
            return 1;
    devnet_write_lock(d);
    /* A quorum of the committee gets the others going. */
    int rc = devnet_wait_ready(d, 0, d->ledgers, d->ledgers - (d->ledgers - 1) / 3, &stopping);
    for (size_t i = d->ledgers; i < nodes && rc == 0; i++)
        rc = devnet_start(d, &d->process[i]);
    if (rc == 0)
        rc = devnet_wait_ready(d, d->ledgers, nodes, d->trusted > 0, &stopping);
    for (size_t i = nodes; i < d->processes && rc == 0; i++)
        rc = devnet_start(d, &d->process[i]);
    devnet_write_lock(d);
    return rc;
}

/* "3 of 4 ", or "4 " when all N from FROM on run. */
static const char *running(const struct devnet *d, size_t from, size_t n, char out[32])
{
    size_t run = 0;
    for (size_t i = from; i < from + n; i++)
        run += d->process[i].pid > 0;
    if (run == n)
        snprintf(out, 32, "%zu", n);
    else
        snprintf(out, 32, "%zu of %zu", run, n);
    return out;
}

static void print_welcome(const struct devnet *d, FILE *to)
{
    char ledgers[32], trusted[32], devices[32];
    char url[64] = "", path[DEVNET_PATH_MAX + 8];
    unsigned port = devnet_running(d)->rpc;
    if (port != POA_RPC_PORT_DEFAULT)
        snprintf(url, sizeof url, " --rpc http://127.0.0.1:%u", port);
    /* For a shell: in quotes when it has to be. */
    const char *quote = strpbrk(d->dir, " \t\"$&;<>|()*?[]#~`\\!{}") != NULL ? "'" : "";
    snprintf(path, sizeof path, "%s%s/keys%s", quote, d->dir, quote);
    fprintf(
        to,
        "%s ledger servers, %s trusted nodes and %s devices are running; RPC is at "
        "http://127.0.0.1:%u\n\nTry in another shell:\n"
        "  %s/poa status%s\n"
        "  %s/poa send bob 1000 --from alice --keys %s%s\n"
        "  %s/poa devices%s\n\nCtrl-C stops everything; the same command continues the chain.\n",
        running(d, 0, d->ledgers, ledgers), running(d, d->ledgers, d->trusted, trusted),
        running(d, devnet_nodes(d), d->devices, devices), port, d->bin, url, d->bin, path, url,
        d->bin, url);
}

/* --- running --------------------------------------------------------------------------------- */

struct run {
    struct devnet *d;
    const struct cli *c;
    uint64_t for_ms; /* 0: until a signal */
    double load_tps;
    struct devnet_load *load;
    struct devices devices;
    struct poa_histogram latency, before;
    uint64_t start_ms;
    uint64_t rss_idle;
    uint64_t shown_ms, shown_txs, printed_ms;
    double finality_ms; /* last measured */
    uint64_t height_at_start;
    struct devnet_chaos chaos;
};

/* One line: height, slot, finality, tps, devices that seal. */
static void show(struct run *r)
{
    uint64_t now = devnet_now_ms();
    bool terminal = isatty(2);
    if (r->shown_ms != 0 && now - r->shown_ms < 1000)
        return;
    if (!terminal && r->c->json)
        return;
    struct view view;
    look(r->d, &view);
    look_at_devices(r->d, &r->devices);
    all_latencies(r->d, &r->latency);
    /* Of the last second: the difference of two looks. A restarted node forgets. */
    struct poa_histogram *last = calloc(1, sizeof *last);
    if (last != NULL && r->latency.count > r->before.count) {
        for (size_t i = 0; i < POA_HISTOGRAM_BUCKETS; i++)
            if (r->latency.bucket[i] > r->before.bucket[i]) {
                last->bucket[i] = r->latency.bucket[i] - r->before.bucket[i];
                last->count += last->bucket[i];
            }
        last->max_us = r->latency.max_us;
        r->finality_ms = (double)poa_histogram_quantile(last, 0.5) / 1000;
    }
    free(last);
    r->before = r->latency;
    double tps = r->shown_ms != 0 && view.txs >= r->shown_txs
                     ? (double)(view.txs - r->shown_txs) * 1000 / (double)(now - r->shown_ms)
                     : 0;
    r->shown_ms = now;
    r->shown_txs = view.txs;
    if (!terminal && now - r->printed_ms < 5000)
        return;
    r->printed_ms = now;
    char finality[32] = "-";
    if (r->finality_ms > 0)
        snprintf(finality, sizeof finality, "%.1f ms", r->finality_ms);
    fprintf(stderr,
            "%sheight %" PRIu64 "  slot %" PRIu64 "  epoch %" PRIu64
            "  finality %s  %.0f tx/s  %u of %u devices sealing  %zu of %zu nodes%s",
            terminal ? "\r\033[K" : "", view.height, view.slot, view.epoch, finality, tps,
            r->devices.sealing, r->d->devices, view.answered, devnet_nodes(r->d),
            terminal ? "" : "\n");
}

static void measure_idle(struct run *r)
{
    for (uint32_t i = 0; i < r->d->ledgers; i++) {
        uint64_t rss = r->d->process[i].pid > 0 ? devnet_rss_bytes(r->d->process[i].pid) : 0;
        if (rss > r->rss_idle)
            r->rss_idle = rss;
    }
}

/* Until UNTIL_MS of the run, or a signal, or (with WAIT_LOAD) all was offered. */
static void run_until(struct run *r, uint64_t until_ms, bool wait_load)
{
    struct poa_rpc_load_stats s;
    while (!stopping && (until_ms == 0 || devnet_now_ms() - r->start_ms < until_ms)) {
        devnet_watch(r->d);
        devnet_chaos_step(r->d, &r->chaos);
        show(r);
        if (wait_load && devnet_load_stats(r->load, &s))
            return;
        pause_ms(50);
    }
}

static int with_load(struct run *r, uint64_t settle_ms, uint64_t drain_ms)
{
    uint64_t count = (uint64_t)(r->load_tps * (double)(r->for_ms - settle_ms - drain_ms) / 1000);
    int rc = devnet_load_prepare(r->d, count, &r->load);
    if (rc != 0)
        return rc;
    r->start_ms = devnet_now_ms();
    run_until(r, settle_ms, false);
    measure_idle(r);
    rc = devnet_load_start(r->d, r->load, r->load_tps);
    if (rc == 0) {
        run_until(r, r->for_ms - drain_ms / 2, true);
        run_until(r, r->for_ms, false);
    }
    return rc;
}

static int without_load(struct run *r, uint64_t settle_ms)
{
    r->start_ms = devnet_now_ms();
    run_until(r, settle_ms, false);
    measure_idle(r);
    run_until(r, r->for_ms, false);
    return 0;
}

/* --- the report ---------------------------------------------------------------------------------
 */

static bool gone(const struct devnet *d)
{
    bool any = false;
    for (size_t i = 0; i < devnet_nodes(d); i++)
        any |= d->process[i].pid <= 0;
    return any;
}

/* What became of the load: how much is final. Of one that is stopped early, what was answered
 * until then counts. */
static uint64_t settle_load(struct run *r, struct poa_rpc_load_stats *s, uint64_t from)
{
    uint64_t committed = 0;
    for (bool early = false, all = false;; pause_ms(100)) {
        if (!early)
            all = devnet_load_stats(r->load, s);
        if (stopping && !all) {
            devnet_load_stop(r->load);
            s->offered = s->accepted + s->rejected + s->failed;
            early = all = true;
        }
        committed = devnet_load_committed(r->d, r->load);
        if ((all && committed >= s->accepted) || stopping > 1 ||
            devnet_now_ms() - from >= (gone(r->d) ? GONE_MAX_MS : BACK_MAX_MS))
            break;
        devnet_watch(r->d);
    }
    devnet_load_stop(r->load);
    return committed;
}

static int report(struct run *r)
{
    struct devnet *d = r->d;
    struct view view;
    struct poa_rpc_load_stats s;
    memset(&s, 0, sizeof s);
    uint64_t from = devnet_now_ms(), until = from + BACK_MAX_MS, ran_ms = from - r->start_ms;
    uint64_t committed = r->load != NULL ? settle_load(r, &s, from) : 0, height = 0;
    char hash[65] = "";
    /* A node that was started again has to execute its blocks, when it says height 0, and to
     * catch up before it can agree. */
    do
        look(d, &view);
    while (stopping < 2 &&
           (view.answered < devnet_nodes(d) || view.lowest + 500 < view.height ||
            (view.lowest == 0 && view.height > 0) || view.height <= r->height_at_start) &&
           devnet_now_ms() - from < (gone(d) ? GONE_MAX_MS : BACK_MAX_MS) &&
           (devnet_watch(d), pause_ms(100), true));
    bool complete = view.answered == devnet_nodes(d);
    if (!complete)
        until = devnet_now_ms() + GONE_MAX_MS;
    enum verdict agreement = agree(d, &view, &height, hash, until);
    enum verdict supply = conserved(d, until);
    bool earns = d->devices > 0 && ran_ms >= REWARDS_AFTER_MS && d->chaos != DEVNET_CHAOS_LIARS;
    while ((!look_at_devices(d, &r->devices) ||
            (earns && (r->devices.rewarded == 0 || view.anchors == 0))) &&
           complete && stopping < 2 && devnet_now_ms() < until)
        look_again(d, &view);
    all_latencies(d, &r->latency);
    double p50 = (double)poa_histogram_quantile(&r->latency, 0.5) / 1000;
    double p99 = (double)poa_histogram_quantile(&r->latency, 0.99) / 1000;
    uint64_t first_block = 0;
    uint32_t restarts = 0, down = 0, firsts = 0;
    for (size_t i = 0; i < d->processes; i++) {
        restarts += d->process[i].restarts;
        down += d->process[i].pid <= 0;
        if (i >= d->ledgers || d->process[i].first_block_ms == POA_NEVER)
            continue;
        firsts++;
        if (d->process[i].first_block_ms > first_block)
            first_block = d->process[i].first_block_ms;
    }
    char asked[64] = "", first[64] = "not known";
    if (!complete)
        snprintf(asked, sizeof asked, "; %zu of %zu asked", view.answered, devnet_nodes(d));
    if (firsts > 0)
        snprintf(first, sizeof first, "%" PRIu64 " ms after the process started", first_block);

    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", devnet_running(d)->rpc);
    const char *wrong = NULL;
    if (agreement == NO)
        wrong = "the nodes disagree";
    else if (supply == NO)
        wrong = "the supply is not conserved";
    else if (!complete || agreement == NOT_KNOWN || supply == NOT_KNOWN)
        wrong = "a node does not answer";
    else if (view.height <= r->height_at_start)
        wrong = "no block became final";
    else if (down > 0)
        wrong = "a process is not running";
    else if ((double)committed < COMMITTED_SHARE * (double)s.offered)
        wrong = "too few of the offered transfers were committed";
    else if (earns && r->devices.rewarded == 0)
        wrong = "no device earned anything";

    if (r->c->json) {
        json_t *v = json_pack(
            "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:I, s:o, s:I, "
            "s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}",
            "healthy", (int)(wrong == NULL), "wrong", wrong != NULL ? wrong : "",
            "finalized_height", (json_int_t)view.height, "committed_txs", (json_int_t)committed,
            "offered_txs", (json_int_t)s.offered, "rejected_txs", (json_int_t)s.rejected,
            "failed_txs", (json_int_t)s.failed, "rerouted_txs", (json_int_t)s.rerouted, "anchors",
            (json_int_t)view.anchors, "devices_rewarded", (json_int_t)r->devices.rewarded,
            "finality_ms_p50", p50, "finality_ms_p99", p99, "first_block_ms",
            firsts > 0 ? json_integer((json_int_t)first_block) : json_null(), "rss_idle_bytes",
            (json_int_t)r->rss_idle, "agreement", verdict_json(agreement), "agreement_height",
            (json_int_t)height, "agreement_hash", hash, "supply_conserved", verdict_json(supply),
            "nodes", (json_int_t)devnet_nodes(d), "nodes_asked", (json_int_t)view.answered,
            "ledgers", (json_int_t)d->ledgers, "trusted", (json_int_t)d->trusted, "devices",
            (json_int_t)d->devices, "restarts", (json_int_t)restarts, "duration_ms",
            (json_int_t)ran_ms, "rpc", url);
        if (v != NULL && r->chaos.phases > 0) {
            json_t *chaos = devnet_chaos_json(&r->chaos);
            json_object_set_new(chaos, "suspended_devices",
                                json_integer((json_int_t)r->devices.suspended));
            json_object_set_new(v, "chaos", chaos);
        }
        char *line = v != NULL ? json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
        json_decref(v);
        if (line == NULL)
            return cli_fail("out of memory");
        puts(line);
        free(line);
    } else {
        printf("\nfinalized height   %" PRIu64 " in epoch %" PRIu64 "\n", view.height, view.epoch);
        if (r->load != NULL)
            printf("transfers          %" PRIu64 " offered, %" PRIu64 " committed, %" PRIu64
                   " refused, %" PRIu64 " unanswered\n",
                   s.offered, committed, s.rejected, s.failed);
        if (r->latency.count > 0)
            printf("finality           p50 %.1f ms, p99 %.1f ms, from RPC accept\n", p50, p99);
        printf("first block        %s\n"
               "idle memory        %.1f MiB, the largest ledger server\n"
               "anchors            %" PRIu64 "\n"
               "devices rewarded   %u of %u that are registered\n",
               first, (double)r->rss_idle / 1048576, view.anchors, r->devices.rewarded,
               r->devices.registered);
        if (agreement == NOT_KNOWN)
            printf("agreement          not known%s\n", asked);
        else
            printf("agreement          %s, at height %" PRIu64 "%s\n", verdict_text[agreement],
                   height, asked);
        printf("supply conserved   %s%s\n", verdict_text[supply], asked);
    }
    if (r->chaos.phases > 0 && !r->c->json)
        printf("chaos              %.2f blocks per second in calm, %.2f in chaos, %u devices "
               "suspended\n",
               devnet_chaos_speed(&r->chaos, true), devnet_chaos_speed(&r->chaos, false),
               r->devices.suspended);
    if (s.rejected > 0)
        fprintf(stderr, "first refusal: %s (%s)\n", poa_error_text(s.first_error),
                poa_error_name(s.first_error));
    return wrong == NULL ? 0 : cli_fail("devnet: %s; logs are in %s/*/log", wrong, d->dir);
}

/* --- commands
 * --------------------------------------------------------------------------------------- */

static int up(struct run *r)
{
    struct devnet *d = r->d;
    struct view view;
    devnet_chaos_begin(d, &r->chaos);
    int rc = start_all(d);
    if (rc != 0)
        return rc;
    look(d, &view);
    r->height_at_start = d->existed ? view.height : 0;
    if (!r->c->json)
        print_welcome(d, stdout);
    fflush(stdout);
    r->devices.sealed = calloc(d->devices + 1u, sizeof(uint64_t));
    r->devices.changed_ms = calloc(d->devices + 1u, sizeof(uint64_t));
    if (r->devices.sealed == NULL || r->devices.changed_ms == NULL)
        return cli_fail("out of memory");
    uint64_t settle = SETTLE_MAX_MS, drain = DRAIN_MAX_MS;
    if (r->for_ms != 0 && r->for_ms / 6 < settle)
        settle = r->for_ms / 6;
    if (r->for_ms != 0 && r->for_ms / 5 < drain)
        drain = r->for_ms / 5;
    rc = r->load_tps > 0 ? with_load(r, settle, drain) : without_load(r, settle);
    devnet_chaos_end(d, &r->chaos);
    if (isatty(2))
        fputs("\n", stderr);
    return rc == 0 ? report(r) : rc;
}

int cli_devnet_up(const struct cli *c)
{
    struct run *r = calloc(1, sizeof *r);
    struct devnet *d = calloc(1, sizeof *d);
    uint64_t tps = 0;
    if (r == NULL || d == NULL)
        return cli_fail("out of memory");
    r->d = d;
    r->c = c;
    int rc = 0;
    if (c->option[CLI_FOR] != NULL && !cli_duration("--for", c->option[CLI_FOR], &r->for_ms))
        rc = 2;
    else if (c->option[CLI_LOAD] != NULL &&
             !cli_u64("--load", c->option[CLI_LOAD], 0, 100000, &tps))
        rc = 2;
    else if (tps > 0 && (r->for_ms == 0 || r->for_ms > 3600000))
        rc = cli_misuse("--load signs its transfers beforehand: say for how long with --for, at "
                        "most 1h");
    r->load_tps = (double)tps;
    if (rc == 0) {
        struct sigaction act;
        memset(&act, 0, sizeof act);
        act.sa_handler = on_signal;
        sigaction(SIGINT, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        sigaction(SIGHUP, &act, NULL);
        d->lock_fd = d->block_fd = -1;
        rc = devnet_open(d, c);
        if (rc == 0)
            rc = up(r);
        devnet_stop_all(d);
        devnet_close(d);
    }
    devnet_load_free(r->load);
    free(r->devices.sealed);
    free(r->devices.changed_ms);
    free(r);
    free(d);
    return rc;
}
