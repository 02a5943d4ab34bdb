/* Start-up: the state of the last checkpoint, the blocks after it, then what
 * the write-ahead log remembers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "poa_node_parallel.h"
#include "poa_node_replay.h"
#include "poa_progress.h"

static void *core_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return calloc(1, bytes);
}

static void core_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void write_begin(void *ctx)
{
    pthread_rwlock_wrlock(&((struct poa_node *)ctx)->state_lock);
}

static void write_end(void *ctx)
{
    struct poa_node *n = ctx;
    __atomic_fetch_add(&n->state_version, 1, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&n->state_lock);
}

/* What a start that takes long says in the log. */
struct restoring {
    struct poa_node *node;
    struct poa_progress progress;
    uint64_t records;     /* of the write-ahead log, or entries of the state */
    uint64_t first, last; /* blocks to replay */
    uint64_t begun_us;
};

static void say_progress(struct restoring *r, const char *what, uint64_t done, uint64_t total)
{
    char text[POA_PROGRESS_TEXT_MAX];
    uint64_t now_us = poa_clock_monotonic_us(r->node->clock);
    if (!poa_progress_due(&r->progress, what, now_us, false))
        return;
    poa_progress_text(&r->progress, now_us, done, total, text);
    POA_LOG_INFO(NODE, "%s: %s", what, text);
}

static int stopped(struct poa_why *why, const char *what)
{
    return poa_because(why, POA_E_CLOSED, "stopped while %s", what);
}

static int put_state(void *ctx, const uint8_t key[32], struct poa_slice value)
{
    struct restoring *r = ctx;
    struct poa_entry e = {.value = value};
    memcpy(e.key, key, 32);
    if (r->records++ % 4096 == 0) { /* the keys are hashes and come in order */
        say_progress(r, "loading the state", poa_be64(key) >> 32, (uint64_t)1 << 32);
        if (node_told_to_stop())
            return POA_E_CLOSED;
    }
    return poa_ledger_restore_put(r->node->ledger, &e);
}

int node_store_fault(struct poa_node *n, int rc, struct poa_why *why)
{
    struct poa_why inner = {""};
    poa_store_why(n->store, &inner);
    /* What to do about damage is said with every kind of it: POA_STORE_MEND. */
    return poa_because(
        why, rc, "%s: %s%s", n->config.data_dir, inner.text[0] ? inner.text : poa_error_text(rc),
        rc == POA_E_STORE_CORRUPT ? "" : "; restore the data directory from a backup or sync anew");
}

/* The workers once they run; threads for the occasion before, at a start. */
static void ledger_parallel(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    struct poa_node *node = ctx;
    if (node->workers)
        node_workers_parallel(node->workers, task, arg, n);
    else
        node_parallel(NULL, task, arg, n);
}

int node_restore_ledger(struct poa_node *n, struct poa_why *why)
{
    struct poa_ledger_config c = {.suite = &node_suite,
                                  .alloc = node_pages_alloc(&n->ledger_pages),
                                  .genesis = poa_slice(n->genesis_bytes, n->genesis_n),
                                  .write_begin = write_begin,
                                  .write_end = write_end,
                                  .write_ctx = n,
                                  .parallel = ledger_parallel,
                                  .parallel_ctx = n,
                                  .tx_check = node_memo_tx_check};
    poa_random(&c.salt, sizeof c.salt);
    int rc = poa_ledger_new(&c, &n->ledger);
    if (rc)
        return poa_because(why, rc, "%s: %s", n->config.genesis, poa_error_text(rc));
    struct poa_stored_checkpoint at;
    struct restoring r = {.node = n};
    rc = poa_store_get_checkpoint(n->store, &at);
    if (rc == POA_E_NOT_FOUND)
        return POA_OK;
    if (!rc)
        rc = poa_ledger_restore_begin(n->ledger);
    if (!rc)
        rc = poa_store_each_state(n->store, put_state, &r);
    if (!rc)
        rc = poa_ledger_restore_end(n->ledger, at.root);
    if (rc)
        return rc == POA_E_CLOSED ? stopped(why, "loading the state")
                                  : node_store_fault(n, rc, why);
    struct poa_st_global g;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    n->saved.height = at.height;
    n->saved.txs = g.txs;
    return POA_OK;
}

