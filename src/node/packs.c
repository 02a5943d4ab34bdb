/* Usage packs for those who may read them. RPC thread. */
#include <string.h>

#include "node.h"
#include "poa_access.h"

static int get(struct poa_node *n, enum poa_blob_kind kind, const uint8_t key32[32],
               struct poa_store_value *v)
{
    return poa_store_get_blob(n->store, (uint8_t)kind, key32, v);
}

static int read_device(struct poa_node *n, const uint8_t key32[32], struct poa_st_device *out,
                       uint8_t buffer[1024])
{
    struct poa_slice value;
    struct poa_writer w = poa_writer_over(buffer, 1024);
    pthread_rwlock_rdlock(&n->state_lock);
    int rc = poa_ledger_get(n->ledger, POA_STATE_BASE, POA_STATE_DEVICE, key32, 32, &value);
    if (!rc)
        poa_write(&w, value.p, value.n);
    pthread_rwlock_unlock(&n->state_lock);
    if (rc == POA_E_NOT_FOUND)
        return POA_E_DEVICE_UNKNOWN;
    return rc ? rc : w.overflow ? POA_E_BUFFER : poa_st_device_decode(poa_written(&w), out);
}

/* Number I of DEVICE; NOT_FOUND: its time here is over, or it is not meant. */
static int visit_one(struct poa_node *n, const uint8_t device32[32], uint64_t i, uint64_t from_ms,
                     uint64_t to_ms, int (*visit)(void *v, const struct poa_rpc_pack *pack),
                     void *v)
{
    struct poa_store_value index = {0}, pack = {0}, receipt = {0};
    struct poa_pack_entry e;
    uint8_t key[32];
    poa_gateway_index_key(device32, i, key);
    int rc = get(n, POA_BLOB_INDEX, key, &index);
    if (!rc)
        rc = poa_pack_entry_decode(index.bytes, &e);
    if (!rc && (e.from_ms < from_ms || e.to_ms > to_ms))
        rc = POA_E_NOT_FOUND;
    if (!rc)
        rc = get(n, POA_BLOB_PACK, e.id, &pack);
    if (!rc) {
        struct poa_rpc_pack p = {.number = i, .pack = pack.bytes};
        memcpy(p.id, e.id, 32);
        rc = get(n, POA_BLOB_RECEIPT, e.id, &receipt);
        if (!rc)
            p.receipt = receipt.bytes;
        rc = rc && rc != POA_E_NOT_FOUND ? rc : visit(v, &p);
    }
    poa_store_value_free(&index);
    poa_store_value_free(&pack);
    poa_store_value_free(&receipt);
    return rc;
}

/* Numbers looked at in one call: most of an old device's may have expired. */
#define LOOK_MAX 4096

int node_rpc_presence(void *ctx, const uint8_t device32[32], uint64_t *since_ms, bool *shared)
{
    struct poa_node *n = ctx;
    struct poa_gateway_presence p;
    if (!n->gateway)
        return POA_E_NO_GATEWAY;
    if (!poa_gateway_presence(n->gateway, device32, &p))
        return POA_E_NOT_FOUND;
    *since_ms = p.since_ms;
    *shared = p.shared;
    return POA_OK;
}

int node_rpc_packs(void *ctx, struct poa_slice request, uint64_t from, uint32_t max,
                   int (*visit)(void *v, const struct poa_rpc_pack *pack), void *v, uint64_t *count,
                   uint64_t *next)
{
    struct poa_node *n = ctx;
    struct poa_st_device device;
    struct poa_store_value usage = {0};
    struct poa_pack_usage u = {0};
    uint8_t key[32], buffer[1024];
    uint64_t from_ms, to_ms;
    if (!n->gateway)
        return POA_E_NO_GATEWAY;
    int rc = poa_data_request_device(request, key);
    if (!rc)
        rc = read_device(n, key, &device, buffer);
    if (!rc)
        rc = poa_data_request_check(n->chain, n->key, poa_clock_wall_ms(n->clock), &device, request,
                                    &from_ms, &to_ms);
    if (rc)
        return rc;
    rc = get(n, POA_BLOB_USAGE, key, &usage);
    if (!rc)
        rc = poa_pack_usage_decode(usage.bytes, &u);
    poa_store_value_free(&usage);
    if (rc && rc != POA_E_NOT_FOUND)
        return rc;
    *count = u.packs;
    uint32_t given = 0;
    for (uint32_t k = 0; from < u.packs && given < max && k < LOOK_MAX; k++, from++) {
        rc = visit_one(n, key, from, from_ms, to_ms, visit, v);
        if (rc && rc != POA_E_NOT_FOUND)
            return rc;
        given += !rc;
    }
    *next = from;
    return POA_OK;
}
