#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const uint8_t chain_a[32] = {0xaa}, chain_b[32] = {0xbb};

void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* --- nodes ----------------------------------------------------------------- */

static void on_message(void *ctx, const struct poa_p2p_message *m)
{
    struct node *n = ctx;
    struct got g = {.peer = m->peer, .type = m->type, .n = m->bytes.n, .token = m->token};
    size_t head = m->bytes.n < sizeof g.head ? m->bytes.n : sizeof g.head;
    if (head > 0)
        memcpy(g.head, m->bytes.p, head);
    pthread_mutex_lock(&n->lock);
    n->of_type[m->type]++;
    if (n->got_n < GOT_MAX)
        n->got[n->got_n++] = g;
    bool echo = n->echo;
    pthread_mutex_unlock(&n->lock);
    if (m->token != 0 && echo)
        (void)!poa_p2p_answer(n->p, m->token, (uint16_t)(m->type + 1), m->bytes);
}

static void on_peer(void *ctx, int peer, const uint8_t key32[32], bool up)
{
    struct node *n = ctx;
    (void)peer;
    (void)key32;
    atomic_fetch_add(up ? &n->ups : &n->downs, 1);
}

static void start(struct node *n, const char *listen, const char *listen_push,
                  const struct poa_p2p_config *more)
{
    struct poa_p2p_config c = {0};
    if (more != NULL)
        c = *more;
    c.seed32 = n->seed;
    if (c.chain32 == NULL)
        c.chain32 = chain_a;
    c.listen = listen;
    c.listen_push = listen_push;
    c.ctx = n;
    c.on_message = on_message;
    c.on_peer = on_peer;
    cr_assert_eq(poa_p2p_open(&n->p, &c), POA_OK);
}

struct node *node_open_on(unsigned id, const char *host, const struct poa_p2p_config *more)
{
    struct node *n = calloc(1, sizeof *n);
    char any[64];
    cr_assert_eq(poa_crypto_init(), POA_OK);
    n->got = calloc(GOT_MAX, sizeof *n->got);
    n->of_type = calloc(UINT16_MAX + 1, sizeof *n->of_type);
    n->echo = true;
    n->seed[0] = (uint8_t)id;
    n->seed[1] = 0x77;
    poa_ed25519_public(n->seed, n->key);
    pthread_mutex_init(&n->lock, NULL);
    snprintf(any, sizeof any, "%s:0", host);
    start(n, any, any, more);
    cr_assert(poa_p2p_port(n->p) > 0 && poa_p2p_push_port(n->p) > 0);
    snprintf(n->address, sizeof n->address, "%s:%u", host, poa_p2p_port(n->p));
    snprintf(n->push_address, sizeof n->push_address, "%s:%u", host, poa_p2p_push_port(n->p));
    return n;
}

struct node *node_open(unsigned id, const struct poa_p2p_config *more)
{
    return node_open_on(id, "127.0.0.1", more);
}

void node_reopen(struct node *n, const struct poa_p2p_config *more)
{
    start(n, n->address, n->push_address, more);
}

void node_stop(struct node *n)
{
    poa_p2p_close(n->p);
    n->p = NULL;
}

void node_close(struct node *n)
{
    if (n->p != NULL)
        poa_p2p_close(n->p);
    pthread_mutex_destroy(&n->lock);
    free(n->got);
    free(n->of_type);
    free(n);
    /* NNG frees sockets behind our back; a leak checker that looks now may find
     * them half freed. */
    sleep_ms(30);
}

int node_knows(struct node *a, const struct node *b, bool dial, unsigned flags)
{
    int index = -1;
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, dial ? b->address : NULL,
                                  dial ? b->push_address : NULL, flags, &index),
                 POA_OK);
    return index;
}

size_t node_total(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    size_t total = n->got_n;
    pthread_mutex_unlock(&n->lock);
    return total;
}

