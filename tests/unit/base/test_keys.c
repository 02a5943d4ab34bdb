/* BIP340, policies and their addresses, bech32m text. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "poa_base.h"

#define MANY 16

struct wallet {
    uint8_t bytes[33 * (MANY + 1)];
    struct poa_policy policy;
};

/* M of N keys: key i is 32 times the byte i + 1, types alternate. */
static void wallet(struct wallet *w, uint8_t m, uint32_t n, uint64_t limit)
{
    for (uint32_t i = 0; i < n; i++) {
        w->bytes[33 * i] = (uint8_t)(1 + i % 2);
        memset(w->bytes + 33 * i + 1, (int)i + 1, 32);
    }
    w->policy.m = m;
    w->policy.limit = limit;
    w->policy.keys.bytes = poa_slice(w->bytes, 33 * (size_t)n);
    w->policy.keys.count = n;
}

Test(base_keys, policy_size_is_what_the_header_says)
{
    cr_assert_eq(poa_record_max_size(&poa_policy_record), POA_POLICY_BYTES_MAX);
    cr_assert_eq(poa_record_fixed_size(&poa_policy_key_record), 33);
}

Test(base_keys, policy_rules)
{
    struct wallet w;
    uint8_t address[32];
    wallet(&w, 1, 1, 0);
    cr_assert_eq(poa_policy_check(&w.policy), POA_OK);
    wallet(&w, 0, 1, 0);
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_RANGE, "m is 0");
    wallet(&w, 2, 1, 0);
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_RANGE, "m above the keys");
    wallet(&w, 1, 0, 0);
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_RANGE, "no key");
    wallet(&w, 1, 2, 5);
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_NOT_CANONICAL, "limit without use");
    wallet(&w, 2, 3, 5);
    cr_assert_eq(poa_policy_check(&w.policy), POA_OK);
    wallet(&w, 16, 16, 0);
    cr_assert_eq(poa_address_of(&w.policy, address), POA_OK);
    wallet(&w, 2, 17, 0);
    cr_assert_eq(poa_address_of(&w.policy, address), POA_E_RANGE, "17 keys");
    wallet(&w, 2, 3, 0);
    memcpy(w.bytes + 66, w.bytes, 33);
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_NOT_CANONICAL, "a key twice");
    w.bytes[66] = 2; /* the same bytes of another type are another key */
    cr_assert_eq(poa_policy_check(&w.policy), POA_OK);
    w.bytes[66] = 0;
    cr_assert_eq(poa_policy_check(&w.policy), POA_E_RANGE, "type 0");
}

Test(base_keys, address_commits_to_everything)
{
    struct wallet w;
    uint8_t a[32], b[32];
    wallet(&w, 2, 3, 7);
    cr_assert_eq(poa_address_of(&w.policy, a), POA_OK);
    w.policy.m = 3;
    cr_assert_eq(poa_address_of(&w.policy, b), POA_OK);
    cr_assert_neq(memcmp(a, b, 32), 0, "m");
    wallet(&w, 2, 3, 8);
    cr_assert_eq(poa_address_of(&w.policy, b), POA_OK);
    cr_assert_neq(memcmp(a, b, 32), 0, "limit");
    for (size_t i = 0; i < 3; i++) {
        wallet(&w, 2, 3, 7);
        w.bytes[33 * i + 20] ^= 1;
        cr_assert_eq(poa_address_of(&w.policy, b), POA_OK);
        cr_assert_neq(memcmp(a, b, 32), 0, "key %zu", i);
    }
}

Test(base_keys, address_of_one_key_is_its_policy)
{
    struct wallet w;
    uint8_t a[32], b[32], key[32];
    wallet(&w, 1, 1, 0);
    memset(key, 1, 32);
    poa_address_of_key(POA_KEY_BIP340, key, a);
    cr_assert_eq(poa_address_of(&w.policy, b), POA_OK);
    cr_assert_eq(memcmp(a, b, 32), 0);
    poa_address_of_key(POA_KEY_ED25519, key, b);
    cr_assert_neq(memcmp(a, b, 32), 0, "the type counts");
}

