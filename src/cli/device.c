/* poa device: what an owner does with a device that shows its pairing code. */
#include <stdio.h>
#include <string.h>

#include "cli_tx.h"
#include "poa_agent.h"

static int read_code(const char *text, uint8_t buffer[AGENT_PAIR_BYTES], struct poa_op_device *d)
{
    return agent_pair_parse(text, buffer, d) == POA_OK
               ? 0
               : cli_misuse("that is no pairing code: scan what `poa-device --pair` shows, it "
                            "begins with POA:PAIR:");
}

static int chain_of(const struct cli *c, uint8_t chain32[32])
{
    json_t *v;
    if (cli_call(c, "poa_status", NULL, &v) != POA_OK)
        return 1;
    int rc = poa_unhex(cli_text(v, "chain"), chain32, 32) == POA_OK
                 ? 0
                 : cli_fail("the node's answer cannot be read: has it the same version?");
    json_decref(v);
    return rc;
}

/* The maker's signature over D, by the key --maker-key. */
static int sign_as_maker(const struct cli *c, const uint8_t chain32[32], struct poa_op_device *d)
{
    struct poa_keystore_info info;
    uint8_t secret[32], maker[32], device[32];
    int rc = cli_open_key(c, c->option[CLI_MAKER_KEY], &info, secret);
    if (rc != 0)
        return rc;
    if (info.type != POA_KEY_ED25519 || memcmp(info.pk, d->maker_key, 32) != 0) {
        char key[65];
        poa_hex(d->maker_key, 32, key);
        rc = cli_fail("the device says that its maker's key is %.16s..., which %s is not", key,
                      c->option[CLI_MAKER_KEY]);
    } else {
        poa_attest_digests(chain32, d, maker, device);
        poa_suite_ed25519.sign(secret, info.pk, maker, sizeof maker, d->maker_sig);
    }
    poa_wipe(secret, sizeof secret);
    return rc;
}

int cli_device_attest(const struct cli *c)
{
    struct poa_op_device d;
    uint8_t buffer[AGENT_PAIR_BYTES], chain[32];
    char sig[129];
    if (c->option[CLI_MAKER_KEY] == NULL)
        return cli_misuse("say with which key the maker signs: --maker-key LABEL");
    int rc = read_code(c->argument[0], buffer, &d);
    if (rc == 0)
        rc = chain_of(c, chain);
    if (rc == 0)
        rc = sign_as_maker(c, chain, &d);
    if (rc != 0)
        return rc;
    poa_hex(d.maker_sig, 64, sig);
    if (c->json)
        return cli_print_json(json_pack("{s:s}", "attestation", sig));
    puts(sig);
    return 0;
}

static int check(const struct cli *c, const uint8_t chain32[32], const struct poa_op_device *d)
{
    uint8_t payer[32];
    char owner[POA_ADDRESS_TEXT_BYTES];
    int rc = cli_address(c, c->option[CLI_FROM], payer);
    if (rc != 0)
        return rc;
    poa_address_to_text(d->owner, owner);
    if (memcmp(payer, d->owner, 32) != 0)
        return cli_fail("the device was told that its owner is %s, not %s: start it with --pair "
                        "and the right address",
                        owner, c->option[CLI_FROM]);
    switch (poa_device_attest_check(&poa_suite_ed25519, chain32, d)) {
    case POA_OK:
        return 0;
    case POA_E_TX_ATTESTATION:
        return cli_fail("its maker's signature is missing or wrong: --maker-key here, or "
                        "--attestation with what `poa device attest` gave");
    default:
        return cli_fail("the device signed for another network, or the code is damaged");
    }
}

int cli_device_pair(const struct cli *c)
{
    struct poa_op_device d;
    uint8_t buffer[AGENT_PAIR_BYTES], chain[32];
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    int rc = read_code(c->argument[0], buffer, &d);
    if (rc == 0)
        rc = chain_of(c, chain);
    if (rc == 0 && c->option[CLI_MAKER_KEY] != NULL)
        rc = sign_as_maker(c, chain, &d);
    const char *sig = c->option[CLI_ATTESTATION];
    if (rc == 0 && sig != NULL && (strlen(sig) != 128 || poa_unhex(sig, d.maker_sig, 64)))
        rc = cli_misuse("--attestation: 128 hex digits from `poa device attest`");
    if (rc == 0)
        rc = check(c, chain, &d);
    return rc != 0 ? rc : cli_one_op(c, POA_OP_DEVICE_REGISTER, &poa_op_device_record, &d, NULL);
}

int cli_device_presence(const struct cli *c)
{
    char key[65];
    json_t *v;
    int rc = cli_device_key(c, c->argument[0], key);
    if (rc != 0)
        return rc;
    if (cli_call(c, "poa_presence_get", json_pack("{s:s}", "device", key), &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    bool here = json_is_true(json_object_get(v, "connected"));
    printf("%-14s %s\n%-14s %s%s\n", "device", cli_text(v, "device"), "presence",
           here ? "connected" : "not connected to this gateway",
           json_is_true(json_object_get(v, "shared")) ? ", behind a trunk" : "");
    if (here)
        printf("%-14s %s\n", "since_ms", cli_text(v, "since_ms"));
    json_decref(v);
    return 0;
}
