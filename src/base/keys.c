#include "poa_keys.h"

#include <pthread.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <stdatomic.h>
#include <string.h>

_Static_assert(sizeof(struct poa_bip340_signer) >= sizeof(secp256k1_keypair), "signer too small");

static pthread_once_t once = PTHREAD_ONCE_INIT;
static secp256k1_context *context_made;

static void make_context(void)
{
    uint8_t seed[32];
    int rc = poa_crypto_init();
    POA_ASSERT(rc == POA_OK);
    context_made = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
    POA_ASSERT(context_made != NULL);
    /* Blinds the multiplications with secrets against side channels. */
    poa_random(seed, sizeof seed);
    rc = secp256k1_context_randomize(context_made, seed);
    POA_ASSERT(rc == 1);
    poa_wipe(seed, sizeof seed);
}

/* Made once and then only read, which the library allows from many threads. */
static const secp256k1_context *context(void)
{
    int rc = pthread_once(&once, make_context);
    POA_ASSERT(rc == 0);
    return context_made;
}

int poa_bip340_signer_init(struct poa_bip340_signer *s, const uint8_t sk32[32])
{
    secp256k1_keypair pair;
    if (secp256k1_keypair_create(context(), &pair, sk32) != 1)
        return POA_E_KEY;
    memcpy(s->opaque, &pair, sizeof pair);
    poa_wipe(&pair, sizeof pair);
    return POA_OK;
}

int poa_bip340_signer_sign(const struct poa_bip340_signer *s, const void *msg, size_t n,
                           const uint8_t *aux32, uint8_t sig64[64])
{
    secp256k1_keypair pair;
    secp256k1_schnorrsig_extraparams extra = SECP256K1_SCHNORRSIG_EXTRAPARAMS_INIT;
    uint8_t aux[32] = {0};
    if (aux32 != NULL)
        memcpy(aux, aux32, 32);
    extra.ndata = aux;
    memcpy(&pair, s->opaque, sizeof pair);
    int ok = secp256k1_schnorrsig_sign_custom(context(), sig64, msg, n, &pair, &extra);
    poa_wipe(&pair, sizeof pair);
    return ok == 1 ? POA_OK : POA_E_KEY;
}

int poa_bip340_public(const uint8_t sk32[32], uint8_t pk32[32])
{
    secp256k1_keypair pair;
    secp256k1_xonly_pubkey pk;
    if (secp256k1_keypair_create(context(), &pair, sk32) != 1)
        return POA_E_KEY;
    int ok = secp256k1_keypair_xonly_pub(context(), &pk, NULL, &pair);
    poa_wipe(&pair, sizeof pair);
    if (ok != 1 || secp256k1_xonly_pubkey_serialize(context(), pk32, &pk) != 1)
        return POA_E_KEY;
    return POA_OK;
}

int poa_bip340_sign(const uint8_t sk32[32], const void *msg, size_t n, const uint8_t *aux32,
                    uint8_t sig64[64])
{
    struct poa_bip340_signer s;
    int rc = poa_bip340_signer_init(&s, sk32);
    if (rc != POA_OK)
        return rc;
    rc = poa_bip340_signer_sign(&s, msg, n, aux32, sig64);
    poa_wipe(&s, sizeof s);
    return rc;
}

int poa_bip340_verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    secp256k1_xonly_pubkey pk;
    if (secp256k1_xonly_pubkey_parse(context(), &pk, pk32) != 1)
        return POA_E_KEY;
    return secp256k1_schnorrsig_verify(context(), sig64, msg, n, &pk) == 1 ? POA_OK
                                                                           : POA_E_SIGNATURE;
}

/* To take the y of a key from its x is an eighth of a verification. Who signs
 * once mostly signs again, so the keys of signatures that were right are kept, one
 * per place. Threads never wait for one another here: whoever finds a place busy
 * does without. Untouched pages cost nothing: programs that verify little stay
 * small. */
#define KNOWN_KEYS 16384u /* 1.7 MB */
static struct known {
    atomic_bool busy;
    bool set;
    uint8_t key[32];
    secp256k1_xonly_pubkey parsed;
} known_keys[KNOWN_KEYS];

static int verify_known(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    struct known *k = &known_keys[poa_le32(pk32) % KNOWN_KEYS];
    secp256k1_xonly_pubkey pk;
    bool found = false;
    if (!atomic_exchange_explicit(&k->busy, true, memory_order_acquire)) {
        found = k->set && memcmp(k->key, pk32, 32) == 0;
        if (found)
            pk = k->parsed;
        atomic_store_explicit(&k->busy, false, memory_order_release);
    }
    if (!found && secp256k1_xonly_pubkey_parse(context(), &pk, pk32) != 1)
        return POA_E_KEY;
    if (secp256k1_schnorrsig_verify(context(), sig64, msg, n, &pk) != 1)
        return POA_E_SIGNATURE;
    if (!found && !atomic_exchange_explicit(&k->busy, true, memory_order_acquire)) {
        memcpy(k->key, pk32, 32);
        k->parsed = pk;
        k->set = true;
        atomic_store_explicit(&k->busy, false, memory_order_release);
    }
    return POA_OK;
}

int poa_key_public(enum poa_key_type type, const uint8_t secret32[32], uint8_t pk32[32])
{
    switch (type) {
    case POA_KEY_BIP340:
        return poa_bip340_public(secret32, pk32);
    case POA_KEY_ED25519:
        poa_ed25519_public(secret32, pk32);
        return POA_OK;
    }
    return POA_E_RANGE;
}

int poa_key_new(enum poa_key_type type, uint8_t secret32[32], uint8_t pk32[32])
{
    int rc;
    do { /* a second round has a chance of 2^-128 */
        poa_random(secret32, 32);
        rc = poa_key_public(type, secret32, pk32);
    } while (rc == POA_E_KEY);
    return rc;
}

int poa_key_sign(enum poa_key_type type, const uint8_t secret32[32], const void *msg, size_t n,
                 uint8_t sig64[64])
{
    switch (type) {
    case POA_KEY_BIP340:
        return poa_bip340_sign(secret32, msg, n, NULL, sig64);
    case POA_KEY_ED25519: {
        uint8_t pk[32];
        poa_ed25519_public(secret32, pk);
        poa_ed25519_sign(secret32, pk, msg, n, sig64);
        return POA_OK;
    }
    }
    return POA_E_RANGE;
}

int poa_key_verify(uint8_t type, const uint8_t pk32[32], const void *msg, size_t n,
                   const uint8_t sig64[64])
{
    switch (type) {
    case POA_KEY_BIP340:
        return verify_known(pk32, msg, n, sig64);
    case POA_KEY_ED25519:
        return poa_ed25519_verify(pk32, msg, n, sig64);
    default:
        return POA_E_RANGE;
    }
}

const char *poa_key_type_name(uint8_t type)
{
    switch (type) {
    case POA_KEY_BIP340:
        return "bip340";
    case POA_KEY_ED25519:
        return "ed25519";
    default:
        return "unknown";
    }
}
