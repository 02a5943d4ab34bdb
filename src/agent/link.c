/* Which gateways there are, and when to try which. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_agent.h"

#define FIRST_MS 250
#define LAST_MS  60000
#define TOLD_MS  600000 /* what a gateway may ask for at the most */

static int parse_one(const char *text, size_t n, struct agent_gateway *g)
{
    char key[65];
    const char *at = memchr(text, '@', n);
    if (!at || at - text != 64)
        return POA_E_TEXT;
    memcpy(key, text, 64);
    key[64] = 0;
    if (poa_unhex(key, g->key, 32))
        return POA_E_TEXT;
    const char *host = at + 1, *end = text + n, *colon = end;
    while (colon > host && colon[-1] != ':')
        colon--;
    if (colon <= host + 1)
        return POA_E_TEXT;
    size_t host_n = (size_t)(colon - 1 - host), port_n = (size_t)(end - colon);
    /* [::1]:7000 */
    if (host_n > 2 && host[0] == '[' && host[host_n - 1] == ']') {
        host++;
        host_n -= 2;
    }
    if (!port_n || port_n >= sizeof g->port || host_n >= sizeof g->host)
        return POA_E_TEXT;
    memcpy(g->host, host, host_n);
    g->host[host_n] = 0;
    memcpy(g->port, colon, port_n);
    g->port[port_n] = 0;
    char *tail;
    unsigned long port = strtoul(g->port, &tail, 10);
    return *tail || !port || port > 65535 || g->port[0] < '0' || g->port[0] > '9' ? POA_E_TEXT
                                                                                  : POA_OK;
}

int agent_gateways_parse(const char *text, struct agent_gateway *list, size_t *n,
                         struct poa_why *why)
{
    while (*text) {
        const char *comma = strchr(text, ',');
        size_t len = comma ? (size_t)(comma - text) : strlen(text);
        if (*n == AGENT_GATEWAYS_MAX)
            return poa_because(why, POA_E_LIMIT, "more than %d gateways", AGENT_GATEWAYS_MAX);
        if (parse_one(text, len, &list[*n]))
            return poa_because(why, POA_E_TEXT,
                               "\"%.*s\" is not KEY@HOST:PORT with a key of 64 hex digits",
                               (int)(len > 120 ? 120 : len), text);
        (*n)++;
        text += len + (comma != NULL);
    }
    return POA_OK;
}

/* Every gateway once, quickly; then ever more slowly. */
static uint64_t back_off(const struct agent_link *l)
{
    uint64_t wait = FIRST_MS;
    for (size_t i = l->gateways; i < l->failures && wait < LAST_MS; i++)
        wait *= 2;
    return wait < LAST_MS ? wait : LAST_MS;
}

static uint64_t below(uint64_t n)
{
    uint64_t v;
    poa_random(&v, sizeof v);
    return n ? v % n : 0;
}

void agent_link_init(struct agent_link *l, size_t gateways)
{
    memset(l, 0, sizeof *l);
    l->gateways = gateways;
}

void agent_link_up(struct agent_link *l)
{
    l->failures = 0;
}

size_t agent_link_address(const struct agent_link *l, size_t n)
{
    return l->failures / l->gateways % n;
}

uint64_t agent_link_down(struct agent_link *l, enum agent_down why, uint64_t retry_ms)
{
    switch (why) {
    case AGENT_DOWN_LOST:
        /* Maybe it was the link. A gateway that is gone says so at once. */
        l->failures = 0;
        l->stayed = !l->stayed;
        if (!l->stayed)
            l->next = (l->next + 1) % l->gateways;
        /* It worked until now: come back soon, but not with everybody else. */
        return below(4 * FIRST_MS);
    case AGENT_DOWN_BROKEN:
        l->failures = 0;
        l->stayed = false;
        l->next = (l->next + 1) % l->gateways;
        return below(4 * FIRST_MS);
    case AGENT_DOWN_RENEW:
        return below(FIRST_MS);
    case AGENT_DOWN_TOLD:
        l->stayed = false;
        l->next = (l->next + 1) % l->gateways;
        /* Not again before the others were asked; and no storm when all say so. */
        if (++l->failures < l->gateways)
            retry_ms = FIRST_MS;
        else if (retry_ms < back_off(l))
            retry_ms = back_off(l);
        if (retry_ms > TOLD_MS)
            retry_ms = TOLD_MS;
        return retry_ms + below(retry_ms / 4 + FIRST_MS);
    case AGENT_DOWN_FAILED:
        break;
    }
    l->stayed = false;
    l->next = (l->next + 1) % l->gateways;
    l->failures++;
    return back_off(l) / 2 + below(back_off(l));
}
