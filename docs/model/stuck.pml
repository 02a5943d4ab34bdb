/* Stuckness: can honest nodes ever be left without anything to do?
 *
 * Each honest node knows certificates of its own and sits in its lowest view
 * that none of them clears. Byzantine members propose, add their votes to a
 * certificate and show it to whom they like; at some time they fall silent for
 * ever, and then only what honest nodes know and say counts. Messages between
 * honest nodes arrive in the end (the protocol re-sends), in any order.
 *
 * Nothing is ever taken back, so every run ends. Its end is an error unless
 *
 *   L1  every honest node has cleared every view, and
 *   L2  (LAST_HONEST) the block of the last view, whose leader is honest and
 *       whose timers do not fire because the network is timely by then, is
 *       final for everybody.
 *
 *   par[b]    parent of block b: 0 = not proposed, 1 = first block, 2 + block
 *   node[i]   votes that honest node i sent, and certificates that it holds
 *
 * Honest nodes are alike and kept sorted; value 1 of a view comes after value 0.
 *
 * Parameters (spin -D): VIEWS 1..3, VALUES 1..2, LAST_HONEST, BODIES (a block
 * must be held to be voted for, and Byzantine leaders send it to whom they
 * like; needs VALUES 1). MUTANT_* breaks one rule. README.md says which line
 * stands for which code.
 */
#ifndef VIEWS
#define VIEWS 2
#endif
#ifndef VALUES
#define VALUES 1
#endif
#define HONEST 3
#define QUORUM 3 /* n = 4, f = 1 */

/* One view: votes notarize x, nullify, finalize x; in node[i] the certificates
 * stand beside the votes. */
#define PER_VIEW (2 * VALUES + 1)
#define N(v, x)  (1 << (PER_VIEW * (v) + (x)))
#define Z(v)     (1 << (PER_VIEW * (v) + VALUES))
#define F(v, x)  (1 << (PER_VIEW * (v) + VALUES + 1 + (x)))
#if VALUES == 2
#define ANY_N(v) (N(v, 0) | N(v, 1))
#define ANY_F(v) (F(v, 0) | F(v, 1))
#else
#define ANY_N(v) N(v, 0)
#define ANY_F(v) F(v, 0)
#endif
#define W          (PER_VIEW * VIEWS)
#define ALL        ((1 << W) - 1)
#define SENT(i, b)  (node[i] & (b))
#define HOLDS(i, b) ((node[i] >> W) & (b))

int node[HONEST];
byte par[VIEWS * VALUES];
bool silent;
/* Follow from node[]: votes that a quorum of honest nodes sent, that enough sent
 * for the adversary to make a certificate; certificates that honest nodes hold. */
int quorum, reach, held;
hidden byte idx, low;
hidden int votes, ones, twos, carry;

#define BLOCK(v, x) ((v) * VALUES + (x))
#define LAST (VIEWS - 1)
#ifdef LAST_HONEST
#define HONEST_LEADER(v) ((v) == LAST)
#else
#define HONEST_LEADER(v) false
#endif

inline count()
{
    ones = 0; twos = 0; held = 0; idx = 0;
    do
    :: idx < HONEST ->
        votes = SENT(idx, ALL);
        carry = ones & votes;
        ones = ones ^ votes;
        twos = twos | carry;
        held = held | HOLDS(idx, ALL);
        idx++
    :: else -> break
    od;
    quorum = ones & twos; /* 3 of 3 */
    reach = twos         /* 2 of 3 */
}

/* The rules of safety.pml hold here too. */
inline check()
{
    idx = 0;
    do
    :: idx < VIEWS ->
        assert((reach & Z(idx)) == 0 || (reach & ANY_F(idx)) == 0);
#if VALUES == 2
        assert((reach & ANY_N(idx)) != ANY_N(idx));
#endif
        idx++
    :: else -> break
    od
}

inline sort()
{
    low = 1;
    do
    :: low < HONEST ->
        idx = low;
        do
        :: idx > 0 && node[idx - 1] > node[idx] ->
            votes = node[idx - 1]; node[idx - 1] = node[idx]; node[idx] = votes;
            idx--
        :: else -> break
        od;
        low++
    :: else -> break
    od
}

/* A notarization, a nullification, or any finalization at or beyond it clears a
 * view; the frontier is the lowest one that is not cleared. */
