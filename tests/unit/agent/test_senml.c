/* SenML: the examples of RFC 8428, and what must be refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "poa_agent.h"

#define NOW 1300000000.0

struct want {
    const char *name, *unit;
    double time, value;
    bool has_value;
};

static void check(const char *text, const struct want *want, size_t n)
{
    struct agent_senml *r = NULL;
    struct poa_why why = {""};
    size_t got = 0;
    cr_assert_eq(agent_senml_read(text, strlen(text), NOW, &r, &got, &why), POA_OK, "%s: %s", text,
                 why.text);
    cr_assert_eq(got, n, "%s", text);
    for (size_t i = 0; i < n; i++) {
        cr_assert_str_eq(r[i].name, want[i].name);
        if (want[i].unit)
            cr_assert_str_eq(r[i].unit, want[i].unit);
        else
            cr_assert_null(r[i].unit);
        cr_assert_lt(fabs(r[i].time - want[i].time), 1e-6, "%s: %f", text, r[i].time);
        cr_assert_eq(r[i].has_value, want[i].has_value);
        if (r[i].has_value)
            cr_assert_lt(fabs(r[i].value - want[i].value), 1e-9, "%s: %f", text, r[i].value);
    }
    agent_senml_free(r, got);
}

#define CHECK(text, ...)                                                                           \
    do {                                                                                           \
        static const struct want want_[] = {__VA_ARGS__};                                          \
        check(text, want_, sizeof want_ / sizeof *want_);                                          \
    } while (0)

/* Section 5.1.1 */
Test(senml_read, single_datapoint)
{
    CHECK("[{\"n\":\"urn:dev:ow:10e2073a01080063\",\"u\":\"Cel\",\"v\":23.1}]",
          {"urn:dev:ow:10e2073a01080063", "Cel", NOW, 23.1, true});
}

/* Section 5.1.2 */
Test(senml_read, multiple_datapoints)
{
    CHECK("[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"voltage\",\"u\":\"V\",\"v\":120.1},"
          "{\"n\":\"current\",\"u\":\"A\",\"v\":1.2}]",
          {"urn:dev:ow:10e2073a01080063:voltage", "V", NOW, 120.1, true},
          {"urn:dev:ow:10e2073a01080063:current", "A", NOW, 1.2, true});
    CHECK("[{\"bn\":\"urn:dev:ow:10e2073a0108006:\",\"bt\":1.276020076001e+09,\"bu\":\"A\","
          "\"bver\":5,\"n\":\"voltage\",\"u\":\"V\",\"v\":120.1},"
          "{\"n\":\"current\",\"t\":-5,\"v\":1.2},{\"n\":\"current\",\"t\":-4,\"v\":1.3}]",
          {"urn:dev:ow:10e2073a0108006:voltage", "V", 1276020076.001, 120.1, true},
          {"urn:dev:ow:10e2073a0108006:current", "A", 1276020071.001, 1.2, true},
          {"urn:dev:ow:10e2073a0108006:current", "A", 1276020072.001, 1.3, true});
}

/* Section 5.1.3, shortened */
Test(senml_read, multiple_measurements)
{
    CHECK("[{\"bn\":\"urn:dev:ow:10e2073a01080063\",\"bt\":1.320067464e+09,\"bu\":\"%RH\","
          "\"v\":20},{\"u\":\"lon\",\"v\":24.30621},{\"u\":\"lat\",\"v\":60.07965},"
          "{\"t\":60,\"v\":20.3}]",
          {"urn:dev:ow:10e2073a01080063", "%RH", 1320067464, 20, true},
          {"urn:dev:ow:10e2073a01080063", "lon", 1320067464, 24.30621, true},
          {"urn:dev:ow:10e2073a01080063", "lat", 1320067464, 60.07965, true},
          {"urn:dev:ow:10e2073a01080063", "%RH", 1320067524, 20.3, true});
}

/* Section 5.1.5 */
Test(senml_read, other_types)
{
    CHECK("[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"temp\",\"u\":\"Cel\",\"v\":23.1},"
          "{\"n\":\"label\",\"vs\":\"Machine Room\"},{\"n\":\"open\",\"vb\":false},"
          "{\"n\":\"nfc-reader\",\"vd\":\"aGkgCg\"}]",
          {"urn:dev:ow:10e2073a01080063:temp", "Cel", NOW, 23.1, true},
          {"urn:dev:ow:10e2073a01080063:label", NULL, NOW, 0, false},
          {"urn:dev:ow:10e2073a01080063:open", NULL, NOW, 0, false},
          {"urn:dev:ow:10e2073a01080063:nfc-reader", NULL, NOW, 0, false});
}

