/* Codec: consensus bytes, stored records and messages from X-macro tables.
 *
 * A table lists the fields of a record once; from it come the C struct, the
 * encoder, the strict decoder, the printer, the generic fuzz target and the
 * table in docs/wire.md. Wire form: fields in order, integers little-endian,
 * no padding; a BLOB is its length and its bytes, a LIST its count and its
 * elements. Lengths and counts take the fewest whole bytes (1, 2 or 4) that
 * hold the field's maximum.
 *
 * Decoding is zero-copy: BLOB and LIST members borrow from the input, which
 * must outlive the struct. A decoder never reads past its input, never
 * allocates, checks every nested element, and accepts only what the encoder
 * writes.
 *
 * Freestanding C99; no recursion.
 */
#ifndef POA_CODEC_H
#define POA_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "poa_error.h"

struct poa_slice {
    const uint8_t *p;
    size_t n; /* bytes */
};

struct poa_writer {
    uint8_t *p;
    size_t cap;
    size_t n;      /* bytes written */
    bool overflow; /* more was written than fits; n stays within cap */
};

/* A counted list whose elements were checked when it was decoded. */
struct poa_list {
    struct poa_slice bytes; /* the encoded elements, without the count */
    uint32_t count;
};

struct poa_list_iter {
    struct poa_slice rest;
    uint32_t left;
};

enum poa_kind {
    POA_KIND_U8,
    POA_KIND_U16,
    POA_KIND_U32,
    POA_KIND_U64,
    POA_KIND_FIX,  /* max bytes, always */
    POA_KIND_BLOB, /* 0..max bytes */
    POA_KIND_LIST, /* 0..max elements of record SUB */
};

struct poa_record;

struct poa_field {
#if !POA_LEAN
    const char *name;
    const char *doc;
#endif
    const struct poa_record *sub; /* LIST only */
#if POA_LEAN
    /* As small as the records of devices allow; the compiler says when one is not. */
    unsigned max : 20;
    unsigned offset : 9;
    unsigned kind : 3;
#else
    uint32_t max;    /* integers: largest value allowed, 0 = all */
    uint16_t offset; /* in the struct */
    uint8_t kind;
#endif
};

struct poa_record {
#if !POA_LEAN
    const char *name;
#endif
    const struct poa_field *field;
    uint16_t fields;
    uint16_t size; /* of the struct */
};

/* Tables are macros T(F) of rows F(KIND, name, max, sub, "doc"); sub is the
 * element's record name for LIST and `_` otherwise:
 *
 *   #define POA_VOTE_TABLE(F)                                     \
 *       F(U8, kind, 2, _, "0 notarize, 1 nullify, 2 finalize")    \
 *       F(FIX, hash, 32, _, "block hash, zero for nullify")
 *   POA_RECORD_DECLARE(vote, POA_VOTE_TABLE)   in the header
 *   POA_RECORD_DEFINE(vote, POA_VOTE_TABLE)    in one .c file
 *
 * declares struct poa_vote, poa_vote_record, poa_vote_encode and
 * poa_vote_decode. */
#define POA_MEMBER_U8(name, max)              uint8_t name;
#define POA_MEMBER_U16(name, max)             uint16_t name;
#define POA_MEMBER_U32(name, max)             uint32_t name;
#define POA_MEMBER_U64(name, max)             uint64_t name;
#define POA_MEMBER_FIX(name, max)             uint8_t name[max];
#define POA_MEMBER_BLOB(name, max)            struct poa_slice name;
#define POA_MEMBER_LIST(name, max)            struct poa_list name;
#define POA_MEMBER(kind, name, max, sub, doc) POA_MEMBER_##kind(name, max)

#define POA_SUB_U8(sub)   NULL
#define POA_SUB_U16(sub)  NULL
#define POA_SUB_U32(sub)  NULL
#define POA_SUB_U64(sub)  NULL
#define POA_SUB_FIX(sub)  NULL
#define POA_SUB_BLOB(sub) NULL
#define POA_SUB_LIST(sub) &poa_##sub##_record

