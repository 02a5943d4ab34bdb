/* store: what a node keeps on disk. One LevelDB database per data directory.
 *
 *   DIR/LOCK   held by the process that uses the directory
 *   DIR/db     the database
 *
 *   prefix  key                      value
 *   m       name                     meta: format, chain, checkpoint, marks
 *   w       sequence number, BE      write-ahead record: type, bytes
 *   b       arrival number, BE       batch bytes, written once
 *   d       batch digest             arrival number, height that lists it
 *   h       height, BE               stored_block
 *   r       height, BE               stored_receipts
 *   k       header hash              height
 *   t       transaction id           height, index in the block (optional)
 *   s       state key                state entry, as of the checkpoint
 *   x       blob kind, hash          expiry, bytes
 *   y       expiry, BE, kind, hash   nothing: blobs in the order they expire
 *
 * Numbers that grow are keys in big-endian, so that LevelDB moves files
 * instead of rewriting them.
 *
 * Threading: one thread writes (everything with a struct poa_store_batch, and
 * poa_store_prune, poa_store_forget); any thread reads. A write error is
 * sticky: every later write fails with it, and the owner must stop.
 *
 * Errors of every function here: STORE (disk), STORE_CORRUPT (the key space is
 * named in poa_store_why), and what the function adds.
 */
#ifndef POA_STORE_H
#define POA_STORE_H

#include "poa_codec.h"
#include "poa_file.h"

#define POA_STORE_FORMAT    1
#define POA_STORE_NAME_MAX  80   /* bytes of a meta name */
#define POA_STORE_GROUP_MAX 4096 /* batches put per write */

/* --- records ----------------------------------------------------------------- */

#define POA_STORED_LOCATOR_TABLE(F)                                                                \
    F(U64, number, 0, _, "arrival number of a batch")                                              \
    F(FIX, digest, 32, _, "its digest")
POA_RECORD_DECLARE(stored_locator, POA_STORED_LOCATOR_TABLE)

#define POA_STORED_BLOCK_TABLE(F)                                                                  \
    F(BLOB, header, 1024, _, "encoded header")                                                     \
    F(BLOB, body, 1048576, _, "encoded body")                                                      \
    F(BLOB, cert, 16384, _, "finalization; empty: a later block's covers this one")                \
    F(BLOB, fillers, 1048576, _, "encoded blocks that link a closing block to what cert covers")   \
    F(U16, fillers_n, 0, _, "how many")                                                            \
    F(FIX, hash, 32, _, "header hash")                                                             \
    F(FIX, root, 32, _, "state root after the block")                                              \
    F(LIST, batches, 256, stored_locator, "the listed batches, in order")
POA_RECORD_DECLARE(stored_block, POA_STORED_BLOCK_TABLE)

#define POA_STORED_FAILURE_TABLE(F)                                                                \
    F(U32, index, 0, _, "position of the transaction in the block")                                \
    F(U16, code, 0, _, "error number")
POA_RECORD_DECLARE(stored_failure, POA_STORED_FAILURE_TABLE)

/* Transaction ids are not repeated here: they follow from the batches. */
#define POA_STORED_RECEIPTS_TABLE(F)                                                               \
    F(U32, txs, 0, _, "transactions in the block")                                                 \
    F(LIST, failed, 1048576, stored_failure, "those that were skipped; index ascending")
POA_RECORD_DECLARE(stored_receipts, POA_STORED_RECEIPTS_TABLE)

#define POA_STORED_CHECKPOINT_TABLE(F)                                                             \
    F(U64, height, 0, _, "last block that the state contains")                                     \
    F(FIX, root, 32, _, "state root after it")
POA_RECORD_DECLARE(stored_checkpoint, POA_STORED_CHECKPOINT_TABLE)

/* --- opening ------------------------------------------------------------------ */

struct poa_store;

struct poa_store_config {
    const char *dir;        /* created when missing, mode 0700 */
    const uint8_t *chain32; /* NULL: any chain (tools) */
    bool create;            /* make a new database when there is none */
    bool tx_index;          /* keep transaction id -> height, index */
    /* For deleting them from the index: calls EMIT for each transaction of an
     * encoded batch, in order. NULL: they stay. */
    int (*tx_ids)(const uint8_t chain32[32], struct poa_slice batch,
                  int (*emit)(void *ctx, const uint8_t id32[32]), void *ctx);
    size_t write_buffer_bytes, cache_bytes;
    int max_open_files;
};

/* What to do about STORE_CORRUPT, for a line; its argument is the directory. */
#define POA_STORE_MEND                                                                             \
    "move %s/db aside and start the node, which syncs anew, or load an archive or a snapshot "     \
    "before (docs/store.md, When something is wrong)"

/* Errors: LOCKED another process uses it, NOT_FOUND no database and !create,
 *         STORE_VERSION, STORE_CHAIN, IO, STORE_CORRUPT. WHY says what was wrong and, but
 *         for the last, what to do. */
POA_MUST_USE int poa_store_open(const struct poa_store_config *config, struct poa_store **out,
                                struct poa_why *why);
