/* The witness bound of the drawn committee, from a node's state. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

static uint8_t members[31 * 42], genesis_bytes[1024];
static bool known = true;

static int fake_read(void *ctx, enum poa_state_table table, const void *key, size_t n,
                     struct poa_writer *out)
{
    (void)ctx;
    struct poa_st_epoch epoch = {.relaxed = 2};
    struct poa_committee committee = {
        .epoch = 7, .quorum = 21, .members = {poa_slice(members, sizeof members), 31}};
    if (!known || n != 4 || poa_le32(key) != 7)
        return POA_E_NOT_FOUND;
    if (table == POA_STATE_EPOCH)
        return poa_st_epoch_encode(out, &epoch);
    return table == POA_STATE_COMMITTEE ? poa_committee_encode(out, &committee)
                                        : (int)POA_E_NOT_FOUND;
}

static void fake_status(void *ctx, struct poa_rpc_status *out)
{
    (void)ctx;
    out->core.epoch = 7;
    out->version = "x";
}

static const struct poa_rpc_backend backend = {.status = fake_status, .read = fake_read};
static struct poa_rpc_node node = {.backend = &backend};

static void setup(void)
{
    struct poa_genesis g = {.version = 1,
                            .name = poa_slice("test", 4),
                            .risk_p_ppb = 50000000,
                            .risk_offline_ppb = 10000000,
                            .risk_target_exp = 6,
                            .risk_stall_exp = 5};
    struct poa_writer w = poa_writer_over(genesis_bytes, sizeof genesis_bytes);
    cr_assert_eq(poa_genesis_encode(&w, &g), POA_OK);
    node.genesis = poa_written(&w);
    w = poa_writer_over(members, sizeof members);
    for (uint32_t i = 0; i < 31; i++) {
        struct poa_member m = {
            .key = {(uint8_t)i}, .maker = i % 8, .region = (uint16_t)(i % 10), .provider = i % 5};
        cr_assert_eq(poa_member_encode(&w, &m), POA_OK);
    }
}

Test(risk, of_an_epoch, .init = setup)
{
    struct poa_risk r;
    bool devnet = true;
    cr_assert_eq(poa_rpc_risk(&node, 7, &r, &devnet), POA_OK);
    cr_expect(!devnet && r.n == 31 && r.q == 21 && r.relaxed == 2);
    cr_expect(r.maker == 4 && r.region == 4 && r.provider == 7);
    cr_expect_eq(r.bounds.fork.value, poa_bounds_binomial(31, 21, 0.05, 0.01).fork.value);
    cr_expect(r.target == 1e-6 && r.stall_target == 1e-5 && r.met);
    cr_expect_eq(poa_rpc_risk(&node, 8, &r, &devnet), POA_E_NOT_FOUND);
}

Test(risk, as_json, .init = setup)
{
    struct poa_risk r;
    bool devnet;
    cr_assert_eq(poa_rpc_risk(&node, 7, &r, &devnet), POA_OK);
    json_t *v = poa_json_risk(&r, devnet), *group = json_object_get(v, "group");
    cr_assert_not_null(v);
    cr_expect_eq(json_number_value(json_object_get(v, "fork")), r.bounds.fork.value);
    cr_expect_eq(json_number_value(json_object_get(v, "target")), 1e-6);
    cr_expect_eq(json_number_value(json_object_get(v, "stall_target")), 1e-5);
    cr_expect(json_is_true(json_object_get(v, "met")));
    cr_expect(json_is_false(json_object_get(v, "devnet")));
    cr_expect_eq(json_integer_value(json_object_get(group, "provider")), 7);
    cr_expect_eq(json_number_value(json_object_get(group, "fork")), r.group.fork.value);
    json_decref(v);
    /* no target: null, and nothing is met; impossible: no logarithm */
    memset(&r, 0, sizeof r);
    r.bounds.forge.ln = -INFINITY;
    v = poa_json_risk(&r, true);
    cr_assert_not_null(v);
    cr_expect(json_is_null(json_object_get(v, "target")));
    cr_expect(json_is_null(json_object_get(json_object_get(v, "log10"), "forge")));
    json_decref(v);
}

Test(risk, as_metrics, .init = setup)
{
    size_t n = 0;
    char *text = poa_rpc_metrics_text(&node, &n);
    cr_assert_not_null(text);
    cr_expect(strstr(text, "\npoa_witness_target_met 1\n"));
    cr_expect(strstr(text, "\npoa_witness_caps_raised 2\n"));
    const char *fork = strstr(text, "\npoa_witness_fork_probability ");
    cr_assert_not_null(fork);
    cr_expect_eq(strtod(strchr(fork, ' '), NULL), poa_binomial_tail(31, 0.05, 11).value);
    free(text);
    known = false; /* before the state is there: left out, not wrong */
    text = poa_rpc_metrics_text(&node, &n);
    cr_assert_not_null(text);
    cr_expect_null(strstr(text, "poa_witness_"));
    free(text);
}
