/* ledger: transactions, state rules, Merkle state, mempool. Pure: bytes in,
 * state and results out; no clock, no randomness, no I/O.
 *
 * State is typed tables under one compact binary Merkle tree. The finalized
 * base is in memory; every notarized block adds an overlay (at most
 * POA_OVERLAYS_MAX deep, empty blocks up to 512) that is applied when the block is final or
 * dropped. Memory comes from the allocator given to poa_ledger_new, in poa_ledger_reserve only: a
 * step never allocates.
 *
 * Threading: one owner. Other threads may read POA_STATE_BASE (get, read,
 * global, prove, epoch) while the owner is outside the write sections that it
 * announces by the hooks in poa_ledger_config: apply, reserve, checkpointed and
 * restore change the base, execute and drop do not. poa_tx_check, poa_tx_parse
 * and poa_batch_check are pure and run anywhere.
 */
#ifndef POA_LEDGER_H
#define POA_LEDGER_H

#include "poa_keys.h"
#include "poa_ops.h"
#include "poa_witness.h"

#define POA_OVERLAYS_MAX    64
#define POA_TX_BYTES_MAX    65536
#define POA_BATCH_BYTES_MAX 524288
#define POA_BATCH_TXS_MAX   4096
/* Sum of the transactions' bytes in a block; more is BLOCK_INVALID. */
#define POA_BLOCK_TX_BYTES_MAX (8 * 1024 * 1024)
/* Witnesses that the pool can hold. */
#define POA_WITNESSES_MAX 1024

/* --- transactions -----------------------------------------------------------
 *
 * tx id = digest that the keys sign = H(TX, chain id32 || encoding without
 * auth). Validity of a signature depends on these bytes alone. */

#define POA_OP_TABLE(F)                                                                            \
    F(U16, kind, 0, _, "operation number")                                                         \
    F(BLOB, body, 1024, _, "encoded operation record")
POA_RECORD_DECLARE(op, POA_OP_TABLE)

#define POA_TX_TABLE(F)                                                                            \
    F(U32, chain, 0, _, "first four bytes of the chain id, little-endian")                         \
    F(FIX, sender, 32, _, "address: commitment to the policy in auth")                             \
    F(U64, nonce, 0, _, "count of the sender's earlier transactions")                              \
    F(U64, fee, 0, _, "paid to the block's leader, smallest unit")                                 \
    F(U64, valid_until, 0, _, "last block time (Unix ms) that may carry it; 0 = no limit")         \
    F(LIST, ops, 64, op, "1..64 operations, all or nothing")                                       \
    F(BLOB, auth, 2048, _, "encoded auth record")
POA_RECORD_DECLARE(tx, POA_TX_TABLE)

#define POA_AUTH_SIG_TABLE(F)                                                                      \
    F(U8, key, 15, _, "index in the policy's keys, ascending")                                     \
    F(FIX, sig, 64, _, "BIP340 or Ed25519, over the tx id")
POA_RECORD_DECLARE(auth_sig, POA_AUTH_SIG_TABLE)

#define POA_AUTH_TABLE(F)                                                                          \
    F(BLOB, policy, 600, _, "encoded policy record (poa_keys.h)")                                  \
    F(LIST, sigs, 16, auth_sig, "exactly m signatures")
POA_RECORD_DECLARE(auth, POA_AUTH_TABLE)

/* Operation numbers: a range per family, so that later families break no
 * format. X(NAME, number, record, "text") */
#define POA_OP_RANGE_VALUE      0x0000
#define POA_OP_RANGE_MINING     0x0100
#define POA_OP_RANGE_GOVERNANCE 0x0200
#define POA_OP_RANGE_IDENTITY   0x0300
#define POA_OP_RANGE_WALLET     0x0400
#define POA_OP_RANGE_FABRIC     0x0500
#define POA_OP_RANGE_DATA       0x0600
#define POA_OP_RANGE_USER       0x8000
#define POA_OPS(X)                                                                                 \
    X(TRANSFER, 0x0001, op_transfer, "move an amount of an asset")                                 \
    X(HOLD, 0x0010, op_hold, "the transaction's transfers wait for grade 2")                       \
    X(DEVICE_REGISTER, 0x0101, op_device, "register a device its manufacturer attests")            \
    X(MAKER_ADD, 0x0201, op_maker, "governance: admit a manufacturer")                             \
    X(WITNESS_ADD, 0x0202, op_witness, "governance: admit a witness to the pool")                  \
    X(WITNESS_LEAVE, 0x0203, op_witness_leave, "governance: a witness leaves the pool")            \
    X(READMIT, 0x0204, op_readmit, "governance: a suspended device or witness returns")            \
    X(PARAM_SET, 0x0210, op_params, "governance: change parameters from the next epoch on")        \
    X(ANCHOR, 0x0601, op_anchor, "anchor usage data by its Merkle root")                           \
    X(PURCHASE, 0x0002, op_purchase, "pay a seller, less the commission")                          \
    X(ASSET_CREATE, 0x0003, op_asset, "issue an asset of one's own")                               \
    X(ASSET_MINT, 0x0004, op_mint, "make more of it, up to its limit")                             \
    X(ESCROW_OPEN, 0x0020, op_escrow, "pay into an escrow")                                        \
    X(ESCROW_RELEASE, 0x0021, op_escrow_id, "delivery is confirmed: pay the payee")                \
    X(ESCROW_REFUND, 0x0022, op_escrow_id, "give back to the payer")                               \
    X(DATA_OFFER, 0x0602, op_offer, "offer encrypted data for sale")                               \
    X(DATA_BUY, 0x0603, op_buy, "pay for it into a sale")                                          \
    X(DATA_DELIVER, 0x0604, op_deliver, "deliver the data key, sealed to the buyer")               \
    X(DATA_DISPUTE, 0x0605, op_dispute, "show that it is not the promised one")                    \
    X(DATA_CLOSE, 0x0606, op_offer_id, "withdraw an offer")

enum poa_op_kind {
#define POA_OP_ROW(name, number, record, text) POA_OP_##name = (number),
    POA_OPS(POA_OP_ROW)
#undef POA_OP_ROW
};

#define POA_OP_TRANSFER_TABLE(F)                                                                   \
    F(FIX, to, 32, _, "address")                                                                   \
    F(U32, asset, 0, _, "0 = the native asset")                                                    \
    F(U64, amount, 0, _, "smallest unit, at least 1")                                              \
    F(BLOB, terms, 255, _, "terms record, or empty")
