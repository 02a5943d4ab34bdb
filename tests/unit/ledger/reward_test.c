/* Rewards: who gets which part of a slot, and that nothing else is issued. */
#include "slots.h"

static struct setup shared(void)
{
    struct setup s = setup_default();
    s.g.miner_bp = 5000;
    s.g.sealers_bp = 2500;
    s.g.witnesses_bp = 1000;
    s.g.data_bp = 1000;
    s.g.subsidy = 1000000;
    s.g.tip = 10;
    return s;
}

static struct poa_st_device device_by_index(uint32_t index)
{
    uint8_t key[4];
    struct poa_digest device;
    struct poa_st_device st;
    poa_put_le32(key, index);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE_INDEX, key, 4, &device),
                 POA_OK);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE, device.digest, 32, &st),
                 POA_OK);
    return st;
}

static uint32_t seal_all(uint64_t slot)
{
    struct poa_st_slot s = slot_of(slot);
    struct poa_list_iter it = poa_list_begin(&s.seats);
    struct poa_st_seat seat;
    uint32_t n = 0;
    for (; poa_st_seat_next(&it, &seat); n++) {
        uint32_t d = 0;
        while (memcmp(c.device[d].pk, seat.device, 32))
            d++;
        struct poa_seal x = seal_make(&c, d, slot, s.height, s.epoch, s.hash);
        body_seal(&b, &x);
    }
    return n;
}

static void anchor(uint64_t nonce, uint8_t mark, const uint32_t *devices, uint32_t n)
{
    static uint8_t bytes[64 * 4];
    struct ops o = {.n = 0};
    struct poa_op_anchor a = {.packs = 3, .from_ms = 10, .to_ms = 20};
    memset(a.root, mark, 32);
    for (uint32_t i = 0; i < n; i++)
        poa_put_le32(bytes + 4 * i, devices[i]);
    a.devices = (struct poa_list){poa_slice(bytes, 4 * n), n};
    op_raw(&o, POA_OP_ANCHOR, &poa_op_anchor_record, &a);
    body_tx(&b, &c, 1, nonce, 20, &o);
}

/* Subsidy 1,000,000: miner half, sealers a quarter, the witness whose turn it is a
 * tenth, publishers a tenth, the treasury what is left. */
Test(reward, every_share_goes_where_genesis_says)
{
    open_with(shared());
    block_add(&c, NULL, 100);
    block_add(&c, NULL, 1100); /* slot 1 */
    cr_assert_eq(seal_all(1), 3);
    /* Devices 0 and 5, one of them twice; 99 does not exist. */
    anchor(0, 1, (const uint32_t[]){0, 99}, 2);
    anchor(1, 2, (const uint32_t[]){5, 0, 5}, 3);
    block_add(&c, &b, 1200);
    cr_assert_eq(b.result[0].code, POA_OK);
    cr_assert_eq(b.result[1].code, POA_OK);
    body_reset(&b);
    cr_assert_eq(slot_of(1).publishers.count, 2);
    cr_assert_eq(slot_of(0).publishers.count, 0);
    uint64_t witness = balance_of(&c, c.address[4]), treasury = balance_of(&c, c.address[5]);
    cr_assert_eq(witness, 3 * 10 + 2 * 20); /* tips, fees */
    uint64_t d0 = device_by_index(0).earned, d5 = device_by_index(5).earned;
    block_add(&c, NULL, 10100);                   /* slots 0 and 1 are settled */
    cr_assert_eq(global_state().burned, 1000000); /* slot 0, that nobody sealed: all of it */
    cr_assert_eq(global_state().issued, 2000000);
    cr_assert_eq(balance_of(&c, c.address[4]), witness + 100000); /* all witnesses are paid there */
    uint64_t earned = 0;
    for (uint32_t i = 0; i < 8; i++)
        earned += device_by_index(i).earned;
    cr_assert_eq(earned, 500000 + 250000 + 100000);
    cr_assert_geq(device_by_index(0).earned, d0 + 50000);
    cr_assert_geq(device_by_index(5).earned, d5 + 50000);
    cr_assert_eq(balance_of(&c, c.address[5]), treasury + 50000 - 3 * 10);
    cr_assert(audit(&c));
    chain_close(&c);
}

/* With nobody to take them, the shares of witness and publishers are the treasury's. */
Test(reward, what_has_no_taker_goes_to_the_treasury)
{
    open_with(shared());
    block_add(&c, NULL, 100);
    seal_all(0);
    block_add(&c, &b, 200);
    body_reset(&b);
    block_add(&c, NULL, 9100);
    cr_assert_eq(balance_of(&c, c.address[5]), 50000 + 100000 - 30); /* no data */
    cr_assert_eq(balance_of(&c, c.address[4]), 100000 + 30);
    cr_assert(audit(&c));
    chain_close(&c);
}

/* The number of publishers of a slot is bounded, and switched off it costs nothing. */
Test(reward, publishers_are_bounded)
{
    struct setup s = shared();
    s.g.data_bp = 0;
    open_with(s);
    block_add(&c, NULL, 100);
    anchor(0, 1, (const uint32_t[]){0}, 1);
    block_add(&c, &b, 200);
    body_reset(&b);
    cr_assert_eq(slot_of(0).publishers.count, 0);
    chain_close(&c);
}

/* Slots issue, blocks do not: an hour under full load issues what an idle hour does. */
Test(reward, issuance_does_not_depend_on_the_speed_of_blocks)
{
    uint64_t issued[2], burned[2], blocks[2];
    for (int loaded = 0; loaded < 2; loaded++) {
        struct setup s = shared();
        s.policy = POA_POLICY_RANDOM; /* seats without tickets */
        open_with(s);
        blocks[loaded] = 0;
        for (uint64_t slot = 0; slot < 240; slot++) {
            uint64_t in_slot = loaded ? 20 : 1;
            for (uint64_t i = 0; i < in_slot; i++, blocks[loaded]++) {
                block_add(&c, b.seal_n ? &b : NULL, slot * 1000 + 100 + i * 40);
                body_reset(&b);
            }
            if (slot % 3) /* two thirds of the slots are sealed */
                seal_all(slot);
        }
        block_add(&c, &b, 240 * 1000 + 100);
        body_reset(&b);
        block_add(&c, NULL, 260 * 1000);
        issued[loaded] = global_state().issued;
        burned[loaded] = global_state().burned;
        cr_assert(audit(&c));
        chain_close(&c);
    }
    cr_assert_eq(blocks[1], 20 * blocks[0]);
    cr_assert_eq(issued[0], 241 * 1000000u); /* slots 0..240 */
    cr_assert_eq(issued[1], issued[0]);
    cr_assert_eq(burned[1], burned[0]);
    cr_assert_eq(burned[0], 81 * 1000000u); /* slots 0, 3, ... 240 */
}
