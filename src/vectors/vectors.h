/* poa-vectors: what its runners share.
 *
 * A runner gets a whole parsed file, says whether the file has its format, and
 * runs every case in it through the product's public functions. It counts each
 * case exactly once as passed, failed or skipped; a skip names its class, and
 * the classes are printed with their counts.
 */
#ifndef POA_VECTORS_H
#define POA_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POA_VECTORS_CLASSES_MAX 32

struct poa_vectors_tally {
    const char *file; /* as printed */
    unsigned passed;
    unsigned failed;
    unsigned skipped;
    struct {
        char reason[120];
        unsigned count;
    } skip[POA_VECTORS_CLASSES_MAX];
    unsigned skips;
};

void poa_vectors_pass(struct poa_vectors_tally *t);
/* Counts a failure and prints one line with the case and what was wrong. */
void poa_vectors_fail(struct poa_vectors_tally *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* REASON is the class, the same text for every case of it. */
void poa_vectors_skip(struct poa_vectors_tally *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Passes when OK, else fails with the message. */
#define POA_VECTORS_CHECK(t, ok, ...)                                                              \
    do {                                                                                           \
        if (ok)                                                                                    \
            poa_vectors_pass(t);                                                                   \
        else                                                                                       \
            poa_vectors_fail(t, __VA_ARGS__);                                                      \
    } while (0)

/* Bytes of a hex string, of either case, which poa_unhex does not take: others
 * write these files. P is NULL when KEY is missing or is not hex; an empty
 * string has a P that is not NULL and N 0. Free with poa_vectors_free. */
struct poa_vectors_bytes {
    uint8_t *p;
    size_t n;
};
struct poa_vectors_bytes poa_vectors_unhex(const char *hex);
struct poa_vectors_bytes poa_vectors_hex(const json_t *object, const char *key);
void poa_vectors_free(struct poa_vectors_bytes *b);
bool poa_vectors_equal(const struct poa_vectors_bytes *b, const void *p, size_t n);

/* Runners of JSON files, tried in this order. False: not my format, nothing was
 * counted. */
bool poa_vectors_vrf(const json_t *root, struct poa_vectors_tally *t);
bool poa_vectors_wycheproof(const json_t *root, struct poa_vectors_tally *t);
bool poa_vectors_ed25519(const json_t *root, struct poa_vectors_tally *t);
bool poa_vectors_hash(const json_t *root, struct poa_vectors_tally *t);
bool poa_vectors_binomial(const json_t *root, struct poa_vectors_tally *t);
bool poa_vectors_noise(const json_t *root, struct poa_vectors_tally *t); /* noise.c */
/* Runner of CSV text (BIP340), zero-terminated. */
bool poa_vectors_bip340(const char *text, struct poa_vectors_tally *t);

#endif
