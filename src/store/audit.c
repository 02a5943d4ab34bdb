/* Looks at every entry of the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/* Entries between two reports of progress. */
#define REPORT 65536

struct audit {
    struct poa_store *store;
    struct poa_store_audit *to;
    void (*digest_of)(struct poa_slice batch, uint8_t out32[32]);
    enum space space;
    uint64_t in_space, last; /* last: of keys that are numbers */
    uint64_t blob_bytes;     /* with their keys */
};

static void wrong(struct audit *a, const char *what)
{
    char text[320];
    snprintf(text, sizeof text, "%s: %s", space_name(a->space), what);
    a->to->faults++;
    if (a->to->wrong)
        a->to->wrong(a->to->ctx, text);
}

/* KEY of SPACE is there; a fault that is none of ours is told once, where it is. */
static bool there(struct audit *a, enum space space, const struct key *k)
{
    struct poa_store_value v;
    int rc = store_get(a->store, space, k, &v);
    poa_store_value_free(&v);
    return rc != POA_E_NOT_FOUND;
}

static void check_number(struct audit *a, struct poa_slice key, bool consecutive)
{
    char text[120];
    if (key.n != 8) {
        wrong(a, "a key is no number");
        return;
    }
    uint64_t at = poa_be64(key.p);
    if (consecutive && a->in_space && at != a->last + 1) {
        snprintf(text, sizeof text, "%llu is followed by %llu", (unsigned long long)a->last,
                 (unsigned long long)at);
        wrong(a, text);
    }
    a->last = at;
}

static void check_record(struct audit *a, struct poa_slice value)
{
    struct poa_stored_locator at;
    if (!value.n) {
        wrong(a, "an empty entry");
    } else if (value.p[0] & RECORD_REFERENCE) {
        struct poa_store_value v;
        if (poa_stored_locator_decode(poa_slice(value.p + 1, value.n - 1), &at)) {
            wrong(a, "a reference is damaged");
            return;
        }
        if (store_get_reference(a->store, &at, &v) == POA_E_STORE_CORRUPT)
            wrong(a, "a batch that it refers to is missing");
        poa_store_value_free(&v);
    }
}

static void check_batch(struct audit *a, struct poa_slice value)
{
    uint8_t digest[32];
    uint64_t number = 0, height = 0;
    char text[120];
    if (!a->digest_of)
        return;
    a->digest_of(value, digest);
    int rc = store_find_batch(a->store, digest, &number, &height);
    if (rc == POA_E_NOT_FOUND || (!rc && number != a->last)) {
        snprintf(text, sizeof text, "number %llu is not what its digest says",
                 (unsigned long long)a->last);
        wrong(a, text);
    }
}

static void check_digest(struct audit *a, struct poa_slice key, struct poa_slice value)
{
    if (key.n != 32 || value.n != DIGEST_VALUE_BYTES) {
        wrong(a, "an entry is damaged");
        return;
    }
    struct key k = key_number(SPACE_BATCH, poa_le64(value.p));
    if (!there(a, SPACE_BATCH, &k))
        wrong(a, "an entry refers to a batch that is missing");
}

static void check_block(struct audit *a, struct poa_slice value)
{
    struct poa_stored_block blk;
    struct poa_stored_locator at;
    uint64_t height = 0;
    char text[120];
    if (poa_stored_block_decode(value, &blk)) {
        snprintf(text, sizeof text, "%llu cannot be decoded", (unsigned long long)a->last);
        wrong(a, text);
        return;
    }
    if (poa_store_find_block(a->store, blk.hash, &height) == POA_E_NOT_FOUND || height != a->last) {
        snprintf(text, sizeof text, "the hash of %llu is not in the index",
                 (unsigned long long)a->last);
        wrong(a, text);
    }
    struct poa_list_iter it = poa_list_begin(&blk.batches);
    while (poa_stored_locator_next(&it, &at)) {
        struct key k = key_number(SPACE_BATCH, at.number);
        if (!there(a, SPACE_BATCH, &k)) {
            snprintf(text, sizeof text, "%llu lists a batch that is missing",
                     (unsigned long long)a->last);
            wrong(a, text);
        }
    }
}

/* An entry of an index, whose first eight bytes are a height. */
static void check_index(struct audit *a, struct poa_slice key, struct poa_slice value, size_t n)
{
    if (key.n != 32 || value.n != n)
        wrong(a, "an entry is damaged");
}

