/* The gateway's life: socket, thread, loop, and what other threads post. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* Connections taken in one turn of the loop, so that a storm starves nobody. */
#define ACCEPT_BURST 64
/* Devices wait in the kernel's queue until a node that starts is where the others are: half of
 * their patience (POA_DEVICE_HANDSHAKE_MS). */
#define START_MS 5000
/* A stop waits this long for the last words to leave. */
#define DRAIN_MS 500

const struct poa_gateway_limits poa_gateway_limits_default = {
    .connections = 16384,
    .strangers = 512,
    .per_address = 256,
    .unregistered = 256,
    .handshakes_per_s = 1000,
    .frames_per_s = 50,
    .bytes_per_s = 65536,
    .send_queue_bytes = 131072,
    .handshake_ms = 5000,
    .ping_ms = 30000,
    .day_kib = 16384,
    .packs_waiting = 65536,
};

/* --- accepting ---------------------------------------------------------------- */

static void listen_on(struct poa_gateway *g, bool on)
{
    if (on == g->listening)
        return;
    g->listening = on;
    if (on)
        event_add(&g->listen_ev, NULL);
    else
        event_del(&g->listen_ev);
}

/* Refills the budget of handshakes; a second's worth may gather. */
static void refill_handshakes(struct poa_gateway *g)
{
    uint64_t now = gateway_now_ms(g);
    double rate = g->config.limits.handshakes_per_s;
    g->handshakes_left += (double)(now - g->handshakes_ms) * rate / 1000;
    if (g->handshakes_left > rate)
        g->handshakes_left = rate;
    g->handshakes_ms = now;
}

/* Whether somebody may come in now. Else they wait in the kernel's backlog; the tick looks
 * again. */
static bool may_accept(const struct poa_gateway *g)
{
    if (g->handshakes_left < 1 || g->strangers >= g->config.limits.strangers || g->draining)
        return false;
    return g->served || !atomic_load(&g->away) || gateway_now_ms(g) - g->started_ms >= START_MS;
}

/* Hosts of one IPv6 network are as easily had as ports of one host. */
static uint64_t address_of(const struct sockaddr_storage *a)
{
    uint64_t v = 0;
    if (a->ss_family == AF_INET6) {
        memcpy(&v, ((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr, sizeof v);
    } else {
        uint32_t v4 = ((const struct sockaddr_in *)a)->sin_addr.s_addr;
        memcpy(&v, &v4, sizeof v4);
    }
    return v;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct poa_gateway *g = arg;
    (void)what;
    refill_handshakes(g);
    for (int i = 0; i < ACCEPT_BURST; i++) {
        if (!may_accept(g)) {
            listen_on(g, false);
            return;
        }
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t from_n = sizeof from;
        int s = accept4(fd, (struct sockaddr *)&from, &from_n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                POA_LOG_LIMITED(10000, POA_LOG_WARN, "gateway", "cannot accept: %s",
                                strerror(errno));
                listen_on(g, false);
            }
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return;
        }
        g->handshakes_left -= 1;
        STAT_ADD(g, accepted, 1);
        conn_accept(g, s, address_of(&from));
    }
}

/* --- posts ------------------------------------------------------------------------ */

static void post(struct poa_gateway *g, struct post *p)
{
    pthread_mutex_lock(&g->mutex);
    bool was_empty = !g->first;
    p->next = NULL;
    *g->last = p;
    g->last = &p->next;
    pthread_mutex_unlock(&g->mutex);
    if (was_empty) {
        uint64_t one = 1;
        ssize_t n = write(g->wake_fd, &one, sizeof one);
        (void)n; /* EAGAIN: it is awake */
    }
}

static struct post *post_new(enum post_kind kind, size_t bytes)
{
    struct post *p = calloc(1, sizeof *p + bytes);
    if (!p)
        POA_LOG_LIMITED(1000, POA_LOG_ERROR, "gateway", "out of memory: a message is lost");
    else
        p->kind = kind;
    return p;
}

static struct poa_slice keep(uint8_t **at, struct poa_slice s)
{
    uint8_t *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return poa_slice(p, s.n);
}

static struct poa_gateway_proof keep_proof(uint8_t **at, const struct poa_gateway_proof *from)
{
    struct poa_gateway_proof to;
    to.header = keep(at, from->header);
    to.links = keep(at, from->links);
    to.cert = keep(at, from->cert);
    return to;
}

void poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e)
{
    struct post *p = post_new(POST_EPOCH, e->committee.n + e->closing.header.n +
                                              e->closing.links.n + e->closing.cert.n);
    if (!p)
        return;
    uint8_t *at = p->bytes;
    p->epoch.info = e->info;
    p->epoch.committee = keep(&at, e->committee);
    p->epoch.closing = keep_proof(&at, &e->closing);
    post(g, p);
}