void poa_store_close(struct poa_store *s);
/* Creates DIR when it is missing and takes its lock alone; close *FD to give it
 * back. LOCKED, IO. */
POA_MUST_USE int poa_store_lock(const char *dir, int *fd, struct poa_why *why);
/* Removes the files in folder PATH, and PATH; not its folders. What is not there is
 * no error. */
void poa_store_remove(const char *path);
/* Bytes of the files of the database in DIR. */
uint64_t poa_store_files_bytes(const char *dir);
/* Free space that rewriting the database in DIR takes, generously: an eighth of it and 32 MiB.
 * Measured with keys in random order: 21 MB for 44 MB, 34 for 222, 87 for 669, 130 for 1,675. */
uint64_t poa_store_room_bytes(const char *dir);
/* Adds to WHY, when it is about a full disk, how much to free. */
void poa_store_advise(const char *dir, struct poa_why *why);
/* The text of the last failure, or "". */
void poa_store_why(struct poa_store *s, struct poa_why *out);
/* Chain id that the database belongs to. */
const uint8_t *poa_store_chain(const struct poa_store *s);

/* A value read from the database; give it back with poa_store_value_free. */
struct poa_store_value {
    struct poa_slice bytes;
    void *own;
};
void poa_store_value_free(struct poa_store_value *v);

/* --- writing: one group, one fsync ------------------------------------------------ */

struct poa_store_batch;

/* What happened to one transaction of a block. */
struct poa_store_fate {
    uint8_t id[32];
    uint16_t code; /* 0: executed, else the error number */
};

struct poa_store_block {
    uint64_t height;
    struct poa_slice header, body, cert, fillers;
    uint16_t fillers_n;
    uint8_t hash[32], root[32];
    const uint8_t (*batch)[32]; /* digests, each stored before or in the same group */
    uint32_t batches;
    const struct poa_store_fate *tx; /* in order */
    uint32_t txs;
};

POA_MUST_USE int poa_store_batch_new(struct poa_store *s, struct poa_store_batch **out);
void poa_store_batch_free(struct poa_store_batch *b);
/* Bytes and operations put since the last write. */
size_t poa_store_batch_bytes(const struct poa_store_batch *b);
size_t poa_store_batch_ops(const struct poa_store_batch *b);

void poa_store_put_record(struct poa_store_batch *b, uint64_t seq, uint16_t type,
                          struct poa_slice bytes);
/* The bytes go to the batch store (once, however often they are put); the
 * write-ahead log gets a reference of TYPE under SEQ. SEQ 0: no reference.
 * Errors: FULL after POA_STORE_GROUP_MAX batches: write first. */
POA_MUST_USE int poa_store_put_batch(struct poa_store_batch *b, uint64_t seq, uint16_t type,
                                     const uint8_t digest32[32], struct poa_slice bytes);
/* Errors: NOT_FOUND a listed batch is not stored, INVALID a slice is too long. */
POA_MUST_USE int poa_store_put_block(struct poa_store_batch *b, const struct poa_store_block *blk);
/* Adds the certificate to a block that was stored without. NOT_FOUND. */
POA_MUST_USE int poa_store_put_cert(struct poa_store_batch *b, uint64_t height,
                                    struct poa_slice cert);
/* Name: 1..POA_STORE_NAME_MAX characters; other modules' names contain a '/'. */
void poa_store_put_meta(struct poa_store_batch *b, const char *name, struct poa_slice value);
/* Empty VALUE: the entry is deleted. */
void poa_store_put_state(struct poa_store_batch *b, const uint8_t key32[32],
                         struct poa_slice value);
POA_MUST_USE int poa_store_put_checkpoint(struct poa_store_batch *b,
                                          const struct poa_stored_checkpoint *c);
/* Blobs are addressed by kind and hash and kept until EXPIRES_MS; one under the same
 * kind and hash is replaced. From one group at a time, because their sum is kept
 * (poa_store_blob_bytes). A failed lookup's error, NO_MEMORY. */
POA_MUST_USE int poa_store_put_blob(struct poa_store_batch *b, uint8_t kind,
                                    const uint8_t hash32[32], uint64_t expires_ms,
                                    struct poa_slice bytes);
/* Writes everything put since the last write and empties B. SYNC: durable on
 * return, and so is everything written before. */
POA_MUST_USE int poa_store_write(struct poa_store_batch *b, bool sync);

/* Deletes write-ahead records below SEQ, and batches that no block lists with the last
 * record that refers to them. Works in its own small writes without fsync: losing the later
 * ones is harmless. The caller has written its group before, here and in poa_store_prune. */
POA_MUST_USE int poa_store_forget(struct poa_store *s, uint64_t seq);
/* Deletes blocks below HEIGHT with their batches, receipts and entries in the
 * indexes, at most MAX_BLOCKS per call; *DONE says whether none is left. */
POA_MUST_USE int poa_store_prune(struct poa_store *s, uint64_t height, uint32_t max_blocks,
                                 bool *done);
/* Deletes blobs that expired before NOW_MS, the oldest first, at most MAX; *DONE says
 * whether none is left. */
POA_MUST_USE int poa_store_expire(struct poa_store *s, uint64_t now_ms, uint32_t max, bool *done);
/* Gives the disk back what was pruned since the last time. Takes a while; any
 * thread, one at a time. */