static void check_receipts(struct audit *a, struct poa_slice value)
{
    struct poa_stored_receipts r;
    struct key k = key_number(SPACE_BLOCK, a->last);
    if (poa_stored_receipts_decode(value, &r))
        wrong(a, "an entry cannot be decoded");
    else if (!there(a, SPACE_BLOCK, &k))
        wrong(a, "an entry has no block");
}

static void check_entry(struct audit *a, struct poa_slice key, struct poa_slice value)
{
    switch (a->space) {
    case SPACE_META:
        break;
    case SPACE_RECORD:
        check_number(a, key, false);
        check_record(a, value);
        break;
    case SPACE_BATCH:
        check_number(a, key, false);
        if (key.n == 8)
            check_batch(a, value);
        break;
    case SPACE_DIGEST:
        check_digest(a, key, value);
        break;
    case SPACE_BLOCK:
        check_number(a, key, true);
        if (key.n == 8)
            check_block(a, value);
        break;
    case SPACE_HASH:
        check_index(a, key, value, 8);
        break;
    case SPACE_RECEIPTS:
        check_number(a, key, false);
        if (key.n == 8)
            check_receipts(a, value);
        break;
    case SPACE_TX:
        check_index(a, key, value, 12);
        break;
    case SPACE_STATE:
        if (key.n != 32)
            wrong(a, "a key is damaged");
        break;
    case SPACE_BLOB:
        if (key.n != 33 || value.n < 8)
            wrong(a, "an entry is damaged");
        else
            a->blob_bytes += value.n - 8 + BLOB_BYTES;
        break;
    case SPACE_EXPIRY:
        if (key.n != 41)
            wrong(a, "a key is damaged");
        break;
    }
}

static void audit_space(struct audit *a)
{
    leveldb_iterator_t *it = leveldb_create_iterator(a->store->db, a->store->scan);
    char prefix = (char)a->space;
    a->in_space = 0;
    for (leveldb_iter_seek(it, &prefix, 1); leveldb_iter_valid(it); leveldb_iter_next(it)) {
        size_t kn = 0, vn = 0;
        const char *k = leveldb_iter_key(it, &kn);
        if (!kn || k[0] != prefix)
            break;
        const char *v = leveldb_iter_value(it, &vn);
        check_entry(a, poa_slice(k + 1, kn - 1), poa_slice(v, vn));
        a->in_space++;
        a->to->entries++;
        a->to->bytes += kn + vn;
        if (a->to->progress && a->to->entries % REPORT == 0)
            a->to->progress(a->to->ctx, space_name(a->space), a->to->entries);
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    if (message) {
        wrong(a, message);
        leveldb_free(message);
    }
}

/* Keys of no known space. */
static void audit_strangers(struct audit *a)
{
    static const char known[] = {
#define SPACE_ROW(name, prefix, text) (prefix),
        POA_SPACES(SPACE_ROW)
#undef SPACE_ROW
    };
    leveldb_iterator_t *it = leveldb_create_iterator(a->store->db, a->store->scan);
    leveldb_iter_seek_to_first(it);
    while (leveldb_iter_valid(it)) {
        size_t n = 0;
        const char *k = leveldb_iter_key(it, &n);
        char next = n ? (char)(k[0] + 1) : 1;
        if (!n || !memchr(known, k[0], sizeof known)) {
            wrong(a, "the database holds keys that are not poa's");
            break;
        }
        leveldb_iter_seek(it, &next, 1);
    }
    leveldb_iter_destroy(it);
}

int poa_store_audit(struct poa_store *s, struct poa_store_audit *to,
                    void (*digest_of)(struct poa_slice batch, uint8_t out32[32]))
{
    struct audit a = {.store = s, .to = to, .digest_of = digest_of};
    to->entries = to->bytes = to->faults = 0;
#define SPACE_ROW(name, prefix, text)                                                              \
    a.space = SPACE_##name;                                                                        \
    audit_space(&a);
    POA_SPACES(SPACE_ROW)
#undef SPACE_ROW
    a.space = SPACE_META;
    audit_strangers(&a);
    /* No fault: a program that does not know of the sum may have written here. */
    to->blob_bytes = to->blob_bytes_said = a.blob_bytes;
    struct poa_store_value said;
    if (!poa_store_get_meta(s, META_BLOB_BYTES, &said) && said.bytes.n == 8)
        to->blob_bytes_said = poa_le64(said.bytes.p);
    poa_store_value_free(&said);
    return to->faults ? POA_E_STORE_CORRUPT : POA_OK;
}
