/* The wrappers over libsodium and libsecp256k1: answers, refusals, edge cases. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_base.h"

/* 2^255 - 19 + N, the spellings of small y that a strict decoder refuses. */
static void above_p(uint8_t n, uint8_t out[32])
{
    memset(out, 0xff, 32);
    out[0] = (uint8_t)(0xed + n);
    out[31] = 0x7f;
}

static void point(uint8_t scalar, uint8_t out[32])
{
    uint8_t k[32] = {scalar};
    poa_point_mul_base(k, out);
}

Test(base_crypto, selftest_passes)
{
    const char *what = "not set";
    cr_assert_eq(poa_crypto_selftest(&what), POA_OK, "failed: %s", what);
    cr_assert_str_empty(what);
}

Test(base_crypto, domains_separate_hashes)
{
    uint8_t out[POA_DOMAIN_COUNT][32];
    for (int d = 0; d < POA_DOMAIN_COUNT; d++) {
        poa_hash((enum poa_domain)d, "x", 1, out[d]);
        for (int e = 0; e < d; e++)
            cr_assert_neq(memcmp(out[d], out[e], 32), 0, "domains %d and %d collide", d, e);
    }
}

Test(base_crypto, hash_in_parts_is_hash_of_whole)
{
    uint8_t whole[32], parts[32], two[32];
    char text[300];
    memset(text, 'a', sizeof text);
    poa_hash(POA_DOMAIN_TX, text, sizeof text, whole);
    for (size_t cut = 0; cut <= sizeof text; cut += 37) {
        struct poa_hash_state s;
        poa_hash_init(&s, POA_DOMAIN_TX);
        poa_hash_update(&s, text, cut);
        poa_hash_update(&s, text + cut, sizeof text - cut);
        poa_hash_final(&s, parts);
        poa_hash2(POA_DOMAIN_TX, text, cut, text + cut, sizeof text - cut, two);
        cr_assert_eq(memcmp(whole, parts, 32), 0);
        cr_assert_eq(memcmp(whole, two, 32), 0);
    }
    poa_hash(POA_DOMAIN_TX, NULL, 0, whole);
    poa_hash2(POA_DOMAIN_TX, NULL, 0, NULL, 0, two);
    cr_assert_eq(memcmp(whole, two, 32), 0);
}

Test(base_crypto, siphash_answers_as_published)
{
    /* vectors_sip128 of the authors' reference code: key 00..0f, input 00..0e. */
    static const uint8_t want[16] = {0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11,
                                     0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9};
    uint8_t key[16], in[15], out[16];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    memcpy(in, key, sizeof in);
    poa_siphash(key, in, sizeof in, out);
    cr_assert_arr_eq(out, want, 16);
}

Test(base_crypto, x25519_keys_of_an_ed25519_identity_agree)
{
    uint8_t seed_a[32] = {1}, seed_b[32] = {2}, pk_a[32], pk_b[32], xa[32], xb[32], xpa[32],
            xpb[32], ab[32], ba[32];
    poa_ed25519_public(seed_a, pk_a);
    poa_ed25519_public(seed_b, pk_b);
    poa_ed25519_seed_to_x25519(seed_a, xa);
    poa_ed25519_seed_to_x25519(seed_b, xb);
    cr_assert_eq(poa_ed25519_pk_to_x25519(pk_a, xpa), POA_OK);
    cr_assert_eq(poa_ed25519_pk_to_x25519(pk_b, xpb), POA_OK);
    poa_x25519_public(xa, ab);
    cr_assert_eq(memcmp(ab, xpa, 32), 0, "both ways to the X25519 public key agree");
    cr_assert_eq(poa_x25519(xa, xpb, ab), POA_OK);
    cr_assert_eq(poa_x25519(xb, xpa, ba), POA_OK);
    cr_assert_eq(memcmp(ab, ba, 32), 0);
}