POA_RECORD_DECLARE(op_transfer, POA_OP_TRANSFER_TABLE)

#define POA_OP_HOLD_TABLE(F) F(U8, grade, 2, _, "2: what the transfers wait for")
POA_RECORD_DECLARE(op_hold, POA_OP_HOLD_TABLE)

/* ATTEST digest = H(ATTEST, chain id32 || this record without the two
 * signatures); the maker signs it, and the device signs H(DEVICE, the same
 * bytes), so nobody registers a key that is not theirs. */
#define POA_OP_DEVICE_TABLE(F)                                                                     \
    F(FIX, device, 32, _, "Ed25519 device key")                                                    \
    F(U32, maker, 0, _, "manufacturer id")                                                         \
    F(FIX, maker_key, 32, _, "its attestation key, as admitted: signatures check without state")   \
    F(U16, region, 0, _, "region code")                                                            \
    F(FIX, owner, 32, _, "address of the owner")                                                   \
    F(FIX, payout, 32, _, "address that rewards go to")                                            \
    F(BLOB, meta, 255, _, "metadata, free form")                                                   \
    F(FIX, maker_sig, 64, _, "manufacturer's Ed25519 signature")                                   \
    F(FIX, device_sig, 64, _, "device's Ed25519 signature")
POA_RECORD_DECLARE(op_device, POA_OP_DEVICE_TABLE)

#define POA_OP_MAKER_TABLE(F)                                                                      \
    F(U32, maker, 0, _, "manufacturer id, not 0")                                                  \
    F(FIX, key, 32, _, "Ed25519 attestation key")                                                  \
    F(BLOB, name, 64, _, "UTF-8 name")                                                             \
    F(BLOB, meta, 255, _, "metadata, free form")
POA_RECORD_DECLARE(op_maker, POA_OP_MAKER_TABLE)

#define POA_OP_WITNESS_TABLE(F)                                                                    \
    F(FIX, key, 32, _, "Ed25519 node key")                                                         \
    F(U32, maker, 0, _, "manufacturer of its hardware")                                            \
    F(U16, region, 0, _, "region code")                                                            \
    F(U32, provider, 0, _, "hosting provider")                                                     \
    F(FIX, payout, 32, _, "address that fees and tips go to")                                      \
    F(BLOB, name, 64, _, "UTF-8 name")                                                             \
    F(BLOB, meta, 255, _, "metadata: words, `mesh=host:port` among them, or free form")
POA_RECORD_DECLARE(op_witness, POA_OP_WITNESS_TABLE)
/* Among the metadata, words that are separated by spaces, where a node listens
 * for others: members dial whom their configuration does not name. */
#define POA_WITNESS_META_MESH "mesh="

#define POA_OP_WITNESS_LEAVE_TABLE(F)                                                              \
    F(FIX, key, 32, _, "its key, which never enters again; it serves the epoch to its end")
POA_RECORD_DECLARE(op_witness_leave, POA_OP_WITNESS_LEAVE_TABLE)

#define POA_OP_READMIT_TABLE(F) F(FIX, key, 32, _, "key of the device or witness")
POA_RECORD_DECLARE(op_readmit, POA_OP_READMIT_TABLE)

#define POA_MARK_TABLE(F) F(U32, id, 0, _, "registry index, manufacturer or region")
POA_RECORD_DECLARE(mark, POA_MARK_TABLE)

#define POA_OP_ANCHOR_TABLE(F)                                                                     \
    F(FIX, root, 32, _, "one pack's hash, or the Merkle root of many")                             \
    F(U32, packs, 0, _, "how many packs it commits to, at least 1")                                \
    F(U64, from_ms, 0, _, "time of the earliest reading")                                          \
    F(U64, to_ms, 0, _, "time of the latest reading")                                              \
    F(LIST, devices, 64, mark,                                                                     \
      "registry indices of devices whose packs are among them: they "                              \
      "share the slot's reward for data")
POA_RECORD_DECLARE(op_anchor, POA_OP_ANCHOR_TABLE)

/* A transaction that was decoded and whose signatures were checked once.
 * Borrows from RAW, which must outlive it. */
struct poa_tx_view {
    struct poa_slice raw; /* borrowed */
    struct poa_tx tx;
    uint8_t id[32];
    uint64_t cost; /* what it takes from its sender: fee and native transfers */
};

/* Decode, chain, policy against sender, every signature (a policy's first key
 * may sign alone while fee and transfers stay within its limit and nothing but
 * transfers and anchors is asked), each operation's record and stateless rules.
 * Thread-safe: workers call it.
 * Errors: TX_MALFORMED, TX_TRUNCATED, TX_TRAILING, TX_CHAIN, TX_SENDER,
 * TX_SIGNATURE, TX_OP_UNKNOWN, TX_OP_COUNT, TX_AMOUNT_ZERO, TX_OVERFLOW,
 * TX_ASSET, TX_ATTESTATION, TX_DEVICE_PROOF, KEY; OUT is then unspecified. */
POA_MUST_USE int poa_tx_check(const uint8_t chain32[32], struct poa_slice raw,
                              struct poa_tx_view *out);
typedef int poa_tx_check_fn(const uint8_t chain32[32], struct poa_slice raw,
                            struct poa_tx_view *out);
/* As above without the signatures: for bytes that a certificate covers. */
POA_MUST_USE int poa_tx_parse(const uint8_t chain32[32], struct poa_slice raw,
                              struct poa_tx_view *out);
/* Builds a transaction of a single-key account. KEY_TYPE as in poa_keys.h.
 * OPS is a list encoded with poa_op_encode. Writes the wire form to OUT. */
POA_MUST_USE int poa_tx_sign(const uint8_t chain32[32], uint8_t key_type, const uint8_t sk32[32],
                             uint64_t nonce, uint64_t fee, uint64_t valid_until,
                             const struct poa_list *ops, struct poa_writer *out, uint8_t id32[32]);
/* The same for any account, in steps: a transaction without signatures, then with
 * one more each time; RAW is what the step before wrote. POLICY as in poa_keys.h. */
POA_MUST_USE int poa_tx_unsigned(const uint8_t chain32[32], const struct poa_policy *policy,
                                 uint64_t nonce, uint64_t fee, uint64_t valid_until,
                                 const struct poa_list *ops, struct poa_writer *out);
