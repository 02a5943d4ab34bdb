/* archive: a chain, or the state of one, as a file that carries its own proof.
 *
 *   store ── poa_archive_write ──> file ── poa_archive_load ──> store
 *                                    └── poa_archive_verify
 *
 * A full archive has every block from the first on; whoever loads it executes
 * them. A snapshot begins with the state after block BASE, which header BASE + 1
 * certifies, and has the blocks from BASE on. Both bring the genesis record and a
 * hand-over per epoch: committees follow from one another, so nothing has to be
 * believed but which chain it is.
 *
 *   file   magic "poaarch1", then chunks:
 *          kind u8 | length u32 le | payload | H(ARCHIVE, number of the chunk
 *          u64 le || kind || length || payload)
 *   order  head, genesis, hand-overs by epoch, state by key, blocks by height, end
 *
 * The same content gives the same bytes. A reader refuses whatever the writer
 * would not have written.
 *
 * Threading: none of its own. poa_archive_check may be called while others use
 * the store.
 */
#ifndef POA_ARCHIVE_H
#define POA_ARCHIVE_H

#include <stdio.h>

#include "poa_ledger.h"
#include "poa_store.h"

#define POA_ARCHIVE_MAGIC   "poaarch1"
#define POA_ARCHIVE_VERSION 1

enum poa_archive_chunk {
    POA_ARCHIVE_HEAD = 1,
    POA_ARCHIVE_GENESIS = 2, /* encoded genesis */
    POA_ARCHIVE_RUN = 3,     /* encoded run: the hand-over of the next epoch */
    POA_ARCHIVE_STATE = 4,   /* archive_entry records, keys ascending */
    POA_ARCHIVE_BLOCK = 5,   /* archive_block */
    POA_ARCHIVE_END = 6,
};
/* A state chunk ends with the entry that makes it this long. */
#define POA_ARCHIVE_STATE_BYTES (256 * 1024)
/* No payload is longer: a block of 8 MB of transactions with its batches. */
#define POA_ARCHIVE_CHUNK_MAX ((size_t)40 << 20)

#define POA_ARCHIVE_HEAD_TABLE(F)                                                                  \
    F(U16, version, 0, _, "1")                                                                     \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(U64, base, 0, _, "height whose state it begins with; 0: genesis")                            \
    F(FIX, root, 32, _, "state root after it; zero for genesis")                                   \
    F(U32, epoch, 0, _, "epoch of the first block")                                                \
    F(U64, first, 0, _, "first block: BASE, or 1")                                                 \
    F(U64, last, 0, _, "last block, which has its certificate")
POA_RECORD_DECLARE(archive_head, POA_ARCHIVE_HEAD_TABLE)

#define POA_ARCHIVE_ENTRY_TABLE(F)                                                                 \
    F(FIX, key, 32, _, "state key")                                                                \
    F(BLOB, value, 65535, _, "table u8, length of the key u8, key, encoded entry")
POA_RECORD_DECLARE(archive_entry, POA_ARCHIVE_ENTRY_TABLE)

#define POA_ARCHIVE_BATCH_TABLE(F) F(BLOB, batch, 524288, _, "encoded batch")
POA_RECORD_DECLARE(archive_batch, POA_ARCHIVE_BATCH_TABLE)

#define POA_ARCHIVE_BLOCK_TABLE(F)                                                                 \
    F(BLOB, header, 289, _, "encoded header")                                                      \
    F(BLOB, body, 1048576, _, "encoded body")                                                      \
    F(BLOB, cert, 8254, _, "finalization; empty: that of a later block covers it")                 \
    F(BLOB, fillers, 1048576, _, "closing block: encoded blocks that link it to its finalization") \
    F(U16, fillers_n, 1023, _, "how many")                                                         \
    F(LIST, batches, 256, archive_batch, "the listed batches, in order")
POA_RECORD_DECLARE(archive_block, POA_ARCHIVE_BLOCK_TABLE)