void poa_gateway_slot(struct poa_gateway *g, uint64_t slot, const struct poa_gateway_proof *block,
                      const uint8_t (*seats)[32], size_t seats_n)
{
    struct post *p =
        post_new(POST_SLOT, block->header.n + block->links.n + block->cert.n + seats_n * 32);
    if (!p)
        return;
    uint8_t *at = p->bytes;
    p->slot = slot;
    p->seats = (uint8_t(*)[32])at;
    p->seats_n = seats_n;
    if (seats_n)
        memcpy(at, seats, seats_n * 32);
    at += seats_n * 32;
    p->proof = keep_proof(&at, block);
    post(g, p);
}

void poa_gateway_serve(struct poa_gateway *g, bool serves)
{
    atomic_store(&g->away, !serves);
}

void poa_gateway_result(struct poa_gateway *g, uint64_t token, int code)
{
    struct post *p = post_new(POST_RESULT, 0);
    if (!p)
        return;
    p->token = token;
    p->code = code;
    post(g, p);
}

void poa_gateway_proved(struct poa_gateway *g, uint64_t token, int code,
                        const struct poa_gateway_answer *a)
{
    static const struct poa_gateway_answer none;
    if (code)
        a = &none;
    struct post *p = post_new(POST_PROVED, a->value.n + a->proof.n + a->block.header.n +
                                               a->block.links.n + a->block.cert.n);
    if (!p)
        return;
    uint8_t *at = p->bytes;
    p->token = token;
    p->code = code;
    p->answer.value = keep(&at, a->value);
    p->answer.proof = keep(&at, a->proof);
    p->answer.block = keep_proof(&at, &a->block);
    post(g, p);
}

static void drain(struct poa_gateway *g, uint32_t retry_ms)
{
    g->draining = true;
    g->drain_ms = gateway_now_ms(g) + DRAIN_MS;
    listen_on(g, false);
    for (uint32_t i = 0; i < g->high; i++)
        if (g->conn[i] && g->conn[i]->state != CONN_TRUNK)
            conn_bye(g->conn[i], POA_OK, retry_ms);
    for (uint32_t i = 0; i < g->high; i++)
        if (g->conn[i] && g->conn[i]->state == CONN_TRUNK)
            conn_bye(g->conn[i], POA_OK, retry_ms);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct poa_gateway *g = arg;
    uint64_t n;
    (void)what;
    while (read(fd, &n, sizeof n) > 0)
        ;
    pthread_mutex_lock(&g->mutex);
    struct post *p = g->first;
    g->first = NULL;
    g->last = &g->first;
    pthread_mutex_unlock(&g->mutex);
    while (p) {
        struct post *next = p->next;
        switch (p->kind) {
        case POST_EPOCH:
            tasks_epoch(g, p);
            break;
        case POST_SLOT:
            tasks_slot(g, p);
            break;
        case POST_RESULT:
            serve_result(g, p->token, p->code);
            free(p);
            break;
        case POST_PROVED:
            serve_proved(g, p->token, p->code, &p->answer);
            free(p);
            break;
        case POST_STOP:
            drain(g, p->retry_ms);
            free(p);
            break;
        }
        p = next;
    }
    conn_bury(g);
}

/* --- the loop ------------------------------------------------------------------------ */

static void sweep(struct poa_gateway *g, uint64_t now)
{
    for (uint32_t i = 0; i < g->high; i++) {
        struct conn *c = g->conn[i];
        if (!c)
            continue;
        conn_expire(c, now);
        if (c->state != CONN_GREETED)
            continue;
        if (c->status == POA_EDGE_UNREGISTERED && serve_status(c) && !serve_welcome(c))
            continue;
        if (c->reward_slot && g->newest_slot >= c->reward_slot)
            serve_reward(c);
    }
}

