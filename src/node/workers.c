#include "poa_node_workers.h"

#include "poa_clock.h"
#include "poa_node_memo.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Transactions that one worker takes at a time: about half a millisecond, which
 * is how long a vote may have to wait. */
#define PIECE 8
/* BIP340 verification and the decoder need far less. */
#define STACK_BYTES (256 * 1024)
#define THREADS_MAX 64

/* Lines of submitters. With more of them at a time, some share one. */
#define LINES 64
/* What each transaction costs in the turns of its submitter. */
#define COST_OWN 1
#define COST     4
/* A check costs something even when it is nearly empty. */
#define COST_CHECK 2

/* A vote beyond those that a quorum needs waits so long: mostly its view is decided then. */
#define LATER_US 10000
#define TALLIES  16

#define WAIT_MAX_US 100000

/* A check may be taken once per worker that may help with it. */
struct line {
    uint64_t submitter;
    uint64_t start; /* of its first check, in virtual time; of the next one when it has none */
    struct node_check *first, **last;
};

/* Of node_workers_parallel. */
struct job {
    void (*task)(void *arg, uint32_t i);
    void *arg;
    uint32_t n;
    _Atomic uint32_t next;
    unsigned helpers; /* workers in it; with the mutex */
};

/* Who voted, by kind and view. */
struct tally {
    uint8_t vote, voters[POA_COMMITTEE_MAX / 8];
    uint32_t epoch, n;
    uint64_t view;
};

struct node_workers {
    uint8_t chain[32];
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct line urgent, later, line[LINES];
    _Atomic size_t later_n;
    struct tally tally[TALLIES];
    uint32_t enough; /* votes of others that decide; 0: not known */
    uint64_t now;    /* virtual: the start of the check that was taken last */
    _Atomic size_t urgent_n;
    size_t other_n, cap; /* of each kind */
    uint32_t floor;
    _Atomic uint64_t strangers;
    struct job *job; /* whoever has nothing else to do helps */
    pthread_cond_t job_done;
    _Atomic bool stop;
    _Atomic uint32_t epoch;
    _Atomic uint64_t at, tip; /* views */
    unsigned threads;
    pthread_t thread[THREADS_MAX];
};

/* A quorum is less than all: what came too late is worth no verification. When it
 * is wanted after all, the core verifies it. */
static bool decided(const struct node_workers *w, const struct node_claim *k)
{
    if (!k->vote || k->epoch != w->epoch)
        return false;
    return k->view <= w->tip || (k->vote == 1 + POA_VOTE_NOTARIZE && k->view < w->at);
}

static void check_claim(const struct node_workers *w, struct node_check *c,
                        const struct node_claim *k)
{
    uint8_t beta[64], digest[32], msg[32];
    if (c->wrong || decided(w, k))
        return;
    if (k->tx.n) { /* whether it is valid or not is what is asked */
        struct poa_tx_view view;
        (void)!node_memo_tx_check(w->chain, k->tx, &view);
        return;
    }
    memcpy(msg, k->msg, 32);
    if (k->batch.n) {
        poa_batch_digest(k->batch, digest);
        poa_batch_sig_digest(w->chain, digest, msg);
    }
    if (k->seed) {
        uint8_t proof[POA_VRF_PI_BYTES];
        (void)!node_suite.vrf_prove(k->seed, k->key, msg, 32, proof);
        return;
    }
    int rc = k->vrf ? node_suite.vrf_verify(k->key, msg, 32, k->proof, beta)
                    : node_suite.verify(k->key, msg, 32, k->proof);
    if (rc)
        c->wrong = true;
}

static void check_one(const struct node_workers *w, struct node_check *c, uint32_t at)
{
    uint32_t i = at - c->claims;
    if (at < c->claims) {
        if (!w->stop)
            check_claim(w, c, &c->claim[at]);
        return;
    }
    if (w->stop)
        c->code[i] = POA_E_CLOSED;
    else
        c->code[i] =
            (c->parse_only ? poa_tx_parse : node_memo_tx_check)(w->chain, c->raw[i], &c->view[i]);
}

/* LEFT counts items that are not done plus helpers that have not looked at C,
 * so that C outlives every reference to it. */
