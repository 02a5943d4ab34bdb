/* Noise handshakes: published vectors, misuse, and every kind of damage. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_session.h"

/* From the cacophony project's public-domain vectors; prologue "John Galt" and
 * the ephemeral keys below are the same in all. */
struct vector {
    const char *pattern;
    enum poa_noise_hash hash;
    uint8_t psk_slots;
    const char *init_static, *resp_static, *psk;
    const char *handshake_hash;
    struct {
        const char *payload, *ciphertext;
    } message[4];
};
static const char *const init_e =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char *const resp_e =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
static const struct vector vectors[] = {
    {
        "IK",
        POA_NOISE_BLAKE2B,
        0,
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "",
        "1c8fa891cb414fedba6daa7c6f4ae0a6d98e5f9768cc9cecd27e805614943ee9"
        "c8a1b27fbfb76dc197255c8aa69f6b4285c423840b8bedf45e652ca64f797d81",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "ba83a447b38c83e327ad936929812f624884847b7831e95e197b2f797088efdd"
             "2f88f1db7e1fb0e99c64419097af91cee64e470f4b6fcd9298ce0b56fe20f86e"
             "13bf70439c538e3602a7127af71a29cc"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "9f069b267a06b3de3ecb1043bcb098e9af91d9c64748d998c7b47890871571"},
            {"462e20412e20486179656b", "cd54383060e7a28434cca27fb1cc524cfbabeb18181589df219d07"},
            {"4361726c204d656e676572", "a856d3bf0246bfc476c655009cd1ed677b8dcc5b349ae8ef2a05f2"},
        },
    },
    {
        "XX",
        POA_NOISE_BLAKE2B,
        0,
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "",
        "8cf47d7b3cb5804c0109d48e8bcdbee2cbb65687d8ea2c92994ca361fb86151a"
        "d93627b98936cbb32de56e8abb21def3925011ac3e35db9cbeea73ab9a4392c2",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "4c756477696720766f6e204d69736573"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "0505b6745ce64a5f33f0e8e3b83f11ce8802bca507f4f2d8b564dbe277e19661"
             "16e132faa2dfd70b8b077b9f94b913df5056ae1319469b824a98d54bbaa82c32"
             "5595587064f978c4b6d104f7596e6f"},
            {"462e20412e20486179656b",
             "99579e1c1ee15e422a57ddd6b16d37087b17558e8369c18991b4b2ca3a824abf"
             "904cdcf5458b5431a75af034ca9e9b982de039eaaf156775e2d580cd4e5ebae8"
             "9c3f8cb2594b556d8a8169"},
            {"4361726c204d656e676572", "fc56eea290b3f3a21aac0c70cd5787b5ee99be37d2f4d751329b55"},
        },
    },
    {
        "NK",
        POA_NOISE_SHA256,
        0,
        "",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "",
        "2efa38a9c7c93ac98f3a097af25c2f58b9e7673787717bc27e98827118c2c1a5",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "8134d00711fdb390a0d178fa008f6d47d2891e5ea18ae136c3b4c23ac384efb0"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "8ea16e3701bc0d77744f117bee22451c9afa7f4cdbbcff00c04a8ee0913c88"},
            {"462e20412e20486179656b", "a62de29ce27cb80245d440d986ed816c156e9d757d7008df2198b0"},
            {"4361726c204d656e676572", "174a35f11c689f4530d7208618e0564ae12f2f50ba8eb4df5382ff"},
        },
    },
    {
        "XK",
        POA_NOISE_SHA256,
        0,
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "",
        "cefffc5d1074126cc980ebfe902587ff36ba61dc77d4447ebe0f96dc22ae59d7",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "a3785af283c991bab613473804356ef6931f83acf64f99c274b93570857cfc5e"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "3a4534805fa9fe4eb8343ace6609160c767ad9b832e8eea1d9b7a2111818dd"},
            {"462e20412e20486179656b",
             "5d8e67b9c1b8e36f5dc674bc5cd2ce243fb5d1710fa57de0370da7cc97901539"
             "8eaad94603b05498ba9a613d2fd923dcaa6fd4288dfd8d70f419bf737efb4cd3"
             "7f5da37ebb728849318c82"},
            {"4361726c204d656e676572", "3205e1265f809505e6edc092839d3156745d2abafbfd946b261e41"},
        },
    },
    {
        "IK",
        POA_NOISE_SHA512,
        2,
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "54686973206973206d7920417573747269616e20706572737065637469766521",
        "f9318a0293dd96c8e22f0b6087c012c726edf251c789b805495bcf14e6056ee0"
        "7a7c01e7a26131920a947935b3657bc9c58680d5ed9dc1acae1067aa6cb132a9",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "6f65cf81cdf54874e8254db3ae6fced8bebc1412966fe9bf44d7ed281b2b7692"
             "36eb84f5c196a5b1264478c6b8542bc2808aa10c0ec38e2bbb3ce948081d7412"
             "6dd638324cd4f677fcc4f4b6c1a16f8f"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "74aa8ca91feff2e9244ff410534cd3b9c9447004c28bc660f4a82dfae96426"},
            {"462e20412e20486179656b", "613a33f0128ba1c90f55a3c63adb4fa29048e8b2a94dd915dccf58"},
            {"4361726c204d656e676572", "eb227394552b4f4b0b6c7c6cefd8d186e251e6905f255a237b25c5"},
        },
    },
    {
        "NN",
        POA_NOISE_BLAKE2B,
        1,
        "",
        "",
        "54686973206973206d7920417573747269616e20706572737065637469766521",
        "ed5e9692d0ab507b6c2beec3f584fd5b127817a9d20b26cd50aa72c507260fa3"
        "1aa7d88dd3723316338af37ce0b4cfb2923aeb848bbf2b934911306f01ffc963",
        {
            {"4c756477696720766f6e204d69736573",
             "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
             "ed63df2f5a12aee1185ee9c50305f2ecf12421dcb53c047a63b784cf7c54a105"},
            {"4d757272617920526f746862617264",
             "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
             "0e0fe7d5c0c9b92f7478716c8852f1b4f389edb75e3ebe546fafafd5b6f0f7"},
            {"462e20412e20486179656b", "0fe04b26dcfbb69f8a6a94c61f1a26ef88769218d32f5d17c068a6"},
            {"4361726c204d656e676572", "2239e0c540c01f09eb1f4cc5258fd5acfefff18a5a3773f21b7bfe"},
        },
    },
};

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = strlen(text) / 2;
    cr_assert_eq(poa_unhex(text, out, n), POA_OK);
    return n;
}

