/* The node's methods: their table, and what the files with their handlers share. */
#ifndef RPC_METHODS_H
#define RPC_METHODS_H

#include "poa_rpc_json.h"

/* One row per method: X(name, handler, right, keep, parameters, help). Reads answer from the
 * finalized state. */
#define POA_RPC_METHODS(X)                                                                         \
    X("poa_status", status, READ, BRIEF, "",                                                       \
      "Tip, roles, committee, counters and readiness of this node")                                \
    X("poa_tx_send", tx_send, SUBMIT, FRESH, "tx:bytes",                                           \
      "Submit a signed transaction; answers its id")                                               \
    X("poa_tx_get", tx_get, READ, FRESH, "id:hash",                                                \
      "State of a transaction: pending, dropped and why, or final with its result and grade")      \
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

#define POA_RPC_ROW(name, handler, right, keep, params, help)                                      \
    void rpc_##handler(void *ctx, json_t *const *param, struct poa_rpc_call *call);
POA_RPC_METHODS(POA_RPC_ROW)
#undef POA_RPC_ROW

#define RPC_VALUE_MAX 8192 /* any state value; a committee is the longest */

/* Record of (TABLE, KEY); OUT's slices point into BUFFER. */
POA_MUST_USE int rpc_read(const struct poa_rpc_node *node, enum poa_state_table table,
                          const void *key, size_t key_n, uint8_t buffer[RPC_VALUE_MAX],
                          const struct poa_record *rec, void *out);
POA_MUST_USE int rpc_read_u32(const struct poa_rpc_node *node, enum poa_state_table table,
                              uint32_t key, uint8_t buffer[RPC_VALUE_MAX],
                              const struct poa_record *rec, void *out);
#define RPC_READ(node, TABLE, key, key_n, buffer, record, out)                                     \
    rpc_read(node, POA_STATE_##TABLE, key, key_n, buffer, &poa_##record##_record, out)

/* Adds KEY: VALUE to OBJECT; takes VALUE; NULL in, NULL out. */
json_t *rpc_with(json_t *object, const char *key, json_t *value);
json_t *rpc_hash(const uint8_t hash32[32]);
/* The bound of EPOCH's committee, null when it is not known. */
json_t *rpc_witness_bound(const struct poa_rpc_node *node, uint32_t epoch);
/* Ends CALL with RESULT, which is taken, or with error RC. */
void rpc_answer(struct poa_rpc_call *call, int rc, json_t *result);

#endif
