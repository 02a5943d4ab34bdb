/* The state file: see poa_agent.h.
 *
 *   0      head: whose it is, how many places
 *   4096   mark, mark    in turn: a torn write destroys only the one that was
 *   12288  trust, trust  never relied on
 *   28672  places of the ring, each a record with its own check
 *
 * Everything is written in place in a file of fixed size, so that one
 * fdatasync per write moves data and no metadata. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_agent.h"

#define KEEP_MAGIC  UINT64_C(0x3165746174736f70) /* "postate1" */
#define MARK_AT     4096u
#define MARK_ROOM   4096u
#define TRUST_AT    12288u
#define TRUST_ROOM  8192u
#define PLACES_AT   28672u
#define PLACE_BYTES 4608u
#define PAYLOAD_MAX 5600u

#define KEEP_HEAD_TABLE(F)                                                                         \
    F(U64, magic, 0, _, "KEEP_MAGIC")                                                              \
    F(FIX, device, 32, _, "device key")                                                            \
    F(U32, places, 0, _, "of the ring")                                                            \
    F(FIX, check, 32, _, "hash of the above")
POA_RECORD_DECLARE(keep_head, KEEP_HEAD_TABLE)

/* Everything else in the file. */
#define KEEP_CELL_TABLE(F)                                                                         \
    F(FIX, check, 32, _, "hash of what follows")                                                   \
    F(U64, seq, 0, _, "grows with each write")                                                     \
    F(U8, done, 1, _, "ring: the pack needs no place any more")                                    \
    F(U64, cursor, 0, _, "ring: position of the source after the pack")                            \
    F(BLOB, payload, 5600, _, "the record itself")
POA_RECORD_DECLARE(keep_cell, KEEP_CELL_TABLE)
#define CELL_HEAD 51u /* bytes of a cell around its payload */

