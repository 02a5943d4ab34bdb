/* Safety of the votes: can two honest nodes ever finalize different things?
 *
 * The world is what honest nodes have said; the adversary has everything else.
 * All leaders are Byzantine, the network is the adversary's, and Byzantine
 * members add their votes to whatever they like at any time. Nodes need not
 * have seen a certificate in order to act on it: it is enough that it could
 * exist, because q - f honest nodes have voted. That allows more than any real
 * run does, so what holds here holds for every timing, loss and order.
 *
 *   certs         votes that q - f honest nodes sent: the adversary can complete it
 *   par[b]        parent of block b: 0 = not proposed, 1 = first block, 2 + block
 *   node[i]       votes that honest node i remembers, and those that left it
 *
 * Only votes of honest nodes move the world, so a proposal appears together
 * with the first vote for it. Honest nodes are alike and so are the values of
 * a view: nodes are kept sorted, value 1 comes after value 0.
 *
 * Parameters (spin -D): VIEWS 1..3, VALUES 1..2 blocks that a leader may
 * propose in one view, HONEST 3..5 with FAULTY; n = HONEST + FAULTY. RESTART
 * adds a disk that is slower than the memory, and crashes. MUTANT_* breaks one
 * rule. README.md says which line stands for which code.
 */
#ifndef VIEWS
#define VIEWS 2
#endif
#ifndef VALUES
#define VALUES 2
#endif
#ifndef HONEST
#define HONEST 3
#define FAULTY 1
#endif

#define QUORUM (HONEST) /* n - f */
#ifdef MUTANT_QUORUM_LESS_ONE
#define NEED (QUORUM - FAULTY - 1)
#else
#define NEED (QUORUM - FAULTY)
#endif

/* The votes of one view, one bit each: notarize value 0 or 1, nullify,
 * finalize value 0 or 1. */
#define N(v, x) (1 << (5 * (v) + (x)))
#define Z(v)    (1 << (5 * (v) + 2))
#define F(v, x) (1 << (5 * (v) + 3 + (x)))
#define ANY_N(v) (N(v, 0) | N(v, 1))
#define ANY_F(v) (F(v, 0) | F(v, 1))

/* node[i]: what the node remembers, what it sent, and (RESTART) what its disk
 * holds, side by side. */
#define W         (5 * VIEWS)
#define ALL       ((1 << W) - 1)
#define KNOWS(i, b)  (node[i] & (b))
#define SENT(i, b)   ((node[i] >> W) & (b))
#define STORED(i, b) ((node[i] >> (2 * W)) & (b))

int node[HONEST];
int certs; /* follows from node[] */
byte par[VIEWS * VALUES];
hidden byte blk, later, at, idx, closing;
hidden int votes, ones, twos, fours, carry;

#if HONEST == 3
#define NODES(step) step(0) step(1) step(2)
#elif HONEST == 4
#define NODES(step) step(0) step(1) step(2) step(3)
#else
#define NODES(step) step(0) step(1) step(2) step(3) step(4)
#endif

/* Votes that NEED honest nodes sent. */
#define CERT(b) ((certs & (b)) != 0)

/* Counts the nodes that sent each vote, all votes at once: ones, twos and fours
 * are the binary digits of the counts. */
inline count()
{
    ones = 0; twos = 0; fours = 0; idx = 0;
    do
    :: idx < HONEST ->
        votes = SENT(idx, ALL);
        carry = ones & votes;
        ones = ones ^ votes;
        fours = fours | (twos & carry);
        twos = twos ^ carry;
        idx++
    :: else -> break
    od;
#if NEED == 1
    certs = ones | twos | fours
#elif NEED == 2
    certs = twos | fours
#elif NEED == 3
    certs = (ones & twos) | fours
#else
#error "count() knows NEED 1 to 3"
#endif
}

