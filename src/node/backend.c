/* What the RPC asks of the node. Runs on the RPC thread: reads published
 * status, the base of the state, and the store. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "poa_version.h"

/* After the node took a block for final, its bytes are there within this. */
#define STORE_WAIT_MS 2000
/* A faucet payment that was lost on the way must not block the next ones. */
#define FAUCET_FORGET_US 10000000u

static void do_status(void *ctx, struct poa_rpc_status *out)
{
    struct poa_node *n = ctx;
    struct node_status s;
    node_status_get(n, &s);
    memset(out, 0, sizeof *out);
    out->version = POA_VERSION;
    out->ledger = n->config.ledger;
    out->trusted = n->config.trusted;
    memcpy(out->key, n->key, 32);
    out->core = s.core;
    out->global = s.global;
    out->slot = poa_slot_of(&n->genesis, poa_clock_wall_ms(n->clock));
    out->uptime_ms = (poa_clock_monotonic_us(n->clock) - n->started_us) / 1000;
    out->first_block_ms = s.first_block_ms;
    pthread_mutex_lock(&n->peers_mutex);
    snprintf(out->name, sizeof out->name, "%s", n->name);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        out->peers += n->peer[i].known && n->peer[i].up;
    pthread_mutex_unlock(&n->peers_mutex);
    if (n->gateway) {
        struct poa_gateway_stats g;
        poa_gateway_stats(n->gateway, &g);
        out->devices = (uint32_t)g.devices;
        out->packs = g.packs;
    }
    pthread_mutex_lock(&n->status_mutex);
    out->txs_accepted = n->txs_accepted;
    out->txs_rejected = n->txs_rejected;
    out->fee_floor_percent = n->fee_floor * 100 / NODE_PACE_LEAST;
    out->sync_target = n->sync_target;
    out->sync_left_s = n->sync_left_s;
    pthread_mutex_unlock(&n->status_mutex);
    out->faucet = n->faucet;
    out->woke = node_woke(n, poa_clock_monotonic_us(n->clock));
    out->ready = node_current(n, out->why, sizeof out->why);
}

static uint64_t do_version(void *ctx)
{
    return __atomic_load_n(&((struct poa_node *)ctx)->state_version, __ATOMIC_ACQUIRE);
}

static int do_read(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                   struct poa_writer *out)
{
    struct poa_node *n = ctx;
    struct poa_slice value;
    pthread_rwlock_rdlock(&n->state_lock);
    int rc = poa_ledger_get(n->ledger, POA_STATE_BASE, table, key, key_n, &value);
    if (!rc)
        poa_write(out, value.p, value.n);
    pthread_rwlock_unlock(&n->state_lock);
    return rc ? rc : out->overflow ? POA_E_BUFFER : POA_OK;
}

/* --- blocks -------------------------------------------------------------------------- */

struct held_block {
    struct poa_store_value value;
    struct poa_tx_result *tx;
};

/* The transactions that BLK lists, in order; VISIT stops the walk with an error. */
static int each_tx(struct poa_node *n, const struct poa_stored_block *blk,
                   int (*visit)(void *ctx, struct poa_slice raw), void *ctx)
{
    struct poa_list_iter it = poa_list_begin(&blk->batches);
    struct poa_stored_locator at;
    int rc = POA_OK;
    while (!rc && poa_stored_locator_next(&it, &at)) {
        struct poa_store_value v;
        struct poa_batch batch;
        struct poa_raw_tx tx;
        rc = poa_store_get_batch_at(n->store, at.number, &v);
        if (!rc)
            rc = poa_batch_decode(v.bytes, &batch);
        if (!rc) {
            struct poa_list_iter txs = poa_list_begin(&batch.txs);
            while (!rc && poa_raw_tx_next(&txs, &tx))
                rc = visit(ctx, tx.tx);
        }
        poa_store_value_free(&v);
    }
    return rc;
}

struct ids {
    struct poa_node *node;
    struct poa_tx_result *tx;
    uint32_t n, max;
};

static int add_id(void *ctx, struct poa_slice raw)
{
    struct ids *ids = ctx;
    struct poa_tx_view view;
    if (ids->n == ids->max)
        return POA_E_STORE_CORRUPT;
    int rc = poa_tx_parse(ids->node->chain, raw, &view);
    if (!rc)
        memcpy(ids->tx[ids->n++].id, view.id, 32);
    return rc;
}

