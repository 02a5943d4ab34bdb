/* Packs, their tree, and SenML. */
#include "edge_world.h"

static struct world w;

static void start(void)
{
    world_make(&w, POA_EDGE_POLICY_VRF);
}

TestSuite(pack, .init = start);

static struct poa_pack pack_of(const char *content)
{
    struct poa_pack p = {.seq = 4, .from_ms = 1000, .to_ms = 2000, .readings = 2};
    p.content = poa_slice(content, strlen(content));
    return p;
}

Test(pack, sign_and_check)
{
    uint8_t bytes[POA_PACK_BYTES_MAX], id[32], other[32];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_pack p = pack_of("[1]"), q;
    cr_assert_eq(poa_pack_sign(SUITE, w.chain, w.device_seed, w.device_key, &p, &out), POA_OK);
    cr_assert_eq(poa_pack_check(SUITE, w.chain, poa_written(&out), &q), POA_OK);
    cr_assert_eq(q.seq, 4);
    cr_assert_eq(memcmp(q.device, w.device_key, 32), 0);
    poa_pack_id(poa_written(&out), id);
    for (size_t i = 0; i < out.n; i++) {
        bytes[i] ^= 1;
        cr_assert_neq(poa_pack_check(SUITE, w.chain, poa_written(&out), &q), POA_OK,
                      "byte %zu is not covered", i);
        poa_pack_id(poa_written(&out), other);
        cr_assert(memcmp(id, other, 32));
        bytes[i] ^= 1;
    }
    w.chain[0] ^= 1;
    cr_assert_eq(poa_pack_check(SUITE, w.chain, poa_written(&out), &q), POA_E_SIGNATURE);
}

Test(pack, bounds)
{
    static uint8_t content[POA_EDGE_PACK_CONTENT + 1];
    uint8_t bytes[POA_PACK_BYTES_MAX];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_pack p = pack_of("x");
    cr_assert_eq(poa_record_max_size(&poa_pack_record), POA_PACK_BYTES_MAX);
    cr_assert_leq(POA_PACK_BYTES_MAX + 1 + POA_SESSION_OVERHEAD, POA_EDGE_UP_MAX);
    p.readings = 0;
    cr_assert_eq(poa_pack_sign(SUITE, w.chain, w.device_seed, w.device_key, &p, &out), POA_E_RANGE);
    p = pack_of("x");
    p.to_ms = 999;
    cr_assert_eq(poa_pack_sign(SUITE, w.chain, w.device_seed, w.device_key, &p, &out), POA_E_RANGE);
    p = pack_of("x");
    p.content = poa_slice(content, sizeof content);
    cr_assert_eq(poa_pack_sign(SUITE, w.chain, w.device_seed, w.device_key, &p, &out),
                 POA_E_TOO_LONG);
}

Test(pack, every_leaf_of_every_tree_has_its_path)
{
    static uint8_t tree[200][32];
    uint8_t path_bytes[32 * POA_EDGE_PATH_MAX], id[32];
    for (uint32_t n = 1; n <= 67; n++) {
        size_t size = poa_pack_tree_size(n);
        cr_assert_leq(size, 200);
        memset(tree, 0, sizeof tree);
        for (uint32_t i = 0; i < n; i++)
            poa_put_le32(tree[i], i + 1);
        poa_pack_tree(tree, n);
        const uint8_t *root = tree[size - 1];
        for (uint32_t i = 0; i < n; i++) {
            struct poa_writer path = poa_writer_over(path_bytes, sizeof path_bytes);
            memcpy(id, tree[i], 32);
            cr_assert_eq(poa_pack_path((const uint8_t(*)[32])tree, n, i, &path), POA_OK);
            struct poa_slice p = poa_written(&path);
            cr_assert_eq(poa_pack_path_check(id, i, n, p, root), POA_OK);
            cr_assert_eq(poa_pack_path_check(id, i + 1, n, p, root), POA_E_PROOF);
            id[5] ^= 1;
            cr_assert_eq(poa_pack_path_check(id, i, n, p, root), POA_E_PROOF);
            id[5] ^= 1;
            if (p.n) {
                cr_assert_eq(poa_pack_path_check(id, i, n, poa_slice(p.p, p.n - 32), root),
                             POA_E_PROOF);
                path_bytes[3] ^= 1;
                cr_assert_eq(poa_pack_path_check(id, i, n, p, root), POA_E_PROOF);
            }
        }
    }
    cr_assert_eq(poa_pack_path((const uint8_t(*)[32])tree, 3, 3, &(struct poa_writer){0}),
                 POA_E_RANGE);
}

/* --- SenML ---------------------------------------------------------------------- */

#define T0 UINT64_C(1320067464000)

static char text[512];

static const char *ended(struct poa_senml *s)
{
    cr_assert_eq(poa_senml_end(s), POA_OK);
    memcpy(text, s->w->p, s->w->n);
    text[s->w->n] = 0;
    return text;
}

