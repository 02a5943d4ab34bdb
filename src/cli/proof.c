/* poa proof: an entry of the state with everything that proves it.
 * poa verify proof: checks that, offline, with the code that devices link. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_proof.h"
#include "poa_proof.h"
#include "poa_rpc_json.h"

#define INPUT_MAX ((size_t)512 * 1024 * 1024)

/* --- poa proof --------------------------------------------------------------------- */

/* What keys of TABLE are, from the table of tables. */
static const char *key_text(enum poa_state_table table)
{
    switch (table) {
#define KEY_ROW(name, number, record, key)                                                         \
    case POA_STATE_##name:                                                                         \
        return key;
        POA_STATE_TABLES(KEY_ROW)
#undef KEY_ROW
    }
    return "";
}

/* TEXT as a key of TABLE, in hex: an address or label, a number, or hex digits. */
static int parse_key(const struct cli *c, enum poa_state_table table, const char *text,
                     char hex[511])
{
    const char *what = key_text(table);
    size_t n = strlen(text);
    uint8_t bytes[32];
    hex[0] = 0;
    if (strcmp(what, "empty") == 0)
        return n ? cli_misuse("this table has one entry: give no key") : 0;
    if (!n)
        return cli_misuse("this table's key is: %s", what);
    bool address = strcmp(what, "address") == 0;
    bool wide = strncmp(strstr(what, "u64") ? strstr(what, "u64") : "", "u64 le", 6) == 0;
    bool number = wide || strstr(what, "u32 le") != NULL;
    if (number && strspn(text, "0123456789") == n && n < 21) {
        uint64_t v;
        if (!cli_u64("KEY", text, 0, wide ? UINT64_MAX : UINT32_MAX, &v))
            return 2;
        poa_put_le64(bytes, v);
        poa_hex(bytes, wide ? 8 : 4, hex);
        return 0;
    }
    if (n % 2 == 0 && n <= 510 && strspn(text, "0123456789abcdefABCDEF") == n &&
        (!address || n == 64)) {
        memcpy(hex, text, n + 1);
        return 0;
    }
    if (!address)
        return cli_misuse("%s: this table's key is: %s%s", text, what, number ? "" : ", in hex");
    if (cli_address(c, text, bytes))
        return 1;
    poa_hex(bytes, 32, hex);
    return 0;
}

int cli_add_chain(const struct cli *c, uint64_t epoch, json_t *proof)
{
    json_t *v, *all = json_array();
    int rc = cli_call(c, "poa_genesis_get", NULL, &v);
    if (rc == POA_OK) {
        json_object_set(proof, "genesis", json_object_get(v, "raw"));
        json_decref(v);
    }
    for (uint64_t e = 0; rc == POA_OK && e < epoch; e++) {
        rc = cli_call(c, "poa_handover_get", json_pack("{s:I}", "epoch", (json_int_t)e), &v);
        if (rc == POA_OK) {
            json_array_append(all, json_object_get(v, "run"));
            json_decref(v);
        }
    }
    json_object_set_new(proof, "handovers", all);
    return rc == POA_OK ? 0 : 1;
}

int cli_proof(const struct cli *c)
{
    enum poa_state_table table;
    char key[511];
    json_t *v;
    if (!poa_rpc_table_find(c->argument[0], &table)) {
        char names[512] = "";
#define NAME_ROW(name, number, record, key_) strcat(names, " " #name);
        POA_STATE_TABLES(NAME_ROW)
#undef NAME_ROW
        return cli_misuse("no table %s; there are%s", c->argument[0], names);
    }
    int rc = parse_key(c, table, c->arguments > 1 ? c->argument[1] : "", key);
    if (rc)
        return rc;
    if (cli_call(c, "poa_proof_get",
                 json_pack("{s:s, s:s}", "table", poa_rpc_table_name(table), "key", key),
                 &v) != POA_OK)
        return 1;
    rc = cli_add_chain(c, cli_number(v, "epoch"), v);
    if (rc) {
        json_decref(v);
        return rc;
    }
    if (c->json)
        return cli_print_json(v);
    char *entry = json_dumps(json_object_get(v, "entry"), JSON_INDENT(2) | JSON_ENCODE_ANY);
    printf("entry      %s\n", json_is_true(json_object_get(v, "present")) ? entry : "none");
    printf("height     %s (state after it), epoch %" PRIu64 "\n", cli_text(v, "height"),
           cli_number(v, "epoch"));
    printf("proof      %zu bytes, certificate %zu bytes; nothing was checked: --json gives them, "
           "`poa verify proof` checks them\n",
           strlen(cli_text(v, "proof")) / 2, strlen(cli_text(v, "certificate")) / 2);
    free(entry);
    json_decref(v);
    return 0;
}

