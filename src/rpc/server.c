/* The HTTP server: libevent's evhttp on a thread of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/keyvalq_struct.h>

#include "server.h"

#define CONNECTIONS_DEFAULT 4096
/* Of one client: this part of all. */
#define CLIENT_PART 2
/* Descriptors that the rest of the process wants. */
#define DESCRIPTORS_OTHERS 512
#define BODY_DEFAULT       (1024 * 1024)
#define HEADERS_MAX        8192
#define TIMEOUT_DEFAULT_S  60
#define NICENESS           5
#define BACKLOG            256

/* --- answers ------------------------------------------------------------------------ */

void rpc_send(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
              const char *type, const char *text, size_t n)
{
    struct rpc_conn *conn = rpc_conn_of(r, req);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    if (type != NULL)
        evhttp_add_header(headers, "Content-Type", type);
    if (evhttp_request_get_command(req) !=
        EVHTTP_REQ_POST) { /* no browser keeps or guesses those */
        evhttp_add_header(headers, "Cache-Control", "no-store");
        evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    }
    /* evhttp would send the body all the same, and not say how long it is: the client takes
     * that for the next answer. */
    if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
        char length[24];
        snprintf(length, sizeof length, "%zu", n);
        evhttp_add_header(headers, "Content-Length", length);
        n = 0;
    }
    if (n > 0)
        evbuffer_add(out, text, n);
    if (conn != NULL)
        rpc_conn_answer(conn, req, n);
    evhttp_send_reply(req, code, reason, NULL);
}

void rpc_send_json(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
                   const json_t *value)
{
    char *text = value != NULL ? json_dumps(value, POA_RPC_DUMP) : NULL;
    if (text == NULL)
        rpc_send_line(r, req, 500, "Internal Server Error", "out of memory");
    else
        rpc_send(r, req, code, reason, "application/json", text, strlen(text));
    free(text);
}

