/* The end of a log after a power cut.
 *
 * LevelDB's logs (the write-ahead log and the manifest) only grow. Of what was
 * not synced a disk may keep a beginning, followed by zeros or rubbish up to the
 * length that the file had. LevelDB, asked to be strict, takes that for damage
 * and refuses the database; asked to be lenient, it would skip damage anywhere.
 * So the torn end is cut off here, and only it: behind the first record that is
 * not whole there must be none that is.
 *
 * A damaged byte in the very last records looks the same as a torn end, and a log
 * that somebody emptied the same as one that was just begun; what reads as zeros
 * LevelDB passes over without a word. So db/WRITTEN says up to where which log was
 * synced: one that is not whole up to there is damaged. It is overwritten in
 * place after each synced write and not synced itself, which costs nothing: whatever of
 * it a disk keeps over a power cut was true, and what is not whole says nothing.
 *
 * Source: LevelDB, doc/log_format.md: blocks of 32 KiB; records of crc32c u32
 * (masked, of type and data), length u16, type u8, data. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_internal.h"

#define BLOCK 32768u
#define HEAD  7u
enum { FULL = 1, FIRST, MIDDLE, LAST };

static uint32_t crc32c(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    while (n--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Type of the whole record at P, of N bytes up to the end of its block; 0: none. */
static unsigned record_at(const uint8_t *p, size_t n, size_t *length)
{
    if (n < HEAD)
        return 0;
    *length = HEAD + (size_t)(p[4] | p[5] << 8);
    if (*length > n || p[6] < FULL || p[6] > LAST ||
        poa_le32(p) != masked(crc32c(p + 6, *length - 6)))
        return 0;
    return p[6];
}

static size_t block_left(size_t at)
{
    return BLOCK - at % BLOCK;
}

/* Is there a whole record at or after AT, where one could begin? */
static bool any_after(const uint8_t *p, size_t n, size_t at)
{
    size_t length;
    /* Behind the broken one in its own block, as far as its length may be believed. */
    if (n - at >= HEAD) {
        size_t next = at + HEAD + (size_t)(p[at + 4] | p[at + 5] << 8);
        if (next < at + block_left(at) && next < n) {
            size_t left = block_left(next) < n - next ? block_left(next) : n - next;
            if (record_at(p + next, left, &length) && length > HEAD)
                return true;
        }
    }
    for (at += block_left(at); at < n; at += BLOCK) {
        size_t left = BLOCK < n - at ? BLOCK : n - at;
        if (record_at(p + at, left, &length) && length > HEAD)
            return true;
    }
    return false;
}

/* Where the last record ends before one that is not whole; *MORE: behind that one there are
 * whole ones. */
static size_t whole_end(const uint8_t *p, size_t n, bool *more)
{
    size_t at = 0, end = 0, length = 0;
    bool inside = false;
    *more = false;
    while (at < n) {
        size_t left = block_left(at) < n - at ? block_left(at) : n - at;
        if (block_left(at) < HEAD) { /* the trailer of a block */
            at += left;
            continue;
        }
        unsigned type = record_at(p + at, left, &length);
        bool begins = type == FULL || type == FIRST;
        if (!type || begins == inside) {
            *more = any_after(p, n, at);
            break;
        }
        at += length;
        inside = type == FIRST || type == MIDDLE;
        if (!inside)
            end = at;
    }
    return end;
}

/* The N bytes of FD, to be freed; NULL: they cannot be read. */
static uint8_t *read_all(int fd, size_t n)
{
    uint8_t *p = malloc(n + 1);
    size_t have = 0;
    while (p && have < n) {
        ssize_t got = pread(fd, p + have, n - have, (off_t)have);
        if (got <= 0) {
            free(p);
            return NULL;
        }
        have += (size_t)got;
    }
    return p;
}

/* --- db/WRITTEN: number of the log u64, bytes of it that were synced u64, crc32c u32 --- */

#define MARK_FILE  "WRITTEN"
#define MARK_BYTES 20

static bool read_mark(const char *db, struct store_mark *m)
{
    uint8_t p[MARK_BYTES];
    char path[4600];
    snprintf(path, sizeof path, "%s/" MARK_FILE, db);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, p, sizeof p);
    if (fd >= 0)
        close(fd);
    if (n != sizeof p || poa_le32(p + 16) != crc32c(p, 16))
        return false;
    m->log = poa_le64(p);
    m->bytes = poa_le64(p + 8);
    return true;
}

