/* Connections that were accepted and have not sent the SP preamble yet. NNG gives
 * each ten seconds, knows no limit, and tells nobody: whoever connects and says
 * nothing would have every descriptor of the process soon, and a database without
 * descriptors stops the node. So accept() is interposed, which in this program
 * NNG alone calls: banned addresses are refused there, and of too many that wait
 * the oldest is cut. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mesh.h"

#define LISTENERS_MAX 64
#define ARRIVED_US    5000000 /* time for eight bytes */

/* Of all meshes in this process: tests have several. */
static struct {
    uint16_t port;
    bool pull;
    struct poa_p2p *p;
} listener[LISTENERS_MAX];
static unsigned listeners_n;
static pthread_mutex_t listeners_lock = PTHREAD_MUTEX_INITIALIZER;

void mesh_arrivals_open(struct poa_p2p *p)
{
    pthread_mutex_lock(&listeners_lock);
    for (int pull = 0; pull <= 1 && listeners_n < LISTENERS_MAX; pull++) {
        listener[listeners_n].port = pull ? p->push_port : p->port;
        listener[listeners_n].pull = pull;
        listener[listeners_n++].p = p;
    }
    pthread_mutex_unlock(&listeners_lock);
}

void mesh_arrivals_close(struct poa_p2p *p)
{
    pthread_mutex_lock(&listeners_lock);
    for (unsigned i = 0; i < listeners_n;)
        if (listener[i].p == p)
            listener[i] = listener[--listeners_n];
        else
            i++;
    pthread_mutex_unlock(&listeners_lock);
}

static bool address_of(const struct sockaddr_storage *a, uint8_t ip[16], uint16_t *port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
    memset(ip, 0, 16);
    if (a->ss_family == AF_INET) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12, &v4->sin_addr, 4);
        *port = ntohs(v4->sin_port);
        return true;
    }
    if (a->ss_family != AF_INET6)
        return false;
    memcpy(ip, &v6->sin6_addr, 16);
    *port = ntohs(v6->sin6_port);
    return true;
}

static bool peer_of(int fd, uint8_t ip[16], uint16_t *port)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    return getpeername(fd, (struct sockaddr *)&a, &n) == 0 && address_of(&a, ip, port);
}

/* With p->lock. NNG may have closed it, and the number may be somebody else's now. */
static void cut(struct poa_p2p *p, unsigned i)
{
    struct arrival a = p->arrival[i];
    uint8_t ip[16];
    uint16_t port;
    memmove(&p->arrival[i], &p->arrival[i + 1], (--p->arrivals_n - i) * sizeof a);
    if (peer_of(a.fd, ip, &port) && port == a.port && memcmp(ip, a.from, 16) == 0)
        (void)shutdown(a.fd, SHUT_RDWR);
    p->totals.pipes_closed++;
    mesh_blame_address(p, a.from, POA_P2P_FAULT_SILENT);
}

/* With p->lock. */
static bool arrives(struct poa_p2p *p, bool pull, int fd)
{
    struct arrival a = {.fd = fd, .pull = pull, .since_us = mesh_now_us()};
    if (!peer_of(fd, a.from, &a.port))
        return false;
    a.listed = mesh_listed(p, a.from);
    if (!a.listed && mesh_address_banned(p, a.from))
        return false;
    unsigned same = 0, oldest = 0;
    for (unsigned i = p->arrivals_n; i-- > 0;)
        if (p->arrival[i].listed == a.listed) {
            same++;
            oldest = i;
        }
    if (same >= ARRIVALS_MAX / 2)
        cut(p, oldest);
    p->arrival[p->arrivals_n++] = a;
    return true;
}

void mesh_arrived(struct poa_p2p *p, const uint8_t from[16], uint16_t port, bool pull)
{
    for (unsigned i = 0; i < p->arrivals_n; i++) {
        const struct arrival *a = &p->arrival[i];
        if (a->port == port && a->pull == pull && memcmp(a->from, from, 16) == 0) {
            p->arrivals_n--;
            memmove(&p->arrival[i], &p->arrival[i + 1], (p->arrivals_n - i) * sizeof *a);
            return;
        }
    }
}

uint64_t mesh_arrivals_work(struct poa_p2p *p, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;
    pthread_mutex_lock(&p->lock);
    while (p->arrivals_n > 0 && p->arrival[0].since_us + ARRIVED_US <= now_us)
        cut(p, 0);
    if (p->arrivals_n > 0)
        next_us = p->arrival[0].since_us + ARRIVED_US;
    pthread_mutex_unlock(&p->lock);
    return next_us;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    uint8_t ip[16];
    uint16_t port = 0;
    return getsockname(fd, (struct sockaddr *)&a, &n) == 0 && address_of(&a, ip, &port) ? port : 0;
}

static bool may_come(int from, int fd)
{
    bool ok = true;
    uint16_t port = port_of(from);
    pthread_mutex_lock(&listeners_lock);
    for (unsigned i = 0; i < listeners_n; i++)
        if (listener[i].port == port) {
            struct poa_p2p *p = listener[i].p;
            pthread_mutex_lock(&p->lock);
            ok = arrives(p, listener[i].pull, fd);
            pthread_mutex_unlock(&p->lock);
            break;
        }
    pthread_mutex_unlock(&listeners_lock);
    return ok;
}

int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict n)
{
    static _Atomic(void *) found;
    int (*real)(int, __SOCKADDR_ARG, socklen_t *);
    void *symbol = atomic_load(&found);
    if (symbol == NULL) {
        symbol = dlsym(RTLD_NEXT, "accept");
        POA_ASSERT(symbol != NULL);
        atomic_store(&found, symbol);
    }
    /* ISO C has no conversion from an object to a function pointer. */
    memcpy(&real, &symbol, sizeof real);
    int client = real(fd, address, n);
    if (client >= 0 && !may_come(fd, client)) {
        close(client);
        errno = ECONNABORTED; /* NNG goes on with the next one */
        return -1;
    }
    return client;
}
