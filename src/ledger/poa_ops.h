/* ops: the operations of the value, governance and data families beyond those
 * in poa_ledger.h, and what they keep in state. Explained in docs/ledger.md.
 *
 * Ids of escrows, sales and offers are H(OBJECT, tx id || index of the
 * operation u8): whoever signs a transaction knows them beforehand, and none
 * can come twice.
 */
#ifndef POA_OPS_H
#define POA_OPS_H

#include "poa_crypto.h"

/* --- parameters that governance may change ------------------------------------
 *
 * X(NAME, number, KIND, field, min, max, unit, "meaning"): KIND and field as in
 * the genesis record; MIN and MAX do not apply to addresses. A change holds from
 * the next epoch on. What is not here is fixed for the network's life: clocks
 * and slots are in use by devices, policy and lottery are what they were
 * promised, and the rest describes the first state. */
#define POA_PARAMS(X)                                                                              \
    X(FEE_MIN, 1, U64, fee_min, 0, 1000000000000000, units, "smallest fee of a transaction")       \
    X(FEE_PER_KIB, 2, U64, fee_per_kib, 0, 1000000000000, units, "and per started KiB of it")      \
    X(COMMERCE_BP, 3, U16, commerce_bp, 0, 10000, basis points,                                    \
      "commission on purchases and sales")                                                         \
    X(SUBSIDY, 4, U64, subsidy, 0, UINT64_MAX, units,                                              \
      "issued per sealed slot; never above that of genesis")                                       \
    X(MINER_BP, 5, U16, miner_bp, 0, 10000, basis points, "miner's share of the subsidy")          \
    X(SEALERS_BP, 6, U16, sealers_bp, 0, 10000, basis points, "other sealers' share")              \
    X(TIP, 7, U64, tip, 0, UINT64_MAX, units, "to the leader per included seal")                   \
    X(COMMITTEE_SIZE, 8, U16, committee_size, 0, 128, members, "n; 0 = the whole pool")            \
    X(QUORUM_EXTRA, 9, U16, quorum_extra, 0, 127, signatures, "q = n - f + this, at most n")       \
    X(CAP_MAKER, 10, U16, cap_maker, 0, 128, members, "per manufacturer; 0 = no cap")              \
    X(CAP_REGION, 11, U16, cap_region, 0, 128, members, "per region; 0 = no cap")                  \
    X(CAP_PROVIDER, 12, U16, cap_provider, 0, 128, members, "per provider; 0 = no cap")            \
    X(RISK_P_PPB, 13, U64, risk_p_ppb, 1, 1000000000, 1e-9, "fraction of witnesses assumed bad")   \
    X(RISK_OFFLINE_PPB, 14, U64, risk_offline_ppb, 0, 1000000000, 1e-9,                            \
      "fraction assumed offline")                                                                  \
    X(RISK_TARGET_EXP, 15, U16, risk_target_exp, 1, 300, power of ten,                             \
      "a fork is at most as likely as 10^-this")                                                   \
    X(RISK_STALL_EXP, 16, U16, risk_stall_exp, 0, 300, power of ten,                               \
      "a stall; 0 = as risk_target_exp")                                                           \
    X(STEERING, 17, FIX, steering, 0, 0, address, "who governs: the steering committee's account") \
    X(TREASURY, 18, FIX, treasury, 0, 0, address, "who receives commissions and remainders")       \
    X(WITNESSES_BP, 19, U16, witnesses_bp, 0, 10000, basis points, "share of witnesses, by turns") \
    X(DATA_BP, 20, U16, data_bp, 0, 10000, basis points, "share of devices that publish data")     \
    X(HOLD_ABOVE, 21, U64, hold_above, 0, UINT64_MAX, units,                                       \
      "what an account sends above this in a span waits for grade 2; 0 = no limit")

enum poa_param {
#define POA_PARAM_ROW(name, number, kind, field, min, max, unit, text) POA_PARAM_##name = (number),
    POA_PARAMS(POA_PARAM_ROW)
#undef POA_PARAM_ROW
};
#define POA_PARAMS_MAX 32

