/* Packing: transactions become batches, and batches that came to nothing are
 * packed anew; what is sent, asked for and dropped in the course of time. */
#include "core.h"

/* Signs and publishes a batch of TXS. */
static bool batch_make(struct poa_core *c, const struct poa_list *txs)
{
    uint8_t digest[32];
    struct poa_batch r = {.epoch = c->epoch,
                          .author = (uint16_t)c->self,
                          .seq = c->batch_number + 1,
                          .expires_ms = c->now.wall_ms + BATCH_TTL_MS,
                          .txs = *txs};
    struct poa_slice bytes = core_encode(c, &poa_batch_record, &r);
    if (!bytes.n)
        return false;
    uint8_t *at = c->out + (bytes.p - c->out);
    poa_batch_digest(bytes, digest);
    uint8_t signed_digest[32];
    poa_batch_sig_digest(c->chain, digest, signed_digest);
    c->suite->sign(c->seed, c->key, signed_digest, 32, at + bytes.n - 64);
    struct batch *b = core_batch_add(c, digest);
    if (!b)
        return false;
    c->batch_number++;
    core_batch_fill(b, &r);
    b->own = true;
    b->state = BATCH_CHECKING;
    b->seq = core_persist(c, POA_WAL_BATCH, bytes);
    b->send_us = c->now.us;
    core_check_effect(c, POA_MSG_BATCH, bytes, true, POA_PEER_OTHER);
    /* It travels while our disk works, which we tell when it is done: first to who may be waiting.
     */
    uint8_t leader[16] = {0}, others[16] = {0};
    for (uint32_t i = 0; i < c->n; i++)
        if ((int32_t)i != c->self)
            bit_set(i == core_leader_of(c, c->view) ? leader : others, i);
    core_send_mask(c, POA_MSG_BATCH, bytes, leader, 0);
    core_send_mask(c, POA_MSG_BATCH, bytes, others, 0);
    core_batch_acknowledge(c, b);
    return true;
}

static void flush(struct poa_core *c)
{
    c->flush_us = NO_DEADLINE;
    c->flushed_us = c->now.us;
    c->pool_bytes = 0;
    if (!voter(c))
        return;
    for (int i = 0; i < 4; i++) {
        if (c->own_pending >= OWN_BATCHES_MAX || c->batches_pending >= c->limits.pending_batches) {
            c->flush_us = c->now.us + core_two_heartbeats(c) / 8;
            return;
        }
        size_t cap = c->limits.batch_flush_bytes;
        uint8_t *buffer = core_out_take(c, cap);
        if (!buffer) {
            c->flush_us = c->now.us;
            return;
        }
        struct poa_writer w = poa_writer_over(buffer, cap);
        uint32_t n = poa_mempool_take(c->mempool, &w, cap, POA_BATCH_TXS_MAX);
        if (!n)
            return;
        struct poa_list txs = {.bytes = poa_written(&w), .count = n};
        if (!batch_make(c, &txs))
            return;
        if (w.n < cap / 2 && n < POA_BATCH_TXS_MAX / 2)
            return;
    }
    c->flush_us = c->now.us;
}

/* The transactions of B, which will not be listed, look for a home again. */
void core_reroute(struct poa_core *c, const struct poa_tx_view *tx, uint32_t txs)
{
    struct routed *r;
    for (uint32_t i = 0; i < txs; i++) {
        int e = core_route_add(c, &tx[i], false, &r);
        if (!e)
            r->sent_us = 0; /* due at once, unless it is over */
        else if (e != POA_E_TX_DUPLICATE)
            poa_tx_gone_add(&c->gone, tx[i].id, e);
    }
}

