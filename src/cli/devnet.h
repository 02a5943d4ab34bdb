/* devnet: a whole network on this machine.
 *
 *   DIR/devnet.json      what it is made of (sizes, policy, ports)
 *   DIR/devnet.lock      held while it runs; says who runs it and where they answer
 *   DIR/genesis.poa      the network's genesis record
 *   DIR/keys/            every key, without passphrases (a test network)
 *   DIR/NAME/            one per process: poad.conf or device state, data, log
 *
 * devnet_setup.c, devnet_ports.c and devnet_genesis.c make or read these; devnet_run.c starts,
 * watches and stops the processes; devnet_ready.c waits for them at the start; devnet_load.c
 * offers transfers; devnet.c is the commands.
 */
#ifndef POA_CLI_DEVNET_H
#define POA_CLI_DEVNET_H

#include <signal.h>
#include <sys/types.h>

#include "poa_cli.h"
#include "poa_ledger.h"
#include "poa_rpc_json.h"

#define DEVNET_PATH_MAX     400
#define DEVNET_ACCOUNTS     1024 /* funded, for --load */
#define DEVNET_LEDGERS_MAX  31
#define DEVNET_TRUSTED_MAX  16
#define DEVNET_DEVICES_MAX  2000
#define DEVNET_FLEET_MAX    65000  /* a genesis has up to 65,535 devices */
#define DEVNET_FLEET_LARGE  250000 /* places at the gateways of a larger one */
#define DEVNET_ARGUMENTS    24
#define DEVNET_SLOT_MS      250
#define DEVNET_FEE_MIN      10
#define DEVNET_FEE_PER_KIB  10
#define DEVNET_FAUCET_UNITS 1000000
#define DEVNET_EPOCH_VIEWS  5000
#define DEVNET_PRUNE_MIN    100 /* what poad takes */

enum devnet_kind { DEVNET_LEDGER, DEVNET_TRUSTED, DEVNET_DEVICE };
enum devnet_chaos_kind { DEVNET_CHAOS_NONE, DEVNET_CHAOS_DEVICES, DEVNET_CHAOS_LIARS };

struct devnet_process {
    enum devnet_kind kind;
    char name[32];
    uint8_t key[32];
    uint16_t mesh, rpc, gateway; /* ports; 0: does not have it */
    char *argument[DEVNET_ARGUMENTS + 1];
    int arguments;
    char chaos[DEVNET_PATH_MAX + 64]; /* variable of its environment, or empty */
    pid_t pid;                        /* 0: not running */
    uint64_t started_ms, restart_ms;  /* monotonic; RESTART_MS 0: not planned */
    uint32_t restarts, failures;      /* FAILURES: ended soon after its start, in a row */
    struct poa_rpc_client *client;    /* of nodes */
    bool ready;                       /* was so since the devnet's start, with a block of it */
    bool answers, abstains;           /* when it was last asked */
    uint64_t height;                  /* last heard */
    uint64_t first_block_ms;          /* of its first start; POA_NEVER: not heard */
};

struct devnet {
    char dir[DEVNET_PATH_MAX];
    char bin[DEVNET_PATH_MAX]; /* where poad and poa-device are */
    uint32_t ledgers, trusted, devices;
    uint32_t fleet; /* registered devices of `poa fleet`, which are no processes */
    uint32_t epoch_views;
    uint32_t prune; /* blocks that trusted nodes keep; 0: all */
    enum poa_policy_kind policy;
    enum devnet_chaos_kind chaos;
    bool existed;
    uint8_t chain[32];
    uint8_t load_seed[32];
    const char *peer;               /* hex key of a node that is no part of it; NULL: none */
    struct devnet_process *process; /* ledgers, then trusted nodes, then devices */
    size_t processes;
    int lock_fd, block_fd;
    uint16_t port_base;
};

/* --- devnet_setup.c ---------------------------------------------------------------- */

/* Takes the lock of DIR, makes or reads the network, chooses free ports, writes
 * the configurations. A line is printed on failure. */
