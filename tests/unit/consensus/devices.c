/* Devices that are away, lie, say old things again, or whose gateways do: the
 * chain keeps its speed, nothing is stolen, nobody honest is suspended. And slow
 * devices earn. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "poa_sim.h"

#define DEVICES 12

struct outcome {
    uint64_t height, seals, issued, burned, assigned, earned;
    uint32_t suspended;
    bool conserved;
};

static struct outcome play(const struct poa_sim_config *c)
{
    struct outcome o = {.height = 0};
    struct poa_st_global g;
    struct poa_sim *s = poa_sim_new(c);
    cr_assert(s != NULL);
    poa_sim_run(s, c->end_us);
    poa_sim_finish(s);
    const struct poa_sim_result *r = poa_sim_result(s);
    cr_assert_eq(r->violations + r->stuck + r->false_accusations, 0, "%s", r->first);
    const struct poa_ledger *l = poa_core_ledger(poa_sim_core(s, 0));
    cr_assert_eq(poa_ledger_audit(l, &o.conserved), POA_OK);
    poa_ledger_global(l, POA_STATE_BASE, &g);
    o.height = g.height;
    o.seals = g.seals;
    o.issued = g.issued;
    o.burned = g.burned;
    for (uint32_t i = 0; i < c->devices; i++) {
        uint8_t key[4];
        struct poa_digest device;
        struct poa_st_device d;
        poa_put_le32(key, i);
        cr_assert_eq(poa_ledger_read(l, POA_STATE_BASE, POA_STATE_DEVICE_INDEX, key, 4, &device),
                     POA_OK);
        cr_assert_eq(poa_ledger_read(l, POA_STATE_BASE, POA_STATE_DEVICE, device.digest, 32, &d),
                     POA_OK);
        o.suspended += d.status != 0;
        o.assigned += d.assigned;
        o.earned += d.earned;
    }
    poa_sim_free(s);
    return o;
}

static struct poa_sim_config network(uint8_t fault)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.devices = DEVICES;
    c.policy = POA_POLICY_VRF;
    c.device_fault = fault;
    c.slot_ms = 150;
    c.txs_per_s = 0; /* their times would be others with every fault */
    c.end_us = 12000000;
    c.load_us = 9000000;
    return c;
}

Test(devices, whatever_they_do_the_chain_goes_on)
{
    struct poa_sim_config c = network(POA_SIM_DEVICES_GOOD);
    struct outcome good = play(&c);
    cr_assert(good.conserved);
    cr_assert_gt(good.seals, 80);
    cr_assert_gt(good.earned, 0);
    static const struct {
        uint8_t fault;
        const char *name;
        uint32_t seals; /* per cent of what good devices seal, at least; 0: none */
        bool liars;
    } faults[] = {
        {POA_SIM_DEVICES_OFFLINE, "all offline", 0, false},
        {POA_SIM_DEVICES_LYING, "all lying", 0, true},
        {POA_SIM_DEVICES_REPLAYING, "half replaying", 90, false},
        {POA_SIM_DEVICES_FORGING, "half forging", 30, false},
        {POA_SIM_DEVICES_DROPPED, "everything dropped", 0, false},
        {POA_SIM_DEVICES_DOUBLED, "everything doubled", 90, false},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        c = network(faults[i].fault);
        struct outcome o = play(&c);
        const char *name = faults[i].name;
        fprintf(stderr, "%s: height %lu of %lu, %lu seals of %lu, %u suspended\n", name,
                (unsigned long)o.height, (unsigned long)good.height, (unsigned long)o.seals,
                (unsigned long)good.seals, o.suspended);
        cr_expect(o.conserved, "%s", name);
        /* The same speed within two per cent. */
        cr_expect(o.height * 100 >= good.height * 98 && o.height * 98 <= good.height * 100,
                  "%s: height %lu instead of %lu", name, (unsigned long)o.height,
                  (unsigned long)good.height);
        if (faults[i].liars)
            cr_expect(o.suspended > 0 && !o.seals && !o.earned, "%s: %u suspended", name,
                      o.suspended);
        else
            cr_expect_eq(o.suspended, 0, "%s", name);
        if (faults[i].seals) {
            cr_expect(o.seals * 100 >= good.seals * faults[i].seals, "%s: %lu seals", name,
                      (unsigned long)o.seals);
            cr_expect_leq(o.earned, o.issued - o.burned, "%s", name);
        } else {
            cr_expect(!o.seals && !o.earned, "%s: %lu seals", name, (unsigned long)o.seals);
            cr_expect_eq(o.issued, o.burned, "%s: somebody was paid", name);
        }
    }
}

#define LIAR 0u

/* Seals of slot NUMBER and tickets of the next windows in the name of everybody, before
 * the devices have even heard of them, with signatures and proofs of nothing. */