/* An own batch ran out of time unlisted: its transactions get a new one. */
static void batch_renew(struct poa_core *c, const struct batch *b)
{
    size_t cap = b->bytes.n;
    uint8_t *buffer = voter(c) ? core_out_take(c, cap) : NULL;
    struct poa_writer w = poa_writer_over(buffer, cap);
    uint32_t n = 0;
    for (uint32_t i = 0; buffer && i < b->txs; i++) {
        struct poa_st_account a;
        if (poa_ledger_read(c->ledger, POA_STATE_BASE, POA_STATE_ACCOUNT, b->tx[i].tx.sender, 32,
                            &a))
            a.nonce = 0;
        struct poa_raw_tx raw = {.tx = b->tx[i].raw};
        if (a.nonce > b->tx[i].tx.nonce || poa_raw_tx_encode(&w, &raw))
            continue;
        n++;
    }
    struct poa_list txs = {.bytes = poa_written(&w), .count = n};
    if (!buffer || (n && !batch_make(c, &txs)))
        core_reroute(c, b->tx, b->txs);
}

static void batch_ask(struct poa_core *c, struct batch *b)
{
    struct poa_get_batch get = {.batches = {.bytes = poa_slice(b->digest, 32), .count = 1}};
    struct poa_slice bytes = core_encode(c, &poa_get_batch_record, &get);
    b->ask_us = c->now.us + (uint64_t)c->genesis->timeout_ms * 500;
    if (!bytes.n || c->n < 2 || c->self < 0 || c->mutant == POA_MUTANT_NO_FETCH)
        return;
    uint8_t to[16] = {0};
    for (uint32_t i = 0; i < c->n; i++)
        if (bit_get(b->holders, i) && (int32_t)i != c->self && b->tries > 0)
            bit_set(to, i);
    if (!b->tries && b->hint < c->n && (int32_t)b->hint != c->self)
        bit_set(to, b->hint);
    else
        bit_set(to, (b->tries + hash_low(b->digest)) % c->n == (uint32_t)c->self
                        ? (b->tries + hash_low(b->digest) + 1) % c->n
                        : (b->tries + hash_low(b->digest)) % c->n);
    core_send_mask(c, POA_MSG_GET_BATCH, bytes, to, 0);
    if (++b->tries > 6)
        core_behind(c, c->height + 1); /* its holders may have let go of it: follow */
}

/* Members that verify much acknowledge late, and to send them more of the same
 * would not help. Once enough have it the others fetch it when it is listed. */
static uint64_t resend_us(const struct poa_core *c, const struct batch *b)
{
    return core_two_heartbeats(c) << (b->sends + (b->safe ? 3 : 0));
}

void core_batches_tick(struct poa_core *c)
{
    if (c->restoring)
        return;
    if (c->flush_us <= c->now.us)
        flush(c);
    if (c->ack_us <= c->now.us)
        core_acks_tell(c);
    if (c->settle_more) {
        /* Settling may have freed transactions that waited for others. */
        c->settle_more = false;
        if (poa_mempool_count(c->mempool))
            core_flush_soon(c);
    }
    if (c->now.us < c->batch_tick_us)
        return;
    uint64_t step = (uint64_t)c->genesis->timeout_ms * 500;
    c->batch_tick_us = c->now.us + step;
    core_blocks_mark(c);
    for (uint32_t i = 0; i < c->batch_fresh && c->batches_used > c->batches_done; i++) {
        struct batch *b = &c->batch[i];
        if (!b->used)
            continue;
        switch (b->state) {
        case BATCH_HINT:
            if (c->now.us > b->since_us + (uint64_t)BATCH_TTL_MS * 1000)
                core_batch_drop(c, b);
            break;
        case BATCH_WANTED:
            if (b->ask_us <= c->now.us)
                batch_ask(c, b);
            if (b->tries > 16)
                core_batch_drop(c, b);
            break;
        case BATCH_VALID:
            if (b->expires_ms < c->tip_time || core_batch_has_run(c, b)) {
                if (b->mark == c->mark)
                    break; /* a block that may yet be final lists it */
                if (b->own)
                    batch_renew(c, b);
                core_batch_drop(c, b);
            } else if (b->own && voter(c) && c->now.us >= b->send_us + resend_us(c, b)) {
                /* Whoever has not acknowledged it may have lost it. */
                if (b->sends < 4)
                    b->sends++;
                uint8_t to[16] = {0};
                for (uint32_t m = 0; m < c->n; m++)
                    if (!bit_get(b->holders, m) && (int32_t)m != c->self)
                        bit_set(to, m);
                b->send_us = c->now.us;
                core_send_mask(c, POA_MSG_BATCH, b->bytes, to, 0);
                core_batch_acknowledge(c, b);
            }
            break;
        case BATCH_INVALID:
            if (c->now.us > b->since_us + (uint64_t)BATCH_TTL_MS * 1000 && b->mark != c->mark)
                core_batch_drop(c, b);
            break;
        case BATCH_CHECKING:
        case BATCH_FINAL:
            break;
        }
    }
    core_route_tick(c);
    core_batches_changed(c);
}

