/* Internals of the mesh, shared by its sources.
 *
 *   p2p.c      open, close, peers, worker, statistics
 *   link.c     a peer that we dial: sockets, handshake, pings
 *   reach.c    why it is not connected
 *   push.c     its queues and the PUSH side
 *   request.c  its requests and their answers
 *   arrive.c   connections to us that have not sent anything
 *   pipes.c    connections to us: admission, time-outs, rates
 *   serve.c    sessions of others; HELLO and frames on REP and PULL
 *   answer.c   requests that wait for the owner
 *   standing.c what others did wrong, and bans
 *   double.c   two nodes with one key
 *   contacts.c the list of all of them
 *   wire.c     records and message heads
 *   url.c      addresses
 *   nngfix.c   a repair of the library
 *
 * Locks: p->lock guards everything that has no other owner named. No NNG call,
 * no cryptography and no callback happens under it. session->lock and
 * peer->lane_lock are leaves: they guard the Noise counters of the requests and
 * answers, and are held while one frame is sealed or opened. peer->push_call is
 * held around the send call of pushes, and p->lock may be taken inside it.
 */
#ifndef POA_P2P_MESH_H
#define POA_P2P_MESH_H

#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdatomic.h>

#include "poa_clock.h"
#include "poa_log.h"
#include "poa_p2p.h"
#include "poa_session.h"

/* --- wire ------------------------------------------------------------------ */

#define MESH_VERSION 1

/* First byte of every message. */
enum mesh_kind {
    MESH_HELLO = 1,  /* request: Noise message 1; answer: message 2 */
    MESH_FRAME = 2,  /* a session frame */
    MESH_REFUSE = 3, /* answer in the clear: only a hint, checked by doing again */
};
#define MESH_HEAD     (1 + POA_SESSION_HEAD_BYTES)
#define MESH_OVERHEAD (1 + POA_SESSION_OVERHEAD)

#define POA_MESH_HELLO_TABLE(F)                                                                    \
    F(U16, version, 0, _, "protocol version")                                                      \
    F(FIX, key, 32, _, "Ed25519 key that the static key derives from")
#define POA_MESH_WELCOME_TABLE(F)                                                                  \
    F(U16, version, 0, _, "protocol version")                                                      \
    F(U8, push, 1, _, "1: pushes of the dialer are taken")
#define POA_MESH_REFUSE_TABLE(F) F(U16, code, 0, _, "error number, positive")
/* The plain text of a push frame is any number of items, of a request one. */
#define POA_MESH_ITEM_TABLE(F)                                                                     \
    F(U16, type, 0, _, "message type")                                                             \
    F(BLOB, bytes, POA_P2P_PAYLOAD_MAX, _, "payload")
/* NNG matches answers to requests by a number in the clear, so the answer names
 * its request under the seal too. */
#define POA_MESH_ANSWER_TABLE(F)                                                                   \
    F(U64, request, 0, _, "counter of the request's frame")                                        \
    F(U16, code, 0, _, "0, or an error number, positive")                                          \
    F(U16, type, 0, _, "message type")                                                             \
    F(BLOB, bytes, POA_P2P_PAYLOAD_MAX, _, "payload")
POA_RECORD_DECLARE(mesh_hello, POA_MESH_HELLO_TABLE)
POA_RECORD_DECLARE(mesh_welcome, POA_MESH_WELCOME_TABLE)
POA_RECORD_DECLARE(mesh_refuse, POA_MESH_REFUSE_TABLE)
POA_RECORD_DECLARE(mesh_item, POA_MESH_ITEM_TABLE)
POA_RECORD_DECLARE(mesh_answer, POA_MESH_ANSWER_TABLE)

#define MESH_ITEM_HEAD     6 /* bytes of an item around its payload */
#define MESH_ANSWER_HEAD   16
#define MESH_HELLO_BYTES   (1 + 96 + 34 + 16) /* most that a HELLO takes */
#define MESH_WELCOME_BYTES (1 + 48 + 3)

#define MESH_TYPE_PING POA_P2P_TYPE_RESERVED

/* A message with CAP bytes of body, all writable; NULL when out of memory. */
nng_msg *mesh_msg_new(size_t cap);
/* kind MESH_REFUSE, CODE an enum poa_error. */
nng_msg *mesh_msg_refuse(int code);
/* The body of M behind its kind byte, which goes to *KIND. POA_E_TRUNCATED. */
int mesh_msg_open(nng_msg *m, uint8_t *kind, struct poa_slice *rest);
/* Seals the PLAIN_N bytes that lie at MESH_HEAD of M's body; M's length is
 * exactly that of the result. */