/* Errors: TX_SENDER: not a key of this account; EXISTS: it has signed; TX_CHAIN,
 * TX_MALFORMED, KEY, RANGE. */
POA_MUST_USE int poa_tx_cosign(const uint8_t chain32[32], struct poa_slice raw, uint8_t key_type,
                               const uint8_t sk32[32], struct poa_writer *out);
/* The auth record of whatever an account signs (transactions, grants), in the same steps;
 * DIGEST32 is what is signed. Errors as above. */
POA_MUST_USE int poa_auth_unsigned(const struct poa_policy *policy, struct poa_writer *out);
POA_MUST_USE int poa_auth_cosign(struct poa_slice encoded, const uint8_t digest32[32],
                                 uint8_t key_type, const uint8_t sk32[32], struct poa_writer *out);
/* Policy and signatures so far; borrow from ENCODED. TX_MALFORMED. */
POA_MUST_USE int poa_auth_signers(struct poa_slice encoded, struct poa_policy *policy,
                                  struct poa_list *sigs);
/* The same for an account that is known. TX_MALFORMED; TX_SENDER: it is another one's. */
POA_MUST_USE int poa_auth_open(struct poa_slice encoded, const uint8_t address32[32],
                               struct poa_policy *policy, struct poa_list *sigs);
/* All M signatures of POLICY over DIGEST32, or (ALONE) that of its first key.
 * TX_SIGNATURE. */
POA_MUST_USE int poa_auth_verify(const struct poa_policy *policy, const struct poa_list *sigs,
                                 bool alone, const uint8_t digest32[32]);
/* Id of what operation INDEX of a transaction makes: an escrow, sale or offer. */
void poa_object_id(const uint8_t tx_id32[32], uint8_t index, uint8_t out32[32]);
/* What manufacturer and device sign in a registration. */
void poa_attest_digests(const uint8_t chain32[32], const struct poa_op_device *d,
                        uint8_t maker32[32], uint8_t device32[32]);
/* Signs D, whose other fields are set: fills device, maker_key and both
 * signatures. CHAIN32 of zero bytes for a registration in genesis. */
void poa_device_attest(const struct poa_suite *suite, const uint8_t chain32[32],
                       const uint8_t maker_seed32[32], const uint8_t device_seed32[32],
                       struct poa_op_device *d);
/* POA_E_TX_ATTESTATION, POA_E_TX_DEVICE_PROOF. */
POA_MUST_USE int poa_device_attest_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                         const struct poa_op_device *d);
/* Record of operation KIND, or NULL. */
const struct poa_record *poa_op_record_of(uint16_t kind);

/* --- batches and bodies ---------------------------------------------------- */

#define POA_RAW_TX_TABLE(F) F(BLOB, tx, 65536, _, "encoded transaction")
POA_RECORD_DECLARE(raw_tx, POA_RAW_TX_TABLE)

#define POA_BATCH_TABLE(F)                                                                         \
    F(U32, epoch, 0, _, "epoch of the author's committee")                                         \
    F(U16, author, 127, _, "index in that committee")                                              \
    F(U64, seq, 0, _, "author's counter, strictly increasing")                                     \
    F(U64, expires_ms, 0, _, "last block time that may list it")                                   \
    F(LIST, txs, 4096, raw_tx, "transactions, nonces of one sender in order")                      \
    F(FIX, sig, 64, _, "author's signature over H(BATCH_SIG, chain, digest of the rest)")
POA_RECORD_DECLARE(batch, POA_BATCH_TABLE)
/* Digest: H(BATCH, encoding without sig); what blocks list. */
void poa_batch_digest(struct poa_slice encoded, uint8_t out32[32]);
void poa_batch_sig_digest(const uint8_t chain32[32], const uint8_t digest32[32], uint8_t out32[32]);
/* Everything about a batch that needs no state: author's signature, then every
 * transaction by CHECK (poa_tx_check, or poa_tx_parse). VIEWS takes
 * POA_BATCH_TXS_MAX, or is NULL when only the verdict counts.
 * Errors: those of the decoder, EPOCH, NOT_MEMBER, SIGNATURE: not the author's
 * doing. BATCH_INVALID: the author signed what breaks a rule, which convicts
 * it; the rule's code is in *TX_CODE (may be NULL). */
POA_MUST_USE int poa_batch_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                 const struct poa_committee *c, struct poa_slice encoded,
                                 poa_tx_check_fn *check, struct poa_batch *out,
                                 uint8_t digest32[32], struct poa_tx_view *views, int *tx_code);

#define POA_DIGEST_TABLE(F) F(FIX, digest, 32, _, "hash")
POA_RECORD_DECLARE(digest, POA_DIGEST_TABLE)

#define POA_BODY_TABLE(F)                                                                          \
    F(LIST, batches, 256, digest, "batches, executed in this order")                               \
    F(LIST, tickets, 512, ticket, "tickets of later windows")                                      \
    F(LIST, seals, 512, seal, "seals of earlier slots")                                            \
    F(LIST, evidence, 16, evidence, "convictions, effective at the epoch's end")
POA_RECORD_DECLARE(body, POA_BODY_TABLE)
#define POA_BODY_BYTES_MAX (1024 * 1024)
void poa_body_hash(struct poa_slice encoded, uint8_t out32[32]);

/* --- genesis ----------------------------------------------------------------
 *
 * The chain id is H(CHAIN, encoding). JSON form: `poa genesis`. */

#define POA_GENESIS_ACCOUNT_TABLE(F)                                                               \
    F(FIX, address, 32, _, "address")                                                              \
    F(U64, balance, 0, _, "smallest unit")
POA_RECORD_DECLARE(genesis_account, POA_GENESIS_ACCOUNT_TABLE)

/* How devices are assigned to slots. X(NAME, number, "name") */
#define POA_POLICY_KINDS(X)                                                                        \
    X(VRF, 0, "vrf")                                                                               \
    X(RANDOM, 1, "random")                                                                         \
    X(WEIGHTED, 2, "weighted")
enum poa_policy_kind {
#define POA_POLICY_KIND_ROW(name, number, text) POA_POLICY_##name = (number),
    POA_POLICY_KINDS(POA_POLICY_KIND_ROW)
#undef POA_POLICY_KIND_ROW
};
const char *poa_policy_kind_name(enum poa_policy_kind kind);
/* NOT_FOUND. */
POA_MUST_USE int poa_policy_kind_of(const char *name, enum poa_policy_kind *out);

