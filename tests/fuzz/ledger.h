/* A small chain for targets that need one: witnesses with identities 1.., one
 * maker (20), devices 30.., accounts of the identities 40.. (Ed25519). */
#ifndef FUZZ_LEDGER_H
#define FUZZ_LEDGER_H

#include "poa_ledger.h"
#include "suite.h"

#define FUZZ_GENESIS_MS 1000000u
#define FUZZ_MAKER      20
#define FUZZ_DEVICES    6
#define FUZZ_ACCOUNTS   4
#define FUZZ_BALANCE    1000000000u

static inline void fuzz_account(uint8_t i, uint8_t address32[32])
{
    uint8_t seed[32], key[32];
    fuzz_identity((uint8_t)(40 + i), seed, key);
    poa_address_of_key(POA_KEY_ED25519, key, address32);
}

static inline int fuzz_order(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Encodes a genesis whose devices are attested by SUITE. */
static inline void fuzz_genesis_write(const struct poa_suite *suite, uint8_t witnesses,
                                      struct poa_writer *out)
{
    static uint8_t accounts[FUZZ_ACCOUNTS][40], sub[4][4096];
    struct poa_writer w[4];
    struct poa_genesis g = {.version = 1,
                            .name = {(const uint8_t *)"fuzz", 4},
                            .devnet = 1,
                            .time_ms = FUZZ_GENESIS_MS,
                            .slot_ms = 1000,
                            .block_min_ms = 1,
                            .heartbeat_ms = 500,
                            .timeout_ms = 1000,
                            .timeout_max_ms = 8000,
                            .drift_ms = 5000,
                            .epoch_views = 8,
                            .policy = POA_POLICY_VRF,
                            .window_slots = 4,
                            .seats_per_slot = 4,
                            .seal_slots = 16,
                            .subsidy = 1000,
                            .halving_slots = 1000000,
                            .miner_bp = 5000,
                            .sealers_bp = 4000,
                            .tip = 1,
                            .fee_min = 1};
    fuzz_account(0, g.steering);
    fuzz_account(1, g.treasury);
    for (int i = 0; i < 4; i++)
        w[i] = poa_writer_over(sub[i], sizeof sub[i]);
    for (uint8_t i = 0; i < FUZZ_ACCOUNTS; i++) {
        fuzz_account(i, accounts[i]);
        poa_put_le64(accounts[i] + 32, FUZZ_BALANCE);
    }
    qsort(accounts, FUZZ_ACCOUNTS, sizeof accounts[0], fuzz_order);
    g.accounts = (struct poa_list){poa_slice(accounts, sizeof accounts), FUZZ_ACCOUNTS};
    uint8_t maker_seed[32];
    struct poa_op_maker maker = {.maker = 1, .name = {(const uint8_t *)"maker", 5}};
    fuzz_identity(FUZZ_MAKER, maker_seed, maker.key);
    FUZZ_CHECK(!poa_op_maker_encode(&w[1], &maker));
    g.makers = (struct poa_list){poa_written(&w[1]), 1};
    for (uint8_t i = 1; i <= witnesses; i++) {
        struct poa_op_witness x = {
            .maker = i, .region = i, .provider = i, .name = {(const uint8_t *)"witness", 7}};
        uint8_t seed[32];
        fuzz_identity(i, seed, x.key);
        fuzz_account(2, x.payout);
        FUZZ_CHECK(!poa_op_witness_encode(&w[2], &x));
    }
    g.witnesses = (struct poa_list){poa_written(&w[2]), witnesses};
    static struct poa_op_device device[FUZZ_DEVICES];
    static const uint8_t no_chain[32];
    for (uint8_t i = 0; i < FUZZ_DEVICES; i++) {
        uint8_t seed[32];
        device[i] = (struct poa_op_device){.maker = 1, .region = i};
        fuzz_account(3, device[i].payout);
        fuzz_account(3, device[i].owner);
        fuzz_identity((uint8_t)(30 + i), seed, device[i].device);
        poa_device_attest(suite, no_chain, maker_seed, seed, &device[i]);
    }
    qsort(device, FUZZ_DEVICES, sizeof device[0], fuzz_order);
    for (uint8_t i = 0; i < FUZZ_DEVICES; i++)
        FUZZ_CHECK(!poa_op_device_encode(&w[3], &device[i]));
    g.devices = (struct poa_list){poa_written(&w[3]), FUZZ_DEVICES};
    FUZZ_CHECK(!poa_genesis_encode(out, &g));
}

/* The one of the weak suite, made once. */
static inline struct poa_slice fuzz_genesis(uint8_t witnesses)
{
    static uint8_t bytes[16384];
    static size_t n;
    static uint8_t made;
    if (made != witnesses) {
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        fuzz_genesis_write(&fuzz_suite, witnesses, &w);
        n = w.n;
        made = witnesses;
    }
    return poa_slice(bytes, n);
}

static inline void *fuzz_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return calloc(1, bytes);
}
static inline void fuzz_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}
static const struct poa_alloc fuzz_allocator = {fuzz_alloc, fuzz_free, NULL};

static inline struct poa_ledger *fuzz_ledger(uint8_t witnesses)
{
    const struct poa_ledger_config c = {.suite = &fuzz_suite,
                                        .alloc = fuzz_allocator,
                                        .genesis = fuzz_genesis(witnesses),
                                        .salt = 1};
    struct poa_ledger *l = NULL;
    FUZZ_CHECK(!poa_ledger_new(&c, &l));
    return l;
}

/* A transfer of account I, signed. */
static inline size_t fuzz_transfer(const uint8_t chain32[32], uint8_t i, uint64_t nonce,
                                   uint64_t amount, uint8_t *out, size_t cap, uint8_t id32[32])
{
    uint8_t seed[32], key[32], body[128], ops[256];
    struct poa_op_transfer t = {.amount = amount};
    struct poa_writer w = poa_writer_over(body, sizeof body), o = poa_writer_over(ops, sizeof ops),
                      tx = poa_writer_over(out, cap);
    fuzz_identity((uint8_t)(40 + i), seed, key);
    fuzz_account(1, t.to);
    FUZZ_CHECK(!poa_op_transfer_encode(&w, &t));
    const struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    FUZZ_CHECK(!poa_op_encode(&o, &op));
    const struct poa_list list = {poa_written(&o), 1};
    FUZZ_CHECK(!poa_tx_sign(chain32, POA_KEY_ED25519, seed, nonce, 10, 0, &list, &tx, id32));
    return tx.n;
}

#endif
