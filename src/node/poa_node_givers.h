/* The givers: the servers that a joining node asks for a snapshot. Who was asked for what and
 * has not answered yet, who is asked next, and what it costs to lie, to stall or not to give.
 *
 *   join.c ── asks for ──> givers ── questions ──> mesh
 *      ^                     ^                       │ on its threads
 *      └── what is of use ───┴──── answers, in order ┘
 *
 *   question  under way to each             lost when
 *   peers     one, at the beginning         it does not come
 *   offer     one, while it has none        it does not come: again later, with more patience
 *   piece     one in all, to one giver      it does not come: the next giver begins anew
 *   part      parts.c                       it does not come: of another one
 *
 * Servers have numbers from 0 to N - 1 that stay, and belong to a group: those who offer the
 * same snapshot. What a snapshot, a proof and a part are, and whether they are true, knows
 * the caller: it says lied(). That an answer is late, refused, or of a question that is
 * given up, is known here. Every question ends once, with an answer or a code, so nothing
 * stays under way for ever.
 *
 * One thread calls; those of the mesh put answers into the queue and nothing else. Times are
 * the caller's monotonic clock, in us; the only wait is node_givers_wait. */
#ifndef POA_NODE_GIVERS_H
#define POA_NODE_GIVERS_H

#include <pthread.h>

#include "poa_node_parts.h"
#include "poa_node_waits.h"
#include "poa_p2p.h"

#define NODE_GIVERS_TOLD_MAX 4u  /* taken of what one of them knows */
#define NODE_GIVERS_WAIT_MS  100 /* for an answer, at a time */
/* Offers that one may break, one after the other. Who is far away needs a few to have patience
 * enough, and who is quick may have a newer snapshot each time. */
#define NODE_GIVERS_BROKEN_MAX 8u
/* Servers that node_givers_why calls by name. */
#define NODE_GIVERS_NAMED_MAX 4u

enum node_give { NODE_GIVE_PEERS, NODE_GIVE_OFFER, NODE_GIVE_PIECE, NODE_GIVE_PART };

struct node_giver {
    int at; /* in the mesh */
    uint8_t key[32];
    char address[POA_P2P_ADDRESS_MAX];
    bool hearsay;        /* nobody answered there yet */
    int group;           /* or -1 */
    bool asked, telling; /* under way: an offer; peers */
    bool out;            /* it lied, or is of no use: not asked any more */
    bool tried;          /* it had its turn with the proof of this round */
    bool slow;           /* while others had something */
    uint64_t ask_us;     /* no question for an offer before */
    uint32_t silent;     /* times that it did not answer that, since its last offer */
    bool answers;        /* the last one, and not that it is to be asked again */
    int error;           /* what that brought */
    uint32_t gave;       /* parts */
    uint32_t broken;     /* offers whose proof or parts it did not give, since its last part */
};

/* What came of one question. Owned by who took it from the queue. */
struct node_answer {
    struct node_answer *next;
    struct node_givers *givers;
    enum node_give kind;
    uint32_t server;
    uint32_t id, round; /* of the question */
    uint32_t part;      /* PART: which one, from node_givers_take on */
    int error;          /* as poa_p2p_answer_fn has it, or NO_MEMORY */
    uint16_t type;
    size_t n;
    uint8_t *bytes; /* NULL when ERROR */
};

/* What is needed of the mesh (poa_p2p.h). */
struct node_givers_mesh {
    void *ctx;
    /* poa_p2p_peer_set; its errors. */
    int (*know)(void *ctx, const uint8_t key32[32], const char *address, bool hearsay, int *at);
    /* poa_p2p_request; its errors: then ON_ANSWER is not called. Else it is, once, from another
     * thread or later. */
    int (*ask)(void *ctx, int at, uint16_t type, struct poa_slice bytes, uint32_t timeout_ms,
               poa_p2p_answer_fn *on_answer, void *answer);
    /* S did wrong: WHAT, and WHY or "". */
    void (*blame)(void *ctx, const struct node_giver *s, enum poa_p2p_fault fault, const char *what,
                  const char *why);
};

struct node_givers {
    struct node_givers_mesh mesh;
    uint8_t self[32];
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct node_answer *first, **last; /* MUTEX: what came */
    struct node_giver *server;
    uint32_t n, cap;
    uint32_t round; /* answers to pieces and parts of an earlier one come too late */
    int chosen;     /* the group whose snapshot is fetched, or -1 */
    struct node_waits waits;
    uint32_t giver, piece; /* of the proof: whose, and the last question */
    bool piece_asked;
    struct node_parts parts; /* none while the proof is fetched */
};