static void release(struct node_check *c, uint32_t count)
{
    if (atomic_fetch_sub(&c->left, count) == count)
        c->done(c);
}

/* --- lines: with the mutex ---------------------------------------------------------- */

static void append(struct line *l, struct node_check *c)
{
    if (!l->first)
        l->last = &l->first;
    c->after = NULL;
    *l->last = c;
    l->last = &c->after;
}

/* One more helper for its first check. */
static struct node_check *help_first(struct line *l)
{
    struct node_check *c = l->first;
    c->taken = true;
    if (--c->helpers == 0)
        l->first = c->after;
    return c;
}

static uint64_t cost_of(const struct node_workers *w, const struct node_check *c)
{
    uint64_t each = COST;
    enum node_submitter kind = (enum node_submitter)(c->submitter >> 56);
    if (kind == NODE_OWN)
        each = COST_OWN;
    bool shares = kind == NODE_STRANGER || kind == NODE_HERE;
    for (int i = 0; shares && i < LINES; i++)
        if (w->line[i].first && w->line[i].submitter != c->submitter &&
            w->line[i].submitter >> 56 == kind)
            each += COST;
    return each * (c->n + COST_CHECK);
}

static struct line *line_of(struct node_workers *w, uint64_t submitter)
{
    struct line *spare = NULL, *same = &w->line[submitter % LINES];
    uint32_t strangers = 0;
    for (int i = 0; i < LINES; i++) {
        struct line *l = &w->line[i];
        if (l->submitter == submitter)
            return l;
        /* Nobody else waits behind a stranger who is to wait. */
        if (l->submitter >> 56 == submitter >> 56)
            same = l;
        /* Whoever is ahead of his time is remembered until it comes. */
        if (!l->first && l->start <= w->now)
            spare = l;
        else
            strangers += l->submitter >> 56 == NODE_STRANGER;
    }
    /* However many of them come, there are lines for others. */
    bool enough = submitter >> 56 == NODE_STRANGER && strangers >= LINES / 2;
    if (!spare || enough)
        return same;
    spare->submitter = submitter;
    spare->start = 0;
    return spare;
}

static void wait_in_line(struct node_workers *w, struct node_check *c)
{
    struct line *l = line_of(w, c->submitter);
    if (!l->first && l->start < w->now)
        l->start = w->now;
    append(l, c);
}

/* What was begun is brought to an end. */
static bool held(const struct node_workers *w, const struct node_check *c)
{
    return !w->stop && c->submitter >> 56 == NODE_STRANGER && c->price < w->floor && !c->taken;
}

/* The line whose turn it is, or NULL. */
static struct line *next_line(struct node_workers *w)
{
    struct line *best = NULL;
    for (int i = 0; i < LINES && w->other_n; i++) {
        struct line *l = &w->line[i];
        if (l->first && !held(w, l->first) && (!best || l->start < best->start))
            best = l;
    }
    return best;
}

static struct node_check *take_other(struct node_workers *w, struct line *best)
{
    bool begun = best->first->taken;
    struct node_check *c = help_first(best);
    w->now = best->start;
    if (!begun && c->submitter >> 56 == NODE_STRANGER)
        w->strangers += c->n;
    if (best->first != c)
        best->start += cost_of(w, c);
    w->other_n--;
    return c;
}

/* Whether K comes when enough others of its kind are under way. Nothing of it is verified yet:
 * a voter counts once, and only by what it sends itself, or forged votes would hold up true
 * ones. */
static bool is_surplus(struct node_workers *w, const struct node_claim *k)
{
    struct tally *t = &w->tally[(k->view * 3 + k->vote) % TALLIES];
    if (!k->vote || !k->first_hand || !w->enough)
        return false;
    if (t->vote != k->vote || t->epoch != k->epoch || t->view != k->view)
        *t = (struct tally){.vote = k->vote, .epoch = k->epoch, .view = k->view};
    bool surplus = t->n >= w->enough;
    uint8_t *voters = &t->voters[k->voter / 8], bit = (uint8_t)(1u << k->voter % 8);
    t->n += !(*voters & bit);
    *voters |= bit;
    return surplus;
}

