/* Transactions and blocks: what the chain has, and what is sent to it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "grades.h"
#include "methods.h"

/* --- transactions ------------------------------------------------------------------------ */

static void sent(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    rpc_answer(call, code, id32 != NULL ? json_pack("{s:o}", "id", rpc_hash(id32)) : json_object());
}

void rpc_tx_send(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    size_t n = json_string_length(param[0]) / 2;
    if (b->submit == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    if (n > POA_TX_BYTES_MAX) {
        poa_rpc_fail(call, POA_E_TX_MALFORMED);
        return;
    }
    uint8_t small[1024];
    uint8_t *raw = n <= sizeof small ? small : malloc(n);
    if (raw == NULL || poa_unhex(json_string_value(param[0]), raw, n) != POA_OK) {
        poa_rpc_fail(call, raw == NULL ? POA_E_NO_MEMORY : POA_E_TX_MALFORMED);
    } else {
        /* Before the backend sees the call: it may end it in another thread at once. */
        poa_rpc_defer(call, sent);
        b->submit(b->ctx, poa_slice(raw, n), call);
    }
    if (raw != small)
        free(raw);
}

void rpc_faucet(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    if (b->faucet == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    uint8_t address[32];
    uint64_t amount = poa_rpc_u64(param[1], 0);
    if (b->faucet_max > 0 && amount > b->faucet_max) {
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS,
                       "amount: the faucet of this node pays at most %" PRIu64 " at once",
                       b->faucet_max);
        return;
    }
    poa_rpc_address(param[0], address);
    poa_rpc_defer(call, sent);
    b->faucet(b->ctx, address, amount, call);
}

/* What became of a transaction: code 0 and OK, or the error's number and name. */
static json_t *code_json(json_t *object, int code)
{
    object = rpc_with(object, "code", json_integer(-code));
    object = rpc_with(object, "result", json_string(code == POA_OK ? "OK" : poa_error_name(code)));
    return code == POA_OK ? object : rpc_with(object, "why", json_string(poa_error_text(code)));
}

void rpc_tx_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    if (b->tx == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    uint8_t id[32];
    poa_rpc_hash(param[0], id);
    struct poa_rpc_tx tx;
    memset(&tx, 0, sizeof tx);
    int rc = b->tx(b->ctx, id, &tx);
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    static const char *const states[] = {[POA_RPC_TX_PENDING] = "pending",
                                         [POA_RPC_TX_FINAL] = "final",
                                         [POA_RPC_TX_DROPPED] = "dropped"};
    bool final = tx.state == POA_RPC_TX_FINAL;
    json_t *v = json_pack("{s:o, s:s}", "id", rpc_hash(id), "state", states[tx.state]);
    if (final) {
        v = rpc_with(v, "height", poa_json_u64(tx.height));
        v = rpc_with(v, "index", json_integer(tx.index));
    }
    if (tx.state != POA_RPC_TX_PENDING)
        v = code_json(v, tx.code);
    if (tx.raw.n > 0) {
        json_t *decoded = poa_json_tx(tx.raw);
        v = rpc_with(v, "tx", decoded ? decoded : json_null());
        v = rpc_with(v, "raw", poa_json_hex(tx.raw.p, tx.raw.n));
    }
    if (b->tx_free != NULL)
        b->tx_free(b->ctx, &tx);
    if (final && tx.code == POA_OK && v != NULL)
        rc = poa_rpc_add_grade(ctx, id, tx.height, v);
    rpc_answer(call, rc, v);
}

/* --- blocks ---------------------------------------------------------------------------------- */

static json_t *block_json(const struct poa_rpc_block *block)
{
    struct poa_header header;
    if (poa_header_decode(block->header, &header) != POA_OK)
        return NULL;
    json_t *txs = json_array();
    for (size_t i = 0; txs != NULL && i < block->txs; i++) {
        json_t *tx =
            code_json(json_pack("{s:o}", "id", rpc_hash(block->tx[i].id)), block->tx[i].code);
        if (json_array_append_new(txs, tx) != 0) {
            json_decref(txs);
            return NULL;
        }
    }
    json_t *v = json_pack("{s:o, s:o, s:o, s:o}", "hash", rpc_hash(block->hash), "header",
                          poa_json_record(&poa_header_record, &header), "raw_header",
                          poa_json_hex(block->header.p, block->header.n), "transactions", txs);
    struct poa_body body;
    if (poa_body_decode(block->body, &body) == POA_OK)
        v = rpc_with(v, "body", poa_json_record(&poa_body_record, &body));
    struct poa_cert cert;
    if (block->cert.n > 0 && poa_cert_decode(block->cert, &cert) == POA_OK)
        v = rpc_with(rpc_with(v, "certificate", poa_json_record(&poa_cert_record, &cert)),
                     "raw_certificate", poa_json_hex(block->cert.p, block->cert.n));
    return v;
}

void rpc_block_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    if (b->block == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    if (param[0] != NULL && param[1] != NULL) {
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "give height or hash, not both");
        return;
    }
    uint8_t hash[32];
    uint64_t height;
    if (param[1] != NULL)
        poa_rpc_hash(param[1], hash);
    if (param[0] == NULL && param[1] == NULL) {
        struct poa_rpc_status s;
        memset(&s, 0, sizeof s);
        b->status(b->ctx, &s);
        height = s.core.height;
    } else {
        height = poa_rpc_u64(param[0], 0);
    }
    struct poa_rpc_block block;
    memset(&block, 0, sizeof block);
    int rc = b->block(b->ctx, height, param[1] != NULL ? hash : NULL, &block);
    uint64_t first =
        rc == POA_E_NOT_FOUND && param[1] == NULL && b->first != NULL ? b->first(b->ctx) : 0;
    if (height > 0 && height < first) {
        poa_rpc_fail_why(call, rc,
                         "blocks below %" PRIu64 " are not kept here: deleted (prune), or the node "
                         "began with a snapshot; ask one that keeps all",
                         first);
        return;
    }
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    json_t *v = block_json(&block);
    if (b->block_free != NULL)
        b->block_free(b->ctx, &block);
    poa_rpc_result(call, v);
}

/* --- runs of headers ---------------------------------------------------------------------------
 */

static void answer_run(struct poa_rpc_call *call, int rc, uint8_t *bytes, size_t n, uint64_t last)
{
    rpc_answer(call, rc,
               rc == POA_OK ? json_pack("{s:o, s:o}", "last", poa_json_u64(last), "run",
                                        poa_json_hex(bytes, n))
                            : NULL);
    free(bytes);
}

void rpc_chain_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint64_t last = 0;
    int rc = b->run != NULL ? b->run(b->ctx, poa_rpc_u64(param[0], 0), &bytes, &n, &last)
                            : POA_E_UNSUPPORTED;
    answer_run(call, rc, bytes, n, last);
}

void rpc_handover_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint64_t last = 0;
    int rc = b->hand_over != NULL
                 ? b->hand_over(b->ctx, (uint32_t)poa_rpc_u64(param[0], 0), &bytes, &n, &last)
                 : POA_E_UNSUPPORTED;
    answer_run(call, rc, bytes, n, last);
}
