/* Following: finalized blocks from servers, by long polling. A follower does
 * nothing else; a member does it while others are ahead of it. Which blocks are
 * asked of whom: ranges.c. While the core executes one answer, workers decode the
 * next ones, and others are under way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"

/* A bundle takes a step for each block, and some more when memory has to grow. */
#define STEPS_MAX 20000u
#define RETRY_MS  100
/* Without an answer or a result for so long, something is wrong: an idle server
 * answers within NODE_FOLLOW_WAIT_MS. */
#define TELL_US UINT64_C(30000000)
#define NAP_MS  500
/* Who keeps all blocks may be connected a moment after those who do not. */
#define UNKEPT_US UINT64_C(10000000)
/* Progress is told from when so many blocks are missing until only so many are. */
#define FAR_BLOCKS  200
#define NEAR_BLOCKS 20
#define PROGRESS_US 5000000

/* A question that is under way, or its answer. Also of ranges that were given up. */
struct question {
    struct node_follow *follow;
    bool used, answered;
    uint32_t id;
    int server, error;
    uint8_t key[32];
    uint8_t *bytes;
    size_t bytes_n;
};
#define QUESTIONS (NODE_RANGES + 2)

struct node_follow {
    struct poa_node *node;
    pthread_t thread;
    bool runs;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stop;
    uint64_t target;    /* members: follow up to here */
    uint64_t unkept_us; /* nobody keeps the next block since then; 0: not so */
    /* Progress: since the last line, and since it fell behind. */
    uint64_t told_us, told_height, begun_us, begun_height;
    uint8_t gave[POA_P2P_SET_BYTES]; /* whose blocks were executed */
    struct question question[QUESTIONS];
    struct node_ranges ranges;
    bool posted;       /* the core has the first one */
    int applied_error; /* the first failure, and whose it is */
    uint8_t applied_from[32];
};

static void answer_came(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct question *q = ctx;
    struct node_follow *f = q->follow;
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
    q->answered = true;
    q->error = error;
    q->bytes = copy;
    q->bytes_n = bytes.n;
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
}

/* The server with KEY sent what no chain has, or left us waiting: it is let go for a
 * while. It may have left its place to another one since. */
static void blame(struct node_follow *f, const uint8_t key[32], int rc)
{
    char hex[17];
    bool crossed = rc == POA_E_DUPLICATE || rc == POA_E_EPOCH || rc == POA_E_VIEW;
    bool forged = poa_error_class(rc) == POA_CLASS_PEER && !crossed;
    if (!forged && rc != POA_E_TIMEOUT)
        return;
    poa_hex(key, 8, hex);
    if (forged)
        POA_LOG_LIMITED(5000, POA_LOG_WARN, NODE,
                        "following: peer %s... sent blocks that are wrong", hex);
    else
        POA_LOG_LIMITED(5000, POA_LOG_WARN, NODE, "following: peer %s... does not answer", hex);
    poa_p2p_blame(f->node->p2p, key, forged ? POA_P2P_FAULT_FORGED : POA_P2P_FAULT_STALLED);
}

/* --- applying --------------------------------------------------------------------------- */

static void run_bundle(struct node_event *e, void *ctx);
static void drop_bundle(struct node_event *e);

/* With the mutex: the next one goes to the core. */
static void advance(struct node_follow *f)
{
    struct node_range *g = node_ranges_first(&f->ranges);
    if (!g || f->posted || !g->bundle->parsed)
        return;
    struct node_bundle *b = g->bundle;
    f->posted = true;
    b->event = (struct node_event){.run = run_bundle, .drop = drop_bundle, .bytes = b->bytes_n};
    (void)!node_queue_post(&f->node->queue, NODE_CLASS_OWN, &b->event);
}

