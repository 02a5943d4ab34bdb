/* What the core thread watches beside its steps: the clocks, whether the process stood still, and
 * whether strangers keep the node busy. */
#include <stdlib.h>

#include "node.h"

/* --- clocks -------------------------------------------------------------------------- */

/* By so much clocks may differ without a word: blocks are as old when they are final. */
static int64_t tolerated_ms(const struct poa_node *n)
{
    return 1000 + (int64_t)n->genesis.drift_ms;
}

void node_watch_block(struct poa_node *n, uint64_t now_us, uint64_t time_ms)
{
    if (!node_skew_saw(&n->skew, now_us, poa_clock_wall_ms(n->clock), time_ms))
        return;
    int64_t ms = n->skew.ms;
    pthread_mutex_lock(&n->status_mutex);
    bool current = n->behind.current;
    n->status.clock_ms = current ? ms : 0;
    pthread_mutex_unlock(&n->status_mutex);
    if (current && llabs(ms) > tolerated_ms(n))
        POA_LOG_LIMITED(600000, POA_LOG_WARN, NODE,
                        "clock: this machine's is %lld ms %s the time of the blocks: set it "
                        "(NTP); a witness whose clock is wrong makes the chain slow",
                        llabs(ms), ms > 0 ? "ahead of" : "behind");
}

/* A leader whose blocks we wait for, because its clock is ahead. */
static void look_at_leaders(struct poa_node *n, const struct poa_core_status *s)
{
    if (!s->ahead_ms || s->ahead_view == n->ahead_view)
        return;
    n->ahead_view = s->ahead_view;
    char hex[17];
    poa_hex(s->ahead_key, 8, hex);
    POA_LOG_LIMITED(600000, POA_LOG_WARN, NODE,
                    "clock: witness %s... proposed a block %llu ms ahead of this machine's clock, "
                    "more than the network's drift_ms: one of the two is wrong (NTP), and its "
                    "blocks wait or are skipped",
                    hex, (unsigned long long)s->ahead_ms);
}

/* Before anybody is called silent: was it this process that stood still? */
static void look_at_pause(struct poa_node *n, uint64_t now_us)
{
    if (!node_behind_paused(n->house_us, now_us))
        return;
    pthread_mutex_lock(&n->status_mutex);
    n->status.woke_us = now_us;
    pthread_mutex_unlock(&n->status_mutex);
    if (n->house_us) /* not the first round */
        POA_LOG_WARN(NODE,
                     "this process stood still for %llu s: stopped, its machine was moved, or "
                     "there is too little CPU",
                     (unsigned long long)((now_us - n->house_us) / 1000000));
}

void node_watch_round(struct poa_node *n, const struct poa_core_status *core, uint64_t now_us)
{
    look_at_pause(n, now_us);
    look_at_leaders(n, core);
    node_watch_floor(n, core, now_us);
}

/* --- what strangers pay ---------------------------------------------------------------- */

void node_watch_floor(struct poa_node *n, const struct poa_core_status *core, uint64_t now_us)
{
    if (!n->workers || !node_pace_due(&n->pace, now_us))
        return;
    struct poa_st_global all;
    poa_ledger_global(n->ledger, POA_STATE_BASE, &all);
    /* A member makes batches, a follower hands on. */
    struct node_pace_seen seen = {
        .lag_us = core->member >= 0 ? core->lag_us : node_forward_lag(n->forward, now_us),
        .admitted = node_workers_strangers(n->workers),
        .accepted = atomic_load_explicit(&n->strangers_accepted, memory_order_relaxed),
        .txs = all.txs};
    uint32_t floor = node_pace_floor(&n->pace, now_us, &seen);
    node_workers_floor(n->workers, floor);
    struct poa_genesis g;
    bool epoch = n->fee_epoch != core->epoch + 1;
    if (epoch)
        poa_ledger_params(n->ledger, POA_STATE_BASE, core->epoch, &g);
    n->fee_epoch = core->epoch + 1;
    pthread_mutex_lock(&n->status_mutex);
    n->fee_floor = floor;
    if (epoch) {
        n->fee_min = g.fee_min;
        n->fee_kib = g.fee_per_kib;
    }
    pthread_mutex_unlock(&n->status_mutex);
}
