/* The record tables of poa_ledger.h. */
#include "poa_ledger.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(op, k, n, m, s, d)
POA_RECORD_DEFINE(op, POA_OP_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(tx, k, n, m, s, d)
POA_RECORD_DEFINE(tx, POA_TX_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(auth_sig, k, n, m, s, d)
POA_RECORD_DEFINE(auth_sig, POA_AUTH_SIG_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(auth, k, n, m, s, d)
POA_RECORD_DEFINE(auth, POA_AUTH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_transfer, k, n, m, s, d)
POA_RECORD_DEFINE(op_transfer, POA_OP_TRANSFER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_hold, k, n, m, s, d)
POA_RECORD_DEFINE(op_hold, POA_OP_HOLD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_device, k, n, m, s, d)
POA_RECORD_DEFINE(op_device, POA_OP_DEVICE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_maker, k, n, m, s, d)
POA_RECORD_DEFINE(op_maker, POA_OP_MAKER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_witness, k, n, m, s, d)
POA_RECORD_DEFINE(op_witness, POA_OP_WITNESS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_witness_leave, k, n, m, s, d)
POA_RECORD_DEFINE(op_witness_leave, POA_OP_WITNESS_LEAVE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_readmit, k, n, m, s, d)
POA_RECORD_DEFINE(op_readmit, POA_OP_READMIT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mark, k, n, m, s, d)
POA_RECORD_DEFINE(mark, POA_MARK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_anchor, k, n, m, s, d)
POA_RECORD_DEFINE(op_anchor, POA_OP_ANCHOR_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(param_change, k, n, m, s, d)
POA_RECORD_DEFINE(param_change, POA_PARAM_CHANGE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_params, k, n, m, s, d)
POA_RECORD_DEFINE(op_params, POA_OP_PARAMS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(raw_tx, k, n, m, s, d)
POA_RECORD_DEFINE(raw_tx, POA_RAW_TX_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(batch, k, n, m, s, d)
POA_RECORD_DEFINE(batch, POA_BATCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(digest, k, n, m, s, d)
POA_RECORD_DEFINE(digest, POA_DIGEST_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(body, k, n, m, s, d)
POA_RECORD_DEFINE(body, POA_BODY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(genesis_account, k, n, m, s, d)
POA_RECORD_DEFINE(genesis_account, POA_GENESIS_ACCOUNT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(genesis, k, n, m, s, d)
POA_RECORD_DEFINE(genesis, POA_GENESIS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_global, k, n, m, s, d)
POA_RECORD_DEFINE(st_global, POA_ST_GLOBAL_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_account, k, n, m, s, d)
POA_RECORD_DEFINE(st_account, POA_ST_ACCOUNT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_device, k, n, m, s, d)
POA_RECORD_DEFINE(st_device, POA_ST_DEVICE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_maker, k, n, m, s, d)
POA_RECORD_DEFINE(st_maker, POA_ST_MAKER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_witness, k, n, m, s, d)
POA_RECORD_DEFINE(st_witness, POA_ST_WITNESS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_seat, k, n, m, s, d)
POA_RECORD_DEFINE(st_seat, POA_ST_SEAT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_slot, k, n, m, s, d)
POA_RECORD_DEFINE(st_slot, POA_ST_SLOT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_epoch, k, n, m, s, d)
POA_RECORD_DEFINE(st_epoch, POA_ST_EPOCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_anchor, k, n, m, s, d)
POA_RECORD_DEFINE(st_anchor, POA_ST_ANCHOR_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_params, k, n, m, s, d)
POA_RECORD_DEFINE(st_params, POA_ST_PARAMS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(sent, k, n, m, s, d)
POA_RECORD_DEFINE(sent, POA_SENT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_outgoing, k, n, m, s, d)
POA_RECORD_DEFINE(st_outgoing, POA_ST_OUTGOING_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(held, k, n, m, s, d)
POA_RECORD_DEFINE(held, POA_HELD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_hold, k, n, m, s, d)
POA_RECORD_DEFINE(st_hold, POA_ST_HOLD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_holds, k, n, m, s, d)
POA_RECORD_DEFINE(st_holds, POA_ST_HOLDS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(terms, k, n, m, s, d)
POA_RECORD_DEFINE(terms, POA_TERMS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_purchase, k, n, m, s, d)
POA_RECORD_DEFINE(op_purchase, POA_OP_PURCHASE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_asset, k, n, m, s, d)
POA_RECORD_DEFINE(op_asset, POA_OP_ASSET_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_mint, k, n, m, s, d)
POA_RECORD_DEFINE(op_mint, POA_OP_MINT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_asset, k, n, m, s, d)
POA_RECORD_DEFINE(st_asset, POA_ST_ASSET_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_balance, k, n, m, s, d)
POA_RECORD_DEFINE(st_balance, POA_ST_BALANCE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_escrow, k, n, m, s, d)
POA_RECORD_DEFINE(op_escrow, POA_OP_ESCROW_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_escrow_id, k, n, m, s, d)
POA_RECORD_DEFINE(op_escrow_id, POA_OP_ESCROW_ID_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_escrow, k, n, m, s, d)
POA_RECORD_DEFINE(st_escrow, POA_ST_ESCROW_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_due, k, n, m, s, d)
POA_RECORD_DEFINE(st_due, POA_ST_DUE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_offer, k, n, m, s, d)
POA_RECORD_DEFINE(op_offer, POA_OP_OFFER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_offer_id, k, n, m, s, d)
POA_RECORD_DEFINE(op_offer_id, POA_OP_OFFER_ID_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_buy, k, n, m, s, d)
POA_RECORD_DEFINE(op_buy, POA_OP_BUY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_deliver, k, n, m, s, d)
POA_RECORD_DEFINE(op_deliver, POA_OP_DELIVER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(op_dispute, k, n, m, s, d)
POA_RECORD_DEFINE(op_dispute, POA_OP_DISPUTE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_offer, k, n, m, s, d)
POA_RECORD_DEFINE(st_offer, POA_ST_OFFER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(st_sale, k, n, m, s, d)
POA_RECORD_DEFINE(st_sale, POA_ST_SALE_TABLE)
#undef F
