/* A peer that we dial: its sockets, the handshake, pings, and the decision when
 * the link is of no use any more. */
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/transport/tcp/tcp.h>

#include "mesh.h"

#define SHAKE_MS        2000
#define SHAKE_DELAY_MS  25 /* after a failure, doubled up to the next */
#define SHAKE_DELAY_MAX 2000
#define SETTLED_US      1000000 /* a link that lived this long starts without delay */
#define LIVED_US        5000000
#define REDIAL_DEAD_US  3000000 /* an attempt to connect is given up after this */
#define REOPEN_MS       50      /* before a PUSH connection that did not live long is dialed anew */
#define REOPEN_MAX_MS   1000    /* doubled up to this */
#define REDIAL_MIN_MS   10
/* Who is away for so long is called less often; NNG waits a random part of it. */
#define AWAY_US       5000000
#define AWAY_MESH_MS  500
#define AWAY_OTHER_MS 4000
#define AWAY_DEAD_US  15000000 /* as REDIAL_DEAD_US */

int mesh_error_of(int nng_error)
{
    switch (nng_error) {
    case 0:
        return POA_OK;
    case NNG_ETIMEDOUT:
        return POA_E_TIMEOUT;
    case NNG_ENOMEM:
        return POA_E_NO_MEMORY;
    case NNG_EADDRINUSE:
        return POA_E_LOCKED;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
        return POA_E_CONFIG;
    case NNG_ECLOSED:
    case NNG_ECANCELED:
    case NNG_ECONNRESET:
    case NNG_ECONNABORTED:
    case NNG_ECONNREFUSED:
    case NNG_ECONNSHUT:
        return POA_E_CLOSED;
    default:
        return POA_E_IO;
    }
}

void mesh_link_lost(struct peer *peer, int error)
{
    peer->generation++;
    peer->stats.last_error = error;
    peer->cut = peer->cut || error == POA_E_TIMEOUT;
    if (peer->up) {
        peer->up = false;
        /* A displaced session lives on for some time, so a short one ended otherwise. */
        peer->given_up = peer->pushes_taken && error != POA_E_TIMEOUT &&
                         mesh_now_us() - peer->up_since_us >= LIVED_US;
        if (mesh_now_us() - peer->up_since_us >= SETTLED_US) {
            peer->shake_delay_ms = 0;
            peer->shake_next_us = 0;
        }
    }
    mesh_wake(peer->p);
}

/* NNG holds a lock of its own here: only note what happened. */
static void req_event(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct peer *peer = arg;
    pthread_mutex_lock(&peer->p->lock);
    if (ev == NNG_PIPE_EV_ADD_POST) {
        peer->req_pipe = pipe;
        mesh_wake(peer->p);
    } else if (nng_pipe_id(peer->req_pipe) == nng_pipe_id(pipe)) {
        peer->req_pipe = (nng_pipe)NNG_PIPE_INITIALIZER;
        peer->req_dial_us = mesh_now_us();
        mesh_link_lost(peer, POA_E_CLOSED);
    }
    pthread_mutex_unlock(&peer->p->lock);
}

/* A listener closes a PUSH connection whose session it does not know, which is
 * how the dialer learns that it must shake hands again. */
static void push_event(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct peer *peer = arg;
    bool gone = false, refuse = false;
    pthread_mutex_lock(&peer->p->lock);
    if (ev == NNG_PIPE_EV_ADD_PRE) {
        /* It would be linked to the one that was freed. */
        refuse = peer->push_dead || peer->removed;
    } else if (ev == NNG_PIPE_EV_ADD_POST) {
        peer->push_pipe = pipe;
        peer->push_since_us = mesh_now_us();
        peer->greet = true;
        mesh_wake(peer->p);
    } else if (nng_pipe_id(peer->push_pipe) == nng_pipe_id(pipe)) {
        uint64_t now_us = mesh_now_us();
        gone = true;
        peer->push_pipe = (nng_pipe)NNG_PIPE_INITIALIZER;
        peer->push_dead = true;
        if (now_us - peer->push_since_us >= SETTLED_US)
            peer->push_delay_ms = 0;
        else if (peer->push_delay_ms == 0)
            peer->push_delay_ms = REOPEN_MS;
        else if (peer->push_delay_ms < REOPEN_MAX_MS)
            peer->push_delay_ms *= 2;
        peer->push_reopen_us = now_us + (uint64_t)peer->push_delay_ms * 1000;
        if (peer->pushes_taken)
            mesh_link_lost(peer, POA_E_CLOSED);
        mesh_wake(peer->p);
    }
    pthread_mutex_unlock(&peer->p->lock);
    if (refuse)
        nng_pipe_close(pipe);
    if (gone) { /* NNG frees the connection when we return */
        pthread_mutex_lock(&peer->push_call);
        pthread_mutex_unlock(&peer->push_call);
    }
}

