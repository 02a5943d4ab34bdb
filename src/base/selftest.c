#include "poa_keys.h"

#include <string.h>

/* BIP340 test vector 0: secret key 3, message and randomness zero. */
static int bip340(void)
{
    static const char pk_hex[] = "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9";
    static const char sig_hex[] =
        "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
        "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0";
    uint8_t sk[32] = {0}, msg[32] = {0}, aux[32] = {0}, pk[32], want_pk[32], sig[64], want_sig[64];
    sk[31] = 3;
    if (poa_unhex(pk_hex, want_pk, 32) != POA_OK || poa_unhex(sig_hex, want_sig, 64) != POA_OK)
        return POA_E_SELFTEST;
    if (poa_bip340_public(sk, pk) != POA_OK || memcmp(pk, want_pk, 32) != 0 ||
        poa_bip340_sign(sk, msg, 32, aux, sig) != POA_OK || memcmp(sig, want_sig, 64) != 0 ||
        poa_bip340_verify(pk, msg, 32, sig) != POA_OK)
        return POA_E_SELFTEST;
    sig[63] ^= 1;
    return poa_bip340_verify(pk, msg, 32, sig) == POA_E_SIGNATURE ? POA_OK : POA_E_SELFTEST;
}

int poa_crypto_selftest(const char **what)
{
    int rc = poa_crypto_selftest_device(what);
    if (rc != POA_OK)
        return rc;
    if (bip340() != POA_OK) {
        *what = "BIP340";
        return POA_E_SELFTEST;
    }
    return POA_OK;
}
