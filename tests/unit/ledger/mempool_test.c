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
    cr_assert_eq(add(1, 0, 10, 6), POA_E_TX_REPLACE);
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
    cr_assert_eq(add(1, 3, 1000, 5), POA_E_TX_ACCOUNT_FULL, "per account");
    close_pool();
    open_pool(100, 50, 128 * 8); /* two pieces each */
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    cr_assert_eq(add(1, 2, 1000, 5), POA_E_TX_ACCOUNT_FULL, "half of the bytes");
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
    cr_assert_eq(add(1, 0, 110, 6), POA_E_TX_REPLACE);
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

static int add_until(uint32_t user, uint64_t nonce, uint64_t fee, uint64_t until)
{
    static uint8_t bytes[64][512];
    static uint32_t n;
    struct ops o = {.n = 0};
    struct poa_tx_view v;
    uint8_t id[32];
    struct poa_writer w = poa_writer_over(bytes[n++ % 64], 512);
    op_transfer(&o, c.address[4], 1);
    struct poa_list list = {poa_slice(o.bytes, o.n), o.count};
    cr_assert_eq(
        poa_tx_sign(c.id, POA_KEY_BIP340, c.user[user].seed, nonce, fee, until, &list, &w, id),
        POA_OK);
    cr_assert_eq(poa_tx_check(c.id, poa_written(&w), &v), POA_OK);
    return poa_mempool_add(m, c.l, POA_STATE_BASE, c.time_ms + 1, &v);
}

/* --- what is let go is told --------------------------------------------------------- */

static struct poa_tx_gone gone_tx[32];
static struct poa_tx_gone_list gone;

static void listen(uint32_t cap)
{
    gone = (struct poa_tx_gone_list){.tx = gone_tx, .cap = cap};
    poa_mempool_tell(m, &gone);
}

/* The transaction that was added as the K-th since the body was empty. */
static void id_of(uint32_t k, uint8_t id[32])
{
    memcpy(id, b.tx[k]->id, 32);
}

static void expect_gone(const uint8_t id[32], int code)
{
    for (uint32_t i = 0; i < gone.n; i++)
        if (!memcmp(gone.tx[i].id, id, 32)) {
            cr_assert_eq(gone.tx[i].code, code, "%s", poa_error_name(gone.tx[i].code));
            return;
        }
    cr_assert(false, "not told: %s", poa_error_name(code));
}

Test(mempool, tells_what_was_replaced_and_what_was_pushed_out)
{
    uint8_t id[3][32];
    open_pool(3, 10, 1 << 20);
    listen(32);
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(0, 0, 11, 5), POA_E_TX_REPLACE);
    cr_assert_eq(gone.n, 0, "what is refused is no concern of those that wait");
    id_of(0, id[0]);
    id_of(1, id[1]);
    cr_assert_eq(add(0, 0, 30, 5), POA_OK);
    cr_assert_eq(gone.n, 1);
    expect_gone(id[0], POA_E_TX_REPLACED);
    cr_assert_eq(add(2, 0, 30, 5), POA_OK);
    cr_assert_eq(add(3, 0, 30, 5), POA_OK); /* full: user 1 pays least */
    cr_assert_eq(gone.n, 2);
    expect_gone(id[1], POA_E_TX_EVICTED);
    close_pool();
}

Test(mempool, tells_what_expired_was_overtaken_or_failed_before_it)
{
    uint8_t id[8][32];
    struct ops o = {.n = 0};
    open_pool(100, 10, 1 << 20);
    listen(32);
    /* User 0: one too dear for what it has left, and one behind it. */
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    cr_assert_eq(add(0, 1, 10, 5), POA_OK);
    /* User 1: overtaken by another with its nonce. */
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    /* User 2: is executed, and told of as nothing. */
    cr_assert_eq(add(2, 0, 10, 5), POA_OK);
    for (uint32_t k = 0; k < 4; k++)
        id_of(k, id[k]);
    body_reset(&b);
    op_transfer(&o, c.address[4], 7);
    body_tx(&b, &c, 1, 0, 20, &o);
    memcpy(id[4], b.tx[0]->id, 32);
    struct poa_tx_result failed[2] = {{.code = POA_E_TX_BALANCE}, {.code = POA_OK}};
    block_add(&c, &b, 1000);
    memcpy(failed[0].id, id[0], 32);
    memcpy(failed[1].id, id[4], 32);
    poa_mempool_settle(m, c.l, failed, 2, c.time_ms);
    cr_assert_eq(gone.n, 2);
    expect_gone(id[1], POA_E_TX_NONCE_GAP);
    expect_gone(id[2], POA_E_TX_NONCE_USED);
    /* User 3: one that expires, and one behind it. */
    gone.n = 0;
    body_reset(&b);
    cr_assert_eq(add_until(3, 0, 10, c.time_ms + 500), POA_OK);
    cr_assert_eq(add(3, 1, 10, 5), POA_OK);
    id_of(0, id[5]);
    cr_assert_eq(take(1), 1); /* user 2's, which is executed */
    cr_assert(!memcmp(b.tx[0]->id, id[3], 32));
    settle(5000);
    cr_assert_eq(gone.n, 2);
    expect_gone(id[5], POA_E_TX_NONCE_GAP);
    cr_assert_eq(gone.tx[0].code, POA_E_TX_EXPIRED);
    cr_assert_eq(poa_mempool_count(m), 0);
    close_pool();
}

