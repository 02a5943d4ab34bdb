/* What a devnet is made of: options, lock, ports, configurations. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devnet.h"
#include "poa_fleet.h"

int devnet_path(const struct devnet *d, char *out, size_t n, const char *format, ...)
{
    int k = snprintf(out, n, "%s/", d->dir);
    va_list args;
    va_start(args, format);
    int m = k >= 0 && (size_t)k < n ? vsnprintf(out + k, n - (size_t)k, format, args) : -1;
    va_end(args);
    if (m < 0 || (size_t)(k + m) >= n)
        return cli_fail("%.200s...: path too long", d->dir);
    return 0;
}

size_t devnet_nodes(const struct devnet *d)
{
    return (size_t)d->ledgers + d->trusted;
}

/* --- the lock ------------------------------------------------------------------------- */

/* --- configurations ------------------------------------------------------------------------------
 */

static int write_config(const struct devnet *d, struct devnet_process *p)
{
    char path[512], *text = NULL, key[65];
    size_t n = 0;
    struct poa_why why = {{0}};
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return cli_fail("out of memory");
    fprintf(f,
            "# Written by `poa devnet` at each start.\n"
            "name = %s\nrole = %s\ndata_dir = %s/%s/data\ngenesis = %s/genesis.poa\n"
            "key = %s/keys/%s.json\nlisten = 127.0.0.1:%u\nrpc = 127.0.0.1:%u\nworkers = 1\n",
            p->name, p->kind == DEVNET_LEDGER ? "ledger" : "trusted", d->dir, p->name, d->dir,
            d->dir, p->name, p->mesh, p->rpc);
    if (p->gateway != 0)
        fprintf(f, "gateway = 127.0.0.1:%u\n", p->gateway);
    if (p->gateway != 0 && d->fleet > 0)
        fprintf(f, "gateway_devices = %u\n",
                d->fleet < DEVNET_FLEET_MAX ? d->fleet + d->devices + 1000 : DEVNET_FLEET_LARGE);
    if (p->kind == DEVNET_TRUSTED && d->prune > 0)
        fprintf(f, "prune = %u\ncheckpoint_s = 5\n", d->prune); /* soon: older ones go then */
    if (p == &d->process[0])
        fprintf(f, "faucet_key = %s/keys/faucet.json\nfaucet_amount = %u\n", d->dir,
                DEVNET_FAUCET_UNITS);
    for (uint32_t i = 0; i < d->ledgers; i++)
        if (&d->process[i] != p) {
            poa_hex(d->process[i].key, 32, key);
            fprintf(f, "peer = %s@127.0.0.1:%u\n", key, d->process[i].mesh);
        }
    /* They dial; on the list they need not share with strangers. */
    for (uint32_t i = 0; p->kind == DEVNET_LEDGER && i < d->trusted; i++) {
        poa_hex(d->process[d->ledgers + i].key, 32, key);
        fprintf(f, "peer = %s\n", key);
    }
    if (p->kind == DEVNET_LEDGER && d->peer)
        fprintf(f, "peer = %s\n", d->peer);
    fclose(f);
    int rc = devnet_path(d, path, sizeof path, "%s", p->name);
    if (rc == 0)
        rc = cli_make_dirs(path);
    if (rc == 0)
        rc = devnet_path(d, path, sizeof path, "%s/poad.conf", p->name);
    if (rc == 0 && poa_file_write(path, text, n, 0600, 0, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    free(text);
    return rc;
}

static void argument(struct devnet_process *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void argument(struct devnet_process *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    POA_ASSERT(p->arguments < DEVNET_ARGUMENTS);
    if (vasprintf(&p->argument[p->arguments], format, args) < 0)
        p->argument[p->arguments] = NULL;
    va_end(args);
    POA_ASSERT(p->argument[p->arguments] != NULL);
    p->argument[++p->arguments] = NULL;
}

static void set_arguments(const struct devnet *d, struct devnet_process *p, size_t device)
{
    bool bad = p->kind == DEVNET_DEVICE
                   ? devnet_chaos_bad(d->chaos, device)
                   : p->kind == DEVNET_TRUSTED && d->chaos != DEVNET_CHAOS_NONE;
    if (bad)
        snprintf(p->chaos, sizeof p->chaos, "POA_CHAOS_FILE=%s/%s/chaos", d->dir, p->name);
    if (p->kind != DEVNET_DEVICE) {
        argument(p, "%s/%spoad", d->bin, bad ? "tests/chaos/" : "");
        argument(p, "--config");
        argument(p, "%s/%s/poad.conf", d->dir, p->name);
        return;
    }
    /* Devices are spread over the gateways, and know all of them. */
    argument(p, "%s/%spoa-device", d->bin, bad ? "tests/chaos/" : "");
    argument(p, "--key");
    argument(p, "%s/keys/%s.json", d->dir, p->name);
    argument(p, "--genesis");
    argument(p, "%s/genesis.poa", d->dir);
    argument(p, "--state");
    argument(p, "%s/%s/state", d->dir, p->name);
    argument(p, "--source");
    argument(p, "procfs");
    argument(p, "--interval"); /* often enough to watch anchors come */
    argument(p, "1");
    argument(p, "--pack-every");
    argument(p, "3");
    for (uint32_t i = 0; i < d->trusted && i < 4; i++) {
        const struct devnet_process *g = &d->process[d->ledgers + (device + i) % d->trusted];
        char key[65];
        poa_hex(g->key, 32, key);
        argument(p, "--gateway");
        argument(p, "%s@127.0.0.1:%u", key, g->gateway);
    }
}

static int write_summary(const struct devnet *d)
{
    char path[512];
    struct poa_why why = {{0}};
    json_t *v = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:I}", "ledgers",
                          (json_int_t)d->ledgers, "trusted", (json_int_t)d->trusted, "devices",
                          (json_int_t)d->devices, "fleet", (json_int_t)d->fleet, "epoch_views",
                          (json_int_t)d->epoch_views, "prune", (json_int_t)d->prune, "policy",
                          poa_policy_kind_name(d->policy), "chain", poa_json_hex(d->chain, 32),
                          "port_base", (json_int_t)d->port_base);
    char *text = v != NULL ? json_dumps(v, JSON_INDENT(2)) : NULL;
    json_decref(v);
    if (text == NULL)
        return cli_fail("out of memory");
    int rc = devnet_path(d, path, sizeof path, "devnet.json");
    if (rc == 0 && poa_file_write(path, text, strlen(text), 0644, 0, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    free(text);
    return rc;
}

/* --- opening
 * ---------------------------------------------------------------------------------------- */

/* Option NAME (with - for _), or what the network was made with, or DEF. */
static bool size_option(const struct cli *c, enum cli_option option, const char *name,
                        const json_t *before, uint32_t def, uint32_t min, uint32_t max,
                        uint32_t *out)
{
    uint64_t v = before != NULL ? cli_number(before, name) : def;
    if (v < min || v > max) {
        cli_fail("devnet.json: %s is not a number from %" PRIu32 " to %" PRIu32
                 ": mend it, or use another --data-dir",
                 name, min, max);
        return false;
    }
    if (c->option[option] != NULL) {
        uint64_t want;
        char text[32];
        snprintf(text, sizeof text, "--%s", name);
        for (char *at = text; (at = strchr(at, '_')) != NULL;)
            *at = '-';
        if (!cli_u64(text, c->option[option], min, max, &want))
            return false;
        if (before != NULL && want != v) {
            cli_misuse("this devnet was made with %" PRIu64 " %s: leave %s out, or use another "
                       "--data-dir",
                       v, name, text);
            return false;
        }
        v = want;
    }
    *out = (uint32_t)v;
    return true;
}

static bool read_options(struct devnet *d, const struct cli *c, const json_t *before)
{
    /* A network of an older version does not say: it has the default. */
    const json_t *views = json_object_get(before, "epoch_views") != NULL ? before : NULL;
    if (!size_option(c, CLI_LEDGERS, "ledgers", before, 4, 1, DEVNET_LEDGERS_MAX, &d->ledgers) ||
        !size_option(c, CLI_TRUSTED, "trusted", before, 2, 0, DEVNET_TRUSTED_MAX, &d->trusted) ||
        !size_option(c, CLI_DEVICES, "devices", before, 20, 0, DEVNET_DEVICES_MAX, &d->devices) ||
        !size_option(c, CLI_FLEET, "fleet", before, 0, 0, DEVNET_FLEET_MAX, &d->fleet) ||
        !size_option(c, CLI_EPOCH_VIEWS, "epoch_views", views, DEVNET_EPOCH_VIEWS, 10, UINT32_MAX,
                     &d->epoch_views) ||
        !size_option(c, CLI_PRUNE, "prune", before, 0, 0, UINT32_MAX, &d->prune))
        return false;
    if (d->prune > 0 && d->prune < DEVNET_PRUNE_MIN) {
        cli_misuse("--prune: keep at least %d blocks; 0: all", DEVNET_PRUNE_MIN);
        return false;
    }
    if (d->devices > 0 && d->trusted == 0) {
        cli_misuse("devices need a gateway: --trusted 1 or more, or --devices 0");
        return false;
    }
    uint8_t key[32];
    d->peer = c->option[CLI_PEER];
    if (d->peer != NULL && poa_unhex(d->peer, key, 32) != POA_OK) {
        cli_misuse("--peer wants the public key of a node: 64 hex digits (`poa keys show`)");
        return false;
    }
    const char *policy = before != NULL ? cli_text(before, "policy") : "vrf";
    if (c->option[CLI_POLICY] != NULL) {
        if (before != NULL && strcmp(policy, c->option[CLI_POLICY]) != 0) {
            cli_misuse("this devnet was made with policy %s: leave --policy out, or use another "
                       "--data-dir",
                       policy);
            return false;
        }
        policy = c->option[CLI_POLICY];
    }
    if (poa_policy_kind_of(policy, &d->policy)) {
        cli_misuse("--policy is vrf, random or weighted");
        return false;
    }
    if (!devnet_chaos_kind(c->option[CLI_CHAOS], &d->chaos)) {
        cli_misuse("--chaos is devices or liars");
        return false;
    }
    if (d->chaos != DEVNET_CHAOS_NONE && d->devices == 0) {
        cli_misuse("--chaos needs devices: --devices 2 or more");
        return false;
    }
    return true;
}

static int find_programs(struct devnet *d)
{
    ssize_t n = readlink("/proc/self/exe", d->bin, sizeof d->bin - 1);
    if (n <= 0)
        return cli_fail("cannot tell where poa is: /proc/self/exe: %s", strerror(errno));
    d->bin[n] = 0;
    *strrchr(d->bin, '/') = 0;
    static const char *const programs[] = {"poad", "poa-device", "tests/chaos/poad",
                                           "tests/chaos/poa-device"};
    for (size_t i = 0; i < (d->chaos != DEVNET_CHAOS_NONE ? 4 : d->devices > 0 ? 2 : 1); i++) {
        char path[DEVNET_PATH_MAX + 32];
        snprintf(path, sizeof path, "%s/%s", d->bin, programs[i]);
        if (access(path, X_OK) == 0)
            continue;
        return i < 2 ? cli_fail("%s is not there: `make` builds it, `make install` puts it beside "
                                "poa",
                                path)
                     : cli_fail("--chaos needs programs that misbehave on purpose, which are built "
                                "but not installed, and %s is not there: in the source tree, run "
                                "`make`, then build/release/poa devnet --chaos",
                                path);
    }
    return 0;
}

static int make_processes(struct devnet *d)
{
    d->processes = devnet_nodes(d) + d->devices;
    d->process = calloc(d->processes, sizeof *d->process);
    if (d->process == NULL)
        return cli_fail("out of memory");
    for (size_t i = 0; i < d->processes; i++) {
        struct devnet_process *p = &d->process[i];
        p->first_block_ms = POA_NEVER;
        if (i < d->ledgers) {
            p->kind = DEVNET_LEDGER;
            snprintf(p->name, sizeof p->name, "ledger-%zu", i);
        } else if (i < devnet_nodes(d)) {
            p->kind = DEVNET_TRUSTED;
            snprintf(p->name, sizeof p->name, "trusted-%zu", i - d->ledgers);
        } else {
            p->kind = DEVNET_DEVICE;
            snprintf(p->name, sizeof p->name, "device-%02zu", i - devnet_nodes(d));
            continue;
        }
        struct poa_keystore_info info;
        uint8_t secret[32];
        if (devnet_key(d, p->name, POA_KEY_NODE, POA_KEY_ED25519, &info, secret) != 0)
            return 1;
        poa_wipe(secret, sizeof secret);
        memcpy(p->key, info.pk, 32);
    }
    return 0;
}

static int prepare(struct devnet *d, const json_t *before)
{
    char path[512];
    if (devnet_path(d, path, sizeof path, "keys") != 0 || cli_make_dirs(path) != POA_OK ||
        make_processes(d) != 0 || devnet_load_seed(d) != 0)
        return 1;
    if ((d->existed ? devnet_genesis_read(d) : devnet_genesis_make(d)) != 0)
        return 1;
    if (devnet_ports(d, before) != 0)
        return 1;
    for (size_t i = 0; i < d->processes; i++) {
        struct devnet_process *p = &d->process[i];
        struct poa_why why = {{0}};
        char url[64];
        if (i < devnet_nodes(d)) {
            snprintf(url, sizeof url, "http://127.0.0.1:%u", p->rpc);
            if (write_config(d, p) != 0)
                return 1;
            if (poa_rpc_client_new(url, NULL, 2000, &p->client, &why) != POA_OK)
                return cli_fail("%s", why.text);
        } else if (devnet_path(d, path, sizeof path, "%s", p->name) != 0 ||
                   cli_make_dirs(path) != POA_OK) {
            return 1;
        }
        set_arguments(d, p, i - devnet_nodes(d));
    }
    return write_summary(d); /* last: a directory without it is not a devnet yet */
}

static int foreign(const struct dirent *e)
{
    static const char *const ours[] = {"devnet.",  "genesis.poa", "keys", "ledger-",
                                       "trusted-", "device-",     "..",   "."};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strncmp(e->d_name, ours[i], strlen(ours[i])) == 0)
            return 0;
    return 1;
}

/* A directory without devnet.json must be empty, or hold what an interrupted
 * set-up left; a chain in it is never overwritten. */
static int check_new(const char *dir)
{
    char path[DEVNET_PATH_MAX + 32];
    struct dirent **names = NULL;
    snprintf(path, sizeof path, "%s/ledger-0/data", dir);
    if (access(path, F_OK) == 0)
        return cli_fail("%s holds a chain, but its devnet.json is missing: put it back, or use "
                        "another --data-dir",
                        dir);
    int n = scandir(dir, &names, foreign, alphasort);
    if (n < 0)
        return errno == ENOENT ? 0 : cli_fail("--data-dir %s: %s", dir, strerror(errno));
    int rc = n == 0 ? 0
                    : cli_fail("%s is not a devnet and not empty (%s): use another --data-dir", dir,
                               names[0]->d_name);
    while (n > 0)
        free(names[--n]);
    free(names);
    return rc;
}

/* What DIR was made with, or NULL when it is new; 0 or the exit code. */
static int read_before(const char *dir, json_t **before)
{
    char path[DEVNET_PATH_MAX + 32];
    json_error_t error;
    snprintf(path, sizeof path, "%s/devnet.json", dir);
    *before = NULL;
    if (access(path, F_OK) != 0)
        return check_new(dir);
    *before = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    return *before != NULL ? 0 : cli_fail("%s:%d: %s", path, error.line, error.text);
}

int devnet_open(struct devnet *d, const struct cli *c)
{
    char given[DEVNET_PATH_MAX];
    json_t *before;
    memset(d, 0, sizeof *d);
    d->lock_fd = d->block_fd = -1;
    const char *dir = c->option[CLI_DATA_DIR] != NULL ? c->option[CLI_DATA_DIR] : "devnet-data";
    if (dir[0] == 0 || strlen(dir) >= sizeof given - 1)
        return cli_misuse("--data-dir: the path is %s", dir[0] == 0 ? "empty" : "too long");
    /* Nothing is made for options that are wrong. */
    int rc = read_before(dir, &before);
    bool fine = rc == 0 && read_options(d, c, before);
    json_decref(before);
    if (!fine)
        return rc != 0 ? rc : 2;
    if (find_programs(d) != 0 || cli_make_dirs(dir) != POA_OK)
        return 1;
    /* Absolute, because the processes read it too. */
    char *real = realpath(dir, NULL);
    if (real == NULL || strlen(real) >= sizeof d->dir) {
        free(real);
        return cli_fail("--data-dir %s: %s", dir, real ? "path too long" : strerror(errno));
    }
    strcpy(d->dir, real);
    free(real);
    if (devnet_lock(d) != 0)
        return 1;
    /* Again: only now nobody else makes it. */
    rc = read_before(d->dir, &before);
    d->existed = before != NULL;
    if (rc == 0 && !read_options(d, c, before))
        rc = 1;
    if (rc == 0)
        rc = prepare(d, before);
    json_decref(before);
    return rc;
}

void devnet_close(struct devnet *d)
{
    for (size_t i = 0; i < d->processes && d->process != NULL; i++) {
        poa_rpc_client_free(d->process[i].client);
        for (int k = 0; k < d->process[i].arguments; k++)
            free(d->process[i].argument[k]);
    }
    free(d->process);
    d->process = NULL;
    if (d->block_fd >= 0)
        close(d->block_fd);
    if (d->lock_fd >= 0) {
        if (ftruncate(d->lock_fd, 0) != 0)
            cli_fail("cannot empty the lock file: %s", strerror(errno));
        close(d->lock_fd);
    }
    poa_wipe(d->load_seed, sizeof d->load_seed);
}
