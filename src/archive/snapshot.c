/* The tree of the state, made from its entries in order, and cut into parts.
 *
 * Each entry leaves the path of the one before it at one bit. What is on the stack
 * waits for what belongs to its right: the bits of its items rise, so there are never
 * more than bits in a key. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "poa_snapshot.h"

#define DEPTH 257

struct item {
    struct poa_snapshot_at at;
    uint64_t bytes;
    bool whole; /* may be one part */
};

struct fold {
    struct item stack[DEPTH];
    uint32_t n;
    struct poa_snapshot *to; /* where parts go, or NULL */
    uint32_t cap;
};

static int keep(struct fold *f, const struct item *i)
{
    struct poa_snapshot *s = f->to;
    if (!s)
        return POA_OK;
    if (s->parts == POA_SNAPSHOT_PARTS_MAX)
        return POA_E_LIMIT;
    if (s->parts == f->cap) {
        uint32_t cap = f->cap ? 2 * f->cap : 64;
        struct poa_snapshot_at *p = realloc(s->part, cap * sizeof *p);
        if (!p)
            return POA_E_NO_MEMORY;
        s->part = p;
        f->cap = cap;
    }
    s->part[s->parts] = i->at;
    s->part[s->parts++].bytes = (uint32_t)i->bytes;
    return POA_OK;
}

static int join(struct fold *f)
{
    struct item *r = &f->stack[--f->n], *l = r - 1;
    bool whole = l->whole && r->whole && l->bytes + r->bytes <= POA_SNAPSHOT_PART_BYTES;
    int rc = whole || !l->whole ? POA_OK : keep(f, l);
    if (!rc && !whole && r->whole)
        rc = keep(f, r);
    poa_tree_node(r->at.bit, l->at.hash, r->at.hash, l->at.hash);
    l->bytes += r->bytes;
    l->whole = whole;
    return rc;
}