Test(base_crypto, aead_opens_in_place_and_refuses_every_changed_bit)
{
    uint8_t key[32] = {1}, nonce[12] = {2}, box[20 + 16], out[20], copy[36];
    const struct poa_slice ad = poa_slice("ad", 2);
    memset(box, 7, 20);
    poa_aead_seal(key, nonce, ad, poa_slice(box, 20), box);
    for (int bit = 0; bit < 36 * 8; bit++) {
        memcpy(copy, box, 36);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(poa_aead_open(key, nonce, ad, poa_slice(copy, 36), out), POA_E_DECRYPT);
    }
    for (size_t n = 0; n < 36; n++)
        cr_assert_eq(poa_aead_open(key, nonce, ad, poa_slice(box, n), out), POA_E_DECRYPT);
    cr_assert_eq(poa_aead_open(key, nonce, poa_slice("AD", 2), poa_slice(box, 36), out),
                 POA_E_DECRYPT);
    cr_assert_eq(poa_aead_open(key, nonce, ad, poa_slice(box, 36), box), POA_OK);
    cr_assert_eq(box[0], 7);
    cr_assert_eq(box[19], 7);
}

Test(base_crypto, aead_seals_nothing_at_all)
{
    uint8_t key[32] = {1}, nonce[12] = {0}, box[16];
    const struct poa_slice none = {NULL, 0};
    poa_aead_seal(key, nonce, none, none, box);
    cr_assert_eq(poa_aead_open(key, nonce, none, poa_slice(box, 16), box), POA_OK);
}

Test(base_crypto, points_decode_strictly)
{
    uint8_t p[32], q[32], one[32] = {1};
    for (uint8_t n = 0; n < 19; n++) { /* y = p .. p + 18 */
        above_p(n, p);
        for (int sign = 0; sign < 2; sign++) {
            p[31] = (uint8_t)(0x7f | sign << 7);
            cr_assert_eq(poa_point_check(p), POA_E_KEY);
            cr_assert_eq(poa_point_add(p, one, q), POA_E_KEY);
            cr_assert_eq(poa_point_sub(one, p, q), POA_E_KEY);
            cr_assert_eq(poa_point_mul(one, p, q), POA_E_KEY);
            cr_assert_eq(poa_point_mul_cofactor(p, q), POA_E_KEY);
            cr_assert_not(poa_point_is_prime_order(p));
        }
    }
    uint8_t minus_one[32]; /* y = -1, x = 0 */
    above_p(0, minus_one);
    minus_one[0] = 0xec;
    cr_assert_eq(poa_point_check(minus_one), POA_OK);
    cr_assert_eq(poa_point_check(one), POA_OK);
    minus_one[31] |= 0x80;
    one[31] |= 0x80;
    cr_assert_eq(poa_point_check(minus_one), POA_E_KEY);
    cr_assert_eq(poa_point_check(one), POA_E_KEY);
    uint8_t off_curve[32] = {2};
    cr_assert_eq(poa_point_check(off_curve), POA_E_KEY);
}

Test(base_crypto, eight_points_are_of_small_order)
{
    /* From the point of order 8 by addition: T, 2T, ... 8T = identity. */
    uint8_t t[32], at[32];
    cr_assert_eq(
        poa_unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", t, 32),
        POA_OK);
    memcpy(at, t, 32);
    for (int i = 1; i <= 8; i++) {
        cr_assert(poa_point_is_small_order(at), "%d T", i);
        cr_assert_eq(poa_point_is_identity(at), i == 8, "%d T", i);
        cr_assert_not(poa_point_is_prime_order(at));
        cr_assert_eq(poa_point_add(at, t, at), POA_OK);
    }
    uint8_t base[32];
    point(1, base);
    cr_assert_not(poa_point_is_small_order(base));
    cr_assert(poa_point_is_prime_order(base));
}

/* K * (P + T) for every T of small order, against repeated addition. */
Test(base_crypto, multiplication_outside_the_subgroup)
{
    uint8_t t[32], p[32], sum[32], k[32], got[32];
    cr_assert_eq(
        poa_unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", t, 32),
        POA_OK);
    for (int base = 0; base < 2; base++) {
        point(base == 0 ? 0 : 5, p);
        for (int i = 0; i < 8; i++) {
            memset(sum, 0, 32);
            sum[0] = 1;
            for (uint8_t n = 0; n < 20; n++) {
                memset(k, 0, 32);
                k[0] = n;
                cr_assert_eq(poa_point_mul(k, p, got), POA_OK);
                cr_assert_eq(memcmp(got, sum, 32), 0, "%d * (%d B + %d T)", n, base * 5, i);
                cr_assert_eq(poa_point_add(sum, p, sum), POA_OK);
            }
            cr_assert_eq(poa_point_add(p, t, p), POA_OK);
        }
    }
}

