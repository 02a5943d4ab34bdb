/* Groups of writes, and what deletes. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/* What LevelDB's log adds to an operation: tags, lengths, a share of the
 * record heads. Only for poa_store_batch_bytes. */
#define OP_OVERHEAD 16
/* Deletions per write of forget, prune and expire. */
#define DELETE_GROUP 512
/* What a deletion takes in LevelDB's memory besides its key. */
#define DELETE_BYTES 32

int poa_store_batch_new(struct poa_store *s, struct poa_store_batch **out)
{
    struct poa_store_batch *b = calloc(1, sizeof *b);
    if (!b)
        return POA_E_NO_MEMORY;
    b->store = s;
    b->wb = leveldb_writebatch_create();
    *out = b;
    return POA_OK;
}

void poa_store_batch_free(struct poa_store_batch *b)
{
    if (!b)
        return;
    leveldb_writebatch_destroy(b->wb);
    free(b->scratch);
    free(b);
}

size_t poa_store_batch_bytes(const struct poa_store_batch *b)
{
    return b->bytes;
}

size_t poa_store_batch_ops(const struct poa_store_batch *b)
{
    return b->ops;
}

static void put(struct poa_store_batch *b, const struct key *k, const void *value, size_t n)
{
    leveldb_writebatch_put(b->wb, k->p, k->n, value, n);
    b->bytes += k->n + n + OP_OVERHEAD;
    b->ops++;
}

static void delete (struct poa_store_batch *b, const struct key *k)
{
    leveldb_writebatch_delete(b->wb, k->p, k->n);
    b->bytes += k->n + OP_OVERHEAD;
    b->ops++;
}

/* Room to encode N bytes; NULL when out of memory. */
static uint8_t *scratch(struct poa_store_batch *b, size_t n)
{
    if (b->scratch_cap < n) {
        uint8_t *p = realloc(b->scratch, n);
        if (!p)
            return NULL;
        b->scratch = p;
        b->scratch_cap = n;
    }
    return b->scratch;
}

/* Blocks reach a megabyte; the buffer for one must not stay for ever. */
#define SCRATCH_KEEP 65536
static void scratch_trim(struct poa_store_batch *b)
{
    if (b->scratch_cap > SCRATCH_KEEP) {
        free(b->scratch);
        b->scratch = NULL;
        b->scratch_cap = 0;
    }
}

/* --- batches that are in the group but not in the database yet ----------------------- */

static size_t fresh_slot(const struct poa_store_batch *b, const uint8_t digest32[32])
{
    size_t i = poa_le64(digest32) % FRESH_SLOTS;
    while (b->slot[i] && memcmp(b->fresh[b->slot[i] - 1].digest, digest32, 32) != 0)
        i = (i + 1) % FRESH_SLOTS;
    return i;
}

static int find_batch(struct poa_store_batch *b, const uint8_t digest32[32], uint64_t *number,
                      uint64_t *height)
{
    uint16_t at = b->slot[fresh_slot(b, digest32)];
    if (at) {
        *number = b->fresh[at - 1].number;
        *height = 0;
        return POA_OK;
    }
    return store_known(b->store, digest32, number, height);
}

static void put_digest(struct poa_store_batch *b, const uint8_t digest32[32], uint64_t number,
                       uint64_t height)
{
    uint8_t value[DIGEST_VALUE_BYTES];
    poa_put_le64(value, number);
    poa_put_le64(value + 8, height);
    struct key k = key_bytes(SPACE_DIGEST, digest32, 32);
    put(b, &k, value, sizeof value);
    store_know(b->store, digest32, number, height);
}

/* --- puts ------------------------------------------------------------------------------- */

