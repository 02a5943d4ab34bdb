/* rpc: what the files of the HTTP server share. Not for other modules. */
#ifndef POA_RPC_SERVER_H
#define POA_RPC_SERVER_H

#include <pthread.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "poa_rpc_json.h"

/* --- connections (conns.c) ----------------------------------------------------------
 *
 * evhttp 2.1 has no cap. All connections of one address are one client; a client
 * that fills its share, and the fullest client when all are in use, loses the
 * connection that has been idle longest. So an idle crowd keeps nobody out, also
 * none of its own address. */

enum conn_state {
    CONN_IDLE,   /* between requests, or in the middle of one that is still coming */
    CONN_CALL,   /* a request is in work: cannot be closed */
    CONN_ANSWER, /* its answer is on the way */
    CONN_STREAM, /* a reader of events */
};
struct rpc_client;
struct rpc_stream;
/* Requests that the addresses of a bucket may still make. */
#define RPC_BUCKETS 4096
struct rpc_bucket {
    double left, at;
};
void rpc_stream_closed(struct rpc_stream *s);
struct rpc_conn {
    struct rpc_conn *prev, *next; /* of the same client; longest unused first */
    struct rpc_client *client;
    struct poa_rpc *server;
    struct evhttp_connection *evcon;
    evutil_socket_t fd;
    struct rpc_stream *stream; /* CONN_STREAM */
    size_t held;               /* bytes of a request that is coming, or of its answer */
    size_t received;           /* since the last whole request */
    enum conn_state state;
    bool doomed; /* sends without end */
};

#define CLIENT_BUCKETS 256

/* Transactions of the last seconds, for the rate that readers are told. */
#define RPC_PACE_S 10
struct rpc_pace {
    uint64_t txs[RPC_PACE_S], time_us[RPC_PACE_S];
    uint32_t n;
};

#define RPC_WATCH_BUCKETS 4096

struct fresh;
struct rpc_guard;
struct rpc_cache;
struct poa_rpc {
    struct poa_rpc_node node;
    struct poa_genesis genesis; /* node.parsed */
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct event *wake;   /* eventfd: the inbox has something, a block came, or stop */
    struct event *attach; /* connections in FRESH are attached; timer: listen again */
    struct fresh *fresh;
    uint32_t fresh_n;
    struct poa_rpc_inbox *box;
    pthread_t thread;
    bool running, stop; /* STOP is atomic */
    bool loopback;
    /* guard.c; GUARD_NEXT is atomic */
    struct rpc_guard *guard, *guard_next;
    bool tls;
    char tls_cert[512], tls_key[512], tokens[512], cors[512];
    enum poa_rpc_right anonymous;
    struct rpc_cache *cache;
    struct rpc_asked *asked; /* while its request is dispatched */
    uint32_t rate;
    struct rpc_bucket *bucket; /* RPC_BUCKETS, when there is a rate */
    uint8_t bucket_key[16];
    struct poa_rpc_methods methods; /* what the request in work may call */
    int event_fd;
    uint16_t port;
    struct rpc_client *client[CLIENT_BUCKETS];
    struct rpc_conn **by_fd;
    size_t by_fd_n;
    uint32_t connections, connections_max, client_max;
    size_t held, body_max;
    uint64_t requests, evicted, refused;

    /* events.c */
    struct rpc_stream *streams;
    struct event *tick;  /* each second while there are streams */
    struct event *round; /* the next one, when it has to wait; ROUND_US: not before */
    uint64_t round_us;
    uint32_t streams_n;
    uint64_t streams_dropped;
    struct rpc_watch *watch[RPC_WATCH_BUCKETS]; /* accounts that readers asked for */
    uint8_t watch_key[16];
    uint32_t watched[256]; /* how many begin with this byte */
    uint64_t tx_number;    /* transactions that were looked at */
    uint64_t tip, told;    /* TIP is atomic: what can be read; what readers know */
    struct rpc_pace pace;
};