#define POA_GENESIS_TABLE(F)                                                                       \
    F(U16, version, 1, _, "1")                                                                     \
    F(BLOB, name, 64, _, "network name")                                                           \
    F(U8, devnet, 1, _, "1: a test network, exempt from the witness bound, and says so")           \
    F(U64, time_ms, 0, _, "start of slot 0, Unix ms")                                              \
    F(U32, slot_ms, 0, _, "length of a slot")                                                      \
    F(U32, block_min_ms, 0, _, "a view lasts at least this long")                                  \
    F(U32, heartbeat_ms, 0, _, "idle leaders propose after this; at most slot_ms")                 \
    F(U32, timeout_ms, 0, _, "T0: base of the skip timer")                                         \
    F(U32, timeout_max_ms, 0, _, "cap of the skip timer")                                          \
    F(U32, drift_ms, 0, _, "how far a header's time may be ahead of a voter's clock")              \
    F(U64, epoch_views, 0, _, "the epoch closes after this view")                                  \
    F(U16, committee_size, 128, _, "members drawn per epoch; 0 = the whole pool")                  \
    F(U16, quorum_extra, 127, _, "q = n - f + this, at most n")                                    \
    F(U16, cap_maker, 0, _, "members per manufacturer, 0 = no cap")                                \
    F(U16, cap_region, 0, _, "members per region, 0 = no cap")                                     \
    F(U16, cap_provider, 0, _, "members per provider, 0 = no cap")                                 \
    F(U8, policy, 2, _, "0 vrf, 1 random, 2 weighted")                                             \
    F(U32, window_slots, 0, _, "slots per assignment window")                                      \
    F(U32, seats_per_slot, 0, _, "expected assigned devices per slot")                             \
    F(U32, seal_slots, 0, _, "D: a seal counts when included within this many slots")              \
    F(U64, subsidy, 0, _, "issued per sealed slot, before halvings")                               \
    F(U64, halving_slots, 0, _, "the subsidy halves every so many slots; 0 = never")               \
    F(U16, miner_bp, 10000, _, "miner's share of the subsidy, basis points")                       \
    F(U16, sealers_bp, 10000, _, "other sealers' share, in equal parts")                           \
    F(U16, witnesses_bp, 10000, _, "share of the committee member whose turn the slot is")         \
    F(U16, data_bp, 10000, _, "share of devices with data anchored in the slot; rest: treasury")   \
    F(U64, tip, 0, _, "paid from the subsidy to the leader per included seal")                     \
    F(U64, fee_min, 0, _, "smallest fee of a transaction")                                         \
    F(U64, fee_per_kib, 0, _, "and per started KiB of it")                                         \
    F(U16, commerce_bp, 10000, _, "commission on purchases and sales, basis points")               \
    F(U32, grade2_seals, 0, _, "t_d: devices whose seals make grade 2; 0 = off")                   \
    F(U32, grade2_span, 0, _, "slots that may give them")                                          \
    F(U16, grade2_makers, 0, _, "k: manufacturers they must come from")                            \
    F(U16, grade2_regions, 0, _, "r: regions they must come from")                                 \
    F(U64, hold_above, 0, _, "what an account sends above this in a span is held; 0 = no limit")   \
    F(U32, hold_slots, 0, _, "what is held and not released within so many slots is refunded")     \
    F(U64, risk_p_ppb, 0, _, "fraction of witnesses assumed bad, in 1e-9")                         \
    F(U64, risk_offline_ppb, 0, _, "fraction assumed offline, in 1e-9")                            \
    F(U16, risk_target_exp, 0, _, "a fork is at most as likely as 10^-this; 0 = not stated")       \
    F(U16, risk_stall_exp, 0, _, "a stall, likewise; 0 = as risk_target_exp")                      \
    F(U64, risk_device_p_ppb, 0, _, "fraction of devices assumed bad, in 1e-9")                    \
    F(U64, risk_device_offline_ppb, 0, _, "fraction of devices assumed offline, in 1e-9")          \
    F(FIX, steering, 32, _, "address of the steering committee")                                   \
    F(FIX, treasury, 32, _, "address of the treasury")                                             \
    F(LIST, accounts, 65535, genesis_account, "initial balances, addresses ascending")             \
    F(LIST, makers, 1024, op_maker, "admitted manufacturers")                                      \
    F(LIST, witnesses, 1024, op_witness, "admitted witnesses; the pool of epoch 0")                \
    F(LIST, devices, 65535, op_device, "registered devices, attested like any other")
POA_RECORD_DECLARE(genesis, POA_GENESIS_TABLE)
/* Registrations in genesis are attested before there is a chain id: their
 * digests use a chain id of 32 zero bytes. */
void poa_genesis_chain_id(struct poa_slice encoded, uint8_t out32[32]);
/* One clear reason in *WHY (static text) when a rule is broken. */
POA_MUST_USE int poa_genesis_check(const struct poa_genesis *g, const char **why);

/* --- state -------------------------------------------------------------------
 *
 * State key = H(STATE_KEY, table number u8 || key bytes). X(NAME, number,
 * record, "key") */
#define POA_STATE_TABLES(X)                                                                        \
    X(GLOBAL, 0, st_global, "empty")                                                               \
    X(ACCOUNT, 1, st_account, "address")                                                           \
    X(DEVICE, 2, st_device, "device key")                                                          \
    X(DEVICE_INDEX, 3, digest, "registry index u32 le -> device key")                              \
    X(MAKER, 4, st_maker, "manufacturer id u32 le")                                                \
    X(WITNESS, 5, st_witness, "node key")                                                          \
    X(WITNESS_INDEX, 6, digest, "registry index u32 le -> node key")                               \
    X(SLOT, 7, st_slot, "slot u64 le")                                                             \
    X(COMMITTEE, 8, committee, "epoch u32 le")                                                     \
    X(EPOCH, 9, st_epoch, "epoch u32 le")                                                          \
    X(ANCHOR, 10, st_anchor, "root")                                                               \
    X(PARAMS, 20, st_params, "empty")                                                              \
    X(ASSET, 21, st_asset, "asset u32 le")                                                         \
    X(BALANCE, 22, st_balance, "asset u32 le, address")                                            \
    X(ESCROW, 23, st_escrow, "id")                                                                 \
    X(DUE, 24, st_due, "deadline's slot u64 le")                                                   \
    X(OFFER, 25, st_offer, "id")                                                                   \
    X(SALE, 26, st_sale, "id")                                                                     \
    X(OUTGOING, 30, st_outgoing, "address")                                                        \
    X(HOLD, 31, st_hold, "transaction id")                                                         \
    X(HOLDS, 32, st_holds, "slot u64 le: the first whose seals count")

