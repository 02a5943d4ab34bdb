/* p2p: the mesh between nodes, on NNG, inside Noise sessions.
 *
 *        node A (dialer)                          node B (listener)
 *   request ──> REQ ═══════ tcp, port ═══════════> REP ──> on_message, token
 *   on_answer <─┘ <══════════════════════════════  └─ poa_p2p_answer(token)
 *   push, broadcast ──> PUSH ═ tcp, port + 1 ════> PULL ─> on_message
 *
 * Who dials owns the session (Noise IK, static keys derived from the nodes'
 * Ed25519 keys): it carries the dialer's pushes and requests, and the answers
 * come back in it. Two nodes that push to one another dial one another, each
 * with a session of its own, so crossing handshakes do not exist. The prologue
 * holds the chain id: nodes of different chains cannot talk.
 *
 * Pushes are taken from nodes on the list with POA_P2P_MESH. Other nodes may
 * handshake as strangers and send requests, at a limited rate.
 *
 * A push is queued per peer and priority, never blocks, and is lost when the
 * queue is over its bytes (the oldest of its priority goes first), when it got
 * stale while the peer was away, or when a connection dies: the protocol above
 * re-sends. Small pushes that wait for one peer travel in one message.
 *
 * A connection that breaks is dialed again within POA_P2P_REDIAL_MS and shakes
 * hands anew; so does one whose peer stops answering pings.
 *
 * Threading: every function may be called from any thread, also from inside
 * callbacks, except poa_p2p_close. Callbacks run on threads of this module or
 * of NNG, several at a time: they must be quick, so post and return.
 */
#ifndef POA_P2P_H
#define POA_P2P_H

#include "poa_codec.h"

#define POA_P2P_PEERS_MAX   256
#define POA_P2P_SET_BYTES   (POA_P2P_PEERS_MAX / 8)
#define POA_P2P_STRANGER    (-1)
#define POA_P2P_PRIORITIES  4   /* 0 first */
#define POA_P2P_ADDRESS_MAX 256 /* bytes of "host:port" with its zero */

/* Payload of one push, request or answer, at most, whatever the configuration. */
#define POA_P2P_PAYLOAD_MAX ((size_t)16 << 20)
/* Small pushes are packed into messages of about this size. */
#define POA_P2P_PACK_BYTES ((size_t)64 << 10)
#define POA_P2P_REDIAL_MS  80   /* longest wait between two attempts to connect */
#define POA_P2P_PING_MS    2000 /* between two pings */
#define POA_P2P_DEAD_MS    5000 /* without an answer to a ping: connect anew */
#define POA_P2P_STALE_MS   3000 /* pushes older than this are not sent any more */
/* How long a request may wait for its answer before we refuse it. */
#define POA_P2P_ANSWER_MS 60000
#define POA_P2P_REQUESTS  64 /* in flight per peer */
/* Message types from here on are the mesh's own. */
#define POA_P2P_TYPE_RESERVED 0xff00

enum poa_p2p_flag {
    POA_P2P_MESH = 1,    /* may push to us; we push to it when it has an address */
    POA_P2P_HEARSAY = 2, /* others told its address: who comes from there is a stranger still */
};

/* What others do wrong. X(NAME, points, "text"). At POA_P2P_BAN_POINTS a node, or
 * the address of nodes that are not on the list, is banned; ten points fade in a
 * second. The first ban lasts config.ban_ms, each further one twice as long, an
 * hour at most. Damaged frames count against addresses only: anybody on the path
 * can cause them. */
#define POA_P2P_BAN_POINTS 1000
#define POA_P2P_FAULTS(X)                                                                          \
    X(MALFORMED, 1000, "sealed messages that are malformed")                                       \
    X(BYTES, 200, "bytes that are no message")                                                     \
    X(HANDSHAKE, 200, "handshakes that fail")                                                      \
    X(FRAME, 100, "frames that do not open")                                                       \
    X(SESSION, 20, "frames of unknown sessions")                                                   \
    X(SILENT, 50, "connections that show no session")                                              \
    X(UNREAD, 100, "answers that it does not take")                                                \
    X(RATE, 20, "more than its rate")                                                              \
    X(INVALID, 5, "records that break the protocol")                                               \
    X(KNOWN, 1, "transactions that are known, again and again")                                    \
    X(OUTDATED, 5, "records of epochs long past")                                                  \
    X(STALLED, 250, "answers that do not come")                                                    \
    X(FORGED, 1000, "a chain that is forged")
enum poa_p2p_fault {
#define POA_P2P_FAULT_ROW(name, points, text) POA_P2P_FAULT_##name,
    POA_P2P_FAULTS(POA_P2P_FAULT_ROW)
#undef POA_P2P_FAULT_ROW
};

struct poa_p2p;

