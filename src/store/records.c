/* Layouts of what the store writes. */
#include "store_internal.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(stored_locator, k, n, m, s, d)
POA_RECORD_DEFINE(stored_locator, POA_STORED_LOCATOR_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(stored_block, k, n, m, s, d)
POA_RECORD_DEFINE(stored_block, POA_STORED_BLOCK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(stored_failure, k, n, m, s, d)
POA_RECORD_DEFINE(stored_failure, POA_STORED_FAILURE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(stored_receipts, k, n, m, s, d)
POA_RECORD_DEFINE(stored_receipts, POA_STORED_RECEIPTS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(stored_checkpoint, k, n, m, s, d)
POA_RECORD_DEFINE(stored_checkpoint, POA_STORED_CHECKPOINT_TABLE)
#undef F