/* --- handshake ------------------------------------------------------------- */

static void shake_failed(struct peer *peer, int error)
{
    struct poa_p2p *p = peer->p;
    poa_noise_wipe(&peer->noise);
    pthread_mutex_lock(&p->lock);
    peer->shaking = false;
    peer->stats.handshakes_failed++;
    peer->stats.last_error = error;
    peer->cut = peer->cut || error == POA_E_TIMEOUT;
    peer->shake_delay_ms = peer->shake_delay_ms == 0 ? SHAKE_DELAY_MS : peer->shake_delay_ms * 2;
    if (peer->shake_delay_ms > SHAKE_DELAY_MAX)
        peer->shake_delay_ms = SHAKE_DELAY_MAX;
    peer->shake_next_us = mesh_now_us() + (uint64_t)peer->shake_delay_ms * 1000;
    mesh_reach_shake(peer, error);
    mesh_wake(p);
    pthread_mutex_unlock(&p->lock);
}

static void shake_begin(struct peer *peer)
{
    struct poa_p2p *p = peer->p;
    uint8_t ephemeral[32], hello_bytes[34];
    nng_msg *m = mesh_msg_new(MESH_HELLO_BYTES);
    if (m == NULL) {
        shake_failed(peer, POA_E_NO_MEMORY);
        return;
    }
    poa_random(ephemeral, sizeof ephemeral);
    struct poa_noise_config config = {
        .pattern = &poa_noise_ik,
        .hash = POA_NOISE_BLAKE2B,
        .initiator = true,
        .prologue = poa_slice(p->prologue, p->prologue_n),
        .static_sk32 = p->x_sk,
        .static_pk32 = p->x_pk,
        .remote_pk32 = peer->x25519,
        .ephemeral32 = ephemeral,
    };
    struct poa_mesh_hello hello = {.version = MESH_VERSION};
    memcpy(hello.key, p->key, sizeof hello.key);
    struct poa_writer h = poa_writer_over(hello_bytes, sizeof hello_bytes);
    struct poa_writer w = poa_writer_over(nng_msg_body(m), MESH_HELLO_BYTES);
    int rc = poa_noise_init(&peer->noise, &config);
    poa_wipe(ephemeral, sizeof ephemeral);
    if (rc == POA_OK)
        rc = poa_mesh_hello_encode(&h, &hello);
    poa_write_u8(&w, MESH_HELLO);
    if (rc == POA_OK)
        rc = poa_noise_write(&peer->noise, poa_written(&h), &w);
    if (rc != POA_OK) {
        nng_msg_free(m);
        shake_failed(peer, rc);
        return;
    }
    nng_msg_chop(m, nng_msg_len(m) - w.n);
    nng_aio_set_msg(peer->shake_aio, m);
    nng_aio_set_timeout(peer->shake_aio, SHAKE_MS);
    nng_ctx_send(peer->shake_ctx, peer->shake_aio);
}

