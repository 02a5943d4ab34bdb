/* Who of several servers is asked next: those who have what is wanted, by their own
 * word, the least busy first, in turn. Who answered wrongly, late or not at all
 * rests a while, longer each time, and is asked meanwhile only for what
 * everything else waits for.
 *
 * Shared by those who fetch from many at once: ranges.c, parts.c. No clock, no
 * lock, no socket. */
#ifndef POA_NODE_TURNS_H
#define POA_NODE_TURNS_H

#include "poa_p2p.h"

/* Who has it answers at once, so no longer than this is waited for it; twice as long
 * each time that it was too short. */
#define NODE_PATIENCE_MS     3000u
#define NODE_PATIENCE_MAX_MS 15000u
#define NODE_RETRY_US        UINT64_C(100000)  /* between two questions to who failed */
#define NODE_REST_US         UINT64_C(5000000) /* twice as long each time, 64 times at most */

struct node_turns {
    uint32_t patience_ms, turn;
    struct {
        uint8_t key[32];
        uint64_t rest_us, failed_us; /* until; when */
        uint32_t fails, turn;
    } server[POA_P2P_PEERS_MAX];
};

/* A server whose link works. */
struct node_turn {
    int server;
    bool has;             /* what is wanted, by its own word */
    bool before;          /* it goes before those of which this is not so */
    bool member;          /* of the committee */
    uint32_t asked, most; /* questions under way to it, and how many may be */
};

void node_turns_init(struct node_turns *t);
/* Who has the place SERVER now. Places are given again: what is held against somebody goes
 * with the key. Below, KEY32 is who was asked; NULL: places are not given again. */
void node_turns_meet(struct node_turns *t, int server, const uint8_t key32[32]);
/* The index of the next one in OF, or -1. URGENT: everything else waits for it. */
int node_turns_choose(const struct node_turns *t, uint64_t now_us, const struct node_turn *of,
                      uint32_t n, bool urgent);
/* SERVER is asked; the number of the question. */
uint32_t node_turns_asked(struct node_turns *t, int server);
/* It answered after TOOK_MS; the answer was of use. */
void node_turns_answered(struct node_turns *t, uint64_t took_ms);
void node_turns_good(struct node_turns *t, int server, const uint8_t *key32);
void node_turns_failed(struct node_turns *t, int server, const uint8_t *key32, int code,
                       uint64_t now_us);
void node_turns_rest(struct node_turns *t, int server, const uint8_t *key32, uint64_t now_us);

#endif
