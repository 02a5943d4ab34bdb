/* RFC 9380 map_to_curve_elligator2_edwards25519 on libsodium's from_uniform.
 *
 * libsodium computes the same map, but its caller chooses the sign of the
 * Edwards x, while RFC 9380 derives it from the sign of the Montgomery v, which
 * libsodium does not give out. So libsodium does the group arithmetic, and the
 * few field multiplications below decide that one bit.
 *
 * Everything here is public (it is computed from ALPHA and the public key), so
 * it need not run in constant time.
 *
 * With r the field element, on v^2 = g(u) = u^3 + A u^2 + u:
 *   w  = 1 + 2 r^2
 *   u1 = -A / w           g(u1) = N / D,  N = -A (A^2 (1 - w) + w^2),  D = w^3
 *   u2 = -2 r^2 A / w     g(u2) = 2 r^2 N / D
 * One of the two is a square. With z = 1 / sqrt(N D) or 1 / sqrt(2 N D):
 *   first:  v = N z        x = c u1 / v = -c A w^2 z         v odd
 *   second: v = 2 r N z    x = c u2 / v = -2 c A r w^2 z     v even
 * where c = sqrt(-A - 2) with an even representative; x changes sign with v. */
#include "ell2.h"

#include <string.h>

#include "poa_crypto.h"

/* A residue mod p = 2^255 - 19 as an integer below 2^256. */
struct fe {
    uint32_t limb[8];
};

static const struct fe one = {{1}};
static const struct fe a_coeff = {{486662}};
/* sqrt(-1) */
static const struct fe root_minus_1 = {{0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806, 0x3dfbd7a7,
                                        0x2b4d0099, 0x4fc1df0b, 0x2b832480}};
/* 2^((p-5)/8) */
static const struct fe two_power = {{0xa507504f, 0x62770d93, 0x5697f23c, 0x97a18c03, 0x9efdebd3,
                                     0x95a6804c, 0x27e0ef85, 0x55c19240}};
/* sqrt(-A - 2), the even one */
static const struct fe root_c = {{0xff457e06, 0xcc6e04aa, 0x4b7d1a82, 0xc5a1d3d1, 0x03fc4f7e,
                                  0xd27b08dc, 0x60a006bb, 0x0f26edf4}};