/* --- poa verify proof ------------------------------------------------------------------ */

struct evidence {
    json_t *json;
    uint8_t *own[16];   /* what the slices point to */
    size_t owned, kept; /* KEPT: of what is trusted, for every proof */
    uint8_t chain[32], trusted[32];
    bool pinned;
    const char *by; /* what says which chain it must be */
    struct poa_slice genesis, head, links, cert, next;
    struct poa_state_proof proof;
    struct poa_header header;
    struct poa_chain_check walked; /* to the beginning of an epoch */
    struct poa_chain_check check;
    uint8_t headers[POA_RUN_HEADERS_MAX * (POA_HEADER_BYTES + 2)], run[400 * 1024];
};

static int from_hex(struct evidence *e, const char *what, const char *hex, struct poa_slice *out)
{
    size_t n = strlen(hex) / 2;
    uint8_t *p = malloc(n + 1);
    if (!p || e->owned == sizeof e->own / sizeof e->own[0]) {
        free(p);
        return cli_fail("out of memory");
    }
    e->own[e->owned++] = p;
    if (poa_unhex(hex, p, n))
        return cli_fail("%s is not in hex digits", what);
    *out = poa_slice(p, n);
    return 0;
}

/* Whether member NAME is what follows from the rest, or is not there. Takes WANT. */
static int agrees(const struct evidence *e, const char *name, json_t *want)
{
    const json_t *has = json_object_get(e->json, name);
    bool same = has == NULL || json_equal(has, want);
    json_decref(want);
    return same ? 0 : cli_fail("the proof's \"%s\" is not what it proves: it was changed", name);
}

/* What is only for people in it: nobody who reads it may be told something else. */
static int check_rest(const struct evidence *e)
{
    static const char *const known[] = {"table", "key",         "present", "entry",   "value",
                                        "chain", "height",      "epoch",   "proof",   "header",
                                        "links", "certificate", "next",    "genesis", "handovers"};
    const char *name;
    json_t *v;
    json_object_foreach(e->json, name, v)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(name, known[i]) == 0;
        if (!found)
            return cli_fail("the proof has a member \"%.60s\", which none has: it was changed",
                            name);
    }
    enum poa_state_table table = (enum poa_state_table)e->proof.table;
    int rc = agrees(e, "present", json_boolean(e->proof.value.n > 0));
    if (!rc)
        rc = agrees(e, "entry", poa_json_state_entry(table, e->proof.value));
    if (!rc)
        rc = agrees(e, "chain", poa_json_hex(e->chain, 32));
    if (!rc) /* of the state, which the header after it carries; --header may be another one */
        rc = agrees(e, "height", poa_json_u64(e->header.height - 1));
    if (!rc)
        rc = agrees(e, "epoch", json_integer((json_int_t)e->header.epoch));
    if (!rc)
        rc = agrees(e, "genesis", poa_json_hex(e->genesis.p, e->genesis.n));
    return rc;
}

/* A member of the proof; "" when it may be absent. */
static int member(struct evidence *e, const char *name, bool needed, struct poa_slice *out)
{
    const json_t *v = json_object_get(e->json, name);
    if (!json_is_string(v)) {
        *out = poa_slice(NULL, 0);
        return v        ? cli_fail("the proof's \"%s\" is not text: it was changed", name)
               : needed ? cli_fail("the proof has no \"%s\": make it with poa proof --json", name)
                        : 0;
    }
    return from_hex(e, name, json_string_value(v), out);
}