struct poa_p2p_message {
    int peer;               /* its index, or POA_P2P_STRANGER */
    const uint8_t *key32;   /* the sender's Ed25519 key, proven by the session */
    uint16_t type;          /* below POA_P2P_TYPE_RESERVED */
    struct poa_slice bytes; /* borrowed until the callback returns */
    uint64_t token;         /* a request: answer with it; 0: a push */
};

/* ERROR is POA_OK, what the peer refused with, POA_E_TIMEOUT, or POA_E_CLOSED
 * when the connection broke and nobody knows whether the request was served.
 * Called exactly once, never from inside poa_p2p_request. BYTES: borrowed. */
typedef void poa_p2p_answer_fn(void *ctx, int error, uint16_t type, struct poa_slice bytes);

struct poa_p2p_config {
    const uint8_t *seed32;   /* this node's Ed25519 seed; copied */
    const uint8_t *chain32;  /* chain id; copied */
    const char *listen;      /* "127.0.0.1:7100", "[::]:7100"; NULL: dial only */
    const char *listen_push; /* NULL: same host, port + 1 */
    /* 0 means the default. */
    size_t message_max_bytes;                   /* payload of a push or an answer: 8 MiB */
    size_t request_max_bytes;                   /* payload of a request to us: 1 MiB */
    size_t queue_max_bytes[POA_P2P_PRIORITIES]; /* per peer: 1, 8, 16, 8 MiB */
    uint32_t waiting_max;                       /* requests that wait for the owner's answer: 64 */
    uint32_t strangers_max;                     /* sessions of strangers: 32 */
    uint32_t stranger_requests_per_s;           /* each: 50 */
    uint32_t session_renew_ms;                  /* a new handshake after so long: 1 hour */
    uint32_t pushes_per_s;                      /* of one node: 5,000, four times that at once */
    uint32_t ban_ms;                            /* the first one: 60,000 */
    bool no_strangers;

    struct poa_why *why; /* while it opens: which address cannot be listened on, and why; or NULL */
    void *ctx;
    void (*on_message)(void *ctx, const struct poa_p2p_message *m);
    /* The link to a peer with an address works now, or does not any more. In
     * order for each peer, from one thread. It may be news of KEY32 who has left PEER to
     * another one meanwhile. May be NULL. */
    void (*on_peer)(void *ctx, int peer, const uint8_t key32[32], bool up);
};

/* Binds and starts; *OUT is set before the first callback. Errors: POA_E_CONFIG (an address that is
 * none), POA_E_LOCKED (address in use), POA_E_NOT_FOUND (not one of this machine), POA_E_IO,
 * POA_E_NO_MEMORY; nothing is left behind. */
POA_MUST_USE int poa_p2p_open(struct poa_p2p **out, const struct poa_p2p_config *config);
/* Stops everything and frees. Requests in flight end with POA_E_CLOSED; no
 * callback runs after it returned. Not from inside a callback. */
void poa_p2p_close(struct poa_p2p *p);
/* Ports that it listens on (for "host:0"); 0 when it does not. */
uint16_t poa_p2p_port(const struct poa_p2p *p);
uint16_t poa_p2p_push_port(const struct poa_p2p *p);

/* poa_p2p_peer_set adds or changes a known node.
 * Out:    index  stays the same until poa_p2p_peer_remove
 * In:     key32 its Ed25519 key; address "host:port" or NULL (it dials us);
 *         push_address NULL: same host, port + 1; flags enum poa_p2p_flag
 * Errors: POA_E_KEY, POA_E_CONFIG, POA_E_LIMIT, POA_E_INVALID (our own key) */
POA_MUST_USE int poa_p2p_peer_set(struct poa_p2p *p, const uint8_t key32[32], const char *address,
                                  const char *push_address, unsigned flags, int *index);
/* Its sessions end; requests in flight end with POA_E_CLOSED, soon after. */
POA_MUST_USE int poa_p2p_peer_remove(struct poa_p2p *p, int index);
POA_MUST_USE int poa_p2p_peer_find(struct poa_p2p *p, const uint8_t key32[32], int *index);
/* The node with this key did something wrong, known or not. */
void poa_p2p_blame(struct poa_p2p *p, const uint8_t key32[32], enum poa_p2p_fault fault);
/* Refuses everything of a known peer for a while; REASON is a static text. */
void poa_p2p_ban(struct poa_p2p *p, int index, const char *reason, uint32_t ms);

/* Queues BYTES (copied) to one peer. Errors: POA_E_NOT_FOUND, POA_E_INVALID (the
 * peer is not MESH or has no address), POA_E_TOO_LONG, POA_E_NO_MEMORY. */
POA_MUST_USE int poa_p2p_push(struct poa_p2p *p, int peer, unsigned priority, uint16_t type,
                              struct poa_slice bytes);
/* To every MESH peer with an address whose bit is in SET (bit i of byte i / 8);
 * NULL: to all. BYTES are copied once. */
