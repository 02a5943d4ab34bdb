/* Transactions on their way to a block: batches, how they arrive, who holds them,
 * and what becomes of them. Which ones a block lists: listing.c; how they are made:
 * pack.c; how a transaction gets to its home, and survives it: homes.c.
 *
 *   accepted here ── home is us ──> mempool ──flush──> batch ──> all members
 *        └── home is another ──> routed ──TX──> home   (again after two
 *                                  heartbeats, to the next rank)
 */
#include "core.h"

uint64_t core_two_heartbeats(const struct poa_core *c)
{
    return (uint64_t)c->genesis->heartbeat_ms * 2000;
}

/* --- pool ---------------------------------------------------------------------- */

int core_batches_new(struct poa_core *c)
{
    const struct poa_alloc *a = &c->alloc;
    c->batch_cap = c->limits.pending_batches * 2;
    c->batch_buckets = 1024;
    while (c->batch_buckets < c->batch_cap)
        c->batch_buckets *= 2;
    c->batch = (struct batch *)a->alloc(a->ctx, c->batch_cap * sizeof *c->batch);
    c->batch_bucket = (struct batch **)a->alloc(a->ctx, c->batch_buckets * sizeof *c->batch_bucket);
    c->routed_cap = c->limits.mempool.txs;
    c->routed = (struct routed *)a->alloc(a->ctx, c->routed_cap * sizeof *c->routed);
    c->gone.cap = c->limits.mempool.txs;
    c->gone.tx = (struct poa_tx_gone *)a->alloc(a->ctx, c->gone.cap * sizeof *c->gone.tx);
    if (!c->batch || !c->batch_bucket || !c->routed || !c->gone.tx)
        return POA_E_NO_MEMORY;
    int e = core_arena_init(&c->tx_arena, a, c->limits.mempool.bytes);
    if (!e)
        e = poa_mempool_new(a, &c->limits.mempool, &c->mempool);
    if (!e)
        poa_mempool_tell(c->mempool, &c->gone);
    return e;
}

void core_batches_free(struct poa_core *c)
{
    const struct poa_alloc *a = &c->alloc;
    if (c->mempool)
        poa_mempool_free(c->mempool);
    core_arena_free_all(&c->tx_arena, a);
    if (c->batch)
        a->free(a->ctx, c->batch);
    if (c->batch_bucket)
        a->free(a->ctx, c->batch_bucket);
    if (c->routed)
        a->free(a->ctx, c->routed);
    if (c->gone.tx)
        a->free(a->ctx, c->gone.tx);
}

struct batch *core_batch_find(const struct poa_core *c, const uint8_t digest[32])
{
    struct batch *b = c->batch_bucket[hash_low(digest) & (c->batch_buckets - 1)];
    while (b && !hash_eq(b->digest, digest))
        b = b->next;
    return b;
}

static void author_unlink(struct poa_core *c, struct batch *b)
{
    uint32_t e = b->epoch & 1;
    if (!b->linked)
        return;
    if (b->older)
        b->older->newer = b->newer;
    else
        c->author_head[e][b->author] = b->newer;
    if (b->newer)
        b->newer->older = b->older;
    else
        c->author_tail[e][b->author] = b->older;
    b->older = b->newer = NULL;
    b->linked = false;
    c->author_n[e][b->author]--;
    c->author_bytes[e][b->author] -= b->bytes.n;
    c->batches_pending--;
    if (b->own)
        c->own_pending--;
}

/* Valid batches of an author, by number: nonces run in that order. */
static void author_link(struct poa_core *c, struct batch *b)
{
    uint32_t e = b->epoch & 1;
    struct batch *at = c->author_tail[e][b->author];
    while (at && at->number > b->number)
        at = at->older;
    b->older = at;
    b->newer = at ? at->newer : c->author_head[e][b->author];
    if (at)
        at->newer = b;
    else
        c->author_head[e][b->author] = b;
    if (b->newer)
        b->newer->older = b;
    else
        c->author_tail[e][b->author] = b;
    b->linked = true;
    c->author_n[e][b->author]++;
    c->author_bytes[e][b->author] += b->bytes.n;
    c->batches_pending++;
    if (b->own)
        c->own_pending++;
}

