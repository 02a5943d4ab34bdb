/* device: the micro-miner that a kettle links.
 *
 * A state machine over one byte stream to a gateway. The caller owns every
 * buffer, moves the bytes, tells the time and keeps two small records in
 * storage; the library speaks the edge protocol (poa_edge.h), draws tickets,
 * verifies tasks by itself and seals each at most once.
 *
 *      poa_device_init                       once
 *      poa_device_connect                    for each connection
 *   .->poa_device_input   <- received bytes
 *   |  poa_device_poll    <- time; says when to call again
 *   |  poa_device_output  -> bytes to send, poa_device_sent
 *   '--wait for bytes or for the time
 *      poa_device_close                      when the connection is gone
 *
 * Freestanding C99: no malloc, no stdio, no recursion, no clock, no global
 * state. Single-threaded: one owner per struct. Events call back from input
 * and poll; a callback may queue messages (pack, submit, query) but not call
 * init, connect, input, poll or close.
 *
 * What it trusts: its own committee record (chain id, epoch, member keys),
 * renewed once per epoch by a closing block that the old committee certified.
 * A gateway is trusted for nothing but being there: it can withhold, not lie.
 * Its word counts in four places that cannot hurt anybody else: the time, when
 * the device has no clock; the epoch's seed (a wrong one makes tickets that the
 * ledger refuses); that the root of a receipt is on the ledger (query the anchor for
 * proof); and at the very first contact, when trust_first allows it.
 */
#ifndef POA_DEVICE_H
#define POA_DEVICE_H

#include "poa_edge.h"

/* Largest committee whose members it holds: 42 bytes each in the struct, 64 in the
 * receive buffer. Of a larger one it keeps the hash, and certificates come to it
 * in parts. 0 builds a device that always does so. */
#ifndef POA_DEVICE_COMMITTEE_MAX
#if __STDC_HOSTED__
#define POA_DEVICE_COMMITTEE_MAX POA_COMMITTEE_MAX
#else
#define POA_DEVICE_COMMITTEE_MAX 31
#endif
#endif
/* Receive buffer when certificates come in parts: the path of a receipt under
 * 2^32 packs is the longest message. An answer to a query needs its own size:
 * POA_DEVICE_RX_ANSWER is enough for an account or a device among 2^24. */
#define POA_DEVICE_RX_STREAMING (POA_SESSION_OVERHEAD + 1 + 80 + 2 + 1024)
#define POA_DEVICE_RX_ANSWER    (POA_SESSION_OVERHEAD + 1 + 4 + 2 + 2 + 512 + 2 + 2 + 34 * 33)
/* Receive buffer for the largest message about a committee that it holds (a task). */
#define POA_DEVICE_RX_TASK                                                                         \
    (POA_SESSION_OVERHEAD + 1 + 8 + 2 + POA_HEADER_BYTES + 2 + 62 + 64 * POA_DEVICE_COMMITTEE_MAX)
#define POA_DEVICE_RX_MIN                                                                          \
    (POA_DEVICE_RX_TASK > POA_DEVICE_RX_STREAMING ? POA_DEVICE_RX_TASK : POA_DEVICE_RX_STREAMING)
/* Send buffer: a ticket, a seal and a ping at once; packs and transactions need
 * their own size plus POA_EDGE_OVERHEAD. */
#define POA_DEVICE_TX_MIN 512
/* Largest trust record, and the largest without the members. */
#define POA_DEVICE_TRUST_HEAD (32 + 1 + POA_EDGE_PARAMS_BYTES + 8 + 8 + 1 + 48 + 2)
#define POA_DEVICE_TRUST_ID   (POA_DEVICE_TRUST_HEAD + POA_EDGE_COMMITTEE_ID_BYTES)
#define POA_DEVICE_TRUST_FULL (POA_DEVICE_TRUST_HEAD + 7 + 42 * POA_DEVICE_COMMITTEE_MAX)
#define POA_DEVICE_TRUST_MAX                                                                       \
    (POA_DEVICE_TRUST_FULL > POA_DEVICE_TRUST_ID ? POA_DEVICE_TRUST_FULL : POA_DEVICE_TRUST_ID)
