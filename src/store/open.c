/* Opening, closing, and what failures are called. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_internal.h"

/* Bits of bloom filter per key: an absent batch, transaction or state entry
 * costs no disk read (1 % false positives). */
#define BLOOM_BITS 10

const char *space_name(enum space space)
{
    switch (space) {
#define SPACE_ROW(name, prefix, text)                                                              \
    case SPACE_##name:                                                                             \
        return text;
        POA_SPACES(SPACE_ROW)
#undef SPACE_ROW
    }
    return "unknown";
}

static void keep_why(struct poa_store *s, const char *text)
{
    pthread_mutex_lock(&s->why_mutex);
    poa_because(&s->why, POA_OK, "%s", text);
    pthread_mutex_unlock(&s->why_mutex);
}

/* LevelDB says "IO error" too of files that are gone, or empty where they must not be. */
static int code_of(const char *message)
{
    static const int gone[] = {ENOENT, EINVAL, ENOTDIR, EISDIR};
    if (strncmp(message, "Corruption", 10) == 0)
        return POA_E_STORE_CORRUPT;
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        if (strstr(message, strerror(gone[i])) != NULL)
            return POA_E_STORE_CORRUPT;
    return POA_E_STORE;
}

int store_error(struct poa_store *s, enum space space, const char *doing, char *message)
{
    char text[sizeof s->why.text];
    snprintf(text, sizeof text, "%s %s: %s", doing, space_name(space), message);
    keep_why(s, text);
    int code = code_of(message);
    leveldb_free(message);
    return code;
}

int store_corrupt(struct poa_store *s, enum space space, const char *what)
{
    char text[sizeof s->why.text];
    snprintf(text, sizeof text, "%s in %s is damaged", what, space_name(space));
    keep_why(s, text);
    return POA_E_STORE_CORRUPT;
}

void poa_store_why(struct poa_store *s, struct poa_why *out)
{
    pthread_mutex_lock(&s->why_mutex);
    *out = s->why;
    pthread_mutex_unlock(&s->why_mutex);
}

static void tell(struct poa_store *s, struct poa_why *why)
{
    if (why)
        poa_store_why(s, why);
}

const uint8_t *poa_store_chain(const struct poa_store *s)
{
    return s->chain;
}

struct key key_bytes(enum space space, const void *bytes, size_t n)
{
    struct key k;
    POA_ASSERT(n < sizeof k.p);
    k.p[0] = (char)space;
    memcpy(k.p + 1, bytes, n);
    k.n = n + 1;
    return k;
}

struct key key_number(enum space space, uint64_t number)
{
    uint8_t be[8];
    poa_put_be64(be, number);
    return key_bytes(space, be, sizeof be);
}

struct key key_blob(uint8_t kind, const uint8_t hash32[32])
{
    uint8_t k[33];
    k[0] = kind;
    memcpy(k + 1, hash32, 32);
    return key_bytes(SPACE_BLOB, k, sizeof k);
}

struct key key_expiry(uint64_t expires_ms, uint8_t kind, const uint8_t hash32[32])
{
    uint8_t be[41];
    poa_put_be64(be, expires_ms);
    be[8] = kind;
    memcpy(be + 9, hash32, 32);
    return key_bytes(SPACE_EXPIRY, be, sizeof be);
}

/* The lock is ours, not LevelDB's, to be able to say who holds it. */
int poa_store_lock(const char *dir, int *out, struct poa_why *why)
{
    char path[4096 + 8];
    if ((size_t)snprintf(path, sizeof path, "%s/LOCK", dir) >= sizeof path - 8)
        return poa_because(why, POA_E_LIMIT, "the name of the data directory is too long");
    if (mkdir(dir, 0700) && errno != EEXIST)
        return poa_because(why, POA_E_IO, "cannot create %s: %s", dir, strerror(errno));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return poa_because(why, POA_E_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        char pid[16] = "";
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        close(fd);
        return poa_because(why, POA_E_LOCKED, "%s is in use by process %s: stop it first", dir,
                           pid[0] ? pid : "?");
    }
    char pid[16];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n) {
        poa_because(why, POA_E_IO, "cannot write %s: %s", path, strerror(errno));
        close(fd);
        return POA_E_IO;
    }
    *out = fd;
    return POA_OK;
}

/* Calls EACH for the files in folder PATH. */
static void each_file(const char *path, void (*each)(void *ctx, const char *file), void *ctx)
{
    char file[4600];
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            (size_t)snprintf(file, sizeof file, "%s/%s", path, e->d_name) < sizeof file)
            each(ctx, file);
    if (d)
        closedir(d);
}

