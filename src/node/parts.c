#include "poa_node_parts.h"

#include <stdlib.h>
#include <string.h>

#include "poa_error.h"

int node_parts_init(struct node_parts *p, uint32_t n)
{
    memset(p, 0, sizeof *p);
    node_turns_init(&p->turns);
    p->state = calloc(n ? n : 1, 1);
    p->n = n;
    return p->state ? POA_OK : POA_E_NO_MEMORY;
}

void node_parts_free(struct node_parts *p)
{
    free(p->state);
    p->state = NULL;
    p->n = 0;
}

void node_parts_have(struct node_parts *p, uint32_t i)
{
    p->held += p->state[i] != NODE_PART_HELD;
    p->state[i] = NODE_PART_HELD;
}

uint32_t node_parts_asked(const struct node_parts *p, int server)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < NODE_PARTS_ASKED; i++)
        n += p->flight[i].used && p->flight[i].server == server;
    return n;
}

bool node_parts_next(struct node_parts *p, uint64_t now_us, const int *server, uint32_t n,
                     struct node_parts_question *out)
{
    struct node_turn of[POA_P2P_PEERS_MAX];
    uint32_t at = 0, asked = 0;
    while (p->from < p->n && p->state[p->from] != NODE_PART_WANTED)
        p->from++;
    for (uint32_t i = 0; i < NODE_PARTS_ASKED; i++) {
        asked += p->flight[i].used;
        if (p->flight[at].used)
            at = i;
    }
    if (p->from == p->n || p->flight[at].used)
        return false;
    for (uint32_t i = 0; i < n; i++)
        of[i] = (struct node_turn){.server = server[i],
                                   .has = true,
                                   .asked = node_parts_asked(p, server[i]),
                                   .most = p->most[server[i]] + 1u};
    int i = node_turns_choose(&p->turns, now_us, of, n, !asked);
    if (i < 0)
        return false;
    *out = (struct node_parts_question){.id = node_turns_asked(&p->turns, server[i]),
                                        .part = p->from,
                                        .timeout_ms = p->turns.patience_ms,
                                        .server = server[i]};
    p->flight[at].used = true;
    p->flight[at].id = out->id;
    p->flight[at].part = out->part;
    p->flight[at].server = out->server;
    p->flight[at].asked_us = now_us;
    p->state[p->from] = NODE_PART_ASKED;
    return true;
}

static void want(struct node_parts *p, uint32_t flight)
{
    uint32_t part = p->flight[flight].part;
    p->flight[flight].used = false;
    if (p->state[part] == NODE_PART_HELD)
        return;
    p->state[part] = NODE_PART_WANTED;
    p->from = part < p->from ? part : p->from;
}

bool node_parts_answered(struct node_parts *p, uint32_t id, int code, uint64_t now_us)
{
    uint32_t at = 0;
    while (at < NODE_PARTS_ASKED && !(p->flight[at].used && p->flight[at].id == id))
        at++;
    if (at == NODE_PARTS_ASKED) /* given up meanwhile */
        return false;
    int server = p->flight[at].server;
    uint64_t asked_us = p->flight[at].asked_us, took_ms = (now_us - asked_us) / 1000;
    if (code) {
        bool first = asked_us >= p->turns.server[server].failed_us;
        want(p, at);
        p->most[server] = 0;
        if (first)
            node_turns_failed(&p->turns, server, NULL, code, now_us);
        return first;
    }
    /* As many as it answers well before anybody loses patience. */
    if (took_ms * 4 < p->turns.patience_ms && p->most[server] + 1u < NODE_PARTS_EACH)
        p->most[server]++;
    if (took_ms * 2 > p->turns.patience_ms && p->most[server])
        p->most[server]--;
    node_turns_answered(&p->turns, took_ms);
    node_turns_good(&p->turns, server, NULL);
    node_parts_have(p, p->flight[at].part);
    p->flight[at].used = false;
    return false;
}

void node_parts_leave(struct node_parts *p, int server)
{
    for (uint32_t i = 0; i < NODE_PARTS_ASKED; i++)
        if (p->flight[i].used && p->flight[i].server == server)
            want(p, i);
    p->most[server] = 0;
}
