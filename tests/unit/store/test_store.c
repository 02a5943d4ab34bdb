/* The store on a real directory: what was written is there after a reopen. */
#include <errno.h>
#include <stdio.h>

#include "support.h"

TestSuite(store, .init = fresh_dir, .fini = remove_dir);

Test(store, reopens_with_everything)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    poa_store_put_record(b, 1, 2, text("vote"));
    put_numbered(b, 2, 7);
    put_numbered(b, 3, 8);
    poa_store_put_record(b, 256, 1, text("epoch"));
    struct poa_store_fate tx[3] = {{{1}, 0}, {{2}, 205}, {{3}, 0}};
    cr_assert_eq(put_block(b, 1, 7, 2, tx, 3), POA_OK);
    cr_assert_eq(put_block(b, 2, 0, 0, NULL, 0), POA_OK);
    poa_store_put_meta(b, "node/mark", text("yes"));
    uint8_t k1[32] = {1}, k2[32] = {2};
    poa_store_put_state(b, k1, text("one"));
    poa_store_put_state(b, k2, text("two"));
    struct poa_stored_checkpoint c = {.height = 2, .root = {9}};
    cr_assert_eq(poa_store_put_checkpoint(b, &c), POA_OK);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_batch_bytes(b), 0);
    poa_store_batch_free(b);
    poa_store_close(s);

    s = must_open();
    struct seen seen = records(s);
    cr_assert_eq(seen.n, 4);
    cr_assert_str_eq(seen.line[0], "1 2 vote");
    cr_assert_str_eq(seen.line[1], "2 5 batch 7");
    cr_assert_str_eq(seen.line[2], "3 5 batch 8");
    cr_assert_str_eq(seen.line[3], "256 1 epoch");
    struct poa_store_value v;
    struct poa_stored_block blk;
    cr_assert_eq(poa_store_get_block(s, 1, &v, &blk), POA_OK);
    cr_assert(says(blk.body, "body 1") && says(blk.cert, "cert") && blk.root[0] == 0xee);
    cr_assert(says(blk.fillers, "fillers") && blk.fillers_n == 2);
    cr_assert_eq(blk.batches.count, 2);
    struct poa_stored_locator at;
    cr_assert_eq(poa_list_at(&poa_stored_locator_record, &blk.batches, 1, &at), POA_OK);
    struct poa_store_value bytes;
    cr_assert_eq(poa_store_get_batch_at(s, at.number, &bytes), POA_OK);
    cr_assert(says(bytes.bytes, "batch 8"));
    poa_store_value_free(&bytes);
    poa_store_value_free(&v);

    struct poa_stored_receipts r;
    cr_assert_eq(poa_store_get_receipts(s, 1, &v, &r), POA_OK);
    cr_assert_eq(r.txs, 3);
    cr_assert_eq(poa_store_receipt_code(&r, 0), 0);
    cr_assert_eq(poa_store_receipt_code(&r, 1), 205);
    cr_assert_eq(poa_store_receipt_code(&r, 2), 0);
    poa_store_value_free(&v);
    cr_assert_eq(poa_store_get_receipts(s, 2, &v, &r), POA_E_NOT_FOUND);

    uint64_t height = 0, first = 0, last = 0;
    uint32_t index = 0;
    cr_assert_eq(poa_store_find_block(s, (uint8_t[32]){2}, &height), POA_OK);
    cr_assert_eq(height, 2);
    cr_assert_eq(poa_store_find_block(s, (uint8_t[32]){3}, &height), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_find_tx(s, tx[2].id, &height, &index), POA_OK);
    cr_assert_eq(height, 1);
    cr_assert_eq(index, 2);
    cr_assert_eq(poa_store_heights(s, &first, &last), POA_OK);
    cr_assert_eq(first, 1);
    cr_assert_eq(last, 2);
    struct poa_stored_checkpoint got;
    cr_assert_eq(poa_store_get_checkpoint(s, &got), POA_OK);
    cr_assert_eq(got.height, 2);
    cr_assert_eq(got.root[0], 9);
    cr_assert_eq(poa_store_get_meta(s, "node/mark", &v), POA_OK);
    cr_assert(says(v.bytes, "yes"));
    poa_store_value_free(&v);
    poa_store_close(s);
}

