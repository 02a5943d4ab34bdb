/* The work that power cuts interrupt: what step I writes follows from I, so that
 * whoever looks afterwards knows what has to be there. Every step is a group of
 * a write-ahead record, a batch and a block; some are synced, as a vote is; now
 * and then the state is saved, and old things go. */
#ifndef WORK_H
#define WORK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_crypto.h"
#include "poa_store.h"

#define WORK_STATE   64u  /* entries of the state, all rewritten at a checkpoint */
#define WORK_CHECK   40u  /* steps between two checkpoints */
#define WORK_KEEP    200u /* blocks that pruning keeps */
#define WORK_SYNC(i) ((i) % 3 == 0)

#define WORK_MUST(call)                                                                            \
    do {                                                                                           \
        int work_rc = (call);                                                                      \
        if (work_rc) {                                                                             \
            fprintf(stderr, "%s: %s\n", #call, poa_error_name(work_rc));                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline struct poa_store *work_open(const char *dir, struct poa_why *why)
{
    static const uint8_t chain[32] = {7};
    struct poa_store *s = NULL;
    struct poa_store_config c = {.dir = dir,
                                 .chain32 = chain,
                                 .create = true,
                                 .tx_index = true,
                                 .write_buffer_bytes = 64 * 1024,
                                 .cache_bytes = 256 * 1024,
                                 .max_open_files = 64};
    return poa_store_open(&c, &s, why) ? NULL : s;
}

/* Bytes of batch I; returns how many. */
static inline size_t work_batch(uint64_t i, uint8_t out[2048], uint8_t digest[32])
{
    size_t n = 200 + i * 37 % 1500;
    for (size_t k = 0; k < n; k++)
        out[k] = (uint8_t)(i * 31 + k * 7);
    poa_put_le64(out, i);
    poa_hash(POA_DOMAIN_SIM, out, n, digest);
    return n;
}

static inline void work_key(uint32_t entry, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_SIM, &entry, sizeof entry, out);
}

#endif