/* Up to CAP servers, and as many as the mesh has, none yet; SELF32 is this node. NO_MEMORY: nothing
 * is left behind. */
POA_MUST_USE int node_givers_open(struct node_givers *g, const struct node_givers_mesh *mesh,
                                  const uint8_t self32[32], uint32_t cap, uint64_t now_us);
/* After the mesh calls back no more. Frees what nobody took. */
void node_givers_close(struct node_givers *g);

/* A server of the configuration, unless it is known. */
void node_givers_know(struct node_givers *g, const uint8_t key32[32], const char *address);
/* Asks all whom they know: these are asked from then on as well. */
void node_givers_ask_peers(struct node_givers *g);
/* Asks who has no group and whose time it is. BASE: as in poa_snapshot_ask. */
void node_givers_ask_offers(struct node_givers *g, uint64_t base, uint64_t now_us);
/* Somebody is asked, and may answer with an offer. */
bool node_givers_pending(const struct node_givers *g);
/* Servers of the configuration that did not answer yet, or not any more. They are asked again: one
 * that starts, or whose line is down for a moment, may have what all others lack. Not those who
 * were found by others' word, which may be the word of a liar. */
uint32_t node_givers_silent(const struct node_givers *g);
/* An offer, or another one, may come of these: it is worth to wait. */
bool node_givers_hope(const struct node_givers *g, uint64_t now_us);
/* Why there is nothing to fetch: who does not answer, and what the others said. TEXT of N bytes. */
void node_givers_why(const struct node_givers *g, char *text, size_t n);

/* The next one of the chosen group that gives its proof, from the beginning; false: all had
 * their turn. */
bool node_givers_next(struct node_givers *g, uint64_t now_us);
/* Asks it for the piece at OFFSET (bytes) when none is under way. */
void node_givers_ask_piece(struct node_givers *g, const uint8_t manifest32[32], uint64_t offset);
/* It takes too long for its whole proof, and is to make room for the next one. */
bool node_givers_late(struct node_givers *g, uint64_t now_us);

/* Asks the chosen group for parts, as many as may be; false: nobody has them any more. */
bool node_givers_ask_parts(struct node_givers *g, const uint8_t manifest32[32], uint64_t now_us);
/* BYTES came since the parts began: that is slow, and others may be faster. */
bool node_givers_slow(struct node_givers *g, uint64_t bytes, uint64_t now_us);

/* What came, in order, after NODE_GIVERS_WAIT_MS perhaps nothing. The caller frees each one. */
struct node_answer *node_givers_wait(struct node_givers *g);
void node_answer_free(struct node_answer *a);
/* A came: ends its question, and what an ERROR costs. True: the caller is to look at it. An
 * OFFER or PART then has bytes, of whatever type; a PIECE has, or the proof is given up. */
bool node_givers_take(struct node_givers *g, struct node_answer *a, uint64_t now_us);
/* The number of a new group for SERVER, of 0 to GROUPS - 1: one that nobody is in, else one of
 * whom nobody is fresh (see below) while SERVER is: these are in none then. -1: there is none. */
int node_givers_room(struct node_givers *g, uint32_t server, int groups);
/* The offer is one of GROUP (-1: of none). */
void node_givers_offered(struct node_givers *g, uint32_t server, int group, uint64_t now_us);
/* The part is true and kept (OK), or CODE: NO_MEMORY costs nothing. */
void node_givers_part(struct node_givers *g, const struct node_answer *a, int code,
                      uint64_t now_us);
/* WHAT it did, and WHY that is known or "": it is asked for nothing any more, and banned. */
void node_givers_lied(struct node_givers *g, uint32_t server, const char *what, const char *why);
/* The same, and nobody's fault. */
void node_givers_drop(struct node_givers *g, uint32_t server);
/* What was chosen is of no use any more: all of its group may offer anew, at once. */
void node_givers_again(struct node_givers *g);

/* Of GROUP, and of these who are fresh: not found slow, and no offer of theirs is broken. */
uint32_t node_givers_members(const struct node_givers *g, int group);
uint32_t node_givers_fresh(const struct node_givers *g, int group);
/* Who gave parts. */
uint32_t node_givers_gave(const struct node_givers *g);

#endif
