/* poa fleet: very many devices in this process, real nodes around them. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fleet_sim.h"

#define CONNECT_MS 600000 /* until all are there, or back; on a busy machine 20 ms for each */
#define SETTLE_MS  3000   /* before memory is looked at */
/* The packs under way become anchors; and the longest that a device waits before it dials again,
 * with its dial. */
#define DRAIN_MS 120000
/* Until seals are in a block or never will be: 16 slots of a quarter second. */
#define INCLUDE_MS 5000

volatile sig_atomic_t fleet_stopping;
static void on_signal(int signal)
{
    (void)signal;
    fleet_stopping = 1;
}

/* --- measuring -------------------------------------------------------------------------------- */

static uint64_t cpu_us(pid_t pid)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    const char *at = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    fclose(f);
    if (at == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return 0;
    return (uint64_t)(user + kernel) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void sum_gateways(const struct sim *s, uint64_t *rss, uint64_t *cpu)
{
    *rss = *cpu = 0;
    for (uint32_t i = 0; i < s->gateways; i++) {
        *rss += devnet_rss_bytes(s->gateway[i].pid);
        *cpu += cpu_us(s->gateway[i].pid);
    }
}

static void show(const struct sim *s, const char *what)
{
    struct poa_fleet_stats st;
    poa_fleet_stats(s->fleet, &st);
    if (!s->c->json)
        fprintf(stderr,
                "%s: %" PRIu64 " of %u connected, %" PRIu64 " seals, %" PRIu64 " of %" PRIu64
                " packs anchored\n",
                what, st.connected, s->devices, st.seals, st.receipts, st.packs);
}

static uint64_t patience_ms(const struct sim *s)
{
    return CONNECT_MS + 20 * (uint64_t)s->devices;
}

/* Until all devices are connected; when the last one was. */
static int wait_connected(struct sim *s, const char *what, uint64_t *all_ms, uint64_t *most_ms)
{
    uint64_t until = devnet_now_ms() + patience_ms(s), told = devnet_now_ms();
    while ((*all_ms = poa_fleet_connected_ms(s->fleet, 1)) == 0) {
        struct poa_fleet_stats st;
        poa_fleet_stats(s->fleet, &st);
        if (fleet_stopping || devnet_now_ms() > until)
            return cli_fail("only %" PRIu64 " of %u devices are connected after %" PRIu64 " s",
                            st.connected, s->devices, patience_ms(s) / 1000);
        if (devnet_now_ms() - told >= 2000) {
            told = devnet_now_ms();
            show(s, what);
        }
        fleet_pause_ms(50);
    }
    *most_ms = poa_fleet_connected_ms(s->fleet, 0.95);
    return 0;
}

/* A whole number of windows, in which each device draws once. */
static int steady(struct sim *s, uint64_t ms)
{
    uint64_t window_ms = s->slot_ms * s->window_slots;
    if (window_ms && ms > window_ms)
        ms -= ms % window_ms;
    uint64_t start = devnet_now_ms(), told = start, cpu_from, cpu_to, ignored;
    poa_fleet_stats(s->fleet, &s->from);
    sum_gateways(s, &ignored, &cpu_from);
    while (!fleet_stopping && devnet_now_ms() - start < ms) {
        fleet_pause_ms(20);
        if (devnet_now_ms() - told >= 5000) {
            told = devnet_now_ms();
            show(s, "running");
        }
    }
    poa_fleet_stats(s->fleet, &s->to);
    s->steady_ms = devnet_now_ms() - start;
    sum_gateways(s, &ignored, &cpu_to);
    s->steady_cpu_us = cpu_to - cpu_from;
    return fleet_stopping ? cli_fail("stopped") : 0;
}

/* A gateway is killed, or told to stop, or (signal 0) all connections are cut: who was there
 * comes back, here or elsewhere. */
static int storm(struct sim *s, int signal)
{
    struct poa_fleet_stats before, now;
    uint64_t gone = 0, expected = (uint64_t)s->devices * 9 / 10 / s->gateways, from_us, to_us, rss;
    poa_fleet_stats(s->fleet, &before);
    uint32_t elsewhere = s->devices - poa_fleet_at(s->fleet, 0);
    if (signal != 0)
        fprintf(stderr, "%s is %s\n", s->gateway[0].name, signal == SIGKILL ? "killed" : "stopped");
    else
        fprintf(stderr, "all connections are cut\n");
    sum_gateways(s, &rss, &from_us);
    uint64_t start = devnet_now_ms();
    if (signal == 0)
        poa_fleet_cut(s->fleet);
    else if (kill(s->gateway[0].pid, signal) != 0)
        return cli_fail("cannot stop %s: %s", s->gateway[0].name, strerror(errno));
    while (s->storm_ms == 0) {
        fleet_pause_ms(10);
        poa_fleet_stats(s->fleet, &now);
        uint64_t ms = devnet_now_ms() - start;
        gone = now.lost - before.lost;
        if (fleet_stopping || ms > patience_ms(s))
            return cli_fail("only %" PRIu64 " of %u devices are back after %" PRIu64 " s",
                            now.connected, s->devices, ms / 1000);
        if (gone < expected || gone == 0)
            continue;
        if (s->storm95_ms == 0 && now.connected + gone / 20 >= s->devices)
            s->storm95_ms = ms;
        if (now.connected == s->devices)
            s->storm_ms = ms;
    }
    s->storm_lost = gone;
    s->storm_elsewhere = s->devices - poa_fleet_at(s->fleet, 0) - elsewhere;
    if (signal == 0) { /* the processes are the same: what they spent beyond their usual */
        sum_gateways(s, &rss, &to_us);
        uint64_t usual = s->steady_cpu_us * s->storm_ms / (s->steady_ms ? s->steady_ms : 1);
        s->storm_cpu_us = to_us - from_us > usual ? to_us - from_us - usual : 0;
    }
    return 0;
}

static int take_roots(struct sim *s)
{
    s->root = calloc(POA_FLEET_ROOTS_MAX, 32);
    if (s->root == NULL)
        return cli_fail("out of memory");
    s->roots = poa_fleet_roots(s->fleet, s->root, POA_FLEET_ROOTS_MAX);
    return 0;
}

/* Every root that a receipt named must be on the ledger of another node. */
static int check_ledger(struct sim *s)
{
    for (size_t i = 0; i < s->roots; i++) {
        json_t *v = fleet_ask(s->ledger, "poa_anchor_get",
                              json_pack("{s:o}", "root", poa_json_hex(s->root[i], 32)));
        s->roots_missing += v == NULL;
        json_decref(v);
    }
    uint64_t from = 0;
    for (bool more = true; more;) {
        json_t *v = fleet_ask(s->ledger, "poa_devices_list",
                              json_pack("{s:I, s:i}", "from", (json_int_t)from, "limit", 1000)),
               *item;
        size_t i;
        json_array_foreach(json_object_get(v, "items"), i, item) s->ledger_sealed +=
            cli_number(item, "sealed");
        more = json_is_integer(json_object_get(v, "next"));
        from = cli_number(v, "next");
        json_decref(v);
    }
    return 0;
}

/* --- all together --------------------------------------------------------------------------------
 */

static int measure(struct sim *s)
{
    uint64_t ignored;
    fleet_pause_ms(SETTLE_MS);
    sum_gateways(s, &s->rss_before, &s->cpu_before_us);
    struct agent_gateway list[DEVNET_TRUSTED_MAX];
    for (uint32_t i = 0; i < s->gateways; i++) {
        memcpy(list[i].key, s->gateway[i].key, 32);
        snprintf(list[i].host, sizeof list[i].host, "127.0.0.1");
        snprintf(list[i].port, sizeof list[i].port, "%u", s->gateway[i].port);
    }
    struct poa_fleet_config config = {.devices = s->devices,
                                      .gateway = list,
                                      .gateways = s->gateways,
                                      .trust = poa_slice(s->trust, s->trust_n),
                                      .per_trunk = (uint32_t)s->per_trunk,
                                      .pack_ms = (uint32_t)s->pack_ms};
    struct poa_why why = {{0}};
    memcpy(config.seed32, s->seed, 32);
    int rc = poa_fleet_start(&config, &s->fleet, &why);
    poa_wipe(config.seed32, 32);
    if (rc != POA_OK)
        return cli_fail("%s", why.text);
    rc = wait_connected(s, "connecting", &s->connect_ms, &s->connect95_ms);
    if (rc != 0)
        return rc;
    sum_gateways(s, &ignored, &s->cpu_after_us);
    fleet_pause_ms(SETTLE_MS);
    sum_gateways(s, &s->rss_after, &ignored);
    bool killing = s->c->option[CLI_KILL] != NULL || s->c->option[CLI_DRAIN] != NULL ||
                   s->c->option[CLI_CUT] != NULL;
    rc = steady(s, killing ? s->for_ms / 2 : s->for_ms);
    if (rc == 0 && killing)
        rc = storm(s, s->c->option[CLI_KILL] != NULL    ? SIGKILL
                      : s->c->option[CLI_DRAIN] != NULL ? SIGTERM
                                                        : 0);
    /* Seals go on. */
    for (uint64_t end = devnet_now_ms() + s->for_ms / 2;
         killing && rc == 0 && !fleet_stopping && devnet_now_ms() < end;)
        fleet_pause_ms(50);
    poa_fleet_quiet(s->fleet);
    uint64_t until = devnet_now_ms() + DRAIN_MS;
    bool waits, away;
    do {
        fleet_pause_ms(100);
        poa_fleet_stats(s->fleet, &s->end);
        waits = s->end.receipts + s->end.packs_refused < s->end.packs;
        /* On a busy machine some may have just lost their session. */
        away = s->end.connected < s->devices;
    } while ((waits || away) && devnet_now_ms() < until && !fleet_stopping);
    if (rc == 0)
        rc = take_roots(s);
    /* Silence, so that what is on the ledger can be compared with what was said. */
    uint64_t connected = s->end.connected;
    poa_fleet_stop(s->fleet);
    poa_fleet_stats(s->fleet, &s->end);
    s->end.connected = connected;
    poa_fleet_free(s->fleet);
    s->fleet = NULL;
    if (rc == 0)
        fleet_pause_ms(INCLUDE_MS);
    return rc != 0 ? rc : check_ledger(s);
}

static double per_hour(const struct sim *s, uint64_t n)
{
    return s->steady_ms ? (double)n * 3600000 / (double)s->steady_ms / s->devices : 0;
}

static double rate(const struct sim *s, uint64_t ms)
{
    return ms ? 0.95 * s->devices * 1000 / (double)ms : 0;
}

static int report(struct sim *s)
{
    const struct poa_fleet_stats st = s->end;
    double rss =
        s->rss_after > s->rss_before ? (double)(s->rss_after - s->rss_before) / s->devices : 0;
    uint64_t from_bytes = s->from.bytes_in + s->from.bytes_out;
    uint64_t to_bytes = s->to.bytes_in + s->to.bytes_out;
    double bytes = per_hour(s, to_bytes - from_bytes);
    double pack_bytes = per_hour(s, s->to.pack_bytes - s->from.pack_bytes);
    double vrf = per_hour(s, s->to.vrf - s->from.vrf);
    uint64_t cpu = (s->cpu_after_us - s->cpu_before_us) / s->devices;
    const char *wrong = NULL;
    uint64_t lost = st.seals_accepted > s->ledger_sealed ? st.seals_accepted - s->ledger_sealed : 0;
    uint64_t waiting = st.packs - st.receipts - st.packs_refused;
    if (st.connected != s->devices)
        wrong = "not all devices are connected at the end";
    else if (st.double_seals != 0)
        wrong = "a device sealed twice";
    else if (st.alarms != 0)
        wrong = "a device says that its gateway lies";
    else if (s->roots_missing != 0)
        wrong = "a receipt names a root that is not on the ledger";
    else if (waiting != 0 || st.packs_refused != 0)
        wrong = "packs were lost";
    else if (st.seals == 0)
        wrong = "nobody sealed";
    else if (s->ledger_sealed > st.seals)
        wrong = "the ledger has more seals than were made";
    if (!s->c->json) {
        printf("\n%u devices on %u gateways, %" PRIu64 " sockets\n"
               "connected          %" PRIu64
               ", 95 %% after %.1f s (%.0f per second), all after %.1f s\n"
               "gateway memory     %.0f bytes per device; %" PRIu64
               " us of processor per connection\n"
               "traffic            %.0f bytes per device and hour, packs %.0f of them\n"
               "VRF                %.1f evaluations per device and hour\n"
               "seals              %" PRIu64 ", %" PRIu64 " counted by the ledger, %" PRIu64
               " double\n"
               "packs              %" PRIu64 ", %" PRIu64 " anchored under %" PRIu64 " roots\n",
               s->devices, s->gateways, st.sockets, st.connected, (double)s->connect95_ms / 1000,
               rate(s, s->connect95_ms), (double)s->connect_ms / 1000, rss, cpu, bytes, pack_bytes,
               vrf, st.seals, s->ledger_sealed, st.double_seals, st.packs, st.receipts, s->roots);
        if (s->storm_ms)
            printf("sessions lost      %" PRIu64
                   ", 95 %% back after %.1f s, all after %.1f s, %" PRIu32 " at another gateway\n",
                   s->storm_lost, (double)s->storm95_ms / 1000, (double)s->storm_ms / 1000,
                   s->storm_elsewhere);
        if (s->storm_cpu_us)
            printf("                   %" PRIu64 " us of processor per return\n",
                   s->storm_cpu_us / s->storm_lost);
    } else {
        json_t *v = json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
            "s:I, s:I, s:I}",
            "devices", (json_int_t)s->devices, "gateways", (json_int_t)s->gateways, "sockets",
            (json_int_t)st.sockets, "connect_ms", (json_int_t)s->connect_ms, "connect95_ms",
            (json_int_t)s->connect95_ms, "gateway_us_per_connect", (json_int_t)cpu,
            "pack_bytes_per_device_hour", (json_int_t)llround(pack_bytes), "tickets",
            (json_int_t)st.tickets, "seals_lost", (json_int_t)lost, "seals_accepted",
            (json_int_t)st.seals_accepted, "ledger_seals", (json_int_t)s->ledger_sealed, "packs",
            (json_int_t)st.packs, "packs_anchored", (json_int_t)st.receipts, "packs_lost",
            (json_int_t)waiting, "roots", (json_int_t)s->roots, "roots_missing",
            (json_int_t)s->roots_missing, "alarms", (json_int_t)st.alarms, "window_ms",
            (json_int_t)(s->slot_ms * s->window_slots), "sessions_lost", (json_int_t)st.lost,
            "attempts_failed", (json_int_t)st.failed);
        if (v != NULL && s->storm_ms)
            json_object_set_new(
                v, "storm",
                json_pack("{s:I, s:I, s:I, s:I, s:I}", "lost", (json_int_t)s->storm_lost,
                          "back95_ms", (json_int_t)s->storm95_ms, "back_ms",
                          (json_int_t)s->storm_ms, "elsewhere", (json_int_t)s->storm_elsewhere,
                          "gateway_us_per_return", (json_int_t)(s->storm_cpu_us / s->storm_lost)));
        json_t *last = json_pack(
            "{s:b, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "healthy", (int)(wrong == NULL),
            "wrong", wrong != NULL ? wrong : "", "connected", (json_int_t)st.connected,
            "rss_bytes_per_device", (json_int_t)llround(rss), "connect_per_s",
            (json_int_t)llround(rate(s, s->connect95_ms)), "bytes_per_device_hour",
            (json_int_t)llround(bytes), "vrf_per_device_hour", round(vrf * 10) / 10, "seals",
            (json_int_t)st.seals, "double_seals", (json_int_t)st.double_seals);
        if (v == NULL || last == NULL || json_object_update(v, last) != 0)
            return cli_fail("out of memory");
        json_decref(last);
        char *line = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(6));
        json_decref(v);
        if (line == NULL)
            return cli_fail("out of memory");
        puts(line);
        free(line);
    }
    return wrong == NULL ? 0 : cli_fail("fleet: %s", wrong);
}

