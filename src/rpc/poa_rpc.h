/* rpc: what people and programs ask a node.
 *
 * JSON-RPC 2.0 over HTTP from one method table (POA_RPC_METHODS), and plain GET
 * pages for machines (POA_RPC_PAGES: health, readiness, metrics). One thread
 * with an event loop of its own, so that a slow reader never delays a vote.
 *
 *    core thread      rpc thread                        people
 *   ┌───────────┐    ┌───────────────────────────┐
 *   │           │<───│ submit, faucet            │<── POST /   JSON-RPC 2.0
 *   │           │───>│ poa_rpc_done (any thread) │──>
 *   │ published │    │                           │
 *   │  state  ──┼───>│ status, read, block, tx   │<── GET /metrics ...
 *   └───────────┘    └───────────────────────────┘
 *
 * What the node knows comes through struct poa_rpc_backend, which the node
 * implements. Amounts and 64-bit integers are strings in JSON, hashes and keys
 * lower-case hex, addresses bech32m.
 *
 * poa_rpc_json.h has the dispatcher and the conversion of records, which need
 * jansson; poa_rpc_client.h the client.
 */
#ifndef POA_RPC_H
#define POA_RPC_H

#include "poa_base.h"
#include "poa_consensus.h"
#include "poa_proof.h"
#include "poa_rpc_tokens.h"

#define POA_RPC_PORT_DEFAULT 7645

/* --- latency histograms ------------------------------------------------------
 *
 * Log-linear, as in HdrHistogram: 32 steps per power of two, so a quantile is
 * within 3.2 %. One writer, or a lock of the caller's. */
#define POA_HISTOGRAM_BITS    5
#define POA_HISTOGRAM_BUCKETS ((40 - POA_HISTOGRAM_BITS + 1) << POA_HISTOGRAM_BITS)
struct poa_histogram {
    uint64_t count, sum_us, max_us;
    uint64_t bucket[POA_HISTOGRAM_BUCKETS];
};
void poa_histogram_add(struct poa_histogram *h, uint64_t us); /* capped at 2^40 us */
void poa_histogram_merge(struct poa_histogram *into, const struct poa_histogram *from);
/* Smallest value that at least Q (0..1) of the samples do not exceed, rounded up
 * to its bucket's end; 0 when there are none. */
uint64_t poa_histogram_quantile(const struct poa_histogram *h, double q);
/* Largest value of bucket I. */
uint64_t poa_histogram_bound(size_t i);

/* --- what the node tells ------------------------------------------------------ */

#define POA_NEVER UINT64_MAX

/* What a new node fetches before it starts. */
struct poa_rpc_join {
    const char *doing;          /* looking, proving, fetching, loading, starting; static */
    uint64_t height;            /* of the snapshot that was chosen; 0: none yet */
    uint32_t offered;           /* servers that have it */
    uint32_t parts, parts_held; /* of its state */
    uint64_t bytes, bytes_held;
    uint32_t servers; /* that gave parts */
    uint64_t left_s;  /* until all are here; 0: not known */
};

struct poa_rpc_status {
    const char *version;              /* static */
    char name[POA_KEY_LABEL_MAX + 1]; /* of this node */
    bool ledger, trusted;             /* roles */
    uint8_t key[32];                  /* node key */
    struct poa_core_status core;
    struct poa_st_global global; /* of the finalized state */
    uint64_t slot;               /* by the clock */
    uint64_t uptime_ms;
    uint64_t first_block_ms; /* from the process's start to the first block that became final
                                while it ran; POA_NEVER: none yet */
    uint32_t peers;          /* connected */
    uint32_t devices;        /* connected to the gateway of this node */
    uint64_t packs;          /* usage packs that the gateway accepted */
    uint64_t txs_accepted, txs_rejected; /* submitted here */
    uint32_t fee_floor_percent;          /* of the smallest fee: what strangers pay here now */
    uint64_t sync_target;     /* far behind: what most peers have reached; starting: the last block
                                 here; else 0 */
    uint64_t sync_left_s;     /* until then, 0: not known yet */
    struct poa_rpc_join join; /* no DOING: it has its state, or does without a snapshot */
    bool faucet;
    bool woke;     /* it stood still just now: who is silent is not known */
    bool ready;    /* answers are current: synchronised, not halted nor stalled */
    char why[128]; /* when not ready */
};

