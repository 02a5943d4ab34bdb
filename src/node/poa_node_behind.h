/* Whether a node is where the others are: whether its answers are current.
 *
 * A node knows of the others' heights only what they say. Members of the committee go
 * before the rest, who may be followers that fetch blocks themselves; of those who speak
 * the lower median counts, so that no single one decides. Blocks only become more: the
 * highest that each ever said counts, also while it starts again and executes its own
 * blocks, and that of who is gone since, while no member is there to say more. Until
 * anybody has spoken a node is behind, unless it makes the blocks all alone.
 *
 * Who has lost them all hears of nothing that is missing. But blocks come also when nothing
 * happens, with each heartbeat: when none does, what a node has is old, whatever the reason. */
#ifndef POA_NODE_BEHIND_H
#define POA_NODE_BEHIND_H

#include <stdbool.h>
#include <stdint.h>

/* A node has caught up when it misses so few blocks, which are on their way; it has
 * fallen behind when it misses more than that. */
#define NODE_BEHIND_REACHED 2
#define NODE_BEHIND_LOST    20

struct node_heard {
    uint64_t height; /* the highest that it said */
    bool member, up;
};

/* What counts of one that said HIGHEST before, and SAYS this now. */
uint64_t node_behind_highest(uint64_t highest, uint64_t says);

/* Zeros to begin with. */
struct node_behind {
    bool known, current; /* somebody spoke; answers are current */
    uint64_t target;     /* what the others have reached */
};

/* N others have spoken: at most 256. HEIGHT: the node's own. ALONE: it needs no other to make
 * blocks. */
void node_behind_look(struct node_behind *b, const struct node_heard *heard, uint32_t n,
                      uint64_t height, bool alone);

/* How long MISSING blocks will take, in seconds, at least 1; 0: not known. By what was done since
 * the beginning and lately, half each: blocks are not alike, and links change. */
struct node_behind_pace {
    uint64_t done, took_us;
};
uint64_t node_behind_left_s(struct node_behind_pace all, struct node_behind_pace lately,
                            uint64_t missing);

/* How long ago the last block may have become final: STALL_US (poa_stall_us), and where
 * blocks are only fetched, as long as it may take to find another one who has them. */
#define NODE_BEHIND_FETCH_US UINT64_C(15000000)
bool node_behind_old(uint64_t final_us, uint64_t stall_us, bool member);

/* A round that was due at DUE_US begins at NOW_US: the process, or its machine, stood still
 * meanwhile, and what it did not hear then says nothing of the others. */
#define NODE_BEHIND_PAUSE_US UINT64_C(3000000)
bool node_behind_paused(uint64_t due_us, uint64_t now_us);

#endif
