/* Keys and genesis of a devnet. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devnet.h"
#include "poa_fleet.h"

#define ACCOUNT_UNITS        1000000000000u /* of each funded account */
#define FAUCET_SUPPLY        1000000000000000u
#define DEVICE_MAKERS        2
#define FLEET_DRAWS_PER_SLOT 400
#define WITNESS_MAKER0       100 /* the hardware of ledger server i comes from 100 + i */

void devnet_account(const struct devnet *d, uint32_t i, uint8_t secret32[32], uint8_t address32[32])
{
    uint8_t le[4], pk[32];
    poa_put_le32(le, i);
    poa_hash2(POA_DOMAIN_SIM, d->load_seed, 32, le, sizeof le, secret32);
    /* A hash outside of the group's order has a chance of 2^-128. */
    int rc = poa_bip340_public(secret32, pk);
    POA_ASSERT(rc == POA_OK);
    poa_address_of_key(POA_KEY_BIP340, pk, address32);
}

/* --- keys -------------------------------------------------------------------------------- */

/* Makes or opens DIR/keys/LABEL.json. */
int devnet_key(const struct devnet *d, const char *label, enum poa_key_kind kind,
               enum poa_key_type type, struct poa_keystore_info *info, uint8_t secret32[32])
{
    char path[512];
    struct poa_why why = {{0}};
    if (devnet_path(d, path, sizeof path, "keys/%s.json", label) != 0)
        return 1;
    int rc = poa_keystore_open(path, NULL, info, secret32, &why);
    if (rc == POA_E_NOT_FOUND && !d->existed) {
        uint8_t pk[32];
        rc = poa_key_new(type, secret32, pk);
        if (rc == POA_OK)
            rc = poa_keystore_create(path, kind, type, label, secret32, NULL, POA_KEYSTORE_CHEAP,
                                     info, &why);
    }
    return rc == POA_OK ? 0 : cli_fail("%s", why.text[0] ? why.text : poa_error_text(rc));
}

