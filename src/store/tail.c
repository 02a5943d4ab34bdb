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
 * that somebody emptied the same as one that was just begun. So db/WRITTEN says up to
 * where which log was synced: a log that is shorter is damaged. It is overwritten in
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

/* Where the last whole record ends; SIZE_MAX: damage that is not at the end. */
static size_t whole_end(const uint8_t *p, size_t n)
{
    size_t at = 0, end = 0, length = 0;
    bool inside = false;
    while (at < n) {
        size_t left = block_left(at) < n - at ? block_left(at) : n - at;
        if (block_left(at) < HEAD) { /* the trailer of a block */
            at += left;
            continue;
        }
        unsigned type = record_at(p + at, left, &length);
        bool begins = type == FULL || type == FIRST;
        if (!type || begins == inside)
            return any_after(p, n, at) ? SIZE_MAX : end;
        at += length;
        inside = type == FIRST || type == MIDDLE;
        if (!inside)
            end = at;
    }
    return end;
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

static bool log_bytes(const char *db, uint64_t number, uint64_t *bytes)
{
    char path[4600];
    struct stat st;
    snprintf(path, sizeof path, "%.4500s/%06llu.log", db, (unsigned long long)number);
    if (stat(path, &st))
        return false;
    *bytes = (uint64_t)st.st_size;
    return true;
}

bool store_log_cut(const struct poa_store *s, const char *db, struct store_mark *m, uint64_t *left)
{
    *left = 0;
    if (!read_mark(db, m))
        return false;
    /* LevelDB removes a log only when there is a newer one. */
    return log_bytes(db, m->log, left) ? *left < m->bytes : store_log_number(s) < m->log;
}

/* Only a help: what fails here fails no write. The log that is written to has the highest
 * number, and grew; the folder is read only when another one was begun. */
void store_mark_log(struct poa_store *s, bool sync)
{
    uint8_t p[MARK_BYTES];
    char path[4600];
    uint64_t bytes;
    snprintf(path, sizeof path, "%s/db", s->dir);
    if (!log_bytes(path, s->mark.log, &bytes) || bytes <= s->mark.bytes) {
        s->mark.log = store_log_number(s);
        if (!log_bytes(path, s->mark.log, &bytes))
            return;
    }
    s->mark.bytes = bytes;
    /* Who reclaims writes to the log as well, and what is there may not be synced yet. */
    if (!sync || s->reclaiming)
        return;
    snprintf(path, sizeof path, "%s/db/" MARK_FILE, s->dir);
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

/* --- the end of each log ---------------------------------------------------------------- */

/* FLOOR: that many bytes were synced. */
static int trim(struct poa_store *s, const char *path, uint64_t floor, bool *cut)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            close(fd);
        return POA_E_STORE;
    }
    size_t n = (size_t)st.st_size, have = 0;
    uint8_t *p = malloc(n + 1);
    int rc = p ? POA_OK : POA_E_NO_MEMORY;
    while (!rc && have < n) {
        ssize_t got = read(fd, p + have, n - have);
        if (got <= 0)
            rc = POA_E_STORE;
        else
            have += (size_t)got;
    }
    size_t end = rc ? n : whole_end(p, n);
    if (end == SIZE_MAX || (!rc && end < floor))
        rc = POA_E_STORE_CORRUPT;
    else if (!rc && end < n) {
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
    struct store_mark mark;
    bool cut = false, marked = read_mark(db, &mark);
    int rc = POA_OK;
    DIR *d = opendir(db);
    while (d && !rc && (e = readdir(d))) {
        size_t n = strlen(e->d_name);
        bool log = n > 4 && strcmp(e->d_name + n - 4, ".log") == 0;
        if (!log && strncmp(e->d_name, "MANIFEST-", 9) != 0)
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", db, e->d_name) < sizeof path)
            rc = trim(s, path,
                      log && marked && strtoull(e->d_name, NULL, 10) == mark.log ? mark.bytes : 0,
                      &cut);
    }
    if (d)
        closedir(d);
    return !rc && cut;
}
