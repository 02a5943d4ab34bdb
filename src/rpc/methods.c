/* The table of the node's JSON-RPC methods, and those about the node itself. */
#include "methods.h"

#include <stdlib.h>
#include <string.h>

static const struct poa_rpc_method methods[] = {
#define ROW(name, handler, right, keep, params, help)                                              \
    {name, params, rpc_##handler, help, POA_RPC_##right, POA_RPC_##keep},
    POA_RPC_METHODS(ROW)
#undef ROW
};
const struct poa_rpc_methods poa_rpc_node_methods = {.method = methods,
                                                     .n = sizeof methods / sizeof methods[0]};

/* --- help for handlers ------------------------------------------------------------- */

int rpc_read(const struct poa_rpc_node *node, enum poa_state_table table, const void *key,
             size_t key_n, uint8_t buffer[RPC_VALUE_MAX], const struct poa_record *rec, void *out)
{
    struct poa_writer w = poa_writer_over(buffer, RPC_VALUE_MAX);
    int rc = node->backend->read(node->backend->ctx, table, key, key_n, &w);
    if (rc == POA_OK && w.overflow)
        rc = POA_E_BUFFER;
    return rc != POA_OK ? rc : poa_record_decode(rec, poa_written(&w), out);
}

int rpc_read_u32(const struct poa_rpc_node *node, enum poa_state_table table, uint32_t key,
                 uint8_t buffer[RPC_VALUE_MAX], const struct poa_record *rec, void *out)
{
    uint8_t le[4];
    poa_put_le32(le, key);
    return rpc_read(node, table, le, sizeof le, buffer, rec, out);
}

json_t *rpc_hash(const uint8_t hash32[32])
{
    return poa_json_hex(hash32, 32);
}

json_t *rpc_with(json_t *object, const char *key, json_t *value)
{
    if (object == NULL) {
        json_decref(value);
        return NULL;
    }
    if (json_object_set_new_nocheck(object, key, value) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

void rpc_answer(struct poa_rpc_call *call, int rc, json_t *result)
{
    if (rc == POA_OK) {
        poa_rpc_result(call, result);
    } else {
        json_decref(result);
        poa_rpc_fail(call, rc);
    }
}

/* Height, or null for "never". */
static json_t *u64_or_null(uint64_t v)
{
    return v == POA_NEVER ? json_null() : poa_json_u64(v);
}

/* --- status --------------------------------------------------------------------------- */

static json_t *roles_json(const struct poa_rpc_status *s)
{
    json_t *roles = json_array();
    if (s->ledger)
        json_array_append_new(roles, json_string("ledger"));
    if (s->trusted)
        json_array_append_new(roles, json_string("trusted"));
    return roles;
}

json_t *rpc_witness_bound(const struct poa_rpc_node *node, uint32_t epoch)
{
    struct poa_risk risk;
    bool devnet;
    return poa_rpc_risk(node, epoch, &risk, &devnet) == POA_OK ? poa_json_risk(&risk, devnet)
                                                               : json_null();
}

/* When nothing becomes final any more: keys of the members that do not vote. */
static json_t *silent_json(const struct poa_rpc_node *node, const struct poa_core_status *core)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_genesis g;
    struct poa_committee committee;
    struct poa_member m;
    json_t *list = json_array();
    if (core->member < 0 || poa_rpc_genesis(node, &g) != POA_OK ||
        core->final_us < poa_stall_us(&g) ||
        rpc_read_u32(node, POA_STATE_COMMITTEE, core->epoch, buffer, &poa_committee_record,
                     &committee) != POA_OK)
        return list;
    struct poa_list_iter it = poa_list_begin(&committee.members);
    for (uint32_t i = 0; poa_member_next(&it, &m); i++)
        if ((core->heard[i / 8] >> (i % 8) & 1) == 0)
            json_array_append_new(list, rpc_hash(m.key));
    return list;
}

static json_t *join_json(const struct poa_rpc_join *j)
{
    if (j->doing == NULL)
        return json_null();
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:o}", "doing", j->doing, "height",
                     poa_json_u64(j->height), "offered", (json_int_t)j->offered, "parts",
                     (json_int_t)j->parts, "parts_held", (json_int_t)j->parts_held, "bytes",
                     poa_json_u64(j->bytes), "bytes_held", poa_json_u64(j->bytes_held), "servers",
                     (json_int_t)j->servers, "left_s",
                     j->left_s > 0 ? poa_json_u64(j->left_s) : json_null());
}

