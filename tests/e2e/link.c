/* link NODES PROGRAM ARGUMENT...: NODES processes, each in a network namespace of
 * its own, and between them a network of this program: every IP packet passes
 * here, and is delayed, lost, or cut off. Node I is 10.77.0.(I + 1) and
 * fd77::(I + 1); a % in an argument becomes I. The namespaces hold nothing but
 * loopback and this network, and end with the processes.
 *
 * Orders on standard input: "delay MS" (one way), "loss PERCENT" (of packets),
 * "rate I KIB" (per second, of what node I sends; 0: any), "cut I" and "join I" (from
 * everybody), "end". Prints one line per process:
 * "I PID". Needs root, or `unshare -Ur`. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 16
#define MTU       1500
/* Packets under way. More are lost, as in a full router. */
#define QUEUE 65536

struct packet {
    uint64_t due_us;
    uint16_t n;
    uint8_t to;
    uint8_t bytes[MTU];
};

static struct {
    int nodes, tun[NODES_MAX];
    pid_t pid[NODES_MAX];
    bool cut[NODES_MAX];
    uint64_t rate[NODES_MAX], busy_us[NODES_MAX]; /* bytes per second; until */
    uint64_t delay_us;
    unsigned loss; /* of 1,000 */
    struct packet *queue;
    uint32_t first, count;
    uint64_t passed, lost;
} w;

static void die(const char *what)
{
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    for (int i = 0; i < w.nodes; i++)
        if (w.pid[i] > 0)
            kill(w.pid[i], SIGTERM);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- namespaces --------------------------------------------------------------------- */

static void up(int s, const char *name)
{
    struct ifreq r = {.ifr_flags = 0};
    strcpy(r.ifr_name, name);
    if (ioctl(s, SIOCGIFFLAGS, &r))
        die("flags");
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &r))
        die("up");
}

static void address(int s, int i)
{
    struct ifreq r = {.ifr_mtu = 0};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(0x0a4d0001u + (uint32_t)i)};
    strcpy(r.ifr_name, "wire");
    memcpy(&r.ifr_addr, &a, sizeof a);
    if (ioctl(s, SIOCSIFADDR, &r))
        die("address");
    a.sin_addr.s_addr = htonl(0xffffff00u);
    memcpy(&r.ifr_netmask, &a, sizeof a);
    if (ioctl(s, SIOCSIFNETMASK, &r))
        die("netmask");
    r.ifr_mtu = MTU;
    if (ioctl(s, SIOCSIFMTU, &r))
        die("mtu");
}

static void address6(int i)
{
    struct {
        struct in6_addr addr;
        uint32_t prefix;
        int index;
    } r = {.prefix = 64, .index = (int)if_nametoindex("wire")};
    char text[32];
    int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(text, sizeof text, "fd77::%x", i + 1);
    inet_pton(AF_INET6, text, &r.addr);
    if (s < 0 || ioctl(s, SIOCSIFADDR, &r))
        die("IPv6 address");
    close(s);
}

/* This process is in a new namespace afterwards. */
static void make_namespace(int i)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (unshare(CLONE_NEWNET))
        die("a network namespace (run as root)");
    w.tun[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    strcpy(r.ifr_name, "wire");
    if (w.tun[i] < 0 || ioctl(w.tun[i], TUNSETIFF, &r))
        die("/dev/net/tun");
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        die("socket");
    up(s, "lo");
    address(s, i);
    FILE *dad = fopen("/proc/sys/net/ipv6/conf/wire/accept_dad", "w");
    if (dad) { /* an address is good at once: nobody else has it */
        fputs("0", dad);
        fclose(dad);
    }
    up(s, "wire");
    address6(i);
    close(s);
}

static void start(int i, char **argv, int argc)
{
    char **args = calloc((size_t)argc + 1, sizeof *args);
    for (int k = 0; k < argc; k++) {
        const char *at = strchr(argv[k], '%');
        if (!at || asprintf(&args[k], "%.*s%d%s", (int)(at - argv[k]), argv[k], i, at + 1) < 0)
            args[k] = argv[k];
    }
    w.pid[i] = fork();
    if (w.pid[i] < 0)
        die("fork");
    if (w.pid[i] == 0) {
        close(STDIN_FILENO);
        execvp(args[0], args);
        _exit(127);
    }
    printf("%d %d\n", i, (int)w.pid[i]);
    fflush(stdout);
}

/* --- packets --------------------------------------------------------------------------- */

static int target(const uint8_t *p, size_t n)
{
    static const uint8_t net4[3] = {10, 77, 0}, net6[2] = {0xfd, 0x77};
    int i = -1;
    if (n >= 20 && p[0] >> 4 == 4 && memcmp(p + 16, net4, 3) == 0)
        i = p[19] - 1;
    if (n >= 40 && p[0] >> 4 == 6 && memcmp(p + 24, net6, 2) == 0)
        i = p[39] - 1;
    return i >= 0 && i < w.nodes ? i : -1;
}