/* OUT = the 512-bit T mod p, below 2^256: 2^256 = 38. */
static void fe_fold(struct fe *out, const uint32_t t[16])
{
    uint64_t carry = 0;
    for (int i = 0; i < 8; i++) {
        carry += t[i] + (uint64_t)38 * t[i + 8];
        out->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    while (carry != 0) { /* at most twice */
        carry *= 38;
        for (int i = 0; i < 8; i++) {
            carry += out->limb[i];
            out->limb[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
}

static void fe_mul(struct fe *out, const struct fe *a, const struct fe *b)
{
    uint32_t t[16] = {0};
    for (int i = 0; i < 8; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 8; j++) {
            carry += t[i + j] + (uint64_t)a->limb[i] * b->limb[j];
            t[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        t[i + 8] = (uint32_t)carry;
    }
    fe_fold(out, t);
}

static void fe_add(struct fe *out, const struct fe *a, const struct fe *b)
{
    uint32_t t[16] = {0};
    uint64_t carry = 0;
    for (int i = 0; i < 8; i++) {
        carry += (uint64_t)a->limb[i] + b->limb[i];
        t[i] = (uint32_t)carry;
        carry >>= 32;
    }
    t[8] = (uint32_t)carry;
    fe_fold(out, t);
}

/* The representative below p. */
static void fe_canonical(struct fe *a)
{
    for (int round = 0; round < 2; round++) {
        /* bit 255 is 19; then p <= a < 2^255 shows as bit 255 of a + 19 */
        uint64_t carry = (uint64_t)19 * (a->limb[7] >> 31);
        a->limb[7] &= 0x7fffffff;
        for (int i = 0; i < 8; i++) {
            carry += a->limb[i];
            a->limb[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    struct fe b = *a;
    uint64_t carry = 19;
    for (int i = 0; i < 8; i++) {
        carry += b.limb[i];
        b.limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (b.limb[7] >> 31) {
        b.limb[7] &= 0x7fffffff;
        *a = b;
    }
}

static void fe_neg(struct fe *out, const struct fe *a)
{
    /* 2p - a, which is positive for the canonical a < p */
    static const uint32_t twice_p[8] = {0xffffffda, 0xffffffff, 0xffffffff, 0xffffffff,
                                        0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
    struct fe c = *a;
    uint64_t borrow = 0;
    fe_canonical(&c);
    for (int i = 0; i < 8; i++) {
        uint64_t d = (uint64_t)twice_p[i] - c.limb[i] - borrow;
        out->limb[i] = (uint32_t)d;
        borrow = d >> 63;
    }
}

static bool fe_equal(const struct fe *a, const struct fe *b)
{
    struct fe x = *a, y = *b;
    fe_canonical(&x);
    fe_canonical(&y);
    return memcmp(x.limb, y.limb, sizeof x.limb) == 0;
}

/* OUT = A^(2^N) * B */
static void fe_step(struct fe *out, const struct fe *a, int n, const struct fe *b)
{
    struct fe r = *a;
    while (n-- > 0)
        fe_mul(&r, &r, &r);
    fe_mul(out, &r, b);
}

/* A^((p-5)/8), the exponent being 2^252 - 3. */
static void fe_power(struct fe *out, const struct fe *a)
{
    struct fe x3, x5, x10, x20, x40, x50, x100, x200, t; /* xN = A^(2^N - 1) */
    fe_step(&t, a, 1, a);
    fe_step(&x3, &t, 1, a);
    fe_step(&x5, &x3, 2, &t);
    fe_step(&x10, &x5, 5, &x5);
    fe_step(&x20, &x10, 10, &x10);
    fe_step(&x40, &x20, 20, &x20);
    fe_step(&x50, &x40, 10, &x10);
    fe_step(&x100, &x50, 50, &x50);
    fe_step(&x200, &x100, 100, &x100);
    fe_step(&t, &x200, 50, &x50);
    fe_step(out, &t, 2, a);
}

/* Parity of the Edwards x that RFC 9380 maps R to. */
static unsigned x_parity(const struct fe *r)
{
    struct fe w, w2, n, d, nd, z, t, x, v;
    bool first;

    fe_mul(&t, r, r);
    fe_add(&t, &t, &t); /* 2 r^2 = w - 1 */
    fe_add(&w, &t, &one);
    fe_mul(&w2, &w, &w);
    fe_mul(&d, &w2, &w);
    fe_mul(&n, &a_coeff, &a_coeff);
    fe_mul(&n, &n, &t);
    fe_neg(&n, &n);
    fe_add(&n, &n, &w2);
    fe_mul(&n, &n, &a_coeff);
    fe_neg(&n, &n);
    fe_mul(&nd, &n, &d);

    fe_power(&z, &nd);
    fe_mul(&t, &z, &z);
    fe_mul(&t, &t, &nd); /* 1 or -1 when N D is a square */
    fe_neg(&x, &t);
    first = fe_equal(&t, &one) || fe_equal(&x, &one);
    if (!first) {
        fe_mul(&z, &z, &two_power);
        fe_mul(&t, &z, &z);
        fe_mul(&t, &t, &nd);
        fe_add(&t, &t, &t);
    }
    if (!fe_equal(&t, &one))
        fe_mul(&z, &z, &root_minus_1);

    fe_mul(&v, &n, &z);
    fe_mul(&x, &w2, &z);
    fe_mul(&x, &x, &a_coeff);
    fe_mul(&x, &x, &root_c);
    if (!first) {
        fe_add(&t, r, r);
        fe_mul(&v, &v, &t);
        fe_mul(&x, &x, &t);
    }
    fe_neg(&x, &x);
    fe_canonical(&v);
    fe_canonical(&x);
    unsigned flip = (v.limb[0] & 1) != (first ? 1u : 0u);
    /* p is odd, so the negative of x has the other parity (x = 0 does not
     * matter: the cofactor takes it to the identity either way). */
    return (x.limb[0] & 1) ^ flip;
}

void poa_vrf_ell2(const uint8_t uniform48[48], uint8_t point32[32])
{
    uint32_t wide[16] = {0};
    uint8_t r32[32];
    struct fe r;

    for (int i = 0; i < 48; i++) /* big-endian */
        wide[i / 4] |= (uint32_t)uniform48[47 - i] << 8 * (i % 4);
    fe_fold(&r, wide);
    fe_canonical(&r);
    for (int i = 0; i < 32; i++)
        r32[i] = (uint8_t)(r.limb[i / 4] >> 8 * (i % 4));
    r32[31] |= (uint8_t)(x_parity(&r) << 7);
    poa_point_from_uniform(r32, point32);
}
