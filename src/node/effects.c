/* The core thread: one event in, its effects out. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* Housekeeping: checkpoints by time, pruning. */
#define HOUSE_US 1000000u
/* Blocks between two deletions of old ones. */
#define PRUNE_EVERY 32u
/* Peers are asked for their height: each second while this node does not know
 * itself to be where they are. */
#define HEIGHTS_US 5000000u
/* Expired blobs go so many at a time (io.c), this often. */
#define EXPIRE_US 60000000u

static unsigned priority_of(uint16_t type)
{
    switch (type) {
#define PRIORITY_ROW(name, number, prio, record, text)                                             \
    case (number):                                                                                 \
        return (prio);
        POA_MESSAGES(PRIORITY_ROW)
#undef PRIORITY_ROW
    default:
        return POA_P2P_PRIORITIES - 1;
    }
}

/* --- sending --------------------------------------------------------------------- */

struct own_message {
    struct node_event event;
    uint16_t type;
    size_t n;
    uint8_t bytes[];
};

static void run_own(struct node_event *e, void *ctx)
{
    struct poa_node *n = ctx;
    struct own_message *m = (struct own_message *)e;
    struct poa_event event = {.kind = POA_EVENT_MESSAGE,
                              .peer = n->self >= 0 ? (uint16_t)n->self : POA_PEER_OTHER,
                              .type = m->type,
                              .bytes = poa_slice(m->bytes, m->n)};
    (void)node_step(n, &event);
    free(m);
}

static void drop_own(struct node_event *e)
{
    free(e);
}

void node_send(struct poa_node *n, const struct node_send *to, struct poa_slice bytes, bool now)
{
    int (*push)(struct poa_p2p * p, const uint8_t *set, unsigned priority, uint16_t type,
                struct poa_slice bytes) = now ? poa_p2p_broadcast : poa_p2p_queue;
    POA_LOG_TRACE(NODE, "out: type %u, %zu bytes%s", to->type, bytes.n, to->own ? ", own" : "");
    if (to->others && n->p2p) {
        int rc = push(n->p2p, to->set, priority_of(to->type), to->type, bytes);
        if (rc)
            POA_LOG_LIMITED(10000, POA_LOG_WARN, NODE, "message %u of %zu bytes is not sent: %s",
                            to->type, bytes.n, poa_error_text(rc));
    }
    if (!to->own)
        return;
    struct own_message *m = malloc(sizeof *m + bytes.n);
    if (!m) {
        node_halt(n, "out of memory");
        return;
    }
    m->event = (struct node_event){.run = run_own, .drop = drop_own, .bytes = bytes.n};
    m->type = to->type;
    m->n = bytes.n;
    memcpy(m->bytes, bytes.p, bytes.n);
    if (node_queue_post(&n->queue, NODE_CLASS_OWN, &m->event))
        free(m);
}

static void set_of(const struct poa_node *n, const uint8_t members[16], struct node_send *out)
{
    for (int i = 0; i < POA_COMMITTEE_MAX; i++) {
        if (!(members[i / 8] >> (i % 8) & 1))
            continue;
        if (i == n->self) {
            out->own = true;
        } else if (n->member_peer[i] >= 0) {
            unsigned at = (unsigned)n->member_peer[i];
            out->set[at / 8] = (uint8_t)(out->set[at / 8] | 1u << (at % 8));
            out->others = true;
        }
    }
}

static int do_send(struct poa_node *n, const struct poa_effect *f)
{
    struct node_send to = {.type = f->type, .lazy = f->lazy};
    set_of(n, f->to, &to);
    if (!to.own && !to.others)
        return POA_OK;
    if (f->wait)
        return node_io_send(n->io, &to, f->bytes);
    node_send(n, &to, f->bytes, !to.lazy);
    return POA_OK;
}

/* --- committing ------------------------------------------------------------------- */

