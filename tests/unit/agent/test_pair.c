/* Pairing codes: text, back, and no bit of it unnoticed. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_agent.h"

static uint8_t chain[32] = {7}, seed[32] = {1}, maker_seed[32] = {2};

static struct poa_op_device make(char text[AGENT_PAIR_TEXT])
{
    struct poa_op_device d = {.maker = 3, .region = 9};
    cr_assert_eq(poa_crypto_init(), POA_OK);
    poa_ed25519_public(maker_seed, d.maker_key);
    memset(d.owner, 0x11, 32);
    memset(d.payout, 0x22, 32);
    d.meta = poa_slice("kitchen", 7);
    cr_assert_eq(agent_pair_text(chain, seed, &d, text), POA_OK);
    return d;
}

static int registered(const char *text)
{
    uint8_t buffer[AGENT_PAIR_BYTES], maker[32], device[32];
    struct poa_op_device d;
    int e = agent_pair_parse(text, buffer, &d);
    if (e)
        return e;
    poa_attest_digests(chain, &d, maker, device);
    poa_suite_ed25519.sign(maker_seed, d.maker_key, maker, sizeof maker, d.maker_sig);
    return poa_device_attest_check(&poa_suite_ed25519, chain, &d);
}

Test(pair, there_and_back)
{
    char text[AGENT_PAIR_TEXT];
    uint8_t buffer[AGENT_PAIR_BYTES];
    struct poa_op_device d = make(text), back;
    cr_assert_eq(agent_pair_parse(text, buffer, &back), POA_OK);
    cr_expect_arr_eq(back.device, d.device, 32);
    cr_expect_arr_eq(back.owner, d.owner, 32);
    cr_expect_arr_eq(back.payout, d.payout, 32);
    cr_expect_eq(back.maker, 3);
    cr_expect_eq(back.region, 9);
    cr_expect(poa_slice_equal(back.meta, d.meta));
    cr_expect_eq(registered(text), POA_OK);
}

Test(pair, changed_or_cut_codes_register_nothing)
{
    char text[AGENT_PAIR_TEXT];
    make(text);
    size_t n = strlen(text);
    for (size_t i = 9; i < n; i++) {
        char kept = text[i];
        text[i] = kept == '0' ? '1' : '0';
        cr_expect_neq(registered(text), POA_OK, "character %zu", i);
        text[i] = kept;
    }
    for (size_t i = n; i-- > 0;) {
        text[i] = 0;
        cr_expect_neq(registered(text), POA_OK, "cut at %zu", i);
    }
    cr_expect_eq(registered("POA:PAIR:"), POA_E_TEXT);
    cr_expect_eq(registered("https://example.org/"), POA_E_TEXT);
}

Test(pair, the_longest_fits_in_a_qr_code)
{
    char text[AGENT_PAIR_TEXT], meta[255];
    struct poa_op_device d = {.maker = UINT32_MAX, .region = UINT16_MAX};
    cr_assert_eq(poa_crypto_init(), POA_OK);
    memset(meta, 'x', sizeof meta);
    d.meta = poa_slice(meta, sizeof meta);
    cr_assert_eq(agent_pair_text(chain, seed, &d, text), POA_OK);
    FILE *f = tmpfile();
    cr_assert_not_null(f);
    cr_expect_eq(agent_qr_print(f, text), POA_OK);
    cr_expect_gt(ftell(f), 1000);
    fclose(f);
}
