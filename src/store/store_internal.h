/* Shared by the files of src/store only. */
#ifndef POA_STORE_INTERNAL_H
#define POA_STORE_INTERNAL_H

#include <leveldb/c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "poa_store.h"

/* Key spaces. X(NAME, prefix, "what poa_store_why calls it") */
#define POA_SPACES(X)                                                                              \
    X(META, 'm', "meta")                                                                           \
    X(RECORD, 'w', "write-ahead log")                                                              \
    X(BATCH, 'b', "batches")                                                                       \
    X(DIGEST, 'd', "batch index")                                                                  \
    X(BLOCK, 'h', "blocks")                                                                        \
    X(HASH, 'k', "block index")                                                                    \
    X(RECEIPTS, 'r', "receipts")                                                                   \
    X(TX, 't', "transaction index")                                                                \
    X(STATE, 's', "state")                                                                         \
    X(BLOB, 'x', "blobs")                                                                          \
    X(EXPIRY, 'y', "blob expiry")

enum space {
#define SPACE_ROW(name, prefix, text) SPACE_##name = (prefix),
    POA_SPACES(SPACE_ROW)
#undef SPACE_ROW
};

#define KEY_MAX (1 + POA_STORE_NAME_MAX)
struct key {
    char p[KEY_MAX];
    size_t n;
};
struct key key_number(enum space space, uint64_t number);
struct key key_bytes(enum space space, const void *bytes, size_t n);
struct key key_blob(uint8_t kind, const uint8_t hash32[32]);
struct key key_expiry(uint64_t expires_ms, uint8_t kind, const uint8_t hash32[32]);

/* The batch index: arrival number, and the height of the block that lists it
 * (0: none yet), both little-endian. */
#define DIGEST_VALUE_BYTES 16
/* Write-ahead value: type u8, then the bytes. For a batch the top bit of the
 * type is set and a stored_locator stands for the bytes. */
#define RECORD_REFERENCE 0x80u
#define LOCATOR_BYTES    40

/* A batch that was put lately. NUMBER 0: none. */
struct known {
    uint8_t digest[32];
    uint64_t number, height;
};
#define KNOWN_SLOTS 4096

/* Of log LOG, BYTES were synced. */
struct store_mark {
    uint64_t log, bytes;
};

struct poa_store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_readoptions_t *read, *scan;
    leveldb_writeoptions_t *sync, *lazy;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *bloom;
    const leveldb_snapshot_t *frozen; /* a view of another store */
    int lock_fd;
    bool tx_index;
    int (*tx_ids)(const uint8_t chain32[32], struct poa_slice batch,
                  int (*emit)(void *ctx, const uint8_t id32[32]), void *ctx);
    /* Pruned since the last reclaim, and up to where. */
    _Atomic bool reclaiming; /* every write is synced meanwhile */
    _Atomic uint64_t deleted, deleted_height, deleted_batch;
    _Atomic bool deleted_blobs;
    /* Nothing is left below: LevelDB keeps what was deleted until it compacts, and a scan
     * from the beginning would pass it all. Writer's. */
    uint64_t forgotten, pruned;
    struct known known[KNOWN_SLOTS]; /* known.c; writer's */
    _Atomic uint64_t blob_bytes;     /* as META_BLOB_BYTES has it */
    uint8_t chain[32];
    char dir[4096];
    uint64_t next_batch; /* writer's */
    /* One write at a time, with what is noted of it: who reclaims writes, too. */
    pthread_mutex_t write_mutex;
    size_t write_buffer, in_log; /* bytes written since LevelDB's log began, at most */
    struct store_mark mark;      /* tail.c */
    int mark_fd;
    uint64_t torn; /* bytes cut off at the start */
    _Atomic uint64_t batches, writes, synced, bytes;
    _Atomic int failed; /* sticky write error */
    pthread_mutex_t why_mutex;
    struct poa_why why;
};

/* One batch put but not written yet. */
struct fresh {
    uint8_t digest[32];
    uint64_t number;
};
#define FRESH_SLOTS (2 * POA_STORE_GROUP_MAX)

#define META_BLOB_BYTES "blob_bytes"
#define META_DELETED    "deleted_bytes" /* and not reclaimed; after a crash maybe what was, too */
/* What a blob takes besides its bytes: when it expires, and its two keys. */
#define BLOB_BYTES  (8 + 34 + 42)
#define BLOBS_GROUP 64

struct poa_store_batch {
    struct poa_store *store;
    leveldb_writebatch_t *wb;
    size_t bytes, ops;
    bool indexed; /* entries of executed transactions are waiting */
    uint32_t fresh_n;
    uint16_t slot[FRESH_SLOTS]; /* open addressing: index into fresh + 1 */
    struct fresh fresh[POA_STORE_GROUP_MAX];
    uint64_t blob[BLOBS_GROUP]; /* first bytes of the hashes of blobs in the group */
    uint32_t blobs;
    uint64_t blob_delta; /* what they add to the sum, modulo 2^64 */
    uint8_t *scratch;    /* for encoding */
    size_t scratch_cap;
};

/* Takes LevelDB's message, frees it, keeps it for poa_store_why; the code. */
int store_error(struct poa_store *s, enum space space, const char *doing, char *message);
/* Our own finding: the bytes at SPACE are not what we wrote. */
int store_corrupt(struct poa_store *s, enum space space, const char *what);
const char *space_name(enum space space);

int store_get(struct poa_store *s, enum space space, const struct key *key,
              struct poa_store_value *v);
/* Arrival number and height of DIGEST; NOT_FOUND. */
int store_find_batch(struct poa_store *s, const uint8_t digest32[32], uint64_t *number,
                     uint64_t *height);
/* The same for the writer, who keeps what it put in mind. */
int store_known(struct poa_store *s, const uint8_t digest32[32], uint64_t *number,
                uint64_t *height);
void store_know(struct poa_store *s, const uint8_t digest32[32], uint64_t number, uint64_t height);
void store_unknow(struct poa_store *s, const uint8_t digest32[32]);
/* The batch that a write-ahead record refers to. NOT_FOUND: it went with its block,
 * which is final and pruned. Its index entry went in the same write: where that still
 * says AT, or no block was ever pruned, the bytes are damaged. The number alone proves
 * nothing, it is given again once no batch is left. */
int store_get_reference(struct poa_store *s, const struct poa_stored_locator *at,
                        struct poa_store_value *v);
/* Cuts torn ends off the logs in folder DB; true when there were some, and no
 * other damage. */
bool store_trim(struct poa_store *s, const char *db);
/* Whether the log in folder DB that M says was synced is gone, or whole only up to WHOLE. */
bool store_log_damaged(const struct poa_store *s, const char *db, struct store_mark *m,
                       uint64_t *whole);
/* After each write, with the write_mutex: keeps up to where the log is on disk; true when
 * LevelDB has begun a new one for this write. */
bool store_mark_log(struct poa_store *s, bool sync);
/* The highest number of a log of LevelDB's. */
uint64_t store_log_number(const struct poa_store *s);
/* LevelDB keeps what went wrong in the background for the next write. */
int store_probe(struct poa_store *s);
/* The sum of all blobs: as the database says, or counted when it does not. */
int store_count_blobs(struct poa_store *s);
int store_load_deleted(struct poa_store *s);
/* Counts them, and has the database say that. */
int store_recount_blobs(struct poa_store *s);
/* S->blob_bytes, by itself. */
int store_write_blob_bytes(struct poa_store *s);
int store_write(struct poa_store *s, leveldb_writebatch_t *wb, bool sync, size_t bytes);

#endif
