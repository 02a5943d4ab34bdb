/* What the application says and asks, and what comes back. */
#include "peer.h"

static struct bench b;

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_messages, .init = start_vrf);

Test(device_messages, nothing_is_sent_before_ready)
{
    uint8_t x = 1;
    cr_assert_eq(poa_device_pack(&b.d, poa_slice(&x, 1)), POA_E_AGAIN);
    cr_assert_eq(poa_device_submit(&b.d, 1, poa_slice(&x, 1)), POA_E_AGAIN);
    cr_assert_eq(poa_device_query(&b.d, 1, 2, poa_slice(&x, 1)), POA_E_AGAIN);
}

Test(device_messages, transactions_and_their_fate)
{
    uint8_t tx[40] = {9};
    struct poa_edge_tx_result r = {77, -POA_E_TX_FEE};
    struct poa_edge_tx sent;
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_submit(&b.d, 77, poa_slice(tx, sizeof tx)), POA_OK);
    bench_collect(&b);
    const struct mail *m = bench_mail(&b, POA_EDGE_TX);
    cr_assert_eq(poa_edge_tx_decode(poa_slice(m->bytes, m->n), &sent), POA_OK);
    cr_assert_eq(sent.tx.n, sizeof tx);
    cr_assert_eq(SAY(&b, TX_RESULT, edge_tx_result, &r), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TX_RESULT)->code, POA_E_TX_FEE);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TX_RESULT)->ref, 77);
}

Test(device_messages, a_full_send_buffer_says_so)
{
    uint8_t tx[4000] = {9};
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_submit(&b.d, 1, poa_slice(tx, sizeof tx)), POA_OK);
    cr_assert_eq(poa_device_submit(&b.d, 2, poa_slice(tx, sizeof tx)), POA_OK);
    cr_assert_eq(poa_device_submit(&b.d, 3, poa_slice(tx, sizeof tx)), POA_E_BUFFER);
    /* A task in between is sealed, and its seal leaves when there is room. */
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    struct poa_edge_task m = {20, block_header(&block), block_cert(&block)};
    uint8_t bytes[1024];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(POA_EDGE_PUT(&b.session, TASK, edge_task, &m, &w), POA_OK);
    cr_assert_eq(poa_device_input(&b.d, b.now, w.p, w.n), POA_OK);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1);
    poa_device_sent(&b.d, poa_device_output(&b.d).n);
    uint64_t wait;
    cr_assert_eq(poa_device_poll(&b.d, b.now, &wait), POA_OK);
    cr_assert_gt(poa_device_output(&b.d).n, POA_EDGE_OVERHEAD);
    cr_assert(b.d.seals[0].sent);
}

/* A proof that needs no tree: the root is the hash of table, key and value. */
static int toy_proof(const uint8_t root[32], uint8_t table, struct poa_slice key,
                     struct poa_slice value, struct poa_slice proof)
{
    uint8_t bytes[256], h[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_write_u8(&w, table);
    poa_write(&w, key.p, key.n);
    poa_write(&w, value.p, value.n);
    poa_write(&w, proof.p, proof.n);
    poa_hash(POA_DOMAIN_SIM, w.p, w.n, h);
    return memcmp(h, root, 32) ? POA_E_PROOF : POA_OK;
}

static struct block toy_block(uint64_t slot, const char *value)
{
    uint8_t bytes[64];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct block block = block_make(&b.w, EPOCH_NOW, slot);
    poa_write_u8(&w, 2);
    poa_write(&w, "key", 3);
    poa_write(&w, value, strlen(value));
    poa_write(&w, "path", 4);
    poa_hash(POA_DOMAIN_SIM, w.p, w.n, block.h.state);
    block_encode(&block);
    block_certify(&b.w, &block, ALL);
    return block;
}

static int answer(const char *value)
{
    struct poa_edge_answer a = {5, 0, poa_slice(value, strlen(value)), poa_slice("path", 4)};
    return SAY(&b, ANSWER, edge_answer, &a);
}

static void ask(void)
{
    b.config.proof_check = toy_proof;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_query(&b.d, 5, 2, poa_slice("key", 3)), POA_OK);
    cr_assert_eq(poa_device_query(&b.d, 6, 2, poa_slice("key", 3)), POA_E_AGAIN);
    bench_collect(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_QUERY), 1);
}

Test(device_messages, an_answer_is_proven)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    cr_assert_eq(answer("100 coins"), POA_OK);
    const struct poa_device_event *e = bench_told(&b, POA_DEVICE_ANSWER);
    cr_assert_eq(e->code, POA_OK);
    cr_assert_eq(e->height, block.h.height);
    cr_assert_eq(e->value.n, strlen("100 coins"));
}

Test(device_messages, a_lie_about_the_state_is_an_alarm)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    cr_assert_eq(answer("999 coins"), POA_E_PROOF);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_PROOF);
}

Test(device_messages, an_answer_without_a_certified_header_is_none)
{
    ask();
    cr_assert_eq(answer("100 coins"), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ANSWER)->code, POA_E_EPOCH);
}

Test(device_messages, an_old_answer_is_none)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    bench_slot(&b, 20 + 1 + POA_DEVICE_ANSWER_AGE_MS / SLOT_MS);
    cr_assert_eq(answer("100 coins"), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ANSWER)->code, POA_E_TIMEOUT);
}

Test(device_messages, receipts_are_checked)
{
    uint8_t tree[3][32] = {{1}, {2}};
    struct poa_edge_receipt r = {.index = 0, .packs = 2, .height = 7};
    poa_pack_tree(tree, 2);
    memcpy(r.id, tree[0], 32);
    memcpy(r.root, tree[2], 32);
    r.path = poa_slice(tree[1], 32);
    bench_ready(&b, 20);
    cr_assert_eq(SAY(&b, RECEIPT, edge_receipt, &r), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_RECEIPT)->height, 7);
    r.root[0] ^= 1;
    cr_assert_eq(SAY(&b, RECEIPT, edge_receipt, &r), POA_E_PROOF);
}

Test(device_messages, random_messages_break_nothing)
{
    uint64_t x = 88172645463325252u;
    uint8_t payload[600];
    for (int round = 0; round < 3000; round++) {
        if (b.d.state != POA_DEVICE_READY) {
            cr_assert_eq(bench_power_on(&b), POA_OK);
            bench_ready(&b, 20);
        }
        b.events = b.mails = 0;
        for (size_t i = 0; i < sizeof payload; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            payload[i] = x % 3 ? (uint8_t)(x >> 8) : 0;
        }
        size_t n = (size_t)(x >> 20) % sizeof payload;
        (void)bench_say_raw(&b, (uint8_t)(60 + (x >> 40) % 22), poa_slice(payload, n));
        cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 0);
    }
}