/* What the node says of itself has changed. */
static void look_away(struct poa_gateway *g)
{
    bool away = atomic_load(&g->away);
    g->served |= !away;
    if (away == g->was_away)
        return;
    g->was_away = away;
    for (uint32_t i = 0; away && i < g->high; i++)
        if (g->conn[i] && g->conn[i]->state == CONN_GREETED)
            conn_away(g->conn[i]);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct poa_gateway *g = arg;
    uint64_t now = gateway_now_ms(g);
    (void)fd;
    (void)what;
    if (g->draining) {
        bool waiting = false;
        for (uint32_t i = 0; i < g->high; i++)
            waiting |= g->conn[i] && g->conn[i]->state != CONN_DEAD;
        if (!waiting || now >= g->drain_ms)
            event_base_loopbreak(g->base);
        conn_bury(g);
        return;
    }
    refill_handshakes(g);
    look_away(g);
    if (may_accept(g))
        listen_on(g, true);
    if (g->throttled)
        for (uint32_t i = 0; i < g->high; i++)
            if (g->conn[i] && g->conn[i]->throttled)
                conn_resume(g->conn[i]);
    if (now - g->swept_ms >= GATEWAY_SWEEP_MS) {
        g->swept_ms = now;
        sweep(g, now);
        passes_tick(g);
    }
    anchor_tick(g);
    conn_bury(g);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    struct poa_gateway *g = arg;
    (void)fd;
    (void)what;
    if (!g->draining)
        tasks_tell(g);
    conn_bury(g);
}

static void *loop(void *arg)
{
    struct poa_gateway *g = arg;
    event_base_dispatch(g->base);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------ */

static int bind_to(struct poa_gateway *g, struct poa_why *why)
{
    const char *host = g->config.host ? g->config.host : "127.0.0.1";
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
    };
    struct addrinfo *info = NULL;
    char port[8];
    int on = 1;
    for (unsigned v = g->config.port, i = 5; i-- > 0; v /= 10)
        port[i] = (char)('0' + v % 10);
    port[5] = 0;
    if (getaddrinfo(host, port, &hints, &info))
        return poa_because(why, POA_E_CONFIG, "gateway address %s is not a numeric IP address",
                           host);
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int e = POA_OK;
    struct sockaddr_storage own;
    socklen_t own_n = sizeof own;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&own, &own_n))
        e = poa_because(why, POA_E_IO, "gateway cannot listen on %s port %u: %s", host,
                        g->config.port, strerror(errno));
    freeaddrinfo(info);
    if (e) {
        if (fd >= 0)
            close(fd);
        return e;
    }
    g->listen_fd = fd;
    g->port = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                              : ((struct sockaddr_in *)&own)->sin_port);
    return POA_OK;
}

static int encode_params(struct poa_gateway *g)
{
    const struct poa_genesis *genesis = g->config.genesis;
    struct poa_edge_params p = {
        .genesis_ms = genesis->time_ms,
        .slot_ms = genesis->slot_ms,
        .window_slots = genesis->window_slots,
        .seats_per_slot = genesis->seats_per_slot,
        .seal_slots = genesis->seal_slots,
        .drift_ms = genesis->drift_ms,
        .policy = genesis->policy,
        .fee_min = genesis->fee_min,
        .fee_per_kib = genesis->fee_per_kib,
    };
    struct poa_writer w = poa_writer_over(g->params, sizeof g->params);
    return poa_edge_params_encode(&w, &p);
}