static enum poa_address_fault fault_of(const char *text)
{
    uint8_t out[32];
    enum poa_address_fault fault;
    int rc = poa_address_from_text(text, out, &fault);
    cr_assert_eq(rc, fault == POA_ADDRESS_FINE ? POA_OK : POA_E_TEXT);
    cr_assert_neq(strlen(poa_address_fault_text(fault)), 0);
    return fault;
}

Test(base_keys, address_text_round_trip)
{
    /* Checked against the reference encoder of BIP350. */
    static const char want[] = "poa1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0skx3f83";
    uint8_t address[32], back[32];
    char text[POA_ADDRESS_TEXT_BYTES];
    for (uint8_t i = 0; i < 32; i++)
        address[i] = i;
    poa_address_to_text(address, text);
    cr_assert_str_eq(text, want);
    cr_assert_eq(poa_address_from_text(text, back, NULL), POA_OK);
    cr_assert_eq(memcmp(address, back, 32), 0);
    for (char *c = text; *c != '\0'; c++)
        *c = (char)toupper(*c);
    cr_assert_eq(poa_address_from_text(text, back, NULL), POA_OK, "all upper case, for QR codes");
    cr_assert_eq(memcmp(address, back, 32), 0);
}

Test(base_keys, address_faults_are_told_apart)
{
    static const char good[] = "poa1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0skx3f83";
    char text[80];
    cr_assert_eq(fault_of(good), POA_ADDRESS_FINE);
    cr_assert_eq(fault_of(""), POA_ADDRESS_PREFIX);
    cr_assert_eq(fault_of("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), POA_ADDRESS_PREFIX);
    memcpy(text, good, sizeof good);
    text[61] = '\0';
    cr_assert_eq(fault_of(text), POA_ADDRESS_LENGTH);
    snprintf(text, sizeof text, "%sq", good);
    cr_assert_eq(fault_of(text), POA_ADDRESS_LENGTH);
    memcpy(text, good, sizeof good);
    text[10] = 'C';
    cr_assert_eq(fault_of(text), POA_ADDRESS_CASE);
    text[10] = 'b';
    cr_assert_eq(fault_of(text), POA_ADDRESS_CHARACTER);
    text[10] = '\x80';
    cr_assert_eq(fault_of(text), POA_ADDRESS_CHARACTER);
}

Test(base_keys, every_mistyped_character_and_swap_is_noticed)
{
    static const char good[] = "poa1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0skx3f83";
    static const char digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    char text[sizeof good];
    for (size_t i = 4; i < sizeof good - 1; i++) {
        memcpy(text, good, sizeof good);
        for (const char *d = digits; *d != '\0'; d++) {
            text[i] = *d;
            cr_assert_eq(fault_of(text), *d == good[i] ? POA_ADDRESS_FINE : POA_ADDRESS_CHECKSUM);
        }
        memcpy(text, good, sizeof good);
        text[i] = good[i - 1];
        text[i - 1] = good[i];
        if (i > 4 && text[i] != text[i - 1])
            cr_assert_eq(fault_of(text), POA_ADDRESS_CHECKSUM, "swap at %zu", i);
    }
}

Test(base_keys, padding_must_be_zero)
{
    /* The address of 32 zero bytes with 1 in the padding and a right checksum. */
    cr_assert_eq(fault_of("poa1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpzyw766"),
                 POA_ADDRESS_PADDING);
}

Test(base_keys, bip340_refusals)
{
    uint8_t sk[32] = {0}, pk[32], sig[64];
    cr_assert_eq(poa_bip340_public(sk, pk), POA_E_KEY, "zero");
    memset(sk, 0xff, 32);
    cr_assert_eq(poa_bip340_public(sk, pk), POA_E_KEY, "above the order");
    cr_assert_eq(poa_bip340_sign(sk, "m", 1, NULL, sig), POA_E_KEY);
    memset(sk, 1, 32);
    cr_assert_eq(poa_bip340_public(sk, pk), POA_OK);
    cr_assert_eq(poa_bip340_sign(sk, "m", 1, NULL, sig), POA_OK);
    cr_assert_eq(poa_bip340_verify(pk, "m", 1, sig), POA_OK);
    cr_assert_eq(poa_bip340_verify(pk, "n", 1, sig), POA_E_SIGNATURE);
    sig[5] ^= 1;
    cr_assert_eq(poa_bip340_verify(pk, "m", 1, sig), POA_E_SIGNATURE);
    memset(pk, 0xff, 32);
    cr_assert_eq(poa_bip340_verify(pk, "m", 1, sig), POA_E_KEY, "x is not below p");
}

Test(base_keys, signer_gives_the_same_signature)
{
    uint8_t sk[32] = {9}, one[64], two[64];
    struct poa_bip340_signer s;
    cr_assert_eq(poa_bip340_signer_init(&s, sk), POA_OK);
    cr_assert_eq(poa_bip340_signer_sign(&s, "m", 1, NULL, one), POA_OK);
    cr_assert_eq(poa_bip340_sign(sk, "m", 1, NULL, two), POA_OK);
    cr_assert_eq(memcmp(one, two, 64), 0);
}

Test(base_keys, both_types_sign_and_verify)
{
    for (int type = POA_KEY_BIP340; type <= POA_KEY_ED25519; type++) {
        uint8_t secret[32], pk[32], again[32], sig[64];
        cr_assert_eq(poa_key_new((enum poa_key_type)type, secret, pk), POA_OK);
        cr_assert_eq(poa_key_public((enum poa_key_type)type, secret, again), POA_OK);
        cr_assert_eq(memcmp(pk, again, 32), 0);
        cr_assert_eq(poa_key_sign((enum poa_key_type)type, secret, "m", 1, sig), POA_OK);
        cr_assert_eq(poa_key_verify((uint8_t)type, pk, "m", 1, sig), POA_OK);
        cr_assert_neq(poa_key_verify((uint8_t)(3 - type), pk, "m", 1, sig), POA_OK);
        cr_assert_eq(poa_key_verify(0, pk, "m", 1, sig), POA_E_RANGE);
        cr_assert_eq(poa_key_verify(3, pk, "m", 1, sig), POA_E_RANGE);
    }
}

/* Keys are remembered in places that they share: neither a wrong signature nor
 * another key of the same place changes an answer. */
Test(base_keys, remembered_keys_verify_as_fresh_ones)
{
    uint8_t sk[2][32] = {{5}, {5}}, pk[2][32], sig[2][64];
    cr_assert_eq(poa_bip340_public(sk[0], pk[0]), POA_OK);
    for (uint32_t i = 1;; i++) {
        poa_put_le32(sk[1] + 4, i);
        cr_assert_eq(poa_bip340_public(sk[1], pk[1]), POA_OK);
        if (poa_le32(pk[0]) % 16384 == poa_le32(pk[1]) % 16384)
            break;
    }
    for (int k = 0; k < 2; k++)
        cr_assert_eq(poa_bip340_sign(sk[k], "m", 1, NULL, sig[k]), POA_OK);
    for (int round = 0; round < 4; round++) {
        for (int k = 0; k < 2; k++) {
            cr_assert_eq(poa_key_verify(POA_KEY_BIP340, pk[k], "m", 1, sig[1 - k]),
                         POA_E_SIGNATURE);
            cr_assert_eq(poa_key_verify(POA_KEY_BIP340, pk[k], "m", 1, sig[k]), POA_OK);
            cr_assert_eq(poa_key_verify(POA_KEY_BIP340, pk[k], "n", 1, sig[k]), POA_E_SIGNATURE);
            pk[k][31] ^= 1; /* not on the curve, or another key */
            cr_assert_neq(poa_key_verify(POA_KEY_BIP340, pk[k], "m", 1, sig[k]), POA_OK);
            pk[k][31] ^= 1;
        }
    }
}

static void *sign_and_verify_often(void *arg)
{
    uint8_t sk[32] = {7}, pk[32], sig[64];
    intptr_t bad = poa_bip340_public(sk, pk) != POA_OK;
    for (int i = 0; i < 20; i++)
        bad += poa_bip340_sign(sk, arg, 1, NULL, sig) != POA_OK ||
               poa_bip340_verify(pk, arg, 1, sig) != POA_OK ||
               poa_key_verify(POA_KEY_BIP340, pk, arg, 1, sig) != POA_OK;
    return (void *)bad;
}

/* The context is made on first use, here by four threads at once. */
Test(base_keys, threads_share_the_context)
{
    char message[] = "m";
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, sign_and_verify_often, message), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        cr_assert_null(bad);
    }
}
