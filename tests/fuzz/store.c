/* A node's database with damaged files, as a dying disk, a stray write or a half
 * restored backup leaves it. Opening and reading it never crashes; what it refuses it
 * says why; what it does hand out is what was put in; and what it hands out otherwise
 * than complete, the audit finds.
 *
 * Input: edits (file u8, kind u8, offset u24, value u8) of the files of a small
 * database that is made once. LevelDB is not instrumented: coverage guides little here,
 * the checks do the work. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "poa_crypto.h"
#include "poa_store.h"

#define FILES_MAX 16
#define BLOCKS    12
#define EDITS_MAX 8

enum edit { FLIP, SET, CUT, EMPTY, REMOVE, ZEROS, INSERT, SWAP, EDITS };

static struct {
    char name[32];
    uint8_t *p;
    size_t n;
} made[FILES_MAX];
static unsigned files;
static char dir[64];
static const uint8_t chain[32] = {0x70};

static struct poa_slice text(const char *t)
{
    return poa_slice(t, strlen(t));
}

static void digest_of(struct poa_slice batch, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_SIM, batch.p, batch.n, out);
}

static struct poa_slice batch_of(uint32_t i, char room[128])
{
    memset(room, 'b', 128);
    room[snprintf(room, 128, "batch %u ", i)] = '.';
    return poa_slice(room, 100);
}

static struct poa_slice state_of(uint32_t i, uint8_t key[32], char room[32])
{
    poa_put_le32((uint8_t *)room, i);
    poa_hash(POA_DOMAIN_SIM, room, 4, key);
    snprintf(room, 32, "state %u", i);
    return text(room);
}

static struct poa_store_block block_of(uint64_t height, uint8_t digest[1][32], char room[128])
{
    digest_of(batch_of((uint32_t)height, room), digest[0]);
    struct poa_store_block b = {.height = height,
                                .header = text("header"),
                                .body = text("body"),
                                .cert = text("cert"),
                                .hash = {(uint8_t)height, 1},
                                .root = {(uint8_t)height, 2},
                                .batch = (const uint8_t(*)[32])digest,
                                .batches = 1};
    return b;
}

static int open_it(struct poa_store **s, struct poa_why *why, bool create)
{
    struct poa_store_config c = {.dir = dir,
                                 .chain32 = chain,
                                 .create = create,
                                 .write_buffer_bytes = 64 * 1024,
                                 .cache_bytes = 64 * 1024,
                                 .max_open_files = 20};
    return poa_store_open(&c, s, why);
}

static void db_path(char out[128], const char *name)
{
    snprintf(out, 128, "%s/db/%.31s", dir, name);
}

static void keep_file(const char *name)
{
    char path[128];
    struct stat st;
    db_path(path, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    FUZZ_CHECK(files < FILES_MAX && fd >= 0 && !fstat(fd, &st));
    made[files].n = (size_t)st.st_size;
    made[files].p = malloc(made[files].n + 1);
    FUZZ_CHECK(made[files].p && read(fd, made[files].p, made[files].n) == st.st_size);
    snprintf(made[files++].name, sizeof made[0].name, "%.31s", name);
    close(fd);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void clean(void)
{
    char path[128];
    db_path(path, "");
    poa_store_remove(path);
}

static void clean_all(void)
{
    clean();
    poa_store_remove(dir);
}

/* Tables, a manifest, and a log that was never merged into a table. */
static void make(void)
{
    const char *tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    struct poa_why why = {""};
    struct poa_store *s = NULL;
    struct poa_store_batch *b = NULL;
    char room[128], path[128], name[FILES_MAX][32];
    uint8_t digest[1][32], key[32];
    snprintf(dir, sizeof dir, "%s/poa-fuzz-store.XXXXXX", tmp);
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    atexit(clean_all);
    for (uint32_t h = 1; h <= BLOCKS; h++) {
        if (h % 4 == 1) { /* opened again: the log becomes a table */
            if (s) {
                poa_store_batch_free(b);
                poa_store_close(s);
            }
            FUZZ_CHECK(!open_it(&s, &why, true));
            FUZZ_CHECK(!poa_store_batch_new(s, &b));
        }
        struct poa_store_block block = block_of(h, digest, room);
        FUZZ_CHECK(!poa_store_put_batch(b, h, 5, digest[0], batch_of(h, room)));
        FUZZ_CHECK(!poa_store_put_block(b, &block));
        for (uint32_t i = 0; i < 6; i++) {
            char value[32];
            struct poa_slice v = state_of(h * 6 + i, key, value);
            poa_store_put_state(b, key, v);
        }
        snprintf(room, sizeof room, "fuzz/%u", h);
        poa_store_put_meta(b, room, text(room));
        struct poa_stored_checkpoint point = {.height = h, .root = {(uint8_t)h, 2}};
        FUZZ_CHECK(!poa_store_put_checkpoint(b, &point));
        FUZZ_CHECK(!poa_store_write(b, true));
        if (h == 8)
            FUZZ_CHECK(!poa_store_compact(s));
    }
    poa_store_batch_free(b);
    poa_store_close(s);
    db_path(path, "");
    DIR *d = opendir(path);
    struct dirent *e;
    unsigned names = 0;
    FUZZ_CHECK(d != NULL);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && strncmp(e->d_name, "LO", 2) != 0) { /* LOCK, LOG, LOG.old */
            FUZZ_CHECK(names < FILES_MAX);
            snprintf(name[names++], sizeof name[0], "%.31s", e->d_name);
        }
    closedir(d);
    qsort(name, names, sizeof name[0], by_name);
    for (unsigned i = 0; i < names; i++)
        keep_file(name[i]);
}

