/* Work that several threads share: poa_ledger_config.parallel. */
#ifndef POA_NODE_PARALLEL_H
#define POA_NODE_PARALLEL_H

#include <stdint.h>

/* Processors of this machine, at most 64. */
unsigned node_cores(void);
/* Calls TASK(arg, 0) to TASK(arg, n - 1), each once, on up to as many threads as
 * there are processors, and returns when all have. CTX is not used. Threads are
 * made for the call: for work of milliseconds. */
void node_parallel(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n);

#endif
