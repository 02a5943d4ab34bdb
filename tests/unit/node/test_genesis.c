/* Genesis files in both forms. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_genesis_json.h"
#include "poa_rpc_json.h"

#define SEED_BYTES                                                                                 \
    {                                                                                              \
        1, 2, 3                                                                                    \
    }

/* A record that obeys the rules: one witness, one maker, one account. */
static json_t *sample(void)
{
    uint8_t seed[32] = SEED_BYTES, key[32], address[32], list[3][1024];
    poa_ed25519_public(seed, key);
    poa_address_of_key(POA_KEY_ED25519, key, address);
    struct poa_op_maker maker = {.maker = 1, .name = poa_slice("Kettle \"Works\"", 14)};
    struct poa_op_witness witness = {.maker = 1, .name = poa_slice("one", 3)};
    struct poa_genesis_account account = {.balance = UINT64_C(18000000000000000000)};
    memcpy(maker.key, key, 32);
    memcpy(witness.key, key, 32);
    memcpy(witness.payout, address, 32);
    memcpy(account.address, address, 32);
    struct poa_writer w[3];
    for (int i = 0; i < 3; i++)
        w[i] = poa_writer_over(list[i], sizeof list[i]);
    cr_assert_eq(poa_op_maker_encode(&w[0], &maker), POA_OK);
    cr_assert_eq(poa_op_witness_encode(&w[1], &witness), POA_OK);
    cr_assert_eq(poa_genesis_account_encode(&w[2], &account), POA_OK);
    struct poa_genesis g = {.version = 1,
                            .name = poa_slice("test", 4),
                            .devnet = 1,
                            .time_ms = 1700000000000,
                            .slot_ms = 1000,
                            .block_min_ms = 10,
                            .heartbeat_ms = 500,
                            .timeout_ms = 300,
                            .timeout_max_ms = 4000,
                            .drift_ms = 500,
                            .epoch_views = 1000,
                            .window_slots = 32,
                            .seats_per_slot = 3,
                            .seal_slots = 16,
                            .subsidy = 1000,
                            .miner_bp = 5000,
                            .sealers_bp = 4000,
                            .tip = 1,
                            .fee_min = 1,
                            .accounts = {poa_written(&w[2]), 1},
                            .makers = {poa_written(&w[0]), 1},
                            .witnesses = {poa_written(&w[1]), 1}};
    memcpy(g.steering, address, 32);
    memcpy(g.treasury, address, 32);
    return poa_json_record(&poa_genesis_record, &g);
}

static const char *temp(const char *suffix)
{
    static char path[256];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/poa-genesis.%ld.%s", tmp ? tmp : "/tmp", (long)getpid(),
             suffix);
    unlink(path);
    return path;
}

Test(genesis, both_forms_are_the_same_chain)
{
    struct poa_why why = {""};
    json_t *j = sample();
    uint8_t *bytes = NULL, *again = NULL, *third = NULL;
    size_t n = 0, again_n = 0, third_n = 0;
    struct poa_genesis g;
    cr_assert_eq(poa_genesis_from_json(j, &bytes, &n, &why), POA_OK, "%s", why.text);
    json_t *back = poa_genesis_to_json(poa_slice(bytes, n));
    cr_assert(json_equal(j, back));
    cr_assert_null(poa_genesis_to_json(poa_slice(bytes, n - 1)));

    const char *path = temp("json");
    cr_assert_eq(json_dump_file(j, path, JSON_INDENT(2)), 0);
    cr_assert_eq(poa_genesis_load(path, &again, &again_n, &g, &why), POA_OK, "%s", why.text);
    cr_assert(poa_slice_equal(poa_slice(bytes, n), poa_slice(again, again_n)));
    cr_assert_eq(g.slot_ms, 1000);
    unlink(path);

    path = temp("poa");
    cr_assert_eq(poa_genesis_save(path, &g, &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_genesis_save(path, &g, &why), POA_E_EXISTS, "never overwritten");
    cr_assert_eq(poa_genesis_load(path, &third, &third_n, &g, &why), POA_OK, "%s", why.text);
    cr_assert(poa_slice_equal(poa_slice(bytes, n), poa_slice(third, third_n)));
    unlink(path);
    free(bytes);
    free(again);
    free(third);
    json_decref(j);
    json_decref(back);
}

/* TEXT in a file is refused, and WHY has SAYS. */
static void refused(const char *text, const char *says)
{
    struct poa_why why = {""};
    struct poa_genesis g;
    uint8_t *bytes = NULL;
    size_t n = 0;
    const char *path = temp("bad");
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    cr_assert_neq(poa_genesis_load(path, &bytes, &n, &g, &why), POA_OK, "%.40s", text);
    cr_assert_null(bytes);
    cr_assert(strstr(why.text, says), "%s", why.text);
    cr_assert(strstr(why.text, path), "%s", why.text);
    unlink(path);
}

static void refused_with(const char *field, json_t *value, const char *says)
{
    json_t *j = sample();
    if (value)
        json_object_set_new(j, field, value);
    else
        json_object_del(j, field);
    char *text = json_dumps(j, 0);
    refused(text, says);
    free(text);
    json_decref(j);
}

Test(genesis, what_is_wrong_is_said)
{
    struct poa_why why = {""};
    struct poa_genesis g;
    uint8_t *bytes = NULL;
    size_t n = 0;
    cr_assert_eq(poa_genesis_load("/nonexistent/genesis.poa", &bytes, &n, &g, &why),
                 POA_E_NOT_FOUND);
    refused("garbage", "not a genesis file");
    refused("", "not a genesis file");
    refused("{\"a\":1,", ":1:");
    refused("{\"slot_ms\":1,\"slot_ms\":2}", "duplicate");
    refused_with("slot_ms", NULL, "slot_ms");
    refused_with("slot_ms", json_integer(-1), "slot_ms");
    refused_with("slot_ms", json_string("x"), "slot_ms");
    refused_with("surprise", json_integer(1), "surprise");
    refused_with("steering", json_string("poa1xyz"), "steering");
    refused_with("slot_ms", json_integer(0), "slot");
    refused_with("witnesses", json_array(), "witness");
}