size_t node_count(struct node *n, uint16_t type)
{
    pthread_mutex_lock(&n->lock);
    size_t count = n->of_type[type];
    pthread_mutex_unlock(&n->lock);
    return count;
}

bool node_find(struct node *n, uint16_t type, struct got *out)
{
    bool found = false;
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < n->got_n && !found; i++) {
        found = n->got[i].type == type;
        if (found)
            *out = n->got[i];
    }
    pthread_mutex_unlock(&n->lock);
    return found;
}

struct got node_at(struct node *n, size_t i)
{
    pthread_mutex_lock(&n->lock);
    struct got g = n->got[i];
    pthread_mutex_unlock(&n->lock);
    return g;
}

struct poa_p2p_stats node_stats(struct node *n, int peer)
{
    struct poa_p2p_stats s;
    cr_assert_eq(poa_p2p_stats(n->p, peer, &s), POA_OK);
    return s;
}

bool node_up(struct node *n, int peer)
{
    return node_stats(n, peer).up;
}

int push_text(struct node *n, int peer, unsigned priority, uint16_t type, const char *text)
{
    return poa_p2p_push(n->p, peer, priority, type, poa_slice(text, strlen(text)));
}

void on_answer(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct answer *a = ctx;
    a->error = error;
    a->type = type;
    a->n = bytes.n;
    if (bytes.n > 0)
        memcpy(a->head, bytes.p, bytes.n < sizeof a->head ? bytes.n : sizeof a->head);
    atomic_fetch_add(&a->calls, 1);
}

/* --- raw TCP --------------------------------------------------------------- */

