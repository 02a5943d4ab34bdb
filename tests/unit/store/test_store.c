/* The store on a real directory: what was written is there after a reopen, a
 * torn log loses only its end, damage is named, nobody opens it twice. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poa_store.h"

static char dir[256];
static struct poa_why why;
static const uint8_t chain_a[32] = {1}, chain_b[32] = {2};

static void fresh_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/poa-store.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = fresh_dir, .fini = remove_dir);

static int try_open(const uint8_t *chain, bool create, struct poa_store **s)
{
    struct poa_store_config c = {.dir = dir,
                                 .chain32 = chain,
                                 .create = create,
                                 .tx_index = true,
                                 .write_buffer_bytes = 256 * 1024,
                                 .cache_bytes = 256 * 1024,
                                 .max_open_files = 64};
    return poa_store_open(&c, s, &why);
}

static struct poa_store *must_open(void)
{
    struct poa_store *s = NULL;
    int rc = try_open(chain_a, true, &s);
    cr_assert_eq(rc, POA_OK, "%s: %s", poa_error_name(rc), why.text);
    return s;
}

static struct poa_store_batch *group(struct poa_store *s)
{
    struct poa_store_batch *b = NULL;
    cr_assert_eq(poa_store_batch_new(s, &b), POA_OK);
    return b;
}

static struct poa_slice text(const char *t)
{
    return poa_slice(t, strlen(t));
}

static bool says(struct poa_slice s, const char *t)
{
    return poa_slice_equal(s, text(t));
}

static void digest_of(uint32_t n, uint8_t out[32])
{
    memset(out, 0x5a, 32);
    poa_put_le32(out, n * 2654435761u);
    poa_put_le32(out + 4, n);
}

struct seen {
    char line[64][64];
    int n;
};

static int note_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    struct seen *s = ctx;
    cr_assert_lt(s->n, 64);
    snprintf(s->line[s->n++], 64, "%llu %u %.*s", (unsigned long long)seq, type,
             (int)(bytes.n > 20 ? 20 : bytes.n), (const char *)bytes.p);
    return POA_OK;
}

static struct seen records(struct poa_store *s)
{
    struct seen seen = {.n = 0};
    cr_assert_eq(poa_store_each_record(s, note_record, &seen), POA_OK);
    return seen;
}

/* Puts batch I with the bytes "batch I". */
static void put_numbered(struct poa_store_batch *b, uint64_t seq, uint32_t i)
{
    uint8_t d[32];
    char t[32];
    digest_of(i, d);
    snprintf(t, sizeof t, "batch %u", i);
    cr_assert_eq(poa_store_put_batch(b, seq, 5, d, text(t)), POA_OK);
}

static int put_block(struct poa_store_batch *b, uint64_t height, uint32_t first, uint32_t n,
                     const struct poa_store_fate *tx, uint32_t txs)
{
    uint8_t digests[256][32];
    for (uint32_t i = 0; i < n; i++)
        digest_of(first + i, digests[i]);
    char body[32];
    snprintf(body, sizeof body, "body %u", (unsigned)height);
    struct poa_store_block blk = {.height = height,
                                  .header = text("header"),
                                  .body = text(body),
                                  .cert = text("cert"),
                                  .fillers = text("fillers"),
                                  .fillers_n = 2,
                                  .hash = {(uint8_t)height},
                                  .root = {0xee},
                                  .batch = (const uint8_t(*)[32])digests,
                                  .batches = n,
                                  .tx = tx,
                                  .txs = txs};
    return poa_store_put_block(b, &blk);
}

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

Test(store, forget_keeps_what_blocks_list)
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
Test(store, forget_keeps_what_later_records_refer_to)
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

static void newest(const char *suffix, char *path, size_t n);

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
Test(store, a_crash_while_forgetting_is_no_damage)
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

Test(store, prune_deletes_blocks_and_batches)
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
Test(store, records_of_pruned_batches_are_forgotten)
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
Test(store, a_record_whose_batch_is_lost_is_damage)
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

