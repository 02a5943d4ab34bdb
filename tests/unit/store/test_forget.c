/* What is deleted goes with all that belongs to it, and nothing else does; the disk stays
 * bounded. */
#include <leveldb/c.h>
#include <stdio.h>
#include <sys/stat.h>

#include "support.h"

TestSuite(forget, .init = fresh_dir, .fini = remove_dir);

Test(forget, forget_keeps_what_blocks_list)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint32_t i = 1; i <= 6; i++)
        put_numbered(b, i, i);
    poa_store_put_record(b, 7, 2, text("vote"));
    cr_assert_eq(put_block(b, 1, 2, 2, NULL, 0), POA_OK); /* lists 2 and 3 */
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_forget(s, 5), POA_OK);
    struct seen seen = records(s);
    cr_assert_eq(seen.n, 3);
    cr_assert_str_eq(seen.line[0], "5 5 batch 5");
    cr_assert_str_eq(seen.line[2], "7 2 vote");
    uint8_t d[32];
    struct poa_store_value v;
    for (uint32_t i = 1; i <= 6; i++) {
        digest_of(i, d);
        int want = i == 1 || i == 4 ? POA_E_NOT_FOUND : POA_OK;
        cr_assert_eq(poa_store_get_batch(s, d, &v), want, "batch %u", i);
        poa_store_value_free(&v);
    }
    poa_store_batch_free(b);
    poa_store_close(s);
}

/* A batch that was dropped and came again is needed for its second record. */
Test(forget, forget_keeps_what_later_records_refer_to)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    uint8_t d[32];
    struct poa_store_value v;
    for (uint32_t i = 1; i <= 4; i++)
        put_numbered(b, i, i);
    put_numbered(b, 5, 2);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_forget(s, 5), POA_OK);
    struct seen seen = records(s);
    cr_assert_eq(seen.n, 1);
    cr_assert_str_eq(seen.line[0], "5 5 batch 2");
    for (uint32_t i = 1; i <= 4; i++) {
        digest_of(i, d);
        cr_assert_eq(poa_store_get_batch(s, d, &v), i == 2 ? POA_OK : POA_E_NOT_FOUND, "%u", i);
        poa_store_value_free(&v);
    }
    cr_assert_eq(put_block(b, 1, 2, 1, NULL, 0), POA_OK);
    cr_assert_eq(poa_store_forget(s, 6), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
}

static off_t log_bytes(char path[600])
{
    struct stat st;
    newest(".log", path, 600);
    cr_assert_eq(stat(path, &st), 0);
    return st.st_size;
}

static int count_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    (void)seq;
    (void)type;
    (void)bytes;
    ++*(unsigned *)ctx;
    return POA_OK;
}

/* Forgetting works in several writes: whatever is the last of them that a crash leaves, no
 * record is left without its batch. */
Test(forget, a_crash_while_forgetting_is_no_damage)
{
    const uint64_t records = 1200, again = 1100; /* more than two writes */
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    char path[600], command[1300];
    for (uint64_t i = 1; i <= records; i++)
        if (i == 1 || i == again)
            put_numbered(b, i, 1);
        else
            poa_store_put_record(b, i, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    off_t before = log_bytes(path);
    cr_assert_eq(poa_store_forget(s, records + 1), POA_OK);
    off_t after = log_bytes(path);
    poa_store_close(s);
    cr_assert(after > before + 3000, "one log, and three writes: %ld, %ld", (long)before,
              (long)after);
    snprintf(command, sizeof command, "cp -r '%s/db' '%s/saved'", dir, dir);
    cr_assert_eq(system(command), 0);
    unsigned middle = 0;
    for (off_t cut = before; cut <= after; cut += (after - before) / 12) {
        unsigned left = 0;
        snprintf(command, sizeof command, "rm -rf '%s/db' && cp -r '%s/saved' '%s/db'", dir, dir,
                 dir);
        cr_assert_eq(system(command), 0);
        cr_assert_eq(truncate(path, cut), 0);
        s = must_open();
        cr_assert_eq(poa_store_each_record(s, count_record, &left), POA_OK, "cut at %ld of %ld",
                     (long)(cut - before), (long)(after - before));
        middle += left > 0 && left < records;
        poa_store_close(s);
    }
    cr_assert(middle > 0, "no cut between two writes");
}

Test(forget, prune_deletes_blocks_and_batches)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    struct poa_store_fate tx = {{1}, 3};
    for (uint32_t h = 1; h <= 10; h++) {
        put_numbered(b, h, h);
        cr_assert_eq(put_block(b, h, h, 1, &tx, 1), POA_OK);
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_forget(s, 100), POA_OK);
    bool done = true;
    cr_assert_eq(poa_store_prune(s, 8, 3, &done), POA_OK);
    cr_assert(!done);
    uint64_t first = 0, last = 0;
    cr_assert_eq(poa_store_heights(s, &first, &last), POA_OK);
    cr_assert(first == 4 && last == 10);
    cr_assert_eq(poa_store_prune(s, 8, 30, &done), POA_OK);
    cr_assert(done);
    cr_assert_eq(poa_store_heights(s, &first, &last), POA_OK);
    cr_assert(first == 8 && last == 10);
    uint8_t d[32];
    struct poa_store_value v;
    struct poa_stored_receipts r;
    digest_of(7, d);
    cr_assert_eq(poa_store_get_batch(s, d, &v), POA_E_NOT_FOUND);
    cr_assert_eq(poa_store_get_receipts(s, 7, &v, &r), POA_E_NOT_FOUND);
    uint64_t height;
    cr_assert_eq(poa_store_find_block(s, (uint8_t[32]){7}, &height), POA_E_NOT_FOUND);
    digest_of(8, d);
    cr_assert_eq(poa_store_get_batch(s, d, &v), POA_OK);
    poa_store_value_free(&v);
    poa_store_batch_free(b);
    poa_store_close(s);
}

