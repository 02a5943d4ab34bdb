/* poa purchase, asset, escrow; the terms of payments. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli_tx.h"

/* --- options ------------------------------------------------------------------------ */

bool cli_asset_option(const struct cli *c, uint64_t *asset)
{
    const char *text = c->option[CLI_ASSET];
    *asset = 0;
    return text == NULL || cli_u64("--asset", text, 0, UINT32_MAX, asset);
}

/* The number that option I gives, within MAX; 0 when it is not given. */
static bool number(const struct cli *c, enum cli_option i, const char *name, uint64_t max,
                   uint64_t *out)
{
    *out = 0;
    return c->option[i] == NULL || cli_u64(name, c->option[i], 0, max, out);
}

static bool nature_of(const char *text, uint8_t *out)
{
#define ROW(name, value)                                                                           \
    if (strcasecmp(text, #name) == 0) {                                                            \
        *out = value;                                                                              \
        return true;                                                                               \
    }
    POA_NATURES(ROW)
#undef ROW
    cli_misuse("--nature: %s is none of goods, service, rent, data, energy, wages, refund, gift, "
               "other",
               text);
    return false;
}

static int hash_file(const char *path, enum poa_domain domain, uint8_t out32[32], uint64_t *bytes)
{
    char *text;
    size_t n;
    struct poa_why why = {{0}};
    if (poa_file_read(path, (size_t)256 << 20, 0, &text, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    poa_hash(domain, text, n, out32);
    free(text);
    if (bytes != NULL)
        *bytes = n;
    return 0;
}

int cli_hash_data(const char *path, uint8_t out32[32], uint64_t *bytes)
{
    return hash_file(path, POA_DOMAIN_DATA, out32, bytes);
}

int cli_terms(const struct cli *c, uint8_t *bytes, struct poa_slice *out)
{
    struct poa_terms t;
    uint64_t deliveries, first, every, warranty;
    const char *nature = c->option[CLI_NATURE], *note = c->option[CLI_NOTE];
    memset(&t, 0, sizeof t);
    *out = poa_slice(bytes, 0);
    if ((nature != NULL && !nature_of(nature, &t.nature)) ||
        !number(c, CLI_DELIVERIES, "--deliveries", UINT16_MAX, &deliveries) ||
        !number(c, CLI_FIRST, "--first", 3153600000, &first) ||
        !number(c, CLI_EVERY, "--every", 3153600000, &every) ||
        !number(c, CLI_WARRANTY, "--warranty", UINT16_MAX, &warranty))
        return 2;
    if ((deliveries > 1) != (every > 0) || (deliveries == 0 && first > 0))
        return cli_misuse("--deliveries of 2 and more go with --every, and --first with both");
    t.deliveries = (uint16_t)deliveries;
    t.warranty_days = (uint16_t)warranty;
    t.every_ms = every * 1000;
    if (deliveries > 0)
        t.first_ms = poa_clock_wall_ms(poa_clock_system()) + first * 1000;
    if (c->option[CLI_TERMS] != NULL &&
        hash_file(c->option[CLI_TERMS], POA_DOMAIN_TERMS, t.hash, NULL) != 0)
        return 1;
    t.text = poa_slice(note, note != NULL ? strlen(note) : 0);
    if (nature == NULL && note == NULL && deliveries == 0 && warranty == 0 &&
        c->option[CLI_TERMS] == NULL)
        return 0;
    struct poa_writer w = poa_writer_over(bytes, 255);
    if (poa_terms_encode(&w, &t) != POA_OK)
        return cli_misuse("--note takes up to 120 bytes");
    *out = poa_written(&w);
    return 0;
}

bool cli_id(const char *what, const char *text, uint8_t out32[32])
{
    if (strlen(text) == 64 && poa_unhex(text, out32, 32) == POA_OK)
        return true;
    cli_misuse("%s: an id of %s has 64 hex digits", text, what);
    return false;
}

int cli_one_op(const struct cli *c, uint16_t kind, const struct poa_record *record,
               const void *value, const char *made)
{
    static struct cli_ops ops;
    ops.n = ops.count = 0;
    int rc = cli_op(&ops, kind, record, value);
    return rc != 0 ? rc : cli_transact(c, &ops, made);
}

/* --- purchase ------------------------------------------------------------------------- */

int cli_purchase(const struct cli *c)
{
    struct poa_op_purchase op;
    uint8_t terms[255];
    uint64_t asset;
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_asset_option(c, &asset) ||
        !cli_u64("AMOUNT", c->argument[1], 1, UINT64_MAX, &op.amount))
        return 2;
    op.asset = (uint32_t)asset;
    int rc = cli_terms(c, terms, &op.terms);
    if (rc != 0)
        return rc;
    if (cli_address(c, c->argument[0], op.to) != POA_OK)
        return 1;
    return cli_one_op(c, POA_OP_PURCHASE, &poa_op_purchase_record, &op, NULL);
}

/* --- assets ----------------------------------------------------------------------------- */

int cli_asset_create(const struct cli *c)
{
    struct poa_op_asset op;
    uint64_t asset, decimals;
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (c->option[CLI_MAX] == NULL)
        return cli_misuse("say how many units there can ever be: --max UNITS");
    if (!cli_u64("NUMBER", c->argument[0], 1, UINT32_MAX, &asset) ||
        !number(c, CLI_DECIMALS, "--decimals", POA_DECIMALS_MAX, &decimals) ||
        !cli_u64("--max", c->option[CLI_MAX], 1, UINT64_MAX, &op.max))
        return 2;
    op.supply = op.max;
    if (c->option[CLI_SUPPLY] != NULL &&
        !cli_u64("--supply", c->option[CLI_SUPPLY], 0, op.max, &op.supply))
        return 2;
    op.asset = (uint32_t)asset;
    op.decimals = (uint8_t)decimals;
    op.name = poa_slice(c->argument[1], strlen(c->argument[1]));
    if (op.name.n == 0)
        return cli_misuse("NAME is empty: give the asset one of up to 32 bytes");
    if (op.name.n > 32)
        return cli_misuse("%s: a name has up to 32 bytes", c->argument[1]);
    return cli_one_op(c, POA_OP_ASSET_CREATE, &poa_op_asset_record, &op, NULL);
}

int cli_asset_mint(const struct cli *c)
{
    struct poa_op_mint op;
    uint64_t asset;
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_u64("NUMBER", c->argument[0], 1, UINT32_MAX, &asset) ||
        !cli_u64("AMOUNT", c->argument[2], 1, UINT64_MAX, &op.amount))
        return 2;
    op.asset = (uint32_t)asset;
    if (cli_address(c, c->argument[1], op.to) != POA_OK)
        return 1;
    return cli_one_op(c, POA_OP_ASSET_MINT, &poa_op_mint_record, &op, NULL);
}

/* Prints the strings and numbers of an object, a line each. */
int cli_print_object(const struct cli *c, json_t *v)
{
    static const uint8_t zero[32];
    char nobody[POA_ADDRESS_TEXT_BYTES];
    const char *key;
    json_t *item;
    if (c->json)
        return cli_print_json(v);
    poa_address_to_text(zero, nobody);
    json_object_foreach(v, key, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), nobody) == 0)
            printf("%-14s nobody\n", key);
        else if (json_is_string(item) && json_string_length(item) > 0)
            printf("%-14s %s\n", key, json_string_value(item));
        else if (json_is_integer(item))
            printf("%-14s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(item));
    }
    json_decref(v);
    return 0;
}

