/* Who is registered and admitted, and what gateways know of devices. */
#include <string.h>

#include "methods.h"
#include "poa_access.h"
#include "proofs.h"

static json_t *device_json(const uint8_t key[32], const struct poa_st_device *d)
{
    return rpc_with(poa_json_record(&poa_st_device_record, d), "device", rpc_hash(key));
}

static json_t *witness_json(const uint8_t key[32], const struct poa_st_witness *w)
{
    return rpc_with(poa_json_record(&poa_st_witness_record, w), "key", rpc_hash(key));
}

static int device_item(const struct poa_rpc_node *node, const uint8_t key[32], json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_device d;
    int rc = RPC_READ(node, DEVICE, key, 32, buffer, st_device, &d);
    *out = rc == POA_OK ? device_json(key, &d) : NULL;
    return rc;
}

static int witness_item(const struct poa_rpc_node *node, const uint8_t key[32], json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_witness w;
    int rc = RPC_READ(node, WITNESS, key, 32, buffer, st_witness, &w);
    *out = rc == POA_OK ? witness_json(key, &w) : NULL;
    return rc;
}

void rpc_device_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t key[32];
    json_t *v;
    poa_rpc_hash(param[0], key);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_DEVICE, key, sizeof key, call))
        return;
    int rc = device_item(ctx, key, &v);
    rpc_answer(call, rc == POA_E_NOT_FOUND ? POA_E_DEVICE_UNKNOWN : rc, v);
}

void rpc_witness_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t key[32];
    json_t *v;
    poa_rpc_hash(param[0], key);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_WITNESS, key, sizeof key, call))
        return;
    int rc = witness_item(ctx, key, &v);
    rpc_answer(call, rc, v);
}

#define LIST_DEFAULT 100
#define LIST_MAX     1000

/* LIMIT of a page, at most MAX; 0: none is possible, and the call is refused, for a page without
 * entries never ends. */
static uint64_t page_limit(const json_t *limit, uint64_t standard, uint64_t max,
                           struct poa_rpc_call *call)
{
    uint64_t n = poa_rpc_u64(limit, standard);
    if (n == 0)
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "limit: must be at least 1");
    return n < max ? n : max;
}

/* A page of a registry: INDEX maps 0..total-1 to keys. */
static void list(const struct poa_rpc_node *node, json_t *const *param, struct poa_rpc_call *call,
                 enum poa_state_table index)
{
    bool devices = index == POA_STATE_DEVICE_INDEX;
    struct poa_st_global global;
    uint8_t buffer[RPC_VALUE_MAX];
    uint64_t limit = page_limit(param[1], LIST_DEFAULT, LIST_MAX, call);
    if (limit == 0)
        return;
    int rc = RPC_READ(node, GLOBAL, "", 0, buffer, st_global, &global);
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    uint64_t total = devices ? global.devices : global.witnesses;
    uint64_t from = poa_rpc_u64(param[0], 0), i = from;
    json_t *items = json_array();
    for (; rc == POA_OK && items != NULL && i < total && i - from < limit; i++) {
        struct poa_digest key;
        json_t *item = NULL;
        rc = rpc_read_u32(node, index, (uint32_t)i, buffer, &poa_digest_record, &key);
        if (rc == POA_OK)
            rc = (devices ? device_item : witness_item)(node, key.digest, &item);
        if (rc == POA_OK && json_array_append_new(items, item) != 0)
            rc = POA_E_NO_MEMORY;
    }
    if (rc != POA_OK) {
        json_decref(items);
        poa_rpc_fail(call, rc);
        return;
    }
    poa_rpc_result(call, json_pack("{s:I, s:o, s:o}", "total", (json_int_t)total, "next",
                                   i < total ? json_integer((json_int_t)i) : json_null(), "items",
                                   items));
}

void rpc_devices_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    list(ctx, param, call, POA_STATE_DEVICE_INDEX);
}

void rpc_witnesses_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    list(ctx, param, call, POA_STATE_WITNESS_INDEX);
}

/* --- what a gateway knows ------------------------------------------------------------ */

static int add_pack(void *v, const struct poa_rpc_pack *p)
{
    json_t *item = json_pack("{s:o, s:o, s:o, s:o}", "number", poa_json_u64(p->number), "id",
                             rpc_hash(p->id), "pack", poa_json_hex(p->pack.p, p->pack.n), "receipt",
                             p->receipt.n ? poa_json_hex(p->receipt.p, p->receipt.n) : json_null());
    return json_array_append_new(v, item) ? POA_E_NO_MEMORY : POA_OK;
}

#define PACKS_MAX 100

void rpc_packs_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t request[POA_DATA_REQUEST_BYTES_MAX];
    size_t n = json_string_length(param[0]) / 2;
    uint64_t count = 0, next = 0, limit = page_limit(param[2], PACKS_MAX, PACKS_MAX, call);
    if (limit == 0)
        return;
    json_t *items = json_array();
    int rc = b->packs == NULL ? POA_E_UNSUPPORTED : n > sizeof request ? POA_E_TOO_LONG : POA_OK;
    if (rc == POA_OK)
        rc = poa_unhex(json_string_value(param[0]), request, n);
    if (rc == POA_OK)
        rc = b->packs(b->ctx, poa_slice(request, n), poa_rpc_u64(param[1], 0), (uint32_t)limit,
                      add_pack, items, &count, &next);
    if (rc != POA_OK) {
        json_decref(items);
        poa_rpc_fail(call, rc);
        return;
    }
    poa_rpc_result(call, json_pack("{s:o, s:o, s:o}", "count", poa_json_u64(count), "items", items,
                                   "next", next < count ? poa_json_u64(next) : json_null()));
}

void rpc_presence_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t key[32];
    uint64_t since = 0;
    bool shared = false;
    poa_rpc_hash(param[0], key);
    int rc = b->presence ? b->presence(b->ctx, key, &since, &shared) : POA_E_UNSUPPORTED;
    bool here = rc == POA_OK;
    rpc_answer(call, rc == POA_E_NOT_FOUND ? POA_OK : rc,
               json_pack("{s:o, s:b, s:o, s:b}", "device", rpc_hash(key), "connected", (int)here,
                         "since_ms", here ? poa_json_u64(since) : json_null(), "shared",
                         (int)shared));
}
