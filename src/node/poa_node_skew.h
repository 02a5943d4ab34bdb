/* Whether this machine's clock agrees with the times of the blocks.
 *
 * A witness whose clock is wrong makes blocks that the others wait for, or none at all, and
 * nothing else shows why the chain is slow. A block is some time old when it becomes final here,
 * more under load or while a node catches up; but not each of many. So the nearest of those
 * that became final in a while counts: by so much the clocks differ at least. */
#ifndef POA_NODE_SKEW_H
#define POA_NODE_SKEW_H

#include <stdbool.h>
#include <stdint.h>

/* A while: so long, and so many blocks. */
#define NODE_SKEW_US     10000000u
#define NODE_SKEW_BLOCKS 8u

/* Zeros to begin with. */
struct node_skew {
    uint64_t begin_us;
    uint32_t blocks;
    int64_t nearest_ms; /* of this while */
    int64_t ms;         /* of the last one: our clock is so far ahead of the blocks */
};

/* A block of TIME_MS became final when our clock said WALL_MS. True: a while has ended. */
bool node_skew_saw(struct node_skew *s, uint64_t now_us, uint64_t wall_ms, uint64_t time_ms);

#endif
