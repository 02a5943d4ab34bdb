/* Ports of a devnet's nodes: a block that no other devnet takes. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devnet.h"

/* Whether PORT of the loopback can be listened on. */
static bool port_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool fine = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0;
    if (fd >= 0)
        close(fd);
    return fine;
}

/* Devnets that run at the same time take ports from different blocks, below the
 * range that the kernel gives to outgoing connections. A block belongs to whoever
 * holds an abstract socket of its name, which vanishes with the process. */
#define PORT_BLOCK 200u  /* 4 for each node of the largest, and some busy ones */
#define PORT_LAST  22000 /* above: of tests (tests/runner/e2e.sh) */

static bool take_block(struct devnet *d, uint16_t base)
{
    struct sockaddr_un a;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "poa-devnet-%u", base);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) != 0) {
        close(fd);
        fd = -1;
    }
    d->block_fd = fd;
    d->port_base = base;
    return fd >= 0;
}

/* COUNT free ports in a row, or 0. */
static uint16_t next_ports(const struct devnet *d, uint16_t *next, unsigned count)
{
    for (; *next + count <= d->port_base + PORT_BLOCK; ++*next) {
        unsigned got = 0;
        while (got < count && port_free((uint16_t)(*next + got)))
            got++;
        if (got == count) {
            *next = (uint16_t)(*next + count);
            return (uint16_t)(*next - count);
        }
    }
    return 0;
}

static bool ports_from_block(struct devnet *d)
{
    uint16_t next = d->port_base;
    bool fine = true;
    for (size_t i = 0; i < devnet_nodes(d) && fine; i++)
        fine = (d->process[i].rpc = next_ports(d, &next, 1)) != 0;
    for (size_t i = 0; i < devnet_nodes(d) && fine; i++) {
        struct devnet_process *p = &d->process[i];
        fine = (p->mesh = next_ports(d, &next, 2)) != 0;
        if (p->kind == DEVNET_TRUSTED && fine)
            fine = (p->gateway = next_ports(d, &next, 1)) != 0;
    }
    return fine;
}

/* The block of last time when it is free. */
int devnet_ports(struct devnet *d, const json_t *before)
{
    uint64_t last = cli_number(before, "port_base");
    if (last >= 1024 && last + PORT_BLOCK < PORT_LAST && take_block(d, (uint16_t)last) &&
        ports_from_block(d))
        return 0;
    for (uint32_t base = POA_RPC_PORT_DEFAULT; base + PORT_BLOCK < PORT_LAST; base += PORT_BLOCK) {
        if (d->block_fd >= 0)
            close(d->block_fd);
        d->block_fd = -1;
        if (take_block(d, (uint16_t)base) && ports_from_block(d))
            return 0;
    }
    return cli_fail("no %zu free ports from %d to %d on 127.0.0.1", devnet_nodes(d) * 4,
                    POA_RPC_PORT_DEFAULT, PORT_LAST);
}
