/* Transactions signed one after another: any order gives the same bytes, and
 * nobody signs twice or for an account that is not theirs. */
#include "support.h"

static struct chain c;
static uint8_t policy_keys[3 * 33];

static struct poa_policy policy_of(uint8_t m, uint64_t limit)
{
    for (int i = 0; i < 3; i++) {
        policy_keys[33 * i] = i == 1 ? POA_KEY_ED25519 : POA_KEY_BIP340;
        if (i == 1)
            poa_ed25519_public(c.user[i].seed, policy_keys + 34);
        else
            memcpy(policy_keys + 33 * i + 1, c.user[i].pk, 32);
    }
    return (struct poa_policy){.m = m, .limit = limit, .keys = {poa_slice(policy_keys, 99), 3}};
}

static uint8_t type_of(int user)
{
    return user == 1 ? POA_KEY_ED25519 : POA_KEY_BIP340;
}

/* The bytes after USERS have signed in that order; the code of the last. */
static int sign_all(const struct poa_policy *p, const int *users, size_t n, uint8_t *bytes,
                    size_t *len)
{
    static uint8_t other[4096];
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[2], 90);
    struct poa_list list = {poa_slice(o.bytes, o.n), o.count};
    struct poa_writer w = poa_writer_over(bytes, 4096);
    cr_assert_eq(poa_tx_unsigned(c.id, p, 0, 10, 0, &list, &w), POA_OK);
    *len = w.n;
    int e = POA_OK;
    for (size_t i = 0; !e && i < n; i++) {
        struct poa_writer more = poa_writer_over(other, sizeof other);
        e = poa_tx_cosign(c.id, poa_slice(bytes, *len), type_of(users[i]), c.user[users[i]].seed,
                          &more);
        if (!e) {
            memcpy(bytes, other, more.n);
            *len = more.n;
        }
    }
    return e;
}

Test(build, signatures_come_in_any_order)
{
    static uint8_t a[4096], b[4096];
    struct setup s = setup_default();
    struct poa_tx_view v;
    size_t a_n, b_n;
    chain_open(&c, &s);
    struct poa_policy p = policy_of(2, 100);
    cr_assert_eq(sign_all(&p, (int[]){0, 2}, 2, a, &a_n), POA_OK);
    cr_assert_eq(sign_all(&p, (int[]){2, 0}, 2, b, &b_n), POA_OK);
    cr_assert(a_n == b_n && !memcmp(a, b, a_n));
    cr_assert_eq(poa_tx_check(c.id, poa_slice(a, a_n), &v), POA_OK);
    cr_assert_eq(sign_all(&p, (int[]){1, 2}, 2, a, &a_n), POA_OK); /* Ed25519 beside BIP340 */
    cr_assert_eq(poa_tx_check(c.id, poa_slice(a, a_n), &v), POA_OK);
    cr_assert_eq(sign_all(&p, (int[]){0}, 1, a, &a_n), POA_OK); /* within the limit */
    cr_assert_eq(poa_tx_check(c.id, poa_slice(a, a_n), &v), POA_OK);
    cr_assert_eq(sign_all(&p, (int[]){1}, 1, a, &a_n), POA_OK); /* not the first key */
    cr_assert_eq(poa_tx_check(c.id, poa_slice(a, a_n), &v), POA_E_TX_SIGNATURE);
    cr_assert_eq(sign_all(&p, (int[]){0, 1, 2}, 3, a, &a_n), POA_OK); /* one too many */
    cr_assert_eq(poa_tx_check(c.id, poa_slice(a, a_n), &v), POA_E_TX_SIGNATURE);
    cr_assert_eq(sign_all(&p, (int[]){0, 0}, 2, a, &a_n), POA_E_EXISTS);
    cr_assert_eq(sign_all(&p, (int[]){3}, 1, a, &a_n), POA_E_TX_SENDER);

    /* One key: what poa_tx_sign makes. */
    uint8_t one[33] = {POA_KEY_BIP340}, id[32];
    memcpy(one + 1, c.user[0].pk, 32);
    p = (struct poa_policy){.m = 1, .keys = {poa_slice(one, 33), 1}};
    cr_assert_eq(sign_all(&p, (int[]){0}, 1, a, &a_n), POA_OK);
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[2], 90);
    struct poa_list list = {poa_slice(o.bytes, o.n), o.count};
    struct poa_writer w = poa_writer_over(b, sizeof b);
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[0].seed, 0, 10, 0, &list, &w, id),
                 POA_OK);
    cr_assert(w.n == a_n && !memcmp(a, b, a_n));
    chain_close(&c);
}

Test(build, an_account_that_cannot_be_is_refused)
{
    uint8_t bytes[4096], other[32] = {1};
    struct setup s = setup_default();
    struct poa_list none = {.count = 0};
    chain_open(&c, &s);
    struct poa_policy p = policy_of(4, 0);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_tx_unsigned(c.id, &p, 0, 10, 0, &none, &w), POA_E_RANGE);
    p = policy_of(2, 0);
    size_t n;
    cr_assert_eq(sign_all(&p, NULL, 0, bytes, &n), POA_OK);
    w = poa_writer_over(bytes + 2048, 2048);
    cr_assert_eq(poa_tx_cosign(other, poa_slice(bytes, n), POA_KEY_BIP340, c.user[0].seed, &w),
                 POA_E_TX_CHAIN);
    for (size_t cut = 0; cut < n; cut++)
        cr_assert_eq(poa_tx_cosign(c.id, poa_slice(bytes, cut), POA_KEY_BIP340, c.user[0].seed, &w),
                     POA_E_TX_MALFORMED);
    chain_close(&c);
}