struct keys {
    uint8_t s[32], e[32], rs[32], psk[32];
};

static void start(struct poa_noise *n, const struct vector *v, bool initiator)
{
    struct keys k;
    struct poa_noise_config c = {
        .pattern = poa_noise_pattern_find(v->pattern, strlen(v->pattern)),
        .hash = v->hash,
        .initiator = initiator,
        .psk_slots = v->psk_slots,
        .prologue = poa_slice("John Galt", 9),
        .ephemeral32 = k.e,
    };
    static uint8_t psk[32]; /* borrowed by the handshake */
    const char *mine = initiator ? v->init_static : v->resp_static;
    const char *theirs = initiator ? v->resp_static : v->init_static;
    cr_assert_not_null(c.pattern);
    unhex(initiator ? init_e : resp_e, k.e);
    unhex(v->psk, psk);
    c.psk32 = psk;
    if (*mine != 0) {
        unhex(mine, k.s);
        c.static_sk32 = k.s;
    }
    if (*theirs != 0) {
        unhex(theirs, k.psk);
        poa_x25519_public(k.psk, k.rs);
        c.remote_pk32 = k.rs;
    }
    cr_assert_eq(poa_noise_init(n, &c), POA_OK);
}

Test(noise, vectors)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vector *v = &vectors[i];
        struct poa_noise side[2];
        struct poa_cipher send[2], receive[2];
        bool split = false;
        start(&side[0], v, true);
        start(&side[1], v, false);
        for (size_t m = 0; m < 4; m++) {
            uint8_t payload[64], want[256], sent[256], got[256];
            size_t payload_n = unhex(v->message[m].payload, payload);
            size_t want_n = unhex(v->message[m].ciphertext, want);
            size_t from = m % 2, to = 1 - from;
            struct poa_writer w = poa_writer_over(sent, sizeof sent);
            struct poa_writer r = poa_writer_over(got, sizeof got);
            if (!poa_noise_done(&side[from])) {
                cr_assert(poa_noise_my_turn(&side[from]) && !poa_noise_my_turn(&side[to]));
                cr_assert_eq(poa_noise_message_size(&side[from], payload_n), want_n);
                cr_assert_eq(poa_noise_write(&side[from], poa_slice(payload, payload_n), &w), 0);
                cr_assert_eq(poa_noise_read(&side[to], poa_written(&w), &r), 0);
            } else {
                if (!split) {
                    for (int s = 0; s < 2; s++)
                        cr_assert_eq(poa_noise_split(&side[s], &send[s], &receive[s]), 0);
                    split = true;
                }
                cr_assert_eq(poa_cipher_seal(&send[from], poa_slice(NULL, 0),
                                             poa_slice(payload, payload_n), sent),
                             0);
                w.n = payload_n + POA_NOISE_TAG_BYTES;
                cr_assert_eq(
                    poa_cipher_open(&receive[to], poa_slice(NULL, 0), poa_written(&w), got), 0);
                r.n = payload_n;
            }
            cr_assert(poa_slice_equal(poa_written(&w), poa_slice(want, want_n)),
                      "vector %zu, message %zu", i, m);
            cr_assert(poa_slice_equal(poa_written(&r), poa_slice(payload, payload_n)));
        }
        uint8_t hash[64];
        size_t hash_n = unhex(v->handshake_hash, hash);
        for (int s = 0; s < 2; s++)
            cr_assert(poa_slice_equal(poa_noise_transcript(&side[s]), poa_slice(hash, hash_n)));
        if (v->psk_slots == 0 && strcmp(v->pattern, "NK") != 0) {
            uint8_t sk[32], pk[32];
            unhex(v->init_static, sk);
            poa_x25519_public(sk, pk);
            cr_assert_arr_eq(poa_noise_remote(&side[1]), pk, 32);
        }
    }
}