static void log_path(const char *db, uint64_t number, char path[4600])
{
    snprintf(path, 4600, "%.4500s/%06llu.log", db, (unsigned long long)number);
}

static bool log_bytes(const char *db, uint64_t number, uint64_t *bytes)
{
    char path[4600];
    struct stat st;
    log_path(db, number, path);
    if (stat(path, &st))
        return false;
    *bytes = (uint64_t)st.st_size;
    return true;
}

bool store_log_damaged(const struct poa_store *s, const char *db, struct store_mark *m,
                       uint64_t *whole)
{
    char path[4600];
    uint64_t bytes = 0;
    bool more;
    *whole = 0;
    if (!read_mark(db, m))
        return false;
    /* LevelDB removes a log only when there is a newer one. */
    if (!log_bytes(db, m->log, &bytes))
        return store_log_number(s) < m->log;
    bytes = bytes < m->bytes ? bytes : m->bytes;
    log_path(db, m->log, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *p = fd < 0 ? NULL : read_all(fd, (size_t)bytes);
    if (p)
        *whole = whole_end(p, (size_t)bytes, &more);
    if (fd >= 0)
        close(fd);
    free(p);
    return p && *whole < m->bytes; /* what cannot be read is LevelDB's to tell */
}

/* The log that is written to has the highest number, and grew; the folder is read only when
 * another one was begun. */
static bool find_log(struct poa_store *s, const char *db)
{
    uint64_t bytes;
    if (!log_bytes(db, s->mark.log, &bytes) || bytes <= s->mark.bytes) {
        s->mark.log = store_log_number(s);
        if (!log_bytes(db, s->mark.log, &bytes))
            return false;
    }
    s->mark.bytes = bytes;
    return true;
}

/* Only a help: what fails here fails no write. A log that has nothing yet was begun by who
 * reclaims, after this write: its name may not be durable. */
static void write_mark(struct poa_store *s, const char *db)
{
    uint8_t p[MARK_BYTES];
    char path[4600];
    if (!s->mark.bytes)
        return;
    snprintf(path, sizeof path, "%s/" MARK_FILE, db);
    if (s->mark_fd < 0)
        s->mark_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    poa_put_le64(p, s->mark.log);
    poa_put_le64(p + 8, s->mark.bytes);
    poa_put_le32(p + 16, crc32c(p, 16));
    if (s->mark_fd >= 0 && pwrite(s->mark_fd, p, sizeof p, 0) != sizeof p) {
        close(s->mark_fd);
        s->mark_fd = -1;
    }
}

bool store_mark_log(struct poa_store *s, bool sync)
{
    char db[sizeof s->dir + 4];
    uint64_t before = s->mark.log;
    snprintf(db, sizeof db, "%s/db", s->dir);
    if (!find_log(s, db))
        return false;
    if (sync)
        write_mark(s, db);
    return before && s->mark.log != before;
}

/* --- the end of each log ---------------------------------------------------------------- */

static int trim(struct poa_store *s, const char *path, bool *cut)
{
    struct stat st;
    bool more = false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            close(fd);
        return POA_E_STORE;
    }
    size_t n = (size_t)st.st_size;
    uint8_t *p = read_all(fd, n);
    int rc = p ? POA_OK : POA_E_STORE;
    size_t end = rc ? n : whole_end(p, n, &more);
    if (more) {
        rc = POA_E_STORE_CORRUPT;
    } else if (end < n) {
        rc = ftruncate(fd, (off_t)end) || fsync(fd) ? POA_E_STORE : POA_OK;
        *cut = true;
        s->torn += n - end;
    }
    free(p);
    close(fd);
    return rc;
}

bool store_trim(struct poa_store *s, const char *db)
{
    char path[4600];
    struct dirent *e;
    bool cut = false;
    int rc = POA_OK;
    DIR *d = opendir(db);
    while (d && !rc && (e = readdir(d))) {
        size_t n = strlen(e->d_name);
        bool log = n > 4 && strcmp(e->d_name + n - 4, ".log") == 0;
        if (!log && strncmp(e->d_name, "MANIFEST-", 9) != 0)
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", db, e->d_name) < sizeof path)
            rc = trim(s, path, &cut);
    }
    if (d)
        closedir(d);
    return !rc && cut;
}
