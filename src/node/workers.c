#include "poa_node_workers.h"

#include <stdlib.h>
#include <string.h>

/* Transactions that one worker takes at a time: about a millisecond. */
#define PIECE 16
/* BIP340 verification and the decoder need far less. */
#define STACK_BYTES (256 * 1024)
#define THREADS_MAX 64

/* A check stands in the ring once per worker that may help with it. */
struct node_workers {
    uint8_t chain[32];
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct node_check **ring;
    size_t cap, head, n;
    _Atomic bool stop;
    unsigned threads;
    pthread_t thread[THREADS_MAX];
};

static void check_one(const struct node_workers *w, struct node_check *c, uint32_t i)
{
    if (w->stop)
        c->code[i] = POA_E_CLOSED;
    else if (c->parse_only)
        c->code[i] = poa_tx_parse(w->chain, c->raw[i], &c->view[i]);
    else
        c->code[i] = poa_tx_check(w->chain, c->raw[i], &c->view[i]);
}

/* LEFT counts items that are not done plus ring entries that still point to C,
 * so that C outlives every reference to it. */
static void release(struct node_check *c, uint32_t count)
{
    if (atomic_fetch_sub(&c->left, count) == count)
        c->done(c);
}

static void help(const struct node_workers *w, struct node_check *c)
{
    uint32_t did = 1; /* the ring entry */
    for (;;) {
        uint32_t first = atomic_fetch_add(&c->next, PIECE);
        if (first >= c->n)
            break;
        uint32_t end = c->n - first < PIECE ? c->n : first + PIECE;
        for (uint32_t i = first; i < end; i++)
            check_one(w, c, i);
        did += end - first;
    }
    release(c, did);
}

static void *worker(void *arg)
{
    struct node_workers *w = arg;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->n && !w->stop)
            pthread_cond_wait(&w->cond, &w->mutex);
        if (!w->n)
            break;
        struct node_check *c = w->ring[w->head];
        w->head = (w->head + 1) % w->cap;
        w->n--;
        pthread_mutex_unlock(&w->mutex);
        help(w, c);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

int node_workers_new(const uint8_t chain32[32], unsigned threads, size_t queue_max,
                     struct node_workers **out)
{
    struct node_workers *w = calloc(1, sizeof *w);
    if (!w)
        return POA_E_NO_MEMORY;
    memcpy(w->chain, chain32, 32);
    w->cap = queue_max;
    w->ring = calloc(queue_max, sizeof(struct node_check *));
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    while (w->ring && w->threads < threads &&
           pthread_create(&w->thread[w->threads], &attr, worker, w) == 0)
        (void)pthread_setname_np(w->thread[w->threads++], "worker");
    pthread_attr_destroy(&attr);
    if (!w->ring || !w->threads) {
        node_workers_free(w);
        return POA_E_NO_MEMORY;
    }
    *out = w;
    return POA_OK;
}

void node_workers_stop(struct node_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = 0; i < w->threads; i++)
        pthread_join(w->thread[i], NULL);
    pthread_mutex_lock(&w->mutex);
    w->threads = 0;
    pthread_mutex_unlock(&w->mutex);
}

void node_workers_free(struct node_workers *w)
{
    if (!w)
        return;
    node_workers_stop(w);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w->ring);
    free(w);
}

int node_workers_check(struct node_workers *w, struct node_check *c)
{
    uint32_t helpers = (c->n + PIECE - 1) / PIECE;
    if (!helpers)
        helpers = 1;
    pthread_mutex_lock(&w->mutex);
    if (helpers > w->threads)
        helpers = w->threads;
    atomic_store(&c->next, 0);
    atomic_store(&c->left, c->n + helpers);
    bool fits = !w->stop && w->n + helpers <= w->cap;
    for (uint32_t i = 0; fits && i < helpers; i++)
        w->ring[(w->head + w->n++) % w->cap] = c;
    pthread_mutex_unlock(&w->mutex);
    if (!fits)
        return POA_E_FULL;
    if (helpers > 1)
        pthread_cond_broadcast(&w->cond);
    else
        pthread_cond_signal(&w->cond);
    return POA_OK;
}

unsigned node_workers_threads(const struct node_workers *w)
{
    return w->threads;
}

struct node_check *node_check_new(uint32_t n, size_t extra, void **extra_out)
{
    struct node_check *c = NULL;
    size_t views = n * sizeof(struct poa_tx_view), raws = n * sizeof(struct poa_slice);
    size_t codes = (n * sizeof(int) + 15) & ~(size_t)15;
    size_t head = (sizeof *c + 15) & ~(size_t)15;
    uint8_t *p = calloc(1, head + views + raws + codes + extra);
    if (!p)
        return NULL;
    c = (struct node_check *)(void *)p;
    c->n = n;
    p += head;
    c->view = (struct poa_tx_view *)(void *)p;
    p += views;
    c->raw = (struct poa_slice *)(void *)p;
    p += raws;
    c->code = (int *)(void *)p;
    p += codes;
    if (extra_out)
        *extra_out = p;
    return c;
}
