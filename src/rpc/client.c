/* The client side: single calls, and a paced stream of requests. */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "poa_rpc_client.h"
#include "tls.h"

#define ANSWER_BYTES_MAX (64 * 1024 * 1024)

struct target {
    char host[256];
    char authority[300]; /* Host header */
    uint16_t port;
    bool tls;
    const char *token; /* NULL: none */
};

static int parse_url(const char *url, struct target *out, struct poa_why *why)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *scheme = uri != NULL ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri != NULL ? evhttp_uri_get_host(uri) : NULL;
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    int rc = POA_OK;
    bool tls = scheme != NULL && strcmp(scheme, "https") == 0;
    bool more = path == NULL || (path[0] != 0 && strcmp(path, "/") != 0) ||
                evhttp_uri_get_query(uri) != NULL || evhttp_uri_get_userinfo(uri) != NULL;
    if (scheme == NULL || (!tls && strcmp(scheme, "http") != 0) || host == NULL || host[0] == 0 ||
        strlen(host) >= sizeof out->host || more || evhttp_uri_get_port(uri) > 65535) {
        rc = poa_because(why, POA_E_CONFIG, "%.200s: give an address like http://127.0.0.1:%d", url,
                         POA_RPC_PORT_DEFAULT);
    } else {
        int port = evhttp_uri_get_port(uri);
        out->tls = tls;
        out->port = port > 0 ? (uint16_t)port : POA_RPC_PORT_DEFAULT;
        size_t n = strlen(host);
        bool brackets = host[0] == '['; /* IPv6; evhttp connects without them */
        snprintf(out->host, sizeof out->host, "%.*s", (int)(brackets ? n - 2 : n),
                 brackets ? host + 1 : host);
        snprintf(out->authority, sizeof out->authority, "%s:%u", host, out->port);
    }
    if (uri != NULL)
        evhttp_uri_free(uri);
    return rc;
}

int poa_rpc_client_url(const char *url, struct poa_why *why)
{
    struct target target;
    return parse_url(url, &target, why);
}

/* BEV: what it goes over, taken; NULL: plain TCP. */
static struct evhttp_connection *connect_to(struct event_base *base, struct bufferevent *bev,
                                            const struct target *t, uint32_t timeout_ms)
{
    struct evhttp_connection *evcon =
        evhttp_connection_base_bufferevent_new(base, NULL, bev, t->host, t->port);
    if (evcon == NULL)
        return NULL;
    struct timeval tv = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    evhttp_connection_set_timeout_tv(evcon, &tv);
    evhttp_connection_set_max_body_size(evcon, ANSWER_BYTES_MAX);
    return evcon;
}

/* False: it could not be sent, and DONE is not called. */
static bool post(struct evhttp_connection *evcon, const struct target *t, const char *body,
                 size_t n, void (*done)(struct evhttp_request *, void *),
                 void (*failed)(enum evhttp_request_error, void *), void *arg)
{
    struct evhttp_request *req = evhttp_request_new(done, arg);
    if (req == NULL)
        return false;
    if (failed != NULL)
        evhttp_request_set_error_cb(req, failed);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    evhttp_add_header(headers, "Host", t->authority);
    evhttp_add_header(headers, "Content-Type", "application/json");
    if (t->token != NULL)
        evhttp_add_header(headers, "Authorization", t->token);
    evbuffer_add(evhttp_request_get_output_buffer(req), body, n);
    return evhttp_make_request(evcon, req, EVHTTP_REQ_POST, "/") == 0;
}

/* --- one call at a time -------------------------------------------------------------- */

struct poa_rpc_client {
    struct event_base *base;
    struct evhttp_connection *evcon;
    struct target target;
    struct poa_rpc_trust trust;
    struct ssl_ctx_st *tls;
    struct ssl_st *ssl; /* of EVCON */
    char authorization[200];
    uint32_t timeout_ms;
    uint64_t id;
    bool done;
    int failure;
    int status;
    json_t *answer;
};

