/* Which connections are open, whose they are, and which one must go. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server.h"

/* Accepted in one go before they are counted. */
#define FRESH_MAX 16
/* Without a free descriptor, and nothing to close, it listens again after this. */
#define PAUSE_MS 100
/* Of a request that is too long so much is read, so that its client gets to read why. */
#define INPUT_SPARE ((size_t)64 << 10)
#define DISCARD_MAX ((size_t)32 << 20)
/* Requests that are still coming, and answers that are not read yet. Past it the client that
 * holds most of them loses its largest. */
#define HELD_MAX ((size_t)64 << 20)

/* New connections that evhttp has not attached to yet. */
struct fresh {
    struct bufferevent *bev;
    struct fresh *next;
};

struct rpc_client {
    struct rpc_client *next; /* in its bucket */
    struct rpc_conn *first, *last;
    uint32_t conns;
    size_t held;
    uint8_t address[8];
};

/* --- clients ------------------------------------------------------------------------- */

/* An IPv4 address, or the network of an IPv6 one: a host has all of its /64. */
static void client_address(evutil_socket_t fd, uint8_t out[8])
{
    struct sockaddr_storage addr;
    socklen_t n = sizeof addr;
    memset(out, 0, 8);
    if (getpeername(fd, (struct sockaddr *)&addr, &n) != 0)
        return;
    if (addr.ss_family == AF_INET) {
        memcpy(out, &((struct sockaddr_in *)&addr)->sin_addr, 4);
    } else if (addr.ss_family == AF_INET6) {
        const uint8_t *v6 = ((struct sockaddr_in6 *)&addr)->sin6_addr.s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&addr)->sin6_addr))
            memcpy(out, v6 + 12, 4);
        else
            memcpy(out, v6, 8);
    }
}

static struct rpc_client **client_at(struct poa_rpc *r, const uint8_t address[8])
{
    uint32_t h = 0;
    for (size_t i = 0; i < 8; i++)
        h = h * 31 + address[i];
    struct rpc_client **at = &r->client[h % CLIENT_BUCKETS];
    while (*at != NULL && memcmp((*at)->address, address, 8) != 0)
        at = &(*at)->next;
    return at;
}

static void link_last(struct rpc_conn *c)
{
    struct rpc_client *client = c->client;
    c->next = NULL;
    c->prev = client->last;
    *(client->last != NULL ? &client->last->next : &client->first) = c;
    client->last = c;
}

static void unlink_conn(struct rpc_conn *c)
{
    struct rpc_client *client = c->client;
    *(c->prev != NULL ? &c->prev->next : &client->first) = c->next;
    *(c->next != NULL ? &c->next->prev : &client->last) = c->prev;
}

static struct rpc_client *fullest(struct poa_rpc *r)
{
    struct rpc_client *best = NULL;
    for (size_t i = 0; i < CLIENT_BUCKETS; i++)
        for (struct rpc_client *c = r->client[i]; c != NULL; c = c->next)
            if (best == NULL || c->conns > best->conns)
                best = c;
    return best;
}

/* The connection of CLIENT that it misses least, except KEEP. Streams go last: they are in
 * use. NULL: all have a request in work. */
static struct rpc_conn *victim(struct rpc_client *client, const struct rpc_conn *keep)
{
    static const enum conn_state order[] = {CONN_IDLE, CONN_ANSWER, CONN_STREAM};
    for (size_t i = 0; client != NULL && i < sizeof order / sizeof order[0]; i++)
        for (struct rpc_conn *c = client->first; c != NULL; c = c->next)
            if (c != keep && c->state == order[i])
                return c;
    return NULL;
}

/* --- ends ----------------------------------------------------------------------------- */

static void hold(struct rpc_conn *c, size_t n)
{
    c->held += n;
    c->client->held += n;
    c->server->held += n;
}

static void let_go(struct rpc_conn *c)
{
    c->server->held -= c->held;
    c->client->held -= c->held;
    c->held = 0;
}

/* What comes before a request is whole. evhttp reads on after a body that is too long, so
 * that the client gets to read the answer, but it reads on for ever. */
