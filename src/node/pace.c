#include "poa_node_pace.h"

#include <stdbool.h>

/* Busy: this many times the shortest lag, and so much more. */
#define BUSY_TIMES   2
#define BUSY_MORE_US 40000
/* The shortest lag is one of the last two windows: links and machines change. */
#define WINDOW_US 60000000u
#define RAISE_US  1000000u
#define CALM_US   500000u
/* Others are here when they submit so many in a second, until a while after that. */
#define COMPANY    8
#define COMPANY_US 3000000u

static uint64_t least(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static bool busy(struct node_pace *p, uint64_t now_us, uint64_t lag_us)
{
    if (now_us >= p->window_us) {
        p->base_us = p->next_us;
        p->next_us = 0;
        p->window_us = now_us + WINDOW_US;
    }
    p->next_us = least(p->next_us, lag_us);
    uint64_t base = least(p->base_us, p->next_us);
    return lag_us > BUSY_TIMES * base + BUSY_MORE_US;
}

static bool company(struct node_pace *p, uint64_t now_us, uint64_t others)
{
    if (others >= p->others + COMPANY)
        p->company_us = now_us + COMPANY_US;
    if (now_us >= p->second_us + 1000000) {
        p->second_us = now_us;
        p->others = others;
    }
    return now_us < p->company_us;
}

uint32_t node_pace_floor(struct node_pace *p, uint64_t now_us, uint64_t lag_us, uint64_t admitted,
                         uint64_t others)
{
    if (p->floor && now_us < p->at_us + NODE_PACE_EVERY_US)
        return p->floor;
    p->at_us = now_us;
    if (!p->floor)
        p->floor = NODE_PACE_LEAST;
    bool alone = !company(p, now_us, others);
    if (!busy(p, now_us, lag_us) || alone) {
        if (p->floor > NODE_PACE_LEAST && (alone || now_us >= p->calm_us + CALM_US)) {
            p->floor /= 2;
            p->calm_us = now_us;
        }
        return p->floor;
    }
    p->calm_us = now_us;
    bool first = p->floor == NODE_PACE_LEAST;
    bool again = now_us >= p->raised_us + RAISE_US && admitted > p->admitted;
    if (first || (again && p->floor < NODE_PACE_MOST)) {
        p->floor *= 2;
        p->raised_us = now_us;
        p->admitted = admitted;
    }
    return p->floor;
}