static void count_fault(void *ctx, const char *fault)
{
    (void)fault;
    ++*(unsigned *)ctx;
}

static unsigned faults(struct poa_store *s)
{
    unsigned n = 0;
    struct poa_store_audit a = {.wrong = count_fault, .ctx = &n};
    (void)!poa_store_audit(s, &a, NULL);
    return n;
}

/* A node that only follows keeps records of batches longer than the blocks that list
 * them; their arrival numbers may be given again. */
Test(forget, records_of_pruned_batches_are_forgotten)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint32_t h = 1; h <= 10; h++) {
        put_numbered(b, h, h);
        cr_assert_eq(put_block(b, h, h, 1, NULL, 0), POA_OK);
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    bool done = false;
    cr_assert_eq(poa_store_prune(s, 8, 30, &done), POA_OK);
    struct seen seen = records(s);
    cr_assert_eq(seen.n, 3);
    cr_assert_str_eq(seen.line[0], "8 5 batch 8");
    cr_assert_eq(faults(s), 0);
    /* The last block stays, and lists none: numbers begin anew. */
    cr_assert_eq(put_block(b, 11, 0, 0, NULL, 0), POA_OK);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    cr_assert_eq(poa_store_prune(s, 11, 30, &done), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    s = must_open();
    b = group(s);
    put_numbered(b, 11, 11);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    seen = records(s);
    cr_assert_eq(seen.n, 1);
    cr_assert_str_eq(seen.line[0], "11 5 batch 11");
    cr_assert_eq(faults(s), 0);
    cr_assert_eq(poa_store_forget(s, 11), POA_OK);
    uint8_t d[32];
    struct poa_store_value v;
    digest_of(11, d);
    cr_assert_eq(poa_store_get_batch(s, d, &v), POA_OK, "forgetting took another batch");
    poa_store_value_free(&v);
    poa_store_batch_free(b);
    poa_store_close(s);
}

/* The same, while the index still names the batch, is damage. */
Test(forget, a_record_whose_batch_is_lost_is_damage)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint32_t h = 1; h <= 4; h++) {
        put_numbered(b, h, h);
        cr_assert_eq(put_block(b, h, h, h < 4, NULL, 0), POA_OK);
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    bool done = false;
    cr_assert_eq(poa_store_prune(s, 3, 30, &done), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    char path[300], *message = NULL;
    const char lost[9] = {'b', 0, 0, 0, 0, 0, 0, 0, 4};
    snprintf(path, sizeof path, "%s/db", dir);
    leveldb_options_t *o = leveldb_options_create();
    leveldb_writeoptions_t *w = leveldb_writeoptions_create();
    leveldb_t *db = leveldb_open(o, path, &message);
    cr_assert(db, "%s", message);
    leveldb_delete(db, w, lost, sizeof lost, &message);
    cr_assert_null(message);
    leveldb_close(db);
    leveldb_writeoptions_destroy(w);
    leveldb_options_destroy(o);
    s = must_open();
    struct seen seen = {.n = 0};
    cr_assert_eq(poa_store_each_record(s, note_record, &seen), POA_E_STORE_CORRUPT);
    cr_assert(faults(s) >= 2); /* the record, and the index */
    poa_store_close(s);
}

/* --- a long life with pruning --------------------------------------------------------- */

#define LIFE   12000u /* blocks; 48 MB are written */
#define KEEP   500u
#define TX_ONE 200u

static int ids_of(const uint8_t chain[32], struct poa_slice batch,
                  int (*emit)(void *ctx, const uint8_t id32[32]), void *ctx)
{
    (void)chain;
    int rc = POA_OK;
    for (size_t at = 0; !rc && at < batch.n; at += TX_ONE)
        rc = emit(ctx, batch.p + at);
    return rc;
}

/* RESTARTS: long before there is enough to reclaim. */
static void live(bool restarts)
{
    struct poa_store *s = NULL;
    struct poa_store_config c = {.dir = dir,
                                 .chain32 = chain_a,
                                 .create = true,
                                 .tx_index = true,
                                 .tx_ids = ids_of,
                                 .write_buffer_bytes = 256 * 1024,
                                 .cache_bytes = 256 * 1024,
                                 .max_open_files = 64};
    cr_assert_eq(poa_store_open(&c, &s, &why), POA_OK);
    struct poa_store_batch *b = group(s);
    uint64_t most = 0, kept = 0;
    for (uint32_t h = 1; h <= LIFE; h++) {
        uint8_t bytes[20 * TX_ONE], digest[32];
        struct poa_store_fate tx[20] = {{{0}, 0}};
        for (uint32_t i = 0; i < 20; i++) {
            digest_of(h * 32 + i, tx[i].id);
            memset(bytes + i * TX_ONE, (int)h, TX_ONE);
            memcpy(bytes + i * TX_ONE, tx[i].id, 32);
        }
        digest_of(h, digest);
        cr_assert_eq(poa_store_put_batch(b, 0, 5, digest, poa_slice(bytes, sizeof bytes)), POA_OK);
        struct poa_store_block blk = {.height = h,
                                      .header = poa_slice(bytes, 289),
                                      .body = text("body"),
                                      .batch = (const uint8_t(*)[32])digest,
                                      .batches = 1,
                                      .tx = tx,
                                      .txs = 20};
        poa_put_le32(blk.hash, h);
        cr_assert_eq(poa_store_put_block(b, &blk), POA_OK);
        cr_assert_eq(poa_store_write(b, false), POA_OK);
        if (h % 32 == 0 && h > KEEP) {
            bool done;
            struct poa_store_stats st;
            cr_assert_eq(poa_store_prune(s, h - KEEP, 256, &done), POA_OK);
            poa_store_stats(s, &st);
            if (st.deleted_bytes > 4 << 20)
                poa_store_reclaim(s);
        }
        if (restarts && h % 320 == 0) {
            struct poa_store_stats before, after;
            poa_store_stats(s, &before);
            poa_store_batch_free(b);
            poa_store_close(s);
            cr_assert_eq(poa_store_open(&c, &s, &why), POA_OK);
            poa_store_stats(s, &after);
            cr_assert(after.deleted_bytes >= before.deleted_bytes, "what was pruned is forgotten");
            b = group(s);
        }
        if (h == KEEP)
            kept = poa_store_files_bytes(dir);
        if (h % 500 == 0 && poa_store_files_bytes(dir) > most)
            most = poa_store_files_bytes(dir);
    }
    printf("prune: %u blocks of 4 KB, %u kept: %llu bytes when these were written, at most %llu\n",
           LIFE, KEEP, (unsigned long long)kept, (unsigned long long)most);
    cr_assert_lt(most, 4 * kept + (8u << 20));
    poa_store_batch_free(b);
    poa_store_reclaim(s);
    struct poa_store_audit a = {.wrong = NULL};
    cr_assert_eq(poa_store_audit(s, &a, NULL), POA_OK);
    /* Per block: itself, hash, receipts, batch, digest, twenty transactions. */
    uint64_t first = 0, last = 0;
    cr_assert_eq(poa_store_heights(s, &first, &last), POA_OK);
    cr_assert_eq(a.entries, 3 + (last - first + 1) * 25);
    poa_store_close(s);
}

Test(forget, pruning_bounds_the_disk, .timeout = 600)
{
    live(false);
}

Test(forget, pruning_bounds_the_disk_over_restarts, .timeout = 600)
{
    live(true);
}