Test(base_crypto, scalars_are_canonical_below_the_order)
{
    uint8_t l[32], wide[64] = {0}, out[32], zero[32] = {0};
    cr_assert_eq(
        poa_unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", l, 32),
        POA_OK);
    cr_assert_not(poa_scalar_is_canonical(l));
    memcpy(wide, l, 32);
    poa_scalar_reduce(wide, out);
    cr_assert_eq(memcmp(out, zero, 32), 0, "L is 0");
    l[0]--;
    cr_assert(poa_scalar_is_canonical(l));
    l[0] += 2;
    cr_assert_not(poa_scalar_is_canonical(l));
    memset(l, 0xff, 32);
    cr_assert_not(poa_scalar_is_canonical(l));
    cr_assert(poa_scalar_is_canonical(zero));
    uint8_t two[32] = {2}, three[32] = {3}, four[32] = {4};
    poa_scalar_muladd(two, three, four, out);
    cr_assert_eq(out[0], 14);
}

Test(base_crypto, pwhash_refuses_impossible_settings)
{
    uint8_t salt[16] = {1}, a[32], b[32];
    cr_assert_eq(poa_pwhash("x", 1, salt, 0, 65536, a), POA_E_RANGE);
    cr_assert_eq(poa_pwhash("x", 1, salt, 1, 1000, a), POA_E_RANGE);
    cr_assert_eq(poa_pwhash("x", 1, salt, 1, 65536, a), POA_OK);
    cr_assert_eq(poa_pwhash("x", 1, salt, 2, 65536, b), POA_OK);
    cr_assert_neq(memcmp(a, b, 32), 0);
    cr_assert_eq(poa_pwhash(NULL, 0, salt, 1, 65536, a), POA_OK);
}

Test(base_error, numbers_and_names_are_unique)
{
    static const int all[] = {
#define ROW(name, number, class, text) POA_E_##name,
        POA_ERRORS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert_lt(all[i], 0);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(all[i], all[j], "two errors have number %d", -all[i]);
            cr_assert_str_neq(poa_error_name(all[i]), poa_error_name(all[j]));
        }
    }
    cr_assert_str_eq(poa_error_name(POA_E_TX_NONCE_USED), "TX_NONCE_USED");
    cr_assert_eq(poa_error_class(POA_E_TX_NONCE_GAP), POA_CLASS_RETRY);
    cr_assert_eq(poa_error_class(POA_OK), POA_CLASS_NONE);
    cr_assert_str_eq(poa_error_name(-99999), "UNKNOWN");
    cr_assert_str_eq(poa_error_text(POA_OK), "ok");
}

Test(base_clock, system_clock_runs)
{
    const struct poa_clock *c = poa_clock_system();
    uint64_t a = poa_clock_monotonic_us(c), b = poa_clock_monotonic_us(c);
    cr_assert_geq(b, a);
    cr_assert_gt(poa_clock_wall_ms(c), 1700000000000u);
}

Test(base_crypto, sealed_keys_open_for_their_receiver_alone)
{
    uint8_t sk[32] = {7}, other[32] = {8}, pk[32], key[32], got[32], sealed[80], again[80];
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    poa_x25519_public(sk, pk);
    cr_assert_eq(poa_sealed_make(pk, key, sealed), POA_OK);
    cr_assert_eq(poa_sealed_make(pk, key, again), POA_OK);
    cr_assert(memcmp(sealed, again, 80)); /* from a fresh key each time */
    cr_assert_eq(poa_sealed_open(sk, sealed, got), POA_OK);
    cr_assert_arr_eq(got, key, 32);
    cr_assert_eq(poa_sealed_open(other, sealed, got), POA_E_DECRYPT);
    for (int bit = 0; bit < 640; bit++) {
        if (bit / 8 == 31 && bit % 8 == 7)
            continue; /* X25519 ignores the top bit of a public key, the nonce does not */
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(poa_sealed_open(sk, sealed, got), POA_E_DECRYPT, "bit %d", bit);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
