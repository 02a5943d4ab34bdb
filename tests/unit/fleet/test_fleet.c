/* Many devices in one process, against a gateway over a node in memory. */
#include <stdio.h>

#include "edge_node.h"
#include "poa_fleet.h"

#define DEVICES 40

static struct fake f;
static struct poa_fleet *fleet;
static const uint8_t seed[32] = {9};

static void open_gateway(void)
{
    struct poa_gateway_config config = fake_config(&f);
    for (uint32_t i = 0; i < DEVICES; i++) {
        uint8_t secret[32], key[32];
        poa_fleet_seed(seed, i, secret);
        poa_ed25519_public(secret, key);
        fake_device(&f, key, i);
    }
    fake_open(&f, &config);
}

static void start_fleet(uint32_t per_trunk, uint32_t pack_ms)
{
    struct agent_gateway g = {.host = "127.0.0.1"};
    struct poa_fleet_config c = {.devices = DEVICES,
                                 .gateway = &g,
                                 .gateways = 1,
                                 .per_trunk = per_trunk,
                                 .pack_ms = pack_ms};
    struct poa_why why = {""};
    memcpy(c.seed32, seed, 32);
    memcpy(g.key, f.w.gateway_key, 32);
    snprintf(g.port, sizeof g.port, "%u", poa_gateway_port(f.g));
    cr_assert_eq(poa_fleet_start(&c, &fleet, &why), POA_OK, "%s", why.text);
}

static struct poa_fleet_stats stats(void)
{
    struct poa_fleet_stats s;
    poa_fleet_stats(fleet, &s);
    return s;
}

#define EXPECT_FLEET(condition)                                                                    \
    do {                                                                                           \
        uint64_t end_ = client_now().mono_ms + 60000;                                              \
        while (!(condition) && client_now().mono_ms < end_)                                        \
            usleep(10000);                                                                         \
        cr_assert(condition);                                                                      \
    } while (0)

static void all_live(uint32_t per_trunk, uint64_t sockets)
{
    open_gateway();
    start_fleet(per_trunk, 500);
    EXPECT_FLEET(stats().connected == DEVICES);
    cr_expect_eq(stats().sockets, sockets);
    cr_expect_eq(fake_stats(&f).devices, DEVICES);
    cr_expect_gt(poa_fleet_connected_ms(fleet, 1), 0);
    cr_expect_leq(poa_fleet_connected_ms(fleet, 0.5), poa_fleet_connected_ms(fleet, 1));
    /* Each publishes, and each pack gets its receipt. */
    EXPECT_FLEET(stats().receipts >= DEVICES);
    poa_fleet_quiet(fleet);
    EXPECT_FLEET(stats().receipts == stats().packs);
    cr_expect_eq(stats().packs_refused, 0);
    cr_expect_eq(stats().alarms, 0);
    uint8_t root[64][32];
    size_t roots = poa_fleet_roots(fleet, root, 64);
    cr_expect_gt(roots, 0);
    for (size_t i = 0; i < roots; i++)
        cr_expect_not_null(fake_find(&f, POA_STATE_ANCHOR, poa_slice(root[i], 32)));
    /* A new epoch reaches all of them. */
    uint64_t bytes = stats().bytes_in;
    fake_epoch(&f, 4, 32);
    EXPECT_FLEET(fake_stats(&f).epochs == 2 && stats().bytes_in > bytes + DEVICES * 300);
    cr_expect_eq(stats().connected, DEVICES);
    cr_expect_eq(stats().lost, 0);
}

static void end(void)
{
    poa_fleet_free(fleet);
    fake_stop(&f);
}

Test(fleet, each_with_its_own_socket, .timeout = 120)
{
    all_live(0, DEVICES);
    end();
}

Test(fleet, many_behind_one_connection, .timeout = 120)
{
    all_live(25, 2);
    end();
}

Test(fleet, all_come_back_when_the_gateway_does, .timeout = 200)
{
    for (uint32_t per_trunk = 0; per_trunk <= 25; per_trunk += 25) {
        all_live(per_trunk, per_trunk ? 2 : DEVICES);
        uint16_t port = poa_gateway_port(f.g);
        uint64_t genesis_ms = f.genesis.time_ms;
        fake_stop(&f);
        EXPECT_FLEET(stats().connected == 0 && stats().lost == DEVICES);
        struct poa_gateway_config config = fake_config(&f);
        f.genesis.time_ms = genesis_ms; /* the same chain */
        for (uint32_t i = 0; i < DEVICES; i++) {
            uint8_t secret[32], key[32];
            poa_fleet_seed(seed, i, secret);
            poa_ed25519_public(secret, key);
            fake_device(&f, key, i);
        }
        config.port = port;
        fake_open(&f, &config);
        EXPECT_FLEET(stats().connected == DEVICES);
        cr_expect_eq(stats().connects, 2 * DEVICES);
        cr_expect_eq(stats().double_seals, 0);
        end();
    }
}

Test(fleet, what_cannot_be_is_refused)
{
    struct agent_gateway g = {.host = "127.0.0.1", .port = "1"};
    struct poa_fleet_config none = {.gateway = &g, .gateways = 1};
    struct poa_fleet_config nowhere = {.devices = 1};
    struct poa_fleet_config strange = {
        .devices = 1, .gateway = &g, .gateways = 1, .trust = poa_slice("x", 1)};
    struct poa_why why = {""};
    cr_expect_eq(poa_fleet_start(&none, &fleet, &why), POA_E_INVALID);
    cr_expect_eq(poa_fleet_start(&nowhere, &fleet, &why), POA_E_INVALID);
    cr_expect_neq(poa_fleet_start(&strange, &fleet, &why), POA_OK);
    cr_expect_gt(strlen(why.text), 0);
}
