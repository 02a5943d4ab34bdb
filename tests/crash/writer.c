/* writer DIR STEPS: does the work of work.h and promises each synced step. */
#include "work.h"

void poa_shim_mark(unsigned long long seq) __attribute__((weak));

int main(int argc, char **argv)
{
    struct poa_why why = {""};
    if (argc != 3)
        return 2;
    WORK_MUST(poa_crypto_init());
    struct poa_store *s = work_open(argv[1], &why);
    struct poa_store_batch *b = NULL;
    if (!s) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    WORK_MUST(poa_store_batch_new(s, &b));
    uint64_t steps = strtoull(argv[2], NULL, 10), saved = 0;
    for (uint64_t i = 1; i <= steps; i++) {
        uint8_t batch[2048], digest[32], header[289];
        size_t n = work_batch(i, batch, digest);
        struct poa_store_fate tx = {{0}, (uint16_t)(i % 2)};
        poa_put_le64(tx.id, i);
        memset(header, (int)i, sizeof header);
        poa_store_put_record(b, i, 2, poa_slice(&i, sizeof i));
        WORK_MUST(poa_store_put_batch(b, 0, 5, digest, poa_slice(batch, n)));
        struct poa_store_block blk = {.height = i,
                                      .header = poa_slice(header, sizeof header),
                                      .body = poa_slice(batch, 40),
                                      .batch = (const uint8_t(*)[32])digest,
                                      .batches = 1,
                                      .tx = &tx,
                                      .txs = 1};
        poa_put_le64(blk.hash, i);
        WORK_MUST(poa_store_put_block(b, &blk));
        WORK_MUST(poa_store_write(b, WORK_SYNC(i)));
        if (WORK_SYNC(i) && poa_shim_mark)
            poa_shim_mark(i);
        if (i % WORK_CHECK == 0) {
            struct poa_stored_checkpoint c = {.height = i};
            for (uint32_t e = 0; e < WORK_STATE; e++) {
                uint8_t key[32];
                work_key(e, key);
                poa_store_put_state(b, key, poa_slice(&i, sizeof i));
            }
            WORK_MUST(poa_store_put_checkpoint(b, &c));
            WORK_MUST(poa_store_write(b, true));
            saved = i;
            if (poa_shim_mark)
                poa_shim_mark(i);
            WORK_MUST(poa_store_forget(s, i - WORK_CHECK / 2));
            if (i > WORK_KEEP) {
                bool done;
                WORK_MUST(
                    poa_store_prune(s, i - WORK_KEEP < saved ? i - WORK_KEEP : saved, 256, &done));
            }
            if (i % (10 * WORK_CHECK) == 0)
                poa_store_reclaim(s);
        }
    }
    poa_store_batch_free(b);
    poa_store_close(s);
    return 0;
}