int raw_listen(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

int raw_connect_from(uint16_t port, const char *source_ip)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in source = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(inet_pton(AF_INET, source_ip, &source.sin_addr), 1);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0 ||
        connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int raw_connect(uint16_t port)
{
    return raw_connect_from(port, "127.0.0.1");
}

bool raw_receive(int fd, void *bytes, size_t n)
{
    uint8_t *p = bytes;
    while (n > 0) {
        struct pollfd f = {.fd = fd, .events = POLLIN};
        if (poll(&f, 1, WAIT_MS) <= 0)
            return false;
        ssize_t k = recv(fd, p, n, 0);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

bool raw_send(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

void raw_preamble(int fd, uint8_t protocol)
{
    uint8_t hello[8] = {0, 'S', 'P', 0, 0, protocol, 0, 0};
    raw_send(fd, hello, sizeof hello);
}

bool raw_closed(int fd)
{
    uint8_t buf[4096];
    for (int waited = 0; waited < WAIT_MS; waited += 100) {
        struct pollfd f = {.fd = fd, .events = POLLIN};
        if (poll(&f, 1, 100) <= 0)
            continue;
        ssize_t k = recv(fd, buf, sizeof buf, 0);
        if (k <= 0)
            return true;
    }
    return false;
}

/* --- proxy ----------------------------------------------------------------- */

#define CONNECTIONS_MAX 64

struct wire {
    int client, server;
    uint8_t *bytes[2]; /* 0 from the client, 1 from the server */
    size_t n[2];
};

struct proxy {
    int listener;
    uint16_t port, target;
    pthread_t thread;
    _Atomic bool stop, deaf;
    pthread_mutex_t lock;
    struct wire wire[CONNECTIONS_MAX];
    size_t wires;
};

static void pass(struct proxy *x, struct wire *w, int dir)
{
    static _Thread_local uint8_t buf[65536];
    int from = dir == 0 ? w->client : w->server, to = dir == 0 ? w->server : w->client;
    ssize_t k = recv(from, buf, sizeof buf, 0);
    if (k <= 0 || !raw_send(to, buf, (size_t)k)) {
        close(w->client);
        close(w->server);
        w->client = w->server = -1;
        return;
    }
    pthread_mutex_lock(&x->lock);
    w->bytes[dir] = realloc(w->bytes[dir], w->n[dir] + (size_t)k);
    memcpy(w->bytes[dir] + w->n[dir], buf, (size_t)k);
    w->n[dir] += (size_t)k;
    pthread_mutex_unlock(&x->lock);
}

static void *proxy_run(void *arg)
{
    struct proxy *x = arg;
    while (!atomic_load(&x->stop)) {
        struct pollfd f[1 + 2 * CONNECTIONS_MAX];
        bool deaf = atomic_load(&x->deaf);
        nfds_t n = 1;
        f[0] = (struct pollfd){.fd = deaf ? -1 : x->listener, .events = POLLIN};
        for (size_t i = 0; i < x->wires; i++) {
            f[n++] = (struct pollfd){.fd = deaf ? -1 : x->wire[i].client, .events = POLLIN};
            f[n++] = (struct pollfd){.fd = deaf ? -1 : x->wire[i].server, .events = POLLIN};
        }
        if (poll(f, n, 20) <= 0)
            continue;
        for (size_t i = 0; i < x->wires; i++)
            for (int dir = 0; dir < 2; dir++)
                if (x->wire[i].client >= 0 && f[1 + 2 * i + (size_t)dir].revents != 0)
                    pass(x, &x->wire[i], dir);
        if (f[0].revents != 0) {
            int fd = accept(x->listener, NULL, NULL);
            int server = fd >= 0 && x->wires < CONNECTIONS_MAX ? raw_connect(x->target) : -1;
            if (server < 0) {
                close(fd);
                continue;
            }
            pthread_mutex_lock(&x->lock);
            x->wire[x->wires++] = (struct wire){.client = fd, .server = server};
            pthread_mutex_unlock(&x->lock);
        }
    }
    return NULL;
}

struct proxy *proxy_open(uint16_t port)
{
    struct proxy *x = calloc(1, sizeof *x);
    x->target = port;
    x->listener = raw_listen(&x->port);
    pthread_mutex_init(&x->lock, NULL);
    cr_assert_eq(pthread_create(&x->thread, NULL, proxy_run, x), 0);
    return x;
}

uint16_t proxy_port(const struct proxy *x)
{
    return x->port;
}

void proxy_deaf(struct proxy *x, bool deaf)
{
    atomic_store(&x->deaf, deaf);
}

uint8_t *proxy_sent(struct proxy *x, size_t i, size_t *n)
{
    uint8_t *copy = NULL;
    *n = 0;
    pthread_mutex_lock(&x->lock);
    if (i < x->wires && x->wire[i].n[0] > 0) {
        *n = x->wire[i].n[0];
        copy = malloc(*n);
        memcpy(copy, x->wire[i].bytes[0], *n);
    }
    pthread_mutex_unlock(&x->lock);
    return copy;
}

bool proxy_saw(struct proxy *x, const void *bytes, size_t n)
{
    bool saw = false;
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->wires; i++)
        for (int dir = 0; dir < 2; dir++)
            saw = saw || (x->wire[i].n[dir] >= n &&
                          memmem(x->wire[i].bytes[dir], x->wire[i].n[dir], bytes, n) != NULL);
    pthread_mutex_unlock(&x->lock);
    return saw;
}

size_t proxy_bytes(struct proxy *x)
{
    size_t n = 0;
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->wires; i++)
        n += x->wire[i].n[0] + x->wire[i].n[1];
    pthread_mutex_unlock(&x->lock);
    return n;
}

void proxy_close(struct proxy *x)
{
    atomic_store(&x->stop, true);
    pthread_join(x->thread, NULL);
    for (size_t i = 0; i < x->wires; i++) {
        if (x->wire[i].client >= 0) {
            close(x->wire[i].client);
            close(x->wire[i].server);
        }
        free(x->wire[i].bytes[0]);
        free(x->wire[i].bytes[1]);
    }
    close(x->listener);
    pthread_mutex_destroy(&x->lock);
    free(x);
}
