/* The mesh as a whole: opening and closing, the list of nodes, the worker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/transport/tcp/tcp.h>

#include "mesh.h"
#include "poa_file.h"

#define ROUND_MAX_US 1000000

/* --- peers ----------------------------------------------------------------- */

struct peer *mesh_peer_hold(struct peer *peer)
{
    atomic_fetch_add(&peer->refs, 1);
    return peer;
}

void mesh_peer_drop(struct peer *peer)
{
    if (atomic_fetch_sub(&peer->refs, 1) != 1)
        return;
    mesh_push_clear(peer);
    poa_session_wipe(&peer->lane);
    poa_session_wipe(&peer->lane_before);
    poa_session_wipe(&peer->push_lane);
    poa_session_wipe(&peer->push_lane_next);
    pthread_mutex_destroy(&peer->lane_lock);
    pthread_mutex_destroy(&peer->push_call);
    free(peer);
}

static struct peer *peer_new(struct poa_p2p *p, const uint8_t key32[32], const uint8_t x32[32],
                             unsigned flags)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    char hex[9];
    peer->p = p;
    atomic_init(&peer->refs, 1);
    atomic_init(&peer->users, 0);
    memcpy(peer->key, key32, 32);
    memcpy(peer->x25519, x32, 32);
    poa_hex(key32, 4, hex);
    snprintf(peer->name, sizeof peer->name, "node %s", hex);
    peer->flags = flags;
    peer->standing.at_us = mesh_now_us();
    pthread_mutex_init(&peer->lane_lock, NULL);
    pthread_mutex_init(&peer->push_call, NULL);
    mesh_push_init(peer);
    return peer;
}

/* With p->lock: PEER leaves the list; the worker closes its sockets. */
static void remove_peer(struct poa_p2p *p, struct peer *peer)
{
    p->peer[peer->index] = NULL;
    peer->removed = true;
    peer->next_removed = p->removed;
    p->removed = peer;
    mesh_sessions_end(p, peer, NULL);
    mesh_wake(p);
}

/* With p->lock. */
static int find_peer(struct poa_p2p *p, const uint8_t key32[32])
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL && memcmp(p->peer[i]->key, key32, 32) == 0)
            return i;
    return -1;
}

int poa_p2p_peer_set(struct poa_p2p *p, const uint8_t key32[32], const char *address,
                     const char *push_address, unsigned flags, int *index)
{
    uint8_t x[32];
    char url[MESH_URL_MAX] = "", push_url[MESH_URL_MAX] = "";
    int rc = poa_ed25519_pk_to_x25519(key32, x);
    if (rc == POA_OK && address != NULL)
        rc = mesh_urls(address, push_address, url, push_url);
    if (rc != POA_OK)
        return rc;
    if (memcmp(key32, p->key, 32) == 0 ||
        (flags & ~(unsigned)(POA_P2P_MESH | POA_P2P_HEARSAY)) != 0)
        return POA_E_INVALID;
    struct peer *peer = peer_new(p, key32, x, flags);
    if (peer == NULL)
        return POA_E_NO_MEMORY;

    pthread_mutex_lock(&p->lock);
    int at = find_peer(p, key32);
    if (at >= 0 && p->peer[at]->flags == flags && strcmp(p->peer[at]->req_url, url) == 0 &&
        strcmp(p->peer[at]->push_url, push_url) == 0) {
        pthread_mutex_unlock(&p->lock);
        mesh_peer_drop(peer);
        *index = at;
        return POA_OK;
    }
    if (at >= 0) { /* a new address is no new reputation */
        peer->standing = p->peer[at]->standing;
        peer->reported_up = p->peer[at]->reported_up;
        remove_peer(p, p->peer[at]);
    }
    for (int i = 0; at < 0 && i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] == NULL)
            at = i;
    if (at < 0) {
        pthread_mutex_unlock(&p->lock);
        mesh_peer_drop(peer);
        return POA_E_LIMIT;
    }
    peer->index = at;
    p->peer[at] = peer;
    memcpy(peer->req_url, url, sizeof url);
    memcpy(peer->push_url, push_url, sizeof push_url);
    peer->have_from = address != NULL && mesh_url_ip(url, peer->from);
    /* What it has as a stranger goes on when it is one still. */
    if ((flags & POA_P2P_HEARSAY) == 0)
        mesh_sessions_end(p, NULL, x);
    mesh_peer_hold(peer);
    atomic_fetch_add(&peer->users, 1);
    pthread_mutex_unlock(&p->lock);

    if (address != NULL) {
        rc = mesh_link_open(peer);
        pthread_mutex_lock(&p->lock);
        if (rc == POA_OK)
            peer->dialed = true;
        else if (p->peer[at] == peer)
            remove_peer(p, peer);
        mesh_wake(p);
        pthread_mutex_unlock(&p->lock);
    }
    atomic_fetch_sub(&peer->users, 1);
    mesh_peer_drop(peer);
    *index = at;
    return rc;
}

