/* One device's connection: frames in and out, handshake, rate, death. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* Seconds of its rate that a quiet device may save up. */
#define BURST_S 4

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct conn *)a)->key, ((const struct conn *)b)->key, 32);
}

struct conn *conn_of_device(const struct poa_gateway *g, const uint8_t key32[32])
{
    struct conn probe;
    memcpy(probe.key, key32, 32);
    void *at = tfind(&probe, (void *const *)&g->by_key, compare_keys);
    return at ? *(struct conn **)at : NULL;
}

bool poa_gateway_presence(struct poa_gateway *g, const uint8_t device32[32],
                          struct poa_gateway_presence *out)
{
    pthread_mutex_lock(&g->who);
    const struct conn *c = conn_of_device(g, device32);
    if (c)
        *out = c->presence;
    pthread_mutex_unlock(&g->who);
    return c != NULL;
}

/* --- life --------------------------------------------------------------------- */

/* One address must not take all places of those who still have to say who they
 * are. */
static bool crowded(const struct poa_gateway *g, uint64_t address)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->strangers; i++)
        n += g->stranger[i]->address == address;
    return n >= g->config.limits.per_address;
}

struct conn *conn_new(struct poa_gateway *g, uint64_t address)
{
    const struct poa_gateway_limits *l = &g->config.limits;
    uint32_t index = g->free_n ? g->free_conn[g->free_n - 1] : g->high;
    struct conn *c = NULL;
    if (index < l->connections && g->strangers < l->strangers && !crowded(g, address))
        c = calloc(1, sizeof *c);
    if (!c) {
        STAT_ADD(g, refused, 1);
        return NULL;
    }
    if (g->free_n)
        g->free_n--;
    else
        g->high++;
    c->g = g;
    c->fd = -1;
    c->index = index;
    c->serial = ++g->serial;
    c->opened_ms = c->heard_ms = c->refill_ms = c->wrote_ms = gateway_now_ms(g);
    c->frames_left = (int32_t)l->frames_per_s * BURST_S;
    c->bytes_left = (int32_t)l->bytes_per_s * BURST_S;
    c->epoch = c->told = POA_EPOCH_NONE;
    c->address = address;
    g->conn[index] = c;
    g->stranger[g->strangers++] = c;
    STAT_ADD(g, connections, 1);
    return c;
}

void conn_accept(struct poa_gateway *g, int fd, uint64_t address)
{
    int on = 1;
    struct conn *c = conn_new(g, address);
    if (!c) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    event_assign(&c->rd, g->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->wr, g->base, fd, EV_WRITE, on_writable, c);
    event_add(&c->rd, NULL);
}

void conn_known(struct conn *c)
{
    struct poa_gateway *g = c->g;
    for (uint32_t i = 0; i < g->strangers; i++)
        if (g->stranger[i] == c) {
            g->stranger[i] = g->stranger[--g->strangers];
            return;
        }
}

/* Takes C out of what GREETED means. */
static void leave_devices(struct conn *c)
{
    struct poa_gateway *g = c->g;
    if (c->state != CONN_GREETED)
        return;
    pthread_mutex_lock(&g->who);
    if (conn_of_device(g, c->key) == c)
        tdelete(c, &g->by_key, compare_keys);
    pthread_mutex_unlock(&g->who);
    if (c->status == POA_EDGE_UNREGISTERED)
        g->unregistered--;
    if (c->trunk)
        c->trunk->carries--;
    STAT_SUB(g, devices, 1);
}

void conn_close(struct conn *c)
{
    struct poa_gateway *g = c->g;
    if (c->state == CONN_DEAD)
        return;
    conn_known(c);
    leave_devices(c);
    if (c->throttled)
        g->throttled--;
    c->throttled = false;
    c->state = CONN_DEAD;
    if (c->trunk) {
        trunk_forget(c);
    } else {
        event_del(&c->rd);
        event_del(&c->wr);
        close(c->fd);
        trunk_close(c);
    }
    if (c->out)
        evbuffer_free(c->out);
    free(c->in);
    c->out = NULL;
    c->in = NULL;
    poa_session_wipe(&c->session);
    STAT_SUB(g, connections, 1);
    /* Callers up the stack may still hold C. */
    c->next_dead = g->dead;
    g->dead = c;
}

void conn_bury(struct poa_gateway *g)
{
    while (g->dead) {
        struct conn *c = g->dead;
        g->dead = c->next_dead;
        g->conn[c->index] = NULL;
        g->free_conn[g->free_n++] = c->index;
        free(c);
    }
}