/* The answer to our HELLO. */
static int welcomed(struct peer *peer, nng_msg *m)
{
    struct poa_p2p *p = peer->p;
    uint8_t kind, payload[16];
    struct poa_slice rest;
    int rc = mesh_msg_open(m, &kind, &rest);
    if (rc != POA_OK)
        return rc;
    if (kind == MESH_REFUSE) {
        struct poa_mesh_refuse refuse;
        rc = poa_mesh_refuse_decode(rest, &refuse);
        return rc != POA_OK ? rc : mesh_error_from_wire(refuse.code);
    }
    if (kind != MESH_HELLO)
        return POA_E_HANDSHAKE;
    struct poa_writer w = poa_writer_over(payload, sizeof payload);
    struct poa_mesh_welcome welcome;
    rc = poa_noise_read(&peer->noise, rest, &w);
    if (rc == POA_OK)
        rc = poa_mesh_welcome_decode(poa_written(&w), &welcome);
    if (rc != POA_OK)
        return rc;
    struct poa_session s, lane, push_lane;
    rc = poa_session_start(&s, &peer->noise, POA_SESSION_STRICT);
    poa_noise_wipe(&peer->noise);
    if (rc == POA_OK)
        rc = poa_session_lane(&lane, &s, 0, POA_SESSION_WINDOWED);
    if (rc == POA_OK)
        rc = poa_session_lane(&push_lane, &s, 1, POA_SESSION_STRICT);
    poa_session_wipe(&s);
    if (rc != POA_OK)
        return rc;

    pthread_mutex_lock(&peer->lane_lock);
    peer->lane_before = peer->lane;
    peer->lane = lane;
    pthread_mutex_unlock(&peer->lane_lock);
    pthread_mutex_lock(&p->lock);
    /* The connection may have gone meanwhile: then this session is no use. */
    bool fresh = peer->shake_generation == peer->generation && !peer->removed;
    peer->shaking = false;
    if (fresh) {
        peer->push_lane_next = push_lane;
        peer->lane_fresh = true;
        peer->pushes_taken = welcome.push == 1;
        peer->greet = true;
        peer->up = true;
        uint32_t pipe = (uint32_t)nng_pipe_id(peer->req_pipe);
        if (peer->given_up && pipe == peer->session_pipe)
            mesh_given_up(peer);
        peer->given_up = false;
        peer->session_pipe = pipe;
        peer->up_since_us = mesh_now_us();
        peer->shake_delay_ms = 0;
        peer->shake_next_us = 0;
        peer->ping_next_us = 0; /* the first frame confirms the session */
        peer->stats.handshakes++;
        peer->stats.last_error = POA_OK;
    }
    mesh_wake(p);
    pthread_mutex_unlock(&p->lock);
    poa_session_wipe(&lane);
    poa_session_wipe(&push_lane);
    if (fresh)
        mesh_push_kick(peer, false);
    return POA_OK;
}

static void shake_cb(void *arg)
{
    struct peer *peer = arg;
    int rv = nng_aio_result(peer->shake_aio);
    pthread_mutex_lock(&peer->p->lock);
    bool receiving = peer->shake_receiving;
    if (rv == 0)
        peer->shake_receiving = !receiving;
    pthread_mutex_unlock(&peer->p->lock);
    if (rv != 0) {
        if (!receiving) {
            nng_msg_free(nng_aio_get_msg(peer->shake_aio));
            nng_aio_set_msg(peer->shake_aio, NULL);
        }
        shake_failed(peer, mesh_error_of(rv));
        return;
    }
    if (!receiving) {
        nng_aio_set_timeout(peer->shake_aio, SHAKE_MS);
        nng_ctx_recv(peer->shake_ctx, peer->shake_aio);
        return;
    }
    nng_msg *m = nng_aio_get_msg(peer->shake_aio);
    nng_aio_set_msg(peer->shake_aio, NULL);
    int rc = welcomed(peer, m);
    nng_msg_free(m);
    if (rc != POA_OK)
        shake_failed(peer, rc);
}

/* --- sockets --------------------------------------------------------------- */

/* How often it calls from now on, at most; 0: as usual. */
static void pace(nng_dialer d, nng_duration wait_ms)
{
    (void)nng_dialer_set_ms(d, NNG_OPT_RECONNMINT, wait_ms > 0 ? wait_ms / 4 : REDIAL_MIN_MS);
    (void)nng_dialer_set_ms(d, NNG_OPT_RECONNMAXT, wait_ms > 0 ? wait_ms : POA_P2P_REDIAL_MS);
}

static int dial(nng_socket socket, const char *url, nng_duration wait_ms, nng_dialer *dialer)
{
    nng_dialer d;
    int rv = nng_dialer_create(&d, socket, url);
    if (rv != 0)
        return rv;
    (void)nng_dialer_set_bool(d, NNG_OPT_TCP_NODELAY, true);
    if (wait_ms > 0)
        pace(d, wait_ms);
    rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK);
    if (rv != 0)
        nng_dialer_close(d);
    else
        *dialer = d;
    return rv;
}

