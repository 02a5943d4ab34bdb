/* The node's JSON-RPC methods. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "grades.h"
#include "proofs.h"

/* One row per method: X(name, handler, right, keep, parameters, help). Reads answer from the
 * finalized state. */
#define POA_RPC_METHODS(X)                                                                         \
    X("poa_status", status, READ, BRIEF, "",                                                       \
      "Tip, roles, committee, counters and readiness of this node")                                \
    X("poa_tx_send", tx_send, SUBMIT, FRESH, "tx:bytes",                                           \
      "Submit a signed transaction; answers its id")                                               \
    X("poa_tx_get", tx_get, READ, FRESH, "id:hash",                                                \
      "State of a transaction: pending, or final with its result, grade, and what that lacks")     \
    X("poa_account_get", account_get, READ, STATE, "address:address asset:u32? proof:bool?",       \
      "Balance and nonce of an account, what of it is held, what it may send without, and "        \
      "its balance of another asset")                                                              \
    X("poa_asset_get", asset_get, READ, STATE, "asset:u32 proof:bool?",                            \
      "An asset: issuer, supply and limit")                                                        \
    X("poa_escrow_get", escrow_get, READ, STATE, "escrow:hash proof:bool?",                        \
      "An open escrow or sale")                                                                    \
    X("poa_offer_get", offer_get, READ, STATE, "offer:hash proof:bool?", "Data for sale")          \
    X("poa_block_get", block_get, READ, BRIEF, "height:u64? hash:hash?",                           \
      "A finalized block, the latest one by default")                                              \
    X("poa_device_get", device_get, READ, STATE, "device:hash proof:bool?",                        \
      "A registered device: owner, seals, earnings")                                               \
    X("poa_devices_list", devices_list, READ, STATE, "from:u32? limit:u32?",                       \
      "Registered devices in order of registration")                                               \
    X("poa_witness_get", witness_get, READ, STATE, "key:hash proof:bool?", "An admitted witness")  \
    X("poa_witnesses_list", witnesses_list, READ, STATE, "from:u32? limit:u32?",                   \
      "Admitted witnesses in order of admission")                                                  \
    X("poa_maker_get", maker_get, READ, STATE, "maker:u32 proof:bool?",                            \
      "An admitted manufacturer")                                                                  \
    X("poa_slot_get", slot_get, READ, STATE, "slot:u64? proof:bool?",                              \
      "Sealing block, assigned devices and miner of a slot; by default the last one with a block") \
    X("poa_epoch_get", epoch_get, READ, STATE, "epoch:u32? proof:bool?",                           \
      "Seed, committee and lottery of an epoch")                                                   \
    X("poa_chain_get", chain_get, READ, BRIEF, "after:u64",                                        \
      "Final headers after a height, with the certificate that proves them, as an encoded run")    \
    X("poa_handover_get", handover_get, READ, BRIEF, "epoch:u32",                                  \
      "The closing header of an epoch, its certificate and the next committee, as an encoded run") \
    X("poa_anchor_get", anchor_get, READ, STATE, "root:hash proof:bool?",                          \
      "An anchor of usage data by its Merkle root")                                                \
    X("poa_proof_get", proof_get, READ, FRESH, "table:text key:bytes?",                            \
      "An entry of the state, or that there is none, with the proof down from a certificate")      \
    X("poa_packs_get", packs_get, READ, FRESH, "request:bytes from:u64? limit:u32?",               \
      "Usage packs that this gateway keeps of a device, with receipts, for a signed request")      \
    X("poa_presence_get", presence_get, READ, FRESH, "device:hash",                                \
      "Whether a device is connected to this gateway, and since when")                             \
    X("poa_peers_list", peers_list, OPERATE, FRESH, "",                                            \
      "Peers on the mesh, strangers with a session, and who is banned")                            \
    X("poa_latency_get", latency_get, READ, FRESH, "",                                             \
      "Histogram from acceptance over RPC to finality, in microseconds")                           \
    X("poa_supply_audit", supply_audit, OPERATE, FRESH, "",                                        \
      "Whether all balances add up to the genesis supply plus what was issued less burned")        \
    X("poa_faucet", faucet, SUBMIT, FRESH, "address:address amount:u64?",                          \
      "Test networks: send coins to an address")                                                   \
    X("poa_params_get", params_get, READ, STATE, "",                                               \
      "Parameters that governance may change: values now and from the next epoch on, with bounds") \
    X("poa_genesis_get", genesis_get, READ, STATE, "",                                             \
      "Genesis record, encoded and readable, and the chain id")                                    \
    X("rpc.discover", discover, READ, STATE, "", "This table as an OpenRPC document")