static int read_results(struct poa_node *n, uint64_t height, const struct poa_stored_block *blk,
                        struct poa_rpc_block *out)
{
    struct poa_store_value v;
    struct poa_stored_receipts r;
    int rc = poa_store_get_receipts(n->store, height, &v, &r);
    if (rc)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc;
    struct ids ids = {.node = n, .max = r.txs, .tx = calloc(r.txs + 1u, sizeof *ids.tx)};
    rc = ids.tx ? each_tx(n, blk, add_id, &ids) : POA_E_NO_MEMORY;
    struct poa_list_iter it = poa_list_begin(&r.failed);
    struct poa_stored_failure f;
    while (!rc && poa_stored_failure_next(&it, &f))
        if (f.index < ids.n)
            ids.tx[f.index].code = -(int)f.code;
    poa_store_value_free(&v);
    out->tx = ids.tx;
    out->txs = ids.n;
    ((struct held_block *)out->hold)->tx = ids.tx;
    return rc;
}

static void do_block_free(void *ctx, struct poa_rpc_block *block)
{
    struct held_block *h = block->hold;
    (void)ctx;
    if (!h)
        return;
    poa_store_value_free(&h->value);
    free(h->tx);
    free(h);
    block->hold = NULL;
}

static int do_block(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out)
{
    struct poa_node *n = ctx;
    struct node_status s;
    struct poa_stored_block blk;
    memset(out, 0, sizeof *out);
    node_status_get(n, &s);
    if (hash32 && memcmp(hash32, s.core.hash, 32) == 0)
        height = s.core.height;
    else if (hash32 && poa_store_find_block(n->store, hash32, &height))
        return POA_E_NOT_FOUND;
    if (height > s.core.height)
        return POA_E_NOT_FOUND;
    /* Executed, and on its way to the disk: while a node catches up that can take longer. */
    if (height > s.stored && !node_wait_stored(n, height, STORE_WAIT_MS))
        return POA_E_AGAIN;
    struct held_block *h = calloc(1, sizeof *h);
    if (!h)
        return POA_E_NO_MEMORY;
    out->hold = h;
    int rc = poa_store_get_block(n->store, height, &h->value, &blk);
    if (!rc) {
        memcpy(out->hash, blk.hash, 32);
        out->header = blk.header;
        out->body = blk.body;
        out->cert = blk.cert;
        rc = read_results(n, height, &blk, out);
    }
    if (rc)
        do_block_free(n, out);
    return rc;
}

static uint64_t do_first(void *ctx)
{
    uint64_t first = 0, last = 0;
    return poa_store_heights(((struct poa_node *)ctx)->store, &first, &last) ? 0 : first;
}

static int do_block_txs(void *ctx, uint64_t height, int (*visit)(void *v, struct poa_slice raw),
                        void *v)
{
    struct poa_node *n = ctx;
    struct poa_store_value value;
    struct poa_stored_block blk;
    int rc = poa_store_get_block(n->store, height, &value, &blk);
    if (rc)
        return rc;
    rc = each_tx(n, &blk, visit, v);
    poa_store_value_free(&value);
    return rc;
}

static int do_run(void *ctx, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last)
{
    struct poa_node *node = ctx;
    struct node_status s;
    node_status_get(node, &s);
    if (after >= s.core.height)
        return POA_E_NOT_FOUND;
    (void)node_wait_stored(node, after + 1, STORE_WAIT_MS);
    return node_run_read(node->store, after, bytes, n, last);
}

static int do_hand_over(void *ctx, uint32_t epoch, uint8_t **bytes, size_t *n, uint64_t *last)
{
    struct poa_node *node = ctx;
    return node_hand_over_read(node->store, epoch, bytes, n, last);
}

/* --- transactions -------------------------------------------------------------------------- */

struct nth {
    uint32_t left;
    uint8_t *raw;
    size_t n;
};

static int take_nth(void *ctx, struct poa_slice raw)
{
    struct nth *w = ctx;
    if (w->left--)
        return POA_OK;
    w->raw = malloc(raw.n + 1);
    if (w->raw)
        memcpy(w->raw, raw.p, raw.n);
    w->n = raw.n;
    return POA_E_EXISTS; /* found: ends the walk */
}