/* What waited long enough is urgent. *UNTIL_US: the next one is then; UINT64_MAX: none. */
static void bring_later(struct node_workers *w, uint64_t *until_us)
{
    *until_us = UINT64_MAX;
    if (!w->later.first)
        return;
    uint64_t now_us = poa_clock_monotonic_us(poa_clock_system());
    for (struct node_check *c; (c = w->later.first);) {
        if (!w->stop && now_us < c->since_us + LATER_US) {
            *until_us = c->since_us + LATER_US;
            return;
        }
        w->later.first = c->after;
        w->later_n--;
        append(&w->urgent, c);
        w->urgent_n++;
    }
}

static struct node_check *take_urgent(struct node_workers *w)
{
    w->urgent_n--;
    return help_first(&w->urgent);
}

/* --- work ---------------------------------------------------------------------------- */

static uint32_t piece_of(const struct node_check *c)
{
    return c->n ? PIECE : 1;
}

static void help(struct node_workers *w, struct node_check *c);

static void help_urgent(struct node_workers *w)
{
    uint64_t until_us;
    pthread_mutex_lock(&w->mutex);
    bring_later(w, &until_us);
    struct node_check *c = w->urgent_n ? take_urgent(w) : NULL;
    pthread_mutex_unlock(&w->mutex);
    if (c)
        help(w, c);
}

static void help(struct node_workers *w, struct node_check *c)
{
    uint32_t did = 1; /* this helper */
    uint32_t all = c->claims + c->n, piece = piece_of(c);
    for (;;) {
        uint32_t first = atomic_fetch_add(&c->next, piece);
        if (first >= all)
            break;
        uint32_t end = all - first < piece ? all : first + piece;
        for (uint32_t i = first; i < end; i++)
            check_one(w, c, i);
        did += end - first;
        if (c->n && (w->urgent_n || w->later_n))
            help_urgent(w);
    }
    release(c, did);
}

static void do_tasks(struct job *j)
{
    for (uint32_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;)
        j->task(j->arg, i);
}

static bool job_waits(const struct node_workers *w)
{
    return w->job && w->job->next < w->job->n;
}

/* With the mutex. */
static void help_job(struct node_workers *w)
{
    struct job *j = w->job;
    j->helpers++;
    pthread_mutex_unlock(&w->mutex);
    do_tasks(j);
    pthread_mutex_lock(&w->mutex);
    if (!--j->helpers)
        pthread_cond_signal(&w->job_done);
}

