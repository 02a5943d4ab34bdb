/* The start of a devnet: who is ready, who cannot be, and whether the others can go on. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "devnet.h"

#define READY_MS 180000
#define TELL_MS  4000 /* between two lines about who is not ready */
/* For so long too few can take part, though those that ended were started again, and nothing
 * became final: it stays so. */
#define STUCK_MS  10000
#define NAMES_MAX 600

struct group {
    size_t from, to, need;
    size_t ready, able, open; /* ABLE: may take part; OPEN: neither ready nor ended */
    size_t intact;            /* others can fetch from so many, which also vote */
    uint64_t heights;         /* all together */
};

/* Every node checks the attestations of a fleet once. */
static uint64_t ready_ms(const struct devnet *d)
{
    return READY_MS + 10 * (uint64_t)d->fleet;
}

/* It ended, and what was started in its place has not said anything yet. */
static bool failed(const struct devnet_process *p)
{
    return !p->ready && (p->pid == 0 || (p->failures > 0 && !p->answers));
}

/* Asks P; what it lacks is printed once in a while. */
static void ask(struct devnet_process *p, uint64_t *tell_ms)
{
    json_t *v = devnet_ask(p, "poa_status", NULL);
    bool block = json_is_string(json_object_get(v, "first_block_ms"));
    p->answers = v != NULL;
    p->abstains = p->kind == DEVNET_LEDGER &&
                  json_is_true(json_object_get(json_object_get(v, "consensus"), "abstaining"));
    p->height = v != NULL ? cli_number(v, "height") : p->height;
    if (block && p->first_block_ms == POA_NEVER)
        p->first_block_ms = cli_number(v, "first_block_ms");
    p->ready = json_is_true(json_object_get(v, "ready")) && block;
    if (!p->ready && p->pid > 0 && devnet_now_ms() > *tell_ms) {
        fprintf(stderr, "waiting for %s%s%s\n", p->name, v != NULL ? ": " : "", cli_text(v, "why"));
        *tell_ms = devnet_now_ms() + TELL_MS;
    }
    json_decref(v);
}

static void look(struct devnet *d, struct group *g, uint64_t *tell_ms)
{
    g->ready = g->able = g->open = g->intact = 0;
    g->heights = 0;
    for (size_t i = g->from; i < g->to; i++) {
        struct devnet_process *p = &d->process[i];
        if (!p->ready)
            ask(p, tell_ms);
        g->ready += p->ready;
        g->open += !p->ready && !failed(p);
        g->able += !failed(p) && !p->abstains;
        g->intact += p->ready && !p->abstains;
        g->heights += p->height;
    }
}

/* "ledger-1, ledger-2.": those of the group that ended, or that abstain. */
static void names(const struct devnet *d, const struct group *g, bool ended, char out[NAMES_MAX])
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = g->from; i < g->to; i++) {
        const struct devnet_process *p = &d->process[i];
        if ((ended ? failed(p) : !failed(p) && p->abstains) && n + 40 < NAMES_MAX)
            n += (size_t)snprintf(out + n, NAMES_MAX - n, "%s%s", n > 0 ? ", " : "", p->name);
    }
    if (n > 0)
        snprintf(out + n, NAMES_MAX - n, ".");
}

/* Removing data is no way out: who lost what it voted does not vote before the next epoch, which
 * then never begins. */
static int stuck(const struct devnet *d, const struct group *g)
{
    char ended[NAMES_MAX], lost[NAMES_MAX];
    names(d, g, true, ended);
    names(d, g, false, lost);
    if (d->process[g->from].kind != DEVNET_LEDGER)
        return cli_fail("no trusted node starts: %s Above stands why. If what they stored is "
                        "damaged, remove %s/trusted-*/data: they fetch the chain from the ledger "
                        "servers",
                        ended, d->dir);
    return cli_fail("no block can become final: %zu of %" PRIu32
                    " ledger servers must vote.%s%s%s%s Mend that, but not by removing data, "
                    "which takes votes away; or begin anew: remove %s",
                    g->need, d->ledgers, ended[0] ? " Did not start (above stands why): " : "",
                    ended,
                    lost[0] ? " May not vote, because what they voted was removed or is an old "
                              "copy: "
                            : "",
                    lost, d->dir);
}

static int late(const struct devnet *d, const struct group *g)
{
    const struct devnet_process *p = &d->process[g->from];
    while (p->ready)
        p++;
    devnet_print_log_tail(d, p);
    return cli_fail("%s is not ready after %d s; its log is %s/%s/log", p->name,
                    (int)(ready_ms(d) / 1000), d->dir, p->name);
}

static void go_on(const struct devnet *d, const struct group *g)
{
    for (size_t i = g->from; i < g->to; i++) {
        const struct devnet_process *p = &d->process[i];
        if (p->ready)
            continue;
        fprintf(stderr, "going on without %s, which %s", p->name,
                failed(p) ? "did not start" : "is not ready");
        if (g->intact >= g->need)
            fprintf(stderr,
                    "; if what it stored is damaged, stop, remove %s/%s/data, and start again: it "
                    "fetches the chain from the others",
                    d->dir, p->name);
        fputc('\n', stderr);
        devnet_print_log_tail(d, p);
    }
}

int devnet_wait_ready(struct devnet *d, size_t from, size_t to, size_t need,
                      const volatile sig_atomic_t *stopping)
{
    struct group g = {.from = from, .to = to, .need = need};
    uint64_t now = devnet_now_ms(), until = now + ready_ms(d), tell_ms = now + TELL_MS;
    uint64_t able_ms = now, heights = 0;
    for (;;) {
        if (*stopping)
            return cli_fail("stopped");
        devnet_watch(d);
        look(d, &g, &tell_ms);
        now = devnet_now_ms();
        if (g.able >= need || g.heights != heights)
            able_ms = now;
        heights = g.heights;
        if (g.ready >= need && g.able >= need && (g.open == 0 || now > until)) {
            go_on(d, &g);
            return 0;
        }
        if (now - able_ms > STUCK_MS)
            return stuck(d, &g);
        if (now > until)
            return late(d, &g);
        nanosleep(&(struct timespec){0, 10 * 1000000}, NULL);
    }
}
