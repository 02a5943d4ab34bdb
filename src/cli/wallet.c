/* poa send, balance, faucet. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "poa_cli.h"
#include "poa_ledger.h"

#define TX_ROOM 1024 /* a transfer of a single-key account */

int cli_balance(const struct cli *c)
{
    json_t *all = json_array();
    for (int i = 0; i < c->arguments; i++) {
        uint8_t address[32];
        char text[POA_ADDRESS_TEXT_BYTES];
        json_t *v;
        if (cli_address(c, c->argument[i], address) != POA_OK) {
            json_decref(all);
            return 1;
        }
        poa_address_to_text(address, text);
        if (cli_call(c, "poa_account_get", json_pack("{s:s}", "address", text), &v) != POA_OK) {
            json_decref(all);
            return 1;
        }
        json_array_append_new(all, v);
    }
    if (c->json) {
        json_t *v = c->arguments == 1 ? json_incref(json_array_get(all, 0)) : json_incref(all);
        json_decref(all);
        return cli_print_json(v);
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *v = json_array_get(all, i);
        printf("%s  balance %s  nonce %s\n", cli_text(v, "address"), cli_text(v, "balance"),
               cli_text(v, "nonce"));
    }
    json_decref(all);
    return 0;
}

/* Signs one transfer with FEE, or with the smallest fee that G takes when NULL. */
static int make_transfer(const struct poa_genesis *g, const uint8_t chain32[32],
                         enum poa_key_type type, const uint8_t secret32[32], uint64_t nonce,
                         const uint64_t *fee, const uint8_t to32[32], uint64_t amount,
                         struct poa_writer *out, uint8_t id32[32])
{
    uint8_t body[512], list[600];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    struct poa_op_transfer transfer;
    memset(&transfer, 0, sizeof transfer);
    memcpy(transfer.to, to32, 32);
    transfer.amount = amount;
    int rc = poa_op_transfer_encode(&w, &transfer);
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    struct poa_writer ops = poa_writer_over(list, sizeof list);
    if (rc == POA_OK)
        rc = poa_op_encode(&ops, &op);
    if (rc != POA_OK)
        return rc;
    struct poa_list one = {poa_written(&ops), 1};
    /* A transfer's size does not depend on its fee. */
    uint64_t pays = fee != NULL ? *fee : 0;
    rc = poa_tx_sign(chain32, (uint8_t)type, secret32, nonce, pays, 0, &one, out, id32);
    if (rc != POA_OK || fee != NULL)
        return rc;
    pays = g->fee_min + g->fee_per_kib * ((out->n + 1023) / 1024);
    out->n = 0;
    return poa_tx_sign(chain32, (uint8_t)type, secret32, nonce, pays, 0, &one, out, id32);
}

/* The network's rules, from the node; RAW is to be freed. */
static int fetch_genesis(const struct cli *c, struct poa_genesis *g, uint8_t chain32[32],
                         uint8_t **raw)
{
    json_t *v;
    int rc = cli_call(c, "poa_genesis_get", NULL, &v);
    if (rc != POA_OK)
        return rc;
    const char *text = cli_text(v, "raw");
    size_t n = strlen(text) / 2;
    *raw = malloc(n ? n : 1);
    if (*raw == NULL || poa_unhex(text, *raw, n) != POA_OK ||
        poa_genesis_decode(poa_slice(*raw, n), g) != POA_OK) {
        free(*raw);
        *raw = NULL;
        cli_fail("the node's genesis record cannot be read: has it the same version?");
        rc = POA_E_TEXT;
    } else {
        poa_genesis_chain_id(poa_slice(*raw, n), chain32);
    }
    json_decref(v);
    return rc;
}

