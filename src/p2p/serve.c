/* What other nodes send us: handshakes, requests, pushes. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

#define SESSIONS_PER_KEY 6 /* with one node: current, ending, not confirmed yet */
#define SESSIONS_MAX     1024
#define ENDING_US        10000000 /* a replaced session still serves what is under way */
#define UNCONFIRMED_US   10000000
#define IDLE_PEER_US     ((uint64_t)2 * 3600 * 1000000)
#define IDLE_STRANGER_US 120000000
#define STRANGER_BYTES   16384 /* of a request that cost as much as a request */

/* --- sessions -------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t x = ((const struct session *)a)->id, y = ((const struct session *)b)->id;
    return x < y ? -1 : x > y;
}

/* With p->lock. */
static struct session *find_session(struct poa_p2p *p, uint64_t id)
{
    struct session key = {.id = id};
    struct session **node = tfind(&key, &p->sessions, compare);
    return node == NULL ? NULL : *node;
}

struct session *mesh_session_hold(struct session *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void mesh_session_drop(struct session *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (s->peer != NULL)
        mesh_peer_drop(s->peer);
    pthread_mutex_destroy(&s->lock);
    poa_session_wipe(&s->lane);
    poa_session_wipe(&s->push_lane);
    free(s);
}

static void pipe_unknown(struct poa_p2p *p, uint32_t id, uint64_t session, bool cut)
{
    struct pipe *pipe = id != 0 ? mesh_pipe_find(p, id) : NULL;
    if (pipe == NULL || !pipe->known || pipe->session != session)
        return;
    pipe->known = false;
    pipe->since_us = cut ? 0 : mesh_now_us(); /* 0: long ago, so the worker closes it now */
    p->unknown_n[pipe->pull][pipe->listed]++;
}

/* With p->lock: S leaves the tables. CUT: its connections are closed too, so
 * that the dialer notices at once. */
static void end_session(struct poa_p2p *p, struct session *s, bool cut)
{
    struct session **at = &p->session_list;
    tdelete(s, &p->sessions, compare);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->dropped = true;
    if (s->peer != NULL)
        s->peer->sessions--;
    else
        p->strangers--;
    pipe_unknown(p, s->pipe_rep, s->id, cut);
    pipe_unknown(p, s->pipe_pull, s->id, cut);
    mesh_session_drop(s);
}

void mesh_sessions_end(struct poa_p2p *p, struct peer *peer, const uint8_t *x25519)
{
    struct session *s, *next;
    for (s = p->session_list; s != NULL; s = next) {
        next = s->next;
        if ((peer != NULL && s->peer == peer) ||
            (x25519 != NULL && memcmp(s->x25519, x25519, 32) == 0))
            end_session(p, s, true);
    }
    mesh_wake(p);
}

uint64_t mesh_sessions_work(struct poa_p2p *p, uint64_t now_us)
{
    struct session *s, *next;
    uint64_t soonest = UINT64_MAX;
    pthread_mutex_lock(&p->lock);
    for (s = p->session_list; s != NULL; s = next) {
        uint64_t end_us = s->used_us + (s->peer != NULL ? IDLE_PEER_US : IDLE_STRANGER_US);
        if (!s->promoted)
            end_us = s->created_us + UNCONFIRMED_US;
        if (s->ends_us != 0)
            end_us = s->ends_us;
        next = s->next;
        if (end_us <= now_us && s->waiting == 0)
            end_session(p, s, false);
        else if (end_us < soonest)
            soonest = end_us > now_us ? end_us : now_us + 1000000;
    }
    pthread_mutex_unlock(&p->lock);
    return soonest;
}

void mesh_sessions_clear(struct poa_p2p *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->session_list != NULL)
        end_session(p, p->session_list, false);
    pthread_mutex_unlock(&p->lock);
}

/* With p->lock: makes room for the session NEW. An old one that is confirmed is
 * never given up for one that is not: a replayed HELLO gets this far. One address
 * has half of the strangers' places at most. */