static void write_file(const char *name, const uint8_t *p, size_t n)
{
    char path[128];
    db_path(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    close(fd);
}

/* The files with edits applied; EDITED: one differs from what was made; LOG: the log
 * does. */
static void write_files(struct fuzz_in *in, bool *edited, bool *log)
{
    struct {
        uint8_t *p;
        size_t n;
        bool gone;
    } now[FILES_MAX];
    for (unsigned f = 0; f < files; f++) {
        now[f].n = made[f].n;
        now[f].gone = false;
        now[f].p = malloc(made[f].n + 256 * EDITS_MAX);
        FUZZ_CHECK(now[f].p != NULL);
        memcpy(now[f].p, made[f].p, made[f].n);
    }
    for (int i = 0; i < EDITS_MAX && in->n; i++) {
        unsigned f = fuzz_u8(in) % files, kind = fuzz_u8(in) % EDITS;
        size_t at = fuzz_u16(in);
        at |= (size_t)fuzz_u8(in) << 16;
        uint8_t value = fuzz_u8(in);
        at = now[f].n ? at % now[f].n : 0;
        size_t run = now[f].n - at < value ? now[f].n - at : value;
        unsigned other = value % files;
        switch ((enum edit)kind) {
        case FLIP:
            if (now[f].n)
                now[f].p[at] ^= (uint8_t)(1 << value % 8);
            break;
        case SET:
            if (now[f].n)
                now[f].p[at] = value;
            break;
        case CUT:
            now[f].n = at;
            break;
        case EMPTY:
            now[f].n = 0;
            break;
        case REMOVE:
            now[f].gone = true;
            break;
        case ZEROS:
            memset(now[f].p + at, 0, run);
            break;
        case INSERT:
            memmove(now[f].p + at + value, now[f].p + at, now[f].n - at);
            memset(now[f].p + at, value, value);
            now[f].n += value;
            break;
        case SWAP: /* the bytes of another file under this name */
            free(now[f].p);
            now[f].n = made[other].n;
            now[f].p = malloc(made[other].n + 256 * EDITS_MAX);
            FUZZ_CHECK(now[f].p != NULL);
            memcpy(now[f].p, made[other].p, made[other].n);
            break;
        case EDITS:
            break;
        }
    }
    char path[128];
    db_path(path, "");
    FUZZ_CHECK(!mkdir(dir, 0700) || !access(dir, W_OK));
    FUZZ_CHECK(!mkdir(path, 0700));
    *edited = *log = false;
    for (unsigned f = 0; f < files; f++) {
        bool same =
            !now[f].gone && now[f].n == made[f].n && !memcmp(now[f].p, made[f].p, made[f].n);
        *edited |= !same;
        *log |= !same && strstr(made[f].name, ".log");
        if (!now[f].gone)
            write_file(made[f].name, now[f].p, now[f].n);
        free(now[f].p);
    }
}

/* --- what it hands out --------------------------------------------------------------- */

static int visit_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    char room[128];
    (void)ctx;
    FUZZ_CHECK(seq >= 1 && seq <= BLOCKS && type == 5);
    FUZZ_CHECK(poa_slice_equal(bytes, batch_of((uint32_t)seq, room)));
    return POA_OK;
}

static int visit_state(void *ctx, const uint8_t key32[32], struct poa_slice value)
{
    uint32_t *seen = ctx;
    char room[32], number[16] = "";
    uint8_t key[32];
    FUZZ_CHECK(value.n > 6 && value.n < 6 + sizeof number && !memcmp(value.p, "state ", 6));
    memcpy(number, value.p + 6, value.n - 6);
    (void)state_of((uint32_t)strtoul(number, NULL, 10), key, room);
    FUZZ_CHECK(!memcmp(key, key32, 32));
    ++*seen;
    return POA_OK;
}

