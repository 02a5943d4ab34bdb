/* Lookups and scans. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

void poa_store_value_free(struct poa_store_value *v)
{
    if (v->own)
        leveldb_free(v->own);
    v->own = NULL;
    v->bytes = poa_slice(NULL, 0);
}

int store_get(struct poa_store *s, enum space space, const struct key *key,
              struct poa_store_value *v)
{
    char *message = NULL;
    size_t n = 0;
    char *p = leveldb_get(s->db, s->read, key->p, key->n, &n, &message);
    *v = (struct poa_store_value){.bytes = poa_slice(p, n), .own = p};
    if (message)
        return store_error(s, space, "reading", message);
    return p ? POA_OK : POA_E_NOT_FOUND;
}

int store_find_batch(struct poa_store *s, const uint8_t digest32[32], uint64_t *number,
                     uint64_t *height)
{
    struct key k = key_bytes(SPACE_DIGEST, digest32, 32);
    struct poa_store_value v;
    int rc = store_get(s, SPACE_DIGEST, &k, &v);
    if (rc)
        return rc;
    if (v.bytes.n == DIGEST_VALUE_BYTES) {
        *number = poa_le64(v.bytes.p);
        *height = poa_le64(v.bytes.p + 8);
    } else {
        rc = store_corrupt(s, SPACE_DIGEST, "an entry");
    }
    poa_store_value_free(&v);
    return rc;
}

int poa_store_get_meta(struct poa_store *s, const char *name, struct poa_store_value *v)
{
    struct key k = key_bytes(SPACE_META, name, strlen(name));
    return store_get(s, SPACE_META, &k, v);
}

int poa_store_get_checkpoint(struct poa_store *s, struct poa_stored_checkpoint *out)
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(s, "checkpoint", &v);
    if (!rc && poa_stored_checkpoint_decode(v.bytes, out))
        rc = store_corrupt(s, SPACE_META, "the checkpoint");
    poa_store_value_free(&v);
    return rc;
}

int poa_store_get_block(struct poa_store *s, uint64_t height, struct poa_store_value *v,
                        struct poa_stored_block *out)
{
    struct key k = key_number(SPACE_BLOCK, height);
    int rc = store_get(s, SPACE_BLOCK, &k, v);
    if (!rc && poa_stored_block_decode(v->bytes, out)) {
        poa_store_value_free(v);
        rc = store_corrupt(s, SPACE_BLOCK, "a block");
    }
    return rc;
}

int poa_store_find_block(struct poa_store *s, const uint8_t hash32[32], uint64_t *height)
{
    struct key k = key_bytes(SPACE_HASH, hash32, 32);
    struct poa_store_value v;
    int rc = store_get(s, SPACE_HASH, &k, &v);
    if (!rc && v.bytes.n != 8)
        rc = store_corrupt(s, SPACE_HASH, "an entry");
    if (!rc)
        *height = poa_le64(v.bytes.p);
    poa_store_value_free(&v);
    return rc;
}

int poa_store_get_receipts(struct poa_store *s, uint64_t height, struct poa_store_value *v,
                           struct poa_stored_receipts *out)
{
    struct key k = key_number(SPACE_RECEIPTS, height);
    int rc = store_get(s, SPACE_RECEIPTS, &k, v);
    if (!rc && poa_stored_receipts_decode(v->bytes, out)) {
        poa_store_value_free(v);
        rc = store_corrupt(s, SPACE_RECEIPTS, "an entry");
    }
    return rc;
}

uint16_t poa_store_receipt_code(const struct poa_stored_receipts *r, uint32_t index)
{
    uint32_t low = 0, high = r->failed.count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct poa_stored_failure f;
        if (poa_list_at(&poa_stored_failure_record, &r->failed, mid, &f))
            return 0;
        if (f.index == index)
            return f.code;
        if (f.index < index)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

int poa_store_get_batch_at(struct poa_store *s, uint64_t number, struct poa_store_value *v)
{
    struct key k = key_number(SPACE_BATCH, number);
    return store_get(s, SPACE_BATCH, &k, v);
}

int poa_store_get_batch(struct poa_store *s, const uint8_t digest32[32], struct poa_store_value *v)
{
    uint64_t number = 0, height = 0;
    *v = (struct poa_store_value){.own = NULL};
    int rc = store_find_batch(s, digest32, &number, &height);
    return rc ? rc : poa_store_get_batch_at(s, number, v);
}

int poa_store_find_tx(struct poa_store *s, const uint8_t id32[32], uint64_t *height,
                      uint32_t *index)
{
    struct key k = key_bytes(SPACE_TX, id32, 32);
    struct poa_store_value v;
    int rc = store_get(s, SPACE_TX, &k, &v);
    if (rc)
        return rc;
    if (v.bytes.n == 12) {
        *height = poa_le64(v.bytes.p);
        *index = poa_le32(v.bytes.p + 8);
    } else {
        rc = store_corrupt(s, SPACE_TX, "an entry");
    }
    poa_store_value_free(&v);
    return rc;
}

int poa_store_get_blob(struct poa_store *s, uint8_t kind, const uint8_t hash32[32],
                       struct poa_store_value *v)
{
    struct key k = key_blob(kind, hash32);
    int rc = store_get(s, SPACE_BLOB, &k, v);
    if (!rc && v->bytes.n < 8) {
        poa_store_value_free(v);
        rc = store_corrupt(s, SPACE_BLOB, "a blob");
    }
    if (!rc)
        v->bytes = poa_slice(v->bytes.p + 8, v->bytes.n - 8);
    return rc;
}

int poa_store_heights(struct poa_store *s, uint64_t *first, uint64_t *last)
{
    *first = *last = 0;
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->scan);
    struct key from = key_number(SPACE_BLOCK, 0), to = key_number(SPACE_BLOCK, UINT64_MAX);
    size_t n = 0;
    leveldb_iter_seek(it, from.p, from.n);
    if (leveldb_iter_valid(it)) {
        const char *k = leveldb_iter_key(it, &n);
        if (n == 9 && k[0] == SPACE_BLOCK)
            *first = poa_be64((const uint8_t *)k + 1);
    }
    leveldb_iter_seek(it, to.p, to.n);
    if (leveldb_iter_valid(it))
        leveldb_iter_prev(it);
    else
        leveldb_iter_seek_to_last(it);
    if (leveldb_iter_valid(it)) {
        const char *k = leveldb_iter_key(it, &n);
        if (n == 9 && k[0] == SPACE_BLOCK)
            *last = poa_be64((const uint8_t *)k + 1);
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    return message ? store_error(s, SPACE_BLOCK, "reading", message) : POA_OK;
}

/* Calls ENTRY for each key of SPACE in order. */
static int scan(struct poa_store *s, enum space space,
                int (*entry)(void *ctx, struct poa_slice key, struct poa_slice value), void *ctx)
{
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->scan);
    char prefix = (char)space;
    int rc = POA_OK;
    for (leveldb_iter_seek(it, &prefix, 1); !rc && leveldb_iter_valid(it); leveldb_iter_next(it)) {
        size_t kn = 0, vn = 0;
        const char *k = leveldb_iter_key(it, &kn);
        if (!kn || k[0] != prefix)
            break;
        const char *v = leveldb_iter_value(it, &vn);
        rc = entry(ctx, poa_slice(k + 1, kn - 1), poa_slice(v, vn));
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    if (message) {
        int bad = store_error(s, space, "reading", message);
        return rc ? rc : bad;
    }
    return rc;
}

