/* Pushes: a queue per priority and peer, packed into messages, one at a time on
 * the wire, sealed by whoever finds the socket free. */
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

/* The caller of push and broadcast seals up to this much itself; more is left
 * to the worker, so that the owner's thread never waits for a batch. */
#define INLINE_BYTES ((size_t)16 << 10)

static struct payload *payload_new(uint16_t type, struct poa_slice bytes)
{
    struct payload *y = malloc(sizeof *y + bytes.n);
    if (y == NULL)
        return NULL;
    atomic_init(&y->refs, 1);
    y->type = type;
    y->n = bytes.n;
    if (bytes.n > 0)
        memcpy(y->bytes, bytes.p, bytes.n);
    return y;
}

static void payload_drop(struct payload *y)
{
    if (atomic_fetch_sub(&y->refs, 1) == 1)
        free(y);
}

static void item_free(struct item *i)
{
    payload_drop(i->payload);
    free(i);
}

static size_t item_bytes(const struct item *i)
{
    return MESH_ITEM_HEAD + i->payload->n;
}

void mesh_push_init(struct peer *peer)
{
    for (unsigned i = 0; i < POA_P2P_PRIORITIES; i++)
        peer->queue[i].last = &peer->queue[i].first;
}

static void append(struct peer *peer, struct item *i)
{
    struct queue *q = &peer->queue[i->priority];
    i->next = NULL;
    *q->last = i;
    q->last = &i->next;
    q->bytes += item_bytes(i);
    peer->stats.queued_bytes += item_bytes(i);
}

static struct item *take(struct peer *peer, struct queue *q)
{
    struct item *i = q->first;
    q->first = i->next;
    if (q->first == NULL)
        q->last = &q->first;
    q->bytes -= item_bytes(i);
    peer->stats.queued_bytes -= item_bytes(i);
    return i;
}

static void drop_first(struct peer *peer, struct queue *q)
{
    struct item *i = take(peer, q);
    peer->stats.dropped[i->priority]++;
    item_free(i);
}

/* With p->lock. */
static int enqueue(struct peer *peer, struct payload *y, unsigned priority, uint64_t now_us)
{
    struct poa_p2p *p = peer->p;
    struct queue *q = &peer->queue[priority];
    size_t limit = p->config.queue_max_bytes[priority];
    struct item *i;
    if (MESH_ITEM_HEAD + y->n > limit)
        return POA_E_TOO_LONG;
    i = malloc(sizeof *i);
    if (i == NULL)
        return POA_E_NO_MEMORY;
    while (q->first != NULL && q->bytes + MESH_ITEM_HEAD + y->n > limit) {
        drop_first(peer, q);
        poa_log_limited(&peer->limit[MESH_R_DROP], MESH_LOG_MS, POA_LOG_WARN, "p2p",
                        "%s takes pushes too slowly: dropping the oldest of priority %u",
                        peer->name, priority);
    }
    atomic_fetch_add(&y->refs, 1);
    i->payload = y;
    i->queued_us = now_us;
    i->number = ++p->queued;
    i->priority = (uint8_t)priority;
    append(peer, i);
    return POA_OK;
}

static int check(const struct poa_p2p *p, unsigned priority, uint16_t type, struct poa_slice bytes)
{
    if (priority >= POA_P2P_PRIORITIES || type >= POA_P2P_TYPE_RESERVED)
        return POA_E_INVALID;
    return bytes.n > p->config.message_max_bytes ? POA_E_TOO_LONG : POA_OK;
}

int poa_p2p_push(struct poa_p2p *p, int index, unsigned priority, uint16_t type,
                 struct poa_slice bytes)
{
    int rc = check(p, priority, type, bytes);
    if (rc != POA_OK)
        return rc;
    struct payload *y = payload_new(type, bytes);
    struct peer *peer = NULL;
    if (y == NULL)
        return POA_E_NO_MEMORY;
    pthread_mutex_lock(&p->lock);
    if (index < 0 || index >= POA_P2P_PEERS_MAX || p->peer[index] == NULL) {
        rc = POA_E_NOT_FOUND;
    } else if ((p->peer[index]->flags & POA_P2P_MESH) == 0 || !p->peer[index]->dialed) {
        rc = POA_E_INVALID;
    } else {
        peer = mesh_peer_hold(p->peer[index]);
        rc = enqueue(peer, y, priority, mesh_now_us());
    }
    pthread_mutex_unlock(&p->lock);
    payload_drop(y);
    if (peer != NULL) {
        mesh_push_kick(peer, true);
        mesh_peer_drop(peer);
    }
    return rc;
}