static void highest_log(void *ctx, const char *file)
{
    const char *name = strrchr(file, '/') + 1;
    char *end = NULL;
    uint64_t n = strtoull(name, &end, 10);
    if (end != name && strcmp(end, ".log") == 0 && n > *(uint64_t *)ctx)
        *(uint64_t *)ctx = n;
}

uint64_t store_log_number(const struct poa_store *s)
{
    char path[sizeof s->dir + 4];
    uint64_t n = 0;
    snprintf(path, sizeof path, "%s/db", s->dir);
    each_file(path, highest_log, &n);
    return n;
}

static void remove_file(void *ctx, const char *file)
{
    (void)ctx;
    unlink(file);
}

void poa_store_remove(const char *path)
{
    each_file(path, remove_file, NULL);
    rmdir(path);
}

static void add_size(void *ctx, const char *file)
{
    struct stat st;
    if (stat(file, &st) == 0)
        *(uint64_t *)ctx += (uint64_t)st.st_size;
}

uint64_t poa_store_files_bytes(const char *dir)
{
    char path[4200];
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "%.4096s/db", dir);
    each_file(path, add_size, &bytes);
    return bytes;
}

uint64_t poa_store_room_bytes(const char *dir)
{
    return poa_store_files_bytes(dir) / 8 + ((uint64_t)32 << 20);
}

void poa_store_advise(const char *dir, struct poa_why *why)
{
    if (!why || !strstr(why->text, strerror(ENOSPC)))
        return;
    size_t n = strlen(why->text);
    snprintf(why->text + n, sizeof why->text - n,
             ": free about %llu MB there first (docs/operating.md, Disk full)",
             (unsigned long long)(poa_store_room_bytes(dir) / 1000000 + 1));
}

static int put_first_meta(struct poa_store *s, const uint8_t chain32[32])
{
    leveldb_writebatch_t *wb = leveldb_writebatch_create();
    uint8_t format[2] = {POA_STORE_FORMAT & 0xff, POA_STORE_FORMAT >> 8};
    struct key f = key_bytes(SPACE_META, "format", 6);
    struct key c = key_bytes(SPACE_META, "chain", 5);
    leveldb_writebatch_put(wb, f.p, f.n, (const char *)format, sizeof format);
    leveldb_writebatch_put(wb, c.p, c.n, (const char *)chain32, 32);
    int rc = store_write(s, wb, true, 64);
    leveldb_writebatch_destroy(wb);
    return rc;
}

static int check_meta(struct poa_store *s, const uint8_t *chain32, struct poa_why *why)
{
    struct poa_store_value v = {.own = NULL};
    int rc = poa_store_get_meta(s, "format", &v);
    if (rc == POA_E_NOT_FOUND) {
        leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->scan);
        leveldb_iter_seek_to_first(it);
        bool empty = !leveldb_iter_valid(it);
        leveldb_iter_destroy(it);
        if (!empty || !chain32)
            return poa_because(why, POA_E_STORE_VERSION,
                               "%s/db is not a database of poa: choose another directory", s->dir);
        rc = put_first_meta(s, chain32);
        if (rc) {
            tell(s, why);
            return rc;
        }
        memcpy(s->chain, chain32, 32);
        return POA_OK;
    }
    if (rc) {
        tell(s, why);
        return rc;
    }
    unsigned format = v.bytes.n == 2 ? poa_le16(v.bytes.p) : 0;
    poa_store_value_free(&v);
    if (format != POA_STORE_FORMAT) {
        return poa_because(why, POA_E_STORE_VERSION,
                           "%s has store format %u, this program writes %d: use the version "
                           "that made it, or sync into a new directory",
                           s->dir, format, POA_STORE_FORMAT);
    }
    rc = poa_store_get_meta(s, "chain", &v);
    if (!rc && v.bytes.n != 32)
        rc = store_corrupt(s, SPACE_META, "chain");
    if (rc) {
        poa_store_value_free(&v);
        tell(s, why);
        return rc == POA_E_NOT_FOUND ? POA_E_STORE_CORRUPT : rc;
    }
    memcpy(s->chain, v.bytes.p, 32);
    poa_store_value_free(&v);
    if (chain32 && memcmp(chain32, s->chain, 32) != 0) {
        char ours[17], theirs[17];
        poa_hex(s->chain, 8, theirs);
        poa_hex(chain32, 8, ours);
        return poa_because(why, POA_E_STORE_CHAIN,
                           "%s belongs to chain %s..., the genesis file is of chain %s...: "
                           "use its own genesis or another directory",
                           s->dir, theirs, ours);
    }
    return POA_OK;
}

