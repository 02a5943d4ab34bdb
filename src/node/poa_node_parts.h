/* Which parts of a snapshot are asked of which server.
 *
 * Every part can be checked by itself, so any server that has the same manifest may give
 * any part: each has as many questions under way as it answers in time, one at
 * first. Who lies or stalls costs its own parts, which others are asked for.
 *
 * A state machine: no clock, no lock, no socket. givers.c drives it. */
#ifndef POA_NODE_PARTS_H
#define POA_NODE_PARTS_H

#include "poa_node_turns.h"

#define NODE_PARTS_EACH  4u  /* questions to one server at once, at most */
#define NODE_PARTS_ASKED 32u /* to all */

enum node_part_state { NODE_PART_WANTED, NODE_PART_ASKED, NODE_PART_HELD };

struct node_parts {
    uint8_t *state;         /* enum node_part_state of each */
    uint32_t n, held, from; /* before FROM none is wanted */
    struct {
        bool used;
        uint32_t id, part;
        int server;
        uint64_t asked_us;
    } flight[NODE_PARTS_ASKED];
    uint8_t most[POA_P2P_PEERS_MAX]; /* questions at once to each, less one */
    struct node_turns turns;
};

struct node_parts_question {
    uint32_t id, part, timeout_ms;
    int server;
};

/* NO_MEMORY. */
POA_MUST_USE int node_parts_init(struct node_parts *p, uint32_t n);
void node_parts_free(struct node_parts *p); /* also of zero bytes */
/* Part I is here already. */
void node_parts_have(struct node_parts *p, uint32_t i);
/* The next question to one of the N servers, which is under way from then on; false: none
 * now. */
bool node_parts_next(struct node_parts *p, uint64_t now_us, const int *server, uint32_t n,
                     struct node_parts_question *out);
/* What became of question ID: CODE. True: this is the first failure since it was asked
 * last, and not one more of those that were under way then. */
bool node_parts_answered(struct node_parts *p, uint32_t id, int code, uint64_t now_us);
/* SERVER has none of them any more: what it was asked for is wanted. */
void node_parts_leave(struct node_parts *p, int server);
uint32_t node_parts_asked(const struct node_parts *p, int server);

#endif
