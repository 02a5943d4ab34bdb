/* The recovery ceremony: so many members lost their logs that no quorum knows
 * what it said, and an order of the operators gets the chain going. Can what was
 * final be lost, can what is skipped be final, can a member that forgot what it
 * said contradict it?
 *
 * Like safety.pml, but for the knowledge of the view that a node is in: a node acts
 * in a view when every view below it could be cleared. n = 4, q = 3, without
 * liars, because with them and so many losses no rule helps; leaders may still
 * propose two blocks in a view, as one does that forgot the first.
 *
 *   told     two nodes lost their logs, then the operators drew their token
 *   S(w)     "views w and w+1 are skipped", said under that token
 *   node[i]  votes that node i remembers, and those that left it
 *   said[i]  its statements, and whether it lost its log
 *
 * Parameters (spin -D): VALUES 1..2. MUTANT_* breaks one rule. README.md says
 * which line stands for which code.
 */
#ifndef VALUES
#define VALUES 1
#endif
#define VIEWS 3
#define NODES_N 4
#define NEED 3 /* q: there are no others to help */

#define N(v, x) (1 << (5 * (v) + (x)))
#define Z(v)    (1 << (5 * (v) + 2))
#define F(v, x) (1 << (5 * (v) + 3 + (x)))
#define ANY_N(v) (N(v, 0) | N(v, 1))
#define ANY_F(v) (F(v, 0) | F(v, 1))
#define ANY(v)   (ANY_N(v) | Z(v) | ANY_F(v))

#define W           (5 * VIEWS)
#define ALL         ((1 << W) - 1)
#define KNOWS(i, b) (node[i] & (b))
#define SENT(i, b)  ((node[i] >> W) & (b))

#define SAYS(w) (1 << (w)) /* in said[] */
#define LOST    4

int node[NODES_N];
byte said[NODES_N];
byte par[VIEWS * VALUES]; /* as in safety.pml */
bool told;
/* Follow from node[] and said[]. */
int certs;
byte speak0, speak1;
hidden byte blk, later, at, idx;
hidden int votes, ones, twos, fours, carry;

#define CERT(b) ((certs & (b)) != 0)
#define SPEAK(w) ((w) == 0 -> speak0 : speak1)
#define SKIPPED_BY(w) (((w) == 0 -> speak0 : speak1) >= NEED)
/* A quorum said that it skips view V. */
#define RECOVERED(v) ((v) == 0 -> SKIPPED_BY(0) : ((v) == 1 -> SKIPPED_BY(0) || SKIPPED_BY(1) : SKIPPED_BY(1)))

/* Every Z is followed by two F, every N(v, 0) by N(v, 1). */
#define EVERY_Z  (Z(0) | Z(1) | Z(2))
#define EVERY_N0 (N(0, 0) | N(1, 0) | N(2, 0))
inline count()
{
    ones = 0; twos = 0; fours = 0; idx = 0; speak0 = 0; speak1 = 0;
    do
    :: idx < NODES_N ->
        votes = SENT(idx, ALL);
        assert((votes & (votes & EVERY_Z) << 1) == 0 && (votes & (votes & EVERY_Z) << 2) == 0); /* S7 */
        assert((votes & (votes & EVERY_N0) << 1) == 0);
        carry = ones & votes;
        ones = ones ^ votes;
        fours = fours | (twos & carry);
        twos = twos ^ carry;
        speak0 = speak0 + ((said[idx] & SAYS(0)) -> 1 : 0);
        speak1 = speak1 + ((said[idx] & SAYS(1)) -> 1 : 0);
        idx++
    :: else -> break
    od;
    certs = (ones & twos) | fours
}

#define BLOCK(v, x) ((v) * VALUES + (x))
#define VIEW_OF(b)  ((b) / VALUES)
#define CERT_N(b)   CERT(1 << (5 * VIEW_OF(b) + (b) % VALUES))
#define FINAL(b)    CERT(1 << (5 * VIEW_OF(b) + 3 + (b) % VALUES))

#define NULLIFIED(v) (CERT(Z(v)) || RECOVERED(v))
#define CLEARED(v)   (CERT(ANY_N(v)) || NULLIFIED(v))
#define REACHED(v)   (((v) < 1 || CLEARED(0)) && ((v) < 2 || CLEARED(1)))
#define SKIPPED(low, v) (((low) > 0 || (v) < 1 || NULLIFIED(0)) && ((low) > 1 || (v) < 2 || NULLIFIED(1)))
#define JUST_FIRST(v)   SKIPPED(0, v)
#define JUST(v, pv, px) (CERT(N(pv, px)) && SKIPPED((pv) + 1, v))

inline walk(from, floor)
{
    at = from + 2;
    do
    :: at >= 2 && VIEW_OF(at - 2) > floor -> at = par[at - 2]
    :: else -> break
    od
}

/* S1 to S3 as in safety.pml
 * S6 no skipped view is final
 * S7 nobody contradicts itself, whatever it forgot: count() */
inline check()
{
    blk = 0;
    do
    :: blk < VIEWS * VALUES ->
        if
        :: blk % VALUES == 1 -> assert(!(CERT_N(blk) && CERT_N(blk - 1))) /* S3 */
        :: else
        fi;
        if
        :: FINAL(blk) ->
            assert(!CERT(Z(VIEW_OF(blk))));     /* S2 */
            assert(!RECOVERED(VIEW_OF(blk)));   /* S6 */
            assert(CERT_N(blk));                /* S3 */
            later = (VIEW_OF(blk) + 1) * VALUES;
            do
            :: later < VIEWS * VALUES ->
                if
                :: CERT_N(later) -> walk(later, VIEW_OF(blk)); assert(at == blk + 2) /* S1 */
                :: else
                fi;
                later++
            :: else -> break
            od
        :: else
        fi;
        blk++
    :: else -> break
    od
}