/* Queues BYTES to the peers in SET; TO gets them, *N, held. */
static int spread(struct poa_p2p *p, const uint8_t *set, unsigned priority, uint16_t type,
                  struct poa_slice bytes, struct peer *to[POA_P2P_PEERS_MAX], unsigned *n)
{
    int rc = check(p, priority, type, bytes);
    if (rc != POA_OK)
        return rc;
    struct payload *y = payload_new(type, bytes);
    if (y == NULL)
        return POA_E_NO_MEMORY;
    uint64_t now_us = mesh_now_us();
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < POA_P2P_PEERS_MAX && rc == POA_OK; i++) {
        struct peer *peer = p->peer[i];
        if (peer == NULL || !peer->dialed || (peer->flags & POA_P2P_MESH) == 0 ||
            (set != NULL && (set[i / 8] >> (i % 8) & 1) == 0))
            continue;
        rc = enqueue(peer, y, priority, now_us);
        if (rc == POA_OK)
            to[(*n)++] = mesh_peer_hold(peer);
    }
    pthread_mutex_unlock(&p->lock);
    payload_drop(y);
    return rc;
}

static void kick_all(struct peer *const *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        mesh_push_kick(to[i], true);
        mesh_peer_drop(to[i]);
    }
}

int poa_p2p_broadcast(struct poa_p2p *p, const uint8_t set[POA_P2P_SET_BYTES], unsigned priority,
                      uint16_t type, struct poa_slice bytes)
{
    struct peer *to[POA_P2P_PEERS_MAX];
    unsigned n = 0;
    int rc = spread(p, set, priority, type, bytes, to, &n);
    kick_all(to, n);
    return rc;
}

int poa_p2p_queue(struct poa_p2p *p, const uint8_t set[POA_P2P_SET_BYTES], unsigned priority,
                  uint16_t type, struct poa_slice bytes)
{
    struct peer *to[POA_P2P_PEERS_MAX];
    unsigned n = 0;
    int rc = spread(p, set, priority, type, bytes, to, &n);
    for (unsigned i = 0; i < n; i++)
        mesh_peer_drop(to[i]);
    return rc;
}

static uint64_t oldest(const struct peer *peer)
{
    uint64_t number = UINT64_MAX;
    for (unsigned i = 0; i < POA_P2P_PRIORITIES; i++)
        if (peer->queue[i].first != NULL && peer->queue[i].first->number < number)
            number = peer->queue[i].first->number;
    return number;
}

static int by_oldest(const void *a, const void *b)
{
    const struct peer *const *x = a, *const *y = b;
    return ((*x)->kick_number > (*y)->kick_number) - ((*x)->kick_number < (*y)->kick_number);
}

void poa_p2p_kick(struct poa_p2p *p)
{
    struct peer *to[POA_P2P_PEERS_MAX];
    unsigned n = 0;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL && p->peer[i]->stats.queued_bytes > 0) {
            p->peer[i]->kick_number = oldest(p->peer[i]);
            to[n++] = mesh_peer_hold(p->peer[i]);
        }
    qsort(to, n, sizeof to[0], by_oldest);
    pthread_mutex_unlock(&p->lock);
    kick_all(to, n);
}

/* With p->lock. */
static bool ready(const struct peer *peer)
{
    return peer->up && peer->pushes_taken && !peer->sending && !peer->removed &&
           nng_pipe_id(peer->push_pipe) > 0 && !atomic_load(&peer->p->closing);
}

void mesh_push_purge(struct peer *peer, uint64_t now_us)
{
    for (unsigned i = 0; i < POA_P2P_PRIORITIES; i++) {
        struct queue *q = &peer->queue[i];
        while (q->first != NULL && now_us > q->first->queued_us + POA_P2P_STALE_MS * 1000)
            drop_first(peer, q);
    }
}

/* With p->lock: moves the next message's items to peer->flight, urgent first. */
static size_t load(struct peer *peer)
{
    struct item **last = &peer->flight;
    size_t total = 0;
    for (unsigned i = 0; i < POA_P2P_PRIORITIES; i++) {
        struct queue *q = &peer->queue[i];
        while (q->first != NULL) {
            if (total > 0 && total + item_bytes(q->first) > POA_P2P_PACK_BYTES)
                goto full;
            total += item_bytes(q->first);
            *last = take(peer, q);
            last = &(*last)->next;
        }
    }
full:
    *last = NULL;
    return total;
}