/* Slices borrow until block_free. */
struct poa_rpc_block {
    uint8_t hash[32];
    struct poa_slice header, body;
    struct poa_slice cert; /* finalization; empty: a later block's covers it */
    const struct poa_tx_result *tx;
    size_t txs;
    void *hold; /* the backend's */
};

enum poa_rpc_tx_state {
    POA_RPC_TX_PENDING, /* accepted here, not in a finalized block yet */
    POA_RPC_TX_FINAL,
    POA_RPC_TX_DROPPED, /* accepted here, and not on its way to a block any more */
};
/* RAW borrows until tx_free. */
struct poa_rpc_tx {
    enum poa_rpc_tx_state state;
    uint64_t height; /* FINAL: where */
    uint32_t index;
    int code;             /* FINAL: POA_OK when executed, else why it was skipped; DROPPED: why */
    struct poa_slice raw; /* may be empty when the node does not keep it */
    void *hold;
};

/* Who a node talks with: what `poa_peers_list` answers and `poa peers` prints, in this order.
 * X(FIELD, KIND, HEAD, WIDTH, TEXT): HEAD is the heading of its column (WIDTH as in printf; of
 * every column the same); of the rows without one `poa peers` makes the notes below a line. */
#define POA_RPC_PEER_TABLE(X)                                                                      \
    X(key, KEY, "key", -8, "its key; null: only an address is known")                              \
    X(name, NAME, "name", -8, "of a witness")                                                      \
    X(role, TEXT, "role", -8, "witness, peer (on the list), stranger, address (no key known)")     \
    X(address, ADDRESS, "address", -21, "as configured or seen")                                   \
    X(member, SEAT, "seat", 4, "index in the committee, or null")                                  \
    X(direction, TEXT, "way", -4, "who dialed: out, in, both, none")                               \
    X(connected_ms, TIME, "for", 4, "connected for so long; null: it is not")                      \
    X(heard_ms, TIME, "heard", 5, "since its last frame; null: none yet")                          \
    X(height, HEIGHT, "height", 6, "that it told last; 0: none")                                   \
    X(received_bytes, BYTES, "in", 5, "received from it")                                          \
    X(sent_bytes, BYTES, "out", 5, "sent to it")                                                   \
    X(queued_bytes, BYTES, "queue", 5, "that wait for it to take them")                            \
    X(rtt_us, RTT, "rtt", 5, "last round trip (`poa peers`: ms); 0: we do not dial it")            \
    X(score, COUNT, "score", 5, "points for misbehaviour: banned at 1,000; ten fade in a second")  \
    X(connected, FLAG, NULL, 0, "a session with it works")                                         \
    X(outbound, FLAG, NULL, 0, "one that we dialed")                                               \
    X(trouble, TEXT, NULL, 0, "why it cannot be reached, or that its key is used twice; or empty") \
    X(banned, FLAG, NULL, 0, "nothing of it is taken now")                                         \
    X(ban_ms, NUMBER, NULL, 0, "left of the ban")                                                  \
    X(bans, COUNT, NULL, 0, "so far")                                                              \
    X(reason, TEXT, NULL, 0, "of its last fault, or empty")

#define POA_RPC_PEER_KEY(name)                                                                     \
    bool has_##name;                                                                               \
    uint8_t name[32]
#define POA_RPC_PEER_NAME(name)    char name[POA_KEY_LABEL_MAX + 1]
#define POA_RPC_PEER_ADDRESS(name) char name[128]
#define POA_RPC_PEER_TEXT(name)    const char *name /* static */
#define POA_RPC_PEER_SEAT(name)    int name         /* -1: none */
#define POA_RPC_PEER_FLAG(name)    bool name
#define POA_RPC_PEER_COUNT(name)   uint32_t name
#define POA_RPC_PEER_RTT(name)     uint32_t name
#define POA_RPC_PEER_TIME(name)    uint64_t name /* POA_NEVER: null */
#define POA_RPC_PEER_HEIGHT(name)  uint64_t name
#define POA_RPC_PEER_NUMBER(name)  uint64_t name
#define POA_RPC_PEER_BYTES(name)   uint64_t name
struct poa_rpc_peer {
#define FIELD(name, kind, head, width, text) POA_RPC_PEER_##kind(name);
    POA_RPC_PEER_TABLE(FIELD)
#undef FIELD
};
#define POA_RPC_PEERS_MAX 1024

