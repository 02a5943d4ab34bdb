#include "poa_node_io.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "poa_clock.h"

/* A group larger than this is written before more is added to it. */
#define GROUP_BYTES ((size_t)4 << 20)
#define STACK_BYTES (256 * 1024)
/* Blocks deleted at a time, and blobs; the rest waits for the next call. */
#define PRUNE_BLOCKS 256
#define EXPIRE_MAX   256
/* The disk has deleted bytes back when they are so many, and a quarter of all. */
#define RECLAIM_BYTES ((uint64_t)4 << 20)

enum kind { RECORD, BATCH, COMMIT, SEND, META, FORGET, PRUNE, CHECKPOINT, BLOB, EXPIRE, SYNC };

/* In a job: kind, hash, length; then the blob. */
#define BLOB_HEAD (1 + 32 + 4)

/* Somebody who waits for a job; on its stack. */
struct waiter {
    sem_t done;
    int rc;
};

struct job {
    struct job *next;
    struct waiter *waiter;
    enum kind kind;
    uint16_t type;
    uint64_t number; /* sequence number, height or time */
    char name[POA_STORE_NAME_MAX + 1];
    struct node_send send;
    struct node_commit *commit;
    struct node_checkpoint checkpoint;
    size_t n, cost;
    uint8_t bytes[];
};

struct node_io {
    struct node_io_config config;
    struct poa_store_batch *group;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work, room;
    struct job *first, **last;
    size_t bytes;
    bool stop, failed;
    uint64_t prune;  /* blocks below are to be deleted; 0: none */
    uint64_t expire; /* blobs that expired before; 0: none */
    /* Gives the disk back what was deleted. */
    pthread_t compactor;
    pthread_cond_t deleted;
    bool reclaim;
    /* The core thread's: jobs of the step in work. */
    bool corked;
    struct job *held, **held_last;
    size_t held_bytes;
    struct node_io_stats stats;
};

static void job_free(struct job *j)
{
    if (j->waiter)
        sem_post(&j->waiter->done);
    free(j->commit);
    free(j->checkpoint.entries);
    free(j);
}

static void fail(struct node_io *io, int rc)
{
    struct poa_why why = {""};
    if (io->failed)
        return;
    io->failed = true;
    poa_store_why(io->config.store, &why);
    io->config.failed(io->config.ctx, rc, why.text[0] ? why.text : poa_error_text(rc));
}

/* --- one round -------------------------------------------------------------------- */

struct round {
    struct node_io *io;
    bool durable; /* something in it must survive before sends may go */
    bool has_seq;
    uint64_t seq, height, forget, prune, expire;
};

static int write_group(struct round *r, bool sync)
{
    struct node_io *io = r->io;
    uint64_t before = poa_clock_monotonic_us(poa_clock_system());
    int rc = poa_store_write(io->group, sync);
    if (sync) {
        uint64_t took = poa_clock_monotonic_us(poa_clock_system()) - before;
        pthread_mutex_lock(&io->mutex);
        io->stats.rounds++;
        io->stats.fsync_us_sum += took;
        if (took > io->stats.fsync_us_max)
            io->stats.fsync_us_max = took;
        pthread_mutex_unlock(&io->mutex);
    }
    return rc;
}

static int put_batch(struct round *r, uint64_t seq, struct poa_slice bytes)
{
    uint8_t digest[32];
    poa_batch_digest(bytes, digest);
    int rc = poa_store_put_batch(r->io->group, seq, POA_WAL_BATCH, digest, bytes);
    if (rc == POA_E_FULL) {
        rc = write_group(r, true);
        if (!rc)
            rc = poa_store_put_batch(r->io->group, seq, POA_WAL_BATCH, digest, bytes);
    }
    return rc;
}

/* The state and its height are one group: never half a checkpoint. The blocks
 * before it are durable first. */
static int put_checkpoint(struct round *r, const struct node_checkpoint *c)
{
    int rc = write_group(r, true);
    for (size_t at = 0; !rc && at < c->n;) {
        const uint8_t *p = c->entries + at;
        uint32_t n = poa_le32(p + 32);
        poa_store_put_state(r->io->group, p, poa_slice(p + 36, n));
        at += 36 + (size_t)n;
    }
    if (!rc)
        rc = poa_store_put_checkpoint(r->io->group, &c->at);
    if (!rc)
        rc = write_group(r, true);
    if (!rc && r->io->config.checkpointed)
        r->io->config.checkpointed(r->io->config.ctx, c->at.height);
    return rc;
}