enum poa_state_table {
#define POA_STATE_ROW(name, number, record, key) POA_STATE_##name = (number),
    POA_STATE_TABLES(POA_STATE_ROW)
#undef POA_STATE_ROW
};

#define POA_ST_GLOBAL_TABLE(F)                                                                     \
    F(U64, height, 0, _, "height of the last executed block")                                      \
    F(U64, time_ms, 0, _, "its time")                                                              \
    F(FIX, hash, 32, _, "its header hash")                                                         \
    F(U32, epoch, 0, _, "its epoch")                                                               \
    F(FIX, beacon, 32, _, "running hash of this epoch's beacon outputs")                           \
    F(U64, slot, 0, _, "last slot that has a sealing block; UINT64_MAX before the first")          \
    F(U64, unsettled, 0, _, "oldest slot that is not settled; UINT64_MAX when none")               \
    F(U32, devices, 0, _, "registered devices")                                                    \
    F(U32, witnesses, 0, _, "admitted witnesses")                                                  \
    F(U64, txs, 0, _, "transactions executed")                                                     \
    F(U64, anchors, 0, _, "anchor operations executed")                                            \
    F(U64, seals, 0, _, "seals accepted")                                                          \
    F(U64, genesis_supply, 0, _, "sum of the initial balances")                                    \
    F(U64, issued, 0, _, "subsidies issued so far, burned ones included")                          \
    F(U64, burned, 0, _,                                                                           \
      "destroyed; balances + held + escrowed = genesis_supply + issued - burned")                  \
    F(U8, kind, 2, _, "enum poa_block_kind of the last block")                                     \
    F(U64, closing_height, 0, _, "after a closing block: its height; otherwise 0")                 \
    F(U64, oldest, 0, _, "oldest slot still in state; UINT64_MAX when none")                       \
    F(U64, held, 0, _, "what waits in holds: of no account's balance")                             \
    F(U64, hold_first, 0, _, "oldest group of holds still in state; UINT64_MAX when none")         \
    F(U64, hold_open, 0, _, "oldest one that may be open; UINT64_MAX when none")                   \
    F(U64, hold_last, 0, _, "newest one, when there is any")                                       \
    F(U64, escrowed, 0, _, "native asset in escrows: of no account's balance")                     \
    F(U64, escrows, 0, _, "open escrows and sales")                                                \
    F(U64, due, 0, _, "time-outs before this slot are settled")
POA_RECORD_DECLARE(st_global, POA_ST_GLOBAL_TABLE)

#define POA_ST_ACCOUNT_TABLE(F)                                                                    \
    F(U64, balance, 0, _, "native asset")                                                          \
    F(U64, nonce, 0, _, "transactions executed")
POA_RECORD_DECLARE(st_account, POA_ST_ACCOUNT_TABLE)

#define POA_ST_DEVICE_TABLE(F)                                                                     \
    F(U32, index, 0, _, "registry index, in order of registration")                                \
    F(U32, maker, 0, _, "manufacturer id")                                                         \
    F(U16, region, 0, _, "region code")                                                            \
    F(FIX, owner, 32, _, "address of the owner")                                                   \
    F(FIX, payout, 32, _, "address that rewards go to")                                            \
    F(U8, status, 1, _, "0 active, 1 suspended")                                                   \
    F(U64, height, 0, _, "height of its registration")                                             \
    F(U64, ticket, 0, _, "epoch << 32 | window of its last ticket")                                \
    F(U64, assigned, 0, _, "slots it was assigned to")                                             \
    F(U64, sealed, 0, _, "seals accepted in time")                                                 \
    F(U64, earned, 0, _, "paid out so far")                                                        \
    F(U64, since, 0, _, "slot of its registration")                                                \
    F(U32, history, 0, _, "its last 32 settled seats, the latest in bit 0; 1: sealed in time")     \
    F(U64, convicted, 0, _, "height of the block with the evidence that suspended it; 0 = none")   \
    F(U64, pardoned, 0, _, "evidence of seals up to this height counts no more; 0 = none")         \
    F(BLOB, meta, 255, _, "metadata")
POA_RECORD_DECLARE(st_device, POA_ST_DEVICE_TABLE)

#define POA_ST_MAKER_TABLE(F)                                                                      \
    F(FIX, key, 32, _, "attestation key")                                                          \
    F(U8, status, 1, _, "0 active, 1 suspended")                                                   \
    F(U32, devices, 0, _, "devices registered")                                                    \
    F(BLOB, name, 64, _, "UTF-8 name")                                                             \
    F(BLOB, meta, 255, _, "metadata")
POA_RECORD_DECLARE(st_maker, POA_ST_MAKER_TABLE)

#define POA_ST_WITNESS_TABLE(F)                                                                    \
    F(U32, index, 0, _, "registry index")                                                          \
    F(U32, maker, 0, _, "manufacturer of its hardware")                                            \
    F(U16, region, 0, _, "region code")                                                            \
    F(U32, provider, 0, _, "hosting provider")                                                     \
    F(FIX, payout, 32, _, "address that fees and tips go to")                                      \
    F(U8, status, 2, _, "0 active, 1 suspended, 2 left")                                           \
    F(U32, until, 0, _, "when not active: last epoch that it may have been drawn for")             \
    F(U64, convicted, 0, _, "height of the block with the evidence that suspended it; 0 = none")   \
    F(U32, pardoned, 0, _, "evidence of epochs before this one counts no more")                    \
    F(BLOB, name, 64, _, "UTF-8 name")                                                             \
    F(BLOB, meta, 255, _, "metadata")
POA_RECORD_DECLARE(st_witness, POA_ST_WITNESS_TABLE)

