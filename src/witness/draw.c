/* The lotteries: seats of devices, committees of witnesses. Integers only, so
 * that every machine computes the same; see docs/assignment.md. */
#include <string.h>

#include "poa_witness.h"

/* floor(2^64 * a / b) for a < b < 2^63, by long division: C99 has no 128-bit
 * integer. */
static uint64_t fraction64(uint64_t a, uint64_t b)
{
    uint64_t q = 0;
    for (int i = 0; i < 64; i++) {
        a <<= 1;
        q <<= 1;
        if (a >= b) {
            a -= b;
            q |= 1;
        }
    }
    return q;
}

uint32_t poa_lottery_draws(const struct poa_lottery *l)
{
    /* As many as give each draw a chance of at most one half, but a power of
     * two that divides the window: then draw j takes its slot from the j-th
     * part of the window, all slots are equally likely and no two draws of a
     * device meet in one. */
    uint64_t wanted = 2 * (uint64_t)l->seats_per_slot * l->window_slots;
    uint32_t k = 1;
    while (k < POA_DRAWS_MAX && l->window_slots % (2 * k) == 0 &&
           (uint64_t)k * l->eligible < wanted)
        k *= 2;
    return k;
}

bool poa_lottery_threshold(const struct poa_lottery *l, uint64_t *below)
{
    /* Each draw wins with probability seats_per_slot * window_slots / (eligible * k). */
    uint64_t a = (uint64_t)l->seats_per_slot * l->window_slots;
    uint64_t b = (uint64_t)l->eligible * poa_lottery_draws(l);
    *below = a >= b ? 0 : fraction64(a, b);
    return a >= b;
}

/* What all draws of a lottery have in common. */
struct terms {
    uint32_t draws, part;
    uint64_t below;
    bool always;
};

static struct terms terms_of(const struct poa_lottery *l)
{
    struct terms t;
    t.draws = poa_lottery_draws(l);
    t.part = l->window_slots / t.draws;
    t.always = poa_lottery_threshold(l, &t.below);
    return t;
}

static bool seat(const struct terms *t, const uint8_t beta64[64], uint32_t j, struct poa_seat *out)
{
    uint8_t index[4], h[32];
    poa_put_le32(index, j);
    poa_hash2(POA_DOMAIN_LOTTERY, beta64, 64, index, sizeof index, h);
    if (!t->always && poa_le64(h) >= t->below)
        return false;
    out->slot = j * t->part + (uint32_t)(poa_le64(h + 8) % t->part);
    out->rank = poa_le64(h + 16);
    return true;
}

bool poa_ticket_seat(const struct poa_lottery *l, const uint8_t beta64[64], uint32_t j,
                     struct poa_seat *out)
{
    struct terms t = terms_of(l);
    return seat(&t, beta64, j, out);
}

size_t poa_ticket_seats(const struct poa_lottery *l, const uint8_t beta64[64],
                        struct poa_seat out[POA_DRAWS_MAX])
{
    size_t n = 0;
    if (!l->eligible || !l->window_slots)
        return 0;
    struct terms t = terms_of(l);
    for (uint32_t j = 0; j < t.draws; j++)
        n += seat(&t, beta64, j, &out[n]);
    return n;
}

uint32_t poa_random_seat(const uint8_t chain32[32], const uint8_t seed32[32], uint64_t slot,
                         uint32_t j, uint32_t eligible, uint32_t *index, uint64_t *rank)
{
    uint8_t in[32 + 32 + 8 + 4], h[32];
    POA_ASSERT(eligible);
    memcpy(in, chain32, 32);
    memcpy(in + 32, seed32, 32);
    poa_put_le64(in + 64, slot);
    poa_put_le32(in + 72, j);
    poa_hash(POA_DOMAIN_LOTTERY, in, sizeof in, h);
    *index = (uint32_t)(poa_le64(h) % eligible);
    *rank = poa_le64(h + 8);
    return h[16] % POA_LOTS;
}

/* --- committee -----------------------------------------------------------------
 *
 * Taking whoever fits, in the order of the scores, can end with empty seats
 * although another choice would have filled them: with caps of two or three
 * kinds the last candidates may all come from full groups. So the draw looks
 * ahead and goes back: the committee is the first one, in that order, that
 * keeps every cap. */