#define POA_RECORD_DECLARE(rec, TABLE)                                                             \
    struct poa_##rec {                                                                             \
        TABLE(POA_MEMBER)                                                                          \
    };                                                                                             \
    extern const struct poa_record poa_##rec##_record;                                             \
    /* Appends R to W; POA_E_BUFFER, POA_E_RANGE, POA_E_TOO_LONG. */                               \
    POA_MUST_USE static inline int poa_##rec##_encode(struct poa_writer *w,                        \
                                                      const struct poa_##rec *r)                   \
    {                                                                                              \
        return poa_record_encode(&poa_##rec##_record, w, r);                                       \
    }                                                                                              \
    /* Decodes all of IN; on error OUT is unspecified. */                                          \
    POA_MUST_USE static inline int poa_##rec##_decode(struct poa_slice in, struct poa_##rec *out)  \
    {                                                                                              \
        return poa_record_decode(&poa_##rec##_record, in, out);                                    \
    }                                                                                              \
    /* Next element of a list of REC: 1 and OUT, or 0 at the end. */                               \
    POA_MUST_USE static inline int poa_##rec##_next(struct poa_list_iter *it,                      \
                                                    struct poa_##rec *out)                         \
    {                                                                                              \
        return poa_list_next(&poa_##rec##_record, it, out);                                        \
    }

#if POA_LEAN
#define POA_FIELD_TEXT(name, doc)
#define POA_RECORD_TEXT(rec)
#else
#define POA_FIELD_TEXT(name_, doc_) .name = #name_, .doc = doc_,
#define POA_RECORD_TEXT(rec)        .name = #rec,
#endif
#define POA_FIELD_ROW_(rec, kind_, name_, max_, sub_, doc_)                                        \
    {POA_FIELD_TEXT(name_, doc_).sub = POA_SUB_##kind_(sub_), .max = (max_),                       \
     .offset = (uint16_t)offsetof(struct poa_##rec, name_), .kind = POA_KIND_##kind_},

/* In the .c file, where F needs to know its record:
 *   #define F(k, n, m, s, d) POA_FIELD_ROW_(vote, k, n, m, s, d)
 *   POA_RECORD_DEFINE(vote, POA_VOTE_TABLE)
 *   #undef F                                                                    */
#define POA_RECORD_DEFINE(rec, TABLE)                                                              \
    static const struct poa_field poa_##rec##_fields[] = {TABLE(F)};                               \
    const struct poa_record poa_##rec##_record = {                                                 \
        POA_RECORD_TEXT(rec).field = poa_##rec##_fields,                                           \
        .fields = (uint16_t)(sizeof poa_##rec##_fields / sizeof poa_##rec##_fields[0]),            \
        .size = (uint16_t)sizeof(struct poa_##rec)};

/* Nested lists may be at most this deep (body > batch > tx > op). */
#define POA_CODEC_DEPTH_MAX 6

POA_MUST_USE int poa_record_encode(const struct poa_record *rec, struct poa_writer *w,
                                   const void *from);
POA_MUST_USE int poa_record_decode(const struct poa_record *rec, struct poa_slice in, void *out);
/* Decodes one record at the front of *IN and advances IN past it. */
POA_MUST_USE int poa_record_take(const struct poa_record *rec, struct poa_slice *in, void *out);
/* Bytes of the longest possible encoding; 0 when it exceeds 2^63. */
uint64_t poa_record_max_size(const struct poa_record *rec);
/* Bytes of every encoding when the record has no BLOB or LIST, else 0. */
size_t poa_record_fixed_size(const struct poa_record *rec);

struct poa_list_iter poa_list_begin(const struct poa_list *list);
POA_MUST_USE int poa_list_next(const struct poa_record *rec, struct poa_list_iter *it, void *out);
/* Element INDEX of a list of fixed-size records; POA_E_RANGE past the end. */
POA_MUST_USE int poa_list_at(const struct poa_record *rec, const struct poa_list *list,
                             uint32_t index, void *out);

struct poa_writer poa_writer_over(void *buffer, size_t cap);
void poa_write(struct poa_writer *w, const void *bytes, size_t n);
void poa_write_u8(struct poa_writer *w, uint8_t v);
void poa_write_u16(struct poa_writer *w, uint16_t v);
void poa_write_u32(struct poa_writer *w, uint32_t v);
void poa_write_u64(struct poa_writer *w, uint64_t v);
/* What W holds so far. */
struct poa_slice poa_written(const struct poa_writer *w);

static inline struct poa_slice poa_slice(const void *p, size_t n)
{
    return (struct poa_slice){(const uint8_t *)p, n};
}
bool poa_slice_equal(struct poa_slice a, struct poa_slice b);

/* Bytes as numbers: here, because the inner loops of the ledger are made of them. */
static inline uint16_t poa_le16(const uint8_t p[2])
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t poa_le32(const uint8_t p[4])
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t poa_le64(const uint8_t p[8])
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}
static inline uint64_t poa_be64(const uint8_t p[8])
{
    return (uint64_t)p[7] | (uint64_t)p[6] << 8 | (uint64_t)p[5] << 16 | (uint64_t)p[4] << 24 |
           (uint64_t)p[3] << 32 | (uint64_t)p[2] << 40 | (uint64_t)p[1] << 48 |
           (uint64_t)p[0] << 56;
}
static inline void poa_put_le32(uint8_t p[4], uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void poa_put_le64(uint8_t p[8], uint64_t v)
{
    poa_put_le32(p, (uint32_t)v);
    poa_put_le32(p + 4, (uint32_t)(v >> 32));
}
void poa_put_be64(uint8_t p[8], uint64_t v); /* storage keys sort by it */

/* Lower-case hex. OUT takes 2n+1 bytes; parsing wants exactly 2n digits and
 * gives POA_E_TEXT otherwise. */
void poa_hex(const void *bytes, size_t n, char *out);
POA_MUST_USE int poa_unhex(const char *text, void *out, size_t n);

#endif
