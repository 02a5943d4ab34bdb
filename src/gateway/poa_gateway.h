/* gateway: the device edge of a trusted node.
 *
 *   devices ══ TCP, Noise IK (poa_edge.h) ══> gateway thread ──> backend (node)
 *                                              ^   libevent        │
 *   node: poa_gateway_slot, _epoch, _result ───┘  <────────────────┘
 *
 * One thread, one event loop, about a kilobyte per idle device. It greets
 * registered devices (and, in small number, unknown ones, which may only
 * register), tells each epoch to all and each task to the assigned, carries
 * tickets, seals and transactions to the node, keeps signed packs of readings
 * in the blob store and anchors them: one Merkle root per interval, in a
 * transaction of the gateway's own account.
 *
 * It decides nothing: what a device must believe it can check, and what the
 * ledger accepts the ledger checks.
 */
#ifndef POA_GATEWAY_H
#define POA_GATEWAY_H

#include "poa_clock.h"
#include "poa_edge.h"
#include "poa_file.h"
#include "poa_ledger.h"

/* --- what the node gives --------------------------------------------------------
 *
 * Called on the gateway's thread; only blob_sync may block.
 * Writers have room for what their comment says. */

enum poa_blob_kind {
    POA_BLOB_PACK = 1,    /* encoded pack under its id */
    POA_BLOB_RECEIPT = 2, /* encoded edge_receipt under the pack's id */
    POA_BLOB_INDEX = 3,   /* encoded pack_entry under poa_gateway_index_key */
    POA_BLOB_USAGE = 4,   /* encoded pack_usage under the device's key */
};

/* The N-th pack of a device here (from 0), and how many there were. */
#define POA_PACK_ENTRY_TABLE(F)                                                                    \
    F(FIX, id, 32, _, "pack id")                                                                   \
    F(U64, from_ms, 0, _, "time of its earliest reading")                                          \
    F(U64, to_ms, 0, _, "time of its latest reading")
POA_RECORD_DECLARE(pack_entry, POA_PACK_ENTRY_TABLE)
#define POA_PACK_USAGE_TABLE(F)                                                                    \
    F(U64, packs, 0, _, "packs of the device that were kept here")                                 \
    F(U32, day, 0, _, "days since 1970 of its newest one")                                         \
    F(U64, day_bytes, 0, _, "bytes that it brought on that day")
POA_RECORD_DECLARE(pack_usage, POA_PACK_USAGE_TABLE)
void poa_gateway_index_key(const uint8_t device32[32], uint64_t n, uint8_t out32[32]);

struct poa_gateway_blob {
    enum poa_blob_kind kind;
    const uint8_t *key32;
    struct poa_slice bytes;
};
/* The most that are put together: a pack, its place in the list, and the count. */
#define POA_GATEWAY_BLOBS 3

/* A final header and why it is final. LINKS is empty when CERT is for HEADER
 * itself; else encoded headers back to back: the certified one first, each the
 * child of the next, the last one a child of HEADER. */
struct poa_gateway_proof {
    struct poa_slice header, links, cert;
};
#define POA_GATEWAY_LINKS_MAX 64

struct poa_gateway_backend {
    void *ctx;
    /* Entry (TABLE, KEY) of the state after the newest final block whose result
     * is known; POA_E_NOT_FOUND. OUT has room for 4096 bytes. */
    int (*state_get)(void *ctx, enum poa_state_table table, struct poa_slice key,
                     struct poa_writer *out);
    /* Starts a proof of the same entry. The root that certifies it comes with
     * the next block, so the answer follows by poa_gateway_proved with TOKEN,
     * from any thread (also from within the call). Another code than POA_OK:
     * no answer follows. */
    int (*prove)(void *ctx, uint64_t token, enum poa_state_table table, struct poa_slice key);
    /* Hand-over of an earlier epoch: closing block of EPOCH with its proof, and
     * the encoded committee of EPOCH + 1. Room: POA_HEADER_BYTES, LINKS_MAX
     * headers, POA_CERT_BYTES_MAX, POA_COMMITTEE_BYTES_MAX. POA_E_NOT_FOUND. */
    int (*handover)(void *ctx, uint32_t epoch, struct poa_writer *header, struct poa_writer *links,
                    struct poa_writer *cert, struct poa_writer *committee);
    /* POA_OK: the fate comes later, by poa_gateway_result with TOKEN, from any
     * thread (also from within the call). Another code: refused, no result
     * follows. What is pointed to is borrowed for the call. */
    int (*submit_ticket)(void *ctx, uint64_t token, const struct poa_ticket *ticket);
    int (*submit_seal)(void *ctx, uint64_t token, const struct poa_seal *seal);
    int (*submit_tx)(void *ctx, uint64_t token, struct poa_slice tx);
    /* Content store with the retention time of the node. blob_put: all N or none, also
     * over a crash; what has the same key is replaced; POA_E_FULL for a PACK that finds no
     * room. blob_sync: what was put is durable; called once per anchor, before it is
     * submitted. blob_get: POA_E_NOT_FOUND; OUT has room for POA_PACK_BYTES_MAX bytes. */
    int (*blob_put)(void *ctx, const struct poa_gateway_blob *blob, size_t n);
    int (*blob_sync)(void *ctx);
    int (*blob_get)(void *ctx, enum poa_blob_kind kind, const uint8_t key32[32],
                    struct poa_writer *out);
};