#define ROW(name, handler, right, keep, params, help)                                              \
    static void handler(void *ctx, json_t *const *param, struct poa_rpc_call *call);
POA_RPC_METHODS(ROW)
#undef ROW

static const struct poa_rpc_method table[] = {
#define ROW(name, handler, right, keep, params, help)                                              \
    {name, params, handler, help, POA_RPC_##right, POA_RPC_##keep},
    POA_RPC_METHODS(ROW)
#undef ROW
};
const struct poa_rpc_methods poa_rpc_node_methods = {.method = table,
                                                     .n = sizeof table / sizeof table[0]};

/* --- help for handlers ------------------------------------------------------------- */

#define VALUE_BYTES_MAX 8192 /* any state value; a committee is the longest */

/* Record of (TABLE, KEY); OUT's slices point into BUFFER. */
static int read_state(const struct poa_rpc_backend *b, enum poa_state_table table_, const void *key,
                      size_t key_n, uint8_t buffer[VALUE_BYTES_MAX], const struct poa_record *rec,
                      void *out)
{
    struct poa_writer w = poa_writer_over(buffer, VALUE_BYTES_MAX);
    int rc = b->read(b->ctx, table_, key, key_n, &w);
    if (rc == POA_OK && w.overflow)
        rc = POA_E_BUFFER;
    return rc != POA_OK ? rc : poa_record_decode(rec, poa_written(&w), out);
}
#define READ(b, TABLE, key, key_n, buffer, record, out)                                            \
    read_state(b, POA_STATE_##TABLE, key, key_n, buffer, &poa_##record##_record, out)

static int read_u32(const struct poa_rpc_backend *b, enum poa_state_table table_, uint32_t key,
                    uint8_t *buffer, const struct poa_record *rec, void *out)
{
    uint8_t le[4];
    poa_put_le32(le, key);
    return read_state(b, table_, le, sizeof le, buffer, rec, out);
}

static json_t *hash_json(const uint8_t hash32[32])
{
    return poa_json_hex(hash32, 32);
}

/* Height, or null for "never". */
static json_t *u64_or_null(uint64_t v)
{
    return v == POA_NEVER ? json_null() : poa_json_u64(v);
}

/* Adds KEY: VALUE to OBJECT; takes VALUE; NULL in, NULL out. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (object == NULL) {
        json_decref(value);
        return NULL;
    }
    if (json_object_set_new(object, key, value) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void answer(struct poa_rpc_call *call, int rc, json_t *result)
{
    if (rc == POA_OK) {
        poa_rpc_result(call, result);
    } else {
        json_decref(result);
        poa_rpc_fail(call, rc);
    }
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

/* The bound of EPOCH's committee, null when it is not known. */
static json_t *witness_bound(const struct poa_rpc_node *node, uint32_t epoch)
{
    struct poa_risk risk;
    bool devnet;
    return poa_rpc_risk(node, epoch, &risk, &devnet) == POA_OK ? poa_json_risk(&risk, devnet)
                                                               : json_null();
}

/* When nothing becomes final any more: keys of the members that do not vote. */
static json_t *silent_json(const struct poa_rpc_node *node, const struct poa_core_status *core)
{
    uint8_t buffer[VALUE_BYTES_MAX];
    struct poa_genesis g;
    struct poa_committee committee;
    struct poa_member m;
    json_t *list = json_array();
    if (core->member < 0 || poa_rpc_genesis(node, &g) != POA_OK ||
        core->final_us < poa_stall_us(&g) ||
        read_u32(node->backend, POA_STATE_COMMITTEE, core->epoch, buffer, &poa_committee_record,
                 &committee) != POA_OK)
        return list;
    struct poa_list_iter it = poa_list_begin(&committee.members);
    for (uint32_t i = 0; poa_member_next(&it, &m); i++)
        if ((core->heard[i / 8] >> (i % 8) & 1) == 0)
            json_array_append_new(list, hash_json(m.key));
    return list;
}

static void status(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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
    consensus = with(consensus, "recovering", json_boolean(s.core.recovering));
    consensus = with(consensus, "final_age_ms", poa_json_u64(s.core.final_us / 1000));
    consensus = with(consensus, "silent", silent_json(node, &s.core));
    json_t *v = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, "
        "s:b, s:b, s:s, s:o}",
        "version", s.version ? s.version : "", "name", s.name, "roles", roles_json(&s), "key",
        hash_json(s.key), "chain", hash_json(node->chain), "height", poa_json_u64(s.core.height),
        "hash", hash_json(s.core.hash), "time_ms", poa_json_u64(s.core.time_ms), "slot",
        poa_json_u64(s.slot), "uptime_ms", poa_json_u64(s.uptime_ms), "first_block_ms",
        u64_or_null(s.first_block_ms), "packs", poa_json_u64(s.packs), "peers", (json_int_t)s.peers,
        "devices", (json_int_t)s.devices, "txs_accepted", poa_json_u64(s.txs_accepted),
        "txs_rejected", poa_json_u64(s.txs_rejected), "state",
        poa_json_record(&poa_st_global_record, &s.global), "faucet", (int)s.faucet, "ready",
        (int)s.ready, "why", s.ready ? "" : s.why, "consensus", consensus);
    v = with(v, "witness", witness_bound(node, s.core.epoch));
    v = with(v, "sync",
             s.sync_target == 0
                 ? json_null()
                 : json_pack("{s:o, s:o}", "target", poa_json_u64(s.sync_target), "left_s",
                             s.sync_left_s > 0 ? poa_json_u64(s.sync_left_s) : json_null()));
    poa_rpc_result(call, v);
}

/* --- transactions ------------------------------------------------------------------------ */

static void sent(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    answer(call, code, id32 != NULL ? json_pack("{s:o}", "id", hash_json(id32)) : json_object());
}

static void tx_send(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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

static void faucet(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    if (b->faucet == NULL) {
        poa_rpc_fail(call, POA_E_UNSUPPORTED);
        return;
    }
    uint8_t address[32];
    poa_rpc_address(param[0], address);
    poa_rpc_defer(call, sent);
    b->faucet(b->ctx, address, poa_rpc_u64(param[1], 0), call);
}

/* What became of a transaction: code 0 and OK, or the error's number and name. */
static json_t *code_json(json_t *object, int code)
{
    object = with(object, "code", json_integer(-code));
    object = with(object, "result", json_string(code == POA_OK ? "OK" : poa_error_name(code)));
    return code == POA_OK ? object : with(object, "why", json_string(poa_error_text(code)));
}

static void tx_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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
    bool final = tx.state == POA_RPC_TX_FINAL;
    json_t *v = json_pack("{s:o, s:s}", "id", hash_json(id), "state", final ? "final" : "pending");
    if (final) {
        v = with(v, "height", poa_json_u64(tx.height));
        v = with(v, "index", json_integer(tx.index));
        v = code_json(v, tx.code);
    }
    if (tx.raw.n > 0) {
        json_t *decoded = poa_json_tx(tx.raw);
        v = with(v, "tx", decoded ? decoded : json_null());
        v = with(v, "raw", poa_json_hex(tx.raw.p, tx.raw.n));
    }
    if (b->tx_free != NULL)
        b->tx_free(b->ctx, &tx);
    if (final && tx.code == POA_OK && v != NULL)
        rc = poa_rpc_add_grade(ctx, id, tx.height, v);
    answer(call, rc, v);
}

/* --- state ---------------------------------------------------------------------------------- */

static void account_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX], address[32];
    poa_rpc_address(param[0], address);
    if (poa_rpc_proven(ctx, param[2], POA_STATE_ACCOUNT, address, sizeof address, call))
        return;
    struct poa_st_account account;
    uint64_t of_asset = 0;
    uint32_t asset = (uint32_t)poa_rpc_u64(param[1], 0);
    memset(&account, 0, sizeof account);
    int rc = READ(b, ACCOUNT, address, sizeof address, buffer, st_account, &account);
    if (rc == POA_E_NOT_FOUND) /* every address is an account with nothing in it */
        rc = POA_OK;
    if (rc == POA_OK && asset != 0)
        rc = poa_rpc_balance(ctx, asset, address, &of_asset);
    json_t *v = with(poa_json_record(&poa_st_account_record, &account), "address",
                     poa_json_address(address));
    if (rc == POA_OK && v != NULL)
        rc = poa_rpc_add_outgoing(ctx, address, v);
    if (asset != 0)
        v = with(with(v, "asset", json_integer(asset)), "asset_balance", poa_json_u64(of_asset));
    answer(call, rc, v);
}