POA_MUST_USE int poa_p2p_broadcast(struct poa_p2p *p, const uint8_t set[POA_P2P_SET_BYTES],
                                   unsigned priority, uint16_t type, struct poa_slice bytes);
/* The same without sending yet: several of them, then one kick, share a frame per
 * peer. Peers are sent to in the order in which something was queued for them. What nobody
 * kicks goes within a second. */
POA_MUST_USE int poa_p2p_queue(struct poa_p2p *p, const uint8_t set[POA_P2P_SET_BYTES],
                               unsigned priority, uint16_t type, struct poa_slice bytes);
void poa_p2p_kick(struct poa_p2p *p);

/* Sends a request (BYTES are copied) when the link works, until TIMEOUT_MS.
 * Errors: POA_E_NOT_FOUND, POA_E_INVALID (no address), POA_E_TOO_LONG,
 * POA_E_FULL, POA_E_NO_MEMORY: then ON_ANSWER is not called. */
POA_MUST_USE int poa_p2p_request(struct poa_p2p *p, int peer, uint16_t type, struct poa_slice bytes,
                                 uint32_t timeout_ms, poa_p2p_answer_fn *on_answer, void *ctx);

/* Answers a request, once, at any time within POA_P2P_ANSWER_MS. BYTES are
 * borrowed for the call. POA_E_NOT_FOUND: the asker is gone or was answered;
 * POA_E_TOO_LONG: it was refused with that. */
POA_MUST_USE int poa_p2p_answer(struct poa_p2p *p, uint64_t token, uint16_t type,
                                struct poa_slice bytes);
/* Refuses it with an enum poa_error, which the asker's on_answer gets. */
POA_MUST_USE int poa_p2p_refuse(struct poa_p2p *p, uint64_t token, int error);

struct poa_p2p_stats {
    bool up;      /* our link to it works */
    bool inbound; /* it has a confirmed session with us */
    bool banned;
    int last_error;                       /* enum poa_error */
    uint32_t rtt_us;                      /* of the last ping */
    uint64_t bytes_in, bytes_out;         /* on the wire, without TCP */
    uint64_t frames_in, frames_out;       /* NNG messages */
    uint64_t messages_in, messages_out;   /* pushes and requests in them */
    uint64_t dropped[POA_P2P_PRIORITIES]; /* pushes: over the limit, stale, or lost in flight */
    uint64_t queued_bytes;
    uint64_t handshakes; /* of ours that succeeded */
    uint64_t handshakes_failed;
    uint64_t requests_failed;
    uint64_t refused_frames; /* of its: replayed, damaged, malformed, over a rate */
};
POA_MUST_USE int poa_p2p_stats(struct poa_p2p *p, int peer, struct poa_p2p_stats *out);

enum poa_p2p_contact_kind {
    POA_P2P_LISTED,   /* by poa_p2p_peer_set */
    POA_P2P_UNLISTED, /* a stranger: it has a session, or did something wrong */
    POA_P2P_ADDRESS,  /* no key is known */
};
struct poa_p2p_contact {
    enum poa_p2p_contact_kind kind;
    int index; /* LISTED */
    uint8_t key[32];
    char address[POA_P2P_ADDRESS_MAX]; /* where it is dialed, else where it comes from */
    bool outbound, inbound;            /* sessions that work */
    uint64_t bytes_in, bytes_out, queued_bytes;
    uint32_t rtt_us;       /* of the last ping; 0: not OUTBOUND */
    uint64_t connected_ms; /* for so long; 0: not connected */
    uint64_t heard_ms;     /* since its last frame; UINT64_MAX: none yet */
    const char *trouble;   /* why it is not OUTBOUND though it is dialed, or that its key is used
                            twice; static, "": none known */
    uint32_t score;        /* points */
    bool banned;
    uint64_t ban_ms; /* left */
    unsigned bans;
    const char *reason; /* of the last fault; static */
};
/* Everybody it knows something about; returns how many. */
size_t poa_p2p_contacts(struct poa_p2p *p, struct poa_p2p_contact *out, size_t max);

struct poa_p2p_totals {
    uint32_t pipes;        /* connections to us */
    uint32_t strangers;    /* sessions */
    uint32_t waiting;      /* requests that wait for an answer */
    uint64_t pipes_closed; /* by us: silent, garbage, too many */
    uint64_t handshakes_refused;
    uint64_t frames_refused; /* unknown session, replay, damage, rate */
    uint64_t pushes_refused; /* over the rate of their sender */
    uint64_t bans;
    uint64_t queued_bytes[POA_P2P_PRIORITIES]; /* of all peers */
    uint64_t dropped[POA_P2P_PRIORITIES];
};
void poa_p2p_totals(struct poa_p2p *p, struct poa_p2p_totals *out);

#endif
