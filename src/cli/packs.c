/* poa data get, grant, verify: usage packs that gateways keep.
 *
 * A file of packs is JSON: {"device", "packs": [{"pack", "receipt"}], "anchors": {ROOT: proof},
 * "genesis", "handovers"}, all of it checked by `poa data verify`, nothing believed. */
#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_proof.h"
#include "cli_tx.h"
#include "poa_access.h"
#include "poa_agent.h"

#define FILE_MAX ((size_t)1 << 30)
#define DAY_MS   UINT64_C(86400000)

/* --- asking ------------------------------------------------------------------------------- */

static int read_chain(const struct cli *c, uint8_t chain32[32], uint8_t node32[32])
{
    json_t *v;
    if (cli_call(c, "poa_status", NULL, &v) != POA_OK)
        return 1;
    int rc = poa_unhex(cli_text(v, "chain"), chain32, 32) == POA_OK &&
                     poa_unhex(cli_text(v, "key"), node32, 32) == POA_OK
                 ? 0
                 : cli_fail("the node's answer cannot be read: has it the same version?");
    json_decref(v);
    return rc;
}

static int read_grant(const struct cli *c, uint8_t out[POA_DATA_GRANT_BYTES])
{
    char *text = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    if (poa_file_read(c->option[CLI_GRANT], 4096, 0, &text, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    text[strcspn(text, "\r\n")] = 0;
    int rc = strlen(text) == 2 * POA_DATA_GRANT_BYTES &&
                     poa_unhex(text, out, POA_DATA_GRANT_BYTES) == POA_OK
                 ? 0
                 : cli_fail("%s is not a grant of `poa data grant`", c->option[CLI_GRANT]);
    free(text);
    return rc;
}

struct asking {
    uint8_t chain[32], node[32], device[32], secret[32], grant[POA_DATA_GRANT_BYTES];
    struct poa_keystore_info info;
};

static int begin_asking(const struct cli *c, const char *device, struct asking *a)
{
    char key[65];
    memset(a, 0, sizeof *a);
    if (c->option[CLI_FROM] == NULL)
        return cli_misuse("say who asks: --from LABEL, the key of the device's owner, of the "
                          "device, or of whoever has a --grant");
    int rc = cli_device_key(c, device, key);
    if (rc == 0 && poa_unhex(key, a->device, 32) != POA_OK)
        rc = 1;
    if (rc == 0)
        rc = read_chain(c, a->chain, a->node);
    if (rc == 0 && c->option[CLI_GRANT] != NULL)
        rc = read_grant(c, a->grant);
    return rc != 0 ? rc : cli_open_key(c, c->option[CLI_FROM], &a->info, a->secret);
}

/* One page of packs. */
static int ask_packs(const struct cli *c, const struct asking *a, uint64_t from, json_t **out)
{
    uint8_t bytes[POA_DATA_REQUEST_BYTES_MAX];
    struct poa_data_request r;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memset(&r, 0, sizeof r);
    memcpy(r.node, a->node, 32);
    memcpy(r.device, a->device, 32);
    r.time_ms = poa_clock_wall_ms(poa_clock_system());
    if (c->option[CLI_GRANT] != NULL)
        r.grant = poa_slice(a->grant, sizeof a->grant);
    if (poa_data_request_sign(a->chain, a->info.type, a->secret, &r, &w) != POA_OK)
        return cli_fail("the request cannot be signed");
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, from);
    return cli_call(c, "poa_packs_get",
                    json_pack("{s:o, s:s}", "request", poa_json_hex(w.p, w.n), "from", number),
                    out) == POA_OK
               ? 0
               : 1;
}

/* Adds the proof of ROOT's anchor, unless it is there. */
static int add_anchor(const struct cli *c, const char *root, json_t *anchors, uint64_t *epoch)
{
    json_t *v;
    if (json_object_get(anchors, root) != NULL)
        return 0;
    if (cli_call(c, "poa_proof_get", json_pack("{s:s, s:s}", "table", "anchor", "key", root), &v) !=
        POA_OK)
        return 1;
    if (cli_number(v, "epoch") > *epoch)
        *epoch = cli_number(v, "epoch");
    return json_object_set_new(anchors, root, v) == 0 ? 0 : cli_fail("out of memory");
}

static int take_item(const struct cli *c, const json_t *item, json_t *packs, json_t *anchors,
                     uint64_t *epoch, uint64_t *waiting)
{
    const char *hex = json_string_value(json_object_get(item, "receipt"));
    struct poa_edge_receipt r;
    char root[65];
    int rc = 0;
    if (hex == NULL) {
        ++*waiting;
    } else {
        size_t n = strlen(hex) / 2;
        uint8_t *bytes = malloc(n + 1);
        rc = bytes != NULL && poa_unhex(hex, bytes, n) == POA_OK &&
                     poa_edge_receipt_decode(poa_slice(bytes, n), &r) == POA_OK
                 ? 0
                 : cli_fail("a receipt of the node cannot be read");
        if (rc == 0) {
            poa_hex(r.root, 32, root);
            rc = add_anchor(c, root, anchors, epoch);
        }
        free(bytes);
    }
    json_t *entry = json_pack("{s:O, s:O}", "pack", json_object_get(item, "pack"), "receipt",
                              json_object_get(item, "receipt"));
    return rc != 0 ? rc : json_array_append_new(packs, entry) != 0 ? cli_fail("out of memory") : 0;
}

/* Everything that the node keeps of DEVICE, with its proofs. */
static int fetch(const struct cli *c, const char *device, json_t **out, uint64_t *waiting)
{
    struct asking a;
    char key[65];
    json_t *packs = json_array(), *anchors = json_object();
    uint64_t from = 0, epoch = 0;
    *waiting = 0;
    int rc = begin_asking(c, device, &a);
    for (bool more = rc == 0; rc == 0 && more;) {
        json_t *v, *item;
        size_t i;
        rc = ask_packs(c, &a, from, &v);
        if (rc != 0)
            break;
        json_array_foreach(json_object_get(v, "items"), i, item) rc =
            rc != 0 ? rc : take_item(c, item, packs, anchors, &epoch, waiting);
        more = json_is_string(json_object_get(v, "next"));
        from = cli_number(v, "next");
        json_decref(v);
    }
    poa_wipe(a.secret, sizeof a.secret);
    poa_hex(a.device, 32, key);
    json_t *file = json_pack("{s:s, s:o, s:o}", "device", key, "packs", packs, "anchors", anchors);
    if (rc == 0)
        rc = file != NULL ? cli_add_chain(c, epoch, file) : cli_fail("out of memory");
    if (rc == 0)
        *out = file;
    else
        json_decref(file);
    return rc;
}

int cli_data_get(const struct cli *c)
{
    json_t *file;
    uint64_t waiting;
    struct poa_why why = {{0}};
    const char *path = c->option[CLI_OUTPUT];
    if (path == NULL)
        return cli_misuse("say where to: --output FILE, or - for standard output");
    if (strcmp(path, "-") != 0 && cli_new_file(path) != 0)
        return 1;
    int rc = fetch(c, c->argument[0], &file, &waiting);
    if (rc != 0)
        return rc;
    size_t packs = json_array_size(json_object_get(file, "packs"));
    size_t anchors = json_object_size(json_object_get(file, "anchors"));
    char *text = json_dumps(file, JSON_COMPACT);
    json_decref(file);
    if (text == NULL)
        return cli_fail("out of memory");
    if (strcmp(path, "-") == 0)
        puts(text);
    else if (poa_file_write(path, text, strlen(text), 0600, POA_FILE_NEW, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    free(text);
    if (rc != 0 || strcmp(path, "-") == 0)
        return rc;
    if (c->json)
        return cli_print_json(json_pack("{s:s, s:I, s:I, s:I}", "file", path, "packs",
                                        (json_int_t)packs, "anchors", (json_int_t)anchors,
                                        "waiting", (json_int_t)waiting));
    printf("%s: %zu packs under %zu anchors; %" PRIu64 " wait for theirs\n", path, packs, anchors,
           waiting);
    return 0;
}

/* "bip340:HEX", "ed25519:HEX" or a label. */
static int read_reader(const struct cli *c, const char *text, struct poa_data_grant *g)
{
    for (uint8_t type = POA_KEY_BIP340; type <= POA_KEY_ED25519; type++) {
        size_t n = strlen(poa_key_type_name(type));
        if (strncmp(text, poa_key_type_name(type), n) != 0 || text[n] != ':')
            continue;
        g->reader_type = type;
        return strlen(text + n + 1) == 64 && poa_unhex(text + n + 1, g->reader, 32) == POA_OK
                   ? 0
                   : cli_misuse("--reader: a key has 64 hex digits");
    }
    char path[512];
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    if (cli_key_path(c, text, false, path, sizeof path) != 0)
        return 1;
    if (poa_keystore_info(path, &info, &why) != POA_OK)
        return cli_fail("%s", why.text);
    g->reader_type = (uint8_t)info.type;
    memcpy(g->reader, info.pk, 32);
    return 0;
}

int cli_data_grant(const struct cli *c)
{
    struct poa_data_grant g;
    struct poa_keystore_info info;
    uint8_t chain[32], node[32], secret[32], bytes[POA_DATA_GRANT_BYTES];
    char key[65], text[2 * sizeof bytes + 2];
    uint64_t days = 30;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_why why = {{0}};
    memset(&g, 0, sizeof g);
    if (c->option[CLI_FROM] == NULL || c->option[CLI_OUTPUT] == NULL)
        return cli_misuse("a grant needs --from, the owner's key, and --output FILE");
    if (cli_new_file(c->option[CLI_OUTPUT]) != 0)
        return 1;
    if (c->option[CLI_DAYS] != NULL && !cli_u64("--days", c->option[CLI_DAYS], 1, 36500, &days))
        return 2;
    int rc = cli_device_key(c, c->argument[0], key);
    if (rc == 0 && poa_unhex(key, g.device, 32) != POA_OK)
        rc = 1;
    if (rc == 0)
        rc = read_chain(c, chain, node);
    if (rc == 0 && c->option[CLI_READER] != NULL)
        rc = read_reader(c, c->option[CLI_READER], &g);
    if (rc == 0)
        rc = cli_open_key(c, c->option[CLI_FROM], &info, secret);
    if (rc != 0)
        return rc;
    if (c->option[CLI_READER] == NULL)
        g.reader_type = POA_KEY_BIP340;
    g.to_ms = UINT64_MAX;
    g.until_ms = poa_clock_wall_ms(poa_clock_system()) + days * DAY_MS;
    int code = poa_data_grant_sign(chain, info.type, secret, &g, &w);
    poa_wipe(secret, sizeof secret);
    if (code != POA_OK)
        return cli_fail("the grant cannot be signed: %s", poa_error_text(code));
    poa_hex(w.p, w.n, text);
    strcat(text, "\n");
    if (poa_file_write(c->option[CLI_OUTPUT], text, strlen(text), 0600, POA_FILE_NEW, &why) !=
        POA_OK)
        return cli_fail("%s", why.text);
    if (c->json)
        return cli_print_json(json_pack("{s:s, s:s, s:o}", "file", c->option[CLI_OUTPUT], "device",
                                        key, "until_ms", poa_json_u64(g.until_ms)));
    printf("%s: for %s, %" PRIu64 " days\n", c->option[CLI_OUTPUT],
           c->option[CLI_READER] ? c->option[CLI_READER] : "whoever has it", days);
    return 0;
}

/* --- proving --------------------------------------------------------------------------------- */

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
    /* The anchor under check. */
    struct poa_st_anchor anchor;
    bool present;
};

static int use_anchor(void *ctx, const struct cli_proven *p)
{
    struct proving *v = ctx;
    if (v->have_chain && memcmp(v->chain, p->chain, 32) != 0)
        return cli_fail("two proofs are of different chains");
    memcpy(v->chain, p->chain, 32);
    v->have_chain = true;
    if (p->table != POA_STATE_ANCHOR || p->value.n == 0 ||
        poa_st_anchor_decode(p->value, &v->anchor) != POA_OK)
        return cli_fail("a proof shows no anchor");
    v->present = true;
    return 0;
}

/* Every anchor that FILE proves, as {ROOT: packs under it} in SOUND. */
static int check_anchors(struct proving *v, json_t *file, json_t *sound)
{
    const char *root;
    json_t *proof;
    json_object_foreach(json_object_get(file, "anchors"), root, proof)
    {
        if (strcmp(cli_text(proof, "key"), root) != 0)
            return cli_fail("the proof for root %.80s is for another one", root);
        json_object_set(proof, "genesis", json_object_get(file, "genesis"));
        json_object_set(proof, "handovers", json_object_get(file, "handovers"));
        int rc = cli_check_proof(v->c, proof, use_anchor, v);
        if (rc != 0)
            return rc;
        json_object_set_new(sound, root, json_integer((json_int_t)v->anchor.packs));
        v->anchors++;
    }
    return 0;
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
        return cli_fail("pack %" PRIu64 ": %s", p->seq, why.text);
    int rc = n == p->readings ? 0
                              : cli_fail("pack %" PRIu64 " has %zu readings and says %u", p->seq, n,
                                         p->readings);
    for (size_t i = 0; i < n && rc == 0; i++)
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
    v->packs++;
    return add_readings(v, p);
}

/* ENCODED is signed by the device, and RECEIPT leads from it to a sound root. */
static int check_pack(struct proving *v, struct poa_slice encoded, struct poa_slice receipt,
                      const json_t *sound)
{
    struct poa_pack p;
    struct poa_edge_receipt r;
    uint8_t id[32];
    char root[65];
    int code = poa_pack_check(&poa_suite_ed25519, v->chain, encoded, &p);
    if (code != POA_OK)
        return cli_fail("pack %" PRIu64 " of the file is not valid: %s", v->packs,
                        poa_error_text(code));
    if (v->have_device && memcmp(v->device, p.device, 32) != 0)
        return cli_fail("pack %" PRIu64 " of the file is of another device", v->packs);
    memcpy(v->device, p.device, 32);
    v->have_device = true;
    poa_pack_id(encoded, id);
    code = poa_edge_receipt_decode(receipt, &r);
    if (code == POA_OK)
        code = poa_pack_path_check(id, r.index, r.packs, r.path, r.root);
    if (code == POA_OK && memcmp(r.id, id, 32) != 0)
        code = POA_E_PROOF;
    if (code != POA_OK)
        return cli_fail("the receipt of pack %" PRIu64 " does not lead to its root: %s", p.seq,
                        poa_error_text(code));
    poa_hex(r.root, 32, root);
    const json_t *packs = json_object_get(sound, root);
    if (packs == NULL || json_integer_value(packs) != (json_int_t)r.packs)
        return cli_fail("pack %" PRIu64 ": its root %.16s... is not proven to be on the ledger",
                        p.seq, root);
    return add_once(v, &p, id);
}

static int unhex_new(const json_t *text, uint8_t **out, size_t *n)
{
    const char *hex = json_string_value(text);
    *n = hex != NULL ? strlen(hex) / 2 : 0;
    *out = malloc(*n + 1);
    if (*out != NULL && hex != NULL && poa_unhex(hex, *out, *n) == POA_OK)
        return 0;
    return cli_fail("a pack of the file is not in hex digits");
}

static int check_file(struct proving *v, json_t *file)
{
    json_t *sound = json_object(), *item;
    size_t i;
    int rc = check_anchors(v, file, sound);
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
        rc = unhex_new(json_object_get(item, "pack"), &pack, &pack_n);
        if (rc == 0)
            rc = unhex_new(json_object_get(item, "receipt"), &receipt, &receipt_n);
        if (rc == 0)
            rc = check_pack(v, poa_slice(pack, pack_n), poa_slice(receipt, receipt_n), sound);
        free(pack);
        free(receipt);
    }
    json_decref(sound);
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

static int check_csv(struct proving *v, const char *path, uint64_t *rows, uint64_t *proven)
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
        ++*rows;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            struct reading want = {.ms = r[i].time_ms, .value = strtod(r[i].number, NULL)};
            snprintf(want.name, sizeof want.name, "%s", r[i].name);
            struct reading *found = find(v, &want);
            if (found == NULL)
                rc = cli_fail("row %" PRIu64 " of %s, %s = %s, is in no pack that is proven", *rows,
                              path, r[i].name, r[i].number);
            else
                found->used = true;
            *proven += found != NULL;
        }
    }
    agent_csv_close(csv);
    return rc;
}