static void asset_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint32_t asset = (uint32_t)poa_rpc_u64(param[0], 0);
    uint8_t key[4];
    poa_put_le32(key, asset);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ASSET, key, sizeof key, call))
        return;
    int rc = poa_rpc_asset_json(ctx, asset, &v);
    answer(call, rc, v);
}

static void escrow_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint8_t id[32];
    poa_rpc_hash(param[0], id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ESCROW, id, sizeof id, call))
        return;
    int rc = poa_rpc_escrow_json(ctx, id, &v);
    answer(call, rc, v);
}

static void offer_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint8_t id[32];
    poa_rpc_hash(param[0], id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_OFFER, id, sizeof id, call))
        return;
    int rc = poa_rpc_offer_json(ctx, id, &v);
    answer(call, rc, v);
}

static json_t *device_json(const uint8_t key[32], const struct poa_st_device *d)
{
    return with(poa_json_record(&poa_st_device_record, d), "device", hash_json(key));
}

static void device_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX], key[32];
    poa_rpc_hash(param[0], key);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_DEVICE, key, sizeof key, call))
        return;
    struct poa_st_device device;
    int rc = READ(b, DEVICE, key, sizeof key, buffer, st_device, &device);
    if (rc == POA_E_NOT_FOUND)
        rc = POA_E_DEVICE_UNKNOWN;
    answer(call, rc, rc == POA_OK ? device_json(key, &device) : NULL);
}