/* A kept usage pack; slices borrow for the call. */
struct poa_rpc_pack {
    uint64_t number; /* of the device's packs here */
    uint8_t id[32];
    struct poa_slice pack;    /* encoded */
    struct poa_slice receipt; /* encoded edge_receipt; empty: not anchored yet */
};

/* --- open calls ---------------------------------------------------------------
 *
 * A call whose answer is not known yet. The backend ends it exactly once, from
 * any thread, with poa_rpc_done: CODE is POA_OK or why it was refused, ID32 the
 * transaction's id (may be NULL when refused). */
struct poa_rpc_call;
/* Who asks, until the call ends: equal for the same token, or, without one, for the same
 * address (IPv6: its /64); says nothing else. */
uint64_t poa_rpc_who(const struct poa_rpc_call *call);
void poa_rpc_done(struct poa_rpc_call *call, int code, const uint8_t *id32);
/* The same for calls whose result is a record: N encoded BYTES, malloc'ed, taken
 * over; NULL when refused. */
void poa_rpc_done_bytes(struct poa_rpc_call *call, int code, uint8_t *bytes, size_t n);

/* --- metrics ------------------------------------------------------------------- */

struct poa_rpc_metrics;
enum poa_metric_type { POA_METRIC_COUNTER, POA_METRIC_GAUGE };
/* One sample. Samples of one NAME must follow each other. LABELS is NULL or like
 * `role="ledger"`, already escaped. */
void poa_rpc_metric(struct poa_rpc_metrics *m, const char *name, enum poa_metric_type type,
                    const char *help, const char *labels, double value);
/* In seconds, with buckets at powers of two. */
void poa_rpc_metric_histogram(struct poa_rpc_metrics *m, const char *name, const char *help,
                              const struct poa_histogram *h);

/* --- the backend ----------------------------------------------------------------
 *
 * Called on the rpc thread; must answer from published state without waiting
 * for the core. Any function may be NULL: its methods then answer UNSUPPORTED
 * (status and read are required). */
struct poa_rpc_backend {
    void *ctx;
    void (*status)(void *ctx, struct poa_rpc_status *out);
    /* Another number whenever the finalized state is another one. NULL: answers are not kept. */
    uint64_t (*version)(void *ctx);
    /* Value bytes of (TABLE, KEY) in the finalized state, appended to OUT.
     * NOT_FOUND. */
    int (*read)(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                struct poa_writer *out);
    /* By HASH32, or by HEIGHT when HASH32 is NULL. NOT_FOUND. */
    int (*block)(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out);
    void (*block_free)(void *ctx, struct poa_rpc_block *block);
    /* Height of the first block that is kept; 0: none. */
    uint64_t (*first)(void *ctx);
    /* Visits the transactions of the block at HEIGHT, in order, until VISIT answers
     * something else than POA_OK, which is returned. */
    int (*block_txs)(void *ctx, uint64_t height, int (*visit)(void *v, struct poa_slice raw),
                     void *v);
    /* An encoded `run` of final headers: those after height AFTER, or the closing
     * one of EPOCH. *BYTES is malloc'ed, the caller's; *LAST: where it ends.
     * NOT_FOUND: there is none yet, or its blocks are no longer kept. */
    int (*run)(void *ctx, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last);
    int (*hand_over)(void *ctx, uint32_t epoch, uint8_t **bytes, size_t *n, uint64_t *last);
    /* NOT_FOUND when it is neither known here nor final. */
    int (*tx)(void *ctx, const uint8_t id32[32], struct poa_rpc_tx *out);
    void (*tx_free)(void *ctx, struct poa_rpc_tx *tx);
    /* Takes a copy of RAW, checks it, and ends CALL when the pool of the home
     * server took it or refused it. */
    void (*submit)(void *ctx, struct poa_slice raw, struct poa_rpc_call *call);
    /* Ends CALL with an encoded state_proof of (TABLE, KEY) once the block that
     * certifies it is final: TIMEOUT when none comes. */
    void (*prove)(void *ctx, enum poa_state_table table, struct poa_slice key,
                  struct poa_rpc_call *call);
    /* Test networks: sends AMOUNT (0: the usual) to ADDRESS32. UNSUPPORTED when
     * this node has no faucet. */
    void (*faucet)(void *ctx, const uint8_t address32[32], uint64_t amount,
                   struct poa_rpc_call *call);
    uint64_t faucet_max; /* it is not asked for more at once; 0: any */
    /* From acceptance over RPC to finality, of transactions submitted here. */
    void (*latency)(void *ctx, struct poa_histogram *out);
    /* Returns how many. */
    size_t (*peers)(void *ctx, struct poa_rpc_peer *out, size_t max);
    /* Usage packs that this gateway keeps of the device which the encoded
     * data_request REQUEST names, those from number FROM on, at most MAX, until VISIT
     * answers something else than POA_OK. *COUNT: packs there were, *NEXT: number to go
     * on with. NO_GATEWAY, and what poa_data_request_check says. */
    int (*packs)(void *ctx, struct poa_slice request, uint64_t from, uint32_t max,
                 int (*visit)(void *v, const struct poa_rpc_pack *pack), void *v, uint64_t *count,
                 uint64_t *next);
    /* Whether DEVICE32 is connected to this node's gateway, since when, and behind a
     * shared connection. NO_GATEWAY; NOT_FOUND: it is not. */
    int (*presence)(void *ctx, const uint8_t device32[32], uint64_t *since_ms, bool *shared);
    /* Whether all balances add up to what was issued: walks every account. */
    int (*audit)(void *ctx, bool *conserved, uint64_t *height);
    /* The node's own samples. */
    void (*metrics)(void *ctx, struct poa_rpc_metrics *m);
};

