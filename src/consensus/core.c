/* Construction, the step, effects, status. */
#include "core.h"

const uint8_t core_zero32[32] = {0};

/* --- effects ------------------------------------------------------------------- */

/* RESERVED effects always fit: their number in a step is bounded by design.
 * Sends may be refused, which the network could have done as well. */
struct poa_effect *core_effect_add(struct poa_core *c, enum poa_effect_kind kind, bool reserved)
{
    if (!reserved && c->sends >= EFFECTS_SEND)
        return NULL;
    if (!reserved)
        c->sends++;
    POA_ASSERT(c->effects < c->effects_cap);
    struct poa_effect *e = &c->effect[c->effects++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

static uint8_t *out_reserved(struct poa_core *c, size_t n)
{
    POA_ASSERT(n <= OUT_BYTES - c->out_n);
    uint8_t *p = c->out + c->out_n;
    c->out_n += (n + 15) & ~(size_t)15;
    return p;
}

uint8_t *core_out_take(struct poa_core *c, size_t n)
{
    return n <= OUT_BYTES - OUT_RESERVED && c->out_n <= OUT_BYTES - OUT_RESERVED - n
               ? out_reserved(c, n)
               : NULL;
}

struct poa_slice core_encode(struct poa_core *c, const struct poa_record *rec, const void *r)
{
    size_t room = c->out_n < OUT_BYTES - OUT_RESERVED ? OUT_BYTES - OUT_RESERVED - c->out_n : 0;
    struct poa_writer w = poa_writer_over(c->out + c->out_n, room);
    if (poa_record_encode(rec, &w, r))
        return poa_slice(NULL, 0);
    c->out_n += (w.n + 15) & ~(size_t)15;
    return poa_written(&w);
}

uint64_t core_persist(struct poa_core *c, enum poa_record_kind kind, struct poa_slice bytes)
{
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_PERSIST, true);
    if (bytes.n <= 512) {
        uint8_t *copy = out_reserved(c, bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        bytes.p = copy;
    }
    e->type = (uint16_t)kind;
    e->bytes = bytes;
    e->seq = ++c->seq;
    return c->seq;
}

struct poa_effect *core_send_mask(struct poa_core *c, uint16_t type, struct poa_slice bytes,
                                  const uint8_t to[16], uint64_t wait)
{
    struct poa_effect *e = bit_count(to) ? core_effect_add(c, POA_EFFECT_SEND, false) : NULL;
    if (!e)
        return NULL;
    e->type = type;
    e->bytes = bytes;
    memcpy(e->to, to, 16);
    e->wait = wait > c->durable ? wait : 0;
    return e;
}

void core_send_to(struct poa_core *c, uint16_t type, struct poa_slice bytes, uint16_t member,
                  uint64_t wait)
{
    uint8_t to[16] = {0};
    bit_set(to, member);
    core_send_mask(c, type, bytes, to, wait);
}

void core_send_all(struct poa_core *c, uint16_t type, struct poa_slice bytes, bool self,
                   uint64_t wait)
{
    uint8_t to[16] = {0};
    for (uint32_t i = 0; i < c->n; i++)
        if (self || (int32_t)i != c->self)
            bit_set(to, i);
    core_send_mask(c, type, bytes, to, wait);
}

void core_halt(struct poa_core *c, int code, const char *text)
{
    if (c->halted)
        return;
    c->halted = true;
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_HALT, true);
    e->code = code;
    e->text = text;
}

void core_give_later(struct poa_core *c, void *p)
{
    if (!p)
        return;
    POA_ASSERT(c->garbages < GARBAGE);
    c->garbage[c->garbages++] = p;
}

/* --- construction ----------------------------------------------------------------- */

static void defaults(struct poa_core_limits *l)
{
    if (!l->pending_batches)
        l->pending_batches = 4096;
    if (!l->pending_batch_bytes)
        l->pending_batch_bytes = (size_t)128 << 20;
    if (!l->pending_mining)
        l->pending_mining = 8192;
    if (!l->mempool.txs)
        l->mempool.txs = 131072;
    if (!l->mempool.per_account)
        l->mempool.per_account = 4096;
    if (!l->mempool.bytes)
        l->mempool.bytes = (size_t)64 << 20;
    if (!l->batch_flush_bytes || l->batch_flush_bytes > POA_BATCH_BYTES_MAX - 256)
        l->batch_flush_bytes = POA_BATCH_BYTES_MAX - 256;
    if (!l->batch_flush_us)
        l->batch_flush_us = 2000;
    if (!l->log_records)
        l->log_records = 1024;
    if (!l->arena_bytes)
        l->arena_bytes = (size_t)64 << 20;
}

static void *take(struct poa_core *c, size_t bytes)
{
    return c->alloc.alloc(c->alloc.ctx, bytes);
}

static void give(struct poa_core *c, void *p)
{
    if (p)
        c->alloc.free(c->alloc.ctx, p);
}

void poa_core_free(struct poa_core *c)
{
    if (!c)
        return;
    struct poa_alloc a = c->alloc;
    core_batches_free(c);
    core_mining_free(c);
    core_arena_free_all(&c->arena, &a);
    give(c, c->committee_bytes);
    give(c, c->ring);
    give(c, c->table);
    give(c, c->cell);
    give(c, c->block);
    give(c, (void *)c->gather);
    give(c, c->bundle.hash);
    give(c, c->effect);
    give(c, c->commit);
    give(c, c->out);
    give(c, c->scratch);
    give(c, c->garbage);
    if (c->ledger)
        poa_ledger_free(c->ledger);
    poa_wipe(c->seed, sizeof c->seed);
    a.free(a.ctx, c);
}

static int allocate(struct poa_core *c)
{
    c->effects_cap = EFFECTS + c->limits.pending_batches * 2;
    c->committee_bytes = (uint8_t *)take(c, POA_COMMITTEE_BYTES_MAX);
    c->ring = (struct slot *)take(c, RING * sizeof *c->ring);
    c->table = (struct vote_table *)take(c, TABLES * sizeof *c->table);
    c->cell = (struct vote_cell *)take(c, (size_t)TABLES * 3 * POA_COMMITTEE_MAX * sizeof *c->cell);
    c->block = (struct block *)take(c, BLOCKS * sizeof *c->block);
    c->gather = (const struct poa_tx_view **)take(c, BLOCK_TXS * sizeof *c->gather);
    c->bundle.hash = (uint8_t(*)[32])take(c, BUNDLE_MAX * 32);
    c->effect = (struct poa_effect *)take(c, c->effects_cap * sizeof *c->effect);
    c->commit = (struct poa_commit *)take(c, COMMITS * sizeof *c->commit);
    c->out = (uint8_t *)take(c, OUT_BYTES);
    c->scratch = (uint8_t *)take(c, SCRATCH_BYTES);
    c->garbage = (void **)take(c, GARBAGE * sizeof *c->garbage);
    if (!c->committee_bytes || !c->ring || !c->table || !c->cell || !c->block || !c->gather ||
        !c->bundle.hash || !c->effect || !c->commit || !c->out || !c->scratch || !c->garbage)
        return POA_E_NO_MEMORY;
    int e = core_arena_init(&c->arena, &c->alloc, c->limits.arena_bytes);
    if (!e)
        e = core_batches_new(c);
    if (!e)
        e = core_mining_new(c);
    return e;
}

/* Where the ledger stands: its last block, and the epoch that follows from it. */
static int tip_set(struct poa_core *c, const struct poa_core_config *config)
{
    struct poa_st_global g;
    struct poa_header h;
    struct poa_cert cert;
    uint8_t hash[32];
    uint32_t epoch = 0;
    poa_ledger_global(c->ledger, POA_STATE_BASE, &g);
    poa_ledger_root(c->ledger, POA_STATE_BASE, c->tip_root);
    c->height = g.height;
    c->tip_time = g.height ? g.time_ms : c->genesis->time_ms;
    memcpy(c->tip, g.height ? g.hash : c->chain, 32);
    if (g.height) {
        int e = poa_header_decode(config->tip_header, &h);
        if (e)
            return e;
        poa_header_hash(&h, hash);
        if (!hash_eq(hash, g.hash) || h.height != g.height)
            return POA_E_STORE_CORRUPT;
        epoch = h.epoch;
        if (h.kind == POA_BLOCK_CLOSING)
            epoch++;
        else
            c->tip_view = h.view;
    }
    /* Blocks may still list batches of the committee before. */
    if (epoch && core_epoch_load(c, epoch - 1) == POA_OK)
        core_epoch_remember(c);
    int e = core_epoch_load(c, epoch);
    if (e)
        return e;
    if (config->tip_cert.n && c->tip_view && poa_cert_decode(config->tip_cert, &cert) == POA_OK &&
        cert.view == c->tip_view && hash_eq(cert.hash, c->tip))
        (void)core_cert_take(c, config->tip_cert, true, POA_PEER_OTHER);
    c->final_view = c->tip_view;
    c->view = c->tip_view + 1;
    return POA_OK;
}

int poa_core_new(const struct poa_core_config *config, struct poa_now now, struct poa_core **out)
{
    struct poa_core *c = (struct poa_core *)config->alloc.alloc(config->alloc.ctx, sizeof *c);
    *out = NULL;
    if (!c)
        return POA_E_NO_MEMORY;
    c->alloc = config->alloc;
    c->limits = config->limits;
    defaults(&c->limits);
    c->suite = config->suite;
    c->now = now;
    c->mark_blocks = config->mark_blocks;
    c->mutant = config->mutant;
    c->amnesia = config->amnesia;
    c->restoring = true;
    c->live_handover = true;
    c->flush_us = c->ack_us = NO_DEADLINE;
    c->retry_us = NO_DEADLINE;
    if (config->seed32 && config->key32) {
        c->has_key = true;
        memcpy(c->seed, config->seed32, 32);
        memcpy(c->key, config->key32, 32);
    }
    memcpy(c->chain, poa_ledger_chain(config->ledger), 32);
    c->genesis = poa_ledger_genesis(config->ledger);
    int e = allocate(c);
    if (!e) {
        /* An empty body has one encoding. */
        struct poa_body none;
        uint8_t buffer[16];
        struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
        memset(&none, 0, sizeof none);
        POA_ASSERT(poa_body_encode(&w, &none) == POA_OK);
        poa_body_hash(poa_written(&w), c->empty_body);
        c->ledger = config->ledger;
        e = tip_set(c, config);
        if (e)
            c->ledger = NULL; /* still the caller's */
    }
    if (e) {
        poa_core_free(c);
        return e;
    }
    *out = c;
    return POA_OK;
}

int poa_core_reserve(struct poa_core *c)
{
    if (c->exec_ready)
        return POA_OK;
    int e = poa_ledger_reserve(c->ledger);
    if (!e)
        c->exec_ready = true;
    return e;
}

int poa_core_init_record(const uint8_t chain32[32], const uint8_t key32[32], struct poa_writer *out)
{
    struct poa_wal_epoch r = {.epoch = 0};
    memcpy(r.chain, chain32, 32);
    memcpy(r.key, key32, 32);
    return poa_wal_epoch_encode(out, &r);
}

/* --- the step ---------------------------------------------------------------------------- */

static bool forgets(const struct poa_core *c, uint8_t kind)
{
    return c->mutant == POA_MUTANT_FORGET_VOTES ||
           (c->mutant == POA_MUTANT_FORGET_NOTAR && kind == POA_VOTE_NOTARIZE) ||
           (c->mutant == POA_MUTANT_FORGET_NULLIFY && kind == POA_VOTE_NULLIFY);
}

static int restore(struct poa_core *c, const struct poa_event *e)
{
    struct poa_vote v;
    struct poa_wal_epoch r;
    int err = POA_OK;
    if (e->seq > c->seq)
        c->seq = c->durable = e->seq;
    if (!c->forgotten)
        c->forgotten = e->seq;
    switch ((enum poa_record_kind)e->type) {
    case POA_WAL_EPOCH:
        err = poa_wal_epoch_decode(e->bytes, &r);
        if (!err && hash_eq(r.chain, c->chain) && hash_eq(r.key, c->key)) {
            c->epoch_known = true;
            if (r.epoch == c->epoch) {
                c->epoch_logged = true;
                c->epoch_seq = e->seq;
                c->vote_from = r.from_view;
            }
        }
        return err;
    case POA_WAL_VOTE:
        err = poa_vote_decode(e->bytes, &v);
        if (!err && !forgets(c, v.kind))
            core_restore_vote(c, &v, e->seq);
        return err;
    case POA_WAL_PROPOSAL:
        return core_restore_proposal(c, e->bytes, c->mutant != POA_MUTANT_FORGET_VOTES, e->seq);
    case POA_WAL_SEAT:
        if (forgets(c, POA_VOTE_NOTARIZE))
            return POA_OK;
        return core_restore_proposal(c, e->bytes, false, e->seq);
    case POA_WAL_CERT:
        c->restore_seq = e->seq;
        err = core_cert_take(c, e->bytes, true, POA_PEER_OTHER);
        return err == POA_E_DUPLICATE || err == POA_E_EPOCH || err == POA_E_VIEW ? POA_OK : err;
    case POA_WAL_RECOVER:
        return core_restore_recover(c, e->bytes, e->seq);
    case POA_WAL_RECOVERED:
        return core_restore_recovered(c, e->bytes, e->seq);
    case POA_WAL_BATCH:
        return core_restore_batch(c, e->bytes, e->seq);
    }
    return POA_E_UNSUPPORTED;
}

static void restored(struct poa_core *c)
{
    c->restoring = false;
    if (c->has_key && (c->amnesia || !c->epoch_known)) {
        c->amnesia = true;
        c->abstain = true;
    } else if (c->self >= 0 && !c->epoch_logged) {
        core_epoch_log(c);
    }
    core_batches_life(c);
    core_simplex_start(c);
    if (c->self < 0)
        core_homeless(c);
    core_progress(c);
    core_resend(c);
}

static int message(struct poa_core *c, const struct poa_event *e)
{
    if (c->restoring)
        return POA_E_AGAIN;
    switch ((enum poa_message)e->type) {
    case POA_MSG_VOTE:
        return core_on_vote(c, e->bytes, e->peer);
    case POA_MSG_CERT:
        return core_on_cert(c, e->bytes, e->peer);
    case POA_MSG_PROPOSAL:
        return core_on_proposal(c, e->bytes, e->peer);
    case POA_MSG_BATCH:
        return core_on_batch(c, e->bytes, e->peer);
    case POA_MSG_BATCH_ACK:
        return core_on_batch_ack(c, e->bytes, e->peer);
    case POA_MSG_TX:
        return core_on_raw_txs(c, e->bytes, e->peer);
    case POA_MSG_MINING:
        return core_on_mining(c, e, false);
    case POA_MSG_GET_CERTS:
        return core_on_get_certs(c, e->bytes, e->peer);
    case POA_MSG_GET_BLOCK:
        return core_on_get_block(c, e->bytes, e->peer);
    case POA_MSG_GET_BATCH:
        return core_on_get_batch(c, e->bytes, e->peer);
    case POA_MSG_RECOVER:
        return core_on_recover(c, e->bytes, e->peer);
    case POA_MSG_RECOVERED:
        return core_on_recovered(c, e->bytes, e->peer);
    case POA_MSG_BEACON:
        return core_on_beacon(c, e->bytes, e->peer);
    case POA_MSG_REQ_FOLLOW:
    case POA_MSG_ANS_FOLLOW:
    case POA_MSG_REQ_SUBMIT:
    case POA_MSG_ANS_SUBMIT:
    case POA_MSG_REQ_MINING:
    case POA_MSG_ANS_MINING:
    case POA_MSG_REQ_STATUS:
    case POA_MSG_ANS_STATUS:
        break;
    }
    return POA_E_UNSUPPORTED;
}

static int dispatch(struct poa_core *c, const struct poa_event *e)
{
    switch (e->kind) {
    case POA_EVENT_TICK:
        if (c->restoring)
            return POA_OK;
        core_simplex_tick(c);
        core_batches_tick(c);
        return POA_OK;
    case POA_EVENT_MESSAGE:
        return message(c, e);
    case POA_EVENT_TX:
        return c->restoring ? POA_E_AGAIN : core_on_tx(c, e);
    case POA_EVENT_BATCH:
        return core_on_checked_batch(c, e->batch);
    case POA_EVENT_MINING:
        return c->restoring ? POA_E_AGAIN : core_on_mining(c, e, true);
    case POA_EVENT_PERSISTED:
        if (e->seq > c->durable && e->seq <= c->seq) {
            c->durable = e->seq;
            if (c->batches_pending)
                core_batches_durable(c);
        }
        return POA_OK;
    case POA_EVENT_BLOCK:
        return core_on_bundle(c, e);
    case POA_EVENT_RESTORE:
        return c->restoring ? restore(c, e) : POA_E_INVALID;
    case POA_EVENT_RECOVER:
        return c->restoring ? POA_E_AGAIN : core_recovery_begin(c, e->seq, e->bytes);
    case POA_EVENT_RESTORED:
        if (!c->restoring)
            return POA_E_INVALID;
        restored(c);
        return POA_OK;
    }
    return POA_E_INVALID;
}

/* What one place let go may be on its way from another. */
static void tell_gone(struct poa_core *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->gone.n; i++)
        if (!core_routed_find(c, c->gone.tx[i].id))
            c->gone.tx[n++] = c->gone.tx[i];
    if (!n)
        return;
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_GONE, true);
    e->gone = c->gone.tx;
    e->gone_n = n;
}

