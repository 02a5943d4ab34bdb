/* poa data: usage data for sale.
 *
 * Sealed data: nonce 24 || XChaCha20-Poly1305 of the file under a key of its own,
 * with "poa/data" as associated data. Keys are files of 64 hex digits, mode 0600. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_tx.h"

#define DATA_MAX ((size_t)256 << 20)
#define OVERHEAD (24u + 16u)

static const struct poa_slice ad = {(const uint8_t *)"poa/data", 8};

/* --- files --------------------------------------------------------------------------- */

static int write_key(const char *path, const uint8_t key32[32])
{
    char text[66];
    struct poa_why why = {{0}};
    poa_hex(key32, 32, text);
    strcpy(text + 64, "\n");
    int rc = poa_file_write(path, text, 65, 0600, POA_FILE_NEW, &why);
    poa_wipe(text, sizeof text);
    if (rc == POA_E_EXISTS)
        return cli_fail("%s is there already: a key is used for one thing only", path);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

static int read_key(const char *option, const char *path, uint8_t key32[32])
{
    struct poa_passphrase line; /* a line that is wiped: what a secret needs */
    struct poa_why why = {{0}};
    if (path == NULL)
        return cli_misuse("say where the key is: %s FILE", option);
    memset(&line, 0, sizeof line);
    int rc = poa_passphrase_read(path, &line, &why);
    if (rc == POA_OK && poa_unhex(line.text, key32, 32) != POA_OK)
        rc = poa_because(&why, POA_E_TEXT, "%s does not hold 64 hex digits", path);
    poa_wipe(&line, sizeof line);
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

int cli_data_seal(const struct cli *c)
{
    uint8_t key[32];
    char *plain;
    size_t n;
    struct poa_why why = {{0}};
    const char *to = c->option[CLI_OUTPUT], *key_path = c->option[CLI_DATA_KEY];
    if (to == NULL || key_path == NULL)
        return cli_misuse("say where to: --output FILE for the data, --data-key FILE for the key");
    if (cli_new_file(to) != 0)
        return 1;
    if (poa_file_read(c->argument[0], DATA_MAX, 0, &plain, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    uint8_t *sealed = malloc(n + OVERHEAD);
    int rc = sealed == NULL ? cli_fail("out of memory") : 0;
    if (rc == 0) {
        poa_random(key, sizeof key);
        poa_random(sealed, 24);
        poa_xaead_seal(key, sealed, ad, poa_slice(plain, n), sealed + 24);
        rc = write_key(key_path, key);
        if (rc == 0 && poa_file_write(to, sealed, n + OVERHEAD, 0644, POA_FILE_NEW, &why) != POA_OK)
            rc = cli_fail("%s", why.text);
        poa_wipe(key, sizeof key);
    }
    free(sealed);
    free(plain);
    if (rc == 0 && c->json)
        return cli_print_json(json_pack("{s:s, s:s}", "sealed", to, "key", key_path));
    if (rc == 0)
        printf("%s: may be given to anybody\n%s: opens it; keep it until it is sold\n", to,
               key_path);
    return rc;
}

/* --- selling ------------------------------------------------------------------------------ */

int cli_data_offer(const struct cli *c)
{
    struct poa_op_offer op;
    uint8_t key[32];
    uint64_t slots, dispute, asset;
    const char *title = c->option[CLI_TITLE], *note = c->option[CLI_NOTE];
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (c->option[CLI_PRICE] == NULL || title == NULL || c->option[CLI_SLOTS] == NULL ||
        c->option[CLI_DISPUTE_SLOTS] == NULL)
        return cli_misuse("an offer needs --price, --title, --slots and --dispute-slots");
    if (!cli_asset_option(c, &asset) ||
        !cli_u64("--price", c->option[CLI_PRICE], 1, UINT64_MAX, &op.price) ||
        !cli_u64("--slots", c->option[CLI_SLOTS], 1, POA_ESCROW_SLOTS_MAX, &slots) ||
        !cli_u64("--dispute-slots", c->option[CLI_DISPUTE_SLOTS], 1, POA_ESCROW_SLOTS_MAX,
                 &dispute))
        return 2;
    op.title = poa_slice(title, strlen(title));
    op.meta = poa_slice(note, note != NULL ? strlen(note) : 0);
    if (op.title.n > 96 || op.meta.n > 255)
        return cli_misuse("--title takes up to 96 bytes, --note 255");
    op.asset = (uint32_t)asset;
    op.slots = (uint32_t)slots;
    op.dispute_slots = (uint32_t)dispute;
    int rc = read_key("--data-key", c->option[CLI_DATA_KEY], key);
    if (rc == 0)
        rc = cli_hash_data(c->argument[0], op.content, &op.bytes);
    poa_hash(POA_DOMAIN_DATA_KEY, key, sizeof key, op.key_hash);
    poa_wipe(key, sizeof key);
    return rc != 0 ? rc : cli_one_op(c, POA_OP_DATA_OFFER, &poa_op_offer_record, &op, "offer");
}

int cli_data_show(const struct cli *c)
{
    uint8_t id[32];
    json_t *v;
    if (!cli_id("an offer", c->argument[0], id))
        return 2;
    if (cli_call(c, "poa_offer_get", json_pack("{s:s}", "offer", c->argument[0]), &v) != POA_OK)
        return 1;
    return cli_print_object(c, v);
}

int cli_data_close(const struct cli *c)
{
    struct poa_op_offer_id op;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_id("an offer", c->argument[0], op.offer))
        return 2;
    return cli_one_op(c, POA_OP_DATA_CLOSE, &poa_op_offer_id_record, &op, NULL);
}

/* The sale: its escrow, with what the ledger knows of the delivery. */
static int read_sale(const struct cli *c, json_t **out)
{
    uint8_t id[32];
    if (!cli_id("a sale", c->argument[0], id))
        return 2;
    if (cli_call(c, "poa_escrow_get", json_pack("{s:s}", "escrow", c->argument[0]), out) != POA_OK)
        return 1;
    if (json_is_object(json_object_get(*out, "sale")))
        return 0;
    json_decref(*out);
    return cli_fail("%s is an escrow, not a sale", c->argument[0]);
}

int cli_data_deliver(const struct cli *c)
{
    struct poa_op_deliver op;
    uint8_t key[32], buyer[32], hash[32], promised[32];
    json_t *v;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_id("a sale", c->argument[0], op.sale))
        return 2;
    int rc = read_key("--data-key", c->option[CLI_DATA_KEY], key);
    if (rc == 0)
        rc = read_sale(c, &v);
    if (rc != 0)
        return rc;
    const json_t *sale = json_object_get(v, "sale");
    poa_hash(POA_DOMAIN_DATA_KEY, key, sizeof key, hash);
    if (poa_unhex(cli_text(sale, "key"), buyer, 32) != POA_OK ||
        poa_unhex(cli_text(sale, "key_hash"), promised, 32) != POA_OK)
        rc = cli_fail("the node's answer cannot be read: has it the same version?");
    else if (memcmp(hash, promised, 32) != 0)
        rc = cli_fail("%s is not the key that the offer promised", c->option[CLI_DATA_KEY]);
    else if (poa_unhex(c->argument[0], op.sale, 32) != POA_OK ||
             poa_sealed_make(buyer, key, op.sealed) != POA_OK)
        rc = cli_fail("the buyer's key cannot be sealed to");
    poa_wipe(key, sizeof key);
    json_decref(v);
    return rc != 0 ? rc : cli_one_op(c, POA_OP_DATA_DELIVER, &poa_op_deliver_record, &op, NULL);
}

/* --- buying --------------------------------------------------------------------------------- */

int cli_data_buy(const struct cli *c)
{
    struct poa_op_buy op;
    uint8_t secret[32], hash[32], content[32];
    const char *path = c->option[CLI_SECRET_FILE];
    json_t *v;
    memset(&op, 0, sizeof op);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (path == NULL)
        return cli_misuse("say where the one-time key for the delivery goes: --secret-file FILE");
    if (!cli_id("an offer", c->argument[0], op.offer))
        return 2;
    if (cli_call(c, "poa_offer_get", json_pack("{s:s}", "offer", c->argument[0]), &v) != POA_OK)
        return 1;
    op.asset = (uint32_t)cli_number(v, "asset");
    op.price = cli_number(v, "price");
    int rc = poa_unhex(cli_text(v, "content"), content, 32) == POA_OK
                 ? 0
                 : cli_fail("the node's answer cannot be read: has it the same version?");
    json_decref(v);
    if (rc == 0 && c->arguments == 2) {
        rc = cli_hash_data(c->argument[1], hash, NULL);
        if (rc == 0 && memcmp(hash, content, 32) != 0)
            rc = cli_fail("%s is not what the offer sells", c->argument[1]);
    }
    if (rc == 0) {
        poa_random(secret, sizeof secret);
        poa_x25519_public(secret, op.key);
        rc = write_key(path, secret); /* before the money goes */
    }
    poa_wipe(secret, sizeof secret);
    return rc != 0 ? rc : cli_one_op(c, POA_OP_DATA_BUY, &poa_op_buy_record, &op, "sale");
}

/* The data key of the sale, which must be the promised one. */
static int data_key(const struct cli *c, const json_t *v, uint8_t key32[32])
{
    const json_t *sale = json_object_get(v, "sale");
    uint8_t secret[32], sealed[80], hash[32], promised[32], named[32], own[32];
    int rc = read_key("--secret-file", c->option[CLI_SECRET_FILE], secret);
    if (rc != 0)
        return rc;
    if (cli_text(sale, "sealed")[0] == 0)
        rc = cli_fail("nothing is delivered yet; when nothing is, a time-out refunds");
    else if (poa_unhex(cli_text(sale, "sealed"), sealed, 80) != POA_OK ||
             poa_unhex(cli_text(sale, "key"), named, 32) != POA_OK ||
             poa_unhex(cli_text(sale, "key_hash"), promised, 32) != POA_OK)
        rc = cli_fail("the node's answer cannot be read: has it the same version?");
    if (rc == 0) {
        poa_x25519_public(secret, own);
        if (memcmp(own, named, 32) != 0)
            rc =
                cli_fail("%s is not the key that this sale was bought with, so nothing can be said "
                         "of what was delivered: give the file that `poa data buy` wrote",
                         c->option[CLI_SECRET_FILE]);
    }
    if (rc == 0) {
        bool opened = poa_sealed_open(secret, sealed, key32) == POA_OK;
        poa_hash(POA_DOMAIN_DATA_KEY, key32, 32, hash);
        if (!opened || memcmp(hash, promised, 32) != 0)
            rc = cli_fail("what was delivered is not the promised key: `poa data dispute %s` "
                          "refunds, until slot %s",
                          c->argument[0], cli_text(v, "deadline"));
    }
    poa_wipe(secret, sizeof secret);
    return rc;
}

int cli_data_open(const struct cli *c)
{
    uint8_t key[32] = {0};
    json_t *v;
    char *sealed = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    if (c->option[CLI_OUTPUT] == NULL)
        return cli_misuse("say where to: --output FILE");
    if (cli_new_file(c->option[CLI_OUTPUT]) != 0)
        return 1;
    int rc = read_sale(c, &v);
    if (rc != 0)
        return rc;
    rc = data_key(c, v, key);
    json_decref(v);
    if (rc == 0 && poa_file_read(c->argument[1], DATA_MAX, 0, &sealed, &n, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    uint8_t *plain = rc == 0 ? malloc(n + 1) : NULL;
    if (rc == 0 && (plain == NULL || n < OVERHEAD ||
                    poa_xaead_open(key, (const uint8_t *)sealed, ad, poa_slice(sealed + 24, n - 24),
                                   plain) != POA_OK))
        rc = cli_fail("%s does not open with the key of this sale: is it the offered data?",
                      c->argument[1]);
    if (rc == 0 && poa_file_write(c->option[CLI_OUTPUT], plain, n - OVERHEAD, 0600, POA_FILE_NEW,
                                  &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    poa_wipe(key, sizeof key);
    free(plain);
    free(sealed);
    if (rc == 0 && c->json)
        return cli_print_json(json_pack("{s:s}", "file", c->option[CLI_OUTPUT]));
    return rc;
}

int cli_data_dispute(const struct cli *c)
{
    struct poa_op_dispute op;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!cli_id("a sale", c->argument[0], op.sale))
        return 2;
    int rc = read_key("--secret-file", c->option[CLI_SECRET_FILE], op.secret);
    return rc != 0 ? rc : cli_one_op(c, POA_OP_DATA_DISPUTE, &poa_op_dispute_record, &op, NULL);
}