/* --- the server ----------------------------------------------------------------- */

struct poa_rpc_config {
    const char *host;     /* numeric; NULL: 127.0.0.1 */
    uint16_t port;        /* 0: any free one, see poa_rpc_port */
    const char *tls_cert; /* PEM files, both or none (NULL, ""): https alone */
    const char *tls_key;
    bool behind_tls_proxy; /* allows a HOST beyond loopback: a proxy on the way does TLS */
    const char *tokens;    /* file of tokens (poa_rpc_tokens.h); NULL or "": none */
    /* What callers without a token may do; NOTHING: to read when there are TOKENS, else all. */
    enum poa_rpc_right anonymous;
    bool no_anonymous;        /* not even read */
    const char *cors;         /* origins whose pages may call, by commas; NULL: none */
    uint32_t rate;            /* requests per second of one address, but the loopback; 0: any */
    uint32_t connections_max; /* at the same time, of one address half of them; at the limit the
                                 longest idle one is closed. 0: 4,096 */
    uint32_t body_max;        /* bytes of a request; 0: 1 MiB */
    uint32_t timeout_s;       /* idle or slow connections are closed; 0: 60 */
    struct poa_slice genesis; /* encoded; borrowed */
    const struct poa_rpc_backend *backend; /* borrowed */
};

/* Whether poa_rpc_start would take these files; "": none. *AT: the setting (rpc_tls_cert,
 * rpc_tls_key, rpc_tokens) whose file is wrong. Errors: CONFIG, NOT_FOUND, IO, NO_MEMORY, AGAIN (a
 * certificate that is not valid yet: the clock may come right). */
POA_MUST_USE int poa_rpc_files_check(const char *cert, const char *key, const char *tokens,
                                     const char **at, struct poa_why *why);

struct poa_rpc;
/* Binds, and starts the thread.
 * Errors: POA_E_CONFIG (a host beyond loopback without TLS or the flag, a bad host, a
 * certificate, key or token file that does not do),
 * POA_E_LOCKED (port in use), POA_E_IO, POA_E_NO_MEMORY. */
POA_MUST_USE int poa_rpc_start(const struct poa_rpc_config *config, struct poa_rpc **out,
                               struct poa_why *why);
/* Reads certificate, key and tokens again, for connections and requests to come. When they
 * do not fit, all stays as it was. Any thread. Errors: as of poa_rpc_start. */
POA_MUST_USE int poa_rpc_reload(struct poa_rpc *r, struct poa_why *why);
uint16_t poa_rpc_port(const struct poa_rpc *r);
/* Blocks up to HEIGHT are final and can be read: tells the readers of the event
 * stream. Any thread, until poa_rpc_free. */
void poa_rpc_tip(struct poa_rpc *r, uint64_t height);
/* Stops the thread and closes every connection. No callback runs after it
 * returns; open calls may still be ended until poa_rpc_free. */
void poa_rpc_stop(struct poa_rpc *r);
/* Every open call must have been ended. NULL is fine. */
void poa_rpc_free(struct poa_rpc *r);

#endif
