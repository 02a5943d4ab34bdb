/* Configuration of poad: one table of keys. From it come the struct, the parser
 * of the file, the options of the command line, --help, --print-config and the
 * table in docs/config.md.
 *
 * The file has `key = value` lines; `#` starts a comment line. Every key may be
 * given as an option too, with '-' for '_'; options win. A key may stand once in
 * the file and once among the options, except `peer`. What is wrong is said with
 * the place where it stands: FILE:LINE: key, or --key.
 */
#ifndef POA_CONFIG_H
#define POA_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "poa_file.h"

#define POA_CONFIG_TEXT_MAX  511
#define POA_CONFIG_PEERS_MAX 256

/* X(TYPE, name, unit, min, max, default, "help"). TYPE: TEXT (min and max are
 * its length), U32, U32_OR_0 (0, or from min to max), FLAG (yes or no). */
#define POA_CONFIG_KEYS(X)                                                                         \
    X(TEXT, data_dir, "path", 1, 400, "poa-data", "everything the node keeps")                     \
    X(TEXT, role, "list", 1, 64, "ledger",                                                         \
      "ledger (full history), trusted (current state, gateway for devices), or both")              \
    X(TEXT, genesis, "path", 0, 500, "",                                                           \
      "the network's genesis file, .poa or .json; empty: DATA_DIR/genesis.poa")                    \
    X(TEXT, key, "path", 0, 500, "", "key file of the node; empty: DATA_DIR/node.json")            \
    X(TEXT, passphrase_file, "path", 0, 500, "", "passphrase of the key file, when it has one")    \
    X(TEXT, name, "text", 0, 64, "",                                                               \
      "name of this node in its answers; empty: that of the witness, or the key's label")          \
    X(TEXT, listen, "host:port", 1, 128, "127.0.0.1:7640", "address of the mesh; off: dial only")  \
    X(TEXT, advertise, "host:port", 0, 128, "",                                                    \
      "where others are told that this node listens; empty: listen, when that is one address")     \
    X(U32, peers_wanted, "peers", 0, 64, 8,                                                        \
      "connections: while there are fewer, others are asked for addresses; 0: configured ones "    \
      "only")                                                                                      \
    X(U32, strangers, "nodes", 0, 1024, 32,                                                        \
      "that are not on the list and may ask at the same time, of one address half of them")        \
    X(U32, ban_s, "s", 1, 3600, 60,                                                                \
      "first ban of who misbehaves; each further one is twice as long")                            \
    X(TEXT, rpc, "host:port", 1, 128, "127.0.0.1:7645", "JSON-RPC, health and metrics; or off")    \
    X(TEXT, rpc_tls_cert, "path", 0, 500, "",                                                      \
      "certificate chain of the RPC, PEM; with it https alone")                                    \
    X(TEXT, rpc_tls_key, "path", 0, 500, "", "and its private key, PEM, mode 0600")                \
    X(TEXT, rpc_tokens, "path", 0, 500, "",                                                        \
      "file of tokens (`poa token new`): without one callers may do what rpc_anonymous says")      \
    X(TEXT, rpc_anonymous, "right", 0, 8, "",                                                      \
      "what callers without a token may do: nothing, read, submit or operate; empty: read when "   \
      "there are tokens, else operate")                                                            \
    X(TEXT, rpc_cors, "origins", 0, 500, "",                                                       \
      "pages of other sites that may call, such as https://wallet.example, by commas")             \
    X(U32, rpc_rate, "requests", 0, 1000000, 500,                                                  \
      "per second of one address, the loopback's not counted; 0: any")                             \
    X(FLAG, rpc_behind_tls_proxy, "", 0, 1, false,                                                 \
      "a proxy in front does TLS: allows rpc beyond loopback")                                     \
    X(U32, rpc_connections, "connections", 2, 60000, 4096,                                         \
      "HTTP connections at the same time, of one address half of them")                            \
    X(TEXT, gateway, "host:port", 1, 128, "off", "where devices connect (role trusted); or off")   \
    X(U32, gateway_devices, "devices", 1, 1000000, 10000, "devices connected at the same time")    \
    X(TEXT, anchor_key, "path", 0, 500, "",                                                        \
      "account key that pays for anchors of usage data; empty: the node's own key")                \
    X(U32, anchor_ms, "ms", 100, 3600000, 1000, "one anchor per such interval")                    \
    X(TEXT, faucet_key, "path", 0, 500, "", "test networks: account key that `faucet` pays from")  \
    X(U32, faucet_amount, "units", 1, 1000000000, 1000000,                                         \
      "what the faucet pays by default; at once, ten times that at most")                          \
    X(U32, workers, "threads", 0, 64, 0, "threads that check signatures; 0: one per core")         \
    X(U32, checkpoint_blocks, "blocks", 1, 1000000, 10000, "state is saved after so many blocks")  \
    X(U32, checkpoint_s, "s", 1, 86400, 60, "or after so long, when it changed")                   \
    X(U32_OR_0, prune, "blocks", 100, UINT32_MAX, 0,                                               \
      "older blocks are deleted and the disk gets them back (with fewer nobody could catch up "    \
      "from here); 0: keep all")                                                                   \
    X(FLAG, snapshot, "", 0, 1, false,                                                             \
      "without a database yet: begin with a verified snapshot from the peers")                     \
    X(U32, snapshot_blocks, "blocks", 0, UINT32_MAX, 0,                                            \
      "a snapshot for peers at heights that are multiples of this, the same for all servers; 0: "  \
      "none")                                                                                      \
    X(FLAG, tx_index, "", 0, 1, true, "find transactions by id")                                   \
    X(U32, blob_days, "days", 1, 36500, 30, "how long usage packs are kept")                       \
    X(U32, pack_day_kib, "KiB", 1, UINT32_MAX, 16384,                                              \
      "of packs that one device may bring per day")                                                \
    X(U32, pack_store_kib, "KiB", 0, UINT32_MAX, 16777216,                                         \
      "of packs, receipts and lists that are kept altogether; above it devices keep theirs; 0: "   \
      "as much as the disk takes")                                                                 \
    X(U32, store_write_buffer_kib, "KiB", 64, 262144, 1024, "memory before a table is written")    \
    X(U32, store_cache_kib, "KiB", 64, 4194304, 1024, "cache of table blocks")                     \
    X(U32, store_open_files, "files", 16, 4096, 100, "open tables")                                \
    X(U32, pool_txs, "transactions", 64, 10000000, 20000, "transactions that wait here")           \
    X(U32, pool_kib, "KiB", 64, 16777216, 16384, "and their bytes")                                \
    X(U32, pool_per_account, "transactions", 1, 1000000, 4096, "of one account")                   \
    X(U32, batches, "batches", 64, 1000000, 4096, "batches that wait for a block")                 \
    X(U32, batches_kib, "KiB", 1024, 16777216, 262144, "and their bytes")                          \
    X(U32, mining, "items", 64, 1000000, 4096, "tickets and seals that wait for a block")          \
    X(U32, batch_flush_kib, "KiB", 1, 512, 512, "a batch is closed at this size")                  \
    X(U32, batch_flush_us, "us", 0, 1000000, 2000, "or after this long")                           \
    X(FLAG, restored, "", 0, 1, false,                                                             \
      "option of one start: data_dir came from a backup, so abstain until the next epoch")         \
    X(TEXT, recover, "token", 0, 48, "",                                                           \
      "operators' order after lost logs, from `poa witness recovery`; see docs/node.md")           \
    X(TEXT, log_level, "level", 1, 16, "info", "error, warn, info, debug or trace")                \
    X(FLAG, log_json, "", 0, 1, false, "log lines as JSON")                                        \
    X(TEXT, ready_file, "path", 0, 500, "", "written once the node listens: its addresses")