static json_t *witness_json(const uint8_t key[32], const struct poa_st_witness *w)
{
    return with(poa_json_record(&poa_st_witness_record, w), "key", hash_json(key));
}

static void witness_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX], key[32];
    poa_rpc_hash(param[0], key);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_WITNESS, key, sizeof key, call))
        return;
    struct poa_st_witness witness;
    int rc = READ(b, WITNESS, key, sizeof key, buffer, st_witness, &witness);
    answer(call, rc, rc == POA_OK ? witness_json(key, &witness) : NULL);
}

#define LIST_DEFAULT 100
#define LIST_MAX     1000

/* A page of a registry: INDEX maps 0..total-1 to keys of TABLE. */
static void list(const struct poa_rpc_backend *b, json_t *const *param, struct poa_rpc_call *call,
                 enum poa_state_table index, bool devices)
{
    struct poa_st_global global;
    uint8_t buffer[VALUE_BYTES_MAX];
    int rc = READ(b, GLOBAL, "", 0, buffer, st_global, &global);
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    uint64_t total = devices ? global.devices : global.witnesses;
    uint64_t from = poa_rpc_u64(param[0], 0);
    uint64_t limit = poa_rpc_u64(param[1], LIST_DEFAULT);
    if (limit > LIST_MAX)
        limit = LIST_MAX;
    json_t *items = json_array();
    uint64_t i = from;
    for (; rc == POA_OK && items != NULL && i < total && i - from < limit; i++) {
        struct poa_digest key;
        rc = read_u32(b, index, (uint32_t)i, buffer, &poa_digest_record, &key);
        json_t *item = NULL;
        if (rc == POA_OK && devices) {
            struct poa_st_device d;
            rc = READ(b, DEVICE, key.digest, 32, buffer, st_device, &d);
            item = rc == POA_OK ? device_json(key.digest, &d) : NULL;
        } else if (rc == POA_OK) {
            struct poa_st_witness w;
            rc = READ(b, WITNESS, key.digest, 32, buffer, st_witness, &w);
            item = rc == POA_OK ? witness_json(key.digest, &w) : NULL;
        }
        if (rc == POA_OK && json_array_append_new(items, item) != 0)
            rc = POA_E_NO_MEMORY;
    }
    if (rc != POA_OK) {
        json_decref(items);
        items = NULL;
    }
    json_t *v = rc != POA_OK ? NULL
                             : json_pack("{s:I, s:o, s:o}", "total", (json_int_t)total, "next",
                                         i < total ? json_integer((json_int_t)i) : json_null(),
                                         "items", items);
    answer(call, rc, v);
}