/* PROOF: no tree has such bits. */
static int put(struct fold *f, const struct item *i)
{
    while (f->n > 1 && f->stack[f->n - 1].at.bit > i->at.bit) {
        int rc = join(f);
        if (rc)
            return rc;
    }
    if (f->n > 1 && f->stack[f->n - 1].at.bit == i->at.bit)
        return POA_E_PROOF;
    POA_ASSERT(f->n < DEPTH);
    f->stack[f->n++] = *i;
    return POA_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct poa_snapshot_at *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int end(struct fold *f, uint8_t root[32])
{
    while (f->n > 1) {
        int rc = join(f);
        if (rc)
            return rc;
    }
    if (!f->n)
        return POA_E_PROOF; /* no state is empty */
    memcpy(root, f->stack[0].at.hash, 32);
    int rc = f->stack[0].whole ? keep(f, &f->stack[0]) : POA_OK;
    if (!rc && f->to && f->to->parts) /* a subtree that is large is done before its neighbours */
        qsort(f->to->part, f->to->parts, sizeof *f->to->part, by_place);
    return rc;
}

/* The next entry, which takes N bytes from AT on; LAST has the key before it. */
static int put_entry(struct fold *f, const struct poa_entry *e, uint64_t at, size_t n,
                     uint8_t last[32])
{
    struct item i = {.at = {.at = at}, .bytes = n, .whole = true};
    if (at) {
        unsigned bit = poa_key_diff(last, e->key);
        if (bit == 256 || memcmp(last, e->key, 32) > 0)
            return POA_E_PROOF;
        i.at.bit = (uint8_t)bit;
    }
    memcpy(last, e->key, 32);
    int rc = poa_entry_leaf(e, i.at.hash);
    return rc ? rc : put(f, &i);
}

/* --- checking -------------------------------------------------------------------------- */

int poa_snapshot_check(const struct poa_snapshot *s, uint32_t i, struct poa_slice bytes)
{
    struct poa_slice rest = bytes;
    struct poa_archive_entry in;
    uint8_t last[32], hash[32];
    if (i >= s->parts || bytes.n != s->part[i].bytes)
        return POA_E_PROOF;
    struct fold *f = malloc(sizeof *f);
    if (!f)
        return POA_E_NO_MEMORY;
    f->n = 0;
    f->to = NULL;
    int rc = POA_OK;
    while (!rc && rest.n) {
        uint64_t at = bytes.n - rest.n;
        rc = poa_record_take(&poa_archive_entry_record, &rest, &in);
        struct poa_entry e = {.value = in.value};
        memcpy(e.key, in.key, 32);
        if (!rc)
            rc = put_entry(f, &e, at, bytes.n - rest.n - (size_t)at, last);
    }
    if (!rc)
        rc = end(f, hash);
    if (!rc && memcmp(hash, s->part[i].hash, 32) != 0)
        rc = POA_E_PROOF;
    free(f);
    return !rc || rc == POA_E_NO_MEMORY ? rc : POA_E_PROOF;
}

static int open_parts(const struct poa_snapshot_manifest *m, struct poa_snapshot *out)
{
    struct poa_list_iter it = poa_list_begin(&m->parts);
    struct poa_snapshot_part p;
    uint8_t root[32];
    struct fold *f = malloc(sizeof *f);
    out->part = malloc((m->parts.count + 1) * sizeof *out->part);
    int rc = f && out->part ? POA_OK : POA_E_NO_MEMORY;
    if (!rc) {
        f->n = 0;
        f->to = NULL;
    }
    while (!rc && poa_snapshot_part_next(&it, &p)) {
        struct item i = {.at = {.at = out->bytes, .bytes = p.bytes, .bit = p.bit}};
        memcpy(i.at.hash, p.hash, 32);
        if (!p.bytes || (!out->parts && p.bit))
            rc = POA_E_PROOF;
        out->bytes += p.bytes;
        out->part[out->parts++] = i.at;
        if (!rc)
            rc = put(f, &i);
    }
    if (!rc)
        rc = end(f, root);
    if (!rc && (memcmp(root, m->root, 32) != 0 || out->bytes != m->bytes || !m->base))
        rc = POA_E_PROOF;
    free(f);
    return rc;
}

int poa_snapshot_open(struct poa_slice manifest, struct poa_snapshot *out)
{
    struct poa_snapshot_manifest m;
    memset(out, 0, sizeof *out);
    int rc = poa_snapshot_manifest_decode(manifest, &m);
    if (rc)
        return rc;
    out->base = m.base;
    memcpy(out->root, m.root, 32);
    poa_hash(POA_DOMAIN_SNAPSHOT, manifest.p, manifest.n, out->id);
    rc = open_parts(&m, out);
    if (rc)
        poa_snapshot_close(out);
    return rc;
}

void poa_snapshot_close(struct poa_snapshot *s)
{
    free(s->part);
    memset(s, 0, sizeof *s);
}

/* --- writing ---------------------------------------------------------------------------- */

#define FOOT_BYTES 64

static uint64_t pieces_of(uint64_t proof_bytes)
{
    return proof_bytes / POA_SNAPSHOT_PIECE_BYTES + (proof_bytes % POA_SNAPSHOT_PIECE_BYTES != 0);
}

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
    return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

/* Where the bytes of checksum I are in the file, and how many: none behind the end of the
 * proof. */
static void place_of(const struct poa_snapshot *s, uint64_t proof_bytes, uint64_t i, uint64_t *at,
                     size_t *n)
{
    if (i < s->parts) {
        *at = s->part[i].at;
        *n = s->part[i].bytes;
        return;
    }
    uint64_t offset = (i - s->parts) * POA_SNAPSHOT_PIECE_BYTES, left = proof_bytes - offset;
    *at = s->bytes + offset;
    *n = left < POA_SNAPSHOT_PIECE_BYTES ? (size_t)left : POA_SNAPSHOT_PIECE_BYTES;
}

static void sum_of(const uint8_t *bytes, size_t n, uint8_t out32[32])
{
    poa_hash(POA_DOMAIN_ARCHIVE, bytes, n, out32);
}

/* The foot of a file with these. */
static void foot_of(uint64_t entries, uint64_t proof, struct poa_slice manifest,
                    struct poa_slice sums, uint8_t foot[FOOT_BYTES])
{
    struct poa_hash_state h;
    poa_put_le64(foot, entries);
    poa_put_le64(foot + 8, proof);
    poa_put_le64(foot + 16, manifest.n);
    poa_hash_init(&h, POA_DOMAIN_ARCHIVE);
    if (sums.n)
        poa_hash_update(&h, sums.p, sums.n);
    poa_hash_update(&h, manifest.p, manifest.n);
    poa_hash_update(&h, foot, 24);
    poa_hash_final(&h, foot + 24);
    memcpy(foot + 56, POA_SNAPSHOT_MAGIC, 8);
}

struct writing {
    FILE *to;
    struct fold fold;
    struct poa_snapshot s;
    uint8_t last[32];
};

static int write_entry(void *ctx, const uint8_t key32[32], struct poa_slice value)
{
    struct writing *w = ctx;
    uint8_t bytes[40 + 65535];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_archive_entry a = {.value = value};
    struct poa_entry e = {.value = value};
    memcpy(a.key, key32, 32);
    memcpy(e.key, key32, 32);
    int rc = poa_archive_entry_encode(&out, &a);
    if (!rc)
        rc = put_entry(&w->fold, &e, w->s.bytes, out.n, w->last);
    w->s.bytes += out.n;
    if (!rc && fwrite(bytes, 1, out.n, w->to) != out.n)
        rc = POA_E_IO;
    return rc;
}

/* The manifest of what was written; *BYTES is malloc'ed. */
static int encode(const struct poa_snapshot *s, uint8_t **bytes, size_t *n)
{
    size_t cap = 64 + 40 * (size_t)s->parts;
    uint8_t *list = malloc(cap), *out = malloc(cap);
    struct poa_writer l = poa_writer_over(list, cap), w = poa_writer_over(out, cap);
    int rc = list && out ? POA_OK : POA_E_NO_MEMORY;
    for (uint32_t i = 0; !rc && i < s->parts; i++) {
        struct poa_snapshot_part p = {.bit = s->part[i].bit, .bytes = s->part[i].bytes};
        memcpy(p.hash, s->part[i].hash, 32);
        rc = poa_snapshot_part_encode(&l, &p);
    }
    struct poa_snapshot_manifest m = {
        .base = s->base, .bytes = s->bytes, .parts = {poa_written(&l), s->parts}};
    memcpy(m.root, s->root, 32);
    if (!rc)
        rc = poa_snapshot_manifest_encode(&w, &m);
    free(list);
    *bytes = out;
    *n = w.n;
    if (rc)
        free(out);
    return rc;
}

/* Of what was written; *SUMS is malloc'ed. */
static int sum_all(struct writing *w, uint64_t proof, uint8_t **sums, size_t *n)
{
    uint64_t count = w->s.parts + pieces_of(proof);
    uint8_t *bytes = malloc(POA_SNAPSHOT_PIECE_BYTES);
    *n = (size_t)count * 32;
    *sums = malloc(*n);
    int rc = bytes && *sums ? POA_OK : POA_E_NO_MEMORY;
    if (!rc && fflush(w->to))
        rc = POA_E_IO;
    for (uint64_t i = 0; !rc && i < count; i++) {
        uint64_t at;
        size_t have;
        place_of(&w->s, proof, i, &at, &have);
        if (read_at(fileno(w->to), bytes, have, at))
            sum_of(bytes, have, *sums + i * 32);
        else
            rc = POA_E_IO;
    }
    free(bytes);
    return rc;
}

static int write_all(struct writing *w, struct poa_store *frozen, struct poa_store *s,
                     struct poa_why *why)
{
    uint8_t root[32], foot[FOOT_BYTES], *manifest = NULL, *sums = NULL;
    uint64_t proof = 0;
    size_t n = 0, sums_n = 0;
    int rc = poa_store_each_state(frozen, write_entry, w);
    if (!rc)
        rc = end(&w->fold, root);
    if (!rc && memcmp(root, w->s.root, 32) != 0)
        rc = POA_E_STORE_CORRUPT;
    if (rc)
        return poa_because(why, rc, "the state cannot be written: %s", poa_error_text(rc));
    rc = archive_put_proof(s, w->s.base, w->s.root, w->to, &proof, why);
    if (rc)
        return rc;
    rc = encode(&w->s, &manifest, &n);
    if (rc)
        return poa_because(why, rc, "out of memory");
    rc = sum_all(w, proof, &sums, &sums_n);
    if (rc) {
        rc = poa_because(why, rc, "%s",
                         rc == POA_E_IO ? "cannot read what was written" : "out of memory");
    } else {
        foot_of(w->s.bytes, proof, poa_slice(manifest, n), poa_slice(sums, sums_n), foot);
        if (fwrite(sums, 1, sums_n, w->to) != sums_n || fwrite(manifest, 1, n, w->to) != n ||
            fwrite(foot, 1, sizeof foot, w->to) != sizeof foot || fflush(w->to) ||
            fsync(fileno(w->to)))
            rc = poa_because(why, POA_E_IO, "cannot write: %s", strerror(errno));
    }
    free(sums);
    free(manifest);
    return rc;
}

int poa_snapshot_write(struct poa_store *frozen, struct poa_store *s, const char *path,
                       struct poa_why *why)
{
    char part[4096];
    struct poa_stored_checkpoint at;
    if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
        return poa_because(why, POA_E_LIMIT, "the name of the file is too long");
    int rc = poa_store_get_checkpoint(frozen, &at);
    if (rc)
        return poa_because(why, rc, "no state was saved yet");
    rc = archive_put_proof(s, at.height, at.root, NULL, NULL, why);
    if (rc)
        return rc;
    struct writing *w = calloc(1, sizeof *w);
    if (!w)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    w->fold.to = &w->s;
    w->s.base = at.height;
    memcpy(w->s.root, at.root, 32);
    w->to = fopen(part, "w+b");
    rc = w->to ? write_all(w, frozen, s, why)
               : poa_because(why, POA_E_IO, "cannot create %s: %s", part, strerror(errno));
    if (w->to && fclose(w->to) && !rc)
        rc = poa_because(why, POA_E_IO, "cannot write %s: %s", part, strerror(errno));
    if (!rc && rename(part, path))
        rc = poa_because(why, POA_E_IO, "cannot rename %s: %s", part, strerror(errno));
    if (rc)
        unlink(part);
    poa_snapshot_close(&w->s);
    free(w);
    return rc;
}

/* --- giving ------------------------------------------------------------------------------- */

/* Sets MANIFEST and SUM of F from N bytes of them before the foot. */
static int read_tables(struct poa_snapshot_file *f, uint64_t at, uint64_t sums_n, uint64_t n)
{
    if (n > 64 + 40 * (uint64_t)POA_SNAPSHOT_PARTS_MAX ||
        sums_n > 32 * (POA_SNAPSHOT_PARTS_MAX + pieces_of(f->proof_bytes)))
        return POA_E_STORE_CORRUPT;
    f->manifest_n = (size_t)n;
    f->manifest = malloc(f->manifest_n + 1);
    f->sum = malloc((size_t)sums_n + 1);
    if (!f->manifest || !f->sum)
        return POA_E_NO_MEMORY;
    return read_at(f->fd, f->sum, (size_t)sums_n, at) &&
                   read_at(f->fd, f->manifest, f->manifest_n, at + sums_n)
               ? POA_OK
               : POA_E_IO;
}

static int file_open(const char *path, struct poa_snapshot_file *f)
{
    struct stat st;
    uint8_t foot[FOOT_BYTES], want[FOOT_BYTES];
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO;
    if (fstat(f->fd, &st))
        return POA_E_IO;
    uint64_t left = (uint64_t)st.st_size;
    if (left < FOOT_BYTES || !read_at(f->fd, foot, FOOT_BYTES, left - FOOT_BYTES))
        return POA_E_STORE_CORRUPT;
    uint64_t entries = poa_le64(foot), proof = poa_le64(foot + 8), n = poa_le64(foot + 16);
    left -= FOOT_BYTES;
    if (entries > left || proof > left - entries || n > left - entries - proof)
        return POA_E_STORE_CORRUPT;
    uint64_t sums_n = left - entries - proof - n;
    f->proof_bytes = proof;
    int rc = read_tables(f, entries + proof, sums_n, n);
    if (rc)
        return rc;
    foot_of(entries, proof, poa_slice(f->manifest, f->manifest_n),
            poa_slice(f->sum, (size_t)sums_n), want);
    if (memcmp(foot, want, FOOT_BYTES) != 0)
        return POA_E_STORE_CORRUPT;
    rc = poa_snapshot_open(poa_slice(f->manifest, f->manifest_n), &f->s);
    if (rc == POA_E_NO_MEMORY)
        return rc;
    return rc || f->s.bytes != entries || sums_n != 32 * (f->s.parts + pieces_of(proof))
               ? POA_E_STORE_CORRUPT
               : POA_OK;
}

int poa_snapshot_file_open(const char *path, struct poa_snapshot_file *out)
{
    *out = (struct poa_snapshot_file){.fd = -1};
    int rc = file_open(path, out);
    if (rc)
        poa_snapshot_file_close(out);
    return rc;
}

void poa_snapshot_file_close(struct poa_snapshot_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->manifest);
    free(f->sum);
    poa_snapshot_close(&f->s);
    *f = (struct poa_snapshot_file){.fd = -1};
}

int poa_snapshot_read(const struct poa_snapshot_file *f, const struct poa_snapshot_get *get,
                      uint8_t *to, size_t *n)
{
    uint64_t at, i = get->part;
    uint8_t sum[32];
    if (get->part == POA_SNAPSHOT_PROOF) {
        if (get->offset > f->proof_bytes || get->offset % POA_SNAPSHOT_PIECE_BYTES)
            return POA_E_RANGE;
        i = f->s.parts + get->offset / POA_SNAPSHOT_PIECE_BYTES;
    } else if (get->part >= f->s.parts || get->offset) {
        return POA_E_RANGE;
    }
    place_of(&f->s, f->proof_bytes, i, &at, n);
    if (!*n) /* behind the last piece of a proof */
        return POA_OK;
    if (!read_at(f->fd, to, *n, at))
        return POA_E_IO;
    sum_of(to, *n, sum);
    return memcmp(sum, f->sum + i * 32, 32) ? POA_E_STORE_CORRUPT : POA_OK;
}