static json_t *load_packs(const char *path)
{
    json_error_t error;
    json_t *v = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (v != NULL && json_is_object(v) && json_is_array(json_object_get(v, "packs")))
        return v;
    json_decref(v);
    cli_fail("%s is not a file of `poa data get`", path);
    return NULL;
}

static bool is_packs(const char *path)
{
    FILE *f = fopen(path, "re");
    int first = f != NULL ? fgetc(f) : EOF;
    if (f != NULL)
        fclose(f);
    return first == '{';
}

static int tell_proven(const struct cli *c, const struct proving *v, bool csv, uint64_t rows,
                       uint64_t proven)
{
    char device[65];
    poa_hex(v->device, 32, device);
    if (c->json)
        return cli_print_json(json_pack(
            "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "valid", 1, "device", device, "packs",
            (json_int_t)v->packs, "anchors", (json_int_t)v->anchors, "waiting",
            (json_int_t)v->waiting, "readings", (json_int_t)v->readings, "rows", (json_int_t)rows,
            "proven", (json_int_t)proven, "beside", (json_int_t)(csv ? v->readings - proven : 0)));
    printf("valid      %" PRIu64 " packs with %zu readings, signed by device %.16s...\n"
           "anchored   under %" PRIu64 " roots that are on the ledger; %" PRIu64 " packs wait\n",
           v->packs, v->readings, device, v->anchors, v->waiting);
    if (csv)
        printf("file       each of its %" PRIu64 " readings in %" PRIu64 " rows is in a pack\n",
               proven, rows);
    return 0;
}

int cli_data_verify(const struct cli *c)
{
    struct proving v = {.c = c};
    const char *path = c->argument[0];
    bool csv = !is_packs(path);
    uint64_t rows = 0, proven = 0, waiting;
    int rc = 0;
    if (csv && c->arguments == 1) {
        json_t *file = NULL;
        if (c->option[CLI_DEVICE] == NULL)
            return cli_misuse("say where its packs are: a file of `poa data get`, or --device and "
                              "--from to fetch them");
        rc = fetch(c, c->option[CLI_DEVICE], &file, &waiting);
        if (rc == 0)
            rc = check_file(&v, file);
        json_decref(file);
    }
    for (int i = csv ? 1 : 0; i < c->arguments && rc == 0; i++) {
        json_t *file = load_packs(c->argument[i]);
        rc = file != NULL ? check_file(&v, file) : 1;
        json_decref(file);
    }
    if (rc == 0 && v.packs == 0)
        rc = cli_fail("there is no anchored pack");
    if (rc == 0 && csv)
        rc = check_csv(&v, path, &rows, &proven);
    if (rc == 0)
        rc = tell_proven(c, &v, csv, rows, proven);
    free(v.reading);
    tdestroy(v.seen, free);
    return rc;
}