Test(senml, records_share_base_name_and_time)
{
    uint8_t bytes[512];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml s;
    poa_senml_begin(&s, &out, "urn:dev:ow:10e2073a0108006:", T0);
    cr_assert_eq(poa_senml_add(&s, "voltage", "V", T0, 1201, 1), POA_OK);
    cr_assert_eq(poa_senml_add(&s, "current", "A", T0 - 5000, 12, 1), POA_OK);
    cr_assert_eq(poa_senml_add(&s, "current", NULL, T0 + 1500, -13, 1), POA_OK);
    cr_assert_str_eq(ended(&s), "[{\"bn\":\"urn:dev:ow:10e2073a0108006:\",\"bt\":1320067464,"
                                "\"n\":\"voltage\",\"u\":\"V\",\"v\":120.1},"
                                "{\"n\":\"current\",\"u\":\"A\",\"t\":-5,\"v\":1.2},"
                                "{\"n\":\"current\",\"t\":1.5,\"v\":-1.3}]");
    cr_assert_eq(s.from_ms, T0 - 5000);
    cr_assert_eq(s.to_ms, T0 + 1500);
    cr_assert_eq(s.count, 3);
}

Test(senml, decimals)
{
    static const struct {
        int64_t mantissa;
        unsigned decimals;
        const char *text;
    } row[] = {
        {0, 0, "0"},
        {0, 3, "0"},
        {5, 0, "5"},
        {-5, 0, "-5"},
        {5, 1, "0.5"},
        {-5, 3, "-0.005"},
        {1500, 3, "1.5"},
        {1000, 3, "1"},
        {10, 0, "10"},
        {INT64_MAX, 0, "9223372036854775807"},
        {INT64_MIN, 18, "-9.223372036854775808"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint8_t bytes[256];
        char want[64] = "\"v\":";
        struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
        struct poa_senml s;
        poa_senml_begin(&s, &out, "a", T0);
        cr_assert_eq(poa_senml_add(&s, "", NULL, T0, row[i].mantissa, row[i].decimals), POA_OK);
        strcat(strcat(want, row[i].text), "}]");
        const char *got = ended(&s);
        cr_assert_str_eq(strstr(got, "\"v\":"), want);
    }
}

Test(senml, what_does_not_fit_is_undone)
{
    uint8_t bytes[128];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml s;
    poa_senml_begin(&s, &out, "urn:dev:poa:1:", T0);
    int e = POA_OK;
    while (!(e = poa_senml_add(&s, "power", "W", T0 + s.count, 12345, 2)))
        ;
    cr_assert_eq(e, POA_E_BUFFER);
    cr_assert_gt(s.count, 1);
    const char *got = ended(&s);
    cr_assert_eq(got[strlen(got) - 1], ']');
    cr_assert_eq(got[strlen(got) - 2], '}');
}

Test(senml, names_numbers_and_times_are_checked)
{
    uint8_t bytes[256];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml s;
    poa_senml_begin(&s, &out, "", T0);
    cr_assert_eq(poa_senml_add(&s, "", NULL, T0, 1, 0), POA_E_TEXT);
    cr_assert_eq(poa_senml_add(&s, "-x", NULL, T0, 1, 0), POA_E_TEXT);
    cr_assert_eq(poa_senml_add(&s, "a b", NULL, T0, 1, 0), POA_E_TEXT);
    cr_assert_eq(poa_senml_add(&s, "a\"", NULL, T0, 1, 0), POA_E_TEXT);
    cr_assert_eq(poa_senml_add(&s, "a", "\"", T0, 1, 0), POA_E_TEXT);
    cr_assert_eq(poa_senml_add(&s, "a", NULL, 1000, 1, 0), POA_E_RANGE);
    cr_assert_eq(poa_senml_add(&s, "a", NULL, T0, 1, 19), POA_E_RANGE);
    cr_assert_eq(poa_senml_add_text(&s, "a", NULL, T0, "1.", 2), POA_E_TEXT);
    cr_assert_eq(poa_senml_end(&s), POA_E_RANGE);
    cr_assert_eq(out.n, 0);
}

Test(senml, json_numbers)
{
    static const char *const good[] = {"0",     "-0",  "1",    "10",          "-1.5",
                                       "0.001", "1e5", "1E+5", "69.88083514", "2.5e-3"};
    static const char *const bad[] = {"",    "-",   "+1", "01", ".5",  "5.",  "1e", "1e+",
                                      "0x1", "NaN", "1 ", " 1", "1,5", "--1", "inf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_eq(poa_json_number(good[i], strlen(good[i])), POA_OK, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(poa_json_number(bad[i], strlen(bad[i])), POA_E_TEXT, "%s", bad[i]);
}

Test(senml, numbers_that_no_double_holds)
{
    static const char *const good[] = {"9.99e307",  "1e-400",    "0e400", "0.00e999999999999",
                                       "0.01e309",  "-1000e304", "1e307", "18446744073709551616",
                                       "0.0001e310"};
    static const char *const bad[] = {
        "1e400", "-1e400", "1e308", "10e307", "0.01e310", "1e99999999999999999999", "-0.5E+309"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_eq(poa_json_number(good[i], strlen(good[i])), POA_OK, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(poa_json_number(bad[i], strlen(bad[i])), POA_E_RANGE, "%s", bad[i]);
    /* A pack takes none, from nobody. */
    static uint8_t bytes[256];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml s;
    poa_senml_begin(&s, &out, "", T0);
    cr_assert_eq(poa_senml_add_text(&s, "a", NULL, T0, "1e400", 5), POA_E_RANGE);
    cr_assert_eq(out.n, 0);
}
