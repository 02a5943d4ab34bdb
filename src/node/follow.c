/* Following: finalized blocks from a server, by long polling. A follower does
 * nothing else; a member does it while others are ahead of it. While the core
 * executes one answer, workers decode the next ones, and another is under way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"

#define RETRY_MS 100
/* A bundle takes a step for each block, and some more when memory has to grow. */
#define STEPS_MAX 20000u
/* Without an answer or a result for so long, something is wrong: an idle server
 * answers within NODE_FOLLOW_WAIT_MS. */
#define TELL_MS 30000
/* Who is behind gets his answer at once, so he waits no longer than this for it;
 * twice as long each time that it was too short. */
#define PATIENCE_MS     3000
#define PATIENCE_MAX_MS (NODE_FOLLOW_WAIT_MS + NODE_REQUEST_MS)
/* Progress is told while so many blocks are missing. */
#define FAR_BLOCKS  200
#define PROGRESS_US 5000000

/* Answers that are decoded or wait for the core: 3 MB each, and their views. */
#define AHEAD 3
struct ahead {
    struct node_bundle *bundle;
    int from; /* whose it is */
    bool parsed;
    bool dead; /* one before it failed */
};

struct node_follow {
    struct poa_node *node;
    pthread_t thread;
    bool runs;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stop;
    uint64_t target; /* members: follow up to here */
    uint32_t patience_ms;
    /* Progress: since the last line. */
    uint64_t told_us, told_height;
    /* The request under way, and its answer. */
    bool asked, answered;
    int server, error;
    uint8_t *bytes;
    size_t bytes_n;
    bool stale; /* it begins behind what failed */
    /* In order; the core has the first one when POSTED. */
    struct ahead ahead[AHEAD];
    unsigned ahead_n;
    bool posted;
    int applied_error, applied_from; /* the first failure, and whose it is */
};

static void answer_came(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct node_follow *f = ctx;
    uint8_t *copy = NULL;
    if (!error && type != POA_MSG_ANS_FOLLOW)
        error = POA_E_INVALID;
    if (!error) {
        copy = malloc(bytes.n + 1);
        if (copy)
            memcpy(copy, bytes.p, bytes.n);
        else
            error = POA_E_NO_MEMORY;
    }
    pthread_mutex_lock(&f->mutex);
    f->answered = true;
    f->error = error;
    f->bytes = copy;
    f->bytes_n = bytes.n;
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
}

/* The server at index FROM sent what no chain has, or left us waiting: it is let
 * go for a while. */
static void blame(struct node_follow *f, int from, int rc)
{
    uint8_t key[32];
    char hex[17];
    bool crossed = rc == POA_E_DUPLICATE || rc == POA_E_EPOCH || rc == POA_E_VIEW;
    bool forged = poa_error_class(rc) == POA_CLASS_PEER && !crossed;
    if (from < 0 || (!forged && rc != POA_E_TIMEOUT))
        return;
    pthread_mutex_lock(&f->node->peers_mutex);
    memcpy(key, f->node->peer[from].key, 32);
    pthread_mutex_unlock(&f->node->peers_mutex);
    poa_hex(key, 8, hex);
    POA_LOG_LIMITED(5000, POA_LOG_WARN, NODE, "following: peer %s... %s", hex,
                    forged ? "sent blocks that are wrong" : "does not answer");
    poa_p2p_blame(f->node->p2p, key, forged ? POA_P2P_FAULT_FORGED : POA_P2P_FAULT_STALLED);
}

/* --- applying --------------------------------------------------------------------------- */

static void run_bundle(struct node_event *e, void *ctx);
static void drop_bundle(struct node_event *e);

/* With the mutex: the first one leaves. */
static void pop(struct node_follow *f)
{
    f->ahead_n--;
    memmove(f->ahead, f->ahead + 1, f->ahead_n * sizeof f->ahead[0]);
}

/* With the mutex: the next one goes to the core. */
static void advance(struct node_follow *f)
{
    while (f->ahead_n && !f->posted && f->ahead[0].parsed) {
        struct node_bundle *b = f->ahead[0].bundle;
        if (f->ahead[0].dead) {
            pop(f);
            node_bundle_free(b);
            continue;
        }
        f->posted = true;
        b->event = (struct node_event){.run = run_bundle, .drop = drop_bundle, .bytes = b->bytes_n};
        (void)!node_queue_post(&f->node->queue, NODE_CLASS_OWN, &b->event);
    }
}

static void applied(struct node_bundle *b, int code)
{
    struct node_follow *f = b->node->follow;
    pthread_mutex_lock(&f->mutex);
    int from = f->ahead[0].from;
    f->posted = false;
    pop(f);
    if (code && !f->applied_error) {
        f->applied_error = code;
        f->applied_from = from;
    }
    for (unsigned i = 0; code && i < f->ahead_n; i++)
        f->ahead[i].dead = true;
    advance(f);
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
    node_bundle_free(b);
}

