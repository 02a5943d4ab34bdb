/* talk: two devices that speak to one another through a gateway that can only pass on
 * what they say, or not (RELAY and RELAYED of poa_edge.h).
 *
 *   device A                    gateway                    device B
 *   poa_talk_poll  -- FIRST ----> RELAY   RELAYED ---->  poa_talk_input
 *   poa_talk_input <-- SECOND --  RELAYED   RELAY <----  (its reply)
 *   (its reply)    -- DATA ------------------------->    session confirmed
 *   poa_talk_say   -- DATA ------------------------->    poa_talk_input: text
 *
 * The handshake is Noise IK between the two devices' own keys, as everywhere; the
 * prologue names the chain and both Ed25519 keys. The gateway says who a message is
 * from, and cannot lie about it: the keys would not fit.
 *
 * - Crossing handshakes: when both dial at once, the dial of the lower Ed25519 key
 *   wins; the other one answers it and forgets its own.
 * - Key confirmation: the dialer says something at once (an empty text), and until
 *   then its answerer keeps the session before. A replayed FIRST gets no further.
 * - Reset: who gets a frame of a session that it does not know dials, once in
 *   POA_TALK_RETRY_MS, so nobody can reset others with a forged message.
 * - Rekey: by count in the session; by time with a new handshake beside the old one,
 *   whose frames are taken until the peer speaks in the new one, POA_TALK_OLD_MS at most.
 *
 * What is said arrives once, unchanged, in order, or not at all: who needs to know
 * has the other one answer. Bytes in, bytes out; no allocation, clock, randomness or
 * socket. One struct per pair, on each side. Freestanding C99; not thread-safe.
 */
#ifndef POA_TALK_H
#define POA_TALK_H

#include "poa_edge.h"

#define POA_TALK_PROLOGUE "poa/talk/1"
#define POA_TALK_TEXT_MAX (POA_EDGE_RELAY_MAX - 1 - POA_SESSION_OVERHEAD)
#define POA_TALK_REPLY    (1 + POA_EDGE_FIRST_BYTES) /* the longest reply */
/* Without an answer it dials again after this, then after twice as long, and so on. */
#define POA_TALK_RETRY_MS     3000
#define POA_TALK_RETRY_MAX_MS 60000
/* A handshake is answered at most so often: each costs five scalar multiplications. */
#define POA_TALK_ANSWER_MS 250
#define POA_TALK_OLD_MS    10000
/* A session that could not be renewed ends at this age. */
#define POA_TALK_AGE_MAX_MS (2 * POA_SESSION_AGE_RENEW_MS)

enum poa_talk_kind {
    POA_TALK_FIRST = 1,
    POA_TALK_SECOND = 2,
    POA_TALK_DATA = 3, /* a frame of the session */
};

/* Members are private. */
struct poa_talk {
    const uint8_t *seed32, *key32; /* ours; borrowed */
    uint8_t chain[32], x_pk[32];   /* x_pk: ours */
    uint8_t peer[32], peer_x[32];  /* Ed25519, X25519 */
    struct poa_noise dial;         /* ours, under way when DIALING */
    struct poa_talk_link {
        struct poa_session session;
        uint64_t since_ms;
        bool used;
    } now, next, old; /* NEXT: answered, not confirmed; OLD: replaced by NOW */
    uint64_t dialed_ms, answered_ms;
    uint32_t tries; /* dials since the last session */
    bool dialing, dialed, answered, wanted;
};

/* SEED and KEY are this device's, borrowed as long as T is used; PEER the other one's
 * Ed25519 key. Errors: POA_E_KEY (no key, or our own). */
POA_MUST_USE int poa_talk_init(struct poa_talk *t, const uint8_t chain32[32],
                               const uint8_t seed32[32], const uint8_t key32[32],
                               const uint8_t peer32[32]);
void poa_talk_wipe(struct poa_talk *t);

/* From now on poll sees to it that there is a session. Without this T only answers. */
void poa_talk_open(struct poa_talk *t);
/* Whether something can be said now. */
bool poa_talk_ready(const struct poa_talk *t);

/* What is due: appends what is to be relayed to PEER, if anything, to REPLY, which has
 * room for POA_TALK_REPLY bytes. ENTROPY32: fresh random bytes, the caller wipes its
 * copy. *WAIT_MS: call again within this. */
void poa_talk_poll(struct poa_talk *t, uint64_t mono_ms, const uint8_t entropy32[32],
                   struct poa_writer *reply, uint64_t *wait_ms);

/* MESSAGE was relayed from PEER. Appends the text in it, if any, to TEXT
 * (POA_TALK_TEXT_MAX bytes are enough) and what is to be relayed back to REPLY, as in poll.
 * Errors: T is unchanged but for when it dials next. POA_E_TRUNCATED, POA_E_RANGE (kind),
 * POA_E_HANDSHAKE, POA_E_KEY (another key than PEER's), POA_E_RATE, POA_E_AGAIN (crossing:
 * ours wins), POA_E_SESSION_UNKNOWN (REPLY may have a dial), and those of
 * poa_session_open. None is a reason to give up: the gateway may have sent anything. */
POA_MUST_USE int poa_talk_input(struct poa_talk *t, uint64_t mono_ms, const uint8_t entropy32[32],
                                struct poa_slice message, struct poa_writer *text,
                                struct poa_writer *reply);

/* The gateway did not pass on what was last for PEER: a dial of ours got nowhere. */
void poa_talk_lost(struct poa_talk *t);

/* Appends TEXT as a message to be relayed to OUT. Errors: POA_E_AGAIN (not ready),
 * POA_E_TOO_LONG, POA_E_BUFFER. */
POA_MUST_USE int poa_talk_say(struct poa_talk *t, struct poa_slice text, struct poa_writer *out);

#endif