int devnet_load_seed(struct devnet *d)
{
    char path[512], text[66];
    struct poa_why why = {{0}};
    struct poa_passphrase line;
    memset(&line, 0, sizeof line);
    if (devnet_path(d, path, sizeof path, "keys/load.seed") != 0)
        return 1;
    if (!d->existed) {
        poa_random(d->load_seed, 32);
        poa_hex(d->load_seed, 32, text);
        strcpy(text + 64, "\n");
        if (poa_file_write(path, text, 65, 0600, 0, &why) != POA_OK)
            return cli_fail("%s", why.text);
        return 0;
    }
    int rc = poa_passphrase_read(path, &line, &why);
    if (rc == POA_OK && poa_unhex(line.text, d->load_seed, 32) != POA_OK)
        rc = poa_because(&why, POA_E_TEXT, "%s is damaged", path);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

/* --- genesis --------------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}
static int by_device(const void *a, const void *b)
{
    return memcmp(((const struct poa_op_device *)a)->device,
                  ((const struct poa_op_device *)b)->device, 32);
}

/* What a genesis is put together from. */
struct parts {
    struct poa_genesis_account *account;
    uint32_t accounts;
    struct poa_op_device *device;
    uint8_t *bytes; /* the encoded lists */
    struct poa_writer lists;
};

static void fund(struct parts *p, const uint8_t address32[32], uint64_t units)
{
    struct poa_genesis_account *a = &p->account[p->accounts++];
    memcpy(a->address, address32, 32);
    a->balance = units;
}

static int add_makers(const struct devnet *d, struct parts *p, struct poa_list *out,
                      uint8_t seed[DEVICE_MAKERS][32])
{
    static const char *const names[DEVICE_MAKERS] = {"Kettle Works", "Meter & Co"};
    size_t start = p->lists.n;
    for (uint32_t i = 0; i < DEVICE_MAKERS + d->ledgers; i++) {
        char label[32], name[32];
        uint8_t secret[32];
        struct poa_keystore_info info;
        bool devices = i < DEVICE_MAKERS;
        snprintf(label, sizeof label, "maker-%u",
                 devices ? i + 1 : WITNESS_MAKER0 + i - DEVICE_MAKERS);
        snprintf(name, sizeof name, "%s", devices ? names[i] : "Server Works");
        if (!devices)
            snprintf(name, sizeof name, "Server Works %u", i - DEVICE_MAKERS + 1);
        if (devnet_key(d, label, POA_KEY_NODE, POA_KEY_ED25519, &info, secret) != 0)
            return 1;
        if (devices)
            memcpy(seed[i], secret, 32);
        poa_wipe(secret, sizeof secret);
        struct poa_op_maker m;
        memset(&m, 0, sizeof m);
        m.maker = devices ? i + 1 : WITNESS_MAKER0 + i - DEVICE_MAKERS;
        memcpy(m.key, info.pk, 32);
        m.name = poa_slice(name, strlen(name));
        if (poa_op_maker_encode(&p->lists, &m) != POA_OK)
            return cli_fail("genesis: a manufacturer does not fit");
    }
    *out = (struct poa_list){poa_slice(p->lists.p + start, p->lists.n - start),
                             DEVICE_MAKERS + d->ledgers};
    return 0;
}

/* Every ledger server with another maker, region and provider, as a committee
 * should be. */
static int add_witnesses(const struct devnet *d, struct parts *p, struct poa_list *out)
{
    size_t start = p->lists.n;
    for (uint32_t i = 0; i < d->ledgers; i++) {
        struct poa_op_witness w;
        memset(&w, 0, sizeof w);
        memcpy(w.key, d->process[i].key, 32);
        w.maker = WITNESS_MAKER0 + i;
        w.region = (uint16_t)(1 + i);
        w.provider = 1 + i;
        poa_address_of_key(POA_KEY_ED25519, w.key, w.payout);
        w.name = poa_slice(d->process[i].name, strlen(d->process[i].name));
        if (poa_op_witness_encode(&p->lists, &w) != POA_OK)
            return cli_fail("genesis: a witness does not fit");
    }
    *out = (struct poa_list){poa_slice(p->lists.p + start, p->lists.n - start), d->ledgers};
    return 0;
}

/* A device owns its wallet: rewards go to the account of its own key. */
static void make_device(uint32_t i, const uint8_t key32[32], const uint8_t seed32[32],
                        const uint8_t owner32[32], uint8_t maker_seed[DEVICE_MAKERS][32],
                        struct poa_op_device *dev)
{
    static const uint8_t no_chain[32];
    memset(dev, 0, sizeof *dev);
    memcpy(dev->device, key32, 32);
    dev->maker = 1 + i % DEVICE_MAKERS;
    dev->region = (uint16_t)(1 + i % 4);
    memcpy(dev->owner, owner32, 32);
    poa_address_of_key(POA_KEY_ED25519, key32, dev->payout);
    poa_device_attest(&poa_suite_ed25519, no_chain, maker_seed[i % DEVICE_MAKERS], seed32, dev);
}

static int add_devices(const struct devnet *d, struct parts *p, struct poa_list *out,
                       const uint8_t owner32[32], uint8_t maker_seed[DEVICE_MAKERS][32])
{
    uint32_t all = d->devices + d->fleet;
    uint8_t seed[32], key[32];
    for (uint32_t i = 0; i < d->devices; i++) {
        struct poa_keystore_info info;
        if (devnet_key(d, d->process[devnet_nodes(d) + i].name, POA_KEY_DEVICE, POA_KEY_ED25519,
                       &info, seed) != 0)
            return 1;
        make_device(i, info.pk, seed, owner32, maker_seed, &p->device[i]);
    }
    for (uint32_t i = 0; i < d->fleet; i++) {
        poa_fleet_seed(d->load_seed, i, seed);
        poa_ed25519_public(seed, key);
        make_device(i, key, seed, owner32, maker_seed, &p->device[d->devices + i]);
    }
    poa_wipe(seed, sizeof seed);
    if (all > 0)
        qsort(p->device, all, sizeof p->device[0], by_device);
    size_t start = p->lists.n;
    for (uint32_t i = 0; i < all; i++)
        if (poa_op_device_encode(&p->lists, &p->device[i]) != POA_OK)
            return cli_fail("genesis: a device does not fit");
    *out = (struct poa_list){poa_slice(p->lists.p + start, p->lists.n - start), all};
    return 0;
}

static int add_accounts(const struct devnet *d, struct parts *p, struct poa_list *out)
{
    static const char *const people[] = {"alice", "bob", "steering"};
    struct poa_keystore_info info;
    uint8_t secret[32], address[32];
    if (devnet_key(d, "faucet", POA_KEY_ACCOUNT, POA_KEY_BIP340, &info, secret) != 0)
        return 1;
    fund(p, info.address, FAUCET_SUPPLY);
    for (size_t i = 0; i < sizeof people / sizeof people[0]; i++) {
        if (devnet_key(d, people[i], POA_KEY_ACCOUNT, POA_KEY_BIP340, &info, secret) != 0)
            return 1;
        fund(p, info.address, ACCOUNT_UNITS);
    }
    for (uint32_t i = 0; i < DEVNET_ACCOUNTS; i++) {
        devnet_account(d, i, secret, address);
        fund(p, address, ACCOUNT_UNITS);
    }
    /* Nodes pay for what they anchor from the account of their own key. */
    for (size_t i = 0; i < devnet_nodes(d); i++) {
        poa_address_of_key(POA_KEY_ED25519, d->process[i].key, address);
        fund(p, address, ACCOUNT_UNITS);
    }
    poa_wipe(secret, sizeof secret);
    qsort(p->account, p->accounts, sizeof p->account[0], by_address);
    size_t start = p->lists.n;
    for (uint32_t i = 0; i < p->accounts; i++)
        if (poa_genesis_account_encode(&p->lists, &p->account[i]) != POA_OK)
            return cli_fail("genesis: an account does not fit");
    *out = (struct poa_list){poa_slice(p->lists.p + start, p->lists.n - start), p->accounts};
    return 0;
}

/* Fast enough to watch: slots of a quarter second, a window of 8 s, rewards
 * settled after 4 s. */
static void set_parameters(const struct devnet *d, struct poa_genesis *g)
{
    memset(g, 0, sizeof *g);
    g->version = 1;
    g->name = poa_slice("devnet", 6);
    g->devnet = 1;
    g->time_ms = poa_clock_wall_ms(poa_clock_system());
    g->slot_ms = DEVNET_SLOT_MS;
    g->block_min_ms = 10;
    g->heartbeat_ms = 150;
    g->timeout_ms = 300;
    g->timeout_max_ms = 4000;
    g->drift_ms = 500;
    g->epoch_views = d->epoch_views;
    g->policy = (uint8_t)d->policy;
    /* A fleet in one process must not draw more tickets than this machine can. */
    g->window_slots = 32;
    while (d->fleet / g->window_slots > FLEET_DRAWS_PER_SLOT)
        g->window_slots *= 2;
    g->seats_per_slot = 3;
    g->seal_slots = 16;
    g->subsidy = 1000000;
    g->miner_bp = 5000;
    g->sealers_bp = 3000;
    g->witnesses_bp = 500;
    g->data_bp = 1000;
    g->tip = 1000;
    g->fee_min = DEVNET_FEE_MIN;
    g->fee_per_kib = DEVNET_FEE_PER_KIB;
    g->commerce_bp = 100;
    if (d->policy == POA_POLICY_VRF && d->devices + d->fleet >= 2) {
        uint32_t half = (d->devices + d->fleet) / 2;
        g->grade2_seals = half < 2 ? 2 : half < 16 ? half : 16;
        g->grade2_span = 16;
        g->grade2_makers = g->grade2_regions = 2;
        g->hold_above = ACCOUNT_UNITS / 2;
        g->hold_slots = 80;
    }
    g->risk_p_ppb = 100000000;
    g->risk_offline_ppb = 50000000;
    g->risk_device_p_ppb = 50000000;
    g->risk_device_offline_ppb = 50000000;
}

static int write_genesis(struct devnet *d, struct parts *p)
{
    struct poa_genesis g;
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    uint8_t maker_seed[DEVICE_MAKERS][32], secret[32], owner[32];
    set_parameters(d, &g);
    if (devnet_key(d, "steering", POA_KEY_ACCOUNT, POA_KEY_BIP340, &info, secret) != 0)
        return 1;
    memcpy(g.steering, info.address, 32);
    if (devnet_key(d, "treasury", POA_KEY_ACCOUNT, POA_KEY_BIP340, &info, secret) != 0)
        return 1;
    memcpy(g.treasury, info.address, 32);
    if (devnet_key(d, "owner", POA_KEY_ACCOUNT, POA_KEY_BIP340, &info, secret) != 0)
        return 1;
    memcpy(owner, info.address, 32);
    poa_wipe(secret, sizeof secret);
    int rc = add_accounts(d, p, &g.accounts);
    if (rc == 0)
        rc = add_makers(d, p, &g.makers, maker_seed);
    if (rc == 0)
        rc = add_witnesses(d, p, &g.witnesses);
    if (rc == 0)
        rc = add_devices(d, p, &g.devices, owner, maker_seed);
    poa_wipe(maker_seed, sizeof maker_seed);
    const char *broken = NULL;
    if (rc == 0 && poa_genesis_check(&g, &broken) != POA_OK)
        rc = cli_fail("genesis: %s", broken);
    if (rc != 0)
        return rc;
    char path[512];
    struct poa_writer w = poa_writer_over(p->bytes + p->lists.n, p->lists.cap - p->lists.n);
    if (devnet_path(d, path, sizeof path, "genesis.poa") != 0)
        return 1;
    if (poa_genesis_encode(&w, &g) != POA_OK)
        return cli_fail("genesis: too large");
    if (poa_file_write(path, w.p, w.n, 0644, 0, &why) != POA_OK)
        return cli_fail("%s", why.text);
    poa_genesis_chain_id(poa_written(&w), d->chain);
    return 0;
}

int devnet_genesis_make(struct devnet *d)
{
    size_t accounts = DEVNET_ACCOUNTS + devnet_nodes(d) + 16;
    size_t devices = (size_t)d->devices + d->fleet;
    size_t cap = 2 * (accounts * 48 + devices * 600 + d->ledgers * 800u + 8192);
    struct parts p = {calloc(accounts, sizeof *p.account),
                      0,
                      calloc(devices ? devices : 1, sizeof *p.device),
                      malloc(cap),
                      {NULL, 0, 0, false}};
    int rc = 1;
    if (p.account == NULL || p.device == NULL || p.bytes == NULL) {
        cli_fail("out of memory");
    } else {
        p.lists = poa_writer_over(p.bytes, cap);
        rc = write_genesis(d, &p);
    }
    free(p.account);
    free(p.device);
    free(p.bytes);
    return rc;
}

int devnet_genesis_read(struct devnet *d)
{
    char path[512], *bytes = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    struct poa_genesis g;
    if (devnet_path(d, path, sizeof path, "genesis.poa") != 0)
        return 1;
    if (poa_file_read(path, (size_t)128 << 20, 0, &bytes, &n, &why) != POA_OK)
        return cli_fail("%s; put it back, or begin anew: remove %s", why.text, d->dir);
    int rc = poa_genesis_decode(poa_slice(bytes, n), &g);
    poa_genesis_chain_id(poa_slice(bytes, n), d->chain);
    free(bytes);
    return rc == POA_OK ? 0
                        : cli_fail("%s is no genesis record: %s; put it back, or begin anew: "
                                   "remove %s",
                                   path, poa_error_text(rc), d->dir);
}
