/* Records to JSON and back. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

/* A genesis with every kind of field: names, addresses, blobs, nested lists. */
static json_t *genesis_json(void)
{
    static uint8_t lists[4096];
    struct poa_genesis g;
    memset(&g, 0, sizeof g);
    g.version = 1;
    g.name = poa_slice("net \"é\"", 8);
    g.time_ms = UINT64_MAX;
    g.slot_ms = UINT32_MAX;
    struct poa_writer w = poa_writer_over(lists, sizeof lists);
    for (uint8_t i = 0; i < 3; i++) {
        struct poa_genesis_account a = {{i}, 9007199254740993u + i};
        cr_assert_eq(poa_genesis_account_encode(&w, &a), POA_OK);
    }
    g.accounts = (struct poa_list){poa_written(&w), 3};
    size_t start = w.n;
    struct poa_op_maker m = {.maker = 7,
                             .key = {1, 2},
                             .name = poa_slice("Kettles", 7),
                             .meta = poa_slice("\x00\xff", 2)};
    cr_assert_eq(poa_op_maker_encode(&w, &m), POA_OK);
    g.makers = (struct poa_list){poa_slice(lists + start, w.n - start), 1};
    return poa_json_record(&poa_genesis_record, &g);
}

Test(json, record_survives_the_way_there_and_back)
{
    json_t *v = genesis_json();
    cr_assert_not_null(v);
    cr_expect_str_eq(json_string_value(json_object_get(v, "time_ms")), "18446744073709551615");
    cr_expect_eq(json_integer_value(json_object_get(v, "slot_ms")), 4294967295);
    json_t *account = json_array_get(json_object_get(v, "accounts"), 2);
    cr_expect_str_eq(json_string_value(json_object_get(account, "balance")), "9007199254740995");
    cr_expect_eq(strncmp(json_string_value(json_object_get(account, "address")), "poa1", 4), 0);
    json_t *maker = json_array_get(json_object_get(v, "makers"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(maker, "name")), "Kettles");
    cr_expect_str_eq(json_string_value(json_object_get(maker, "meta")), "00ff");

    static uint8_t bytes[8192];
    struct poa_writer scratch = poa_writer_over(bytes, sizeof bytes);
    struct poa_genesis g;
    struct poa_why why;
    int rc = poa_json_to_record(&poa_genesis_record, v, &scratch, &g, &why);
    cr_assert_eq(rc, POA_OK, "%s", why.text);
    json_t *again = poa_json_record(&poa_genesis_record, &g);
    cr_expect(json_equal(v, again));
    json_decref(again);
    json_decref(v);
}

/* Sets FIELD to the JSON in TEXT and expects it to be refused with CODE. */
static void refuse(const char *field, const char *text, int code)
{
    json_t *v = genesis_json();
    json_object_set_new(v, field, json_loads(text, JSON_DECODE_ANY, NULL));
    static uint8_t bytes[8192];
    struct poa_writer scratch = poa_writer_over(bytes, sizeof bytes);
    struct poa_genesis g;
    struct poa_why why = {{0}};
    int rc = poa_json_to_record(&poa_genesis_record, v, &scratch, &g, &why);
    cr_expect_eq(rc, code, "%s = %s gave %d", field, text, rc);
    cr_expect(strlen(why.text) > 0);
    json_decref(v);
}

Test(json, what_is_not_the_record_is_refused)
{
    refuse("version", "2", POA_E_RANGE);
    refuse("version", "\"x\"", POA_E_TEXT);
    refuse("slot_ms", "4294967296", POA_E_RANGE);
    refuse("slot_ms", "-1", POA_E_RANGE);
    refuse("time_ms", "\"18446744073709551616\"", POA_E_RANGE);
    refuse("time_ms", "1.5", POA_E_TEXT);
    refuse("steering", "\"poa1x\"", POA_E_TEXT);
    refuse("name", "7", POA_E_TEXT);
    refuse("name", "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
           POA_E_TOO_LONG);
    refuse("accounts", "{}", POA_E_TEXT);
    refuse("accounts", "[1]", POA_E_TEXT);
    refuse("accounts", "[{}]", POA_E_TEXT);
    refuse("no_such_field", "1", POA_E_TEXT);
}

Test(json, short_scratch_is_an_error)
{
    json_t *v = genesis_json();
    for (size_t cap = 0; cap < 200; cap++) {
        uint8_t *bytes = malloc(cap ? cap : 1); /* so that ASan sees an overrun */
        struct poa_writer scratch = poa_writer_over(bytes, cap);
        struct poa_genesis g;
        int rc = poa_json_to_record(&poa_genesis_record, v, &scratch, &g, NULL);
        cr_assert(rc == POA_OK || rc == POA_E_BUFFER, "%zu: %d", cap, rc);
        free(bytes);
    }
    json_decref(v);
}

Test(json, text_is_text_or_null)
{
    json_t *v = poa_json_text(poa_slice("kettle é", 9));
    cr_expect(json_is_string(v));
    json_decref(v);
    cr_expect(json_is_null(poa_json_text(poa_slice("\xff", 1))));
    cr_expect(json_is_null(poa_json_text(poa_slice("a\nb", 3))));
}
