/* Has this key voted on this chain before, and does the store remember all of it?
 *
 * A node that lost its write-ahead log, or has an older copy of it, must not vote
 * before the next epoch. The log cannot say that it is lost, so a file beside the
 * key counts the starts of this node, as the store does:
 *
 *   store and file agree, or the store is ahead   nothing is lost
 *   the store is behind the file                  an older copy: amnesia
 *   there is a file and nothing in the store      an empty directory: amnesia
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node.h"

#define META_KEY     "node/key"
#define META_STARTS  "node/starts"
#define META_AMNESIA "node/amnesia"
#define META_ORDER   "node/order"

static void marker_path(const struct poa_node *n, char *path, size_t path_n)
{
    char chain[17];
    poa_hex(n->chain, 8, chain);
    snprintf(path, path_n, "%s.joined-%s", n->config.key, chain);
}

/* *JOINED: there is a marker; *STARTS: what it counts, 0 when it is empty. */
static int read_marker(const struct poa_node *n, bool *joined, uint64_t *starts,
                       struct poa_why *why)
{
    char path[POA_CONFIG_TEXT_MAX + 64], *text = NULL;
    size_t text_n = 0;
    marker_path(n, path, sizeof path);
    *joined = access(path, F_OK) == 0;
    *starts = 0;
    if (!*joined)
        return POA_OK;
    int rc = poa_file_read(path, 64, 0, &text, &text_n, why);
    if (!rc)
        *starts = strtoull(text, NULL, 10);
    free(text);
    return rc;
}

static int write_marker(const struct poa_node *n, uint64_t starts, struct poa_why *why)
{
    char path[POA_CONFIG_TEXT_MAX + 64], text[32];
    marker_path(n, path, sizeof path);
    int k = snprintf(text, sizeof text, "%llu\n", (unsigned long long)starts);
    return poa_file_write(path, text, (size_t)k, 0600, 0, why);
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
    return poa_because(why, rc,
                       "cannot write to %s: %s; free space or replace the disk, then start again",
                       n->config.data_dir, inner.text[0] ? inner.text : poa_error_text(rc));
}

int node_memory_check(struct poa_node *n, bool *amnesia, struct poa_why *why)
{
    bool joined = false, known = false;
    uint64_t marked = 0, stored = 0, before = 0;
    int rc = read_owner(n, &known, why);
    if (!rc)
        rc = read_marker(n, &joined, &marked, why);
    if (rc)
        return rc;
    rc = read_number(n, META_STARTS, &stored);
    if (!rc)
        rc = read_number(n, META_AMNESIA, &before);
    if (rc)
        return node_store_fault(n, rc, why);
    bool empty = !known && joined, older = known && stored < marked;
    n->amnesia = before || empty || older || n->config.restored;
    if (empty)
        POA_LOG_WARN(NODE,
                     "this key has run on this chain before and %s has no memory of what it may "
                     "have voted: abstaining until the next epoch",
                     n->config.data_dir);
    else if (older)
        POA_LOG_WARN(NODE,
                     "%s is a copy from before this node's last start (%llu of %llu): what it "
                     "said since is forgotten: abstaining until the next epoch",
                     n->config.data_dir, (unsigned long long)stored, (unsigned long long)marked);
    else if (n->amnesia)
        POA_LOG_WARN(NODE, "%s: abstaining until the next epoch",
                     before ? "this node lost its log before its last start"
                            : "the data directory came from a backup");
    *amnesia = n->amnesia;
    /* The store first: were the marker ahead of it after a crash, nothing would
     * be lost and yet this node would abstain. */
    uint64_t starts = (marked > stored ? marked : stored) + 1;
    rc = write_store(n, !known && !joined && !n->amnesia, starts, why);
    return rc ? rc : write_marker(n, starts, why);
}

void node_memory_regained(struct poa_node *n)
{
    uint8_t number[8] = {0};
    n->amnesia = false;
    POA_LOG_INFO(NODE, "this node votes again");
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