/* --- configuration ------------------------------------------------------------- */

struct poa_gateway_limits {
    uint32_t connections;      /* at the same time */
    uint32_t strangers;        /* of these: not greeted yet */
    uint32_t per_address;      /* of these: from one address (IPv6: one /64) */
    uint32_t unregistered;     /* of these: devices that the ledger does not know */
    uint32_t handshakes_per_s; /* of all: bounds the CPU that strangers can cost */
    uint32_t frames_per_s;     /* of one device; above, it is read more slowly */
    uint32_t bytes_per_s;      /* the same */
    uint32_t send_queue_bytes; /* a device that does not read is dropped above */
    uint32_t handshake_ms;     /* from accept to HELLO */
    uint32_t ping_ms;          /* devices say something this often; 3 times: dropped */
    uint32_t day_kib;          /* of packs of one device that are kept per day */
    uint32_t packs_waiting;    /* stored and not anchored yet, of all devices */
};
/* 16384, 512, 256, 256, 1000, 50, 65536, 131072, 5000, 30000, 16384, 65536. */
extern const struct poa_gateway_limits poa_gateway_limits_default;

struct poa_gateway_config {
    const char *host; /* numeric address, "127.0.0.1" */
    uint16_t port;    /* 0: any free one */
    uint8_t chain[32];
    const struct poa_genesis *genesis; /* borrowed for the gateway's life */
    uint8_t seed32[32];                /* node identity: the key that devices dial */
    struct poa_gateway_limits limits;
    struct poa_gateway_backend backend;
    const struct poa_clock *clock; /* NULL: the system's */
    /* File for the keys of passes, so that devices come back cheaply after a restart too; it
     * is replaced every hour. NULL: they are in memory only. Borrowed for the gateway's life. */
    const char *pass_path;
    /* Account that pays for anchors; enum poa_key_type, 0: packs are kept, not
     * anchored. */
    uint8_t anchor_key_type;
    uint8_t anchor_secret32[32];
    uint32_t anchor_ms; /* one root per such interval; 0: 1000 */
};

struct poa_gateway;

/* Binds and listens; nobody is served before poa_gateway_start. Copies CONFIG.
 * Errors: POA_E_CONFIG (address), POA_E_IO, POA_E_KEY, POA_E_NO_MEMORY; WHY. */
POA_MUST_USE int poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                                 struct poa_why *why);
/* Starts the thread. POA_E_NO_MEMORY. */
POA_MUST_USE int poa_gateway_start(struct poa_gateway *g);
/* Tells every device to come back after RETRY_MS, closes, ends the thread.
 * What was stored and not anchored is anchored when its devices, who keep it
 * until they have a receipt, send it again. */
void poa_gateway_stop(struct poa_gateway *g, uint32_t retry_ms);
void poa_gateway_free(struct poa_gateway *g); /* stopped or never started; NULL is fine */
uint16_t poa_gateway_port(const struct poa_gateway *g);
const uint8_t *poa_gateway_key(const struct poa_gateway *g); /* Ed25519, 32 bytes */

/* --- what the node tells: from any thread; copies; never blocks ------------------- */

