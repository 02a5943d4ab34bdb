/* Real sockets on loopback, the device library on one end, a node in memory on
 * the other. */
#include <stdatomic.h>

#include "edge_node.h"

static struct fake f;
static struct client a, b;

#define DEVICE_A 100 /* the world's device */
#define DEVICE_B 101

TestSuite(gateway, .timeout = 120);

/* The gateway counts on a thread of its own, maybe just after what it sent. */
#define EXPECT_STAT(name, value)                                                                   \
    do {                                                                                           \
        for (int i_ = 0; i_ < 1000 && fake_stats(&f).name != (value); i_++)                        \
            usleep(10000);                                                                         \
        cr_assert_eq(fake_stats(&f).name, value);                                                  \
    } while (0)

Test(gateway, a_registered_device_is_welcomed)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert_eq(client_told(&a, POA_DEVICE_WELCOMED)->status, POA_EDGE_ACTIVE);
    cr_assert_eq(client_told(&a, POA_DEVICE_EPOCH)->epoch, 3);
    cr_assert_eq(a.d.committee.epoch, 3);
    EXPECT_STAT(devices, 1);
    client_close(&a);
    for (int i = 0; i < 500 && fake_stats(&f).connections; i++)
        usleep(10000);
    EXPECT_STAT(connections, 0);
    EXPECT_STAT(devices, 0);
    fake_stop(&f);
}

Test(gateway, an_unknown_device_may_register_and_no_more)
{
    uint8_t pack[512], tx[20] = {1};
    fake_start(&f);
    client_make(&b, &f, DEVICE_B);
    client_ready(&b);
    cr_assert_eq(client_told(&b, POA_DEVICE_WELCOMED)->status, POA_EDGE_UNREGISTERED);
    struct poa_slice forged = client_sign_pack(&b, 1, pack, sizeof pack);
    pack[forged.n - 1] ^= 1; /* nobody looks at a stranger's signature */
    cr_assert_eq(poa_device_pack(&b.d, forged), POA_OK);
    EXPECT_UNTIL(&b, client_told(&b, POA_DEVICE_PACK_RESULT));
    cr_assert_eq(client_told(&b, POA_DEVICE_PACK_RESULT)->code, POA_E_DEVICE_UNKNOWN);
    cr_assert_eq(f.blobs, 0);
    cr_assert_eq(poa_device_submit(&b.d, 9, poa_slice(tx, sizeof tx)), POA_OK);
    EXPECT_UNTIL(&b, client_told(&b, POA_DEVICE_TX_RESULT));
    cr_assert_eq(client_told(&b, POA_DEVICE_TX_RESULT)->code, POA_OK);
    cr_assert_eq(f.submit[0].tx_n, sizeof tx);
    /* Once the ledger knows it, it hears so without asking. */
    fake_device(&f, b.key, 4);
    EXPECT_UNTIL(&b, client_told(&b, POA_DEVICE_WELCOMED)->status == POA_EDGE_ACTIVE);
    cr_assert_eq(b.d.index, 4);
    cr_assert_eq(poa_device_pack(&b.d, forged), POA_OK);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(f.blobs, 0);
    fake_stop(&f);
}

Test(gateway, tasks_go_to_the_assigned_only)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    fake_device(&f, b.key, 1);
    client_ready(&a);
    client_ready(&b);
    uint64_t slot = fake_slot(&f);
    struct block block = fake_block(&f, 3, slot);
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    uint8_t seats[1][32];
    memcpy(seats[0], a.key, 32);
    poa_gateway_slot(f.g, slot, &proof, (const uint8_t(*)[32])seats, 1);
    /* Whether the lottery gave it the slot is the device's own judgement. */
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_SEALED) || client_told(&a, POA_DEVICE_REFUSED));
    client_barrier(&b);
    cr_assert_null(client_told(&b, POA_DEVICE_SEALED));
    cr_assert_null(client_told(&b, POA_DEVICE_REFUSED));
    EXPECT_STAT(tasks, 1);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

/* The next slots until the lottery picks A. */
static uint64_t sealable_slot(struct block *block)
{
    for (uint64_t slot = fake_slot(&f);; slot--) {
        struct poa_edge_epoch e = world_epoch(3, 16, 10);
        for (uint32_t j = 0; j < SEATS; j++) {
            uint32_t index;
            uint64_t rank;
            poa_random_seat(f.w.chain, e.seed, slot, j, e.eligible, &index, &rank);
            if (index == 0) {
                *block = fake_block(&f, 3, slot);
                return slot;
            }
        }
    }
}