static int start_trust(struct poa_rpc_client *c, const struct poa_rpc_trust *trust,
                       struct poa_why *why)
{
    if (trust != NULL)
        c->trust = *trust;
    bool secure = c->trust.cacert != NULL || c->trust.pinned;
    if (secure && !c->target.tls)
        return poa_because(why, POA_E_CONFIG,
                           "--cacert and --pin are for https, but %s is asked with http",
                           c->target.authority);
    if (c->trust.token[0] && !c->target.tls && !rpc_loopback_name(c->target.host))
        return poa_because(why, POA_E_CONFIG, "a token does not go to %s in plain text: use https",
                           c->target.authority);
    if (c->trust.token[0]) {
        snprintf(c->authorization, sizeof c->authorization, "Bearer %s", c->trust.token);
        c->target.token = c->authorization;
    }
    return c->target.tls ? rpc_tls_client(&c->trust, &c->tls, why) : POA_OK;
}

int poa_rpc_client_new(const char *url, const struct poa_rpc_trust *trust, uint32_t timeout_ms,
                       struct poa_rpc_client **out, struct poa_why *why)
{
    struct poa_rpc_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    int rc = parse_url(url, &c->target, why);
    c->timeout_ms = timeout_ms;
    if (rc == POA_OK && (c->base = event_base_new()) == NULL)
        rc = poa_because(why, POA_E_NO_MEMORY, "out of memory");
    if (rc == POA_OK)
        rc = start_trust(c, trust, why);
    if (rc != POA_OK) {
        poa_rpc_client_free(c);
        return rc;
    }
    *out = c;
    return POA_OK;
}

void poa_rpc_client_free(struct poa_rpc_client *c)
{
    if (c == NULL)
        return;
    if (c->evcon != NULL)
        evhttp_connection_free(c->evcon);
    if (c->base != NULL)
        event_base_free(c->base);
    rpc_tls_free(c->tls);
    poa_wipe(&c->trust, sizeof c->trust);
    poa_wipe(c->authorization, sizeof c->authorization);
    free(c);
}

/* A session of TLS serves one call: a closed one cannot be taken up again. */
static void disconnect(struct poa_rpc_client *c)
{
    if (c->evcon != NULL)
        evhttp_connection_free(c->evcon);
    c->evcon = NULL;
    c->ssl = NULL;
}

static bool reconnect(struct poa_rpc_client *c)
{
    struct bufferevent *bev = NULL;
    if (c->tls != NULL) {
        disconnect(c);
        bev = rpc_tls_connect(c->base, c->tls, &c->trust, c->target.host, &c->ssl);
        if (bev == NULL)
            return false;
    }
    if (c->evcon == NULL)
        c->evcon = connect_to(c->base, bev, &c->target, c->timeout_ms);
    return c->evcon != NULL;
}

static void call_failed(enum evhttp_request_error error, void *arg)
{
    struct poa_rpc_client *c = arg;
    c->failure = error == EVREQ_HTTP_TIMEOUT ? POA_E_TIMEOUT : POA_E_CLOSED;
}

static void call_done(struct evhttp_request *req, void *arg)
{
    struct poa_rpc_client *c = arg;
    c->done = true;
    c->status = req != NULL ? evhttp_request_get_response_code(req) : 0;
    if (c->status == 0) {
        if (c->failure == POA_OK)
            c->failure = POA_E_CLOSED;
    } else {
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        size_t n = evbuffer_get_length(in);
        const char *text = n > 0 ? (const char *)evbuffer_pullup(in, -1) : NULL;
        c->answer = text != NULL ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    }
    event_base_loopbreak(c->base);
}

/* What the node's error object says. */
static int error_of(const json_t *error, struct poa_why *why)
{
    const json_t *data = json_object_get(error, "data");
    const char *message = json_string_value(json_object_get(error, "message"));
    json_int_t number = json_integer_value(json_object_get(data, "code"));
    const char *name = json_string_value(json_object_get(data, "name"));
    if (message == NULL)
        message = "the node refused without saying why";
    if (number > 0 && number < 100000)
        return poa_because(why, (int)-number, "%s (%s)", message, name ? name : "error");
    if (json_is_string(data))
        return poa_because(why, POA_E_INVALID, "%s: %s", message, json_string_value(data));
    return poa_because(why, POA_E_INVALID, "%s", message);
}