static int do_commit(struct poa_node *n, const struct poa_commit *c)
{
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    int rc = POA_OK;
    /* Again when it is replayed: the crash may have come in between. */
    if (c->header->kind == POA_BLOCK_CLOSING)
        rc = node_hand_over_keep(n, c);
    if (rc || (n->replaying && c->header->height <= n->replay_stored))
        return rc;
    struct node_commit *k = node_commit_new(c);
    if (!k)
        return POA_E_NO_MEMORY;
    rc = node_io_commit(n->io, k);
    if (rc)
        return rc;
    node_tracker_final(n->tracker, c->tx, c->txs, now_us);
    node_forward_final(n->forward, c->tx, c->txs, now_us);
    node_watch_block(n, now_us, c->header->time_ms);
    node_edge_commit(n, c);
    pthread_mutex_lock(&n->status_mutex);
    n->status.commits++;
    if (n->status.first_block_ms == POA_NEVER) {
        n->status.first_block_ms = (now_us - n->started_us) / 1000;
        POA_LOG_INFO(NODE, "first block after %llu ms: height %llu",
                     (unsigned long long)n->status.first_block_ms,
                     (unsigned long long)c->header->height);
    }
    pthread_mutex_unlock(&n->status_mutex);
    if (poa_log_on(POA_LOG_DEBUG)) {
        char hash[17];
        poa_hex(c->hash, 8, hash);
        POA_LOG_DEBUG(NODE, "final: height %llu, epoch %u, view %llu, %u transactions, hash %s",
                      (unsigned long long)c->header->height, c->header->epoch,
                      (unsigned long long)c->header->view, c->txs, hash);
    }
    /* Blocks after the checkpoint are the log that the state is replayed from. */
    uint64_t keep = n->config.prune;
    if (keep && c->header->height % PRUNE_EVERY == 0 && c->header->height > keep) {
        uint64_t below = c->header->height - keep;
        rc = node_io_prune(n->io, below < n->saved.height ? below : n->saved.height);
    }
    /* Nothing was committed after it in this step (poa_core_config.mark_blocks). */
    if (!rc && node_snapshot_due(n, c->header->height))
        node_checkpoint(n);
    return rc;
}

/* --- checkpoints ---------------------------------------------------------------------- */

void node_checkpoint(struct poa_node *n)
{
    struct poa_st_global g;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    n->saved.at_us = poa_clock_monotonic_us(n->clock);
    if (g.height == n->saved.height)
        return;
    struct node_checkpoint c;
    int rc = node_checkpoint_new(n->ledger, &c);
    if (rc) {
        node_halt(n, "cannot save the state: %s", poa_error_text(rc));
        return;
    }
    n->saved.height = g.height;
    n->saved.txs = g.txs;
    rc = node_io_checkpoint(n->io, &c);
    if (rc) {
        node_halt(n, "cannot save the state: %s", poa_error_text(rc));
        return;
    }
    pthread_mutex_lock(&n->status_mutex);
    n->status.checkpoints++;
    pthread_mutex_unlock(&n->status_mutex);
    POA_LOG_DEBUG(NODE, "state of height %llu is being saved: %zu bytes changed",
                  (unsigned long long)g.height, c.n);
}

void node_checkpoint_work(struct poa_node *n)
{
    struct poa_st_global g;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    const struct node_saving s = {.height = g.height, .txs = g.txs};
    if (node_saving_worth(&s, &n->saved))
        node_checkpoint(n);
}

/* By time, by blocks, and when it caught up. */
static void checkpoint_due(struct poa_node *n, uint64_t now_us)
{
    struct poa_st_global g;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    struct node_saving s = {.each_us = n->config.checkpoint_s * UINT64_C(1000000),
                            .each_blocks = n->config.checkpoint_blocks,
                            .now_us = now_us,
                            .height = g.height,
                            .txs = g.txs};
    pthread_mutex_lock(&n->status_mutex);
    s.far = n->sync_target != 0;
    s.caught_up = n->caught_up;
    n->caught_up = false;
    pthread_mutex_unlock(&n->status_mutex);
    if (node_saving_due(&s, &n->saved))
        node_checkpoint(n);
}

/* --- effects ------------------------------------------------------------------------------ */

static int do_effect(struct poa_node *n, const struct poa_effect *f)
{
    switch (f->kind) {
    case POA_EFFECT_PERSIST:
        POA_LOG_TRACE(NODE, "persist: type %u, %zu bytes, number %llu", f->type, f->bytes.n,
                      (unsigned long long)f->seq);
        if (f->type == POA_WAL_BATCH)
            return node_io_batch(n->io, f->seq, f->bytes);
        return node_io_record(n->io, f->seq, f->type, f->bytes);
    case POA_EFFECT_SEND:
        return do_send(n, f);
    case POA_EFFECT_SUBMIT:
        node_forward_raw(n->forward, f->type, f->bytes);
        return POA_OK;
    case POA_EFFECT_COMMIT:
        return do_commit(n, f->commit);
    case POA_EFFECT_CHECK:
        if (f->type == POA_MSG_BATCH) {
            node_check_batch(n, f->bytes, f->trusted);
        } else {
            struct node_submission *s = NULL;
            if (!node_submission_from(n, f->bytes, &s)) {
                uint8_t member[32] = {(uint8_t)f->peer, (uint8_t)(f->peer >> 8), 1};
                s->peer = f->peer;
                s->check->submitter = node_submitter(NODE_LISTED, member);
                node_submit(s);
            }
        }
        return POA_OK;
    case POA_EFFECT_RELEASE:
        node_release(n, f->token);
        return POA_OK;
    case POA_EFFECT_FORGET:
        return node_io_forget(n->io, f->seq);
    case POA_EFFECT_BEHIND:
        if (n->follow)
            node_follow_behind(n->follow, f->height);
        return POA_OK;
    case POA_EFFECT_CONFLICT:
        POA_LOG_LIMITED(1000, POA_LOG_WARN, NODE,
                        "evidence: a member signed two conflicting messages (%zu bytes)",
                        f->bytes.n);
        return POA_OK;
    case POA_EFFECT_GONE:
        node_tracker_gone(n->tracker, f->gone, f->gone_n);
        return POA_OK;
    case POA_EFFECT_HALT:
        node_halt(n, "%s (%s)", f->text ? f->text : "the core stopped", poa_error_name(f->code));
        return POA_OK;
    }
    return POA_E_INVALID;
}