static void devices_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    list(((const struct poa_rpc_node *)ctx)->backend, param, call, POA_STATE_DEVICE_INDEX, true);
}

static void witnesses_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    list(((const struct poa_rpc_node *)ctx)->backend, param, call, POA_STATE_WITNESS_INDEX, false);
}

static void maker_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX];
    uint32_t id = (uint32_t)poa_rpc_u64(param[0], 0);
    uint8_t le[4];
    poa_put_le32(le, id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_MAKER, le, sizeof le, call))
        return;
    struct poa_st_maker maker;
    int rc = read_u32(b, POA_STATE_MAKER, id, buffer, &poa_st_maker_record, &maker);
    answer(call, rc,
           rc == POA_OK
               ? with(poa_json_record(&poa_st_maker_record, &maker), "maker", json_integer(id))
               : NULL);
}

static void slot_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX], key[8];
    uint64_t slot;
    if (param[0] != NULL) {
        slot = poa_rpc_u64(param[0], 0);
    } else {
        struct poa_st_global global;
        int rc = READ(b, GLOBAL, "", 0, buffer, st_global, &global);
        if (rc != POA_OK || global.slot == POA_NEVER) {
            poa_rpc_fail(call, rc != POA_OK ? rc : POA_E_NOT_FOUND);
            return;
        }
        slot = global.slot;
    }
    poa_put_le64(key, slot);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_SLOT, key, sizeof key, call))
        return;
    struct poa_st_slot s;
    int rc = READ(b, SLOT, key, sizeof key, buffer, st_slot, &s);
    answer(call, rc,
           rc == POA_OK ? with(poa_json_record(&poa_st_slot_record, &s), "slot", poa_json_u64(slot))
                        : NULL);
}

