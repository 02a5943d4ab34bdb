/* What the files of `poa fleet simulate` share: fleet_network.c starts the nodes and registers
 * the devices; fleet.c measures and reports. */
#ifndef POA_CLI_FLEET_SIM_H
#define POA_CLI_FLEET_SIM_H

#include <signal.h>

#include "devnet.h"
#include "poa_fleet.h"

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
    uint32_t devices, ledgers, gateways, epoch_views;
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
    uint32_t storm_elsewhere; /* of those that were at the gateway which went: at another one now */
    uint64_t steady_ms, steady_cpu_us, storm_cpu_us;
    struct poa_fleet_stats from, to, end;
    uint8_t (*root)[32];
    uint64_t roots, roots_missing, ledger_sealed;
};

/* Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t fleet_stopping;

void fleet_pause_ms(uint64_t ms);
/* A node's answer, without complaints; NULL: none. */
json_t *fleet_ask(struct poa_rpc_client *client, const char *method, json_t *params);

/* All 0, or 1 after a line. */
/* A devnet with ledgers, gateways and registered devices, until all its nodes are ready;
 * what the devices must know of it. */
int fleet_network_start(struct sim *s);
void fleet_network_stop(struct sim *s);

#endif
