/* Operations and transactions as JSON, and operations back. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

/* Every record of an operation. */
union any_op {
#define ROW(name, number, record, text) struct poa_##record name;
    POA_OPS(ROW)
#undef ROW
};

static const struct poa_record *op_record(uint16_t kind, const char **name)
{
    switch (kind) {
#define ROW(name_, number, record, text)                                                           \
    case number:                                                                                   \
        *name = #name_;                                                                            \
        return &poa_##record##_record;
        POA_OPS(ROW)
#undef ROW
    }
    return NULL;
}

static int op_number(const char *name, uint16_t *kind)
{
#define ROW(name_, number, record, text)                                                           \
    if (strcmp(name, #name_) == 0) {                                                               \
        *kind = number;                                                                            \
        return POA_OK;                                                                             \
    }
    POA_OPS(ROW)
#undef ROW
    return POA_E_NOT_FOUND;
}

/* Terms as an object instead of hex, when there are any. */
int poa_json_terms(json_t *object)
{
    const char *hex = json_string_value(json_object_get(object, "terms"));
    uint8_t bytes[255];
    struct poa_terms terms;
    size_t n = hex != NULL ? strlen(hex) / 2 : 0;
    if (n == 0 || n > sizeof bytes || poa_unhex(hex, bytes, n) != POA_OK ||
        poa_terms_decode(poa_slice(bytes, n), &terms) != POA_OK)
        return 0;
    return json_object_set_new(object, "terms", poa_json_record(&poa_terms_record, &terms));
}

/* And back. */
static int read_terms(json_t *fields, struct poa_why *why)
{
    const json_t *v = json_object_get(fields, "terms");
    uint8_t scratch[255], bytes[255];
    struct poa_writer s = poa_writer_over(scratch, sizeof scratch);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_terms terms;
    if (!json_is_object(v))
        return POA_OK;
    int rc = poa_json_to_record(&poa_terms_record, v, &s, &terms, why);
    if (rc == POA_OK)
        rc = poa_terms_encode(&w, &terms);
    if (rc == POA_OK && json_object_set_new(fields, "terms", poa_json_hex(w.p, w.n)) != 0)
        rc = POA_E_NO_MEMORY;
    return rc;
}

static json_t *op_json(const struct poa_op *op)
{
    const char *name = NULL;
    const struct poa_record *rec = op_record(op->kind, &name);
    union any_op body;
    json_t *v = NULL;
    if (rec != NULL && poa_record_decode(rec, op->body, &body) == POA_OK)
        v = poa_json_record(rec, &body);
    else
        v = json_pack("{s:o}", "body", poa_json_hex(op->body.p, op->body.n));
    if (v != NULL &&
        (poa_json_terms(v) != 0 || json_object_set_new(v, "kind", json_integer(op->kind)) != 0 ||
         json_object_set_new(v, "operation", json_string(name ? name : "UNKNOWN")))) {
        json_decref(v);
        v = NULL;
    }
    return v;
}

json_t *poa_json_tx(struct poa_slice raw)
{
    struct poa_tx tx;
    if (poa_tx_decode(raw, &tx) != POA_OK)
        return NULL;
    json_t *ops = json_array();
    struct poa_list_iter it = poa_list_begin(&tx.ops);
    struct poa_op op;
    while (ops != NULL && poa_op_next(&it, &op) == 1)
        if (json_array_append_new(ops, op_json(&op)) != 0) {
            json_decref(ops);
            return NULL;
        }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "chain", (json_int_t)tx.chain, "sender",
                     poa_json_address(tx.sender), "nonce", poa_json_u64(tx.nonce), "fee",
                     poa_json_u64(tx.fee), "valid_until", poa_json_u64(tx.valid_until), "ops", ops,
                     "auth", poa_json_hex(tx.auth.p, tx.auth.n));
}

int poa_json_to_op(const json_t *from, struct poa_writer *out, struct poa_why *why)
{
    const char *name = json_string_value(json_object_get(from, "operation"));
    uint16_t kind = 0;
    if (name == NULL)
        return poa_because(why, POA_E_TEXT, "an operation is an object with \"operation\": NAME");
    if (op_number(name, &kind) != POA_OK)
        return poa_because(why, POA_E_TX_OP_UNKNOWN, "%.40s: no such operation", name);
    json_t *fields = json_copy((json_t *)(uintptr_t)from);
    if (fields == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    json_object_del(fields, "operation");
    json_object_del(fields, "kind");
    const struct poa_record *rec = op_record(kind, &name);
    uint8_t scratch[4096], body[1024];
    struct poa_writer s = poa_writer_over(scratch, sizeof scratch);
    struct poa_writer w = poa_writer_over(body, sizeof body);
    union any_op value;
    memset(&value, 0, sizeof value);
    int rc = read_terms(fields, why);
    if (rc == POA_OK)
        rc = poa_json_to_record(rec, fields, &s, &value, why);
    json_decref(fields);
    if (rc == POA_OK) {
        rc = poa_record_encode(rec, &w, &value);
        struct poa_op op = {.kind = kind, .body = poa_written(&w)};
        if (rc == POA_OK)
            rc = poa_op_encode(out, &op);
        if (rc != POA_OK)
            poa_because(why, rc, "%s: %s", name, poa_error_text(rc));
    }
    return rc;
}
