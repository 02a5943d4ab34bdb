/* Why a peer that we dial is not connected. NNG dials for ever and keeps what went wrong
 * to itself, so when a link stays down the worker tries a connection of its own, as far as
 * the eight bytes that SP peers exchange, and says once in a while what it found. */
#include <string.h>

#include "mesh.h"

#define PROBE_AFTER_US  2000000 /* a restart is shorter */
#define PROBE_EVERY_US  20000000
#define PROBE_MS        3000 /* for each step */
#define SAY_AFTER_US    8000000
#define SAY_WITHOUT_US  15000000 /* when no reason was found */
#define SAY_FIRST_US    ((uint64_t)60 * 1000000)
#define SAY_MAX_US      ((uint64_t)1800 * 1000000)
#define SHAKE_RECENT_US 6000000 /* longer than an attempt and the wait for the next */

#define NO_ANSWER "nothing answers there: the machine is off, or a firewall is between"
#define NO_MESH   "what listens there is no mesh port (is it the RPC port?)"

/* After handshakes that failed this is their consequence. */
static const char closes[] = "it closes the connection at once: no mesh port, too many "
                             "connections, or this address is banned";
static const uint8_t we_are_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

static const char *shake_reason(int error)
{
    switch (error) {
    case POA_E_CLOSED:
        return "it ends the handshake: another key lives there, or another chain: see `poa status` "
               "there";
    case POA_E_HANDSHAKE:
        return "the handshake does not open: another key lives there";
    case POA_E_TIMEOUT:
        return "it does not answer the handshake: it hangs, or is overloaded";
    case POA_E_PEER_UNKNOWN:
        return "it refuses this node: it banned it, or takes no strangers";
    case POA_E_UNSUPPORTED:
        return "it speaks another version of the mesh";
    default:
        return poa_error_text(error);
    }
}

static const char *dial_reason(int rv)
{
    switch (rv) {
    case NNG_ECONNREFUSED:
        return "connection refused: no node listens there";
    case NNG_ETIMEDOUT:
        return NO_ANSWER;
    case NNG_EADDRINVAL:
        return "its name does not resolve";
    case NNG_EUNREACHABLE:
        return "there is no route to it";
    default:
        return nng_strerror(rv);
    }
}

/* What MINE, the port where the probe is, says of itself. */
static const char *preamble_reason(const uint8_t bytes[8], bool push)
{
    uint8_t protocol = push ? 0x51 : 0x31; /* PULL, REP */
    if (memcmp(bytes, we_are_req, 5) != 0)
        return NO_MESH;
    if (bytes[5] == protocol)
        return push ? "its mesh port answers, the one after it closes the connection" : closes;
    return bytes[5] == 0x51 ? "that is its port for pushes: the mesh port is the one before"
                            : "a mesh port of the wrong kind";
}

/* --- the probe ---------------------------------------------------------------------- */

static void probe_ends(struct peer *peer, const char *reason)
{
    pthread_mutex_lock(&peer->p->lock);
    peer->reach.ended = true;
    peer->reach.found = reason;
    mesh_wake(peer->p);
    pthread_mutex_unlock(&peer->p->lock);
}

static void transfer(struct reach *r, bool send)
{
    nng_iov iov = {.iov_buf = r->bytes + r->got, .iov_len = sizeof r->bytes - r->got};
    (void)nng_aio_set_iov(r->aio, 1, &iov);
    nng_aio_set_timeout(r->aio, PROBE_MS);
    if (send)
        nng_stream_send(r->stream, r->aio);
    else
        nng_stream_recv(r->stream, r->aio);
}

/* The steps follow one another, so nobody else is at the probe meanwhile. */
static void probe_cb(void *arg)
{
    struct peer *peer = arg;
    struct reach *r = &peer->reach;
    int rv = nng_aio_result(r->aio);
    switch (r->step) {
    case PROBE_DIALING:
        if (rv != 0) {
            probe_ends(peer, dial_reason(rv));
            return;
        }
        r->stream = nng_aio_get_output(r->aio, 0);
        memcpy(r->bytes, we_are_req, sizeof r->bytes);
        if (r->push)
            r->bytes[5] = 0x50;
        r->got = 0;
        r->step = PROBE_SENDING;
        transfer(r, true);
        return;
    case PROBE_SENDING:
        r->step = PROBE_RECEIVING;
        if (rv == 0) {
            memset(r->bytes, 0xff, sizeof r->bytes);
            transfer(r, false);
            return;
        }
        break;
    case PROBE_RECEIVING:
        if (rv == 0) {
            r->got += nng_aio_count(r->aio);
            if (r->got < sizeof r->bytes) {
                transfer(r, false);
                return;
            }
            probe_ends(peer, preamble_reason(r->bytes, r->push));
            return;
        }
        break;
    }
    probe_ends(peer, rv == NNG_ETIMEDOUT
                         ? "it says nothing: it hangs, or that is no mesh port (is it the RPC "
                           "port?)"
                         : closes);
}

