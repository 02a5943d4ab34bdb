/* What commands that make transactions share: the network's rules, who pays,
 * signatures. How they are sent: send.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_tx.h"

/* --- the network's rules ---------------------------------------------------------- */

/* Sets the parameters that hold in EPOCH, from what the node says of them. */
static int apply_params(const json_t *v, uint32_t epoch, struct poa_genesis *g)
{
    const json_t *all = json_object_get(v, "parameters"), *p;
    const char *when = epoch > cli_number(v, "epoch")     ? "next"
                       : epoch < cli_number(v, "changed") ? "before"
                                                          : "value";
    uint8_t bytes[POA_PARAMS_MAX * 42];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    uint32_t n = 0;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)all, i, p)
    {
        struct poa_param_change change = {.param = (uint16_t)cli_number(p, "number")};
        if (strcmp(cli_text(p, "unit"), "address") == 0) {
            if (poa_address_from_text(cli_text(p, when), change.address, NULL) != POA_OK)
                return POA_E_TEXT;
        } else {
            change.value = cli_number(p, when);
        }
        /* A network that states no risk has values that no change may set. */
        struct poa_list one = {.count = 1};
        uint8_t alone[42];
        struct poa_writer a = poa_writer_over(alone, sizeof alone);
        struct poa_genesis tried = *g;
        if (poa_param_change_encode(&a, &change) != POA_OK)
            return POA_E_TEXT;
        one.bytes = poa_written(&a);
        if (poa_params_change(&tried, &one) != POA_OK)
            continue;
        poa_write(&w, alone, a.n);
        n++;
    }
    const struct poa_list list = {poa_written(&w), n};
    return n == 0 ? POA_OK : poa_params_change(g, &list);
}

/* Without a node: the rules of genesis, which fees may have left behind (--fee). */
static int rules_offline(const char *path, struct cli_rules *out)
{
    struct poa_why why = {{0}};
    char *bytes = NULL;
    size_t n = 0;
    int rc = poa_file_read(path, (size_t)64 << 20, 0, &bytes, &n, &why);
    if (rc != POA_OK)
        return cli_fail("%s", why.text), rc;
    out->raw = (uint8_t *)bytes;
    rc = poa_genesis_decode(poa_slice(out->raw, n), &out->g);
    if (rc != POA_OK) {
        cli_fail("%s is no genesis record: %s", path, poa_error_text(rc));
        cli_rules_free(out);
    } else {
        poa_genesis_chain_id(poa_slice(out->raw, n), out->chain);
    }
    return rc;
}

int cli_rules(const struct cli *c, struct cli_rules *out)
{
    json_t *v;
    memset(out, 0, sizeof *out);
    if (c->option[CLI_GENESIS] != NULL)
        return rules_offline(c->option[CLI_GENESIS], out);
    int rc = cli_call(c, "poa_genesis_get", NULL, &v);
    if (rc != POA_OK)
        return rc;
    const char *text = cli_text(v, "raw");
    size_t n = strlen(text) / 2;
    out->raw = malloc(n ? n : 1);
    if (out->raw == NULL || poa_unhex(text, out->raw, n) != POA_OK ||
        poa_genesis_decode(poa_slice(out->raw, n), &out->g) != POA_OK)
        rc = POA_E_TEXT;
    else
        poa_genesis_chain_id(poa_slice(out->raw, n), out->chain);
    json_decref(v);
    if (rc == POA_OK)
        rc = cli_call(c, "poa_params_get", NULL, &out->params);
    if (rc == POA_OK) {
        out->epoch = (uint32_t)cli_number(out->params, "epoch");
        rc = cli_rules_at(out, out->epoch, &out->g);
    } else if (rc == POA_E_TEXT) {
        cli_fail("the node's genesis record cannot be read: has it the same version?");
    }
    if (rc != POA_OK)
        cli_rules_free(out);
    return rc;
}

