/* poa vrf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_cli.h"
#include "poa_vrf.h"

static bool suite_of(const struct cli *c, enum poa_vrf_suite *out)
{
    const char *name = c->option[CLI_SUITE];
    if (name != NULL && strcmp(name, "tai") == 0)
        *out = POA_VRF_TAI;
    else if (name != NULL && strcmp(name, "ell2") == 0)
        *out = POA_VRF_ELL2;
    else
        return false;
    return true;
}

/* Bytes of a hex option; false with a line when it is missing or not hex. */
static bool hex_option(const struct cli *c, enum cli_option option, const char *name,
                       uint8_t **bytes, size_t *n)
{
    const char *text = c->option[option];
    if (text == NULL) {
        cli_misuse("--%s HEX is missing", name);
        return false;
    }
    size_t digits = strlen(text);
    *n = digits / 2;
    *bytes = malloc(*n ? *n : 1);
    if (*bytes == NULL || digits % 2 != 0 || poa_unhex(text, *bytes, *n) != POA_OK) {
        free(*bytes);
        *bytes = NULL;
        cli_misuse("--%s: %s is not an even number of hex digits", name, text);
        return false;
    }
    return true;
}

static int print_beta(const struct cli *c, const uint8_t *pi80, const uint8_t beta64[64])
{
    char pi[161] = "", beta[129];
    poa_hex(beta64, 64, beta);
    if (pi80 != NULL)
        poa_hex(pi80, 80, pi);
    if (c->json)
        return cli_print_json(pi80 != NULL ? json_pack("{s:s, s:s}", "pi", pi, "beta", beta)
                                           : json_pack("{s:s}", "beta", beta));
    if (pi80 != NULL)
        printf("pi=%s\n", pi);
    printf("beta=%s\n", beta);
    return 0;
}

int cli_vrf_prove(const struct cli *c)
{
    enum poa_vrf_suite suite;
    uint8_t *sk = NULL, *alpha = NULL, pk[32], pi[80], beta[64];
    size_t sk_n = 0, alpha_n = 0;
    int rc = 1;
    if (!suite_of(c, &suite))
        return cli_misuse("--suite is tai or ell2");
    if (!hex_option(c, CLI_SK, "sk", &sk, &sk_n) ||
        !hex_option(c, CLI_ALPHA, "alpha", &alpha, &alpha_n))
        goto out;
    if (sk_n != 32) {
        cli_misuse("--sk: the seed has 32 bytes, 64 hex digits");
        goto out;
    }
    poa_ed25519_public(sk, pk);
    int error = poa_vrf_prove(suite, sk, pk, poa_slice(alpha, alpha_n), pi);
    if (error == POA_OK)
        error = poa_vrf_proof_to_hash(suite, pi, beta);
    rc = error == POA_OK ? print_beta(c, pi, beta) : cli_fail("%s", poa_error_text(error));
out:
    if (sk != NULL)
        poa_wipe(sk, sk_n);
    free(sk);
    free(alpha);
    return rc;
}

int cli_vrf_verify(const struct cli *c)
{
    enum poa_vrf_suite suite;
    uint8_t *pk = NULL, *alpha = NULL, *pi = NULL, beta[64];
    size_t pk_n = 0, alpha_n = 0, pi_n = 0;
    int rc = 1;
    if (!suite_of(c, &suite))
        return cli_misuse("--suite is tai or ell2");
    if (hex_option(c, CLI_PK, "pk", &pk, &pk_n) &&
        hex_option(c, CLI_ALPHA, "alpha", &alpha, &alpha_n) &&
        hex_option(c, CLI_PI, "pi", &pi, &pi_n)) {
        int error = poa_vrf_verify_strings(suite, poa_slice(pk, pk_n), poa_slice(alpha, alpha_n),
                                           poa_slice(pi, pi_n), beta);
        rc = error == POA_OK ? print_beta(c, NULL, beta) : cli_fail("%s", poa_error_text(error));
    }
    free(pk);
    free(alpha);
    free(pi);
    return rc;
}
