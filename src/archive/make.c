/* From a store to a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"

struct make {
    struct poa_store *s;
    struct chunk_writer w;
    const char *path;
    const struct poa_archive_progress *progress;
    struct poa_archive_head head;
    uint32_t epochs; /* hand-overs that are needed */
    uint64_t entries, blocks, total;
    uint8_t *buffer;
    size_t n, cap;
    struct poa_why *why;
};

static int fault(struct make *m, int rc, const char *what)
{
    struct poa_why inner = {""};
    poa_store_why(m->s, &inner);
    return poa_because(m->why, rc, "%s: %s", what, inner.text[0] ? inner.text : poa_error_text(rc));
}

static int room(struct make *m, size_t n)
{
    if (m->cap - m->n >= n)
        return POA_OK;
    size_t cap = m->cap ? m->cap : 65536;
    while (cap - m->n < n)
        cap *= 2;
    uint8_t *p = realloc(m->buffer, cap);
    if (!p)
        return POA_E_NO_MEMORY;
    m->buffer = p;
    m->cap = cap;
    return POA_OK;
}

static int put(struct make *m, enum poa_archive_chunk kind, struct poa_slice payload)
{
    int rc = chunk_put(&m->w, kind, payload);
    return rc ? poa_because(m->why, rc, "cannot write %s.part: %s", m->path, strerror(errno)) : rc;
}

/* --- what there is ------------------------------------------------------------------ */

static int header_at(struct make *m, uint64_t height, struct poa_header *h, bool *certified)
{
    struct poa_store_value v;
    struct poa_stored_block blk;
    int rc = poa_store_get_block(m->s, height, &v, &blk);
    if (rc)
        return rc;
    *certified = blk.cert.n > 0;
    rc = poa_header_decode(blk.header, h) ? POA_E_STORE_CORRUPT : POA_OK;
    poa_store_value_free(&v);
    return rc;
}

static int plan(struct make *m, bool snapshot)
{
    uint64_t first = 0, last = 0;
    struct poa_stored_checkpoint at = {.height = 0};
    struct poa_header h;
    bool certified = false;
    int rc = poa_store_heights(m->s, &first, &last);
    if (!rc)
        rc = poa_store_get_checkpoint(m->s, &at);
    if (rc && rc != POA_E_NOT_FOUND)
        return fault(m, rc, "reading");
    if (!last)
        return poa_because(m->why, POA_E_NOT_FOUND, "there is no block yet");
    snapshot |= first > 1;
    uint64_t least = snapshot ? at.height + 1 : 1;
    if (snapshot && !at.height)
        return poa_because(
            m->why, POA_E_AGAIN,
            "no state was saved yet: start the node and let it run for checkpoint_s, "
            "60 s unless its configuration says otherwise");
    for (rc = POA_OK; !rc && last >= least && !certified; last--)
        rc = header_at(m, last, &h, &certified);
    last++;
    if (rc)
        return fault(m, rc, "reading blocks");
    if (!certified)
        return poa_because(m->why, POA_E_AGAIN,
                           snapshot
                               ? "no later block certifies the state of the last checkpoint, "
                                 "height %llu: start the node for a moment, the next block does"
                               : "no block is certified up to height %llu",
                           (unsigned long long)(snapshot ? at.height : last));
    m->epochs = h.epoch + (h.kind == POA_BLOCK_CLOSING);
    m->head = (struct poa_archive_head){
        .version = POA_ARCHIVE_VERSION, .first = snapshot ? at.height : 1, .last = last};
    memcpy(m->head.chain, poa_store_chain(m->s), 32);
    if (snapshot) {
        m->head.base = at.height;
        memcpy(m->head.root, at.root, 32);
    }
    rc = header_at(m, m->head.first, &h, &certified);
    m->head.epoch = h.epoch;
    m->total = last - m->head.first + 1;
    return rc ? fault(m, rc, "reading blocks") : POA_OK;
}

/* --- parts ---------------------------------------------------------------------------- */

static int put_head(struct make *m)
{
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_store_value v;
    int rc = poa_archive_head_encode(&w, &m->head);
    if (!rc)
        rc = put(m, POA_ARCHIVE_HEAD, poa_written(&w));
    if (rc)
        return rc;
    rc = poa_store_get_meta(m->s, POA_META_GENESIS, &v);
    if (rc)
        return fault(m, rc, "the genesis record, which a node keeps here, cannot be read");
    rc = put(m, POA_ARCHIVE_GENESIS, v.bytes);
    poa_store_value_free(&v);
    return rc;
}

