#include "poa_node_skew.h"

#include <stdlib.h>

bool node_skew_saw(struct node_skew *s, uint64_t now_us, uint64_t wall_ms, uint64_t time_ms)
{
    /* Both are below 2^63: the ledger and the system see to it. */
    int64_t ms = (int64_t)(wall_ms - time_ms);
    if (!s->blocks || llabs(ms) < llabs(s->nearest_ms))
        s->nearest_ms = ms;
    if (!s->blocks++)
        s->begin_us = now_us;
    if (s->blocks < NODE_SKEW_BLOCKS || now_us < s->begin_us + NODE_SKEW_US)
        return false;
    s->ms = s->nearest_ms;
    s->blocks = 0;
    return true;
}
