#include "support.h"

static struct chain c;
static struct body b;
static struct poa_mempool *m;
static struct counting memory;
static uint8_t out_bytes[1 << 20];

static void open_pool(uint32_t txs, uint32_t per_account, size_t bytes)
{
    struct setup s = setup_default();
    struct poa_alloc alloc = counting_alloc(&memory);
    struct poa_mempool_limits limits = {txs, per_account, bytes};
    chain_open(&c, &s);
    body_reset(&b);
    cr_assert_eq(poa_mempool_new(&alloc, &limits, &m), POA_OK);
}

static void close_pool(void)
{
    poa_mempool_free(m);
    cr_assert_eq(memory.live, 0);
    chain_close(&c);
}

static int add(uint32_t user, uint64_t nonce, uint64_t fee, uint64_t amount)
{
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[4], amount);
    body_tx(&b, &c, user, nonce, fee, &o);
    return poa_mempool_add(m, c.l, POA_STATE_BASE, c.time_ms + 1, b.tx[b.txs - 1]);
}

/* Takes up to N, as views in the body. */
static uint32_t take(uint32_t n)
{
    struct poa_writer w = poa_writer_over(out_bytes, sizeof out_bytes);
    uint32_t got = poa_mempool_take(m, &w, sizeof out_bytes, n);
    struct poa_list list = {poa_written(&w), got};
    struct poa_list_iter it = poa_list_begin(&list);
    struct poa_raw_tx raw;
    body_reset(&b);
    while (poa_raw_tx_next(&it, &raw)) {
        b.tx[b.txs] = &b.view[b.txs];
        cr_assert_eq(poa_tx_check(c.id, raw.tx, &b.view[b.txs++]), POA_OK);
    }
    cr_assert_eq(b.txs, got);
    return got;
}

static void settle(uint64_t time)
{
    uint32_t n = b.txs;
    block_add(&c, &b, time);
    poa_mempool_settle(m, c.l, b.result, n, c.time_ms);
    body_reset(&b);
}

Test(mempool, order_and_life)
{
    open_pool(100, 10, 100000);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(2, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    cr_assert_eq(add(1, 3, 10, 5), POA_E_TX_NONCE_GAP);
    cr_assert_eq(add(1, 0, 10, 5), POA_E_TX_DUPLICATE);
    cr_assert_eq(add(1, 0, 10, 6), POA_E_TX_NONCE_USED);
    cr_assert_eq(poa_mempool_count(m), 3);
    cr_assert_eq(take(2), 2);
    cr_assert_eq(b.tx[0]->tx.nonce, 0);
    cr_assert_arr_eq(b.tx[0]->tx.sender, c.address[1], 32);
    cr_assert_arr_eq(b.tx[1]->tx.sender, c.address[2], 32);
    cr_assert_eq(poa_mempool_count(m), 3); /* taken, not forgotten */
    settle(1000);
    cr_assert_eq(b.txs, 0);
    cr_assert_eq(poa_mempool_count(m), 1);
    cr_assert_eq(add(1, 1, 10, 5), POA_E_TX_DUPLICATE);
    cr_assert_eq(add(1, 0, 10, 7), POA_E_TX_NONCE_USED);
    body_reset(&b);
    cr_assert_eq(add(1, 2, 10, 5), POA_OK);
    cr_assert_eq(take(100), 2);
    settle(2000);
    cr_assert_eq(poa_mempool_count(m), 0);
    cr_assert_eq(take(100), 0);
    close_pool();
}

Test(mempool, balance_counts_what_waits)
{
    open_pool(100, 10, 100000);
    cr_assert_eq(add(1, 0, 10, 600000000), POA_OK);
    cr_assert_eq(add(1, 1, 10, 600000000), POA_E_TX_BALANCE);
    cr_assert_eq(add(1, 1, 10, 399999980), POA_OK);
    cr_assert_eq(add(1, 2, 10, 1), POA_E_TX_BALANCE);
    close_pool();
}

Test(mempool, limits)
{
    open_pool(100, 3, 100000);
    for (uint64_t n = 0; n < 3; n++)
        cr_assert_eq(add(1, n, 10, 5), POA_OK);
    cr_assert_eq(add(1, 3, 10, 5), POA_E_TX_POOL_FULL, "per account");
    close_pool();
    open_pool(100, 50, 128 * 8); /* two pieces each */
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    cr_assert_eq(add(1, 2, 10, 5), POA_E_TX_POOL_FULL, "half of the bytes");
    cr_assert_eq(add(2, 0, 10, 5), POA_OK);
    cr_assert_eq(add(3, 0, 10, 5), POA_OK);
    cr_assert_eq(add(0, 0, 10, 5), POA_E_TX_POOL_FULL, "all of them");
    cr_assert_eq(take(1), 1);
    settle(1000);
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    close_pool();
    open_pool(2, 5, 1 << 20);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(2, 0, 10, 5), POA_OK);
    cr_assert_eq(add(3, 0, 10, 5), POA_E_TX_POOL_FULL);
    close_pool();
}

