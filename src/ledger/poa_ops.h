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

#endif
