/* Homes: where a transaction waits for its batch, and how it survives when
 * that place fails. */
#include "core.h"

#define SLICE_BYTES 5 /* a count of 4096 takes two bytes, a blob's length four at most */

struct routed *core_routed_find(const struct poa_core *c, const uint8_t id[32])
{
    struct routed *r = c->routed_bucket[hash_low(id) % ROUTED_BUCKETS];
    while (r && !hash_eq(r->id, id))
        r = r->next;
    return r;
}

/* --- those that wait here for their turn ------------------------------------------- */

static struct routed **parked_at(struct poa_core *c, const uint8_t sender[32], uint64_t nonce)
{
    uint64_t h = (hash_low(sender) ^ nonce) * UINT64_C(0x9e3779b97f4a7c15);
    return &c->parked_at[(h >> 32) % ROUTED_BUCKETS];
}

static void late_unlink(struct poa_core *c, struct routed *r)
{
    *(r->late_older ? &r->late_older->late_newer : &c->parked_head) = r->late_newer;
    *(r->late_newer ? &r->late_newer->late_older : &c->parked_tail) = r->late_older;
}

static void late_link(struct poa_core *c, struct routed *r)
{
    r->late_newer = NULL;
    r->late_older = c->parked_tail;
    *(c->parked_tail ? &c->parked_tail->late_newer : &c->parked_head) = r;
    c->parked_tail = r;
}

static void park(struct poa_core *c, struct routed *r)
{
    struct routed **at = parked_at(c, r->sender, r->nonce);
    if (r->parked)
        return;
    r->parked = true;
    c->parked_n++;
    r->near_older = NULL;
    r->near_newer = *at;
    if (*at)
        (*at)->near_older = r;
    *at = r;
    late_link(c, r);
}

void core_parked_end(struct poa_core *c, struct routed *r)
{
    if (!r->parked)
        return;
    r->parked = false;
    c->parked_n--;
    *(r->near_older ? &r->near_older->near_newer : parked_at(c, r->sender, r->nonce)) =
        r->near_newer;
    if (r->near_newer)
        r->near_newer->near_older = r->near_older;
    late_unlink(c, r);
}

void core_routed_drop(struct poa_core *c, struct routed *r)
{
    struct routed **at = &c->routed_bucket[hash_low(r->id) % ROUTED_BUCKETS];
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (c->route_next == r)
        c->route_next = r->newer;
    if (r->older)
        r->older->newer = r->newer;
    else
        c->routed_head = r->newer;
    if (r->newer)
        r->newer->older = r->older;
    else
        c->routed_tail = r->older;
    core_arena_give(&c->tx_arena, r->raw);
    core_parked_end(c, r);
    c->routed_of[hash_low(r->sender) % ROUTED_BUCKETS]--;
    memset(r, 0, sizeof *r);
    r->next = c->routed_free;
    c->routed_free = r;
    c->routed_n--;
}

/* --- homes ------------------------------------------------------------------------------ */

/* Rank 0 is the home; members that are silent or make no batches are passed
 * over. */
uint16_t core_home_rank(const struct poa_core *c, const uint8_t sender[32], uint32_t rank)
{
    uint8_t in[36], h[32];
    memcpy(in, sender, 32);
    poa_put_le32(in + 32, c->epoch);
    poa_hash(POA_DOMAIN_HOME, in, sizeof in, h);
    uint32_t first = (uint32_t)(poa_le64(h) % c->n);
    if (c->self < 0)
        return (uint16_t)((first + rank) % c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        uint16_t m = (uint16_t)((first + i) % c->n);
        if (core_silent(c, m) || c->home_skip[m] || ((int32_t)m == c->self && c->abstain))
            continue;
        if (!rank)
            return m;
        rank--;
    }
    return (uint16_t)((first + rank) % c->n);
}

uint16_t poa_core_home(const struct poa_core *c, const uint8_t sender32[32])
{
    return c->n ? core_home_rank(c, sender32, 0) : 0;
}

/* The first transaction after a pause does not wait for company; those that
 * follow within batch_flush_us share the next batch. */
void core_flush_soon(struct poa_core *c)
{
    /* While batches of ours wait for a block, more of them would not be final any
     * sooner, and each costs every member a signature, a write and messages. */
    uint32_t busy = c->own_pending < 15 ? c->own_pending : 15;
    uint64_t next = c->flushed_us + (uint64_t)c->limits.batch_flush_us * (1 + busy);
    if (c->flush_us == NO_DEADLINE)
        c->flush_us = next > c->now.us ? next : c->now.us;
}