void poa_store_reclaim(struct poa_store *s);
/* Rewrites the database without what was deleted, so that the disk has it back.
 * Slow; from any thread. */
POA_MUST_USE int poa_store_compact(struct poa_store *s);

/* --- reading ------------------------------------------------------------------- */

/* NOT_FOUND. */
POA_MUST_USE int poa_store_get_meta(struct poa_store *s, const char *name,
                                    struct poa_store_value *v);
POA_MUST_USE int poa_store_get_checkpoint(struct poa_store *s, struct poa_stored_checkpoint *out);
/* OUT borrows from V. */
POA_MUST_USE int poa_store_get_block(struct poa_store *s, uint64_t height,
                                     struct poa_store_value *v, struct poa_stored_block *out);
POA_MUST_USE int poa_store_find_block(struct poa_store *s, const uint8_t hash32[32],
                                      uint64_t *height);
POA_MUST_USE int poa_store_get_receipts(struct poa_store *s, uint64_t height,
                                        struct poa_store_value *v, struct poa_stored_receipts *out);
/* Code of transaction INDEX, by binary search; 0 when it was executed. */
uint16_t poa_store_receipt_code(const struct poa_stored_receipts *r, uint32_t index);
POA_MUST_USE int poa_store_get_batch_at(struct poa_store *s, uint64_t number,
                                        struct poa_store_value *v);
POA_MUST_USE int poa_store_get_batch(struct poa_store *s, const uint8_t digest32[32],
                                     struct poa_store_value *v);
POA_MUST_USE int poa_store_find_tx(struct poa_store *s, const uint8_t id32[32], uint64_t *height,
                                   uint32_t *index);
POA_MUST_USE int poa_store_get_blob(struct poa_store *s, uint8_t kind, const uint8_t hash32[32],
                                    struct poa_store_value *v);
/* What all blobs take with their keys; any thread. */
uint64_t poa_store_blob_bytes(const struct poa_store *s);
/* First and last stored height; both 0 when there is no block. */
POA_MUST_USE int poa_store_heights(struct poa_store *s, uint64_t *first, uint64_t *last);

/* Calls VISIT for every write-ahead record in order, batches with their bytes;
 * stops at its first error. BYTES borrows for the call. Records whose batch was
 * pruned with its block are passed over. */
POA_MUST_USE int poa_store_each_record(struct poa_store *s,
                                       int (*visit)(void *ctx, uint64_t seq, uint16_t type,
                                                    struct poa_slice bytes),
                                       void *ctx);
POA_MUST_USE int poa_store_each_state(struct poa_store *s,
                                      int (*visit)(void *ctx, const uint8_t key32[32],
                                                   struct poa_slice value),
                                      void *ctx);

/* Calls VISIT for every meta entry whose name begins with PREFIX, in order of
 * names. */
POA_MUST_USE int poa_store_each_meta(struct poa_store *s, const char *prefix,
                                     int (*visit)(void *ctx, struct poa_slice name,
                                                  struct poa_slice value),
                                     void *ctx);

/* Names of what other modules keep: the genesis record; for each epoch the run of
 * headers that ends it. */
#define POA_META_GENESIS   "node/genesis"
#define POA_META_HAND_OVER "node/epoch/%u"

/* What the database holds now: reads of *OUT do not see later writes. For
 * reading only; thaw it before S is closed. NO_MEMORY. */
POA_MUST_USE int poa_store_freeze(struct poa_store *s, struct poa_store **out);
void poa_store_thaw(struct poa_store *frozen);

/* --- checking -------------------------------------------------------------------- */

struct poa_store_audit {
    /* May be NULL. Called now and then: entries looked at so far. */
    void (*progress)(void *ctx, const char *space, uint64_t entries);
    /* One line for each thing that is wrong. */
    void (*wrong)(void *ctx, const char *text);
    void *ctx;
    uint64_t entries, bytes, faults; /* out */
    /* Out: what all blobs take, and what the database says that they take: nothing is lost
     * when they differ, but a limit for all of them is kept by the second one. */
    uint64_t blob_bytes, blob_bytes_said;
};
/* Reads every entry, so that LevelDB verifies every checksum, and checks that
 * each has the form of its key space, that what one entry refers to is there,
 * and that batches have their digests (by DIGEST_OF, when not NULL). What the
 * blocks and the state say is the caller's to check. Goes on after a fault;
 * STORE_CORRUPT when there was any. */
POA_MUST_USE int poa_store_audit(struct poa_store *s, struct poa_store_audit *a,
                                 void (*digest_of)(struct poa_slice batch, uint8_t out32[32]));

struct poa_store_stats {
    uint64_t batches;               /* arrival numbers given out */
    uint64_t writes, synced, bytes; /* by this process */
    uint64_t disk_bytes;            /* files of the database */
    uint64_t deleted_bytes;         /* pruned, and not reclaimed yet */
    uint64_t torn_bytes;            /* cut off the logs at the start: never synced */
};
void poa_store_stats(struct poa_store *s, struct poa_store_stats *out);

#endif
