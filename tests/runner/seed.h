/* Seeds of property tests: the same on every run, so that a change is what
 * breaks them; POA_SEED=N for another one, POA_SEED=random to look further. A
 * failure prints the seed with the command that repeats the test. */
#ifndef SEED_H
#define SEED_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct seed {
    uint64_t value, state;
};

static inline struct seed seed_take(void)
{
    const char *given = getenv("POA_SEED");
    struct seed s = {20260101, 0};
    if (given && strcmp(given, "random"))
        s.value = strtoull(given, NULL, 0);
    else if (given && getrandom(&s.value, sizeof s.value, 0) != sizeof s.value)
        cr_assert_fail("no random seed");
    s.state = s.value;
    return s;
}

/* SplitMix64. */
static inline uint64_t seed_next(struct seed *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint32_t seed_below(struct seed *s, uint32_t n)
{
    return (uint32_t)(seed_next(s) % n);
}

static inline bool seed_chance(struct seed *s, double p)
{
    return (double)(seed_next(s) >> 11) * 0x1p-53 < p;
}

#define seed_assert(s, condition, format, ...)                                                     \
    cr_assert(condition, format "; repeat with POA_SEED=%" PRIu64, __VA_ARGS__, (s)->value)

#endif