/* An encoded filler, as consensus has it: header, body, no batches. */
#define POA_ARCHIVE_FILLER_TABLE(F)                                                                \
    F(BLOB, header, 289, _, "encoded header")                                                      \
    F(BLOB, body, 1048576, _, "encoded body")                                                      \
    F(LIST, batches, 256, archive_batch, "none")
POA_RECORD_DECLARE(archive_filler, POA_ARCHIVE_FILLER_TABLE)

#define POA_ARCHIVE_END_TABLE(F)                                                                   \
    F(U64, chunks, 0, _, "chunks before this one")                                                 \
    F(U64, entries, 0, _, "entries of the state")                                                  \
    F(U64, blocks, 0, _, "blocks")                                                                 \
    F(FIX, all, 32, _, "hash of the checksums of all chunks before this one")
POA_RECORD_DECLARE(archive_end, POA_ARCHIVE_END_TABLE)

/* Long work says how far it is: DONE of TOTAL (0: not known). NULL: nobody asks. */
struct poa_archive_progress {
    void (*tell)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
};

/* What an archive turned out to be. */
struct poa_archive_info {
    struct poa_archive_head head;
    struct poa_archive_end end;
    uint64_t bytes, txs;
    uint8_t root[32]; /* loading: after the last block */
};

/* Writes what S holds to PATH, by way of PATH.part; nothing is left after a
 * failure. FLAGS: POA_FILE_NEW, when neither may be there. SNAPSHOT: the state of the last
 * checkpoint and the blocks from there; so is it, too, where older blocks were deleted. Errors:
 * EXISTS, AGAIN (no block certifies the checkpoint's state yet), NOT_FOUND (nothing is stored), IO,
 * STORE, STORE_CORRUPT; WHY. */
POA_MUST_USE int poa_archive_write(struct poa_store *s, const char *path, bool snapshot,
                                   unsigned flags, const struct poa_archive_progress *progress,
                                   struct poa_archive_info *info, struct poa_why *why);
/* Reads FROM (NAME, for people) to its end and checks everything but the state
 * and what execution gives: checksums, order, hashes, certificates. CHAIN32:
 * which chain it must be, or NULL.
 * Errors: CHAIN, STORE_CORRUPT (not what was written), BLOCK_INVALID and the
 * like (what it proves is not so), IO, NO_MEMORY; WHY. */
POA_MUST_USE int poa_archive_verify(FILE *from, const char *name, const uint8_t *chain32,
                                    const struct poa_archive_progress *progress,
                                    struct poa_archive_info *info, struct poa_why *why);
/* Verifies the archive at PATH, then makes a database from it in DIR, which must
 * hold none: state restored and compared with its certified root, every block
 * executed. DIR is created; after a failure it holds no database, and is gone when it was new.
 * Errors: EXISTS, LOCKED, as above, STATE_ROOT. */
POA_MUST_USE int poa_archive_load(const char *path, const char *dir, const uint8_t *chain32,
                                  bool tx_index, const struct poa_archive_progress *progress,
                                  struct poa_archive_info *info, struct poa_why *why);

/* --- checking a database ------------------------------------------------------------ */

struct poa_archive_check {
    struct poa_archive_progress progress;
    void (*wrong)(void *ctx, const char *text); /* one line for each fault */
    void *ctx;
    struct poa_slice genesis; /* when the database has none; may be empty */
    /* out */
    uint64_t entries, bytes, faults;
    uint64_t first, last, proven; /* blocks; those up to PROVEN follow from genesis */
    uint64_t certificates, txs, state_entries, checkpoint;
    uint64_t blob_bytes, blob_bytes_said; /* as poa_store_audit has them */
};
/* Everything: poa_store_audit, then headers, bodies, batches and certificates
 * from genesis on, then the state against its root and the header that certifies
 * it. STORE_CORRUPT when anything is wrong. */
POA_MUST_USE int poa_archive_check(struct poa_store *s, struct poa_archive_check *c);

#endif
