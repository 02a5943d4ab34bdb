/* poa fleet: very many devices in this process, real nodes around them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "devnet.h"
#include "poa_fleet.h"

#define READY_MS   900000
#define CONNECT_MS 600000 /* until all are there, or back; on a busy machine 20 ms for each */
#define SETTLE_MS  3000   /* before memory is looked at */
#define DRAIN_MS   30000  /* the packs under way become anchors */
/* Until seals are in a block or never will be: 16 slots of a quarter second. */
#define INCLUDE_MS 5000
#define BATCH      64u /* registrations in a transaction */

struct gateway {
    char name[32], rpc[64];
    pid_t pid;
    uint16_t port;
    uint8_t key[32];
};

struct sim {
    const struct cli *c;
    char dir[DEVNET_PATH_MAX];
    bool own_dir;
    uint32_t devices, ledgers, gateways;
    uint64_t for_ms, pack_ms, per_trunk;
    pid_t network;
    uint8_t seed[32], chain[32];
    uint64_t slot_ms, window_slots, seats;
    struct gateway gateway[DEVNET_TRUSTED_MAX];
    struct poa_rpc_client *ledger;
    uint8_t trust[POA_DEVICE_TRUST_MAX];
    size_t trust_n;
    struct poa_fleet *fleet;

    /* What was measured. */
    uint64_t rss_before, rss_after, cpu_before_us, cpu_after_us;
    uint64_t connect_ms, connect95_ms, storm_ms, storm95_ms, storm_lost;
    uint64_t steady_ms;
    struct poa_fleet_stats from, to, end;
    uint8_t (*root)[32];
    uint64_t roots, roots_missing, ledger_sealed;
};

static volatile sig_atomic_t stopping;
static void on_signal(int signal)
{
    (void)signal;
    stopping = 1;
}

static void pause_ms(uint64_t ms)
{
    nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
}

static int path_of(const struct sim *s, char *out, size_t n, const char *name)
{
    int k = snprintf(out, n, "%s/%s", s->dir, name);
    return k > 0 && (size_t)k < n ? 0 : cli_fail("%s: path too long", s->dir);
}

static json_t *ask(struct poa_rpc_client *client, const char *method, json_t *params)
{
    json_t *v = NULL;
    struct poa_why why;
    return poa_rpc_client_call(client, method, params, &v, &why) == POA_OK ? v : NULL;
}

/* --- the network ------------------------------------------------------------------------ */

static int start_network(struct sim *s)
{
    char log[512], ledgers[16], trusted[16], fleet[16];
    uint32_t registered = s->devices < DEVNET_FLEET_MAX ? s->devices : DEVNET_FLEET_MAX;
    snprintf(ledgers, sizeof ledgers, "%u", s->ledgers);
    snprintf(trusted, sizeof trusted, "%u", s->gateways);
    snprintf(fleet, sizeof fleet, "%u", registered);
    if (path_of(s, log, sizeof log, "devnet.log") != 0)
        return 1;
    pid_t parent = getpid();
    s->network = fork();
    if (s->network < 0)
        return cli_fail("cannot start a network: %s", strerror(errno));
    if (s->network > 0)
        return 0;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    execl("/proc/self/exe", "poa", "devnet", "up", "--data-dir", s->dir, "--ledgers", ledgers,
          "--trusted", trusted, "--devices", "0", "--fleet", fleet, "--json", (char *)NULL);
    _exit(127);
}

/* Takes the gateways of the running network; false: not complete yet. */
static bool look_for_gateways(struct sim *s)
{
    char path[512];
    if (path_of(s, path, sizeof path, "devnet.lock") != 0)
        return false;
    json_t *v = json_load_file(path, 0, NULL), *p;
    size_t i;
    uint32_t n = 0;
    json_array_foreach(json_object_get(v, "processes"), i, p)
    {
        if (!json_object_get(p, "gateway") || n == s->gateways || cli_number(p, "pid") == 0)
            continue;
        struct gateway *g = &s->gateway[n++];
        g->pid = (pid_t)cli_number(p, "pid");
        g->port = (uint16_t)cli_number(p, "gateway");
        snprintf(g->name, sizeof g->name, "%s", cli_text(p, "name"));
        snprintf(g->rpc, sizeof g->rpc, "%s", cli_text(p, "rpc"));
    }
    json_t *first = json_array_get(json_object_get(v, "processes"), 0);
    struct poa_why why;
    if (n == s->gateways && s->ledger == NULL &&
        poa_rpc_client_new(cli_text(first, "rpc"), NULL, 10000, &s->ledger, &why) != POA_OK)
        n = 0;
    json_decref(v);
    return n == s->gateways;
}