void conn_fail(struct conn *c, int e)
{
    if (c->state == CONN_GREETED) {
        STAT_ADD(c->g, dropped, 1);
        POA_LOG_DEBUG("gateway", "device %02x%02x%02x%02x dropped: %s", c->key[0], c->key[1],
                      c->key[2], c->key[3], poa_error_text(e));
    } else if (c->state != CONN_LEAVING && c->state != CONN_TRUNK) {
        STAT_ADD(c->g, handshakes_failed, 1);
    }
    conn_close(c);
}

/* NOW may have been taken before SINCE, earlier in the same turn. */
static bool passed(uint64_t now, uint64_t since, uint64_t ms)
{
    return now > since && now - since >= ms;
}

void conn_expire(struct conn *c, uint64_t now)
{
    const struct poa_gateway_limits *l = &c->g->config.limits;
    switch ((enum conn_state)c->state) {
    case CONN_SILENT:
    case CONN_KEYED:
        if (passed(now, c->opened_ms, l->handshake_ms))
            conn_fail(c, POA_E_TIMEOUT);
        break;
    case CONN_GREETED:
        if (passed(now, c->heard_ms, 3 * (uint64_t)l->ping_ms))
            conn_fail(c, POA_E_TIMEOUT);
        break;
    case CONN_TRUNK:
        if ((!c->joined && passed(now, c->opened_ms, l->handshake_ms)) ||
            passed(now, c->heard_ms, 3 * (uint64_t)l->ping_ms) ||
            (c->out && passed(now, c->wrote_ms, GATEWAY_TRUNK_STUCK_MS)))
            conn_fail(c, POA_E_TIMEOUT);
        break;
    case CONN_LEAVING:
        if (passed(now, c->heard_ms, l->handshake_ms))
            conn_close(c);
        break;
    case CONN_DEAD:
        break;
    }
}

/* --- out ------------------------------------------------------------------------- */

/* What may wait for C to read it. */
static size_t queue_max(const struct conn *c)
{
    uint64_t each = c->g->config.limits.send_queue_bytes;
    uint64_t all = each * (c->carries ? c->carries : 1);
    if (c->state != CONN_TRUNK)
        return each;
    /* At the end its devices leave first. */
    return c->g->draining || all > GATEWAY_TRUNK_QUEUE ? GATEWAY_TRUNK_QUEUE : all;
}

bool conn_behind(const struct conn *c)
{
    const struct conn *by = c->trunk ? c->trunk : c;
    return by->out && evbuffer_get_length(by->out) > queue_max(by) / 4;
}

bool conn_write(struct conn *c, const uint8_t *bytes, size_t n)
{
    struct poa_gateway *g = c->g;
    size_t queue = queue_max(c);
    if (!c->out) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            conn_fail(c, POA_E_CLOSED);
            return false;
        }
        if (sent > 0) {
            STAT_ADD(g, bytes_out, (uint64_t)sent);
            bytes += sent;
            n -= (size_t)sent;
        }
        if (!n)
            return true;
        c->out = evbuffer_new();
        c->wrote_ms = gateway_now_ms(g);
        if (c->out)
            event_add(&c->wr, NULL);
    }
    if (!c->out || evbuffer_get_length(c->out) + n > queue || evbuffer_add(c->out, bytes, n)) {
        conn_fail(c, POA_E_FULL);
        return false;
    }
    return true;
}

static bool enqueue(struct conn *c, const uint8_t *frame, size_t n)
{
    return c->trunk ? trunk_send(c, frame, n) : conn_write(c, frame, n);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)what;
    int n = evbuffer_write(c->out, fd);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_fail(c, POA_E_CLOSED);
    } else {
        if (n > 0) {
            STAT_ADD(c->g, bytes_out, (uint64_t)n);
            c->wrote_ms = gateway_now_ms(c->g);
        }
        if (evbuffer_get_length(c->out)) {
            event_add(&c->wr, NULL);
        } else {
            evbuffer_free(c->out);
            c->out = NULL;
            if (c->state == CONN_LEAVING)
                conn_close(c);
        }
    }
    conn_bury(c->g);
}

static bool sent_frame(struct conn *c, const struct poa_writer *w, int e)
{
    if (e) {
        conn_fail(c, e);
        return false;
    }
    STAT_ADD(c->g, frames_out, 1);
    return enqueue(c, w->p, w->n);
}

bool conn_send(struct conn *c, uint8_t type, const struct poa_record *rec, const void *r)
{
    if (c->state == CONN_DEAD || c->state == CONN_LEAVING)
        return false;
    struct poa_writer w = poa_writer_over(c->g->tx, sizeof c->g->tx);
    int e = poa_edge_put(&c->session, type, rec, r, &w);
    return sent_frame(c, &w, e);
}