/* --header, --cert: hex digits, or a file with them or with the bytes. */
static int given(struct evidence *e, const char *what, const char *text, struct poa_slice *out)
{
    char *bytes = NULL;
    size_t n = strlen(text);
    struct poa_why why = {""};
    if (n && n % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == n)
        return from_hex(e, what, text, out);
    if (poa_file_read(text, 65536, 0, &bytes, &n, &why))
        return cli_fail("%s: %s", what, why.text);
    if (e->owned == sizeof e->own / sizeof e->own[0]) {
        free(bytes);
        return cli_fail("out of memory");
    }
    e->own[e->owned++] = (uint8_t *)bytes;
    size_t digits = strspn(bytes, "0123456789abcdefABCDEF");
    if (digits && digits + strspn(bytes + digits, " \r\n\t") == n) {
        bytes[digits] = 0;
        return from_hex(e, what, bytes, out);
    }
    *out = poa_slice(bytes, n);
    return 0;
}

static int read_input(const struct cli *c, struct evidence *e)
{
    const char *path = c->arguments ? c->argument[0] : "-";
    e->json = cli_json_file(path);
    if (e->json == NULL)
        return 1;
    return json_is_object(e->json) ? 0
                                   : cli_fail("%s is no proof: not an object",
                                              strcmp(path, "-") ? path : "standard input");
}

static int read_members(const struct cli *c, struct evidence *e)
{
    enum poa_state_table table;
    if (!poa_rpc_table_find(cli_text(e->json, "table"), &table))
        return cli_fail("the proof is of an unknown table \"%s\"", cli_text(e->json, "table"));
    e->proof.table = (uint8_t)table;
    int rc = member(e, "key", true, &e->proof.key);
    if (!rc)
        rc = member(e, "value", true, &e->proof.value);
    if (!rc)
        rc = member(e, "proof", true, &e->proof.proof);
    if (!rc)
        rc = member(e, "links", false, &e->links);
    if (!rc)
        rc = member(e, "next", false, &e->next);
    if (!rc && c->option[CLI_HEADER])
        rc = given(e, "--header", c->option[CLI_HEADER], &e->head);
    else if (!rc)
        rc = member(e, "header", true, &e->head);
    if (!rc && c->option[CLI_CERT])
        rc = given(e, "--cert", c->option[CLI_CERT], &e->cert);
    else if (!rc)
        rc = member(e, "certificate", true, &e->cert);
    return rc;
}

static int pin(struct evidence *e, const uint8_t chain32[32], const char *by)
{
    if (e->pinned && memcmp(e->trusted, chain32, 32) != 0)
        return cli_fail("%s is of another chain than %s", by, e->by);
    if (!e->pinned)
        e->by = by;
    memcpy(e->trusted, chain32, 32);
    e->pinned = true;
    return 0;
}

/* What the caller brings is believed; everything else has to follow from it. */
static int read_trust(const struct cli *c, struct evidence *e)
{
    uint8_t chain[32];
    int rc = 0;
    if (c->option[CLI_GENESIS]) {
        char *bytes = NULL;
        size_t n = 0;
        struct poa_why why = {""};
        if (poa_file_read(c->option[CLI_GENESIS], INPUT_MAX, 0, &bytes, &n, &why))
            return cli_fail("%s", why.text);
        e->own[e->owned++] = (uint8_t *)bytes;
        e->genesis = poa_slice(bytes, n);
        poa_genesis_chain_id(e->genesis, chain);
        rc = pin(e, chain, "the genesis file");
    } else if (!json_is_string(json_object_get(e->json, "genesis"))) {
        return cli_fail(
            "the proof carries no genesis record, which names the first committee: give "
            "--genesis FILE, or make the proof with `poa proof ... --json`");
    } else {
        rc = member(e, "genesis", true, &e->genesis);
    }
    if (!rc && c->option[CLI_CHAIN]) {
        if (strlen(c->option[CLI_CHAIN]) != 64 || poa_unhex(c->option[CLI_CHAIN], chain, 32))
            return cli_misuse("--chain: a chain id has 64 hex digits");
        rc = pin(e, chain, "--chain");
    }
    poa_genesis_chain_id(e->genesis, e->chain);
    e->kept = e->owned;
    return rc;
}