/* The dialer first: its stream, which NNG frees in a thread of its own, holds it. */
static void probe_free(struct reach *r)
{
    if (r->dialer != NULL)
        nng_stream_dialer_free(r->dialer);
    if (r->stream != NULL)
        nng_stream_free(r->stream);
    r->stream = NULL;
    r->dialer = NULL;
}

static void probe_begin(struct peer *peer)
{
    struct reach *r = &peer->reach;
    if (r->aio == NULL && nng_aio_alloc(&r->aio, probe_cb, peer) != 0)
        r->aio = NULL;
    if (r->aio == NULL ||
        nng_stream_dialer_alloc(&r->dialer, r->push ? peer->push_url : peer->req_url) != 0) {
        r->dialer = NULL;
        probe_ends(peer, NULL);
        return;
    }
    r->step = PROBE_DIALING;
    nng_aio_set_timeout(r->aio, PROBE_MS);
    nng_stream_dialer_dial(r->dialer, r->aio);
}

/* Stopping a read that has begun would end it twice (nngfix.c), so the probe has ended before. */
void mesh_reach_close(struct peer *peer)
{
    struct reach *r = &peer->reach;
    if (r->aio == NULL)
        return;
    nng_aio_stop(r->aio); /* its callback has returned */
    probe_free(r);
    nng_aio_free(r->aio);
    r->aio = NULL;
}

/* --- the worker's round --------------------------------------------------------------- */

void mesh_reach_shake(struct peer *peer, int error)
{
    peer->reach.shake = shake_reason(error);
    peer->reach.shake_us = mesh_now_us();
}

/* A handshake that fails says more than a connection that works. */
static bool shakes(const struct reach *r, uint64_t now_us)
{
    return r->shake != NULL && now_us < r->shake_us + SHAKE_RECENT_US;
}

const char *mesh_reach_why(const struct peer *peer, uint64_t now_us)
{
    const struct reach *r = &peer->reach;
    if (!peer->dialed || peer->reported_up)
        return NULL;
    return shakes(r, now_us) || (r->shake != NULL && r->found == closes) ? r->shake : r->found;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t mesh_reach_work(struct peer *peer, uint64_t now_us)
{
    struct poa_p2p *p = peer->p;
    struct reach *r = &peer->reach;
    uint64_t next_us = UINT64_MAX, down_us = 0;
    const char *why = NULL;
    bool begin = false, say = false;
    pthread_mutex_lock(&p->lock);
    bool ended = r->ended;
    if (ended)
        r->ended = r->probing = false;
    if (peer->reported_up) {
        if (r->up_us == 0)
            r->up_us = now_us;
        r->down_us = r->say_us = 0;
        r->found = r->shake = NULL;
    } else {
        bool req_here = nng_pipe_id(peer->req_pipe) > 0;
        bool banned = mesh_banned(&peer->standing, now_us);
        r->up_us = 0;
        if (r->down_us == 0 || banned) {
            r->down_us = now_us;
            r->probe_us = now_us + PROBE_AFTER_US;
            r->every_us = SAY_FIRST_US;
        }
        begin = !r->probing && now_us >= r->probe_us && !shakes(r, now_us) &&
                (!req_here || (peer->up && nng_pipe_id(peer->push_pipe) == 0));
        if (begin) {
            r->push = req_here;
            r->probing = true;
            r->probe_us = now_us + PROBE_EVERY_US;
        }
        why = mesh_reach_why(peer, now_us);
        uint64_t say_us =
            r->say_us != 0 ? r->say_us : r->down_us + (why != NULL ? SAY_AFTER_US : SAY_WITHOUT_US);
        /* Who was only heard of is tried and forgotten. */
        say = now_us >= say_us && (peer->flags & POA_P2P_HEARSAY) == 0;
        if (say) {
            r->say_us = now_us + r->every_us;
            r->every_us = sooner(2 * r->every_us, SAY_MAX_US);
            down_us = now_us - r->down_us;
        }
        next_us = now_us + 1000000;
    }
    pthread_mutex_unlock(&p->lock);
    if (ended)
        probe_free(r);
    if (begin)
        probe_begin(peer);
    if (say)
        POA_LOG_WARN("p2p", "%s at %s has not been reached for %u s: %s", peer->name,
                     (r->push ? peer->push_url : peer->req_url) + strlen("tcp://"),
                     (unsigned)(down_us / 1000000), why != NULL ? why : NO_ANSWER);
    return next_us;
}