int core_pool_add(struct poa_core *c, const struct poa_tx_view *tx)
{
    int e = poa_mempool_add(c->mempool, c->ledger, POA_STATE_BASE, c->now.wall_ms, tx);
    if (!e)
        core_flush_soon(c);
    if (!e)
        c->pool_bytes += tx->raw.n + SLICE_BYTES;
    return e;
}

static struct poa_st_account account_of(const struct poa_core *c, const uint8_t sender[32])
{
    struct poa_st_account a = {0};
    if (poa_ledger_read(c->ledger, POA_STATE_BASE, POA_STATE_ACCOUNT, sender, 32, &a))
        memset(&a, 0, sizeof a);
    return a;
}

/* Nothing says that what a nonce waits for will ever come, and to wait costs
 * nothing. So who can pay no fee does not wait, senders share the room, and a
 * quarter of it is kept for those whose turn it is. */
static int may_wait(const struct poa_core *c, const struct poa_tx_view *tx)
{
    struct poa_st_account a = account_of(c, tx->tx.sender);
    uint32_t has = c->routed_of[hash_low(tx->tx.sender) % ROUTED_BUCKETS];
    if (a.balance < tx->tx.fee || !a.balance)
        return POA_E_TX_NONCE_GAP;
    if (tx->tx.valid_until && tx->tx.valid_until < c->now.wall_ms)
        return POA_E_TX_EXPIRED;
    uint32_t rows = c->routed_cap - c->routed_cap / 4;
    if (has + c->routed_n >= rows)
        return has ? POA_E_TX_ACCOUNT_FULL : POA_E_TX_POOL_FULL;
    return c->tx_arena.used + tx->raw.n > core_arena_size(&c->tx_arena) / 4 * 3 ? POA_E_TX_POOL_FULL
                                                                                : POA_OK;
}

#define WAIT_BLOCKS 64u

/* CHECK: tell the caller at once what the base already rules out; a nonce that
 * is ahead may follow transactions that are under way. */
int core_route_add(struct poa_core *c, const struct poa_tx_view *tx, bool check,
                   struct routed **out)
{
    *out = NULL;
    if (core_routed_find(c, tx->id))
        return POA_E_TX_DUPLICATE;
    int e = check ? poa_ledger_try_tx(c->ledger, POA_STATE_BASE, c->now.wall_ms, tx, 0, 0) : POA_OK;
    if (e == POA_E_TX_NONCE_GAP)
        e = may_wait(c, tx);
    else if (e && poa_error_class(e) == POA_CLASS_RETRY)
        e = POA_OK;
    if (e)
        return e;
    if (!c->routed_free && c->routed_fresh < c->routed_cap)
        c->routed_free = &c->routed[c->routed_fresh++];
    struct routed *r = c->routed_free;
    uint8_t *raw = r ? core_arena_take(&c->tx_arena, tx->raw.n) : NULL;
    if (!raw)
        return POA_E_TX_POOL_FULL;
    c->routed_free = r->next;
    memset(r, 0, sizeof *r);
    memcpy(raw, tx->raw.p, tx->raw.n);
    memcpy(r->id, tx->id, 32);
    memcpy(r->sender, tx->tx.sender, 32);
    r->nonce = tx->tx.nonce;
    r->valid_until = tx->tx.valid_until;
    r->used = true;
    r->raw = raw;
    r->n = (uint32_t)tx->raw.n;
    r->sent_us = r->since_us = c->now.us;
    r->height = c->height;
    r->next = c->routed_bucket[hash_low(r->id) % ROUTED_BUCKETS];
    c->routed_bucket[hash_low(r->id) % ROUTED_BUCKETS] = r;
    r->older = c->routed_tail;
    if (c->routed_tail)
        c->routed_tail->newer = r;
    else
        c->routed_head = r;
    c->routed_tail = r;
    c->routed_of[hash_low(r->sender) % ROUTED_BUCKETS]++;
    c->routed_n++;
    *out = r;
    return POA_OK;
}