Test(mempool, tells_what_left_and_came_into_no_block)
{
    uint8_t id[32];
    open_pool(100, 10, 1 << 20);
    listen(1);
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    cr_assert_eq(add(0, 1, 10, 5), POA_OK);
    id_of(0, id);
    cr_assert_eq(take(2), 2);
    body_reset(&b);
    settle(30000);
    cr_assert_eq(gone.n, 0);
    settle(120000);
    cr_assert_eq(gone.n, 1, "no more than there is room for");
    expect_gone(id, POA_E_TX_LOST);
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
                cr_assert(e == POA_E_TX_POOL_FULL || e == POA_E_TX_ACCOUNT_FULL, "%s",
                          poa_error_name(e));
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

/* --- a full pool ---------------------------------------------------------------- */

/* One that may fail for what others do. */
static int add_anchor(uint32_t user, uint64_t nonce, uint64_t fee, uint8_t mark)
{
    struct ops o = {.n = 0};
    op_anchor(&o, mark);
    body_tx(&b, &c, user, nonce, fee, &o);
    return poa_mempool_add(m, c.l, POA_STATE_BASE, c.time_ms + 1, b.tx[b.txs - 1]);
}

/* Senders and nonces that wait, in order, as user * 10 + nonce. */
static void expect_waiting(const int *want, uint32_t n)
{
    cr_assert_eq(take(100), n);
    for (uint32_t i = 0; i < n; i++) {
        int user = 0;
        while (memcmp(b.tx[i]->tx.sender, c.address[user], 32))
            user++;
        cr_assert_eq(user * 10 + (int)b.tx[i]->tx.nonce, want[i], "%u", i);
    }
}

/* Users 0 to 3 only: the pool is full of few of them. */
Test(mempool, who_has_nothing_there_and_pays_a_tenth_more_gets_in)
{
    open_pool(4, 10, 1 << 20);
    cr_assert_eq(add(0, 0, 100, 5), POA_OK);
    cr_assert_eq(add(1, 0, 40, 5), POA_OK);
    cr_assert_eq(add(1, 1, 60, 5), POA_OK); /* 50 each */
    cr_assert_eq(add(1, 2, 1000, 5), POA_E_TX_ACCOUNT_FULL);
    cr_assert_eq(add(2, 0, 51, 5), POA_OK);
    cr_assert_eq(add(3, 0, 55, 5), POA_E_TX_POOL_FULL); /* a tenth more is 55: not above */
    cr_assert_eq(add(3, 0, 56, 5), POA_OK);
    cr_assert_eq(add(3, 1, 1000, 5), POA_E_TX_ACCOUNT_FULL); /* it has its place */
    expect_waiting((const int[]){0, 10, 20, 30}, 4); /* the last of user 1 left, not the first */
    close_pool();
}

Test(mempool, whoever_might_not_pay_pushes_nobody_out)
{
    open_pool(3, 10, 1 << 20);
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add_anchor(2, 0, 10, 1), POA_OK);
    /* An anchor fails when somebody else's comes first. */
    cr_assert_eq(add_anchor(3, 0, 100000, 2), POA_E_TX_POOL_FULL);
    /* One that expires soon may never be in a block. */
    cr_assert_eq(add_until(3, 0, 100000, c.time_ms + 30000), POA_E_TX_POOL_FULL);
    cr_assert_eq(add_until(3, 0, 100000, c.time_ms + 90000), POA_OK);
    cr_assert_eq(poa_mempool_count(m), 3);
    /* What got in so cannot be taken back for something that might not pay. */
    cr_assert_eq(add_anchor(3, 0, 200000, 2), POA_E_TX_REPLACE);
    cr_assert_eq(add(3, 0, 200000, 5), POA_OK);
    close_pool();
}