static void token_release(struct poa_core *c, struct batch *b)
{
    if (!b->token_held)
        return;
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_RELEASE, true);
    e->token = b->token;
    b->token_held = false;
    b->token = NULL;
    b->tx = NULL;
    c->batch_bytes -= b->bytes.n;
    b->bytes = poa_slice(NULL, 0);
}

/* B is more than a hint now, or nothing. */
static void hint_end(struct poa_core *c, struct batch *b)
{
    if (b->state == BATCH_HINT && b->hint < POA_COMMITTEE_MAX)
        c->hints[b->hint]--;
}

void core_batch_drop(struct poa_core *c, struct batch *b)
{
    hint_end(c, b);
    /* What it carried and was accepted here is on its way again. */
    for (uint32_t i = 0; b->state == BATCH_VALID && b->token_held && c->routed_n && i < b->txs;
         i++) {
        struct routed *r = core_routed_find(c, b->tx[i].id);
        if (r) {
            r->batched = false;
            r->sent_us = 0;
        }
    }
    struct batch **at = &c->batch_bucket[hash_low(b->digest) & (c->batch_buckets - 1)];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    author_unlink(c, b);
    token_release(c, b);
    c->batches_done -= b->state == BATCH_FINAL;
    memset(b, 0, sizeof *b);
    b->next = c->batch_free;
    c->batch_free = b;
    c->batches_used--;
}

/* The oldest final batch makes room: it is kept to answer late askers and to
 * know a second listing. */
struct batch *core_batch_add(struct poa_core *c, const uint8_t digest[32])
{
    if (!c->batch_free && c->batch_fresh < c->batch_cap) {
        c->batch[c->batch_fresh].next = NULL;
        c->batch_free = &c->batch[c->batch_fresh++];
    }
    if (!c->batch_free && c->release_head) {
        struct batch *old = c->release_head;
        c->release_head = old->queue;
        if (!c->release_head)
            c->release_tail = NULL;
        if (c->release_next == old)
            c->release_next = c->release_head;
        core_batch_drop(c, old);
    }
    struct batch *b = c->batch_free;
    if (!b)
        return NULL;
    c->batch_free = b->next;
    memset(b, 0, sizeof *b);
    b->used = true;
    memcpy(b->digest, digest, 32);
    b->since_us = c->now.us;
    b->hint = POA_PEER_OTHER;
    b->next = c->batch_bucket[hash_low(digest) & (c->batch_buckets - 1)];
    c->batch_bucket[hash_low(digest) & (c->batch_buckets - 1)] = b;
    c->batches_used++;
    return b;
}

struct batch *core_batch_want(struct poa_core *c, const uint8_t digest[32], uint16_t hint)
{
    struct batch *b = core_batch_find(c, digest);
    if (!b)
        b = core_batch_add(c, digest);
    if (b && b->state == BATCH_HINT) {
        hint_end(c, b);
        b->state = BATCH_WANTED;
        b->hint = hint;
        b->tries = 0;
        b->ask_us = c->now.us;
        if (c->batch_tick_us > c->now.us)
            c->batch_tick_us = c->now.us;
    }
    return b;
}

/* The log need not know all numbers that were used: it forgets what is final,
 * and may be lost. So they begin anew, with the time, in each life. */
void core_batches_life(struct poa_core *c)
{
    uint64_t life = (c->batch_number >> LIFE_BITS) + 1;
    if (life < c->now.wall_ms)
        life = c->now.wall_ms;
    c->batch_number = (life << LIFE_BITS) - 1;
}

bool core_author_key(const struct poa_core *c, uint32_t epoch, uint16_t author, const uint8_t **key)
{
    if (epoch == c->epoch && author < c->n)
        *key = c->keys[author];
    else if (c->epoch && epoch == c->prev_epoch && epoch + 1 == c->epoch && author < c->prev_n)
        *key = c->prev_keys[author];
    else
        return false;
    return true;
}

/* Bit of the author among the present members, or -1. */
int32_t core_batch_author(const struct poa_core *c, const struct batch *b)
{
    const uint8_t *key;
    if (!core_author_key(c, b->epoch, b->author, &key))
        return -1;
    if (b->epoch == c->epoch)
        return b->author;
    for (uint32_t i = 0; i < c->n; i++)
        if (hash_eq(c->keys[i], key))
            return (int32_t)i;
    return -1;
}

/* Until enough members hold B, a transaction in it is not provided for: its
 * author may have shown the batch to us alone. */
