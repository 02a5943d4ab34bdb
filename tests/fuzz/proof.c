/* State proofs for a known root: whatever a proof is accepted for is what the
 * ledger holds, present or absent. */
#include "ledger.h"

static const struct poa_ledger *ledger(void)
{
    static struct poa_ledger *l;
    if (!l)
        l = fuzz_ledger(4);
    return l;
}

/* Key number I of a table: those of genesis and their neighbours. */
static size_t key_of(uint8_t table, uint8_t i, uint8_t key[32])
{
    uint8_t seed[32];
    memset(key, 0, 32);
    switch (table) {
    case POA_STATE_GLOBAL:
        return 0;
    case POA_STATE_ACCOUNT:
        fuzz_account(i, key);
        return 32;
    case POA_STATE_DEVICE:
        fuzz_identity((uint8_t)(30 + i), seed, key);
        return 32;
    case POA_STATE_WITNESS:
        fuzz_identity(i, seed, key);
        return 32;
    case POA_STATE_ANCHOR:
        return 32;
    case POA_STATE_SLOT:
        key[0] = i;
        return 8;
    default:
        key[0] = i;
        return 4;
    }
}

static void judge(uint8_t table, const uint8_t *key, size_t key_n, struct poa_slice value,
                  struct poa_slice proof)
{
    uint8_t root[32];
    struct poa_slice held;
    uint8_t *exact = fuzz_copy(proof.p, proof.n);
    poa_ledger_root(ledger(), POA_STATE_BASE, root);
    int e = poa_proof_check(root, (enum poa_state_table)table, key, key_n, value,
                            poa_slice(exact, proof.n));
    free(exact);
    FUZZ_CHECK(e == POA_OK || e == POA_E_PROOF);
    if (e)
        return;
    int rc =
        poa_ledger_get(ledger(), POA_STATE_BASE, (enum poa_state_table)table, key, key_n, &held);
    FUZZ_CHECK(value.n ? !rc && poa_slice_equal(held, value) : rc == POA_E_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in), table = fuzz_u8(&in) % 13, key[64], proof[POA_PROOF_BYTES_MAX];
    size_t key_n = key_of(table, fuzz_u8(&in), key);
    if (mode & 1) { /* key, value and proof as they come */
        key_n = fuzz_u8(&in) % sizeof key;
        fuzz_fill(&in, key, key_n);
    }
    if (mode & 2) { /* the ledger's own proof, changed */
        struct poa_writer w = poa_writer_over(proof, sizeof proof);
        struct poa_slice value = poa_slice(NULL, 0);
        int e = poa_ledger_prove(ledger(), (enum poa_state_table)table, key, key_n, &w);
        if (e)
            return 0;
        int rc = poa_ledger_get(ledger(), POA_STATE_BASE, (enum poa_state_table)table, key, key_n,
                                &value);
        if (rc)
            value = poa_slice(NULL, 0);
        uint8_t root[32];
        poa_ledger_root(ledger(), POA_STATE_BASE, root);
        FUZZ_CHECK(!poa_proof_check(root, (enum poa_state_table)table, key, key_n, value,
                                    poa_written(&w)));
        for (unsigned i = 0; i < 4 && in.n >= 3; i++) {
            uint16_t at = fuzz_u16(&in);
            uint8_t change = fuzz_u8(&in);
            if (at == UINT16_MAX)
                w.n = change % (w.n + 1);
            else if (w.n)
                proof[at % w.n] ^= change;
        }
        if (mode & 4) /* for another key */
            key_n = key_of(table, fuzz_u8(&in), key);
        if (mode & 8)
            value = fuzz_chunk(&in);
        judge(table, key, key_n, value, poa_written(&w));
        return 0;
    }
    struct poa_slice value = fuzz_chunk(&in);
    judge(table, key, key_n, value, poa_slice(in.p, in.n));
    return 0;
}

void fuzz_seeds(void)
{
    for (uint8_t table = 0; table <= POA_STATE_ANCHOR; table++) {
        for (uint8_t i = 1; i < 12; i += 9) {
            uint8_t buffer[16384], key[32], proof[POA_PROOF_BYTES_MAX];
            struct poa_writer w = poa_writer_over(buffer, sizeof buffer),
                              p = poa_writer_over(proof, sizeof proof);
            struct poa_slice value;
            char name[40];
            size_t key_n = key_of(table, i, key);
            if (poa_ledger_prove(ledger(), (enum poa_state_table)table, key, key_n, &p))
                continue;
            if (poa_ledger_get(ledger(), POA_STATE_BASE, (enum poa_state_table)table, key, key_n,
                               &value))
                value = poa_slice(NULL, 0);
            poa_write(&w, (const uint8_t[]){0, table, i}, 3);
            fuzz_put_chunk(&w, value);
            poa_write(&w, proof, p.n);
            snprintf(name, sizeof name, "table-%u-%s", table, value.n ? "present" : "absent");
            fuzz_seed(name, buffer, w.n);
        }
        const uint8_t own[] = {2, table, 1};
        const uint8_t other[] = {14, table, 1, 5, 0, 1, 2, 1, 0, 7};
        char name[40];
        snprintf(name, sizeof name, "table-%u-own", table);
        fuzz_seed(name, own, sizeof own);
        snprintf(name, sizeof name, "table-%u-other", table);
        fuzz_seed(name, other, sizeof other);
    }
}