void rpc_send_line(struct poa_rpc *r, struct evhttp_request *req, int code, const char *reason,
                   const char *line)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%s\n", line);
    rpc_send(r, req, code, reason, "text/plain; charset=utf-8", text,
             n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

/* The server that this thread runs: answers are given on no other. */
static _Thread_local struct poa_rpc *here;

struct poa_rpc *rpc_here(void)
{
    return here;
}

#define BRIEF_US 100000
static void keep_answer(struct poa_rpc *r, const char *text, size_t n)
{
    static const char fine[] = "{\"jsonrpc\":\"2.0\",\"result\"";
    /* A single call that is answered: what failed may not the next time. */
    if (n < sizeof fine || memcmp(text, fine, sizeof fine - 1) != 0 ||
        *r->methods.keep == POA_RPC_FRESH || r->asked->keep_us == 0)
        return;
    if (*r->methods.keep == POA_RPC_BRIEF)
        r->asked->keep_us = BRIEF_US;
    rpc_cache_keep(r, r->asked, text, n);
}

/* One answer of JSON-RPC, possibly long after the request. evhttp keeps the
 * request alive until it is answered, also when its client went away. */
static void reply_rpc(void *ctx, const char *text, size_t n)
{
    struct poa_rpc *r = here;
    struct evhttp_request *req = ctx;
    if (text != NULL && r->asked != NULL) /* else it took longer than the request */
        keep_answer(r, text, n);
    if (text == NULL)
        rpc_send(r, req, 204, "No Content", NULL, NULL, 0);
    else
        rpc_send(r, req, 200, "OK", "application/json", text, n);
}

static void reply_get(void *ctx, json_t *result, json_t *error)
{
    const char *reason = "OK";
    if (result != NULL) {
        rpc_send_json(here, ctx, 200, reason, result);
        return;
    }
    int status = poa_rpc_http_status(error, &reason);
    json_t *v = error != NULL ? json_pack("{s:O}", "error", error) : NULL;
    rpc_send_json(here, ctx, status, reason, v);
    json_decref(v);
}

/* --- pages ---------------------------------------------------------------------------- */

/* X(path, handler, help) */
#define POA_RPC_PAGES(X)                                                                           \
    X("/healthz", page_health, "the process answers")                                              \
    X("/readyz", page_ready, "its answers are current; else 503 and why")                          \
    X("/metrics", page_metrics, "Prometheus text")

static void page_health(struct poa_rpc *r, struct evhttp_request *req)
{
    (void)r;
    rpc_send_line(r, req, 200, "OK", "ok");
}

static void page_ready(struct poa_rpc *r, struct evhttp_request *req)
{
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    r->node.backend->status(r->node.backend->ctx, &s);
    if (s.ready)
        rpc_send_line(r, req, 200, "OK", "ready");
    else
        rpc_send_line(r, req, 503, "Service Unavailable", s.why[0] ? s.why : "not ready");
}

static void page_metrics(struct poa_rpc *r, struct evhttp_request *req)
{
    size_t n = 0;
    char *text = poa_rpc_metrics_text(&r->node, &n);
    if (text == NULL)
        rpc_send_line(r, req, 500, "Internal Server Error", "out of memory");
    else
        rpc_send(r, req, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", text, n);
    free(text);
}

static const struct {
    const char *path;
    void (*handler)(struct poa_rpc *r, struct evhttp_request *req);
} pages[] = {
#define ROW(path, handler, help) {path, handler},
    POA_RPC_PAGES(ROW)
#undef ROW
};

/* --- requests ---------------------------------------------------------------------------- */

/* What a caller needs for PATH itself; methods have their own. Health is for whoever asks, and
 * the pages of the explorer are only code. */
static enum poa_rpc_right right_for(const char *path, bool post)
{
    if (!post && (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0))
        return POA_RPC_NOTHING;
    return post || strcmp(path, "/metrics") == 0 || strncmp(path, "/v1", 3) == 0 ? POA_RPC_READ
                                                                                 : POA_RPC_NOTHING;
}

static void answer_rpc(struct poa_rpc *r, struct evhttp_request *req, const char *text, size_t n)
{
    struct rpc_asked asked;
    struct poa_slice kept;
    if (rpc_cache_find(r, text, n, &asked, &kept)) {
        rpc_send(r, req, 200, "OK", "application/json", (const char *)kept.p, kept.n);
        return;
    }
    enum poa_rpc_keep keep = POA_RPC_STATE;
    r->methods.keep = &keep;
    r->asked = &asked;
    poa_rpc_dispatch(&r->methods, &r->node, r->box, text, n, reply_rpc, req);
    r->asked = NULL;
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct poa_rpc *r = arg;
    r->requests++;
    struct rpc_conn *conn = rpc_conn_of(r, req);
    if (conn != NULL)
        rpc_conn_call(conn);
    const char *no = rpc_guard_refusal(r, req);
    if (no != NULL) {
        rpc_send_line(r, req, 403, "Forbidden", no);
        return;
    }
    if (conn != NULL && !rpc_guard_within_rate(r, rpc_conn_address(conn))) {
        evhttp_add_header(evhttp_request_get_output_headers(req), "Retry-After", "1");
        rpc_send_line(r, req, 429, "Too Many Requests", "too many requests of this address");
        return;
    }
    if (rpc_guard_preflight(r, req))
        return;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    if (path == NULL || path[0] == 0)
        path = "/";
    bool post = evhttp_request_get_command(req) == EVHTTP_REQ_POST;
    r->methods = poa_rpc_node_methods;
    r->methods.limited = true;
    if (!rpc_guard_allows(r, req, conn, right_for(path, post), &r->methods.has, &r->methods.who))
        return;
    if (post) {
        if (strcmp(path, "/") != 0) {
            rpc_send_line(r, req, 404, "Not Found", "JSON-RPC is at /");
            return;
        }
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        size_t n = evbuffer_get_length(in);
        const char *text = n > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
        if (text == NULL)
            rpc_send_line(r, req, 500, "Internal Server Error", "out of memory");
        else
            answer_rpc(r, req, text, n);
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(path, pages[i].path) == 0) {
            pages[i].handler(r, req);
            return;
        }
    if (strcmp(path, "/v1/events") == 0) {
        rpc_events_open(r, req, conn);
        return;
    }
    if (strcmp(path, "/v1") == 0 || strncmp(path, "/v1/", 4) == 0) {
        poa_rpc_get(&r->methods, &r->node, r->box, path,
                    uri != NULL ? evhttp_uri_get_query(uri) : NULL, reply_get, req);
        return;
    }
    const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
    bool browser = accept != NULL && strstr(accept, "text/html") != NULL;
    if (strcmp(path, "/") == 0 && !browser)
        rpc_send_line(r, req, 200, "OK",
                      "poa node. POST JSON-RPC 2.0 here (method rpc.discover lists all); GET /v1, "
                      "/v1/events, /healthz, /readyz, /metrics; with a browser: the explorer.");
    else if (!rpc_explorer(r, req, path))
        rpc_send_line(r, req, 404, "Not Found", "no such page");
}

/* --- the thread ------------------------------------------------------------------------- */

void rpc_wake(struct poa_rpc *r)
{
    uint64_t one = 1;
    ssize_t n = write(r->event_fd, &one, sizeof one);
    (void)n; /* full means that it is awake already */
}

static void wake(void *ctx)
{
    rpc_wake(ctx);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct poa_rpc *r = arg;
    (void)what;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    if (__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
        event_base_loopbreak(r->base);
        return;
    }
    rpc_guard_take(r);
    poa_rpc_inbox_drain(r->box);
    rpc_events_tell(r);
}

static void *run(void *arg)
{
    struct poa_rpc *r = arg;
    pthread_setname_np(pthread_self(), "rpc");
    here = r;
    /* The core and its workers go first: readers must not make blocks late. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    event_base_dispatch(r->base);
    return NULL;
}

/* Refuses names: resolving one could give an address that was not meant. */
static int parse_host(const char *host, uint16_t port, struct sockaddr_storage *out,
                      ev_socklen_t *n, bool *loopback)
{
    memset(out, 0, sizeof *out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *n = sizeof *v4;
        *loopback = (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
        return POA_OK;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *n = sizeof *v6;
        *loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        return POA_OK;
    }
    return POA_E_CONFIG;
}

static const char *host_of(const struct poa_rpc_config *c)
{
    return c->host != NULL ? c->host : "127.0.0.1";
}

/* Where R listens, when it may. */
static int place(struct poa_rpc *r, const struct poa_rpc_config *c, struct sockaddr_storage *addr,
                 ev_socklen_t *n, struct poa_why *why)
{
    const char *host = host_of(c);
    if (parse_host(host, c->port, addr, n, &r->loopback) != POA_OK)
        return poa_because(why, POA_E_CONFIG, "rpc host %s: give a numeric address", host);
    if (!r->loopback && !r->tls && !c->behind_tls_proxy)
        return poa_because(why, POA_E_CONFIG,
                           "rpc host %s is reachable from other machines: give rpc_tls_cert and "
                           "rpc_tls_key, or put a TLS proxy in front and say so "
                           "(rpc_behind_tls_proxy), or use 127.0.0.1",
                           host);
    return POA_OK;
}

static int bind_port(struct poa_rpc *r, const struct poa_rpc_config *c, struct poa_why *why)
{
    struct sockaddr_storage addr;
    ev_socklen_t n = 0;
    int rc = place(r, c, &addr, &n, why);
    if (rc != POA_OK)
        return rc;
    r->listener = evconnlistener_new_bind(r->base, NULL, NULL,
                                          LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE |
                                              LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED,
                                          BACKLOG, (struct sockaddr *)&addr, (int)n);
    if (r->listener == NULL)
        return poa_because(why, errno == EADDRINUSE ? POA_E_LOCKED : POA_E_IO,
                           "rpc: cannot listen on %s port %u: %s", host_of(c), c->port,
                           strerror(errno));
    n = sizeof addr;
    if (getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *)&addr, &n) != 0)
        return poa_because(why, POA_E_IO, "rpc: %s", strerror(errno));
    r->port = ntohs(addr.ss_family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
                                              : ((struct sockaddr_in6 *)&addr)->sin6_port);
    return POA_OK;
}

static int start_http(struct poa_rpc *r, const struct poa_rpc_config *c)
{
    r->http = evhttp_new(r->base);
    if (r->http == NULL || evhttp_bind_listener(r->http, r->listener) == NULL)
        return POA_E_NO_MEMORY;
    evhttp_set_allowed_methods(r->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                            (r->cors[0] ? EVHTTP_REQ_OPTIONS : 0));
    evhttp_set_max_headers_size(r->http, HEADERS_MAX);
    uint32_t body_max = c->body_max != 0 ? c->body_max : BODY_DEFAULT;
    evhttp_set_max_body_size(r->http, (ev_ssize_t)body_max);
    r->body_max = body_max;
    evhttp_set_timeout(r->http, c->timeout_s != 0 ? (int)c->timeout_s : TIMEOUT_DEFAULT_S);
    evhttp_set_default_content_type(r->http, NULL);
    /* Who sends too much shall read why: what still comes is read and dropped. */
    if (evhttp_set_flags(r->http, EVHTTP_SERVER_LINGERING_CLOSE) != 0 ||
        rpc_conns_start(r) != POA_OK)
        return POA_E_NO_MEMORY;
    evhttp_set_gencb(r->http, on_request, r);
    evconnlistener_enable(r->listener);
    return POA_OK;
}

/* What is asked for, unless the descriptors of the process do not suffice. */
static uint32_t connections_max(const struct poa_rpc_config *c)
{
    uint32_t want = c->connections_max != 0 ? c->connections_max : CONNECTIONS_DEFAULT;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return want;
    uint64_t room = files.rlim_cur > 2 * DESCRIPTORS_OTHERS ? files.rlim_cur - DESCRIPTORS_OTHERS
                                                            : files.rlim_cur / 2;
    if (want > room)
        POA_LOG_INFO("rpc", "%llu connections instead of %u: the limit of open files is %llu",
                     (unsigned long long)room, want, (unsigned long long)files.rlim_cur);
    return want > room ? (uint32_t)room : want;
}

int poa_rpc_start(const struct poa_rpc_config *config, struct poa_rpc **out, struct poa_why *why)
{
    struct poa_rpc *r = calloc(1, sizeof *r);
    if (r == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "rpc: out of memory");
    r->node.backend = config->backend;
    r->node.genesis = config->genesis;
    if (poa_genesis_decode(config->genesis, &r->genesis) == POA_OK)
        r->node.parsed = &r->genesis;
    poa_genesis_chain_id(config->genesis, r->node.chain);
    r->connections_max = connections_max(config);
    r->client_max = r->connections_max > CLIENT_PART ? r->connections_max / CLIENT_PART : 1;
    r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->base = event_base_new();
    r->box = poa_rpc_inbox_new(wake, r);
    int rc = r->event_fd < 0 || r->base == NULL || r->box == NULL
                 ? poa_because(why, POA_E_NO_MEMORY, "rpc: out of memory or descriptors")
                 : rpc_guard_start(r, config, why);
    if (rc == POA_OK)
        rc = bind_port(r, config, why);
    if (rc == POA_OK) {
        r->wake = event_new(r->base, r->event_fd, EV_READ | EV_PERSIST, on_wake, r);
        if (r->wake == NULL || event_add(r->wake, NULL) != 0 || rpc_events_start(r) != POA_OK ||
            rpc_cache_start(r) != POA_OK || start_http(r, config) != POA_OK)
            rc = poa_because(why, POA_E_NO_MEMORY, "rpc: out of memory");
    }
    if (rc == POA_OK) {
        /* Signals belong to the main thread. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r->running = pthread_create(&r->thread, NULL, run, r) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!r->running)
            rc = poa_because(why, POA_E_NO_MEMORY, "rpc: cannot start a thread");
    }
    if (rc != POA_OK) {
        poa_rpc_stop(r);
        poa_rpc_free(r);
        return rc;
    }
    *out = r;
    return POA_OK;
}

uint16_t poa_rpc_port(const struct poa_rpc *r)
{
    return r->port;
}

void poa_rpc_tip(struct poa_rpc *r, uint64_t height)
{
    __atomic_store_n(&r->tip, height, __ATOMIC_RELEASE);
    wake(r);
}

void poa_rpc_stop(struct poa_rpc *r)
{
    if (r->running) {
        __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
        wake(r);
        pthread_join(r->thread, NULL);
        r->running = false;
    }
    if (r->box != NULL)
        poa_rpc_inbox_close(r->box);
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    rpc_conns_stop(r);
    rpc_events_stop(r);
    if (r->http != NULL)
        evhttp_free(r->http); /* closes the listener and every connection */
    else if (r->listener != NULL)
        evconnlistener_free(r->listener);
    r->http = NULL;
    r->listener = NULL;
    if (r->wake != NULL)
        event_free(r->wake);
    if (r->attach != NULL)
        event_free(r->attach);
    r->wake = r->attach = NULL;
    if (r->base != NULL)
        event_base_free(r->base);
    r->base = NULL;
    rpc_guard_stop(r);
    rpc_cache_stop(r);
}

void poa_rpc_free(struct poa_rpc *r)
{
    if (r == NULL)
        return;
    poa_rpc_inbox_free(r->box);
    if (r->event_fd >= 0)
        close(r->event_fd);
    free(r->by_fd);
    free(r);
}
