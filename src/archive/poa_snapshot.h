/* snapshot: the state of one height in parts that anybody can check, for nodes that
 * fetch them from several servers at once.
 *
 *      proof: genesis ── hand-overs ── blocks BASE and BASE + 1, certified
 *                                                       │ state root
 *      manifest: the top of the state's tree    ┌───────┴───────┐
 *                                           ┌───┴───┐       ┌───┴───┐
 *      parts: the subtrees below it         0       1       2       3
 *
 * A part is what is below one node of the tree, its entries in the order of their
 * keys: as large as POA_SNAPSHOT_PART_BYTES allow, and no two that are one node's
 * children fit into one. So all servers that save the state of one height have the
 * same parts. The manifest is true when its hashes make the state root, which the
 * proof certifies; a part is true when its entries make its hash. Nothing has to be
 * believed, and who lied is known with each answer.
 *
 * The proof is an archive (poa_archive.h) without its state. Certificates differ
 * between servers (any quorum makes one), so a proof is of one server, whole.
 *
 *   file   entries of all parts, proof, checksums, manifest, foot
 *   foot   lengths of entries, proof and manifest u64; hash of checksums, manifest and these
 *          lengths, 32 bytes; magic "poasnap2"
 *
 * There is one checksum for each part and for each piece of the proof: a server that sends
 * what its disk made of them would be taken for a liar.
 */
#ifndef POA_SNAPSHOT_H
#define POA_SNAPSHOT_H

#include "poa_archive.h"

#define POA_SNAPSHOT_MAGIC "poasnap2"

/* Message types of the mesh, beside those of consensus. 40 and 41 were used before. */
#define POA_MSG_REQ_SNAPSHOT 44 /* snapshot_ask */
#define POA_MSG_ANS_SNAPSHOT 45 /* snapshot_manifest */
#define POA_MSG_REQ_PART     46 /* snapshot_get */
#define POA_MSG_ANS_PART     47 /* the bytes; of the proof: less than a piece is the end */

#define POA_SNAPSHOT_PART_BYTES  131072u
#define POA_SNAPSHOT_PARTS_MAX   262144u
#define POA_SNAPSHOT_PROOF       UINT32_MAX /* for the number of a part */
#define POA_SNAPSHOT_PIECE_BYTES ((size_t)512 * 1024)
/* Some hundred thousand epochs. */
#define POA_SNAPSHOT_PROOF_MAX ((uint64_t)1 << 30)

#define POA_SNAPSHOT_ASK_TABLE(F) F(U64, base, 0, _, "height of the state; 0: the newest there is")
POA_RECORD_DECLARE(snapshot_ask, POA_SNAPSHOT_ASK_TABLE)

#define POA_SNAPSHOT_PART_TABLE(F)                                                                 \
    F(U8, bit, 0, _, "first bit in which its first key differs from the key before it; 0")         \
    F(U32, bytes, 131072, _, "of its archive_entry records")                                       \
    F(FIX, hash, 32, _, "of its node in the tree of the state")
POA_RECORD_DECLARE(snapshot_part, POA_SNAPSHOT_PART_TABLE)

#define POA_SNAPSHOT_MANIFEST_TABLE(F)                                                             \
    F(U64, base, 0, _, "height of the state")                                                      \
    F(FIX, root, 32, _, "state root after it")                                                     \
    F(U64, bytes, 0, _, "of all parts")                                                            \
    F(LIST, parts, 262144, snapshot_part, "in the order of keys")
POA_RECORD_DECLARE(snapshot_manifest, POA_SNAPSHOT_MANIFEST_TABLE)

#define POA_SNAPSHOT_GET_TABLE(F)                                                                  \
    F(FIX, manifest, 32, _, "BLAKE2b-256(`poa/snapshot`, encoded manifest)")                       \
    F(U32, part, 0, _, "number; 4294967295: the proof")                                            \
    F(U64, offset, 0, _, "of a piece of the proof; else 0")
POA_RECORD_DECLARE(snapshot_get, POA_SNAPSHOT_GET_TABLE)

/* A manifest that was opened. */
struct poa_snapshot {
    uint64_t base, bytes;
    uint8_t root[32], id[32];
    struct poa_snapshot_at {
        uint64_t at; /* among the bytes of all parts */
        uint32_t bytes;
        uint8_t bit, hash[32];
    } * part;
    uint32_t parts;
};

/* Opens an encoded manifest: its parts make its root. OUT owns what it needs.
 * Errors: of the decoder, PROOF, NO_MEMORY. */
POA_MUST_USE int poa_snapshot_open(struct poa_slice manifest, struct poa_snapshot *out);
void poa_snapshot_close(struct poa_snapshot *s); /* also of zero bytes */
/* BYTES are part I of S: PROOF when not. Any thread. */
POA_MUST_USE int poa_snapshot_check(const struct poa_snapshot *s, uint32_t i,
                                    struct poa_slice bytes);

/* --- a server's file ------------------------------------------------------------------ */

struct poa_snapshot_file {
    int fd;
    uint8_t *manifest;
    size_t manifest_n;
    uint8_t *sum; /* 32 bytes for each part, then for each piece of the proof */
    uint64_t proof_bytes;
    struct poa_snapshot s;
};

/* Writes the state of the checkpoint in FROZEN, which no write changes, with its proof
 * from S, to PATH by way of PATH.part; nothing is left after a failure.
 * Errors: AGAIN (no block certifies the state yet), LIMIT (too many parts), NOT_FOUND, IO,
 * STORE_CORRUPT, NO_MEMORY; WHY. */
POA_MUST_USE int poa_snapshot_write(struct poa_store *frozen, struct poa_store *s, const char *path,
                                    struct poa_why *why);
/* Errors: NOT_FOUND, IO, STORE_CORRUPT (not what write made), NO_MEMORY. */
POA_MUST_USE int poa_snapshot_file_open(const char *path, struct poa_snapshot_file *out);
void poa_snapshot_file_close(struct poa_snapshot_file *f);
/* What GET asks for, POA_SNAPSHOT_PIECE_BYTES at most; offsets are multiples of that. Errors:
 * RANGE, IO, STORE_CORRUPT (not what write made). */
POA_MUST_USE int poa_snapshot_read(const struct poa_snapshot_file *f,
                                   const struct poa_snapshot_get *get, uint8_t *to, size_t *n);

/* --- a new node --------------------------------------------------------------------------- */

/* poa_archive_load of the proof at PATH with the state in the file STATE, which has the
 * parts of S one after the other. Errors: also STATE_ROOT, when they are not of one
 * height. */
POA_MUST_USE int poa_snapshot_load(const char *path, const char *state,
                                   const struct poa_snapshot *s, const char *dir,
                                   const uint8_t *chain32, bool tx_index,
                                   const struct poa_archive_progress *progress,
                                   struct poa_archive_info *info, struct poa_why *why);

#endif
