#include "bench.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "poa_keys.h"

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_thread_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

unsigned bench_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > BENCH_CORES_MAX ? BENCH_CORES_MAX : (unsigned)n;
}

void bench_pin(unsigned cores)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < cores; i++)
        CPU_SET(i, &set);
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            (void)sched_setaffinity((pid_t)atol(e->d_name), sizeof set, &set);
    if (d)
        closedir(d);
}

void bench_must(int rc, const char *what)
{
    if (!rc)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, poa_error_text(rc));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, unsigned n)
{
    if (!n)
        return 0;
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* --- the limit --------------------------------------------------------------------- */

#define SIGNED 256 /* different keys, messages and signatures */

static struct {
    uint8_t pk[32], message[32], sig[64];
} signed_[SIGNED];

static void sign_all(void)
{
    static int done;
    for (uint32_t i = 0; !done && i < SIGNED; i++) {
        uint8_t sk[32] = {1};
        poa_put_le32(sk + 4, i);
        poa_put_le32(signed_[i].message, i);
        bench_must(poa_bip340_public(sk, signed_[i].pk), "key");
        bench_must(poa_bip340_sign(sk, signed_[i].message, 32, NULL, signed_[i].sig), "sign");
    }
    done = 1;
}

struct verifier {
    pthread_t thread;
    double until;
    uint64_t count;
};

static void *verify(void *arg)
{
    struct verifier *v = arg;
    while (bench_now() < v->until)
        for (unsigned i = 0; i < 16; i++, v->count++) {
            uint64_t k = v->count % SIGNED;
            bench_must(poa_bip340_verify(signed_[k].pk, signed_[k].message, 32, signed_[k].sig),
                       "verify");
        }
    return NULL;
}

struct bench_limit bench_verify(unsigned cores, double seconds)
{
    struct verifier v[BENCH_CORES_MAX];
    uint64_t sum = 0;
    sign_all();
    double begin = bench_now(), cpu = bench_cpu();
    for (unsigned i = 0; i < cores; i++) {
        v[i] = (struct verifier){.until = begin + seconds};
        bench_must(pthread_create(&v[i].thread, NULL, verify, &v[i]) ? POA_E_NO_MEMORY : POA_OK,
                   "thread");
    }
    for (unsigned i = 0; i < cores; i++) {
        pthread_join(v[i].thread, NULL);
        sum += v[i].count;
    }
    return (struct bench_limit){(double)sum / (bench_now() - begin),
                                (bench_cpu() - cpu) / (double)sum * 1e6};
}