#define POA_CONFIG_MEMBER_TEXT(name)                             char name[POA_CONFIG_TEXT_MAX + 1];
#define POA_CONFIG_MEMBER_U32(name)                              uint32_t name;
#define POA_CONFIG_MEMBER_U32_OR_0(name)                         uint32_t name;
#define POA_CONFIG_MEMBER_FLAG(name)                             bool name;
#define POA_CONFIG_MEMBER(type, name, unit, min, max, def, help) POA_CONFIG_MEMBER_##type(name)

/* Number of keys. */
enum {
    POA_CONFIG_KEY_COUNT = 0
#define POA_CONFIG_COUNT(type, name, unit, min, max, def, help) +1
    POA_CONFIG_KEYS(POA_CONFIG_COUNT)
#undef POA_CONFIG_COUNT
};
#define POA_CONFIG_OPTION UINT32_MAX

struct poa_config_peer {
    uint8_t key[32];
    char address[128]; /* host:port; empty: it dials us */
    uint32_t from;     /* as in poa_config */
};

struct poa_config {
    POA_CONFIG_KEYS(POA_CONFIG_MEMBER)
    struct poa_config_peer peer[POA_CONFIG_PEERS_MAX];
    uint32_t peers;
    bool ledger, trusted; /* from role */
    /* Where each value stands: its line of FILE, POA_CONFIG_OPTION, or 0: the default. */
    uint32_t from[POA_CONFIG_KEY_COUNT];
    char file[POA_CONFIG_TEXT_MAX + 1];
};

