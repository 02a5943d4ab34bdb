/* Connections to us. NNG has no limits of its own, so every pipe is counted:
 * one that shows no session soon is closed, and so is one that sends garbage. */
#include <arpa/inet.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

#define PIPES_MAX       768
#define UNKNOWN_US      5000000 /* time to show a session */
#define STRIKES_MAX     8       /* soft faults: unknown session, replay, rate */
#define REPLIES_MAX     32      /* immediate answers on their way to one connection */
#define REPLIES_STUCK   4       /* the same, when it takes none */
#define STUCK_US        1000000
#define HELLOS_PER_S    200 /* all together; each costs 4 scalar multiplications */
#define HELLOS_BURST    200
#define PIPE_HELLOS     4 /* per second and connection */
#define PIPE_HELLOS_MAX 8
#define CLOSE_MAX       64

/* Connections without a session that are kept, by [pull][listed]. Each may hold
 * one message in memory, and those on PULL are large. */
static const unsigned unknown_max[2][2] = {{32, 64}, {4, 32}};

static int compare(const void *a, const void *b)
{
    uint32_t x = ((const struct pipe *)a)->id, y = ((const struct pipe *)b)->id;
    return x < y ? -1 : x > y;
}

struct pipe *mesh_pipe_find(struct poa_p2p *p, uint32_t id)
{
    struct pipe key = {.id = id};
    struct pipe **node = tfind(&key, &p->pipes, compare);
    return node == NULL ? NULL : *node;
}

bool mesh_pipe_reply(struct poa_p2p *p, uint32_t id, bool done)
{
    bool ok = done;
    pthread_mutex_lock(&p->lock);
    uint64_t now_us = mesh_now_us();
    struct pipe *pipe = mesh_pipe_find(p, id);
    if (done) {
        p->replies--;
        if (pipe != NULL && pipe->replies > 0)
            pipe->replies--;
    } else if (pipe != NULL) {
        if (pipe->replies == 0)
            pipe->replies_since_us = now_us;
        bool stuck = now_us - pipe->replies_since_us > STUCK_US;
        /* The last few contexts are for connections that take what they get. */
        bool scarce = p->replies >= MESH_RESERVE - 8;
        ok = pipe->replies < (stuck ? REPLIES_STUCK : scarce ? 1 : REPLIES_MAX);
        if (ok) {
            pipe->replies++;
            p->replies++;
        } else {
            p->totals.pipes_closed++;
            mesh_blame_address(p, pipe->from, POA_P2P_FAULT_UNREAD);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

/* The address that PIPE comes from; IPv4 mapped into IPv6. */
static bool remote(nng_pipe pipe, uint8_t from[16], uint16_t *port)
{
    nng_sockaddr a;
    memset(from, 0, 16);
    *port = 0;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &a) != 0)
        return false;
    if (a.s_family == NNG_AF_INET) {
        from[10] = from[11] = 0xff;
        memcpy(from + 12, &a.s_in.sa_addr, 4);
        *port = ntohs(a.s_in.sa_port);
    } else if (a.s_family == NNG_AF_INET6) {
        memcpy(from, a.s_in6.sa_addr, 16);
        *port = ntohs(a.s_in6.sa_port);
    }
    return *port != 0;
}

/* With p->lock. */
bool mesh_listed(const struct poa_p2p *p, const uint8_t from[16])
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        const struct peer *peer = p->peer[i];
        if (peer != NULL && peer->have_from && (peer->flags & POA_P2P_HEARSAY) == 0 &&
            memcmp(peer->from, from, 16) == 0)
            return true;
    }
    return false;
}