static int common_options(nng_socket s, size_t receive_max, nng_duration redial_min_ms)
{
    int rv = nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, receive_max);
    if (rv == 0)
        rv = nng_socket_set_ms(s, NNG_OPT_RECONNMINT, redial_min_ms);
    if (rv == 0)
        rv = nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, POA_P2P_REDIAL_MS);
    return rv;
}

static int open_req(struct peer *peer)
{
    int rv = nng_req0_open(&peer->req);
    if (rv != 0)
        return rv;
    rv = common_options(peer->req, peer->p->config.message_max_bytes + 256, REDIAL_MIN_MS);
    /* A repeated request would be a replayed frame. */
    if (rv == 0)
        rv = nng_socket_set_ms(peer->req, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (rv == 0)
        rv = nng_pipe_notify(peer->req, NNG_PIPE_EV_ADD_POST, req_event, peer);
    if (rv == 0)
        rv = nng_pipe_notify(peer->req, NNG_PIPE_EV_REM_POST, req_event, peer);
    if (rv == 0)
        rv = nng_ctx_open(&peer->shake_ctx, peer->req);
    if (rv != 0)
        nng_close(peer->req);
    return rv;
}

static int open_push(struct peer *peer)
{
    int rv = nng_push0_open(&peer->push);
    if (rv != 0)
        return rv;
    rv = common_options(peer->push, 64, POA_P2P_REDIAL_MS); /* nothing comes back on it */
    if (rv == 0)
        rv = nng_pipe_notify(peer->push, NNG_PIPE_EV_ADD_PRE, push_event, peer);
    if (rv == 0)
        rv = nng_pipe_notify(peer->push, NNG_PIPE_EV_ADD_POST, push_event, peer);
    if (rv == 0)
        rv = nng_pipe_notify(peer->push, NNG_PIPE_EV_REM_POST, push_event, peer);
    if (rv != 0)
        nng_close(peer->push);
    return rv;
}

static bool pushes(const struct peer *peer)
{
    return (peer->flags & POA_P2P_MESH) != 0;
}

static void close_sockets(struct peer *peer, bool push)
{
    nng_pipe_notify(peer->req, NNG_PIPE_EV_ADD_POST, NULL, NULL);
    nng_pipe_notify(peer->req, NNG_PIPE_EV_REM_POST, NULL, NULL);
    nng_ctx_close(peer->shake_ctx);
    nng_close(peer->req);
    if (push)
        nng_close(peer->push);
}

int mesh_link_open(struct peer *peer)
{
    uint64_t now_us = mesh_now_us();
    int rv = open_req(peer);
    if (rv != 0)
        return mesh_error_of(rv);
    if (pushes(peer)) {
        rv = open_push(peer);
        peer->push_open = rv == 0;
    }
    if (rv == 0)
        rv = nng_aio_alloc(&peer->shake_aio, shake_cb, peer);
    if (rv == 0)
        rv = nng_aio_alloc(&peer->push_aio, mesh_push_cb, peer);
    peer->req_dial_us = peer->push_dial_us = now_us;
    if (rv == 0)
        rv = dial(peer->req, peer->req_url, 0, &peer->req_dialer);
    if (rv == 0 && pushes(peer))
        rv = dial(peer->push, peer->push_url, 0, &peer->push_dialer);
    if (rv != 0) {
        close_sockets(peer, peer->push_open);
        nng_aio_free(peer->shake_aio);
        nng_aio_free(peer->push_aio);
        return mesh_error_of(rv);
    }
    return POA_OK;
}

void mesh_link_close(struct peer *peer)
{
    struct poa_p2p *p = peer->p;
    /* peer->removed is set: nothing new starts. */
    while (atomic_load(&peer->users) > 0)
        nng_msleep(1);
    if (!peer->dialed)
        return;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        bool sending = peer->sending, shaking = peer->shaking;
        bool probing = peer->reach.probing && !peer->reach.ended;
        pthread_mutex_unlock(&p->lock);
        if (!sending && !shaking && !probing)
            break;
        if (sending)
            nng_aio_abort(peer->push_aio, NNG_ECLOSED);
        if (shaking)
            nng_aio_abort(peer->shake_aio, NNG_ECLOSED);
        if (probing)
            nng_aio_abort(peer->reach.aio, NNG_ECLOSED);
        nng_msleep(1);
    }
    mesh_request_close(peer);
    mesh_reach_close(peer);
    nng_aio_free(peer->shake_aio);
    nng_aio_free(peer->push_aio);
    close_sockets(peer, peer->push_open);
    pthread_mutex_lock(&p->lock);
    mesh_push_clear(peer);
    pthread_mutex_unlock(&p->lock);
}

