/* Packs of readings: kept, anchored, answered with a receipt, and never counted twice. */
#include <stdatomic.h>

#include "edge_node.h"

static struct fake f;
static struct client a, b;

#define DEVICE_A 100 /* the world's device */
#define DEVICE_B 101

TestSuite(packs, .timeout = 120);

Test(packs, packs_are_anchored_and_receipted)
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

Test(packs, packs_are_listed_by_device)
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

Test(packs, the_quota_of_a_day_is_kept)
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
Test(packs, a_full_store_refuses_new_packs_only)
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

Test(packs, a_pack_that_comes_again_gets_its_receipt_again)
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
Test(packs, a_pack_that_comes_again_after_a_restart_counts_once)
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

Test(packs, packs_wait_for_an_anchor_that_was_refused)
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

Test(packs, an_anchor_that_no_block_takes_is_made_anew)
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

Test(packs, a_pack_of_another_device_ends_the_connection)
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

Test(packs, a_pack_of_the_future_is_refused)
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
