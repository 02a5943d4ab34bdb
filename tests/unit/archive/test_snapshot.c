/* A state in parts: two servers make the same ones, every part is checked by itself,
 * and nothing that was changed is taken. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_snapshot.h"

#define ENTRIES 12000
#define BASE    40

static struct entry {
    uint8_t key[32], address[32], value[200];
    size_t n;
} entry[ENTRIES];
static uint8_t root[32];
static char dir[256];
static struct poa_why why;
static const uint8_t chain[32] = {7};

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key, 32);
}

static struct poa_entry as_entry(const struct entry *e)
{
    struct poa_entry out = {.value = poa_slice(e->value, e->n)};
    memcpy(out.key, e->key, 32);
    return out;
}

static int bit_of(const struct entry *e, unsigned bit)
{
    return e->key[bit / 8] >> (7 - bit % 8) & 1;
}

/* The tree as docs/ledger.md has it: split where the keys first differ. */
static void tree(const struct entry *e, size_t n, uint8_t out[32])
{
    if (n == 1) {
        struct poa_entry one = as_entry(e);
        cr_assert_eq(poa_entry_leaf(&one, out), POA_OK);
        return;
    }
    uint8_t right[32];
    unsigned bit = 0;
    while (bit_of(&e[0], bit) == bit_of(&e[n - 1], bit))
        bit++;
    size_t at = 0;
    while (!bit_of(&e[at], bit))
        at++;
    tree(e, at, out);
    tree(e + at, n - at, right);
    poa_tree_node((uint8_t)bit, out, right, out);
}

static void make_entries(void)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct entry *e = &entry[i];
        struct poa_st_account a = {.balance = i + 1, .nonce = i % 7};
        struct poa_writer w = poa_writer_over(e->value, sizeof e->value);
        memset(e->address, 0, 32);
        poa_put_le32(e->address, i * 2654435761u);
        uint8_t in[33] = {POA_STATE_ACCOUNT};
        memcpy(in + 1, e->address, 32);
        poa_hash(POA_DOMAIN_STATE_KEY, in, sizeof in, e->key);
        poa_write_u8(&w, POA_STATE_ACCOUNT);
        poa_write_u8(&w, 32);
        poa_write(&w, e->address, 32);
        cr_assert_eq(poa_st_account_encode(&w, &a), POA_OK);
        e->n = w.n;
    }
    qsort(entry, ENTRIES, sizeof *entry, by_key);
    tree(entry, ENTRIES, root);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/poa-snapshot.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(dir));
    make_entries();
}