#define F(k, n, m, s, d) POA_FIELD_ROW_(keep_head, k, n, m, s, d)
POA_RECORD_DEFINE(keep_head, KEEP_HEAD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(keep_cell, k, n, m, s, d)
POA_RECORD_DEFINE(keep_cell, KEEP_CELL_TABLE)
#undef F

_Static_assert(POA_DEVICE_TRUST_MAX <= PAYLOAD_MAX, "the trust record fits");
_Static_assert(POA_DEVICE_TRUST_MAX + CELL_HEAD <= TRUST_ROOM, "and its place");
_Static_assert(POA_PACK_BYTES_MAX + CELL_HEAD <= PLACE_BYTES, "as does a pack");

struct twin {
    uint64_t seq; /* of the newer one; 0: none */
    int newer;
};

struct agent_keep {
    int fd;
    uint8_t device[32];
    uint32_t places;
    struct twin mark, trust;
    struct agent_kept *pack; /* by place */
    uint32_t *order;         /* places in use, oldest first */
    size_t waiting;
    uint64_t next_seq, cursor;
};

/* --- cells -------------------------------------------------------------------- */

static void cell_check(const uint8_t *encoded, size_t n, uint8_t out32[32])
{
    poa_hash(POA_DOMAIN_KEYFILE, encoded + 32, n - 32, out32);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static int write_all(int fd, const uint8_t *p, size_t n, uint64_t at)
{
    while (n) {
        ssize_t k = pwrite(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return POA_E_IO;
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
    return POA_OK;
}

static int write_cell(const struct agent_keep *k, uint64_t at, struct poa_keep_cell *c, bool sync)
{
    uint8_t bytes[CELL_HEAD + PAYLOAD_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memset(c->check, 0, sizeof c->check);
    int e = poa_keep_cell_encode(&w, c);
    if (e)
        return e;
    cell_check(w.p, w.n, w.p);
    e = write_all(k->fd, w.p, w.n, at);
    if (!e && sync && fdatasync(k->fd))
        e = POA_E_IO;
    return e;
}

/* The cell at AT into BUFFER of ROOM bytes. NOT_FOUND: never written,
 * STORE_CORRUPT: torn or damaged. */
static int read_cell(const struct agent_keep *k, uint64_t at, uint8_t *buffer, size_t room,
                     struct poa_keep_cell *out)
{
    uint8_t check[32];
    struct poa_slice rest;
    ssize_t n = pread(k->fd, buffer, room, (off_t)at);
    if (n < 0)
        return POA_E_IO;
    if (n < (ssize_t)CELL_HEAD)
        return POA_E_STORE_CORRUPT;
    if (all_zero(buffer, CELL_HEAD))
        return POA_E_NOT_FOUND;
    rest = poa_slice(buffer, (size_t)n);
    if (poa_record_take(&poa_keep_cell_record, &rest, out))
        return POA_E_STORE_CORRUPT;
    cell_check(buffer, (size_t)n - rest.n, check);
    return memcmp(check, out->check, 32) ? POA_E_STORE_CORRUPT : POA_OK;
}

/* --- mark and trust --------------------------------------------------------------- */

/* Which of the two is newer. A damaged one beside a sound one was being written
 * when the power went: nothing rested on it yet. So was a damaged first one. */
static int open_twin(const struct agent_keep *k, uint64_t at, size_t room, struct twin *t)
{
    uint8_t buffer[CELL_HEAD + PAYLOAD_MAX];
    struct poa_keep_cell c;
    int state[2];
    for (int i = 0; i < 2; i++) {
        state[i] = read_cell(k, at + (unsigned)i * room, buffer,
                             room < sizeof buffer ? room : sizeof buffer, &c);
        if (state[i] == POA_E_IO)
            return POA_E_IO;
        if (!state[i] && c.seq > t->seq) {
            t->seq = c.seq;
            t->newer = i;
        }
    }
    if (!t->seq && (state[0] == POA_E_STORE_CORRUPT) + (state[1] == POA_E_STORE_CORRUPT) == 2)
        return POA_E_STORE_CORRUPT;
    return POA_OK;
}

static int load_twin(struct agent_keep *k, uint64_t at, size_t room, const struct twin *t,
                     uint8_t *out, size_t cap, size_t *n)
{
    uint8_t buffer[CELL_HEAD + PAYLOAD_MAX];
    struct poa_keep_cell c;
    if (!t->seq)
        return POA_E_NOT_FOUND;
    int e = read_cell(k, at + (unsigned)t->newer * room, buffer,
                      room < sizeof buffer ? room : sizeof buffer, &c);
    if (!e && c.payload.n > cap)
        e = POA_E_STORE_CORRUPT;
    if (e)
        return e == POA_E_NOT_FOUND ? POA_E_STORE_CORRUPT : e;
    memcpy(out, c.payload.p, c.payload.n);
    *n = c.payload.n;
    return POA_OK;
}

static int store_twin(struct agent_keep *k, uint64_t at, size_t room, struct twin *t,
                      const uint8_t *bytes, size_t n)
{
    struct poa_keep_cell c = {.seq = t->seq + 1, .payload = poa_slice(bytes, n)};
    int next = t->seq ? !t->newer : 0;
    if (n + CELL_HEAD > room)
        return POA_E_TOO_LONG;
    int e = write_cell(k, at + (unsigned)next * room, &c, true);
    if (e)
        return e;
    t->seq++;
    t->newer = next;
    return POA_OK;
}

static int load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct agent_keep *k = ctx;
    return load_twin(k, MARK_AT, MARK_ROOM, &k->mark, buffer, cap, n);
}

static int store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct agent_keep *k = ctx;
    return store_twin(k, MARK_AT, MARK_ROOM, &k->mark, bytes, n);
}

static int load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct agent_keep *k = ctx;
    return load_twin(k, TRUST_AT, TRUST_ROOM, &k->trust, buffer, cap, n);
}

static int store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    struct agent_keep *k = ctx;
    return store_twin(k, TRUST_AT, TRUST_ROOM, &k->trust, bytes, n);
}

struct poa_device_port agent_keep_port(struct agent_keep *k)
{
    return (struct poa_device_port){load_mark, store_mark, load_trust, store_trust, k};
}

/* --- the ring ------------------------------------------------------------------------- */

static uint64_t place_at(uint32_t place)
{
    return PLACES_AT + (uint64_t)place * PLACE_BYTES;
}

static int by_seq(const void *a, const void *b, void *ctx)
{
    const struct agent_kept *pack = ctx;
    uint64_t x = pack[*(const uint32_t *)a].seq, y = pack[*(const uint32_t *)b].seq;
    return (x > y) - (x < y);
}

static int open_ring(struct agent_keep *k)
{
    uint8_t buffer[PLACE_BYTES];
    k->pack = calloc(k->places, sizeof *k->pack);
    k->order = calloc(k->places, sizeof *k->order);
    if (!k->pack || !k->order)
        return POA_E_NO_MEMORY;
    for (uint32_t i = 0; i < k->places; i++) {
        struct poa_keep_cell c;
        int e = read_cell(k, place_at(i), buffer, sizeof buffer, &c);
        if (e == POA_E_IO)
            return e;
        k->pack[i].place = i;
        if (e)
            continue; /* free, or torn while it was written: never accepted */
        if (c.seq >= k->next_seq) {
            k->next_seq = c.seq + 1;
            k->cursor = c.cursor;
        }
        k->pack[i].seq = c.seq;
        k->pack[i].cursor = c.cursor;
        if (c.done)
            continue;
        k->pack[i].used = true;
        k->order[k->waiting++] = i;
    }
    qsort_r(k->order, k->waiting, sizeof *k->order, by_seq, k->pack);
    return POA_OK;
}

/* A free place, but not the newest pack's: its cell remembers sequence number
 * and cursor. */
static int free_place(const struct agent_keep *k, uint32_t *out)
{
    uint32_t start = (uint32_t)(k->next_seq % k->places);
    for (uint32_t i = 0; i < k->places; i++) {
        uint32_t place = (start + i) % k->places;
        const struct agent_kept *p = &k->pack[place];
        if (p->used || (p->seq && p->seq + 1 == k->next_seq))
            continue;
        *out = place;
        return POA_OK;
    }
    return POA_E_FULL;
}

int agent_keep_push(struct agent_keep *k, const struct poa_pack *pack, uint64_t cursor)
{
    uint8_t bytes[POA_PACK_BYTES_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    uint32_t place;
    int e = free_place(k, &place);
    if (!e)
        e = poa_pack_encode(&w, pack);
    if (e)
        return e;
    struct poa_keep_cell c = {
        .seq = k->next_seq, .cursor = cursor, .payload = poa_slice(bytes, w.n)};
    e = write_cell(k, place_at(place), &c, true);
    if (e)
        return e;
    k->pack[place] =
        (struct agent_kept){.seq = k->next_seq, .cursor = cursor, .place = place, .used = true};
    k->order[k->waiting++] = place;
    k->next_seq++;
    k->cursor = cursor;
    return POA_OK;
}

void agent_keep_done(struct agent_keep *k, struct agent_kept *p)
{
    struct poa_keep_cell c = {.seq = p->seq, .done = 1, .cursor = p->cursor};
    /* Not synced: should it be lost, the pack goes out again and the gateway
     * answers with the receipt it has. */
    int e = write_cell(k, place_at(p->place), &c, false);
    (void)e;
    p->used = false;
    for (size_t i = 0; i < k->waiting; i++)
        if (k->order[i] == p->place) {
            memmove(k->order + i, k->order + i + 1, (k->waiting - i - 1) * sizeof *k->order);
            k->waiting--;
            return;
        }
}

struct agent_kept *agent_keep_at(struct agent_keep *k, size_t i)
{
    return i < k->waiting ? &k->pack[k->order[i]] : NULL;
}

size_t agent_keep_count(const struct agent_keep *k)
{
    return k->waiting;
}

size_t agent_keep_free(const struct agent_keep *k)
{
    /* One place always keeps the newest cell. */
    return k->places - k->waiting - 1;
}

int agent_keep_read(struct agent_keep *k, const struct agent_kept *p, uint8_t *buffer,
                    struct poa_pack *out)
{
    uint8_t cell[PLACE_BYTES];
    struct poa_keep_cell c;
    int e = read_cell(k, place_at(p->place), cell, sizeof cell, &c);
    if (!e && (c.seq != p->seq || c.payload.n > POA_PACK_BYTES_MAX))
        e = POA_E_STORE_CORRUPT;
    if (e)
        return e == POA_E_NOT_FOUND ? POA_E_STORE_CORRUPT : e;
    memcpy(buffer, c.payload.p, c.payload.n);
    return poa_pack_decode(poa_slice(buffer, c.payload.n), out) ? POA_E_STORE_CORRUPT : POA_OK;
}

uint64_t agent_keep_next_seq(const struct agent_keep *k)
{
    return k->next_seq;
}

uint64_t agent_keep_cursor(const struct agent_keep *k)
{
    return k->cursor;
}

/* --- life -------------------------------------------------------------------------------- */

static void head_check(struct poa_keep_head *h, uint8_t out32[32])
{
    uint8_t bytes[80];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memset(out32, 0, 32);
    struct poa_keep_head plain = *h;
    memset(plain.check, 0, 32);
    int e = poa_keep_head_encode(&w, &plain);
    POA_ASSERT(!e);
    poa_hash(POA_DOMAIN_KEYFILE, bytes, w.n, out32);
}

/* A new file, under another name until it is whole. */
static int create(struct agent_keep *k)
{
    struct poa_keep_head h = {.magic = KEEP_MAGIC, .places = k->places};
    uint8_t bytes[80];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memcpy(h.device, k->device, 32);
    head_check(&h, h.check);
    int e = poa_keep_head_encode(&w, &h);
    if (e)
        return e;
    /* Blocks are reserved now, so that a full disk shows here and not when a
     * seal is due. */
    if (ftruncate(k->fd, 0) || posix_fallocate(k->fd, 0, (off_t)place_at(k->places)))
        return POA_E_IO;
    e = write_all(k->fd, w.p, w.n, 0);
    return !e && fsync(k->fd) ? POA_E_IO : e;
}

static int open_head(struct agent_keep *k)
{
    uint8_t bytes[76], check[32];
    struct poa_keep_head h;
    ssize_t n = pread(k->fd, bytes, sizeof bytes, 0);
    if (n < 0)
        return POA_E_IO;
    if (n < (ssize_t)sizeof bytes || poa_keep_head_decode(poa_slice(bytes, sizeof bytes), &h))
        return POA_E_STORE_CORRUPT;
    head_check(&h, check);
    if (h.magic != KEEP_MAGIC || memcmp(check, h.check, 32) || !h.places ||
        h.places > AGENT_KEEP_PACKS_MAX)
        return POA_E_STORE_CORRUPT;
    if (memcmp(h.device, k->device, 32))
        return POA_E_KEY;
    k->places = h.places;
    struct stat st;
    if (fstat(k->fd, &st))
        return POA_E_IO;
    return st.st_size < (off_t)place_at(k->places) ? POA_E_STORE_CORRUPT : POA_OK;
}

static int sync_directory(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;
    if (n >= sizeof dir)
        return POA_E_IO;
    memcpy(dir, slash ? path : ".", n);
    dir[n] = 0;
    return poa_dir_sync(n ? dir : "/", NULL);
}

static int lock(struct agent_keep *k, const char *path, struct poa_why *why)
{
    return flock(k->fd, LOCK_EX | LOCK_NB)
               ? poa_because(why, POA_E_LOCKED,
                             "another poa-device uses the state file %s: stop it first", path)
               : POA_OK;
}

/* Opens PATH for us alone. Only where there is no file one is made: an empty one is what is
 * left of a device's memory, not a new device. */
static int open_file(struct agent_keep *k, const char *path, struct poa_why *why)
{
    char fresh[4096];
    int e;
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return poa_because(why, POA_E_TOO_LONG, "the path of the state file is too long");
    k->fd = open(path, O_RDWR | O_CLOEXEC);
    if (k->fd >= 0)
        return lock(k, path, why);
    if (errno == ENOENT)
        k->fd = open(fresh, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (k->fd < 0)
        return poa_because(why, POA_E_IO, "cannot open the state file %s: %s", path,
                           strerror(errno));
    e = lock(k, path, why);
    if (!e && access(path, F_OK) == 0) /* another process was faster, and is gone */
        e = poa_because(why, POA_E_LOCKED, "the state file %s has just been made: try again", path);
    if (e)
        return e;
    e = create(k);
    if (!e && rename(fresh, path))
        e = POA_E_IO;
    if (!e)
        e = sync_directory(path);
    return e ? poa_because(why, e, "cannot make the state file %s: %s", path,
                           e == POA_E_IO ? strerror(errno) : poa_error_text(e))
             : POA_OK;
}

int agent_keep_open(const char *path, const uint8_t device32[32], uint32_t packs,
                    struct agent_keep **out, struct poa_why *why)
{
    struct agent_keep *k = calloc(1, sizeof *k);
    if (!k)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    memcpy(k->device, device32, 32);
    k->places = packs < 4 ? 4 : packs > AGENT_KEEP_PACKS_MAX ? AGENT_KEEP_PACKS_MAX : packs;
    k->next_seq = 1;
    k->fd = -1;
    int e = open_file(k, path, why);
    if (!e) {
        e = open_head(k);
        if (!e)
            e = open_twin(k, MARK_AT, MARK_ROOM, &k->mark);
        if (!e)
            e = open_twin(k, TRUST_AT, TRUST_ROOM, &k->trust);
        if (!e)
            e = open_ring(k);
        if (e == POA_E_KEY)
            poa_because(why, e, "the state file %s belongs to another device", path);
        else if (e == POA_E_STORE_CORRUPT)
            poa_because(why, e,
                        "the state file %s is damaged: what this device sealed last is lost, and "
                        "it could seal a slot twice; put the file back, or remove it once the "
                        "slots it may have sealed are settled",
                        path);
        else if (e)
            poa_because(why, e, "state file %s: %s", path, poa_error_text(e));
    }
    if (e) {
        agent_keep_close(k);
        return e;
    }
    *out = k;
    return POA_OK;
}

void agent_keep_close(struct agent_keep *k)
{
    if (!k)
        return;
    if (k->fd >= 0)
        close(k->fd);
    free(k->pack);
    free(k->order);
    free(k);
}