static bool make_room(struct poa_p2p *p, const struct session *new)
{
    struct session *s, *oldest_mine = NULL, *oldest_idle = NULL, *oldest_here = NULL;
    unsigned mine = 0, all = 0, here = 0;
    bool stranger = new->peer == NULL;
    for (s = p->session_list; s != NULL; s = s->next) { /* newest first */
        all++;
        if (memcmp(s->x25519, new->x25519, 32) == 0) {
            mine++;
            if (!s->promoted || s->ends_us != 0)
                oldest_mine = s;
        }
        if (s->peer != NULL)
            continue;
        bool same = memcmp(s->from, new->from, sizeof s->from) == 0;
        here += same;
        if (s->waiting == 0 && (oldest_idle == NULL || s->used_us < oldest_idle->used_us))
            oldest_idle = s;
        if (same && s->waiting == 0 && (oldest_here == NULL || s->used_us < oldest_here->used_us))
            oldest_here = s;
    }
    if (mine >= SESSIONS_PER_KEY) {
        if (oldest_mine == NULL)
            return false;
        end_session(p, oldest_mine, false);
    } else if (stranger && here >= (p->config.strangers_max + 1) / 2) {
        if (oldest_here == NULL)
            return false;
        end_session(p, oldest_here, false);
    } else if ((stranger && p->strangers >= p->config.strangers_max) || all >= SESSIONS_MAX) {
        if (oldest_idle == NULL)
            return false;
        end_session(p, oldest_idle, false);
    }
    return true;
}

/* With p->lock: a frame of S was opened, so its dialer holds the keys. */
static void promote(struct poa_p2p *p, struct session *s, uint64_t now_us)
{
    s->promoted = true;
    for (struct session *o = p->session_list; o != NULL; o = o->next) {
        if (o == s || !o->promoted || o->ends_us != 0 || memcmp(o->x25519, s->x25519, 32) != 0)
            continue;
        if (mesh_session_works(p, o, now_us)) {
            s->since_us = o->since_us;
            mesh_doubled(p, s, o);
        }
        o->ends_us = now_us + ENDING_US;
    }
}

/* --- HELLO ----------------------------------------------------------------- */

/* With p->lock. */
static struct peer *peer_of(struct poa_p2p *p, const uint8_t x[32])
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL && memcmp(p->peer[i]->x25519, x, 32) == 0)
            return p->peer[i];
    return NULL;
}

/* The initiator's identity: POA_OK, and its PEER when it is a known one. */
static int identify(struct poa_p2p *p, const struct poa_mesh_hello *hello, const uint8_t x[32],
                    struct peer **peer)
{
    uint8_t derived[32];
    int rc = POA_OK;
    if (hello->version != MESH_VERSION)
        return POA_E_UNSUPPORTED;
    pthread_mutex_lock(&p->lock);
    *peer = peer_of(p, x);
    if (*peer != NULL) {
        if (memcmp((*peer)->key, hello->key, 32) != 0)
            rc = POA_E_HANDSHAKE;
        else if (mesh_banned(&(*peer)->standing, mesh_now_us()))
            rc = POA_E_PEER_UNKNOWN;
        if (rc == POA_OK)
            mesh_peer_hold(*peer);
        else
            *peer = NULL;
    } else if (p->config.no_strangers || mesh_key_banned(p, hello->key)) {
        rc = POA_E_PEER_UNKNOWN;
    }
    pthread_mutex_unlock(&p->lock);
    if (rc != POA_OK || *peer != NULL)
        return rc;
    rc = poa_ed25519_pk_to_x25519(hello->key, derived);
    if (rc != POA_OK || memcmp(derived, x, 32) != 0 || memcmp(x, p->x_pk, 32) == 0)
        return POA_E_HANDSHAKE;
    return POA_OK;
}

