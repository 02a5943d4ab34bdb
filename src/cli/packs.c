/* poa data get, grant: usage packs that gateways keep, and who may have them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_proof.h"
#include "cli_tx.h"
#include "packs.h"
#include "poa_access.h"
#include "poa_edge.h"

#define DAY_MS UINT64_C(86400000)

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

static int grant_auth(struct poa_slice raw, struct poa_slice *auth)
{
    struct poa_data_grant g;
    int rc = poa_data_grant_decode(raw, &g);
    if (rc == POA_OK)
        *auth = g.auth;
    return rc;
}

/* The grant in PATH, and how many of how many signatures it has. */
static int read_grant(const char *path, struct cli_draft *d, uint32_t *have, uint32_t *need)
{
    struct poa_why why = {{0}};
    bool read = cli_read_draft(path, d, &why);
    if (!read && why.text[0])
        return cli_fail("%s", why.text);
    return read && cli_draft_signers(d, have, need) == POA_OK
               ? 0
               : cli_fail("%s is not a grant of `poa data grant`", path);
}

struct asking {
    uint8_t chain[32], node[32], device[32], secret[32], grant[POA_DATA_GRANT_BYTES_MAX];
    size_t grant_n; /* 0: none */
    struct poa_keystore_info info;
    struct poa_rpc_client *client;
    struct cli_progress progress;
};

static int take_grant(const struct cli *c, struct asking *a, struct cli_draft *d)
{
    uint32_t have, need;
    const char *path = c->option[CLI_GRANT];
    int rc = read_grant(path, d, &have, &need);
    if (rc == 0 && have < need)
        rc = cli_fail("%s has %u of %u signatures: `poa data sign` adds one", path, have, need);
    if (rc == 0) {
        memcpy(a->grant, d->bytes, d->n);
        a->grant_n = d->n;
    }
    return rc;
}

/* An account of several keys asks by a grant to one of them, made for this. */
static int grant_to_ours(const struct cli *c, const struct cli_sender *s, struct asking *a,
                         struct cli_draft *d)
{
    uint32_t here = 0, first = 0;
    for (uint32_t i = s->policy.keys.count; i-- > 0;)
        if (cli_sender_key_here(c, s, i)) {
            here++;
            first = i;
        }
    if (here < s->policy.m)
        return cli_fail(
            "%s reads with %u signatures and %u of its keys are here: make a grant with "
            "`poa data grant ... --output FILE`, let the others sign it with `poa data "
            "sign`, and ask with --grant",
            c->option[CLI_FROM], s->policy.m, here);
    struct poa_data_grant g = {.to_ms = UINT64_MAX};
    struct poa_writer w = poa_writer_over(d->bytes, sizeof d->bytes);
    g.until_ms = poa_clock_wall_ms(poa_clock_system()) + DAY_MS;
    g.reader_type = s->keys[(size_t)33 * first];
    memcpy(g.reader, s->keys + (size_t)33 * first + 1, 32);
    memcpy(g.device, a->device, 32);
    if (poa_data_grant_unsigned(&s->policy, &g, &w) != POA_OK)
        return cli_fail("the request cannot be signed");
    d->n = w.n;
    int rc = cli_sign_with_ours(c, a->chain, s, d);
    if (rc == 0) {
        memcpy(a->grant, d->bytes, d->n);
        a->grant_n = d->n;
        rc = cli_open_key(c, s->label[first], &a->info, a->secret) == POA_OK ? 0 : 1;
    }
    return rc;
}

