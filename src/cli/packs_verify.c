/* poa data verify: the packs of a file, or of a node, with all that proves them, and the
 * readings of a CSV file in them. Nothing is believed. */
#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_proof.h"
#include "packs.h"
#include "poa_agent.h"

/* A reading that a pack has: time, name hashed into order by text, value. */
struct reading {
    uint64_t ms;
    char name[AGENT_NAME_MAX + 1];
    double value;
    bool used;
};

struct proving {
    const struct cli *c;
    uint8_t device[32], chain[32];
    bool have_device, have_chain;
    uint64_t packs, waiting, anchors;
    void *seen; /* tsearch tree of ids: two gateways may have the same pack */
    struct reading *reading;
    size_t readings, cap;
    json_t *sound; /* roots of the file under check that are on the ledger */
    json_t *bad;   /* what is wrong with packs: one line for each that proves nothing */
};

/* One pack proves nothing, for this reason; the others may. */
__attribute__((format(printf, 2, 3))) static int bad_pack(struct proving *v, const char *format,
                                                          ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* From a file of anybody: JSON takes no bytes that are not UTF-8. */
    for (char *p = line; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return json_array_append_new(v->bad, json_string(line)) == 0 ? 0 : cli_fail("out of memory");
}

/* An anchor that is proven, into SOUND: {ROOT: packs under it}. */
static int use_anchor(void *ctx, const char *root, const struct cli_proven *p)
{
    struct proving *v = ctx;
    struct poa_st_anchor anchor;
    char key[65] = "";
    if (p->key.n == 32)
        poa_hex(p->key.p, 32, key);
    if (strcmp(key, root) != 0)
        return cli_fail("the proof for root %.80s is for another one", root);
    if (v->have_chain && memcmp(v->chain, p->chain, 32) != 0)
        return cli_fail("two proofs are of different chains");
    memcpy(v->chain, p->chain, 32);
    v->have_chain = true;
    if (p->table != POA_STATE_ANCHOR || p->value.n == 0 ||
        poa_st_anchor_decode(p->value, &anchor) != POA_OK)
        return cli_fail("a proof shows no anchor");
    v->anchors++;
    return json_object_set_new(v->sound, root, json_integer((json_int_t)anchor.packs)) == 0
               ? 0
               : cli_fail("out of memory");
}

static int add_reading(struct proving *v, const struct agent_senml *r)
{
    /* "urn:dev:poa:0123456789abcdef:" is the device's. */
    const char *name =
        strncmp(r->name, "urn:dev:poa:", 12) == 0 && strlen(r->name) > 28 && r->name[28] == ':'
            ? r->name + 28
            : NULL;
    if (!r->has_value)
        return 0;
    if (v->readings == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 1024;
        struct reading *more = realloc(v->reading, cap * sizeof *more);
        if (more == NULL)
            return cli_fail("out of memory");
        v->reading = more;
        v->cap = cap;
    }
    struct reading *to = &v->reading[v->readings++];
    memset(to, 0, sizeof *to);
    to->ms = (uint64_t)llround(r->time * 1000);
    snprintf(to->name, sizeof to->name, "%s", name != NULL ? name + 1 : r->name);
    to->value = r->value;
    return 0;
}

static int add_readings(struct proving *v, const struct poa_pack *p)
{
    struct agent_senml *list = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    if (agent_senml_read((const char *)p->content.p, p->content.n, 0, &list, &n, &why) != POA_OK)
        return bad_pack(v, "pack %" PRIu64 ": %s", p->seq, why.text);
    int rc = 0;
    if (n != p->readings)
        rc = bad_pack(v, "pack %" PRIu64 " has %zu readings and says %u", p->seq, n, p->readings);
    else
        v->packs++;
    for (size_t i = 0; i < n && n == p->readings && rc == 0; i++)
        rc = add_reading(v, &list[i]);
    agent_senml_free(list, n);
    return rc;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static int add_once(struct proving *v, const struct poa_pack *p, const uint8_t id32[32])
{
    if (tfind(id32, &v->seen, compare_ids) != NULL)
        return 0;
    uint8_t *id = malloc(32);
    if (id == NULL || (memcpy(id, id32, 32), tsearch(id, &v->seen, compare_ids)) == NULL)
        return cli_fail("out of memory");
    return add_readings(v, p);
}

/* ENCODED is signed by the device, and RECEIPT leads from it to a sound root. */
static int check_pack(struct proving *v, size_t place, struct poa_slice encoded,
                      struct poa_slice receipt)
{
    struct poa_pack p;
    struct poa_edge_receipt r;
    uint8_t id[32];
    char root[65];
    int code = poa_pack_check(&poa_suite_ed25519, v->chain, encoded, &p);
    if (code != POA_OK)
        return bad_pack(v, "the pack in place %zu of the file is not valid: %s", place,
                        poa_error_text(code));
    if (v->have_device && memcmp(v->device, p.device, 32) != 0)
        return bad_pack(v, "the pack in place %zu of the file is of another device", place);
    memcpy(v->device, p.device, 32);
    v->have_device = true;
    poa_pack_id(encoded, id);
    code = poa_edge_receipt_decode(receipt, &r);
    if (code == POA_OK)
        code = poa_pack_path_check(id, r.index, r.packs, r.path, r.root);
    if (code == POA_OK && memcmp(r.id, id, 32) != 0)
        code = POA_E_PROOF;
    if (code != POA_OK)
        return bad_pack(v, "the receipt of pack %" PRIu64 " does not lead to its root: %s", p.seq,
                        poa_error_text(code));
    poa_hex(r.root, 32, root);
    const json_t *packs = json_object_get(v->sound, root);
    if (packs == NULL || json_integer_value(packs) != (json_int_t)r.packs)
        return bad_pack(v, "pack %" PRIu64 ": its root %.16s... is not proven to be on the ledger",
                        p.seq, root);
    return add_once(v, &p, id);
}

static bool unhex_new(const json_t *text, uint8_t **out, size_t *n)
{
    const char *hex = json_string_value(text);
    *n = hex != NULL ? strlen(hex) / 2 : 0;
    *out = malloc(*n + 1);
    return *out != NULL && hex != NULL && poa_unhex(hex, *out, *n) == POA_OK;
}

static int check_file(struct proving *v, json_t *file)
{
    json_t *item;
    size_t i;
    v->sound = json_object();
    int rc = cli_check_proofs(v->c, file, json_object_get(file, "anchors"), use_anchor, v);
    if (rc == 0 && !v->have_chain)
        rc = cli_fail("no pack of the file is proven to be on the ledger");
    json_array_foreach(json_object_get(file, "packs"), i, item)
    {
        uint8_t *pack = NULL, *receipt = NULL;
        size_t pack_n = 0, receipt_n = 0;
        if (rc != 0)
            break;
        if (json_is_null(json_object_get(item, "receipt"))) {
            v->waiting++;
            continue;
        }
        if (unhex_new(json_object_get(item, "pack"), &pack, &pack_n) &&
            unhex_new(json_object_get(item, "receipt"), &receipt, &receipt_n))
            rc = check_pack(v, i, poa_slice(pack, pack_n), poa_slice(receipt, receipt_n));
        else
            rc = bad_pack(v, "the pack in place %zu of the file is not in hex digits", i);
        free(pack);
        free(receipt);
    }
    json_decref(v->sound);
    return rc;
}

static int by_time(const void *a, const void *b)
{
    const struct reading *x = a, *y = b;
    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    int name = strcmp(x->name, y->name);
    return name ? name : (x->value > y->value) - (x->value < y->value);
}

/* A reading of the packs that is R and was not used yet. */
static struct reading *find(const struct proving *v, const struct reading *r)
{
    size_t low = 0, high = v->readings;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (by_time(&v->reading[middle], r) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < v->readings && by_time(&v->reading[low], r) == 0; low++)
        if (!v->reading[low].used)
            return &v->reading[low];
    return NULL;
}

/* What the readings of a CSV file came to. */
struct compared {
    uint64_t rows, readings, proven;
    uint64_t too_large; /* numbers that no pack holds */
    char missing[256];  /* the first that is in no pack */
};

static int check_csv(struct proving *v, const char *path, struct compared *to)
{
    struct agent_csv *csv;
    struct poa_why why = {{0}};
    const struct agent_reading *r;
    size_t n;
    if (agent_csv_open(path, &csv, &why) != POA_OK)
        return cli_fail("%s", why.text);
    if (v->readings > 1)
        qsort(v->reading, v->readings, sizeof *v->reading, by_time);
    int rc = 0;
    while (rc == 0) {
        int code = agent_csv_next(csv, &r, &n);
        if (code == POA_E_NOT_FOUND)
            break;
        if (code != POA_OK)
            rc = cli_fail("%s: %s", path, poa_error_text(code));
        ++to->rows;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            struct reading want = {.ms = r[i].time_ms, .value = strtod(r[i].number, NULL)};
            snprintf(want.name, sizeof want.name, "%s", r[i].name);
            struct reading *found = find(v, &want);
            if (found != NULL)
                found->used = true;
            else if (!to->missing[0])
                snprintf(to->missing, sizeof to->missing,
                         "row %" PRIu64 " of %.120s, %s = %s, is in no pack that is proven",
                         to->rows, path, r[i].name, r[i].number);
            to->readings++;
            to->proven += found != NULL;
        }
    }
    to->too_large = agent_csv_too_large(csv);
    if (rc == 0 && to->readings == 0)
        rc = cli_fail("%s has no reading that a pack can hold", path);
    agent_csv_close(csv);
    return rc;
}

static json_t *load_packs(const char *path)
{
    FILE *f = cli_open_file(path);
    if (f == NULL)
        return NULL;
    json_t *v = json_loadf(f, JSON_REJECT_DUPLICATES, NULL);
    fclose(f);
    if (v != NULL && json_is_object(v) && json_is_array(json_object_get(v, "packs")))
        return v;
    json_decref(v);
    cli_fail("%s is not a file of `poa data get`", path);
    return NULL;
}

/* Whether it can be read, with a line if not; CSV: it holds readings, not packs. */
static bool look_into(const char *path, bool *csv)
{
    FILE *f = cli_open_file(path);
    if (f == NULL)
        return false;
    *csv = fgetc(f) != '{';
    fclose(f);
    return true;
}

/* In one line, when something is not proven. */
static int tell_missing(const struct proving *v, bool csv, const struct compared *to)
{
    size_t bad = json_array_size(v->bad);
    char packs[640] = "", proven[160];
    if (bad == 0 && !to->missing[0])
        return 0;
    if (bad > 0)
        snprintf(packs, sizeof packs, "%s", json_string_value(json_array_get(v->bad, 0)));
    if (bad > 1)
        snprintf(packs + strlen(packs), sizeof packs - strlen(packs), " (and %zu packs more)",
                 bad - 1);
    if (csv)
        snprintf(proven, sizeof proven, "%" PRIu64 " of its %" PRIu64 " readings are proven",
                 to->proven, to->readings);
    else
        snprintf(proven, sizeof proven, "%" PRIu64 " other packs with %zu readings are proven",
                 v->packs, v->readings);
    return cli_fail("%s%s%s; %s", packs, packs[0] && to->missing[0] ? "; " : "", to->missing,
                    proven);
}

static int tell_proven(const struct cli *c, const struct proving *v, bool csv,
                       const struct compared *to)
{
    char device[65];
    poa_hex(v->device, 32, device);
    int missing = tell_missing(v, csv, to);
    if (c->json) {
        int rc = cli_print_json(json_pack(
            "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "valid", missing == 0,
            "device", device, "packs", (json_int_t)v->packs, "anchors", (json_int_t)v->anchors,
            "waiting", (json_int_t)v->waiting, "readings", (json_int_t)v->readings, "rows",
            (json_int_t)to->rows, "proven", (json_int_t)to->proven, "beside",
            (json_int_t)(csv ? v->readings - to->proven : 0), "too_large",
            (json_int_t)to->too_large, "bad", v->bad));
        return missing != 0 ? missing : rc;
    }
    if (missing != 0)
        return missing;
    printf("valid      %" PRIu64 " packs with %zu readings, signed by device %.16s...\n"
           "anchored   under %" PRIu64 " roots that are on the ledger; %" PRIu64 " packs wait\n",
           v->packs, v->readings, device, v->anchors, v->waiting);
    if (csv)
        printf("file       each of its %" PRIu64 " readings in %" PRIu64 " rows is in a pack\n",
               to->proven, to->rows);
    if (to->too_large > 0)
        printf("note       %" PRIu64 " numbers of it are too large for any pack\n", to->too_large);
    return 0;
}

int cli_data_verify(const struct cli *c)
{
    struct proving v = {.c = c};
    struct compared to = {.rows = 0};
    const char *path = c->argument[0];
    bool csv;
    if (!look_into(path, &csv))
        return 1;
    v.bad = json_array();
    uint64_t waiting;
    int rc = 0;
    if (csv && c->arguments == 1) {
        json_t *file = NULL;
        if (c->option[CLI_DEVICE] == NULL)
            rc = cli_misuse("say where its packs are: a file of `poa data get`, or --device and "
                            "--from to fetch them");
        if (rc == 0)
            rc = cli_packs_fetch(c, c->option[CLI_DEVICE], &file, &waiting);
        if (rc == 0)
            rc = check_file(&v, file);
        json_decref(file);
    }
    for (int i = csv ? 1 : 0; i < c->arguments && rc == 0; i++) {
        json_t *file = load_packs(c->argument[i]);
        rc = file != NULL ? check_file(&v, file) : 1;
        json_decref(file);
    }
    if (rc == 0 && v.packs == 0 && json_array_size(v.bad) == 0)
        rc = cli_fail("there is no anchored pack");
    if (rc == 0 && csv)
        rc = check_csv(&v, path, &to);
    if (rc == 0)
        rc = tell_proven(c, &v, csv, &to);
    json_decref(v.bad);
    free(v.reading);
    tdestroy(v.seen, free);
    return rc;
}