static int put_job(struct round *r, const struct job *j)
{
    struct poa_slice bytes = poa_slice(j->bytes, j->n);
    int rc = POA_OK;
    switch (j->kind) {
    case RECORD:
        poa_store_put_record(r->io->group, j->number, j->type, bytes);
        r->seq = j->number;
        r->has_seq = true;
        /* A certificate that is lost forms again from the votes, which are
         * durable: it rides on the next fsync instead of causing one. */
        if (j->type != POA_WAL_CERT)
            r->durable = true;
        break;
    case BATCH:
        rc = put_batch(r, j->number, bytes);
        r->seq = j->number;
        r->has_seq = r->durable = true;
        break;
    case COMMIT:
        rc = poa_store_put_block(r->io->group, &j->commit->block);
        r->height = j->commit->block.height; /* as good as its votes: no fsync of its own */
        break;
    case META:
        poa_store_put_meta(r->io->group, j->name, bytes);
        r->durable = true;
        break;
    case CHECKPOINT:
        rc = put_checkpoint(r, &j->checkpoint);
        break;
    case BLOB:
        for (size_t at = 0; !rc && at < j->n;) {
            const uint8_t *p = j->bytes + at;
            uint32_t n = poa_le32(p + 33);
            rc = poa_store_put_blob(r->io->group, p[0], p + 1, j->number,
                                    poa_slice(p + BLOB_HEAD, n));
            at += BLOB_HEAD + (size_t)n;
        }
        break;
    case SYNC:
        /* What was written without fsync before becomes durable with it. */
        poa_store_put_meta(r->io->group, "node/sync", poa_slice("", 0));
        r->durable = true;
        break;
    case FORGET:
        r->forget = j->number;
        break;
    case PRUNE:
        r->prune = j->number;
        break;
    case EXPIRE:
        r->expire = j->number;
        break;
    case SEND:
        break;
    }
    if (!rc && poa_store_batch_bytes(r->io->group) > GROUP_BYTES)
        rc = write_group(r, true);
    return rc;
}

/* Rewriting what was deleted takes a while: in a thread of its own, which begins
 * when there is enough of it. */
static void *compact_thread(void *arg)
{
    struct node_io *io = arg;
    pthread_mutex_lock(&io->mutex);
    while (!io->stop) {
        if (!io->reclaim) {
            pthread_cond_wait(&io->deleted, &io->mutex);
            continue;
        }
        io->reclaim = false;
        pthread_mutex_unlock(&io->mutex);
        poa_store_reclaim(io->config.store);
        pthread_mutex_lock(&io->mutex);
    }
    pthread_mutex_unlock(&io->mutex);
    return NULL;
}

static void reclaim(struct node_io *io)
{
    struct poa_store_stats st;
    poa_store_stats(io->config.store, &st);
    if (st.deleted_bytes < RECLAIM_BYTES || st.deleted_bytes < st.disk_bytes / 4)
        return;
    pthread_mutex_lock(&io->mutex);
    io->reclaim = true;
    pthread_cond_signal(&io->deleted);
    pthread_mutex_unlock(&io->mutex);
}

static int delete_old(const struct round *r)
{
    struct poa_store *s = r->io->config.store;
    bool done;
    int rc = POA_OK;
    if (r->forget)
        rc = poa_store_forget(s, r->forget);
    if (r->prune > r->io->prune)
        r->io->prune = r->prune;
    if (!rc && r->io->prune) {
        rc = poa_store_prune(s, r->io->prune, PRUNE_BLOCKS, &done);
        if (!rc && done)
            r->io->prune = 0;
        reclaim(r->io);
    }
    if (r->expire > r->io->expire)
        r->io->expire = r->expire;
    if (!rc && r->io->expire) {
        rc = poa_store_expire(s, r->io->expire, EXPIRE_MAX, &done);
        if (!rc && done)
            r->io->expire = 0;
        reclaim(r->io);
    }
    return rc;
}

static void run_round(struct node_io *io, struct job *list)
{
    struct round r = {.io = io};
    uint64_t sends = 0;
    int rc = POA_OK;
    for (struct job *j = list; j && !rc; j = j->next)
        rc = put_job(&r, j);
    if (!rc && poa_store_batch_ops(io->group))
        rc = write_group(&r, r.durable);
    /* To others first: what goes to ourselves wakes the core thread. What goes to one
     * peer goes in one frame: a message costs the same whatever its size. */
    bool queued = false;
    for (int own = 0; own <= 1 && !rc; own++) {
        for (const struct job *j = list; j; j = j->next) {
            struct node_send to = j->send;
            if (j->kind != SEND || !(own ? to.own : to.others))
                continue;
            to.own = own;
            to.others = !own;
            io->config.send(io->config.ctx, &to, poa_slice(j->bytes, j->n));
            sends++;
            queued |= !own && !to.lazy;
        }
        if (queued && !own && io->config.sent)
            io->config.sent(io->config.ctx);
    }
    for (struct job *j = list; j; j = j->next)
        if (j->waiter)
            j->waiter->rc = rc ? POA_E_STORE : POA_OK;
    if (!rc && r.has_seq && r.durable)
        io->config.durable(io->config.ctx, r.seq);
    if (!rc && r.height)
        io->config.stored(io->config.ctx, r.height);
    if (!rc)
        rc = delete_old(&r);
    if (rc)
        fail(io, rc);
    pthread_mutex_lock(&io->mutex);
    io->stats.sends += sends;
    pthread_mutex_unlock(&io->mutex);
}