static uint64_t post_task_for_a(void)
{
    struct block block;
    uint8_t seats[1][32];
    uint64_t slot = sealable_slot(&block);
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    memcpy(seats[0], f.w.device_key, 32);
    poa_gateway_slot(f.g, slot, &proof, (const uint8_t(*)[32])seats, 1);
    return slot;
}

Test(gateway, a_seal_is_carried_and_paid)
{
    struct poa_gateway_config config = fake_config(&f);
    f.genesis.seal_slots = 1000; /* no draw can be too late */
    f.w.params.seal_slots = 1000;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    uint64_t slot = post_task_for_a();
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_SEAL_RESULT));
    cr_assert_eq(client_told(&a, POA_DEVICE_SEAL_RESULT)->code, POA_OK);
    cr_assert_eq(f.submits, 1);
    cr_assert_eq(f.submit[0].seal.slot, slot);
    cr_assert_eq(poa_seal_check(SUITE, f.w.chain, &f.submit[0].seal), POA_OK);
    /* Settled: the registry says so, and the device hears it. */
    struct poa_st_device d = {.index = 0, .earned = 500, .sealed = 1, .assigned = 1};
    memset(d.payout, 0x11, 32);
    fake_put(&f, POA_STATE_DEVICE, poa_slice(a.key, 32), &poa_st_device_record, &d);
    struct block later = fake_block(&f, 3, slot + 1003);
    struct poa_gateway_proof proof = {block_header(&later), poa_slice(NULL, 0), block_cert(&later)};
    poa_gateway_slot(f.g, slot + 1003, &proof, NULL, 0);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_REWARD));
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_task_waits_for_a_device_that_comes_back)
{
    struct poa_gateway_config config = fake_config(&f);
    f.genesis.seal_slots = 1000;
    f.w.params.seal_slots = 1000;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_close(&a);
    uint64_t slot = post_task_for_a();
    client_ready(&a);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_SEAL_RESULT));
    cr_assert_eq(f.submit[0].seal.slot, slot);
    /* And again: it was sealed, the device refuses to do it twice. */
    client_close(&a);
    client_ready(&a);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_REFUSED));
    cr_assert_eq(client_told(&a, POA_DEVICE_REFUSED)->code, POA_E_SEAL_TWICE);
    cr_assert_eq(a.d.counts[POA_DEVICE_COUNT_SEAL], 1);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_task_with_finality_through_a_descendant)
{
    struct block block;
    uint8_t seats[1][32];
    struct poa_gateway_config config = fake_config(&f);
    f.genesis.seal_slots = 1000;
    f.w.params.seal_slots = 1000;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    uint64_t slot = sealable_slot(&block);
    struct block child = block_child(&f.w, &block, POA_BLOCK_NORMAL);
    struct block top = block_child(&f.w, &child, POA_BLOCK_NORMAL);
    uint8_t links[2 * POA_HEADER_BYTES];
    memcpy(links, top.header, POA_HEADER_BYTES);
    memcpy(links + POA_HEADER_BYTES, child.header, POA_HEADER_BYTES);
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(links, sizeof links),
                                      block_cert(&top)};
    memcpy(seats[0], a.key, 32);
    poa_gateway_slot(f.g, slot, &proof, (const uint8_t(*)[32])seats, 1);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_SEAL_RESULT));
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, an_epoch_is_told_to_all_with_its_committee)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    client_ready(&a);
    client_ready(&b);
    fake_epoch(&f, 4, 40);
    EXPECT_UNTIL(&a, a.d.committee.epoch == 4);
    EXPECT_UNTIL(&b, b.d.committee.epoch == 4);
    cr_assert_eq(client_count(&a, POA_DEVICE_COMMITTEE), 2);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(gateway, a_device_catches_up_over_many_epochs)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_close(&a);
    for (uint32_t epoch = 4; epoch <= 9; epoch++)
        fake_epoch(&f, epoch, 10 * epoch);
    client_ready(&a);
    cr_assert_eq(a.d.committee.epoch, 9);
    cr_assert_eq(client_count(&a, POA_DEVICE_COMMITTEE), 7);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, without_an_epoch_devices_are_asked_to_return)
{
    struct poa_gateway_config c = fake_config(&f);
    struct poa_why why;
    cr_assert_eq(poa_gateway_new(&c, &f.g, &why), POA_OK);
    cr_assert_eq(poa_gateway_start(f.g), POA_OK);
    client_make(&a, &f, DEVICE_A);
    client_dial(&a);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_AGAIN);
    cr_assert_gt(client_told(&a, POA_DEVICE_BYE)->retry_ms, 0);
    fake_stop(&f);
}

