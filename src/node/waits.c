#include "poa_node_waits.h"

#include <string.h>

void node_waits_begin(struct node_waits *w, uint64_t now_us)
{
    memset(w, 0, sizeof *w);
    w->patience_ms = NODE_PATIENCE_MS;
    w->limit_us = NODE_WAITS_PROOF_US;
    w->moved_us = now_us;
}

void node_waits_moved(struct node_waits *w, uint64_t now_us)
{
    w->moved_us = now_us;
}

bool node_waits_given_up(const struct node_waits *w, uint64_t now_us)
{
    return now_us - w->moved_us > NODE_WAITS_GIVE_UP_US;
}

uint64_t node_waits_again_us(uint32_t silent)
{
    return NODE_WAITS_AGAIN_US << (silent < NODE_WAITS_SILENT_MAX ? silent : NODE_WAITS_SILENT_MAX);
}

uint32_t node_waits_offer_ms(uint32_t silent)
{
    uint32_t ms = NODE_PATIENCE_MS
                  << (silent < NODE_WAITS_SILENT_MAX ? silent : NODE_WAITS_SILENT_MAX);
    return ms < NODE_WAITS_OFFER_MAX_MS ? ms : NODE_WAITS_OFFER_MAX_MS;
}

void node_waits_offer(struct node_waits *w, uint64_t now_us)
{
    if (!w->offered_us)
        w->offered_us = now_us;
}

bool node_waits_for_offers(const struct node_waits *w, uint64_t now_us)
{
    return !w->offered_us || now_us < w->offered_us + NODE_WAITS_OFFERS_US;
}

void node_waits_again(struct node_waits *w, bool there)
{
    w->offered_us = there ? 1 : 0; /* long ago */
}

void node_waits_proof(struct node_waits *w, uint64_t now_us)
{
    w->given_us = now_us;
}

bool node_waits_proof_late(const struct node_waits *w, uint64_t now_us, bool others)
{
    return now_us - w->given_us > w->limit_us * (others ? 1 : NODE_WAITS_PROOF_LAST);
}

void node_waits_round(struct node_waits *w)
{
    uint32_t longer = 2 * w->patience_ms;
    w->patience_ms = longer < NODE_PATIENCE_MAX_MS ? longer : NODE_PATIENCE_MAX_MS;
    if (w->limit_us < NODE_WAITS_PROOF_MAX_US)
        w->limit_us *= 2;
}

void node_waits_parts(struct node_waits *w, uint64_t now_us)
{
    w->begun_us = w->moved_us = now_us;
}

bool node_waits_slow(const struct node_waits *w, uint64_t now_us, uint64_t bytes)
{
    uint64_t due_us = NODE_WAITS_SLOW_US + bytes * 1000000 / NODE_WAITS_SLOW_BYTES_PER_S;
    return now_us >= w->begun_us + due_us;
}
