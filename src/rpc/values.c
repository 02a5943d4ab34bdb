/* What the state says of parameters and values, as JSON. */
#include <string.h>

#include "poa_rpc_json.h"

#define VALUE_BYTES_MAX 8192

/* Record of (TABLE, KEY); OUT's slices point into BUFFER. */
static int read_state(const struct poa_rpc_node *node, enum poa_state_table table, const void *key,
                      size_t key_n, uint8_t buffer[VALUE_BYTES_MAX], const struct poa_record *rec,
                      void *out)
{
    struct poa_writer w = poa_writer_over(buffer, VALUE_BYTES_MAX);
    int rc = node->backend->read(node->backend->ctx, table, key, key_n, &w);
    if (rc == POA_OK && w.overflow)
        rc = POA_E_BUFFER;
    return rc != POA_OK ? rc : poa_record_decode(rec, poa_written(&w), out);
}

/* --- parameters -------------------------------------------------------------------- */

int poa_rpc_params(const struct poa_rpc_node *node, uint32_t epoch, struct poa_genesis *out)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    struct poa_st_params st;
    int rc = poa_genesis_decode(node->genesis, out);
    if (rc != POA_OK)
        return rc;
    rc = read_state(node, POA_STATE_PARAMS, "", 0, buffer, &poa_st_params_record, &st);
    if (rc == POA_OK)
        poa_params_apply(out, &st, epoch);
    return rc == POA_E_NOT_FOUND ? POA_OK : rc;
}

static int add(json_t *list, const char *name, unsigned number, const char *unit, uint64_t min,
               uint64_t max, const char *text, json_t *now, json_t *next)
{
    return json_array_append_new(
        list, json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:s}", "name", name, "number",
                        (json_int_t)number, "unit", unit, "value", now, "next", next, "min",
                        poa_json_u64(min), "max", poa_json_u64(max), "text", text));
}

#define JSON_U16(v) poa_json_u64(v)
#define JSON_U64(v) poa_json_u64(v)
#define JSON_FIX(v) poa_json_address(v)

int poa_rpc_params_json(const struct poa_rpc_node *node, json_t **out)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    struct poa_st_global global;
    struct poa_genesis now, next, first;
    *out = NULL;
    int rc = read_state(node, POA_STATE_GLOBAL, "", 0, buffer, &poa_st_global_record, &global);
    uint32_t epoch = rc != POA_OK ? 0 : global.epoch + (global.kind == POA_BLOCK_CLOSING);
    if (rc == POA_OK)
        rc = poa_genesis_decode(node->genesis, &first);
    if (rc == POA_OK)
        rc = poa_rpc_params(node, epoch, &now);
    if (rc == POA_OK)
        rc = poa_rpc_params(node, epoch + 1, &next);
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
                 JSON_##kind(now.field), JSON_##kind(next.field));
    POA_PARAMS(ROW)
#undef ROW
    if (rc != 0) {
        json_decref(list);
        return POA_E_NO_MEMORY;
    }
    *out = json_pack("{s:I, s:o}", "epoch", (json_int_t)epoch, "parameters", list);
    return *out != NULL ? POA_OK : POA_E_NO_MEMORY;
}