/* Its node fell behind, or lost its peers. */
Test(gateway, devices_are_sent_away_while_the_node_is_behind)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    fake_device(&f, b.key, 1);
    client_ready(&a);
    poa_gateway_serve(f.g, false);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_AGAIN);
    cr_assert(client_told(&a, POA_DEVICE_BYE)->retry_ms >= 1000);
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(client_told(&b, POA_DEVICE_BYE)->code, POA_E_AGAIN);
    cr_assert_null(client_told(&b, POA_DEVICE_WELCOMED));
    EXPECT_STAT(sent_away, 2);
    EXPECT_STAT(devices, 0);
    poa_gateway_serve(f.g, true);
    client_ready(&a);
    client_ready(&b);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(gateway, devices_wait_for_a_node_that_starts)
{
    struct poa_gateway_config config = fake_config(&f);
    struct poa_why why;
    cr_assert_eq(poa_gateway_new(&config, &f.g, &why), POA_OK);
    poa_gateway_serve(f.g, false);
    fake_epoch(&f, 3, 16);
    cr_assert_eq(poa_gateway_start(f.g), POA_OK);
    client_make(&a, &f, DEVICE_A);
    client_dial(&a);
    uint64_t end = client_now().mono_ms + 500;
    while (client_now().mono_ms < end)
        client_turn(&a, 10);
    cr_assert(a.fd >= 0);
    cr_assert_eq(a.d.state, POA_DEVICE_DIALING);
    poa_gateway_serve(f.g, true);
    EXPECT_UNTIL(&a, a.d.state == POA_DEVICE_READY);
    EXPECT_STAT(sent_away, 0);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, refusals_come_back)
{
    uint8_t tx[20] = {1};
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    f.refuse = POA_E_TX_FEE;
    cr_assert_eq(poa_device_submit(&a.d, 9, poa_slice(tx, sizeof tx)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_TX_RESULT));
    cr_assert_eq(client_told(&a, POA_DEVICE_TX_RESULT)->code, POA_E_TX_FEE);
    f.refuse = POA_OK;
    f.result = POA_E_TX_BALANCE;
    a.events = 0;
    cr_assert_eq(poa_device_submit(&a.d, 10, poa_slice(tx, sizeof tx)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_TX_RESULT));
    cr_assert_eq(client_told(&a, POA_DEVICE_TX_RESULT)->code, POA_E_TX_BALANCE);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, answers_are_proven)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    for (uint32_t i = 0; i < 2; i++) {
        a.events = 0;
        cr_assert_eq(poa_device_query(&a.d, i, POA_STATE_ACCOUNT, poa_slice(f.account, 32)),
                     POA_OK);
        EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_ANSWER));
        cr_assert_eq(client_told(&a, POA_DEVICE_ANSWER)->code, POA_OK);
        cr_assert_gt(client_told(&a, POA_DEVICE_ANSWER)->value.n, 0);
    }
    cr_assert_eq(poa_device_query(&a.d, 2, POA_STATE_ACCOUNT, poa_slice(f.w.chain, 32)), POA_OK);
    a.events = 0;
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_ANSWER));
    cr_assert_eq(client_told(&a, POA_DEVICE_ANSWER)->code, POA_OK);
    cr_assert_eq(client_told(&a, POA_DEVICE_ANSWER)->value.n, 0, "proven absent");
    f.result = POA_E_AGAIN;
    cr_assert_eq(poa_device_query(&a.d, 3, POA_STATE_ACCOUNT, poa_slice(f.account, 32)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_ANSWER)->code == POA_E_AGAIN);
    f.refuse = POA_E_INVALID;
    cr_assert_eq(poa_device_query(&a.d, 4, POA_STATE_ACCOUNT, poa_slice(f.account, 32)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_ANSWER)->code == POA_E_INVALID);
    client_close(&a);
    fake_stop(&f);
}

/* --- packs ------------------------------------------------------------------------ */

