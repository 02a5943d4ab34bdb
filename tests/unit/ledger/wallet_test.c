/* The wallet of a device: what it signs, the ledger takes. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_keys.h"
#include "poa_wallet.h"

static const uint8_t chain[32] = {0xc4, 1, 2, 3}, seed[32] = {7}, to[32] = {9};
static uint8_t key[32];

static void keys(void)
{
    cr_assert_eq(poa_crypto_init(), POA_OK);
    poa_ed25519_public(seed, key);
}

TestSuite(wallet, .init = keys);

Test(wallet, a_payment_is_a_valid_transaction)
{
    uint8_t bytes[POA_WALLET_PAY_BYTES], id[32], address[32], other[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_payment p = {5, 10, 1700000000000};
    struct poa_tx_view v;
    struct poa_op op;
    struct poa_op_transfer t;
    cr_assert_eq(poa_wallet_pay(chain, seed, key, &p, to, 1234, &w, id), POA_OK);
    cr_assert_eq(w.n, sizeof bytes);
    cr_assert_eq(poa_tx_check(chain, poa_written(&w), &v), POA_OK);
    cr_assert_eq(memcmp(v.id, id, 32), 0);
    cr_assert_eq(v.tx.nonce, 5);
    cr_assert_eq(v.tx.fee, 10);
    cr_assert_eq(v.tx.valid_until, p.valid_until_ms);
    poa_wallet_address(key, address);
    cr_assert_eq(memcmp(v.tx.sender, address, 32), 0);
    poa_address_of_key(POA_KEY_ED25519, key, other);
    cr_assert_eq(memcmp(other, address, 32), 0);
    struct poa_list_iter it = poa_list_begin(&v.tx.ops);
    cr_assert(poa_op_next(&it, &op));
    cr_assert_eq(op.kind, POA_OP_TRANSFER);
    cr_assert_eq(poa_op_transfer_decode(op.body, &t), POA_OK);
    cr_assert_eq(t.amount, 1234);
    cr_assert_eq(t.asset, 0);
    cr_assert_eq(memcmp(t.to, to, 32), 0);
    for (size_t i = 0; i < w.n; i++) {
        bytes[i] ^= 1;
        cr_assert_neq(poa_tx_check(chain, poa_written(&w), &v), POA_OK, "byte %zu", i);
        bytes[i] ^= 1;
    }
}

Test(wallet, what_cannot_be_is_refused)
{
    uint8_t bytes[POA_WALLET_PAY_BYTES], id[32];
    struct poa_payment p = {0, 1, 0};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_wallet_pay(chain, seed, key, &p, to, 0, &w, id), POA_E_TX_AMOUNT_ZERO);
    cr_assert_eq(w.n, 0);
    w = poa_writer_over(bytes, sizeof bytes - 1);
    cr_assert_eq(poa_wallet_pay(chain, seed, key, &p, to, 1, &w, id), POA_E_BUFFER);
}

Test(wallet, proven_entries_are_read)
{
    uint8_t bytes[512];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_st_account a = {.balance = 77, .nonce = 3}, b;
    struct poa_st_device d = {.index = 4, .maker = 2, .sealed = 9, .assigned = 10}, e;
    cr_assert_eq(poa_st_account_encode(&w, &a), POA_OK);
    cr_assert_eq(poa_wallet_account(poa_written(&w), &b), POA_OK);
    cr_assert_eq(b.balance, 77);
    cr_assert_eq(b.nonce, 3);
    cr_assert_eq(poa_wallet_account(poa_slice(NULL, 0), &b), POA_E_NOT_FOUND);
    w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_st_device_encode(&w, &d), POA_OK);
    cr_assert_eq(poa_wallet_peer(poa_written(&w), &e), POA_OK);
    cr_assert_eq(e.sealed, 9);
    cr_assert_eq(e.maker, 2);
    cr_assert_eq(poa_wallet_peer(poa_slice(bytes, w.n - 1), &e), POA_E_TRUNCATED);
    cr_assert_eq(poa_wallet_peer(poa_slice(NULL, 0), &e), POA_E_NOT_FOUND);
}