/* Whether anybody takes connections there: what failed was then not for want of one. */
static bool listens(const struct target *t)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    const struct timeval patience = {.tv_sec = 1};
    char port[8];
    bool yes = false;
    snprintf(port, sizeof port, "%u", t->port);
    if (getaddrinfo(t->host, port, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *a = list; a != NULL && !yes; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        yes = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
              connect(fd, a->ai_addr, a->ai_addrlen) == 0;
        close(fd);
    }
    freeaddrinfo(list);
    return yes;
}

static json_t *request_of(struct poa_rpc_client *c, const char *method, json_t *params)
{
    return json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id", (json_int_t)++c->id, "method",
                     method, "params", params);
}

/* Sends REQUEST, which is taken; *ANSWER is what came, NULL when it is no JSON. */
static int exchange(struct poa_rpc_client *c, json_t *request, json_t **answer, struct poa_why *why)
{
    char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (text == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    c->done = false;
    c->failure = POA_OK;
    c->answer = NULL;
    /* Notices when the node closed the connection since the last call; evhttp then
     * connects anew. */
    event_base_loop(c->base, EVLOOP_NONBLOCK);
    bool sent =
        reconnect(c) && post(c->evcon, &c->target, text, strlen(text), call_done, call_failed, c);
    free(text);
    if (sent)
        while (!c->done && event_base_dispatch(c->base) == 0)
            ;
    if (!sent || !c->done || c->failure != POA_OK) {
        const char *refusal = c->ssl != NULL ? rpc_tls_refusal(c->ssl) : NULL;
        char reason[128];
        snprintf(reason, sizeof reason, "%s", refusal != NULL ? refusal : "");
        disconnect(c);
        int rc = c->failure != POA_OK ? c->failure : POA_E_CLOSED;
        if (reason[0])
            return poa_because(why, POA_E_KEY,
                               "%s: its certificate is not trusted: %s (--cacert FILE or --pin "
                               "SHA256 say what is)",
                               c->target.authority, reason);
        if (rc == POA_E_CLOSED && listens(&c->target))
            return poa_because(why, rc,
                               "%s:%u takes connections but does not answer over %s: is it %s? "
                               "(--rpc URL)",
                               c->target.host, c->target.port, c->target.tls ? "https" : "http",
                               c->target.tls ? "http" : "https");
        return poa_because(why, rc, "%s:%u: %s", c->target.host, c->target.port,
                           rc == POA_E_TIMEOUT ? "no answer in time: is the node overloaded?"
                                               : "nobody answers: is the node running? (--rpc URL "
                                                 "names another)");
    }
    *answer = c->answer;
    return POA_OK;
}

/* What ANSWER to one call says. */
static int result_of(const struct poa_rpc_client *c, const json_t *answer, json_t **result,
                     struct poa_why *why)
{
    int rc = POA_OK;
    const json_t *error = json_object_get(answer, "error");
    json_t *value = json_object_get(answer, "result");
    if (error != NULL)
        rc = error_of(error, why);
    else if (c->status == 401)
        rc = poa_because(why, POA_E_FORBIDDEN,
                         "%s wants a token with the right for this, or does "
                         "not know the one that it got (--token-file FILE)",
                         c->target.authority);
    else if (value == NULL)
        rc = poa_because(why, POA_E_TEXT, "%s:%u answers HTTP %d, but not JSON-RPC: is it a node?",
                         c->target.host, c->target.port, c->status);
    else
        *result = json_incref(value);
    return rc;
}

int poa_rpc_client_call(struct poa_rpc_client *c, const char *method, json_t *params,
                        json_t **result, struct poa_why *why)
{
    json_t *answer = NULL;
    int rc = exchange(c, request_of(c, method, params), &answer, why);
    if (rc == POA_OK)
        rc = result_of(c, answer, result, why);
    json_decref(answer);
    return rc;
}

/* The answers of a batch come in any order; NULL when the one with ID is missing. */
static json_t *answer_with(const json_t *answers, json_int_t id)
{
    json_t *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)answers, i,
                       v) if (json_integer_value(json_object_get(v, "id")) == id) return v;
    return NULL;
}

