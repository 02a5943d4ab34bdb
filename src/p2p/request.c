/* Requests to a peer: one REQ context each, sealed in the request lane. */
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

#define IDLE_MAX    8
#define TRIES_MAX   3
#define INLINE_MAX  ((size_t)16 << 10)
#define BYTES_MAX   ((size_t)16 << 20) /* of requests in flight per peer */
#define SHORTEST_MS 1

static void request_cb(void *arg);

static void request_free(struct request *r)
{
    nng_aio_free(r->aio);
    nng_ctx_close(r->ctx);
    free(r);
}

static struct request *request_alloc(struct peer *peer)
{
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->peer = peer;
    if (nng_ctx_open(&r->ctx, peer->req) != 0) {
        free(r);
        return NULL;
    }
    if (nng_aio_alloc(&r->aio, request_cb, r) != 0) {
        nng_ctx_close(r->ctx);
        free(r);
        return NULL;
    }
    return r;
}

/* With p->lock: R leaves the list of requests. */
static void unlink_request(struct request *r)
{
    struct peer *peer = r->peer;
    struct request **at = &peer->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    peer->requests_n--;
    peer->requests_bytes -= r->n;
}

/* Ends R; takes p->lock. R may be used again as soon as it is idle, so nobody
 * touches it after this. */
static void finish(struct request *r, int error, uint16_t type, struct poa_slice bytes)
{
    struct peer *peer = r->peer;
    struct poa_p2p *p = peer->p;
    poa_p2p_answer_fn *on_answer = r->on_answer;
    void *ctx = r->answer_ctx;
    atomic_fetch_add(&peer->users, 1); /* until R is idle, the link stays open */
    pthread_mutex_lock(&p->lock);
    unlink_request(r);
    if (error != POA_OK) {
        peer->stats.requests_failed++;
        peer->stats.last_error = error;
    }
    if (r->ping) {
        peer->pinging = false;
        if (error == POA_OK)
            peer->stats.rtt_us = (uint32_t)(mesh_now_us() - r->sent_us);
        else if (error == POA_E_TIMEOUT && peer->up && r->generation == peer->generation)
            mesh_link_lost(peer, POA_E_TIMEOUT);
    }
    pthread_mutex_unlock(&p->lock);
    if (on_answer != NULL)
        on_answer(ctx, error, type, bytes);
    free(r->bytes);
    r->bytes = NULL;
    pthread_mutex_lock(&p->lock);
    r->next = peer->idle;
    peer->idle = r;
    peer->idle_n++;
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_sub(&peer->users, 1);
}

static void fail(struct request *r, int error)
{
    finish(r, error, 0, poa_slice(NULL, 0));
}

