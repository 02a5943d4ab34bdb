/* Between the files of src/gateway. Everything here runs on the gateway's
 * thread, except where posts come in (gateway.c). */
#ifndef POA_GATEWAY_INTERNAL_H
#define POA_GATEWAY_INTERNAL_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "poa_gateway.h"
#include "poa_log.h"

#define GATEWAY_TICK_MS  100
#define GATEWAY_SWEEP_MS 1000
#define GATEWAY_RECV     16384
/* What is left of one read and the next read. */
#define GATEWAY_RX    (GATEWAY_RECV + POA_EDGE_HEAD_BYTES + POA_EDGE_UP_MAX + GATEWAY_RECV)
#define GATEWAY_TX    (POA_EDGE_HEAD_BYTES + POA_EDGE_DOWN_MAX)
#define GATEWAY_FRAME (GATEWAY_TX + POA_EDGE_CHANNEL_BYTES)
/* What a trunk does not read; above the first, epochs wait, above the second (and above
 * what its devices could leave unread with sockets of their own) it is dropped, and also
 * when nothing leaves for so long. */
#define GATEWAY_TRUNK_SLOW     (256u << 10)
#define GATEWAY_TRUNK_QUEUE    (4u << 20)
#define GATEWAY_TRUNK_STUCK_MS 10000
/* Devices that an epoch is told to in one turn of the loop. */
#define GATEWAY_TELL    256
#define GATEWAY_TELL_MS 1
#define GATEWAY_TASKS   256 /* sealing blocks remembered for devices that come back */
#define GATEWAY_STATE   4096
/* Sent and unanswered submissions. */
#define GATEWAY_TOKENS_MAX 65536
#define GATEWAY_RETRY_MS   1000
/* When a node that was behind or cut off may be asked again. */
#define GATEWAY_AWAY_MS 10000
/* What others may say to one device. */
#define GATEWAY_RELAYS_PER_S 50
#define GATEWAY_ANCHOR_MAX   65536 /* packs under one root */
/* Of the handshake that a connection is counted as, what one without it does not cost. */
#define GATEWAY_RESUME_SAVES 0.75

enum conn_state {
    CONN_SILENT,  /* accepted: the handshake's first message is due */
    CONN_KEYED,   /* session started: HELLO is due */
    CONN_GREETED, /* WELCOME sent */
    CONN_TRUNK,   /* carries others */
    CONN_LEAVING, /* BYE sent: closed when it has left */
    CONN_DEAD,    /* closed; freed at the end of the turn */
};

struct conn {
    struct poa_gateway *g;
    struct conn *next_dead;
    struct event rd, wr;
    struct evbuffer *out; /* what the socket did not take; NULL when nothing */
    uint8_t *in;          /* part of a frame; NULL when none */
    uint32_t in_n;
    uint32_t index; /* in g->conn */
    uint64_t serial;
    uint64_t address; /* where it comes from */
    int fd;
    uint8_t state; /* enum conn_state */
    uint8_t status;
    bool throttled;
    bool asking;                          /* a query waits for its proof */
    bool joined;                          /* trunk: one of its devices was greeted */
    struct poa_gateway_presence presence; /* does not change while it is in the tree */
    uint8_t committee_max;                /* largest committee that the device holds */
    uint16_t frame_max;
    bool listens;    /* takes RELAYED */
    uint16_t relays; /* that it was sent in the second relay_s */
    uint64_t relay_s;
    bool resumed;      /* without a handshake */
    uint8_t version;   /* of the edge, that the device speaks */
    uint8_t key[32];   /* X25519 until HELLO, then, or when resumed, the Ed25519 device key */
    uint64_t keyed_ms; /* Unix time of the handshake that the session goes back to */
    struct poa_session session;
    uint64_t opened_ms, heard_ms, refill_ms;
    int32_t frames_left, bytes_left; /* of its rate */
    uint32_t epoch;                  /* of the committee that the device holds */
    uint32_t device;                 /* registry index */
    uint32_t told;                   /* newest epoch that it was told */
    uint64_t reward_slot;            /* its registry entry may have changed after this slot; 0 */
    uint64_t earned;

    /* A device of a trunk: FD, events and IN are the trunk's. */
    struct conn *trunk;
    uint32_t number; /* of the channel */
    /* A trunk. */
    struct conn **channel; /* by number; NULL: closed */
    uint32_t channels;     /* places in it */
    uint32_t carries;      /* devices that are greeted */
    uint64_t wrote_ms;     /* last time that something left */
};

enum token_kind {
    TOKEN_FREE,
    TOKEN_TICKET,
    TOKEN_SEAL,
    TOKEN_TX,
    TOKEN_QUERY,
    TOKEN_ANCHOR,
};

struct token {
    uint8_t kind;
    uint32_t gen;
    uint32_t conn; /* index; also the next free token */
    uint64_t serial;
    uint64_t a; /* slot, epoch or ref */
    uint32_t b; /* window */
};

