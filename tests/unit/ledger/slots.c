#include "slots.h"

struct chain c;
struct body b;

void open_with(struct setup s)
{
    chain_open(&c, &s);
    body_reset(&b);
}

struct poa_st_slot slot_of(uint64_t slot)
{
    uint8_t key[8];
    struct poa_st_slot s;
    poa_put_le64(key, slot);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_SLOT, key, 8, &s), POA_OK);
    return s;
}

struct poa_st_seat seat_at(const struct poa_st_slot *s, uint32_t i)
{
    struct poa_st_seat seat;
    cr_assert_eq(poa_list_at(&poa_st_seat_record, &s->seats, i, &seat), POA_OK);
    return seat;
}

uint32_t device_of_key(const uint8_t key[32])
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (!memcmp(c.device[i].pk, key, 32))
            return i;
    cr_assert_fail("unknown device");
    return 0;
}

struct poa_st_device device_state(uint32_t d)
{
    struct poa_st_device st;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE, c.device[d].pk, 32, &st),
                 POA_OK);
    return st;
}

struct poa_st_global global_state(void)
{
    struct poa_st_global g;
    poa_ledger_global(c.l, POA_STATE_BASE, &g);
    return g;
}

int refusal(uint64_t time)
{
    struct poa_block_result r;
    struct poa_slice body;
    poa_state_id s;
    uint8_t before[32], after[32];
    root_of(&c, POA_STATE_BASE, before);
    cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
    struct poa_header h = header_next(&c, POA_STATE_BASE, &b, time, &body);
    int e = block_try(&c, POA_STATE_BASE, &h, body, &b, &s, &r);
    if (!e)
        poa_ledger_drop(c.l, s);
    root_of(&c, POA_STATE_BASE, after);
    cr_assert_arr_eq(before, after, 32);
    body_reset(&b);
    return e;
}

struct poa_seal seal_for(uint32_t device, uint64_t slot)
{
    struct poa_st_slot s = slot_of(slot);
    return seal_make(&c, device, slot, s.height, s.epoch, s.hash);
}

int refused_seal(const struct poa_seal *s, uint64_t time)
{
    body_seal(&b, s);
    int e = refusal(time);
    cr_assert_eq(poa_ledger_try_seal(c.l, POA_STATE_BASE, c.s.g.time_ms + time, s), e);
    return e;
}
