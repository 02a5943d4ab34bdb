/* Has this key voted on this chain before, and does the store remember all of it?
 *
 * A node that lost its write-ahead log, or has an older copy of it, must not vote
 * before the next epoch. The log cannot say that it is lost, so a file beside the
 * key counts the starts of this node, as the store does (poa_node_starts.h). Whoever
 * is not sure has amnesia, too: two votes against each other cost more than an epoch. */
#include <stdio.h>
#include <string.h>

#include "node.h"
#include "poa_node_starts.h"

#define META_KEY     "node/key"
#define META_STARTS  "node/starts"
#define META_AMNESIA "node/amnesia"
#define META_ORDER   "node/order"

#define PATH_MAX_N (POA_CONFIG_TEXT_MAX + 64)

static void starts_path(const struct poa_node *n, char path[PATH_MAX_N])
{
    char chain[17];
    poa_hex(n->chain, 8, chain);
    snprintf(path, PATH_MAX_N, "%s.joined-%s", n->config.key, chain);
}

/* META's value as a number; 0: there is none. */
static int read_number(struct poa_node *n, const char *meta, uint64_t *out)
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(n->store, meta, &v);
    *out = !rc && v.bytes.n == 8 ? poa_le64(v.bytes.p) : 0;
    poa_store_value_free(&v);
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

/* *KNOWN: the store belongs to a node; CONFIG when to another one. */
static int read_owner(struct poa_node *n, bool *known, struct poa_why *why)
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(n->store, META_KEY, &v);
    bool ours = !rc && v.bytes.n == 32 && memcmp(v.bytes.p, n->key, 32) == 0;
    poa_store_value_free(&v);
    *known = !rc;
    if (rc && rc != POA_E_NOT_FOUND)
        return node_store_fault(n, rc, why);
    if (!rc && !ours)
        return poa_config_wrong(&n->config, "data_dir", why,
                                "%.100s belongs to another node key than %.100s: use that key, or "
                                "another data directory",
                                n->config.data_dir, n->config.key);
    return POA_OK;
}

/* FRESH: this key never voted on this chain; otherwise only the core can say
 * when it may again. */
static int write_store(struct poa_node *n, bool fresh, uint64_t starts, struct poa_why *why)
{
    uint8_t record[256], number[8];
    struct poa_writer w = poa_writer_over(record, sizeof record);
    struct poa_store_batch *b = NULL;
    int rc = poa_core_init_record(n->chain, n->key, &w);
    if (!rc)
        rc = poa_store_batch_new(n->store, &b);
    if (!rc) {
        if (fresh)
            poa_store_put_record(b, 1, POA_WAL_EPOCH, poa_written(&w));
        poa_store_put_meta(b, META_KEY, poa_slice(n->key, 32));
        poa_put_le64(number, starts);
        poa_store_put_meta(b, META_STARTS, poa_slice(number, sizeof number));
        poa_put_le64(number, n->amnesia);
        poa_store_put_meta(b, META_AMNESIA, poa_slice(number, sizeof number));
        rc = poa_store_write(b, true);
    }
    poa_store_batch_free(b);
    if (!rc)
        return POA_OK;
    /* LevelDB says which file, and why. */
    struct poa_why inner = {""};
    poa_store_why(n->store, &inner);
    poa_store_advise(n->config.data_dir, &inner);
    return poa_because(why, rc, "cannot write to %s: %s; start again when the disk works",
                       n->config.data_dir, inner.text[0] ? inner.text : poa_error_text(rc));
}

static void say_found(const struct poa_node *n, enum node_starts_found found,
                      const struct node_starts *file, uint64_t stored)
{
    const char *dir = n->config.data_dir;
    switch (found) {
    case NODE_STARTS_LOST:
        POA_LOG_WARN(NODE,
                     "this key has run on this chain before and %s has no memory of what it may "
                     "have voted: abstaining until the next epoch",
                     dir);
        return;
    case NODE_STARTS_OLDER:
        POA_LOG_WARN(NODE,
                     "%s is a copy from before this node's last start (%llu of %llu): what it "
                     "said since is forgotten: abstaining until the next epoch",
                     dir, (unsigned long long)stored, (unsigned long long)file->count);
        return;
    case NODE_STARTS_NOT_SURE:
        POA_LOG_WARN(NODE,
                     "%s: it tells whether %s is an older copy, which forgets what this node said "
                     "since: abstaining until the next epoch. Who has that file puts it back and "
                     "starts again (docs/node.md, Recovery; the directory knows of %llu starts)",
                     file->why.text, dir, (unsigned long long)stored);
        return;
    case NODE_STARTS_FIRST:
    case NODE_STARTS_WHOLE:
        break;
    }
    if (n->amnesia)
        POA_LOG_WARN(NODE, "%s: abstaining until the next epoch",
                     n->config.restored ? "the data directory came from a backup"
                                        : "this node lost its log before its last start");
}