static void held(struct poa_core *c, struct batch *b)
{
    uint32_t holders = bit_count(b->holders) + (c->mutant == POA_MUTANT_TRUST_AUTHOR);
    if (b->safe || b->state != BATCH_VALID || !b->seq || holders < c->f + 1u)
        return;
    b->safe = true;
    core_routed_batched(c, b);
}

void core_batch_count_holders(struct poa_core *c, struct batch *b)
{
    /* Ours counts from when it was handed to the disk: whatever we send because of
     * it waits for a later record. */
    if (c->self >= 0 && b->seq)
        bit_set(b->holders, (uint32_t)c->self);
    held(c, b);
}

/* --- arrival ---------------------------------------------------------------------- */

void core_check_effect(struct poa_core *c, uint16_t type, struct poa_slice bytes, bool trusted,
                       uint16_t peer)
{
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_CHECK, true);
    e->type = type;
    e->bytes = bytes;
    e->trusted = trusted;
    e->peer = peer;
}

/* Structure, author and signature of the batch with DIGEST. */
static int batch_read(struct poa_core *c, struct poa_slice bytes, struct poa_batch *out,
                      const uint8_t digest[32], bool trusted)
{
    uint8_t signed_digest[32];
    const uint8_t *key;
    int e = bytes.n <= POA_BATCH_BYTES_MAX ? poa_batch_decode(bytes, out) : POA_E_TOO_LONG;
    if (e)
        return e;
    if (!out->txs.count)
        return POA_E_BATCH_INVALID;
    if (!core_author_key(c, out->epoch, out->author, &key))
        return POA_E_EPOCH;
    if (trusted)
        return POA_OK;
    poa_batch_sig_digest(c->chain, digest, signed_digest);
    return c->suite->verify(key, signed_digest, 32, out->sig);
}

void core_batch_fill(struct batch *b, const struct poa_batch *r)
{
    b->epoch = r->epoch;
    b->author = r->author;
    b->number = r->seq;
    b->expires_ms = r->expires_ms;
}

/* Authors share the room, so that f of them cannot take it all; who was caught
 * lying gets none. */
static bool room_for(const struct poa_core *c, const struct poa_batch *r, size_t bytes)
{
    uint32_t e = r->epoch & 1, parts = c->n > 3 ? c->f + 2u : 1u;
    if (r->expires_ms < c->tip_time || (r->epoch == c->epoch && c->convicted[r->author]))
        return false;
    return c->author_n[e][r->author] < c->limits.pending_batches / parts &&
           c->author_bytes[e][r->author] + bytes <= c->limits.pending_batch_bytes / parts &&
           c->batches_pending < c->limits.pending_batches &&
           c->batch_bytes + bytes <= c->limits.pending_batch_bytes;
}

int core_on_batch(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_batch r;
    uint8_t digest[32];
    if (bytes.n > POA_BATCH_BYTES_MAX)
        return POA_E_TOO_LONG;
    if (bytes.n < 64)
        return POA_E_TRUNCATED;
    poa_batch_digest(bytes, digest);
    struct batch *b = core_batch_find(c, digest);
    if (b && b->state != BATCH_HINT && b->state != BATCH_WANTED) {
        /* The author asks again whether we hold it. */
        if (b->state == BATCH_VALID && b->durable && core_batch_author(c, b) == (int32_t)peer)
            core_batch_acknowledge(c, b);
        return POA_E_DUPLICATE;
    }
    int e = batch_read(c, bytes, &r, digest, false);
    if (e)
        return e;
    bool asked = b && b->state == BATCH_WANTED;
    if (!asked && !room_for(c, &r, bytes.n))
        return POA_E_FULL;
    if (!b)
        b = core_batch_add(c, digest);
    if (!b)
        return POA_E_FULL;
    hint_end(c, b);
    core_batch_fill(b, &r);
    b->state = BATCH_CHECKING;
    b->since_us = c->now.us;
    core_check_effect(c, POA_MSG_BATCH, bytes, false, peer);
    return POA_OK;
}