static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
    struct rpc_conn *c = arg;
    (void)in;
    struct poa_rpc *r = c->server;
    c->received += info->n_added;
    if (c->state == CONN_IDLE && c->received <= r->body_max)
        hold(c, info->n_added);
    else if (c->state == CONN_IDLE)
        let_go(c); /* from here on it is dropped */
    c->doomed |= c->received > r->body_max + DISCARD_MAX;
    if (c->doomed || r->held > HELD_MAX)
        event_active(r->attach, 0, 0);
}

/* By evhttp, however the connection ends. */
static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    struct rpc_conn *c = arg;
    struct poa_rpc *r = c->server;
    struct rpc_client *client = c->client;
    evbuffer_remove_cb(bufferevent_get_input(evhttp_connection_get_bufferevent(evcon)), on_input,
                       c);
    if (c->stream != NULL)
        rpc_stream_closed(c->stream);
    let_go(c);
    unlink_conn(c);
    r->by_fd[c->fd] = NULL;
    r->connections--;
    if (--client->conns == 0) {
        *client_at(r, client->address) = client->next;
        free(client);
    }
    free(c);
}

static bool evict(struct poa_rpc *r, struct rpc_client *client, const struct rpc_conn *keep)
{
    struct rpc_conn *c = victim(client, keep);
    if (c == NULL)
        return false;
    r->evicted++;
    evhttp_connection_free(c->evcon); /* calls on_closed */
    return true;
}

static void close_doomed(struct poa_rpc *r)
{
    for (size_t fd = 0; fd < r->by_fd_n; fd++) {
        struct rpc_conn *c = r->by_fd[fd];
        if (c == NULL || !c->doomed || c->state == CONN_CALL)
            continue;
        r->evicted++;
        evhttp_connection_free(c->evcon);
    }
}

static struct rpc_client *heaviest(struct poa_rpc *r)
{
    struct rpc_client *best = NULL;
    for (size_t i = 0; i < CLIENT_BUCKETS; i++)
        for (struct rpc_client *c = r->client[i]; c != NULL; c = c->next)
            if (best == NULL || c->held > best->held)
                best = c;
    return best;
}

static void shed(struct poa_rpc *r)
{
    while (r->held > HELD_MAX) {
        struct rpc_client *client = heaviest(r);
        struct rpc_conn *largest = NULL;
        for (struct rpc_conn *c = client != NULL ? client->first : NULL; c != NULL; c = c->next)
            if (c->state != CONN_CALL && c->held > (largest != NULL ? largest->held : 0))
                largest = c;
        if (largest == NULL)
            return;
        r->evicted++;
        evhttp_connection_free(largest->evcon);
    }
}

/* --- beginnings ------------------------------------------------------------------------ */

static bool fd_room(struct poa_rpc *r, evutil_socket_t fd)
{
    if (fd < 0)
        return false;
    size_t n = r->by_fd_n;
    while ((size_t)fd >= n)
        n = n > 0 ? 2 * n : 64;
    struct rpc_conn **grown = n > r->by_fd_n ? realloc(r->by_fd, n * sizeof *grown) : r->by_fd;
    if (grown == NULL)
        return false;
    for (size_t i = r->by_fd_n; i < n; i++)
        grown[i] = NULL;
    r->by_fd = grown;
    r->by_fd_n = n;
    return true;
}

static void attach(struct poa_rpc *r, struct bufferevent *bev, struct evhttp_connection *evcon)
{
    struct rpc_conn *c = calloc(1, sizeof *c);
    uint8_t address[8];
    evutil_socket_t fd = bufferevent_getfd(bev);
    client_address(fd, address);
    struct rpc_client **at = client_at(r, address);
    if (c != NULL && fd_room(r, fd) && *at == NULL && (*at = calloc(1, sizeof **at)) != NULL)
        memcpy((*at)->address, address, sizeof address);
    if (c == NULL || *at == NULL || fd < 0 || (size_t)fd >= r->by_fd_n) {
        free(c);
        evhttp_connection_free(evcon);
        return;
    }
    *c = (struct rpc_conn){.client = *at, .server = r, .evcon = evcon, .fd = fd};
    r->by_fd[fd] = c;
    c->client->conns++;
    r->connections++;
    link_last(c);
    evhttp_connection_set_closecb(evcon, on_closed, c);
    evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
    /* evhttp waits for a whole body in here; what follows a request waits outside. */
    bufferevent_setwatermark(bev, EV_READ, 0, r->body_max + INPUT_SPARE);
    bool room = true;
    if (c->client->conns > r->client_max)
        room = evict(r, c->client, c);
    if (room && r->connections > r->connections_max)
        room = evict(r, fullest(r), c);
    if (!room) {
        r->refused++;
        evhttp_connection_free(evcon);
    }
}

