/* What the critical path of a transaction costs at least: three times a durable
 * record and a message, and the signatures on the way, of all servers, because
 * here they share the cores. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "poa_keys.h"

#define SYNCS     100
#define HOPS      2000
#define HOP_BYTES 256 /* a vote in its frame */
/* Signatures are sampled four times a second in the seconds that count: virtual
 * cores have not the same speed all the time. Under a hundredth of a core. */
#define SAMPLE_US   250000
#define SAMPLES_MAX 1024

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

/* --- signatures ------------------------------------------------------------------------ */

/* What each costs a thread that does the same thing a few times in a row. */
enum cost { SIGN, VERIFY, VRF, ACCOUNT, KNOWN, COSTS };
static const unsigned times[COSTS] = {
    [SIGN] = 8, [VERIFY] = 8, [VRF] = 2, [ACCOUNT] = 8, [KNOWN] = 8};

static struct signed_things {
    uint8_t seed[32], key[32], msg[32], sig[64], pi[POA_VRF_PI_BYTES];
    uint8_t account[32], account_sig[64];
} it = {.seed = {7}};

static void sign_things(void)
{
    const struct poa_suite *s = &poa_suite_ed25519;
    uint8_t sk[32] = {9};
    poa_ed25519_public(it.seed, it.key);
    s->sign(it.seed, it.key, it.msg, sizeof it.msg, it.sig);
    bench_must(s->vrf_prove(it.seed, it.key, it.msg, sizeof it.msg, it.pi), "prove");
    bench_must(poa_bip340_public(sk, it.account), "key");
    bench_must(poa_bip340_sign(sk, it.msg, sizeof it.msg, NULL, it.account_sig), "sign");
}

static void once(enum cost what)
{
    const struct poa_suite *s = &poa_suite_ed25519;
    uint8_t beta[64], sig[64];
    switch (what) {
    case SIGN:
        s->sign(it.seed, it.key, it.msg, sizeof it.msg, sig);
        break;
    case VERIFY:
        bench_must(s->verify(it.key, it.msg, sizeof it.msg, it.sig), "verify");
        break;
    case VRF:
        bench_must(s->vrf_verify(it.key, it.msg, sizeof it.msg, it.pi, beta), "proof");
        break;
    case ACCOUNT:
        bench_must(poa_bip340_verify(it.account, it.msg, sizeof it.msg, it.account_sig), "verify");
        break;
    case KNOWN: /* the key of somebody who has signed before */
        bench_must(
            poa_key_verify(POA_KEY_BIP340, it.account, it.msg, sizeof it.msg, it.account_sig),
            "verify");
        break;
    case COSTS:
        break;
    }
}

static double cost_us(enum cost what)
{
    once(what); /* what it needs is in the caches then */
    double begin = bench_thread_cpu();
    for (unsigned i = 0; i < times[what]; i++)
        once(what);
    return (bench_thread_cpu() - begin) / times[what] * 1e6;
}

struct sampler {
    pthread_t thread;
    atomic_bool stop;
    unsigned n;
    double us[COSTS][SAMPLES_MAX];
};

static void *sample(void *arg)
{
    struct sampler *s = arg;
    for (; !s->stop && s->n < SAMPLES_MAX; s->n++, usleep(SAMPLE_US))
        for (unsigned k = 0; k < COSTS; k++)
            s->us[k][s->n] = cost_us((enum cost)k);
    return NULL;
}

struct sampler *floor_sample(void)
{
    struct sampler *s = calloc(1, sizeof *s);
    bench_must(s ? POA_OK : POA_E_NO_MEMORY, "floor");
    sign_things();
    bench_must(pthread_create(&s->thread, NULL, sample, s) ? POA_E_THREADS : POA_OK, "thread");
    return s;
}

/* The transaction at every server; the batch and the proposal signed by one
 * and verified by the others, the beacon (proved ahead) verified by them; two
 * rounds of votes, signed by each, of which each verifies what a quorum lacks
 * but its own. */
static double signatures_us(const struct floor *f)
{
    double n = f->servers, q = f->servers - (f->servers - 1) / 3, others = n - 1;
    double work = n * f->account_us + 2 * (f->sign_us + others * f->verify_us) +
                  others * f->vrf_us + 2 * n * (f->sign_us + (q - 1) * f->verify_us);
    return work / f->cores;
}

void floor_sampled(struct floor *f, struct sampler *s, double fsync)
{
    double *const us[COSTS] = {[SIGN] = &f->sign_us,
                               [VERIFY] = &f->verify_us,
                               [VRF] = &f->vrf_us,
                               [ACCOUNT] = &f->account_us,
                               [KNOWN] = &f->known_us};
    s->stop = true;
    pthread_join(s->thread, NULL);
    for (unsigned k = 0; k < COSTS; k++)
        *us[k] = bench_median(s->us[k], s->n);
    free(s);
    f->fsync_us = fsync > 0 ? fsync : f->probe_us;
    f->signatures_us = signatures_us(f);
    f->total_us = 3 * (f->fsync_us + f->hop_us) + f->signatures_us;
}

struct floor floor_measure(const char *dir, unsigned servers, unsigned cores)
{
    return (struct floor){
        .servers = servers, .cores = cores, .probe_us = fsync_us(dir), .hop_us = hop_us()};
}
