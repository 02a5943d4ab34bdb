/* What the state says of parameters and values, as JSON. */
#include <string.h>

#include "methods.h"

int poa_rpc_genesis(const struct poa_rpc_node *node, struct poa_genesis *out)
{
    if (node->parsed == NULL)
        return poa_genesis_decode(node->genesis, out);
    *out = *node->parsed;
    return POA_OK;
}

/* --- parameters -------------------------------------------------------------------- */

int poa_rpc_params(const struct poa_rpc_node *node, uint32_t epoch, struct poa_genesis *out)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_params st;
    int rc = poa_rpc_genesis(node, out);
    if (rc != POA_OK)
        return rc;
    rc = rpc_read(node, POA_STATE_PARAMS, "", 0, buffer, &poa_st_params_record, &st);
    if (rc == POA_OK)
        poa_params_apply(out, &st, epoch);
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

static int add(json_t *list, const char *name, unsigned number, const char *unit, uint64_t min,
               uint64_t max, const char *text, json_t *before, json_t *now, json_t *next)
{
    return json_array_append_new(
        list, json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "name", name, "number",
                        (json_int_t)number, "unit", unit, "before", before, "value", now, "next",
                        next, "min", poa_json_u64(min), "max", poa_json_u64(max), "text", text));
}

#define JSON_U16(v) poa_json_u64(v)
#define JSON_U64(v) poa_json_u64(v)
#define JSON_FIX(v) poa_json_address(v)

int poa_rpc_params_json(const struct poa_rpc_node *node, json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_global global;
    struct poa_st_params last; /* change, which may be still to come */
    struct poa_genesis before, now, next, first;
    uint32_t from = 0;
    *out = NULL;
    int rc = rpc_read(node, POA_STATE_GLOBAL, "", 0, buffer, &poa_st_global_record, &global);
    uint32_t epoch = rc != POA_OK ? 0 : global.epoch + (global.kind == POA_BLOCK_CLOSING);
    if (rc == POA_OK)
        rc = poa_rpc_genesis(node, &first);
    if (rc == POA_OK)
        rc = poa_rpc_params(node, epoch, &now);
    if (rc == POA_OK)
        rc = poa_rpc_params(node, epoch + 1, &next);
    if (rc == POA_OK) {
        rc = rpc_read(node, POA_STATE_PARAMS, "", 0, buffer, &poa_st_params_record, &last);
        from = rc == POA_OK ? last.from : 0;
        rc = rc == POA_E_NOT_FOUND ? POA_OK : rc;
    }
    if (rc == POA_OK)
        rc = poa_rpc_params(node, from ? from - 1 : 0, &before);
    if (rc != POA_OK)
        return rc;
    json_t *list = json_array();
    if (list == NULL)
        return POA_E_NO_MEMORY;
        /* The subsidy's true maximum is that of genesis. */
#define ROW(name, number, kind, field, min, max, unit, text)                                       \
    if (rc == 0)                                                                                   \
        rc = add(list, #name, number, #unit, min,                                                  \
                 (number) == POA_PARAM_SUBSIDY ? first.subsidy : (max), text,                      \
                 JSON_##kind(before.field), JSON_##kind(now.field), JSON_##kind(next.field));
    POA_PARAMS(ROW)
#undef ROW
    if (rc != 0) {
        json_decref(list);
        return POA_E_NO_MEMORY;
    }
    *out = json_pack("{s:I, s:I, s:o}", "epoch", (json_int_t)epoch, "changed", (json_int_t)from,
                     "parameters", list);
    return *out != NULL ? POA_OK : POA_E_NO_MEMORY;
}

/* --- values ------------------------------------------------------------------------- */

int poa_rpc_asset_json(const struct poa_rpc_node *node, uint32_t asset, json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX], key[4];
    struct poa_st_asset st;
    poa_put_le32(key, asset);
    int rc = rpc_read(node, POA_STATE_ASSET, key, sizeof key, buffer, &poa_st_asset_record, &st);
    if (rc == POA_E_NOT_FOUND)
        rc = POA_E_TX_ASSET;
    *out = rc == POA_OK ? poa_json_record(&poa_st_asset_record, &st) : NULL;
    if (*out != NULL)
        json_object_set_new(*out, "asset", json_integer(asset));
    return rc;
}

int poa_rpc_balance(const struct poa_rpc_node *node, uint32_t asset, const uint8_t address32[32],
                    uint64_t *out)
{
    uint8_t buffer[RPC_VALUE_MAX], key[36];
    struct poa_st_balance st = {0};
    poa_put_le32(key, asset);
    memcpy(key + 4, address32, 32);
    int rc =
        rpc_read(node, POA_STATE_BALANCE, key, sizeof key, buffer, &poa_st_balance_record, &st);
    *out = rc == POA_OK ? st.balance : 0;
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

int poa_rpc_escrow_json(const struct poa_rpc_node *node, const uint8_t id32[32], json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX], sale_bytes[RPC_VALUE_MAX];
    struct poa_st_escrow st;
    struct poa_st_sale sale;
    *out = NULL;
    int rc = rpc_read(node, POA_STATE_ESCROW, id32, 32, buffer, &poa_st_escrow_record, &st);
    if (rc != POA_OK)
        return rc == POA_E_NOT_FOUND ? POA_E_TX_ESCROW : rc;
    *out = poa_json_record(&poa_st_escrow_record, &st);
    if (*out == NULL)
        return POA_E_NO_MEMORY;
    json_object_del(*out, "prev"); /* how the state keeps its lists says nothing to anybody */
    json_object_del(*out, "next");
    poa_json_terms(*out);
    json_object_set_new(*out, "id", poa_json_hex(id32, 32));
    if (st.sale &&
        rpc_read(node, POA_STATE_SALE, id32, 32, sale_bytes, &poa_st_sale_record, &sale) == POA_OK)
        json_object_set_new(*out, "sale", poa_json_record(&poa_st_sale_record, &sale));
    else
        json_object_set_new(*out, "sale", json_null());
    return POA_OK;
}

int poa_rpc_offer_json(const struct poa_rpc_node *node, const uint8_t id32[32], json_t **out)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_offer st;
    int rc = rpc_read(node, POA_STATE_OFFER, id32, 32, buffer, &poa_st_offer_record, &st);
    if (rc == POA_E_NOT_FOUND)
        rc = POA_E_TX_OFFER;
    *out = rc == POA_OK ? poa_json_record(&poa_st_offer_record, &st) : NULL;
    if (*out != NULL)
        json_object_set_new(*out, "id", poa_json_hex(id32, 32));
    return rc;
}