static int remaining_ms(const struct request *r)
{
    uint64_t now_us = mesh_now_us();
    if (r->deadline_us <= now_us)
        return SHORTEST_MS;
    uint64_t ms = (r->deadline_us - now_us + 999) / 1000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

/* R was claimed: its state is SENDING and the caller holds no lock. When it fails, R is still
 * the caller's. */
static int send_request(struct request *r)
{
    struct peer *peer = r->peer;
    size_t plain = MESH_ITEM_HEAD + r->n;
    nng_msg *m = mesh_msg_new(MESH_OVERHEAD + plain);
    if (m == NULL)
        return POA_E_NO_MEMORY;
    struct poa_writer w = poa_writer_over((uint8_t *)nng_msg_body(m) + MESH_HEAD, plain);
    struct poa_mesh_item item = {.type = r->type, .bytes = poa_slice(r->bytes, r->n)};
    int rc = poa_mesh_item_encode(&w, &item);
    if (rc == POA_OK) {
        pthread_mutex_lock(&peer->lane_lock);
        r->session = peer->lane.id;
        r->counter = peer->lane.send.n;
        rc = mesh_seal(&peer->lane, m, plain);
        pthread_mutex_unlock(&peer->lane_lock);
    }
    if (rc != POA_OK) {
        nng_msg_free(m);
        return rc;
    }
    r->sent_us = mesh_now_us();
    nng_aio_set_msg(r->aio, m);
    nng_aio_set_timeout(r->aio, remaining_ms(r));
    nng_ctx_send(r->ctx, r->aio);
    return POA_OK;
}

/* With p->lock. */
static void claim(struct request *r)
{
    struct peer *peer = r->peer;
    r->state = REQUEST_SENDING;
    r->generation = peer->generation;
    r->tries++;
    peer->stats.frames_out++;
    peer->stats.messages_out++;
    peer->stats.bytes_out += MESH_OVERHEAD + MESH_ITEM_HEAD + r->n;
}

/* The mesh's own thread tries again, or says that it failed. */
static void wait_again(struct request *r)
{
    struct poa_p2p *p = r->peer->p;
    pthread_mutex_lock(&p->lock);
    r->state = REQUEST_WAITING;
    mesh_wake(p);
    pthread_mutex_unlock(&p->lock);
}

/* Not served, as far as anybody can know: waits for the link again. */
static void again(struct request *r, int error)
{
    struct poa_p2p *p = r->peer->p;
    pthread_mutex_lock(&p->lock);
    bool hopeless =
        r->tries >= TRIES_MAX || r->peer->removed || atomic_load(&p->closing) || r->ping;
    if (!hopeless) {
        r->state = REQUEST_WAITING;
        mesh_wake(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (hopeless)
        fail(r, error);
}

static void refused(struct request *r, struct poa_slice rest)
{
    struct peer *peer = r->peer;
    struct poa_mesh_refuse refuse;
    if (poa_mesh_refuse_decode(rest, &refuse) != POA_OK) {
        fail(r, POA_E_CLOSED);
        return;
    }
    int error = mesh_error_from_wire(refuse.code);
    if (error != POA_E_SESSION_UNKNOWN) {
        fail(r, error);
        return;
    }
    pthread_mutex_lock(&peer->p->lock);
    if (peer->up && r->generation == peer->generation)
        mesh_link_lost(peer, error);
    pthread_mutex_unlock(&peer->p->lock);
    again(r, POA_E_CLOSED);
}

static void answered(struct request *r, struct poa_slice frame)
{
    struct peer *peer = r->peer;
    struct poa_slice plain;
    struct poa_mesh_answer answer;
    uint64_t id = 0;
    size_t size = frame.n;
    int rc = poa_session_frame_id(frame, &id);
    if (rc == POA_OK) {
        pthread_mutex_lock(&peer->lane_lock);
        if (id != r->session)
            rc = POA_E_SESSION_UNKNOWN;
        else if (id == peer->lane.id)
            rc = mesh_unseal(&peer->lane, frame, &plain);
        else
            rc = mesh_unseal(&peer->lane_before, frame, &plain);
        pthread_mutex_unlock(&peer->lane_lock);
    }
    if (rc == POA_OK)
        rc = poa_mesh_answer_decode(plain, &answer);
    if (rc == POA_OK && answer.request != r->counter)
        rc = POA_E_REPLAY;
    pthread_mutex_lock(&peer->p->lock);
    peer->stats.frames_in++;
    peer->stats.bytes_in += size + 1;
    if (rc != POA_OK)
        peer->stats.refused_frames++;
    else
        peer->heard_us = mesh_now_us();
    pthread_mutex_unlock(&peer->p->lock);
    if (rc != POA_OK) {
        poa_log_limited(&peer->limit[MESH_R_FRAME], MESH_LOG_MS, POA_LOG_WARN, "p2p",
                        "%s: answer refused: %s", peer->name, poa_error_text(rc));
        fail(r, POA_E_CLOSED);
        return;
    }
    finish(r, answer.code == 0 ? POA_OK : mesh_error_from_wire(answer.code), answer.type,
           answer.bytes);
}

static void request_cb(void *arg)
{
    struct request *r = arg;
    struct poa_p2p *p = r->peer->p;
    int rv = nng_aio_result(r->aio);
    pthread_mutex_lock(&p->lock);
    bool sending = r->state == REQUEST_SENDING;
    if (sending && rv == 0)
        r->state = REQUEST_RECEIVING;
    pthread_mutex_unlock(&p->lock);
    if (sending) {
        if (rv == 0) {
            nng_aio_set_timeout(r->aio, remaining_ms(r));
            nng_ctx_recv(r->ctx, r->aio);
            return;
        }
        nng_msg_free(nng_aio_get_msg(r->aio));
        nng_aio_set_msg(r->aio, NULL);
        if (rv == NNG_ETIMEDOUT)
            fail(r, POA_E_TIMEOUT);
        else
            again(r, mesh_error_of(rv));
        return;
    }
    if (rv != 0) {
        fail(r, mesh_error_of(rv));
        return;
    }
    nng_msg *m = nng_aio_get_msg(r->aio);
    uint8_t kind;
    struct poa_slice rest;
    nng_aio_set_msg(r->aio, NULL);
    int rc = mesh_msg_open(m, &kind, &rest);
    if (rc == POA_OK && kind == MESH_FRAME)
        answered(r, rest);
    else if (rc == POA_OK && kind == MESH_REFUSE)
        refused(r, rest);
    else
        fail(r, POA_E_CLOSED);
    nng_msg_free(m);
}

int mesh_request_new(struct peer *peer, uint16_t type, struct poa_slice bytes, uint64_t deadline_us,
                     bool ping, poa_p2p_answer_fn *on_answer, void *ctx)
{
    struct poa_p2p *p = peer->p;
    struct request *r;
    bool start = false;
    pthread_mutex_lock(&p->lock);
    r = peer->idle;
    if (r != NULL) {
        peer->idle = r->next;
        peer->idle_n--;
    }
    pthread_mutex_unlock(&p->lock);
    if (r == NULL)
        r = request_alloc(peer);
    if (r == NULL)
        return POA_E_NO_MEMORY;
    uint8_t *copy = NULL;
    int rc = POA_OK;
    if (bytes.n > 0) {
        copy = malloc(bytes.n);
        if (copy == NULL)
            rc = POA_E_NO_MEMORY;
        else
            memcpy(copy, bytes.p, bytes.n);
    }
    pthread_mutex_lock(&p->lock);
    if (rc == POA_OK && (peer->removed || atomic_load(&p->closing)))
        rc = POA_E_NOT_FOUND;
    /* Pings are not counted: a full list must not look like a dead peer. */
    if (rc == POA_OK && !ping &&
        (peer->requests_n >= POA_P2P_REQUESTS || peer->requests_bytes + bytes.n > BYTES_MAX))
        rc = POA_E_FULL;
    if (rc == POA_OK) {
        r->state = REQUEST_WAITING;
        r->deadline_us = deadline_us;
        r->tries = 0;
        r->ping = ping;
        r->type = type;
        r->bytes = copy;
        r->n = bytes.n;
        r->on_answer = on_answer;
        r->answer_ctx = ctx;
        r->next = peer->requests;
        peer->requests = r;
        peer->requests_n++;
        peer->requests_bytes += r->n;
        start = peer->up && r->n <= INLINE_MAX;
        if (start)
            claim(r);
        else
            mesh_wake(p);
    } else {
        r->next = peer->idle;
        peer->idle = r;
        peer->idle_n++;
    }
    pthread_mutex_unlock(&p->lock);
    if (rc != POA_OK)
        free(copy);
    else if (start && send_request(r) != POA_OK)
        wait_again(r); /* who asks must not get the answer from inside */
    return rc;
}

int poa_p2p_request(struct poa_p2p *p, int index, uint16_t type, struct poa_slice bytes,
                    uint32_t timeout_ms, poa_p2p_answer_fn *on_answer, void *ctx)
{
    struct peer *peer = NULL;
    int rc = POA_E_NOT_FOUND;
    if (type >= POA_P2P_TYPE_RESERVED || on_answer == NULL)
        return POA_E_INVALID;
    if (bytes.n > p->config.message_max_bytes)
        return POA_E_TOO_LONG;
    pthread_mutex_lock(&p->lock);
    if (index >= 0 && index < POA_P2P_PEERS_MAX && p->peer[index] != NULL) {
        if (p->peer[index]->dialed) {
            peer = mesh_peer_hold(p->peer[index]);
            atomic_fetch_add(&peer->users, 1);
        } else {
            rc = POA_E_INVALID;
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (peer == NULL)
        return rc;
    rc = mesh_request_new(peer, type, bytes, mesh_now_us() + (uint64_t)timeout_ms * 1000, false,
                          on_answer, ctx);
    atomic_fetch_sub(&peer->users, 1);
    mesh_peer_drop(peer);
    return rc;
}

uint64_t mesh_request_work(struct peer *peer, uint64_t now_us)
{
    struct poa_p2p *p = peer->p;
    uint64_t next_us = UINT64_MAX;
    for (;;) {
        struct request *r, *expired = NULL, *start = NULL, *spare = NULL;
        pthread_mutex_lock(&p->lock);
        next_us = UINT64_MAX;
        for (r = peer->requests; r != NULL; r = r->next) {
            if (r->state == REQUEST_WAITING) {
                if (r->deadline_us <= now_us)
                    expired = r;
                else if (peer->up)
                    start = r;
                else if (r->deadline_us < next_us)
                    next_us = r->deadline_us;
            }
        }
        if (expired != NULL)
            expired->state = REQUEST_RECEIVING; /* ours: nothing is under way on it */
        else if (start != NULL)
            claim(start);
        else if (peer->idle_n > IDLE_MAX) {
            spare = peer->idle;
            peer->idle = spare->next;
            peer->idle_n--;
        }
        pthread_mutex_unlock(&p->lock);
        if (expired != NULL)
            fail(expired, POA_E_TIMEOUT);
        else if (start != NULL) {
            int rc = send_request(start);
            if (rc != POA_OK)
                fail(start, rc);
        } else if (spare != NULL)
            request_free(spare);
        else
            break;
    }
    /* What was sent on a connection that is gone will not be answered: say so
     * now. An abort that comes before the operation started is repeated. */
    nng_aio *stale[POA_P2P_REQUESTS + 1];
    unsigned n = 0;
    pthread_mutex_lock(&p->lock);
    for (struct request *r = peer->requests; r != NULL && n < POA_P2P_REQUESTS; r = r->next)
        if (r->state != REQUEST_WAITING && r->generation != peer->generation)
            stale[n++] = r->aio;
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++)
        nng_aio_abort(stale[i], NNG_ECONNRESET);
    if (n > 0 && next_us > now_us + 20000)
        next_us = now_us + 20000;
    return next_us;
}

void mesh_request_close(struct peer *peer)
{
    struct poa_p2p *p = peer->p;
    /* peer->removed keeps new ones out and ends those that would try again. */
    for (;;) {
        nng_aio *busy = NULL;
        struct request *waiting = NULL;
        pthread_mutex_lock(&p->lock);
        for (struct request *r = peer->requests; r != NULL && waiting == NULL; r = r->next) {
            if (r->state == REQUEST_WAITING) {
                r->state = REQUEST_RECEIVING;
                waiting = r;
            } else {
                busy = r->aio;
            }
        }
        pthread_mutex_unlock(&p->lock);
        if (waiting != NULL) {
            fail(waiting, POA_E_CLOSED);
        } else if (busy != NULL || atomic_load(&peer->users) > 0) {
            if (busy != NULL)
                nng_aio_abort(busy, NNG_ECLOSED);
            nng_msleep(1);
        } else {
            break;
        }
    }
    struct request *r;
    while ((r = peer->idle) != NULL) {
        peer->idle = r->next;
        request_free(r);
    }
}