static void *io_thread(void *arg)
{
    struct node_io *io = arg;
    pthread_mutex_lock(&io->mutex);
    for (;;) {
        while (!io->first && !io->stop)
            pthread_cond_wait(&io->work, &io->mutex);
        struct job *list = io->first;
        if (!list)
            break;
        io->first = NULL;
        io->last = &io->first;
        pthread_mutex_unlock(&io->mutex);
        if (!io->failed)
            run_round(io, list);
        size_t cost = 0;
        while (list) {
            struct job *next = list->next;
            cost += list->cost;
            job_free(list);
            list = next;
        }
        pthread_mutex_lock(&io->mutex);
        io->bytes -= cost;
        pthread_cond_broadcast(&io->room);
    }
    pthread_mutex_unlock(&io->mutex);
    return NULL;
}

int node_io_start(const struct node_io_config *config, struct node_io **out)
{
    struct node_io *io = calloc(1, sizeof *io);
    if (!io)
        return POA_E_NO_MEMORY;
    io->config = *config;
    io->last = &io->first;
    io->held_last = &io->held;
    int rc = poa_store_batch_new(config->store, &io->group);
    if (rc) {
        free(io);
        return rc;
    }
    pthread_mutex_init(&io->mutex, NULL);
    pthread_cond_init(&io->work, NULL);
    pthread_cond_init(&io->room, NULL);
    pthread_cond_init(&io->deleted, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&io->thread, &attr, io_thread, io))
        rc = POA_E_THREADS;
    if (!rc)
        (void)pthread_setname_np(io->thread, "io");
    if (!rc && pthread_create(&io->compactor, &attr, compact_thread, io)) {
        pthread_mutex_lock(&io->mutex);
        io->stop = true;
        pthread_cond_signal(&io->work);
        pthread_mutex_unlock(&io->mutex);
        pthread_join(io->thread, NULL);
        rc = POA_E_NO_MEMORY;
    }
    pthread_attr_destroy(&attr);
    if (!rc)
        (void)pthread_setname_np(io->compactor, "compact");
    if (rc) {
        poa_store_batch_free(io->group);
        free(io);
        return rc;
    }
    *out = io;
    return POA_OK;
}

void node_io_stop(struct node_io *io)
{
    if (!io)
        return;
    pthread_mutex_lock(&io->mutex);
    io->stop = true;
    pthread_cond_broadcast(&io->work);
    pthread_cond_broadcast(&io->room);
    pthread_cond_broadcast(&io->deleted);
    pthread_mutex_unlock(&io->mutex);
    pthread_join(io->thread, NULL);
    pthread_join(io->compactor, NULL);
    poa_store_batch_free(io->group);
    pthread_cond_destroy(&io->work);
    pthread_cond_destroy(&io->room);
    pthread_cond_destroy(&io->deleted);
    pthread_mutex_destroy(&io->mutex);
    free(io);
}

/* --- handing over -------------------------------------------------------------------- */

static struct job *job_new(enum kind kind, struct poa_slice bytes)
{
    struct job *j = calloc(1, sizeof *j + bytes.n);
    if (!j)
        return NULL;
    j->kind = kind;
    j->n = bytes.n;
    j->cost = sizeof *j + bytes.n;
    if (bytes.n)
        memcpy(j->bytes, bytes.p, bytes.n);
    return j;
}

/* Waits while the queue is over its bytes: the disk sets the pace. The caller
 * may be the core thread, which the I/O thread never waits for. */
static void hand_over_list(struct node_io *io, struct job *first, struct job **last, size_t cost)
{
    pthread_mutex_lock(&io->mutex);
    while (io->bytes && io->bytes + cost > io->config.bytes_max && !io->stop)
        pthread_cond_wait(&io->room, &io->mutex);
    bool idle = !io->first;
    *io->last = first;
    io->last = last;
    io->bytes += cost;
    pthread_mutex_unlock(&io->mutex);
    if (idle)
        pthread_cond_signal(&io->work);
}

static void hand_over(struct node_io *io, struct job *j)
{
    hand_over_list(io, j, &j->next, j->cost);
}

/* From the core thread: what one step hands over goes together, and shares its
 * fsync. */