/* What waits for no record is sent while the disk works; and only after that goes what it may
 * borrow. */
static bool is_later(const struct poa_effect *f)
{
    return (f->kind == POA_EFFECT_SEND && !f->wait) || f->kind == POA_EFFECT_RELEASE;
}

int node_step(struct poa_node *n, const struct poa_event *event)
{
    struct poa_effects effects = {.n = 0};
    int rc = poa_core_reserve(n->core);
    if (rc) {
        node_halt(n, "cannot reserve memory for the next step: %s", poa_error_text(rc));
        return rc;
    }
    int fate = poa_core_step(n->core, event, node_now(n), &effects);
    n->steps++;
    if (!effects.n)
        return fate;
    node_map(n);
    node_io_cork(n->io);
    for (size_t i = 0; i < effects.n && !rc; i++)
        if (!is_later(&effects.effect[i]))
            rc = do_effect(n, &effects.effect[i]);
    node_io_uncork(n->io);
    for (size_t i = 0; i < effects.n && !rc; i++)
        if (is_later(&effects.effect[i]))
            rc = do_effect(n, &effects.effect[i]);
    if (rc)
        node_halt(n, "cannot carry out what the core decided: %s", poa_error_text(rc));
    node_publish(n);
    return fate;
}

void node_publish(struct poa_node *n)
{
    struct poa_core_status core;
    poa_core_status(n->core, &core);
    struct poa_st_global g;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    node_watch_floor(n, &core, now_us);
    pthread_mutex_lock(&n->status_mutex);
    n->status.core = core;
    n->status.at_us = now_us;
    n->status.steps = n->steps;
    n->status.global = g;
    pthread_mutex_unlock(&n->status_mutex);
    node_roster_view(n, &core);
}

/* --- the thread ---------------------------------------------------------------------------------
 */

static void house(struct poa_node *n, uint64_t now_us)
{
    struct poa_core_status s;
    poa_core_status(n->core, &s);
    node_watch_round(n, &s, now_us);
    n->house_us = now_us + HOUSE_US;
    checkpoint_due(n, now_us);
    if (now_us >= n->expire_us) {
        n->expire_us = now_us + EXPIRE_US;
        if (node_io_expire(n->io, poa_clock_wall_ms(n->clock)))
            node_halt(n, "out of memory");
    }
    if (n->amnesia && !s.abstaining)
        node_memory_regained(n);
    node_recover(n);
    node_stall_tell(n, &s, now_us);
    node_again_tick(n->again, now_us);
    if (now_us >= n->heights_us) {
        pthread_mutex_lock(&n->status_mutex);
        n->heights_us = now_us + (n->behind.current ? HEIGHTS_US : HOUSE_US);
        pthread_mutex_unlock(&n->status_mutex);
        node_ask_heights(n);
    }
}

void *node_core_thread(void *arg)
{
    struct poa_node *n = arg;
    for (;;) {
        uint64_t deadline = poa_core_deadline_us(n->core);
        struct node_wakeup w;
        node_queue_wait(&n->queue, deadline < n->house_us ? deadline : n->house_us, &w);
        if (w.stop)
            break;
        if (w.has_persisted) {
            struct poa_event e = {.kind = POA_EVENT_PERSISTED, .seq = w.persisted};
            POA_LOG_TRACE(NODE, "durable: number %llu", (unsigned long long)w.persisted);
            (void)node_step(n, &e);
        }
        if (w.event)
            w.event->run(w.event, n);
        uint64_t now_us = poa_clock_monotonic_us(n->clock);
        if (poa_core_deadline_us(n->core) <= now_us) {
            struct poa_event e = {.kind = POA_EVENT_TICK};
            (void)node_step(n, &e);
            node_claims_beacon(n);
        }
        if (now_us >= n->house_us)
            house(n, now_us);
    }
    /* A short tail is replayed faster than it is worth another state whose
     * certificate is not there yet: snapshots are made of certified ones. */
    node_checkpoint_work(n);
    return NULL;
}
