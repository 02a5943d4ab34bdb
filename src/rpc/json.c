/* JSON of records, both ways, from their tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

/* What a FIX or BLOB field means to a reader follows from its name. */
static const char *const address_fields[] = {"address",   "sender",   "to",    "owner", "payout",
                                             "steering",  "treasury", "payer", "payee", "issuer",
                                             "confirmer", "arbiter",  "seller"};
static const char *const text_fields[] = {"name", "title", "text"};

static bool named(const struct poa_field *f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}
static bool is_address(const struct poa_field *f)
{
    return f->kind == POA_KIND_FIX && f->max == 32 &&
           named(f, address_fields, sizeof address_fields / sizeof address_fields[0]);
}
static bool is_text(const struct poa_field *f)
{
    return f->kind == POA_KIND_BLOB &&
           named(f, text_fields, sizeof text_fields / sizeof text_fields[0]);
}

json_t *poa_json_u64(uint64_t v)
{
    char text[20], *p = text + sizeof text;
    do
        *--p = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    return json_stringn_nocheck(p, (size_t)(text + sizeof text - p));
}

json_t *poa_json_hex(const void *bytes, size_t n)
{
    char small[257];
    if (2 * n + 1 <= sizeof small) {
        poa_hex(bytes, n, small);
        return json_stringn_nocheck(small, 2 * n);
    }
    char *text = malloc(2 * n + 1);
    if (text == NULL)
        return NULL;
    poa_hex(bytes, n, text);
    json_t *v = json_stringn_nocheck(text, 2 * n);
    free(text);
    return v;
}

json_t *poa_json_address(const uint8_t address32[32])
{
    char text[POA_ADDRESS_TEXT_BYTES];
    poa_address_to_text(address32, text);
    return json_stringn_nocheck(text, sizeof text - 1);
}

json_t *poa_json_text(struct poa_slice bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        if (bytes.p[i] < 0x20 || bytes.p[i] == 0x7f)
            return json_null();
    json_t *v = json_stringn((const char *)bytes.p, bytes.n); /* refuses bad UTF-8 */
    return v != NULL ? v : json_null();
}

/* --- record to JSON ------------------------------------------------------------- */

/* Largest struct of an element of a list; the records of all modules fit. */
#define ELEMENT_BYTES_MAX 512

static json_t *field_json(const struct poa_field *f, const uint8_t *at)
{
    switch ((enum poa_kind)f->kind) {
    case POA_KIND_U8:
        return json_integer(*at);
    case POA_KIND_U16: {
        uint16_t v;
        memcpy(&v, at, sizeof v);
        return json_integer(v);
    }
    case POA_KIND_U32: {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return json_integer(v);
    }
    case POA_KIND_U64: {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        return poa_json_u64(v);
    }
    case POA_KIND_FIX:
        return is_address(f) ? poa_json_address(at) : poa_json_hex(at, (size_t)f->max);
    case POA_KIND_BLOB: {
        struct poa_slice s;
        memcpy(&s, at, sizeof s);
        return is_text(f) ? poa_json_text(s) : poa_json_hex(s.p, s.n);
    }
    case POA_KIND_LIST: {
        struct poa_list list;
        memcpy(&list, at, sizeof list);
        json_t *array = json_array();
        struct poa_list_iter it = poa_list_begin(&list);
        union {
            uint8_t bytes[ELEMENT_BYTES_MAX];
            max_align_t align;
        } element;
        POA_ASSERT(f->sub->size <= sizeof element);
        while (array != NULL && poa_list_next(f->sub, &it, &element) == 1)
            if (json_array_append_new(array, poa_json_record(f->sub, &element)) != 0) {
                json_decref(array);
                return NULL;
            }
        return array;
    }
    }
    return NULL;
}