int cli_rules_at(const struct cli_rules *r, uint32_t epoch, struct poa_genesis *g)
{
    int rc = apply_params(r->params, epoch, g);
    if (rc != POA_OK)
        cli_fail("the node's parameters cannot be read: has it the same version?");
    return rc;
}

void cli_rules_free(struct cli_rules *r)
{
    json_decref(r->params);
    free(r->raw);
    r->params = NULL;
    r->raw = NULL;
}

/* --- operations -------------------------------------------------------------------- */

int cli_op(struct cli_ops *o, uint16_t kind, const struct poa_record *record, const void *value)
{
    uint8_t body[1024];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    struct poa_writer all = poa_writer_over(o->bytes, sizeof o->bytes);
    all.n = o->n;
    int rc = poa_record_encode(record, &w, value);
    struct poa_op op = {.kind = kind, .body = poa_written(&w)};
    if (rc == POA_OK)
        rc = poa_op_encode(&all, &op);
    if (rc != POA_OK)
        return cli_fail("the operation cannot be written: %s", poa_error_text(rc));
    o->n = all.n;
    o->count++;
    return 0;
}

/* --- senders ------------------------------------------------------------------------ */

static int one_key(const struct cli *c, const char *label, struct cli_sender *out)
{
    struct poa_keystore_info info;
    char path[600];
    struct poa_why why = {{0}};
    if (cli_key_path(c, label, false, path, sizeof path) != POA_OK)
        return 1;
    int rc = poa_keystore_info(path, &info, &why);
    if (rc == POA_E_NOT_FOUND)
        return cli_no_key(c, label);
    if (rc != POA_OK)
        return cli_fail("%s", why.text);
    *out = (struct cli_sender){.policy = {.m = 1, .keys = {.count = 1}}};
    out->keys[0] = (uint8_t)info.type;
    memcpy(out->keys + 1, info.pk, 32);
    out->policy.keys.bytes = poa_slice(out->keys, 33);
    snprintf(out->label[0], sizeof out->label[0], "%s", label);
    memcpy(out->address, info.address, 32);
    return 0;
}

int cli_sender(const struct cli *c, const char *label, struct cli_sender *out)
{
    bool found = false;
    int rc = cli_multisig(c, label, out, &found);
    return rc != 0 || found ? rc : one_key(c, label, out);
}

/* --- signatures ------------------------------------------------------------------------- */

struct cli_draft *cli_draft_new(cli_cosign *cosign, cli_auth_of *auth_of)
{
    struct cli_draft *d = calloc(1, sizeof *d);
    if (d == NULL)
        cli_fail("out of memory");
    else
        d->cosign = cosign, d->auth_of = auth_of;
    return d;
}

int cli_draft_signers(const struct cli_draft *d, uint32_t *have, uint32_t *need)
{
    struct poa_slice auth;
    struct poa_policy policy;
    struct poa_list sigs;
    int rc = d->auth_of(poa_slice(d->bytes, d->n), &auth);
    if (rc == POA_OK)
        rc = poa_auth_signers(auth, &policy, &sigs);
    if (rc != POA_OK)
        return rc;
    *have = sigs.count;
    *need = policy.m;
    return POA_OK;
}

static int tx_auth(struct poa_slice raw, struct poa_slice *auth)
{
    struct poa_tx tx;
    int rc = poa_tx_decode(raw, &tx);
    if (rc == POA_OK)
        *auth = tx.auth;
    return rc;
}

void cli_draft_free(struct cli_draft *d)
{
    if (d != NULL)
        poa_wipe(d->key, sizeof d->key);
    free(d);
}