static bool gateway_ready(struct gateway *g)
{
    struct poa_rpc_client *client;
    struct poa_why why;
    if (poa_rpc_client_new(g->rpc, NULL, 2000, &client, &why) != POA_OK)
        return false;
    json_t *v = ask(client, "poa_status", NULL);
    bool ready = json_is_true(json_object_get(v, "ready")) &&
                 json_is_string(json_object_get(v, "first_block_ms"));
    if (ready && poa_unhex(cli_text(v, "key"), g->key, 32) != POA_OK)
        ready = false;
    json_decref(v);
    poa_rpc_client_free(client);
    return ready;
}

static int wait_network(struct sim *s)
{
    uint64_t until = devnet_now_ms() + READY_MS;
    for (;; pause_ms(100)) {
        bool ready = look_for_gateways(s);
        for (uint32_t i = 0; ready && i < s->gateways; i++)
            ready = gateway_ready(&s->gateway[i]);
        if (ready)
            return 0;
        if (stopping)
            return cli_fail("stopped");
        if (waitpid(s->network, NULL, WNOHANG) == s->network) {
            s->network = 0;
            return cli_fail("the network does not start; see %s/devnet.log", s->dir);
        }
        if (devnet_now_ms() > until)
            return cli_fail("the network is not ready after %d s; see %s/*/log", READY_MS / 1000,
                            s->dir);
    }
}