json_t *poa_json_record(const struct poa_record *rec, const void *from)
{
    json_t *object = json_object();
    for (size_t i = 0; object != NULL && i < rec->fields; i++) {
        const struct poa_field *f = &rec->field[i];
        if (json_object_set_new_nocheck(object, f->name,
                                        field_json(f, (const uint8_t *)from + f->offset)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* --- JSON to record --------------------------------------------------------------- */

static int parse_u64(const json_t *v, uint64_t *out)
{
    if (json_is_integer(v)) {
        if (json_integer_value(v) < 0)
            return POA_E_RANGE;
        *out = (uint64_t)json_integer_value(v);
        return POA_OK;
    }
    const char *text = json_string_value(v);
    if (text == NULL || text[0] == 0 || strlen(text) != json_string_length(v) ||
        strspn(text, "0123456789") != strlen(text) || (text[0] == '0' && text[1] != 0))
        return POA_E_TEXT;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == ERANGE ? POA_E_RANGE : POA_OK;
}

static int integer_from(const struct poa_field *f, const json_t *v, uint64_t type_max,
                        uint64_t *out)
{
    int rc = parse_u64(v, out);
    if (rc != POA_OK)
        return rc;
    return *out > type_max || (f->max != 0 && *out > f->max) ? POA_E_RANGE : POA_OK;
}

/* Room for N bytes in SCRATCH, or NULL. */
static uint8_t *take(struct poa_writer *scratch, size_t n)
{
    if (scratch->overflow || scratch->cap - scratch->n < n)
        return NULL;
    uint8_t *p = scratch->p + scratch->n;
    scratch->n += n;
    return p;
}

static int blob_from(const struct poa_field *f, const json_t *v, struct poa_writer *scratch,
                     struct poa_slice *out)
{
    const char *text = json_string_value(v);
    if (text == NULL)
        return POA_E_TEXT;
    size_t n = json_string_length(v);
    if (!is_text(f)) {
        if (n % 2 != 0 || strlen(text) != n)
            return POA_E_TEXT;
        n /= 2;
    }
    if (n > f->max)
        return POA_E_TOO_LONG;
    uint8_t *p = take(scratch, n);
    if (p == NULL)
        return POA_E_BUFFER;
    *out = poa_slice(p, n);
    if (!is_text(f))
        return poa_unhex(text, p, n);
    memcpy(p, text, n);
    return POA_OK;
}

static int record_from(const struct poa_record *rec, const json_t *from, struct poa_writer *scratch,
                       void *out, unsigned depth, struct poa_why *why);

/* The elements' own blobs lie in SCRATCH before the list's bytes. */
static int list_from(const struct poa_field *f, const json_t *v, struct poa_writer *scratch,
                     struct poa_list *out, unsigned depth, struct poa_why *why)
{
    if (!json_is_array(v))
        return POA_E_TEXT;
    size_t n = json_array_size(v);
    if (n > f->max)
        return POA_E_TOO_LONG;
    POA_ASSERT(f->sub->size <= ELEMENT_BYTES_MAX);
    void *elements = calloc(n ? n : 1, f->sub->size);
    if (elements == NULL)
        return POA_E_NO_MEMORY;
    int rc = POA_OK;
    for (size_t i = 0; rc == POA_OK && i < n; i++)
        rc = record_from(f->sub, json_array_get(v, i), scratch,
                         (uint8_t *)elements + i * f->sub->size, depth + 1, why);
    size_t start = scratch->n;
    for (size_t i = 0; rc == POA_OK && i < n; i++)
        rc = poa_record_encode(f->sub, scratch, (uint8_t *)elements + i * f->sub->size);
    free(elements);
    out->bytes = poa_slice(scratch->p + start, scratch->n - start);
    out->count = (uint32_t)n;
    return rc;
}

static int field_from(const struct poa_field *f, const json_t *v, struct poa_writer *scratch,
                      uint8_t *at, unsigned depth, struct poa_why *why)
{
    uint64_t u = 0;
    int rc = POA_E_TEXT;
    switch ((enum poa_kind)f->kind) {
    case POA_KIND_U8:
        rc = integer_from(f, v, UINT8_MAX, &u);
        *at = (uint8_t)u;
        return rc;
    case POA_KIND_U16: {
        rc = integer_from(f, v, UINT16_MAX, &u);
        uint16_t u16 = (uint16_t)u;
        memcpy(at, &u16, sizeof u16);
        return rc;
    }
    case POA_KIND_U32: {
        rc = integer_from(f, v, UINT32_MAX, &u);
        uint32_t u32 = (uint32_t)u;
        memcpy(at, &u32, sizeof u32);
        return rc;
    }
    case POA_KIND_U64:
        rc = integer_from(f, v, UINT64_MAX, &u);
        memcpy(at, &u, sizeof u);
        return rc;
    case POA_KIND_FIX: {
        const char *text = json_string_value(v);
        if (text == NULL)
            return POA_E_TEXT;
        if (is_address(f))
            return poa_address_from_text(text, at, NULL);
        return poa_unhex(text, at, (size_t)f->max);
    }
    case POA_KIND_BLOB: {
        struct poa_slice s = {NULL, 0};
        rc = blob_from(f, v, scratch, &s);
        memcpy(at, &s, sizeof s);
        return rc;
    }
    case POA_KIND_LIST: {
        struct poa_list list = {{NULL, 0}, 0};
        rc = list_from(f, v, scratch, &list, depth, why);
        memcpy(at, &list, sizeof list);
        return rc;
    }
    }
    return rc;
}

static int record_from(const struct poa_record *rec, const json_t *from, struct poa_writer *scratch,
                       void *out, unsigned depth, struct poa_why *why)
{
    if (depth > POA_CODEC_DEPTH_MAX || !json_is_object(from))
        return poa_because(why, POA_E_TEXT, "%s: must be an object", rec->name);
    for (size_t i = 0; i < rec->fields; i++) {
        const struct poa_field *f = &rec->field[i];
        const json_t *v = json_object_get(from, f->name);
        if (v == NULL)
            return poa_because(why, POA_E_TEXT, "%s: %s is missing", rec->name, f->name);
        struct poa_why inner = {{0}};
        int rc = field_from(f, v, scratch, (uint8_t *)out + f->offset, depth, &inner);
        if (rc != POA_OK)
            return inner.text[0] ? poa_because(why, rc, "%s", inner.text)
                                 : poa_because(why, rc, "%s: %s (%s): %s", rec->name, f->name,
                                               f->doc, poa_error_text(rc));
    }
    if (json_object_size(from) != rec->fields) {
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)from, key, v)
        {
            size_t i = 0;
            while (i < rec->fields && strcmp(rec->field[i].name, key) != 0)
                i++;
            if (i == rec->fields)
                return poa_because(why, POA_E_TEXT, "%s: unknown field %.64s", rec->name, key);
        }
    }
    return POA_OK;
}

int poa_json_to_record(const struct poa_record *rec, const json_t *from, struct poa_writer *scratch,
                       void *out, struct poa_why *why)
{
    return record_from(rec, from, scratch, out, 0, why);
}
