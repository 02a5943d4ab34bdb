/* Readable text of any record, from its table: for logs and golden traces. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "poa_print.h"

struct out {
    char *p;
    size_t cap, n; /* n counts what a large enough buffer would hold */
};

static void put(struct out *o, const char *text)
{
    size_t len = strlen(text);
    if (o->n < o->cap) {
        size_t room = o->cap - o->n;
        memcpy(o->p + o->n, text, len < room ? len : room);
    }
    o->n += len;
}

static void put_bytes(struct out *o, const uint8_t *p, size_t n)
{
    char hex[3];
    for (size_t i = 0; i < n; i++) {
        if (i == 8 && n > 12) { /* enough to recognise a hash or a key */
            char more[32];
            snprintf(more, sizeof more, "..(%zu)", n);
            put(o, more);
            return;
        }
        poa_hex(p + i, 1, hex);
        put(o, hex);
    }
}

static uint64_t integer(const struct poa_field *f, const uint8_t *at)
{
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    if (f->kind == POA_KIND_U8)
        return *at;
    if (f->kind == POA_KIND_U16)
        return memcpy(&v16, at, sizeof v16), v16;
    if (f->kind == POA_KIND_U32)
        return memcpy(&v32, at, sizeof v32), v32;
    return memcpy(&v64, at, sizeof v64), v64;
}

/* Recursion is bounded by POA_CODEC_DEPTH_MAX, which decoding has enforced. */
static void put_record(struct out *o, const struct poa_record *rec, const void *from)
{
    put(o, rec->name);
    put(o, "{");
    for (uint16_t i = 0; i < rec->fields; i++) {
        const struct poa_field *f = &rec->field[i];
        const uint8_t *at = (const uint8_t *)from + f->offset;
        struct poa_slice blob;
        struct poa_list list;
        char number[32];
        put(o, i ? " " : "");
        put(o, f->name);
        put(o, "=");
        switch ((enum poa_kind)f->kind) {
        case POA_KIND_FIX:
            put_bytes(o, at, (size_t)f->max);
            break;
        case POA_KIND_BLOB:
            memcpy(&blob, at, sizeof blob);
            put_bytes(o, blob.p, blob.n);
            break;
        case POA_KIND_LIST: {
            memcpy(&list, at, sizeof list);
            uint64_t element[(POA_PRINT_STRUCT_MAX + 7) / 8];
            struct poa_list_iter it = poa_list_begin(&list);
            POA_ASSERT(f->sub->size <= sizeof element);
            put(o, "[");
            for (bool first = true; poa_list_next(f->sub, &it, element); first = false) {
                put(o, first ? "" : " ");
                put_record(o, f->sub, element);
            }
            put(o, "]");
            break;
        }
        case POA_KIND_U8:
        case POA_KIND_U16:
        case POA_KIND_U32:
        case POA_KIND_U64:
            snprintf(number, sizeof number, "%" PRIu64, integer(f, at));
            put(o, number);
            break;
        }
    }
    put(o, "}");
}

size_t poa_record_print(const struct poa_record *rec, const void *from, char *out, size_t cap)
{
    struct out o = {out, cap ? cap - 1 : 0, 0};
    put_record(&o, rec, from);
    if (cap)
        out[o.n < cap ? o.n : cap - 1] = 0;
    return o.n;
}