void rpc_status(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_node *node = ctx;
    (void)param;
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    node->backend->status(node->backend->ctx, &s);
    json_t *consensus = json_pack(
        "{s:I, s:o, s:i, s:i, s:i, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:b}", "epoch",
        (json_int_t)s.core.epoch, "view", poa_json_u64(s.core.view), "member", (int)s.core.member,
        "members", (int)s.core.members, "quorum", (int)s.core.quorum, "notarized_height",
        poa_json_u64(s.core.notarized_height), "views_notarized",
        poa_json_u64(s.core.views_notarized), "views_nullified",
        poa_json_u64(s.core.views_nullified), "mempool", (json_int_t)s.core.mempool,
        "batches_pending", (json_int_t)s.core.batches_pending, "mining_pending",
        (json_int_t)s.core.mining_pending, "evidence_pending", (json_int_t)s.core.evidence_pending,
        "abstaining", (int)s.core.abstaining, "synced", (int)s.core.synced);
    consensus = rpc_with(consensus, "recovering", json_boolean(s.core.recovering));
    consensus = rpc_with(consensus, "final_age_ms", poa_json_u64(s.core.final_us / 1000));
    consensus = rpc_with(consensus, "silent", s.woke ? json_array() : silent_json(node, &s.core));
    json_t *v = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, "
        "s:b, s:b, s:s, s:o}",
        "version", s.version ? s.version : "", "name", s.name, "roles", roles_json(&s), "key",
        rpc_hash(s.key), "chain", rpc_hash(node->chain), "height", poa_json_u64(s.core.height),
        "hash", rpc_hash(s.core.hash), "time_ms", poa_json_u64(s.core.time_ms), "slot",
        poa_json_u64(s.slot), "uptime_ms", poa_json_u64(s.uptime_ms), "first_block_ms",
        u64_or_null(s.first_block_ms), "packs", poa_json_u64(s.packs), "peers", (json_int_t)s.peers,
        "devices", (json_int_t)s.devices, "txs_accepted", poa_json_u64(s.txs_accepted),
        "txs_rejected", poa_json_u64(s.txs_rejected), "state",
        poa_json_record(&poa_st_global_record, &s.global), "faucet", (int)s.faucet, "ready",
        (int)s.ready, "why", s.ready ? "" : s.why, "consensus", consensus);
    v = rpc_with(v, "fee_floor_percent", json_integer(s.fee_floor_percent));
    v = rpc_with(v, "witness", rpc_witness_bound(node, s.core.epoch));
    v = rpc_with(v, "sync",
                 s.sync_target == 0
                     ? json_null()
                     : json_pack("{s:o, s:o}", "target", poa_json_u64(s.sync_target), "left_s",
                                 s.sync_left_s > 0 ? poa_json_u64(s.sync_left_s) : json_null()));
    v = rpc_with(v, "snapshot", join_json(&s.join));
    poa_rpc_result(call, v);
}

/* --- the node --------------------------------------------------------------------------------- */

#define KEY(p, f)     (p)->has_##f ? rpc_hash((p)->f) : json_null()
#define NAME(p, f)    json_string((p)->f)
#define ADDRESS(p, f) json_string((p)->f)
#define TEXT(p, f)    json_string((p)->f)
#define SEAT(p, f)    (p)->f >= 0 ? json_integer((p)->f) : json_null()
#define FLAG(p, f)    json_boolean((p)->f)
#define COUNT(p, f)   json_integer((p)->f)
#define RTT(p, f)     json_integer((p)->f)
#define TIME(p, f)    u64_or_null((p)->f)
#define HEIGHT(p, f)  poa_json_u64((p)->f)
#define NUMBER(p, f)  poa_json_u64((p)->f)
#define BYTES(p, f)   poa_json_u64((p)->f)
static json_t *peer_json(const struct poa_rpc_peer *p)
{
    json_t *v = json_object();
#define ROW(name, kind, head, width, text) v = rpc_with(v, #name, kind(p, name));
    POA_RPC_PEER_TABLE(ROW)
#undef ROW
    return v;
}

void rpc_peers_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    (void)param;
    struct poa_rpc_peer *peer = calloc(POA_RPC_PEERS_MAX, sizeof *peer);
    json_t *v = json_array();
    size_t n = peer != NULL && b->peers != NULL ? b->peers(b->ctx, peer, POA_RPC_PEERS_MAX) : 0;
    for (size_t i = 0; v != NULL && i < n; i++)
        if (json_array_append_new(v, peer_json(&peer[i])) != 0) {
            json_decref(v);
            v = NULL;
        }
    free(peer);
    poa_rpc_result(call, v);
}

void rpc_latency_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    (void)param;
    if (b->latency == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    struct poa_histogram *h = calloc(1, sizeof *h);
    if (h == NULL) {
        poa_rpc_fail(call, POA_E_NO_MEMORY);
        return;
    }
    b->latency(b->ctx, h);
    json_t *buckets = json_array();
    for (size_t i = 0; buckets != NULL && i < POA_HISTOGRAM_BUCKETS; i++)
        if (h->bucket[i] > 0)
            json_array_append_new(buckets,
                                  json_pack("[I, o]", (json_int_t)i, poa_json_u64(h->bucket[i])));
    json_t *v = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "count", poa_json_u64(h->count),
                          "sum_us", poa_json_u64(h->sum_us), "max_us", poa_json_u64(h->max_us),
                          "p50_us", poa_json_u64(poa_histogram_quantile(h, 0.5)), "p90_us",
                          poa_json_u64(poa_histogram_quantile(h, 0.9)), "p99_us",
                          poa_json_u64(poa_histogram_quantile(h, 0.99)), "buckets", buckets);
    free(h);
    poa_rpc_result(call, v);
}

void rpc_supply_audit(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    (void)param;
    bool conserved = false;
    uint64_t height = 0;
    int rc = b->audit != NULL ? b->audit(b->ctx, &conserved, &height) : POA_E_UNSUPPORTED;
    rpc_answer(call, rc,
               rc == POA_OK ? json_pack("{s:b, s:o}", "conserved", (int)conserved, "height",
                                        poa_json_u64(height))
                            : NULL);
}

void rpc_genesis_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_node *node = ctx;
    (void)param;
    struct poa_genesis g;
    int rc = poa_rpc_genesis(node, &g);
    rpc_answer(call, rc,
               rc == POA_OK ? json_pack("{s:o, s:o, s:o}", "chain", rpc_hash(node->chain),
                                        "genesis", poa_json_record(&poa_genesis_record, &g), "raw",
                                        poa_json_hex(node->genesis.p, node->genesis.n))
                            : NULL);
}

void rpc_params_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    (void)param;
    int rc = poa_rpc_params_json(ctx, &v);
    rpc_answer(call, rc, v);
}

void rpc_discover(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_node *node = ctx;
    (void)param;
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    node->backend->status(node->backend->ctx, &s);
    poa_rpc_result(
        call, poa_rpc_openrpc(&poa_rpc_node_methods, "poa", s.version != NULL ? s.version : ""));
}