/* --- the product's pattern ------------------------------------------------- */

static const uint8_t init_sk[32] = {1, 2, 3}, resp_sk[32] = {4, 5, 6}, other_sk[32] = {7, 8};
static const uint8_t eph_a[32] = {0xa1, 1}, eph_b[32] = {0xb2, 2};

static void pair(const struct poa_noise_pattern *pattern, enum poa_noise_hash hash,
                 struct poa_noise *a, struct poa_noise *b, const char *prologue_b,
                 const uint8_t expected_sk[32])
{
    uint8_t a_pk[32], b_pk[32];
    poa_x25519_public(init_sk, a_pk);
    poa_x25519_public(expected_sk, b_pk);
    struct poa_noise_config c = {
        .pattern = pattern,
        .hash = hash,
        .initiator = true,
        .prologue = poa_slice("poa", 3),
        .static_sk32 = init_sk,
        .static_pk32 = a_pk,
        .remote_pk32 = b_pk,
        .ephemeral32 = eph_a,
    };
    cr_assert_eq(poa_noise_init(a, &c), POA_OK);
    c.initiator = false;
    c.prologue = poa_slice(prologue_b, strlen(prologue_b));
    c.static_sk32 = resp_sk;
    c.static_pk32 = NULL;
    c.remote_pk32 = a_pk;
    c.ephemeral32 = eph_b;
    cr_assert_eq(poa_noise_init(b, &c), POA_OK);
}

static int step(struct poa_noise *from, struct poa_noise *to, uint8_t *buf, size_t cap,
                const char *text)
{
    uint8_t got[256];
    struct poa_writer w = poa_writer_over(buf, cap), r = poa_writer_over(got, sizeof got);
    cr_assert_eq(poa_noise_write(from, poa_slice(text, strlen(text)), &w), POA_OK);
    int rc = poa_noise_read(to, poa_written(&w), &r);
    if (rc == POA_OK)
        cr_assert(poa_slice_equal(poa_written(&r), poa_slice(text, strlen(text))));
    return rc;
}

