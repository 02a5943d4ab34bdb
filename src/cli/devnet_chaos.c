/* devnet --chaos: what goes wrong in turns while the network runs.
 *
 *   calm | all devices stand still | calm | their gateways do | calm | half of the devices
 *
 * Processes are stopped, not killed: sockets stay open and nothing is answered, the
 * worst case. The chain has to keep its speed, which is counted apart. */
#include <signal.h>
#include <string.h>

#include "devnet.h"

#define PHASE_MS 3000

enum phase { CALM_A, DEVICES, CALM_B, GATEWAYS, CALM_C, HALF, PHASES };

static void signal_some(const struct devnet *d, size_t from, size_t to, size_t step, int number)
{
    for (size_t i = from; i < to; i += step)
        if (d->process[i].pid > 0)
            kill(d->process[i].pid, number);
}

static void wake_all(const struct devnet *d)
{
    signal_some(d, 0, d->processes, 1, SIGCONT);
}

static uint64_t height_of(struct devnet *d)
{
    json_t *v = devnet_ask(&d->process[0], "poa_status", NULL);
    uint64_t height = cli_number(v, "height");
    json_decref(v);
    return height;
}

/* Adds the phase that ends now to its sum. */
static void account(struct devnet *d, struct devnet_chaos *c)
{
    uint64_t now = devnet_now_ms(), height = height_of(d);
    bool calm = c->phase % 2 == 0;
    if (c->since_ms != 0 && height >= c->height) {
        c->ms[calm] += now - c->since_ms;
        c->blocks[calm] += height - c->height;
    }
    c->since_ms = now;
    c->height = height;
}

void devnet_chaos_step(struct devnet *d, struct devnet_chaos *c)
{
    size_t nodes = devnet_nodes(d);
    if (!c->on || (c->since_ms != 0 && devnet_now_ms() < c->since_ms + PHASE_MS))
        return;
    bool first = c->since_ms == 0;
    account(d, c);
    wake_all(d);
    c->phase = first ? CALM_A : (c->phase + 1) % PHASES;
    if (c->phase == DEVICES)
        signal_some(d, nodes, d->processes, 1, SIGSTOP);
    else if (c->phase == GATEWAYS)
        signal_some(d, d->ledgers, nodes, 1, SIGSTOP);
    else if (c->phase == HALF)
        signal_some(d, nodes, d->processes, 2, SIGSTOP);
    c->phases++;
}

void devnet_chaos_end(struct devnet *d, struct devnet_chaos *c)
{
    if (!c->on || c->since_ms == 0)
        return;
    account(d, c);
    wake_all(d);
    c->on = false;
}

double devnet_chaos_speed(const struct devnet_chaos *c, bool calm)
{
    return c->ms[calm] ? 1000.0 * (double)c->blocks[calm] / (double)c->ms[calm] : 0;
}