Test(store, empty_has_nothing)
{
    struct poa_store *s = must_open();
    struct poa_store_value v;
    struct poa_stored_block blk;
    struct poa_stored_checkpoint c;
    uint8_t d[32] = {3};
    uint64_t first = 9, last = 9;
    uint32_t index;
    cr_assert_eq(poa_store_get_block(s, 1, &v, &blk), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_get_batch(s, d, &v), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_find_tx(s, d, &first, &index), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_get_checkpoint(s, &c), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_heights(s, &first, &last), POA_OK);
    cr_assert(first == 0 && last == 0);
    cr_assert_eq(records(s).n, 0);
    poa_store_close(s);
}

Test(store, batch_is_written_once)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    uint8_t d[32];
    digest_of(1, d);
    put_numbered(b, 1, 1);
    size_t once = poa_store_batch_bytes(b);
    cr_assert_eq(poa_store_put_batch(b, 0, 5, d, text("batch 1")), POA_OK);
    cr_assert_eq(poa_store_batch_bytes(b), once, "nothing is added to the group");
    cr_assert_eq(poa_store_write(b, false), POA_OK);
    cr_assert_eq(poa_store_put_batch(b, 0, 5, d, text("batch 1")), POA_OK);
    cr_assert_eq(poa_store_batch_ops(b), 0, "nor after it was written");
    put_numbered(b, 2, 2);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    struct poa_store_stats st;
    poa_store_stats(s, &st);
    cr_assert_eq(st.batches, 2);
    cr_assert_eq(st.synced, 2, "the first meta write and one group");
    poa_store_batch_free(b);
    poa_store_close(s);
    s = must_open();
    b = group(s);
    put_numbered(b, 3, 3);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    struct poa_store_value v;
    cr_assert_eq(poa_store_get_batch_at(s, 3, &v), POA_OK, "numbers go on");
    poa_store_value_free(&v);
    poa_store_batch_free(b);
    poa_store_close(s);
}

Test(store, group_has_a_limit)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint32_t i = 0; i < POA_STORE_GROUP_MAX; i++)
        put_numbered(b, i + 1, i);
    uint8_t d[32];
    digest_of(POA_STORE_GROUP_MAX, d);
    cr_assert_eq(poa_store_put_batch(b, 9999, 5, d, text("x")), POA_E_FULL);
    cr_assert_eq(poa_store_write(b, false), POA_OK);
    cr_assert_eq(poa_store_put_batch(b, 9999, 5, d, text("x")), POA_OK);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    struct poa_store_value v;
    for (uint32_t i = 0; i < POA_STORE_GROUP_MAX; i += 97) {
        digest_of(i, d);
        char want[32];
        snprintf(want, sizeof want, "batch %u", i);
        cr_assert_eq(poa_store_get_batch(s, d, &v), POA_OK);
        cr_assert(says(v.bytes, want));
        poa_store_value_free(&v);
    }
    poa_store_batch_free(b);
    poa_store_close(s);
}

Test(store, block_needs_its_batches)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    cr_assert_eq(put_block(b, 1, 50, 1, NULL, 0), POA_E_NOT_FOUND);
    poa_store_batch_free(b);
    poa_store_close(s);
}

