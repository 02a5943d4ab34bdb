/* The codec on a record that uses every field kind, nested three deep. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_codec.h"
#include "poa_print.h"

#define POA_T_LEAF_TABLE(F)                                                                        \
    F(U16, number, 500, _, "at most 500")                                                          \
    F(BLOB, text, 10, _, "short")
POA_RECORD_DECLARE(t_leaf, POA_T_LEAF_TABLE)
#define POA_T_MID_TABLE(F) F(LIST, leaves, 3, t_leaf, "leaves")
POA_RECORD_DECLARE(t_mid, POA_T_MID_TABLE)
#define POA_T_TOP_TABLE(F)                                                                         \
    F(U8, a, 0, _, "")                                                                             \
    F(U32, b, 0, _, "")                                                                            \
    F(U64, c, 0, _, "")                                                                            \
    F(FIX, d, 5, _, "")                                                                            \
    F(BLOB, e, 300, _, "two-byte length")                                                          \
    F(LIST, f, 70000, t_mid, "four-byte count")
POA_RECORD_DECLARE(t_top, POA_T_TOP_TABLE)
#define POA_T_PAIR_TABLE(F)                                                                        \
    F(U8, x, 0, _, "")                                                                             \
    F(U32, y, 0, _, "")
POA_RECORD_DECLARE(t_pair, POA_T_PAIR_TABLE)
#define POA_T_PAIRS_TABLE(F) F(LIST, pairs, 9, t_pair, "")
POA_RECORD_DECLARE(t_pairs, POA_T_PAIRS_TABLE)

#define F(k, n, m, s, d) POA_FIELD_ROW_(t_leaf, k, n, m, s, d)
POA_RECORD_DEFINE(t_leaf, POA_T_LEAF_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(t_mid, k, n, m, s, d)
POA_RECORD_DEFINE(t_mid, POA_T_MID_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(t_top, k, n, m, s, d)
POA_RECORD_DEFINE(t_top, POA_T_TOP_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(t_pair, k, n, m, s, d)
POA_RECORD_DEFINE(t_pair, POA_T_PAIR_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(t_pairs, k, n, m, s, d)
POA_RECORD_DEFINE(t_pairs, POA_T_PAIRS_TABLE)
#undef F

/* a b c d e f{ {1 "hi", 500 ""}, {} } */
static const uint8_t golden[] = {
    0xa1, 0x04, 0x03, 0x02, 0x01, 8, 7, 6, 5, 4, 3, 2, 1,   'f', 'i',  'v',  'e', '!', 3,
    0,    'x',  'y',  'z',  2,    0, 0, 0, 2, 1, 0, 2, 'h', 'i', 0xf4, 0x01, 0,   0,
};

static size_t encode_golden(uint8_t *out, size_t cap)
{
    uint8_t leaves[32], mids[64];
    struct poa_writer w = poa_writer_over(leaves, sizeof leaves);
    struct poa_t_leaf one = {1, poa_slice("hi", 2)}, two = {500, poa_slice(NULL, 0)};
    cr_assert_eq(poa_t_leaf_encode(&w, &one), POA_OK);
    cr_assert_eq(poa_t_leaf_encode(&w, &two), POA_OK);
    struct poa_t_mid full = {{poa_written(&w), 2}}, empty = {{{NULL, 0}, 0}};
    struct poa_writer wm = poa_writer_over(mids, sizeof mids);
    cr_assert_eq(poa_t_mid_encode(&wm, &full), POA_OK);
    cr_assert_eq(poa_t_mid_encode(&wm, &empty), POA_OK);
    struct poa_t_top top = {.a = 0xa1,
                            .b = 0x01020304,
                            .c = 0x0102030405060708,
                            .d = "five!",
                            .e = poa_slice("xyz", 3),
                            .f = {poa_written(&wm), 2}};
    struct poa_writer wt = poa_writer_over(out, cap);
    cr_assert_eq(poa_t_top_encode(&wt, &top), POA_OK);
    return wt.n;
}

