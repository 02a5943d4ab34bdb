/* poa send, balance, faucet. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_tx.h"

int cli_balance(const struct cli *c)
{
    uint64_t asset = 0;
    if (!cli_asset_option(c, &asset))
        return 2;
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
        if (cli_call(c, "poa_account_get",
                     asset != 0
                         ? json_pack("{s:s, s:I}", "address", text, "asset", (json_int_t)asset)
                         : json_pack("{s:s}", "address", text),
                     &v) != POA_OK) {
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
        printf("%s  balance %s  nonce %s", cli_text(v, "address"), cli_text(v, "balance"),
               cli_text(v, "nonce"));
        if (asset != 0)
            printf("  of asset %s %s", c->option[CLI_ASSET], cli_text(v, "asset_balance"));
        if (strcmp(cli_text(v, "held"), "0") != 0)
            printf("  held %s", cli_text(v, "held"));
        printf("\n");
    }
    json_decref(all);
    return 0;
}

int cli_send(const struct cli *c)
{
    static struct cli_ops ops;
    int rc = 0;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    uint8_t terms[255];
    struct poa_slice agreed;
    uint64_t asset = 0;
    if (!cli_asset_option(c, &asset) || cli_terms(c, terms, &agreed) != 0)
        return 2;
    if (c->arguments % 2 != 0)
        return cli_misuse("say to whom and how much, in pairs: poa send TO AMOUNT [TO AMOUNT...]");
    for (int i = 0; rc == 0 && i < c->arguments; i += 2) {
        struct poa_op_transfer t;
        memset(&t, 0, sizeof t);
        t.asset = (uint32_t)asset;
        t.terms = agreed;
        if (!cli_u64("AMOUNT", c->argument[i + 1], 1, UINT64_MAX, &t.amount))
            return 2;
        rc = cli_address(c, c->argument[i], t.to) != POA_OK
                 ? 1
                 : cli_op(&ops, POA_OP_TRANSFER, &poa_op_transfer_record, &t);
    }
    const struct poa_op_hold hold = {.grade = 2};
    if (rc == 0 && c->option[CLI_HOLD] != NULL)
        rc = cli_op(&ops, POA_OP_HOLD, &poa_op_hold_record, &hold);
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
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
    return cli_submitted(c, v, NULL);
}