static void core_hands_over(struct node_io *io, struct job *j)
{
    if (!io->corked) {
        hand_over(io, j);
        return;
    }
    *io->held_last = j;
    io->held_last = &j->next;
    io->held_bytes += j->cost;
}

void node_io_cork(struct node_io *io)
{
    io->corked = true;
}

void node_io_uncork(struct node_io *io)
{
    io->corked = false;
    if (!io->held)
        return;
    hand_over_list(io, io->held, io->held_last, io->held_bytes);
    io->held = NULL;
    io->held_last = &io->held;
    io->held_bytes = 0;
}

static int hand_over_bytes(struct node_io *io, enum kind kind, uint64_t number, uint16_t type,
                           struct poa_slice bytes)
{
    struct job *j = job_new(kind, bytes);
    if (!j)
        return POA_E_NO_MEMORY;
    j->number = number;
    j->type = type;
    core_hands_over(io, j);
    return POA_OK;
}

int node_io_record(struct node_io *io, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    return hand_over_bytes(io, RECORD, seq, type, bytes);
}

int node_io_batch(struct node_io *io, uint64_t seq, struct poa_slice bytes)
{
    return hand_over_bytes(io, BATCH, seq, 0, bytes);
}

int node_io_send(struct node_io *io, const struct node_send *to, struct poa_slice bytes)
{
    struct job *j = job_new(SEND, bytes);
    if (!j)
        return POA_E_NO_MEMORY;
    j->send = *to;
    core_hands_over(io, j);
    return POA_OK;
}

int node_io_meta(struct node_io *io, const char *name, struct poa_slice value)
{
    struct job *j = job_new(META, value);
    if (!j)
        return POA_E_NO_MEMORY;
    POA_ASSERT(strlen(name) <= POA_STORE_NAME_MAX);
    strcpy(j->name, name);
    core_hands_over(io, j);
    return POA_OK;
}

int node_io_forget(struct node_io *io, uint64_t seq)
{
    return hand_over_bytes(io, FORGET, seq, 0, poa_slice(NULL, 0));
}

int node_io_prune(struct node_io *io, uint64_t height)
{
    return hand_over_bytes(io, PRUNE, height, 0, poa_slice(NULL, 0));
}

int node_io_commit(struct node_io *io, struct node_commit *commit)
{
    struct job *j = job_new(COMMIT, poa_slice(NULL, 0));
    if (!j) {
        free(commit);
        return POA_E_NO_MEMORY;
    }
    j->commit = commit;
    j->cost += commit->bytes;
    core_hands_over(io, j);
    return POA_OK;
}

int node_io_checkpoint(struct node_io *io, const struct node_checkpoint *c)
{
    struct job *j = job_new(CHECKPOINT, poa_slice(NULL, 0));
    if (!j) {
        free(c->entries);
        return POA_E_NO_MEMORY;
    }
    j->checkpoint = *c;
    j->cost += c->n;
    core_hands_over(io, j);
    return POA_OK;
}

int node_io_blobs(struct node_io *io, uint64_t expires_ms, const struct node_blob *list, size_t n)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += BLOB_HEAD + list[i].bytes.n;
    struct job *j = calloc(1, sizeof *j + all);
    if (!j)
        return POA_E_NO_MEMORY;
    *j = (struct job){.kind = BLOB, .number = expires_ms, .n = all, .cost = sizeof *j + all};
    uint8_t *at = j->bytes;
    for (size_t i = 0; i < n; i++) {
        at[0] = list[i].kind;
        memcpy(at + 1, list[i].hash32, 32);
        poa_put_le32(at + 33, (uint32_t)list[i].bytes.n);
        memcpy(at + BLOB_HEAD, list[i].bytes.p, list[i].bytes.n);
        at += BLOB_HEAD + list[i].bytes.n;
    }
    hand_over(io, j);
    return POA_OK;
}

int node_io_sync(struct node_io *io)
{
    struct waiter w = {.rc = POA_E_STORE};
    struct job *j = job_new(SYNC, poa_slice(NULL, 0));
    if (!j)
        return POA_E_NO_MEMORY;
    j->waiter = &w;
    sem_init(&w.done, 0, 0);
    hand_over(io, j);
    while (sem_wait(&w.done))
        ;
    sem_destroy(&w.done);
    return w.rc;
}

int node_io_expire(struct node_io *io, uint64_t now_ms)
{
    return hand_over_bytes(io, EXPIRE, now_ms, 0, poa_slice(NULL, 0));
}

void node_io_stats(struct node_io *io, struct node_io_stats *out)
{
    pthread_mutex_lock(&io->mutex);
    *out = io->stats;
    out->queued_bytes = io->bytes;
    pthread_mutex_unlock(&io->mutex);
}