#define POA_PARAM_CHANGE_TABLE(F)                                                                  \
    F(U16, param, 0, _, "number in the table of parameters")                                       \
    F(U64, value, 0, _, "new value; 0 for an address")                                             \
    F(FIX, address, 32, _, "new address; zero for a number")
POA_RECORD_DECLARE(param_change, POA_PARAM_CHANGE_TABLE)

#define POA_OP_PARAMS_TABLE(F)                                                                     \
    F(LIST, changes, 24, param_change, "1 or more, numbers ascending; judged together")
POA_RECORD_DECLARE(op_params, POA_OP_PARAMS_TABLE)

/* All that differs from genesis, numbers ascending: NEXT from epoch FROM on, NOW
 * before. Not in state while nothing was ever changed. */
#define POA_ST_PARAMS_TABLE(F)                                                                     \
    F(U32, from, 0, _, "first epoch of `next`")                                                    \
    F(LIST, now, 32, param_change, "differences from genesis before that epoch")                   \
    F(LIST, next, 32, param_change, "and from it on")
POA_RECORD_DECLARE(st_params, POA_ST_PARAMS_TABLE)

/* --- terms ------------------------------------------------------------------------
 *
 * What parties agree on beside the amount. The ledger keeps them in the
 * transaction, signed and dated, and judges only their form. */
#define POA_NATURES(X)                                                                             \
    X(UNSPECIFIED, 0)                                                                              \
    X(GOODS, 1)                                                                                    \
    X(SERVICE, 2)                                                                                  \
    X(RENT, 3)                                                                                     \
    X(DATA, 4)                                                                                     \
    X(ENERGY, 5)                                                                                   \
    X(WAGES, 6)                                                                                    \
    X(REFUND, 7)                                                                                   \
    X(GIFT, 8)                                                                                     \
    X(OTHER, 9)
enum poa_nature {
#define POA_NATURE_ROW(name, number) POA_NATURE_##name = (number),
    POA_NATURES(POA_NATURE_ROW)
#undef POA_NATURE_ROW
};

#define POA_TERMS_TABLE(F)                                                                         \
    F(U8, nature, 9, _,                                                                            \
      "0 unspecified, 1 goods, 2 service, 3 rent, 4 data, 5 energy, 6 wages, "                     \
      "7 refund, 8 gift, 9 other")                                                                 \
    F(U16, deliveries, 0, _, "how many are agreed; 0 = none")                                      \
    F(U64, first_ms, 0, _, "the first of them, Unix ms; 0 when there is none")                     \
    F(U64, every_ms, 0, _, "from one to the next; 0 when there are fewer than two")                \
    F(U16, warranty_days, 0, _, "from delivery; 0 = none")                                         \
    F(FIX, hash, 32, _, "H(TERMS, the terms in full); zero = there are no others")                 \
    F(BLOB, text, 120, _, "UTF-8 without control characters")
POA_RECORD_DECLARE(terms, POA_TERMS_TABLE)

/* --- assets and purchases ------------------------------------------------------------ */

#define POA_OP_PURCHASE_TABLE(F)                                                                   \
    F(FIX, to, 32, _, "seller's address")                                                          \
    F(U32, asset, 0, _, "0 = the native asset")                                                    \
    F(U64, amount, 0, _, "price; the commission is taken from it")                                 \
    F(BLOB, terms, 255, _, "terms record, or empty")
POA_RECORD_DECLARE(op_purchase, POA_OP_PURCHASE_TABLE)

#define POA_DECIMALS_MAX 18
#define POA_OP_ASSET_TABLE(F)                                                                      \
    F(U32, asset, 0, _, "number that nobody has taken, not 0")                                     \
    F(BLOB, name, 32, _, "UTF-8 name")                                                             \
    F(U8, decimals, 18, _, "for display: 1 unit is 10^-this")                                      \
    F(U64, supply, 0, _, "minted to the issuer at once")                                           \
    F(U64, max, 0, _, "no more than this can ever be minted")                                      \
    F(BLOB, meta, 255, _, "metadata, free form")
POA_RECORD_DECLARE(op_asset, POA_OP_ASSET_TABLE)