/* Whether this node is where the others are; until it says so it is taken for granted. When it
 * is not, devices that are here and those that come are told to come back later, and go to
 * another gateway. Before it was so the first time they wait to be accepted instead, some
 * seconds: a restart costs them nothing. */
void poa_gateway_serve(struct poa_gateway *g, bool serves);

struct poa_gateway_epoch {
    struct poa_edge_epoch info;
    struct poa_slice committee;       /* encoded, of this epoch */
    struct poa_gateway_proof closing; /* of the epoch before; empty for the first one told */
};
/* A new epoch, in order; and the current one before anything else: until then
 * devices are asked to come back. */
void poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e);
/* The sealing block of SLOT is final; SEATS: keys of the assigned devices. */
void poa_gateway_slot(struct poa_gateway *g, uint64_t slot, const struct poa_gateway_proof *block,
                      const uint8_t (*seats)[32], size_t seats_n);
/* Fate of a submission: POA_OK or an error. Unknown tokens are ignored. */
void poa_gateway_result(struct poa_gateway *g, uint64_t token, int code);
/* What a proof came to: BLOCK's header has the state root that PROOF leads to;
 * empty VALUE: proven absent. A is not read when CODE is an error. */
struct poa_gateway_answer {
    struct poa_slice value, proof;
    struct poa_gateway_proof block;
};
void poa_gateway_proved(struct poa_gateway *g, uint64_t token, int code,
                        const struct poa_gateway_answer *a);

/* --- who is there: from any thread ---------------------------------------------------- */

struct poa_gateway_presence {
    uint64_t since_ms; /* Unix time of its connection; silent devices are dropped soon */
    bool shared;       /* it is a channel of a trunk */
    uint8_t status;    /* enum poa_edge_status, when it came */
};
/* Whether the device with this key is connected here. */
bool poa_gateway_presence(struct poa_gateway *g, const uint8_t device32[32],
                          struct poa_gateway_presence *out);

/* --- what it counts ----------------------------------------------------------------- */

/* X(name, kind, "help"): metrics poa_gateway_NAME. */
#define POA_GATEWAY_STATS(X)                                                                       \
    X(connections, gauge, "open connections")                                                      \
    X(devices, gauge, "devices that are greeted")                                                  \
    X(packs_waiting, gauge, "packs that wait for their anchor")                                    \
    X(accepted, counter, "connections accepted")                                                   \
    X(refused, counter, "connections closed at accept, over a limit")                              \
    X(handshakes, counter, "handshakes done")                                                      \
    X(resumed, counter, "sessions resumed by a pass, without a handshake")                         \
    X(passes_refused, counter, "passes that were too old or not ours")                             \
    X(sent_away, counter, "devices told to come back because this node is behind or cut off")      \
    X(handshakes_failed, counter, "handshakes or greetings that failed or timed out")              \
    X(dropped, counter, "greeted connections closed for an error or silence")                      \
    X(throttled, counter, "times that a device had to wait for its rate")                          \
    X(frames_in, counter, "frames received")                                                       \
    X(frames_out, counter, "frames sent")                                                          \
    X(bytes_in, counter, "bytes received")                                                         \
    X(bytes_out, counter, "bytes sent")                                                            \
    X(epochs, counter, "epochs told")                                                              \
    X(tasks, counter, "tasks sent")                                                                \
    X(tickets, counter, "tickets carried")                                                         \
    X(seals, counter, "seals carried")                                                             \
    X(txs, counter, "transactions carried")                                                        \
    X(queries, counter, "queries answered")                                                        \
    X(relays, counter, "messages passed on from device to device")                                 \
    X(relays_refused, counter, "messages between devices not passed on")                           \
    X(packs, counter, "packs stored")                                                              \
    X(packs_refused, counter, "packs refused")                                                     \
    X(anchors, counter, "anchors that became final")                                               \
    X(anchors_failed, counter, "anchors refused or not final in time; their packs wait again")     \
    X(receipts, counter, "packs anchored")

struct poa_gateway_stats {
#define POA_GATEWAY_STAT(name, kind, help) uint64_t name;
    POA_GATEWAY_STATS(POA_GATEWAY_STAT)
#undef POA_GATEWAY_STAT
};
void poa_gateway_stats(const struct poa_gateway *g, struct poa_gateway_stats *out);

#endif