/* Arrival numbers go on after the last stored batch. */
static int find_next_batch(struct poa_store *s)
{
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->scan);
    struct key end = key_number(SPACE_BATCH, UINT64_MAX);
    leveldb_iter_seek(it, end.p, end.n);
    if (leveldb_iter_valid(it))
        leveldb_iter_prev(it);
    else
        leveldb_iter_seek_to_last(it);
    s->next_batch = 1;
    if (leveldb_iter_valid(it)) {
        size_t n = 0;
        const char *k = leveldb_iter_key(it, &n);
        if (n == 9 && k[0] == SPACE_BATCH)
            s->next_batch = poa_be64((const uint8_t *)k + 1) + 1;
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    s->batches = s->next_batch - 1;
    return message ? store_error(s, SPACE_BATCH, "reading", message) : POA_OK;
}

/* LevelDB takes a database without a log for one with an empty log, and all that was
 * written last would be gone without a word. Only one that has just been made, whose
 * first manifest nothing has replaced, has none. */
static bool log_missing(const struct poa_store *s)
{
    char path[sizeof s->dir + 16], name[32] = "";
    snprintf(path, sizeof path, "%s/db/CURRENT", s->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strcmp(name, "MANIFEST-000001\n") != 0 && !store_log_number(s);
}

static void any_remains(void *ctx, const char *file)
{
    const char *name = strrchr(file, '/') + 1, *dot = strrchr(name, '.');
    *(bool *)ctx |= (dot && (strcmp(dot, ".ldb") == 0 || strcmp(dot, ".log") == 0)) ||
                    (strncmp(name, "MANIFEST-", 9) == 0 && strcmp(name, "MANIFEST-000001") != 0);
}

/* LevelDB takes a folder without CURRENT for a new one and deletes what is in it. One
 * that was never made to the end holds its first manifest at most. */
static bool current_missing(const char *dir)
{
    char path[sizeof((struct poa_store *)0)->dir + 16];
    bool remains = false;
    snprintf(path, sizeof path, "%s/db/CURRENT", dir);
    if (access(path, F_OK) == 0)
        return false;
    *strrchr(path, '/') = 0;
    each_file(path, any_remains, &remains);
    return remains;
}

static int open_db(struct poa_store *s, const struct poa_store_config *c, struct poa_why *why)
{
    char path[sizeof s->dir + 4];
    struct store_mark mark;
    uint64_t whole;
    snprintf(path, sizeof path, "%s/db", s->dir);
    if (current_missing(s->dir))
        return poa_because(why, POA_E_STORE_CORRUPT, "cannot open %s: its file CURRENT is missing",
                           path);
    if (log_missing(s))
        return poa_because(why, POA_E_STORE_CORRUPT, "cannot open %s: its log (*.log) is missing",
                           path);
    if (store_log_damaged(s, path, &mark, &whole))
        return poa_because(why, POA_E_STORE_CORRUPT,
                           "cannot open %s: its log %06llu.log is damaged: %llu bytes are whole of "
                           "%llu that were written",
                           path, (unsigned long long)mark.log, (unsigned long long)whole,
                           (unsigned long long)mark.bytes);
    s->options = leveldb_options_create();
    s->cache = leveldb_cache_create_lru(c->cache_bytes);
    s->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    leveldb_options_set_create_if_missing(s->options, c->create);
    leveldb_options_set_paranoid_checks(s->options, 1);
    leveldb_options_set_write_buffer_size(s->options, c->write_buffer_bytes);
    leveldb_options_set_max_open_files(s->options, c->max_open_files);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->bloom);
    /* Signatures, keys and hashes do not compress. */
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    s->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->read, 1);
    s->scan = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->scan, 1);
    leveldb_readoptions_set_fill_cache(s->scan, 0);
    s->sync = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->sync, 1);
    s->lazy = leveldb_writeoptions_create();
    char *message = NULL;
    s->db = leveldb_open(s->options, path, &message);
    if (!s->db && code_of(message) == POA_E_STORE_CORRUPT && store_trim(s, path)) {
        leveldb_free(message);
        message = NULL;
        s->db = leveldb_open(s->options, path, &message);
    }
    if (!s->db) {
        int rc = code_of(message);
        poa_because(why, POA_OK, "cannot open %s: %s", path, message);
        leveldb_free(message);
        return rc;
    }
    s->write_buffer = c->write_buffer_bytes;
    return POA_OK;
}