/* Every pattern and hash completes against itself, agrees on keys and names. */
Test(noise, every_pattern)
{
    static const char *const names[] = {"N",  "K",  "X",  "NN", "NK", "NX", "KN", "KK",
                                        "KX", "XN", "XK", "XX", "IN", "IK", "IX"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct poa_noise_pattern *p = poa_noise_pattern_find(names[i], strlen(names[i]));
        cr_assert_not_null(p, "%s", names[i]);
        for (int h = POA_NOISE_BLAKE2B; h <= POA_NOISE_SHA512; h++) {
            struct poa_noise side[2];
            uint8_t buf[256];
            pair(p, (enum poa_noise_hash)h, &side[0], &side[1], "poa", resp_sk);
            for (int m = 0; m < p->messages; m++)
                cr_assert_eq(step(&side[m % 2], &side[1 - m % 2], buf, sizeof buf, "hi"), POA_OK);
            struct poa_session s[2];
            cr_assert_eq(poa_session_start(&s[0], &side[0], POA_SESSION_STRICT), POA_OK);
            cr_assert_eq(poa_session_start(&s[1], &side[1], POA_SESSION_STRICT), POA_OK);
            cr_assert_eq(s[0].id, s[1].id);
            cr_assert_arr_eq(s[0].send.key, s[1].receive.key, 32);
            cr_assert_arr_eq(s[1].send.key, s[0].receive.key, 32);
            cr_assert_neq(poa_session_confirmed(&s[0]), poa_session_confirmed(&s[1]));
            cr_assert_eq(poa_session_confirmed(&s[0]), p->messages % 2 == 0);
        }
    }
    cr_assert_null(poa_noise_pattern_find("ZZ", 2));
    cr_assert_null(poa_noise_pattern_find("IKx", 3));
}

Test(noise, wrong_responder_key)
{
    struct poa_noise a, b;
    uint8_t buf[256];
    pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "poa", other_sk);
    cr_assert_eq(step(&a, &b, buf, sizeof buf, "hi"), POA_E_DECRYPT);
    struct poa_writer w = poa_writer_over(buf, sizeof buf);
    cr_assert_eq(poa_noise_write(&b, poa_slice(NULL, 0), &w), POA_E_INVALID, "dead stays dead");
    cr_assert(!poa_noise_done(&b) && !poa_noise_my_turn(&b));
    for (size_t i = 0; i < sizeof b.s_sk; i++)
        cr_assert_eq(b.s_sk[i], 0, "a dead handshake keeps no secret");
}

Test(noise, wrong_prologue)
{
    struct poa_noise a, b;
    uint8_t buf[256];
    pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "another chain", resp_sk);
    cr_assert_eq(step(&a, &b, buf, sizeof buf, "hi"), POA_E_DECRYPT);
}

/* Any flipped bit of any message, and any shorter or longer message, is found. */
Test(noise, damage)
{
    static const struct poa_noise_pattern *const patterns[] = {&poa_noise_ik, &poa_noise_xx};
    for (size_t p = 0; p < 2; p++) {
        size_t size[3] = {0};
        for (size_t victim = 0; victim < patterns[p]->messages; victim++) {
            for (size_t bit = 0; bit == 0 || bit <= size[victim] * 8; bit++) {
                /* bit 0 measures the honest run, bit i > 0 flips bit i - 1 */
                struct poa_noise side[2];
                int rc = POA_OK;
                pair(patterns[p], POA_NOISE_BLAKE2B, &side[0], &side[1], "poa", resp_sk);
                for (size_t m = 0; rc == POA_OK && m < patterns[p]->messages; m++) {
                    uint8_t buf[256], got[256];
                    struct poa_writer w = poa_writer_over(buf, sizeof buf);
                    struct poa_writer r = poa_writer_over(got, sizeof got);
                    cr_assert_eq(poa_noise_write(&side[m % 2], poa_slice("hello", 5), &w), 0);
                    size[m] = w.n;
                    if (m == victim && bit > 0)
                        buf[(bit - 1) / 8] ^= (uint8_t)(1U << ((bit - 1) % 8));
                    rc = poa_noise_read(&side[1 - m % 2], poa_written(&w), &r);
                }
                if (bit == 0) {
                    cr_assert_eq(rc, POA_OK);
                    continue;
                }
                /* XX's first message is in the clear: its damage shows in the
                 * second. Bit 255 of a public key is ignored by X25519 but not
                 * by the transcript. */
                cr_assert_neq(rc, POA_OK, "%s message %zu bit %zu", patterns[p]->name, victim,
                              bit - 1);
            }
        }
    }
}