int core_on_checked_batch(struct poa_core *c, const struct poa_checked_batch *in)
{
    struct batch *b = core_batch_find(c, in->digest);
    if (!b || b->state != BATCH_CHECKING || b->token_held) {
        struct poa_effect *e = core_effect_add(c, POA_EFFECT_RELEASE, true);
        e->token = in->token;
        return POA_E_DUPLICATE;
    }
    if (in->code) {
        b->state = BATCH_INVALID;
        b->queue = NULL;
        if (b->epoch == c->epoch)
            c->convicted[b->author] = 1;
        const uint8_t *key;
        if (core_author_key(c, b->epoch, b->author, &key) && in->code != POA_E_NO_MEMORY)
            core_accuse(c, POA_EVIDENCE_BATCH, key, in->bytes, poa_slice(NULL, 0));
        struct poa_effect *e = core_effect_add(c, POA_EFFECT_RELEASE, true);
        e->token = in->token;
        core_progress(c);
        return POA_E_BATCH_INVALID;
    }
    const uint8_t *author_pk;
    if (!core_author_key(c, b->epoch, b->author, &author_pk) || (c->self < 0 && !c->restoring)) {
        /* The epoch changed while the worker looked at it. */
        if (b->own)
            core_reroute(c, in->tx, in->txs);
        core_batch_drop(c, b);
        struct poa_effect *e = core_effect_add(c, POA_EFFECT_RELEASE, true);
        e->token = in->token;
        return POA_E_EPOCH;
    }
    b->bytes = in->bytes;
    b->tx = in->tx;
    b->txs = in->txs;
    b->token = in->token;
    b->token_held = true;
    c->batch_bytes += in->bytes.n;
    b->state = BATCH_VALID;
    author_link(c, b);
    if (!b->seq)
        b->seq = core_persist(c, POA_WAL_BATCH, in->bytes);
    if (b->seq <= c->durable || c->self < 0)
        b->durable = true;
    core_batch_count_holders(c, b);
    int32_t by = core_batch_author(c, b);
    if (by >= 0) {
        c->home_us[by] = c->now.us;
        c->home_skip[by] = false;
    }
    if (c->self >= 0 && !b->own && !c->restoring)
        core_batch_acknowledge(c, b);
    core_batches_changed(c);
    core_progress(c);
    return POA_OK;
}

void core_batches_durable(struct poa_core *c)
{
    for (uint32_t e = 0; e < 2; e++)
        for (uint32_t a = 0; a < authors(c) && c->batches_pending; a++)
            for (struct batch *b = c->author_tail[e][a]; b; b = b->older) {
                if (!b->durable && b->seq <= c->durable)
                    b->durable = true;
                core_batch_count_holders(c, b);
            }
    core_batches_changed(c);
    core_progress(c);
}

int core_on_batch_ack(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_batch_ack ack;
    int e = poa_batch_ack_decode(bytes, &ack);
    if (e)
        return e;
    if (peer >= c->n || ack.epoch != c->epoch)
        return POA_E_EPOCH;
    struct poa_list_iter it = poa_list_begin(&ack.batches);
    struct poa_digest d;
    while (poa_digest_next(&it, &d)) {
        struct batch *b = core_batch_find(c, d.digest);
        /* It is ahead of the batch: smaller, and more urgent. Final ones make room. */
        if (!b && c->batches_used - c->batches_done < c->batch_cap / 2 &&
            c->hints[peer] < c->batch_cap / 2 / c->n) {
            b = core_batch_add(c, d.digest);
            if (b) {
                b->hint = peer;
                c->hints[peer]++;
            }
        }
        if (b) {
            bit_set(b->holders, peer);
            held(c, b);
        }
    }
    core_batches_changed(c);
    core_progress(c);
    return POA_OK;
}

int core_on_get_batch(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_get_batch get;
    int e = poa_get_batch_decode(bytes, &get);
    if (e)
        return e;
    struct poa_list_iter it = poa_list_begin(&get.batches);
    struct poa_digest d;
    while (poa_digest_next(&it, &d)) {
        const struct batch *b = core_batch_find(c, d.digest);
        if (!b || !b->token_held)
            continue;
        if (!core_serve_allowed(c, peer, 8))
            return POA_E_RATE;
        core_send_to(c, POA_MSG_BATCH, b->bytes, peer, 0);
    }
    return POA_OK;
}