Test(store, later_certificate_is_added)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    cr_assert_eq(put_block(b, 1, 0, 0, NULL, 0), POA_OK);
    cr_assert_eq(poa_store_write(b, false), POA_OK);
    cr_assert_eq(poa_store_put_cert(b, 1, text("better")), POA_OK);
    cr_assert_eq(poa_store_put_cert(b, 2, text("better")), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    struct poa_store_value v;
    struct poa_stored_block blk;
    cr_assert_eq(poa_store_get_block(s, 1, &v, &blk), POA_OK);
    cr_assert(says(blk.cert, "better") && says(blk.body, "body 1"));
    poa_store_value_free(&v);
    poa_store_batch_free(b);
    poa_store_close(s);
}

/* A transaction that was executed keeps its place in the index when the same
 * one is skipped later, in the block, in the group, or after a write. */
Test(store, index_prefers_what_was_executed)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    struct poa_store_fate first[] = {{{1}, 203}, {{1}, 0}, {{2}, 205}, {{1}, 203}};
    struct poa_store_fate second[] = {{{1}, 203}, {{2}, 0}};
    uint64_t height = 0;
    uint32_t index = 0;
    cr_assert_eq(put_block(b, 1, 0, 0, first, 4), POA_OK);
    cr_assert_eq(put_block(b, 2, 0, 0, second, 2), POA_OK);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(put_block(b, 3, 0, 0, second, 1), POA_OK);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_find_tx(s, first[0].id, &height, &index), POA_OK);
    cr_assert(height == 1 && index == 1, "%u %u", (unsigned)height, index);
    cr_assert_eq(poa_store_find_tx(s, first[2].id, &height, &index), POA_OK);
    cr_assert(height == 2 && index == 1);
    poa_store_batch_free(b);
    poa_store_close(s);
}

/* Bytes of tables that compactions made, as LevelDB's own log tells. */
static uint64_t compacted(void)
{
    char path[300], line[1000];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "%s/db/LOG", dir);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *to = strstr(line, "Compacted ") ? strstr(line, "=> ") : NULL;
        sum += to ? strtoull(to + 3, NULL, 10) : 0;
    }
    if (f)
        fclose(f);
    return sum;
}

static void scattered(uint32_t n, uint8_t out[32])
{
    uint64_t x = n * UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 4; i++, x *= UINT64_C(0xbf58476d1ce4e5b9)) {
        x ^= x >> 29;
        memcpy(out + 8 * i, &x, 8);
    }
}

/* New batches, each looked for before it is put, make LevelDB rewrite no more than what
 * the size of the tables asks for. */
Test(store, looking_for_new_batches_compacts_nothing)
{
    enum { GROUPS = 1500, EACH = 4 };
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    uint8_t digest[EACH][32], value[300] = {0};
    for (uint32_t h = 1; h <= GROUPS; h++) {
        for (uint32_t i = 0; i < EACH; i++) {
            scattered(h * EACH + i, digest[i]);
            uint64_t seq = (uint64_t)h * EACH + i;
            cr_assert_eq(poa_store_put_batch(b, seq, 5, digest[i], poa_slice(value, sizeof value)),
                         POA_OK);
        }
        cr_assert_eq(poa_store_write(b, false), POA_OK);
        struct poa_store_block blk = {.height = h,
                                      .header = text("header"),
                                      .body = text("body"),
                                      .cert = text("cert"),
                                      .batch = (const uint8_t(*)[32])digest,
                                      .batches = EACH};
        scattered(~h, blk.hash);
        cr_assert_eq(poa_store_put_block(b, &blk), POA_OK);
        cr_assert_eq(poa_store_write(b, false), POA_OK);
        if (h % 100 == 0)
            cr_assert_eq(poa_store_forget(s, (uint64_t)(h - 10) * EACH), POA_OK);
    }
    struct poa_store_stats st;
    poa_store_stats(s, &st);
    cr_assert(compacted() < 2 * st.bytes, "%llu of %llu bytes", (unsigned long long)compacted(),
              (unsigned long long)st.bytes);
    poa_store_batch_free(b);
    poa_store_close(s);
}

