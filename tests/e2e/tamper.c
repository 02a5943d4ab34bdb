/* Exported chains with one thing wrong: every kind of damage and of lie that needs
 * no secret key.
 *
 *   tamper CHAIN DIR    writes DIR/NAME for each of them, prints the names
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_base.h"
#include "poa_witness.h"

#define HEAD     86
#define RUNS_MAX 4096
#define FLIPS    160

static uint8_t *file;
static size_t file_n;
static struct {
    size_t at, n; /* of the record, after its length */
    struct poa_run r;
} run[RUNS_MAX];
static size_t runs;
static const char *dir;

static void die(const char *what)
{
    fprintf(stderr, "tamper: %s\n", what);
    exit(1);
}

static void put(const char *name, const uint8_t *bytes, size_t n)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
        die(path);
    puts(name);
}

/* The file with run K replaced by N bytes (a run without its length). */
static void put_run(const char *name, size_t k, const uint8_t *bytes, size_t n)
{
    uint8_t *out = malloc(file_n + n + 4);
    size_t at = run[k].at - 4, after = run[k].at + run[k].n;
    memcpy(out, file, at);
    poa_put_le32(out + at, (uint32_t)n);
    memcpy(out + at + 4, bytes, n);
    memcpy(out + at + 4 + n, file + after, file_n - after);
    put(name, out, at + 4 + n + file_n - after);
    free(out);
}

static void put_encoded(const char *name, size_t k, const struct poa_run *r)
{
    size_t cap = 2 * file_n + 65536;
    uint8_t *out = malloc(cap);
    struct poa_writer w = poa_writer_over(out, cap);
    if (poa_run_encode(&w, r))
        die(name);
    put_run(name, k, out, w.n);
    free(out);
}

/* Headers of run K without the one at I, or with I and I + 1 exchanged. */
static void put_headers(const char *name, size_t k, uint32_t i, bool swap)
{
    struct poa_list_iter it = poa_list_begin(&run[k].r.headers);
    struct poa_raw_header h[POA_RUN_HEADERS_MAX];
    uint32_t n = 0;
    while (poa_raw_header_next(&it, &h[n]))
        n++;
    size_t cap = (size_t)n * (POA_HEADER_BYTES + 2);
    uint8_t *list = malloc(cap);
    struct poa_writer w = poa_writer_over(list, cap);
    if (swap) {
        struct poa_raw_header t = h[i];
        h[i] = h[i + 1];
        h[i + 1] = t;
    }
    for (uint32_t j = 0; j < n; j++)
        if ((swap || j != i) && poa_raw_header_encode(&w, &h[j]))
            die(name);
    struct poa_run r = run[k].r;
    r.headers = (struct poa_list){.bytes = poa_written(&w), .count = swap ? n : n - 1};
    put_encoded(name, k, &r);
    free(list);
}

/* The certificate of run K with KEEP of its signatures; AGAIN: the last of them
 * twice instead of the ones left out. */
static void put_cert(const char *name, size_t k, uint32_t keep, bool again)
{
    struct poa_cert c;
    uint8_t sigs[64 * POA_COMMITTEE_MAX], bytes[POA_CERT_BYTES_MAX];
    if (poa_cert_decode(run[k].r.cert, &c))
        die(name);
    uint32_t n = c.sigs.count, left = keep;
    memcpy(sigs, c.sigs.bytes.p, c.sigs.bytes.n);
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX && !again; i++)
        if (c.signers[i / 8] >> i % 8 & 1 && !left--) {
            for (; i < POA_COMMITTEE_MAX; i++)
                c.signers[i / 8] = (uint8_t)(c.signers[i / 8] & ~(1u << i % 8));
            break;
        }
    for (uint32_t i = keep; again && i < n; i++)
        memcpy(sigs + 64 * (size_t)i, sigs + 64 * (size_t)(keep - 1), 64);
    c.sigs = (struct poa_list){.bytes = {sigs, 64 * (size_t)(again ? n : keep)},
                               .count = again ? n : keep};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    if (poa_cert_encode(&w, &c))
        die(name);
    struct poa_run r = run[k].r;
    r.cert = poa_written(&w);
    put_encoded(name, k, &r);
}

