/* The record tables of poa_archive.h. */
#include "poa_snapshot.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_head, k, n, m, s, d)
POA_RECORD_DEFINE(archive_head, POA_ARCHIVE_HEAD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_entry, k, n, m, s, d)
POA_RECORD_DEFINE(archive_entry, POA_ARCHIVE_ENTRY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_batch, k, n, m, s, d)
POA_RECORD_DEFINE(archive_batch, POA_ARCHIVE_BATCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_block, k, n, m, s, d)
POA_RECORD_DEFINE(archive_block, POA_ARCHIVE_BLOCK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_filler, k, n, m, s, d)
POA_RECORD_DEFINE(archive_filler, POA_ARCHIVE_FILLER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(archive_end, k, n, m, s, d)
POA_RECORD_DEFINE(archive_end, POA_ARCHIVE_END_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(snapshot_ask, k, n, m, s, d)
POA_RECORD_DEFINE(snapshot_ask, POA_SNAPSHOT_ASK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(snapshot_part, k, n, m, s, d)
POA_RECORD_DEFINE(snapshot_part, POA_SNAPSHOT_PART_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(snapshot_manifest, k, n, m, s, d)
POA_RECORD_DEFINE(snapshot_manifest, POA_SNAPSHOT_MANIFEST_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(snapshot_get, k, n, m, s, d)
POA_RECORD_DEFINE(snapshot_get, POA_SNAPSHOT_GET_TABLE)
#undef F