static void applied(struct node_bundle *b, int code)
{
    struct node_follow *f = b->node->follow;
    pthread_mutex_lock(&f->mutex);
    const struct node_range *g = node_ranges_first(&f->ranges);
    int from = g->server;
    uint8_t key[32];
    memcpy(key, g->key, 32);
    struct poa_core_status at;
    /* What is of an epoch long past is nothing new to the core, whatever it says. */
    if (!code) {
        poa_core_status(f->node->core, &at);
        code = at.height < b->last ? POA_E_BLOCK_INVALID : POA_OK;
    }
    f->posted = false;
    node_ranges_applied(&f->ranges, code, poa_clock_monotonic_us(f->node->clock));
    if (!code)
        f->gave[from / 8] = (uint8_t)(f->gave[from / 8] | 1u << from % 8);
    else if (!f->applied_error) {
        f->applied_error = code;
        memcpy(f->applied_from, key, 32);
    }
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
    bool needed = false;
    node_bundle_parsed(b);
    pthread_mutex_lock(&f->mutex);
    b->parsed = true;
    for (uint32_t i = 0; i < f->ranges.n; i++)
        needed |= f->ranges.range[i].bundle == b;
    advance(f);
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
    if (!needed)
        node_bundle_free(b);
}

/* With the mutex, which it gives up meanwhile. Starts work on the answer. */
static void take(struct node_follow *f, struct question *q)
{
    struct node_bundle *b = NULL, *dropped = NULL;
    uint8_t *bytes = q->bytes, key[32];
    int rc = q->error;
    memcpy(key, q->key, 32);
    if (!rc) {
        pthread_mutex_unlock(&f->mutex);
        rc = node_bundle_open(f->node, bytes, q->bytes_n, &b);
        if (!rc && !b->first) { /* empty */
            node_bundle_free(b);
            b = NULL;
        }
        if (b) {
            b->done = applied;
            b->check->done = bundle_parsed;
            node_claims_bundle(b);
        }
        pthread_mutex_lock(&f->mutex);
    }
    rc = node_ranges_answered(&f->ranges, q->id, rc, b, poa_clock_monotonic_us(f->node->clock),
                              &dropped);
    bool needed = b && dropped != b;
    if (dropped && dropped != b && !dropped->parsed)
        dropped = NULL; /* the workers have it still: bundle_parsed */
    memset(q, 0, sizeof *q);
    pthread_mutex_unlock(&f->mutex);
    node_bundle_free(dropped);
    if (needed && node_workers_check(f->node->workers, b->check)) {
        for (uint32_t i = 0; i < b->check->n; i++)
            b->check->code[i] = POA_E_CLOSED;
        bundle_parsed(b->check);
    }
    if (rc && rc != POA_E_NOT_KEPT) /* tell_kept says more */
        POA_LOG_LIMITED(5000, POA_LOG_INFO, NODE, "following: %s", poa_error_text(rc));
    blame(f, key, rc);
    pthread_mutex_lock(&f->mutex);
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

/* Who has spoken, whether still there or not. */
static uint32_t heard_of(struct poa_node *n, struct node_heard out[POA_P2P_PEERS_MAX])
{
    uint32_t count = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        const struct node_peer *p = &n->peer[i];
        if (p->known && p->heard)
            out[count++] = (struct node_heard){p->highest, p->member, p->up};
    }
    pthread_mutex_unlock(&n->peers_mutex);
    return count;
}

/* Whose blocks they were since it fell behind. */
static unsigned givers(const struct node_follow *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < POA_P2P_PEERS_MAX; i++)
        n += f->gave[i / 8] >> i % 8 & 1;
    return n;
}

static void tell_end(struct node_follow *f, uint64_t height, uint64_t now_us)
{
    unsigned given = givers(f);
    POA_LOG_INFO(NODE, "following: caught up at %llu: %llu blocks in %llu ms from %u server%s",
                 (unsigned long long)height, (unsigned long long)(height - f->begun_height),
                 (unsigned long long)((now_us - f->begun_us) / 1000), given, given == 1 ? "" : "s");
    f->told_us = 0;
}