int mesh_seal(struct poa_session *s, nng_msg *m, size_t plain_n);
/* Opens FRAME in place. */
int mesh_unseal(struct poa_session *s, struct poa_slice frame, struct poa_slice *plain);
/* An error number from the wire: a known negative enum poa_error. */
int mesh_error_from_wire(uint16_t code);

/* --- addresses --------------------------------------------------------------- */

#define MESH_URL_MAX (POA_P2P_ADDRESS_MAX + 8)
/* "host:port", "1.2.3.4:port", "[v6]:port" to "tcp://..."; PUSH NULL: host and
 * port + 1 of ADDRESS. POA_E_CONFIG. */
int mesh_urls(const char *address, const char *push, char url[MESH_URL_MAX],
              char push_url[MESH_URL_MAX]);

/* REP contexts beside those for requests that wait for the owner: for handshakes,
 * pings and refusals. */
#define MESH_RESERVE 40

/* --- rates ------------------------------------------------------------------- */

struct bucket {
    uint64_t last_us;
    uint64_t tokens_u; /* millionths */
};
/* Takes COST tokens of RATE per second, at most BURST saved; false: too few left. */
bool mesh_take(struct bucket *b, uint64_t now_us, uint32_t rate, uint32_t burst, uint32_t cost);

/* --- log --------------------------------------------------------------------- */

#define MESH_LOG_MS 10000
enum mesh_reason {
    MESH_R_HANDSHAKE,
    MESH_R_FRAME,
    MESH_R_FORMAT,
    MESH_R_RATE,
    MESH_R_DROP,
    MESH_R_PIPE,
    MESH_REASONS
};

/* --- standing ---------------------------------------------------------------- */

struct standing {
    uint32_t points; /* they fade from AT_US on */
    unsigned bans;   /* so far: each is twice as long as the one before */
    uint64_t at_us, banned_until_us;
    const char *reason; /* of the last fault; static, or NULL */
};

/* Somebody who is not on the list. */
#define OFFENDERS_MAX 256
enum offender_kind { OFFENDER_KEY, OFFENDER_ADDRESS };
struct offender {
    enum offender_kind kind;
    uint8_t id[32];
    uint8_t from[16]; /* for people */
    struct standing standing;
};

/* --- a peer ------------------------------------------------------------------ */

struct payload {
    _Atomic uint32_t refs;
    uint16_t type;
    size_t n;
    uint8_t bytes[];
};
struct item {
    struct item *next;
    struct payload *payload;
    uint64_t queued_us, number; /* of all that were queued */
    uint8_t priority;
};
struct queue {
    struct item *first;
    struct item **last;
    size_t bytes;
};

enum request_state {
    REQUEST_WAITING, /* for the link */
    REQUEST_SENDING,
    REQUEST_RECEIVING,
};

struct request {
    struct request *next; /* in peer->requests, or in a list of idle ones */
    struct peer *peer;
    nng_ctx ctx;
    nng_aio *aio;
    enum request_state state;
    uint64_t generation; /* of the link that it was sent on */
    uint64_t session;    /* id of the session that it was sealed in */
    uint64_t counter;
    uint64_t deadline_us;
    unsigned tries;
    bool ping;
    uint64_t sent_us;
    uint16_t type;
    uint8_t *bytes;
    size_t n;
    poa_p2p_answer_fn *on_answer;
    void *answer_ctx;
};

/* Why the link to a peer is down; reach.c. Under p->lock, but for what the probe owns. */
struct reach {
    uint64_t up_us, down_us;   /* since when it is; 0: it is not */
    uint64_t probe_us, say_us; /* the next ones */
    uint64_t every_us;         /* between two lines of the log */
    const char *found, *shake; /* by the probe, by the last handshake; static, or NULL */
    uint64_t shake_us;
    bool probing, ended;
    /* The probe, while PROBING. */
    bool push; /* of the push port */
    enum { PROBE_DIALING, PROBE_SENDING, PROBE_RECEIVING } step;
    uint8_t bytes[8];
    size_t got;
    nng_aio *aio;
    nng_stream_dialer *dialer;
    nng_stream *stream;
};

/* The key of a session that worked is used from elsewhere, again and again. */
struct doubled {
    unsigned n;
    uint64_t since_us, said_us;
};

/* A known node. Freed when the last of its references goes. */
struct peer {
    struct poa_p2p *p;
    _Atomic uint32_t refs;
    int index;
    uint8_t key[32];
    uint8_t x25519[32];
    char name[24]; /* for the log */
    unsigned flags;
    bool have_from;
    uint8_t from[16]; /* where it last proved itself from, or its address */
    bool removed;
    _Atomic unsigned users; /* threads that use its sockets: they stay open */
    bool dialed;            /* has an address: the sockets below are open */
    struct standing standing;
    struct bucket pushes;
    struct peer *next_removed;

