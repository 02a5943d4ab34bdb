#include "poa_node_behind.h"

#include "poa_base.h"

#define HEARD_MAX 256

/* The lower median of those who are MEMBERs or not and, when UP, who are still there. */
static bool median(const struct node_heard *heard, uint32_t n, bool member, bool up, uint64_t *out)
{
    uint64_t height[HEARD_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = count;
        if (heard[i].member != member || (up && !heard[i].up))
            continue;
        for (count++; at > 0 && height[at - 1] > heard[i].height; at--)
            height[at] = height[at - 1];
        height[at] = heard[i].height;
    }
    *out = count ? height[(count - 1) / 2] : 0;
    return count > 0;
}

uint64_t node_behind_highest(uint64_t highest, uint64_t says)
{
    return says > highest ? says : highest;
}

void node_behind_look(struct node_behind *b, const struct node_heard *heard, uint32_t n,
                      uint64_t height, bool alone)
{
    uint64_t others = 0;
    POA_ASSERT(n <= HEARD_MAX);
    b->known = median(heard, n, true, true, &b->target);
    if (!b->known) {
        b->known = median(heard, n, true, false, &b->target);
        /* One that has no block yet may not have heard of any itself. */
        if (median(heard, n, false, false, &others) && others) {
            b->known = true;
            b->target = others > b->target ? others : b->target;
        }
    }
    uint64_t missing = b->target > height ? b->target - height : 0;
    uint64_t few = b->current ? NODE_BEHIND_LOST : NODE_BEHIND_REACHED;
    b->current = alone || (b->known && missing <= few);
}

static double per_us(struct node_behind_pace p)
{
    return p.took_us ? (double)p.done / (double)p.took_us : 0;
}

uint64_t node_behind_left_s(struct node_behind_pace all, struct node_behind_pace lately,
                            uint64_t missing)
{
    double rate = (per_us(all) + per_us(lately)) / 2;
    double left_s = rate > 0 ? (double)missing / rate / 1e6 + 1 : 0;
    return left_s < 1e12 ? (uint64_t)left_s : (uint64_t)1e12; /* a target that somebody made up */
}

bool node_behind_old(uint64_t final_us, uint64_t stall_us, bool member)
{
    return final_us >= stall_us + (member ? 0 : NODE_BEHIND_FETCH_US);
}

bool node_behind_paused(uint64_t due_us, uint64_t now_us)
{
    return now_us > due_us && now_us - due_us >= NODE_BEHIND_PAUSE_US;
}
