/* A store in memory for checkpoints. */
#ifndef DISK_H
#define DISK_H

#include "../../unit/ledger/support.h"

void disk_clear(void);
void disk_checkpoint(struct poa_ledger *l);
/* A ledger of C's genesis from what is on the disk, with ROOT. */
struct poa_ledger *disk_restore(const struct chain *c, struct counting *memory, uint64_t salt,
                                const uint8_t root[32]);
/* The base of C, restored, has the same root. */
void disk_check(const struct chain *c, uint64_t salt);

#endif