    char req_url[MESH_URL_MAX], push_url[MESH_URL_MAX];
    nng_socket req, push;
    nng_dialer req_dialer, push_dialer;
    nng_pipe req_pipe, push_pipe;       /* id 0: not connected */
    nng_duration wait_ms;               /* between calls of its dialers; 0: the usual */
    uint64_t away_since_us;             /* 0: not looked at yet */
    uint64_t req_dial_us, push_dial_us; /* last time it was connected or dialed anew */

    /* The link. GENERATION counts losses. */
    bool up;
    bool pushes_taken; /* the peer said so */
    bool reported_up;
    bool cut; /* it does not answer: close its connections, TCP would keep them for minutes */
    uint64_t generation;
    uint64_t up_since_us;

    /* Handshake: one at a time; NOISE belongs to it while BUSY. */
    bool shaking;
    bool shake_receiving;
    uint64_t shake_generation;
    uint64_t shake_next_us;
    uint32_t shake_delay_ms;
    nng_ctx shake_ctx;
    nng_aio *shake_aio;
    struct poa_noise noise;

    /* Requests. */
    pthread_mutex_t lane_lock;
    struct poa_session lane, lane_before; /* requests and their answers */
    struct request *requests, *idle;
    unsigned idle_n, requests_n;
    size_t requests_bytes;
    uint64_t ping_next_us;
    bool pinging;

    /* Pushes. While SENDING, the sender owns push_lane and flight. */
    struct queue queue[POA_P2P_PRIORITIES];
    uint64_t kick_number; /* of the oldest in them, when it was looked at last */
    /* NNG 1.5.2 may keep a PUSH connection that closed in its list of ready ones,
     * and then frees it. So no send call overlaps the end of a connection (that is
     * what push_call is for), and a socket that lost its connection is not used
     * any more: the worker replaces it. */
    pthread_mutex_t push_call;
    bool push_open, push_dead;
    uint64_t push_since_us, push_reopen_us;
    uint32_t push_delay_ms;
    bool sending;
    bool greet;      /* an empty frame is due: it tells the peer who the connection is */
    bool lane_fresh; /* push_lane_next replaces push_lane */
    struct poa_session push_lane, push_lane_next;
    struct item *flight;
    nng_aio *push_aio;
    uint64_t push_generation;

    struct reach reach;
    struct doubled its, ours; /* its key, and ours as it seems to see it */
    uint32_t session_pipe;    /* where our session with it began */
    bool given_up;            /* it ended that while the connection held */
    uint64_t heard_us;        /* the last answer; 0: none */
    struct poa_p2p_stats stats;
    unsigned sessions; /* of its with us, confirmed or not */
    unsigned waiting;  /* its requests that wait for the owner */
    struct poa_log_limit limit[MESH_REASONS];
};

/* --- inbound ------------------------------------------------------------------- */

/* A session that another node opened with us. */
struct session {
    uint64_t id; /* key in p->sessions */
    _Atomic uint32_t refs;
    struct peer *peer; /* NULL: stranger */
    uint8_t key[32], x25519[32];
    struct session *next; /* in p->session_list, newest first */
    bool dropped;         /* not in the tables any more */
    bool promoted;        /* confirmed, and older ones of its peer are ending */
    uint64_t created_us, used_us;
    uint64_t since_us; /* of the first of those that it renewed */
    uint64_t ends_us;  /* 0: open */
    unsigned waiting;
    struct bucket bucket;
    uint8_t from[16];
    uint64_t bytes_in, bytes_out;
    uint32_t pipe_rep, pipe_pull; /* connections that are known to be its */
    pthread_mutex_t lock;
    struct poa_session lane;
    struct poa_session push_lane; /* only the one PULL receiver uses it */
};

struct pipe {
    uint32_t id; /* key in p->pipes */
    bool pull;
    bool listed;      /* it comes from the address of a node on the list */
    bool known;       /* a session's frame came over it */
    uint8_t from[16]; /* IPv6, or IPv4 mapped */
    uint64_t session;
    uint64_t since_us; /* connected, or lost its session */
    unsigned strikes;
    unsigned replies; /* immediate answers that it has not taken yet */
    uint64_t replies_since_us;
    struct bucket hellos;
    struct pipe *next; /* in p->pipe_list, newest first */
};