static int open_reader(const struct cli *c, struct asking *a)
{
    struct cli_sender s;
    bool several = false;
    struct cli_draft *d = cli_draft_new(poa_data_grant_cosign, grant_auth);
    int rc = d != NULL ? cli_multisig(c, c->option[CLI_FROM], &s, &several) : 1;
    if (rc == 0 && several && c->option[CLI_GRANT] != NULL)
        rc = cli_misuse("with --grant, --from is the one key that the grant names");
    else if (rc == 0 && several)
        rc = grant_to_ours(c, &s, a, d);
    else if (rc == 0 && c->option[CLI_GRANT] != NULL)
        rc = take_grant(c, a, d);
    if (rc == 0 && !several)
        rc = cli_open_key(c, c->option[CLI_FROM], &a->info, a->secret) == POA_OK ? 0 : 1;
    cli_draft_free(d);
    return rc;
}

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
    if (rc == 0)
        rc = open_reader(c, a);
    if (rc == 0 && cli_client(c, cli_timeout_ms(c), &a->client) != POA_OK)
        rc = 1;
    return rc;
}

/* Calls METHOD once with PARAMS, or (ALL) once with each of them. */
static int ask(struct asking *a, bool all, const char *method, json_t *params, json_t **out)
{
    struct poa_why why = {{0}};
    int rc = all ? poa_rpc_client_batch(a->client, method, params, out, &why)
                 : poa_rpc_client_call(a->client, method, params, out, &why);
    if (rc == POA_OK)
        return 0;
    cli_progress_end(&a->progress);
    return cli_fail("%s", why.text);
}

/* One page of packs. */
static int ask_packs(struct asking *a, uint64_t from, json_t **out)
{
    uint8_t bytes[POA_DATA_REQUEST_BYTES_MAX];
    struct poa_data_request r;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memset(&r, 0, sizeof r);
    memcpy(r.node, a->node, 32);
    memcpy(r.device, a->device, 32);
    r.time_ms = poa_clock_wall_ms(poa_clock_system());
    r.grant = poa_slice(a->grant, a->grant_n);
    if (poa_data_request_sign(a->chain, a->info.type, a->secret, &r, &w) != POA_OK)
        return cli_fail("the request cannot be signed");
    return ask(
        a, false, "poa_packs_get",
        json_pack("{s:o, s:o}", "request", poa_json_hex(w.p, w.n), "from", poa_json_u64(from)),
        out);
}

/* A file of packs that is being made. */
struct fetching {
    struct asking asking;
    json_t *packs, *anchors;
    json_t *wanted; /* parameters of the proofs that this page needs */
    uint64_t epoch, waiting;
};

static int take_item(struct fetching *f, const json_t *item)
{
    const char *hex = json_string_value(json_object_get(item, "receipt"));
    struct poa_edge_receipt r;
    char root[65];
    int rc = 0;
    if (hex == NULL) {
        f->waiting++;
    } else {
        size_t n = strlen(hex) / 2;
        uint8_t *bytes = malloc(n + 1);
        rc = bytes != NULL && poa_unhex(hex, bytes, n) == POA_OK &&
                     poa_edge_receipt_decode(poa_slice(bytes, n), &r) == POA_OK
                 ? 0
                 : cli_fail("a receipt of the node cannot be read");
        if (rc == 0) {
            poa_hex(r.root, 32, root);
            if (json_object_get(f->anchors, root) == NULL) {
                json_object_set_new(f->anchors, root, json_null());
                json_array_append_new(f->wanted,
                                      json_pack("{s:s, s:s}", "table", "anchor", "key", root));
            }
        }
        free(bytes);
    }
    json_t *entry = json_pack("{s:O, s:O}", "pack", json_object_get(item, "pack"), "receipt",
                              json_object_get(item, "receipt"));
    return rc != 0                                       ? rc
           : json_array_append_new(f->packs, entry) != 0 ? cli_fail("out of memory")
                                                         : 0;
}

/* The proofs of all roots that a page brought, in one request: each waits for the block
 * that certifies the state, and they wait together. */