/* Whoever has read an account here has seen the blocks up to this one. */
static uint64_t base_height(struct poa_node *n)
{
    struct poa_st_global g;
    pthread_rwlock_rdlock(&n->state_lock);
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    pthread_rwlock_unlock(&n->state_lock);
    return g.height;
}

static int do_tx(void *ctx, const uint8_t id32[32], struct poa_rpc_tx *out)
{
    struct poa_node *n = ctx;
    memset(out, 0, sizeof *out);
    int rc = poa_store_find_tx(n->store, id32, &out->height, &out->index);
    if (rc == POA_E_NOT_FOUND) {
        int gone = node_tracker_get(n->tracker, id32);
        if (gone == POA_OK) {
            out->state = POA_RPC_TX_PENDING;
            return POA_OK;
        }
        /* It may have become final just now, or all the same: who sees that its nonce is
         * used and does not find it in a block pays again. */
        bool all = node_wait_stored(n, base_height(n), STORE_WAIT_MS);
        rc = poa_store_find_tx(n->store, id32, &out->height, &out->index);
        if (rc == POA_E_NOT_FOUND && !all) {
            out->state = POA_RPC_TX_PENDING;
            return POA_OK;
        }
        if (rc == POA_E_NOT_FOUND && gone != POA_E_NOT_FOUND) {
            out->state = POA_RPC_TX_DROPPED;
            out->code = gone;
            return POA_OK;
        }
        if (rc == POA_E_NOT_FOUND && !n->config.tx_index)
            rc = POA_E_UNSUPPORTED; /* a block may have it: who pays again must not guess */
    }
    if (rc)
        return rc;
    out->state = POA_RPC_TX_FINAL;
    struct poa_store_value v;
    struct poa_stored_receipts r;
    rc = poa_store_get_receipts(n->store, out->height, &v, &r);
    if (!rc)
        out->code = -(int)poa_store_receipt_code(&r, out->index);
    poa_store_value_free(&v);
    struct poa_stored_block blk;
    struct nth w = {.left = out->index};
    if (!rc)
        rc = poa_store_get_block(n->store, out->height, &v, &blk);
    if (!rc) {
        rc = each_tx(n, &blk, take_nth, &w);
        poa_store_value_free(&v);
    }
    if (rc == POA_E_EXISTS)
        rc = POA_OK;
    out->raw = poa_slice(w.raw, w.raw ? w.n : 0);
    out->hold = w.raw;
    return rc;
}

static void do_tx_free(void *ctx, struct poa_rpc_tx *tx)
{
    (void)ctx;
    free(tx->hold);
    tx->hold = NULL;
}

static void submitted(struct node_submission *s)
{
    int code = s->check->code[0];
    poa_rpc_done(s->ctx, code, code ? NULL : s->check->view[0].id);
}

static void submit(struct poa_node *n, struct poa_slice raw, struct poa_rpc_call *call)
{
    uint8_t *bytes = NULL;
    bool starting = node_starting(n);
    struct node_submission *s = starting ? NULL : node_submission_new(n, 1, raw.n, &bytes);
    if (!s) {
        poa_rpc_done(call, starting ? POA_E_AGAIN : POA_E_NO_MEMORY, NULL);
        return;
    }
    memcpy(bytes, raw.p, raw.n);
    s->check->raw[0] = poa_slice(bytes, raw.n);
    s->local = true;
    uint8_t who[32] = {0};
    poa_put_le64(who, poa_rpc_who(call));
    s->check->submitter = node_submitter(NODE_HERE, who);
    s->accepted_us = poa_clock_monotonic_us(n->clock);
    s->done = submitted;
    s->ctx = call;
    node_submit(s);
}

static void do_submit(void *ctx, struct poa_slice raw, struct poa_rpc_call *call)
{
    submit(ctx, raw, call);
}

/* --- faucet ----------------------------------------------------------------------------------- */

static uint64_t faucet_fee(struct poa_node *n, size_t size_bytes)
{
    struct poa_genesis now;
    pthread_rwlock_rdlock(&n->state_lock);
    poa_ledger_params(n->ledger, POA_STATE_BASE, poa_ledger_next_epoch(n->ledger, POA_STATE_BASE),
                      &now);
    pthread_rwlock_unlock(&n->state_lock);
    return poa_fee_min(&now, size_bytes);
}

