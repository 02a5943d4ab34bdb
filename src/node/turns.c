#include "poa_node_turns.h"

#include <string.h>

#include "poa_error.h"

void node_turns_init(struct node_turns *t)
{
    memset(t, 0, sizeof *t);
    t->patience_ms = NODE_PATIENCE_MS;
}

void node_turns_meet(struct node_turns *t, int server, const uint8_t key32[32])
{
    if (memcmp(t->server[server].key, key32, 32) == 0)
        return;
    memset(&t->server[server], 0, sizeof t->server[server]);
    memcpy(t->server[server].key, key32, 32);
}

/* Whoever was asked has the place still. */
static bool is_there(const struct node_turns *t, int server, const uint8_t *key32)
{
    return !key32 || memcmp(t->server[server].key, key32, 32) == 0;
}

void node_turns_rest(struct node_turns *t, int server, const uint8_t *key32, uint64_t now_us)
{
    uint32_t *fails = &t->server[server].fails;
    if (!is_there(t, server, key32))
        return;
    t->server[server].failed_us = now_us;
    t->server[server].rest_us = now_us + (NODE_REST_US << *fails);
    *fails += *fails < 6;
}

void node_turns_failed(struct node_turns *t, int server, const uint8_t *key32, int code,
                       uint64_t now_us)
{
    uint32_t longer = 2 * t->patience_ms;
    if (code == POA_E_TIMEOUT)
        t->patience_ms = longer < NODE_PATIENCE_MAX_MS ? longer : NODE_PATIENCE_MAX_MS;
    node_turns_rest(t, server, key32, now_us);
}

void node_turns_answered(struct node_turns *t, uint64_t took_ms)
{
    uint32_t shorter = t->patience_ms / 2;
    if (took_ms * 4 < t->patience_ms)
        t->patience_ms = shorter > NODE_PATIENCE_MS ? shorter : NODE_PATIENCE_MS;
}

void node_turns_good(struct node_turns *t, int server, const uint8_t *key32)
{
    if (is_there(t, server, key32))
        t->server[server].fails = 0;
}

uint32_t node_turns_asked(struct node_turns *t, int server)
{
    return t->server[server].turn = ++t->turn;
}

static bool better(const struct node_turns *t, uint64_t now_us, const struct node_turn *a,
                   const struct node_turn *b)
{
    uint64_t rest_a = t->server[a->server].rest_us, rest_b = t->server[b->server].rest_us;
    rest_a = rest_a > now_us ? rest_a : 0;
    rest_b = rest_b > now_us ? rest_b : 0;
    /* Before what they say of themselves: that costs nothing. */
    if (rest_a != rest_b)
        return rest_a < rest_b;
    if (a->before != b->before)
        return a->before;
    if (a->asked != b->asked)
        return a->asked < b->asked;
    if (a->member != b->member)
        return a->member;
    return t->server[a->server].turn < t->server[b->server].turn;
}

int node_turns_choose(const struct node_turns *t, uint64_t now_us, const struct node_turn *of,
                      uint32_t n, bool urgent)
{
    int best = -1;
    for (uint32_t i = 0; i < n; i++) {
        const struct node_turn *s = &of[i];
        uint64_t failed_us = t->server[s->server].failed_us;
        bool fresh = failed_us && now_us < failed_us + NODE_RETRY_US;
        /* Only what is waited for is worth a try. */
        bool doubtful = !s->has || t->server[s->server].rest_us > now_us;
        if (fresh || s->asked >= s->most || (!urgent && doubtful))
            continue;
        if (best < 0 || better(t, now_us, s, &of[best]))
            best = (int)i;
    }
    return best;
}
