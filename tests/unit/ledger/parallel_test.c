/* The tree of one block by several threads: the same root as by one, whatever is
 * made, changed and deleted, and nothing is lost when the block is dropped. */
#include <pthread.h>

#include "support.h"

#define ACCOUNTS 1100u /* three changes each: enough for helpers */
#define COIN     7u
#define SUPPLY   ((uint64_t)2 * ACCOUNTS)
#define BLOCKS   4u
#define THREADS  4u

static struct chain c;
static struct body b;
static uint32_t parts; /* handed out so far */

struct tasks {
    void (*task)(void *arg, uint32_t i);
    void *arg;
    uint32_t n, next;
};

static void *some(void *arg)
{
    struct tasks *t = arg;
    for (uint32_t i; (i = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) < t->n;)
        t->task(t->arg, i);
    return NULL;
}

static void threads(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    struct tasks t = {task, arg, n, 0};
    pthread_t thread[THREADS];
    (void)ctx;
    parts += n;
    for (uint32_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, some, &t), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void backwards(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    (void)ctx;
    for (parts += n; n;)
        task(arg, --n);
}

static void secret_of(uint32_t i, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_SIM, &i, sizeof i, out);
}

static void address_of(uint32_t i, uint8_t out[32])
{
    static uint8_t known[ACCOUNTS][32];
    if (!known[i][0]) {
        uint8_t secret[32], pk[32];
        secret_of(i, secret);
        cr_assert_eq(poa_key_public(POA_KEY_BIP340, secret, pk), POA_OK);
        poa_address_of_key(POA_KEY_BIP340, pk, known[i]);
    }
    memcpy(out, known[i], 32);
}

static void pay(struct ops *o, const uint8_t to[32], uint32_t asset, uint64_t amount)
{
    struct poa_op_transfer t = {.asset = asset, .amount = amount};
    memcpy(t.to, to, 32);
    op_raw(o, POA_OP_TRANSFER, &poa_op_transfer_record, &t);
}

/* Everybody gets coins and money. */
static void give_all(void)
{
    struct ops o = {.n = 0};
    uint64_t nonce = chain_nonce(&c, 1);
    body_reset(&b);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        uint8_t to[32];
        address_of(i, to);
        pay(&o, to, 0, 1000);
        pay(&o, to, COIN, 1);
        if (o.count == 64 || i + 1 == ACCOUNTS) {
            body_tx(&b, &c, 1, nonce++, 10, &o);
            o = (struct ops){.n = 0};
        }
    }
}

/* Everybody spends the coin, which leaves the state, and pays somebody new; in the
 * next ROUND the coins come back. */
static void spend_all(uint32_t round)
{
    body_reset(&b);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        struct ops o = {.n = 0};
        uint8_t secret[32], other[32], id[32];
        uint32_t number = round * ACCOUNTS + i;
        poa_hash(POA_DOMAIN_SIM, &number, sizeof number, other);
        pay(&o, other, 0, 1);
        pay(&o, c.address[2], COIN, 1);
        secret_of(i, secret);
        struct poa_writer w = poa_writer_over(b.bytes + b.used, sizeof b.bytes - b.used);
        struct poa_list list = {poa_slice(o.bytes, o.n), o.count};
        cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, secret, round - 1, 10, 0, &list, &w, id),
                     POA_OK);
        cr_assert_eq(poa_tx_parse(c.id, poa_written(&w), &b.view[b.txs]), POA_OK);
        b.used += w.n;
        b.tx[b.txs] = &b.view[b.txs];
        b.txs++;
    }
}

/* Executes it many times in vain: a dropped block gives all back. */
static void drop_some(uint64_t time)
{
    struct poa_block_result r;
    struct poa_slice body;
    poa_state_id s;
    size_t calls = 0;
    for (int i = 0; i < 20; i++) {
        int e;
        do {
            cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
            struct poa_header h = header_next(&c, POA_STATE_BASE, &b, time, &body);
            e = block_try(&c, POA_STATE_BASE, &h, body, &b, &s, &r);
        } while (e == POA_E_FULL);
        cr_assert_eq(e, POA_OK);
        poa_ledger_drop(c.l, s);
        if (i == 1)
            calls = c.memory.calls;
    }
    cr_assert_eq(c.memory.calls, calls, "each dropped block takes more memory");
}

static void run(void (*parallel)(void *ctx, void (*task)(void *arg, uint32_t i), void *arg,
                                 uint32_t n),
                uint8_t root[BLOCKS][32])
{
    struct setup s = setup_default();
    chain_open(&c, &s);
    poa_ledger_free(c.l);
    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(&c.memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n),
                                       .parallel = parallel};
    cr_assert_eq(poa_ledger_new(&config, &c.l), POA_OK);
    parts = 0;
    struct ops o = {.n = 0};
    struct poa_op_asset coin = {
        .asset = COIN, .name = poa_slice("coin", 4), .supply = SUPPLY, .max = SUPPLY};
    op_raw(&o, POA_OP_ASSET_CREATE, &poa_op_asset_record, &coin);
    cr_assert_eq(chain_run(&c, 1, 10, &o, 100, NULL), POA_OK);
    for (uint32_t k = 0; k < BLOCKS; k++) {
        uint64_t time = c.time_ms - c.s.g.time_ms + 100;
        if (k % 2 == 0)
            give_all();
        else
            spend_all(k / 2 + 1);
        drop_some(time);
        struct poa_block_result r = block_add(&c, &b, time);
        cr_assert_eq(r.failed, 0, "block %u: %u failed", k, (unsigned)r.failed);
        root_of(&c, POA_STATE_BASE, root[k]);
        cr_assert(audit(&c));
    }
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), SUPPLY);
    chain_close(&c);
}

Test(parallel, a_block_has_one_root_whoever_makes_its_tree, .timeout = 300)
{
    uint8_t alone[BLOCKS][32], other[BLOCKS][32];
    run(NULL, alone);
    cr_assert_eq(parts, 0);
    run(backwards, other);
    cr_assert_arr_eq(other, alone, sizeof alone);
    cr_assert_gt(parts, BLOCKS * 4, "helpers were asked");
    run(threads, other);
    cr_assert_arr_eq(other, alone, sizeof alone);
    cr_assert_gt(parts, BLOCKS * 4);
}
