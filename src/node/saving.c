#include "poa_node_saving.h"

/* What a start replays in well under a second: so many transactions, and a block without any
 * costs what so many of them do. */
#define WORK_TXS  50000u
#define BLOCK_TXS 50u

bool node_saving_worth(const struct node_saving *s, const struct node_saved *last)
{
    return s->txs - last->txs + (s->height - last->height) * BLOCK_TXS > WORK_TXS;
}

bool node_saving_due(const struct node_saving *s, const struct node_saved *last)
{
    uint64_t each_us = s->each_us;
    if (s->far && each_us > NODE_SAVING_FAR_US)
        each_us = NODE_SAVING_FAR_US;
    return s->height - last->height >= s->each_blocks || s->now_us - last->at_us >= each_us ||
           (s->caught_up && node_saving_worth(s, last));
}
