/* The nodes around a simulated fleet, and the registration of its devices. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fleet_sim.h"

#define READY_MS 900000
#define BATCH    64u /* registrations in a transaction */

void fleet_pause_ms(uint64_t ms)
{
    nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
}

static int path_of(const struct sim *s, char *out, size_t n, const char *name)
{
    int k = snprintf(out, n, "%s/%s", s->dir, name);
    return k > 0 && (size_t)k < n ? 0 : cli_fail("%s: path too long", s->dir);
}

json_t *fleet_ask(struct poa_rpc_client *client, const char *method, json_t *params)
{
    json_t *v = NULL;
    struct poa_why why;
    return poa_rpc_client_call(client, method, params, &v, &why) == POA_OK ? v : NULL;
}

static int start_network(struct sim *s)
{
    char log[512], ledgers[16], trusted[16], fleet[16], views[16];
    uint32_t registered = s->devices < DEVNET_FLEET_MAX ? s->devices : DEVNET_FLEET_MAX;
    snprintf(ledgers, sizeof ledgers, "%u", s->ledgers);
    snprintf(trusted, sizeof trusted, "%u", s->gateways);
    snprintf(fleet, sizeof fleet, "%u", registered);
    snprintf(views, sizeof views, "%u", s->epoch_views);
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
          "--trusted", trusted, "--devices", "0", "--fleet", fleet, "--epoch-views", views,
          "--json", (char *)NULL);
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
    if (cli_number(v, "pid") != (uint64_t)s->network) { /* what an earlier one left, or another's */
        json_decref(v);
        return false;
    }
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
    json_t *v = fleet_ask(client, "poa_status", NULL);
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
    for (;; fleet_pause_ms(100)) {
        bool ready = look_for_gateways(s);
        for (uint32_t i = 0; ready && i < s->gateways; i++)
            ready = gateway_ready(&s->gateway[i]);
        if (ready)
            return 0;
        if (fleet_stopping)
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
    json_t *v = rc ? NULL
                   : fleet_ask(s->ledger, "poa_tx_send",
                               json_pack("{s:o}", "tx", poa_json_hex(out.p, out.n)));
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
    json_t *v = fleet_ask(s->ledger, "poa_account_get", json_pack("{s:s}", "address", address));
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
        v = fleet_ask(s->ledger, "poa_devices_list",
                      json_pack("{s:I, s:i}", "from", (json_int_t)s->devices - 1, "limit", 1));
        bool there = json_array_size(json_object_get(v, "items")) == 1;
        json_decref(v);
        if (there)
            break;
        if (fleet_stopping || devnet_now_ms() > until)
            rc = cli_fail("not all devices became registered");
        fleet_pause_ms(200);
    }
    return rc;
}

/* --- all together ---------------------------------------------------------------------- */

int fleet_network_start(struct sim *s)
{
    int rc = start_network(s);
    if (rc == 0)
        rc = wait_network(s);
    if (rc == 0)
        rc = read_seed(s);
    if (rc == 0)
        rc = read_genesis(s);
    return rc != 0 ? rc : register_rest(s);
}

void fleet_network_stop(struct sim *s)
{
    if (s->network > 0) {
        kill(s->network, SIGTERM);
        waitpid(s->network, NULL, 0);
    }
    poa_rpc_client_free(s->ledger);
}
