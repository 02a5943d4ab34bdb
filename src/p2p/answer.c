/* Requests that wait for the owner's answer: one REP context each, and some in
 * reserve, so that pings and handshakes are served however many wait. */
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

#define STRANGER_WAITING 4     /* per stranger */
#define SEND_MS          30000 /* for an answer to be taken; then the connection is closed */

uint64_t mesh_slot_token(const struct slot *slot)
{
    return (uint64_t)slot->serial << 16 | (uint64_t)(slot - slot->p->slot);
}

bool mesh_slot_room(struct poa_p2p *p, const struct session *s)
{
    uint32_t max = p->config.waiting_max;
    if (s->dropped || p->totals.waiting >= max)
        return false;
    if (s->peer != NULL)
        return s->peer->waiting < (max + 1) / 2;
    return s->waiting < STRANGER_WAITING && p->strangers_waiting < (max + 3) / 4;
}

nng_msg *mesh_answer_msg(struct session *s, uint64_t request, int error, uint16_t type,
                         struct poa_slice bytes)
{
    size_t plain = MESH_ANSWER_HEAD + bytes.n;
    struct poa_mesh_answer answer = {
        .request = request, .code = (uint16_t)-error, .type = type, .bytes = bytes};
    nng_msg *m = mesh_msg_new(MESH_OVERHEAD + plain);
    if (m == NULL)
        return NULL;
    struct poa_writer w = poa_writer_over((uint8_t *)nng_msg_body(m) + MESH_HEAD, plain);
    int rc = poa_mesh_answer_encode(&w, &answer);
    if (rc == POA_OK) {
        pthread_mutex_lock(&s->lock);
        rc = mesh_seal(&s->lane, m, plain);
        pthread_mutex_unlock(&s->lock);
    }
    if (rc != POA_OK) {
        nng_msg_free(m);
        return NULL;
    }
    return m;
}

void mesh_slot_wait(struct slot *slot, struct session *s, uint64_t request)
{
    struct poa_p2p *p = slot->p;
    slot->state = SLOT_WAITING;
    slot->serial++;
    slot->session = mesh_session_hold(s);
    slot->request = request;
    slot->since_us = mesh_now_us();
    p->totals.waiting++;
    s->waiting++;
    if (s->peer != NULL)
        s->peer->waiting++;
    else
        p->strangers_waiting++;
}

/* With p->lock: the request is over; its session for the caller to drop, or NULL. */
static struct session *release(struct slot *slot)
{
    struct poa_p2p *p = slot->p;
    struct session *s = slot->session;
    slot->state = SLOT_BUSY;
    slot->session = NULL;
    if (s == NULL)
        return NULL;
    p->totals.waiting--;
    s->waiting--;
    if (s->peer != NULL)
        s->peer->waiting--;
    else
        p->strangers_waiting--;
    return s;
}

static void receive(struct slot *slot)
{
    nng_ctx_recv(slot->ctx, slot->recv_aio);
}

/* Ends what the slot did and receives again. */
static void over(struct slot *slot)
{
    struct poa_p2p *p = slot->p;
    pthread_mutex_lock(&p->lock);
    struct session *s = release(slot);
    pthread_mutex_unlock(&p->lock);
    if (s != NULL)
        mesh_session_drop(s);
    if (!atomic_load(&p->closing))
        receive(slot);
}

/* Sends M, or, when it is NULL, forgets the request. */
static void reply(struct slot *slot, nng_msg *m)
{
    if (m == NULL) {
        over(slot);
        return;
    }
    nng_aio_set_msg(slot->send_aio, m);
    nng_ctx_send(slot->ctx, slot->send_aio);
}

/* Whoever leaves immediate answers untaken would hold one context after another. */
static void reply_at_once(struct slot *slot, nng_msg *m)
{
    if (m != NULL && !mesh_pipe_reply(slot->p, slot->pipe, false)) {
        nng_msg_free(m);
        m = NULL;
        nng_pipe_close((nng_pipe){.id = slot->pipe});
    }
    slot->immediate = m != NULL;
    reply(slot, m);
}

static void send_cb(void *arg)
{
    struct slot *slot = arg;
    int rv = nng_aio_result(slot->send_aio);
    if (rv != 0) {
        nng_msg_free(nng_aio_get_msg(slot->send_aio));
        nng_aio_set_msg(slot->send_aio, NULL);
    }
    if (slot->immediate)
        (void)mesh_pipe_reply(slot->p, slot->pipe, true);
    slot->immediate = false;
    if (rv == NNG_ETIMEDOUT)
        nng_pipe_close((nng_pipe){.id = slot->pipe});
    over(slot);
}

static void recv_cb(void *arg)
{
    struct slot *slot = arg;
    struct poa_p2p *p = slot->p;
    int rv = nng_aio_result(slot->recv_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED || atomic_load(&p->closing)) {
        if (rv == 0)
            nng_msg_free(nng_aio_get_msg(slot->recv_aio));
        return;
    }
    if (rv != 0) {
        nng_msleep(10); /* out of memory: not in a tight loop */
        receive(slot);
        return;
    }
    nng_msg *m = nng_aio_get_msg(slot->recv_aio);
    nng_aio_set_msg(slot->recv_aio, NULL);
    slot->pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(m));
    bool waiting = false;
    nng_msg *answer = mesh_serve(slot, m, &waiting);
    /* A slot that waits belongs to whoever answers, who may have done so. */
    if (!waiting)
        reply_at_once(slot, answer);
}

