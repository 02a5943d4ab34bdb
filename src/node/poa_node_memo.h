/* What this process has verified already.
 *
 * Verifying is a pure function of its input, so an answer may be kept:
 * node_suite is a suite behind a bounded memory of answers. A worker verifies
 * what a message carries before the core thread sees it; when the core, which
 * trusts nobody's word, verifies it again, the answer is there. So does a vote
 * that comes once more in a certificate, or a seal that was checked when it
 * arrived and is judged again in a block. No flag can be wrong, and the core
 * does not know.
 *
 * While one thread verifies, another that asks for the same waits for it. The
 * memory is of the process; whatever falls out of it is verified again. */
#ifndef POA_NODE_MEMO_H
#define POA_NODE_MEMO_H

#include "poa_ledger.h"
#include "poa_witness.h"

/* vrf_prove remembers too; sign is that of the suite below. */
extern const struct poa_suite node_suite;

/* Transactions too: what was checked when it was submitted here comes back in the
 * batch of its home server, or in two when that one was late. */
struct node_memo_tx {
    uint8_t tag[16];
};
/* Whether RAW was found valid before; OUT names it for node_memo_tx_add. */
bool node_memo_tx_find(struct poa_slice raw, struct node_memo_tx *out);
void node_memo_tx_add(const struct node_memo_tx *tx);
/* poa_tx_check by it. */
poa_tx_check_fn node_memo_tx_check;

/* Forgets everything; UNDER verifies from now on. Before any thread does. */
void node_memo_open(const struct poa_suite *under);
/* This thread is a worker: what it verifies is counted so. */
void node_memo_worker(void);

struct node_memo_stats {
    uint64_t by_workers, by_others; /* verified */
    uint64_t remembered;            /* answered from memory */
};
void node_memo_stats(struct node_memo_stats *out);

#endif