Test(noise, truncation_and_length)
{
    for (size_t cut = 1; cut <= 96; cut++) {
        struct poa_noise a, b;
        uint8_t buf[256], got[8];
        struct poa_writer w = poa_writer_over(buf, sizeof buf);
        struct poa_writer r = poa_writer_over(got, sizeof got);
        pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "poa", resp_sk);
        cr_assert_eq(poa_noise_write(&a, poa_slice(NULL, 0), &w), POA_OK);
        cr_assert_eq(w.n, 96);
        cr_assert_eq(poa_noise_read(&b, poa_slice(buf, w.n - cut), &r), POA_E_TRUNCATED);
    }
    struct poa_noise a, b;
    static uint8_t big[POA_NOISE_MESSAGE_MAX + 1], text[POA_NOISE_MESSAGE_MAX + 1];
    struct poa_writer w = poa_writer_over(big, sizeof big);
    pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "poa", resp_sk);
    cr_assert_eq(poa_noise_write(&a, poa_slice(text, POA_NOISE_MESSAGE_MAX - 95), &w),
                 POA_E_TOO_LONG);
    struct poa_writer small = poa_writer_over(big, 100);
    cr_assert_eq(poa_noise_write(&a, poa_slice(text, 5), &small), POA_E_BUFFER);
    cr_assert_eq(small.n, 0);
    cr_assert_eq(poa_noise_write(&a, poa_slice(text, POA_NOISE_MESSAGE_MAX - 96), &w), POA_OK,
                 "refusals change nothing");
    uint8_t got[8];
    struct poa_writer r = poa_writer_over(got, sizeof got);
    cr_assert_eq(poa_noise_read(&b, poa_written(&w), &r), POA_E_BUFFER);
    r = poa_writer_over(text, sizeof text);
    cr_assert_eq(poa_noise_read(&b, poa_written(&w), &r), POA_OK);
    cr_assert_eq(r.n, POA_NOISE_MESSAGE_MAX - 96);
    /* A message that is too long is refused before any work. */
    pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "poa", resp_sk);
    r = poa_writer_over(text, sizeof text);
    cr_assert_eq(poa_noise_read(&b, poa_slice(big, sizeof big), &r), POA_E_TOO_LONG);
}

/* Points of small order make the shared secret zero, whoever sends them. */
Test(noise, low_order_points)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        struct poa_noise a, b;
        uint8_t message[96] = {0}, got[96], point[32];
        struct poa_writer r = poa_writer_over(got, sizeof got);
        unhex(points[i], point);
        pair(&poa_noise_ik, POA_NOISE_BLAKE2B, &a, &b, "poa", resp_sk);
        memcpy(message, point, 32);
        cr_assert_eq(poa_noise_read(&b, poa_slice(message, sizeof message), &r), POA_E_KEY);
        /* As the responder's static key. */
        struct poa_noise_config c = {
            .pattern = &poa_noise_ik,
            .initiator = true,
            .static_sk32 = init_sk,
            .remote_pk32 = point,
            .ephemeral32 = eph_a,
        };
        int rc = poa_noise_init(&a, &c);
        struct poa_writer w = poa_writer_over(got, sizeof got);
        if (rc == POA_OK)
            rc = poa_noise_write(&a, poa_slice(NULL, 0), &w);
        cr_assert_eq(rc, POA_E_KEY);
    }
}

Test(noise, missing_keys)
{
    struct poa_noise n;
    struct poa_noise_config good = {
        .pattern = &poa_noise_ik,
        .initiator = true,
        .static_sk32 = init_sk,
        .remote_pk32 = eph_b,
        .ephemeral32 = eph_a,
    };
    cr_assert_eq(poa_noise_init(&n, &good), POA_OK);
    struct poa_session s;
    cr_assert_eq(poa_session_start(&s, &n, POA_SESSION_STRICT), POA_E_INVALID);
    struct poa_noise_config c = good;
    c.static_sk32 = NULL;
    cr_assert_eq(poa_noise_init(&n, &c), POA_E_INVALID);
    c = good;
    c.remote_pk32 = NULL;
    cr_assert_eq(poa_noise_init(&n, &c), POA_E_INVALID);
    c = good;
    c.ephemeral32 = NULL;
    cr_assert_eq(poa_noise_init(&n, &c), POA_E_INVALID);
    c = good;
    c.psk_slots = 1;
    cr_assert_eq(poa_noise_init(&n, &c), POA_E_INVALID, "no key for the slot");
    c.psk32 = eph_b;
    c.psk_slots = 1 << 3;
    cr_assert_eq(poa_noise_init(&n, &c), POA_E_INVALID, "IK has two messages");
    uint8_t buf[256];
    struct poa_writer w = poa_writer_over(buf, sizeof buf);
    cr_assert_eq(poa_noise_init(&n, &good), POA_OK);
    cr_assert_eq(poa_noise_read(&n, poa_slice(buf, 96), &w), POA_E_INVALID, "not our turn");
}