int core_restore_batch(struct poa_core *c, struct poa_slice bytes, uint64_t seq)
{
    struct poa_batch r;
    uint8_t digest[32];
    poa_batch_digest(bytes, digest);
    int e = batch_read(c, bytes, &r, digest, true);
    if (e)
        return e == POA_E_EPOCH ? POA_OK : e;
    const uint8_t *key;
    bool own = c->has_key && core_author_key(c, r.epoch, r.author, &key) && hash_eq(key, c->key);
    if (own && r.seq > c->batch_number)
        c->batch_number = r.seq;
    if (r.expires_ms < c->tip_time || core_batch_find(c, digest))
        return POA_OK;
    struct batch *b = core_batch_add(c, digest);
    if (!b)
        return POA_OK;
    core_batch_fill(b, &r);
    b->own = own;
    b->state = BATCH_CHECKING;
    b->restored = true;
    b->durable = true;
    b->seq = seq;
    core_check_effect(c, POA_MSG_BATCH, bytes, true, POA_PEER_OTHER);
    return POA_OK;
}

/* --- final --------------------------------------------------------------------------- */

void core_batches_final(struct poa_core *c, const struct poa_body *body, uint64_t height,
                        const struct poa_tx_result *tx, uint32_t txs)
{
    struct poa_list_iter it = poa_list_begin(&body->batches);
    struct poa_digest d;
    while (poa_digest_next(&it, &d)) {
        struct batch *b = core_batch_find(c, d.digest);
        if (b && b->state == BATCH_FINAL)
            continue;
        if (!b)
            b = core_batch_add(c, d.digest);
        if (!b)
            continue;
        if (b->linked && b->own && !b->restored) {
            c->lag_us = c->now.us - b->since_us;
            c->lag_at_us = c->now.us;
        }
        if (b->linked && b->number > c->author_listed[b->epoch & 1][b->author])
            c->author_listed[b->epoch & 1][b->author] = b->number;
        author_unlink(c, b);
        c->batches_done++;
        hint_end(c, b);
        b->state = BATCH_FINAL;
        b->height = height;
        b->queue = NULL;
        if (c->release_tail)
            c->release_tail->queue = b;
        else
            c->release_head = b;
        c->release_tail = b;
        if (!c->release_next)
            c->release_next = b;
    }
    /* Old ones give their memory back; a few at a time, or sooner under pressure. */
    for (uint32_t i = 0; i < 64 && c->release_next; i++) {
        struct batch *b = c->release_next;
        if (b->height + RELEASE_BLOCKS > height &&
            c->batch_bytes < c->limits.pending_batch_bytes / 2)
            break;
        if (b->height == height)
            break;
        token_release(c, b);
        c->release_next = b->queue;
    }
    if (c->routed_n)
        for (uint32_t i = 0; i < txs; i++) {
            struct routed *r = core_routed_find(c, tx[i].id);
            if (r && poa_error_class(tx[i].code) != POA_CLASS_RETRY)
                core_routed_drop(c, r);
            else if (r)
                r->batched = false;
        }
    c->settle_more = true;
    if (c->parked_n && c->batch_tick_us > c->now.us)
        c->batch_tick_us = c->now.us; /* nonces moved on */
    poa_mempool_settle(c->mempool, c->ledger, tx, txs, c->tip_time);
}

uint64_t core_batches_lag(const struct poa_core *c)
{
    uint64_t lag = c->now.us < c->lag_at_us + 1000000 ? c->lag_us : 0;
    for (uint32_t e = 0; e < 2 && c->self >= 0 && c->own_pending; e++) {
        const struct batch *b = c->author_head[e][c->self];
        if (b && b->own && !b->restored && c->now.us - b->since_us > lag)
            lag = c->now.us - b->since_us;
    }
    return lag;
}

uint64_t core_batches_oldest_seq(const struct poa_core *c, uint64_t below)
{
    for (uint32_t e = 0; e < 2; e++)
        for (uint32_t a = 0; a < authors(c) && c->batches_pending; a++)
            for (const struct batch *b = c->author_head[e][a]; b; b = b->newer)
                if (b->seq && b->seq < below)
                    below = b->seq;
    return below;
}

/* The same for those that a worker still looks at: own ones are in the log
 * before they are linked. Walks the table, so only when it matters. */
uint64_t core_batches_checking_seq(const struct poa_core *c, uint64_t below)
{
    for (uint32_t i = 0; i < c->batch_fresh; i++) {
        const struct batch *b = &c->batch[i];
        if (b->used && b->state == BATCH_CHECKING && b->seq && b->seq < below)
            below = b->seq;
    }
    return below;
}