/* Accepted, without the SP preamble yet. */
#define ARRIVALS_MAX 128
struct arrival {
    int fd; /* NNG's */
    uint8_t from[16];
    uint16_t port;
    bool pull, listed;
    uint64_t since_us;
};

enum slot_state {
    SLOT_BUSY,    /* receiving, or an NNG thread is at it */
    SLOT_WAITING, /* for the owner's answer */
    SLOT_SENDING, /* the owner's answer */
};

/* One REP context. */
struct slot {
    struct poa_p2p *p;
    nng_ctx ctx;
    nng_aio *recv_aio, *send_aio;
    enum slot_state state;
    uint32_t serial; /* part of the token */
    uint32_t pipe;
    bool immediate;          /* sending what the owner did not see: counted in the pipe */
    struct session *session; /* WAITING, SENDING: who asked, counted in it */
    uint64_t request;        /* counter of the frame */
    uint64_t since_us;
};

struct poa_p2p {
    struct poa_p2p_config config; /* pointers in it are cleared */
    uint8_t seed[32], key[32], x_sk[32], x_pk[32];
    uint8_t prologue[48];
    size_t prologue_n;
    size_t slots_n;
    bool listening;
    uint16_t port, push_port;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t worker;
    bool worker_runs;
    bool woken;
    uint64_t queued; /* items, ever */
    _Atomic bool closing;

    struct peer *peer[POA_P2P_PEERS_MAX];
    struct peer *removed; /* for the worker to tear down */

    nng_socket rep, pull;
    nng_aio *pull_aio;
    struct slot *slot;
    void *sessions; /* tsearch tree */
    struct session *session_list;
    unsigned strangers, strangers_waiting;
    void *pipes; /* tsearch tree */
    struct pipe *pipe_list;
    unsigned pipes_n;
    /* What strangers do must not keep out the nodes on the list: these are
     * counted apart for addresses of theirs ([1]) and for others ([0]). */
    unsigned unknown_n[2][2]; /* pipes not known yet: [pull][listed] */
    struct bucket hellos[2];
    unsigned replies;                     /* immediate answers on their way */
    struct arrival arrival[ARRIVALS_MAX]; /* oldest first */
    unsigned arrivals_n;
    struct offender offender[OFFENDERS_MAX];
    unsigned offenders_n;
    struct poa_p2p_totals totals;
    struct poa_log_limit limit[MESH_REASONS];
};

static inline uint64_t mesh_now_us(void)
{
    return poa_clock_monotonic_us(poa_clock_system());
}

void mesh_wake(struct poa_p2p *p); /* with p->lock */

struct peer *mesh_peer_hold(struct peer *peer);
void mesh_peer_drop(struct peer *peer);

/* standing.c: all with p->lock */
void mesh_peer_ban(struct peer *peer, const char *reason, uint32_t ms);
void mesh_blame(struct poa_p2p *p, const uint8_t key32[32], enum poa_p2p_fault fault);
void mesh_blame_address(struct poa_p2p *p, const uint8_t from[16], enum poa_p2p_fault fault);
bool mesh_banned(const struct standing *s, uint64_t now_us);
void mesh_fade(struct standing *s, uint64_t now_us); /* to what is left at NOW_US */
struct offender *mesh_offender(struct poa_p2p *p, enum offender_kind kind, const uint8_t id[32]);
bool mesh_key_banned(struct poa_p2p *p, const uint8_t key32[32]);
bool mesh_address_banned(struct poa_p2p *p, const uint8_t from[16]);

/* double.c, with p->lock: S displaces OLD though that is heard on another connection; PEER
 * ended our session though the connection held. */
void mesh_doubled(struct poa_p2p *p, const struct session *s, const struct session *old);
void mesh_given_up(struct peer *peer);
bool mesh_is_doubled(const struct peer *peer, uint64_t now_us); /* it was said lately */

/* contacts.c, with p->lock: a session outlives its connection, for requests under way, and
 * works only while there is one on which its dialer is heard. */
bool mesh_session_works(struct poa_p2p *p, const struct session *s, uint64_t now_us);

/* link.c */
int mesh_link_open(struct peer *peer);
void mesh_link_close(struct peer *peer); /* not from a callback */
/* One round of the worker for PEER; the time of the next one. */
uint64_t mesh_link_work(struct peer *peer, uint64_t now_us);
/* With p->lock: the session with PEER is of no use any more. */
void mesh_link_lost(struct peer *peer, int error);
int mesh_error_of(int nng_error);

/* reach.c. With p->lock: a handshake failed; what is wrong with the link, or NULL. */
void mesh_reach_shake(struct peer *peer, int error);
const char *mesh_reach_why(const struct peer *peer, uint64_t now_us);
uint64_t mesh_reach_work(struct peer *peer, uint64_t now_us); /* as mesh_link_work */
void mesh_reach_close(struct peer *peer); /* when no probe is under way; not from a callback */

