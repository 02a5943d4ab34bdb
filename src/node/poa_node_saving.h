/* When the state is saved. Blocks after it are executed again at the next start: what was
 * fetched in seconds takes a start after a kill as long again, unless it is saved
 * meanwhile. Times are the caller's: no clock. */
#ifndef POA_NODE_SAVING_H
#define POA_NODE_SAVING_H

#include <stdbool.h>
#include <stdint.h>

/* While blocks come faster than they are made it is saved at least so often. */
#define NODE_SAVING_FAR_US UINT64_C(10000000)

/* What was saved last; zeros: nothing was. */
struct node_saved {
    uint64_t height, txs; /* transactions up to it */
    uint64_t at_us;       /* when it was looked at last */
};

struct node_saving {
    uint64_t each_us, each_blocks; /* the configuration's */
    uint64_t now_us, height, txs;
    bool far;       /* it catches up, or replays */
    bool caught_up; /* it has just done so */
};

/* It is to be saved now. */
bool node_saving_due(const struct node_saving *s, const struct node_saved *last);
/* A start would be slowed by what it had to execute again. */
bool node_saving_worth(const struct node_saving *s, const struct node_saved *last);

#endif