/* The database says by itself of which chain it is, to those who check, export
 * or restore it. */
static int keep_genesis(struct poa_node *n, struct poa_why *why)
{
    struct poa_store_value v;
    struct poa_store_batch *b = NULL;
    int rc = poa_store_get_meta(n->store, POA_META_GENESIS, &v);
    poa_store_value_free(&v);
    if (rc != POA_E_NOT_FOUND)
        return rc ? node_store_fault(n, rc, why) : POA_OK;
    rc = poa_store_batch_new(n->store, &b);
    if (!rc) {
        poa_store_put_meta(b, POA_META_GENESIS, poa_slice(n->genesis_bytes, n->genesis_n));
        rc = poa_store_write(b, true);
    }
    poa_store_batch_free(b);
    return rc ? node_store_fault(n, rc, why) : POA_OK;
}

/* --- replay ------------------------------------------------------------------------------ */

static int replay_step(void *ctx, const struct poa_event *e)
{
    struct restoring *r = ctx;
    struct poa_node *n = r->node;
    int rc = node_step(n, e);
    uint64_t at = n->status.core.height, now_us = poa_clock_monotonic_us(n->clock);
    uint64_t done = at > r->first ? at - r->first : 0, took_us = now_us - r->begun_us;
    say_progress(r, "replaying", done, r->last - r->first);
    if (done && at < r->last && took_us > 1000000) {
        const struct node_behind_pace pace = {done, took_us};
        pthread_mutex_lock(&n->status_mutex);
        n->sync_left_s = node_behind_left_s(pace, pace, r->last - at);
        pthread_mutex_unlock(&n->status_mutex);
    }
    /* Who is killed in it goes on from here. */
    const struct node_saving now = {.each_us = UINT64_MAX,
                                    .each_blocks = UINT64_MAX,
                                    .now_us = now_us,
                                    .height = at,
                                    .far = true};
    if (node_saving_due(&now, &n->saved))
        node_checkpoint(n);
    if (n->halted)
        return POA_E_STORE_CORRUPT;
    return node_told_to_stop() ? POA_E_CLOSED : rc;
}

static void replay_opened(void *ctx, struct node_bundle *b)
{
    b->node = ((struct restoring *)ctx)->node;
    node_claims_bundle(b);
}

static int replay(struct poa_node *n, struct poa_why *why)
{
    uint64_t first = 0, last = 0, height = n->saved.height;
    int rc = poa_store_heights(n->store, &first, &last);
    if (rc)
        return node_store_fault(n, rc, why);
    if (last > height)
        POA_LOG_INFO(NODE, "replaying blocks %llu to %llu", (unsigned long long)height + 1,
                     (unsigned long long)last);
    uint64_t before = poa_clock_monotonic_us(n->clock);
    struct restoring r = {.node = n, .first = height, .last = last, .begun_us = before};
    n->replaying = true;
    n->replay_stored = last;
    n->saved.at_us = before;
    pthread_mutex_lock(&n->status_mutex);
    n->status.stored = last > height ? last : height;
    n->sync_target = last > height ? last : 0;
    pthread_mutex_unlock(&n->status_mutex);
    struct node_replay_config c = {.store = n->store,
                                   .workers = n->workers,
                                   .ctx = &r,
                                   .step = replay_step,
                                   .opened = replay_opened};
    /* Blocks at the end whose certificate was not written come back from peers. */
    rc = node_replay(&c, &height, last);
    n->replaying = false;
    pthread_mutex_lock(&n->status_mutex);
    n->sync_target = n->sync_left_s = 0;
    n->status.stored = height;
    pthread_mutex_unlock(&n->status_mutex);
    if (!n->halted && (!rc || rc == POA_E_CLOSED))
        node_checkpoint_work(n); /* not again from where it began */
    if (n->halted)
        return poa_because(why, rc ? rc : POA_E_STORE_CORRUPT, "replaying after height %llu: %s",
                           (unsigned long long)height, n->halt_why.text);
    if (rc == POA_E_CLOSED)
        return stopped(why, "replaying");
    if (rc)
        return node_store_fault(n, rc, why);
    if (last > n->saved.height)
        POA_LOG_INFO(NODE, "replayed to height %llu in %llu ms", (unsigned long long)height,
                     (unsigned long long)(poa_clock_monotonic_us(n->clock) - before) / 1000);
    return POA_OK;
}