inline sort()
{
    blk = 1;
    do
    :: blk < NODES_N ->
        idx = blk;
        do
        :: idx > 0 && (node[idx - 1] > node[idx] || (node[idx - 1] == node[idx] && said[idx - 1] > said[idx])) ->
            votes = node[idx - 1]; node[idx - 1] = node[idx]; node[idx] = votes;
            votes = said[idx - 1]; said[idx - 1] = said[idx]; said[idx] = votes;
            idx--
        :: else -> break
        od;
        blk++
    :: else -> break
    od
}

/* A member without its log votes in view 2 at the earliest, after it skipped views
 * 0 and 1. */
#ifdef MUTANT_RECOVER_SOON
#define MAY_VOTE(i, v) (!(said[i] & LOST) || (said[i] & (SAYS(0) | SAYS(1))))
#else
#define MAY_VOTE(i, v) (!(said[i] & LOST) || ((v) == 2 && (said[i] & SAYS(0))))
#endif
/* It never finalizes what it said it skips. */
#define WILL_SKIP(i, v) ((said[i] & SAYS(v)) || ((v) > 0 && (said[i] & SAYS((v) - 1))))

#define CAST(i, b) node[i] = node[i] | (b) | ((b) << W)
#define OPEN(v, x, p) (par[BLOCK(v, x)] == (p) || \
    (par[BLOCK(v, x)] == 0 && ((x) == 0 || par[BLOCK(v, 0)] != 0)))
#define NOTARIZE(i, v, x, p, just) \
    :: MAY_VOTE(i, v) && REACHED(v) && !KNOWS(i, ANY_N(v)) && OPEN(v, x, p) && (just) -> \
        par[BLOCK(v, x)] = (p); CAST(i, N(v, x))
#define FINALIZE(i, v, x) \
    :: MAY_VOTE(i, v) && !KNOWS(i, ANY_F(v) | Z(v)) && !WILL_SKIP(i, v) && CERT(N(v, x)) -> CAST(i, F(v, x))
#define NULLIFY(i, v) :: MAY_VOTE(i, v) && REACHED(v) && !KNOWS(i, Z(v) | ANY_F(v)) -> CAST(i, Z(v))

/* Who kept its log speaks in the view that it is in, of which and of the next one
 * it finalized neither. */
#define NONE_BEYOND(i, w) (!KNOWS(i, ANY(2)) && ((w) > 0 || !KNOWS(i, ANY(1))))
#define SKIP(i, w) \
    :: told && !(said[i] & (LOST | SAYS(w))) && REACHED(w) && NONE_BEYOND(i, w) && \
        !KNOWS(i, ANY_F(w) | ANY_F((w) + 1)) -> said[i] = said[i] | SAYS(w)
/* Who lost it waits for n-q+1 others. */
#ifdef MUTANT_RECOVER_ALONE
#define HEARD(w) true
#else
#define HEARD(w) (SPEAK(w) > NODES_N - NEED)
#endif
#define SKIP_LOST(i, w) \
    :: told && (said[i] & LOST) && !(said[i] & SAYS(w)) && REACHED(w) && HEARD(w) && \
        NONE_BEYOND(i, w) -> said[i] = said[i] | SAYS(w)
/* Whoever loses its log is silent until the order: so it may as well lose it just
 * before. */
#define LOSE(i) said[i] = said[i] | LOST; node[i] = node[i] & ~ALL
#define TELL(i, k) :: !told -> told = true; LOSE(i); LOSE(k)

#define VALUE_0(i, x) NOTARIZE(i, 0, x, 1, true) FINALIZE(i, 0, x)
#define ON_0(i, v, x, px) NOTARIZE(i, v, x, 2 + BLOCK(0, px), JUST(v, 0, px))
#define ON_1(i, v, x, px) NOTARIZE(i, v, x, 2 + BLOCK(1, px), JUST(v, 1, px))
#if VALUES == 2
#define BOTH(i, what) what(i, 0) what(i, 1)
#define PARENTS_1(i, x) ON_0(i, 1, x, 0) ON_0(i, 1, x, 1)
#define PARENTS_2(i, x) ON_0(i, 2, x, 0) ON_0(i, 2, x, 1) ON_1(i, 2, x, 0) ON_1(i, 2, x, 1)
#else
#define BOTH(i, what) what(i, 0)
#define PARENTS_1(i, x) ON_0(i, 1, x, 0)
#define PARENTS_2(i, x) ON_0(i, 2, x, 0) ON_1(i, 2, x, 0)
#endif
#define VALUE_1(i, x) NOTARIZE(i, 1, x, 1, JUST_FIRST(1)) PARENTS_1(i, x) FINALIZE(i, 1, x)
#define VALUE_2(i, x) NOTARIZE(i, 2, x, 1, JUST_FIRST(2)) PARENTS_2(i, x) FINALIZE(i, 2, x)
#define ACT(i) BOTH(i, VALUE_0) NULLIFY(i, 0) BOTH(i, VALUE_1) NULLIFY(i, 1) BOTH(i, VALUE_2) \
    NULLIFY(i, 2) SKIP(i, 0) SKIP(i, 1) SKIP_LOST(i, 0) SKIP_LOST(i, 1)

active proctype world()
{
end:
    do
    :: atomic {
            if
            ACT(0)
            ACT(1)
            ACT(2)
            ACT(3)
            TELL(0, 1) TELL(0, 2) TELL(0, 3) TELL(1, 2) TELL(1, 3) TELL(2, 3)
            fi;
            d_step { count(); check(); sort(); skip }
        }
    od
}