int poa_store_open(const struct poa_store_config *c, struct poa_store **out, struct poa_why *why)
{
    struct poa_store *s = calloc(1, sizeof *s);
    if (!s)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    s->lock_fd = s->mark_fd = -1;
    s->tx_index = c->tx_index;
    s->tx_ids = c->tx_ids;
    pthread_mutex_init(&s->why_mutex, NULL);
    pthread_mutex_init(&s->write_mutex, NULL);
    int rc = POA_OK;
    if (strlen(c->dir) >= sizeof s->dir)
        rc = poa_because(why, POA_E_LIMIT, "the name of the data directory is too long");
    if (!rc) {
        char current[sizeof s->dir + 16];
        snprintf(s->dir, sizeof s->dir, "%s", c->dir);
        snprintf(current, sizeof current, "%s/db/CURRENT", s->dir);
        if (!c->create && access(current, F_OK) && !current_missing(s->dir)) /* nothing is made */
            rc = poa_because(why, POA_E_NOT_FOUND, "%s holds no database", s->dir);
    }
    if (!rc) {
        rc = poa_store_lock(s->dir, &s->lock_fd, why);
    }
    if (!rc)
        rc = open_db(s, c, why);
    if (!rc)
        rc = check_meta(s, c->chain32, why);
    if (!rc) {
        rc = find_next_batch(s);
        if (!rc)
            rc = store_count_blobs(s);
        if (!rc)
            rc = store_load_deleted(s);
        if (rc)
            tell(s, why);
    }
    if (rc) {
        poa_store_advise(s->dir, why);
        poa_store_close(s);
        return rc;
    }
    *out = s;
    return POA_OK;
}

void poa_store_close(struct poa_store *s)
{
    if (!s)
        return;
    if (s->db)
        leveldb_close(s->db);
    if (s->options) {
        leveldb_options_destroy(s->options);
        leveldb_readoptions_destroy(s->read);
        leveldb_readoptions_destroy(s->scan);
        leveldb_writeoptions_destroy(s->sync);
        leveldb_writeoptions_destroy(s->lazy);
        leveldb_cache_destroy(s->cache);
        leveldb_filterpolicy_destroy(s->bloom);
    }
    if (s->mark_fd >= 0)
        close(s->mark_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_mutex_destroy(&s->why_mutex);
    pthread_mutex_destroy(&s->write_mutex);
    free(s);
}

static void compact_numbers(struct poa_store *s, enum space space, uint64_t to)
{
    struct key a = key_number(space, 0), b = key_number(space, to + 1);
    leveldb_compact_range(s->db, a.p, a.n, b.p, b.n);
}

void poa_store_reclaim(struct poa_store *s)
{
    uint64_t bytes = s->deleted, height = s->deleted_height;
    static const char scattered[] = {SPACE_DIGEST, SPACE_HASH, SPACE_TX};
    /* What an earlier process deleted waits until this one has, too: it knows up to where. */
    if (!bytes || !(height || s->deleted_blobs))
        return;
    /* Compacting begins a new log: nothing may be unsynced in the old one. */
    s->reclaiming = true;
    if (store_probe(s)) {
        s->reclaiming = false;
        return; /* the writer will get it too */
    }
    compact_numbers(s, SPACE_BATCH, s->deleted_batch);
    compact_numbers(s, SPACE_BLOCK, height);
    compact_numbers(s, SPACE_RECEIPTS, height);
    if (s->deleted_blobs) {
        char from = SPACE_BLOB, to = SPACE_EXPIRY + 1;
        s->deleted_blobs = false;
        leveldb_compact_range(s->db, &from, 1, &to, 1);
    }
    for (size_t i = 0; i < sizeof scattered; i++) {
        char to = (char)(scattered[i] + 1);
        leveldb_compact_range(s->db, &scattered[i], 1, &to, 1);
    }
    s->reclaiming = false;
    s->deleted -= bytes;
}

int poa_store_compact(struct poa_store *s)
{
    char first = 0, last = (char)0x7f;
    leveldb_compact_range(s->db, &first, 1, &last, 1);
    int rc = store_probe(s);
    return rc ? rc : store_recount_blobs(s);
}
