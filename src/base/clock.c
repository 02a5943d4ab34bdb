#include "poa_clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t system_monotonic_us(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t system_wall_ms(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const struct poa_clock *poa_clock_system(void)
{
    static const struct poa_clock clock = {system_monotonic_us, system_wall_ms, NULL};
    return &clock;
}