/* With the mutex: how far it is, and how long it will take. */
static void progress(struct node_follow *f, const struct poa_core_status *core)
{
    struct poa_node *n = f->node;
    uint64_t now_us = poa_clock_monotonic_us(n->clock), height = core->height;
    struct node_heard heard[POA_P2P_PEERS_MAX];
    uint32_t heard_n = heard_of(n, heard);
    pthread_mutex_lock(&n->status_mutex);
    node_behind_look(&n->behind, heard, heard_n, height, core->member >= 0 && core->members == 1);
    bool known = n->behind.known;
    uint64_t target = n->behind.target;
    pthread_mutex_unlock(&n->status_mutex);
    if (!known)
        return;
    bool far = target >= height + (f->told_us ? NEAR_BLOCKS : FAR_BLOCKS);
    bool end = !far && f->told_us;
    if (end)
        tell_end(f, height, now_us);
    if (far && !f->told_us) {
        f->told_us = f->begun_us = now_us;
        f->told_height = f->begun_height = height;
        memset(f->gave, 0, sizeof f->gave);
    }
    uint64_t took_us = now_us - f->told_us, done = height - f->told_height;
    const struct node_behind_pace all = {height - f->begun_height, now_us - f->begun_us};
    const struct node_behind_pace lately = {done, took_us};
    uint64_t left_s = far ? node_behind_left_s(all, lately, target - height) : 0;
    bool tell = far && took_us >= PROGRESS_US;
    pthread_mutex_lock(&n->status_mutex);
    n->sync_target = far ? target : 0;
    n->caught_up |= end;
    if (tell || !far)
        n->sync_left_s = left_s;
    pthread_mutex_unlock(&n->status_mutex);
    if (!tell)
        return;
    unsigned given = givers(f);
    char bar[21] = "....................", eta[40] = "no progress";
    memset(bar, '#', (size_t)(height * 20 / target));
    if (done)
        snprintf(eta, sizeof eta, "about %llu s left", (unsigned long long)left_s);
    POA_LOG_INFO(
        NODE, "following: [%s] %llu of %llu blocks, %llu %%, %llu per second from %u server%s, %s",
        bar, (unsigned long long)height, (unsigned long long)target,
        (unsigned long long)(height * 100 / target), (unsigned long long)(done * 1000000 / took_us),
        given, given == 1 ? "" : "s", eta);
    f->told_us = now_us;
    f->told_height = height;
}

/* With the mutex, which it gives up meanwhile. */
static void ask(struct node_follow *f, struct question *q, const struct node_question *what)
{
    uint8_t buffer[24];
    struct node_bundle *none;
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_follow r = {
        .after = what->after, .until = what->until, .max_bytes = NODE_BUNDLE_BYTES};
    *q = (struct question){.follow = f, .used = true, .id = what->id, .server = what->server};
    memcpy(q->key, what->key, 32);
    pthread_mutex_unlock(&f->mutex);
    POA_LOG_DEBUG(NODE, "following: blocks after %llu up to %llu of server %d",
                  (unsigned long long)what->after, (unsigned long long)what->until, what->server);
    int rc = poa_follow_encode(&w, &r);
    if (!rc)
        rc = node_request(f->node, what->server, what->key, POA_MSG_REQ_FOLLOW, poa_written(&w),
                          what->timeout_ms, answer_came, q);
    pthread_mutex_lock(&f->mutex);
    if (rc) {
        (void)!node_ranges_answered(&f->ranges, what->id, rc, NULL,
                                    poa_clock_monotonic_us(f->node->clock), &none);
        q->used = false;
    }
}

/* With the mutex: servers whose links work. */
static uint32_t sources(struct poa_node *n, struct node_source out[POA_P2P_PEERS_MAX])
{
    uint32_t count = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        const struct node_peer *p = &n->peer[i];
        if (!p->known || !p->up)
            continue;
        out[count] = (struct node_source){.server = i, .member = p->member, .height = p->height};
        memcpy(out[count++].key, p->key, 32);
    }
    pthread_mutex_unlock(&n->peers_mutex);
    return count;
}