#ifdef MUTANT_IGNORE_LATE_NOTAR
#define BY_N(i, v) (HOLDS(i, ANY_N(v)) && !SENT(i, Z(v)))
#else
#define BY_N(i, v) HOLDS(i, ANY_N(v))
#endif
#if VIEWS == 1
#define BY_F(i, v) HOLDS(i, ANY_F(0))
#elif VIEWS == 2
#define BY_F(i, v) (HOLDS(i, ANY_F(1)) || ((v) == 0 && HOLDS(i, ANY_F(0))))
#else
#define BY_F(i, v) (HOLDS(i, ANY_F(2)) || ((v) < 2 && HOLDS(i, ANY_F(1))) || ((v) == 0 && HOLDS(i, ANY_F(0))))
#endif
#define CLEARED(i, v) (BY_N(i, v) || HOLDS(i, Z(v)) || BY_F(i, v))
#define BELOW(i, v)   (((v) < 1 || CLEARED(i, 0)) && ((v) < 2 || CLEARED(i, 1)))
#define IN_VIEW(i, v) (BELOW(i, v) && !CLEARED(i, v))

/* Justification by certificates that the node itself holds. */
#define SKIPPED(i, low, v) (((low) > 0 || (v) < 1 || HOLDS(i, Z(0))) && ((low) > 1 || (v) < 2 || HOLDS(i, Z(1))))
#define CERTIFIED(i, v, x) HOLDS(i, N(v, x) | F(v, x))
#define JUST_ON(i, v, pv, px) (CERTIFIED(i, pv, px) && SKIPPED(i, (pv) + 1, v))

/* Bodies: a block is executed by whoever has its body and executed its parent.
 * A node that lacks a body asks the others: a certified one is with some honest
 * node, because that voted for it. */
#ifdef BODIES
#define EXECUTED(i, v) ((node[i] >> (2 * W)) & (1 << (v)))
#define ON_EXECUTED(i, v) (par[v] == 1 || (par[v] > 1 && EXECUTED(i, par[v] - 2)))
#ifdef MUTANT_NO_FETCH
#define FETCHED(v) false
#else
#define FETCHED(v) (EXECUTED(0, v) || EXECUTED(1, v) || EXECUTED(2, v))
#endif
#define RECEIVE(i, v) :: !EXECUTED(i, v) && ON_EXECUTED(i, v) && \
    (!silent || HONEST_LEADER(v) || FETCHED(v)) -> node[i] = node[i] | (1 << (2 * W + (v)))
#else
#define EXECUTED(i, v) true
#define RECEIVE(i, v)
#endif

/* A Byzantine leader proposes what it likes, as long as a parent can be
 * certified. An honest one proposes when it gets to its view, on the highest
 * notarized block that it knows: the first node to do so is that leader. */
#define MADE(v, x) (par[BLOCK(v, x)] != 0)
#define NEXT(v, x) (!MADE(v, x) && ((x) == 0 || (MADE(v, 0) && !HONEST_LEADER(v))))
#define LIE(v, x, p, certified) \
    :: !HONEST_LEADER(v) && !silent && NEXT(v, x) && (certified) -> par[BLOCK(v, x)] = (p)
#define PROPOSE(i, v, p, just) \
    :: HONEST_LEADER(v) && IN_VIEW(i, v) && NEXT(v, 0) && (just) -> par[BLOCK(v, 0)] = (p)

#define NOTARIZE(i, v, x, p, just) \
    :: IN_VIEW(i, v) && !SENT(i, ANY_N(v)) && par[BLOCK(v, x)] == (p) && EXECUTED(i, v) && (just) -> \
        node[i] = node[i] | N(v, x)

/* A finalize vote needs the notarization, and the body in order to execute it. */
#define FINALIZE(i, v, x) \
    :: HOLDS(i, N(v, x)) && !SENT(i, ANY_F(v) | Z(v)) && EXECUTED(i, v) -> node[i] = node[i] | F(v, x)

/* The skip timer. */
#ifdef MUTANT_NO_NULLIFY
#define NULLIFY(i, v)
#else
#define NULLIFY(i, v) \
    :: !HONEST_LEADER(v) && IN_VIEW(i, v) && !SENT(i, Z(v) | ANY_F(v)) -> node[i] = node[i] | Z(v)
#endif

/* Certificates: from the votes that arrived, or from another honest node. */
#ifdef MUTANT_NO_RELAY
#define RELAYED(b) false
#else
#define RELAYED(b) (held & (b))
#endif
#define LEARN(i, b) :: !HOLDS(i, b) && ((quorum & (b)) || (!silent && (reach & (b))) || RELAYED(b)) -> \
    node[i] = node[i] | ((b) << W)