/* With p->lock. False: no room, refuse it. */
static bool admit(struct poa_p2p *p, uint32_t id, bool pull, const uint8_t from[16])
{
    bool listed = mesh_listed(p, from);
    if (!listed && mesh_address_banned(p, from))
        return false;
    if (p->pipes_n >= PIPES_MAX || p->unknown_n[pull][listed] >= 2 * unknown_max[pull][listed])
        return false;
    struct pipe *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return false;
    pipe->id = id;
    pipe->pull = pull;
    pipe->listed = listed;
    memcpy(pipe->from, from, 16);
    pipe->since_us = mesh_now_us();
    if (tsearch(pipe, &p->pipes, compare) == NULL) {
        free(pipe);
        return false;
    }
    pipe->next = p->pipe_list;
    p->pipe_list = pipe;
    p->pipes_n++;
    p->unknown_n[pull][listed]++;
    if (p->unknown_n[pull][listed] > unknown_max[pull][listed])
        mesh_wake(p); /* which closes the oldest of them */
    return true;
}

static void event(struct poa_p2p *p, nng_pipe pipe, nng_pipe_ev ev, bool pull)
{
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    uint8_t from[16];
    uint16_t port = 0;
    bool refuse = false;
    if (ev == NNG_PIPE_EV_ADD_PRE) /* without an address it is gone already */
        refuse = !remote(pipe, from, &port);
    pthread_mutex_lock(&p->lock);
    if (ev == NNG_PIPE_EV_ADD_PRE) {
        mesh_arrived(p, from, port, pull);
        refuse = refuse || atomic_load(&p->closing) || !admit(p, id, pull, from);
        if (refuse)
            p->totals.pipes_closed++;
    } else {
        struct pipe *gone = mesh_pipe_find(p, id);
        if (gone != NULL) {
            struct pipe **at = &p->pipe_list;
            tdelete(gone, &p->pipes, compare);
            while (*at != gone)
                at = &(*at)->next;
            *at = gone->next;
            p->pipes_n--;
            if (!gone->known)
                p->unknown_n[gone->pull][gone->listed]--;
            free(gone);
            mesh_wake(p); /* requests of a pipe that is gone need no answer */
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (refuse)
        nng_pipe_close(pipe);
}

void mesh_pipe_event(nng_pipe pipe, nng_pipe_ev ev, void *p)
{
    event(p, pipe, ev, false);
}

void mesh_pull_event(nng_pipe pipe, nng_pipe_ev ev, void *p)
{
    event(p, pipe, ev, true);
}

void mesh_pipe_known(struct poa_p2p *p, uint32_t id, const struct session *s)
{
    struct pipe *pipe = mesh_pipe_find(p, id);
    if (pipe == NULL)
        return;
    if (!pipe->known) {
        pipe->known = true;
        p->unknown_n[pipe->pull][pipe->listed]--;
    }
    pipe->session = s->id;
    pipe->strikes = 0;
    if (s->peer != NULL) {
        memcpy(s->peer->from, pipe->from, 16);
        s->peer->have_from = true;
    }
}

bool mesh_pipe_may_hello(struct poa_p2p *p, uint32_t id)
{
    uint64_t now_us = mesh_now_us();
    pthread_mutex_lock(&p->lock);
    struct pipe *pipe = mesh_pipe_find(p, id);
    bool ok = pipe != NULL && mesh_take(&pipe->hellos, now_us, PIPE_HELLOS, PIPE_HELLOS_MAX, 1) &&
              mesh_take(&p->hellos[pipe->listed], now_us, HELLOS_PER_S, HELLOS_BURST, 1);
    if (!ok)
        p->totals.handshakes_refused++;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void mesh_ip_text(const uint8_t from[16], char text[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool v4 = memcmp(from, mapped, sizeof mapped) == 0;
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? from + 12 : from, text, INET6_ADDRSTRLEN) == NULL)
        text[0] = 0;
}

static enum poa_p2p_fault fault_of(enum mesh_reason reason, int error)
{
    if (error == POA_E_RATE)
        return POA_P2P_FAULT_RATE;
    if (error == POA_E_SESSION_UNKNOWN)
        return POA_P2P_FAULT_SESSION;
    if (reason == MESH_R_HANDSHAKE)
        return POA_P2P_FAULT_HANDSHAKE;
    return reason == MESH_R_FORMAT ? POA_P2P_FAULT_BYTES : POA_P2P_FAULT_FRAME;
}

void mesh_pipe_fault(struct poa_p2p *p, nng_pipe pipe, struct peer *peer, enum mesh_reason reason,
                     int error)
{
    bool soft = error == POA_E_SESSION_UNKNOWN || error == POA_E_REPLAY || error == POA_E_RATE;
    char from[INET6_ADDRSTRLEN];
    uint8_t ip[16] = {0};
    pthread_mutex_lock(&p->lock);
    struct pipe *entry = mesh_pipe_find(p, (uint32_t)nng_pipe_id(pipe));
    bool close = !soft || entry == NULL || entry->pull || ++entry->strikes >= STRIKES_MAX;
    if (entry != NULL)
        memcpy(ip, entry->from, sizeof ip);
    p->totals.frames_refused++;
    /* What a session does beyond its rate was told already. */
    if (entry != NULL && (error != POA_E_RATE || reason == MESH_R_RATE))
        mesh_blame_address(p, ip, fault_of(reason, error));
    if (close)
        p->totals.pipes_closed++;
    if (peer != NULL) {
        peer->stats.refused_frames++;
        peer->stats.last_error = error;
    }
    pthread_mutex_unlock(&p->lock);
    mesh_ip_text(ip, from);
    if (entry != NULL) /* else it hung up before we looked */
        poa_log_limited(peer != NULL ? &peer->limit[reason] : &p->limit[reason], MESH_LOG_MS,
                        soft && !close ? POA_LOG_DEBUG : POA_LOG_WARN, "p2p", "%s at %s: %s%s%s",
                        peer != NULL ? peer->name : "unknown node", from, poa_error_text(error),
                        reason == MESH_R_HANDSHAKE ? " (it expects another key here, or is of "
                                                     "another chain)"
                                                   : "",
                        close ? ": connection closed" : "");
    if (close)
        nng_pipe_close(pipe);
}

uint64_t mesh_pipes_work(struct poa_p2p *p, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;
    nng_pipe victim[CLOSE_MAX];
    unsigned n = 0, seen[2][2] = {{0}};
    pthread_mutex_lock(&p->lock);
    /* The list is newest first: of each port and class, those after the first
     * unknown_max without a session are too many. */
    for (struct pipe *pipe = p->pipe_list; pipe != NULL; pipe = pipe->next) {
        if (pipe->known)
            continue;
        bool late = now_us > pipe->since_us && now_us - pipe->since_us >= UNKNOWN_US;
        if (late || ++seen[pipe->pull][pipe->listed] > unknown_max[pipe->pull][pipe->listed]) {
            if (n < CLOSE_MAX) {
                victim[n++] = (nng_pipe){.id = pipe->id};
                if (pipe->since_us != 0) /* else it was told before */
                    mesh_blame_address(p, pipe->from, POA_P2P_FAULT_SILENT);
            }
        } else if (pipe->since_us + UNKNOWN_US < next_us) {
            next_us = pipe->since_us + UNKNOWN_US;
        }
    }
    p->totals.pipes_closed += n;
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++)
        nng_pipe_close(victim[i]);
    if (n > 0) {
        poa_log_limited(&p->limit[MESH_R_PIPE], MESH_LOG_MS, POA_LOG_DEBUG, "p2p",
                        "closed %u connections that showed no session", n);
        next_us = now_us + 50000;
    }
    return next_us;
}

void mesh_pipes_clear(struct poa_p2p *p)
{
    while (p->pipe_list != NULL) {
        struct pipe *pipe = p->pipe_list;
        p->pipe_list = pipe->next;
        tdelete(pipe, &p->pipes, compare);
        free(pipe);
    }
}
