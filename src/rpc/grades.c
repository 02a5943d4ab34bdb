/* Grades of transactions, and what waits for grade 2. */
#include "grades.h"

#include <string.h>

#include "methods.h"
#include "poa_grade.h"

static int global_of(const struct poa_rpc_node *node, struct poa_st_global *out)
{
    uint8_t bytes[RPC_VALUE_MAX];
    return RPC_READ(node, GLOBAL, "", 0, bytes, st_global, out);
}

/* The parameters that hold now: mostly those of genesis. */
static int params_of(const struct poa_rpc_node *node, struct poa_genesis *g)
{
    uint8_t bytes[RPC_VALUE_MAX];
    struct poa_st_global global;
    struct poa_st_params st;
    int rc = poa_rpc_genesis(node, g);
    if (rc == POA_OK)
        rc = RPC_READ(node, PARAMS, "", 0, bytes, st_params, &st);
    if (rc == POA_E_NOT_FOUND)
        return POA_OK;
    if (rc == POA_OK)
        rc = global_of(node, &global);
    if (rc == POA_OK)
        poa_params_apply(g, &st, global.epoch);
    return rc;
}

static uint32_t missing(uint32_t have, uint32_t need)
{
    return have < need ? need - have : 0;
}

static json_t *grade2_json(const struct poa_grade *g)
{
    if (!g->on)
        return json_null();
    if (g->expired)
        return json_pack("{s:b}", "expired", 1);
    return json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}, s:b, s:b}", "first_slot",
        poa_json_u64(g->first_slot), "last_slot", poa_json_u64(g->last_slot), "devices",
        (json_int_t)g->devices, "makers", (json_int_t)g->makers, "regions", (json_int_t)g->regions,
        "needs", "devices", (json_int_t)g->need_devices, "makers", (json_int_t)g->need_makers,
        "regions", (json_int_t)g->need_regions, "missing", "devices",
        (json_int_t)missing(g->devices, g->need_devices), "makers",
        (json_int_t)missing(g->makers, g->need_makers), "regions",
        (json_int_t)missing(g->regions, g->need_regions), "closed", (int)g->closed, "expired", 0);
}

static json_t *hold_json(const struct poa_genesis *g, const struct poa_st_hold *hold,
                         const struct poa_st_holds *group)
{
    static const char *const states[] = {"held", "released", "refunded"};
    json_t *v =
        json_pack("{s:s, s:o, s:I, s:o}", "state", states[group->status], "amount",
                  poa_json_u64(hold->amount), "transfers", (json_int_t)hold->transfers.count,
                  "refund_after_slot", poa_json_u64(hold->slot + g->hold_slots));
    if (v != NULL && group->status != POA_HOLD_OPEN)
        json_object_set_new(v, "ended_height", poa_json_u64(group->height));
    return v;
}

static int add_hold(const struct poa_rpc_backend *b, const struct poa_genesis *g,
                    const uint8_t id32[32], json_t *v)
{
    uint8_t bytes[RPC_VALUE_MAX], group_bytes[RPC_VALUE_MAX], key[8];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_writer wg = poa_writer_over(group_bytes, sizeof group_bytes);
    struct poa_st_hold hold;
    struct poa_st_holds group;
    int rc = b->read(b->ctx, POA_STATE_HOLD, id32, 32, &w);
    if (rc != POA_OK)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc;
    rc = poa_st_hold_decode(poa_written(&w), &hold);
    poa_put_le64(key, rc == POA_OK ? hold.slot : 0);
    if (rc == POA_OK)
        rc = b->read(b->ctx, POA_STATE_HOLDS, key, sizeof key, &wg);
    if (rc == POA_E_NOT_FOUND)
        return POA_OK; /* pruned between the two reads */
    if (rc == POA_OK)
        rc = poa_st_holds_decode(poa_written(&wg), &group);
    if (rc == POA_OK)
        json_object_set_new(v, "hold", hold_json(g, &hold, &group));
    return rc;
}

int poa_rpc_add_grade(const struct poa_rpc_node *node, const uint8_t id32[32], uint64_t height,
                      json_t *v)
{
    const struct poa_rpc_backend *b = node->backend;
    struct poa_genesis g;
    struct poa_grade grade;
    struct poa_rpc_block block;
    struct poa_header h;
    if (b->block == NULL || node->genesis.n == 0)
        return POA_OK; /* a node that tells less */
    memset(&block, 0, sizeof block);
    int rc = params_of(node, &g);
    if (rc == POA_OK)
        rc = b->block(b->ctx, height, NULL, &block);
    if (rc != POA_OK)
        return rc == POA_E_NOT_FOUND ? POA_OK : rc; /* pruned here: no time, no grade */
    rc = poa_header_decode(block.header, &h);
    b->block_free(b->ctx, &block);
    if (rc == POA_OK)
        rc = poa_grade_of(&g, b->read, b->ctx, height, h.time_ms, &grade);
    if (rc != POA_OK)
        return rc;
    json_object_set_new(v, "grade", json_integer(grade.grade));
    json_object_set_new(v, "grade2", grade2_json(&grade));
    return add_hold(b, &g, id32, v);
}

/* What of OUT counts against hold_above. */
static int sum_of(const struct poa_rpc_node *node, const struct poa_genesis *g,
                  const struct poa_st_outgoing *out, uint64_t *sum)
{
    struct poa_list_iter it = poa_list_begin(&out->sent);
    struct poa_st_global global;
    struct poa_sent sent;
    *sum = 0;
    if (out->sent.count == 0)
        return POA_OK;
    int rc = global_of(node, &global);
    while (rc == POA_OK && poa_sent_next(&it, &sent))
        *sum +=
            global.slot == UINT64_MAX || sent.slot + g->grade2_span > global.slot ? sent.amount : 0;
    return rc;
}

int poa_rpc_add_outgoing(const struct poa_rpc_node *node, const uint8_t address32[32], json_t *v)
{
    uint8_t bytes[RPC_VALUE_MAX];
    struct poa_st_outgoing out;
    struct poa_genesis g;
    uint64_t sum = 0;
    if (node->genesis.n == 0)
        return POA_OK;
    int rc = RPC_READ(node, OUTGOING, address32, 32, bytes, st_outgoing, &out);
    if (rc == POA_E_NOT_FOUND) {
        memset(&out, 0, sizeof out);
        rc = POA_OK;
    }
    if (rc == POA_OK)
        rc = params_of(node, &g);
    if (rc == POA_OK)
        rc = sum_of(node, &g, &out, &sum);
    if (rc != POA_OK)
        return rc;
    json_object_set_new(v, "held", poa_json_u64(out.held));
    json_object_set_new(v, "without_hold",
                        !g.hold_above ? json_null()
                                      : poa_json_u64(g.hold_above > sum ? g.hold_above - sum : 0));
    return POA_OK;
}