Test(gateway, packs_are_anchored_and_receipted)
{
    uint8_t pack[16][512];
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    for (size_t i = 0; i < 16; i++)
        cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, i, pack[i], sizeof pack[i])),
                     POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_RECEIPT) == 16);
    struct poa_gateway_stats s = fake_stats(&f);
    cr_assert_eq(client_count(&a, POA_DEVICE_PACK_RESULT), 16);
    cr_assert_eq(s.packs, 16);
    cr_assert_eq(s.receipts, 16);
    cr_assert_lt(s.anchors, 16, "many packs, few anchors");
    cr_assert_geq(f.syncs, 1, "durable before the anchor");

    /* The store proves each of them to whoever asks. */
    for (size_t i = 0; i < f.blobs; i++) {
        uint8_t bytes[2048];
        struct poa_edge_receipt r;
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        if (f.blob[i].kind != POA_BLOB_PACK)
            continue;
        cr_assert_eq(fake_blob_get(&f, POA_BLOB_RECEIPT, f.blob[i].key, &w), POA_OK);
        cr_assert_eq(poa_edge_receipt_decode(poa_written(&w), &r), POA_OK);
        cr_assert_eq(poa_pack_path_check(f.blob[i].key, r.index, r.packs, r.path, r.root), POA_OK);
        cr_assert_not_null(fake_find(&f, POA_STATE_ANCHOR, poa_slice(r.root, 32)));
    }
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, packs_are_listed_by_device)
{
    uint8_t bytes[512], key[32], value[64];
    struct poa_pack_usage u;
    struct poa_pack_entry e;
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    for (uint64_t i = 0; i < 3; i++) {
        struct poa_slice pack = client_sign_pack(&a, i + 1, bytes, sizeof bytes);
        uint8_t id[32];
        poa_pack_id(pack, id);
        cr_assert_eq(poa_device_pack(&a.d, pack), POA_OK);
        EXPECT_UNTIL(&a, fake_stats(&f).receipts == i + 1);
        poa_gateway_index_key(a.key, i, key);
        struct poa_writer w = poa_writer_over(value, sizeof value);
        cr_assert_eq(fake_blob_get(&f, POA_BLOB_INDEX, key, &w), POA_OK);
        cr_assert_eq(poa_pack_entry_decode(poa_written(&w), &e), POA_OK);
        cr_expect_arr_eq(e.id, id, 32);
    }
    struct poa_writer w = poa_writer_over(value, sizeof value);
    cr_assert_eq(fake_blob_get(&f, POA_BLOB_USAGE, a.key, &w), POA_OK);
    cr_assert_eq(poa_pack_usage_decode(poa_written(&w), &u), POA_OK);
    cr_expect_eq(u.packs, 3);
    cr_expect_gt(u.day_bytes, 300);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, the_quota_of_a_day_is_kept)
{
    uint8_t bytes[512], value[64];
    struct poa_gateway_config config = fake_config(&f);
    struct poa_pack_usage before = {.packs = 9};
    struct poa_writer w = poa_writer_over(value, sizeof value);
    config.limits.day_kib = 1;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    /* What an earlier run counted is not forgotten. */
    before.day = (uint32_t)(fake_wall() / 86400000);
    before.day_bytes = 700;
    cr_assert_eq(poa_pack_usage_encode(&w, &before), POA_OK);
    fake_blob_set(&f, POA_BLOB_USAGE, a.key, poa_written(&w));
    client_ready(&a);
    for (uint64_t i = 1; i <= 2; i++) {
        cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, i, bytes, sizeof bytes)), POA_OK);
        EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_PACK_RESULT) == i);
    }
    cr_expect_eq(client_told(&a, POA_DEVICE_PACK_RESULT)->code, POA_E_FULL);
    cr_expect_eq(fake_stats(&f).packs, 1);
    cr_expect_eq(fake_stats(&f).packs_refused, 1);
    client_close(&a);
    fake_stop(&f);
}

/* The device hears that it must keep its pack; what was taken before gets its receipt. */
Test(gateway, a_full_store_refuses_new_packs_only)
{
    uint8_t one[512], two[512];
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, 1, one, sizeof one)), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_PACK_RESULT) == 1);
    f.full = true;
    struct poa_slice second = client_sign_pack(&a, 2, two, sizeof two);
    cr_assert_eq(poa_device_pack(&a.d, second), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_PACK_RESULT) == 2);
    cr_expect_eq(client_told(&a, POA_DEVICE_PACK_RESULT)->code, POA_E_FULL);
    cr_expect_eq(poa_error_class(POA_E_FULL), POA_CLASS_RETRY, "devices send it again");
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_RECEIPT) == 1);
    EXPECT_STAT(packs_refused, 1);
    f.full = false;
    cr_assert_eq(poa_device_pack(&a.d, second), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_RECEIPT) == 2);
    EXPECT_STAT(packs, 2);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_pack_that_comes_again_gets_its_receipt_again)
{
    uint8_t bytes[512];
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    struct poa_slice pack = client_sign_pack(&a, 1, bytes, sizeof bytes);
    cr_assert_eq(poa_device_pack(&a.d, pack), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_RECEIPT) == 1);
    client_close(&a);
    client_ready(&a);
    cr_assert_eq(poa_device_pack(&a.d, pack), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_RECEIPT) == 2);
    EXPECT_STAT(anchors, 1);
    EXPECT_STAT(packs, 1);
    client_close(&a);
    fake_stop(&f);
}