/* Sends the routed transactions with GO set, one message per home. */
static void route_send(struct poa_core *c)
{
    uint32_t homes = c->self < 0 ? 1 : c->n;
    for (uint32_t home = 0; home < homes; home++) {
        struct poa_writer w = {0};
        uint32_t count = 0;
        for (struct routed *r = c->go_head, **at = &c->go_head; r; r = *at) {
            if (c->self >= 0 && r->home != home) {
                at = &r->go;
                continue;
            }
            if (!w.p) {
                uint8_t *buffer = core_out_take(c, POA_BATCH_BYTES_MAX);
                if (!buffer)
                    break;
                w = poa_writer_over(buffer, POA_BATCH_BYTES_MAX);
            }
            struct poa_raw_tx raw = {.tx = poa_slice(r->raw, r->n)};
            if (count == 4096 || w.n + r->n + SLICE_BYTES > w.cap || poa_raw_tx_encode(&w, &raw))
                break; /* the rest goes with the next round */
            count++;
            *at = r->go;
            r->go = NULL;
        }
        if (!count)
            continue;
        struct poa_txs txs = {.txs = {.bytes = poa_written(&w), .count = count}};
        struct poa_slice bytes = core_encode(c, &poa_txs_record, &txs);
        if (!bytes.n)
            continue;
        if (c->self >= 0) {
            core_send_to(c, POA_MSG_TX, bytes, (uint16_t)home, 0);
            continue;
        }
        struct poa_effect *e = core_effect_add(c, POA_EFFECT_SUBMIT, false);
        if (e) {
            e->type = POA_MSG_REQ_SUBMIT;
            e->bytes = bytes;
        }
    }
    /* What did not fit is due again. */
    for (struct routed *r = c->go_head; r;) {
        struct routed *next = r->go;
        r->go = NULL;
        r->sent_us = c->now.us - core_two_heartbeats(c);
        r = next;
    }
    c->go_head = NULL;
}

static void route_go(struct poa_core *c, struct routed *r)
{
    r->sent_us = c->now.us;
    r->go = c->go_head;
    c->go_head = r;
}

/* Gives parked R to the mempool, or drops it when that will never take it. */
static int unpark(struct poa_core *c, struct routed *r)
{
    struct poa_tx_view v;
    int e = poa_tx_parse(c->chain, poa_slice(r->raw, r->n), &v);
    if (!e)
        e = core_pool_add(c, &v);
    if (e && poa_error_class(e) == POA_CLASS_RETRY)
        return e;
    if (e && e != POA_E_TX_DUPLICATE)
        poa_tx_gone_add(&c->gone, r->id, e);
    core_routed_drop(c, r);
    return e;
}

/* SENDER's transaction NONCE is in the mempool: what waited for it follows. Nobody
 * else's is looked at: to wait costs nothing, so it must not cost us much either. */
static void unpark_after(struct poa_core *c, const uint8_t sender[32], uint64_t nonce)
{
    bool again = true;
    while (again) {
        again = false;
        for (struct routed *r = *parked_at(c, sender, nonce + 1), *next; r && !again; r = next) {
            next = r->near_newer;
            again = r->nonce == nonce + 1 && hash_eq(r->sender, sender) && !unpark(c, r);
        }
        nonce++;
    }
}

/* Gives parked transactions to the mempool as far as nonces allow: some at a time, all in
 * turn. */
void core_parked_retry(struct poa_core *c)
{
    uint32_t n = c->parked_n < 1024 ? c->parked_n : 1024;
    for (struct routed *r; n > 0 && (r = c->parked_head); n--) {
        uint8_t sender[32];
        uint64_t nonce = r->nonce;
        memcpy(sender, r->sender, 32);
        late_unlink(c, r);
        late_link(c, r);
        if (unpark(c, r) == POA_OK)
            unpark_after(c, sender, nonce);
    }
}

int core_on_tx(struct poa_core *c, const struct poa_event *e)
{
    int result = POA_OK;
    struct routed *first = NULL, *last = NULL;
    for (uint32_t i = 0; i < e->txs; i++) {
        const struct poa_tx_view *tx = &e->tx[i];
        int code;
        /* What a member passed on ends here, whatever its idea of the home is. */
        bool ours = c->self >= 0 && !c->abstain &&
                    (e->peer < c->n || core_home_rank(c, tx->tx.sender, 0) == c->self);
        if (ours) {
            code = core_pool_add(c, tx);
            /* Ahead of its predecessors: it waits here until they come. */
            if (code == POA_E_TX_NONCE_GAP) {
                struct routed *r;
                code = core_route_add(c, tx, true, &r);
                if (!code) {
                    r->home = (uint16_t)c->self;
                    park(c, r);
                }
            } else if (!code) {
                unpark_after(c, tx->tx.sender, tx->tx.nonce);
            }
        } else {
            struct routed *r;
            code = core_route_add(c, tx, true, &r);
            if (!code) {
                r->home = c->self < 0 ? 0 : core_home_rank(c, r->sender, 0);
                r->go = NULL;
                if (last)
                    last->go = r;
                else
                    first = r;
                last = r;
            }
        }
        if (e->codes)
            e->codes[i] = code;
        if (code)
            result = code;
    }
    c->go_head = first;
    if (first)
        route_send(c);
    if (c->pool_bytes >= c->limits.batch_flush_bytes)
        c->flush_us = c->now.us;
    core_batches_tick(c);
    return e->txs == 1 ? result : POA_OK;
}