Test(store, pruning_bounds_the_disk, .timeout = 600)
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
    cr_assert_eq(a.entries, 2 + (last - first + 1) * 25);
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

Test(store, refuses_a_second_process)
{
    struct poa_store *s = must_open();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct poa_store *t = NULL;
        int rc = try_open(chain_a, true, &t);
        char want[32];
        snprintf(want, sizeof want, "by process %ld", (long)getppid());
        _exit(rc == POA_E_LOCKED && strstr(why.text, want) ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    poa_store_close(s);
    poa_store_close(must_open()); /* free again */
}

Test(store, refuses_another_chain_and_format)
{
    poa_store_close(must_open());
    struct poa_store *s = NULL;
    cr_assert_eq(try_open(chain_b, true, &s), POA_E_STORE_CHAIN);
    cr_assert(strstr(why.text, "belongs to chain 01000000"), "%s", why.text);
    cr_assert_eq(try_open(NULL, false, &s), POA_OK, "tools open any chain");
    cr_assert_eq(poa_store_chain(s)[0], 1);
    struct poa_store_batch *b = group(s);
    poa_store_put_meta(b, "format", poa_slice("\x09\x00", 2));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_VERSION);
    cr_assert(strstr(why.text, "store format 9"), "%s", why.text);
}

Test(store, needs_a_database_unless_asked_to_create)
{
    struct poa_store *s = NULL;
    cr_assert_eq(try_open(chain_a, false, &s), POA_E_NOT_FOUND);
    char path[300];
    snprintf(path, sizeof path, "%s/file", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    strcat(dir, "/file");
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_IO);
    *strrchr(dir, '/') = 0;
}

/* The newest file of the database whose name ends in SUFFIX. */
static void newest(const char *suffix, char *path, size_t n)
{
    char db[300], best[256] = "";
    snprintf(db, sizeof db, "%s/db", dir);
    DIR *d = opendir(db);
    cr_assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name), sn = strlen(suffix);
        if (len > sn && strcmp(e->d_name + len - sn, suffix) == 0 && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", e->d_name);
    }
    closedir(d);
    cr_assert(best[0]);
    snprintf(path, n, "%s/%s", db, best);
}

/* Power went away while the log was written: every cut of the last group
 * leaves the groups before it, and a database that opens. */
Test(store, torn_log_loses_only_its_end)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    poa_store_put_record(b, 1, 2, text("durable"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    char path[600];
    newest(".log", path, sizeof path);
    struct stat before, after;
    cr_assert_eq(stat(path, &before), 0);
    poa_store_put_record(b, 2, 2, text("torn, because the machine lost its power here"));
    put_numbered(b, 3, 1);
    cr_assert_eq(poa_store_write(b, false), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_gt(after.st_size, before.st_size + 40);

    char saved[300], command[1200];
    snprintf(saved, sizeof saved, "%s.saved", dir);
    snprintf(command, sizeof command, "cp -a '%s' '%s'", dir, saved);
    cr_assert_eq(system(command), 0);
    for (off_t cut = before.st_size; cut < after.st_size; cut += 11) {
        snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", dir, saved, dir);
        cr_assert_eq(system(command), 0);
        cr_assert_eq(truncate(path, cut), 0);
        s = must_open();
        struct seen seen = records(s);
        cr_assert_eq(seen.n, 1, "cut at %ld", (long)cut);
        cr_assert_str_eq(seen.line[0], "1 2 durable");
        poa_store_close(s);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", saved);
    cr_assert_eq(system(command), 0);
}

static void flip_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    uint8_t byte = 0;
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(store, damage_in_the_log_is_refused)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint64_t i = 1; i <= 3; i++) {
        poa_store_put_record(b, i, 2, text("a record of some length"));
        cr_assert_eq(poa_store_write(b, true), POA_OK);
    }
    char path[600];
    newest(".log", path, sizeof path);
    poa_store_batch_free(b);
    poa_store_close(s);
    flip_byte(path, 30);
    int rc = try_open(chain_a, true, &s);
    cr_assert_eq(rc, POA_E_STORE_CORRUPT, "%s %s", poa_error_name(rc), why.text);
    cr_assert(strstr(why.text, ".log") || strstr(why.text, "db"), "%s", why.text);
}

Test(store, a_missing_log_is_damage)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    char command[300];
    poa_store_put_record(b, 1, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    snprintf(command, sizeof command, "rm '%s'/db/*.log", dir);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_CORRUPT);
    cr_assert(strstr(why.text, "log"), "%s", why.text);
}