/* A sealing block that may still be sealed. */
struct task {
    uint64_t slot;
    struct poa_gateway_proof block; /* points into BYTES */
    uint8_t *bytes;
    uint8_t (*seats)[32]; /* in BYTES */
    size_t seats_n;
    uint32_t epoch;
};

struct stored_pack {
    uint8_t id[32]; /* first: what the tree compares */
    uint8_t device[32];
    uint32_t index; /* of the device in the registry */
    uint64_t from_ms, to_ms;
};

struct anchor {
    void *known;               /* tsearch tree over WAIT and SENT */
    struct stored_pack **wait; /* in the order they came; owned */
    size_t wait_n, wait_cap;

    /* The anchor under way. */
    struct stored_pack **sent; /* owned */
    size_t sent_n;
    uint8_t (*tree)[32];
    uint8_t root[32];
    uint64_t token;    /* of its submission */
    uint64_t valid_ms; /* last block time that may carry it */
    uint64_t next_ms;  /* monotonic: no anchor before */
    bool open;
    uint8_t address[32];
};

/* What passes are sealed with, and what their secrets come from; made_ms 0: none. */
struct pass_key {
    uint64_t made_ms; /* Unix time */
    uint8_t seal[32], secret[32];
};
#define PASS_KEY_BYTES 72

enum post_kind {
    POST_EPOCH,
    POST_SLOT,
    POST_RESULT,
    POST_PROVED,
    POST_STOP,
};

struct post {
    struct post *next;
    enum post_kind kind;
    struct poa_gateway_epoch epoch;
    uint64_t slot, token;
    struct poa_gateway_proof proof;
    struct poa_gateway_answer answer;
    size_t seats_n;
    uint8_t (*seats)[32];
    int code;
    uint32_t retry_ms;
    uint8_t bytes[]; /* what the slices point to */
};

struct poa_gateway {
    struct poa_gateway_config config;
    const struct poa_clock *clock;
    uint8_t pk[32], x_sk[32], x_pk[32];
    uint8_t params[POA_EDGE_PARAMS_BYTES]; /* encoded edge_params */
    int listen_fd;
    uint16_t port;
    struct event_base *base;
    struct event listen_ev, wake_ev, tick_ev, tell_ev;
    bool listening, draining;
    atomic_bool away; /* devices are sent away */
    bool was_away;    /* and the tick has seen it */
    bool served;      /* they were served before */
    uint64_t started_ms;
    pthread_t thread;
    bool running;

    /* Posts of other threads. */
    pthread_mutex_t mutex;
    struct post *first, **last;
    int wake_fd;

    struct conn **conn; /* by index; NULL: free */
    uint32_t *free_conn;
    uint32_t free_n, high; /* indices below HIGH were used */
    void *by_key;          /* tsearch tree of greeted connections */
    pthread_mutex_t who;   /* held to change it, and by other threads to read it */
    struct conn *dead;
    uint64_t serial;
    struct conn **stranger; /* those not greeted yet, in no order */
    uint32_t strangers, unregistered, throttled;
    double handshakes_left;
    uint64_t handshakes_ms;
    uint64_t swept_ms, drain_ms;

    struct pass_key pass[2]; /* of this hour, and the one before */

    struct token *token;
    uint32_t tokens, token_free; /* token_free: index, or UINT32_MAX */

    /* The current epoch. */
    bool have_epoch;
    struct poa_edge_epoch epoch;
    struct poa_gateway_proof closing;
    struct poa_slice committee;
    uint8_t *epoch_bytes;
    uint32_t tell_at; /* connection that hears of it next */
    bool tell_again;  /* one was passed over: its trunk is slow */

    struct task task[GATEWAY_TASKS];
    size_t task_next;
    uint64_t newest_slot;

    struct anchor anchor;
    void *usage; /* tsearch tree: what each device brought */

    uint8_t rx[GATEWAY_RX];
    uint8_t tx[GATEWAY_TX];
    uint8_t frame[GATEWAY_FRAME]; /* of a trunk */
    uint8_t state[GATEWAY_STATE];
#define GATEWAY_STAT(name, kind, help) atomic_uint_least64_t name;
    struct {
        POA_GATEWAY_STATS(GATEWAY_STAT)
    } stat;
#undef GATEWAY_STAT
};

#define STAT_ADD(g, name, n) atomic_fetch_add_explicit(&(g)->stat.name, (n), memory_order_relaxed)
#define STAT_SUB(g, name, n) atomic_fetch_sub_explicit(&(g)->stat.name, (n), memory_order_relaxed)
#define STAT_SET(g, name, n) atomic_store_explicit(&(g)->stat.name, (n), memory_order_relaxed)

static inline uint64_t gateway_now_ms(const struct poa_gateway *g)
{
    return poa_clock_monotonic_ms(g->clock);
}
/* The number that travels for an error. */
static inline uint16_t gateway_code(int e)
{
    return (uint16_t)(e < 0 ? -e : 0);
}

