/* The address book: where nodes that are not in the configuration listen.
 *
 * Learned from peers (the records below), tried one at a time, kept on disk. An
 * address counts as good only after the node's key proved itself there; only good
 * ones are passed on. Whoever tells addresses has a share of the book, so that
 * nobody fills it alone. A node that is not there is tried again after 15 s, then
 * twice as long each time, a day at most, always more or less half of it, so that
 * a crowd does not come back at once.
 *
 * No thread of its own; one lock of the caller's around everything. */
#ifndef POA_BOOK_H
#define POA_BOOK_H

#include "poa_codec.h"
#include "poa_file.h"

#define POA_BOOK_MAX        1024
#define POA_BOOK_PER_TELLER 64 /* entries that are not good yet */
#define POA_BOOK_TOLD_MAX   64
#define POA_BOOK_FRESH_S    86400 /* passed on while the node was there so lately */
#define POA_BOOK_RETRY_S    15

/* Message types of the mesh, beside those of consensus and archive. */
#define POA_MSG_REQ_PEERS 42 /* peers_ask */
#define POA_MSG_ANS_PEERS 43 /* peers_told */

#define POA_PEERS_ASK_TABLE(F)                                                                     \
    F(BLOB, address, 128, _, "host:port where the asker listens; may be empty")
POA_RECORD_DECLARE(peers_ask, POA_PEERS_ASK_TABLE)
#define POA_KNOWN_NODE_TABLE(F)                                                                    \
    F(FIX, key, 32, _, "Ed25519 key")                                                              \
    F(BLOB, address, 128, _, "host:port")
POA_RECORD_DECLARE(known_node, POA_KNOWN_NODE_TABLE)
#define POA_PEERS_TOLD_TABLE(F)                                                                    \
    F(LIST, nodes, POA_BOOK_TOLD_MAX, known_node, "nodes that were there lately")
POA_RECORD_DECLARE(peers_told, POA_PEERS_TOLD_TABLE)

struct poa_book_entry {
    uint8_t key[32], teller[32];
    char address[129];
    uint64_t good_s;  /* when it was last there, by the wall clock; 0: never */
    uint64_t tried_s; /* when it was last looked for */
    uint64_t next_s;  /* not looked for before */
    uint32_t fails;   /* since it was there */
};

struct poa_book {
    struct poa_book_entry entry[POA_BOOK_MAX];
    unsigned n;
    bool changed; /* since it was read or written */
};

/* A host (name or number) and a port that is not 0. */
bool poa_book_address_ok(struct poa_slice address);
/* Someone (TELLER32) says that KEY32 listens at ADDRESS; false: not taken. What is
 * good is not overwritten by hearsay, except by the node itself. */
bool poa_book_learn(struct poa_book *b, const uint8_t key32[32], struct poa_slice address,
                    const uint8_t teller32[32]);
/* The node was there, or was not. RANDOM: any number. */
void poa_book_good(struct poa_book *b, const uint8_t key32[32], const char *address,
                   uint64_t now_s);
void poa_book_failed(struct poa_book *b, const uint8_t key32[32], uint64_t now_s, uint32_t random);
/* One that may be looked for now and that SKIP does not want, or NULL; never tried
 * ones and good ones alike. */
const struct poa_book_entry *poa_book_pick(const struct poa_book *b, uint64_t now_s,
                                           uint32_t random,
                                           bool (*skip)(void *ctx, const uint8_t key32[32]),
                                           void *ctx);
const struct poa_book_entry *poa_book_find(const struct poa_book *b, const uint8_t key32[32]);
/* Good ones, at most POA_BOOK_TOLD_MAX, beginning at a RANDOM one, without EXCEPT32. */
POA_MUST_USE int poa_book_tell(const struct poa_book *b, uint64_t now_s, uint32_t random,
                               const uint8_t except32[32], struct poa_writer *out);

/* The file: a line per node, and a hash of all lines. NOT_FOUND; CONFIG: damaged,
 * WHY says so in one line and B is empty. */
POA_MUST_USE int poa_book_read(struct poa_book *b, const char *path, struct poa_why *why);
/* The old file or the new one, never a part. */
POA_MUST_USE int poa_book_write(struct poa_book *b, const char *path, struct poa_why *why);

#endif