/* NULL with a line. */
static const struct cli_opened *open_key(const struct cli *c, struct cli_draft *d,
                                         const char *label)
{
    for (size_t i = 0; i < d->keys; i++)
        if (strcmp(d->key[i].label, label) == 0)
            return &d->key[i];
    /* More than an account has: the last one makes room. */
    struct cli_opened *k =
        &d->key[d->keys < POA_POLICY_KEYS_MAX ? d->keys : POA_POLICY_KEYS_MAX - 1];
    struct poa_keystore_info info;
    k->label[0] = 0;
    if (cli_open_key(c, label, &info, k->secret) != POA_OK)
        return NULL;
    k->type = info.type;
    snprintf(k->label, sizeof k->label, "%s", label);
    if (d->keys < POA_POLICY_KEYS_MAX)
        d->keys++;
    return k;
}

static int add_signature(const struct cli *c, const uint8_t chain32[32], struct cli_draft *d,
                         const char *label)
{
    uint32_t have, need;
    if (cli_draft_signers(d, &have, &need) == POA_OK && have >= need)
        return cli_fail("%u signature%s needed, and there: that of %s is one too many, leave it "
                        "out",
                        need, need == 1 ? " is" : "s are", label);
    const struct cli_opened *k = open_key(c, d, label);
    if (k == NULL)
        return 1;
    struct poa_writer w = poa_writer_over(d->other, sizeof d->other);
    int rc = d->cosign(chain32, poa_slice(d->bytes, d->n), (uint8_t)k->type, k->secret, &w);
    if (rc == POA_E_TX_SENDER)
        return cli_fail("%s is not a key of this account", label);
    if (rc == POA_E_EXISTS)
        return cli_fail("%s has signed already", label);
    if (rc != POA_OK)
        return cli_fail("cannot sign: %s", poa_error_text(rc));
    memcpy(d->bytes, d->other, w.n);
    d->n = w.n;
    return 0;
}

int cli_sign_draft(const struct cli *c, const uint8_t chain32[32], struct cli_draft *d,
                   const char *labels)
{
    int rc = 0;
    while (rc == 0 && *labels != 0) {
        char label[POA_KEY_LABEL_MAX + 1];
        size_t n = strcspn(labels, ",");
        if (n == 0 || n >= sizeof label)
            return cli_misuse("--sign: labels of keys, separated by commas");
        memcpy(label, labels, n);
        label[n] = 0;
        labels += n + (labels[n] == ',');
        rc = add_signature(c, chain32, d, label);
    }
    return rc;
}

bool cli_sender_key_here(const struct cli *c, const struct cli_sender *s, uint32_t i)
{
    char path[600];
    struct poa_keystore_info info;
    return s->label[i][0] != 0 &&
           cli_key_path(c, s->label[i], false, path, sizeof path) == POA_OK &&
           poa_keystore_info(path, &info, NULL) == POA_OK;
}

/* Also with less than M signatures: the first key alone pays up to a limit, and a second
 * signature would spoil that. */
static bool is_enough(const uint8_t chain32[32], const struct cli_draft *d)
{
    struct poa_tx_view v;
    return d->auth_of == tx_auth && poa_tx_check(chain32, poa_slice(d->bytes, d->n), &v) == POA_OK;
}

int cli_sign_with_ours(const struct cli *c, const uint8_t chain32[32], const struct cli_sender *s,
                       struct cli_draft *d)
{
    int rc = 0;
    uint32_t needed = s->policy.m;
    for (uint32_t i = 0; rc == 0 && needed > 0 && i < s->policy.keys.count; i++) {
        if (is_enough(chain32, d))
            break;
        if (!cli_sender_key_here(c, s, i))
            continue;
        rc = add_signature(c, chain32, d, s->label[i]);
        needed--;
    }
    return rc;
}

static int state_of(const uint8_t chain32[32], const struct cli_draft *d, uint32_t *have,
                    uint32_t *need, bool *enough)
{
    struct poa_tx_view v;
    int rc = cli_draft_signers(d, have, need);
    if (rc != POA_OK)
        return cli_fail("not a transaction: %s", poa_error_text(rc));
    rc = poa_tx_check(chain32, poa_slice(d->bytes, d->n), &v);
    *enough = rc == POA_OK;
    if (rc != POA_OK && rc != POA_E_TX_SIGNATURE)
        return cli_fail("the transaction would be refused: %s (%s)", poa_error_text(rc),
                        poa_error_name(rc));
    return 0;
}