/* conn.c */
/* A connection without a socket yet, or NULL: over a limit (counted). */
struct conn *conn_new(struct poa_gateway *g, uint64_t address);
void conn_accept(struct poa_gateway *g, int fd, uint64_t address);
/* C is no stranger any more. */
void conn_known(struct conn *c);
void conn_close(struct conn *c); /* at once; C stays valid until conn_bury */
void conn_bury(struct poa_gateway *g);
void conn_resume(struct conn *c); /* a throttled one, when its rate allows */
void conn_expire(struct conn *c, uint64_t now_ms);
/* Sends; false when the connection died of it. */
bool conn_send(struct conn *c, uint8_t type, const struct poa_record *rec, const void *r);
bool conn_send_raw(struct conn *c, uint8_t type, struct poa_slice encoded);
#define CONN_SEND(c, NAME, rec, r) conn_send(c, POA_EDGE_##NAME, &poa_##rec##_record, r)
/* Whether a stranger's first frame may have N bytes. */
bool conn_first_fits(size_t n);
/* Handles a whole frame; false: C is closed or leaving. */
bool conn_frame(struct conn *c, uint8_t *body, size_t n);
bool conn_over_rate(struct conn *c);
void conn_fail(struct conn *c, int e); /* closes, and counts by how far it had come */
/* Bytes to the socket; false when the connection died of it. */
bool conn_write(struct conn *c, const uint8_t *bytes, size_t n);
/* Whether so much waits for C to read it that what can wait should. */
bool conn_behind(const struct conn *c);
/* Says why and closes. */
void conn_bye(struct conn *c, int code, uint32_t retry_ms);
/* This node is behind: another one serves the device of C better. */
void conn_away(struct conn *c);
struct conn *conn_of_device(const struct poa_gateway *g, const uint8_t key32[32]);

/* serve.c */
/* One message; an error closes the connection. */
POA_MUST_USE int serve_message(struct conn *c, uint8_t type, struct poa_slice in);
void serve_result(struct poa_gateway *g, uint64_t token, int code);
void serve_proved(struct poa_gateway *g, uint64_t token, int code,
                  const struct poa_gateway_answer *a);
/* Registry entry of the device on C: true when status or index changed. */
bool serve_status(struct conn *c);
bool serve_welcome(struct conn *c);
void serve_reward(struct conn *c);
/* A token for a submission of C (NULL: of the gateway itself); POA_E_FULL. */
POA_MUST_USE int token_new(struct poa_gateway *g, const struct conn *c, enum token_kind kind,
                           uint64_t a, uint32_t b, uint64_t *out);
void token_free(struct poa_gateway *g, uint64_t token);

/* trunk.c: C is a trunk, or a channel of one. */
void trunk_begin(struct conn *c);
/* One frame; false: the trunk has to wait, the frame stays. */
bool trunk_frame(struct conn *c, uint8_t *body, size_t n);
bool trunk_send(struct conn *c, const uint8_t *frame, size_t n);
void trunk_greeted(struct conn *c);
void trunk_close(struct conn *c);  /* with all its channels */
void trunk_forget(struct conn *c); /* channel C is closed */

/* passes.c */
void passes_init(struct poa_gateway *g);
void passes_tick(struct poa_gateway *g); /* a new key when it is time */
bool pass_send(struct conn *c);
/* What C showed: its session and key, and what it is answered; false: refused. */
bool pass_take(struct conn *c, const uint8_t shown[POA_EDGE_RESUME_BYTES], uint8_t nonce32[32]);

/* tasks.c */
void tasks_tell(struct poa_gateway *g);                  /* the epoch, to the next ones */
void tasks_epoch(struct poa_gateway *g, struct post *p); /* takes P over */
void tasks_slot(struct poa_gateway *g, struct post *p);  /* the same */
/* Whether CERT is of a committee that the device does not hold. */
bool tasks_in_parts(struct conn *c, struct poa_slice cert);
/* FINAL and LINKs that make BLOCK's header the proven one. */
bool tasks_proof(struct conn *c, const struct poa_gateway_proof *block);
/* To one device: what it missed. */
void tasks_catch_up(struct conn *c);
/* The hand-over after the epoch whose committee the device has. */
void tasks_handover(struct conn *c, uint32_t epoch);
void tasks_clear(struct poa_gateway *g);

/* usage.c */
/* Keeps the pack ID, which is not kept yet, lists and counts it. POA_E_FULL (also: its device
 * brought enough today), POA_E_NO_MEMORY, what the store said. */
POA_MUST_USE int usage_keep(struct poa_gateway *g, const struct poa_pack *p, const uint8_t id32[32],
                            struct poa_slice encoded);
void usage_clear(struct poa_gateway *g);

/* anchor.c */
POA_MUST_USE int anchor_init(struct poa_gateway *g, struct poa_why *why);
POA_MUST_USE int anchor_pack(struct conn *c, struct poa_slice encoded);
void anchor_tick(struct poa_gateway *g);
void anchor_result(struct poa_gateway *g, uint64_t token, int code);
void anchor_clear(struct poa_gateway *g);

#endif
