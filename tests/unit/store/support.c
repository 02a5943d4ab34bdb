#include "support.h"

#include <dirent.h>
#include <stdio.h>

char dir[256];
struct poa_why why;
const uint8_t chain_a[32] = {1}, chain_b[32] = {2};

void fresh_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/poa-store.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(dir));
}

void remove_dir(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

int try_open(const uint8_t *chain, bool create, struct poa_store **s)
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

struct poa_store *must_open(void)
{
    struct poa_store *s = NULL;
    int rc = try_open(chain_a, true, &s);
    cr_assert_eq(rc, POA_OK, "%s: %s", poa_error_name(rc), why.text);
    return s;
}

struct poa_store_batch *group(struct poa_store *s)
{
    struct poa_store_batch *b = NULL;
    cr_assert_eq(poa_store_batch_new(s, &b), POA_OK);
    return b;
}

struct poa_slice text(const char *t)
{
    return poa_slice(t, strlen(t));
}

bool says(struct poa_slice s, const char *t)
{
    return poa_slice_equal(s, text(t));
}

void digest_of(uint32_t n, uint8_t out[32])
{
    memset(out, 0x5a, 32);
    poa_put_le32(out, n * 2654435761u);
    poa_put_le32(out + 4, n);
}

int note_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    struct seen *s = ctx;
    cr_assert_lt(s->n, 64);
    snprintf(s->line[s->n++], 64, "%llu %u %.*s", (unsigned long long)seq, type,
             (int)(bytes.n > 20 ? 20 : bytes.n), (const char *)bytes.p);
    return POA_OK;
}

struct seen records(struct poa_store *s)
{
    struct seen seen = {.n = 0};
    cr_assert_eq(poa_store_each_record(s, note_record, &seen), POA_OK);
    return seen;
}

void put_numbered(struct poa_store_batch *b, uint64_t seq, uint32_t i)
{
    uint8_t d[32];
    char t[32];
    digest_of(i, d);
    snprintf(t, sizeof t, "batch %u", i);
    cr_assert_eq(poa_store_put_batch(b, seq, 5, d, text(t)), POA_OK);
}

int put_block(struct poa_store_batch *b, uint64_t height, uint32_t first, uint32_t n,
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

/* The newest file of the database whose name ends in SUFFIX. */
void newest(const char *suffix, char *path, size_t n)
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