/* Takes SLOT from the owner: its session (held) or NULL when the token is over.
 * The request is counted until its answer is sent. With p->lock. */
static struct session *claim(struct slot *slot)
{
    if (slot->state != SLOT_WAITING || atomic_load(&slot->p->closing))
        return NULL;
    slot->state = SLOT_SENDING;
    return mesh_session_hold(slot->session);
}

static int answer(struct poa_p2p *p, uint64_t token, int error, uint16_t type,
                  struct poa_slice bytes)
{
    uint64_t index = token & 0xffff;
    struct session *s = NULL;
    uint64_t request = 0;
    if (index >= p->slots_n)
        return POA_E_NOT_FOUND;
    struct slot *slot = &p->slot[index];
    pthread_mutex_lock(&p->lock);
    if (mesh_slot_token(slot) == token) {
        request = slot->request;
        s = claim(slot);
    }
    pthread_mutex_unlock(&p->lock);
    if (s == NULL)
        return POA_E_NOT_FOUND;
    int rc = POA_OK;
    if (bytes.n > p->config.message_max_bytes) {
        rc = error = POA_E_TOO_LONG;
        bytes.n = 0;
    }
    nng_msg *m = mesh_answer_msg(s, request, error, type, bytes);
    if (m == NULL)
        rc = POA_E_NO_MEMORY;
    pthread_mutex_lock(&p->lock);
    if (m != NULL)
        s->bytes_out += nng_msg_len(m);
    if (m != NULL && s->peer != NULL) {
        s->peer->stats.frames_out++;
        s->peer->stats.bytes_out += nng_msg_len(m);
    }
    pthread_mutex_unlock(&p->lock);
    reply(slot, m);
    mesh_session_drop(s);
    return rc;
}

int poa_p2p_answer(struct poa_p2p *p, uint64_t token, uint16_t type, struct poa_slice bytes)
{
    return answer(p, token, POA_OK, type, bytes);
}

int poa_p2p_refuse(struct poa_p2p *p, uint64_t token, int error)
{
    if (error >= 0 || error < -UINT16_MAX)
        return POA_E_INVALID;
    return answer(p, token, error, 0, poa_slice(NULL, 0));
}

uint64_t mesh_slots_work(struct poa_p2p *p, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;
    for (size_t i = 0; i < p->slots_n; i++) {
        struct slot *slot = &p->slot[i];
        bool late = false, gone = false;
        uint64_t request = 0;
        struct session *s = NULL;
        pthread_mutex_lock(&p->lock);
        if (slot->state == SLOT_WAITING) {
            uint64_t end_us = slot->since_us + (uint64_t)POA_P2P_ANSWER_MS * 1000;
            late = end_us <= now_us;
            gone = slot->session->dropped || mesh_pipe_find(p, slot->pipe) == NULL;
            request = slot->request;
            if (late || gone)
                s = claim(slot);
            else if (end_us < next_us)
                next_us = end_us;
        }
        pthread_mutex_unlock(&p->lock);
        if (s != NULL) {
            reply(slot,
                  gone ? NULL : mesh_answer_msg(s, request, POA_E_TIMEOUT, 0, poa_slice(NULL, 0)));
            mesh_session_drop(s);
        }
    }
    return next_us;
}

int mesh_slots_open(struct poa_p2p *p)
{
    size_t n = p->config.waiting_max + MESH_RESERVE;
    p->slot = calloc(n, sizeof *p->slot);
    if (p->slot == NULL)
        return POA_E_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = &p->slot[i];
        slot->p = p;
        int rv = nng_ctx_open(&slot->ctx, p->rep);
        if (rv != 0)
            return mesh_error_of(rv);
        p->slots_n = i + 1;
        if ((rv = nng_aio_alloc(&slot->recv_aio, recv_cb, slot)) != 0 ||
            (rv = nng_aio_alloc(&slot->send_aio, send_cb, slot)) != 0)
            return mesh_error_of(rv);
        nng_aio_set_timeout(slot->send_aio, SEND_MS);
    }
    for (size_t i = 0; i < n; i++)
        receive(&p->slot[i]);
    return POA_OK;
}

/* p->closing is set: callbacks start nothing any more. */
void mesh_slots_stop(struct poa_p2p *p)
{
    for (size_t i = 0; i < p->slots_n; i++)
        if (p->slot[i].recv_aio != NULL)
            nng_aio_stop(p->slot[i].recv_aio);
}

void mesh_slots_close(struct poa_p2p *p)
{
    for (size_t i = 0; i < p->slots_n; i++) {
        struct slot *slot = &p->slot[i];
        if (slot->send_aio != NULL)
            nng_aio_stop(slot->send_aio);
        nng_ctx_close(slot->ctx);
        nng_aio_free(slot->recv_aio);
        nng_aio_free(slot->send_aio);
        if (slot->session != NULL)
            mesh_session_drop(slot->session);
    }
    free(p->slot);
    p->slot = NULL;
    p->slots_n = 0;
}