void poa_config_defaults(struct poa_config *c);
/* As an option gives it. NAME as in the file ('-' and '_' are the same). CONFIG: unknown
 * key, or a value that does not fit; WHY says which and what would. C is then of no use. */
POA_MUST_USE int poa_config_set(struct poa_config *c, const char *name, const char *value,
                                struct poa_why *why);
/* Reads a file on top of C; WHY starts with FILE:LINE. NOT_FOUND, CONFIG. */
POA_MUST_USE int poa_config_read(struct poa_config *c, const char *path, struct poa_why *why);
/* Rules that concern several keys; fills what is derived. CONFIG. */
POA_MUST_USE int poa_config_check(struct poa_config *c, struct poa_why *why);
/* A commented file that reads back as C. */
void poa_config_print(const struct poa_config *c, FILE *to);

/* WHY: what is wrong with the value of KEY, after the place where it stands. Gives CONFIG. */
int poa_config_wrong(const struct poa_config *c, const char *key, struct poa_why *why,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* HOST:PORT; HOST may be [v6]. CONFIG. */
POA_MUST_USE int poa_config_address(const char *text, char *host, size_t host_n, uint16_t *port,
                                    struct poa_why *why);

/* Why no other node can dial ADDRESS; NULL: it may be tried. */
const char *poa_config_undialable(const char *address);

/* EPOCH-TOKEN, as `poa witness recovery` prints it. CONFIG. */
POA_MUST_USE int poa_config_recover(const char *text, uint32_t *epoch, uint8_t token32[32]);

/* Command line: options for every key, and
 *   --config FILE   --print-config   --help   --version
 * Fills C: defaults, then the file, then the options.
 * Returns what the program does next; ERROR has printed one line to stderr. */
enum poa_config_action {
    POA_CONFIG_RUN,
    POA_CONFIG_DONE,
    POA_CONFIG_ERROR,
};
/* What is no key of the file. X("name", "ARGUMENT" or NULL, "help") */
#define POA_CONFIG_OPTIONS(X)                                                                      \
    X("config", "FILE", "key = value lines; see --print-config")                                   \
    X("print-config", NULL, "print the configuration in force, commented, and stop")               \
    X("peer", "KEY@HOST:PORT", "another node; may be repeated")                                    \
    X("help", NULL, "this text")                                                                   \
    X("version", NULL, "version of this program")
#define POA_CONFIG_USAGE "poad [--config FILE] [option]..."
#define POA_CONFIG_ABOUT "Runs a node of a Proof-of-Assignment ledger."
#define POA_CONFIG_EXAMPLES(X)                                                                     \
    X("poad --print-config > poad.conf")                                                           \
    X("poad --config /etc/poa/poad.conf")                                                          \
    X("poad --data-dir node1 --listen 192.0.2.7:7640 --peer 4f9c...@192.0.2.8:7640")
#define POA_CONFIG_EXITS                                                                           \
    "0 after a clean stop (SIGTERM, SIGINT), 1 failed, 2 wrong options or configuration."

enum poa_config_action poa_config_arguments(struct poa_config *c, int argc, char **argv);

#endif
