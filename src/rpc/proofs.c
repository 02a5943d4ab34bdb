/* poa_proof_get: answers that nobody has to believe. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "methods.h"
#include "proofs.h"

const char *poa_rpc_table_name(enum poa_state_table table)
{
    switch (table) {
#define NAME_ROW(name, number, record, key)                                                        \
    case POA_STATE_##name:                                                                         \
        return #name;
        POA_STATE_TABLES(NAME_ROW)
#undef NAME_ROW
    }
    return NULL;
}

bool poa_rpc_table_find(const char *text, enum poa_state_table *out)
{
#define FIND_ROW(name, number, record, key)                                                        \
    if (strcasecmp(text, #name) == 0) {                                                            \
        *out = POA_STATE_##name;                                                                   \
        return true;                                                                               \
    }
    POA_STATE_TABLES(FIND_ROW)
#undef FIND_ROW
    return false;
}

json_t *poa_json_state_entry(enum poa_state_table table, struct poa_slice value)
{
    union {
#define MEMBER_ROW(name, number, record, key) struct poa_##record name##_;
        POA_STATE_TABLES(MEMBER_ROW)
#undef MEMBER_ROW
    } decoded;
    const struct poa_record *record = NULL;
    switch (table) {
#define RECORD_ROW(name, number, rec, key)                                                         \
    case POA_STATE_##name:                                                                         \
        record = &poa_##rec##_record;                                                              \
        break;
        POA_STATE_TABLES(RECORD_ROW)
#undef RECORD_ROW
    }
    if (!record || !value.n || poa_record_decode(record, value, &decoded))
        return json_null();
    return poa_json_record(record, &decoded);
}

/* Hex digits of the headers after the first one. */
static json_t *links_json(const struct poa_run *run)
{
    struct poa_list_iter it = poa_list_begin(&run->headers);
    struct poa_raw_header raw;
    char *hex = malloc(2 * run->headers.bytes.n + 1);
    size_t n = 0;
    for (size_t i = 0; hex && poa_raw_header_next(&it, &raw); i++) {
        if (i) {
            poa_hex(raw.header.p, raw.header.n, hex + n);
            n += 2 * raw.header.n;
        }
    }
    json_t *v = hex ? json_stringn(hex, n) : NULL;
    free(hex);
    return v;
}

static json_t *proof_json(const struct poa_state_proof *p)
{
    struct poa_run run;
    struct poa_raw_header first;
    struct poa_header h;
    if (poa_run_decode(p->run, &run))
        return NULL;
    struct poa_list_iter it = poa_list_begin(&run.headers);
    if (!poa_raw_header_next(&it, &first) || poa_header_decode(first.header, &h))
        return NULL;
    enum poa_state_table table = (enum poa_state_table)p->table;
    return json_pack("{s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "table",
                     poa_rpc_table_name(table), "key", poa_json_hex(p->key.p, p->key.n), "present",
                     p->value.n > 0, "entry", poa_json_state_entry(table, p->value), "value",
                     poa_json_hex(p->value.p, p->value.n), "chain", poa_json_hex(h.chain, 32),
                     "height", poa_json_u64(h.height - 1), "epoch", (json_int_t)h.epoch, "proof",
                     poa_json_hex(p->proof.p, p->proof.n), "header",
                     poa_json_hex(first.header.p, first.header.n), "links", links_json(&run),
                     "certificate", poa_json_hex(run.cert.p, run.cert.n), "next",
                     poa_json_hex(run.next.p, run.next.n));
}

static void proved(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    struct poa_state_proof p;
    (void)id32;
    if (!code)
        code = poa_state_proof_decode(poa_rpc_bytes(call), &p);
    if (code)
        poa_rpc_fail(call, code);
    else
        poa_rpc_result(call, proof_json(&p));
}

/* What was asked for, as the answer without a proof names it. */
static int name_key(json_t *v, const struct poa_state_proof *p)
{
    uint8_t key[32];
    if (p->table == POA_STATE_ACCOUNT && p->key.n == sizeof key) {
        memcpy(key, p->key.p, sizeof key);
        return json_object_set_new(v, "address", poa_json_address(key));
    }
    if (p->table == POA_STATE_MAKER && p->key.n == 4)
        return json_object_set_new(v, "maker", json_integer(poa_le32(p->key.p)));
    if (p->table == POA_STATE_EPOCH && p->key.n == 4)
        return json_object_set_new(v, "epoch", json_integer(poa_le32(p->key.p)));
    if (p->table == POA_STATE_SLOT && p->key.n == 8)
        return json_object_set_new(v, "slot", poa_json_u64(poa_le64(p->key.p)));
    const char *name = p->table == POA_STATE_DEVICE    ? "device"
                       : p->table == POA_STATE_WITNESS ? "key"
                                                       : "root";
    return json_object_set_new(v, name, poa_json_hex(p->key.p, p->key.n));
}

static void proven(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    struct poa_state_proof p;
    (void)id32;
    if (!code)
        code = poa_state_proof_decode(poa_rpc_bytes(call), &p);
    if (code) {
        poa_rpc_fail(call, code);
        return;
    }
    json_t *proof = proof_json(&p);
    json_t *v = json_copy(json_object_get(proof, "entry"));
    struct poa_st_account nothing = {.balance = 0};
    if (!json_is_object(v)) { /* every address is an account with nothing in it */
        json_decref(v);
        v = p.table == POA_STATE_ACCOUNT ? poa_json_record(&poa_st_account_record, &nothing)
                                         : json_object();
    }
    if (!v || !proof || name_key(v, &p) || json_object_set(v, "proof", proof)) {
        json_decref(v);
        v = NULL; /* no memory */
    }
    json_decref(proof);
    poa_rpc_result(call, v);
}

bool poa_rpc_proven(void *ctx, const json_t *wanted, enum poa_state_table table, const void *key,
                    size_t n, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    if (!json_is_true(wanted))
        return false;
    if (b->prove == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return true;
    }
    poa_rpc_defer(call, proven);
    b->prove(b->ctx, table, poa_slice(key, n), call);
    return true;
}

void rpc_proof_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    enum poa_state_table table;
    uint8_t key[255];
    const char *text = param[1] ? json_string_value(param[1]) : "";
    size_t n = strlen(text) / 2;
    if (b->prove == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    if (!poa_rpc_table_find(json_string_value(param[0]), &table)) {
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "no table of that name");
        return;
    }
    if (n > sizeof key || poa_unhex(text, key, n)) {
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "a key has at most 255 bytes");
        return;
    }
    poa_rpc_defer(call, proved);
    b->prove(b->ctx, table, poa_slice(key, n), call);
}
