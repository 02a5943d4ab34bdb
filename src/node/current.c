/* Whether what this node says is current, and whether it serves devices. */
#include <stdio.h>

#include "node.h"

/* A device is better off with another gateway when this one stays behind for so long, or when
 * nothing becomes final here although peers are there, which may be so everywhere. */
#define BEHIND_US  UINT64_C(5000000)
#define STALLED_US UINT64_C(60000000)

enum lag { CURRENT, BEHIND, CUT_OFF, STALLED, HALTED };

static uint32_t peers_up(struct poa_node *n)
{
    uint32_t up = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        up += n->peer[i].known && n->peer[i].up;
    pthread_mutex_unlock(&n->peers_mutex);
    return up;
}

static enum lag look(struct poa_node *n, char *why, size_t cap)
{
    struct node_status s;
    node_status_get(n, &s);
    pthread_mutex_lock(&n->status_mutex);
    struct node_behind behind = n->behind;
    uint32_t unkept = n->unkept;
    pthread_mutex_unlock(&n->status_mutex);
    pthread_mutex_lock(&n->halt_mutex);
    bool halted = n->halted;
    if (halted)
        snprintf(why, cap, "halted: %.110s", n->halt_why.text);
    pthread_mutex_unlock(&n->halt_mutex);
    if (halted)
        return HALTED;
    bool member = s.core.member >= 0, alone = member && s.core.members == 1;
    uint32_t peers = peers_up(n);
    unsigned long long age_s = s.core.final_us / 1000000;
    bool cut_off = !alone && !peers;
    if (s.starting) {
        snprintf(why, cap, "starting: block %llu of the %llu stored here is executed again",
                 (unsigned long long)s.core.height, (unsigned long long)s.stored);
        return BEHIND;
    }
    if (!behind.current && unkept)
        snprintf(why, cap,
                 "no peer keeps block %llu (asked: %u): start with snapshot = yes and without "
                 "DATA_DIR/db, or add a peer with prune = 0",
                 (unsigned long long)s.core.height + 1, unkept);
    else if (!behind.current && !behind.known)
        snprintf(why, cap, "height %llu, and no peer has said its own yet",
                 (unsigned long long)s.core.height);
    else if (!behind.current)
        snprintf(why, cap, "catching up: height %llu of %llu", (unsigned long long)s.core.height,
                 (unsigned long long)behind.target);
    else if (!s.core.synced)
        snprintf(why, cap, "catching up: height %llu", (unsigned long long)s.core.height);
    else if (!node_behind_old(s.core.final_us, poa_stall_us(&n->genesis), member))
        return CURRENT;
    else if (node_woke(n, poa_clock_monotonic_us(n->clock)))
        snprintf(why, cap, "this process stood still: no block for %llu s", age_s);
    else if (member)
        snprintf(why, cap, "stalled: nothing became final for %llu s", age_s);
    else
        snprintf(why, cap, "no block came for %llu s; peers connected: %u", age_s, peers);
    return !behind.current || !s.core.synced ? BEHIND : cut_off ? CUT_OFF : STALLED;
}

bool node_current(struct poa_node *n, char *why, size_t cap)
{
    return look(n, why, cap) == CURRENT;
}

void node_current_tell(struct poa_node *n)
{
    char why[128];
    if (!n->gateway)
        return;
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    enum lag lag = look(n, why, sizeof why);
    uint64_t patience_us = lag == BEHIND ? BEHIND_US : lag == STALLED ? STALLED_US : 0;
    if (lag == CURRENT)
        n->lag_us = 0;
    else if (!n->lag_us)
        n->lag_us = now_us;
    bool serves = lag == CURRENT || (n->serves && now_us - n->lag_us < patience_us);
    if (serves == n->serves)
        return;
    n->serves = serves;
    poa_gateway_serve(n->gateway, serves);
    if (serves)
        POA_LOG_INFO(NODE, "gateway: devices are served");
    else
        POA_LOG_WARN(NODE, "gateway: devices are sent away, because their answers would be old: %s",
                     why);
}