static int put_runs(struct make *m)
{
    int rc = POA_OK;
    for (uint32_t e = 0; !rc && e < m->epochs; e++) {
        char name[POA_STORE_NAME_MAX + 1], text[80];
        struct poa_store_value v;
        snprintf(name, sizeof name, POA_META_HAND_OVER, e);
        rc = poa_store_get_meta(m->s, name, &v);
        if (rc) {
            snprintf(text, sizeof text, "the hand-over of epoch %u cannot be read", e);
            return fault(m, rc, text);
        }
        rc = put(m, POA_ARCHIVE_RUN, v.bytes);
        poa_store_value_free(&v);
    }
    return rc;
}

static int put_entry(void *ctx, const uint8_t key32[32], struct poa_slice value)
{
    struct make *m = ctx;
    struct poa_archive_entry e = {.value = value};
    memcpy(e.key, key32, 32);
    int rc = room(m, 40 + value.n);
    if (rc)
        return rc;
    struct poa_writer w = {m->buffer, m->cap, m->n, false};
    rc = poa_archive_entry_encode(&w, &e);
    m->n = w.n;
    m->entries++;
    if (!rc && m->n >= POA_ARCHIVE_STATE_BYTES) {
        rc = put(m, POA_ARCHIVE_STATE, poa_slice(m->buffer, m->n));
        m->n = 0;
        archive_tell(m->progress, "writing the state", poa_be64(key32) >> 32,
                     (uint64_t)1 << 32); /* keys are hashes, in order */
    }
    return rc;
}

static int put_state(struct make *m)
{
    m->n = 0;
    int rc = poa_store_each_state(m->s, put_entry, m);
    if (!rc && m->n)
        rc = put(m, POA_ARCHIVE_STATE, poa_slice(m->buffer, m->n));
    m->n = 0;
    return rc && !(m->why && m->why->text[0]) ? fault(m, rc, "the state cannot be read") : rc;
}

static int read_batches(struct make *m, const struct poa_stored_block *blk)
{
    struct poa_list_iter it = poa_list_begin(&blk->batches);
    struct poa_stored_locator at;
    m->n = 0;
    while (poa_stored_locator_next(&it, &at)) {
        struct poa_store_value v;
        int rc = poa_store_get_batch_at(m->s, at.number, &v);
        if (!rc)
            rc = room(m, v.bytes.n + 8);
        if (!rc) {
            struct poa_archive_batch b = {.batch = v.bytes};
            struct poa_writer w = {m->buffer, m->cap, m->n, false};
            rc = poa_archive_batch_encode(&w, &b);
            m->n = w.n;
        }
        poa_store_value_free(&v);
        if (rc)
            return rc;
    }
    return POA_OK;
}

static int put_block(struct make *m, uint64_t height)
{
    struct poa_store_value v;
    struct poa_stored_block blk;
    int rc = poa_store_get_block(m->s, height, &v, &blk);
    if (!rc)
        rc = read_batches(m, &blk);
    if (!rc) {
        struct poa_archive_block b = {.header = blk.header,
                                      .body = blk.body,
                                      .cert = blk.cert,
                                      .fillers = blk.fillers,
                                      .fillers_n = blk.fillers_n,
                                      .batches = {poa_slice(m->buffer, m->n), blk.batches.count}};
        size_t cap = m->n + blk.header.n + blk.body.n + blk.cert.n + blk.fillers.n + 64;
        uint8_t *p = malloc(cap);
        struct poa_writer w = poa_writer_over(p, cap);
        rc = p ? poa_archive_block_encode(&w, &b) : POA_E_NO_MEMORY;
        poa_store_value_free(&v);
        if (!rc) {
            rc = put(m, POA_ARCHIVE_BLOCK, poa_written(&w));
            free(p);
            m->blocks++;
            return rc;
        }
        free(p);
    }
    char text[80];
    snprintf(text, sizeof text, "block %llu cannot be read", (unsigned long long)height);
    return fault(m, rc, text);
}

