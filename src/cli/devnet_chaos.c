/* devnet --chaos: what goes wrong in turns while the network runs.
 *
 *   devices  calm, all devices stand still, the gateways do, calm, half of the devices
 *            replay, they forge, calm, gateways drop everything, they double everything,
 *            calm, half of the devices lie; and again
 *   liars    every device lies from the start
 *
 * Who stands still is stopped, not killed: sockets stay open and nothing is answered,
 * the worst case. What misbehaves are builds of the programs that do so on demand
 * (tests/chaos); each reads in its file what to do. The bad half are the devices with
 * odd numbers, so that the others can be told from them. The chain has to keep its
 * speed, which is counted apart. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devnet.h"

#define PHASE_MS 3000

static const enum devnet_fault turns[] = {
    DEVNET_CALM, DEVNET_OFFLINE, DEVNET_FROZEN,  DEVNET_CALM, DEVNET_REPLAYING, DEVNET_FORGING,
    DEVNET_CALM, DEVNET_DROPPED, DEVNET_DOUBLED, DEVNET_CALM, DEVNET_LYING,
};
#define TURNS (sizeof turns / sizeof turns[0])

static const struct {
    const char *name, *mode;
} fault_row[] = {
#define FAULT_ROW(name, text, mode) {text, mode},
    DEVNET_FAULTS(FAULT_ROW)
#undef FAULT_ROW
};

const char *devnet_fault_name(enum devnet_fault fault)
{
    return fault_row[fault].name;
}

bool devnet_chaos_kind(const char *text, enum devnet_chaos_kind *out)
{
    *out = text == NULL                   ? DEVNET_CHAOS_NONE
           : strcmp(text, "devices") == 0 ? DEVNET_CHAOS_DEVICES
           : strcmp(text, "liars") == 0   ? DEVNET_CHAOS_LIARS
                                          : DEVNET_CHAOS_NONE;
    return text == NULL || *out != DEVNET_CHAOS_NONE;
}

/* Whether device number I is of the bad half. */
bool devnet_chaos_bad(enum devnet_chaos_kind kind, size_t i)
{
    return kind == DEVNET_CHAOS_LIARS || (kind == DEVNET_CHAOS_DEVICES && i % 2 == 1);
}

static void signal_some(const struct devnet *d, size_t from, size_t to, int number)
{
    for (size_t i = from; i < to; i++)
        if (d->process[i].pid > 0)
            kill(d->process[i].pid, number);
}

/* Says MODE to a process that can misbehave. */
static void say(const struct devnet *d, const struct devnet_process *p, const char *mode)
{
    char path[512];
    if (p->chaos[0] == 0 || devnet_path(d, path, sizeof path, "%s/chaos", p->name) != 0)
        return;
    /* No rename and no fsync: they would hold up the turn. Half a word is calm. */
    FILE *f = fopen(path, "we");
    if (f == NULL || fputs(mode, f) < 0)
        cli_fail("cannot write %s: %s", path, strerror(errno));
    if (f != NULL)
        fclose(f);
}

/* Everybody does as FAULT has it. */
static void set_fault(const struct devnet *d, enum devnet_fault fault)
{
    size_t nodes = devnet_nodes(d);
    bool gateways = fault == DEVNET_DROPPED || fault == DEVNET_DOUBLED;
    bool frozen = fault == DEVNET_FROZEN, offline = fault == DEVNET_OFFLINE;
    for (size_t i = d->ledgers; i < d->processes; i++) {
        bool acts = i < nodes ? gateways : !gateways && devnet_chaos_bad(d->chaos, i - nodes);
        say(d, &d->process[i], acts ? fault_row[fault].mode : "calm");
    }
    /* Who has to stop does so before others go on. */
    for (int wake = 0; wake < 2; wake++) {
        if (frozen != (bool)wake)
            signal_some(d, d->ledgers, nodes, wake ? SIGCONT : SIGSTOP);
        if (offline != (bool)wake)
            signal_some(d, nodes, d->processes, wake ? SIGCONT : SIGSTOP);
    }
}

