/* When to dial which gateway: jittered back-off, inside the agent. */
#ifndef POA_AGENT_LINK_H
#define POA_AGENT_LINK_H

#include <stddef.h>
#include <stdint.h>

enum agent_down {
    AGENT_DOWN_FAILED, /* never worked */
    AGENT_DOWN_LOST,   /* worked, then broke */
    AGENT_DOWN_TOLD,   /* the gateway said when to return */
    AGENT_DOWN_RENEW,  /* the session got old: same gateway, at once */
};

struct agent_link {
    size_t gateways;
    size_t next;     /* gateway to dial */
    size_t failures; /* in a row */
};

void agent_link_init(struct agent_link *l, size_t gateways);
void agent_link_up(struct agent_link *l);
/* Milliseconds until the next dial. */
uint64_t agent_link_down(struct agent_link *l, enum agent_down why, uint64_t retry_ms);

#endif