#define POA_SLOT_SEATS_MAX 32
#define POA_ST_SEAT_TABLE(F)                                                                       \
    F(FIX, device, 32, _, "device key")                                                            \
    F(U64, rank, 0, _, "lower is better")                                                          \
    F(U64, sealed, 0, _, "height of the block that carried its seal; 0 = none yet")
POA_RECORD_DECLARE(st_seat, POA_ST_SEAT_TABLE)

#define POA_ST_SLOT_TABLE(F)                                                                       \
    F(U64, height, 0, _, "sealing block; 0 = the slot has none (yet)")                             \
    F(FIX, hash, 32, _, "its header hash")                                                         \
    F(U32, epoch, 0, _, "its epoch")                                                               \
    F(U64, next, 0, _, "next slot with a sealing block; UINT64_MAX when none yet")                 \
    F(U8, settled, 1, _, "1: paid or burned")                                                      \
    F(FIX, miner, 32, _, "device that won it, once settled; zero = none")                          \
    F(LIST, seats, 32, st_seat, "assigned devices, rank ascending")                                \
    F(LIST, publishers, 64, mark, "registry indices of devices with data anchored in it")          \
    F(BLOB, weights, 256, _, "of each public draw, in order; 0: its device was suspended")
POA_RECORD_DECLARE(st_slot, POA_ST_SLOT_TABLE)

#define POA_ST_EPOCH_TABLE(F)                                                                      \
    F(FIX, seed, 32, _, "R_e")                                                                     \
    F(U64, first_height, 0, _, "first block of the epoch")                                         \
    F(U64, first_slot, 0, _, "slot that window 0 starts at")                                       \
    F(U32, devices, 0, _, "registry size when the epoch began")                                    \
    F(U32, eligible, 0, _, "devices that may be drawn: registered before epoch e-1 began")         \
    F(U32, witnesses, 0, _, "pool size when the epoch began")                                      \
    F(U16, relaxed, 0, _, "by how much its committee's draw had to raise the caps")
POA_RECORD_DECLARE(st_epoch, POA_ST_EPOCH_TABLE)

#define POA_ST_ANCHOR_TABLE(F)                                                                     \
    F(U64, height, 0, _, "block that carried it")                                                  \
    F(FIX, sender, 32, _, "who anchored")                                                          \
    F(U32, packs, 0, _, "packs it commits to")                                                     \
    F(U64, from_ms, 0, _, "earliest reading")                                                      \
    F(U64, to_ms, 0, _, "latest reading")
POA_RECORD_DECLARE(st_anchor, POA_ST_ANCHOR_TABLE)

/* --- grade 2 and holds: docs/assignment.md -------------------------------------
 *
 * A group of holds is what was held from one slot to the next: all of it waits
 * for the same seals. Groups form a list in order of their slots. */
#define POA_SPAN_MAX 255

#define POA_SENT_TABLE(F)                                                                          \
    F(U64, slot, 0, _, "slot of the block")                                                        \
    F(U64, amount, 0, _, "native asset that left the account in it without a hold")
POA_RECORD_DECLARE(sent, POA_SENT_TABLE)
#define POA_ST_OUTGOING_TABLE(F)                                                                   \
    F(U64, held, 0, _, "sum of its transfers that are held now")                                   \
    F(LIST, sent, 255, sent, "what counts against hold_above, slots ascending")
POA_RECORD_DECLARE(st_outgoing, POA_ST_OUTGOING_TABLE)

#define POA_HELD_TABLE(F)                                                                          \
    F(FIX, to, 32, _, "address")                                                                   \
    F(U64, amount, 0, _, "native asset")
POA_RECORD_DECLARE(held, POA_HELD_TABLE)
#define POA_ST_HOLD_TABLE(F)                                                                       \
    F(U64, slot, 0, _, "its group")                                                                \
    F(U64, height, 0, _, "block that carried the transaction")                                     \
    F(FIX, sender, 32, _, "address: refunds go there")                                             \
    F(U64, amount, 0, _, "sum of its transfers")                                                   \
    F(FIX, next, 32, _, "next transaction of the group; zero: none")                               \
    F(LIST, transfers, 64, held, "what is released")
POA_RECORD_DECLARE(st_hold, POA_ST_HOLD_TABLE)

enum poa_hold_status {
    POA_HOLD_OPEN = 0,
    POA_HOLD_RELEASED = 1,
    POA_HOLD_REFUNDED = 2,
};
#define POA_ST_HOLDS_TABLE(F)                                                                      \
    F(U8, status, 2, _, "0 open, 1 released, 2 refunded")                                          \
    F(U64, height, 0, _, "block that released or refunded it")                                     \
    F(U64, next, 0, _, "slot of the next group; UINT64_MAX when none yet")                         \
    F(FIX, first, 32, _, "its first transaction; zero: none")                                      \
    F(U32, transfers, 0, _, "how many it holds")                                                   \
    F(LIST, devices, 255, mark, "registry indices of the devices whose seals count")               \
    F(LIST, makers, 16, mark, "their manufacturers")                                               \
    F(LIST, regions, 16, mark, "their regions")
POA_RECORD_DECLARE(st_holds, POA_ST_HOLDS_TABLE)

/* --- the ledger -------------------------------------------------------------- */

/* Allocation port: hosts pass calloc/free; the core never calls them itself. */
struct poa_alloc {
    void *(*alloc)(void *ctx, size_t bytes); /* zeroed, or NULL */
    void (*free)(void *ctx, void *p);
    void *ctx;
};

struct poa_ledger;
/* Handle of a state: POA_STATE_BASE is the finalized one. */
typedef uint32_t poa_state_id;
#define POA_STATE_BASE 0u

struct poa_ledger_config {
    const struct poa_suite *suite;
    struct poa_alloc alloc;
    struct poa_slice genesis; /* encoded; borrowed for the ledger's life */
    /* Around every change of the base; NULL when nobody else reads. */
    void (*write_begin)(void *ctx);
    void (*write_end)(void *ctx);
    void *write_ctx;
    uint64_t salt; /* something that others cannot guess: spreads the hash table */
    /* Calls TASK(arg, 0) to TASK(arg, n - 1), each once, on any threads, and returns
     * when all have; NULL: the ledger does it on its own thread. */
    void (*parallel)(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n);
    void *parallel_ctx;
    /* poa_tx_check with a memory of what it found valid; NULL: without. */
    poa_tx_check_fn *tx_check;
};