static int restore_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    struct restoring *r = ctx;
    struct poa_event e = {.kind = POA_EVENT_RESTORE,
                          .type = type,
                          .seq = seq,
                          .bytes = bytes,
                          .peer = POA_PEER_OTHER};
    r->records++;
    int rc = node_step(r->node, &e);
    /* A record that the core has no use for any more is no damage. */
    if (rc && poa_error_class(rc) == POA_CLASS_CORRUPT)
        return rc;
    if (rc)
        POA_LOG_DEBUG(NODE, "write-ahead record %llu of type %u: %s", (unsigned long long)seq, type,
                      poa_error_text(rc));
    return POA_OK;
}

int node_restore_core(struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *k = &n->config;
    struct poa_core_config c = {.suite = &node_suite,
                                .alloc = {.alloc = core_alloc, .free = core_free},
                                .ledger = n->ledger,
                                .seed32 = n->seed,
                                .key32 = n->key,
                                .mark_blocks = k->snapshot_blocks,
                                .limits = {.pending_batches = k->batches,
                                           .pending_batch_bytes = (size_t)k->batches_kib * 1024,
                                           .pending_mining = k->mining,
                                           .mempool = {.txs = k->pool_txs,
                                                       .per_account = k->pool_per_account,
                                                       .bytes = (size_t)k->pool_kib * 1024},
                                           .batch_flush_bytes = (size_t)k->batch_flush_kib * 1024,
                                           .batch_flush_us = k->batch_flush_us}};
    struct poa_store_value tip = {.own = NULL};
    struct poa_stored_block blk;
    int rc = node_memory_check(n, &c.amnesia, why);
    if (!rc)
        rc = keep_genesis(n, why);
    if (rc)
        return rc;
    if (n->saved.height) {
        rc = poa_store_get_block(n->store, n->saved.height, &tip, &blk);
        if (rc)
            return node_store_fault(n, rc, why);
        c.tip_header = blk.header;
        c.tip_cert = blk.cert;
    }
    pthread_mutex_lock(&n->status_mutex); /* the mesh answers already */
    n->status.stored = n->saved.height;
    pthread_mutex_unlock(&n->status_mutex);
    rc = poa_core_new(&c, node_now(n), &n->core);
    poa_store_value_free(&tip);
    if (rc)
        return poa_because(why, rc, "cannot set up the core: %s", poa_error_text(rc));
    node_map(n);
    node_publish(n);
    return POA_OK;
}

int node_restore_blocks(struct poa_node *n, struct poa_why *why)
{
    int rc = replay(n, why);
    if (rc)
        return rc;
    struct restoring r = {.node = n};
    rc = poa_store_each_record(n->store, restore_record, &r);
    if (rc)
        return node_store_fault(n, rc, why);
    struct poa_event e = {.kind = POA_EVENT_RESTORED};
    (void)node_step(n, &e);
    if (n->halted)
        return poa_because(why, POA_E_INVALID, "%s", n->halt_why.text);
    node_publish(n);
    POA_LOG_INFO(NODE, "height %llu, epoch %u, %llu write-ahead records",
                 (unsigned long long)n->status.core.height, n->status.core.epoch,
                 (unsigned long long)r.records);
    return POA_OK;
}