enum { MAKER, REGION, PROVIDER, KINDS };
/* Steps of the search in the first order, enough to go through all of a small
 * pool. Where it fails, the mistake is often among the first choices, which going
 * back reaches last: then short searches in other orders find more. */
#define FIRST_STEPS 8192u
#define OTHER_STEPS 64u
#define ORDERS      128u
#define LATE_ORDERS 16u /* once the caps had to rise: a draw must end */

struct search {
    struct poa_candidate *pool;
    uint32_t n, size, seated;
    uint32_t cap[KINDS];
    uint32_t room[KINDS]; /* seats that the candidates to come can fill, by this kind's caps */
};

static uint32_t group_of(const struct poa_candidate *c, int kind)
{
    const struct poa_member *m = &c->member;
    return kind == MAKER ? m->maker : kind == REGION ? m->region : m->provider;
}

/* Numbers groups by their first candidate, which keeps their counts. */
static void find_groups(struct search *s)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t k = 0;
            while (group_of(&s->pool[k], kind) != group_of(&s->pool[i], kind))
                k++;
            s->pool[i].group[kind] = (uint16_t)k;
        }
}

static uint32_t group_room(const struct search *s, const struct poa_candidate *g, int kind)
{
    uint32_t more = s->cap[kind] - g->used[kind];
    return more < g->left[kind] ? more : g->left[kind];
}

/* Changes the counts of C's groups: USED seats more, LEFT candidates more. */
static void count(struct search *s, const struct poa_candidate *c, int used, int left)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct poa_candidate *g = &s->pool[c->group[kind]];
        s->room[kind] -= group_room(s, g, kind);
        g->used[kind] = (uint16_t)(g->used[kind] + used);
        g->left[kind] = (uint16_t)(g->left[kind] + left);
        s->room[kind] += group_room(s, g, kind);
    }
}

static bool may_fill(const struct search *s)
{
    uint32_t missing = s->size - s->seated;
    return s->room[MAKER] >= missing && s->room[REGION] >= missing && s->room[PROVIDER] >= missing;
}

static bool take(struct search *s, struct poa_candidate *c)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (s->pool[c->group[kind]].used[kind] >= s->cap[kind])
            return false;
    c->seat = (uint16_t)++s->seated;
    count(s, c, 1, -1);
    return true;
}

static void untake(struct search *s, struct poa_candidate *c)
{
    c->seat = 0;
    s->seated--;
    count(s, c, -1, 1);
}

/* In the first order the hash of seed and key, in each other one the hash of the
 * score in the one before. */
static void score(struct poa_candidate *c, const uint8_t seed32[32], uint32_t order)
{
    if (order)
        poa_hash(POA_DOMAIN_DRAW, c->score, 32, c->score);
    else
        poa_hash2(POA_DOMAIN_DRAW, seed32, 32, c->member.key, 32, c->score);
}

static void sort(struct search *s)
{
    struct poa_candidate *p = s->pool;
    uint32_t gap = 1;
    for (uint32_t i = 0; i < s->n; i++)
        p[i].order = (uint16_t)i;
    while (gap < s->n / 3)
        gap = 3 * gap + 1;
    for (; gap; gap /= 3)
        for (uint32_t i = gap; i < s->n; i++) {
            uint16_t x = p[i].order;
            uint32_t j = i;
            for (; j >= gap && memcmp(p[x].score, p[p[j - gap].order].score, 32) < 0; j -= gap)
                p[j].order = p[j - gap].order;
            p[j].order = x;
        }
}

static void start(struct search *s, const struct poa_committee_rule *rule, uint32_t slack)
{
    uint32_t cap[KINDS] = {rule->cap_maker, rule->cap_region, rule->cap_provider};
    s->seated = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        s->cap[kind] = cap[kind] && cap[kind] + slack < s->size ? cap[kind] + slack : s->size;
        s->room[kind] = 0;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        s->pool[i].seat = 0;
        memset(s->pool[i].used, 0, sizeof s->pool[i].used);
        memset(s->pool[i].left, 0, sizeof s->pool[i].left);
    }
    for (uint32_t i = 0; i < s->n; i++)
        count(s, &s->pool[i], 0, 1);
}