static uint64_t faucet_nonce(struct poa_node *n)
{
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    struct poa_st_account account = {.nonce = 0};
    pthread_rwlock_rdlock(&n->state_lock);
    int rc = poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_ACCOUNT, n->faucet_address, 32,
                             &account);
    pthread_rwlock_unlock(&n->state_lock);
    if (rc || account.nonce > n->faucet_next || now_us - n->faucet_us > FAUCET_FORGET_US)
        n->faucet_next = account.nonce;
    n->faucet_us = now_us;
    return n->faucet_next;
}

/* One request must not empty it. */
#define FAUCET_TIMES 10

static uint64_t faucet_max(const struct poa_node *n)
{
    return (uint64_t)n->config.faucet_amount * FAUCET_TIMES;
}

static void do_faucet(void *ctx, const uint8_t address32[32], uint64_t amount,
                      struct poa_rpc_call *call)
{
    struct poa_node *n = ctx;
    if (!n->faucet) {
        poa_rpc_done(call, POA_E_UNSUPPORTED, NULL);
        return;
    }
    struct poa_op_transfer t = {.amount = amount ? amount : n->config.faucet_amount};
    uint8_t body[512], ops[600], raw[2048], id[32];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    memcpy(t.to, address32, 32);
    int rc = poa_op_transfer_encode(&w, &t);
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    struct poa_writer list = poa_writer_over(ops, sizeof ops);
    if (!rc)
        rc = poa_op_encode(&list, &op);
    struct poa_list all = {.bytes = poa_written(&list), .count = 1};
    struct poa_writer out = poa_writer_over(raw, sizeof raw);
    uint64_t nonce = faucet_nonce(n);
    if (!rc)
        rc = poa_tx_sign(n->chain, (uint8_t)n->faucet_type, n->faucet_secret, nonce,
                         faucet_fee(n, sizeof raw), 0, &all, &out, id);
    if (rc) {
        poa_rpc_done(call, rc, NULL);
        return;
    }
    n->faucet_next = nonce + 1;
    submit(n, poa_written(&out), call);
}

/* --- the rest ------------------------------------------------------------------------------------
 */

static void do_latency(void *ctx, struct poa_histogram *out)
{
    node_tracker_latency(((struct poa_node *)ctx)->tracker, out);
}

static void peer_of(struct poa_node *n, const struct poa_p2p_contact *c, struct poa_rpc_peer *o)
{
    static const char *const roles[] = {
        [POA_P2P_LISTED] = "peer", [POA_P2P_UNLISTED] = "stranger", [POA_P2P_ADDRESS] = "address"};
    static const char *const directions[] = {"none", "out", "in", "both"};
    struct node_peer p = {.known = false};
    o->member = -1;
    if (c->kind == POA_P2P_LISTED) {
        pthread_mutex_lock(&n->peers_mutex);
        p = n->peer[c->index];
        o->member = n->peer_member[c->index];
        pthread_mutex_unlock(&n->peers_mutex);
    }
    memcpy(o->key, c->key, 32);
    snprintf(o->name, sizeof o->name, "%s", p.name);
    snprintf(o->address, sizeof o->address, "%.127s", c->address);
    o->role = p.witness ? "witness" : roles[c->kind];
    o->has_key = c->kind != POA_P2P_ADDRESS;
    o->outbound = c->outbound;
    o->connected = c->outbound || c->inbound;
    o->direction = directions[(c->outbound ? 1 : 0) + (c->inbound ? 2 : 0)];
    o->height = p.height;
    o->sent_bytes = c->bytes_out;
    o->received_bytes = c->bytes_in;
    o->queued_bytes = c->queued_bytes;
    o->rtt_us = c->rtt_us;
    o->connected_ms = o->connected ? c->connected_ms : POA_NEVER;
    o->heard_ms = c->heard_ms;
    o->trouble = c->trouble;
    o->score = c->score;
    o->banned = c->banned;
    o->ban_ms = c->ban_ms;
    o->bans = c->bans;
    o->reason = c->reason;
}