bool conn_send_raw(struct conn *c, uint8_t type, struct poa_slice encoded)
{
    if (c->state == CONN_DEAD || c->state == CONN_LEAVING)
        return false;
    struct poa_writer w = poa_writer_over(c->g->tx, sizeof c->g->tx);
    int e = poa_edge_put_raw(&c->session, type, encoded, &w);
    return sent_frame(c, &w, e);
}

/* The last words were said: closed when they have left. */
static void leave(struct conn *c)
{
    conn_known(c);
    leave_devices(c);
    c->state = CONN_LEAVING;
    c->heard_ms = gateway_now_ms(c->g);
    if (!c->trunk)
        event_del(&c->rd);
    if (!c->out)
        conn_close(c);
}

void conn_bye(struct conn *c, int code, uint32_t retry_ms)
{
    struct poa_edge_bye m = {gateway_code(code), retry_ms};
    if (c->state == CONN_SILENT) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_TRUNK) { /* its devices were told */
        c->state = CONN_LEAVING;
        event_del(&c->rd);
        if (!c->out)
            conn_close(c);
        return;
    }
    if (!CONN_SEND(c, BYE, edge_bye, &m))
        return;
    if (c->state == CONN_KEYED)
        STAT_ADD(c->g, handshakes_failed, 1);
    leave(c);
}

void conn_away(struct conn *c)
{
    STAT_ADD(c->g, sent_away, 1);
    conn_bye(c, POA_E_AGAIN, GATEWAY_AWAY_MS);
}

/* --- in --------------------------------------------------------------------------- */

bool conn_first_fits(size_t n)
{
    return n == POA_EDGE_FIRST_BYTES || n == POA_EDGE_RESUME_BYTES;
}

static int resume(struct conn *c, const uint8_t *shown)
{
    struct poa_gateway *g = c->g;
    uint8_t frame[POA_EDGE_HEAD_BYTES + POA_EDGE_RESUMED_BYTES] = {POA_EDGE_RESUMED_BYTES};
    if (!pass_take(c, shown, frame + POA_EDGE_HEAD_BYTES)) {
        frame[0] = POA_EDGE_REFUSED_BYTES;
        STAT_ADD(g, passes_refused, 1);
        if (enqueue(c, frame, POA_EDGE_HEAD_BYTES + POA_EDGE_REFUSED_BYTES))
            leave(c);
        return POA_OK;
    }
    g->handshakes_left += GATEWAY_RESUME_SAVES;
    c->resumed = true;
    c->state = CONN_KEYED;
    STAT_ADD(g, resumed, 1);
    (void)enqueue(c, frame, sizeof frame);
    return POA_OK;
}

static int handshake(struct conn *c, struct poa_slice first)
{
    struct poa_gateway *g = c->g;
    if (first.n == POA_EDGE_RESUME_BYTES)
        return resume(c, first.p);
    uint8_t entropy[32];
    struct poa_writer w = poa_writer_over(g->tx, sizeof g->tx);
    poa_random(entropy, sizeof entropy);
    int e = poa_edge_answer_dial(g->x_sk, g->x_pk, entropy, first, &w, &c->session, c->key);
    poa_wipe(entropy, sizeof entropy);
    if (e)
        return e;
    c->keyed_ms = poa_clock_wall_ms(g->clock);
    c->state = CONN_KEYED;
    STAT_ADD(g, handshakes, 1);
    (void)enqueue(c, w.p, w.n);
    return POA_OK;
}

static int on_frame(struct conn *c, uint8_t *body, size_t n)
{
    uint8_t type;
    struct poa_slice payload;
    STAT_ADD(c->g, frames_in, 1);
    if (c->state == CONN_SILENT)
        return handshake(c, poa_slice(body, n));
    int e = poa_edge_take(&c->session, body, n, &type, &payload);
    return e ? e : serve_message(c, type, payload);
}

static void refill(struct conn *c)
{
    const struct poa_gateway_limits *l = &c->g->config.limits;
    uint64_t now = gateway_now_ms(c->g);
    uint64_t ms = now - c->refill_ms;
    if (ms > BURST_S * 1000)
        ms = BURST_S * 1000;
    int64_t frames = c->frames_left + (int64_t)(ms * l->frames_per_s / 1000);
    int64_t bytes = c->bytes_left + (int64_t)(ms * l->bytes_per_s / 1000);
    int64_t frames_max = (int64_t)l->frames_per_s * BURST_S;
    int64_t bytes_max = (int64_t)l->bytes_per_s * BURST_S;
    /* Time that is too short to earn a frame is not spent. */
    if (ms * l->frames_per_s / 1000) {
        c->frames_left = (int32_t)(frames > frames_max ? frames_max : frames);
        c->bytes_left = (int32_t)(bytes > bytes_max ? bytes_max : bytes);
        c->refill_ms = now;
    }
}