/* Section 5.1.6 */
Test(senml_read, collection_of_resources)
{
    CHECK("[{\"bn\":\"2001:db8::2/\",\"bt\":1.320078429e+09,\"n\":\"temperature\",\"u\":\"Cel\","
          "\"v\":25.2},{\"n\":\"humidity\",\"u\":\"%RH\",\"v\":30},"
          "{\"bn\":\"2001:db8::1/\",\"n\":\"temperature\",\"u\":\"Cel\",\"v\":12.3},"
          "{\"n\":\"humidity\",\"u\":\"%RH\",\"v\":67}]",
          {"2001:db8::2/temperature", "Cel", 1320078429, 25.2, true},
          {"2001:db8::2/humidity", "%RH", 1320078429, 30, true},
          {"2001:db8::1/temperature", "Cel", 1320078429, 12.3, true},
          {"2001:db8::1/humidity", "%RH", 1320078429, 67, true});
}

Test(senml_read, base_values_and_sums)
{
    CHECK("[{\"bn\":\"a\",\"bv\":100,\"v\":5},{\"s\":7},{\"v\":-1}]", {"a", NULL, NOW, 105, true},
          {"a", NULL, NOW, 0, false}, {"a", NULL, NOW, 99, true});
    /* A record of base fields alone is none. */
    CHECK("[{\"bn\":\"a\",\"bt\":1.3e9},{\"v\":1}]", {"a", NULL, 1300000000, 1, true});
}

Test(senml_read, what_must_be_refused)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "[1]",
        "[{\"n\":\"a\",\"v\":1}",
        "[{\"n\":\"a\",\"v\":1}] x",
        "[{\"n\":\"a\",\"n\":\"b\",\"v\":1}]",
        "[{\"n\":\"a\",\"v\":\"1\"}]",
        "[{\"n\":\"a\",\"vs\":1}]",
        "[{\"n\":\"a\",\"vb\":1}]",
        "[{\"n\":\"a\",\"v\":1,\"vs\":\"x\"}]",
        "[{\"n\":\"\",\"v\":1}]",
        "[{\"v\":1}]",
        "[{\"n\":\"-a\",\"v\":1}]",
        "[{\"n\":\"a b\",\"v\":1}]",
        "[{\"bver\":11,\"n\":\"a\",\"v\":1}]",
        "[{\"n\":\"a\",\"v\":1,\"extra_\":2}]",
        "[{\"n\":\"a\",\"u\":5,\"v\":1}]",
        "[{\"n\":\"a\",\"t\":\"now\",\"v\":1}]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct agent_senml *r;
        struct poa_why why;
        size_t n;
        cr_assert_eq(agent_senml_read(bad[i], strlen(bad[i]), NOW, &r, &n, &why), POA_E_TEXT,
                     "%s was taken", bad[i]);
    }
}

/* What the device writes is what this reads. */
Test(senml_read, own_packs)
{
    uint8_t bytes[512];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml s;
    poa_senml_begin(&s, &w, "urn:dev:poa:0011223344556677:", UINT64_C(1700000000123));
    cr_assert_eq(poa_senml_add(&s, "power", "W", UINT64_C(1700000000123), 12345, 2), POA_OK);
    cr_assert_eq(poa_senml_add_text(&s, "load", NULL, UINT64_C(1700000005000), "0.07", 4), POA_OK);
    cr_assert_eq(poa_senml_end(&s), POA_OK);
    bytes[w.n] = 0;
    CHECK((const char *)bytes,
          {"urn:dev:poa:0011223344556677:power", "W", 1700000000.123, 123.45, true},
          {"urn:dev:poa:0011223344556677:load", NULL, 1700000005.0, 0.07, true});
}

/* A counter of 64 bits is a number like others. */
Test(senml_read, long_integers)
{
    CHECK("[{\"n\":\"a\",\"t\":1300000000,\"v\":18446744073709551615}]",
          {"a", NULL, NOW, 18446744073709551615.0, true});
}
