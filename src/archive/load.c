/* From a file to a store: verified first, then executed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "poa_snapshot.h"

#define GROUP_BYTES ((size_t)4 << 20)
#define FRESH       POA_STORE_GROUP_MAX
/* The database grows here and takes its place when it is whole. */
#define PART "restore.part"

struct load {
    struct chunk_reader r;
    const struct poa_archive_progress *progress;
    struct poa_archive_head head;
    struct poa_ledger *ledger;
    uint8_t *genesis;
    size_t genesis_n;
    struct poa_store *s;
    struct poa_store_batch *group;
    uint32_t epoch;  /* of the next hand-over */
    uint64_t height; /* of the next block */
    bool state_whole;
    /* The state, when it is in another file. */
    const struct poa_snapshot *parts;
    FILE *state;
    struct poa_tx_view *view;
    const struct poa_tx_view **tx;
    struct poa_tx_result *result;
    struct poa_store_fate *fate;
    size_t cap;
    struct poa_why *why;
};

static int fault(struct load *l, int rc)
{
    struct poa_why inner = {""};
    if (l->s)
        poa_store_why(l->s, &inner);
    return poa_because(l->why, rc, "cannot write: %s",
                       inner.text[0] ? inner.text : poa_error_text(rc));
}

static int write_group(struct load *l, size_t least)
{
    if (poa_store_batch_bytes(l->group) < least)
        return POA_OK;
    int rc = poa_store_write(l->group, false);
    return rc ? fault(l, rc) : POA_OK;
}

/* --- parts ------------------------------------------------------------------------------ */

static int load_run(struct load *l)
{
    char name[POA_STORE_NAME_MAX + 1];
    snprintf(name, sizeof name, POA_META_HAND_OVER, l->epoch++);
    poa_store_put_meta(l->group, name, l->r.payload);
    return write_group(l, GROUP_BYTES);
}

static int load_state(struct load *l, struct poa_slice rest)
{
    struct poa_archive_entry in;
    int rc = POA_OK;
    while (!rc && rest.n) {
        struct poa_entry e;
        rc = poa_record_take(&poa_archive_entry_record, &rest, &in);
        if (rc)
            break;
        memcpy(e.key, in.key, 32);
        e.value = in.value;
        rc = poa_ledger_restore_put(l->ledger, &e);
        poa_store_put_state(l->group, in.key, in.value);
    }
    if (rc)
        return chunk_wrong(&l->r, l->why, rc, "an entry of the state breaks its rules");
    return write_group(l, GROUP_BYTES);
}

/* Every part was checked when it came, but that was before it was on the disk. */
static int load_parts(struct load *l)
{
    uint8_t *bytes = malloc(POA_SNAPSHOT_PART_BYTES);
    int rc = bytes ? POA_OK : POA_E_NO_MEMORY;
    for (uint32_t i = 0; !rc && i < l->parts->parts; i++) {
        const struct poa_snapshot_at *p = &l->parts->part[i];
        if (fread(bytes, 1, p->bytes, l->state) != p->bytes)
            rc = poa_because(l->why, POA_E_IO, "cannot read the state: %s",
                             ferror(l->state) ? strerror(errno) : "the file ends too early");
        else
            rc = load_state(l, poa_slice(bytes, p->bytes));
        archive_tell(l->progress, "loading the state", p->at, l->parts->bytes);
    }
    free(bytes);
    return rc;
}

static int end_state(struct load *l)
{
    if (l->state_whole)
        return POA_OK;
    l->state_whole = true;
    int rc = l->parts ? load_parts(l) : POA_OK;
    if (rc)
        return rc;
    rc = poa_ledger_restore_end(l->ledger, l->head.root);
    return rc ? chunk_wrong(&l->r, l->why, POA_E_STATE_ROOT,
                            "the state is not the one that the chain certifies")
              : POA_OK;
}

