/* Which blocks are asked of which server, when others are ahead.
 *
 *     tip ──┤ held │ asked: A │ asked: B │ held │ asked: C ├── target
 *             └─> the core, in order
 *
 * Each server has a range of its own under way; what comes waits until all
 * before it was executed. Who answers wrongly, not at all, or so late that the
 * others wait for it costs its own range, which another one is asked for, and
 * then rests a while, longer each time. At most NODE_RANGES answers are under
 * way or wait, one more when the first of them is missing.
 *
 * A state machine: no clock, no lock, no socket. follow.c drives it. */
#ifndef POA_NODE_RANGES_H
#define POA_NODE_RANGES_H

#include "poa_node_bundle.h"
#include "poa_node_turns.h"

#define NODE_RANGES     4u
#define NODE_RANGES_MAX 8u /* with the rests of short answers */
/* A range is about so many bytes: less than an answer may have, because the next
 * blocks may be larger than the last ones. */
#define NODE_RANGE_BYTES  (NODE_BUNDLE_BYTES / 4 * 3)
#define NODE_RANGE_BLOCKS 1000u
/* Who has the blocks answers at once. Others hold a question that they cannot
 * answer for so long. */
#define NODE_FOLLOW_WAIT_MS 5000u
#define NODE_LATE_US        UINT64_C(500000) /* an answer that all others wait for */

enum node_range_state { NODE_RANGE_WANTED, NODE_RANGE_ASKED, NODE_RANGE_HELD };

struct node_range {
    enum node_range_state state;
    bool open;             /* UNTIL was not said: whatever there is */
    bool known;            /* the server has them, by its own word */
    bool late;             /* all others waited for its answer, or it is too little */
    uint64_t after, until; /* blocks; UNTIL 0: open */
    int server;
    uint8_t key[32]; /* who that was when it was asked */
    uint32_t id;     /* of the question */
    uint64_t asked_us;
    struct node_bundle *bundle; /* HELD */
};

struct node_ranges {
    struct node_range range[NODE_RANGES_MAX]; /* ascending, each from where the one before ends */
    uint32_t n;
    uint64_t span; /* blocks of the next ranges */
    struct node_turns turns;
    /* Who has a place, and up to which block it keeps none any more, by its own word. */
    struct {
        uint8_t key[32];
        uint64_t gone;
    } kept[POA_P2P_PEERS_MAX];
};

/* A server whose link works. */
struct node_source {
    int server;
    uint8_t key[32];
    bool member;     /* of the committee */
    uint64_t height; /* last heard of; 0: never */
};

struct node_ranges_now {
    uint64_t us;
    uint64_t tip;    /* executed */
    uint64_t target; /* what others have reached, as far as known */
    const struct node_source *source;
    uint32_t sources;
};

struct node_question {
    uint32_t id;
    int server;
    uint8_t key[32];
    uint64_t after, until;
    uint32_t timeout_ms;
};

void node_ranges_init(struct node_ranges *r);
/* The next question to be asked, which is under way from then on; false: none
 * now. */
bool node_ranges_next(struct node_ranges *r, const struct node_ranges_now *now,
                      struct node_question *out);
/* Nobody is asked any more: what nobody was asked for yet is given up. */
void node_ranges_rest(struct node_ranges *r);
/* What became of question ID: CODE, or an answer, or none (BUNDLE is NULL: there
 * is nothing after AFTER).
 * Out:    dropped  a bundle that is not needed; the caller's again
 * Errors: CODE; BLOCK_INVALID when the answer is not what was asked for */
POA_MUST_USE int node_ranges_answered(struct node_ranges *r, uint32_t id, int code,
                                      struct node_bundle *bundle, uint64_t now_us,
                                      struct node_bundle **dropped);
/* The first range when its answer is here, or NULL. */
struct node_range *node_ranges_first(struct node_ranges *r);
/* The core is done with the first one: CODE. The bundle is the caller's again. */
void node_ranges_applied(struct node_ranges *r, int code, uint64_t now_us);
/* Something is missing that nobody is asked for. */
bool node_ranges_wanted(const struct node_ranges *r);
/* How many of the servers are beyond the tip, as the target is, when all of those said (NOT_KEPT)
 * that they do not keep the block after it any more; else 0. */
uint32_t node_ranges_nobody(const struct node_ranges *r, const struct node_ranges_now *now);
/* Questions under way to SERVER. */
uint32_t node_ranges_asked(const struct node_ranges *r, int server);

#endif