/* Starts at the genesis state (height 0). Errors: as poa_genesis_check,
 * NO_MEMORY. */
POA_MUST_USE int poa_ledger_new(const struct poa_ledger_config *config, struct poa_ledger **out);
void poa_ledger_free(struct poa_ledger *l);
/* Makes room for the next block: call between steps. NO_MEMORY. */
POA_MUST_USE int poa_ledger_reserve(struct poa_ledger *l);
const uint8_t *poa_ledger_chain(const struct poa_ledger *l); /* 32 bytes */
const struct poa_genesis *poa_ledger_genesis(const struct poa_ledger *l);
/* The genesis record with the parameters that hold in EPOCH, as state S knows
 * them; lists borrow from the ledger's genesis. */
void poa_ledger_params(const struct poa_ledger *l, poa_state_id s, uint32_t epoch,
                       struct poa_genesis *out);
/* The same from a genesis record and the state's entry (NULL: there is none). */
void poa_params_apply(struct poa_genesis *g, const struct poa_st_params *st, uint32_t epoch);
/* Applies changes to G. Errors: POA_E_TX_PARAM: no such parameter, its value out
 * of range, numbers not ascending. */
POA_MUST_USE int poa_params_change(struct poa_genesis *g, const struct poa_list *changes);
/* Whether G, in which GENESIS has been changed, may hold with a pool of WITNESSES
 * active witnesses: TX_PARAM (*WHY says which rule), or TX_BOUND: a fork or stall
 * of the planned committee would be likelier than the network's own target. That
 * is not asked of a change of BEFORE (NULL: none) that leaves the committee and the
 * risk alone: a pool that shrank must not keep the fees from being mended. */
POA_MUST_USE int poa_params_check(const struct poa_genesis *genesis,
                                  const struct poa_genesis *before, const struct poa_genesis *g,
                                  uint32_t witnesses, const char **why);
/* Whether a steering account of G with BALANCE can go on governing: fees that rise
 * over those of BEFORE, or a new account, must leave it POA_STEERING_TXS
 * transactions of 1 KiB. Otherwise PARAM_SET is refused with TX_PARAM: fees that
 * nobody can pay could never be lowered again. */
#define POA_STEERING_TXS 100
bool poa_params_payable(const struct poa_genesis *before, const struct poa_genesis *g,
                        uint64_t balance);

struct poa_block_in {
    const struct poa_header *header;
    uint8_t hash[32];
    struct poa_slice body;               /* encoded */
    const struct poa_tx_view *const *tx; /* of all batches, in execution order */
    size_t txs;
    /* 64 bytes: VRF output of the header's beacon when the caller, or a quorum, checked it, or
     * NULL. */
    const uint8_t *beacon_beta;
};
struct poa_tx_result {
    uint8_t id[32];
    int code; /* POA_OK: executed */
};
struct poa_block_result {
    uint8_t root[32];         /* state root after the block */
    struct poa_tx_result *tx; /* caller's array of at least in->txs, or NULL */
    uint32_t executed, failed;
    uint32_t tickets, seals; /* accepted */
};

/* Whether HEADER and BODY obey the rules that need the parent's state: chain,
 * height, parent, state root, time, kind (normal up to view epoch_views of the
 * epoch, then one closing block, then fillers), epoch, beacon, next committee,
 * tickets and seals (a block with a ticket, seal or evidence that the rules
 * refuse is invalid: leaders try before listing). Executes the block on PARENT
 * as a new overlay. What consensus must have checked: signature and right to
 * lead, certificates, batches (IN->tx are those that the body lists).
 * Errors: STATE_ROOT (the header's differs from ours), BLOCK_INVALID, PROOF
 * (beacon), the mining errors; FULL: too many overlays, or a block larger than
 * what reserve foresaw, then reserve and call again. Nothing changed. */
POA_MUST_USE int poa_ledger_execute(struct poa_ledger *l, poa_state_id parent,
                                    const struct poa_block_in *in, poa_state_id *out,
                                    struct poa_block_result *result);
/* Applies overlay S, whose parent must be the base, to the base; overlays that
 * descend from S stay, the others must be dropped by the caller. */
POA_MUST_USE int poa_ledger_apply(struct poa_ledger *l, poa_state_id s);
/* Drops overlay S, whose descendants were dropped before. */
void poa_ledger_drop(struct poa_ledger *l, poa_state_id s);
void poa_ledger_root(const struct poa_ledger *l, poa_state_id s, uint8_t out32[32]);

/* Value bytes of (TABLE, KEY) in state S; borrowed until the next execute,
 * apply, drop or reserve (base: until the next write section). NOT_FOUND. */
POA_MUST_USE int poa_ledger_get(const struct poa_ledger *l, poa_state_id s,
                                enum poa_state_table table, const void *key, size_t key_n,
                                struct poa_slice *value);
/* The same decoded (OUT is the table's record; BLOB and LIST members borrow). */
POA_MUST_USE int poa_ledger_read(const struct poa_ledger *l, poa_state_id s,
                                 enum poa_state_table table, const void *key, size_t key_n,
                                 void *out);
void poa_ledger_global(const struct poa_ledger *l, poa_state_id s, struct poa_st_global *out);

/* Leaders: would this ticket or seal be accepted on state S in a block of time
 * TIME_MS? The codes of execute. Signatures and proofs are checked too. */
POA_MUST_USE int poa_ledger_try_ticket(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                                       const struct poa_ticket *t);
POA_MUST_USE int poa_ledger_try_seal(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                                     const struct poa_seal *seal);
/* Home servers: nonce, balance, fee of a checked transaction against state S;
 * PENDING transactions of the sender before it, worth SPENT, count as executed. */
POA_MUST_USE int poa_ledger_try_tx(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                                   const struct poa_tx_view *tx, uint64_t pending, uint64_t spent);

/* Leaders: would this evidence be accepted? Signatures are checked too. EXISTS
 * when its author is suspended already. */
POA_MUST_USE int poa_ledger_try_evidence(const struct poa_ledger *l, poa_state_id s,
                                         const struct poa_evidence *e);
/* Smallest fee of a transaction of SIZE bytes. */
uint64_t poa_fee_min(const struct poa_genesis *g, size_t size_bytes);