void poa_store_put_record(struct poa_store_batch *b, uint64_t seq, uint16_t type,
                          struct poa_slice bytes)
{
    POA_ASSERT(type < RECORD_REFERENCE);
    uint8_t *p = scratch(b, bytes.n + 1);
    POA_ASSERT(p);
    p[0] = (uint8_t)type;
    if (bytes.n)
        memcpy(p + 1, bytes.p, bytes.n);
    struct key k = key_number(SPACE_RECORD, seq);
    put(b, &k, p, bytes.n + 1);
    scratch_trim(b);
}

int poa_store_put_batch(struct poa_store_batch *b, uint64_t seq, uint16_t type,
                        const uint8_t digest32[32], struct poa_slice bytes)
{
    POA_ASSERT(type < RECORD_REFERENCE);
    uint64_t number = 0, height = 0;
    int rc = find_batch(b, digest32, &number, &height);
    if (rc == POA_E_NOT_FOUND) {
        if (b->fresh_n == POA_STORE_GROUP_MAX)
            return POA_E_FULL;
        number = b->store->next_batch++;
        struct fresh *f = &b->fresh[b->fresh_n++];
        memcpy(f->digest, digest32, 32);
        f->number = number;
        b->slot[fresh_slot(b, digest32)] = (uint16_t)b->fresh_n;
        struct key k = key_number(SPACE_BATCH, number);
        put(b, &k, bytes.p, bytes.n);
        put_digest(b, digest32, number, 0);
    } else if (rc) {
        return rc;
    }
    if (seq) {
        uint8_t value[1 + LOCATOR_BYTES];
        value[0] = (uint8_t)(type | RECORD_REFERENCE);
        poa_put_le64(value + 1, number);
        memcpy(value + 9, digest32, 32);
        struct key k = key_number(SPACE_RECORD, seq);
        put(b, &k, value, sizeof value);
    }
    return POA_OK;
}

static int put_encoded(struct poa_store_batch *b, const struct key *k, const struct poa_record *rec,
                       const void *from, size_t cap)
{
    uint8_t *p = scratch(b, cap);
    if (!p)
        return POA_E_NO_MEMORY;
    struct poa_writer w = poa_writer_over(p, cap);
    int rc = poa_record_encode(rec, &w, from);
    if (rc)
        return POA_E_INVALID;
    put(b, k, w.p, w.n);
    scratch_trim(b);
    return POA_OK;
}

static int put_receipts(struct poa_store_batch *b, const struct poa_store_block *blk)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < blk->txs; i++)
        failed += blk->tx[i].code != 0;
    uint8_t *list = malloc(6 * (size_t)failed + 1);
    if (!list)
        return POA_E_NO_MEMORY;
    struct poa_writer w = poa_writer_over(list, 6 * (size_t)failed);
    for (uint32_t i = 0; i < blk->txs; i++) {
        if (blk->tx[i].code) {
            poa_write_u32(&w, i);
            poa_write_u16(&w, blk->tx[i].code);
        }
    }
    struct poa_stored_receipts r = {.txs = blk->txs,
                                    .failed = {.bytes = poa_written(&w), .count = failed}};
    struct key k = key_number(SPACE_RECEIPTS, blk->height);
    int rc = put_encoded(b, &k, &poa_stored_receipts_record, &r, 16 + w.n);
    free(list);
    return rc;
}

/* A skipped transaction may come again, in this block or later: the entry of
 * the one that was executed is what stays. */
static int put_index(struct poa_store_batch *b, const struct poa_store_block *blk)
{
    for (int executed = 0; executed <= 1; executed++) {
        for (uint32_t i = 0; i < blk->txs; i++) {
            if ((blk->tx[i].code == 0) != executed)
                continue;
            struct key k = key_bytes(SPACE_TX, blk->tx[i].id, 32);
            if (!executed) {
                if (b->indexed) { /* what the lookup must see */
                    int rc = poa_store_write(b, false);
                    if (rc)
                        return rc;
                }
                struct poa_store_value old;
                int rc = store_get(b->store, SPACE_TX, &k, &old);
                poa_store_value_free(&old);
                if (rc == POA_OK)
                    continue;
                if (rc != POA_E_NOT_FOUND)
                    return rc;
            }
            uint8_t value[12];
            poa_put_le64(value, blk->height);
            poa_put_le32(value + 8, i);
            put(b, &k, value, sizeof value);
            b->indexed |= executed;
        }
    }
    return POA_OK;
}

