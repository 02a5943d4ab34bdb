/* Reads SenML JSON (RFC 8428): base fields are resolved into each record. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "poa_agent.h"

/* Below this a time is relative to now (section 4.5.3). */
#define RELATIVE_BELOW 268435456.0
#define VERSION_MAX    10

struct base {
    const char *name, *unit;
    double time, value, sum;
};

static bool number(const json_t *record, const char *key, double *out, bool *there)
{
    const json_t *v = json_object_get(record, key);
    *there = v != NULL;
    if (v && !json_is_number(v))
        return false;
    if (v)
        *out = json_number_value(v);
    return true;
}

static bool text(const json_t *record, const char *key, const char **out)
{
    const json_t *v = json_object_get(record, key);
    if (v && !json_is_string(v))
        return false;
    if (v)
        *out = json_string_value(v);
    return true;
}

/* Section 4.5.1: the characters of the resolved name. */
static bool name_ok(const char *name)
{
    if (!*name)
        return false;
    for (const char *p = name; *p; p++) {
        bool alnum =
            (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!alnum && (p == name || !strchr("-:./_", *p)))
            return false;
    }
    return true;
}

/* Labels that end in "_" must be understood (section 4.4): we know none. */
static bool must_understand(const json_t *record)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)record, key, v)
    {
        size_t n = strlen(key);
        if (n && key[n - 1] == '_')
            return true;
    }
    return false;
}

static int value_of(const json_t *record, const struct base *base, struct agent_senml *out)
{
    double v = 0, sum = 0;
    bool has_v, has_sum;
    int others = 0;
    const json_t *vs = json_object_get(record, "vs"), *vb = json_object_get(record, "vb"),
                 *vd = json_object_get(record, "vd");
    if (!number(record, "v", &v, &has_v) || !number(record, "s", &sum, &has_sum) ||
        (vs && !json_is_string(vs)) || (vb && !json_is_boolean(vb)) || (vd && !json_is_string(vd)))
        return POA_E_TEXT;
    others = (vs != NULL) + (vb != NULL) + (vd != NULL);
    if (has_v + others > 1)
        return POA_E_TEXT;
    out->has_value = has_v;
    out->value = has_v ? base->value + v : 0;
    /* A record needs a value or a sum (section 4.2); a base value counts as 0
     * plus it. */
    if (!has_v && !others && !has_sum) {
        if (!json_object_get(record, "bv"))
            return POA_E_RANGE; /* only base fields */
        out->has_value = true;
        out->value = base->value;
    }
    return POA_OK;
}

static int resolve(const json_t *record, struct base *base, double now_s, struct agent_senml *out)
{
    const char *name = "", *unit = base->unit;
    double t = 0, version = VERSION_MAX;
    bool there;
    if (!json_is_object(record) || must_understand(record) || !text(record, "bn", &base->name) ||
        !text(record, "bu", &base->unit) || !number(record, "bt", &base->time, &there) ||
        !number(record, "bv", &base->value, &there) || !number(record, "bs", &base->sum, &there) ||
        !text(record, "n", &name) || !number(record, "t", &t, &there) ||
        !number(record, "bver", &version, &there) || version > VERSION_MAX)
        return POA_E_TEXT;
    unit = base->unit;
    if (!text(record, "u", &unit))
        return POA_E_TEXT;
    int e = value_of(record, base, out);
    if (e)
        return e;
    size_t a = strlen(base->name), b = strlen(name);
    out->name = malloc(a + b + 1);
    out->unit = unit ? strdup(unit) : NULL;
    if (!out->name || (unit && !out->unit))
        return POA_E_NO_MEMORY;
    memcpy(out->name, base->name, a);
    memcpy(out->name + a, name, b + 1);
    if (!name_ok(out->name))
        return POA_E_TEXT;
    out->time = base->time + t;
    if (out->time < RELATIVE_BELOW)
        out->time += now_s;
    return POA_OK;
}

int agent_senml_read(const char *bytes, size_t n, double now_s, struct agent_senml **out,
                     size_t *out_n, struct poa_why *why)
{
    json_error_t error;
    struct base base = {.name = ""};
    /* A counter may have more digits than an integer of ours. */
    json_t *pack = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!pack)
        return poa_because(why, POA_E_TEXT, "not JSON: %s at byte %d", error.text, error.position);
    if (!json_is_array(pack) || !json_array_size(pack)) {
        json_decref(pack);
        return poa_because(why, POA_E_TEXT, "a SenML pack is an array of records");
    }
    size_t count = json_array_size(pack), k = 0;
    struct agent_senml *records = calloc(count, sizeof *records);
    int e = records ? POA_OK : POA_E_NO_MEMORY;
    for (size_t i = 0; !e && i < count; i++) {
        e = resolve(json_array_get(pack, i), &base, now_s, &records[k]);
        if (e == POA_E_RANGE)
            e = POA_OK;
        else
            k++;
        if (e)
            poa_because(why, e, "SenML record %zu: %s", i, poa_error_text(e));
    }
    json_decref(pack);
    if (e) {
        agent_senml_free(records, k);
        return e;
    }
    *out = records;
    *out_n = k;
    return POA_OK;
}

void agent_senml_free(struct agent_senml *records, size_t n)
{
    for (size_t i = 0; records && i < n; i++) {
        free(records[i].name);
        free(records[i].unit);
    }
    free(records);
}