static nng_msg *pack(struct peer *peer, size_t total)
{
    nng_msg *m = mesh_msg_new(MESH_OVERHEAD + total);
    if (m == NULL)
        return NULL;
    struct poa_writer w = poa_writer_over((uint8_t *)nng_msg_body(m) + MESH_HEAD, total);
    for (const struct item *i = peer->flight; i != NULL; i = i->next) {
        struct poa_mesh_item record = {.type = i->payload->type,
                                       .bytes = poa_slice(i->payload->bytes, i->payload->n)};
        int rc = poa_mesh_item_encode(&w, &record);
        POA_ASSERT(rc == POA_OK);
    }
    POA_ASSERT(w.n == total && !w.overflow);
    if (mesh_seal(&peer->push_lane, m, total) != POA_OK) {
        nng_msg_free(m);
        return NULL;
    }
    return m;
}

/* Ends the flight: OK counted, else back to the front of the queues (it was not
 * given to a connection). Takes p->lock. */
static void land(struct peer *peer, bool ok, size_t bytes)
{
    struct poa_p2p *p = peer->p;
    struct item *i, *back = NULL;
    pthread_mutex_lock(&p->lock);
    if (ok) {
        peer->stats.frames_out++;
        peer->stats.bytes_out += bytes;
    }
    while ((i = peer->flight) != NULL) {
        peer->flight = i->next;
        if (ok) {
            peer->stats.messages_out++;
            item_free(i);
        } else { /* reverses */
            i->next = back;
            back = i;
        }
    }
    while ((i = back) != NULL) {
        struct queue *q = &peer->queue[i->priority];
        back = i->next;
        i->next = q->first;
        if (q->first == NULL)
            q->last = &i->next;
        q->first = i;
        q->bytes += item_bytes(i);
        peer->stats.queued_bytes += item_bytes(i);
    }
    peer->sending = false;
    pthread_mutex_unlock(&p->lock);
}

void mesh_push_kick(struct peer *peer, bool from_owner)
{
    struct poa_p2p *p = peer->p;
    pthread_mutex_lock(&p->lock);
    if (!ready(peer)) {
        pthread_mutex_unlock(&p->lock);
        return;
    }
    mesh_push_purge(peer, mesh_now_us());
    const struct item *first = NULL;
    for (unsigned i = 0; first == NULL && i < POA_P2P_PRIORITIES; i++)
        first = peer->queue[i].first;
    if (first == NULL && !peer->greet) {
        pthread_mutex_unlock(&p->lock);
        return;
    }
    if (from_owner && first != NULL && first->payload->n > INLINE_BYTES) {
        mesh_wake(p);
        pthread_mutex_unlock(&p->lock);
        return;
    }
    size_t total = load(peer);
    peer->sending = true;
    peer->greet = false;
    peer->push_generation = peer->generation;
    if (peer->lane_fresh) {
        peer->push_lane = peer->push_lane_next;
        poa_session_wipe(&peer->push_lane_next);
        peer->lane_fresh = false;
    }
    pthread_mutex_unlock(&p->lock);

    nng_msg *m = pack(peer, total);
    if (m == NULL) {
        /* Out of memory, or a session at its end, which renewal prevents: try
         * again with the worker's next round. */
        land(peer, false, 0);
        return;
    }
    pthread_mutex_lock(&peer->push_call);
    pthread_mutex_lock(&p->lock);
    bool connected = nng_pipe_id(peer->push_pipe) > 0;
    pthread_mutex_unlock(&p->lock);
    if (connected) {
        nng_aio_set_msg(peer->push_aio, m);
        nng_send_aio(peer->push, peer->push_aio);
    }
    pthread_mutex_unlock(&peer->push_call);
    if (!connected) {
        nng_msg_free(m);
        land(peer, false, 0);
    }
}

void mesh_push_cb(void *arg)
{
    struct peer *peer = arg;
    int rv = nng_aio_result(peer->push_aio);
    if (rv != 0) {
        nng_msg_free(nng_aio_get_msg(peer->push_aio));
        nng_aio_set_msg(peer->push_aio, NULL);
    }
    land(peer, rv == 0, rv == 0 ? nng_aio_count(peer->push_aio) : 0);
    mesh_push_kick(peer, false);
}

void mesh_push_clear(struct peer *peer)
{
    for (unsigned i = 0; i < POA_P2P_PRIORITIES; i++)
        while (peer->queue[i].first != NULL)
            item_free(take(peer, &peer->queue[i]));
}