int poa_rpc_client_batch(struct poa_rpc_client *c, const char *method, json_t *params,
                         json_t **results, struct poa_why *why)
{
    json_t *requests = json_array(), *all = json_array(), *answers = NULL, *one;
    json_int_t first = (json_int_t)c->id + 1;
    size_t i, n = json_array_size(params);
    json_array_foreach(params, i, one)
        json_array_append_new(requests, request_of(c, method, json_incref(one)));
    json_decref(params);
    int rc = exchange(c, requests, &answers, why);
    if (rc == POA_OK && !json_is_array(answers)) /* refused as a whole, or not JSON-RPC */
        rc = result_of(c, answers, &one, why) == POA_OK
                 ? poa_because(why, POA_E_TEXT, "%s: no answer to a batch", c->target.authority)
                 : POA_E_INVALID;
    for (i = 0; rc == POA_OK && i < n; i++) {
        rc = result_of(c, answer_with(answers, first + (json_int_t)i), &one, why);
        if (rc == POA_OK && json_array_append_new(all, one) != 0)
            rc = poa_because(why, POA_E_NO_MEMORY, "out of memory");
    }
    json_decref(answers);
    if (rc == POA_OK)
        *results = all;
    else
        json_decref(all);
    return rc;
}

/* --- a paced stream --------------------------------------------------------------------- */

#define LINKS_PER_NODE 8
#define RETRY_NODE_MS  500
#define TICK_US        2000

/* One keep-alive connection. Lanes are spread over links by number, and a link
 * sends one request at a time, so a lane stays in order, also when its link moves
 * to another node. */
struct link {
    struct poa_rpc_load *load;
    struct evhttp_connection *evcon;
    struct event *again; /* paused: every node is down, or the pool is full */
    size_t node;
    size_t *queue; /* items that wait, in order: a ring */
    size_t head, n, cap;
    uint64_t sent_us;
    uint32_t tries; /* of the item at the head */
    bool busy, resent, stale;
};

struct poa_rpc_load {
    struct poa_rpc_load_config config;
    struct target *target;
    uint64_t *down_until_us; /* per node */
    struct event_base *base;
    struct event *tick;
    struct link *link;
    size_t links;
    size_t next; /* item */
    size_t open; /* queued or under way */
    uint64_t start_us;
    pthread_t thread;
    bool started, stop;   /* STOP is atomic */
    pthread_mutex_t lock; /* STATS and DONE */
    struct poa_rpc_load_stats stats;
    bool done;
};

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void link_send(struct link *k);

static void link_drop(struct link *k)
{
    if (k->evcon != NULL)
        evhttp_connection_free(k->evcon);
    k->evcon = NULL;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    link_send(arg);
}

static void link_pause(struct link *k, uint32_t ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    event_add(k->again, &tv);
}

enum fate { ACCEPTED, REJECTED, FAILED };

/* The item at the head is done. */
static void settle(struct link *k, enum fate fate, int error)
{
    struct poa_rpc_load *l = k->load;
    k->head = (k->head + 1) % k->cap;
    k->n--;
    k->tries = 0;
    k->resent = false;
    l->open--;
    pthread_mutex_lock(&l->lock);
    switch (fate) {
    case ACCEPTED:
        l->stats.accepted++;
        poa_histogram_add(&l->stats.answer, now_us() - k->sent_us);
        break;
    case REJECTED:
        l->stats.rejected++;
        if (l->stats.first_error == 0)
            l->stats.first_error = error;
        break;
    case FAILED:
        l->stats.failed++;
        break;
    }
    l->done = l->next == l->config.items && l->open == 0;
    pthread_mutex_unlock(&l->lock);
}

