/* The table interpreter behind every record: see poa_codec.h. */
#include "poa_codec.h"

#include <string.h>

static size_t count_width(uint64_t max)
{
    return max <= UINT8_MAX ? 1 : max <= UINT16_MAX ? 2 : 4;
}

static size_t int_width(uint8_t kind)
{
    return kind == POA_KIND_U8 ? 1 : kind == POA_KIND_U16 ? 2 : kind == POA_KIND_U32 ? 4 : 8;
}

static uint64_t le_read(const uint8_t *p, size_t width)
{
    switch (width) {
    case 1:
        return p[0];
    case 2:
        return poa_le16(p);
    case 4:
        return poa_le32(p);
    default:
        return poa_le64(p);
    }
}

static void le_write(struct poa_writer *w, uint64_t v, size_t width)
{
    uint8_t b[8];
    poa_put_le64(b, v);
    poa_write(w, b, width);
}

#if POA_LEAN

/* Integer members have the width of their kind in the struct too. In few bytes of
 * code: where byte I of a number of N bytes lies, counted from its low end. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTE_AT(i, n) (i)
#else
#define BYTE_AT(i, n) ((n)-1 - (i))
#endif

static uint64_t member_get(const void *from, const struct poa_field *f)
{
    const uint8_t *at = (const uint8_t *)from + f->offset;
    size_t n = int_width(f->kind);
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | at[BYTE_AT(i, n)];
    return v;
}

static void member_set(void *out, const struct poa_field *f, uint64_t v)
{
    uint8_t *at = (uint8_t *)out + f->offset;
    size_t n = int_width(f->kind);
    for (size_t i = 0; i < n; i++, v >>= 8)
        at[BYTE_AT(i, n)] = (uint8_t)v;
}

#else

/* Integer members have the width of their kind in the struct too. */
static uint64_t member_get(const void *from, const struct poa_field *f)
{
    const uint8_t *at = (const uint8_t *)from + f->offset;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    switch (int_width(f->kind)) {
    case 1:
        return *at;
    case 2:
        memcpy(&v16, at, sizeof v16);
        return v16;
    case 4:
        memcpy(&v32, at, sizeof v32);
        return v32;
    default:
        memcpy(&v64, at, sizeof v64);
        return v64;
    }
}

static void member_set(void *out, const struct poa_field *f, uint64_t v)
{
    uint8_t *at = (uint8_t *)out + f->offset;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    switch (int_width(f->kind)) {
    case 1:
        *at = (uint8_t)v;
        break;
    case 2:
        memcpy(at, &v16, sizeof v16);
        break;
    case 4:
        memcpy(at, &v32, sizeof v32);
        break;
    default:
        memcpy(at, &v, sizeof v);
        break;
    }
}

#endif

int poa_record_encode(const struct poa_record *rec, struct poa_writer *w, const void *from)
{
    for (const struct poa_field *f = rec->field; f < rec->field + rec->fields; f++) {
        const uint8_t *at = (const uint8_t *)from + f->offset;
        struct poa_slice blob;
        struct poa_list list;
        uint64_t v;
        switch (f->kind) {
        case POA_KIND_FIX:
            poa_write(w, at, (size_t)f->max);
            break;
        case POA_KIND_BLOB:
            memcpy(&blob, at, sizeof blob);
            if (blob.n > f->max)
                return POA_E_TOO_LONG;
            le_write(w, blob.n, count_width(f->max));
            poa_write(w, blob.p, blob.n);
            break;
        case POA_KIND_LIST:
            memcpy(&list, at, sizeof list);
            if (list.count > f->max)
                return POA_E_TOO_LONG;
            le_write(w, list.count, count_width(f->max));
            poa_write(w, list.bytes.p, list.bytes.n);
            break;
        default:
            v = member_get(from, f);
            if (f->max && v > f->max)
                return POA_E_RANGE;
            le_write(w, v, int_width(f->kind));
            break;
        }
    }
    return w->overflow ? POA_E_BUFFER : POA_OK;
}

static int take(struct poa_slice *in, size_t n, const uint8_t **out)
{
    if (in->n < n)
        return POA_E_TRUNCATED;
    *out = in->p;
    in->p += n;
    in->n -= n;
    return POA_OK;
}