/* --- the worker's round ---------------------------------------------------- */

/* TCP gives up a dead attempt only after minutes: start over. */
static void redial(nng_socket socket, const char *url, nng_duration wait_ms, nng_dialer *dialer)
{
    nng_dialer_close(*dialer);
    if (dial(socket, url, wait_ms, dialer) != 0)
        *dialer = (nng_dialer)NNG_DIALER_INITIALIZER;
}

/* Its connection is gone and no send is under way: nobody uses the socket. It is
 * closed at once, before its dialer gets far: NNG 1.5.2 loses a few kilobytes
 * when that is agreeing on a connection. */
static void close_push(struct peer *peer)
{
    struct poa_p2p *p = peer->p;
    nng_close(peer->push); /* push_event refuses what still comes */
    pthread_mutex_lock(&p->lock);
    peer->push_open = false;
    pthread_mutex_unlock(&p->lock);
}

static void reopen_push(struct peer *peer)
{
    struct poa_p2p *p = peer->p;
    int rv = open_push(peer);
    pthread_mutex_lock(&p->lock);
    peer->push_open = rv == 0;
    peer->push_dead = rv != 0;
    peer->push_dial_us = mesh_now_us();
    peer->push_reopen_us = peer->push_dial_us + (uint64_t)REOPEN_MS * 1000;
    pthread_mutex_unlock(&p->lock);
    if (rv == 0 && dial(peer->push, peer->push_url, 0, &peer->push_dialer) != 0)
        peer->push_dialer = (nng_dialer)NNG_DIALER_INITIALIZER; /* redialed later */
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t mesh_link_work(struct peer *peer, uint64_t now_us)
{
    struct poa_p2p *p = peer->p;
    uint64_t next_us = UINT64_MAX, age_ms = 0;
    bool redial_req = false, redial_push = false, begin = false, abort_shake = false;
    bool abort_push = false, close_dead = false, reopen = false, ping = false, report = false,
         up = false, kick = false;
    nng_pipe kill_req = NNG_PIPE_INITIALIZER, kill_push = NNG_PIPE_INITIALIZER;

    if (!peer->dialed)
        return UINT64_MAX;
    pthread_mutex_lock(&p->lock);
    if (peer->up && now_us > peer->up_since_us)
        age_ms = (now_us - peer->up_since_us) / 1000;
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_lock(&peer->lane_lock);
    bool old = poa_session_needs_rekey(&peer->lane, age_ms) || age_ms >= p->config.session_renew_ms;
    pthread_mutex_unlock(&peer->lane_lock);

    pthread_mutex_lock(&p->lock);
    bool req_here = nng_pipe_id(peer->req_pipe) > 0, push_here = nng_pipe_id(peer->push_pipe) > 0;
    bool banned = mesh_banned(&peer->standing, now_us);
    if (peer->up || peer->away_since_us == 0)
        peer->away_since_us = now_us;
    bool away = now_us - peer->away_since_us >= AWAY_US;
    nng_duration wait_ms = !away ? 0 : pushes(peer) ? AWAY_MESH_MS : AWAY_OTHER_MS;
    bool other_pace = wait_ms != peer->wait_ms;
    peer->wait_ms = wait_ms;
    uint64_t dead_us = away && !pushes(peer) ? AWAY_DEAD_US : REDIAL_DEAD_US;
    if (peer->up)
        next_us = peer->up_since_us + (uint64_t)p->config.session_renew_ms * 1000;
    if (!req_here) {
        redial_req = now_us - peer->req_dial_us >= dead_us && now_us > peer->req_dial_us;
        if (redial_req)
            peer->req_dial_us = now_us;
        next_us = sooner(next_us, peer->req_dial_us + dead_us);
    }
    if (peer->push_dead) {
        close_dead = peer->push_open && !peer->sending;
        reopen = (close_dead || !peer->push_open) && now_us >= peer->push_reopen_us;
        next_us = sooner(next_us, peer->push_reopen_us);
    } else if (!push_here && pushes(peer)) {
        redial_push = now_us - peer->push_dial_us >= REDIAL_DEAD_US && now_us > peer->push_dial_us;
        if (redial_push)
            peer->push_dial_us = now_us;
        next_us = sooner(next_us, peer->push_dial_us + REDIAL_DEAD_US);
    }
    if (peer->cut) {
        kill_req = peer->req_pipe;
        kill_push = peer->push_pipe;
        peer->cut = false;
    }
    if (peer->shaking && peer->shake_generation != peer->generation) {
        abort_shake = true;
        next_us = sooner(next_us, now_us + 20000);
    }
    if (peer->sending && peer->push_generation != peer->generation) {
        abort_push = true;
        next_us = sooner(next_us, now_us + 20000);
    }
    if (req_here && !banned && !peer->shaking && (!peer->up || old)) { /* or renew it */
        if (now_us >= peer->shake_next_us) {
            begin = true;
            peer->shaking = true;
            peer->shake_receiving = false;
            peer->shake_generation = peer->generation;
        } else {
            next_us = sooner(next_us, peer->shake_next_us);
        }
    }
    if (peer->up && !peer->pinging) {
        if (now_us >= peer->ping_next_us) {
            ping = true;
            peer->pinging = true;
            peer->ping_next_us = now_us + POA_P2P_PING_MS * 1000;
        }
        next_us = sooner(next_us, peer->ping_next_us);
    }
    if (!peer->up || !peer->pushes_taken)
        mesh_push_purge(peer, now_us);
    if (peer->stats.queued_bytes > 0)
        next_us = sooner(next_us, now_us + 100000);
    kick = peer->up && !peer->sending && (peer->greet || peer->stats.queued_bytes > 0);
    up = peer->up && (push_here || !pushes(peer) || !peer->pushes_taken);
    if (up != peer->reported_up && !peer->removed) {
        peer->reported_up = up;
        report = true;
    }
    pthread_mutex_unlock(&p->lock);

    if (other_pace) {
        pace(peer->req_dialer, wait_ms);
        if (pushes(peer))
            pace(peer->push_dialer, wait_ms);
    }
    if (redial_req)
        redial(peer->req, peer->req_url, wait_ms, &peer->req_dialer);
    if (close_dead)
        close_push(peer);
    if (reopen)
        reopen_push(peer);
    if (redial_push)
        redial(peer->push, peer->push_url, wait_ms, &peer->push_dialer);
    if (nng_pipe_id(kill_req) > 0)
        nng_pipe_close(kill_req);
    if (nng_pipe_id(kill_push) > 0)
        nng_pipe_close(kill_push);
    if (abort_shake)
        nng_aio_abort(peer->shake_aio, NNG_ECONNRESET);
    if (abort_push)
        nng_aio_abort(peer->push_aio, NNG_ECONNRESET);
    if (begin)
        shake_begin(peer);
    if (kick)
        mesh_push_kick(peer, false);
    if (ping && mesh_request_new(peer, MESH_TYPE_PING, poa_slice(NULL, 0),
                                 now_us + POA_P2P_DEAD_MS * 1000, true, NULL, NULL) != POA_OK) {
        pthread_mutex_lock(&p->lock);
        peer->pinging = false;
        pthread_mutex_unlock(&p->lock);
    }
    if (report) {
        POA_LOG_DEBUG("p2p", "%s is %s", peer->name, up ? "connected" : "not connected");
        if (p->config.on_peer != NULL)
            p->config.on_peer(p->config.ctx, peer->index, peer->key, up);
    }
    next_us = sooner(next_us, mesh_reach_work(peer, now_us));
    return sooner(next_us, mesh_request_work(peer, now_us));
}