#define BLOCK(v, x)  ((v) * VALUES + (x))
#define VIEW_OF(b)   ((b) / VALUES)
#define CERT_N(b)    CERT(1 << (5 * VIEW_OF(b) + (b) % VALUES))
#ifdef MUTANT_COMMIT_ON_NOTARIZE
#define FINAL(b)     CERT_N(b)
#else
#define FINAL(b)     CERT(1 << (5 * VIEW_OF(b) + 3 + (b) % VALUES))
#endif

/* Views from LOW up to below V are nullified. */
#ifdef MUTANT_UNCHECKED_GAP
#define SKIPPED(low, v) true
#else
#define SKIPPED(low, v) (((low) > 0 || (v) < 1 || CERT(Z(0))) && ((low) > 1 || (v) < 2 || CERT(Z(1))))
#endif
/* Justification of a block of view V with parent P. */
#define JUST_FIRST(v)   SKIPPED(0, v)
#define JUST(v, pv, px) (CERT(N(pv, px)) && SKIPPED((pv) + 1, v))

/* Chain position at view FLOOR or below, from block FROM down; 1: the beginning. */
inline walk(from, floor)
{
    at = from + 2;
    do
    :: at >= 2 && VIEW_OF(at - 2) > floor -> at = par[at - 2]
    :: else -> break
    od
}

/* S1 a notarized block stands on every final block of an earlier view
 * S2 a view is not both final and nullified
 * S3 a view has one notarized block, and what is final is notarized
 * S5 views from the last one of the epoch on: whatever final block hands over
 *    to the next epoch, it does so from the same closing block */
inline check()
{
    blk = 0;
    closing = 255;
    do
    :: blk < VIEWS * VALUES ->
        if
        :: blk % VALUES == 1 -> assert(!(CERT_N(blk) && CERT_N(blk - 1))) /* S3 */
        :: else
        fi;
        if
        :: FINAL(blk) ->
            assert(!CERT(Z(VIEW_OF(blk)))); /* S2 */
            assert(CERT_N(blk));            /* S3 */
            later = (VIEW_OF(blk) + 1) * VALUES;
            do
            :: later < VIEWS * VALUES ->
                if
                :: CERT_N(later) -> walk(later, VIEW_OF(blk)); assert(at == blk + 2) /* S1 */
                :: else
                fi;
                later++
            :: else -> break
            od;
            if
            :: VIEW_OF(blk) > 0 -> /* view 0 is the epoch, the others are after it */
                at = blk + 2;
                do
                :: par[at - 2] >= 2 && VIEW_OF(par[at - 2] - 2) > 0 -> at = par[at - 2]
                :: else -> break
                od;
                assert(closing == 255 || closing == at); /* S5 */
                closing = at
            :: else
            fi
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
    :: blk < HONEST ->
        idx = blk;
        do
        :: idx > 0 && node[idx - 1] > node[idx] ->
            votes = node[idx - 1]; node[idx - 1] = node[idx]; node[idx] = votes;
            idx--
        :: else -> break
        od;
        blk++
    :: else -> break
    od
}

/* A vote is remembered and, unless a slow disk holds it back, sent. */
#ifdef RESTART
#define CAST(i, b) node[i] = node[i] | (b)
#else
#define CAST(i, b) node[i] = node[i] | (b) | ((b) << W)
#endif

/* A node votes to notarize one block per view, when it is justified. It may do
 * so after it nullified the view. */
#ifdef MUTANT_VOTE_TWICE
#define MAY_N(i, v, x) !KNOWS(i, N(v, x))
#else
#define MAY_N(i, v, x) !KNOWS(i, ANY_N(v))
#endif
#define OPEN(v, x, p) (par[BLOCK(v, x)] == (p) || \
    (par[BLOCK(v, x)] == 0 && ((x) == 0 || par[BLOCK(v, 0)] != 0)))
#define NOTARIZE(i, v, x, p, just) \
    :: MAY_N(i, v, x) && OPEN(v, x, p) && (just) -> par[BLOCK(v, x)] = (p); CAST(i, N(v, x))