uint64_t core_batches_deadline(const struct poa_core *c)
{
    uint64_t d = c->restoring ? NO_DEADLINE : c->flush_us;
    if (!c->restoring && c->ack_us < d)
        d = c->ack_us;
    if (!c->restoring && (c->batches_used > c->batches_done || c->routed_n) && c->batch_tick_us < d)
        d = c->batch_tick_us;
    return d;
}

/* We are no home any more: what we accepted goes to those who are. */
void core_homeless(struct poa_core *c)
{
    struct routed *r;
    struct poa_tx_view v;
    struct poa_raw_tx raw;
    for (uint32_t i = 0; i < c->batch_fresh; i++) {
        struct batch *b = &c->batch[i];
        if (!b->used || b->state != BATCH_VALID)
            continue;
        if (b->own)
            core_reroute(c, b->tx, b->txs);
        core_batch_drop(c, b);
    }
    size_t cap = c->limits.batch_flush_bytes;
    uint8_t *buffer = core_out_take(c, cap);
    for (int rounds = 0; buffer && rounds < 256; rounds++) {
        struct poa_writer w = poa_writer_over(buffer, cap);
        struct poa_list list = {.count = poa_mempool_take(c->mempool, &w, cap, POA_BATCH_TXS_MAX)};
        list.bytes = poa_written(&w);
        struct poa_list_iter it = poa_list_begin(&list);
        while (poa_raw_tx_next(&it, &raw)) {
            int e = poa_tx_parse(c->chain, raw.tx, &v);
            if (!e && (e = core_route_add(c, &v, false, &r)) != POA_OK && e != POA_E_TX_DUPLICATE)
                poa_tx_gone_add(&c->gone, v.id, e);
        }
        if (!list.count)
            break;
    }
    poa_mempool_clear(c->mempool);
}

/* A new committee: batches of the epoch before last are gone, indices of
 * holders changed. */
void core_batches_epoch(struct poa_core *c)
{
    for (uint32_t i = 0; i < c->batch_fresh; i++) {
        struct batch *b = &c->batch[i];
        const uint8_t *key;
        if (!b->used || b->state == BATCH_FINAL)
            continue;
        if ((b->state == BATCH_VALID || b->state == BATCH_CHECKING) &&
            core_author_key(c, b->epoch, b->author, &key)) {
            memset(b->holders, 0, sizeof b->holders);
            b->safe = b->told = false;
            c->ack_us = c->now.us + core_t0_us(c) / 4;
            core_batch_count_holders(c, b);
            b->hint = POA_PEER_OTHER;
            if (b->epoch != c->epoch && b->own)
                b->send_us = 0;
            continue;
        }
        if (b->state == BATCH_VALID && b->own)
            batch_renew(c, b);
        core_batch_drop(c, b);
    }
    for (uint32_t a = 0; a < POA_COMMITTEE_MAX; a++) {
        c->author_listed[c->epoch & 1][a] = 0;
        c->home_us[a] = c->now.us;
        c->home_skip[a] = false;
    }
    if (c->self < 0)
        core_homeless(c);
    /* Homes are others now, and indices mean other members. */
    for (struct routed *r = c->routed_head; r; r = r->newer) {
        core_parked_end(c, r);
        r->home = c->self >= 0 ? core_home_rank(c, r->sender, 0) : 0;
        r->sent_us = 0;
    }
}