/* Reads a count or length of field F and checks it against the maximum. */
static int take_count(const struct poa_field *f, struct poa_slice *in, uint64_t *out)
{
    const uint8_t *p;
    int e = take(in, count_width(f->max), &p);
    if (e)
        return e;
    *out = le_read(p, count_width(f->max));
    return *out > f->max ? POA_E_TOO_LONG : POA_OK;
}

/* Advances IN past COUNT elements of REC, checking each: an explicit stack of
 * (record, field, elements left) instead of recursion. A zero-size element
 * cannot exist (every record has a field of at least one byte), so the work is
 * bounded by the input's length. */
static int skip_elements(const struct poa_record *rec, uint64_t count, struct poa_slice *in)
{
    struct {
        const struct poa_record *rec;
        uint64_t left; /* elements of rec still to finish, the current one included */
        uint16_t field;
    } stack[POA_CODEC_DEPTH_MAX];
    size_t depth = 0;

    if (!count)
        return POA_OK;
    stack[0].rec = rec;
    stack[0].left = count;
    stack[0].field = 0;
    for (;;) {
        if (stack[depth].field == stack[depth].rec->fields) {
            stack[depth].field = 0;
            if (--stack[depth].left)
                continue;
            if (!depth)
                return POA_OK;
            depth--;
            continue;
        }
        const struct poa_field *f = &stack[depth].rec->field[stack[depth].field++];
        const uint8_t *p;
        uint64_t n = 0;
        int e;
        switch (f->kind) {
        case POA_KIND_FIX:
            e = take(in, (size_t)f->max, &p);
            break;
        case POA_KIND_BLOB:
            e = take_count(f, in, &n);
            if (!e)
                e = take(in, (size_t)n, &p);
            break;
        case POA_KIND_LIST:
            e = take_count(f, in, &n);
            if (!e && n) {
                if (depth + 1 == POA_CODEC_DEPTH_MAX)
                    return POA_E_UNSUPPORTED;
                depth++;
                stack[depth].rec = f->sub;
                stack[depth].left = n;
                stack[depth].field = 0;
            }
            break;
        default:
            e = take(in, int_width(f->kind), &p);
            if (!e && f->max && le_read(p, int_width(f->kind)) > f->max)
                e = POA_E_RANGE;
            break;
        }
        if (e)
            return e;
    }
}

int poa_record_take(const struct poa_record *rec, struct poa_slice *in, void *out)
{
    struct poa_slice rest = *in;
    for (const struct poa_field *f = rec->field; f < rec->field + rec->fields; f++) {
        uint8_t *at = (uint8_t *)out + f->offset;
        const uint8_t *p = NULL;
        struct poa_slice blob;
        struct poa_list list;
        uint64_t v = 0;
        int e;
        switch (f->kind) {
        case POA_KIND_FIX:
            e = take(&rest, (size_t)f->max, &p);
            if (!e)
                memcpy(at, p, (size_t)f->max);
            break;
        case POA_KIND_BLOB:
            e = take_count(f, &rest, &v);
            if (!e)
                e = take(&rest, (size_t)v, &p);
            blob.p = p;
            blob.n = (size_t)v;
            memcpy(at, &blob, sizeof blob);
            break;
        case POA_KIND_LIST:
            e = take_count(f, &rest, &v);
            list.count = (uint32_t)v;
            list.bytes.p = rest.p;
            if (!e)
                e = skip_elements(f->sub, v, &rest);
            list.bytes.n = (size_t)(rest.p - list.bytes.p);
            memcpy(at, &list, sizeof list);
            break;
        default:
            e = take(&rest, int_width(f->kind), &p);
            if (!e) {
                v = le_read(p, int_width(f->kind));
                if (f->max && v > f->max)
                    e = POA_E_RANGE;
                member_set(out, f, v);
            }
            break;
        }
        if (e)
            return e;
    }
    *in = rest;
    return POA_OK;
}

int poa_record_decode(const struct poa_record *rec, struct poa_slice in, void *out)
{
    int e = poa_record_take(rec, &in, out);
    if (e)
        return e;
    return in.n ? POA_E_TRAILING : POA_OK;
}