#define POA_DEVICE_SEALS         4     /* seals that wait for their result */
#define POA_DEVICE_HANDSHAKE_MS  10000 /* from connect to WELCOME */
#define POA_DEVICE_SILENCE_PINGS 3     /* ping intervals (at most 10 min) without a byte: closed */
#define POA_DEVICE_ANSWER_AGE_MS 60000 /* an answer's header may be this old */

struct poa_device_time {
    uint64_t mono_ms; /* never goes back */
    uint64_t wall_ms; /* Unix time, 0 when the device has no clock */
};

/* Persistence: two records of at most POA_EDGE_MARK_BYTES and
 * POA_DEVICE_TRUST_MAX bytes. store_* return only when the bytes survive a
 * power cut, and replace the old record as a whole or not at all. load_* give
 * POA_E_NOT_FOUND when nothing was ever stored; any other error stops the
 * device, because a forgotten mark could seal a slot twice. */
struct poa_device_port {
    int (*load_mark)(void *ctx, uint8_t *buffer, size_t cap, size_t *n);
    int (*store_mark)(void *ctx, const uint8_t *bytes, size_t n); /* before every seal */
    int (*load_trust)(void *ctx, uint8_t *buffer, size_t cap, size_t *n);
    int (*store_trust)(void *ctx, const uint8_t *bytes, size_t n); /* about once per epoch */
    void *ctx;
};

enum poa_device_event_kind {
    POA_DEVICE_WELCOMED,      /* status, index; again when they change */
    POA_DEVICE_EPOCH,         /* epoch */
    POA_DEVICE_COMMITTEE,     /* epoch, count: the committee that it now trusts, its members */
    POA_DEVICE_TICKET,        /* epoch, window, count = seats won (0: none, nothing was sent) */
    POA_DEVICE_TICKET_RESULT, /* epoch, window, code */
    POA_DEVICE_SEALED,        /* slot, height, hash: recorded and signed */
    POA_DEVICE_SEAL_RESULT,   /* slot, code */
    POA_DEVICE_PACK_RESULT,   /* hash = pack id, code */
    POA_DEVICE_RECEIPT,       /* hash = pack id, receipt: path to its root checked */
    POA_DEVICE_REWARD,        /* reward (the gateway's word; query for proof) */
    POA_DEVICE_TX_RESULT,     /* ref, code */
    POA_DEVICE_ANSWER,        /* ref, code; POA_OK: value proven (empty: proven absent) at
                                 height and time_ms */
    POA_DEVICE_REFUSED,       /* code, slot: a task that it does not seal, and why */
    POA_DEVICE_ALARM,         /* code: the gateway sent what no honest one sends; the connection
                                 ends. EQUIVOCATION: two certified headers of one height */
    POA_DEVICE_BYE,           /* code, retry_ms: the gateway closes */
    POA_DEVICE_RELAYED,       /* hash = key of the device that said so the gateway, value: for
                                 poa_talk_input */
    POA_DEVICE_RELAY_RESULT,  /* hash = key of the device, code: it was not passed on */
};

struct poa_device_event {
    enum poa_device_event_kind kind;
    int code; /* POA_OK or enum poa_error */
    uint8_t status;
    uint32_t index;
    uint32_t epoch, window, count, ref, retry_ms;
    uint64_t slot, height, time_ms;
    const uint8_t *hash;     /* 32 bytes */
    struct poa_slice value;  /* ANSWER */
    struct poa_slice header; /* ALARM: what was refused, when there is a header */
    const struct poa_edge_receipt *receipt;
    const struct poa_edge_reward *reward;
};