/* --- files ---------------------------------------------------------------------------- */

int cli_write_draft(const char *path, unsigned flags, const struct cli_draft *d)
{
    struct poa_why why = {{0}};
    char *text = malloc(2 * d->n + 2);
    if (text == NULL)
        return cli_fail("out of memory");
    poa_hex(d->bytes, d->n, text);
    strcpy(text + 2 * d->n, "\n");
    int rc = POA_OK;
    if (strcmp(path, "-") == 0)
        fputs(text, stdout);
    else
        rc = poa_file_write(path, text, 2 * d->n + 1, 0644, flags, &why);
    free(text);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

static int write_tx(const struct cli *c, const char *path, unsigned flags,
                    const struct cli_draft *d, uint32_t have, uint32_t need, bool enough)
{
    int rc = cli_write_draft(path, flags, d);
    if (rc != 0 || strcmp(path, "-") == 0)
        return rc;
    if (c->json)
        return cli_print_json(json_pack("{s:s, s:I, s:I, s:b}", "file", path, "signatures",
                                        (json_int_t)have, "needed", (json_int_t)need, "complete",
                                        (int)enough));
    printf("%s: %u of %u signatures; %s\n", path, have, need,
           enough ? "`poa tx submit` sends it" : "`poa tx sign` adds one");
    return 0;
}

bool cli_read_draft(const char *path, struct cli_draft *d, struct poa_why *why)
{
    char *text;
    size_t n;
    if (poa_file_read(path, 2 * POA_TX_BYTES_MAX + 2, 0, &text, &n, why) != POA_OK)
        return false;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = 0;
    d->n = n / 2;
    int rc = n > 0 && n % 2 == 0 && d->n <= sizeof d->bytes && strlen(text) == n
                 ? poa_unhex(text, d->bytes, d->n)
                 : POA_E_TEXT;
    free(text);
    return rc == POA_OK;
}

static int read_tx(const char *path, struct cli_draft *d)
{
    struct poa_why why = {{0}};
    if (cli_read_draft(path, d, &why))
        return 0;
    return why.text[0] ? cli_fail("%s", why.text)
                       : cli_fail("%s does not hold a transaction in hex: `poa tx make --output` "
                                  "writes one%s",
                                  path, cli_file_looks_like(path));
}

/* Each of them was lost to another transaction of the same account. */
#define NONCE_TRIES 100

/* --- making them -------------------------------------------------------------------------- */

static int make(const struct cli_sender *s, const struct cli_rules *r, uint64_t nonce,
                const uint64_t *fee, uint64_t until, const struct cli_ops *ops, struct cli_draft *d)
{
    const struct poa_list list = {poa_slice(ops->bytes, ops->n), ops->count};
    struct poa_writer w = poa_writer_over(d->bytes, sizeof d->bytes);
    uint64_t pays = fee != NULL ? *fee : 0;
    int rc = poa_tx_unsigned(r->chain, &s->policy, nonce, pays, until, &list, &w);
    if (rc == POA_OK && fee == NULL) { /* the size does not depend on the fee */
        size_t size = w.n + (size_t)s->policy.m * 65;
        pays = r->g.fee_min + r->g.fee_per_kib * ((size + 1023) / 1024);
        w = poa_writer_over(d->bytes, sizeof d->bytes);
        rc = poa_tx_unsigned(r->chain, &s->policy, nonce, pays, until, &list, &w);
    }
    d->n = w.n;
    return rc == POA_OK ? 0 : cli_fail("cannot make the transaction: %s", poa_error_text(rc));
}

/* What two terminals pay at the same moment, to the same account, would be one transaction:
 * each gets a time-out of its own, in ten years. */
static uint64_t own_until(void)
{
    uint32_t mark;
    poa_random(&mark, sizeof mark);
    return poa_clock_wall_ms(poa_clock_system()) + UINT64_C(315360000000) + mark;
}

static int transact(const struct cli *c, const struct cli_rules *r, const struct cli_ops *ops,
                    const char *made, struct cli_draft *d)
{
    struct cli_sender s;
    uint64_t fee = 0, nonce = 0, until = 0;
    uint32_t have, need;
    bool enough;
    if ((c->option[CLI_FEE] != NULL &&
         !cli_u64("--fee", c->option[CLI_FEE], 0, UINT64_MAX, &fee)) ||
        (c->option[CLI_NONCE] != NULL &&
         !cli_u64("--nonce", c->option[CLI_NONCE], 0, UINT64_MAX, &nonce)) ||
        (c->option[CLI_VALID_FOR] != NULL &&
         !cli_u64("--valid-for", c->option[CLI_VALID_FOR], 1, 31536000, &until)))
        return 2;
    if (c->option[CLI_GENESIS] != NULL &&
        (c->option[CLI_NONCE] == NULL || c->option[CLI_OUTPUT] == NULL))
        return cli_misuse("with --genesis no node is asked: give --nonce (`poa balance` shows it) "
                          "and --output");
    bool chosen = c->option[CLI_NONCE] != NULL;
    if (until != 0)
        until = until * 1000 + poa_clock_wall_ms(poa_clock_system());
    else if (!chosen && c->option[CLI_OUTPUT] == NULL)
        until = own_until();
    int rc = cli_sender(c, c->option[CLI_FROM], &s);
    if (rc == 0 && c->option[CLI_NONCE] == NULL)
        rc = cli_next_nonce(c, s.address, &nonce);
    if (rc != 0)
        return rc;
    /* Another terminal may take the nonce first: who did not choose it gets another one. */
    for (unsigned tries = 1;; tries++) {
        struct cli_race race = {.chain = r->chain, .address = s.address, .nonce = nonce};
        rc = make(&s, r, nonce, c->option[CLI_FEE] != NULL ? &fee : NULL, until, ops, d);
        if (rc == 0)
            rc = c->option[CLI_SIGN] != NULL ? cli_sign_draft(c, r->chain, d, c->option[CLI_SIGN])
                                             : cli_sign_with_ours(c, r->chain, &s, d);
        if (rc == 0)
            rc = state_of(r->chain, d, &have, &need, &enough);
        if (rc != 0)
            return rc;
        if (c->option[CLI_OUTPUT] != NULL)
            return write_tx(c, c->option[CLI_OUTPUT], POA_FILE_NEW, d, have, need, enough);
        if (!enough)
            return cli_fail("%u of %u signatures: --output FILE keeps it for the others to sign, "
                            "or say who signs with --sign",
                            have, need);
        rc = cli_send_draft(c, r->chain, d, made, chosen ? NULL : &race);
        if (!race.lost)
            return rc;
        if (tries == NONCE_TRIES)
            return cli_fail("other transactions of this account took %u nonces first: try again "
                            "when they are final",
                            tries);
        if (cli_next_nonce(c, s.address, &nonce) != 0)
            return 1;
    }
}

int cli_no_payer(void)
{
    return cli_misuse("say who pays: --from KEY; `poa keys list` shows yours");
}

int cli_transact(const struct cli *c, const struct cli_ops *ops, const char *made)
{
    struct cli_rules r;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (cli_rules(c, &r) != POA_OK)
        return 1;
    struct cli_draft *d = cli_draft_new(poa_tx_cosign, tx_auth);
    int rc = d == NULL ? 1 : transact(c, &r, ops, made, d);
    cli_draft_free(d);
    cli_rules_free(&r);
    return rc;
}

/* --- poa tx make, sign, submit, show --------------------------------------------------------- */

int cli_tx_make(const struct cli *c)
{
    static struct cli_ops ops;
    const char *path = c->argument[0];
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    json_t *list = cli_json_file(path);
    if (list == NULL)
        return 1;
    int rc = 0;
    json_t *one = json_is_object(list) ? json_pack("[O]", list) : json_incref(list);
    json_decref(list);
    size_t n = json_array_size(one);
    if (n < 1 || n > 64)
        rc = cli_fail("%s: 1 to 64 operations in an array", path);
    struct poa_writer w = poa_writer_over(ops.bytes, sizeof ops.bytes);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct poa_why why = {{0}};
        if (poa_json_to_op(json_array_get(one, i), &w, &why) != POA_OK)
            rc = cli_fail("%s: operation %zu: %s", path, i, why.text);
    }
    json_decref(one);
    ops.n = w.n;
    ops.count = (uint32_t)n;
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
}