static void epoch_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX];
    struct poa_st_global global;
    int rc = READ(b, GLOBAL, "", 0, buffer, st_global, &global);
    uint32_t epoch = (uint32_t)poa_rpc_u64(param[0], rc == POA_OK ? global.epoch : 0);
    uint8_t le[4];
    poa_put_le32(le, epoch);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_EPOCH, le, sizeof le, call))
        return;
    struct poa_st_epoch e;
    if (rc == POA_OK)
        rc = read_u32(b, POA_STATE_EPOCH, epoch, buffer, &poa_st_epoch_record, &e);
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    json_t *v = with(poa_json_record(&poa_st_epoch_record, &e), "epoch", json_integer(epoch));
    struct poa_committee committee;
    rc = read_u32(b, POA_STATE_COMMITTEE, epoch, buffer, &poa_committee_record, &committee);
    if (rc == POA_OK)
        v = with(v, "committee", poa_json_record(&poa_committee_record, &committee));
    v = with(v, "witness", witness_bound(ctx, epoch));
    answer(call, rc == POA_E_NOT_FOUND ? POA_OK : rc, v);
}

static void anchor_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t buffer[VALUE_BYTES_MAX], root[32];
    poa_rpc_hash(param[0], root);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ANCHOR, root, sizeof root, call))
        return;
    struct poa_st_anchor anchor;
    int rc = READ(b, ANCHOR, root, sizeof root, buffer, st_anchor, &anchor);
    answer(call, rc,
           rc == POA_OK
               ? with(poa_json_record(&poa_st_anchor_record, &anchor), "root", hash_json(root))
               : NULL);
}

static int add_pack(void *v, const struct poa_rpc_pack *p)
{
    json_t *item =
        json_pack("{s:o, s:o, s:o, s:o}", "number", poa_json_u64(p->number), "id", hash_json(p->id),
                  "pack", poa_json_hex(p->pack.p, p->pack.n), "receipt",
                  p->receipt.n ? poa_json_hex(p->receipt.p, p->receipt.n) : json_null());
    return json_array_append_new(v, item) ? POA_E_NO_MEMORY : POA_OK;
}

#define PACKS_MAX 100

static void packs_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t request[512];
    size_t n = json_string_length(param[0]) / 2;
    uint64_t count = 0, next = 0, limit = poa_rpc_u64(param[2], PACKS_MAX);
    json_t *items = json_array();
    int rc = b->packs == NULL ? POA_E_UNSUPPORTED : n > sizeof request ? POA_E_TOO_LONG : POA_OK;
    if (rc == POA_OK)
        rc = poa_unhex(json_string_value(param[0]), request, n);
    if (rc == POA_OK)
        rc = b->packs(b->ctx, poa_slice(request, n), poa_rpc_u64(param[1], 0),
                      (uint32_t)(limit < PACKS_MAX ? limit : PACKS_MAX), add_pack, items, &count,
                      &next);
    if (rc != POA_OK) {
        json_decref(items);
        poa_rpc_fail(call, rc);
        return;
    }
    poa_rpc_result(call, json_pack("{s:o, s:o, s:o}", "count", poa_json_u64(count), "items", items,
                                   "next", next < count ? poa_json_u64(next) : json_null()));
}

static void presence_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t key[32];
    uint64_t since = 0;
    bool shared = false;
    poa_rpc_hash(param[0], key);
    int rc = b->presence ? b->presence(b->ctx, key, &since, &shared) : POA_E_UNSUPPORTED;
    bool here = rc == POA_OK;
    answer(call, rc == POA_E_NOT_FOUND ? POA_OK : rc,
           json_pack("{s:o, s:b, s:o, s:b}", "device", hash_json(key), "connected", (int)here,
                     "since_ms", here ? poa_json_u64(since) : json_null(), "shared", (int)shared));
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
            code_json(json_pack("{s:o}", "id", hash_json(block->tx[i].id)), block->tx[i].code);
        if (json_array_append_new(txs, tx) != 0) {
            json_decref(txs);
            return NULL;
        }
    }
    json_t *v = json_pack("{s:o, s:o, s:o, s:o}", "hash", hash_json(block->hash), "header",
                          poa_json_record(&poa_header_record, &header), "raw_header",
                          poa_json_hex(block->header.p, block->header.n), "transactions", txs);
    struct poa_body body;
    if (poa_body_decode(block->body, &body) == POA_OK)
        v = with(v, "body", poa_json_record(&poa_body_record, &body));
    struct poa_cert cert;
    if (block->cert.n > 0 && poa_cert_decode(block->cert, &cert) == POA_OK)
        v = with(with(v, "certificate", poa_json_record(&poa_cert_record, &cert)),
                 "raw_certificate", poa_json_hex(block->cert.p, block->cert.n));
    return v;
}

