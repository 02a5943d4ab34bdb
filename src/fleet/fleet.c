/* The loop of a fleet. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fleet.h"

#define EVENTS  256
#define TURN_MS 10

void poa_fleet_seed(const uint8_t seed32[32], uint32_t i, uint8_t out32[32])
{
    uint8_t le[9] = "fleet";
    poa_put_le32(le + 5, i);
    poa_hash2(POA_DOMAIN_SIM, seed32, 32, le, sizeof le, out32);
}

/* Who asks does not wait for a busy loop. */
static void show(struct poa_fleet *f)
{
    pthread_mutex_lock(&f->shown_mutex);
    f->shown = f->stat;
    memcpy(f->shown_at, f->at, sizeof f->at);
    pthread_mutex_unlock(&f->shown_mutex);
}

/* Whose time has come has its turn, from NEXT on, for TURN_MS: drawing tickets for thousands
 * takes seconds, in which handshakes would time out. Who is next then; 0: all had it. */
static uint32_t take_turns(struct poa_fleet *f, uint32_t next)
{
    uint64_t begun = fleet_now_ms(f), now = begun;
    for (; next < f->config.devices; next++) {
        if (f->due_ms[next] > now)
            continue;
        if (now - begun >= TURN_MS)
            return next;
        unit_turn(f, &f->unit[next]);
        now = fleet_now_ms(f);
    }
    return 0;
}

static void *loop(void *arg)
{
    struct poa_fleet *f = arg;
    struct epoll_event event[EVENTS];
    uint64_t looked_ms = 0;
    uint32_t next = 0;
    while (!f->stop) {
        int n = epoll_wait(f->epoll_fd, event, EVENTS, next ? 0 : TURN_MS);
        pthread_mutex_lock(&f->mutex);
        for (int i = 0; i < n; i++) {
            uint32_t id = event[i].data.u32;
            bool in = event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);
            bool out = event[i].events & EPOLLOUT;
            if (id < f->config.devices)
                unit_ready(f, &f->unit[id], in, out);
            else
                trunk_ready(f, &f->trunk[id - f->config.devices], in, out);
        }
        uint64_t now = fleet_now_ms(f);
        if (next || now - looked_ms >= TURN_MS) {
            looked_ms = now;
            for (uint32_t i = 0; i < f->trunks; i++)
                trunk_turn(f, &f->trunk[i]);
            next = take_turns(f, next);
        }
        show(f);
        pthread_mutex_unlock(&f->mutex);
    }
    return NULL;
}

static int start(struct poa_fleet *f, struct poa_why *why)
{
    uint32_t n = f->config.devices;
    f->unit = calloc(n, sizeof *f->unit);
    f->due_ms = calloc(n, sizeof *f->due_ms);
    f->reach_ms = calloc(n, sizeof *f->reach_ms);
    f->root = calloc(POA_FLEET_ROOTS_MAX, sizeof *f->root);
    f->trunks = f->config.per_trunk ? (n + f->config.per_trunk - 1) / f->config.per_trunk : 0;
    f->trunk = calloc(f->trunks ? f->trunks : 1, sizeof *f->trunk);
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!f->unit || !f->due_ms || !f->reach_ms || !f->root || !f->trunk)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    if (f->epoll_fd < 0)
        return poa_because(why, POA_E_IO, "no file descriptor is left");
    for (uint32_t i = 0; i < f->trunks; i++) {
        struct trunk *t = &f->trunk[i];
        wire_init(&t->wire);
        agent_link_init(&t->link, f->config.gateways);
        t->link.next = i % f->config.gateways;
        t->first = i * f->config.per_trunk;
        t->count = n - t->first < f->config.per_trunk ? n - t->first : f->config.per_trunk;
    }
    for (uint32_t i = 0; i < n; i++)
        wire_init(&f->unit[i].wire);
    f->start_ms = fleet_now_ms(f);
    for (uint32_t i = 0; i < n; i++) {
        int e = unit_init(f, &f->unit[i], why);
        if (e)
            return e;
    }
    /* The making of so many keys takes a while. */
    uint64_t late = fleet_now_ms(f) - f->start_ms;
    f->start_ms += late;
    for (uint32_t i = 0; i < n; i++) {
        f->unit[i].dial_ms += late;
        f->unit[i].pack_due_ms += late;
    }
    if (pthread_create(&f->thread, NULL, loop, f))
        return poa_because(why, POA_E_THREADS, "no thread can be made");
    f->running = true;
    return POA_OK;
}

