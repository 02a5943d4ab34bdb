/* Every record of the product: what is accepted encodes to the same bytes, and
 * printing stays within its buffer.
 *
 * The first two bytes name the record by a hash of its name, so that inputs
 * keep their meaning when records are added; records.inc is made from the
 * headers. */
#include "records.inc"

#include "fuzz.h"
#include "poa_print.h"

static const struct poa_record *const records[] = {
#define X(name) &poa_##name##_record,
    RECORDS(X)
#undef X
};
#define RECORDS_N (sizeof records / sizeof records[0])

static uint16_t id_of(const struct poa_record *r)
{
    uint32_t h = 2166136261u;
    for (const char *c = r->name; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    return (uint16_t)(h ^ h >> 16);
}

static const struct poa_record *record_of(uint16_t id)
{
    for (size_t i = 0; i < RECORDS_N; i++)
        if (id_of(records[i]) == id)
            return records[i];
    return records[id % RECORDS_N];
}

/* Walks every element, as users of a record do. */
static uint64_t walk(const struct poa_record *rec, const void *from)
{
    uint64_t sum = 1;
    for (const struct poa_field *f = rec->field; f < rec->field + rec->fields; f++) {
        const uint8_t *at = (const uint8_t *)from + f->offset;
        if (f->kind == POA_KIND_BLOB) {
            struct poa_slice blob;
            memcpy(&blob, at, sizeof blob);
            for (size_t i = 0; i < blob.n; i++)
                sum += blob.p[i];
        } else if (f->kind == POA_KIND_LIST) {
            struct poa_list list;
            memcpy(&list, at, sizeof list);
            struct poa_list_iter it = poa_list_begin(&list);
            uint32_t count = 0;
            void *element = malloc(f->sub->size);
            FUZZ_CHECK(element != NULL);
            for (; poa_list_next(f->sub, &it, element); count++)
                sum += walk(f->sub, element);
            FUZZ_CHECK(count == list.count && it.rest.n == 0);
            if (poa_record_fixed_size(f->sub)) {
                FUZZ_CHECK(list.bytes.n == poa_record_fixed_size(f->sub) * list.count);
                FUZZ_CHECK(poa_list_at(f->sub, &list, list.count, element) == POA_E_RANGE);
                if (list.count)
                    FUZZ_CHECK(poa_list_at(f->sub, &list, list.count - 1, element) == POA_OK);
            }
            free(element);
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct poa_record *rec = record_of(poa_le16(data));
    size_t n = size - 2;
    uint8_t *in = fuzz_copy(data + 2, n);
    void *value = calloc(1, rec->size);
    FUZZ_CHECK(value != NULL);
    int e = poa_record_decode(rec, poa_slice(in, n), value);
    FUZZ_CHECK(e <= 0);

    /* A prefix is never accepted as the whole with something behind it. */
    struct poa_slice rest = poa_slice(in, n);
    void *again = calloc(1, rec->size);
    FUZZ_CHECK(again != NULL);
    int taken = poa_record_take(rec, &rest, again);
    FUZZ_CHECK((e == POA_OK) == (taken == POA_OK && rest.n == 0));
    FUZZ_CHECK(taken == POA_OK || (rest.p == in && rest.n == n));
    free(again);

    if (e == POA_OK) {
        uint64_t max = poa_record_max_size(rec);
        size_t fixed = poa_record_fixed_size(rec);
        uint8_t *out = malloc(n ? n : 1);
        FUZZ_CHECK(out != NULL);
        FUZZ_CHECK(!max || n <= max);
        FUZZ_CHECK(!fixed || n == fixed);
        struct poa_writer w = poa_writer_over(out, n);
        FUZZ_CHECK(poa_record_encode(rec, &w, value) == POA_OK);
        FUZZ_CHECK(w.n == n && memcmp(out, in, n) == 0);
        if (n) {
            w = poa_writer_over(out, n - 1);
            FUZZ_CHECK(poa_record_encode(rec, &w, value) == POA_E_BUFFER);
        }
        free(out);
        FUZZ_CHECK(walk(rec, value) > 0);

        /* Cut off at any length, never past it, and the whole text the same. */
        size_t length = poa_record_print(rec, value, NULL, 0);
        size_t cap = length < 4096 ? length + 1 : 4096;
        for (size_t cut = cap; cut; cut /= 3) {
            char *text = malloc(cut);
            FUZZ_CHECK(text != NULL);
            FUZZ_CHECK(poa_record_print(rec, value, text, cut) == length);
            FUZZ_CHECK(memchr(text, 0, cut) == text + (length < cut ? length : cut - 1));
            free(text);
        }
    }
    free(value);
    free(in);
    return 0;
}

/* An encoding of REC: lists with SIZE elements and blobs of SIZE bytes where
 * their maximum allows it. */
static void generate(const struct poa_record *rec, unsigned size, struct poa_writer *w)
{
    for (const struct poa_field *f = rec->field; f < rec->field + rec->fields; f++) {
        uint64_t n = size < f->max ? size : f->max;
        size_t width = f->max <= UINT8_MAX ? 1 : f->max <= UINT16_MAX ? 2 : 4;
        switch ((enum poa_kind)f->kind) {
        case POA_KIND_U8:
            poa_write_u8(w, (uint8_t)(f->max ? n : size));
            break;
        case POA_KIND_U16:
            poa_write_u16(w, (uint16_t)(f->max ? n : size));
            break;
        case POA_KIND_U32:
            poa_write_u32(w, (uint32_t)(f->max ? n : size));
            break;
        case POA_KIND_U64:
            poa_write_u64(w, f->max ? n : size ? UINT64_MAX - size : 0);
            break;
        case POA_KIND_FIX:
            for (uint64_t i = 0; i < f->max; i++)
                poa_write_u8(w, (uint8_t)(size ? i + 1 : 0));
            break;
        case POA_KIND_BLOB:
        case POA_KIND_LIST:
            if (width == 1)
                poa_write_u8(w, (uint8_t)n);
            else if (width == 2)
                poa_write_u16(w, (uint16_t)n);
            else
                poa_write_u32(w, (uint32_t)n);
            for (uint64_t i = 0; i < n; i++)
                if (f->kind == POA_KIND_BLOB)
                    poa_write_u8(w, (uint8_t)('a' + i));
                else
                    generate(f->sub, i ? 0 : size, w);
            break;
        }
    }
}

void fuzz_seeds(void)
{
    static uint8_t buffer[65536];
    for (size_t i = 0; i < RECORDS_N; i++)
        for (unsigned size = 0; size < 4; size += 3) {
            struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
            char name[80];
            poa_write_u16(&w, id_of(records[i]));
            generate(records[i], size, &w);
            FUZZ_CHECK(!w.overflow && record_of(id_of(records[i])) == records[i]);
            snprintf(name, sizeof name, "%s-%u", records[i]->name, size);
            fuzz_seed(name, buffer, w.n);
        }
}