void node_workers_parallel(void *workers, void (*task)(void *arg, uint32_t i), void *arg,
                           uint32_t n)
{
    struct node_workers *w = workers;
    struct job j = {.task = task, .arg = arg, .n = n};
    pthread_mutex_lock(&w->mutex);
    POA_ASSERT(!w->job);
    w->job = &j;
    pthread_mutex_unlock(&w->mutex);
    pthread_cond_broadcast(&w->cond);
    do_tasks(&j);
    pthread_mutex_lock(&w->mutex);
    w->job = NULL;
    while (j.helpers)
        pthread_cond_wait(&w->job_done, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

/* Never for ever: glibc before 2.41 may lose a signal when several threads wait (its bug
 * 25847). */
static void wait(struct node_workers *w, uint64_t until_us)
{
    uint64_t latest_us = poa_clock_monotonic_us(poa_clock_system()) + WAIT_MAX_US;
    if (until_us > latest_us)
        until_us = latest_us;
    struct timespec t = {.tv_sec = (time_t)(until_us / 1000000),
                         .tv_nsec = (long)(until_us % 1000000 * 1000)};
    (void)pthread_cond_timedwait(&w->cond, &w->mutex, &t);
}

static void *worker(void *arg)
{
    struct node_workers *w = arg;
    node_memo_worker();
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        uint64_t until_us;
        bring_later(w, &until_us);
        struct line *line = w->urgent_n ? NULL : next_line(w);
        if (!w->urgent_n && !line && job_waits(w)) {
            help_job(w);
            continue;
        }
        if (!w->urgent_n && !line && w->stop)
            break;
        if (!w->urgent_n && !line) {
            wait(w, until_us);
            continue;
        }
        struct node_check *c = w->urgent_n ? take_urgent(w) : take_other(w, line);
        pthread_mutex_unlock(&w->mutex);
        help(w, c);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

uint64_t node_submitter(enum node_submitter kind, const uint8_t *key32)
{
    uint64_t low = key32 ? poa_le64(key32) & (((uint64_t)1 << 56) - 1) : 0;
    return (uint64_t)kind << 56 | low;
}

int node_workers_new(const uint8_t chain32[32], unsigned threads, size_t queue_max,
                     struct node_workers **out)
{
    struct node_workers *w = calloc(1, sizeof *w);
    if (!w)
        return POA_E_NO_MEMORY;
    memcpy(w->chain, chain32, 32);
    w->cap = queue_max;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &mono);
    pthread_condattr_destroy(&mono);
    pthread_cond_init(&w->job_done, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    while (w->threads < threads && pthread_create(&w->thread[w->threads], &attr, worker, w) == 0)
        (void)pthread_setname_np(w->thread[w->threads++], "worker");
    pthread_attr_destroy(&attr);
    if (!w->threads) {
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
    pthread_cond_destroy(&w->job_done);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

int node_workers_check(struct node_workers *w, struct node_check *c)
{
    uint32_t piece = piece_of(c), all = c->claims + c->n;
    uint32_t helpers = (all + piece - 1) / piece;
    if (!helpers)
        helpers = 1;
    pthread_mutex_lock(&w->mutex);
    if (helpers > w->threads)
        helpers = w->threads;
    atomic_store(&c->next, 0);
    atomic_store(&c->wrong, false);
    atomic_store(&c->left, all + helpers);
    c->helpers = helpers;
    c->taken = false;
    c->since_us = poa_clock_monotonic_us(poa_clock_system());
    bool fits = !w->stop && (c->n ? w->other_n : w->urgent_n + w->later_n) + helpers <= w->cap;
    if (fits && !c->n && c->claims == 1 && is_surplus(w, c->claim)) {
        w->later_n++;
        append(&w->later, c);
    } else if (fits && c->n) {
        w->other_n += helpers;
        wait_in_line(w, c);
    } else if (fits) {
        w->urgent_n += helpers;
        append(&w->urgent, c);
    }
    pthread_mutex_unlock(&w->mutex);
    if (!fits)
        return POA_E_FULL;
    if (helpers > 1)
        pthread_cond_broadcast(&w->cond);
    else
        pthread_cond_signal(&w->cond);
    return POA_OK;
}

void node_workers_enough(struct node_workers *w, uint32_t votes)
{
    pthread_mutex_lock(&w->mutex);
    w->enough = votes;
    pthread_mutex_unlock(&w->mutex);
}

void node_workers_at(struct node_workers *w, uint32_t epoch, uint64_t view, uint64_t tip_view)
{
    w->epoch = epoch;
    w->at = view;
    w->tip = tip_view;
}

/* Takes the strangers' checks that waited too long out of their lines. */
static struct node_check *late(struct node_workers *w, uint64_t now_us)
{
    struct node_check *out = NULL;
    for (int i = 0; i < LINES && w->other_n; i++) {
        struct node_check **at = &w->line[i].first, *c;
        while ((c = *at) != NULL) {
            if (!held(w, c) || now_us < c->since_us + NODE_HELD_US) {
                at = &c->after;
                continue;
            }
            *at = c->after;
            w->other_n -= c->helpers;
            c->after = out;
            out = c;
        }
        w->line[i].last = at;
    }
    return out;
}

void node_workers_floor(struct node_workers *w, uint32_t floor)
{
    uint64_t now_us = poa_clock_monotonic_us(poa_clock_system());
    pthread_mutex_lock(&w->mutex);
    bool lower = floor < w->floor;
    w->floor = floor;
    struct node_check *c = late(w, now_us);
    pthread_mutex_unlock(&w->mutex);
    if (lower)
        pthread_cond_broadcast(&w->cond);
    while (c) {
        struct node_check *next = c->after;
        for (uint32_t i = 0; i < c->n; i++)
            c->code[i] = POA_E_TX_FEE_FLOOR;
        c->done(c);
        c = next;
    }
}

uint64_t node_workers_strangers(const struct node_workers *w)
{
    return w->strangers;
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
