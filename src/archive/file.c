/* Chunks with checksums. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"

#define HEAD_BYTES 5

static void checksum(uint64_t number, const uint8_t head[HEAD_BYTES], struct poa_slice payload,
                     uint8_t out32[32])
{
    struct poa_hash_state h;
    uint8_t le[8];
    poa_put_le64(le, number);
    poa_hash_init(&h, POA_DOMAIN_ARCHIVE);
    poa_hash_update(&h, le, sizeof le);
    poa_hash_update(&h, head, HEAD_BYTES);
    if (payload.n)
        poa_hash_update(&h, payload.p, payload.n);
    poa_hash_final(&h, out32);
}

/* --- writing ------------------------------------------------------------------------- */

static int put(struct chunk_writer *w, const void *p, size_t n)
{
    w->bytes += n;
    return !n || fwrite(p, 1, n, w->to) == n ? POA_OK : POA_E_IO;
}

int chunk_begin(struct chunk_writer *w, FILE *to)
{
    memset(w, 0, sizeof *w);
    w->to = to;
    poa_hash_init(&w->all, POA_DOMAIN_ARCHIVE);
    return put(w, POA_ARCHIVE_MAGIC, 8);
}

int chunk_put(struct chunk_writer *w, enum poa_archive_chunk kind, struct poa_slice payload)
{
    uint8_t head[HEAD_BYTES], sum[32];
    head[0] = (uint8_t)kind;
    poa_put_le32(head + 1, (uint32_t)payload.n);
    checksum(w->chunks++, head, payload, sum);
    poa_hash_update(&w->all, sum, sizeof sum);
    int rc = put(w, head, sizeof head);
    if (!rc)
        rc = put(w, payload.p, payload.n);
    return rc ? rc : put(w, sum, sizeof sum);
}

int chunk_end(struct chunk_writer *w, uint64_t entries, uint64_t blocks,
              struct poa_archive_end *end)
{
    uint8_t bytes[128];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    *end = (struct poa_archive_end){.chunks = w->chunks, .entries = entries, .blocks = blocks};
    poa_hash_final(&w->all, end->all);
    int rc = poa_archive_end_encode(&out, end);
    poa_hash_init(&w->all, POA_DOMAIN_ARCHIVE);
    return rc ? rc : chunk_put(w, POA_ARCHIVE_END, poa_written(&out));
}

/* --- reading --------------------------------------------------------------------------- */

int chunk_wrong(const struct chunk_reader *r, struct poa_why *why, int error, const char *what)
{
    return poa_because(why, error, "%s: part %llu (byte %llu): %s", r->name,
                       (unsigned long long)r->chunks, (unsigned long long)r->bytes, what);
}

static int take(struct chunk_reader *r, void *p, size_t n, struct poa_why *why)
{
    size_t got = fread(p, 1, n, r->from);
    if (got == n) {
        r->bytes += n;
        return POA_OK;
    }
    if (ferror(r->from))
        return poa_because(why, POA_E_IO, "cannot read %s: %s", r->name, strerror(errno));
    return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "the file ends too early");
}

int chunk_open(struct chunk_reader *r, FILE *from, const char *name, struct poa_why *why)
{
    char magic[8];
    memset(r, 0, sizeof *r);
    r->from = from;
    r->name = name;
    poa_hash_init(&r->all, POA_DOMAIN_ARCHIVE);
    if (fseek(from, 0, SEEK_END) == 0) {
        long end = ftell(from);
        r->size = end > 0 ? (uint64_t)end : 0;
    }
    rewind(from);
    if (fread(magic, 1, sizeof magic, from) != sizeof magic ||
        memcmp(magic, POA_ARCHIVE_MAGIC, sizeof magic) != 0)
        return poa_because(why, POA_E_STORE_CORRUPT, "%s is no archive of poa", name);
    r->bytes = sizeof magic;
    return POA_OK;
}

/* Grows with what is really there, not with what the length promises. */
static int take_payload(struct chunk_reader *r, size_t n, struct poa_why *why)
{
    for (size_t have = 0; have < n;) {
        size_t want = n - have < ((size_t)1 << 20) ? n : have + ((size_t)1 << 20);
        if (want > r->cap) {
            uint8_t *p = realloc(r->buffer, want);
            if (!p)
                return poa_because(why, POA_E_NO_MEMORY, "out of memory");
            r->buffer = p;
            r->cap = want;
        }
        int rc = take(r, r->buffer + have, want - have, why);
        if (rc)
            return rc;
        have = want;
    }
    r->payload = poa_slice(r->buffer, n);
    return POA_OK;
}

int chunk_next(struct chunk_reader *r, struct poa_why *why)
{
    uint8_t head[HEAD_BYTES], sum[32], want[32];
    int rc = take(r, head, sizeof head, why);
    if (rc)
        return rc;
    size_t n = poa_le32(head + 1);
    if (n > POA_ARCHIVE_CHUNK_MAX)
        return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "its length is damaged");
    rc = take_payload(r, n, why);
    if (!rc)
        rc = take(r, sum, sizeof sum, why);
    if (rc)
        return rc;
    checksum(r->chunks, head, r->payload, want);
    if (memcmp(sum, want, sizeof sum) != 0)
        return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "its checksum is wrong");
    r->kind = head[0];
    if (r->kind != POA_ARCHIVE_END) {
        r->chunks++;
        poa_hash_update(&r->all, sum, sizeof sum);
    }
    return POA_OK;
}

int chunk_at_end(struct chunk_reader *r, uint64_t entries, uint64_t blocks,
                 struct poa_archive_end *end, struct poa_why *why)
{
    uint8_t all[32];
    if (r->kind != POA_ARCHIVE_END)
        return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "another part is expected here");
    poa_hash_final(&r->all, all);
    if (poa_archive_end_decode(r->payload, end) || end->chunks != r->chunks ||
        end->entries != entries || end->blocks != blocks || memcmp(end->all, all, 32) != 0)
        return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "the end does not count what is there");
    if (fgetc(r->from) != EOF)
        return chunk_wrong(r, why, POA_E_STORE_CORRUPT, "something follows the end");
    return POA_OK;
}

void chunk_close(struct chunk_reader *r)
{
    free(r->buffer);
    r->buffer = NULL;
    r->cap = 0;
}