/* The gateway died before the pack had its receipt; its store has the pack. */
Test(gateway, a_pack_that_comes_again_after_a_restart_counts_once)
{
    uint8_t bytes[512], value[64], key[32];
    struct poa_pack_usage u;
    struct poa_gateway_config config = fake_config(&f);
    f.refuse = POA_E_TX_BALANCE; /* no anchor */
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    struct poa_slice pack = client_sign_pack(&a, 1, bytes, sizeof bytes);
    cr_assert_eq(poa_device_pack(&a.d, pack), POA_OK);
    EXPECT_UNTIL(&a, client_count(&a, POA_DEVICE_PACK_RESULT) == 1);
    client_close(&a);
    poa_gateway_stop(f.g, 1);
    poa_gateway_free(f.g);

    f.refuse = POA_OK;
    config.limits.day_kib = 0; /* what is kept needs no room */
    fake_open(&f, &config);
    poa_wipe(a.d.gateway, sizeof a.d.gateway); /* so that it does not resume */
    client_ready(&a);
    cr_assert_eq(poa_device_pack(&a.d, pack), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_RECEIPT));
    cr_expect_eq(client_told(&a, POA_DEVICE_PACK_RESULT)->code, POA_OK);
    EXPECT_STAT(packs, 0);
    struct poa_writer w = poa_writer_over(value, sizeof value);
    cr_assert_eq(fake_blob_get(&f, POA_BLOB_USAGE, a.key, &w), POA_OK);
    cr_assert_eq(poa_pack_usage_decode(poa_written(&w), &u), POA_OK);
    cr_expect_eq(u.packs, 1);
    cr_expect_eq(u.day_bytes, pack.n);
    poa_gateway_index_key(a.key, 1, key);
    cr_expect_eq(fake_blob_get(&f, POA_BLOB_INDEX, key, &w), POA_E_NOT_FOUND, "listed twice");
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, packs_wait_for_an_anchor_that_was_refused)
{
    uint8_t bytes[512];
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    f.refuse = POA_E_TX_BALANCE;
    cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, 1, bytes, sizeof bytes)), POA_OK);
    EXPECT_UNTIL(&a, fake_stats(&f).anchors_failed == 1);
    cr_assert_null(client_told(&a, POA_DEVICE_RECEIPT));
    EXPECT_STAT(packs_waiting, 1);
    f.refuse = POA_OK;
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_RECEIPT));
    EXPECT_UNTIL(&a, fake_stats(&f).packs_waiting == 0);
    client_close(&a);
    fake_stop(&f);
}

/* A wall clock that tests move. */
static atomic_uint_least64_t skew_ms;
static uint64_t skewed_wall(void *ctx)
{
    (void)ctx;
    return fake_wall() + atomic_load(&skew_ms);
}
static uint64_t true_monotonic(void *ctx)
{
    (void)ctx;
    return poa_clock_monotonic_us(poa_clock_system());
}

Test(gateway, an_anchor_that_no_block_takes_is_made_anew)
{
    static const struct poa_clock clock = {true_monotonic, skewed_wall, NULL};
    uint8_t bytes[512];
    struct poa_gateway_config config = fake_config(&f);
    config.clock = &clock;
    atomic_store(&skew_ms, 0);
    f.lose_tx = true;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, 1, bytes, sizeof bytes)), POA_OK);
    EXPECT_UNTIL(&a, f.submits == 1);
    /* Its time passes, but the chain has not said so: it may still be taken. */
    atomic_store(&skew_ms, 20000);
    struct poa_st_global global = {.time_ms = fake_wall()};
    fake_put(&f, POA_STATE_GLOBAL, poa_slice(NULL, 0), &poa_st_global_record, &global);
    uint64_t end = client_now().mono_ms + 500;
    while (client_now().mono_ms < end)
        client_turn(&a, 10);
    EXPECT_STAT(anchors_failed, 0);
    f.lose_tx = false;
    global.time_ms = fake_wall() + 20000;
    fake_put(&f, POA_STATE_GLOBAL, poa_slice(NULL, 0), &poa_st_global_record, &global);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_RECEIPT));
    EXPECT_STAT(anchors_failed, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_pack_of_another_device_ends_the_connection)
{
    uint8_t bytes[512];
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    client_ready(&a);
    cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&b, 1, bytes, sizeof bytes)), POA_OK);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(f.blobs, 0);
    fake_stop(&f);
}

