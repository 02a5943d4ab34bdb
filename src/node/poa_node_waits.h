/* How long a joining node waits for whom.
 *
 *   offers ──> the proof, of one server ──> parts, of all that have the same
 *
 * Who takes a question and never answers costs one patience, who drips a proof one
 * limit: then the next one has its turn. Both grow when nobody was in time, so that slow
 * lines come through, too. What parts of a state cost who stalls: parts.c.
 *
 * Times are the caller's: no clock, no lock, no socket. givers.c and join.c ask. */
#ifndef POA_NODE_WAITS_H
#define POA_NODE_WAITS_H

#include "poa_node_turns.h"

/* From the first offer on, for the others. */
#define NODE_WAITS_OFFERS_US UINT64_C(1000000)
/* Between two questions to who has nothing; twice as long each time that it did not answer,
 * so often at most. */
#define NODE_WAITS_AGAIN_US   UINT64_C(2000000)
#define NODE_WAITS_SILENT_MAX 5u
/* For an offer, which is long where the state is: twice as long each time that it was too short. */
#define NODE_WAITS_OFFER_MAX_MS (8 * NODE_PATIENCE_MS)
/* Without anything that is of use. */
#define NODE_WAITS_GIVE_UP_US UINT64_C(60000000)
/* For a proof while others are there that may be faster, else PROOF_LAST times as long. */
#define NODE_WAITS_PROOF_US   UINT64_C(15000000)
#define NODE_WAITS_PROOF_LAST 10u
/* Longer than any proof takes: who refuses at once ends many rounds. */
#define NODE_WAITS_PROOF_MAX_US (NODE_WAITS_PROOF_US << 8)
/* Slower than this after a while, those of another height may be faster. */
#define NODE_WAITS_SLOW_US          UINT64_C(20000000)
#define NODE_WAITS_SLOW_BYTES_PER_S (UINT64_C(128) << 10)

struct node_waits {
    uint32_t patience_ms; /* for one piece of a proof */
    uint64_t limit_us;    /* for a whole one */
    uint64_t offered_us;  /* the first offer; 0: none */
    uint64_t given_us;    /* the proof was begun */
    uint64_t begun_us;    /* the parts were */
    uint64_t moved_us;    /* the last thing of use */
};

void node_waits_begin(struct node_waits *w, uint64_t now_us);
/* Something came that is of use, or it was our own work. */
void node_waits_moved(struct node_waits *w, uint64_t now_us);
bool node_waits_given_up(const struct node_waits *w, uint64_t now_us);

/* How long one that has nothing to offer is left alone after it was silent SILENT times, and is
 * then waited for. */
uint64_t node_waits_again_us(uint32_t silent);
uint32_t node_waits_offer_ms(uint32_t silent);
/* There is an offer. */
void node_waits_offer(struct node_waits *w, uint64_t now_us);
/* Others who were asked may still offer something. */
bool node_waits_for_offers(const struct node_waits *w, uint64_t now_us);
/* What was offered is of no use: anew. THERE: another one is offered already. */
void node_waits_again(struct node_waits *w, bool there);

/* One begins to give its proof; whether it takes too long, while OTHERS have something. */
void node_waits_proof(struct node_waits *w, uint64_t now_us);
bool node_waits_proof_late(const struct node_waits *w, uint64_t now_us, bool others);
/* All had their turn, and none was in time. */
void node_waits_round(struct node_waits *w);

/* The parts begin; whether BYTES of them since then are few. */
void node_waits_parts(struct node_waits *w, uint64_t now_us);
bool node_waits_slow(const struct node_waits *w, uint64_t now_us, uint64_t bytes);

#endif
