/* What devices need to check a value of the state against a root.
 *
 *   state key  k = H(STATE_KEY, table u8 || key)
 *   claim      u8 n || value            when the value has n <= 64 bytes
 *              0xff || H(STATE_VALUE, value)   when it is longer
 *   leaf       H(STATE_LEAF, k || claim)
 *   inner      H(STATE_NODE, bit u8 || left || right)
 *
 * An inner node names the first bit in which its leaves' keys differ, bit 0
 * being the top bit of the first byte; leaves with that bit 0 are on the left.
 * The root of the empty tree is 32 zero bytes.
 *
 * Proof: u16 steps, then from the root down (bit u8, hash of the other child)
 * for each, then, to prove absence, the key and claim of the leaf where k's
 * bits lead: were k in the tree, it would be there.
 *
 * Freestanding C99. */
#include <string.h>

#include "ledger.h"

void poa_state_key_from(const struct hash_begun *begun, enum poa_state_table table, const void *key,
                        size_t key_n, uint8_t out32[32])
{
    struct poa_hash_state s;
    uint8_t number = (uint8_t)table;
    memcpy(&s, begun->bytes, sizeof s);
    poa_hash_update(&s, &number, 1);
    poa_hash_update(&s, key, key_n);
    poa_hash_final(&s, out32);
}

void poa_state_key(enum poa_state_table table, const void *key, size_t key_n, uint8_t out32[32])
{
    uint8_t number = (uint8_t)table;
    poa_hash2(POA_DOMAIN_STATE_KEY, &number, 1, key, key_n, out32);
}

size_t poa_leaf_claim(struct poa_slice value, uint8_t out[1 + POA_LEAF_INLINE_MAX])
{
    if (value.n <= POA_LEAF_INLINE_MAX) {
        out[0] = (uint8_t)value.n;
        memcpy(out + 1, value.p, value.n);
        return 1 + value.n;
    }
    out[0] = 0xff;
    poa_hash(POA_DOMAIN_STATE_VALUE, value.p, value.n, out + 1);
    return 33;
}

void poa_leaf_hash_from(const struct hash_begun *begun, const uint8_t key[32], const uint8_t *claim,
                        size_t claim_n, uint8_t out32[32])
{
    struct poa_hash_state s;
    memcpy(&s, begun->bytes, sizeof s);
    poa_hash_update(&s, key, 32);
    poa_hash_update(&s, claim, claim_n);
    poa_hash_final(&s, out32);
}

static void leaf_hash(const uint8_t key[32], const uint8_t *claim, size_t claim_n,
                      uint8_t out32[32])
{
    poa_hash2(POA_DOMAIN_STATE_LEAF, key, 32, claim, claim_n, out32);
}

void poa_node_hash_from(const struct hash_begun *begun, uint8_t bit, const uint8_t left[32],
                        const uint8_t right[32], uint8_t out32[32])
{
    struct poa_hash_state s;
    uint8_t in[65];
    memcpy(&s, begun->bytes, sizeof s);
    in[0] = bit;
    memcpy(in + 1, left, 32);
    memcpy(in + 33, right, 32);
    poa_hash_update(&s, in, sizeof in);
    poa_hash_final(&s, out32);
}

static void node_hash(uint8_t bit, const uint8_t left[32], const uint8_t right[32],
                      uint8_t out32[32])
{
    uint8_t in[33];
    in[0] = bit;
    memcpy(in + 1, left, 32);
    poa_hash2(POA_DOMAIN_STATE_NODE, in, sizeof in, right, 32, out32);
}

/* Reads the key and claim of another leaf; N is what is left of the proof. */
static int take_neighbour(const uint8_t *p, size_t n, const uint8_t key[32], uint8_t hash[32])
{
    size_t claim;
    if (n < 33)
        return POA_E_PROOF;
    if (p[32] == 0xff)
        claim = 33;
    else if (p[32] && p[32] <= POA_LEAF_INLINE_MAX)
        claim = 1 + (size_t)p[32];
    else
        return POA_E_PROOF;
    if (n != 32 + claim || !memcmp(p, key, 32))
        return POA_E_PROOF;
    leaf_hash(p, p + 32, claim, hash);
    return POA_OK;
}

int poa_proof_check(const uint8_t root32[32], enum poa_state_table table, const void *key,
                    size_t key_n, struct poa_slice value, struct poa_slice proof)
{
    uint8_t skey[32], hash[32], claim[1 + POA_LEAF_INLINE_MAX];
    const uint8_t *neighbour = NULL;
    size_t steps, tail;
    if (proof.n < 2)
        return POA_E_PROOF;
    steps = poa_le16(proof.p);
    if (steps > 256 || proof.n < 2 + steps * 33)
        return POA_E_PROOF;
    tail = proof.n - 2 - steps * 33;
    poa_state_key(table, key, key_n, skey);
    if (value.n) {
        if (tail)
            return POA_E_PROOF;
        leaf_hash(skey, claim, poa_leaf_claim(value, claim), hash);
    } else if (!steps && !tail) {
        memset(hash, 0, 32); /* nothing is in the empty tree */
    } else {
        neighbour = proof.p + proof.n - tail;
        if (take_neighbour(neighbour, tail, skey, hash))
            return POA_E_PROOF;
    }
    for (size_t i = steps; i-- > 0;) {
        const uint8_t *step = proof.p + 2 + i * 33;
        int side = key_bit(skey, step[0]);
        if (i && step[0] <= step[-33])
            return POA_E_PROOF;
        if (neighbour && key_bit(neighbour, step[0]) != side)
            return POA_E_PROOF;
        if (side)
            node_hash(step[0], step + 1, hash, hash);
        else
            node_hash(step[0], hash, step + 1, hash);
    }
    return memcmp(hash, root32, 32) ? POA_E_PROOF : POA_OK;
}
