#include "poa_node_parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#define CORES_MAX   64
#define STACK_BYTES (256 * 1024)

unsigned node_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > CORES_MAX ? CORES_MAX : (unsigned)n;
}

struct work {
    void (*task)(void *arg, uint32_t i);
    void *arg;
    uint32_t n;
    _Atomic uint32_t next;
};

static void *share(void *arg)
{
    struct work *w = arg;
    for (uint32_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        w->task(w->arg, i);
    return NULL;
}

void node_parallel(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    struct work w = {.task = task, .arg = arg, .n = n};
    pthread_t thread[CORES_MAX];
    unsigned threads = 0, most = node_cores();
    pthread_attr_t attr;
    (void)ctx;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    /* Without a helper, this thread does it all. */
    while (threads + 1 < most && threads + 1 < n &&
           pthread_create(&thread[threads], &attr, share, &w) == 0)
        threads++;
    pthread_attr_destroy(&attr);
    share(&w);
    while (threads)
        pthread_join(thread[--threads], NULL);
}