static int take_anchors(struct fetching *f)
{
    json_t *all = NULL, *proof;
    size_t i;
    if (json_array_size(f->wanted) == 0)
        return 0;
    int rc = ask(&f->asking, true, "poa_proof_get", json_incref(f->wanted), &all);
    json_array_foreach(all, i, proof)
    {
        const char *root = cli_text(json_array_get(f->wanted, i), "key");
        if (cli_number(proof, "epoch") > f->epoch)
            f->epoch = cli_number(proof, "epoch");
        if (json_object_set(f->anchors, root, proof) != 0)
            rc = cli_fail("out of memory");
    }
    json_decref(all);
    json_array_clear(f->wanted);
    return rc;
}

static int take_pages(struct fetching *f)
{
    uint64_t from = 0;
    int rc = 0;
    for (bool more = true; rc == 0 && more;) {
        json_t *v, *item;
        size_t i;
        rc = ask_packs(&f->asking, from, &v);
        if (rc != 0)
            break;
        json_array_foreach(json_object_get(v, "items"), i, item) rc =
            rc != 0 ? rc : take_item(f, item);
        if (rc == 0)
            rc = take_anchors(f);
        more = json_is_string(json_object_get(v, "next"));
        from = more ? cli_number(v, "next") : cli_number(v, "count");
        if (rc == 0)
            cli_progress(&f->asking.progress, "fetching packs", from, cli_number(v, "count"));
        json_decref(v);
    }
    cli_progress_end(&f->asking.progress);
    return rc;
}