bool conn_over_rate(struct conn *c)
{
    if (c->frames_left <= 0 || c->bytes_left <= 0)
        refill(c);
    return c->frames_left <= 0 || c->bytes_left <= 0;
}

bool conn_frame(struct conn *c, uint8_t *body, size_t n)
{
    c->frames_left--;
    c->bytes_left -= (int32_t)n;
    int e = on_frame(c, body, n);
    if (e)
        conn_fail(c, e);
    return c->state != CONN_DEAD && c->state != CONN_LEAVING;
}

/* Whether a frame of N bytes may come now. */
static bool fits(const struct conn *c, size_t n)
{
    if (c->state == CONN_SILENT)
        return conn_first_fits(n) || n == sizeof POA_EDGE_TRUNK - 1;
    return n && n <= POA_EDGE_UP_MAX + (c->state == CONN_TRUNK ? POA_EDGE_CHANNEL_BYTES : 0);
}

/* Handles the frames in the N bytes at P; keeps what is left of them. */
static void process(struct conn *c, uint8_t *p, size_t n)
{
    struct poa_gateway *g = c->g;
    size_t at = 0;
    bool wait = false;
    while (n - at >= POA_EDGE_HEAD_BYTES) {
        size_t body = poa_le16(p + at);
        uint8_t *frame = p + at + POA_EDGE_HEAD_BYTES;
        if (!fits(c, body)) {
            conn_fail(c, POA_E_TOO_LONG);
            return;
        }
        if (n - at - POA_EDGE_HEAD_BYTES < body)
            break;
        if (c->state == CONN_TRUNK)
            wait = !trunk_frame(c, frame, body);
        else
            wait = conn_over_rate(c);
        if (wait)
            break;
        if (c->state == CONN_SILENT && !conn_first_fits(body)) {
            if (memcmp(frame, POA_EDGE_TRUNK, body)) {
                conn_fail(c, POA_E_HANDSHAKE);
                return;
            }
            trunk_begin(c);
        } else if (c->state != CONN_TRUNK && !conn_frame(c, frame, body)) {
            return;
        }
        if (c->state == CONN_DEAD || c->state == CONN_LEAVING)
            return;
        at += POA_EDGE_HEAD_BYTES + body;
    }
    free(c->in);
    c->in = NULL;
    c->in_n = (uint32_t)(n - at);
    if (c->in_n) {
        c->in = malloc(c->in_n);
        if (!c->in) {
            conn_fail(c, POA_E_NO_MEMORY);
            return;
        }
        memcpy(c->in, p + at, c->in_n);
    }
    /* Over its rate: the rest waits here, and what follows in the kernel and at
     * the device. */
    if (wait && !c->throttled) {
        c->throttled = true;
        g->throttled++;
        event_del(&c->rd);
        STAT_ADD(g, throttled, 1);
    } else if (!wait && c->throttled) {
        c->throttled = false;
        g->throttled--;
        event_add(&c->rd, NULL);
    }
}

void conn_resume(struct conn *c)
{
    struct poa_gateway *g = c->g;
    if (c->state == CONN_LEAVING || (c->state != CONN_TRUNK && conn_over_rate(c)))
        return;
    size_t n = c->in_n;
    if (n)
        memcpy(g->rx, c->in, n);
    process(c, g->rx, n);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct poa_gateway *g = c->g;
    size_t n = c->in_n;
    (void)what;
    if (n)
        memcpy(g->rx, c->in, n);
    ssize_t got = recv(fd, g->rx + n, GATEWAY_RECV, MSG_DONTWAIT);
    if (got > 0) {
        STAT_ADD(g, bytes_in, (uint64_t)got);
        /* Only whole frames count as a sign of life of a stranger: see
         * conn_expire, which measures from the start. */
        c->heard_ms = gateway_now_ms(g);
        process(c, g->rx, n + (size_t)got);
    } else if (!got || (errno != EAGAIN && errno != EINTR)) {
        if (c->state == CONN_GREETED)
            conn_close(c); /* devices come and go */
        else
            conn_fail(c, POA_E_CLOSED);
    }
    conn_bury(g);
}
