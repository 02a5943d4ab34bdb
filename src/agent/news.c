/* When a gateway that answers is left all the same: see poa_agent.h. */
#include <string.h>

#include "poa_agent.h"

#define TIMES      3       /* as long as an epoch takes */
#define FLOOR_MS   20000   /* nobody is left sooner */
#define UNKNOWN_MS 3600000 /* an epoch, before one was seen */
#define SEATS      32      /* drawn, in so many windows, and none came as a task */
#define WINDOWS    4
#define AWAKE_MS   5000 /* between two turns; above it the machine slept */
#define ROUNDS_MAX 16

void agent_news_init(struct agent_news *n)
{
    memset(n, 0, sizeof *n);
    n->epoch = POA_EPOCH_NONE;
    poa_random(&n->jitter, sizeof n->jitter);
}

static void wait_anew(struct agent_news *n)
{
    n->quiet_ms = n->idle_ms = 0;
    n->seats = n->windows = 0;
    poa_random(&n->jitter, sizeof n->jitter);
}

void agent_news_trust(struct agent_news *n, struct poa_slice record)
{
    struct poa_edge_trust t;
    struct poa_edge_params p;
    struct poa_committee c;
    struct poa_edge_committee_id id;
    if (poa_edge_trust_decode(record, &t) || poa_edge_params_decode(t.params, &p))
        return;
    uint32_t epoch = POA_EPOCH_NONE;
    if (!poa_committee_decode(t.committee, &c))
        epoch = c.epoch;
    else if (!poa_edge_committee_id_decode(t.committee, &id))
        epoch = id.epoch;
    if (epoch == POA_EPOCH_NONE || epoch == n->epoch)
        return;
    /* Both from times of certified headers, which no gateway can stretch. */
    uint64_t mean = epoch && t.time_ms > p.genesis_ms ? (t.time_ms - p.genesis_ms) / epoch : 0;
    uint64_t last = n->epoch != POA_EPOCH_NONE && epoch > n->epoch && t.time_ms > n->time_ms
                        ? (t.time_ms - n->time_ms) / (epoch - n->epoch)
                        : 0;
    n->usual_ms = last > mean ? last : mean;
    n->epoch = epoch;
    n->time_ms = t.time_ms;
    n->epoch_moves = 0;
    n->quiet_ms = 0;
}

void agent_news_connected(struct agent_news *n, size_t gateway, uint32_t epoch)
{
    if (gateway != n->gateway)
        wait_anew(n);
    n->gateway = gateway;
    n->said = epoch;
}

void agent_news_said(struct agent_news *n, uint32_t epoch)
{
    n->said = epoch;
}

void agent_news_drawn(struct agent_news *n, uint32_t seats)
{
    n->seats += seats;
    n->windows += seats != 0;
}

void agent_news_sealed(struct agent_news *n)
{
    n->idle_ms = 0;
    n->seats = n->windows = 0;
    n->task_moves = 0;
}

/* Every gateway once, then with twice the patience. */
static uint64_t patience(uint64_t base, unsigned moves, size_t gateways)
{
    size_t rounds = moves / gateways;
    return base << (rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX);
}

enum agent_withheld agent_news_turn(struct agent_news *n, uint64_t now, bool connected,
                                    size_t gateways)
{
    uint64_t passed = now - n->turn_ms;
    n->turn_ms = now;
    if (!connected)
        return AGENT_NOTHING_WITHHELD;
    passed = passed < AWAKE_MS ? passed : 0;
    n->quiet_ms += passed;
    n->idle_ms += passed;
    bool behind = n->epoch != POA_EPOCH_NONE && n->said < n->epoch;
    uint64_t usual = TIMES * (n->usual_ms ? n->usual_ms : UNKNOWN_MS);
    uint64_t wait =
        patience(behind || usual < FLOOR_MS ? FLOOR_MS : usual, n->epoch_moves, gateways);
    if (n->quiet_ms >= wait + wait / 1024 * n->jitter) {
        n->epoch_moves++;
        wait_anew(n);
        return behind ? AGENT_OLD_EPOCH : AGENT_NO_EPOCH;
    }
    if (n->seats >= patience(SEATS, n->task_moves, gateways) && n->windows >= WINDOWS &&
        n->idle_ms >= FLOOR_MS) {
        n->task_moves++;
        wait_anew(n);
        return AGENT_NO_TASK;
    }
    return AGENT_NOTHING_WITHHELD;
}