int node_memory_check(struct poa_node *n, bool *amnesia, struct poa_why *why)
{
    bool known = false;
    uint64_t stored = 0, before = 0;
    char path[PATH_MAX_N];
    struct node_starts file;
    starts_path(n, path);
    int rc = read_owner(n, &known, why);
    if (rc)
        return rc;
    rc = node_starts_read(path, &file);
    if (rc)
        return poa_because(why, rc, "%s", file.why.text);
    rc = read_number(n, META_STARTS, &stored);
    if (!rc)
        rc = read_number(n, META_AMNESIA, &before);
    if (rc)
        return node_store_fault(n, rc, why);
    enum node_starts_found found = node_starts_compare(&file, known, stored);
    n->amnesia =
        before || n->config.restored || (found != NODE_STARTS_FIRST && found != NODE_STARTS_WHOLE);
    *amnesia = n->amnesia;
    say_found(n, found, &file, stored);
    if (found == NODE_STARTS_NOT_SURE && !n->config.restored) {
        /* Nothing is counted: a file that is put back still tells which database is the newest. */
        n->starts_later = stored + NODE_STARTS_UNSURE;
        return POA_OK;
    }
    if (file.file == NODE_STARTS_ABSENT && !known)
        rc = node_starts_write(path, 0, why);
    /* The store first: were the file ahead of it after a crash, nothing would
     * be lost and yet this node would abstain. */
    uint64_t starts = (file.count > stored ? file.count : stored) + 1;
    if (n->config.restored || file.file == NODE_STARTS_NO_COUNT)
        starts += NODE_STARTS_UNSURE;
    if (!rc)
        rc = write_store(n, found == NODE_STARTS_FIRST && !n->amnesia, starts, why);
    return rc ? rc : node_starts_write(path, starts, why);
}

/* What this database says from now on is in no other copy of it. */
static void begin_count(struct poa_node *n)
{
    uint8_t number[8];
    char path[PATH_MAX_N];
    struct poa_why why;
    poa_put_le64(number, n->starts_later);
    if (node_io_meta(n->io, META_STARTS, poa_slice(number, sizeof number)))
        node_halt(n, "out of memory");
    starts_path(n, path);
    if (node_starts_write(path, n->starts_later, &why))
        POA_LOG_WARN(NODE, "%s: the next start abstains again", why.text);
    n->starts_later = 0;
}

void node_memory_regained(struct poa_node *n)
{
    uint8_t number[8] = {0};
    n->amnesia = false;
    POA_LOG_INFO(NODE, "%s",
                 n->self >= 0 ? "this node votes again"
                              : "this node would vote again: it is not in the committee");
    if (n->starts_later)
        begin_count(n);
    if (node_io_meta(n->io, META_AMNESIA, poa_slice(number, sizeof number)))
        node_halt(n, "out of memory");
}

/* --- the operators' order -------------------------------------------------------------- */

/* An order that was carried out is not followed again: it would be older than what
 * is lost after it, and stale promises are what an order must not rest on. */
static bool carried_out(struct poa_node *n, const uint8_t token32[32])
{
    struct poa_store_value v;
    int rc = poa_store_get_meta(n->store, META_ORDER, &v);
    bool same = !rc && v.bytes.n == 32 && memcmp(v.bytes.p, token32, 32) == 0;
    poa_store_value_free(&v);
    return same;
}

void node_recover(struct poa_node *n)
{
    struct poa_core_status s;
    uint8_t token[32];
    uint32_t epoch;
    if (!n->config.recover[0] || poa_config_recover(n->config.recover, &epoch, token))
        return;
    poa_core_status(n->core, &s);
    if (n->recovering && !s.recovering) {
        n->recovering = false;
        POA_LOG_INFO(NODE, "recover: done; the option can go");
        if (node_io_meta(n->io, META_ORDER, poa_slice(token, sizeof token)))
            node_halt(n, "out of memory");
    }
    if (n->recover_done || s.epoch < epoch) /* or still catching up */
        return;
    n->recover_done = true;
    if (s.epoch > epoch || carried_out(n, token)) {
        POA_LOG_INFO(NODE, "recover: this order was carried out; the option can go");
        return;
    }
    n->recovering = true;
    struct poa_event e = {
        .kind = POA_EVENT_RECOVER, .seq = epoch, .bytes = poa_slice(token, sizeof token)};
    int rc = node_step(n, &e);
    if (rc)
        POA_LOG_WARN(NODE, "recover: %s", poa_error_text(rc));
    else
        POA_LOG_WARN(NODE,
                     "recover: by the operators' order, epoch %u goes on after a view that "
                     "cannot be decided",
                     epoch);
}
