/* Real sockets on loopback, the device library on one end, a node in memory on
 * the other. */
#include "edge_node.h"

static struct fake f;
static struct client a, b;

#define DEVICE_A 100 /* the world's device */
#define DEVICE_B 101

TestSuite(gateway, .timeout = 120);

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
    uint64_t made = client_now().mono_ms;
    cr_assert_eq(poa_gateway_new(&config, &f.g, &why), POA_OK);
    poa_gateway_serve(f.g, false);
    fake_epoch(&f, 3, 16);
    client_make(&a, &f, DEVICE_A);
    /* The node has blocks to execute first, for longer than devices wait below. */
    while (client_now().mono_ms < made + 5200)
        poll(NULL, 0, 50);
    cr_assert_eq(poa_gateway_start(f.g), POA_OK);
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