int poa_fleet_start(const struct poa_fleet_config *config, struct poa_fleet **out,
                    struct poa_why *why)
{
    if (!config->devices || config->devices > POA_FLEET_DEVICES_MAX || !config->gateways ||
        config->gateways > AGENT_GATEWAYS_MAX)
        return poa_because(why, POA_E_INVALID, "a fleet has 1 to %u devices and a gateway",
                           POA_FLEET_DEVICES_MAX);
    struct poa_fleet *f = calloc(1, sizeof *f);
    if (!f)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    f->config = *config;
    memcpy(f->gateway, config->gateway, config->gateways * sizeof *f->gateway);
    f->config.gateway = f->gateway;
    f->clock = poa_clock_system();
    f->epoll_fd = -1;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_mutex_init(&f->shown_mutex, NULL);
    int e = start(f, why);
    if (e) {
        poa_fleet_free(f);
        return e;
    }
    *out = f;
    return POA_OK;
}

void poa_fleet_stats(struct poa_fleet *f, struct poa_fleet_stats *out)
{
    pthread_mutex_lock(&f->shown_mutex);
    *out = f->shown;
    pthread_mutex_unlock(&f->shown_mutex);
}

void poa_fleet_quiet(struct poa_fleet *f)
{
    f->quiet = true;
}

void poa_fleet_cut(struct poa_fleet *f)
{
    pthread_mutex_lock(&f->mutex);
    for (uint32_t i = 0; i < f->trunks; i++)
        trunk_cut(f, &f->trunk[i]);
    for (uint32_t i = 0; i < f->config.devices && !f->trunks; i++)
        unit_cut(f, &f->unit[i]);
    show(f);
    pthread_mutex_unlock(&f->mutex);
}

uint64_t poa_fleet_connected_ms(struct poa_fleet *f, double share)
{
    uint64_t ms = 0;
    uint32_t k = (uint32_t)(share * f->config.devices + 0.5);
    pthread_mutex_lock(&f->mutex);
    if (k && k <= f->reached)
        ms = f->reach_ms[k - 1] ? f->reach_ms[k - 1] : 1;
    pthread_mutex_unlock(&f->mutex);
    return ms;
}

size_t poa_fleet_roots(struct poa_fleet *f, uint8_t (*out)[32], size_t max)
{
    pthread_mutex_lock(&f->mutex);
    size_t n = f->roots < max ? f->roots : max;
    if (n)
        memcpy(out, f->root, n * sizeof *out);
    pthread_mutex_unlock(&f->mutex);
    return n;
}

uint32_t poa_fleet_at(struct poa_fleet *f, size_t gateway)
{
    pthread_mutex_lock(&f->shown_mutex);
    uint32_t n = f->shown_at[gateway];
    pthread_mutex_unlock(&f->shown_mutex);
    return n;
}

uint64_t poa_fleet_sealed(struct poa_fleet *f, uint32_t i)
{
    pthread_mutex_lock(&f->mutex);
    uint64_t n = f->unit[i].sealed;
    pthread_mutex_unlock(&f->mutex);
    return n;
}

void poa_fleet_stop(struct poa_fleet *f)
{
    f->stop = true;
    if (!f->running)
        return;
    pthread_join(f->thread, NULL);
    f->running = false;
}

void poa_fleet_free(struct poa_fleet *f)
{
    if (!f)
        return;
    poa_fleet_stop(f);
    for (uint32_t i = 0; i < f->config.devices && f->unit; i++) {
        struct unit *u = &f->unit[i];
        wire_close(f, &u->wire);
        free(u->pack);
        poa_wipe(u, sizeof *u);
    }
    for (uint32_t i = 0; i < f->trunks && f->trunk; i++)
        wire_close(f, &f->trunk[i].wire);
    if (f->epoll_fd >= 0)
        close(f->epoll_fd);
    free(f->unit);
    free(f->due_ms);
    free(f->reach_ms);
    free(f->root);
    free(f->trunk);
    pthread_mutex_destroy(&f->mutex);
    pthread_mutex_destroy(&f->shown_mutex);
    poa_wipe(&f->config, sizeof f->config);
    free(f);
}