static int note_state(void *ctx, const uint8_t key[32], struct poa_slice value)
{
    struct seen *s = ctx;
    snprintf(s->line[s->n++], 64, "%u %.*s", key[0], (int)value.n, (const char *)value.p);
    return s->n == 3 ? POA_E_LIMIT : POA_OK;
}

Test(store, state_is_a_map)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint8_t i = 1; i <= 3; i++)
        poa_store_put_state(b, (uint8_t[32]){i}, text("old"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_put_state(b, (uint8_t[32]){2}, poa_slice(NULL, 0));
    poa_store_put_state(b, (uint8_t[32]){3}, text("new"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    struct seen seen = {.n = 0};
    cr_assert_eq(poa_store_each_state(s, note_state, &seen), POA_OK);
    cr_assert_eq(seen.n, 2);
    cr_assert_str_eq(seen.line[0], "1 old");
    cr_assert_str_eq(seen.line[1], "3 new");
    poa_store_put_state(b, (uint8_t[32]){4}, text("x"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    seen.n = 0;
    cr_assert_eq(poa_store_each_state(s, note_state, &seen), POA_E_LIMIT, "the visitor stops it");
    poa_store_batch_free(b);
    poa_store_close(s);
}

static void put_blob(struct poa_store_batch *b, uint8_t kind, const uint8_t hash[32], uint64_t ms,
                     struct poa_slice bytes)
{
    cr_assert_eq(poa_store_put_blob(b, kind, hash, ms, bytes), POA_OK);
}

Test(store, blobs_expire)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    uint8_t one[32] = {1}, two[32] = {2}, three[32] = {3};
    bool done = false;
    put_blob(b, 1, one, 100, text("first"));
    put_blob(b, 1, two, 200, text("second"));
    put_blob(b, 1, three, 100, text("third"));
    put_blob(b, 1, three, 300, text("third"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_expire(s, 150, 10, &done), POA_OK);
    cr_assert(done);
    struct poa_store_value v;
    cr_assert_eq(poa_store_get_blob(s, 1, one, &v), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_get_blob(s, 1, two, &v), POA_OK);
    cr_assert(says(v.bytes, "second"));
    struct poa_store_value other;
    cr_assert_eq(poa_store_get_blob(s, 2, two, &other), POA_E_NOT_FOUND, "another kind");
    poa_store_value_free(&v);
    cr_assert_eq(poa_store_get_blob(s, 1, three, &v), POA_OK, "put again, lives longer");
    poa_store_value_free(&v);
    poa_store_batch_free(b);
    poa_store_close(s);
}

/* The sum is of what is there: replaced in one group or in another, expired or not, after a
 * restart, and counted anew where an older program did not write it. */
Test(store, the_sum_of_all_blobs_is_kept)
{
    enum { EACH = 8 + 34 + 42, BLOBS = 300 };
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    uint8_t key[32] = {0};
    bool done = true;
    cr_assert_eq(poa_store_blob_bytes(s), 0);
    for (uint32_t i = 0; i < BLOBS; i++) {
        poa_put_le32(key, i);
        put_blob(b, 1, key, 100 + i, text("12345"));
        put_blob(b, 4, key, 1000, text("1"));
        put_blob(b, 4, key, 1000 + i, text("22")); /* replaced in its own group */
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_expect_eq(poa_store_blob_bytes(s), BLOBS * (2 * EACH + 7));
    put_blob(b, 4, key, 3000, text("4444"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    uint64_t all = BLOBS * (2 * EACH + 7) + 2;
    cr_expect_eq(poa_store_blob_bytes(s), all);
    cr_assert_eq(poa_store_expire(s, 200, 60, &done), POA_OK); /* the oldest first */
    cr_expect_not(done);
    all -= 60 * (EACH + 5);
    cr_expect_eq(poa_store_blob_bytes(s), all);
    poa_store_batch_free(b);
    poa_store_close(s);
    s = must_open();
    cr_expect_eq(poa_store_blob_bytes(s), all);
    struct poa_store_audit audit = {0};
    struct poa_store *frozen = NULL;
    cr_expect_eq(poa_store_audit(s, &audit, NULL), POA_OK);
    cr_expect_eq(audit.blob_bytes, all);
    cr_expect_eq(audit.blob_bytes_said, all);
    cr_assert_eq(poa_store_freeze(s, &frozen), POA_OK); /* as poa store check reads it */
    cr_expect_eq(poa_store_audit(frozen, &audit, NULL), POA_OK);
    cr_expect_eq(audit.blob_bytes_said, all);
    poa_store_thaw(frozen);
    b = group(s); /* as what does not know of the sum leaves it */
    poa_store_put_meta(b, "blob_bytes", poa_slice((const uint8_t[8]){7}, 8));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    s = must_open();
    cr_expect_eq(poa_store_audit(s, &audit, NULL), POA_OK, "out of date is no damage");
    cr_expect_eq(audit.blob_bytes_said, 7);
    cr_expect_eq(audit.blob_bytes, all);
    cr_assert_eq(poa_store_compact(s), POA_OK);
    cr_expect_eq(poa_store_blob_bytes(s), all, "counted again");
    poa_store_close(s);
    s = must_open();
    cr_expect_eq(poa_store_blob_bytes(s), all);
    cr_assert_eq(poa_store_expire(s, 5000, UINT32_MAX, &done), POA_OK);
    cr_expect(done);
    cr_expect_eq(poa_store_blob_bytes(s), 0);
    cr_expect_eq(poa_store_audit(s, &audit, NULL), POA_OK);
    poa_store_close(s);
}

/* What ends a log may not be lost while what begins the next one stays: also when it was
 * reclaiming that began it, at any moment of its life. */
Test(store, a_log_that_ends_has_nothing_unsynced)
{
    enum { REST = 900, TURNS = 4 };
    static const uint8_t some[REST];
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    struct poa_store_stats before, after;
    uint64_t seq = 0;
    char log[600], last[600];
    unsigned ended = 0;
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        put_numbered(b, 0, turn);
        cr_assert_eq(put_block(b, turn + 1, turn, 1, NULL, 0), POA_OK);
        cr_assert_eq(poa_store_write(b, true), POA_OK);
        if (turn) {
            bool done;
            cr_assert_eq(poa_store_prune(s, turn + 1, 1, &done), POA_OK);
            poa_store_reclaim(s);
        }
        newest(".log", last, sizeof last);
        bool synced = true;
        /* One log and a part of the next, so that it is reclaimed at another moment. */
        for (uint32_t i = 0, end = 0; !end || i < end; i++) {
            poa_store_put_record(b, ++seq, 2, poa_slice(some, i % REST));
            poa_store_stats(s, &before);
            cr_assert_eq(poa_store_write(b, false), POA_OK);
            poa_store_stats(s, &after);
            newest(".log", log, sizeof log);
            if (strcmp(log, last) != 0) {
                cr_expect(synced, "turn %u, record %u: the last write of %s", turn, i, last);
                ended++;
                end = end ? end : i + i * turn / TURNS;
                snprintf(last, sizeof last, "%s", log);
            }
            synced = after.synced > before.synced;
        }
    }
    cr_expect(ended >= TURNS);
    poa_store_batch_free(b);
    poa_store_close(s);
}

Test(store, a_full_disk_is_told_how_much_to_free)
{
    poa_store_close(must_open());
    cr_assert(poa_store_room_bytes(dir) > (uint64_t)32 << 20);
    poa_because(&why, POA_E_STORE, "%s/db/000005.log: %s", dir, strerror(ENOSPC));
    poa_store_advise(dir, &why);
    cr_assert(strstr(why.text, "No space left on device: free about 34 MB there first"), "%s",
              why.text);
    poa_because(&why, POA_E_STORE, "%s", strerror(EIO));
    poa_store_advise(dir, &why);
    cr_assert_str_eq(why.text, strerror(EIO));
}