/* Depth first: each candidate in order is taken, else passed over. */
enum outcome { FILLED, IMPOSSIBLE, GAVE_UP };
static enum outcome fill(struct search *s, uint32_t steps)
{
    uint32_t at = 0;
    if (!may_fill(s))
        return IMPOSSIBLE;
    while (s->seated < s->size) {
        struct poa_candidate *c = &s->pool[s->pool[at].order];
        if (!steps--)
            return GAVE_UP;
        bool taken = take(s, c);
        if (taken && may_fill(s)) {
            at++;
            continue;
        }
        if (taken)
            untake(s, c);
        count(s, c, 0, -1);
        at++;
        while (!may_fill(s)) { /* back to the last one taken, and pass it over */
            do {
                if (!at)
                    return IMPOSSIBLE;
                c = &s->pool[s->pool[--at].order];
                if (!c->seat)
                    count(s, c, 0, 1);
            } while (!c->seat);
            untake(s, c);
            count(s, c, 0, -1);
            at++;
        }
    }
    return FILLED;
}

/* By how much the fullest group exceeds its cap when everybody has a seat. */
static uint32_t excess(const struct poa_committee_rule *rule, const struct search *s)
{
    uint32_t cap[KINDS] = {rule->cap_maker, rule->cap_region, rule->cap_provider}, most = 0;
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; cap[kind] && i < s->n; i++) {
            uint32_t seats = s->pool[i].left[kind];
            if (seats > cap[kind] && seats - cap[kind] > most)
                most = seats - cap[kind];
        }
    return most;
}

uint32_t poa_committee_draw(const struct poa_committee_rule *rule, const uint8_t seed32[32],
                            struct poa_candidate *pool, size_t n)
{
    uint32_t size = rule->size ? rule->size : POA_COMMITTEE_MAX;
    struct search s = {.pool = pool, .n = (uint32_t)n};
    POA_ASSERT(n <= UINT16_MAX);
    s.size = size < POA_COMMITTEE_MAX ? size : POA_COMMITTEE_MAX;
    find_groups(&s);
    if (s.size >= s.n) {
        start(&s, rule, 0);
        for (size_t i = 0; i < n; i++)
            pool[i].seat = (uint16_t)(i + 1);
        return excess(rule, &s);
    }
    /* A chain must not end because its pool became uniform: caps that cannot be
     * kept rise by one, all of them. With SIZE more none is left. */
    for (uint32_t slack = 0;; slack++)
        for (uint32_t k = 0; k < (slack ? LATE_ORDERS : ORDERS); k++) {
            for (size_t i = 0; i < n; i++)
                score(&pool[i], seed32, k);
            start(&s, rule, slack);
            sort(&s);
            enum outcome o = fill(&s, s.n + (k ? OTHER_STEPS : FIRST_STEPS));
            if (o == FILLED)
                return slack;
            if (o == IMPOSSIBLE)
                break;
        }
}

int poa_committee_build(const struct poa_committee_rule *rule, uint32_t epoch,
                        const struct poa_candidate *pool, size_t n, struct poa_writer *buffer,
                        struct poa_committee *out)
{
    uint32_t seated = 0;
    for (size_t i = 0; i < n; i++)
        seated += pool[i].seat != 0;
    if (!seated)
        return POA_E_RANGE;
    size_t start = buffer->n;
    for (uint32_t seat = 1; seat <= seated; seat++)
        for (size_t i = 0; i < n; i++)
            if (pool[i].seat == seat) {
                int e = poa_member_encode(buffer, &pool[i].member);
                if (e)
                    return e;
            }
    uint32_t quorum = seated - poa_committee_faults(seated) + rule->quorum_extra;
    out->epoch = epoch;
    out->quorum = (uint16_t)(quorum > seated ? seated : quorum);
    out->members.bytes = poa_slice(buffer->p + start, buffer->n - start);
    out->members.count = seated;
    return poa_committee_check(out);
}