static int read_seed(struct sim *s)
{
    char path[512];
    struct poa_why why = {{0}};
    struct poa_passphrase line;
    memset(&line, 0, sizeof line);
    if (path_of(s, path, sizeof path, "keys/load.seed") != 0)
        return 1;
    int rc = poa_passphrase_read(path, &line, &why);
    if (rc == POA_OK && poa_unhex(line.text, s->seed, 32) != POA_OK)
        rc = poa_because(&why, POA_E_TEXT, "%s is damaged", path);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

static int read_genesis(struct sim *s)
{
    char path[512], *bytes = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    struct poa_genesis g;
    if (path_of(s, path, sizeof path, "genesis.poa") != 0)
        return 1;
    if (poa_file_read(path, (size_t)128 << 20, 0, &bytes, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    struct poa_writer w = poa_writer_over(s->trust, sizeof s->trust);
    int rc = agent_trust_of_genesis(poa_slice(bytes, n), &w, &why);
    s->trust_n = w.n;
    poa_genesis_chain_id(poa_slice(bytes, n), s->chain);
    if (rc == POA_OK && poa_genesis_decode(poa_slice(bytes, n), &g) == POA_OK) {
        s->slot_ms = g.slot_ms;
        s->window_slots = g.window_slots;
        s->seats = g.seats_per_slot;
    }
    free(bytes);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

/* --- devices that the genesis has no room for --------------------------------------------- */

static int open_key(const struct sim *s, const char *name, struct poa_keystore_info *info,
                    uint8_t secret32[32])
{
    char path[512];
    struct poa_why why = {{0}};
    if (path_of(s, path, sizeof path, name) != 0)
        return 1;
    return poa_keystore_open(path, NULL, info, secret32, &why) == POA_OK ? 0
                                                                         : cli_fail("%s", why.text);
}

static int add_device(const struct sim *s, uint32_t i, const uint8_t maker32[32],
                      const uint8_t owner32[32], struct poa_writer *ops)
{
    struct poa_op_device d;
    uint8_t seed[32], body[512];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    memset(&d, 0, sizeof d);
    poa_fleet_seed(s->seed, i, seed);
    poa_ed25519_public(seed, d.device);
    d.maker = 1;
    d.region = (uint16_t)(1 + i % 4);
    memcpy(d.owner, owner32, 32);
    poa_address_of_key(POA_KEY_ED25519, d.device, d.payout);
    poa_device_attest(&poa_suite_ed25519, s->chain, maker32, seed, &d);
    poa_wipe(seed, sizeof seed);
    int rc = poa_op_device_encode(&w, &d);
    struct poa_op op = {POA_OP_DEVICE_REGISTER, poa_written(&w)};
    return rc ? rc : poa_op_encode(ops, &op);
}

static int send_batch(struct sim *s, uint32_t from, uint32_t n, const uint8_t maker32[32],
                      const struct poa_keystore_info *payer, const uint8_t secret32[32],
                      uint64_t nonce)
{
    static uint8_t ops_bytes[POA_TX_BYTES_MAX], tx[POA_TX_BYTES_MAX];
    uint8_t id[32];
    struct poa_writer ops = poa_writer_over(ops_bytes, sizeof ops_bytes);
    struct poa_writer out = poa_writer_over(tx, sizeof tx);
    int rc = POA_OK;
    for (uint32_t i = from; i < from + n && !rc; i++)
        rc = add_device(s, i, maker32, payer->address, &ops);
    struct poa_list list = {poa_written(&ops), n};
    uint64_t fee = DEVNET_FEE_MIN + DEVNET_FEE_PER_KIB * (POA_TX_BYTES_MAX / 1024);
    if (!rc)
        rc = poa_tx_sign(s->chain, (uint8_t)payer->type, secret32, nonce, fee, 0, &list, &out, id);
    json_t *v =
        rc ? NULL
           : ask(s->ledger, "poa_tx_send", json_pack("{s:o}", "tx", poa_json_hex(out.p, out.n)));
    json_decref(v);
    return v != NULL ? 0 : cli_fail("devices from number %u on cannot be registered", from);
}

static int register_rest(struct sim *s)
{
    struct poa_keystore_info payer, maker;
    uint8_t secret[32], maker_seed[32];
    uint32_t first = DEVNET_FLEET_MAX;
    char address[POA_ADDRESS_TEXT_BYTES];
    if (s->devices <= first)
        return 0;
    fprintf(stderr, "registering %u devices more than a genesis holds\n", s->devices - first);
    if (open_key(s, "keys/alice.json", &payer, secret) != 0 ||
        open_key(s, "keys/maker-1.json", &maker, maker_seed) != 0)
        return 1;
    poa_address_to_text(payer.address, address);
    json_t *v = ask(s->ledger, "poa_account_get", json_pack("{s:s}", "address", address));
    uint64_t nonce = cli_number(v, "nonce");
    json_decref(v);
    int rc = 0;
    for (uint32_t i = first; i < s->devices && rc == 0; i += BATCH) {
        uint32_t n = s->devices - i < BATCH ? s->devices - i : BATCH;
        rc = send_batch(s, i, n, maker_seed, &payer, secret, nonce++);
    }
    poa_wipe(secret, sizeof secret);
    poa_wipe(maker_seed, sizeof maker_seed);
    /* Until the last one is on the ledger. */
    uint64_t until = devnet_now_ms() + READY_MS;
    while (rc == 0) {
        v = ask(s->ledger, "poa_devices_list",
                json_pack("{s:I, s:i}", "from", (json_int_t)s->devices - 1, "limit", 1));
        bool there = json_array_size(json_object_get(v, "items")) == 1;
        json_decref(v);
        if (there)
            break;
        if (stopping || devnet_now_ms() > until)
            rc = cli_fail("not all devices became registered");
        pause_ms(200);
    }
    return rc;
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
        if (stopping || devnet_now_ms() > until)
            return cli_fail("only %" PRIu64 " of %u devices are connected after %" PRIu64 " s",
                            st.connected, s->devices, patience_ms(s) / 1000);
        if (devnet_now_ms() - told >= 2000) {
            told = devnet_now_ms();
            show(s, what);
        }
        pause_ms(50);
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
    uint64_t start = devnet_now_ms(), told = start;
    poa_fleet_stats(s->fleet, &s->from);
    while (!stopping && devnet_now_ms() - start < ms) {
        pause_ms(20);
        if (devnet_now_ms() - told >= 5000) {
            told = devnet_now_ms();
            show(s, "running");
        }
    }
    poa_fleet_stats(s->fleet, &s->to);
    s->steady_ms = devnet_now_ms() - start;
    return stopping ? cli_fail("stopped") : 0;
}

/* A gateway is killed, or told to stop: who was there comes back, here or elsewhere. */
static int storm(struct sim *s, int signal)
{
    struct poa_fleet_stats before, now;
    uint64_t gone = 0, expected = (uint64_t)s->devices * 9 / 10 / s->gateways;
    poa_fleet_stats(s->fleet, &before);
    fprintf(stderr, "%s is %s\n", s->gateway[0].name, signal == SIGKILL ? "killed" : "stopped");
    uint64_t start = devnet_now_ms();
    if (kill(s->gateway[0].pid, signal) != 0)
        return cli_fail("cannot stop %s: %s", s->gateway[0].name, strerror(errno));
    while (s->storm_ms == 0) {
        pause_ms(10);
        poa_fleet_stats(s->fleet, &now);
        uint64_t ms = devnet_now_ms() - start;
        gone = now.lost - before.lost;
        if (stopping || ms > patience_ms(s))
            return cli_fail("only %" PRIu64 " of %u devices are back after %" PRIu64 " s",
                            now.connected, s->devices, ms / 1000);
        if (gone < expected)
            continue;
        if (s->storm95_ms == 0 && now.connected + gone / 20 >= s->devices)
            s->storm95_ms = ms;
        if (now.connected == s->devices)
            s->storm_ms = ms;
    }
    s->storm_lost = gone;
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
        json_t *v = ask(s->ledger, "poa_anchor_get",
                        json_pack("{s:o}", "root", poa_json_hex(s->root[i], 32)));
        s->roots_missing += v == NULL;
        json_decref(v);
    }
    uint64_t from = 0;
    for (bool more = true; more;) {
        json_t *v = ask(s->ledger, "poa_devices_list",
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
    pause_ms(SETTLE_MS);
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
    pause_ms(SETTLE_MS);
    sum_gateways(s, &s->rss_after, &ignored);
    bool killing = s->c->option[CLI_KILL] != NULL || s->c->option[CLI_DRAIN] != NULL;
    rc = steady(s, killing ? s->for_ms / 2 : s->for_ms);
    if (rc == 0 && killing)
        rc = storm(s, s->c->option[CLI_KILL] != NULL ? SIGKILL : SIGTERM);
    /* Seals go on. */
    for (uint64_t end = devnet_now_ms() + s->for_ms / 2;
         killing && rc == 0 && !stopping && devnet_now_ms() < end;)
        pause_ms(50);
    poa_fleet_quiet(s->fleet);
    uint64_t until = devnet_now_ms() + DRAIN_MS;
    do {
        pause_ms(100);
        poa_fleet_stats(s->fleet, &s->end);
    } while (s->end.receipts + s->end.packs_refused < s->end.packs && devnet_now_ms() < until &&
             !stopping);
    if (rc == 0)
        rc = take_roots(s);
    /* Silence, so that what is on the ledger can be compared with what was said. */
    poa_fleet_free(s->fleet);
    s->fleet = NULL;
    if (rc == 0)
        pause_ms(INCLUDE_MS);
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
            printf("gateway killed     %" PRIu64
                   " sessions lost, 95 %% back after %.1f s, all after %.1f s\n",
                   s->storm_lost, (double)s->storm95_ms / 1000, (double)s->storm_ms / 1000);
    } else {
        json_t *v = json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
            "s:I}",
            "devices", (json_int_t)s->devices, "gateways", (json_int_t)s->gateways, "sockets",
            (json_int_t)st.sockets, "connect_ms", (json_int_t)s->connect_ms, "connect95_ms",
            (json_int_t)s->connect95_ms, "gateway_us_per_connect", (json_int_t)cpu,
            "pack_bytes_per_device_hour", (json_int_t)llround(pack_bytes), "tickets",
            (json_int_t)st.tickets, "seals_lost", (json_int_t)lost, "seals_accepted",
            (json_int_t)st.seals_accepted, "ledger_seals", (json_int_t)s->ledger_sealed, "packs",
            (json_int_t)st.packs, "packs_anchored", (json_int_t)st.receipts, "packs_lost",
            (json_int_t)waiting, "roots", (json_int_t)s->roots, "roots_missing",
            (json_int_t)s->roots_missing, "alarms", (json_int_t)st.alarms, "window_ms",
            (json_int_t)(s->slot_ms * s->window_slots));
        if (v != NULL && s->storm_ms)
            json_object_set_new(v, "storm",
                                json_pack("{s:I, s:I, s:I}", "lost", (json_int_t)s->storm_lost,
                                          "back95_ms", (json_int_t)s->storm95_ms, "back_ms",
                                          (json_int_t)s->storm_ms));
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

static void stop_network(struct sim *s)
{
    if (s->network > 0) {
        kill(s->network, SIGTERM);
        waitpid(s->network, NULL, 0);
    }
    poa_rpc_client_free(s->ledger);
    free(s->root);
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
    int rc = start_network(s);
    if (rc == 0)
        rc = wait_network(s);
    if (rc == 0)
        rc = read_seed(s);
    if (rc == 0)
        rc = read_genesis(s);
    if (rc == 0)
        rc = register_rest(s);
    if (rc == 0)
        rc = measure(s);
    if (rc == 0)
        rc = report(s);
    poa_fleet_free(s->fleet);
    stop_network(s);
    return rc;
}

static int read_options(struct sim *s, const struct cli *c)
{
    uint64_t devices = 1000, ledgers = 4, gateways = 1;
    s->for_ms = 30000;
    s->pack_ms = 30000;
    if ((c->option[CLI_DEVICES] &&
         !cli_u64("--devices", c->option[CLI_DEVICES], 1, 200000, &devices)) ||
        (c->option[CLI_LEDGERS] &&
         !cli_u64("--ledgers", c->option[CLI_LEDGERS], 1, DEVNET_LEDGERS_MAX, &ledgers)) ||
        (c->option[CLI_GATEWAYS] &&
         !cli_u64("--gateways", c->option[CLI_GATEWAYS], 1, DEVNET_TRUSTED_MAX, &gateways)) ||
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