struct poa_device_config {
    const struct poa_suite *suite; /* poa_suite_ed25519 */
    const uint8_t *seed32, *key32; /* identity: Ed25519; borrowed, as are the buffers */
    uint8_t *rx, *tx;
    size_t rx_bytes, tx_bytes; /* at least POA_DEVICE_RX_MIN, POA_DEVICE_TX_MIN */
    /* Hold no committee: certificates come in parts, and POA_DEVICE_RX_STREAMING is
     * enough to receive. Costs 43 bytes of traffic per member and certificate. */
    bool streaming;
    /* Take what other devices say through the gateway (RELAYED). */
    bool listen;
    struct poa_device_port port;
    /* Chain that it must be, or NULL; a stored trust record says it too. */
    const uint8_t *chain32;
    /* With nothing stored: take chain and committee from the first gateway that
     * answers under the key that connect names. Otherwise the record must be
     * provisioned through store_trust. */
    bool trust_first;
    /* Off for longer than this: do not follow hand-overs, whose keys may have
     * leaked since, but provision anew. 0: no limit. Needs a clock. */
    uint64_t trust_ms;
    /* State proofs: poa_proof_check of the ledger, or NULL (no queries). */
    int (*proof_check)(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                       struct poa_slice value, struct poa_slice proof);
    void (*event)(void *ctx, const struct poa_device_event *e); /* borrowed until it returns */
    void *ctx;
};

enum poa_device_state {
    POA_DEVICE_IDLE,    /* no connection */
    POA_DEVICE_DIALING, /* waits for the handshake's answer */
    POA_DEVICE_GREETED, /* HELLO sent, waits for WELCOME */
    POA_DEVICE_READY,
};

/* Members are private except where a comment says otherwise. */
struct poa_device {
    struct poa_device_config config;
    uint8_t state; /* enum poa_device_state; may be read */
    uint8_t status;
    uint8_t x25519[32]; /* public, of the seed: every session needs it */
    bool have_trust, have_params, have_mark, have_ahead, have_offset;
    bool want_handover, asked_handover, proven, ticket_open;
    uint8_t head_n, head[POA_EDGE_HEAD_BYTES]; /* of the frame that is coming in */
    size_t rx_n, rx_need, tx_n;
    union {
        struct poa_noise noise;
        struct {
            struct poa_session session;
            struct poa_edge_pass pass; /* outlives the session; shown: both nonces */
        } on;
    } link;
    uint8_t gateway[32]; /* whose pass it is */
    bool have_pass;
    bool resumed; /* this session came without a handshake; may be read */

    uint8_t chain[32];
    struct poa_edge_params params;
    struct poa_edge_epoch epoch; /* of the committee; epoch.epoch = NONE: not known */
    struct poa_edge_epoch ahead; /* newest announced */
    struct poa_committee committee;
    uint8_t members;            /* of the committee */
    uint8_t committee_hash[32]; /* when committee has no members: they are not held */
    union {
        uint8_t bytes[POA_DEVICE_TRUST_MAX]; /* as stored; committee borrows from it */
        struct {
            uint8_t bytes[POA_DEVICE_TRUST_ID];
            struct poa_hash_state members; /* of a certificate that comes in parts */
        } by_hash;
    } record;
    size_t trust_n;
    struct {
        uint8_t digest[32]; /* that the members sign */
        uint16_t quorum, signers;
        uint8_t left; /* members to come */
        bool skip;    /* of another epoch: nothing is checked */
    } stream;
    struct poa_edge_mark mark;

    /* The newest verified header. */
    uint64_t top_height, top_ms;
    uint8_t top_hash[32];
    /* What FINAL and LINK proved last. */
    struct {
        uint8_t hash[32], parent[32], state[32], next_committee[32];
        uint64_t height, time_ms, view;
        uint32_t epoch;
        uint8_t kind;
    } fin;

    struct {
        uint32_t epoch, window;
        bool valid;
        uint8_t beta[64];
        uint8_t proof[80];
    } draw[2];
    uint32_t ticket_epoch, ticket_window;    /* last one settled or sent */
    uint64_t ticket_retry_ms, seal_retry_ms; /* monotonic */

    struct {
        uint64_t slot, height;
        uint32_t epoch;
        uint8_t hash[32], sig[64];
        bool used, sent;
    } seals[POA_DEVICE_SEALS];