int cli_packs_fetch(const struct cli *c, const char *device, json_t **out, uint64_t *waiting)
{
    struct fetching f = {.packs = json_array(), .anchors = json_object(), .wanted = json_array()};
    char key[65];
    int rc = begin_asking(c, device, &f.asking);
    if (rc == 0)
        rc = take_pages(&f);
    poa_wipe(f.asking.secret, sizeof f.asking.secret);
    poa_rpc_client_free(f.asking.client);
    json_decref(f.wanted);
    poa_hex(f.asking.device, 32, key);
    json_t *file =
        json_pack("{s:s, s:o, s:o}", "device", key, "packs", f.packs, "anchors", f.anchors);
    if (rc == 0)
        rc = file != NULL ? cli_add_chain(c, f.epoch, file) : 1;
    if (rc == 0)
        *out = file;
    else
        json_decref(file);
    *waiting = f.waiting;
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
    int rc = cli_packs_fetch(c, c->argument[0], &file, &waiting);
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

/* What became of the grant in D, which is in PATH. */
static int tell_grant(const struct cli *c, const char *path, const struct cli_draft *d)
{
    struct poa_data_grant g;
    uint32_t have, need;
    char key[65], more[64] = "";
    if (poa_data_grant_decode(poa_slice(d->bytes, d->n), &g) != POA_OK ||
        cli_draft_signers(d, &have, &need) != POA_OK)
        return cli_fail("the grant cannot be signed");
    bool enough = have == need;
    poa_hex(g.device, 32, key);
    if (c->json)
        return cli_print_json(json_pack("{s:s, s:s, s:o, s:I, s:I, s:b}", "file", path, "device",
                                        key, "until_ms", poa_json_u64(g.until_ms), "signatures",
                                        (json_int_t)have, "needed", (json_int_t)need, "complete",
                                        (int)enough));
    static const uint8_t anybody[32];
    uint64_t now = poa_clock_wall_ms(poa_clock_system());
    if (!enough)
        snprintf(more, sizeof more, "; %u of %u signatures: `poa data sign` adds one", have, need);
    char reader[65];
    poa_hex(g.reader, 32, reader);
    printf("%s: for %s%.16s%s, %" PRIu64 " days%s\n", path,
           memcmp(g.reader, anybody, 32) == 0 ? "whoever has it" : "the key ",
           memcmp(g.reader, anybody, 32) == 0 ? "" : reader,
           memcmp(g.reader, anybody, 32) == 0 ? "" : "...",
           g.until_ms > now ? (g.until_ms - now + DAY_MS / 2) / DAY_MS : 0, more);
    return 0;
}

static int make_grant(const struct cli *c, const struct cli_sender *owner,
                      const struct poa_data_grant *g, const uint8_t chain32[32],
                      struct cli_draft *d)
{
    struct poa_writer w = poa_writer_over(d->bytes, sizeof d->bytes);
    int code = poa_data_grant_unsigned(&owner->policy, g, &w);
    if (code != POA_OK)
        return cli_fail("the grant cannot be signed: %s", poa_error_text(code));
    d->n = w.n;
    int rc = c->option[CLI_SIGN] != NULL ? cli_sign_draft(c, chain32, d, c->option[CLI_SIGN])
                                         : cli_sign_with_ours(c, chain32, owner, d);
    return rc != 0 ? rc : cli_write_draft(c->option[CLI_OUTPUT], POA_FILE_NEW, d);
}

/* Nobody else's grant opens anything. */
static int check_owner(const struct cli *c, const char *key, const struct cli_sender *from)
{
    char address[POA_ADDRESS_TEXT_BYTES], about[80];
    json_t *v;
    snprintf(about, sizeof about, "device %s", key);
    if (cli_call_about(c, about, "poa_device_get", json_pack("{s:s}", "device", key), &v) != POA_OK)
        return 1;
    poa_address_to_text(from->address, address);
    int rc = strcmp(address, cli_text(v, "owner")) == 0
                 ? 0
                 : cli_fail("%s does not own the device: a grant of its owner, %s, is needed",
                            c->option[CLI_FROM], cli_text(v, "owner"));
    json_decref(v);
    return rc;
}

int cli_data_grant(const struct cli *c)
{
    struct poa_data_grant g;
    struct cli_sender owner;
    uint8_t chain[32], node[32];
    char key[65];
    uint64_t days = 30;
    memset(&g, 0, sizeof g);
    if (c->option[CLI_FROM] == NULL || c->option[CLI_OUTPUT] == NULL)
        return cli_misuse("a grant needs --from, the owner's key or account, and --output FILE");
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
        rc = cli_sender(c, c->option[CLI_FROM], &owner);
    if (rc == 0)
        rc = check_owner(c, key, &owner);
    if (rc != 0)
        return rc;
    if (c->option[CLI_READER] == NULL)
        g.reader_type = POA_KEY_BIP340;
    g.to_ms = UINT64_MAX;
    g.until_ms = poa_clock_wall_ms(poa_clock_system()) + days * DAY_MS;
    struct cli_draft *d = cli_draft_new(poa_data_grant_cosign, grant_auth);
    rc = d != NULL ? make_grant(c, &owner, &g, chain, d) : 1;
    if (rc == 0)
        rc = tell_grant(c, c->option[CLI_OUTPUT], d);
    cli_draft_free(d);
    return rc;
}

int cli_data_sign(const struct cli *c)
{
    uint8_t chain[32], node[32];
    uint32_t have, need;
    const char *path = c->argument[0];
    const char *to = c->option[CLI_OUTPUT] != NULL ? c->option[CLI_OUTPUT] : path;
    if (c->option[CLI_SIGN] == NULL)
        return cli_misuse("say who signs: --sign KEY[,KEY...]");
    if (strcmp(to, path) != 0 && cli_new_file(to) != 0)
        return 1;
    struct cli_draft *d = cli_draft_new(poa_data_grant_cosign, grant_auth);
    int rc = d != NULL ? read_grant(path, d, &have, &need) : 1;
    if (rc == 0)
        rc = read_chain(c, chain, node);
    if (rc == 0 && have >= need)
        rc = cli_fail("%s has all of its %u signatures", path, need);
    if (rc == 0)
        rc = cli_sign_draft(c, chain, d, c->option[CLI_SIGN]);
    if (rc == 0)
        rc = cli_write_draft(to, strcmp(to, path) != 0 ? POA_FILE_NEW : 0, d);
    if (rc == 0)
        rc = tell_grant(c, to, d);
    cli_draft_free(d);
    return rc;
}
