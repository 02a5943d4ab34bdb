/* The end of a log after a power cut.
 *
 * LevelDB's logs (the write-ahead log and the manifest) only grow. Of what was
 * not synced a disk may keep a beginning, followed by zeros or rubbish up to the
 * length that the file had. LevelDB, asked to be strict, takes that for damage
 * and refuses the database; asked to be lenient, it would skip damage anywhere.
 * So the torn end is cut off here, and only it: behind the first record that is
 * not whole there must be none that is.
 *
 * A damaged byte in the very last records looks the same as a torn end. It would
 * have to hit what was written last, and the cut is logged.
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

static int trim(struct poa_store *s, const char *path, bool *cut)
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
    if (end == SIZE_MAX)
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
