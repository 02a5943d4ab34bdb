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

size_t poa_ticket_seats(const struct poa_lottery *l, const uint8_t beta64[64],
                        struct poa_seat out[POA_DRAWS_MAX])
{
    if (!l->eligible || !l->window_slots)
        return 0;
    uint32_t k = poa_lottery_draws(l);
    uint32_t part = l->window_slots / k;
    /* Each draw wins with probability seats_per_slot * window_slots / (eligible * k). */
    uint64_t a = (uint64_t)l->seats_per_slot * l->window_slots, b = (uint64_t)l->eligible * k;
    bool always = a >= b;
    uint64_t threshold = always ? 0 : fraction64(a, b);
    size_t n = 0;
    for (uint32_t j = 0; j < k; j++) {
        uint8_t in[64 + 4], h[32];
        memcpy(in, beta64, 64);
        poa_put_le32(in + 64, j);
        poa_hash(POA_DOMAIN_LOTTERY, in, sizeof in, h);
        if (!always && poa_le64(h) >= threshold)
            continue;
        out[n].slot = j * part + (uint32_t)(poa_le64(h + 8) % part);
        out[n].rank = poa_le64(h + 16);
        n++;
    }
    return n;
}

void poa_random_seat(const uint8_t chain32[32], const uint8_t seed32[32], uint64_t slot, uint32_t j,
                     uint32_t eligible, uint32_t *index, uint64_t *rank)
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
}

/* --- committee ----------------------------------------------------------------- */

/* Whether C fits beside the chosen ones when every cap is raised by SLACK. */
static bool fits(const struct poa_committee_rule *rule, const struct poa_candidate *pool, size_t n,
                 const struct poa_candidate *c, uint32_t slack)
{
    uint32_t maker = 0, region = 0, provider = 0;
    for (size_t i = 0; i < n; i++) {
        if (!pool[i].seat)
            continue;
        maker += pool[i].member.maker == c->member.maker;
        region += pool[i].member.region == c->member.region;
        provider += pool[i].member.provider == c->member.provider;
    }
    return (!rule->cap_maker || maker < rule->cap_maker + slack) &&
           (!rule->cap_region || region < rule->cap_region + slack) &&
           (!rule->cap_provider || provider < rule->cap_provider + slack);
}

/* The unseated candidate with the lowest score above FLOOR (NULL: none). */
static struct poa_candidate *next_candidate(struct poa_candidate *pool, size_t n,
                                            const struct poa_candidate *floor)
{
    struct poa_candidate *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (pool[i].seat || (floor && memcmp(pool[i].score, floor->score, 32) <= 0))
            continue;
        if (!best || memcmp(pool[i].score, best->score, 32) < 0)
            best = &pool[i];
    }
    return best;
}

uint32_t poa_committee_draw(const struct poa_committee_rule *rule, const uint8_t seed32[32],
                            struct poa_candidate *pool, size_t n)
{
    uint32_t size = rule->size ? rule->size : POA_COMMITTEE_MAX;
    uint32_t seated = 0, slack = 0;
    if (size > POA_COMMITTEE_MAX)
        size = POA_COMMITTEE_MAX;
    if (size >= n) {
        for (size_t i = 0; i < n; i++)
            pool[i].seat = (uint16_t)(i + 1);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        poa_hash2(POA_DOMAIN_DRAW, seed32, 32, pool[i].member.key, 32, pool[i].score);
        pool[i].seat = 0;
    }
    /* When the caps leave seats empty, all of them rise by one and the skipped
     * are asked again, in the same order: a chain must not end because its
     * pool became uniform. The number of rises says how far the draw is from
     * what genesis wanted. */
    for (;; slack++) {
        struct poa_candidate *c = NULL;
        while (seated < size && (c = next_candidate(pool, n, c)) != NULL)
            if (fits(rule, pool, n, c, slack))
                c->seat = (uint16_t)++seated;
        if (seated == size || slack > size) /* the latter only when a key is there twice */
            return slack;
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