#define POA_OP_MINT_TABLE(F)                                                                       \
    F(U32, asset, 0, _, "one that the sender issued")                                              \
    F(FIX, to, 32, _, "address")                                                                   \
    F(U64, amount, 0, _, "at least 1")
POA_RECORD_DECLARE(op_mint, POA_OP_MINT_TABLE)

#define POA_ST_ASSET_TABLE(F)                                                                      \
    F(FIX, issuer, 32, _, "who may mint")                                                          \
    F(U64, supply, 0, _, "minted so far; sum of balances and escrows")                             \
    F(U64, max, 0, _, "limit of supply")                                                           \
    F(U8, decimals, 18, _, "for display")                                                          \
    F(BLOB, name, 32, _, "UTF-8 name")                                                             \
    F(BLOB, meta, 255, _, "metadata")
POA_RECORD_DECLARE(st_asset, POA_ST_ASSET_TABLE)

#define POA_ST_BALANCE_TABLE(F) F(U64, balance, 0, _, "smallest unit; never 0")
POA_RECORD_DECLARE(st_balance, POA_ST_BALANCE_TABLE)

/* --- escrow -----------------------------------------------------------------------------
 *
 *   OPEN ── payer, confirmer or arbiter: release ──> payee (less the commission)
 *        ── payee or arbiter: refund ─────────────> payer
 *        ── slot > deadline ──────────────────────> payer; a sale that was
 *                                                    delivered: payee */
#define POA_ESCROW_SLOTS_MAX 100000000u

#define POA_OP_ESCROW_TABLE(F)                                                                     \
    F(FIX, payee, 32, _, "address that a release pays")                                            \
    F(FIX, confirmer, 32, _, "who confirms delivery beside the payer; zero = nobody")              \
    F(FIX, arbiter, 32, _, "who may release and refund; zero = nobody")                            \
    F(U32, asset, 0, _, "0 = the native asset")                                                    \
    F(U64, amount, 0, _, "at least 1")                                                             \
    F(U32, slots, 0, _, "refunded after so many slots, 1 to 10^8")                                 \
    F(U8, commerce, 1, _, "1: a purchase, with the commission of today")                           \
    F(BLOB, terms, 255, _, "terms record, or empty")
POA_RECORD_DECLARE(op_escrow, POA_OP_ESCROW_TABLE)

#define POA_OP_ESCROW_ID_TABLE(F) F(FIX, escrow, 32, _, "id of an escrow or sale")
POA_RECORD_DECLARE(op_escrow_id, POA_OP_ESCROW_ID_TABLE)

#define POA_ST_ESCROW_TABLE(F)                                                                     \
    F(FIX, payer, 32, _, "who paid in")                                                            \
    F(FIX, payee, 32, _, "whom a release pays")                                                    \
    F(FIX, confirmer, 32, _, "who may release beside the payer; zero = nobody")                    \
    F(FIX, arbiter, 32, _, "who may release and refund; zero = nobody")                            \
    F(U32, asset, 0, _, "0 = the native asset")                                                    \
    F(U64, amount, 0, _, "what waits")                                                             \
    F(U16, commission_bp, 10000, _, "taken from a release, basis points")                          \
    F(U8, sale, 1, _, "1: SALE has the rest")                                                      \
    F(U8, delivered, 1, _, "1: time-out pays the payee")                                           \
    F(U64, deadline, 0, _, "last slot in which somebody may decide")                               \
    F(U64, height, 0, _, "block that opened it")                                                   \
    F(FIX, prev, 32, _, "neighbours in the list of its deadline; zero = none")                     \
    F(FIX, next, 32, _, "")                                                                        \
    F(BLOB, terms, 255, _, "terms record, or empty")
POA_RECORD_DECLARE(st_escrow, POA_ST_ESCROW_TABLE)

#define POA_ST_DUE_TABLE(F)                                                                        \
    F(FIX, first, 32, _, "escrow that ends with this slot; its next follows")
POA_RECORD_DECLARE(st_due, POA_ST_DUE_TABLE)