static void read_file(const char *path)
{
    char *bytes = NULL;
    struct poa_why why;
    if (poa_file_read(path, (size_t)64 << 20, 0, &bytes, &file_n, &why))
        die(why.text);
    file = (uint8_t *)bytes;
    for (size_t at = HEAD; at < file_n; runs++) {
        if (runs == RUNS_MAX || file_n - at < 4)
            die("no chain");
        run[runs].n = poa_le32(file + at);
        run[runs].at = at + 4;
        if (file_n - at - 4 < run[runs].n ||
            poa_run_decode(poa_slice(file + at + 4, run[runs].n), &run[runs].r))
            die("no chain");
        at += 4 + run[runs].n;
    }
}

static void flips(void)
{
    char name[64];
    size_t step = file_n / FLIPS + 1;
    for (size_t at = 0; at < file_n; at += at < HEAD + 4 ? 1 : step) {
        file[at] ^= (uint8_t)(1u << at % 8);
        snprintf(name, sizeof name, "flip-%zu", at);
        put(name, file, file_n);
        file[at] ^= (uint8_t)(1u << at % 8);
    }
}

static void cuts(void)
{
    char name[64];
    const size_t ends[] = {0, 1, HEAD - 1, HEAD, HEAD + 3, HEAD + 4, file_n / 2, file_n - 1};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "cut-%zu", ends[i]);
        put(name, file, ends[i]);
    }
    for (size_t k = 0; k < runs; k++) {
        uint8_t *out = malloc(2 * file_n);
        size_t at = run[k].at - 4, after = run[k].at + run[k].n;
        snprintf(name, sizeof name, "cut-before-run-%zu", k);
        put(name, file, at);
        memcpy(out, file, at);
        memcpy(out + at, file + after, file_n - after);
        snprintf(name, sizeof name, "without-run-%zu", k);
        put(name, out, at + file_n - after);
        memcpy(out, file, after);
        memcpy(out + after, file + at, file_n - at);
        snprintf(name, sizeof name, "twice-run-%zu", k);
        put(name, out, after + file_n - at);
        free(out);
    }
    uint8_t *longer = calloc(1, file_n + 1);
    memcpy(longer, file, file_n);
    put("one-byte-more", longer, file_n + 1);
    free(longer);
}

static void lies(void)
{
    size_t closing = runs, other = runs;
    for (size_t k = 0; k < runs; k++)
        if (run[k].r.next.n) {
            if (closing == runs)
                closing = k;
            else if (other == runs)
                other = k;
        }
    if (other == runs)
        die("less than two hand-overs");
    uint32_t n = run[closing].r.headers.count;
    struct poa_cert cert;
    struct poa_committee next;
    struct poa_run r;
    put_headers("first-header-missing", closing, 0, false);
    put_headers("header-missing", closing, n / 2, false);
    put_headers("last-header-missing", closing, n - 1, false);
    put_headers("headers-exchanged", closing, n / 2, true);
    if (poa_cert_decode(run[closing].r.cert, &cert))
        die("certificate");
    if (poa_committee_decode(run[closing].r.next, &next))
        die("committee");
    put_cert("one-signature-too-few", closing, (uint32_t)next.quorum - 1, false);
    put_cert("a-signature-twice", closing, (uint32_t)next.quorum - 1, true);
    r = run[closing].r;
    r.cert = run[other].r.cert;
    put_encoded("certificate-of-another-run", closing, &r);
    r = run[closing].r;
    r.cert.n = 0;
    put_encoded("no-certificate", closing, &r);
    r = run[closing].r;
    r.next = run[other].r.next;
    put_encoded("committee-of-another-epoch", closing, &r);
    r.next.n = 0;
    put_encoded("no-committee", closing, &r);
    uint8_t forged[8192];
    memcpy(forged, run[closing].r.next.p, run[closing].r.next.n);
    forged[7] ^= 1; /* the first member's key */
    r.next = poa_slice(forged, run[closing].r.next.n);
    put_encoded("committee-with-another-key", closing, &r);
    memcpy(forged, run[closing].r.next.p, run[closing].r.next.n);
    forged[4] = 1; /* quorum */
    put_encoded("committee-with-quorum-1", closing, &r);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage: tamper CHAIN DIR");
    dir = argv[2];
    read_file(argv[1]);
    flips();
    cuts();
    lies();
    free(file);
    return 0;
}