/* evhttp sets the connection as the argument of its callbacks on the bufferevent;
 * before the first request there is no other way to it. (libevent 2.2 has
 * evhttp_set_newreqcb; tests/unit/rpc/test_server.c would show a libevent where this no
 * longer holds.) */
static void on_attach(evutil_socket_t fd, short what, void *arg)
{
    struct poa_rpc *r = arg;
    (void)fd;
    (void)what;
    while (r->fresh != NULL) {
        struct fresh *f = r->fresh;
        r->fresh = f->next;
        void *evcon = NULL;
        bufferevent_event_cb event_cb = NULL;
        bufferevent_getcb(f->bev, NULL, NULL, &event_cb, &evcon);
        if (event_cb != NULL && evcon != NULL) /* else it is closed already */
            attach(r, f->bev, evcon);
        bufferevent_decref(f->bev);
        free(f);
    }
    r->fresh_n = 0;
    close_doomed(r);
    shed(r);
    if (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
        evconnlistener_enable(r->listener);
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct poa_rpc *r = arg;
    struct fresh *f = malloc(sizeof *f);
    struct bufferevent *bev = rpc_guard_accept(r);
    (void)base;
    if (f == NULL || bev == NULL) {
        free(f);
        if (bev != NULL)
            bufferevent_free(bev);
        return NULL;
    }
    bufferevent_incref(bev);
    *f = (struct fresh){bev, NULL};
    struct fresh **last = &r->fresh;
    while (*last != NULL)
        last = &(*last)->next;
    *last = f;
    event_active(r->attach, 0, 0);
    /* The listener accepts as long as clients come: others have their turn first. */
    if (++r->fresh_n == FRESH_MAX)
        evconnlistener_disable(r->listener);
    return bev;
}

/* Most likely out of descriptors. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct poa_rpc *r = arg;
    const struct timeval pause = {0, PAUSE_MS * 1000};
    int error = errno;
    if (evict(r, fullest(r), NULL))
        return;
    POA_LOG_WARN("rpc", "cannot accept a connection: %s", strerror(error));
    evconnlistener_disable(listener);
    event_add(r->attach, &pause);
}

int rpc_conns_start(struct poa_rpc *r)
{
    r->attach = event_new(r->base, -1, 0, on_attach, r);
    if (r->attach == NULL)
        return POA_E_NO_MEMORY;
    evconnlistener_set_error_cb(r->listener, on_accept_error);
    evhttp_set_bevcb(r->http, on_accept, r);
    return POA_OK;
}

void rpc_conns_stop(struct poa_rpc *r)
{
    if (r->attach != NULL)
        on_attach(-1, 0, r);
}

/* --- requests --------------------------------------------------------------------------- */

struct rpc_conn *rpc_conn_of(struct poa_rpc *r, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    if (evcon == NULL)
        return NULL;
    evutil_socket_t fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    struct rpc_conn *c = fd >= 0 && (size_t)fd < r->by_fd_n ? r->by_fd[fd] : NULL;
    return c != NULL && c->evcon == evcon ? c : NULL;
}

const uint8_t *rpc_conn_address(const struct rpc_conn *c)
{
    return c->client->address;
}

void rpc_conn_call(struct rpc_conn *c)
{
    c->state = CONN_CALL;
    let_go(c);
    c->received = 0;
    c->doomed = false;
}

static void on_answered(struct evhttp_request *req, void *arg)
{
    struct rpc_conn *c = arg;
    (void)req;
    let_go(c);
    c->state = CONN_IDLE;
    unlink_conn(c);
    link_last(c);
}

void rpc_conn_answer(struct rpc_conn *c, struct evhttp_request *req, size_t n)
{
    c->state = CONN_ANSWER;
    hold(c, n);
    evhttp_request_set_on_complete_cb(req, on_answered, c);
    if (c->server->held > HELD_MAX)
        event_active(c->server->attach, 0, 0);
}
