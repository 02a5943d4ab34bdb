/* Devices and their gateways: what they seal and draw, and what they do wrong. */
#include "world.h"

/* A forged signature begins with it: what the mutant any-seal takes for good. */
#define FORGED SIM_FORGED

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct device *)a)->key, ((const struct device *)b)->key, 32);
}

void devices_make(struct poa_sim *s)
{
    uint8_t fault = s->config.device_fault;
    s->device = calloc(s->config.devices + 1, sizeof *s->device);
    POA_ASSERT(s->device);
    for (uint32_t i = 0; i < s->config.devices; i++) {
        struct device *d = &s->device[i];
        memset(d->seed, 0x60, 32);
        poa_put_le32(d->seed, i + 1);
        sim_public(SIM_KEY_DEVICE, i, d->seed, d->key);
        memset(d->payout, 0x62, 32); /* an account of its own */
        poa_put_le32(d->payout, i + 1);
        d->gateway = below(&s->random, s->config.nodes);
        bool liar = below(&s->random, 8) == 0;
        d->liar = fault == POA_SIM_DEVICES_MIXED ? liar : fault == POA_SIM_DEVICES_LYING;
    }
    qsort(s->device, s->config.devices, sizeof *s->device, by_key);
}

/* By its gateway NODE, once the device has LATER_US of work behind it. */
static void submit(struct poa_sim *s, uint32_t node, const struct poa_mining *m, uint64_t later_us)
{
    uint8_t buffer[1024];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    uint64_t at = s->now + later_us + between(&s->random, 1000, 30000);
    int copies = s->config.device_fault == POA_SIM_DEVICES_DOUBLED ? 2 : 1;
    if (s->config.device_fault == POA_SIM_DEVICES_DROPPED || poa_mining_encode(&w, m))
        return;
    for (int i = 0; i < copies; i++) {
        struct event e = {.at = at + (uint64_t)i * 7000,
                          .kind = EV_SUBMIT,
                          .node = node,
                          .m = message_new(node, POA_MSG_REQ_MINING, poa_written(&w))};
        event_push(s, e);
    }
}

static void say_seal(struct poa_sim *s, const struct device *d, const struct poa_seal *x,
                     uint64_t later_us)
{
    uint8_t buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_mining m = {.seals = {.count = 1}};
    POA_ASSERT(poa_seal_encode(&w, x) == POA_OK);
    m.seals.bytes = poa_written(&w);
    submit(s, d->gateway, &m, later_us);
}

static bool forges(const struct poa_sim *s, const struct device *d)
{
    return s->config.device_fault == POA_SIM_DEVICES_FORGING && (d - s->device) % 2;
}

/* Old seals again, its own and another's. */
static void replay(struct poa_sim *s, struct device *d)
{
    const struct device *other = &s->device[below(&s->random, s->config.devices)];
    for (uint32_t i = 0; i < 4 && i < d->said_n; i++)
        say_seal(s, d, &d->said[i], 0);
    if (other->said_n)
        say_seal(s, d, &other->said[0], 0);
}

static void seal(struct poa_sim *s, struct device *d, const struct poa_st_slot *slot,
                 uint64_t number)
{
    struct poa_seal x = {.epoch = slot->epoch, .slot = number, .height = slot->height};
    uint8_t digest[32];
    memcpy(x.device, d->key, 32);
    memcpy(x.hash, slot->hash, 32);
    if (d->liar || (s->config.sim_mutant == POA_SIM_MUTANT_HONEST_LIES && d == s->device))
        x.hash[0] ^= 1;
    poa_seal_digest(s->chain, &x, digest);
    s->suite->sign(d->seed, d->key, digest, sizeof digest, x.sig);
    if (forges(s, d)) {
        poa_put_le64(x.sig, FORGED);
        if (below(&s->random, 3) == 0) /* a slot that is none of its business */
            x.slot -= x.slot > 0;
        if (below(&s->random, 3) == 0)
            memcpy(x.device, s->device[below(&s->random, s->config.devices)].key, 32);
    }
    /* One task after the other; the task came by the same slow link. */
    uint64_t link = (uint64_t)s->config.link_ms * 1000, start = s->now + link;
    d->busy_us = (d->busy_us > start ? d->busy_us : start) + (uint64_t)s->config.device_ms * 1000;
    say_seal(s, d, &x, d->busy_us + link - s->now);
    d->said[d->said_n++ % 4] = x;
}

static void ticket(struct poa_sim *s, struct device *d, uint32_t epoch, uint32_t window,
                   const uint8_t seed[32])
{
    struct poa_ticket t = {.epoch = epoch, .window = window};
    uint8_t alpha[32], buffer[256];
    if (d->ticket == ((uint64_t)epoch << 32 | window))
        return;
    d->ticket = (uint64_t)epoch << 32 | window;
    memcpy(t.device, d->key, 32);
    poa_ticket_alpha(s->chain, seed, epoch, window, alpha);
    if (s->suite->vrf_prove(d->seed, d->key, alpha, sizeof alpha, t.proof))
        return;
    if (forges(s, d)) {
        poa_put_le64(t.proof, FORGED);
        t.window += below(&s->random, 2);
    }
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_mining m = {.tickets = {.count = 1}};
    POA_ASSERT(poa_ticket_encode(&w, &t) == POA_OK);
    m.tickets.bytes = poa_written(&w);
    submit(s, d->gateway, &m, 0);
}

/* Whether a device does its work this time. */
static bool works(struct poa_sim *s)
{
    return s->config.device_fault != POA_SIM_DEVICES_MIXED || below(&s->random, 10);
}

void devices_look(struct poa_sim *s, struct node *n)
{
    const struct poa_ledger *l = poa_core_ledger(n->core);
    struct poa_st_global g;
    struct poa_st_slot slot;
    struct poa_st_epoch epoch;
    uint8_t key[8];
    if (s->config.device_fault == POA_SIM_DEVICES_OFFLINE)
        return;
    poa_ledger_global(l, POA_STATE_BASE, &g);
    poa_put_le64(key, g.slot);
    if (g.slot == UINT64_MAX ||
        poa_ledger_read(l, POA_STATE_BASE, POA_STATE_SLOT, key, sizeof key, &slot))
        return;
    for (uint32_t i = 0; i < s->config.devices && slot.height == g.height; i++) {
        struct poa_list_iter it = poa_list_begin(&slot.seats);
        struct poa_st_seat seat;
        while (s->device[i].gateway == n->id && poa_st_seat_next(&it, &seat))
            if (!memcmp(seat.device, s->device[i].key, 32) && works(s))
                seal(s, &s->device[i], &slot, g.slot);
        if (s->config.device_fault == POA_SIM_DEVICES_REPLAYING && i % 2 &&
            s->device[i].gateway == n->id)
            replay(s, &s->device[i]);
    }
    if (s->config.policy != POA_POLICY_VRF ||
        poa_ledger_epoch(l, POA_STATE_BASE, poa_ledger_next_epoch(l, POA_STATE_BASE), &epoch, NULL,
                         NULL) ||
        g.slot < epoch.first_slot)
        return;
    uint32_t window = (uint32_t)((g.slot - epoch.first_slot) / s->config.window_slots) + 1;
    for (uint32_t i = 0; i < s->config.devices; i++)
        if (s->device[i].gateway == n->id)
            ticket(s, &s->device[i], poa_ledger_next_epoch(l, POA_STATE_BASE), window, epoch.seed);
}
