/* Shared by the files of src/archive only. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include "poa_archive.h"

/* --- chunks (file.c) --------------------------------------------------------------- */

struct chunk_writer {
    FILE *to;
    uint64_t chunks, bytes;
    struct poa_hash_state all;
};
/* IO. */
POA_MUST_USE int chunk_begin(struct chunk_writer *w, FILE *to);
POA_MUST_USE int chunk_put(struct chunk_writer *w, enum poa_archive_chunk kind,
                           struct poa_slice payload);
POA_MUST_USE int chunk_end(struct chunk_writer *w, uint64_t entries, uint64_t blocks,
                           struct poa_archive_end *end);

struct chunk_reader {
    FILE *from;
    const char *name;
    uint64_t chunks, bytes, size;
    struct poa_hash_state all;
    uint8_t *buffer;
    size_t cap;
    uint8_t kind;             /* of the last chunk */
    struct poa_slice payload; /* borrowed until the next one */
};
POA_MUST_USE int chunk_open(struct chunk_reader *r, FILE *from, const char *name,
                            struct poa_why *why);
/* The next chunk; its checksum is right. IO, STORE_CORRUPT. */
POA_MUST_USE int chunk_next(struct chunk_reader *r, struct poa_why *why);
/* The chunk that was read is the end, and it is true, and nothing follows. */
POA_MUST_USE int chunk_at_end(struct chunk_reader *r, uint64_t entries, uint64_t blocks,
                              struct poa_archive_end *end, struct poa_why *why);
void chunk_close(struct chunk_reader *r);
/* Formats WHY with the file's name and the chunk's number; ERROR. */
int chunk_wrong(const struct chunk_reader *r, struct poa_why *why, int error, const char *what);

/* --- a chain that is followed block by block (verify.c) ----------------------------- */

/* Committees that hand-overs brought, from epoch FIRST on. */
struct committees {
    uint32_t first, n, cap;
    struct poa_slice *next; /* malloc'ed bytes; of epoch FIRST + i + 1 */
};
POA_MUST_USE int committees_add(struct committees *c, uint32_t epoch, struct poa_slice next);
void committees_free(struct committees *c);

/* Headers since the last certificate, on top of what CHECK has verified. */
struct follower {
    struct poa_chain_check check;
    const struct committees *committees;
    bool gap; /* blocks before the first one are not there */
    uint8_t headers[POA_RUN_HEADERS_MAX * (POA_HEADER_BYTES + 2)], run[400 * 1024];
    size_t headers_n;
    uint32_t count;
    struct poa_header last; /* the last block's, not a filler's */
};
/* Takes the next block. *PROVEN: its certificate proved all up to it. */
POA_MUST_USE int follow_block(struct follower *f, const struct poa_header *h,
                              struct poa_slice header, struct poa_slice cert,
                              struct poa_slice fillers, uint16_t fillers_n, bool *proven);
/* CHECK at the start of the chain of GENESIS. */
POA_MUST_USE int follow_begin(struct poa_chain_check *check, struct poa_slice genesis);
/* HEADER and BODY belong together, and the batches are the listed ones: *TXS is
 * how many transactions they have. NEXT gives the next batch, or an error. */
POA_MUST_USE int block_bodies(struct poa_slice header, struct poa_slice body,
                              int (*next)(void *ctx, struct poa_slice *batch), void *ctx,
                              struct poa_header *h, uint64_t *txs);

/* --- proofs of a state (make.c) ------------------------------------------------------ */

/* Writes the archive of block BASE, whose state has ROOT32, and of those after it up to the
 * first certificate, without the state, to TO (NULL: only looks whether there is
 * one); *BYTES is how many. Errors: AGAIN, as of poa_archive_write. */
POA_MUST_USE int archive_put_proof(struct poa_store *s, uint64_t base, const uint8_t root32[32],
                                   FILE *to, uint64_t *bytes, struct poa_why *why);

/* --- the rest ------------------------------------------------------------------------ */

/* What a ledger is made of here. */
int archive_ledger_new(struct poa_slice genesis, struct poa_ledger **out);
void archive_tell(const struct poa_archive_progress *p, const char *what, uint64_t done,
                  uint64_t total);

#endif