/* CODE is one that damage may have. *LOST when there should have been something. */
static bool got(int code, bool *lost)
{
    FUZZ_CHECK(code == POA_OK || code == POA_E_NOT_FOUND || code == POA_E_STORE ||
               code == POA_E_STORE_CORRUPT);
    *lost |= code != POA_OK;
    return code == POA_OK;
}

static void read_all(struct poa_store *s, bool *lost)
{
    struct poa_store_value v = {.own = NULL};
    struct poa_stored_checkpoint point;
    char room[128];
    uint8_t digest[1][32];
    uint64_t first, last, height;
    uint32_t seen = 0;
    for (uint32_t h = 1; h <= BLOCKS; h++) {
        struct poa_stored_block got_block;
        struct poa_store_block block = block_of(h, digest, room);
        if (got(poa_store_get_block(s, h, &v, &got_block), lost)) {
            FUZZ_CHECK(poa_slice_equal(got_block.header, block.header));
            FUZZ_CHECK(poa_slice_equal(got_block.body, block.body));
            FUZZ_CHECK(poa_slice_equal(got_block.cert, block.cert));
            FUZZ_CHECK(!memcmp(got_block.hash, block.hash, 32));
            FUZZ_CHECK(!memcmp(got_block.root, block.root, 32));
            poa_store_value_free(&v);
        }
        if (got(poa_store_get_batch(s, digest[0], &v), lost)) {
            FUZZ_CHECK(poa_slice_equal(v.bytes, batch_of(h, room)));
            poa_store_value_free(&v);
        }
        if (got(poa_store_find_block(s, block.hash, &height), lost))
            FUZZ_CHECK(height == h);
        snprintf(room, sizeof room, "fuzz/%u", h);
        if (got(poa_store_get_meta(s, room, &v), lost)) {
            FUZZ_CHECK(poa_slice_equal(v.bytes, text(room)));
            poa_store_value_free(&v);
        }
    }
    if (got(poa_store_get_checkpoint(s, &point), lost))
        FUZZ_CHECK(point.height >= 1 && point.height <= BLOCKS && point.root[0] == point.height &&
                   point.root[1] == 2);
    if (got(poa_store_heights(s, &first, &last), lost))
        FUZZ_CHECK(last <= BLOCKS);
    got(poa_store_each_record(s, visit_record, NULL), lost);
    if (got(poa_store_each_state(s, visit_state, &seen), lost)) {
        FUZZ_CHECK(seen <= BLOCKS * 6);
        *lost |= seen < BLOCKS * 6;
    }
}

static void note_wrong(void *ctx, const char *line)
{
    (void)ctx;
    FUZZ_CHECK(line[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    struct poa_why why = {""};
    struct poa_store *s = NULL;
    struct poa_store_stats stats;
    bool edited, log, lost = false;
    if (!files)
        make();
    clean();
    write_files(&in, &edited, &log);
    int rc = open_it(&s, &why, false);
    FUZZ_CHECK(!rc || (!s && why.text[0]));
    FUZZ_CHECK(!rc || edited);
    if (rc)
        return 0;
    read_all(s, &lost);
    FUZZ_CHECK(!lost || edited);
    struct poa_store_audit a = {.wrong = note_wrong};
    rc = poa_store_audit(s, &a, digest_of);
    FUZZ_CHECK(rc == POA_OK || rc == POA_E_STORE_CORRUPT || rc == POA_E_STORE);
    FUZZ_CHECK((rc != POA_OK) == (a.faults > 0));
    FUZZ_CHECK(!rc || edited);
    /* What only the end of a log says can be lost with it: docs/store.md. */
    poa_store_stats(s, &stats);
    FUZZ_CHECK(!lost || rc || log || stats.torn_bytes);
    poa_store_close(s);
    return 0;
}

static void seed(const char *name, const uint8_t *edits, size_t n)
{
    fuzz_seed(name, edits, n * 6);
}

void fuzz_seeds(void)
{
    static const uint8_t untouched[6] = {0, SET, 0, 0, 0, 'M'};
    seed("untouched", untouched, 1);
    for (uint8_t f = 0; f < 8; f++)
        for (uint8_t kind = 0; kind < EDITS; kind++) {
            char name[32];
            const uint8_t edit[6] = {f, kind, (uint8_t)(17 * f + 5), 1, 0, (uint8_t)(3 + kind)};
            snprintf(name, sizeof name, "file%u-edit%u", f, kind);
            seed(name, edit, 1);
        }
}