int poa_store_put_block(struct poa_store_batch *b, const struct poa_store_block *blk)
{
    uint8_t *locators = malloc(LOCATOR_BYTES * (size_t)blk->batches + 1);
    if (!locators)
        return POA_E_NO_MEMORY;
    struct poa_writer w = poa_writer_over(locators, LOCATOR_BYTES * (size_t)blk->batches);
    int rc = POA_OK;
    for (uint32_t i = 0; !rc && i < blk->batches; i++) {
        uint64_t number = 0, height = 0;
        rc = find_batch(b, blk->batch[i], &number, &height);
        if (rc)
            break;
        poa_write_u64(&w, number);
        poa_write(&w, blk->batch[i], 32);
        put_digest(b, blk->batch[i], number, blk->height);
    }
    if (!rc) {
        struct poa_stored_block r = {
            .header = blk->header,
            .body = blk->body,
            .cert = blk->cert,
            .fillers = blk->fillers,
            .fillers_n = blk->fillers_n,
            .batches = {.bytes = poa_written(&w), .count = blk->batches},
        };
        memcpy(r.hash, blk->hash, 32);
        memcpy(r.root, blk->root, 32);
        struct key k = key_number(SPACE_BLOCK, blk->height);
        rc = put_encoded(b, &k, &poa_stored_block_record, &r,
                         128 + blk->header.n + blk->body.n + blk->cert.n + blk->fillers.n + w.n);
    }
    if (!rc) {
        uint8_t height[8];
        poa_put_le64(height, blk->height);
        struct key k = key_bytes(SPACE_HASH, blk->hash, 32);
        put(b, &k, height, sizeof height);
    }
    if (!rc && blk->txs)
        rc = put_receipts(b, blk);
    if (!rc && b->store->tx_index)
        rc = put_index(b, blk);
    free(locators);
    return rc;
}

int poa_store_put_cert(struct poa_store_batch *b, uint64_t height, struct poa_slice cert)
{
    struct poa_store_value v;
    struct poa_stored_block blk;
    int rc = poa_store_get_block(b->store, height, &v, &blk);
    if (rc)
        return rc;
    blk.cert = cert;
    struct key k = key_number(SPACE_BLOCK, height);
    rc = put_encoded(b, &k, &poa_stored_block_record, &blk, v.bytes.n + cert.n + 16);
    poa_store_value_free(&v);
    return rc;
}

void poa_store_put_meta(struct poa_store_batch *b, const char *name, struct poa_slice value)
{
    struct key k = key_bytes(SPACE_META, name, strlen(name));
    put(b, &k, value.p, value.n);
}

void poa_store_put_state(struct poa_store_batch *b, const uint8_t key32[32], struct poa_slice value)
{
    struct key k = key_bytes(SPACE_STATE, key32, 32);
    if (value.n)
        put(b, &k, value.p, value.n);
    else
        delete (b, &k);
}

int poa_store_put_checkpoint(struct poa_store_batch *b, const struct poa_stored_checkpoint *c)
{
    struct key k = key_bytes(SPACE_META, "checkpoint", 10);
    return put_encoded(b, &k, &poa_stored_checkpoint_record, c, 64);
}

/* Whether the group may hold a blob under HASH already. */
static bool blob_waits(const struct poa_store_batch *b, const uint8_t hash32[32])
{
    for (uint32_t i = 0; i < b->blobs; i++)
        if (b->blob[i] == poa_le64(hash32))
            return true;
    return b->blobs == BLOBS_GROUP;
}