static size_t do_peers(void *ctx, struct poa_rpc_peer *out, size_t max)
{
    struct poa_node *n = ctx;
    struct poa_p2p_contact *c = calloc(max, sizeof *c);
    size_t count = c ? poa_p2p_contacts(n->p2p, c, max) : 0;
    memset(out, 0, max * sizeof *out);
    for (size_t i = 0; i < count; i++)
        peer_of(n, &c[i], &out[i]);
    free(c);
    return count;
}

static int do_audit(void *ctx, bool *conserved, uint64_t *height)
{
    struct poa_node *n = ctx;
    struct poa_st_global g;
    pthread_rwlock_rdlock(&n->state_lock);
    int rc = poa_ledger_audit(n->ledger, conserved);
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    pthread_rwlock_unlock(&n->state_lock);
    *height = g.height;
    return rc;
}

/* NNG names its threads; their number depends on the cores and is not ours to set. */
static unsigned nng_threads(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    while (tasks && (entry = readdir(tasks))) {
        char path[64], name[8] = "";
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", entry->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(name, sizeof name, f))
            count += strncmp(name, "nng:", 4) == 0;
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return count;
}

/* X(name, type, "help", expression) */
#define METRICS(X)                                                                                 \
    X("poa_core_steps_total", COUNTER, "steps of the core", s.steps)                               \
    X("poa_checkpoints_total", COUNTER, "states saved", s.checkpoints)                             \
    X("poa_stored_height", GAUGE, "height up to which blocks can be read", s.stored)               \
    X("poa_store_writes_total", COUNTER, "groups written", st.writes)                              \
    X("poa_store_synced_total", COUNTER, "groups made durable", st.synced)                         \
    X("poa_store_bytes_total", COUNTER, "bytes written to the log", st.bytes)                      \
    X("poa_store_disk_bytes", GAUGE, "size of the tables", st.disk_bytes)                          \
    X("poa_clock_ahead_seconds", GAUGE, "this machine's clock, of the time of the blocks",         \
      (double)s.clock_ms / 1e3)                                                                    \
    X("poa_io_rounds_total", COUNTER, "fsyncs of the I/O thread", io.rounds)                       \
    X("poa_io_fsync_seconds_total", COUNTER, "time in them", (double)io.fsync_us_sum / 1e6)        \
    X("poa_io_fsync_max_seconds", GAUGE, "the longest", (double)io.fsync_us_max / 1e6)             \
    X("poa_io_queued_bytes", GAUGE, "bytes that wait for the disk", io.queued_bytes)               \
    X("poa_signatures_verified_total", COUNTER, "signatures and proofs of the protocol, in all",   \
      memo.by_workers + memo.by_others)                                                            \
    X("poa_signatures_verified_by_workers_total", COUNTER, "those of them off the core thread",    \
      memo.by_workers)                                                                             \
    X("poa_signatures_remembered_total", COUNTER, "verified once, and asked for again",            \
      memo.remembered)                                                                             \
    X("poa_mesh_connections", GAUGE, "connections to us", p2p.pipes)                               \
    X("poa_mesh_strangers", GAUGE, "sessions of nodes that are not on the list", p2p.strangers)    \
    X("poa_mesh_frames_refused_total", COUNTER, "unknown session, replay, damage, rate",           \
      p2p.frames_refused)                                                                          \
    X("poa_mesh_pushes_refused_total", COUNTER, "pushes over the rate of their sender",            \
      p2p.pushes_refused)                                                                          \
    X("poa_mesh_handshakes_refused_total", COUNTER, "handshakes refused", p2p.handshakes_refused)  \
    X("poa_mesh_connections_closed_total", COUNTER, "connections closed by us: silent, garbage",   \
      p2p.pipes_closed)                                                                            \
    X("poa_mesh_bans_total", COUNTER, "nodes and addresses that were banned", p2p.bans)            \
    X("poa_mesh_requests_waiting", GAUGE, "requests of others that wait for an answer",            \
      p2p.waiting)                                                                                 \
    X("poa_mesh_nng_threads", GAUGE, "threads of NNG in this process", nng_threads())

static const char *const class_names[NODE_CLASSES] = {"own", "vote", "block", "bulk", "local"};

static void do_metrics(void *ctx, struct poa_rpc_metrics *m)
{
    struct poa_node *n = ctx;
    struct node_status s;
    struct poa_store_stats st;
    struct node_io_stats io;
    struct poa_p2p_totals p2p;
    node_status_get(n, &s);
    poa_store_stats(n->store, &st);
    node_io_stats(n->io, &io);
    poa_p2p_totals(n->p2p, &p2p);
    struct node_memo_stats memo;
    node_memo_stats(&memo);
#define METRIC_ROW(name, type, help, value)                                                        \
    poa_rpc_metric(m, name, POA_METRIC_##type, help, NULL, (double)(value));
    METRICS(METRIC_ROW)
#undef METRIC_ROW
    char label[64];
    for (int i = 0; i < NODE_CLASSES; i++) {
        snprintf(label, sizeof label, "class=\"%s\"", class_names[i]);
        poa_rpc_metric(m, "poa_queue_events", POA_METRIC_GAUGE, "events that wait for the core",
                       label, (double)node_queue_depth(&n->queue, (enum node_class)i));
    }
    for (int i = 0; i < NODE_CLASSES; i++) {
        snprintf(label, sizeof label, "class=\"%s\"", class_names[i]);
        poa_rpc_metric(m, "poa_queue_refused_total", POA_METRIC_COUNTER,
                       "events refused because too many waited", label,
                       (double)node_queue_refused(&n->queue, (enum node_class)i));
    }
    for (int i = 0; i < POA_P2P_PRIORITIES; i++) {
        snprintf(label, sizeof label, "priority=\"%d\"", i);
        poa_rpc_metric(m, "poa_mesh_queued_bytes", POA_METRIC_GAUGE, "pushes that wait for peers",
                       label, (double)p2p.queued_bytes[i]);
    }
    for (int i = 0; i < POA_P2P_PRIORITIES; i++) {
        snprintf(label, sizeof label, "priority=\"%d\"", i);
        poa_rpc_metric(m, "poa_mesh_dropped_total", POA_METRIC_COUNTER,
                       "pushes that were dropped: too slow a peer, stale, or lost", label,
                       (double)p2p.dropped[i]);
    }
    if (n->gateway) {
        struct poa_gateway_stats g;
        poa_gateway_stats(n->gateway, &g);
#define METRIC_KIND_gauge     POA_METRIC_GAUGE
#define METRIC_KIND_counter   POA_METRIC_COUNTER
#define METRIC_SUFFIX_gauge   ""
#define METRIC_SUFFIX_counter "_total"
#define GATEWAY_ROW(name, kind, help)                                                              \
    poa_rpc_metric(m, "poa_gateway_" #name METRIC_SUFFIX_##kind, METRIC_KIND_##kind, help, NULL,   \
                   (double)g.name);
        POA_GATEWAY_STATS(GATEWAY_ROW)
#undef GATEWAY_ROW
        poa_rpc_metric(m, "poa_gateway_pack_store_bytes", POA_METRIC_GAUGE,
                       "packs, receipts and lists that are kept", NULL,
                       (double)poa_store_blob_bytes(n->store));
        poa_rpc_metric(m, "poa_gateway_pack_store_limit_bytes", POA_METRIC_GAUGE,
                       "what they may take (pack_store_kib); 0: any", NULL,
                       (double)n->config.pack_store_kib * 1024);
    }
}

void node_rpc_backend(struct poa_node *n, struct poa_rpc_backend *out)
{
    *out = (struct poa_rpc_backend){.ctx = n,
                                    .status = do_status,
                                    .version = do_version,
                                    .read = do_read,
                                    .block = do_block,
                                    .block_free = do_block_free,
                                    .first = do_first,
                                    .block_txs = do_block_txs,
                                    .run = do_run,
                                    .hand_over = do_hand_over,
                                    .tx = do_tx,
                                    .tx_free = do_tx_free,
                                    .submit = do_submit,
                                    .prove = node_rpc_prove,
                                    .faucet = do_faucet,
                                    .faucet_max = n->faucet ? faucet_max(n) : 0,
                                    .packs = node_rpc_packs,
                                    .presence = node_rpc_presence,
                                    .latency = do_latency,
                                    .peers = do_peers,
                                    .audit = do_audit,
                                    .metrics = do_metrics};
}