/* A command on the transaction in the file that the first argument names. */
static int with_draft(const struct cli *c,
                      int (*run)(const struct cli *c, const uint8_t chain32[32],
                                 struct cli_draft *d))
{
    struct cli_rules r = {.raw = NULL};
    struct cli_draft *d = cli_draft_new(poa_tx_cosign, tx_auth);
    int rc = d == NULL ? 1 : read_tx(c->argument[0], d);
    if (rc == 0 && cli_rules(c, &r) != POA_OK)
        rc = 1;
    if (rc == 0)
        rc = run(c, r.chain, d);
    cli_rules_free(&r);
    cli_draft_free(d);
    return rc;
}

static int sign(const struct cli *c, const uint8_t chain32[32], struct cli_draft *d)
{
    uint32_t have, need;
    bool enough;
    const char *to = c->option[CLI_OUTPUT] != NULL ? c->option[CLI_OUTPUT] : c->argument[0];
    int rc = state_of(chain32, d, &have, &need, &enough);
    if (rc == 0 && enough)
        rc = cli_fail("%s has all signatures it needs: `poa tx submit` sends it", c->argument[0]);
    else if (rc == 0 && have >= need)
        rc = cli_fail("%s has %u of %u signatures, and not the right ones: make it anew",
                      c->argument[0], have, need);
    if (rc == 0)
        rc = cli_sign_draft(c, chain32, d, c->option[CLI_SIGN]);
    if (rc == 0)
        rc = state_of(chain32, d, &have, &need, &enough);
    return rc != 0 ? rc
                   : write_tx(c, to, strcmp(to, c->argument[0]) != 0 ? POA_FILE_NEW : 0, d, have,
                              need, enough);
}

static int send(const struct cli *c, const uint8_t chain32[32], struct cli_draft *d)
{
    uint32_t have, need;
    bool enough;
    int rc = state_of(chain32, d, &have, &need, &enough);
    if (rc == 0 && !enough)
        rc = cli_fail("%u of %u signatures, or not the right ones: `poa tx sign` adds one", have,
                      need);
    return rc != 0 ? rc : cli_send_draft(c, chain32, d, NULL, NULL);
}

int cli_tx_sign(const struct cli *c)
{
    if (c->option[CLI_SIGN] == NULL)
        return cli_misuse("say who signs: --sign KEY[,KEY...]");
    return with_draft(c, sign);
}

int cli_tx_submit(const struct cli *c)
{
    return with_draft(c, send);
}

int cli_tx_show(const struct cli *c)
{
    struct cli_draft *d = cli_draft_new(poa_tx_cosign, tx_auth);
    int rc = d == NULL ? 1 : read_tx(c->argument[0], d);
    if (rc == 0) {
        json_t *v = poa_json_tx(poa_slice(d->bytes, d->n));
        rc = v == NULL ? cli_fail("%s: not a transaction", c->argument[0]) : cli_print_json(v);
    }
    cli_draft_free(d);
    return rc;
}
