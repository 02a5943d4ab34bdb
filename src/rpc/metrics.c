/* Prometheus text format 0.0.4.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

struct poa_rpc_metrics {
    FILE *out;
    char last[128]; /* name whose TYPE was written */
};

static void head(struct poa_rpc_metrics *m, const char *name, const char *type, const char *help)
{
    if (strcmp(m->last, name) == 0)
        return;
    snprintf(m->last, sizeof m->last, "%s", name);
    fprintf(m->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void poa_rpc_metric(struct poa_rpc_metrics *m, const char *name, enum poa_metric_type type,
                    const char *help, const char *labels, double value)
{
    head(m, name, type == POA_METRIC_COUNTER ? "counter" : "gauge", help);
    if (labels != NULL && labels[0] != 0)
        fprintf(m->out, "%s{%s} %.17g\n", name, labels, value);
    else
        fprintf(m->out, "%s %.17g\n", name, value);
}

void poa_rpc_metric_histogram(struct poa_rpc_metrics *m, const char *name, const char *help,
                              const struct poa_histogram *h)
{
    head(m, name, "histogram", help);
    /* From 128 us to 67 s, by powers of two: the bounds of whole groups of
     * buckets, so the counts are exact. */
    uint64_t seen = 0;
    size_t i = 0;
    for (unsigned power = 7; power <= 26; power++) {
        uint64_t bound = ((uint64_t)1 << power) - 1;
        while (i < POA_HISTOGRAM_BUCKETS && poa_histogram_bound(i) <= bound)
            seen += h->bucket[i++];
        fprintf(m->out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
                (double)((uint64_t)1 << power) / 1e6, seen);
    }
    fprintf(m->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.17g\n%s_count %" PRIu64 "\n",
            name, h->count, name, (double)h->sum_us / 1e6, name, h->count);
}

/* What follows from the status: X(name, type, help, value). */
#define STATUS_METRICS(X)                                                                          \
    X("poa_finalized_height", GAUGE, "Height of the last finalized block", s.core.height)          \
    X("poa_finalized_time_seconds", GAUGE, "Unix time in the last finalized block",                \
      (double)s.core.time_ms / 1e3)                                                                \
    X("poa_notarized_height", GAUGE, "Height of the last notarized block",                         \
      s.core.notarized_height)                                                                     \
    X("poa_epoch", GAUGE, "Epoch in work", s.core.epoch)                                           \
    X("poa_view", GAUGE, "View in work", s.core.view)                                              \
    X("poa_slot", GAUGE, "Slot by the clock", s.slot)                                              \
    X("poa_committee_members", GAUGE, "Members of the committee", s.core.members)                  \
    X("poa_committee_quorum", GAUGE, "Signatures that make a certificate", s.core.quorum)          \
    X("poa_committee_member", GAUGE, "1 when this node is a member", s.core.member >= 0)           \
    X("poa_abstaining", GAUGE, "1 while the node may not vote because its log was lost",           \
      s.core.abstaining)                                                                           \
    X("poa_synced", GAUGE, "1 when no block beyond the tip is known", s.core.synced)               \
    X("poa_ready", GAUGE, "1 when answers are current", s.ready)                                   \
    X("poa_views_notarized_total", COUNTER, "Views that ended with a block",                       \
      s.core.views_notarized)                                                                      \
    X("poa_views_nullified_total", COUNTER, "Views that ended without a block",                    \
      s.core.views_nullified)                                                                      \
    X("poa_mempool_transactions", GAUGE, "Transactions that wait here", s.core.mempool)            \
    X("poa_batches_pending", GAUGE, "Batches that are not final", s.core.batches_pending)          \
    X("poa_fee_floor_percent", GAUGE, "What strangers of the mesh pay here, of the smallest fee",  \
      s.fee_floor_percent)                                                                         \
    X("poa_batch_lag_seconds", GAUGE, "From making a batch here to its block being final",         \
      (double)s.core.lag_us / 1e6)                                                                 \
    X("poa_mining_pending", GAUGE, "Tickets and seals that wait for a block",                      \
      s.core.mining_pending)                                                                       \
    X("poa_evidence_pending", GAUGE, "Convictions that wait for a block", s.core.evidence_pending) \
    X("poa_transactions_total", COUNTER, "Transactions executed on the ledger", s.global.txs)      \
    X("poa_anchors_total", COUNTER, "Anchors executed on the ledger", s.global.anchors)            \
    X("poa_seals_total", COUNTER, "Seals accepted on the ledger", s.global.seals)                  \
    X("poa_registered_devices", GAUGE, "Devices in the registry", s.global.devices)                \
    X("poa_registered_witnesses", GAUGE, "Witnesses in the registry", s.global.witnesses)          \
    X("poa_issued_total", COUNTER, "Subsidies issued, smallest unit", s.global.issued)             \
    X("poa_burned_total", COUNTER, "Destroyed, smallest unit", s.global.burned)                    \
    X("poa_peers", GAUGE, "Connected peers", s.peers)                                              \
    X("poa_rpc_transactions_accepted_total", COUNTER, "Transactions accepted over RPC",            \
      s.txs_accepted)                                                                              \
    X("poa_rpc_transactions_rejected_total", COUNTER, "Transactions refused over RPC",             \
      s.txs_rejected)                                                                              \
    X("poa_uptime_seconds", GAUGE, "Since the process started", (double)s.uptime_ms / 1e3)

/* The witness bound: X(name, help, value). */
#define RISK_METRICS(X)                                                                            \
    X("poa_witness_fork_probability", "Two conflicting certificates, at the stated risk",          \
      r.bounds.fork.value)                                                                         \
    X("poa_witness_forge_probability", "Certificates without honest help, at the stated risk",     \
      r.bounds.forge.value)                                                                        \
    X("poa_witness_stall_probability", "No certificate at all, at the stated risk",                \
      r.bounds.stall.value)                                                                        \
    X("poa_witness_group_fork_probability", "The same when the largest group falls as a whole",    \
      r.group.fork.value)                                                                          \
    X("poa_witness_target_probability", "What genesis promises of forks; 0: nothing", r.target)    \
    X("poa_witness_stall_target_probability", "The same of stalls", r.stall_target)                \
    X("poa_witness_target_met", "1 when fork and stall are at or below the target", r.met)         \
    X("poa_witness_caps_raised", "By how much the draw had to raise the caps", r.relaxed)          \
    X("poa_witness_devnet", "1 on a test network, which is exempt from its target", devnet)

static void risk_metrics(struct poa_rpc_metrics *m, const struct poa_rpc_node *node, uint32_t epoch)
{
    struct poa_risk r;
    bool devnet;
    if (poa_rpc_risk(node, epoch, &r, &devnet) != POA_OK)
        return;
#define ROW(name, help, value)                                                                     \
    poa_rpc_metric(m, name, POA_METRIC_GAUGE, help, NULL, (double)(value));
    RISK_METRICS(ROW)
#undef ROW
}

char *poa_rpc_metrics_text(const struct poa_rpc_node *node, size_t *n)
{
    char *text = NULL;
    struct poa_rpc_metrics m = {open_memstream(&text, n), ""};
    if (m.out == NULL)
        return NULL;
    const struct poa_rpc_backend *b = node->backend;
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    b->status(b->ctx, &s);
#define ROW(name, type, help, value)                                                               \
    poa_rpc_metric(&m, name, POA_METRIC_##type, help, NULL, (double)(value));
    STATUS_METRICS(ROW)
#undef ROW
    risk_metrics(&m, node, s.core.epoch);
    struct poa_histogram *h = b->latency != NULL ? calloc(1, sizeof *h) : NULL;
    if (h != NULL) {
        b->latency(b->ctx, h);
        poa_rpc_metric_histogram(&m, "poa_finality_seconds", "From acceptance over RPC to finality",
                                 h);
    }
    free(h);
    if (b->metrics != NULL)
        b->metrics(b->ctx, &m);
    if (fclose(m.out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