uint64_t poa_store_blob_bytes(const struct poa_store *s)
{
    return s->blob_bytes;
}

static int add_blob(void *ctx, struct poa_slice key, struct poa_slice value)
{
    struct poa_store *s = ctx;
    (void)key;
    if (value.n < 8)
        return store_corrupt(s, SPACE_BLOB, "a blob");
    s->blob_bytes += value.n - 8 + BLOB_BYTES;
    return POA_OK;
}

int store_count_blobs(struct poa_store *s)
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(s, META_BLOB_BYTES, &v);
    if (!rc && v.bytes.n != 8)
        rc = store_corrupt(s, SPACE_META, META_BLOB_BYTES);
    if (!rc)
        s->blob_bytes = poa_le64(v.bytes.p);
    poa_store_value_free(&v);
    return rc == POA_E_NOT_FOUND ? scan(s, SPACE_BLOB, add_blob, s) : rc;
}

int store_load_deleted(struct poa_store *s)
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(s, META_DELETED, &v);
    if (!rc && v.bytes.n != 8)
        rc = store_corrupt(s, SPACE_META, META_DELETED);
    if (!rc)
        s->deleted = poa_le64(v.bytes.p);
    poa_store_value_free(&v);
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

int store_recount_blobs(struct poa_store *s)
{
    uint64_t said = s->blob_bytes;
    s->blob_bytes = 0;
    int rc = scan(s, SPACE_BLOB, add_blob, s);
    if (rc)
        s->blob_bytes = said;
    return rc || s->blob_bytes == said ? rc : store_write_blob_bytes(s);
}

int store_get_reference(struct poa_store *s, const struct poa_stored_locator *at,
                        struct poa_store_value *v)
{
    uint64_t number = 0, height = 0, first = 0, last = 0;
    *v = (struct poa_store_value){.own = NULL};
    int rc = store_find_batch(s, at->digest, &number, &height);
    if (!rc && number == at->number) {
        rc = poa_store_get_batch_at(s, number, v);
        return rc == POA_E_NOT_FOUND ? store_corrupt(s, SPACE_BATCH, "a batch") : rc;
    }
    if (rc && rc != POA_E_NOT_FOUND)
        return rc;
    rc = poa_store_heights(s, &first, &last);
    if (rc)
        return rc;
    return first > 1 ? POA_E_NOT_FOUND : store_corrupt(s, SPACE_BATCH, "a batch");
}