static int room(struct load *l, size_t n)
{
    if (n <= l->cap)
        return POA_OK;
    free(l->view);
    free(l->tx);
    free(l->result);
    free(l->fate);
    l->cap = n < 1024 ? 1024 : n;
    l->view = malloc(l->cap * sizeof *l->view);
    l->tx = malloc(l->cap * sizeof *l->tx);
    l->result = malloc(l->cap * sizeof *l->result);
    l->fate = malloc(l->cap * sizeof *l->fate);
    return l->view && l->tx && l->result && l->fate ? POA_OK : POA_E_NO_MEMORY;
}

/* Transactions of B's batches, which are put into the store too. */
static int load_batches(struct load *l, const struct poa_archive_block *b, uint8_t (*digest)[32],
                        size_t *txs)
{
    struct poa_list_iter it = poa_list_begin(&b->batches);
    struct poa_archive_batch raw;
    size_t total = 0;
    int rc = POA_OK;
    while (!rc && poa_archive_batch_next(&it, &raw)) {
        struct poa_batch batch;
        rc = poa_batch_decode(raw.batch, &batch);
        total += batch.txs.count;
    }
    if (!rc)
        rc = room(l, total);
    it = poa_list_begin(&b->batches);
    *txs = 0;
    for (size_t i = 0; !rc && poa_archive_batch_next(&it, &raw); i++) {
        struct poa_batch batch;
        struct poa_raw_tx tx;
        rc = poa_batch_decode(raw.batch, &batch);
        struct poa_list_iter list = poa_list_begin(&batch.txs);
        while (!rc && poa_raw_tx_next(&list, &tx)) {
            rc = poa_tx_parse(l->head.chain, tx.tx, &l->view[*txs]);
            l->tx[*txs] = &l->view[*txs];
            (*txs)++;
        }
        poa_batch_digest(raw.batch, digest[i]);
        if (!rc)
            rc = poa_store_put_batch(l->group, 0, 0, digest[i], raw.batch);
    }
    return rc;
}

static int execute(struct load *l, const struct poa_header *h, struct poa_store_block *blk,
                   size_t txs)
{
    struct poa_block_in in = {.header = h, .body = blk->body, .tx = l->tx, .txs = txs};
    struct poa_block_result result = {.tx = l->result};
    poa_state_id s;
    memcpy(in.hash, blk->hash, 32);
    int rc = poa_ledger_reserve(l->ledger);
    if (!rc)
        rc = poa_ledger_execute(l->ledger, POA_STATE_BASE, &in, &s, &result);
    if (rc == POA_E_FULL && !(rc = poa_ledger_reserve(l->ledger)))
        rc = poa_ledger_execute(l->ledger, POA_STATE_BASE, &in, &s, &result);
    if (!rc)
        rc = poa_ledger_apply(l->ledger, s);
    if (rc)
        return rc;
    for (size_t i = 0; i < txs; i++) {
        memcpy(l->fate[i].id, l->result[i].id, 32);
        l->fate[i].code = (uint16_t)-l->result[i].code;
    }
    blk->tx = l->fate;
    blk->txs = (uint32_t)txs;
    memcpy(blk->root, result.root, 32);
    return POA_OK;
}

static int load_block(struct load *l)
{
    struct poa_archive_block b;
    struct poa_header h;
    uint8_t digest[256][32];
    size_t txs = 0;
    int rc = poa_archive_block_decode(l->r.payload, &b);
    if (!rc)
        rc = poa_header_decode(b.header, &h);
    if (!rc)
        rc = load_batches(l, &b, digest, &txs);
    struct poa_store_block blk = {.height = l->height,
                                  .header = b.header,
                                  .body = b.body,
                                  .cert = b.cert,
                                  .fillers = b.fillers,
                                  .fillers_n = b.fillers_n,
                                  .batch = (const uint8_t(*)[32])digest,
                                  .batches = b.batches.count};
    if (!rc)
        poa_header_hash(&h, blk.hash);
    if (!rc && l->height == l->head.base)
        memcpy(blk.root, l->head.root, 32); /* it is in the state already */
    else if (!rc)
        rc = execute(l, &h, &blk, txs);
    if (rc) {
        char text[160];
        snprintf(text, sizeof text, "executing block %llu: %s", (unsigned long long)l->height,
                 poa_error_text(rc));
        return chunk_wrong(&l->r, l->why, rc, text);
    }
    rc = poa_store_put_block(l->group, &blk);
    l->height++;
    return rc ? fault(l, rc) : write_group(l, 1);
}