static int read_header(const struct cli *c, struct evidence *e)
{
    int rc = 0;
    if (poa_header_decode(e->head, &e->header))
        return cli_fail("the header cannot be decoded");
    if (c->option[CLI_HEADER])
        rc = pin(e, e->header.chain, "--header");
    if (!rc && !e->pinned)
        rc = cli_misuse("say which chain you trust: --genesis FILE, --chain ID, or --header of a "
                        "block that you have from elsewhere");
    if (!rc && memcmp(e->chain, e->trusted, 32) != 0)
        rc = cli_fail("the proof is of another chain than %s", e->by);
    return rc;
}

static void *heap_take(void *ctx, size_t n)
{
    (void)ctx;
    return calloc(1, n);
}

static void heap_give(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/* Chain and committee of epoch 0 follow from genesis alone. */
static int begin(struct evidence *e)
{
    struct poa_ledger_config config = {.suite = &poa_suite_ed25519,
                                       .alloc = {.alloc = heap_take, .free = heap_give},
                                       .genesis = e->genesis};
    struct poa_ledger *l = NULL;
    struct poa_committee committee;
    int rc = poa_ledger_new(&config, &l);
    if (!rc)
        rc = poa_ledger_epoch(l, POA_STATE_BASE, 0, NULL, &committee, NULL);
    if (!rc)
        rc = poa_chain_begin(&e->walked, &poa_suite_ed25519, e->chain,
                             poa_ledger_genesis(l)->epoch_views, poa_ledger_genesis(l)->time_ms,
                             &committee);
    poa_ledger_free(l);
    return rc ? cli_fail("the genesis record is not valid: %s", poa_error_text(rc)) : 0;
}

static int walk(struct evidence *e)
{
    const json_t *all = json_object_get(e->json, "handovers");
    bool begun = e->walked.suite && e->walked.epoch <= e->header.epoch;
    int rc = begun ? 0 : begin(e);
    while (!rc && e->walked.epoch < e->header.epoch) {
        uint32_t epoch = e->walked.epoch;
        const char *hex = json_string_value(json_array_get(all, epoch));
        struct poa_run run;
        if (!hex)
            return cli_fail("the proof is of epoch %u and has no hand-over from epoch %u",
                            e->header.epoch, epoch);
        size_t n = strlen(hex) / 2;
        uint8_t *bytes = malloc(n + 1);
        if (!bytes)
            return cli_fail("out of memory");
        int code = poa_unhex(hex, bytes, n);
        if (!code)
            code = poa_run_decode(poa_slice(bytes, n), &run);
        if (!code)
            code = poa_chain_run(&e->walked, &run, true);
        if (code || e->walked.epoch != epoch + 1)
            rc = cli_fail("the hand-over from epoch %u is not valid: %s", epoch,
                          !code             ? "it does not end the epoch"
                          : e->walked.wrong ? e->walked.wrong
                                            : poa_error_text(code));
        free(bytes);
    }
    /* A check moves on with what it checks. */
    e->check = e->walked;
    e->check.committee.members.bytes.p = e->check.members;
    return rc;
}

/* Puts the run together again: the header may be one that was given. */
static int build_run(struct evidence *e)
{
    struct poa_writer list = poa_writer_over(e->headers, sizeof e->headers);
    struct poa_writer w = poa_writer_over(e->run, sizeof e->run);
    struct poa_raw_header raw = {.header = e->head};
    struct poa_run run = {.cert = e->cert, .next = e->next};
    int rc = e->links.n % POA_HEADER_BYTES ? POA_E_TRUNCATED : poa_raw_header_encode(&list, &raw);
    run.headers.count = 1;
    for (size_t at = 0; !rc && at < e->links.n; at += POA_HEADER_BYTES) {
        raw.header = poa_slice(e->links.p + at, POA_HEADER_BYTES);
        rc = poa_raw_header_encode(&list, &raw);
        run.headers.count++;
    }
    run.headers.bytes = poa_written(&list);
    if (!rc)
        rc = poa_run_encode(&w, &run);
    e->proof.run = poa_written(&w);
    return rc;
}

static int tell(const struct cli *c, const struct evidence *e)
{
    enum poa_state_table table = (enum poa_state_table)e->proof.table;
    char chain[65];
    poa_hex(e->chain, 32, chain);
    json_t *entry = poa_json_state_entry(table, e->proof.value);
    if (c->json)
        return cli_print_json(
            json_pack("{s:b, s:s, s:o, s:b, s:o, s:o, s:I, s:s, s:s}", "valid", 1, "table",
                      poa_rpc_table_name(table), "key",
                      poa_json_hex(e->proof.key.p, e->proof.key.n), "present", e->proof.value.n > 0,
                      "entry", entry, "height", poa_json_u64(e->header.height - 1), "epoch",
                      (json_int_t)e->header.epoch, "chain", chain, "trusted", e->by));
    char *text = json_dumps(entry, JSON_INDENT(2) | JSON_ENCODE_ANY);
    printf("valid      after block %" PRIu64 ", by the committee of epoch %u\n",
           e->header.height - 1, e->header.epoch);
    printf("entry      %s\n", e->proof.value.n ? text : "none: proven absent");
    printf("trusted    chain %s, as %s says; nothing else\n", chain, e->by);
    free(text);
    json_decref(entry);
    return 0;
}

/* All of it but the reading of what is checked; E->json is there. */
static int check(const struct cli *c, struct evidence *e)
{
    int rc = e->kept ? 0 : read_trust(c, e);
    if (!rc)
        rc = read_members(c, e);
    if (!rc)
        rc = read_header(c, e);
    if (!rc)
        rc = walk(e);
    if (!rc) {
        int code = build_run(e);
        if (!code)
            code = poa_state_proof_check(&e->check, &e->proof, &e->header);
        if (code)
            rc = cli_fail("the proof is not valid: %s",
                          e->check.wrong ? e->check.wrong : poa_error_text(code));
    }
    return rc ? rc : check_rest(e);
}

static void drop(struct evidence *e, size_t down_to)
{
    while (e->owned > down_to)
        free(e->own[--e->owned]);
}

int cli_check_proofs(const struct cli *c, json_t *shared, json_t *proofs,
                     int (*use)(void *ctx, const char *name, const struct cli_proven *p), void *ctx)
{
    static struct evidence e;
    const char *name;
    int rc = 0;
    memset(&e, 0, sizeof e);
    json_object_foreach(proofs, name, e.json)
    {
        json_object_set(e.json, "genesis", json_object_get(shared, "genesis"));
        json_object_set(e.json, "handovers", json_object_get(shared, "handovers"));
        rc = check(c, &e);
        struct cli_proven p = {(enum poa_state_table)e.proof.table, e.proof.key, e.proof.value,
                               e.chain};
        if (!rc)
            rc = use(ctx, name, &p);
        if (rc)
            break;
        drop(&e, e.kept);
    }
    drop(&e, 0);
    return rc;
}

int cli_verify_proof(const struct cli *c)
{
    static struct evidence e;
    memset(&e, 0, sizeof e);
    int rc = read_input(c, &e);
    if (!rc)
        rc = check(c, &e);
    if (!rc && json_array_size(json_object_get(e.json, "handovers")) != e.header.epoch)
        rc =
            cli_fail("the proof's \"handovers\" do not end where its epoch begins: it was changed");
    if (!rc)
        rc = tell(c, &e);
    drop(&e, 0);
    json_decref(e.json);
    return rc;
}