Test(codec, golden_bytes_both_ways)
{
    uint8_t out[128];
    size_t n = encode_golden(out, sizeof out);
    cr_assert_eq(n, sizeof golden);
    cr_assert_arr_eq(out, golden, n);

    struct poa_t_top top;
    cr_assert_eq(poa_t_top_decode(poa_slice(golden, sizeof golden), &top), POA_OK);
    cr_expect_eq(top.b, 0x01020304u);
    cr_expect_eq(top.c, 0x0102030405060708u);
    cr_expect_arr_eq(top.d, "five!", 5);
    cr_expect(poa_slice_equal(top.e, poa_slice("xyz", 3)));
    struct poa_list_iter mids = poa_list_begin(&top.f);
    struct poa_t_mid mid;
    cr_assert_eq(poa_t_mid_next(&mids, &mid), 1);
    struct poa_list_iter leaves = poa_list_begin(&mid.leaves);
    struct poa_t_leaf leaf;
    cr_assert_eq(poa_t_leaf_next(&leaves, &leaf), 1);
    cr_expect_eq(leaf.number, 1);
    cr_assert_eq(poa_t_leaf_next(&leaves, &leaf), 1);
    cr_expect_eq(leaf.number, 500);
    cr_expect_eq(poa_t_leaf_next(&leaves, &leaf), 0);
    cr_assert_eq(poa_t_mid_next(&mids, &mid), 1);
    cr_expect_eq(mid.leaves.count, 0u);
    cr_expect_eq(poa_t_mid_next(&mids, &mid), 0);
}

Test(codec, every_truncation_is_refused)
{
    struct poa_t_top top;
    for (size_t n = 0; n < sizeof golden; n++)
        cr_expect_eq(poa_t_top_decode(poa_slice(golden, n), &top), POA_E_TRUNCATED, "%zu", n);
}

Test(codec, trailing_bytes_are_refused)
{
    uint8_t longer[sizeof golden + 1] = {0};
    struct poa_t_top top;
    memcpy(longer, golden, sizeof golden);
    cr_expect_eq(poa_t_top_decode(poa_slice(longer, sizeof longer), &top), POA_E_TRAILING);
}

/* Whatever a mutated input decodes to, encoding it gives the same bytes back. */
Test(codec, mutations_are_refused_or_canonical)
{
    unsigned accepted = 0, refused = 0;
    for (size_t at = 0; at < sizeof golden; at++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t in[sizeof golden], out[sizeof golden];
            memcpy(in, golden, sizeof golden);
            in[at] = (uint8_t)v;
            struct poa_t_top top;
            if (poa_t_top_decode(poa_slice(in, sizeof in), &top)) {
                refused++;
                continue;
            }
            accepted++;
            struct poa_writer w = poa_writer_over(out, sizeof out);
            cr_assert_eq(poa_t_top_encode(&w, &top), POA_OK);
            cr_assert_eq(w.n, sizeof in);
            cr_assert_arr_eq(out, in, sizeof in);
        }
    cr_expect_gt(accepted, 0u);
    cr_expect_gt(refused, 1000u);
}

