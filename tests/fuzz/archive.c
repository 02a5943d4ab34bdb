/* Archives and snapshots from strangers: nothing in them crashes the reader, and what
 * it takes has a chain id, an order and a last block that are proven.
 *
 * Input: mode u8; raw: the bytes of a file; else parts (kind u8, length u24,
 * payload), which get their checksums here, or no input would reach the decoders. */
#include "poa_archive.h"

#include "fuzz.h"

static void put_part(struct poa_writer *w, struct poa_hash_state *all, uint64_t number,
                     uint8_t kind, struct poa_slice payload)
{
    struct poa_hash_state h;
    uint8_t head[5], le[8], sum[32];
    head[0] = kind;
    poa_put_le32(head + 1, (uint32_t)payload.n);
    poa_put_le64(le, number);
    poa_hash_init(&h, POA_DOMAIN_ARCHIVE);
    poa_hash_update(&h, le, sizeof le);
    poa_hash_update(&h, head, sizeof head);
    poa_hash_update(&h, payload.p, payload.n);
    poa_hash_final(&h, sum);
    if (kind != POA_ARCHIVE_END)
        poa_hash_update(all, sum, sizeof sum);
    poa_write(w, head, sizeof head);
    poa_write(w, payload.p, payload.n);
    poa_write(w, sum, sizeof sum);
}

static void judge(struct poa_slice file)
{
    struct poa_archive_info info;
    struct poa_why why = {""};
    uint8_t *exact = fuzz_copy(file.p, file.n);
    FILE *f = file.n ? fmemopen(exact, file.n, "rb") : NULL;
    if (f) {
        int rc = poa_archive_verify(f, "input", NULL, NULL, &info, &why);
        FUZZ_CHECK(rc || info.head.last >= info.head.first);
        FUZZ_CHECK(rc || info.bytes == file.n);
        FUZZ_CHECK(!rc || why.text[0]);
        fclose(f);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    if (fuzz_u8(&in) & 1) {
        judge(poa_slice(in.p, in.n));
        return 0;
    }
    size_t cap = 2 * size + 64 * 1024;
    uint8_t *bytes = malloc(cap);
    struct poa_writer w = poa_writer_over(bytes, cap);
    struct poa_hash_state all;
    FUZZ_CHECK(bytes);
    poa_hash_init(&all, POA_DOMAIN_ARCHIVE);
    poa_write(&w, POA_ARCHIVE_MAGIC, 8);
    for (uint64_t number = 0; in.n && number < 1000; number++) {
        uint8_t kind = fuzz_u8(&in);
        uint32_t n = fuzz_u16(&in);
        n |= (uint32_t)fuzz_u8(&in) << 16;
        struct poa_slice payload = fuzz_slice(&in, n);
        uint8_t own[128];
        struct poa_archive_end end;
        /* Its hash of all the others cannot be guessed. */
        if (kind == POA_ARCHIVE_END && !poa_archive_end_decode(payload, &end)) {
            struct poa_writer e = poa_writer_over(own, sizeof own);
            struct poa_hash_state copy = all;
            poa_hash_final(&copy, end.all);
            FUZZ_CHECK(!poa_archive_end_encode(&e, &end));
            payload = poa_written(&e);
        }
        put_part(&w, &all, number, kind, payload);
    }
    if (!w.overflow)
        judge(poa_written(&w));
    free(bytes);
    return 0;
}

/* Whole ones are made from a real network's files: see tests/fuzz/archive-seed.sh. */
void fuzz_seeds(void)
{
    static const uint8_t empty[] = {1, 'p', 'o', 'a', 'a', 'r', 'c', 'h', '1'};
    static const uint8_t head[] = {0, POA_ARCHIVE_HEAD, 4, 0, 0, 1, 0, 0, 0};
    fuzz_seed("magic", empty, sizeof empty);
    fuzz_seed("head", head, sizeof head);
}