/* The next node that is not known to be down, after the one in use. */
static bool choose_node(struct link *k)
{
    struct poa_rpc_load *l = k->load;
    uint64_t now = now_us();
    for (size_t i = 0; i < l->config.urls; i++) {
        size_t node = (k->node + i) % l->config.urls;
        if (l->down_until_us[node] <= now) {
            k->node = node;
            return true;
        }
    }
    return false;
}

/* The node did not answer: another one gets the item. It may have been accepted
 * all the same, so a duplicate counts as accepted. The connection is left later:
 * evhttp is still using it while it calls back. */
static void reroute(struct link *k)
{
    struct poa_rpc_load *l = k->load;
    l->down_until_us[k->node] = now_us() + RETRY_NODE_MS * 1000;
    k->stale = true;
    k->resent = true;
    pthread_mutex_lock(&l->lock);
    l->stats.rerouted++;
    pthread_mutex_unlock(&l->lock);
    if (++k->tries > l->config.retries)
        settle(k, FAILED, 0);
    link_pause(k, 1);
}

static int answer_code(struct evhttp_request *req)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t n = evbuffer_get_length(in);
    const char *text = n > 0 ? (const char *)evbuffer_pullup(in, -1) : NULL;
    json_t *v = text != NULL ? json_loadb(text, n, 0, NULL) : NULL;
    const json_t *error = json_object_get(v, "error");
    int code = POA_OK;
    if (error != NULL)
        code = -(int)json_integer_value(json_object_get(json_object_get(error, "data"), "code"));
    if (v == NULL || (error != NULL && code == POA_OK))
        code = POA_E_INVALID;
    json_decref(v);
    return code;
}

static void on_answer(struct evhttp_request *req, void *arg)
{
    struct link *k = arg;
    if (__atomic_load_n(&k->load->stop, __ATOMIC_ACQUIRE))
        return;
    k->busy = false;
    if (req == NULL || evhttp_request_get_response_code(req) != 200) {
        reroute(k);
        return;
    }
    int code = answer_code(req);
    if (code == POA_OK ||
        (k->resent && (code == POA_E_TX_DUPLICATE || code == POA_E_TX_NONCE_USED)))
        settle(k, ACCEPTED, 0);
    else if (poa_error_class(code) == POA_CLASS_RETRY && ++k->tries <= k->load->config.retries) {
        link_pause(k, 20);
        return;
    } else
        settle(k, REJECTED, code);
    link_send(k);
}

static void link_send(struct link *k)
{
    struct poa_rpc_load *l = k->load;
    if (k->busy || k->n == 0 || __atomic_load_n(&l->stop, __ATOMIC_ACQUIRE) ||
        event_pending(k->again, EV_TIMEOUT, NULL))
        return;
    if (k->stale)
        link_drop(k);
    k->stale = false;
    if (!choose_node(k)) {
        link_pause(k, 50);
        return;
    }
    if (k->evcon == NULL)
        k->evcon = connect_to(l->base, NULL, &l->target[k->node], l->config.timeout_ms);
    const struct poa_rpc_load_item *item = &l->config.item[k->queue[k->head]];
    k->sent_us = now_us();
    k->busy = true;
    if (k->evcon == NULL ||
        !post(k->evcon, &l->target[k->node], item->body, item->body_n, on_answer, NULL, k)) {
        k->busy = false;
        reroute(k);
    }
}