Test(codec, limits_hold_on_both_sides)
{
    uint8_t out[512];
    struct poa_writer w = poa_writer_over(out, sizeof out);
    struct poa_t_leaf leaf = {501, poa_slice(NULL, 0)};
    cr_expect_eq(poa_t_leaf_encode(&w, &leaf), POA_E_RANGE);
    leaf = (struct poa_t_leaf){1, poa_slice("12345678901", 11)};
    w = poa_writer_over(out, sizeof out);
    cr_expect_eq(poa_t_leaf_encode(&w, &leaf), POA_E_TOO_LONG);

    const uint8_t high[] = {0xf5, 0x01, 0};
    cr_expect_eq(poa_t_leaf_decode(poa_slice(high, sizeof high), &leaf), POA_E_RANGE);
    const uint8_t wide[] = {1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    cr_expect_eq(poa_t_leaf_decode(poa_slice(wide, sizeof wide), &leaf), POA_E_TOO_LONG);
    struct poa_t_mid mid;
    const uint8_t many[] = {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    cr_expect_eq(poa_t_mid_decode(poa_slice(many, sizeof many), &mid), POA_E_TOO_LONG);
}

Test(codec, a_full_buffer_is_an_error_and_not_overrun)
{
    uint8_t out[8] = {0, 0, 0, 0, 0, 0, 0, 0x5a};
    struct poa_writer w = poa_writer_over(out, 4);
    struct poa_t_leaf leaf = {1, poa_slice("hi", 2)};
    cr_expect_eq(poa_t_leaf_encode(&w, &leaf), POA_E_BUFFER);
    cr_expect_eq(out[7], 0x5a);
    cr_expect_leq(w.n, 4u);
}

Test(codec, sizes_come_from_the_table)
{
    cr_expect_eq(poa_record_fixed_size(&poa_t_pair_record), 5u);
    cr_expect_eq(poa_record_fixed_size(&poa_t_leaf_record), 0u);
    cr_expect_eq(poa_record_max_size(&poa_t_leaf_record), 2u + 1 + 10);
    cr_expect_eq(poa_record_max_size(&poa_t_mid_record), 1u + 3 * 13);
    cr_expect_eq(poa_record_max_size(&poa_t_top_record), 1u + 4 + 8 + 5 + 2 + 300 + 4 + 70000 * 40);
}

Test(codec, fixed_lists_are_indexed)
{
    const uint8_t bytes[] = {2, 1, 10, 0, 0, 0, 2, 20, 0, 0, 0};
    struct poa_t_pairs pairs;
    struct poa_t_pair pair;
    cr_assert_eq(poa_t_pairs_decode(poa_slice(bytes, sizeof bytes), &pairs), POA_OK);
    cr_assert_eq(poa_list_at(&poa_t_pair_record, &pairs.pairs, 1, &pair), POA_OK);
    cr_expect_eq(pair.x, 2);
    cr_expect_eq(pair.y, 20u);
    cr_expect_eq(poa_list_at(&poa_t_pair_record, &pairs.pairs, 2, &pair), POA_E_RANGE);
    /* A list whose count was set by hand must not be read past its bytes. */
    pairs.pairs.count = 9;
    cr_expect_eq(poa_list_at(&poa_t_pair_record, &pairs.pairs, 5, &pair), POA_E_RANGE);
}

Test(codec, hex)
{
    uint8_t b[3];
    char t[7];
    cr_assert_eq(poa_unhex("00fFa5", b, 3), POA_OK);
    poa_hex(b, 3, t);
    cr_expect_str_eq(t, "00ffa5");
    cr_expect_eq(poa_unhex("00ffa", b, 3), POA_E_TEXT);
    cr_expect_eq(poa_unhex("00ffa55", b, 3), POA_E_TEXT);
    cr_expect_eq(poa_unhex("00ffg5", b, 3), POA_E_TEXT);
    cr_expect_eq(poa_unhex("", b, 3), POA_E_TEXT);
}

Test(codec, prints_from_the_table)
{
    struct poa_t_top top;
    char text[256], small[16];
    cr_assert_eq(poa_t_top_decode(poa_slice(golden, sizeof golden), &top), POA_OK);
    size_t n = poa_record_print(&poa_t_top_record, &top, text, sizeof text);
    cr_expect_str_eq(text, "t_top{a=161 b=16909060 c=72623859790382856 d=6669766521 e=78797a "
                           "f=[t_mid{leaves=[t_leaf{number=1 text=6869} "
                           "t_leaf{number=500 text=}]} t_mid{leaves=[]}]}");
    cr_expect_eq(poa_record_print(&poa_t_top_record, &top, small, sizeof small), n);
    cr_expect_str_eq(small, "t_top{a=161 b=1");
}