static void forge(struct poa_sim *s, const struct poa_ledger *l, uint64_t number,
                  const struct poa_st_slot *slot)
{
    uint8_t seals[32 * POA_SEAL_BYTES], tickets[DEVICES * 2 * 128];
    struct poa_writer ws = poa_writer_over(seals, sizeof seals);
    struct poa_writer wt = poa_writer_over(tickets, sizeof tickets);
    uint8_t bytes[sizeof seals + sizeof tickets + 16];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_mining m = {.seals = {.count = 0}};
    struct poa_list_iter it = poa_list_begin(&slot->seats);
    struct poa_st_seat seat;
    struct poa_st_epoch epoch;
    while (poa_st_seat_next(&it, &seat)) {
        struct poa_seal x = {.epoch = slot->epoch, .slot = number, .height = slot->height};
        memcpy(x.device, seat.device, 32);
        memcpy(x.hash, slot->hash, 32);
        memset(x.sig, 7, 64);
        cr_assert_eq(poa_seal_encode(&ws, &x), POA_OK);
        m.seals.count++;
    }
    cr_assert_eq(poa_ledger_epoch(l, POA_STATE_BASE, slot->epoch, &epoch, NULL, NULL), POA_OK);
    uint32_t window = (uint32_t)((number - epoch.first_slot) / poa_ledger_genesis(l)->window_slots);
    for (uint32_t i = 0; i < 2 * DEVICES; i++) {
        struct poa_ticket t = {.epoch = slot->epoch, .window = window + 1 + i % 2};
        struct poa_digest device;
        uint8_t key[4];
        poa_put_le32(key, i / 2);
        cr_assert_eq(poa_ledger_read(l, POA_STATE_BASE, POA_STATE_DEVICE_INDEX, key, 4, &device),
                     POA_OK);
        memcpy(t.device, device.digest, 32);
        memset(t.proof, 7, sizeof t.proof);
        cr_assert_eq(poa_ticket_encode(&wt, &t), POA_OK);
        m.tickets.count++;
    }
    m.seals.bytes = poa_written(&ws);
    m.tickets.bytes = poa_written(&wt);
    cr_assert_eq(poa_mining_encode(&w, &m), POA_OK);
    for (uint32_t i = 1; i < 4; i++)
        poa_sim_inject(s, LIAR, i, POA_MSG_MINING, poa_written(&w));
}

/* A member that forges what devices will say keeps nobody's out. */
Test(devices, a_member_that_forges)
{
    struct poa_sim_config c = network(POA_SIM_DEVICES_GOOD);
    struct outcome good = play(&c);
    struct poa_st_global g;
    uint64_t seen = UINT64_MAX;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    while (poa_sim_now_us(s) < c.end_us) {
        struct poa_st_slot slot;
        uint8_t key[8];
        poa_sim_run(s, poa_sim_now_us(s) + 1000);
        const struct poa_ledger *l = poa_core_ledger(poa_sim_core(s, LIAR));
        poa_ledger_global(l, POA_STATE_BASE, &g);
        poa_put_le64(key, g.slot);
        if (g.slot == seen ||
            poa_ledger_read(l, POA_STATE_BASE, POA_STATE_SLOT, key, sizeof key, &slot))
            continue;
        seen = g.slot;
        forge(s, l, g.slot, &slot);
    }
    poa_sim_finish(s);
    const struct poa_sim_result *r = poa_sim_result(s);
    cr_expect_eq(r->violations + r->stuck + r->false_accusations, 0, "%s", r->first);
    poa_ledger_global(poa_core_ledger(poa_sim_core(s, 1)), POA_STATE_BASE, &g);
    fprintf(stderr, "%lu seals of %lu\n", (unsigned long)g.seals, (unsigned long)good.seals);
    cr_expect(g.seals * 100 >= good.seals * 90, "%lu seals", (unsigned long)g.seals);
    poa_sim_free(s);
}

/* Slots of 1 s, D and W of 64, three seats: what a network has by default. A task
 * takes a device two seconds, 150 ms away, while the chain carries what it can. */
Test(devices, slow_ones_earn)
{
    struct poa_sim_config c = network(POA_SIM_DEVICES_GOOD);
    c.devices = 16;
    c.slot_ms = 1000;
    c.window_slots = c.seal_slots = 64;
    c.seats_per_slot = 3;
    c.device_ms = 2000;
    c.link_ms = 150;
    c.txs_per_s = 300;
    c.accounts = 64;
    c.end_us = 100000000;
    c.load_us = 95000000;
    struct outcome o = play(&c);
    uint64_t due = o.assigned - 3 * 3; /* of the last slots the seals are on their way */
    fprintf(stderr, "%lu of %lu seats sealed, height %lu\n", (unsigned long)o.seals,
            (unsigned long)o.assigned, (unsigned long)o.height);
    cr_expect_gt(o.assigned, 200);
    cr_expect(o.seals * 100 >= due * 95, "%lu seals of %lu", (unsigned long)o.seals,
              (unsigned long)due);
    cr_expect(o.conserved);
    /* What is issued counts slots, not blocks: the same with nothing to do. */
    c.txs_per_s = 0;
    struct outcome idle = play(&c);
    fprintf(stderr, "issued %lu loaded at height %lu, %lu idle at height %lu\n",
            (unsigned long)o.issued, (unsigned long)o.height, (unsigned long)idle.issued,
            (unsigned long)idle.height);
    cr_expect_lt(idle.height * 4, o.height);
    cr_expect(idle.issued * 100 >= o.issued * 98 && idle.issued * 98 <= o.issued * 100,
              "issued %lu idle, %lu loaded", (unsigned long)idle.issued, (unsigned long)o.issued);
    cr_expect(idle.seals * 100 >= (idle.assigned - 3 * 3) * 95, "idle: %lu seals of %lu",
              (unsigned long)idle.seals, (unsigned long)idle.assigned);
}