int poa_p2p_peer_remove(struct poa_p2p *p, int index)
{
    int rc = POA_E_NOT_FOUND;
    pthread_mutex_lock(&p->lock);
    if (index >= 0 && index < POA_P2P_PEERS_MAX && p->peer[index] != NULL) {
        remove_peer(p, p->peer[index]);
        rc = POA_OK;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int poa_p2p_peer_find(struct poa_p2p *p, const uint8_t key32[32], int *index)
{
    pthread_mutex_lock(&p->lock);
    *index = find_peer(p, key32);
    pthread_mutex_unlock(&p->lock);
    return *index >= 0 ? POA_OK : POA_E_NOT_FOUND;
}

/* --- the worker ------------------------------------------------------------ */

void mesh_wake(struct poa_p2p *p)
{
    p->woken = true;
    pthread_cond_signal(&p->wake);
}

static void wait_until(struct poa_p2p *p, uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (!p->woken && !atomic_load(&p->closing))
        if (pthread_cond_timedwait(&p->wake, &p->lock, &t) == ETIMEDOUT)
            break;
    p->woken = false;
}

static void *work(void *arg)
{
    struct poa_p2p *p = arg;
    struct peer *peers[POA_P2P_PEERS_MAX];
    uint64_t next_us = 0;
    pthread_mutex_lock(&p->lock);
    while (!atomic_load(&p->closing)) {
        wait_until(p, next_us);
        struct peer *removed = p->removed;
        unsigned n = 0;
        p->removed = NULL;
        for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
            if (p->peer[i] != NULL && p->peer[i]->dialed)
                peers[n++] = mesh_peer_hold(p->peer[i]);
        pthread_mutex_unlock(&p->lock);

        uint64_t now_us = mesh_now_us(), at;
        next_us = now_us + ROUND_MAX_US;
        while (removed != NULL) {
            struct peer *peer = removed;
            removed = peer->next_removed;
            mesh_link_close(peer);
            mesh_peer_drop(peer);
        }
        for (unsigned i = 0; i < n; i++) {
            at = mesh_link_work(peers[i], now_us);
            next_us = at < next_us ? at : next_us;
            mesh_peer_drop(peers[i]);
        }
        if (p->listening) {
            at = mesh_slots_work(p, now_us);
            next_us = at < next_us ? at : next_us;
            at = mesh_arrivals_work(p, now_us);
            next_us = at < next_us ? at : next_us;
            at = mesh_pipes_work(p, now_us);
            next_us = at < next_us ? at : next_us;
            at = mesh_sessions_work(p, now_us);
            next_us = at < next_us ? at : next_us;
        }
        /* However much is due, never spin. */
        if (next_us < now_us + 1000)
            next_us = now_us + 1000;
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* --- open and close -------------------------------------------------------- */

static int listen_on(nng_socket s, const char *url, uint16_t *port)
{
    nng_listener l;
    int value = 0;
    int rv = nng_listener_create(&l, s, url);
    if (rv == 0)
        rv = nng_listener_start(l, 0);
    if (rv == 0)
        rv = nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, &value);
    *port = (uint16_t)value;
    return rv;
}

/* What cannot be listened on, and why, for people. */
static int not_listening(const struct poa_p2p *p, const char *url, int rv)
{
    const char *at = strstr(url, "://");
    if (p->config.why != NULL)
        snprintf(p->config.why->text, sizeof p->config.why->text, "%.120s: %s",
                 at != NULL ? at + 3 : url,
                 rv == NNG_EADDRINUSE   ? "in use by another process"
                 : rv == NNG_EADDRINVAL ? "this machine has no such address"
                                        : nng_strerror(rv));
    return rv == NNG_EADDRINVAL ? POA_E_NOT_FOUND : mesh_error_of(rv);
}

static int open_listeners(struct poa_p2p *p, const char *listen, const char *listen_push)
{
    char url[MESH_URL_MAX], push_url[MESH_URL_MAX];
    size_t push_max = p->config.message_max_bytes;
    int rc = mesh_urls(listen, listen_push, url, push_url);
    if (rc != POA_OK)
        return rc;
    if (push_max < POA_P2P_PACK_BYTES)
        push_max = POA_P2P_PACK_BYTES;
    int rv = nng_rep0_open(&p->rep);
    if (rv != 0)
        return mesh_error_of(rv);
    rv = nng_pull0_open(&p->pull);
    if (rv != 0) {
        nng_close(p->rep);
        return mesh_error_of(rv);
    }
    p->listening = true;
    if ((rv = nng_socket_set_size(p->rep, NNG_OPT_RECVMAXSZ, p->config.request_max_bytes + 256)) ||
        (rv = nng_socket_set_size(p->pull, NNG_OPT_RECVMAXSZ, push_max + 256)) ||
        (rv = nng_socket_set_int(p->rep, NNG_OPT_MAXTTL, 1)) ||
        (rv = nng_pipe_notify(p->rep, NNG_PIPE_EV_ADD_PRE, mesh_pipe_event, p)) ||
        (rv = nng_pipe_notify(p->rep, NNG_PIPE_EV_REM_POST, mesh_pipe_event, p)) ||
        (rv = nng_pipe_notify(p->pull, NNG_PIPE_EV_ADD_PRE, mesh_pull_event, p)) ||
        (rv = nng_pipe_notify(p->pull, NNG_PIPE_EV_REM_POST, mesh_pull_event, p)) ||
        (rv = nng_aio_alloc(&p->pull_aio, mesh_pull_cb, p)))
        return mesh_error_of(rv);
    rc = mesh_slots_open(p);
    if (rc != POA_OK)
        return rc;
    nng_recv_aio(p->pull, p->pull_aio);
    if ((rv = listen_on(p->rep, url, &p->port)))
        return not_listening(p, url, rv);
    if ((rv = listen_on(p->pull, push_url, &p->push_port)))
        return not_listening(p, push_url, rv);
    mesh_arrivals_open(p);
    return POA_OK;
}

static void set_defaults(struct poa_p2p_config *c)
{
    static const size_t queue[POA_P2P_PRIORITIES] = {1 << 20, 8 << 20, 16 << 20, 8 << 20};
    if (c->message_max_bytes == 0)
        c->message_max_bytes = 8 << 20;
    if (c->message_max_bytes > POA_P2P_PAYLOAD_MAX)
        c->message_max_bytes = POA_P2P_PAYLOAD_MAX;
    if (c->request_max_bytes == 0)
        c->request_max_bytes = 1 << 20;
    if (c->request_max_bytes > POA_P2P_PAYLOAD_MAX)
        c->request_max_bytes = POA_P2P_PAYLOAD_MAX;
    for (int i = 0; i < POA_P2P_PRIORITIES; i++)
        if (c->queue_max_bytes[i] == 0)
            c->queue_max_bytes[i] = queue[i];
    if (c->waiting_max == 0)
        c->waiting_max = 64;
    if (c->waiting_max > 4096)
        c->waiting_max = 4096;
    if (c->strangers_max == 0)
        c->strangers_max = 32;
    if (c->session_renew_ms == 0 || c->session_renew_ms > POA_SESSION_AGE_RENEW_MS)
        c->session_renew_ms = (uint32_t)POA_SESSION_AGE_RENEW_MS;
    if (c->stranger_requests_per_s == 0)
        c->stranger_requests_per_s = 50;
    if (c->pushes_per_s == 0)
        c->pushes_per_s = 5000;
    if (c->ban_ms == 0)
        c->ban_ms = 60000;
}

int poa_p2p_open(struct poa_p2p **out, const struct poa_p2p_config *config)
{
    static const char purpose[] = "poa mesh 1";
    pthread_condattr_t attr;
    if (config->seed32 == NULL || config->chain32 == NULL || config->on_message == NULL)
        return POA_E_INVALID;
    if (!mesh_nng_repaired()) {
        POA_LOG_ERROR("p2p", "this program does not repair NNG (linked without its symbol table?)");
        return POA_E_UNSUPPORTED;
    }
    if (!mesh_nng_threads_fit())
        return POA_E_THREADS;
    struct poa_p2p *p = mesh_nng_beats() ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return POA_E_NO_MEMORY;
    p->config = *config;
    set_defaults(&p->config);
    memcpy(p->seed, config->seed32, 32);
    poa_ed25519_public(p->seed, p->key);
    poa_ed25519_seed_to_x25519(p->seed, p->x_sk);
    poa_x25519_public(p->x_sk, p->x_pk);
    struct poa_writer w = poa_writer_over(p->prologue, sizeof p->prologue);
    poa_write(&w, purpose, sizeof purpose - 1);
    poa_write(&w, config->chain32, 32);
    POA_ASSERT(!w.overflow);
    p->prologue_n = w.n;
    p->config.seed32 = p->config.chain32 = NULL;
    p->config.listen = p->config.listen_push = NULL;
    atomic_init(&p->closing, false);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);

    *out = p; /* the first callback may come before we return */
    int rc =
        config->listen != NULL ? open_listeners(p, config->listen, config->listen_push) : POA_OK;
    if (rc == POA_OK && pthread_create(&p->worker, NULL, work, p) != 0)
        rc = POA_E_THREADS;
    if (rc != POA_OK) {
        poa_p2p_close(p);
        *out = NULL;
        return rc;
    }
    p->config.why = NULL;
    pthread_mutex_lock(&p->lock);
    p->worker_runs = true;
    pthread_mutex_unlock(&p->lock);
    pthread_setname_np(p->worker, "poa-p2p");
    return POA_OK;
}

void poa_p2p_close(struct poa_p2p *p)
{
    mesh_arrivals_close(p);
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->closing, true);
    mesh_wake(p);
    pthread_mutex_unlock(&p->lock);
    if (p->worker_runs)
        pthread_join(p->worker, NULL);
    /* First everything that calls the owner, then what the owner calls. */
    if (p->listening) {
        if (p->pull_aio != NULL)
            nng_aio_stop(p->pull_aio);
        mesh_slots_stop(p);
    }
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL)
            remove_peer(p, p->peer[i]);
    pthread_mutex_unlock(&p->lock);
    while (p->removed != NULL) {
        struct peer *peer = p->removed;
        p->removed = peer->next_removed;
        mesh_link_close(peer);
        mesh_peer_drop(peer);
    }
    if (p->listening) {
        mesh_slots_close(p);
        nng_aio_free(p->pull_aio);
        nng_pipe_notify(p->rep, NNG_PIPE_EV_ADD_PRE, NULL, NULL);
        nng_pipe_notify(p->rep, NNG_PIPE_EV_REM_POST, NULL, NULL);
        nng_pipe_notify(p->pull, NNG_PIPE_EV_ADD_PRE, NULL, NULL);
        nng_pipe_notify(p->pull, NNG_PIPE_EV_REM_POST, NULL, NULL);
        nng_close(p->rep);
        nng_close(p->pull);
    }
    mesh_sessions_clear(p);
    mesh_pipes_clear(p);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    poa_wipe(p, sizeof *p);
    free(p);
}