static void enqueue(struct poa_rpc_load *l)
{
    size_t i = l->next++;
    struct link *k = &l->link[l->config.item[i].lane % l->links];
    k->queue[(k->head + k->n++) % k->cap] = i;
    l->open++;
    link_send(k);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct poa_rpc_load *l = arg;
    (void)fd;
    (void)what;
    if (__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
        event_base_loopbreak(l->base);
        return;
    }
    double due = l->config.per_second > 0
                     ? (double)(now_us() - l->start_us) * l->config.per_second / 1e6
                     : (double)l->config.items;
    size_t before = l->next;
    while (l->next < l->config.items && (double)l->next < due && l->open < l->config.window)
        enqueue(l);
    if (l->next != before) {
        pthread_mutex_lock(&l->lock);
        l->stats.offered = l->next;
        pthread_mutex_unlock(&l->lock);
    }
    struct timeval tv = {0, TICK_US};
    event_add(l->tick, &tv);
}

static void *run(void *arg)
{
    struct poa_rpc_load *l = arg;
    pthread_setname_np(pthread_self(), "load");
    l->start_us = now_us();
    on_tick(-1, 0, l);
    event_base_dispatch(l->base);
    return NULL;
}

static int load_prepare(struct poa_rpc_load *l, struct poa_why *why)
{
    const struct poa_rpc_load_config *c = &l->config;
    l->target = calloc(c->urls, sizeof *l->target);
    l->down_until_us = calloc(c->urls, sizeof *l->down_until_us);
    l->links = c->urls * LINKS_PER_NODE;
    l->link = calloc(l->links, sizeof *l->link);
    l->base = event_base_new();
    if (c->urls == 0 || c->window == 0)
        return poa_because(why, POA_E_INVALID, "load: no node, or no window");
    if (l->target == NULL || l->down_until_us == NULL || l->link == NULL || l->base == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "load: out of memory");
    for (size_t i = 0; i < c->urls; i++) {
        int rc = parse_url(c->url[i], &l->target[i], why);
        if (rc == POA_OK && l->target[i].tls)
            rc = poa_because(why, POA_E_CONFIG, "load goes over http");
        if (rc != POA_OK)
            return rc;
    }
    l->tick = event_new(l->base, -1, 0, on_tick, l);
    bool fine = l->tick != NULL;
    for (size_t i = 0; i < l->links; i++) {
        struct link *k = &l->link[i];
        k->load = l;
        k->node = i % c->urls;
        k->cap = c->window + 1;
        k->queue = calloc(k->cap, sizeof *k->queue);
        k->again = event_new(l->base, -1, 0, on_again, k);
        fine = fine && k->queue != NULL && k->again != NULL;
    }
    return fine ? POA_OK : poa_because(why, POA_E_NO_MEMORY, "load: out of memory");
}

int poa_rpc_load_start(const struct poa_rpc_load_config *config, struct poa_rpc_load **out,
                       struct poa_why *why)
{
    struct poa_rpc_load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "load: out of memory");
    l->config = *config;
    l->done = config->items == 0;
    pthread_mutex_init(&l->lock, NULL);
    int rc = load_prepare(l, why);
    if (rc == POA_OK) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        l->started = pthread_create(&l->thread, NULL, run, l) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!l->started)
            rc = poa_because(why, POA_E_NO_MEMORY, "load: cannot start a thread");
    }
    if (rc != POA_OK) {
        poa_rpc_load_free(l);
        return rc;
    }
    *out = l;
    return POA_OK;
}

bool poa_rpc_load_stats(struct poa_rpc_load *l, struct poa_rpc_load_stats *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    bool done = l->done;
    pthread_mutex_unlock(&l->lock);
    return done;
}

void poa_rpc_load_free(struct poa_rpc_load *l)
{
    if (l == NULL)
        return;
    __atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
    if (l->started)
        pthread_join(l->thread, NULL);
    for (size_t i = 0; l->link != NULL && i < l->links; i++) {
        struct link *k = &l->link[i];
        link_drop(k);
        if (k->again != NULL)
            event_free(k->again);
        free(k->queue);
    }
    if (l->tick != NULL)
        event_free(l->tick);
    if (l->base != NULL)
        event_base_free(l->base);
    pthread_mutex_destroy(&l->lock);
    free(l->link);
    free(l->down_until_us);
    free(l->target);
    free(l);
}
