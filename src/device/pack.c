/* Signed packs of readings and the tree that anchors many of them. */
#include <string.h>

#include "poa_edge.h"

static void pack_digest(const uint8_t chain32[32], struct poa_slice encoded, uint8_t out32[32])
{
    poa_hash2(POA_DOMAIN_PACK, chain32, 32, encoded.p, encoded.n - POA_SIG_BYTES, out32);
}

static bool pack_sound(const struct poa_pack *p)
{
    return p->readings && p->from_ms <= p->to_ms;
}

int poa_pack_sign(const struct poa_suite *suite, const uint8_t chain32[32],
                  const uint8_t seed32[32], const uint8_t pk32[32], struct poa_pack *p,
                  struct poa_writer *out)
{
    uint8_t digest[32];
    size_t start = out->n;
    if (!pack_sound(p))
        return POA_E_RANGE;
    memcpy(p->device, pk32, 32);
    memset(p->sig, 0, sizeof p->sig);
    int e = poa_pack_encode(out, p);
    if (e)
        return e;
    /* The signature is the last field: it is written over its own place. */
    pack_digest(chain32, poa_slice(out->p + start, out->n - start), digest);
    suite->sign(seed32, pk32, digest, sizeof digest, p->sig);
    memcpy(out->p + out->n - POA_SIG_BYTES, p->sig, POA_SIG_BYTES);
    return POA_OK;
}

int poa_pack_check(const struct poa_suite *suite, const uint8_t chain32[32],
                   struct poa_slice encoded, struct poa_pack *out)
{
    uint8_t digest[32];
    int e = poa_pack_decode(encoded, out);
    if (e)
        return e;
    if (!pack_sound(out))
        return POA_E_RANGE;
    pack_digest(chain32, encoded, digest);
    return suite->verify(out->device, digest, sizeof digest, out->sig);
}

void poa_pack_id(struct poa_slice encoded, uint8_t id32[32])
{
    poa_hash(POA_DOMAIN_PACK_LEAF, encoded.p, encoded.n, id32);
}

size_t poa_pack_tree_size(uint32_t n)
{
    size_t total = n;
    while (n > 1) {
        n = n / 2 + n % 2;
        total += n;
    }
    return total;
}

void poa_pack_tree(uint8_t (*tree)[32], uint32_t n)
{
    while (n > 1) {
        uint8_t(*up)[32] = tree + n;
        for (uint32_t i = 0; i < n / 2; i++)
            poa_hash2(POA_DOMAIN_PACK_NODE, tree[2 * i], 32, tree[2 * i + 1], 32, up[i]);
        if (n % 2)
            memcpy(up[n / 2], tree[n - 1], 32);
        tree = up;
        n = n / 2 + n % 2;
    }
}

int poa_pack_path(const uint8_t (*tree)[32], uint32_t n, uint32_t index, struct poa_writer *out)
{
    if (index >= n)
        return POA_E_RANGE;
    for (; n > 1; n = n / 2 + n % 2, index /= 2) {
        if ((index ^ 1) < n)
            poa_write(out, tree[index ^ 1], 32);
        tree += n;
    }
    return out->overflow ? POA_E_BUFFER : POA_OK;
}

int poa_pack_path_check(const uint8_t id32[32], uint32_t index, uint32_t n, struct poa_slice path,
                        const uint8_t root32[32])
{
    uint8_t h[32];
    if (index >= n)
        return POA_E_PROOF;
    memcpy(h, id32, 32);
    for (; n > 1; n = n / 2 + n % 2, index /= 2) {
        if ((index ^ 1) >= n)
            continue;
        if (path.n < 32)
            return POA_E_PROOF;
        if (index & 1)
            poa_hash2(POA_DOMAIN_PACK_NODE, path.p, 32, h, 32, h);
        else
            poa_hash2(POA_DOMAIN_PACK_NODE, h, 32, path.p, 32, h);
        path = poa_slice(path.p + 32, path.n - 32);
    }
    return !path.n && !memcmp(h, root32, 32) ? POA_OK : POA_E_PROOF;
}