Test(gateway, a_pack_of_the_future_is_refused)
{
    uint8_t bytes[512];
    struct poa_pack p = {
        .from_ms = 1, .to_ms = fake_wall() + 3600000, .readings = 1, .content = poa_slice("[]", 2)};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert_eq(poa_pack_sign(SUITE, f.w.chain, a.seed, a.key, &p, &w), POA_OK);
    cr_assert_eq(poa_device_pack(&a.d, poa_written(&w)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_PACK_RESULT));
    cr_assert_eq(client_told(&a, POA_DEVICE_PACK_RESULT)->code, POA_E_DATA_FUTURE);
    client_close(&a);
    fake_stop(&f);
}

/* --- hostile peers --------------------------------------------------------------------- */

/* The gateway closed FD within the test's patience. */
static bool closed_by_gateway(int fd)
{
    uint8_t byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, PATIENCE_MS) > 0) {
        ssize_t n = recv(fd, &byte, 1, 0);
        if (n <= 0)
            return true;
    }
    return false;
}

static void still_serves(void)
{
    /* Whoever was closed just now may still take a place. */
    for (int i = 0; i < 500 && fake_stats(&f).connections; i++)
        usleep(10000);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_barrier(&a);
    client_close(&a);
}

Test(gateway, garbage_is_closed)
{
    uint8_t garbage[200];
    fake_start(&f);
    for (int i = 0; i < 4; i++) {
        int fd = client_socket(&f);
        poa_random(garbage, sizeof garbage);
        size_t n = sizeof garbage;
        garbage[0] = i == 0 ? 0 : i == 1 ? 0xff : POA_EDGE_FIRST_BYTES;
        garbage[1] = i == 1 ? 0xff : 0;
        cr_assert_eq(send(fd, garbage, n, MSG_NOSIGNAL), (ssize_t)n);
        cr_assert(closed_by_gateway(fd), "case %d", i);
        close(fd);
    }
    still_serves();
    EXPECT_STAT(handshakes_failed, 4);
    fake_stop(&f);
}

Test(gateway, whoever_dawdles_is_closed)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.handshake_ms = 300;
    fake_open(&f, &config);
    int silent = client_socket(&f), slow = client_socket(&f);
    uint8_t head[3] = {POA_EDGE_FIRST_BYTES, 0, 7};
    cr_assert_eq(send(slow, head, 3, MSG_NOSIGNAL), 3);
    cr_assert(closed_by_gateway(silent));
    cr_assert(closed_by_gateway(slow));
    /* After the handshake, the greeting is due as well. */
    client_make(&b, &f, DEVICE_B);
    client_dial(&b);
    struct poa_slice out = poa_device_output(&b.d);
    cr_assert_eq(send(b.fd, out.p, out.n, MSG_NOSIGNAL), (ssize_t)out.n);
    cr_assert(closed_by_gateway(b.fd));
    client_close(&b);
    close(silent);
    close(slow);
    still_serves();
    fake_stop(&f);
}

Test(gateway, connections_are_capped)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[8];
    config.limits.connections = 4;
    fake_open(&f, &config);
    for (int i = 0; i < 8; i++)
        fd[i] = client_socket(&f);
    for (int i = 4; i < 8; i++)
        cr_assert(closed_by_gateway(fd[i]));
    EXPECT_STAT(refused, 4);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
    still_serves();
    fake_stop(&f);
}