int cli_asset_show(const struct cli *c)
{
    uint64_t asset;
    json_t *v;
    if (!cli_u64("NUMBER", c->argument[0], 1, UINT32_MAX, &asset))
        return 2;
    if (cli_call(c, "poa_asset_get", json_pack("{s:I}", "asset", (json_int_t)asset), &v) != POA_OK)
        return 1;
    return cli_print_object(c, v);
}

/* --- escrow -------------------------------------------------------------------------------- */

int cli_escrow_open(const struct cli *c)
{
    struct poa_op_escrow op;
    uint8_t terms[255];
    uint64_t asset, slots;
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (c->option[CLI_SLOTS] == NULL)
        return cli_misuse("say after how many slots it is refunded: --slots N");
    if (!cli_asset_option(c, &asset) ||
        !cli_u64("AMOUNT", c->argument[1], 1, UINT64_MAX, &op.amount) ||
        !cli_u64("--slots", c->option[CLI_SLOTS], 1, POA_ESCROW_SLOTS_MAX, &slots))
        return 2;
    op.asset = (uint32_t)asset;
    op.slots = (uint32_t)slots;
    op.commerce = c->option[CLI_COMMERCE] != NULL;
    int rc = cli_terms(c, terms, &op.terms);
    if (rc != 0)
        return rc;
    if (cli_address(c, c->argument[0], op.payee) != POA_OK ||
        (c->option[CLI_CONFIRMER] != NULL &&
         cli_address(c, c->option[CLI_CONFIRMER], op.confirmer) != POA_OK) ||
        (c->option[CLI_ARBITER] != NULL &&
         cli_address(c, c->option[CLI_ARBITER], op.arbiter) != POA_OK))
        return 1;
    return cli_one_op(c, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &op, "escrow");
}

static int end_escrow(const struct cli *c, uint16_t kind)
{
    struct poa_op_escrow_id op;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_id("an escrow", c->argument[0], op.escrow))
        return 2;
    return cli_one_op(c, kind, &poa_op_escrow_id_record, &op, NULL);
}

int cli_escrow_release(const struct cli *c)
{
    return end_escrow(c, POA_OP_ESCROW_RELEASE);
}

int cli_escrow_refund(const struct cli *c)
{
    return end_escrow(c, POA_OP_ESCROW_REFUND);
}

int cli_escrow_show(const struct cli *c)
{
    uint8_t id[32];
    json_t *v;
    if (!cli_id("an escrow", c->argument[0], id))
        return 2;
    if (cli_call(c, "poa_escrow_get", json_pack("{s:s}", "escrow", c->argument[0]), &v) != POA_OK)
        return 1;
    return cli_print_object(c, v);
}