/* As many descriptors as there may be: one for each device. */
static int need_files(const struct sim *s)
{
    struct rlimit l;
    uint64_t need = (s->per_trunk ? s->devices / s->per_trunk + 1 : s->devices) + 100;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= need)
        return 0;
    return cli_misuse("%" PRIu64 " file descriptors are needed and %" PRIu64
                      " allowed: raise `ulimit -n`, or share connections with --per-trunk",
                      need, (uint64_t)l.rlim_cur);
}

static int run(struct sim *s)
{
    int rc = fleet_network_start(s);
    if (rc == 0)
        rc = measure(s);
    if (rc == 0)
        rc = report(s);
    poa_fleet_free(s->fleet);
    fleet_network_stop(s);
    free(s->root);
    return rc;
}

static int read_options(struct sim *s, const struct cli *c)
{
    uint64_t devices = 1000, ledgers = 4, gateways = 1, views = DEVNET_EPOCH_VIEWS;
    s->for_ms = 30000;
    s->pack_ms = 30000;
    if ((c->option[CLI_DEVICES] &&
         !cli_u64("--devices", c->option[CLI_DEVICES], 1, 200000, &devices)) ||
        (c->option[CLI_LEDGERS] &&
         !cli_u64("--ledgers", c->option[CLI_LEDGERS], 1, DEVNET_LEDGERS_MAX, &ledgers)) ||
        (c->option[CLI_GATEWAYS] &&
         !cli_u64("--gateways", c->option[CLI_GATEWAYS], 1, DEVNET_TRUSTED_MAX, &gateways)) ||
        (c->option[CLI_EPOCH_VIEWS] &&
         !cli_u64("--epoch-views", c->option[CLI_EPOCH_VIEWS], 10, UINT32_MAX, &views)) ||
        (c->option[CLI_PER_TRUNK] &&
         !cli_u64("--per-trunk", c->option[CLI_PER_TRUNK], 1, 100000, &s->per_trunk)) ||
        (c->option[CLI_FOR] && !cli_duration("--for", c->option[CLI_FOR], &s->for_ms)) ||
        (c->option[CLI_PACK_EVERY] &&
         !cli_duration("--pack-every", c->option[CLI_PACK_EVERY], &s->pack_ms)))
        return 2;
    if (s->pack_ms < 1000 || s->pack_ms > 86400000 || s->for_ms < 1000 || s->for_ms > 86400000)
        return cli_misuse("--for and --pack-every are from 1s to 24h");
    s->devices = (uint32_t)devices;
    s->ledgers = (uint32_t)ledgers;
    s->gateways = (uint32_t)gateways;
    s->epoch_views = (uint32_t)views;
    return need_files(s);
}