struct record_scan {
    struct poa_store *store;
    int (*visit)(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes);
    void *ctx;
};

static int scan_record(void *ctx, struct poa_slice key, struct poa_slice value)
{
    struct record_scan *r = ctx;
    if (key.n != 8 || !value.n)
        return store_corrupt(r->store, SPACE_RECORD, "an entry");
    uint64_t seq = poa_be64(key.p);
    uint8_t type = value.p[0];
    struct poa_slice bytes = poa_slice(value.p + 1, value.n - 1);
    if (!(type & RECORD_REFERENCE))
        return r->visit(r->ctx, seq, type, bytes);
    struct poa_stored_locator at;
    struct poa_store_value v;
    if (poa_stored_locator_decode(bytes, &at))
        return store_corrupt(r->store, SPACE_RECORD, "a reference");
    int rc = store_get_reference(r->store, &at, &v);
    if (rc)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc;
    rc = r->visit(r->ctx, seq, (uint16_t)(type & ~RECORD_REFERENCE), v.bytes);
    poa_store_value_free(&v);
    return rc;
}

int poa_store_each_record(struct poa_store *s,
                          int (*visit)(void *ctx, uint64_t seq, uint16_t type,
                                       struct poa_slice bytes),
                          void *ctx)
{
    struct record_scan r = {.store = s, .visit = visit, .ctx = ctx};
    return scan(s, SPACE_RECORD, scan_record, &r);
}

struct state_scan {
    struct poa_store *store;
    int (*visit)(void *ctx, const uint8_t key32[32], struct poa_slice value);
    void *ctx;
};

static int scan_state(void *ctx, struct poa_slice key, struct poa_slice value)
{
    struct state_scan *t = ctx;
    if (key.n != 32)
        return store_corrupt(t->store, SPACE_STATE, "a key");
    return t->visit(t->ctx, key.p, value);
}

int poa_store_each_state(struct poa_store *s,
                         int (*visit)(void *ctx, const uint8_t key32[32], struct poa_slice value),
                         void *ctx)
{
    struct state_scan t = {.store = s, .visit = visit, .ctx = ctx};
    return scan(s, SPACE_STATE, scan_state, &t);
}

struct meta_scan {
    struct poa_slice prefix;
    int (*visit)(void *ctx, struct poa_slice name, struct poa_slice value);
    void *ctx;
};

static int scan_meta(void *ctx, struct poa_slice key, struct poa_slice value)
{
    struct meta_scan *m = ctx;
    if (key.n < m->prefix.n || memcmp(key.p, m->prefix.p, m->prefix.n) != 0)
        return POA_OK;
    return m->visit(m->ctx, key, value);
}

int poa_store_each_meta(struct poa_store *s, const char *prefix,
                        int (*visit)(void *ctx, struct poa_slice name, struct poa_slice value),
                        void *ctx)
{
    struct meta_scan m = {poa_slice(prefix, strlen(prefix)), visit, ctx};
    return scan(s, SPACE_META, scan_meta, &m);
}

int poa_store_freeze(struct poa_store *s, struct poa_store **out)
{
    struct poa_store *f = calloc(1, sizeof *f);
    if (!f)
        return POA_E_NO_MEMORY;
    f->db = s->db;
    f->frozen = leveldb_create_snapshot(s->db);
    f->lock_fd = -1;
    f->tx_index = s->tx_index;
    memcpy(f->chain, s->chain, sizeof f->chain);
    memcpy(f->dir, s->dir, sizeof f->dir);
    pthread_mutex_init(&f->why_mutex, NULL);
    pthread_mutex_init(&f->write_mutex, NULL);
    f->failed = POA_E_UNSUPPORTED; /* nothing is written through it */
    leveldb_readoptions_t **option[] = {&f->read, &f->scan};
    for (int i = 0; i < 2; i++) {
        *option[i] = leveldb_readoptions_create();
        leveldb_readoptions_set_verify_checksums(*option[i], 1);
        leveldb_readoptions_set_fill_cache(*option[i], 0);
        leveldb_readoptions_set_snapshot(*option[i], f->frozen);
    }
    *out = f;
    return POA_OK;
}

void poa_store_thaw(struct poa_store *f)
{
    if (!f)
        return;
    leveldb_release_snapshot(f->db, f->frozen);
    leveldb_readoptions_destroy(f->read);
    leveldb_readoptions_destroy(f->scan);
    pthread_mutex_destroy(&f->why_mutex);
    pthread_mutex_destroy(&f->write_mutex);
    free(f);
}

void poa_store_stats(struct poa_store *s, struct poa_store_stats *out)
{
    *out = (struct poa_store_stats){
        .batches = s->batches, .writes = s->writes, .synced = s->synced, .bytes = s->bytes};
    out->deleted_bytes = s->deleted;
    out->torn_bytes = s->torn;
    const char *from = "", *to = "\x7f";
    size_t from_n = 0, to_n = 1;
    leveldb_approximate_sizes(s->db, 1, &from, &from_n, &to, &to_n, &out->disk_bytes);
}