/* LevelDB would begin anew, and delete what is there. */
Test(store, a_missing_current_is_damage)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    char command[600];
    poa_store_put_record(b, 1, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    snprintf(command, sizeof command, "mv '%s/db/CURRENT' '%s/away'", dir, dir);
    cr_assert_eq(system(command), 0);
    for (int create = 0; create <= 1; create++) {
        why.text[0] = 0;
        cr_assert_eq(try_open(chain_a, create, &s), POA_E_STORE_CORRUPT);
        cr_assert(strstr(why.text, "CURRENT is missing"), "%s", why.text);
    }
    snprintf(command, sizeof command, "mv '%s/away' '%s/db/CURRENT'", dir, dir);
    cr_assert_eq(system(command), 0);
    s = must_open();
    cr_assert_eq(records(s).n, 1);
    poa_store_close(s);
    /* One that a crash kept from being made has a first manifest, and nothing else. */
    snprintf(command, sizeof command, "cd '%s/db' && rm -f * && : >MANIFEST-000001 && : >LOG", dir);
    cr_assert_eq(system(command), 0);
    poa_store_close(must_open());
}

/* LevelDB calls these an I/O error. */
Test(store, a_file_that_is_empty_or_gone_is_damage)
{
    for (int gone = 0; gone < 2; gone++) {
        struct poa_store *s = must_open();
        char path[600];
        cr_assert_eq(poa_store_compact(s), POA_OK);
        poa_store_close(s);
        newest(".ldb", path, sizeof path);
        cr_assert_eq(gone ? unlink(path) : truncate(path, 0), 0);
        int rc = try_open(chain_a, true, &s);
        cr_expect_eq(rc, POA_E_STORE_CORRUPT, "%d: %s %s", gone, poa_error_name(rc), why.text);
        remove_dir();
        fresh_dir();
    }
    struct poa_store *s = must_open();
    char command[300];
    poa_store_close(s);
    snprintf(command, sizeof command, "rm '%s'/db/MANIFEST-*", dir);
    cr_assert_eq(system(command), 0);
    int rc = try_open(chain_a, true, &s);
    cr_expect_eq(rc, POA_E_STORE_CORRUPT, "%s %s", poa_error_name(rc), why.text);
}

Test(store, damage_in_a_table_names_the_key_space)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    static char filler[3000];
    memset(filler, 'f', sizeof filler);
    uint8_t d[32];
    for (uint32_t i = 0; i < 40; i++) {
        digest_of(i, d);
        cr_assert_eq(poa_store_put_batch(b, 0, 5, d, poa_slice(filler, sizeof filler)), POA_OK);
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    cr_assert_eq(poa_store_compact(s), POA_OK);
    poa_store_close(s);
    char path[600];
    newest(".ldb", path, sizeof path);
    flip_byte(path, 5000);
    s = must_open();
    struct poa_store_value v;
    int bad = 0;
    for (uint64_t i = 1; i <= 40; i++) {
        int rc = poa_store_get_batch_at(s, i, &v);
        poa_store_value_free(&v);
        if (rc == POA_OK)
            continue;
        cr_assert_eq(rc, POA_E_STORE_CORRUPT);
        struct poa_why text_of;
        poa_store_why(s, &text_of);
        cr_assert(strstr(text_of.text, "reading batches"), "%s", text_of.text);
        bad++;
    }
    cr_assert_gt(bad, 0);
    cr_assert_lt(bad, 5);
    poa_store_close(s);
}