Test(mempool, a_rich_last_one_does_not_shield_poor_ones)
{
    open_pool(5, 10, 1 << 20);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 70, 5), POA_OK); /* 40 each */
    cr_assert_eq(add(2, 0, 50, 5), POA_OK);
    cr_assert_eq(add(2, 1, 50, 5), POA_OK);
    cr_assert_eq(add(0, 0, 50, 5), POA_OK);
    cr_assert_eq(add(3, 0, 45, 5), POA_OK);
    expect_waiting((const int[]){10, 20, 0, 30, 21}, 5);
    close_pool();
}

Test(mempool, nobody_pushes_out_what_is_in_a_batch)
{
    open_pool(2, 10, 1 << 20);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(0, 0, 10, 5), POA_OK);
    cr_assert_eq(take(2), 2);
    cr_assert_eq(add(2, 0, 1000, 5), POA_E_TX_POOL_FULL);
    close_pool();
}

Test(mempool, room_is_made_in_bytes_too_and_only_when_it_is_enough)
{
    open_pool(100, 10, 128 * 8); /* four transfers of two pieces */
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 5), POA_OK);
    cr_assert_eq(add(0, 0, 30, 5), POA_OK);
    struct ops o = {.n = 0};
    for (int i = 0; i < 20; i++)
        op_transfer(&o, c.address[4], 1);
    body_tx(&b, &c, 3, 0, 1000000, &o); /* more than user 1 has */
    cr_assert_eq(poa_mempool_add(m, c.l, POA_STATE_BASE, c.time_ms + 1, b.tx[b.txs - 1]),
                 POA_E_TX_POOL_FULL);
    cr_assert_eq(poa_mempool_count(m), 3);
    o = (struct ops){.n = 0};
    for (int i = 0; i < 9; i++)
        op_transfer(&o, c.address[4], 1);
    body_tx(&b, &c, 2, 0, 1000, &o); /* five or six pieces, two are free: two must leave */
    cr_assert_eq(poa_mempool_add(m, c.l, POA_STATE_BASE, c.time_ms + 1, b.tx[b.txs - 1]), POA_OK);
    expect_waiting((const int[]){0, 20}, 2);
    close_pool();
}

Test(mempool, a_replacement_leaves_enough_for_those_behind_it)
{
    open_pool(100, 10, 1 << 20);
    cr_assert_eq(add(1, 0, 10, 5), POA_OK);
    cr_assert_eq(add(1, 1, 10, 900000000), POA_OK);
    cr_assert_eq(add(1, 0, 20, 99999971), POA_E_TX_BALANCE);
    cr_assert_eq(add(1, 0, 20, 99999970), POA_OK);
    close_pool();
}

/* Random traffic into a small pool: it never shrinks by what comes in, and who gets
 * into a full one pays more than who leaves. */
Test(mempool, a_full_pool_only_gets_richer)
{
    struct random r = {0x777};
    uint32_t in = 0, refused = 0;
    for (int round = 0; round < 400; round++) {
        open_pool(3, 6, 1 << 20);
        for (int i = 0; i < 12; i++) {
            uint32_t user = (uint32_t)random_below(&r, 4), before = poa_mempool_count(m);
            uint64_t fee = 10 + random_below(&r, 1000);
            int e = random_below(&r, 6) ? add(user, random_below(&r, 2), fee, 1)
                                        : add_anchor(user, random_below(&r, 2), fee, (uint8_t)i);
            uint32_t after = poa_mempool_count(m);
            cr_assert(after <= 3 && after >= before && (!e || after == before), "%s",
                      poa_error_name(e));
            in += !e && before == 3;
            refused += e == POA_E_TX_POOL_FULL;
        }
        uint32_t n = poa_mempool_count(m);
        cr_assert_eq(take(100), n);
        poa_mempool_clear(m);
        cr_assert_eq(poa_mempool_count(m), 0);
        close_pool();
    }
    cr_assert(in > 20 && refused > 20, "%u %u", in, refused);
}