/* Waits until ID is final; prints what became of it. */
static int wait_final(const struct cli *c, const char *id)
{
    uint64_t seconds = 10;
    if (c->option[CLI_TIMEOUT] != NULL &&
        !cli_u64("--timeout", c->option[CLI_TIMEOUT], 1, 3600, &seconds))
        return 2;
    for (uint64_t ms = 0; ms < seconds * 1000; ms += 20) {
        json_t *v;
        struct poa_rpc_client *client = NULL;
        struct poa_why why = {{0}};
        int rc = poa_rpc_client_new(cli_rpc_url(c), 10000, &client, &why);
        if (rc == POA_OK)
            rc = poa_rpc_client_call(client, "poa_tx_get", json_pack("{s:s}", "id", id), &v, &why);
        poa_rpc_client_free(client);
        /* Between acceptance and the first block a node may not know it. */
        if (rc != POA_OK && rc != POA_E_NOT_FOUND)
            return cli_fail("%s", why.text);
        if (rc == POA_OK && strcmp(cli_text(v, "state"), "final") == 0) {
            bool fine = cli_number(v, "code") == 0;
            if (c->json)
                cli_print_json(json_incref(v));
            else if (fine)
                printf("%s\nfinal in block %s\n", id, cli_text(v, "height"));
            else
                printf("%s\n", id);
            int result = fine ? 0
                              : cli_fail("it was skipped in block %s: %s", cli_text(v, "height"),
                                         cli_text(v, "why"));
            json_decref(v);
            return result;
        }
        if (rc == POA_OK)
            json_decref(v);
        nanosleep(&(struct timespec){0, 20 * 1000000}, NULL);
    }
    return cli_fail("%s was accepted, but is not final after %" PRIu64 " s; `poa tx %s` asks again",
                    id, seconds, id);
}

static int submitted(const struct cli *c, json_t *v)
{
    char id[65];
    snprintf(id, sizeof id, "%s", cli_text(v, "id"));
    if (c->option[CLI_NO_WAIT] == NULL) {
        json_decref(v);
        return wait_final(c, id);
    }
    if (c->json)
        return cli_print_json(v);
    json_decref(v);
    printf("%s\n", id);
    return 0;
}

int cli_send(const struct cli *c)
{
    uint8_t to[32], secret[32], chain[32], id[32], *raw = NULL;
    uint64_t amount, fee = 0, nonce = 0;
    struct poa_keystore_info info;
    struct poa_genesis g;
    if (c->option[CLI_FROM] == NULL)
        return cli_misuse("say who pays: --from KEY; `poa keys list` shows yours");
    if (!cli_u64("AMOUNT", c->argument[1], 1, UINT64_MAX, &amount) ||
        (c->option[CLI_FEE] != NULL &&
         !cli_u64("--fee", c->option[CLI_FEE], 0, UINT64_MAX, &fee)) ||
        (c->option[CLI_NONCE] != NULL &&
         !cli_u64("--nonce", c->option[CLI_NONCE], 0, UINT64_MAX, &nonce)))
        return 2;
    if (cli_address(c, c->argument[0], to) != POA_OK || fetch_genesis(c, &g, chain, &raw) != POA_OK)
        return 1;
    if (cli_open_key(c, c->option[CLI_FROM], &info, secret) != POA_OK) {
        free(raw);
        return 1;
    }
    json_t *v = NULL;
    int rc = POA_OK;
    if (c->option[CLI_NONCE] == NULL) {
        char address[POA_ADDRESS_TEXT_BYTES];
        poa_address_to_text(info.address, address);
        rc = cli_call(c, "poa_account_get", json_pack("{s:s}", "address", address), &v);
        if (rc == POA_OK) {
            nonce = cli_number(v, "nonce");
            json_decref(v);
        }
    }
    uint8_t tx[TX_ROOM];
    struct poa_writer w = poa_writer_over(tx, sizeof tx);
    if (rc == POA_OK) {
        rc = make_transfer(&g, chain, info.type, secret, nonce,
                           c->option[CLI_FEE] != NULL ? &fee : NULL, to, amount, &w, id);
        if (rc != POA_OK)
            cli_fail("cannot sign: %s", poa_error_text(rc));
    }
    poa_wipe(secret, sizeof secret);
    free(raw);
    if (rc != POA_OK)
        return 1;
    char hex[2 * TX_ROOM + 1];
    poa_hex(tx, w.n, hex);
    if (cli_call(c, "poa_tx_send", json_pack("{s:s}", "tx", hex), &v) != POA_OK)
        return 1;
    return submitted(c, v);
}

int cli_faucet(const struct cli *c)
{
    uint8_t address[32];
    char text[POA_ADDRESS_TEXT_BYTES];
    uint64_t amount = 0;
    json_t *v;
    if (c->arguments == 2 && !cli_u64("AMOUNT", c->argument[1], 1, UINT64_MAX, &amount))
        return 2;
    if (cli_address(c, c->argument[0], address) != POA_OK)
        return 1;
    poa_address_to_text(address, text);
    json_t *params = json_pack("{s:s}", "address", text);
    if (amount != 0)
        json_object_set_new(params, "amount", json_string(c->argument[1]));
    if (cli_call(c, "poa_faucet", params, &v) != POA_OK)
        return 1;
    return submitted(c, v);
}