int poa_core_step(struct poa_core *c, const struct poa_event *event, struct poa_now now,
                  struct poa_effects *out)
{
    int e = POA_OK;
    for (uint32_t i = 0; i < c->garbages; i++)
        core_arena_give(&c->arena, c->garbage[i]);
    c->garbages = 0;
    c->effects = c->sends = c->commits = 0;
    c->out_n = 0;
    c->gone.n = 0;
    c->more = false;
    if (now.us < c->now.us)
        now.us = c->now.us;
    c->now = now;
    if (!c->halted)
        e = dispatch(c, event);
    if (c->gone.n)
        tell_gone(c);
    out->effect = c->effect;
    out->n = c->effects;
    c->deadline = NO_DEADLINE;
    if (!c->halted) {
        uint64_t a = core_simplex_deadline(c), b = core_batches_deadline(c);
        c->deadline = c->more && !c->restoring ? 0 : a < b ? a : b;
    }
    return e;
}

uint64_t poa_core_deadline_us(const struct poa_core *c)
{
    return c->deadline;
}

const struct poa_ledger *poa_core_ledger(const struct poa_core *c)
{
    return c->ledger;
}

const struct poa_committee *poa_core_committee(const struct poa_core *c)
{
    return &c->committee;
}

void poa_core_status(const struct poa_core *c, struct poa_core_status *out)
{
    memset(out, 0, sizeof *out);
    out->height = c->height;
    out->time_ms = c->tip_time;
    memcpy(out->hash, c->tip, 32);
    out->epoch = c->epoch;
    out->view = c->view;
    out->tip_view = c->tip_view;
    out->member = c->self;
    out->members = c->n;
    out->quorum = c->q;
    out->notarized_height = c->height;
    for (uint64_t v = c->view - 1; v > c->tip_view; v--) {
        const struct slot *slot = &c->ring[v % RING];
        if (slot->view != v || !slot->cert[POA_VOTE_NOTARIZE].have)
            continue;
        const struct block *b = core_block_find(c, slot->cert[POA_VOTE_NOTARIZE].hash);
        if (b && b->h.height > out->notarized_height)
            out->notarized_height = b->h.height;
        break;
    }
    out->views_nullified = c->nullified;
    out->views_notarized = c->notarized;
    out->mempool = poa_mempool_count(c->mempool) + c->routed_n;
    out->batches_pending = c->batches_pending;
    out->mining_pending = c->pending_n;
    for (uint32_t i = 0; i < EVIDENCE; i++)
        out->evidence_pending += c->accusation[i].used;
    out->abstaining = c->abstain || (c->self >= 0 && c->view < c->vote_from);
    out->recovering = c->recovery.on;
    out->lag_us = core_batches_lag(c);
    out->ahead_ms = c->ahead_ms;
    out->ahead_view = c->ahead_view;
    memcpy(out->ahead_key, c->ahead_key, 32);
    out->final_us = c->now.us - c->finality_us;
    core_heard_in(c, c->view, out->heard);
    out->synced = c->final_view <= c->tip_view;
}
