#include "poa_node_pace.h"

/* Busy: this many times the shortest lag, and so much more. */
#define BUSY_TIMES   2
#define BUSY_MORE_US 40000
/* The shortest lag is one of the last two windows: links and machines change. */
#define WINDOW_US 60000000u
#define RAISE_US  1000000u
#define CALM_US   500000u
/* Others are here when so many of theirs are executed in a second, until a while after that. */
#define COMPANY    8
#define COMPANY_US 3000000u
/* Strangers' transactions that may wait: what was taken and is never executed hides no more. */
#define CREDIT_MAX 16384u

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

/* Who else submits, here or elsewhere, is seen by what the chain executes beyond what
 * strangers handed in here. */
static bool company(struct node_pace *p, uint64_t now_us, const struct node_pace_seen *seen)
{
    uint64_t executed = seen->txs - p->txs;
    p->credit += seen->accepted - p->accepted;
    if (p->credit > CREDIT_MAX)
        p->credit = CREDIT_MAX;
    p->accepted = seen->accepted;
    p->txs = seen->txs;
    uint64_t own = executed < p->credit ? executed : p->credit;
    p->credit -= own;
    if (now_us >= p->second_us + 1000000) {
        p->second_us = now_us;
        p->others = 0;
    }
    p->others += executed - own;
    if (p->others >= COMPANY)
        p->company_us = now_us + COMPANY_US;
    return now_us < p->company_us;
}

bool node_pace_due(const struct node_pace *p, uint64_t now_us)
{
    return !p->floor || now_us >= p->at_us + NODE_PACE_EVERY_US;
}

uint32_t node_pace_floor(struct node_pace *p, uint64_t now_us, const struct node_pace_seen *seen)
{
    p->at_us = now_us;
    if (!p->floor) {
        p->floor = NODE_PACE_LEAST;
        p->txs = seen->txs;
    }
    bool alone = !company(p, now_us, seen);
    if (!busy(p, now_us, seen->lag_us) || alone) {
        if (p->floor > NODE_PACE_LEAST && (alone || now_us >= p->calm_us + CALM_US)) {
            p->floor /= 2;
            p->calm_us = now_us;
        }
        return p->floor;
    }
    p->calm_us = now_us;
    bool first = p->floor == NODE_PACE_LEAST;
    bool again = now_us >= p->raised_us + RAISE_US && seen->admitted > p->admitted;
    if (first || (again && p->floor < NODE_PACE_MOST)) {
        p->floor *= 2;
        p->raised_us = now_us;
        p->admitted = seen->admitted;
    }
    return p->floor;
}