/* Height and seals, as the first node that runs has them. */
static bool look(struct devnet *d, uint64_t *height, uint64_t *seals)
{
    json_t *v = devnet_ask(devnet_running(d), "poa_status", NULL);
    *height = cli_number(v, "height");
    *seals = cli_number(json_object_get(v, "state"), "seals");
    json_decref(v);
    return v != NULL;
}

/* Adds the phase that ends now to its sum. */
static void account(struct devnet *d, struct devnet_chaos *c)
{
    uint64_t now = devnet_now_ms(), height, seals;
    bool known = look(d, &height, &seals);
    if (c->since_ms != 0 && known && c->known && height >= c->height) {
        struct devnet_phase *p = &c->phase[c->fault];
        double took_s = (double)(now - c->since_ms) / 1000;
        p->ms += now - c->since_ms;
        p->blocks += height - c->height;
        p->seals += seals - c->seals;
        fprintf(stderr, "%schaos: %s, %.2f blocks and %.1f seals per second\n",
                isatty(2) ? "\r\033[K" : "", devnet_fault_name(c->fault),
                (double)(height - c->height) / took_s, (double)(seals - c->seals) / took_s);
    }
    c->since_ms = now;
    c->known = known;
    c->height = height;
    c->seals = seals;
}

void devnet_chaos_begin(struct devnet *d, struct devnet_chaos *c)
{
    c->fault = d->chaos == DEVNET_CHAOS_LIARS ? DEVNET_LYING : DEVNET_CALM;
    set_fault(d, c->fault);
}

void devnet_chaos_step(struct devnet *d, struct devnet_chaos *c)
{
    if (d->chaos == DEVNET_CHAOS_NONE ||
        (c->since_ms != 0 && devnet_now_ms() < c->since_ms + PHASE_MS))
        return;
    bool first = c->since_ms == 0;
    account(d, c);
    c->phases++;
    if (first || d->chaos == DEVNET_CHAOS_LIARS)
        return;
    c->turn = (c->turn + 1) % TURNS;
    c->fault = turns[c->turn];
    set_fault(d, c->fault);
}

void devnet_chaos_end(struct devnet *d, struct devnet_chaos *c)
{
    if (d->chaos == DEVNET_CHAOS_NONE || c->since_ms == 0)
        return;
    account(d, c);
    if (d->chaos == DEVNET_CHAOS_DEVICES)
        set_fault(d, DEVNET_CALM);
}

double devnet_chaos_speed(const struct devnet_chaos *c, bool calm)
{
    uint64_t ms = 0, blocks = 0;
    for (size_t i = 0; i < DEVNET_FAULTS_N; i++) {
        ms += (i == DEVNET_CALM) == calm ? c->phase[i].ms : 0;
        blocks += (i == DEVNET_CALM) == calm ? c->phase[i].blocks : 0;
    }
    return ms ? 1000.0 * (double)blocks / (double)ms : 0;
}

json_t *devnet_chaos_json(const struct devnet_chaos *c)
{
    json_t *faults = json_object();
    for (size_t i = 0; i < DEVNET_FAULTS_N; i++) {
        const struct devnet_phase *p = &c->phase[i];
        double s = (double)p->ms / 1000;
        if (p->ms != 0)
            json_object_set_new(faults, fault_row[i].name,
                                json_pack("{s:f, s:f}", "blocks_per_s", (double)p->blocks / s,
                                          "seals_per_s", (double)p->seals / s));
    }
    return json_pack("{s:I, s:f, s:f, s:o}", "phases", (json_int_t)c->phases, "calm_blocks_per_s",
                     devnet_chaos_speed(c, true), "chaos_blocks_per_s",
                     devnet_chaos_speed(c, false), "faults", faults);
}