static bool is_lost(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % 1000 < w.loss;
}

/* A line that is busy sends nothing: packets wait in the node's own queue. It may be
 * ahead by what this program sleeps too long. */
#define BURST_US 3000
static bool is_busy(int i, uint64_t now)
{
    return w.rate[i] && w.busy_us[i] > now;
}

static void spend(int i, size_t n, uint64_t now)
{
    if (!w.rate[i])
        return;
    if (w.busy_us[i] + BURST_US < now)
        w.busy_us[i] = now - BURST_US;
    w.busy_us[i] += n * 1000000 / w.rate[i];
}

static void take(int from, uint64_t now)
{
    for (int k = 0; k < 64 && !is_busy(from, now); k++) {
        struct packet *p = &w.queue[(w.first + w.count) % QUEUE];
        ssize_t n = read(w.tun[from], p->bytes, MTU);
        if (n <= 0)
            return;
        spend(from, (size_t)n, now);
        int to = target(p->bytes, (size_t)n);
        if (to < 0)
            continue;
        if (w.cut[from] || w.cut[to] || is_lost() || w.count == QUEUE - 1) {
            w.lost++;
            continue;
        }
        p->due_us = now + w.delay_us;
        p->n = (uint16_t)n;
        p->to = (uint8_t)to;
        w.count++;
    }
}

/* Packets leave in the order that they came in; the next one's time. */
static uint64_t give(uint64_t now)
{
    while (w.count && w.queue[w.first].due_us <= now) {
        const struct packet *p = &w.queue[w.first];
        if (write(w.tun[p->to], p->bytes, p->n) == p->n)
            w.passed++;
        w.first = (w.first + 1) % QUEUE;
        w.count--;
    }
    return w.count ? w.queue[w.first].due_us : now + 1000000;
}

/* --- orders ----------------------------------------------------------------------------- */

static bool obey(void)
{
    static char line[256];
    static size_t n;
    ssize_t k = read(STDIN_FILENO, line + n, sizeof line - n - 1);
    if (k <= 0)
        return false;
    n += (size_t)k;
    line[n] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        unsigned v = 0, kib = 0;
        *end = 0;
        if (sscanf(line, "delay %u", &v) == 1)
            w.delay_us = v * 1000u;
        else if (sscanf(line, "loss %u", &v) == 1)
            w.loss = v * 10;
        else if (sscanf(line, "rate %u %u", &v, &kib) == 2 && v < NODES_MAX)
            w.rate[v] = kib * UINT64_C(1024);
        else if (sscanf(line, "cut %u", &v) == 1 && v < NODES_MAX)
            w.cut[v] = true;
        else if (sscanf(line, "join %u", &v) == 1 && v < NODES_MAX)
            w.cut[v] = false;
        else if (!strcmp(line, "end"))
            return false;
        n -= (size_t)(end + 1 - line);
        memmove(line, end + 1, n + 1);
    }
    return true;
}

int main(int argc, char **argv)
{
    struct pollfd fd[NODES_MAX + 1];
    w.nodes = argc > 2 ? atoi(argv[1]) : 0;
    if (w.nodes < 1 || w.nodes > NODES_MAX) {
        fprintf(stderr, "usage: link NODES PROGRAM ARGUMENT...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    w.queue = malloc(QUEUE * sizeof *w.queue);
    if (!w.queue)
        return 1;
    for (int i = 0; i < w.nodes; i++) {
        make_namespace(i);
        start(i, argv + 2, argc - 2);
        fd[i] = (struct pollfd){.fd = w.tun[i], .events = POLLIN};
    }
    fd[w.nodes] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (bool go = true; go;) {
        uint64_t now = now_us(), next = give(now);
        for (int i = 0; i < w.nodes; i++) {
            bool busy = is_busy(i, now);
            fd[i].fd = busy ? -1 : w.tun[i];
            next = busy && w.busy_us[i] < next ? w.busy_us[i] : next;
        }
        uint64_t wait = next > now ? next - now : 0;
        struct timespec t = {(time_t)(wait / 1000000), (long)(wait % 1000000) * 1000};
        int ready = ppoll(fd, (nfds_t)w.nodes + 1, &t, NULL);
        if (ready < 0 && errno != EINTR)
            die("poll");
        now = now_us();
        for (int i = 0; ready > 0 && i < w.nodes; i++)
            if (fd[i].revents)
                take(i, now);
        if (ready > 0 && fd[w.nodes].revents)
            go = obey();
    }
    for (int i = 0; i < w.nodes; i++)
        kill(w.pid[i], SIGTERM);
    for (int i = 0; i < w.nodes; i++)
        waitpid(w.pid[i], NULL, 0);
    fprintf(stderr, "link: %llu packets passed, %llu were lost\n", (unsigned long long)w.passed,
            (unsigned long long)w.lost);
    return 0;
}