int poa_store_put_blob(struct poa_store_batch *b, uint8_t kind, const uint8_t hash32[32],
                       uint64_t expires_ms, struct poa_slice bytes)
{
    struct key k = key_blob(kind, hash32);
    uint8_t *p = scratch(b, bytes.n + 8);
    struct poa_store_value old = {.own = NULL};
    int rc = p ? POA_OK : POA_E_NO_MEMORY;
    if (!rc && blob_waits(b, hash32)) /* what the lookup must see */
        rc = poa_store_write(b, false);
    if (!rc)
        rc = store_get(b->store, SPACE_BLOB, &k, &old);
    if (!rc)
        b->blob_delta -= old.bytes.n - 8 + BLOB_BYTES;
    poa_store_value_free(&old);
    if (rc && rc != POA_E_NOT_FOUND)
        return rc;
    poa_put_le64(p, expires_ms);
    memcpy(p + 8, bytes.p, bytes.n);
    put(b, &k, p, bytes.n + 8);
    struct key y = key_expiry(expires_ms, kind, hash32);
    put(b, &y, "", 0);
    b->blob[b->blobs++] = poa_le64(hash32);
    b->blob_delta += bytes.n + BLOB_BYTES;
    scratch_trim(b);
    return POA_OK;
}

/* The sum of all blobs is written with what changes it. */
static void put_blob_bytes(leveldb_writebatch_t *wb, uint64_t bytes)
{
    uint8_t le[8];
    poa_put_le64(le, bytes);
    struct key k = key_bytes(SPACE_META, META_BLOB_BYTES, strlen(META_BLOB_BYTES));
    leveldb_writebatch_put(wb, k.p, k.n, (const char *)le, sizeof le);
}

static int write_next(struct poa_store *s, leveldb_writebatch_t *wb, bool sync, size_t bytes)
{
    int failed = atomic_load(&s->failed);
    if (failed)
        return failed;
    /* LevelDB begins a new log when its memory is full and leaves what was not
     * synced in the old one: after a power cut that could be missing, and what was
     * written to the new one be there. So nothing is left unsynced from half of
     * that memory on. */
    s->in_log += bytes;
    sync |= s->in_log > s->write_buffer / 2 || s->reclaiming;
    char *message = NULL;
    leveldb_write(s->db, sync ? s->sync : s->lazy, wb, &message);
    if (message) {
        int rc = store_error(s, SPACE_RECORD, "writing the", message);
        atomic_store(&s->failed, rc);
        return rc;
    }
    if (store_mark_log(s, sync))
        s->in_log = bytes;
    s->writes++;
    s->synced += sync;
    s->bytes += bytes;
    return POA_OK;
}

int store_write(struct poa_store *s, leveldb_writebatch_t *wb, bool sync, size_t bytes)
{
    pthread_mutex_lock(&s->write_mutex);
    int rc = write_next(s, wb, sync, bytes);
    pthread_mutex_unlock(&s->write_mutex);
    return rc;
}

int store_write_blob_bytes(struct poa_store *s)
{
    leveldb_writebatch_t *wb = leveldb_writebatch_create();
    put_blob_bytes(wb, s->blob_bytes);
    int rc = store_write(s, wb, true, 64);
    leveldb_writebatch_destroy(wb);
    return rc;
}

int store_probe(struct poa_store *s)
{
    leveldb_writebatch_t *nothing = leveldb_writebatch_create();
    int rc = store_write(s, nothing, true, 0);
    leveldb_writebatch_destroy(nothing);
    return rc;
}

int poa_store_write(struct poa_store_batch *b, bool sync)
{
    uint64_t blob_bytes = b->store->blob_bytes + b->blob_delta; /* the delta may be below 0 */
    if (b->blobs)
        put_blob_bytes(b->wb, blob_bytes);
    int rc = store_write(b->store, b->wb, sync, b->bytes);
    if (!rc && b->blobs)
        b->store->blob_bytes = blob_bytes;
    leveldb_writebatch_clear(b->wb);
    b->blobs = 0;
    b->blob_delta = 0;
    b->bytes = 0;
    b->ops = 0;
    b->indexed = false;
    if (b->fresh_n) {
        memset(b->slot, 0, sizeof b->slot);
        b->fresh_n = 0;
    }
    b->store->batches = b->store->next_batch - 1;
    return rc;
}