int devnet_open(struct devnet *d, const struct cli *c);
void devnet_close(struct devnet *d);
size_t devnet_nodes(const struct devnet *d);
int devnet_path(const struct devnet *d, char *out, size_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* --- devnet_lock.c ------------------------------------------------------------------- */

/* Takes the lock of DIR until the process ends; 0, or 1 after a line. */
int devnet_lock(struct devnet *d);
/* Writes what runs into the lock file. */
void devnet_write_lock(const struct devnet *d);
/* 0 when no devnet runs in DIR, which may be absent; else 1 after a line. */
int devnet_check_idle(const char *dir);

/* --- devnet_ports.c ------------------------------------------------------------------ */

/* Ports for all processes, those of last time (BEFORE) when they are free; 0, or 1 after a
 * line. */
int devnet_ports(struct devnet *d, const json_t *before);

/* --- devnet_genesis.c -------------------------------------------------------------- */

/* All 0, or 1 after a line. */
/* Makes or opens DIR/keys/LABEL.json. */
int devnet_key(const struct devnet *d, const char *label, enum poa_key_kind kind,
               enum poa_key_type type, struct poa_keystore_info *info, uint8_t secret32[32]);
/* What the load accounts derive from. */
int devnet_load_seed(struct devnet *d);
/* DIR/genesis.poa; the chain id in D. */
int devnet_genesis_make(struct devnet *d);
int devnet_genesis_read(struct devnet *d);
/* Secret key (BIP340) and address of load account I. */
void devnet_account(const struct devnet *d, uint32_t i, uint8_t secret32[32],
                    uint8_t address32[32]);

/* --- devnet_run.c -------------------------------------------------------------------- */

uint64_t devnet_now_ms(void);
int devnet_start(struct devnet *d, struct devnet_process *p);
/* Collects processes that ended, and starts nodes that died again after a while.
 * Returns how many ended unexpectedly in this call. */
unsigned devnet_watch(struct devnet *d);
/* The first node that runs; the first one when none does. */
struct devnet_process *devnet_running(const struct devnet *d);
/* SIGTERM to all, SIGKILL to those that do not end. */
void devnet_stop_all(struct devnet *d);
/* The last line of a process's log, on standard error. */
void devnet_print_log_tail(const struct devnet *d, const struct devnet_process *p);
/* Answer of a node, without complaints; NULL: none. */
json_t *devnet_ask(struct devnet_process *p, const char *method, json_t *params);
uint64_t devnet_rss_bytes(pid_t pid);

/* --- devnet_ready.c -------------------------------------------------------------------- */

/* Waits until nodes FROM..TO-1 are ready and have a block of this run, and goes on without those
 * that end or take too long when NEED others are; 0, or 1 after a line, as soon as so many
 * cannot be. */
int devnet_wait_ready(struct devnet *d, size_t from, size_t to, size_t need,
                      const volatile sig_atomic_t *stopping);

/* --- devnet_chaos.c -------------------------------------------------------------------- */

/* X(NAME, "name", "what the misbehaving processes are told") */
#define DEVNET_FAULTS(X)                                                                           \
    X(CALM, "calm", "calm")                                                                        \
    X(OFFLINE, "offline", "calm")                                                                  \
    X(FROZEN, "gateways-frozen", "calm")                                                           \
    X(REPLAYING, "replaying", "replay")                                                            \
    X(FORGING, "forging", "forge")                                                                 \
    X(DROPPED, "dropped", "drop")                                                                  \
    X(DOUBLED, "doubled", "double")                                                                \
    X(LYING, "lying", "lie")
enum devnet_fault {
#define DEVNET_FAULT_ROW(name, text, mode) DEVNET_##name,
    DEVNET_FAULTS(DEVNET_FAULT_ROW)
#undef DEVNET_FAULT_ROW
        DEVNET_FAULTS_N
};
const char *devnet_fault_name(enum devnet_fault fault);

struct devnet_phase {
    uint64_t ms, blocks, seals;
};
struct devnet_chaos {
    enum devnet_fault fault; /* now */
    unsigned turn, phases;
    bool known;
    uint64_t since_ms, height, seals;
    struct devnet_phase phase[DEVNET_FAULTS_N]; /* sums */
};
/* False: no such kind. TEXT NULL: none. */
bool devnet_chaos_kind(const char *text, enum devnet_chaos_kind *out);
/* Whether device number I may misbehave. */
bool devnet_chaos_bad(enum devnet_chaos_kind kind, size_t i);
/* Before the processes start. */
void devnet_chaos_begin(struct devnet *d, struct devnet_chaos *c);
/* Called often: goes to the next phase when it is time. */
void devnet_chaos_step(struct devnet *d, struct devnet_chaos *c);
/* Everybody runs again. */
void devnet_chaos_end(struct devnet *d, struct devnet_chaos *c);
/* Blocks per second. */
double devnet_chaos_speed(const struct devnet_chaos *c, bool calm);
json_t *devnet_chaos_json(const struct devnet_chaos *c);

/* --- devnet_load.c --------------------------------------------------------------------- */

struct devnet_load;
/* Asks for the accounts' nonces and signs COUNT transfers. */
int devnet_load_prepare(struct devnet *d, uint64_t count, struct devnet_load **out);
int devnet_load_start(struct devnet *d, struct devnet_load *l, double per_second);
/* True when every transfer was offered and answered. */
bool devnet_load_stats(const struct devnet_load *l, struct poa_rpc_load_stats *out);
void devnet_load_stop(struct devnet_load *l);
/* How many of the accounts' transactions a node has executed since prepare. */
uint64_t devnet_load_committed(struct devnet *d, const struct devnet_load *l);
void devnet_load_free(struct devnet_load *l);

#endif
