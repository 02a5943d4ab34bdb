/* What strangers pay while a server is busy.
 *
 * A transaction that one server takes costs every server a verification, so whoever may
 * submit without limit takes what the others need. The sign that this happens is the
 * time from a batch to its final block: several times what it was when little was to do.
 * Then there is a floor for those who are not on the list: a multiple of the smallest fee,
 * which doubles while what pays it keeps the server busy, and halves when it has not been
 * for a while. What pays less waits, and is refused when it waited too long; nothing of it
 * was verified. When all that the chain executes is what strangers submitted here, there is
 * nobody to make room for, and no floor: whoever has much to submit at once is slowed down
 * by the servers' own pace alone. */
#ifndef POA_NODE_PACE_H
#define POA_NODE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_PACE_EVERY_US 20000u
/* Prices and the floor are in sixteenths of the smallest fee. */
#define NODE_PACE_LEAST 16u
#define NODE_PACE_MOST  1024u

struct node_pace {
    uint64_t at_us, raised_us, window_us, calm_us, company_us, second_us;
    uint64_t base_us, next_us; /* the shortest lag of the last window and of this one; 0: none */
    uint64_t admitted;         /* when the floor was raised last */
    uint64_t accepted, txs;    /* when it was looked last */
    uint64_t credit;           /* strangers' transactions from here that may still be executed */
    uint64_t others;           /* executed ones that came from elsewhere, in this second */
    uint32_t floor;
};

/* Transactions, each counted from the start of the node. */
struct node_pace_seen {
    uint64_t lag_us;   /* from a batch to its final block, or from a server's taking what was
                          handed on; 0: nothing was under way */
    uint64_t admitted; /* of strangers: their check was begun */
    uint64_t accepted; /* of those: taken */
    uint64_t txs;      /* executed by the chain, wherever they came from */
};

/* Whether it is time to look again: every NODE_PACE_EVERY_US. */
bool node_pace_due(const struct node_pace *p, uint64_t now_us);
/* The floor from NOW_US on, when it is due. */
uint32_t node_pace_floor(struct node_pace *p, uint64_t now_us, const struct node_pace_seen *seen);

#endif
