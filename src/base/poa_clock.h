/* The clock, injected: the pure core never sees it, drivers and tests choose it. */
#ifndef POA_CLOCK_H
#define POA_CLOCK_H

#include <stdint.h>

/* Callbacks get CTX and are called from any thread. */
struct poa_clock {
    uint64_t (*monotonic_us)(void *ctx); /* never goes back; for intervals and timers */
    uint64_t (*wall_ms)(void *ctx);      /* since 1970-01-01T00:00:00Z; may jump */
    void *ctx;
};

/* CLOCK_MONOTONIC and CLOCK_REALTIME. Static. */
const struct poa_clock *poa_clock_system(void);

static inline uint64_t poa_clock_monotonic_us(const struct poa_clock *c)
{
    return c->monotonic_us(c->ctx);
}
static inline uint64_t poa_clock_monotonic_ms(const struct poa_clock *c)
{
    return c->monotonic_us(c->ctx) / 1000;
}
static inline uint64_t poa_clock_wall_ms(const struct poa_clock *c)
{
    return c->wall_ms(c->ctx);
}

#endif