/* --- usage data for sale -------------------------------------------------------------------
 *
 * The data are encrypted under a key that the offer commits to, and may be given
 * to anybody. A buyer pays into a sale with a one-time X25519 key; the seller
 * delivers the data key sealed to it; the buyer who gets another key than the
 * promised one shows the one-time secret within dispute_slots, the ledger opens
 * what was delivered and refunds. */
#define POA_SEALED_KEY_BYTES 80 /* libsodium's sealed box of 32 bytes */

#define POA_OP_OFFER_TABLE(F)                                                                      \
    F(FIX, content, 32, _, "H(DATA, the encrypted data)")                                          \
    F(FIX, key_hash, 32, _, "H(DATA_KEY, data key)")                                               \
    F(U64, bytes, 0, _, "length of the encrypted data")                                            \
    F(U32, asset, 0, _, "what it is paid in, 0 = the native asset")                                \
    F(U64, price, 0, _, "at least 1")                                                              \
    F(U32, slots, 0, _, "the buyer is refunded when nothing is delivered in so many, 1 to 10^8")   \
    F(U32, dispute_slots, 0, _, "the seller is paid so many slots after delivery, 1 to 10^8")      \
    F(BLOB, title, 96, _, "UTF-8 without control characters, not empty")                           \
    F(BLOB, meta, 255, _, "metadata: where the data are, and free form")
POA_RECORD_DECLARE(op_offer, POA_OP_OFFER_TABLE)

#define POA_OP_OFFER_ID_TABLE(F) F(FIX, offer, 32, _, "id of an offer")
POA_RECORD_DECLARE(op_offer_id, POA_OP_OFFER_ID_TABLE)

#define POA_OP_BUY_TABLE(F)                                                                        \
    F(FIX, offer, 32, _, "id of the offer")                                                        \
    F(FIX, key, 32, _, "X25519 key of the buyer, used for this once")                              \
    F(U32, asset, 0, _, "as in the offer")                                                         \
    F(U64, price, 0, _, "as in the offer")
POA_RECORD_DECLARE(op_buy, POA_OP_BUY_TABLE)

#define POA_OP_DELIVER_TABLE(F)                                                                    \
    F(FIX, sale, 32, _, "id of the sale")                                                          \
    F(FIX, sealed, 80, _, "data key, sealed to the buyer's key")
POA_RECORD_DECLARE(op_deliver, POA_OP_DELIVER_TABLE)

#define POA_OP_DISPUTE_TABLE(F)                                                                    \
    F(FIX, sale, 32, _, "id of the sale")                                                          \
    F(FIX, secret, 32, _, "secret of the buyer's key")
POA_RECORD_DECLARE(op_dispute, POA_OP_DISPUTE_TABLE)

#define POA_ST_OFFER_TABLE(F)                                                                      \
    F(FIX, seller, 32, _, "who offers")                                                            \
    F(FIX, content, 32, _, "H(DATA, the encrypted data)")                                          \
    F(FIX, key_hash, 32, _, "H(DATA_KEY, data key)")                                               \
    F(U64, bytes, 0, _, "length of the encrypted data")                                            \
    F(U32, asset, 0, _, "what it is paid in")                                                      \
    F(U64, price, 0, _, "per sale")                                                                \
    F(U32, slots, 0, _, "to deliver in")                                                           \
    F(U32, dispute_slots, 0, _, "to dispute in")                                                   \
    F(U32, sold, 0, _, "sales so far")                                                             \
    F(BLOB, title, 96, _, "UTF-8")                                                                 \
    F(BLOB, meta, 255, _, "metadata")
POA_RECORD_DECLARE(st_offer, POA_ST_OFFER_TABLE)

#define POA_ST_SALE_TABLE(F)                                                                       \
    F(FIX, offer, 32, _, "offer that was bought")                                                  \
    F(FIX, key, 32, _, "buyer's X25519 key")                                                       \
    F(FIX, key_hash, 32, _, "of the data key that was promised")                                   \
    F(U32, dispute_slots, 0, _, "to dispute in, once delivered")                                   \
    F(BLOB, sealed, 80, _, "what was delivered, or empty")
POA_RECORD_DECLARE(st_sale, POA_ST_SALE_TABLE)

#endif