static int choose_dir(struct sim *s, const struct cli *c)
{
    const char *tmp = getenv("TMPDIR");
    const char *dir = c->option[CLI_DATA_DIR];
    int n =
        dir ? snprintf(s->dir, sizeof s->dir, "%s", dir)
            : snprintf(s->dir, sizeof s->dir, "%s/poa-fleet-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n <= 0 || (size_t)n >= sizeof s->dir)
        return cli_misuse("--data-dir: the path is %s", n > 0 ? "too long" : "empty");
    if (dir && devnet_check_idle(dir) != 0)
        return 1;
    if (dir)
        return cli_make_dirs(s->dir) == POA_OK ? 0 : 1;
    s->own_dir = true;
    return mkdtemp(s->dir) ? 0 : cli_fail("%s: %s", s->dir, strerror(errno));
}

int cli_fleet_simulate(const struct cli *c)
{
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        return cli_fail("out of memory");
    s->c = c;
    int rc = read_options(s, c);
    if (rc == 0)
        rc = choose_dir(s, c);
    if (rc == 0) {
        struct sigaction act;
        memset(&act, 0, sizeof act);
        act.sa_handler = on_signal;
        sigaction(SIGINT, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        rc = run(s);
        /* What failed is kept, to be looked at. */
        if (s->own_dir && rc == 0)
            cli_remove_tree(s->dir);
        else if (s->own_dir)
            fprintf(stderr, "poa: the network's files are in %s\n", s->dir);
    }
    poa_wipe(s, sizeof *s);
    free(s);
    return rc;
}