    struct poa_edge_query query;
    uint8_t query_key[POA_EDGE_KEY_MAX];
    bool query_open;

    struct poa_device_time now;
    uint64_t offset_ms; /* wall clock minus monotonic, as the gateway says */
    uint32_t index, ping_ms, welcome_epoch;
    uint64_t started_ms, heard_ms, spoke_ms; /* monotonic */
    uint64_t keyed_ms;                       /* of the handshake that the session goes back to */
    uint64_t nonce;
    uint32_t counts[2]; /* VRF evaluations, signatures; may be read */
};
#define POA_DEVICE_COUNT_VRF  0
#define POA_DEVICE_COUNT_SEAL 1

/* Loads both records.
 * Errors: POA_E_INVALID (config), POA_E_STORE_CORRUPT (a record that is not
 * ours: nobody may seal with it), POA_E_CHAIN (record of another chain than
 * chain32), POA_E_LIMIT (record too large for this build: provision it with the
 * committee's id), and the port's. */
POA_MUST_USE int poa_device_init(struct poa_device *d, const struct poa_device_config *config);
/* Wipes secrets; the struct can be initialised again. */
void poa_device_wipe(struct poa_device *d);

/* A stream to the gateway with Ed25519 key GATEWAY32 is open: starts the
 * handshake, or comes back without one, when the last session was with the same gateway
 * and its handshake not an hour ago. ENTROPY32: fresh random bytes, the caller wipes its
 * copy. Errors: POA_E_KEY, POA_E_INVALID (still connected). */
POA_MUST_USE int poa_device_connect(struct poa_device *d, struct poa_device_time now,
                                    const uint8_t gateway32[32], const uint8_t entropy32[32]);
/* Forgets the connection, but not how to come back to that gateway; tickets and seals without a
 * result wait for the next. */
void poa_device_close(struct poa_device *d);

/* Received bytes, in any pieces. On any error the connection is dead and
 * poa_device_close was called: try another gateway.
 * Errors: POA_E_HANDSHAKE, session and codec errors, POA_E_TOO_LONG,
 *         POA_E_CHAIN, POA_E_UNSUPPORTED (protocol version), POA_E_CLOSED (BYE);
 *         POA_E_REKEY (the gateway wants a handshake: connect to it again at once),
 *         after an ALARM its code; whatever the port said. */
POA_MUST_USE int poa_device_input(struct poa_device *d, struct poa_device_time now,
                                  const uint8_t *bytes, size_t n);
/* Timers. *WAIT_MS: call again within this. Errors as input, POA_E_TIMEOUT,
 * POA_E_REKEY (session too old: connect again at once). */
POA_MUST_USE int poa_device_poll(struct poa_device *d, struct poa_device_time now,
                                 uint64_t *wait_ms);
/* Bytes to send; borrowed until the next call. N of them were sent. */
struct poa_slice poa_device_output(const struct poa_device *d);
void poa_device_sent(struct poa_device *d, size_t n);

/* Messages of the application. POA_E_AGAIN: not READY (or a query is open);
 * POA_E_BUFFER: the send buffer is full now or too small for this. */
POA_MUST_USE int poa_device_pack(struct poa_device *d, struct poa_slice pack);
POA_MUST_USE int poa_device_submit(struct poa_device *d, uint32_t ref, struct poa_slice tx);
POA_MUST_USE int poa_device_query(struct poa_device *d, uint32_t ref, uint8_t table,
                                  struct poa_slice key);
/* BYTES, at most POA_EDGE_RELAY_MAX, to the device with this key, when it is connected to
 * the same gateway and listens (poa_talk.h). No answer: passed on. */
POA_MUST_USE int poa_device_relay(struct poa_device *d, const uint8_t device32[32],
                                  struct poa_slice bytes);

/* Best known time; 0 before there is any. */
uint64_t poa_device_wall_ms(const struct poa_device *d, struct poa_device_time now);
/* The chain it is on: 32 bytes, or NULL before the first WELCOME. */
const uint8_t *poa_device_chain(const struct poa_device *d);

#endif
