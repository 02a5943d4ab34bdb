/* Repairs of NNG 1.5.2. The first by interposing two of its public functions:
 *
 * Starting an operation on an aio that was closed meanwhile ends without a
 * callback there. Its TCP transport starts a read for the body when it has a
 * message's head; when somebody closes the connection just between (another
 * thread after a failed send, nng_pipe_close, nng_close), nobody completes that
 * read: the pipe waits for it for ever, and with it NNG's only reaper thread.
 * From then on no connection of the process is ever closed or dialed again, and
 * nng_close hangs. Any peer can bring that about by sending while we close;
 * tests/unit/p2p does so within seconds without this file. (NNG issues 1543 and
 * 1813, repaired in later versions.)
 *
 * So we complete such an operation ourselves. libnng.so calls the two functions
 * through its symbol table, where the program's definitions come first.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "mesh.h"

typedef void stream_fn(nng_stream *, nng_aio *);

static _Atomic(stream_fn *) real_recv, real_send;

static stream_fn *real(_Atomic(stream_fn *) *cache, const char *name)
{
    stream_fn *fn = atomic_load(cache);
    if (fn == NULL) {
        void *symbol = dlsym(RTLD_NEXT, name);
        POA_ASSERT(symbol != NULL);
        /* ISO C has no conversion from an object to a function pointer. */
        memcpy(&fn, &symbol, sizeof fn);
        atomic_store(cache, fn);
    }
    return fn;
}

/* Beginning an operation clears the result, failing to begin sets ECANCELED. A
 * read or write that had begun is ended by closing the aio, with ECLOSED, before
 * anything stops it, with ECANCELED. */
static void settle(nng_aio *aio)
{
    if (nng_aio_result(aio) == NNG_ECANCELED)
        nng_aio_finish(aio, NNG_ECLOSED);
}

void nng_stream_recv(nng_stream *s, nng_aio *aio)
{
    real(&real_recv, "nng_stream_recv")(s, aio);
    settle(aio);
}

void nng_stream_send(nng_stream *s, nng_aio *aio)
{
    real(&real_send, "nng_stream_send")(s, aio);
    settle(aio);
}

bool mesh_nng_repaired(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "nng_stream_recv");
    stream_fn *fn = nng_stream_recv;
    return memcmp(&symbol, &fn, sizeof fn) == 0;
}

/* The second repair, of what is below NNG: when several threads wait on one condition, glibc
 * before 2.41 loses a pthread_cond_signal now and then (its bug 25847). A task of NNG then
 * lies in the queue while all its task threads sleep, until the next task wakes one; whoever
 * waits for the task before that waits for ever, nng_close above all. So there is always a
 * next task. It runs as long as the process. */
enum { BEAT_US = 50000 };
static struct beat {
    nng_aio *aio;
    atomic_bool lies; /* its task in the queue */
} beat[2];            /* when the task of one is what lies there, the other's comes */
static bool beats;

static void beat_cb(void *arg)
{
    struct beat *b = arg;
    atomic_store(&b->lies, false);
}

/* Not with nng_sleep_aio: when one of its times is over, NNG's thread for them goes in
 * circles until the millisecond has ended, which was a tenth of what a quiet node used. */
static void *run_beat(void *arg)
{
    for (struct beat *b = beat;; b = b == beat ? beat + 1 : beat) {
        usleep(BEAT_US);
        if (!atomic_exchange(&b->lies, true) && nng_aio_begin(b->aio))
            nng_aio_finish(b->aio, 0);
    }
    return arg;
}

static void beat_start(void)
{
    pthread_t thread;
    for (unsigned i = 0; i < 2; i++)
        if (nng_aio_alloc(&beat[i].aio, beat_cb, &beat[i]) != 0)
            return;
    if (pthread_create(&thread, NULL, run_beat, NULL) != 0)
        return;
    pthread_setname_np(thread, "poa-beat");
    pthread_detach(thread);
    beats = true;
}

bool mesh_nng_beats(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, beat_start);
    return beats;
}

/* The third repair: when a thread cannot be made, NNG's start goes on half-built
 * and crashes or hangs. So we see first whether its threads would fit. */
static void *probe(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

bool mesh_nng_threads_fit(void)
{
    enum { PROBES_MAX = 512 };
    pthread_t thread[PROBES_MAX];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    /* Tasks, expiry, and poller, reaper, timer, resolvers; and some of ours. */
    unsigned n = 0, want = 3 * (unsigned)(cpus < 1 ? 1 : cpus) + 16;
    want = want < PROBES_MAX ? want : PROBES_MAX;
    pthread_mutex_lock(&lock);
    while (n < want && pthread_create(&thread[n], NULL, probe, &lock) == 0)
        n++;
    pthread_mutex_unlock(&lock);
    bool fit = n == want;
    while (n > 0)
        pthread_join(thread[--n], NULL);
    return fit;
}
