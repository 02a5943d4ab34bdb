/* Sees every Ed25519 and BIP340 verification of a process: the libraries'
 * functions behind others that remember what they were asked, and by which thread. At the end a
 * line PROGRAM verified N twice N core N goes into a file of its own in POA_VERIFY_COUNT. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEN (1u << 20)

typedef int verify_detached(const unsigned char *sig, const unsigned char *m,
                            unsigned long long mlen, const unsigned char *pk);
typedef int schnorrsig_verify(const void *ctx, const unsigned char *sig64, const unsigned char *msg,
                              size_t msglen, const void *pubkey);
int secp256k1_schnorrsig_verify(const void *ctx, const unsigned char *sig64,
                                const unsigned char *msg, size_t msglen, const void *pubkey);
int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                unsigned long long mlen, const unsigned char *pk);
int crypto_sign_ed25519_verify_detached(const unsigned char *sig, const unsigned char *m,
                                        unsigned long long mlen, const unsigned char *pk);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seen[SEEN];
static unsigned long verified, twice, core;

static uint64_t mix(uint64_t h, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void count(const unsigned char *sig, const unsigned char *m, size_t mlen,
                  const unsigned char *pk, size_t pk_n)
{
    char thread[16] = "";
    uint64_t h = mix(mix(mix(0xcbf29ce484222325u, sig, 64), m, mlen), pk, pk_n);
    h += !h;
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    pthread_mutex_lock(&mutex);
    verified++;
    core += strcmp(thread, "core") == 0;
    uint64_t at = h % SEEN;
    while (seen[at] && seen[at] != h)
        at = (at + 1) % SEEN;
    twice += seen[at] == h;
    seen[at] = h;
    pthread_mutex_unlock(&mutex);
}

int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                unsigned long long mlen, const unsigned char *pk)
{
    void *found = dlsym(RTLD_NEXT, "crypto_sign_verify_detached");
    verify_detached *real;
    memcpy(&real, &found, sizeof real);
    count(sig, m, (size_t)mlen, pk, 32);
    return real(sig, m, mlen, pk);
}

int crypto_sign_ed25519_verify_detached(const unsigned char *sig, const unsigned char *m,
                                        unsigned long long mlen, const unsigned char *pk)
{
    void *found = dlsym(RTLD_NEXT, "crypto_sign_ed25519_verify_detached");
    verify_detached *real;
    memcpy(&real, &found, sizeof real);
    count(sig, m, (size_t)mlen, pk, 32);
    return real(sig, m, mlen, pk);
}

int secp256k1_schnorrsig_verify(const void *ctx, const unsigned char *sig64,
                                const unsigned char *msg, size_t msglen, const void *pubkey)
{
    void *found = dlsym(RTLD_NEXT, "secp256k1_schnorrsig_verify");
    schnorrsig_verify *real;
    memcpy(&real, &found, sizeof real);
    count(sig64, msg, msglen, pubkey, 64);
    return real(ctx, sig64, msg, msglen, pubkey);
}

__attribute__((destructor)) static void tell(void)
{
    const char *dir = getenv("POA_VERIFY_COUNT");
    char path[512], program[256] = "";
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (!dir || n <= 0)
        return;
    const char *name = strrchr(program, '/') + 1;
    snprintf(path, sizeof path, "%s/%s.%d", dir, name, (int)getpid());
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fprintf(f, "%s verified %lu twice %lu core %lu\n", name, verified, twice, core);
    fclose(f);
}