uint16_t poa_p2p_port(const struct poa_p2p *p)
{
    return p->port;
}

uint16_t poa_p2p_push_port(const struct poa_p2p *p)
{
    return p->push_port;
}

/* --- statistics ------------------------------------------------------------ */

int poa_p2p_stats(struct poa_p2p *p, int index, struct poa_p2p_stats *out)
{
    int rc = POA_E_NOT_FOUND;
    pthread_mutex_lock(&p->lock);
    if (index >= 0 && index < POA_P2P_PEERS_MAX && p->peer[index] != NULL) {
        const struct peer *peer = p->peer[index];
        *out = peer->stats;
        out->up = peer->reported_up;
        out->banned = mesh_banned(&peer->standing, mesh_now_us());
        for (const struct session *s = p->session_list; s != NULL; s = s->next)
            if (memcmp(s->x25519, peer->x25519, 32) == 0 && mesh_session_works(p, s, mesh_now_us()))
                out->inbound = true;
        rc = POA_OK;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void poa_p2p_totals(struct poa_p2p *p, struct poa_p2p_totals *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->totals;
    out->pipes = p->pipes_n;
    out->strangers = p->strangers;
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        for (int k = 0; p->peer[i] != NULL && k < POA_P2P_PRIORITIES; k++) {
            out->queued_bytes[k] += p->peer[i]->queue[k].bytes;
            out->dropped[k] += p->peer[i]->stats.dropped[k];
        }
    pthread_mutex_unlock(&p->lock);
}
