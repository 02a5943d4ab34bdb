/* What strangers pay while a server is busy.
 *
 * A transaction that one server takes costs every server a verification, so whoever may
 * submit without limit takes what the others need. The sign that this happens is the
 * time from a batch to its final block: several times what it was when little was to do.
 * Then there is a floor for those who are not on the list: a multiple of the smallest fee,
 * which doubles while what pays it keeps the server busy, and halves when it has not been
 * for a while. What pays less waits, and is refused when it waited too long; nothing of it
 * was verified. Where nobody else submits there is nobody to make room for, and no floor:
 * whoever has much to submit at once is slowed down by the servers' own pace alone. */
#ifndef POA_NODE_PACE_H
#define POA_NODE_PACE_H

#include <stdint.h>

#define NODE_PACE_EVERY_US 20000u
/* Prices and the floor are in sixteenths of the smallest fee. */
#define NODE_PACE_LEAST 16u
#define NODE_PACE_MOST  1024u

struct node_pace {
    uint64_t at_us, raised_us, window_us, calm_us, company_us, second_us;
    uint64_t base_us, next_us; /* the shortest lag of the last window and of this one; 0: none */
    uint64_t admitted;         /* when the floor was raised last */
    uint64_t others;           /* when this second began */
    uint32_t floor;
};

/* The floor from NOW_US on. LAG_US: of batches, 0 when there are none. ADMITTED counts what
 * transactions of strangers that were let in, OTHERS those of everybody else that submits
 * here. Call as often as you like: it looks every NODE_PACE_EVERY_US. */
uint32_t node_pace_floor(struct node_pace *p, uint64_t now_us, uint64_t lag_us, uint64_t admitted,
                         uint64_t others);

#endif