static struct question *find_question(struct node_follow *f, bool used, bool answered)
{
    for (unsigned i = 0; i < QUESTIONS; i++)
        if (f->question[i].used == used && f->question[i].answered == answered)
            return &f->question[i];
    return NULL;
}

/* With the mutex: whether there is anybody left to ask for the next block. */
static void tell_kept(struct node_follow *f, uint64_t tip, uint32_t nobody)
{
    struct poa_node *n = f->node;
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    if (!nobody)
        f->unkept_us = 0;
    else if (!f->unkept_us)
        f->unkept_us = now_us;
    pthread_mutex_lock(&n->status_mutex);
    n->unkept = nobody;
    pthread_mutex_unlock(&n->status_mutex);
    if (nobody && now_us - f->unkept_us >= UNKEPT_US)
        POA_LOG_LIMITED(60000, POA_LOG_WARN, NODE,
                        "following: no peer keeps block %llu any more (%u asked), so this node "
                        "cannot go on: stop it, move %s/db away and start it with snapshot = yes, "
                        "or give it a peer that keeps all blocks (prune = 0)",
                        (unsigned long long)tip + 1, nobody, n->config.data_dir);
}

/* With the mutex: asks what there is to be asked. */
static void ask_all(struct node_follow *f, uint64_t tip, uint64_t target)
{
    struct node_source source[POA_P2P_PEERS_MAX];
    struct node_ranges_now now = {.us = poa_clock_monotonic_us(f->node->clock),
                                  .tip = tip,
                                  .target = target,
                                  .source = source,
                                  .sources = sources(f->node, source)};
    struct node_question what;
    struct question *q;
    while (!f->stop && (q = find_question(f, false, false)) &&
           node_ranges_next(&f->ranges, &now, &what))
        ask(f, q, &what);
    tell_kept(f, tip, node_ranges_nobody(&f->ranges, &now));
}

static void *follow_thread(void *arg)
{
    struct node_follow *f = arg;
    uint64_t moved_us = 0;
    pthread_mutex_lock(&f->mutex);
    while (!f->stop) {
        struct node_status s;
        struct question *q;
        uint64_t target = height_of_others(f->node);
        node_status_get(f->node, &s);
        progress(f, &s.core);
        node_current_tell(f->node);
        target = target > f->target ? target : f->target;
        if (f->applied_error) {
            int rc = f->applied_error;
            f->applied_error = POA_OK;
            uint8_t key[32];
            memcpy(key, f->applied_from, 32);
            blame(f, key, rc);
            POA_LOG_LIMITED(5000, POA_LOG_INFO, NODE, "following: %s", poa_error_text(rc));
        }
        if ((q = find_question(f, true, true))) {
            moved_us = 0;
            take(f, q);
            continue;
        }
        bool active = s.core.member < 0 || f->target > s.core.height;
        if (active) {
            ask_all(f, s.core.height, target);
        } else {
            node_ranges_rest(&f->ranges);
            tell_kept(f, s.core.height, 0);
        }
        if (f->stop || find_question(f, true, true))
            continue;
        uint64_t now_us = poa_clock_monotonic_us(f->node->clock);
        if (!moved_us || !f->ranges.n)
            moved_us = now_us;
        if (now_us - moved_us >= TELL_US) {
            POA_LOG_WARN(NODE, "following: no answer or result for %llu s",
                         (unsigned long long)(TELL_US / 1000000));
            moved_us = now_us;
        }
        bool soon = active && !f->node->unkept && node_ranges_wanted(&f->ranges);
        nap(f, soon ? RETRY_MS : NAP_MS);
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
    node_ranges_init(&f->ranges);
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
    for (unsigned i = 0; i < f->ranges.n; i++)
        node_bundle_free(f->ranges.range[i].bundle);
    for (unsigned i = 0; i < QUESTIONS; i++)
        free(f->question[i].bytes);
    pthread_cond_destroy(&f->cond);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}