static int put_change(void *ctx, const struct poa_entry *e)
{
    struct load *l = ctx;
    poa_store_put_state(l->group, e->key, e->value);
    return write_group(l, GROUP_BYTES);
}

static int finish(struct load *l, struct poa_archive_info *info)
{
    struct poa_stored_checkpoint c = {.height = l->head.last};
    poa_ledger_root(l->ledger, POA_STATE_BASE, c.root);
    memcpy(info->root, c.root, 32);
    int rc = poa_ledger_changes(l->ledger, put_change, l);
    if (rc)
        return rc;
    poa_store_put_meta(l->group, POA_META_GENESIS, poa_slice(l->genesis, l->genesis_n));
    rc = poa_store_put_checkpoint(l->group, &c);
    if (!rc)
        rc = poa_store_write(l->group, true);
    return rc ? fault(l, rc) : POA_OK;
}

static int load_all(struct load *l, struct poa_archive_info *info)
{
    int rc = POA_OK;
    l->height = l->head.first;
    l->state_whole = !l->head.base;
    if (l->head.base)
        rc = poa_ledger_restore_begin(l->ledger);
    if (rc)
        return poa_because(l->why, rc, "out of memory");
    while (!rc) {
        rc = chunk_next(&l->r, l->why);
        if (rc)
            return rc;
        if (l->r.kind == POA_ARCHIVE_END)
            return finish(l, info);
        if (l->r.kind == POA_ARCHIVE_RUN)
            rc = load_run(l);
        else if (l->r.kind == POA_ARCHIVE_STATE)
            rc = load_state(l, l->r.payload);
        else if (l->r.kind == POA_ARCHIVE_BLOCK && !(rc = end_state(l)))
            rc = load_block(l);
        archive_tell(l->progress, "executing", l->r.bytes, l->r.size);
    }
    return rc;
}

/* The second reading begins like the first. */
static int begin(struct load *l, FILE *from, const char *path, const char *part, bool tx_index)
{
    struct poa_store_config c = {.dir = part,
                                 .chain32 = l->head.chain,
                                 .create = true,
                                 .tx_index = tx_index,
                                 .write_buffer_bytes = (size_t)4 << 20,
                                 .cache_bytes = (size_t)4 << 20,
                                 .max_open_files = 100};
    int rc = chunk_open(&l->r, from, path, l->why);
    if (!rc)
        rc = chunk_next(&l->r, l->why);
    if (!rc)
        rc = chunk_next(&l->r, l->why);
    if (rc)
        return rc;
    l->genesis_n = l->r.payload.n;
    l->genesis = malloc(l->genesis_n + 1);
    if (!l->genesis)
        return poa_because(l->why, POA_E_NO_MEMORY, "out of memory");
    memcpy(l->genesis, l->r.payload.p, l->genesis_n);
    rc = archive_ledger_new(poa_slice(l->genesis, l->genesis_n), &l->ledger);
    if (rc)
        return poa_because(l->why, rc, "%s: genesis: %s", path, poa_error_text(rc));
    rc = poa_store_open(&c, &l->s, l->why);
    return rc ? rc : poa_store_batch_new(l->s, &l->group);
}

/* Removes a database and its folder; nothing else is in there. */
static void remove_part(const char *part)
{
    char db[4200];
    snprintf(db, sizeof db, "%s/db", part);
    poa_store_remove(db);
    poa_store_remove(part);
}

