/* A store on a directory of its own, and things to put into it. Each file has a suite of tests
 * that begin in an empty directory. */
#ifndef STORE_SUPPORT_H
#define STORE_SUPPORT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_store.h"

extern char dir[256];
extern struct poa_why why; /* of the last try_open */
extern const uint8_t chain_a[32], chain_b[32];

struct seen {
    char line[64][64];
    int n;
};

void fresh_dir(void);
void remove_dir(void);
int try_open(const uint8_t *chain, bool create, struct poa_store **s);
struct poa_store *must_open(void);
struct poa_store_batch *group(struct poa_store *s);
struct poa_slice text(const char *t);
bool says(struct poa_slice s, const char *t);
void digest_of(uint32_t n, uint8_t out[32]);
int note_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes);
struct seen records(struct poa_store *s);
/* Puts batch I with the bytes "batch I". */
void put_numbered(struct poa_store_batch *b, uint64_t seq, uint32_t i);
int put_block(struct poa_store_batch *b, uint64_t height, uint32_t first, uint32_t n,
              const struct poa_store_fate *tx, uint32_t txs);
/* The file of the database with SUFFIX and the highest number. */
void newest(const char *suffix, char *path, size_t n);

#endif