static void tear_down(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(snapshot, .init = set_up, .fini = tear_down);

static const char *path_in(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put_block(struct poa_store_batch *b, uint64_t height, const char *cert)
{
    struct poa_header h = {.version = 1, .height = height};
    uint8_t bytes[400];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memcpy(h.chain, chain, 32);
    cr_assert_eq(poa_header_encode(&w, &h), POA_OK);
    struct poa_store_block blk = {
        .height = height, .header = poa_written(&w), .cert = poa_slice(cert, strlen(cert))};
    poa_header_hash(&h, blk.hash);
    cr_assert_eq(poa_store_put_block(b, &blk), POA_OK);
}

/* A server's database, whose certificates are its own; entries go in from another end
 * each time. */
static struct poa_store *server(const char *name, const char *cert, bool backwards)
{
    struct poa_store *s = NULL;
    struct poa_store_batch *b = NULL;
    struct poa_stored_checkpoint at = {.height = BASE};
    struct poa_store_config c = {.dir = path_in(name),
                                 .chain32 = chain,
                                 .create = true,
                                 .write_buffer_bytes = 1 << 20,
                                 .cache_bytes = 1 << 20,
                                 .max_open_files = 64};
    cr_assert_eq(poa_store_open(&c, &s, &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_store_batch_new(s, &b), POA_OK);
    poa_store_put_meta(b, POA_META_GENESIS, poa_slice("genesis", 7));
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct entry *e = &entry[backwards ? ENTRIES - 1 - i : i];
        poa_store_put_state(b, e->key, poa_slice(e->value, e->n));
    }
    memcpy(at.root, root, 32);
    cr_assert_eq(poa_store_put_checkpoint(b, &at), POA_OK);
    put_block(b, BASE, "");
    put_block(b, BASE + 1, "");
    put_block(b, BASE + 2, cert);
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    return s;
}

static void snapshot_of(struct poa_store *s, const char *name, struct poa_snapshot_file *f)
{
    struct poa_store *frozen = NULL;
    cr_assert_eq(poa_store_freeze(s, &frozen), POA_OK);
    int rc = poa_snapshot_write(frozen, s, path_in(name), &why);
    poa_store_thaw(frozen);
    cr_assert_eq(rc, POA_OK, "%s", why.text);
    cr_assert_eq(poa_snapshot_file_open(path_in(name), f), POA_OK);
}

static size_t part_of(const struct poa_snapshot_file *f, uint32_t i, uint8_t *to)
{
    struct poa_snapshot_get get = {.part = i};
    size_t n = 0;
    cr_assert_eq(poa_snapshot_read(f, &get, to, &n), POA_OK);
    return n;
}

Test(snapshot, servers_make_the_same_parts)
{
    static uint8_t a[POA_SNAPSHOT_PART_BYTES], b[POA_SNAPSHOT_PART_BYTES];
    struct poa_snapshot_file one, other;
    struct poa_store *s = server("one", "signed by three", false);
    struct poa_store *t = server("other", "signed by four others", true);
    snapshot_of(s, "one.snapshot", &one);
    snapshot_of(t, "other.snapshot", &other);
    cr_assert_arr_eq(one.s.id, other.s.id, 32);
    cr_assert_arr_eq(one.s.root, root, 32);
    cr_assert_eq(one.s.base, BASE);
    cr_assert(one.s.parts >= 8 && one.s.parts <= 64, "%u parts", one.s.parts);
    cr_assert(one.proof_bytes != other.proof_bytes, "certificates differ");
    uint64_t sum = 0;
    for (uint32_t i = 0; i < one.s.parts; i++) {
        size_t n = part_of(&one, i, a);
        cr_assert(n && n <= POA_SNAPSHOT_PART_BYTES, "part %u has %zu bytes", i, n);
        cr_assert_eq(part_of(&other, i, b), n);
        cr_assert_arr_eq(a, b, n);
        cr_assert_eq(poa_snapshot_check(&one.s, i, poa_slice(a, n)), POA_OK);
        cr_assert_eq(poa_snapshot_check(&one.s, (i + 1) % one.s.parts, poa_slice(a, n)),
                     POA_E_PROOF);
        sum += n;
    }
    cr_assert_eq(sum, one.s.bytes);
    poa_snapshot_file_close(&one);
    poa_snapshot_file_close(&other);
    poa_store_close(s);
    poa_store_close(t);
}

Test(snapshot, a_changed_byte_is_seen)
{
    static uint8_t a[POA_SNAPSHOT_PART_BYTES];
    struct poa_snapshot_file f;
    struct poa_store *s = server("one", "cert", false);
    snapshot_of(s, "one.snapshot", &f);
    size_t n = part_of(&f, 1, a);
    for (size_t at = 0; at < n; at += at < 600 ? 1 : 997) {
        a[at] ^= 1;
        cr_assert_eq(poa_snapshot_check(&f.s, 1, poa_slice(a, n)), POA_E_PROOF, "byte %zu", at);
        a[at] ^= 1;
    }
    cr_assert_eq(poa_snapshot_check(&f.s, 1, poa_slice(a, n)), POA_OK);
    cr_assert_eq(poa_snapshot_check(&f.s, 1, poa_slice(a, n - 1)), POA_E_PROOF);
    cr_assert_eq(poa_snapshot_check(&f.s, 1, poa_slice(a, 0)), POA_E_PROOF);
    cr_assert_eq(poa_snapshot_check(&f.s, f.s.parts, poa_slice(a, n)), POA_E_PROOF);
    struct poa_snapshot_get get = {.part = f.s.parts};
    cr_assert_eq(poa_snapshot_read(&f, &get, a, &n), POA_E_RANGE);
    get = (struct poa_snapshot_get){.part = 0, .offset = 1};
    cr_assert_eq(poa_snapshot_read(&f, &get, a, &n), POA_E_RANGE);
    get = (struct poa_snapshot_get){.part = POA_SNAPSHOT_PROOF, .offset = f.proof_bytes + 1};
    cr_assert_eq(poa_snapshot_read(&f, &get, a, &n), POA_E_RANGE);
    poa_snapshot_file_close(&f);
    poa_store_close(s);
}

/* Bits, hashes, sizes, root and order of a manifest hang together. */
Test(snapshot, a_changed_manifest_is_seen)
{
    struct poa_snapshot_file f;
    struct poa_snapshot m;
    struct poa_store *s = server("one", "cert", false);
    snapshot_of(s, "one.snapshot", &f);
    for (size_t at = 8; at < f.manifest_n; at++) { /* the height is the proof's affair */
        f.manifest[at] ^= 1;
        int rc = poa_snapshot_open(poa_slice(f.manifest, f.manifest_n), &m);
        cr_assert(rc, "byte %zu", at);
        f.manifest[at] ^= 1;
    }
    cr_assert(poa_snapshot_open(poa_slice(f.manifest, f.manifest_n - 37), &m));
    cr_assert_eq(poa_snapshot_open(poa_slice(f.manifest, f.manifest_n), &m), POA_OK);
    cr_assert_arr_eq(m.id, f.s.id, 32);
    poa_snapshot_close(&m);
    poa_snapshot_file_close(&f);
    poa_store_close(s);
}

/* What reading everything says; parts that come must be true. */
static int read_all(const struct poa_snapshot_file *f)
{
    static uint8_t bytes[POA_SNAPSHOT_PIECE_BYTES];
    int rc = POA_OK;
    size_t n = 0;
    for (uint32_t i = 0; !rc && i < f->s.parts; i++) {
        struct poa_snapshot_get get = {.part = i};
        rc = poa_snapshot_read(f, &get, bytes, &n);
        if (!rc)
            cr_assert_eq(poa_snapshot_check(&f->s, i, poa_slice(bytes, n)), POA_OK);
    }
    struct poa_snapshot_get get = {.part = POA_SNAPSHOT_PROOF};
    for (; !rc && get.offset <= f->proof_bytes; get.offset += POA_SNAPSHOT_PIECE_BYTES)
        rc = poa_snapshot_read(f, &get, bytes, &n);
    return rc;
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    cr_assert(f && fseek(f, at, SEEK_SET) == 0);
    int c = fgetc(f);
    cr_assert(c != EOF && fseek(f, at, SEEK_SET) == 0);
    cr_assert(fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

/* What a disk made of a server's file is not sent: that would be a lie to whoever gets it. */
Test(snapshot, a_damaged_file_is_not_given)
{
    char path[400];
    struct poa_snapshot_file f, g;
    struct poa_store *s = server("one", "cert", false);
    snapshot_of(s, "one.snapshot", &f);
    snprintf(path, sizeof path, "%s", path_in("one.snapshot"));
    cr_assert_eq(read_all(&f), POA_OK);
    FILE *file = fopen(path, "rb");
    cr_assert(file && fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file), given = (long)(f.s.bytes + f.proof_bytes);
    fclose(file);
    cr_assert(given < size);
    for (long at = 0; at < size; at += at < 20 || at >= given - 20 ? 1 : 4999) {
        flip(path, at);
        int rc = poa_snapshot_file_open(path, &g);
        cr_assert_eq(rc, at < given ? POA_OK : POA_E_STORE_CORRUPT, "byte %ld: %d", at, rc);
        if (!rc) {
            cr_assert_eq(read_all(&g), POA_E_STORE_CORRUPT, "byte %ld", at);
            poa_snapshot_file_close(&g);
            cr_assert_eq(read_all(&f), POA_E_STORE_CORRUPT, "byte %ld, opened before", at);
        }
        flip(path, at);
    }
    cr_assert_eq(read_all(&f), POA_OK);
    cr_assert_eq(truncate(path, given / 2), 0);
    cr_assert_eq(read_all(&f), POA_E_IO);
    struct poa_snapshot_get odd = {.part = POA_SNAPSHOT_PROOF, .offset = 1};
    static uint8_t bytes[POA_SNAPSHOT_PIECE_BYTES];
    size_t n;
    cr_assert_eq(poa_snapshot_read(&f, &odd, bytes, &n), POA_E_RANGE);
    poa_snapshot_file_close(&f);
    poa_store_close(s);
}

Test(snapshot, waits_for_the_certificate)
{
    struct poa_snapshot_file f;
    struct poa_store *frozen = NULL, *s = server("one", "", false);
    struct poa_store_batch *b = NULL;
    cr_assert_eq(poa_store_freeze(s, &frozen), POA_OK);
    cr_assert_eq(poa_snapshot_write(frozen, s, path_in("snapshot"), &why), POA_E_AGAIN);
    cr_assert(access(path_in("snapshot.part"), F_OK) && access(path_in("snapshot"), F_OK));
    /* What comes later is not in it: the state is that of the frozen height. */
    cr_assert_eq(poa_store_batch_new(s, &b), POA_OK);
    poa_store_put_state(b, entry[3].key, poa_slice("changed", 7));
    put_block(b, BASE + 3, "cert");
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    cr_assert_eq(poa_snapshot_write(frozen, s, path_in("snapshot"), &why), POA_OK, "%s", why.text);
    poa_store_thaw(frozen);
    cr_assert_eq(poa_snapshot_file_open(path_in("snapshot"), &f), POA_OK);
    cr_assert_arr_eq(f.s.root, root, 32);
    poa_snapshot_file_close(&f);
    cr_assert_eq(truncate(path_in("snapshot"), 5000), 0);
    cr_assert_eq(poa_snapshot_file_open(path_in("snapshot"), &f), POA_E_STORE_CORRUPT);
    cr_assert_eq(poa_snapshot_file_open(path_in("none"), &f), POA_E_NOT_FOUND);
    poa_store_close(s);
}

/* Keys that were ground to begin alike: parts stay within their size. */
Test(snapshot, parts_of_crowded_keys_are_split)
{
    static uint8_t bytes[POA_SNAPSHOT_PART_BYTES];
    struct poa_snapshot_file f;
    /* All that begin with the same four bits as the first, from entries that are more. */
    for (uint32_t i = 0; i < ENTRIES; i++)
        entry[i].n = entry[i].key[0] >> 4 == 3 ? entry[i].n : 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (entry[i].n)
            entry[n++] = entry[i];
    tree(entry, n, root);
    struct poa_store *s = NULL;
    struct poa_store_batch *b = NULL;
    struct poa_stored_checkpoint at = {.height = BASE};
    struct poa_store_config c = {.dir = path_in("crowd"),
                                 .chain32 = chain,
                                 .create = true,
                                 .write_buffer_bytes = 1 << 20,
                                 .cache_bytes = 1 << 20,
                                 .max_open_files = 64};
    cr_assert_eq(poa_store_open(&c, &s, &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_store_batch_new(s, &b), POA_OK);
    poa_store_put_meta(b, POA_META_GENESIS, poa_slice("genesis", 7));
    for (uint32_t i = 0; i < n; i++)
        poa_store_put_state(b, entry[i].key, poa_slice(entry[i].value, entry[i].n));
    memcpy(at.root, root, 32);
    cr_assert_eq(poa_store_put_checkpoint(b, &at), POA_OK);
    put_block(b, BASE, "");
    put_block(b, BASE + 1, "cert");
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    snapshot_of(s, "crowd.snapshot", &f);
    for (uint32_t i = 0; i < f.s.parts; i++) {
        size_t k = part_of(&f, i, bytes);
        cr_assert(k <= POA_SNAPSHOT_PART_BYTES);
        cr_assert_eq(poa_snapshot_check(&f.s, i, poa_slice(bytes, k)), POA_OK);
    }
    poa_snapshot_file_close(&f);
    poa_store_close(s);
}