/* Views and values of this configuration, for node I. */
#define LEARN_VALUE(i, v, x) LEARN(i, N(v, x)) LEARN(i, F(v, x)) FINALIZE(i, v, x)
#define ON_FIRST(i, v, x) NOTARIZE(i, v, x, 1, SKIPPED(i, 0, v))
#define ON(i, v, x, pv, px) NOTARIZE(i, v, x, 2 + BLOCK(pv, px), JUST_ON(i, v, pv, px))
#define LEAD(i, v, pv, px) PROPOSE(i, v, 2 + BLOCK(pv, px), EXECUTED(i, pv) && JUST_ON(i, v, pv, px))
#if VALUES == 2
#define ON_VIEW(i, v, x, pv) ON(i, v, x, pv, 0) ON(i, v, x, pv, 1)
#define LEAD_VIEW(i, v, pv) LEAD(i, v, pv, 0) LEAD(i, v, pv, 1)
#define LIE_VIEW(v, x, pv) LIE(v, x, 2 + BLOCK(pv, 0), reach & N(pv, 0)) LIE(v, x, 2 + BLOCK(pv, 1), reach & N(pv, 1))
#define VALUES_OF(i, v, what) what(i, v, 0) what(i, v, 1)
#define LIES(v, what) what(v, 0) what(v, 1)
#else
#define ON_VIEW(i, v, x, pv) ON(i, v, x, pv, 0)
#define LEAD_VIEW(i, v, pv) LEAD(i, v, pv, 0)
#define LIE_VIEW(v, x, pv) LIE(v, x, 2 + BLOCK(pv, 0), reach & N(pv, 0))
#define VALUES_OF(i, v, what) what(i, v, 0)
#define LIES(v, what) what(v, 0)
#endif
#define COMMON(i, v) RECEIVE(i, v) NULLIFY(i, v) LEARN(i, Z(v)) VALUES_OF(i, v, LEARN_VALUE) \
    VALUES_OF(i, v, ON_FIRST) PROPOSE(i, v, 1, SKIPPED(i, 0, v))
#define LIE_FIRST(v, x) LIE(v, x, 1, true)
#define VIEW_0(i) COMMON(i, 0)
#define LIES_0 LIES(0, LIE_FIRST)
#if VIEWS > 1
#define ON_1(i, v, x) ON_VIEW(i, v, x, 0)
#define LIE_1(v, x) LIE_VIEW(v, x, 0)
#define VIEW_1(i) COMMON(i, 1) VALUES_OF(i, 1, ON_1) LEAD_VIEW(i, 1, 0)
#define LIES_1 LIES(1, LIE_FIRST) LIES(1, LIE_1)
#else
#define VIEW_1(i)
#define LIES_1
#endif
#if VIEWS > 2
#define ON_2(i, v, x) ON_VIEW(i, v, x, 0) ON_VIEW(i, v, x, 1)
#define LIE_2(v, x) LIE_VIEW(v, x, 0) LIE_VIEW(v, x, 1)
#define VIEW_2(i) COMMON(i, 2) VALUES_OF(i, 2, ON_2) LEAD_VIEW(i, 2, 0) LEAD_VIEW(i, 2, 1)
#define LIES_2 LIES(2, LIE_FIRST) LIES(2, LIE_2)
#else
#define VIEW_2(i)
#define LIES_2
#endif
#define ACT(i) VIEW_0(i) VIEW_1(i) VIEW_2(i)

#if VIEWS == 1
#define DONE(i) CLEARED(i, 0)
#elif VIEWS == 2
#define DONE(i) (CLEARED(i, 0) && CLEARED(i, 1))
#else
#define DONE(i) (CLEARED(i, 0) && CLEARED(i, 1) && CLEARED(i, 2))
#endif
#ifdef LAST_HONEST
#define GOOD(i) (DONE(i) && HOLDS(i, F(LAST, 0)))
#else
#define GOOD(i) DONE(i)
#endif

active proctype world()
{
    do
    :: atomic {
            if
            ACT(0)
            ACT(1)
            ACT(2)
            LIES_0
            LIES_1
            LIES_2
            :: !silent -> silent = true
            fi;
            d_step { count(); check(); sort(); skip }
        }
    :: silent && GOOD(0) && GOOD(1) && GOOD(2) -> break
    od
}