/* nngfix.c: true when libnng.so calls what is defined there. */
bool mesh_nng_repaired(void);
/* Whether the threads that NNG starts can be made. */
bool mesh_nng_threads_fit(void);
/* No task of NNG lies longer than a moment; false without memory. */
bool mesh_nng_beats(void);

/* push.c */
void mesh_push_init(struct peer *peer);
void mesh_push_kick(struct peer *peer, bool from_owner);
void mesh_push_purge(struct peer *peer, uint64_t now_us); /* with p->lock */
void mesh_push_clear(struct peer *peer);
void mesh_push_cb(void *peer);

/* request.c */
int mesh_request_new(struct peer *peer, uint16_t type, struct poa_slice bytes, uint64_t deadline_us,
                     bool ping, poa_p2p_answer_fn *on_answer, void *ctx);
uint64_t mesh_request_work(struct peer *peer, uint64_t now_us);
void mesh_request_close(struct peer *peer);

/* arrive.c */
void mesh_arrivals_open(struct poa_p2p *p); /* when it listens */
void mesh_arrivals_close(struct poa_p2p *p);
/* With p->lock: it is a pipe now. */
void mesh_arrived(struct poa_p2p *p, const uint8_t from[16], uint16_t port, bool pull);
uint64_t mesh_arrivals_work(struct poa_p2p *p, uint64_t now_us);

/* pipes.c */
void mesh_pipe_event(nng_pipe pipe, nng_pipe_ev ev, void *p);
void mesh_pull_event(nng_pipe pipe, nng_pipe_ev ev, void *p);
struct pipe *mesh_pipe_find(struct poa_p2p *p, uint32_t id); /* with p->lock */
/* With p->lock: a node on the list is at this address. */
bool mesh_listed(const struct poa_p2p *p, const uint8_t from[16]);
/* An IPv6 address, or an IPv4 mapped into one, as text. */
void mesh_ip_text(const uint8_t ip[16], char text[INET6_ADDRSTRLEN]);
/* Marks pipe ID as carrying S. With p->lock. */
void mesh_pipe_known(struct poa_p2p *p, uint32_t id, const struct session *s);
/* The IP address in URL, when it is one. */
bool mesh_url_ip(const char *url, uint8_t ip[16]);
/* Counts a fault of whoever sent over PIPE, and closes it unless it may be
 * innocent (an unknown session, a few times). Takes p->lock. */
void mesh_pipe_fault(struct poa_p2p *p, nng_pipe pipe, struct peer *peer, enum mesh_reason reason,
                     int error);
bool mesh_pipe_may_hello(struct poa_p2p *p, uint32_t id);
/* One more immediate answer to pipe ID, or one less; false: it takes none. */
bool mesh_pipe_reply(struct poa_p2p *p, uint32_t id, bool done);
uint64_t mesh_pipes_work(struct poa_p2p *p, uint64_t now_us);
void mesh_pipes_clear(struct poa_p2p *p);

/* serve.c */
void mesh_pull_cb(void *p);
/* What REP received; frees M. The answer to send at once, or NULL: when WAITING,
 * the slot waits for the owner, else there is none. */
nng_msg *mesh_serve(struct slot *slot, nng_msg *m, bool *waiting);
struct session *mesh_session_hold(struct session *s);
void mesh_session_drop(struct session *s);
void mesh_sessions_end(struct poa_p2p *p, struct peer *peer, const uint8_t *x25519);
uint64_t mesh_sessions_work(struct poa_p2p *p, uint64_t now_us);
void mesh_sessions_clear(struct poa_p2p *p);

/* answer.c */
int mesh_slots_open(struct poa_p2p *p);
void mesh_slots_stop(struct poa_p2p *p); /* no callback of the owner runs after it */
void mesh_slots_close(struct poa_p2p *p);
uint64_t mesh_slots_work(struct poa_p2p *p, uint64_t now_us);
/* With p->lock: may one more request of S wait? */
bool mesh_slot_room(struct poa_p2p *p, const struct session *s);
/* With p->lock: SLOT waits, for the owner's answer to a request of S. */
void mesh_slot_wait(struct slot *slot, struct session *s, uint64_t request);
/* A sealed answer to frame REQUEST of S, or NULL. */
nng_msg *mesh_answer_msg(struct session *s, uint64_t request, int error, uint16_t type,
                         struct poa_slice bytes);
uint64_t mesh_slot_token(const struct slot *slot);

#endif
