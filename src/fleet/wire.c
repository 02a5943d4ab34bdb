/* Sockets of a fleet. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fleet.h"

void wire_init(struct wire *w)
{
    memset(w, 0, sizeof *w);
    w->fd = -1;
}

static void watch(struct poa_fleet *f, struct wire *w, uint32_t id, bool writing, int op)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = id};
    if (writing)
        e.events |= EPOLLOUT;
    w->writing = writing;
    epoll_ctl(f->epoll_fd, op, w->fd, &e);
}

void wire_close(struct poa_fleet *f, struct wire *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        f->stat.sockets--;
    }
    free(w->in);
    free(w->out);
    wire_init(w);
}

bool wire_dial(struct poa_fleet *f, struct wire *w, uint32_t id, const struct agent_gateway *g)
{
    struct addrinfo hints = {.ai_family = AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *to = NULL;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;
    if (getaddrinfo(g->host, g->port, &hints, &to))
        return false;
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool fine = w->fd >= 0;
    /* Another address each, as far as the loopback network has them. */
    if (fine && g->host[0] == '1' && !strncmp(g->host, "127.", 4)) {
        from.sin_addr.s_addr = htonl(0x7f010000u + id % 0xfd0000u);
        setsockopt(w->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        fine = bind(w->fd, (struct sockaddr *)&from, sizeof from) == 0;
    }
    if (fine && connect(w->fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
        fine = false;
    freeaddrinfo(to);
    if (!fine) {
        if (w->fd >= 0)
            close(w->fd);
        w->fd = -1;
        return false;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    f->stat.sockets++;
    w->dialing = true;
    w->dialed_ms = fleet_now_ms(f);
    watch(f, w, id, true, EPOLL_CTL_ADD);
    return true;
}

bool wire_dialed(struct poa_fleet *f, struct wire *w, uint32_t id)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error)
        return false;
    w->dialing = false;
    watch(f, w, id, false, EPOLL_CTL_MOD);
    return true;
}

bool wire_flush(struct poa_fleet *f, struct wire *w, uint32_t id)
{
    size_t at = 0;
    while (at < w->out_n) {
        ssize_t n = send(w->fd, w->out + at, w->out_n - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n <= 0)
            break;
        at += (size_t)n;
        f->stat.bytes_out += (uint64_t)n;
    }
    if (at) {
        memmove(w->out, w->out + at, w->out_n - at);
        w->out_n -= at;
    }
    if (!w->out_n) {
        free(w->out);
        w->out = NULL;
        w->out_cap = 0;
    }
    if (w->writing != (w->out_n > 0))
        watch(f, w, id, w->out_n > 0, EPOLL_CTL_MOD);
    return true;
}

bool wire_send(struct poa_fleet *f, struct wire *w, uint32_t id, const uint8_t *bytes, size_t n)
{
    if (w->out_n + n > w->out_cap) {
        size_t cap = w->out_cap ? w->out_cap * 2 : 512;
        while (cap < w->out_n + n)
            cap *= 2;
        uint8_t *more = realloc(w->out, cap);
        if (!more)
            return false;
        w->out = more;
        w->out_cap = cap;
    }
    memcpy(w->out + w->out_n, bytes, n);
    w->out_n += n;
    return w->writing || wire_flush(f, w, id);
}

bool wire_read(struct poa_fleet *f, struct wire *w, wire_frame frame, void *ctx)
{
    size_t n = w->in_n, at = 0;
    if (n)
        memcpy(f->recv, w->in, n);
    ssize_t got = recv(w->fd, f->recv + n, sizeof f->recv - n, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    f->stat.bytes_in += (uint64_t)got;
    n += (size_t)got;
    free(w->in);
    w->in = NULL;
    w->in_n = 0;
    while (n - at >= POA_EDGE_HEAD_BYTES) {
        size_t body = poa_le16(f->recv + at);
        if (!body)
            return false;
        if (n - at < POA_EDGE_HEAD_BYTES + body)
            break;
        if (!frame(f, ctx, f->recv + at, POA_EDGE_HEAD_BYTES + body))
            return false;
        at += POA_EDGE_HEAD_BYTES + body;
    }
    if (n - at) {
        w->in = malloc(n - at);
        if (!w->in)
            return false;
        w->in_n = n - at;
        memcpy(w->in, f->recv + at, w->in_n);
    }
    return true;
}