uint64_t poa_record_max_size(const struct poa_record *rec)
{
    /* The product of the maxima on the way down, by the same explicit stack. */
    struct {
        const struct poa_record *rec;
        uint64_t times;
        uint16_t field;
    } stack[POA_CODEC_DEPTH_MAX];
    size_t depth = 0;
    uint64_t total = 0;
    const uint64_t limit = (uint64_t)1 << 63;

    stack[0].rec = rec;
    stack[0].times = 1;
    stack[0].field = 0;
    for (;;) {
        if (stack[depth].field == stack[depth].rec->fields) {
            if (!depth)
                return total;
            depth--;
            continue;
        }
        const struct poa_field *f = &stack[depth].rec->field[stack[depth].field++];
        uint64_t times = stack[depth].times;
        uint64_t own = f->kind == POA_KIND_FIX    ? f->max
                       : f->kind == POA_KIND_BLOB ? count_width(f->max) + f->max
                       : f->kind == POA_KIND_LIST ? count_width(f->max)
                                                  : int_width(f->kind);
        if (own > limit / times || total > limit - own * times)
            return 0;
        total += own * times;
        if (f->kind == POA_KIND_LIST) {
            if (depth + 1 == POA_CODEC_DEPTH_MAX || f->max > limit / times)
                return 0;
            depth++;
            stack[depth].rec = f->sub;
            stack[depth].times = times * f->max;
            stack[depth].field = 0;
        }
    }
}

size_t poa_record_fixed_size(const struct poa_record *rec)
{
    size_t total = 0;
    for (const struct poa_field *f = rec->field; f < rec->field + rec->fields; f++) {
        if (f->kind == POA_KIND_BLOB || f->kind == POA_KIND_LIST)
            return 0;
        total += f->kind == POA_KIND_FIX ? (size_t)f->max : int_width(f->kind);
    }
    return total;
}

struct poa_list_iter poa_list_begin(const struct poa_list *list)
{
    struct poa_list_iter it = {list->bytes, list->count};
    return it;
}

int poa_list_next(const struct poa_record *rec, struct poa_list_iter *it, void *out)
{
    /* The list was checked when it was decoded; a list built by hand with a
     * wrong count ends early instead of reading on. */
    if (!it->left || poa_record_take(rec, &it->rest, out))
        return 0;
    it->left--;
    return 1;
}

int poa_list_at(const struct poa_record *rec, const struct poa_list *list, uint32_t index,
                void *out)
{
    size_t size = poa_record_fixed_size(rec);
    if (!size)
        return POA_E_UNSUPPORTED;
    if (index >= list->count || list->bytes.n / size <= index)
        return POA_E_RANGE;
    return poa_record_decode(rec, poa_slice(list->bytes.p + (size_t)index * size, size), out);
}

struct poa_writer poa_writer_over(void *buffer, size_t cap)
{
    struct poa_writer w = {(uint8_t *)buffer, cap, 0, false};
    return w;
}

void poa_write(struct poa_writer *w, const void *bytes, size_t n)
{
    if (!n)
        return;
    if (w->overflow || n > w->cap - w->n) {
        w->overflow = true;
        return;
    }
    memmove(w->p + w->n, bytes, n); /* what is at its place already stays */
    w->n += n;
}

void poa_write_u8(struct poa_writer *w, uint8_t v)
{
    le_write(w, v, 1);
}

void poa_write_u16(struct poa_writer *w, uint16_t v)
{
    le_write(w, v, 2);
}

void poa_write_u32(struct poa_writer *w, uint32_t v)
{
    le_write(w, v, 4);
}

void poa_write_u64(struct poa_writer *w, uint64_t v)
{
    le_write(w, v, 8);
}

struct poa_slice poa_written(const struct poa_writer *w)
{
    return poa_slice(w->p, w->n);
}

bool poa_slice_equal(struct poa_slice a, struct poa_slice b)
{
    return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

void poa_put_be64(uint8_t p[8], uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        p[7 - i] = (uint8_t)(v >> (8 * i));
}

void poa_hex(const void *bytes, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *p = (const uint8_t *)bytes;
    for (size_t i = 0; i < n; i++) {
        *out++ = digit[p[i] >> 4];
        *out++ = digit[p[i] & 15];
    }
    *out = 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int poa_unhex(const char *text, void *out, size_t n)
{
    uint8_t *p = (uint8_t *)out;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(text[2 * i]);
        int lo = hi < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (lo < 0)
            return POA_E_TEXT;
        p[i] = (uint8_t)(hi << 4 | lo);
    }
    return text[2 * n] ? POA_E_TEXT : POA_OK;
}