static void run_bundle(struct node_event *e, void *ctx)
{
    struct node_bundle *b = (struct node_bundle *)e;
    struct poa_event event = node_bundle_event(b);
    int rc = node_step(ctx, &event);
    /* It stands before everything else in the queue: no trying for ever. */
    if (rc == POA_E_AGAIN && ++b->steps == STEPS_MAX) {
        POA_LOG_LIMITED(5000, POA_LOG_WARN, NODE,
                        "following: the core does not get on with blocks %llu to %llu",
                        (unsigned long long)b->first, (unsigned long long)b->last);
        rc = POA_E_TIMEOUT;
    }
    /* One block at a time: what is more urgent comes in between. */
    if (rc == POA_E_AGAIN && !node_queue_post(&b->node->queue, NODE_CLASS_OWN, e))
        return;
    b->done(b, rc);
}

static void drop_bundle(struct node_event *e)
{
    struct node_bundle *b = (struct node_bundle *)e;
    b->done(b, POA_E_CLOSED);
}

static void bundle_parsed(struct node_check *c)
{
    struct node_bundle *b = c->ctx;
    struct node_follow *f = b->node->follow;
    node_bundle_parsed(b);
    pthread_mutex_lock(&f->mutex);
    for (unsigned i = 0; i < f->ahead_n; i++)
        f->ahead[i].parsed |= f->ahead[i].bundle == b;
    advance(f);
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
}

/* With the mutex, which it gives up meanwhile. Starts work on the answer. */
static int apply(struct node_follow *f)
{
    struct node_bundle *b = NULL;
    uint8_t *bytes = f->bytes;
    f->bytes = NULL;
    pthread_mutex_unlock(&f->mutex);
    int rc = node_bundle_open(f->node, bytes, f->bytes_n, &b);
    pthread_mutex_lock(&f->mutex);
    if (rc)
        return rc;
    /* Empty; or what it follows failed in the meantime. */
    if (!b->first || f->applied_error) {
        rc = b->first ? POA_OK : POA_E_AGAIN;
        node_bundle_free(b);
        return rc;
    }
    b->done = applied;
    b->check->done = bundle_parsed;
    node_claims_bundle(b);
    f->ahead[f->ahead_n++] = (struct ahead){.bundle = b, .from = f->server};
    pthread_mutex_unlock(&f->mutex);
    rc = node_workers_check(f->node->workers, b->check);
    pthread_mutex_lock(&f->mutex);
    if (rc) { /* nobody has it: it is still the last one */
        f->ahead_n--;
        node_bundle_free(b);
    }
    return rc;
}

/* --- the loop ------------------------------------------------------------------------------- */

static void nap(struct node_follow *f, uint32_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&f->cond, &f->mutex, &t);
}

/* What most of the connected peers have reached, so that no single one decides. */
static uint64_t height_of_others(struct poa_node *n)
{
    uint64_t height[POA_P2P_PEERS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        const struct node_peer *p = &n->peer[i];
        size_t at = count;
        if (!p->known || !p->up || !p->height)
            continue;
        for (count++; at > 0 && height[at - 1] > p->height; at--)
            height[at] = height[at - 1];
        height[at] = p->height;
    }
    pthread_mutex_unlock(&n->peers_mutex);
    return count ? height[(count - 1) / 2] : 0;
}

/* With the mutex: how far it is, and how long it will take. */
static bool progress(struct node_follow *f, uint64_t height)
{
    struct poa_node *n = f->node;
    uint64_t now_us = poa_clock_monotonic_us(n->clock), target = height_of_others(n);
    bool behind = target > height;
    if (target < height + FAR_BLOCKS) {
        f->told_us = 0;
        target = 0;
    } else if (!f->told_us) {
        f->told_us = now_us;
        f->told_height = height;
    }
    uint64_t took_us = now_us - f->told_us, done = height - f->told_height;
    uint64_t left_s = target && done ? (target - height) * took_us / done / 1000000 : 0;
    bool tell = target && took_us >= PROGRESS_US;
    pthread_mutex_lock(&n->status_mutex);
    n->sync_target = target;
    if (tell || !target)
        n->sync_left_s = left_s;
    pthread_mutex_unlock(&n->status_mutex);
    if (!tell)
        return behind;
    char bar[21] = "....................", eta[40] = "no progress";
    memset(bar, '#', (size_t)(height * 20 / target));
    if (done)
        snprintf(eta, sizeof eta, "about %llu s left", (unsigned long long)left_s);
    POA_LOG_INFO(NODE, "following: [%s] %llu of %llu blocks, %llu %%, %llu per second, %s", bar,
                 (unsigned long long)height, (unsigned long long)target,
                 (unsigned long long)(height * 100 / target),
                 (unsigned long long)(done * 1000000 / took_us), eta);
    f->told_us = now_us;
    f->told_height = height;
    return behind;
}