static int load_into(struct load *l, FILE *from, const char *path, const char *dir, bool tx_index,
                     struct poa_archive_info *info)
{
    char part[4096], db[4200], target[4200];
    snprintf(part, sizeof part, "%s/" PART, dir);
    snprintf(db, sizeof db, "%s/db", part);
    snprintf(target, sizeof target, "%s/db", dir);
    remove_part(part); /* of an attempt that was interrupted */
    int rc = begin(l, from, path, part, tx_index);
    if (!rc)
        rc = load_all(l, info);
    poa_store_batch_free(l->group);
    poa_store_close(l->s);
    if (!rc && rename(db, target))
        rc = poa_because(l->why, POA_E_IO, "cannot rename %s: %s", db, strerror(errno));
    if (!rc)
        rc = poa_dir_sync(dir, l->why);
    remove_part(part);
    return rc;
}

static void lock_path(const char *dir, char path[4200])
{
    snprintf(path, 4200, "%.4000s/LOCK", dir);
}

static bool lock_there(const char *dir)
{
    char path[4200];
    lock_path(dir, path);
    return access(path, F_OK) == 0;
}

/* Made for nothing: the lock, which is still held, and DIR when it is new. */
static void remove_lock(const char *dir, bool fresh)
{
    char path[4200];
    lock_path(dir, path);
    unlink(path);
    if (fresh)
        (void)rmdir(dir); /* what others put there stays */
}

static int load(struct load *l, const char *path, const char *dir, const uint8_t *chain32,
                bool tx_index, struct poa_archive_info *info)
{
    struct poa_why *why = l->why;
    int lock = -1;
    char db[4200];
    memset(info, 0, sizeof *info);
    if (strlen(dir) > 4000)
        return poa_because(why, POA_E_LIMIT, "the name of the directory is too long");
    snprintf(db, sizeof db, "%s/db", dir);
    FILE *from = fopen(path, "rb");
    if (!from)
        return poa_because(why, errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO, "cannot open %s: %s",
                           path, strerror(errno));
    bool fresh = access(dir, F_OK) != 0 && errno == ENOENT;
    bool unlocked = !lock_there(dir);
    int rc = poa_store_lock(dir, &lock, why);
    if (!rc && access(db, F_OK) == 0)
        rc = poa_because(why, POA_E_EXISTS, "%s holds a database already: choose another directory",
                         dir);
    if (!rc)
        rc = poa_archive_verify(from, path, chain32, l->progress, info, why);
    l->head = info->head;
    if (!rc && l->parts &&
        (l->head.base != l->parts->base || memcmp(l->head.root, l->parts->root, 32) != 0))
        rc = poa_because(why, POA_E_STATE_ROOT, "%s is of another state", path);
    if (!rc)
        rc = load_into(l, from, path, dir, tx_index, info);
    chunk_close(&l->r);
    poa_ledger_free(l->ledger);
    free(l->genesis);
    free(l->view);
    free(l->tx);
    free(l->result);
    free(l->fate);
    fclose(from);
    if (rc && unlocked && lock >= 0)
        remove_lock(dir, fresh);
    if (lock >= 0)
        close(lock);
    return rc;
}

int poa_archive_load(const char *path, const char *dir, const uint8_t *chain32, bool tx_index,
                     const struct poa_archive_progress *progress, struct poa_archive_info *info,
                     struct poa_why *why)
{
    struct load l = {.progress = progress, .why = why};
    return load(&l, path, dir, chain32, tx_index, info);
}

int poa_snapshot_load(const char *path, const char *state, const struct poa_snapshot *s,
                      const char *dir, const uint8_t *chain32, bool tx_index,
                      const struct poa_archive_progress *progress, struct poa_archive_info *info,
                      struct poa_why *why)
{
    struct load l = {.progress = progress, .why = why, .parts = s, .state = fopen(state, "rb")};
    if (!l.state)
        return poa_because(why, POA_E_IO, "cannot open %s: %s", state, strerror(errno));
    int rc = load(&l, path, dir, chain32, tx_index, info);
    fclose(l.state);
    return rc;
}
