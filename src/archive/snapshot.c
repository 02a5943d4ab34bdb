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

#define FOOT_BYTES 24

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

static int write_all(struct writing *w, struct poa_store *frozen, struct poa_store *s,
                     struct poa_why *why)
{
    uint8_t root[32], foot[FOOT_BYTES], *manifest = NULL;
    uint64_t proof = 0;
    size_t n = 0;
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
    poa_put_le64(foot, proof);
    poa_put_le64(foot + 8, n);
    memcpy(foot + 16, POA_SNAPSHOT_MAGIC, 8);
    if (fwrite(manifest, 1, n, w->to) != n || fwrite(foot, 1, sizeof foot, w->to) != sizeof foot ||
        fflush(w->to) || fsync(fileno(w->to)))
        rc = poa_because(why, POA_E_IO, "cannot write: %s", strerror(errno));
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
    w->to = fopen(part, "wb");
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

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
    return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

static int file_open(const char *path, struct poa_snapshot_file *f)
{
    struct stat st;
    uint8_t foot[FOOT_BYTES];
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO;
    if (fstat(f->fd, &st))
        return POA_E_IO;
    uint64_t size = (uint64_t)st.st_size;
    if (size < FOOT_BYTES || !read_at(f->fd, foot, FOOT_BYTES, size - FOOT_BYTES) ||
        memcmp(foot + 16, POA_SNAPSHOT_MAGIC, 8) != 0)
        return POA_E_STORE_CORRUPT;
    uint64_t n = poa_le64(foot + 8);
    f->proof_bytes = poa_le64(foot);
    size -= FOOT_BYTES;
    if (n > size || n > 64 + 40 * (uint64_t)POA_SNAPSHOT_PARTS_MAX || f->proof_bytes > size - n)
        return POA_E_STORE_CORRUPT;
    f->manifest_n = (size_t)n;
    f->manifest = malloc(f->manifest_n + 1);
    if (!f->manifest)
        return POA_E_NO_MEMORY;
    if (!read_at(f->fd, f->manifest, f->manifest_n, size - n))
        return POA_E_IO;
    int rc = poa_snapshot_open(poa_slice(f->manifest, f->manifest_n), &f->s);
    if (rc == POA_E_NO_MEMORY)
        return rc;
    return rc || f->s.bytes != size - n - f->proof_bytes ? POA_E_STORE_CORRUPT : POA_OK;
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
    poa_snapshot_close(&f->s);
    *f = (struct poa_snapshot_file){.fd = -1};
}

int poa_snapshot_read(const struct poa_snapshot_file *f, const struct poa_snapshot_get *get,
                      uint8_t *to, size_t *n)
{
    uint64_t at = f->s.bytes + get->offset, left = f->proof_bytes - get->offset;
    if (get->part == POA_SNAPSHOT_PROOF) {
        if (get->offset > f->proof_bytes)
            return POA_E_RANGE;
        *n = left < POA_SNAPSHOT_PIECE_BYTES ? (size_t)left : POA_SNAPSHOT_PIECE_BYTES;
    } else {
        if (get->part >= f->s.parts || get->offset)
            return POA_E_RANGE;
        at = f->s.part[get->part].at;
        *n = f->s.part[get->part].bytes;
    }
    return read_at(f->fd, to, *n, at) ? POA_OK : POA_E_IO;
}
