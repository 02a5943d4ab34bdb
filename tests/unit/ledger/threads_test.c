/* Readers of the base beside an owner that executes, applies, reserves and
 * checkpoints: what they read is always one consistent state. Run under TSan. */
#include <pthread.h>
#include <stdatomic.h>

#include "support.h"

static struct chain c;
static struct body b;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static atomic_bool stop;
static atomic_uint reads;

static void write_begin(void *ctx)
{
    (void)ctx;
    pthread_rwlock_wrlock(&lock);
}

static void write_end(void *ctx)
{
    (void)ctx;
    pthread_rwlock_unlock(&lock);
}

static void *reader(void *arg)
{
    struct random r = {(uintptr_t)arg};
    static _Thread_local uint8_t bytes[POA_PROOF_BYTES_MAX];
    while (!stop) {
        struct poa_slice value = {NULL, 0};
        struct poa_st_global g;
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        uint8_t root[32], key[32] = {0};
        uint32_t user = (uint32_t)random_below(&r, USERS + 2);
        poa_put_le32(key, (uint32_t)random_below(&r, 3000));
        poa_hash(POA_DOMAIN_SIM, key, 4, key);
        if (user < USERS)
            memcpy(key, c.address[user], 32);
        pthread_rwlock_rdlock(&lock);
        poa_ledger_global(c.l, POA_STATE_BASE, &g);
        poa_ledger_root(c.l, POA_STATE_BASE, root);
        int e = poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, key, 32, &value);
        cr_assert(e == POA_OK || e == POA_E_NOT_FOUND);
        cr_assert_eq(poa_ledger_prove(c.l, POA_STATE_ACCOUNT, key, 32, &w), POA_OK);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, key, 32, value, poa_written(&w)),
                     POA_OK);
        pthread_rwlock_unlock(&lock);
        reads++;
    }
    return NULL;
}

static int ignore(void *ctx, const struct poa_entry *e)
{
    (void)ctx;
    (void)e;
    return POA_OK;
}

Test(threads, readers_see_one_state)
{
    struct setup s = setup_default();
    pthread_t thread[2];
    struct poa_ledger *plain;
    struct counting memory = {0};
    chain_open(&c, &s);
    plain = c.l;
    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(&memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n),
                                       .write_begin = write_begin,
                                       .write_end = write_end};
    cr_assert_eq(poa_ledger_new(&config, &c.l), POA_OK);
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, reader, (void *)(i + 1));
    uint64_t nonce = 0;
    for (uint32_t h = 0; h < 40 || reads < 100; h++) {
        body_reset(&b);
        for (int t = 0; t < 2; t++) { /* new accounts: the tables grow and move */
            struct ops o = {.n = 0};
            for (int k = 0; k < 40; k++) {
                uint8_t to[32] = {0};
                poa_put_le32(to, (uint32_t)(nonce * 40) + (uint32_t)k);
                poa_hash(POA_DOMAIN_SIM, to, 4, to);
                op_transfer(&o, to, 1);
            }
            body_tx(&b, &c, 1, nonce++, 10, &o);
        }
        block_add(&c, &b, 300 * h + 300);
        if (h % 5 == 0) {
            cr_assert_eq(poa_ledger_changes(c.l, ignore, NULL), POA_OK);
            poa_ledger_checkpointed(c.l);
        }
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    cr_assert(audit(&c));
    poa_ledger_free(c.l);
    c.l = plain;
    chain_close(&c);
}