/* Transactions from a member, not checked yet. */
int core_on_raw_txs(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_txs txs;
    int e = poa_txs_decode(bytes, &txs);
    if (e)
        return e;
    if (c->self < 0)
        return POA_E_NOT_MEMBER;
    core_check_effect(c, POA_MSG_TX, bytes, false, peer);
    return POA_OK;
}

/* B carries some of the transactions that were sent to their homes. The rest
 * of B's way is ours: when it is our turn we list it, if nobody did before. */
void core_routed_batched(struct poa_core *c, const struct batch *b)
{
    for (uint32_t i = 0; i < b->txs && c->routed_n; i++) {
        struct routed *r = core_routed_find(c, b->tx[i].id);
        if (r) {
            r->batched = true;
            r->sent_us = c->now.us;
        }
    }
}

/* Why R is worth no more trouble, or POA_OK: it was overtaken, expired, can never be
 * executed now that its turn has come, or waits too long for a nonce that does not:
 * while the chain stands still, that is nobody's fault. */
static int over(const struct poa_core *c, const struct routed *r)
{
    uint64_t nonce = account_of(c, r->sender).nonce;
    struct poa_tx_view v;
    if (nonce > r->nonce)
        return POA_E_TX_NONCE_USED;
    if (r->valid_until && c->tip_time > r->valid_until)
        return POA_E_TX_EXPIRED;
    if (nonce < r->nonce)
        return !r->batched && c->now.us > r->since_us + (uint64_t)BATCH_TTL_MS * 1000 &&
                       c->height > r->height + WAIT_BLOCKS
                   ? POA_E_TX_NONCE_GAP
                   : POA_OK;
    int e = poa_tx_parse(c->chain, poa_slice(r->raw, r->n), &v);
    if (!e)
        e = poa_ledger_try_tx(c->ledger, POA_STATE_BASE, c->now.wall_ms, &v, 0, 0);
    return poa_error_class(e) != POA_CLASS_RETRY ? e : POA_OK;
}

/* Transactions that wait for their home longer than two heartbeats, in which it
 * made no batch at all, go to the next rank, together: nonces of one sender
 * need one home. A home that makes batches is busy: it is told again later, and
 * left behind by age when it leaves out single senders. Some at a time, all in turn:
 * those in front may only wait for a nonce. */
void core_route_tick(struct poa_core *c)
{
    uint32_t looked = 0;
    uint64_t beat = core_two_heartbeats(c);
    if (!c->route_next)
        c->route_next = c->routed_head;
    for (struct routed *r; (r = c->route_next) && looked < 1024; looked++) {
        c->route_next = r->newer;
        bool ours = c->self >= 0 && (int32_t)r->home == c->self;
        bool busy = c->self >= 0 && !ours && c->now.us < c->home_us[r->home] + beat;
        uint64_t wait = r->batched ? (uint64_t)BATCH_TTL_MS * 1000 : busy ? 8 * beat : beat;
        bool dead = c->self >= 0 && !r->batched && !ours &&
                    (core_silent(c, r->home) || c->home_skip[r->home]);
        if (!dead && c->now.us < r->sent_us + wait)
            continue;
        int why = over(c, r);
        if (why) {
            poa_tx_gone_add(&c->gone, r->id, why);
            core_routed_drop(c, r);
            continue;
        }
        r->batched = false;
        if (c->self >= 0 && !ours && c->now.us >= c->home_us[r->home] + wait)
            c->home_skip[r->home] = true;
        uint64_t age = (c->now.us - r->since_us) / (16 * beat + 1);
        uint16_t home = c->self >= 0 ? core_home_rank(c, r->sender, (uint32_t)(age % c->n)) : 0;
        if (c->self >= 0 && !c->abstain && home == c->self) {
            struct poa_tx_view v;
            int e = poa_tx_parse(c->chain, poa_slice(r->raw, r->n), &v);
            r->sent_us = c->now.us;
            r->home = home;
            if (!e)
                e = core_pool_add(c, &v);
            if (e == POA_OK || e == POA_E_TX_DUPLICATE) {
                core_routed_drop(c, r); /* the mempool has it now */
            } else {
                park(c, r);
            }
            continue;
        }
        core_parked_end(c, r);
        r->home = home;
        route_go(c, r);
    }
    if (c->go_head)
        route_send(c);
    core_parked_retry(c);
}