/* --- deletions ------------------------------------------------------------------------------ */

struct reference {
    uint64_t number, seq; /* of the batch; of the record */
};

/* What a pass over a key space does with an entry. */
struct sweep {
    struct poa_store *store;
    leveldb_writebatch_t *wb;
    size_t bytes;   /* in it */
    uint64_t freed; /* of blobs */
    enum space space;
    struct key first;
    uint64_t below; /* numbers from here on stay */
    uint32_t max;
    int (*entry)(struct sweep *w, const struct key *k, struct poa_slice value);
    /* By number of a batch, the last record that refers to it; looked up when needed. */
    struct reference *last;
    size_t references;
    bool looked;
};

static void erase(struct sweep *w, const struct key *k)
{
    leveldb_writebatch_delete(w->wb, k->p, k->n);
    w->bytes += k->n + DELETE_BYTES;
}

static void erase_batch(struct sweep *w, const struct poa_stored_locator *at)
{
    struct key b = key_number(SPACE_BATCH, at->number);
    struct key d = key_bytes(SPACE_DIGEST, at->digest, 32);
    erase(w, &b);
    erase(w, &d);
    store_unknow(w->store, at->digest);
}

static int by_number(const void *a, const void *b)
{
    const struct reference *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_number_and_seq(const void *a, const void *b)
{
    const struct reference *x = a, *y = b;
    int order = by_number(a, b);
    return order ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

static int note_reference(struct sweep *w, size_t *cap, uint64_t seq, uint64_t number)
{
    if (w->references == *cap) {
        *cap = *cap ? 2 * *cap : 256;
        struct reference *p = realloc(w->last, *cap * sizeof *p);
        if (!p)
            return POA_E_NO_MEMORY;
        w->last = p;
    }
    w->last[w->references++] = (struct reference){number, seq};
    return POA_OK;
}

/* The last of all references to each number. */
static void keep_last(struct sweep *w)
{
    size_t n = 0;
    if (w->references)
        qsort(w->last, w->references, sizeof *w->last, by_number_and_seq);
    for (size_t i = 0; i < w->references; i++) {
        if (n && w->last[n - 1].number == w->last[i].number)
            n--;
        w->last[n++] = w->last[i];
    }
    w->references = n;
}

/* A batch that was dropped and came again has a second record. */
static int find_references(struct sweep *w, const struct key *from)
{
    leveldb_iterator_t *it = leveldb_create_iterator(w->store->db, w->store->scan);
    struct poa_stored_locator at;
    size_t cap = 0, n = 0;
    int rc = POA_OK;
    for (leveldb_iter_seek(it, from->p, from->n); !rc && leveldb_iter_valid(it);
         leveldb_iter_next(it)) {
        const char *k = leveldb_iter_key(it, &n);
        if (n != 9 || k[0] != SPACE_RECORD)
            break;
        uint64_t seq = poa_be64((const uint8_t *)k + 1);
        const char *v = leveldb_iter_value(it, &n);
        if (!n || !((uint8_t)v[0] & RECORD_REFERENCE))
            continue;
        rc = poa_stored_locator_decode(poa_slice(v + 1, n - 1), &at)
                 ? store_corrupt(w->store, SPACE_RECORD, "a reference")
                 : note_reference(w, &cap, seq, at.number);
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    if (message) {
        int bad = store_error(w->store, SPACE_RECORD, "reading", message);
        rc = rc ? rc : bad;
    }
    keep_last(w);
    w->looked = !rc;
    return rc;
}

/* Deletes the batch at AT, to which record K refers, unless a block lists it or a later
 * record refers to it: that one may outlive K, also when a crash ends the pass. */
static int forget_batch(struct sweep *w, const struct key *k, const struct poa_stored_locator *at)
{
    uint64_t number = 0, height = 0;
    int rc = store_known(w->store, at->digest, &number, &height);
    if (rc == POA_E_NOT_FOUND)
        return POA_OK;
    if (rc || number != at->number || height)
        return rc;
    if (!w->looked)
        rc = find_references(w, k);
    if (rc)
        return rc;
    const struct reference want = {.number = number};
    const struct reference *last =
        w->references ? bsearch(&want, w->last, w->references, sizeof want, by_number) : NULL;
    if (!last || last->seq <= poa_be64((const uint8_t *)k->p + 1))
        erase_batch(w, at);
    return POA_OK;
}

static int sweep_write(struct sweep *w)
{
    struct poa_store *s = w->store;
    uint8_t le[8];
    struct key k = key_bytes(SPACE_META, META_DELETED, strlen(META_DELETED));
    /* A process that is killed again and again must not forget it each time. */
    poa_put_le64(le, s->deleted + w->freed);
    leveldb_writebatch_put(w->wb, k.p, k.n, (const char *)le, sizeof le);
    if (w->freed)
        put_blob_bytes(w->wb, s->blob_bytes - w->freed);
    int rc = store_write(s, w->wb, false, w->bytes);
    if (!rc) {
        s->blob_bytes -= w->freed;
        s->deleted += w->freed;
        s->deleted_blobs |= w->freed != 0;
    }
    leveldb_writebatch_clear(w->wb);
    w->bytes = 0;
    w->freed = 0;
    return rc;
}

/* Deletes entries in key order while their number is below the limit, in
 * small writes; *DONE: reached the limit. */
static int sweep(struct sweep *w, bool *done)
{
    struct poa_store *s = w->store;
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->scan);
    w->wb = leveldb_writebatch_create();
    int rc = POA_OK;
    uint32_t n = 0, total = 0;
    *done = true;
    for (leveldb_iter_seek(it, w->first.p, w->first.n); !rc && leveldb_iter_valid(it);
         leveldb_iter_next(it)) {
        struct key k;
        const char *p = leveldb_iter_key(it, &k.n);
        if (k.n < 9 || k.n > sizeof k.p || p[0] != (char)w->space)
            break;
        memcpy(k.p, p, k.n);
        if (poa_be64((const uint8_t *)p + 1) >= w->below)
            break;
        if (total++ == w->max) {
            *done = false;
            break;
        }
        size_t value_n = 0;
        const char *value = leveldb_iter_value(it, &value_n);
        rc = w->entry(w, &k, poa_slice(value, value_n));
        erase(w, &k);
        if (++n == DELETE_GROUP && !rc) {
            rc = sweep_write(w);
            n = 0;
        }
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    if (message) {
        int bad = store_error(s, w->space, "reading", message);
        rc = rc ? rc : bad;
    }
    leveldb_iter_destroy(it);
    if (!rc && n)
        rc = sweep_write(w);
    leveldb_writebatch_destroy(w->wb);
    return rc;
}

static int sweep_record(struct sweep *w, const struct key *k, struct poa_slice value)
{
    if (!value.n || !(value.p[0] & RECORD_REFERENCE))
        return POA_OK;
    struct poa_stored_locator at;
    if (poa_stored_locator_decode(poa_slice(value.p + 1, value.n - 1), &at))
        return store_corrupt(w->store, SPACE_RECORD, "a reference");
    return forget_batch(w, k, &at);
}

int poa_store_forget(struct poa_store *s, uint64_t seq)
{
    struct sweep w = {.store = s,
                      .space = SPACE_RECORD,
                      .first = key_number(SPACE_RECORD, s->forgotten),
                      .below = seq,
                      .max = UINT32_MAX,
                      .entry = sweep_record};
    bool done;
    int rc = sweep(&w, &done);
    free(w.last);
    if (!rc && seq > s->forgotten)
        s->forgotten = seq;
    return rc;
}

/* Transactions of a block that goes, in order. */
struct gone {
    struct sweep *w;
    uint64_t height;
};

/* The index names the block that executed a transaction; one that another block
 * skipped is still there. */
static int erase_tx(void *ctx, const uint8_t id32[32])
{
    struct gone *g = ctx;
    struct key k = key_bytes(SPACE_TX, id32, 32);
    struct poa_store_value v;
    int rc = store_get(g->w->store, SPACE_TX, &k, &v);
    if (!rc && v.bytes.n == 12 && poa_le64(v.bytes.p) <= g->height)
        erase(g->w, &k);
    poa_store_value_free(&v);
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

static int erase_txs(struct sweep *w, uint64_t height, const struct poa_stored_locator *at)
{
    struct gone g = {w, height};
    struct poa_store_value v;
    int rc = poa_store_get_batch_at(w->store, at->number, &v);
    if (rc)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc;
    w->store->deleted += v.bytes.n;
    if (w->store->tx_index && w->store->tx_ids)
        rc = w->store->tx_ids(w->store->chain, v.bytes, erase_tx, &g);
    poa_store_value_free(&v);
    return rc;
}

static int sweep_block(struct sweep *w, const struct key *k, struct poa_slice value)
{
    uint64_t height = poa_be64((const uint8_t *)k->p + 1);
    struct poa_stored_block blk;
    if (poa_stored_block_decode(value, &blk))
        return store_corrupt(w->store, SPACE_BLOCK, "a block");
    struct poa_list_iter it = poa_list_begin(&blk.batches);
    struct poa_stored_locator at;
    while (poa_stored_locator_next(&it, &at)) {
        int rc = erase_txs(w, height, &at);
        if (rc)
            return rc;
        erase_batch(w, &at);
        if (at.number > w->store->deleted_batch)
            w->store->deleted_batch = at.number;
    }
    struct key r = key_number(SPACE_RECEIPTS, height);
    struct key h = key_bytes(SPACE_HASH, blk.hash, 32);
    erase(w, &r);
    erase(w, &h);
    w->store->deleted += value.n;
    w->store->deleted_height = height;
    return POA_OK;
}

int poa_store_prune(struct poa_store *s, uint64_t height, uint32_t max_blocks, bool *done)
{
    struct sweep w = {.store = s,
                      .space = SPACE_BLOCK,
                      .first = key_number(SPACE_BLOCK, s->pruned),
                      .below = height,
                      .max = max_blocks,
                      .entry = sweep_block};
    int rc = sweep(&w, done);
    if (!rc && *done && height > s->pruned)
        s->pruned = height;
    return rc;
}

static int sweep_blob(struct sweep *w, const struct key *k, struct poa_slice value)
{
    (void)value;
    if (k->n != 42)
        return store_corrupt(w->store, SPACE_EXPIRY, "a key");
    /* A blob that was put again goes when that expires. */
    struct key x = key_bytes(SPACE_BLOB, k->p + 9, 33);
    struct poa_store_value v;
    int rc = store_get(w->store, SPACE_BLOB, &x, &v);
    if (rc)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc;
    if (v.bytes.n < 8 || poa_le64(v.bytes.p) == poa_be64((const uint8_t *)k->p + 1)) {
        erase(w, &x);
        w->freed += v.bytes.n - 8 + BLOB_BYTES;
    }
    poa_store_value_free(&v);
    return POA_OK;
}

int poa_store_expire(struct poa_store *s, uint64_t now_ms, uint32_t max, bool *done)
{
    struct sweep w = {.store = s,
                      .space = SPACE_EXPIRY,
                      .first = key_number(SPACE_EXPIRY, 0),
                      .below = now_ms,
                      .max = max,
                      .entry = sweep_blob};
    return sweep(&w, done);
}