static struct session *session_new(struct poa_noise *noise, struct peer *peer,
                                   const struct poa_mesh_hello *hello)
{
    struct session *s = calloc(1, sizeof *s);
    struct poa_session base;
    if (s == NULL)
        return NULL;
    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    s->peer = peer != NULL ? mesh_peer_hold(peer) : NULL;
    memcpy(s->key, hello->key, 32);
    memcpy(s->x25519, poa_noise_remote(noise), 32);
    s->created_us = s->since_us = s->used_us = mesh_now_us();
    int rc = poa_session_start(&base, noise, POA_SESSION_STRICT);
    if (rc == POA_OK)
        rc = poa_session_lane(&s->lane, &base, 0, POA_SESSION_WINDOWED);
    if (rc == POA_OK)
        rc = poa_session_lane(&s->push_lane, &base, 1, POA_SESSION_STRICT);
    POA_ASSERT(rc == POA_OK); /* the handshake is done and BASE is new */
    s->id = base.id;
    poa_session_wipe(&base);
    return s;
}

static int enter_session(struct poa_p2p *p, struct session *s, uint32_t pipe_id)
{
    int rc = POA_OK;
    pthread_mutex_lock(&p->lock);
    const struct pipe *pipe = mesh_pipe_find(p, pipe_id);
    if (pipe != NULL)
        memcpy(s->from, pipe->from, sizeof s->from);
    /* The list may have changed since we looked: the dialer tries again. */
    if (s->peer != NULL ? s->peer->removed : peer_of(p, s->x25519) != NULL)
        rc = POA_E_AGAIN;
    else if (find_session(p, s->id) != NULL || !make_room(p, s))
        rc = POA_E_FULL;
    else if (tsearch(s, &p->sessions, compare) == NULL)
        rc = POA_E_NO_MEMORY;
    if (rc == POA_OK) {
        s->next = p->session_list;
        p->session_list = mesh_session_hold(s);
        if (s->peer != NULL)
            s->peer->sessions++;
        else
            p->strangers++;
        mesh_wake(p);
    } else {
        p->totals.handshakes_refused++;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static int shake(struct poa_p2p *p, struct poa_noise *noise, uint32_t pipe,
                 struct poa_slice message, nng_msg **answer)
{
    uint8_t ephemeral[32], payload[64], text[3];
    struct poa_mesh_hello hello;
    struct poa_mesh_welcome welcome = {.version = MESH_VERSION};
    struct peer *peer = NULL;
    poa_random(ephemeral, sizeof ephemeral);
    struct poa_noise_config config = {
        .pattern = &poa_noise_ik,
        .hash = POA_NOISE_BLAKE2B,
        .initiator = false,
        .prologue = poa_slice(p->prologue, p->prologue_n),
        .static_sk32 = p->x_sk,
        .static_pk32 = p->x_pk,
        .ephemeral32 = ephemeral,
    };
    struct poa_writer w = poa_writer_over(payload, sizeof payload);
    int rc = poa_noise_init(noise, &config);
    poa_wipe(ephemeral, sizeof ephemeral);
    if (rc == POA_OK)
        rc = poa_noise_read(noise, message, &w);
    if (rc == POA_OK)
        rc = poa_mesh_hello_decode(poa_written(&w), &hello);
    if (rc == POA_OK)
        rc = identify(p, &hello, poa_noise_remote(noise), &peer);
    if (rc != POA_OK)
        return rc;

    welcome.push = peer != NULL && (peer->flags & POA_P2P_MESH) != 0;
    nng_msg *m = mesh_msg_new(MESH_WELCOME_BYTES);
    struct poa_writer t = poa_writer_over(text, sizeof text);
    rc = m == NULL ? POA_E_NO_MEMORY : poa_mesh_welcome_encode(&t, &welcome);
    if (rc == POA_OK) {
        struct poa_writer out = poa_writer_over(nng_msg_body(m), MESH_WELCOME_BYTES);
        poa_write_u8(&out, MESH_HELLO);
        rc = poa_noise_write(noise, poa_written(&t), &out);
    }
    if (rc == POA_OK) {
        struct session *s = session_new(noise, peer, &hello);
        rc = s == NULL ? POA_E_NO_MEMORY : enter_session(p, s, pipe);
        if (s != NULL)
            mesh_session_drop(s);
    }
    if (peer != NULL)
        mesh_peer_drop(peer);
    if (rc != POA_OK && m != NULL)
        nng_msg_free(m);
    else
        *answer = m;
    return rc;
}

static nng_msg *serve_hello(struct poa_p2p *p, nng_pipe pipe, struct poa_slice message)
{
    struct poa_noise noise;
    nng_msg *answer = NULL;
    if (!mesh_pipe_may_hello(p, (uint32_t)nng_pipe_id(pipe))) {
        mesh_pipe_fault(p, pipe, NULL, MESH_R_RATE, POA_E_RATE);
        return mesh_msg_refuse(POA_E_RATE);
    }
    int rc = shake(p, &noise, (uint32_t)nng_pipe_id(pipe), message, &answer);
    poa_noise_wipe(&noise);
    if (rc == POA_OK)
        return answer;
    switch (poa_error_class(rc)) {
    case POA_CLASS_RETRY: /* full */
    case POA_CLASS_RESOURCE:
        return mesh_msg_refuse(rc);
    case POA_CLASS_NONE:
    case POA_CLASS_CALLER:
    case POA_CLASS_PEER:
    case POA_CLASS_CORRUPT:
        break;
    }
    pthread_mutex_lock(&p->lock);
    p->totals.handshakes_refused++;
    pthread_mutex_unlock(&p->lock);
    /* Politely to whoever knew our key; the rest is garbage. */
    if (rc == POA_E_PEER_UNKNOWN || rc == POA_E_UNSUPPORTED)
        return mesh_msg_refuse(rc);
    mesh_pipe_fault(p, pipe, NULL, MESH_R_HANDSHAKE, POA_E_HANDSHAKE);
    return NULL;
}

/* --- frames ---------------------------------------------------------------- */

/* The session of FRAME, held; NULL and *ERROR. */
static struct session *session_of(struct poa_p2p *p, struct poa_slice frame, int *error)
{
    struct session *s = NULL;
    uint64_t id = 0, now_us = mesh_now_us();
    *error = poa_session_frame_id(frame, &id);
    if (*error != POA_OK)
        return NULL;
    pthread_mutex_lock(&p->lock);
    s = find_session(p, id);
    *error = POA_E_SESSION_UNKNOWN;
    if (s != NULL && s->peer != NULL && mesh_banned(&s->peer->standing, now_us))
        s = NULL;
    if (s != NULL && s->peer == NULL) {
        uint32_t rate = p->config.stranger_requests_per_s;
        uint32_t cost = 1 + (uint32_t)(frame.n / STRANGER_BYTES);
        if (!mesh_take(&s->bucket, now_us, rate, rate * 2, cost)) {
            *error = POA_E_RATE;
            mesh_blame(p, s->key, POA_P2P_FAULT_RATE);
            s = NULL;
        }
    }
    if (s != NULL)
        mesh_session_hold(s);
    pthread_mutex_unlock(&p->lock);
    return s;
}

/* With p->lock: a frame of SIZE bytes in S was opened. */
static void account(struct poa_p2p *p, struct session *s, uint32_t pipe, bool pull, size_t size)
{
    uint32_t *mine = pull ? &s->pipe_pull : &s->pipe_rep;
    uint64_t now_us = mesh_now_us();
    s->used_us = now_us;
    if (*mine != pipe && !s->dropped) {
        pipe_unknown(p, *mine, s->id, false); /* a session has one connection per port */
        *mine = pipe;
        mesh_pipe_known(p, pipe, s);
    }
    if (!s->promoted)
        promote(p, s, now_us);
    s->bytes_in += size;
    if (s->peer != NULL) {
        s->peer->stats.frames_in++;
        s->peer->stats.bytes_in += size;
    }
}

/* Well-sealed garbage: the node itself is broken or bad. */
static void garbage(struct poa_p2p *p, struct session *s)
{
    pthread_mutex_lock(&p->lock);
    mesh_blame(p, s->key, POA_P2P_FAULT_MALFORMED);
    if (!s->dropped)
        end_session(p, s, true);
    pthread_mutex_unlock(&p->lock);
}

static void deliver(struct poa_p2p *p, const struct session *s, uint16_t type,
                    struct poa_slice bytes, uint64_t token)
{
    struct poa_p2p_message message = {
        .peer = s->peer != NULL ? s->peer->index : POA_P2P_STRANGER,
        .key32 = s->key,
        .type = type,
        .bytes = bytes,
        .token = token,
    };
    p->config.on_message(p->config.ctx, &message);
}

static nng_msg *serve_frame(struct slot *slot, nng_pipe pipe, struct poa_slice frame, bool *waiting)
{
    struct poa_p2p *p = slot->p;
    struct poa_slice plain;
    struct poa_mesh_item item;
    size_t size = frame.n + 1;
    int rc;
    struct session *s = session_of(p, frame, &rc);
    if (s == NULL) {
        mesh_pipe_fault(p, pipe, NULL, MESH_R_FRAME, rc);
        return mesh_msg_refuse(rc);
    }
    uint64_t counter = poa_le64(frame.p + 8);
    pthread_mutex_lock(&s->lock);
    rc = mesh_unseal(&s->lane, frame, &plain);
    pthread_mutex_unlock(&s->lock);
    if (rc != POA_OK) {
        /* Whoever sent it did not hold the keys, or repeated a frame. */
        mesh_pipe_fault(p, pipe, s->peer, MESH_R_FRAME, rc);
        mesh_session_drop(s);
        return mesh_msg_refuse(rc);
    }
    rc = poa_mesh_item_decode(plain, &item);
    if (rc != POA_OK) {
        mesh_pipe_fault(p, pipe, s->peer, MESH_R_FORMAT, rc);
        garbage(p, s);
        mesh_session_drop(s);
        return NULL;
    }
    int refuse = POA_OK;
    bool ping = item.type == MESH_TYPE_PING;
    pthread_mutex_lock(&p->lock);
    account(p, s, (uint32_t)nng_pipe_id(pipe), false, size);
    if (!ping && item.type >= POA_P2P_TYPE_RESERVED)
        refuse = POA_E_UNSUPPORTED;
    else if (!ping && item.bytes.n > p->config.request_max_bytes)
        refuse = POA_E_TOO_LONG;
    else if (!ping && !mesh_slot_room(p, s))
        refuse = POA_E_FULL;
    if (!ping && s->peer != NULL)
        s->peer->stats.messages_in++;
    if (!ping && refuse == POA_OK)
        mesh_slot_wait(slot, s, counter);
    uint64_t token = mesh_slot_token(slot);
    pthread_mutex_unlock(&p->lock);
    nng_msg *answer = NULL;
    if (ping || refuse != POA_OK)
        answer = mesh_answer_msg(s, counter, refuse, item.type, poa_slice(NULL, 0));
    else
        deliver(p, s, item.type, item.bytes, token);
    *waiting = !ping && refuse == POA_OK;
    mesh_session_drop(s);
    return answer;
}

nng_msg *mesh_serve(struct slot *slot, nng_msg *m, bool *waiting)
{
    nng_pipe pipe = nng_msg_get_pipe(m);
    struct poa_slice rest;
    nng_msg *answer = NULL;
    uint8_t kind = 0;
    int rc = mesh_msg_open(m, &kind, &rest);
    if (rc == POA_OK && kind == MESH_HELLO)
        answer = serve_hello(slot->p, pipe, rest);
    else if (rc == POA_OK && kind == MESH_FRAME)
        answer = serve_frame(slot, pipe, rest, waiting);
    else
        mesh_pipe_fault(slot->p, pipe, NULL, MESH_R_FORMAT, POA_E_NOT_CANONICAL);
    nng_msg_free(m);
    return answer;
}

/* --- pushes ---------------------------------------------------------------- */

static int take_pushes(struct poa_p2p *p, struct session *s, nng_pipe pipe, struct poa_slice frame)
{
    struct poa_slice plain, rest;
    struct poa_mesh_item item;
    size_t size = frame.n + 1;
    unsigned n = 0;
    int rc = mesh_unseal(&s->push_lane, frame, &plain);
    if (rc != POA_OK)
        return rc;
    /* All of it is checked before any of it is delivered. */
    for (rest = plain; rest.n > 0; n++) {
        rc = poa_record_take(&poa_mesh_item_record, &rest, &item);
        if (rc != POA_OK || item.type >= POA_P2P_TYPE_RESERVED ||
            item.bytes.n > p->config.message_max_bytes) {
            garbage(p, s);
            return POA_E_NOT_CANONICAL;
        }
    }
    pthread_mutex_lock(&p->lock);
    account(p, s, (uint32_t)nng_pipe_id(pipe), true, size);
    s->peer->stats.messages_in += n;
    bool fine = mesh_take(&s->peer->pushes, mesh_now_us(), p->config.pushes_per_s,
                          4 * p->config.pushes_per_s, n);
    if (!fine) {
        p->totals.pushes_refused += n;
        s->peer->stats.refused_frames++;
        mesh_blame(p, s->key, POA_P2P_FAULT_RATE);
    }
    pthread_mutex_unlock(&p->lock);
    if (!fine)
        return POA_OK; /* the protocol sends again what matters */
    for (rest = plain; rest.n > 0;) {
        rc = poa_record_take(&poa_mesh_item_record, &rest, &item);
        POA_ASSERT(rc == POA_OK);
        deliver(p, s, item.type, item.bytes, 0);
    }
    return POA_OK;
}

static void serve_push(struct poa_p2p *p, nng_msg *m)
{
    nng_pipe pipe = nng_msg_get_pipe(m);
    struct poa_slice rest;
    struct session *s = NULL;
    uint8_t kind = 0;
    int rc = mesh_msg_open(m, &kind, &rest);
    if (rc == POA_OK && kind != MESH_FRAME)
        rc = POA_E_NOT_CANONICAL;
    if (rc == POA_OK)
        s = session_of(p, rest, &rc);
    if (s != NULL)
        rc = s->peer != NULL && (s->peer->flags & POA_P2P_MESH) != 0 ? take_pushes(p, s, pipe, rest)
                                                                     : POA_E_PEER_UNKNOWN;
    if (rc != POA_OK) {
        mesh_pipe_fault(p, pipe, s != NULL ? s->peer : NULL,
                        rc == POA_E_NOT_CANONICAL ? MESH_R_FORMAT : MESH_R_FRAME, rc);
    }
    if (s != NULL)
        mesh_session_drop(s);
}

void mesh_pull_cb(void *arg)
{
    struct poa_p2p *p = arg;
    int rv = nng_aio_result(p->pull_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED || atomic_load(&p->closing)) {
        if (rv == 0)
            nng_msg_free(nng_aio_get_msg(p->pull_aio));
        return;
    }
    if (rv == 0) {
        nng_msg *m = nng_aio_get_msg(p->pull_aio);
        nng_aio_set_msg(p->pull_aio, NULL);
        serve_push(p, m);
        nng_msg_free(m);
    } else {
        nng_msleep(10); /* out of memory: not in a tight loop */
    }
    nng_recv_aio(p->pull, p->pull_aio);
}