static void block_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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
    answer(call, rc,
           rc == POA_OK
               ? json_pack("{s:o, s:o}", "last", poa_json_u64(last), "run", poa_json_hex(bytes, n))
               : NULL);
    free(bytes);
}

static void chain_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint64_t last = 0;
    int rc = b->run != NULL ? b->run(b->ctx, poa_rpc_u64(param[0], 0), &bytes, &n, &last)
                            : POA_E_UNSUPPORTED;
    answer_run(call, rc, bytes, n, last);
}

static void handover_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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

static void proof_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    poa_rpc_proof_get(ctx, param, call);
}

/* --- the node --------------------------------------------------------------------------------- */

static json_t *peer_json(const struct poa_rpc_peer *p)
{
    static const char *const directions[] = {"none", "out", "in", "both"};
    bool connected = p->outbound || p->inbound;
    json_t *v = json_pack("{s:o, s:s, s:s, s:s, s:o, s:b, s:b, s:s}", "key",
                          p->has_key ? hash_json(p->key) : json_null(), "name", p->name, "address",
                          p->address, "role", p->role, "member",
                          p->member >= 0 ? json_integer(p->member) : json_null(), "connected",
                          (int)connected, "outbound", (int)p->outbound, "direction",
                          directions[(p->outbound ? 1 : 0) + (p->inbound ? 2 : 0)]);
    v = with(v, "height", poa_json_u64(p->height));
    v = with(v, "sent_bytes", poa_json_u64(p->sent_bytes));
    v = with(v, "received_bytes", poa_json_u64(p->received_bytes));
    v = with(v, "queued_bytes", poa_json_u64(p->queued_bytes));
    v = with(v, "rtt_us", json_integer(p->rtt_us));
    v = with(v, "score", json_integer(p->score));
    v = with(v, "banned", json_boolean(p->banned));
    v = with(v, "ban_ms", poa_json_u64(p->ban_ms));
    v = with(v, "bans", json_integer(p->bans));
    return with(v, "reason", json_string(p->reason));
}

static void peers_list(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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

static void latency_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
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

static void supply_audit(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_backend *b = ((const struct poa_rpc_node *)ctx)->backend;
    (void)param;
    bool conserved = false;
    uint64_t height = 0;
    int rc = b->audit != NULL ? b->audit(b->ctx, &conserved, &height) : POA_E_UNSUPPORTED;
    answer(call, rc,
           rc == POA_OK ? json_pack("{s:b, s:o}", "conserved", (int)conserved, "height",
                                    poa_json_u64(height))
                        : NULL);
}

static void genesis_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_node *node = ctx;
    (void)param;
    struct poa_genesis g;
    int rc = poa_rpc_genesis(node, &g);
    answer(call, rc,
           rc == POA_OK ? json_pack("{s:o, s:o, s:o}", "chain", hash_json(node->chain), "genesis",
                                    poa_json_record(&poa_genesis_record, &g), "raw",
                                    poa_json_hex(node->genesis.p, node->genesis.n))
                        : NULL);
}

static void params_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    (void)param;
    int rc = poa_rpc_params_json(ctx, &v);
    answer(call, rc, v);
}

static void discover(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    const struct poa_rpc_node *node = ctx;
    (void)param;
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    node->backend->status(node->backend->ctx, &s);
    poa_rpc_result(
        call, poa_rpc_openrpc(&poa_rpc_node_methods, "poa", s.version != NULL ? s.version : ""));
}