/* Counts the connections that evhttp accepts from now on. */
POA_MUST_USE int rpc_conns_start(struct poa_rpc *r);
/* When the loop stands still: lets go of what evhttp has not taken yet. */
void rpc_conns_stop(struct poa_rpc *r);
/* The connection that brought REQ; NULL when the peer is gone. */
struct rpc_conn *rpc_conn_of(struct poa_rpc *r, struct evhttp_request *req);
/* The request of C is in work; its answer of N bytes is handed over. */
void rpc_conn_call(struct rpc_conn *c);
/* An IPv4 address or an IPv6 network, 8 bytes. */
const uint8_t *rpc_conn_address(const struct rpc_conn *c);
void rpc_conn_answer(struct rpc_conn *c, struct evhttp_request *req, size_t n);

/* --- who may do what (guard.c) ------------------------------------------------------------ */

POA_MUST_USE int rpc_guard_start(struct poa_rpc *r, const struct poa_rpc_config *c,
                                 struct poa_why *why);
void rpc_guard_stop(struct poa_rpc *r);
/* On the thread: what poa_rpc_reload read holds from here on. */
void rpc_guard_take(struct poa_rpc *r);
/* For a connection that will be accepted; NULL: out of memory. */
struct bufferevent *rpc_guard_accept(struct poa_rpc *r);
/* A page of another site must not speak to a node on its visitor's machine: not by a name
 * that resolves here (Host), nor with the visitor's browser (Origin), unless the
 * configuration names its origin. NULL: it may. */
const char *rpc_guard_refusal(struct poa_rpc *r, struct evhttp_request *req);
/* Whether it was a browser's question, which is answered. */
bool rpc_guard_preflight(struct poa_rpc *r, struct evhttp_request *req);
/* What the caller of REQ may do; false when that is less than NEEDED, or its token is not
 * known: answered. WHO: see struct poa_rpc_methods. CONN may be NULL. */
bool rpc_guard_allows(struct poa_rpc *r, struct evhttp_request *req, const struct rpc_conn *conn,
                      enum poa_rpc_right needed, enum poa_rpc_right *has, uint64_t *who);
bool rpc_guard_within_rate(struct poa_rpc *r, const uint8_t address[8]);

/* --- answers that are kept (cache.c) ------------------------------------------------------- */

/* A request that may be asked again. KEEP_US: how long its answer stays right while the state
 * is the same; 0: it is not kept. */
struct rpc_asked {
    uint8_t key[16];
    uint64_t version, keep_us;
    struct poa_slice id; /* its number, in the request; empty: none */
};
POA_MUST_USE int rpc_cache_start(struct poa_rpc *r);
void rpc_cache_stop(struct poa_rpc *r);
/* The kept answer to REQUEST, if there is one; ASKED is filled. */
bool rpc_cache_find(struct poa_rpc *r, const char *request, size_t n, struct rpc_asked *asked,
                    struct poa_slice *answer);
void rpc_cache_keep(struct poa_rpc *r, const struct rpc_asked *asked, const char *text, size_t n);

/* --- events (events.c) ------------------------------------------------------------------- */

/* GET /v1/events: answers, now and from here on. */
void rpc_events_open(struct poa_rpc *r, struct evhttp_request *req, struct rpc_conn *conn);
/* After TIP moved. */
void rpc_events_tell(struct poa_rpc *r);
POA_MUST_USE int rpc_events_start(struct poa_rpc *r);
void rpc_events_stop(struct poa_rpc *r);

/* --- the explorer (explorer.c) ------------------------------------------------------------ */

/* Whether PATH is one of its files, which is then the answer. */
bool rpc_explorer(struct poa_rpc *r, struct evhttp_request *req, const char *path);

/* --- answers (server.c) --------------------------------------------------------------- */

/* The server whose thread this is. */
struct poa_rpc *rpc_here(void);
/* Any thread. */
void rpc_wake(struct poa_rpc *r);

void rpc_send(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
              const char *type, const char *text, size_t n);
void rpc_send_json(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
                   const json_t *value);
void rpc_send_line(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
                   const char *line);

#endif