static bool active(struct node_follow *f, const struct node_status *s)
{
    return s->core.member < 0 || f->target > s->core.height;
}

/* With the mutex; gives it up meanwhile. */
static int ask(struct node_follow *f, uint64_t after, bool behind)
{
    uint8_t buffer[16];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_follow r = {.after = after, .max_bytes = NODE_BUNDLE_BYTES};
    f->asked = true;
    f->answered = false;
    pthread_mutex_unlock(&f->mutex);
    int rc = poa_follow_encode(&w, &r);
    int server = node_pick_server(f->node, f->server);
    if (!rc)
        rc = server < 0
                 ? POA_E_CLOSED
                 : poa_p2p_request(f->node->p2p, server, POA_MSG_REQ_FOLLOW, poa_written(&w),
                                   behind ? f->patience_ms : PATIENCE_MAX_MS, answer_came, f);
    pthread_mutex_lock(&f->mutex);
    f->server = server;
    if (rc)
        f->asked = false;
    return rc;
}

static void *follow_thread(void *arg)
{
    struct node_follow *f = arg;
    int avoid = -1;
    pthread_mutex_lock(&f->mutex);
    while (!f->stop) {
        struct node_status s;
        node_status_get(f->node, &s);
        bool behind = progress(f, s.core.height);
        if (f->applied_error) {
            int rc = f->applied_error;
            f->applied_error = POA_OK;
            f->stale = f->asked;
            blame(f, f->applied_from, rc);
            POA_LOG_LIMITED(5000, POA_LOG_INFO, NODE, "following: %s", poa_error_text(rc));
            avoid = f->applied_from;
            nap(f, RETRY_MS);
            continue;
        }
        if (f->asked && f->answered && f->ahead_n < AHEAD) {
            f->asked = f->answered = false;
            int rc = f->error ? f->error : f->stale ? POA_OK : apply(f);
            f->stale = false;
            blame(f, f->server, rc);
            if (f->error == POA_E_TIMEOUT && f->patience_ms < PATIENCE_MAX_MS)
                f->patience_ms *= 2;
            else if (!f->error)
                f->patience_ms = PATIENCE_MS;
            free(f->bytes);
            f->bytes = NULL;
            /* It has no more than we, although others have. */
            if (rc == POA_E_AGAIN && f->target > s.core.height)
                avoid = f->server;
            if (rc && rc != POA_E_AGAIN) {
                POA_LOG_LIMITED(5000, POA_LOG_INFO, NODE, "following: %s", poa_error_text(rc));
                avoid = f->server;
                nap(f, RETRY_MS);
            }
            continue;
        }
        if (!f->asked && active(f, &s)) {
            const struct ahead *last = f->ahead_n ? &f->ahead[f->ahead_n - 1] : NULL;
            uint64_t after = last && !last->dead ? last->bundle->last : s.core.height;
            f->server = avoid;
            if (ask(f, after, behind))
                nap(f, RETRY_MS);
            else
                avoid = -1;
            continue;
        }
        if (!f->asked && !f->ahead_n) {
            nap(f, 500);
            continue;
        }
        uint64_t began_ms = poa_clock_monotonic_ms(poa_clock_system());
        nap(f, TELL_MS);
        if (!f->stop && poa_clock_monotonic_ms(poa_clock_system()) - began_ms >= TELL_MS)
            POA_LOG_WARN(NODE, "following: no %s for %d s", f->ahead_n ? "result" : "answer",
                         TELL_MS / 1000);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

void node_follow_behind(struct node_follow *f, uint64_t height)
{
    pthread_mutex_lock(&f->mutex);
    if (height > f->target) {
        f->target = height;
        pthread_cond_broadcast(&f->cond);
    }
    pthread_mutex_unlock(&f->mutex);
}

int node_follow_new(struct poa_node *n)
{
    struct node_follow *f = calloc(1, sizeof *f);
    if (!f)
        return POA_E_NO_MEMORY;
    f->node = n;
    f->server = -1;
    f->patience_ms = PATIENCE_MS;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->cond, &attr);
    pthread_condattr_destroy(&attr);
    n->follow = f;
    return POA_OK;
}

int node_follow_start(struct node_follow *f)
{
    int rc = node_thread(&f->thread, "follow", NODE_SMALL_STACK, follow_thread, f);
    f->runs = !rc;
    return rc;
}

void node_follow_stop(struct node_follow *f)
{
    if (!f || !f->runs)
        return;
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
    f->runs = false;
}

/* After the mesh is closed and the queue is empty: nobody calls back. */
void node_follow_free(struct node_follow *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->ahead_n; i++)
        node_bundle_free(f->ahead[i].bundle);
    free(f->bytes);
    pthread_cond_destroy(&f->cond);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}