Test(gateway, strangers_wait_until_others_left)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[4];
    config.limits.strangers = 4;
    config.limits.handshake_ms = 500;
    fake_open(&f, &config);
    for (int i = 0; i < 4; i++)
        fd[i] = client_socket(&f);
    EXPECT_STAT(connections, 4);
    /* Not refused: it has its turn when the silent ones are gone. */
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_expect_eq(fake_stats(&f).refused, 0);
    for (int i = 0; i < 4; i++) {
        cr_expect(closed_by_gateway(fd[i]));
        close(fd[i]);
    }
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, one_address_does_not_take_all_places)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[4];
    config.limits.per_address = 2;
    fake_open(&f, &config);
    for (int i = 0; i < 4; i++)
        fd[i] = client_socket(&f);
    cr_assert(closed_by_gateway(fd[2]));
    cr_assert(closed_by_gateway(fd[3]));
    EXPECT_STAT(refused, 2);
    /* Somebody else is served meanwhile: all of 127/8 is this host. */
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(poa_gateway_port(f.g)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t entropy[32] = {1};
    client_make(&a, &f, DEVICE_A);
    a.fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(a.fd, (struct sockaddr *)&from, sizeof from), 0);
    cr_assert_eq(connect(a.fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(poa_device_connect(&a.d, client_now(), f.w.gateway_key, entropy), POA_OK);
    EXPECT_UNTIL(&a, a.d.state == POA_DEVICE_READY);
    client_close(&a);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    fake_stop(&f);
}

Test(gateway, unknown_devices_are_capped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.unregistered = 1;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_B);
    client_make(&b, &f, DEVICE_B + 1);
    client_ready(&a);
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(client_told(&b, POA_DEVICE_BYE)->code, POA_E_FULL);
    client_close(&a);
    for (int i = 0; i < 500 && fake_stats(&f).devices; i++)
        usleep(10000);
    client_ready(&b);
    client_close(&b);
    fake_stop(&f);
}

Test(gateway, handshakes_are_rationed)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.handshakes_per_s = 5;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    for (int i = 0; i < 12; i++) {
        client_ready(&a);
        client_close(&a);
        poa_wipe(a.d.gateway, sizeof a.d.gateway); /* so that it does not resume */
    }
    /* All were served, and none at the price of another second's budget. */
    EXPECT_STAT(handshakes, 12);
    fake_stop(&f);
}

Test(gateway, somebody_elses_key_is_refused)
{
    fake_start(&f);
    client_make(&b, &f, DEVICE_B);
    memcpy(b.key, f.w.device_key, 32); /* the identity it claims; the seed is its own */
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    cr_assert_null(client_told(&b, POA_DEVICE_WELCOMED));
    fake_stop(&f);
}

Test(gateway, a_replayed_greeting_goes_nowhere)
{
    uint8_t said[1024], bytes[4096];
    size_t said_n = 0;
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_dial(&a);
    /* Plays man in the middle: keeps what the device says. */
    while (a.d.state != POA_DEVICE_READY) {
        struct poa_slice out = poa_device_output(&a.d);
        if (out.n) {
            memcpy(said + said_n, out.p, out.n);
            said_n += out.n;
            cr_assert_eq(send(a.fd, out.p, out.n, MSG_NOSIGNAL), (ssize_t)out.n);
            poa_device_sent(&a.d, out.n);
        }
        ssize_t n = recv(a.fd, bytes, sizeof bytes, 0);
        cr_assert_gt(n, 0);
        cr_assert_eq(poa_device_input(&a.d, client_now(), bytes, (size_t)n), POA_OK);
    }
    int fd = client_socket(&f);
    cr_assert_eq(send(fd, said, said_n, MSG_NOSIGNAL), (ssize_t)said_n);
    cr_assert(closed_by_gateway(fd));
    close(fd);
    /* The real one is still there. */
    client_barrier(&a);
    EXPECT_STAT(devices, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, the_newer_connection_of_a_device_stays)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_A);
    client_ready(&a);
    client_ready(&b);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_EXISTS);
    client_barrier(&b);
    EXPECT_STAT(devices, 1);
    client_close(&b);
    fake_stop(&f);
}

Test(gateway, another_chain_is_told_so)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_close(&a);
    a.d.chain[0] ^= 1;
    client_dial(&a);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_CHAIN);
    fake_stop(&f);
}