static int make(struct make *m, bool state, struct poa_archive_info *info)
{
    int rc = chunk_begin(&m->w, m->w.to);
    if (!rc)
        rc = put_head(m);
    if (!rc)
        rc = put_runs(m);
    if (!rc && state)
        rc = put_state(m);
    for (uint64_t h = m->head.first; !rc && h <= m->head.last; h++) {
        rc = put_block(m, h);
        archive_tell(m->progress, "writing blocks", m->blocks, m->total);
    }
    if (rc)
        return rc;
    if (chunk_end(&m->w, m->entries, m->blocks, &info->end) || fflush(m->w.to))
        return poa_because(m->why, POA_E_IO, "cannot write %s.part: %s", m->path, strerror(errno));
    info->head = m->head;
    info->bytes = m->w.bytes;
    return POA_OK;
}

/* As plan(), for a state that is in another file. */
static int plan_proof(struct make *m, uint64_t base, const uint8_t root32[32])
{
    struct poa_header h = {.epoch = 0};
    bool certified = false;
    int rc = header_at(m, base, &h, &certified);
    m->head =
        (struct poa_archive_head){.version = POA_ARCHIVE_VERSION, .base = base, .epoch = h.epoch};
    m->head.first = m->head.last = base;
    memcpy(m->head.chain, poa_store_chain(m->s), 32);
    memcpy(m->head.root, root32, 32);
    for (certified = false; !rc && !certified;)
        rc = header_at(m, ++m->head.last, &h, &certified);
    if (rc == POA_E_NOT_FOUND)
        return poa_because(m->why, POA_E_AGAIN, "no block certifies the state of height %llu yet",
                           (unsigned long long)base);
    m->epochs = h.epoch + (h.kind == POA_BLOCK_CLOSING);
    return rc ? fault(m, rc, "reading blocks") : POA_OK;
}

int archive_put_proof(struct poa_store *s, uint64_t base, const uint8_t root32[32], FILE *to,
                      uint64_t *bytes, struct poa_why *why)
{
    struct make m = {.path = "snapshot", .why = why};
    struct poa_archive_info info;
    int rc = poa_store_freeze(s, &m.s);
    if (rc)
        return poa_because(why, rc, "out of memory");
    rc = plan_proof(&m, base, root32);
    m.w.to = to;
    if (!rc && to) {
        rc = make(&m, false, &info);
        *bytes = info.bytes;
    }
    poa_store_thaw(m.s);
    free(m.buffer);
    return rc;
}

static int sync_folder(const char *path, struct poa_why *why)
{
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    return poa_dir_sync(slash ? dir : ".", why);
}

int poa_archive_write(struct poa_store *s, const char *path, bool snapshot, unsigned flags,
                      const struct poa_archive_progress *progress, struct poa_archive_info *info,
                      struct poa_why *why)
{
    struct make m = {.path = path, .progress = progress, .why = why};
    char part[4096];
    memset(info, 0, sizeof *info);
    if (why)
        why->text[0] = 0;
    if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
        return poa_because(why, POA_E_LIMIT, "the name of the file is too long");
    bool new = flags &POA_FILE_NEW;
    int rc = new ? poa_file_absent(path, why) : POA_OK;
    if (!rc && new)
        rc = poa_file_absent(part, why);
    if (rc)
        return rc;
    rc = poa_store_freeze(s, &m.s);
    if (rc)
        return poa_because(why, rc, "out of memory");
    rc = plan(&m, snapshot);
    if (!rc) {
        m.w.to = fopen(part, new ? "wbx" : "wb");
        if (!m.w.to)
            rc = poa_because(why, POA_E_IO, "cannot create %s: %s", part, strerror(errno));
    }
    if (!rc)
        rc = make(&m, m.head.base != 0, info);
    if (!rc && fsync(fileno(m.w.to)))
        rc = poa_because(why, POA_E_IO, "cannot write %s: %s", part, strerror(errno));
    if (m.w.to && fclose(m.w.to) && !rc)
        rc = poa_because(why, POA_E_IO, "cannot write %s: %s", part, strerror(errno));
    if (!rc && new)
        rc = poa_file_absent(path, why);
    if (!rc && rename(part, path))
        rc = poa_because(why, POA_E_IO, "cannot rename %s: %s", part, strerror(errno));
    if (!rc)
        rc = sync_folder(path, why);
    if (rc && m.w.to)
        unlink(part);
    poa_store_thaw(m.s);
    free(m.buffer);
    return rc;
}
