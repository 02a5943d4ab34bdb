/* Archives and snapshots from strangers: nothing in them crashes the reader, and what
 * it takes has a chain id, an order and a last block that are proven.
 *
 * Input: mode u8; odd: the bytes of a file; else parts (kind u8, length u24,
 * payload), which get their checksums here, or no input would reach the decoders.
 * 0xfe: the parts of a manifest (bit u8, bytes u16), whose root is made here; 0xff:
 * entries of a state (address u8, balance u8), of which one byte is changed. */
#include "poa_snapshot.h"

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

/* --- parts of a state ------------------------------------------------------------------ */

#define NODES 256
struct node {
    uint8_t bit, hash[32]; /* BIT: against the one before */
};

/* The tree of N nodes: its root is where the bit is lowest, and there is one such place
 * in each subtree. */
static bool tree(const struct node *p, size_t n, uint8_t out[32])
{
    uint8_t left[32], right[32];
    size_t at = 1;
    if (n == 1) {
        memcpy(out, p->hash, 32);
        return true;
    }
    for (size_t i = 2; i < n; i++)
        at = p[i].bit < p[at].bit ? i : at;
    for (size_t i = 1; i < n; i++)
        if (i != at && p[i].bit == p[at].bit)
            return false;
    if (!tree(p, at, left) || !tree(p + at, n - at, right))
        return false;
    poa_tree_node(p[at].bit, left, right, out);
    return true;
}

static void fuzz_manifest(struct fuzz_in *in)
{
    static struct node node[NODES];
    static uint8_t list[NODES * 37], bytes[NODES * 37 + 64];
    struct poa_writer l = poa_writer_over(list, sizeof list);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_snapshot_manifest m = {.base = 7};
    struct poa_snapshot s;
    uint32_t n = 0;
    bool sizes = true;
    for (; n < NODES && in->n; n++) {
        struct poa_snapshot_part p = {.bit = fuzz_u8(in), .bytes = fuzz_u16(in)};
        poa_put_le32(p.hash, n);
        node[n].bit = p.bit;
        memcpy(node[n].hash, p.hash, 32);
        sizes = sizes && p.bytes && (n || !p.bit);
        m.bytes += p.bytes;
        FUZZ_CHECK(!poa_snapshot_part_encode(&l, &p));
    }
    m.parts = (struct poa_list){poa_written(&l), n};
    bool right = n && tree(node, n, m.root) && sizes;
    FUZZ_CHECK(!poa_snapshot_manifest_encode(&w, &m));
    int rc = poa_snapshot_open(poa_written(&w), &s);
    FUZZ_CHECK(right == !rc);
    if (rc)
        return;
    FUZZ_CHECK(s.parts == n && s.bytes == m.bytes && s.base == 7);
    FUZZ_CHECK(poa_snapshot_check(&s, 0, poa_slice(bytes, w.n)));
    poa_snapshot_close(&s);
    bytes[8 + node[0].bit % 32] ^= 1; /* its root */
    FUZZ_CHECK(poa_snapshot_open(poa_written(&w), &s));
}

/* Entries of a state, in the order of their keys. */
static size_t put_entries(struct fuzz_in *in, uint8_t *to, size_t cap, uint8_t root[32])
{
    static struct node node[NODES];
    struct poa_archive_entry all[NODES], e;
    static uint8_t value[NODES][100];
    uint32_t n = 0;
    struct poa_writer w = poa_writer_over(to, cap);
    while (in->n && n < 100) {
        uint8_t key[33] = {POA_STATE_ACCOUNT, fuzz_u8(in)};
        struct poa_st_account a = {.balance = fuzz_u8(in)};
        struct poa_writer v = poa_writer_over(value[n], sizeof value[n]);
        poa_write_u8(&v, POA_STATE_ACCOUNT);
        poa_write_u8(&v, 32);
        poa_write(&v, key + 1, 32);
        FUZZ_CHECK(!poa_st_account_encode(&v, &a));
        e.value = poa_written(&v);
        poa_hash(POA_DOMAIN_STATE_KEY, key, sizeof key, e.key);
        uint32_t at = 0;
        while (at < n && memcmp(all[at].key, e.key, 32) < 0)
            at++;
        if (at < n && !memcmp(all[at].key, e.key, 32))
            continue;
        memmove(all + at + 1, all + at, (n - at) * sizeof e);
        all[at] = e;
        n++;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct poa_entry entry = {.value = all[i].value};
        memcpy(entry.key, all[i].key, 32);
        node[i].bit = i ? (uint8_t)poa_key_diff(all[i - 1].key, all[i].key) : 0;
        FUZZ_CHECK(!poa_entry_leaf(&entry, node[i].hash));
        FUZZ_CHECK(!poa_archive_entry_encode(&w, &all[i]));
    }
    return n && tree(node, n, root) ? w.n : 0;
}

static void fuzz_part(struct fuzz_in *in)
{
    static uint8_t bytes[POA_SNAPSHOT_PART_BYTES];
    struct poa_snapshot_at part = {.at = 0};
    struct poa_snapshot s = {.part = &part, .parts = 1};
    uint16_t at = fuzz_u16(in);
    uint8_t change = fuzz_u8(in);
    size_t n = put_entries(in, bytes, sizeof bytes, part.hash);
    part.bytes = (uint32_t)n;
    s.bytes = n;
    FUZZ_CHECK(!n == !!poa_snapshot_check(&s, 0, poa_slice(bytes, n)));
    if (!n)
        return;
    bytes[at % n] ^= change;
    FUZZ_CHECK(!change == !poa_snapshot_check(&s, 0, poa_slice(bytes, n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    if (mode >= 0xfe) {
        (mode == 0xfe ? fuzz_manifest : fuzz_part)(&in);
        return 0;
    }
    if (mode & 1) {
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
    static const uint8_t manifest[] = {0xfe, 0, 9, 0, 3, 8, 0, 1, 7, 0, 2, 6, 1, 0, 5, 0};
    static const uint8_t twice[] = {0xfe, 0, 9, 0, 3, 8, 0, 3, 7, 0};
    static const uint8_t part[] = {0xff, 40, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const uint8_t whole[] = {0xff, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    fuzz_seed("manifest", manifest, sizeof manifest);
    fuzz_seed("manifest-twice", twice, sizeof twice);
    fuzz_seed("part-changed", part, sizeof part);
    fuzz_seed("part-whole", whole, sizeof whole);
}