static int make_loop(struct poa_gateway *g)
{
    struct timeval tick = {0, GATEWAY_TICK_MS * 1000};
    struct event_config *config = event_config_new();
    if (!config)
        return POA_E_NO_MEMORY;
    /* Only its own thread touches the loop: posts come through the eventfd. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    g->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!g->base)
        return POA_E_NO_MEMORY;
    g->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (g->wake_fd < 0)
        return POA_E_IO;
    event_assign(&g->listen_ev, g->base, g->listen_fd, EV_READ | EV_PERSIST, on_accept, g);
    event_assign(&g->wake_ev, g->base, g->wake_fd, EV_READ | EV_PERSIST, on_wake, g);
    event_assign(&g->tick_ev, g->base, -1, EV_PERSIST, on_tick, g);
    evtimer_assign(&g->tell_ev, g->base, on_tell, g);
    listen_on(g, true);
    return event_add(&g->wake_ev, NULL) || event_add(&g->tick_ev, &tick) ? POA_E_NO_MEMORY : POA_OK;
}

int poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                    struct poa_why *why)
{
    const struct poa_gateway_limits *l = &config->limits;
    if (!l->connections || !l->strangers || !l->per_address || !l->handshakes_per_s ||
        !l->frames_per_s || l->bytes_per_s < POA_EDGE_UP_MAX ||
        l->send_queue_bytes < POA_EDGE_DOWN_MAX || !l->ping_ms || l->frames_per_s > INT32_MAX / 4 ||
        l->bytes_per_s > INT32_MAX / 4)
        return poa_because(why, POA_E_CONFIG, "gateway limits are out of range");
    struct poa_gateway *g = calloc(1, sizeof *g);
    if (!g)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    g->config = *config;
    g->clock = config->clock ? config->clock : poa_clock_system();
    g->listen_fd = g->wake_fd = -1;
    g->last = &g->first;
    g->token_free = UINT32_MAX;
    pthread_mutex_init(&g->mutex, NULL);
    pthread_mutex_init(&g->who, NULL);
    poa_ed25519_public(config->seed32, g->pk);
    poa_ed25519_seed_to_x25519(config->seed32, g->x_sk);
    poa_x25519_public(g->x_sk, g->x_pk);
    g->conn = calloc(l->connections, sizeof(struct conn *));
    g->free_conn = calloc(l->connections, sizeof *g->free_conn);
    g->stranger = calloc(l->strangers, sizeof(struct conn *));
    int e = g->conn && g->free_conn && g->stranger ? POA_OK : POA_E_NO_MEMORY;
    if (!e)
        e = encode_params(g);
    if (!e)
        e = anchor_init(g, why);
    if (!e)
        e = bind_to(g, why);
    if (!e)
        e = make_loop(g);
    if (e == POA_E_NO_MEMORY)
        poa_because(why, e, "out of memory");
    if (e) {
        poa_gateway_free(g);
        return e;
    }
    passes_init(g);
    g->handshakes_ms = gateway_now_ms(g);
    g->handshakes_left = l->handshakes_per_s;
    *out = g;
    return POA_OK;
}

int poa_gateway_start(struct poa_gateway *g)
{
    g->started_ms = gateway_now_ms(g); /* the node may have executed blocks since it was made */
    if (pthread_create(&g->thread, NULL, loop, g))
        return POA_E_THREADS;
    g->running = true;
    return POA_OK;
}

void poa_gateway_stop(struct poa_gateway *g, uint32_t retry_ms)
{
    if (!g->running)
        return;
    struct post *p = post_new(POST_STOP, 0);
    POA_ASSERT(p);
    p->retry_ms = retry_ms;
    post(g, p);
    pthread_join(g->thread, NULL);
    g->running = false;
}

void poa_gateway_free(struct poa_gateway *g)
{
    if (!g)
        return;
    if (g->conn) {
        for (uint32_t i = 0; i < g->high; i++)
            if (g->conn[i])
                conn_close(g->conn[i]);
        conn_bury(g);
    }
    while (g->first) {
        struct post *next = g->first->next;
        free(g->first);
        g->first = next;
    }
    tasks_clear(g);
    anchor_clear(g);
    usage_clear(g);
    if (g->base) {
        event_del(&g->tick_ev);
        event_del(&g->tell_ev);
        event_del(&g->wake_ev);
        listen_on(g, false);
        event_base_free(g->base);
    }
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    if (g->listen_fd >= 0)
        close(g->listen_fd);
    free(g->conn);
    free(g->free_conn);
    free(g->stranger);
    free(g->token);
    pthread_mutex_destroy(&g->mutex);
    pthread_mutex_destroy(&g->who);
    poa_wipe(g, sizeof *g);
    free(g);
}

uint16_t poa_gateway_port(const struct poa_gateway *g)
{
    return g->port;
}

const uint8_t *poa_gateway_key(const struct poa_gateway *g)
{
    return g->pk;
}

void poa_gateway_stats(const struct poa_gateway *g, struct poa_gateway_stats *out)
{
#define GATEWAY_STAT_COPY(name, kind, help)                                                        \
    out->name = atomic_load_explicit(&g->stat.name, memory_order_relaxed);
    POA_GATEWAY_STATS(GATEWAY_STAT_COPY)
#undef GATEWAY_STAT_COPY
}
