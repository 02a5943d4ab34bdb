/* What the critical path of a transaction costs at least: three times a durable
 * record and a message, and the signatures on the way, of all servers, because
 * here they share the cores. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "poa_keys.h"

#define SYNCS      100
#define HOPS       2000
#define HOP_BYTES  256 /* a vote in its frame */
#define SIGNATURES 400

/* Appending a record to a log and making it durable, as a vote needs it. */
static double fsync_us(const char *dir)
{
    char path[400], record[256] = {1};
    double us[SYNCS];
    snprintf(path, sizeof path, "%s/fsync", dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    bench_must(fd < 0 ? POA_E_IO : POA_OK, path);
    for (int i = 0; i < SYNCS; i++) {
        double begin = bench_now();
        bool fine = write(fd, record, sizeof record) == sizeof record && fdatasync(fd) == 0;
        bench_must(fine ? POA_OK : POA_E_IO, path);
        us[i] = (bench_now() - begin) * 1e6;
    }
    close(fd);
    unlink(path);
    return bench_median(us, SYNCS);
}

static void all(int fd, uint8_t *p, size_t n, bool out)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = out ? write(fd, p + at, n - at) : read(fd, p + at, n - at);
        if (k <= 0)
            _exit(1);
        at += (size_t)k;
    }
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    bench_must(fd < 0 ? POA_E_IO : POA_OK, "socket");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Half of a round trip between two processes over TCP on the loopback. */
static double hop_us(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int l = tcp_socket();
    uint8_t frame[HOP_BYTES] = {1};
    double us[HOPS];
    bool fine = bind(l, (struct sockaddr *)&a, n) == 0 && listen(l, 1) == 0 &&
                getsockname(l, (struct sockaddr *)&a, &n) == 0;
    bench_must(fine ? POA_OK : POA_E_IO, "loopback");
    pid_t pid = fork();
    if (!pid) {
        int fd = tcp_socket();
        if (connect(fd, (struct sockaddr *)&a, n))
            _exit(1);
        for (int i = 0; i < HOPS; i++) {
            all(fd, frame, sizeof frame, false);
            all(fd, frame, sizeof frame, true);
        }
        _exit(0);
    }
    int fd = accept(l, NULL, NULL), on = 1;
    bench_must(fd < 0 ? POA_E_IO : POA_OK, "loopback");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (int i = 0; i < HOPS; i++) {
        double begin = bench_now();
        all(fd, frame, sizeof frame, true);
        all(fd, frame, sizeof frame, false);
        us[i] = (bench_now() - begin) * 1e6 / 2;
    }
    close(fd);
    close(l);
    waitpid(pid, NULL, 0);
    return bench_median(us, HOPS);
}

/* What a server needs for the signature of somebody who has signed before. */
static double known_us(void)
{
    uint8_t sk[32] = {9}, pk[32], msg[32] = {0}, sig[64];
    bench_must(poa_bip340_public(sk, pk), "key");
    bench_must(poa_bip340_sign(sk, msg, sizeof msg, NULL, sig), "sign");
    bench_must(poa_key_verify(POA_KEY_BIP340, pk, msg, sizeof msg, sig), "verify");
    double begin = bench_cpu();
    for (int i = 0; i < SIGNATURES; i++)
        bench_must(poa_key_verify(POA_KEY_BIP340, pk, msg, sizeof msg, sig), "verify");
    return (bench_cpu() - begin) / SIGNATURES * 1e6;
}

struct floor floor_measure(const char *dir, unsigned n, unsigned cores)
{
    const struct poa_suite *s = &poa_suite_ed25519;
    uint8_t seed[32] = {7}, key[32], msg[32] = {0}, sig[64], pi[80], beta[64];
    struct floor f = {.probe_us = fsync_us(dir), .hop_us = hop_us()};
    poa_ed25519_public(seed, key);
    double sign = bench_cpu();
    for (int i = 0; i < SIGNATURES; i++) {
        msg[0] = (uint8_t)i;
        s->sign(seed, key, msg, sizeof msg, sig);
    }
    double verify = bench_cpu();
    for (int i = 0; i < SIGNATURES; i++)
        bench_must(s->verify(key, msg, sizeof msg, sig), "verify");
    bench_must(s->vrf_prove(seed, key, msg, sizeof msg, pi), "prove");
    double vrf = bench_cpu();
    for (int i = 0; i < SIGNATURES; i++)
        bench_must(s->vrf_verify(key, msg, sizeof msg, pi, beta), "proof");
    double end = bench_cpu();
    f.sign_us = (verify - sign) / SIGNATURES * 1e6;
    f.verify_us = (vrf - verify) / SIGNATURES * 1e6;
    f.vrf_us = (end - vrf) / SIGNATURES * 1e6;
    f.account_us = bench_verify(1, 0.1).cpu_us;
    f.known_us = known_us();
    /* The transaction at every server; the batch and the proposal signed by one
     * and verified by the others, the beacon (proved ahead) verified by them; two
     * rounds of votes, signed by each, of which each verifies what a quorum lacks
     * but its own. */
    double q = n - (n - 1) / 3, others = n - 1;
    double work = n * f.account_us + 2 * (f.sign_us + others * f.verify_us) + others * f.vrf_us +
                  2 * n * (f.sign_us + (q - 1) * f.verify_us);
    f.signatures_us = work / cores;
    floor_set(&f, f.probe_us);
    return f;
}

void floor_set(struct floor *f, double fsync)
{
    f->fsync_us = fsync;
    f->total_us = 3 * (f->fsync_us + f->hop_us) + f->signatures_us;
}
