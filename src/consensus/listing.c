/* Which batches a block may list, and in what order. */
#include "core.h"

bool core_batch_listable(const struct poa_core *c, const struct batch *b)
{
    if (!b->safe)
        return false;
    /* A gap in the author's numbers is waited for: a nonce that comes too early
     * fails. */
    uint64_t before = b->older ? b->older->number : c->author_listed[b->epoch & 1][b->author];
    /* What the log remembers is not all that there was: the first one after a
     * restart has no known predecessor. */
    if (b->older && b->older->restored && !b->restored)
        before = 0;
    bool first = !(b->number & ((1u << LIFE_BITS) - 1)); /* since its author started */
    return !before || first || b->number == before + 1 ||
           c->now.us >= b->since_us + core_two_heartbeats(c);
}

bool core_batch_waits(const struct poa_core *c)
{
    return c->listable > 0;
}

/* After a restart the core cannot know all that older blocks listed: a restored
 * batch of which every transaction has run is one of them. */
bool core_batch_has_run(struct poa_core *c, const struct batch *b)
{
    if (!b->restored)
        return false;
    for (uint32_t i = 0; i < b->txs; i++) {
        struct poa_st_account a;
        if (poa_ledger_read(c->ledger, POA_STATE_BASE, POA_STATE_ACCOUNT, b->tx[i].tx.sender, 32,
                            &a) ||
            a.nonce <= b->tx[i].tx.nonce)
            return b->tries > 3; /* listed in vain: others know it from an older block */
    }
    return true;
}

/* An author keeps a batch from most members: those after it need not wait any
 * longer than for a gap in its numbers. */
static bool withheld(const struct poa_core *c, const struct batch *b)
{
    return !b->safe && c->now.us >= b->since_us + core_two_heartbeats(c);
}

/* Counts listable batches that no block on the way lists: looked at whenever a
 * batch or the view changes. */
void core_batches_count(struct poa_core *c)
{
    uint32_t n = 0;
    const struct block *top = NULL;
    for (uint64_t v = c->view; v-- > c->tip_view + 1;) {
        const struct slot *s = core_slot_get(c, v);
        if (s && s->cert[POA_VOTE_NOTARIZE].have) {
            top = core_block_find(c, s->cert[POA_VOTE_NOTARIZE].hash);
            break;
        }
    }
    core_path_mark(c, top);
    for (uint32_t e = 0; e < 2; e++)
        for (uint32_t a = 0; a < authors(c) && !n && c->batches_pending; a++) {
            const struct batch *b = c->author_head[e][a];
            while (b && (b->mark == c->mark || withheld(c, b) || core_batch_has_run(c, b)))
                b = b->newer;
            n += b && core_batch_listable(c, b);
        }
    c->listable = n;
}

/* A batch may have become listable. */
void core_batches_changed(struct poa_core *c)
{
    if (c->restoring || c->self < 0)
        return;
    bool before = c->listable > 0;
    core_batches_count(c);
    if (c->listable && !before)
        core_batch_ready(c);
}

/* path_mark has marked what the ancestors list. Authors take turns; one author's
 * batches keep their order. */
uint32_t core_batches_list(struct poa_core *c, uint64_t time_ms, struct poa_writer *w)
{
    struct batch *at[2 * POA_COMMITTEE_MAX];
    uint32_t n = 0, txs = 0, heads = 0;
    size_t bytes = 0;
    for (uint32_t e = 0; e < 2; e++) {
        uint32_t parity = (c->epoch + 1 + e) & 1; /* the old epoch's come first */
        for (uint32_t a = 0; a < authors(c); a++)
            if (c->author_head[parity][a])
                at[heads++] = c->author_head[parity][a];
    }
    while (heads) {
        for (uint32_t i = 0; i < heads;) {
            struct batch *b = at[i];
            while (b && (b->mark == c->mark || b->expires_ms < time_ms || withheld(c, b) ||
                         core_batch_has_run(c, b)))
                b = b->newer;
            if (!b || !core_batch_listable(c, b) || n == 256 || b->txs > BLOCK_TXS - txs ||
                b->bytes.n > POA_BLOCK_TX_BYTES_MAX - bytes) {
                at[i] = at[--heads];
                continue;
            }
            poa_write(w, b->digest, 32);
            b->mark = c->mark;
            b->tries++;
            txs += b->txs;
            bytes += b->bytes.n;
            n++;
            at[i++] = b;
        }
    }
    return n;
}
