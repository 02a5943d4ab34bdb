/* Records of the mesh and the write-ahead log. */
#include "poa_consensus.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(raw_cert, k, n, m, s, d)
POA_RECORD_DEFINE(raw_cert, POA_RAW_CERT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(proposal, k, n, m, s, d)
POA_RECORD_DEFINE(proposal, POA_PROPOSAL_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(beacon_ahead, k, n, m, s, d)
POA_RECORD_DEFINE(beacon_ahead, POA_BEACON_AHEAD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(batch_ack, k, n, m, s, d)
POA_RECORD_DEFINE(batch_ack, POA_BATCH_ACK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(txs, k, n, m, s, d)
POA_RECORD_DEFINE(txs, POA_TXS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mining, k, n, m, s, d)
POA_RECORD_DEFINE(mining, POA_MINING_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(get_certs, k, n, m, s, d)
POA_RECORD_DEFINE(get_certs, POA_GET_CERTS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(get_block, k, n, m, s, d)
POA_RECORD_DEFINE(get_block, POA_GET_BLOCK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(get_batch, k, n, m, s, d)
POA_RECORD_DEFINE(get_batch, POA_GET_BATCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(recover, k, n, m, s, d)
POA_RECORD_DEFINE(recover, POA_RECOVER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(recovered, k, n, m, s, d)
POA_RECORD_DEFINE(recovered, POA_RECOVERED_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(follow, k, n, m, s, d)
POA_RECORD_DEFINE(follow, POA_FOLLOW_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(raw_batch, k, n, m, s, d)
POA_RECORD_DEFINE(raw_batch, POA_RAW_BATCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(block, k, n, m, s, d)
POA_RECORD_DEFINE(block, POA_BLOCK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(blocks, k, n, m, s, d)
POA_RECORD_DEFINE(blocks, POA_BLOCKS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(code, k, n, m, s, d)
POA_RECORD_DEFINE(code, POA_CODE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(codes, k, n, m, s, d)
POA_RECORD_DEFINE(codes, POA_CODES_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(peer_status, k, n, m, s, d)
POA_RECORD_DEFINE(peer_status, POA_PEER_STATUS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(wal_epoch, k, n, m, s, d)
POA_RECORD_DEFINE(wal_epoch, POA_WAL_EPOCH_TABLE)
#undef F