Test(gateway, messages_that_are_not_a_devices_end_the_connection)
{
    static const uint8_t types[] = {0, POA_EDGE_HELLO, POA_EDGE_WELCOME, POA_EDGE_TASK, 200};
    fake_start(&f);
    for (size_t i = 0; i < sizeof types; i++) {
        uint8_t bytes[256];
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        client_make(&a, &f, DEVICE_A);
        client_ready(&a);
        cr_assert_eq(poa_edge_put_raw(&a.d.link.on.session, types[i], poa_slice("abc", 3), &w),
                     POA_OK);
        cr_assert_eq(send(a.fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
        EXPECT_UNTIL(&a, a.fd < 0);
    }
    EXPECT_STAT(dropped, sizeof types);
    fake_stop(&f);
}

Test(gateway, random_messages_break_nothing)
{
    static const uint8_t types[] = {POA_EDGE_TICKET, POA_EDGE_SEAL,  POA_EDGE_PACK,
                                    POA_EDGE_TX,     POA_EDGE_QUERY, POA_EDGE_GET_HANDOVER,
                                    POA_EDGE_PING};
    uint8_t payload[300], bytes[512];
    fake_start(&f);
    for (uint32_t round = 0; round < 150; round++) {
        client_make(&a, &f, DEVICE_A);
        client_ready(&a);
        uint8_t type = types[round % sizeof types];
        poa_random(payload, sizeof payload);
        for (size_t i = 0; i < sizeof payload; i++)
            payload[i] = payload[i] % 3 ? payload[i] : 0;
        size_t n = payload[299] % 3 ? payload[298] : 4 + round % 300 / 4;
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        cr_assert_eq(poa_edge_put_raw(&a.d.link.on.session, type, poa_slice(payload, n), &w),
                     POA_OK);
        cr_assert_eq(send(a.fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
        client_turn(&a, 2);
        client_close(&a);
    }
    for (size_t i = 0; i < f.submits; i++)
        cr_assert_eq(f.submit[i].kind, 'x', "a ticket or seal of another device was carried");
    still_serves();
    fake_stop(&f);
}

Test(gateway, a_device_that_floods_is_slowed_and_served)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.frames_per_s = 500;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    client_ready(&a);
    client_ready(&b);
    /* Four seconds' worth may come at once; more has to wait. */
    for (int i = 0; i < 2500 || (i < 100000 && !fake_stats(&f).throttled); i++) {
        a.d.spoke_ms = 0;
        client_turn(&a, 0);
        cr_assert_geq(a.fd, 0);
    }
    client_barrier(&b);
    client_barrier(&a);
    cr_assert_geq(fake_stats(&f).throttled, 1);
    EXPECT_STAT(dropped, 0);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(gateway, a_device_that_does_not_read_is_dropped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.send_queue_bytes = POA_EDGE_DOWN_MAX;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    struct block block = fake_block(&f, 3, fake_slot(&f));
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    uint8_t seats[1][32];
    memcpy(seats[0], a.key, 32);
    for (int i = 0; i < 100000 && !fake_stats(&f).dropped; i++) {
        poa_gateway_slot(f.g, fake_slot(&f), &proof, (const uint8_t(*)[32])seats, 1);
        if (i % 100 == 0)
            usleep(1000);
    }
    for (int i = 0; i < 500 && !fake_stats(&f).dropped; i++)
        usleep(10000);
    EXPECT_STAT(dropped, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_silent_device_is_dropped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.ping_ms = 700; /* a test that stands still meanwhile is not silent yet */
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert(closed_by_gateway(a.fd));
    client_close(&a);
    fake_stop(&f);
}

Test(gateway, a_drain_tells_devices_when_to_return)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    poa_gateway_stop(f.g, 1500);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_OK);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->retry_ms, 1500);
    fake_stop(&f);
}

Test(gateway, bad_configuration_is_refused)
{
    struct poa_gateway_config config = fake_config(&f);
    struct poa_gateway *g;
    struct poa_why why = {""};
    config.host = "not an address";
    cr_assert_eq(poa_gateway_new(&config, &g, &why), POA_E_CONFIG);
    cr_assert_gt(strlen(why.text), 0);
    config.host = "127.0.0.1";
    config.limits.connections = 0;
    cr_assert_eq(poa_gateway_new(&config, &g, &why), POA_E_CONFIG);
    config.limits = poa_gateway_limits_default;
    memset(config.anchor_secret32, 0, 32);
    cr_assert_eq(poa_gateway_new(&config, &g, &why), POA_E_KEY);
    poa_random(config.anchor_secret32, 32);
    cr_assert_eq(poa_gateway_new(&config, &g, &why), POA_OK);
    config.port = poa_gateway_port(g);
    struct poa_gateway *second;
    cr_assert_eq(poa_gateway_new(&config, &second, &why), POA_E_IO);
    poa_gateway_free(g);
    pthread_mutex_destroy(&f.mutex);
}
