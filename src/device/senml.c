/* Writes SenML JSON (RFC 8428) into a caller's buffer. The first record carries
 * base name and base time; times are relative to it, with three decimals. */
#include <string.h>

#include "poa_edge.h"

/* 2^28 s: RFC 8428 section 4.5.3 takes smaller times as relative to now. */
#define SENML_TIME_MIN_MS (UINT64_C(1000) << 28)

#define NUMBER_MAX  4096 /* bytes: more than a pack has */
#define NUMBER_TENS 308  /* a double holds everything below 10 to this power */

static void put_text(struct poa_writer *w, const char *text)
{
    poa_write(w, text, strlen(text));
}

static void put_decimal(struct poa_writer *w, uint64_t v, unsigned decimals, bool negative)
{
    char digits[24];
    unsigned n = 0, skip = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v || n <= decimals);
    /* Trailing zeros of the fraction say nothing. */
    while (skip < decimals && digits[skip] == '0')
        skip++;
    if (negative)
        poa_write_u8(w, '-');
    while (n > skip) {
        if (n == decimals)
            poa_write_u8(w, '.');
        poa_write_u8(w, (uint8_t)digits[--n]);
    }
}

/* RFC 8428 section 4.5.1: letters, digits and "-:./_", starting with a letter
 * or digit; a base name may be followed by an empty name. */
static bool name_ok(const char *base, const char *name)
{
    bool first = true;
    for (int part = 0; part < 2; part++) {
        for (const char *p = part ? name : base; *p; p++) {
            bool alnum =
                (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
            if (!alnum && (first || !strchr("-:./_", *p)))
                return false;
            first = false;
        }
    }
    return !first;
}

/* A unit needs no escape when it is printable ASCII without quotes. */
static bool unit_ok(const char *unit)
{
    for (; *unit; unit++)
        if (*unit < ' ' || *unit > '~' || *unit == '"' || *unit == '\\')
            return false;
    return true;
}

/* Digits from AT on: how many. HIGH becomes the power of ten of the first that is not 0,
 * once there is one: SEEN. STEP is 1 before the point, -1 behind it. */
static size_t number_digits(const char *text, size_t n, size_t at, int step, bool *seen,
                            int32_t *high)
{
    size_t i = at;
    for (; i < n && text[i] >= '0' && text[i] <= '9'; i++) {
        if (*seen ? step > 0 : step < 0)
            *high += step;
        *seen |= text[i] != '0';
    }
    return i - at;
}

int poa_json_number(const char *text, size_t n)
{
    size_t i = n && text[0] == '-', digits;
    bool seen = false, negative;
    int32_t high = 0, exponent = 0;
    digits = number_digits(text, n, i, 1, &seen, &high);
    if (!digits || (digits > 1 && text[i] == '0') || n > NUMBER_MAX)
        return POA_E_TEXT;
    i += digits;
    if (i < n && text[i] == '.') {
        digits = number_digits(text, n, ++i, -1, &seen, &high);
        if (!digits)
            return POA_E_TEXT;
        i += digits;
    }
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        negative = i < n && text[i] == '-';
        if (i < n && (text[i] == '+' || text[i] == '-'))
            i++;
        for (digits = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++, digits++)
            if (exponent < 2 * NUMBER_MAX)
                exponent = exponent * 10 + (text[i] - '0');
        if (!digits)
            return POA_E_TEXT;
        high += negative ? -exponent : exponent;
    }
    if (i != n)
        return POA_E_TEXT;
    return seen && high >= NUMBER_TENS ? POA_E_RANGE : POA_OK;
}

void poa_senml_begin(struct poa_senml *s, struct poa_writer *w, const char *base_name,
                     uint64_t base_ms)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    s->base_name = base_name;
    s->base_ms = base_ms;
}

/* Everything up to the value. */
static int add_head(struct poa_senml *s, const char *name, const char *unit, uint64_t time_ms)
{
    struct poa_writer *w = s->w;
    if (!name_ok(s->base_name, name) || (unit && !unit_ok(unit)))
        return POA_E_TEXT;
    if (time_ms < SENML_TIME_MIN_MS || s->base_ms < SENML_TIME_MIN_MS || s->count == UINT16_MAX)
        return POA_E_RANGE;
    put_text(w, s->count ? "," : "[");
    poa_write_u8(w, '{');
    if (!s->count) {
        put_text(w, "\"bn\":\"");
        put_text(w, s->base_name);
        put_text(w, "\",\"bt\":");
        put_decimal(w, s->base_ms, 3, false);
        poa_write_u8(w, ',');
    }
    put_text(w, "\"n\":\"");
    put_text(w, name);
    poa_write_u8(w, '"');
    if (unit) {
        put_text(w, ",\"u\":\"");
        put_text(w, unit);
        poa_write_u8(w, '"');
    }
    if (time_ms != s->base_ms) {
        bool before = time_ms < s->base_ms;
        put_text(w, ",\"t\":");
        put_decimal(w, before ? s->base_ms - time_ms : time_ms - s->base_ms, 3, before);
    }
    put_text(w, ",\"v\":");
    return POA_OK;
}

/* Closes the record that began at START, or undoes it. */
static int add_tail(struct poa_senml *s, size_t start, uint64_t time_ms, int e)
{
    struct poa_writer *w = s->w;
    poa_write_u8(w, '}');
    /* One byte stays free for the closing bracket. */
    if (!e && (w->overflow || w->n == w->cap))
        e = POA_E_BUFFER;
    if (e) {
        w->n = start;
        w->overflow = false;
        return e;
    }
    if (!s->count || time_ms < s->from_ms)
        s->from_ms = time_ms;
    if (!s->count || time_ms > s->to_ms)
        s->to_ms = time_ms;
    s->count++;
    return POA_OK;
}

int poa_senml_add(struct poa_senml *s, const char *name, const char *unit, uint64_t time_ms,
                  int64_t mantissa, unsigned decimals)
{
    size_t start = s->w->n;
    if (s->w->overflow)
        return POA_E_BUFFER;
    int e = decimals > 18 ? POA_E_RANGE : add_head(s, name, unit, time_ms);
    if (!e)
        put_decimal(s->w, mantissa < 0 ? 0 - (uint64_t)mantissa : (uint64_t)mantissa, decimals,
                    mantissa < 0);
    return add_tail(s, start, time_ms, e);
}

int poa_senml_add_text(struct poa_senml *s, const char *name, const char *unit, uint64_t time_ms,
                       const char *number, size_t number_n)
{
    size_t start = s->w->n;
    if (s->w->overflow)
        return POA_E_BUFFER;
    int e = poa_json_number(number, number_n);
    if (!e)
        e = add_head(s, name, unit, time_ms);
    if (!e)
        poa_write(s->w, number, number_n);
    return add_tail(s, start, time_ms, e);
}

int poa_senml_end(struct poa_senml *s)
{
    if (!s->count)
        return POA_E_RANGE;
    poa_write_u8(s->w, ']');
    return s->w->overflow ? POA_E_BUFFER : POA_OK;
}