uint64_t poa_slot_of(const struct poa_genesis *g, uint64_t time_ms);
/* Epoch that the next block on state S belongs to. */
uint32_t poa_ledger_next_epoch(const struct poa_ledger *l, poa_state_id s);
/* Committee, seed and lottery of EPOCH as state S knows them. */
POA_MUST_USE int poa_ledger_epoch(const struct poa_ledger *l, poa_state_id s, uint32_t epoch,
                                  struct poa_st_epoch *epoch_out, struct poa_committee *committee,
                                  struct poa_lottery *lottery);
/* Next epoch's committee, drawn from state S (that of the closing block's
 * parent); OUT's list points into BUFFER of at least POA_COMMITTEE_BYTES_MAX. */
#define POA_COMMITTEE_BYTES_MAX (8 + POA_COMMITTEE_MAX * 42)
POA_MUST_USE int poa_ledger_next_committee(const struct poa_ledger *l, poa_state_id s,
                                           uint8_t *buffer, struct poa_committee *out);

/* Sum of all balances of the base, and what is held, equals genesis_supply +
 * issued - burned. */
POA_MUST_USE int poa_ledger_audit(const struct poa_ledger *l, bool *conserved);

/* --- checkpoints --------------------------------------------------------------
 *
 * Entries of the base that changed since the last checkpoint, for one
 * WriteBatch. Restoring: put every entry, then finish. */
struct poa_entry {
    uint8_t key[32];
    struct poa_slice
        value; /* empty: deleted; otherwise table u8 || key u8-length || key || value */
};
/* Calls VISIT for each changed entry of the base (after poa_ledger_new: all of
 * genesis); stops at its first error. */
POA_MUST_USE int poa_ledger_changes(struct poa_ledger *l,
                                    int (*visit)(void *ctx, const struct poa_entry *e), void *ctx);
void poa_ledger_checkpointed(struct poa_ledger *l); /* forgets those changes */
POA_MUST_USE int poa_ledger_restore_begin(struct poa_ledger *l);
/* Fastest in ascending key order. STORE_CORRUPT: the entry is not what changes
 * gave (checked: its record; its key in restore_end); NO_MEMORY. */
POA_MUST_USE int poa_ledger_restore_put(struct poa_ledger *l, const struct poa_entry *e);
/* Builds the tree; STORE_CORRUPT when a key is not its entry's or the root is not ROOT32 (NULL:
 * any; for tools that make a state). */
POA_MUST_USE int poa_ledger_restore_end(struct poa_ledger *l, const uint8_t root32[32]);

/* The state's tree from its entries, for those who have not all of it (docs/ledger.md). A
 * subtree holds the entries of a range of keys; an inner node is known by the first bit
 * in which its leaves' keys differ.
 * Errors: STORE_CORRUPT E has not the form, or its key is not its entry's. */
POA_MUST_USE int poa_entry_leaf(const struct poa_entry *e, uint8_t out32[32]);
/* OUT32 may be LEFT32. */
void poa_tree_node(uint8_t bit, const uint8_t left32[32], const uint8_t right32[32],
                   uint8_t out32[32]);
/* First bit in which A and B differ; 256 when they do not. */
unsigned poa_key_diff(const uint8_t a[32], const uint8_t b[32]);

/* --- proofs (freestanding: devices link proof.c) ------------------------------
 *
 * Path from a leaf to the root: layout in proof.c, docs/ledger.md. */
#define POA_PROOF_BYTES_MAX 12288
POA_MUST_USE int poa_ledger_prove(const struct poa_ledger *l, enum poa_state_table table,
                                  const void *key, size_t key_n, struct poa_writer *out);
/* VALUE empty proves absence. POA_E_PROOF. */
POA_MUST_USE int poa_proof_check(const uint8_t root32[32], enum poa_state_table table,
                                 const void *key, size_t key_n, struct poa_slice value,
                                 struct poa_slice proof);

/* --- mempool ------------------------------------------------------------------
 *
 * Checked transactions that wait at their home server, by sender and nonce;
 * bounded per account and in total. Bytes are copied into its own arena. */
struct poa_mempool;
struct poa_mempool_limits {
    uint32_t txs, per_account;
    size_t bytes;
};
POA_MUST_USE int poa_mempool_new(const struct poa_alloc *alloc,
                                 const struct poa_mempool_limits *limits, struct poa_mempool **out);
void poa_mempool_free(struct poa_mempool *m);
/* Checks TX against S and what waits before it. One with the nonce of another that
 * waits takes its place for a fee a tenth higher; in a full pool one whose sender has
 * nothing there may push out who pays less (docs/ledger.md). TX_DUPLICATE,
 * TX_REPLACE, TX_ACCOUNT_FULL, TX_POOL_FULL and the codes of poa_ledger_try_tx;
 * nothing changed then. */
POA_MUST_USE int poa_mempool_add(struct poa_mempool *m, const struct poa_ledger *l, poa_state_id s,
                                 uint64_t time_ms, const struct poa_tx_view *tx);
/* Moves transactions that may run next (nonces in order, not yet taken) into
 * OUT as a list of raw_tx, up to MAX_BYTES and MAX_TXS; returns how many. They
 * stay known, as pending, until settled. */
uint32_t poa_mempool_take(struct poa_mempool *m, struct poa_writer *out, size_t max_bytes,
                          uint32_t max_txs);
/* Transactions that were accepted and are forgotten without having been in a
 * block: which, and why. N of CAP; what does not fit is not told. */
struct poa_tx_gone {
    uint8_t id[32];
    int code;
};
struct poa_tx_gone_list {
    struct poa_tx_gone *tx;
    uint32_t n, cap;
};
/* From now on what the pool lets go (replaced, evicted, expired, overtaken, lost, or
 * behind one that failed) is added to LIST, borrowed; whoever reads it empties it. */
void poa_mempool_tell(struct poa_mempool *m, struct poa_tx_gone_list *list);
void poa_tx_gone_add(struct poa_tx_gone_list *list, const uint8_t id32[32], int code);
/* A block was finalized: forgets what it executed and what can no longer run. */
void poa_mempool_settle(struct poa_mempool *m, const struct poa_ledger *l,
                        const struct poa_tx_result *results, size_t n, uint64_t time_ms);
/* Forgets everything, which is told to nobody: whoever owned the pool is no home any
 * more, and passed on what was in it. */
void poa_mempool_clear(struct poa_mempool *m);
uint32_t poa_mempool_count(const struct poa_mempool *m);

#endif
