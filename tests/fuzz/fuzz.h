/* What every fuzz target shares.
 *
 * A target is one .c file with
 *   LLVMFuzzerTestOneInput  any bytes in; aborts when a promise is broken
 *   fuzz_seeds              calls fuzz_seed for each input worth starting from
 * libFuzzer drives it in PROFILE=fuzz, replay.c everywhere else. A target keeps
 * no state between inputs, reads no clock and draws nothing at random: the same
 * input does the same thing.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_seeds(void);

/* Provided by fuzz.c: writes a seed file; NAME is letters, digits, '-', '_'. */
void fuzz_seed(const char *name, const void *bytes, size_t n);
void fuzz_seeds_into(const char *dir); /* calls fuzz_seeds; exits on failure */

/* A promise of the code under test. */
#define FUZZ_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz: broken promise: %s at %s:%d\n", #cond, __FILE__, __LINE__);     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Input taken apart from the front: what is not there any more reads as zero. */
struct fuzz_in {
    const uint8_t *p;
    size_t n;
};
static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}
static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
    uint16_t low = fuzz_u8(in);
    return (uint16_t)(low | fuzz_u8(in) << 8);
}
static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
    uint32_t low = fuzz_u16(in);
    return low | (uint32_t)fuzz_u16(in) << 16;
}
static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
    uint64_t low = fuzz_u32(in);
    return low | (uint64_t)fuzz_u32(in) << 32;
}
static inline void fuzz_fill(struct fuzz_in *in, void *out, size_t n)
{
    size_t have = n < in->n ? n : in->n;
    if (have)
        memcpy(out, in->p, have);
    memset((uint8_t *)out + have, 0, n - have);
    in->p += have;
    in->n -= have;
}
/* The next N bytes, or what is left. */
static inline struct poa_slice fuzz_slice(struct fuzz_in *in, size_t n)
{
    struct poa_slice s = poa_slice(in->p, n < in->n ? n : in->n);
    in->p += s.n;
    in->n -= s.n;
    return s;
}
/* A slice whose length comes first (u16). */
static inline struct poa_slice fuzz_chunk(struct fuzz_in *in)
{
    size_t n = fuzz_u16(in);
    return fuzz_slice(in, n);
}
/* Its counterpart for seeds. */
static inline void fuzz_put_chunk(struct poa_writer *w, struct poa_slice s)
{
    poa_write_u16(w, (uint16_t)s.n);
    poa_write(w, s.p, s.n);
}
/* A copy of exactly N bytes, so that the sanitizer sees the first byte that is
 * read past its end. Free it. */
static inline uint8_t *fuzz_copy(const void *p, size_t n)
{
    uint8_t *copy = calloc(1, n ? n : 1);
    FUZZ_CHECK(copy != NULL);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

#endif