/* It votes to finalize what is notarized, unless it nullified the view. */
#ifdef MUTANT_FINAL_AFTER_NULL
#define MAY_F(i, v) !KNOWS(i, ANY_F(v))
#else
#define MAY_F(i, v) !KNOWS(i, ANY_F(v) | Z(v))
#endif
#define FINALIZE(i, v, x) :: MAY_F(i, v) && CERT(N(v, x)) -> CAST(i, F(v, x))

/* It may nullify at any time, unless it voted to finalize. */
#ifdef MUTANT_NULL_AFTER_FINAL
#define MAY_Z(i, v) !KNOWS(i, Z(v))
#else
#define MAY_Z(i, v) !KNOWS(i, Z(v) | ANY_F(v))
#endif
#define NULLIFY(i, v) :: MAY_Z(i, v) -> CAST(i, Z(v))

/* Views and values of this configuration, for node I. */
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
#define VIEW_0(i) BOTH(i, VALUE_0) NULLIFY(i, 0)
#if VIEWS > 1
#define VIEW_1(i) BOTH(i, VALUE_1) NULLIFY(i, 1)
#else
#define VIEW_1(i)
#endif
#if VIEWS > 2
#define VIEW_2(i) BOTH(i, VALUE_2) NULLIFY(i, 2)
#else
#define VIEW_2(i)
#endif

/* S4. The disk follows the memory when it likes, a vote leaves when its record
 * is on the disk, and a crash leaves what the disk holds. */
#ifdef RESTART
#ifdef MUTANT_SEND_BEFORE_PERSIST
#define MAY_LEAVE(i, b) KNOWS(i, b)
#else
#define MAY_LEAVE(i, b) (KNOWS(i, b) && STORED(i, b))
#endif
#define SEND(i, b) :: MAY_LEAVE(i, b) && !SENT(i, b) -> node[i] = node[i] | ((b) << W)
#define SYNC(i) :: (KNOWS(i, ALL) & ~STORED(i, ALL)) != 0 -> \
    node[i] = node[i] | (KNOWS(i, ALL) << (2 * W))
#define CRASH(i) :: KNOWS(i, ALL) != STORED(i, ALL) -> node[i] = (node[i] & ~ALL) | STORED(i, ALL)
#define SEND_VALUE_0(i, x) SEND(i, N(0, x)) SEND(i, F(0, x))
#define SEND_VALUE_1(i, x) SEND(i, N(1, x)) SEND(i, F(1, x))
#define SEND_0(i) BOTH(i, SEND_VALUE_0) SEND(i, Z(0))
#if VIEWS > 1
#define SEND_1(i) BOTH(i, SEND_VALUE_1) SEND(i, Z(1))
#else
#define SEND_1(i)
#endif
#define DISK(i) SYNC(i) CRASH(i) SEND_0(i) SEND_1(i)
#else
#define DISK(i)
#endif

/* Restarts that forget: a node that remembers all it sent needs no transition. */
#define FORGET(i, b) :: KNOWS(i, b) -> node[i] = node[i] & ~(b)
#define EVERY_N (ANY_N(0) | ANY_N(1))
#define EVERY_Z (Z(0) | Z(1))
#ifdef MUTANT_FORGET_VOTES
#define AMNESIA(i) FORGET(i, ALL)
#elif defined(MUTANT_FORGET_NOTARIZE)
#define AMNESIA(i) FORGET(i, EVERY_N)
#elif defined(MUTANT_FORGET_NULLIFY)
#define AMNESIA(i) FORGET(i, EVERY_Z)
#else
#define AMNESIA(i)
#endif

#define ACT(i) VIEW_0(i) VIEW_1(i) VIEW_2(i) DISK(i) AMNESIA(i)

active proctype world()
{
end:
    do
    :: atomic {
            if
            NODES(ACT)
            fi;
            d_step { count(); check(); sort(); skip }
        }
    od
}
