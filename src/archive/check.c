/* Is what a database says what the chain proves? */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"

struct checking {
    struct poa_store *s;
    struct poa_archive_check *c;
    uint8_t *genesis;
    size_t genesis_n;
    struct committees committees;
    struct poa_chain_check at;
    struct follower *f;
    struct poa_ledger *ledger;
    struct poa_list_iter batches;
    struct poa_store_value batch;
};

static void wrong(struct checking *k, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void wrong(struct checking *k, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    k->c->faults++;
    if (k->c->wrong)
        k->c->wrong(k->c->ctx, text);
}

/* The code of a failed read, with what LevelDB says of it. */
static void unreadable(struct checking *k, const char *what, int rc)
{
    struct poa_why why = {""};
    poa_store_why(k->s, &why);
    wrong(k, "%s: %s", what,
          rc == POA_E_NOT_FOUND ? "missing"
          : why.text[0]         ? why.text
                                : poa_error_text(rc));
}

/* --- genesis and hand-overs ----------------------------------------------------------- */

static bool check_genesis(struct checking *k)
{
    struct poa_store_value v = {.own = NULL};
    struct poa_slice g = k->c->genesis;
    uint8_t chain[32];
    int rc = poa_store_get_meta(k->s, POA_META_GENESIS, &v);
    if (!rc)
        g = v.bytes;
    if (rc && !g.n) {
        unreadable(k, "meta: the genesis record", rc);
        return false;
    }
    poa_genesis_chain_id(g, chain);
    k->genesis = malloc(g.n + 1);
    bool ok = k->genesis && memcmp(chain, poa_store_chain(k->s), 32) == 0;
    if (ok) {
        memcpy(k->genesis, g.p, g.n);
        k->genesis_n = g.n;
        ok = follow_begin(&k->at, poa_slice(k->genesis, k->genesis_n)) == POA_OK;
    }
    poa_store_value_free(&v);
    if (!ok)
        wrong(k, "meta: the genesis record is not that of the chain");
    return ok;
}

/* Hand-overs as far as they go, up to the epoch of the first block. */
static void check_hand_overs(struct checking *k, uint32_t first_epoch)
{
    for (;;) {
        char name[POA_STORE_NAME_MAX + 1];
        struct poa_store_value v;
        struct poa_run run;
        uint32_t epoch = k->at.epoch;
        if (epoch == first_epoch) {
            k->f->check = k->at;
            k->f->check.committee.members.bytes.p = k->f->check.members;
        }
        snprintf(name, sizeof name, POA_META_HAND_OVER, epoch);
        int rc = poa_store_get_meta(k->s, name, &v);
        if (rc == POA_E_NOT_FOUND)
            return;
        if (!rc)
            rc = poa_run_decode(v.bytes, &run);
        if (!rc)
            rc = poa_chain_run(&k->at, &run, true);
        if (!rc && k->at.epoch != epoch + 1)
            rc = POA_E_BLOCK_INVALID;
        if (!rc)
            rc = committees_add(&k->committees, epoch, run.next);
        poa_store_value_free(&v);
        if (rc) {
            wrong(k, "meta: the hand-over of epoch %u: %s", epoch,
                  k->at.wrong ? k->at.wrong : poa_error_text(rc));
            return;
        }
        k->c->certificates++;
    }
}

/* --- blocks ------------------------------------------------------------------------------ */

static int next_batch(void *ctx, struct poa_slice *out)
{
    struct checking *k = ctx;
    struct poa_stored_locator at;
    poa_store_value_free(&k->batch);
    if (!poa_stored_locator_next(&k->batches, &at))
        return POA_E_BATCH_MISSING;
    int rc = poa_store_get_batch_at(k->s, at.number, &k->batch);
    *out = k->batch.bytes;
    return rc;
}

static void check_receipts(struct checking *k, uint64_t height, uint64_t txs)
{
    struct poa_store_value v;
    struct poa_stored_receipts r;
    int rc = poa_store_get_receipts(k->s, height, &v, &r);
    /* The block that a snapshot began with has none. */
    if (rc == POA_E_NOT_FOUND && (!txs || height == k->c->first))
        return;
    if (rc)
        unreadable(k, "receipts", rc);
    else if (r.txs != txs)
        wrong(k, "receipts: those of block %llu are of %u transactions, not of %llu",
              (unsigned long long)height, r.txs, (unsigned long long)txs);
    poa_store_value_free(&v);
}

/* False: nothing after it can be proven. */
static bool check_block(struct checking *k, uint64_t height)
{
    struct poa_store_value v;
    struct poa_stored_block blk;
    struct poa_header h;
    uint8_t hash[32];
    uint64_t txs = 0;
    bool proven = false;
    int rc = poa_store_get_block(k->s, height, &v, &blk);
    if (rc) {
        char what[48];
        snprintf(what, sizeof what, "blocks: %llu", (unsigned long long)height);
        unreadable(k, what, rc);
        return false;
    }
    k->batches = poa_list_begin(&blk.batches);
    rc = block_bodies(blk.header, blk.body, next_batch, k, &h, &txs);
    poa_store_value_free(&k->batch);
    if (!rc && h.height != height)
        rc = POA_E_BLOCK_INVALID;
    if (!rc)
        poa_header_hash(&h, hash);
    if (!rc && memcmp(hash, blk.hash, 32) != 0)
        rc = POA_E_BLOCK_INVALID;
    if (!rc)
        rc = follow_block(k->f, &h, blk.header, blk.cert, blk.fillers, blk.fillers_n, &proven);
    if (rc)
        wrong(k, "blocks: %llu: %s", (unsigned long long)height,
              k->f->check.wrong ? k->f->check.wrong : poa_error_text(rc));
    else
        check_receipts(k, height, txs);
    k->c->certificates += proven;
    k->c->txs += txs;
    if (proven)
        k->c->proven = height;
    poa_store_value_free(&v);
    return !rc;
}

static void check_blocks(struct checking *k)
{
    struct poa_archive_check *c = k->c;
    struct poa_store_value v = {.own = NULL};
    struct poa_stored_block blk;
    struct poa_header h;
    int rc = poa_store_heights(k->s, &c->first, &c->last);
    if (!rc && c->last)
        rc = poa_store_get_block(k->s, c->first, &v, &blk);
    if (!rc && c->last)
        rc = poa_header_decode(blk.header, &h);
    poa_store_value_free(&v);
    if (rc) {
        unreadable(k, "blocks: the first one", rc);
        return;
    }
    check_hand_overs(k, c->last ? h.epoch : 0);
    if (!c->last)
        return;
    if (k->f->check.epoch != h.epoch || !k->f->check.suite) {
        wrong(k, "meta: the hand-overs do not lead to epoch %u, with which the blocks begin",
              h.epoch);
        return;
    }
    k->f->gap = c->first > 1;
    for (uint64_t at = c->first; at <= c->last && check_block(k, at); at++)
        archive_tell(&c->progress, "checking blocks", at - c->first, c->last - c->first + 1);
}

/* --- the state ------------------------------------------------------------------------------ */

static int put_state(void *ctx, const uint8_t key32[32], struct poa_slice value)
{
    struct checking *k = ctx;
    struct poa_entry e = {.value = value};
    memcpy(e.key, key32, 32);
    if (++k->c->state_entries % 65536 == 0)
        archive_tell(&k->c->progress, "checking the state", poa_be64(key32) >> 32,
                     (uint64_t)1 << 32);
    return poa_ledger_restore_put(k->ledger, &e);
}

static void check_state(struct checking *k)
{
    struct poa_stored_checkpoint at;
    int rc = poa_store_get_checkpoint(k->s, &at);
    if (rc == POA_E_NOT_FOUND)
        return;
    if (!rc)
        rc = archive_ledger_new(poa_slice(k->genesis, k->genesis_n), &k->ledger);
    if (!rc)
        rc = poa_ledger_restore_begin(k->ledger);
    if (!rc)
        rc = poa_store_each_state(k->s, put_state, k);
    if (rc) {
        unreadable(k, "state", rc);
        return;
    }
    k->c->checkpoint = at.height;
    rc = poa_ledger_restore_end(k->ledger, at.root);
    if (rc)
        wrong(k, "state: its root is not that of the checkpoint at height %llu",
              (unsigned long long)at.height);
    struct poa_store_value v = {.own = NULL};
    struct poa_stored_block blk;
    struct poa_header h;
    if (!rc && at.height < k->c->proven && !poa_store_get_block(k->s, at.height + 1, &v, &blk) &&
        !poa_header_decode(blk.header, &h) && memcmp(h.state, at.root, 32) != 0)
        wrong(k, "state: the one of height %llu is not the one that block %llu certifies",
              (unsigned long long)at.height, (unsigned long long)at.height + 1);
    if (!rc && at.height > k->c->last)
        wrong(k, "state: the checkpoint is of height %llu, the last block of %llu",
              (unsigned long long)at.height, (unsigned long long)k->c->last);
    poa_store_value_free(&v);
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void audit_progress(void *ctx, const char *space, uint64_t entries)
{
    struct checking *k = ctx;
    char what[64];
    snprintf(what, sizeof what, "reading %s", space);
    archive_tell(&k->c->progress, what, entries, 0);
}

static void audit_wrong(void *ctx, const char *text)
{
    wrong(ctx, "%s", text);
}

int poa_archive_check(struct poa_store *s, struct poa_archive_check *c)
{
    struct checking *k = calloc(1, sizeof *k);
    struct follower *f = calloc(1, sizeof *f);
    int rc = k && f ? POA_OK : POA_E_NO_MEMORY;
    c->faults = 0;
    if (!rc) {
        k->c = c;
        k->f = f;
        f->committees = &k->committees;
        rc = poa_store_freeze(s, &k->s);
    }
    if (!rc) {
        struct poa_store_audit a = {.progress = audit_progress, .wrong = audit_wrong, .ctx = k};
        (void)!poa_store_audit(k->s, &a, poa_batch_digest);
        c->entries = a.entries;
        c->bytes = a.bytes;
        c->blob_bytes = a.blob_bytes;
        c->blob_bytes_said = a.blob_bytes_said;
        if (check_genesis(k)) {
            check_blocks(k);
            check_state(k);
        }
        poa_store_thaw(k->s);
        poa_ledger_free(k->ledger);
        committees_free(&k->committees);
        free(k->genesis);
        rc = c->faults ? POA_E_STORE_CORRUPT : POA_OK;
    }
    free(f);
    free(k);
    return rc;
}