Test(mempool, senders_share_it)
{
    static const uint32_t turns[] = {1, 2, 3, 1, 2, 1, 1};
    open_pool(8, 100, 1 << 20);
    uint64_t n = 0;
    while (add(1, n, 10, 5) == POA_OK)
        n++;
    cr_assert_eq(n, 4, "one alone has half: %u", (unsigned)n);
    n = 0;
    while (add(2, n, 1000, 5) == POA_OK)
        n++;
    cr_assert_eq(n, 2, "whatever it pays: %u", (unsigned)n);
    cr_assert_eq(add(3, 0, 10, 5), POA_OK, "who has nothing here finds room");
    cr_assert_eq(take(100), 7);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_arr_eq(b.tx[i]->tx.sender, c.address[turns[i]], 32, "turn %u", i);
    close_pool();
}

Test(mempool, replacement_needs_a_higher_fee)
{
    open_pool(100, 10, 100000);
    cr_assert_eq(add(1, 0, 100, 5), POA_OK);
    cr_assert_eq(add(1, 1, 100, 5), POA_OK);
    cr_assert_eq(add(1, 0, 110, 6), POA_E_TX_NONCE_USED);
    cr_assert_eq(add(1, 0, 111, 6), POA_OK);
    cr_assert_eq(poa_mempool_count(m), 2);
    cr_assert_eq(take(10), 2);
    cr_assert_eq(b.tx[0]->tx.fee, 111);
    cr_assert_eq(b.tx[1]->tx.nonce, 1);
    settle(1000);
    cr_assert_eq(poa_mempool_count(m), 0);
    cr_assert_eq(add(1, 2, 100, 5), POA_OK);
    cr_assert_eq(take(1), 1);
    cr_assert_eq(add(1, 2, 1000, 5), POA_E_TX_NONCE_USED); /* it is in a batch already */
    close_pool();
}

Test(mempool, what_cannot_run_is_forgotten)
{
    open_pool(100, 10, 100000);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    body_reset(&b);
    /* Another server's batch used nonce 0 and 1. */
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[3], 9);
    body_tx(&b, &c, 1, 0, 50, &o);
    body_tx(&b, &c, 1, 1, 50, &o);
    settle(1000);
    cr_assert_eq(poa_mempool_count(m), 0);
    /* A batch that never came: forgotten after a minute. */
    cr_assert_eq(add(1, 2, 10, 5), POA_OK);
    cr_assert_eq(add(1, 3, 10, 5), POA_OK);
    cr_assert_eq(take(1), 1);
    body_reset(&b);
    settle(30000);
    cr_assert_eq(poa_mempool_count(m), 2);
    settle(90000);
    cr_assert_eq(poa_mempool_count(m), 0);
    close_pool();
}

Test(mempool, what_ran_too_early_waits_again)
{
    open_pool(100, 10, 100000);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(take(1), 1);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    cr_assert_eq(take(1), 1); /* the second batch comes first */
    cr_assert_eq(b.tx[0]->tx.nonce, 1);
    settle(1000);
    cr_assert_eq(poa_mempool_count(m), 2);
    cr_assert_eq(take(10), 2);
    cr_assert_eq(b.tx[0]->tx.nonce, 0);
    settle(2000);
    cr_assert_eq(poa_mempool_count(m), 0);
    cr_assert_eq(balance_of(&c, c.address[4]), 10 + 20); /* amounts, and fees to the same */
    close_pool();
}

/* Random adds, takes, blocks and replacements: every row, account and block
 * of bytes comes back. */
Test(mempool, nothing_leaks)
{
    struct random r = {0x1234567};
    uint64_t nonce[4] = {0}, time = 1000;
    open_pool(40, 8, 128 * 100);
    for (int round = 0; round < 300; round++) {
        body_reset(&b);
        for (int k = 0; k < 6; k++) {
            uint32_t user = (uint32_t)random_below(&r, 4);
            int e = add(user, nonce[user], 10 + random_below(&r, 5), 1 + random_below(&r, 9));
            if (!e)
                nonce[user]++;
            else
                cr_assert(e == POA_E_TX_POOL_FULL, "%s", poa_error_name(e));
        }
        take((uint32_t)random_below(&r, 10));
        settle(time += 700);
    }
    while (take(100) > 0)
        settle(time += 700);
    cr_assert_eq(poa_mempool_count(m), 0);
    for (uint32_t user = 0; user < 4; user++)
        for (int k = 0; k < 8; k++)
            cr_assert_eq(add(user, nonce[user]++, 10, 1), POA_OK);
    close_pool();
}
