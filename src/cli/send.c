/* Sending a transaction, and waiting for what becomes of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_tx.h"

/* What the node knows of ID, in *OUT. */
static int get_tx(const struct cli *c, const char *id, json_t **out, struct poa_why *why)
{
    struct poa_rpc_client *client = NULL;
    int rc = cli_client(c, 10000, &client);
    if (rc != POA_OK)
        return rc;
    rc = poa_rpc_client_call(client, "poa_tx_get", json_pack("{s:s}", "id", id), out, why);
    poa_rpc_client_free(client);
    return rc;
}

/* Waits until ID is final or was dropped; what became of it in *OUT. */
static int wait_final(const struct cli *c, const char *id, json_t **out)
{
    uint32_t timeout_ms = cli_timeout_ms(c);
    for (uint64_t ms = 0; ms < timeout_ms; ms += 20) {
        json_t *v;
        struct poa_why why = {{0}};
        int rc = get_tx(c, id, &v, &why);
        /* Between acceptance and the first block a node may not know it. */
        if (rc != POA_OK && rc != POA_E_NOT_FOUND)
            return why.text[0] ? cli_fail("%s", why.text) : 1;
        if (rc == POA_OK && strcmp(cli_text(v, "state"), "pending") != 0) {
            *out = v;
            return 0;
        }
        if (rc == POA_OK)
            json_decref(v);
        nanosleep(&(struct timespec){0, 20 * 1000000}, NULL);
    }
    return cli_fail("%s was accepted, but is not final after %u s; `poa tx %s` asks again", id,
                    timeout_ms / 1000, id);
}

int cli_next_nonce(const struct cli *c, const uint8_t address32[32], uint64_t *out)
{
    char text[POA_ADDRESS_TEXT_BYTES];
    json_t *v;
    poa_address_to_text(address32, text);
    int rc = cli_call(c, "poa_account_get", json_pack("{s:s}", "address", text), &v);
    if (rc != POA_OK)
        return 1;
    *out = cli_number(v, "nonce");
    json_decref(v);
    return 0;
}

#define POLL_MS 50

/* A server says that the nonce of ID is taken by another transaction. It may say so of one
 * that it has put into a block itself, and whoever believes that pays twice: so waits until the
 * state of this node has used the nonce. From then on poa_tx_get knows a block that has ID.
 * True: none has it, and it can never run any more. *OUT: else what is known of it; may be
 * NULL. */
static bool overtaken(const struct cli *c, const char *id, const struct cli_race *race,
                      json_t **out)
{
    uint64_t nonce = 0;
    struct poa_why why = {{0}};
    *out = NULL;
    for (uint64_t ms = 0; nonce <= race->nonce; ms += POLL_MS) {
        if (ms >= cli_timeout_ms(c) || cli_next_nonce(c, race->address, &nonce) != 0)
            return false;
        if (nonce <= race->nonce)
            nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
    }
    int rc = get_tx(c, id, out, &why);
    if (rc != POA_OK)
        return rc == POA_E_NOT_FOUND;
    if (strcmp(cli_text(*out, "state"), "dropped") != 0)
        return false;
    json_decref(*out);
    *out = NULL;
    return true;
}

/* Whether V, what became of ID, is that another transaction took its nonce. Skipped in a
 * block, it can never run any more. */
static bool lost(const struct cli *c, const char *id, const json_t *v, const struct cli_race *race)
{
    if (race == NULL || strcmp(cli_text(v, "result"), "TX_NONCE_USED") != 0)
        return false;
    if (strcmp(cli_text(v, "state"), "final") == 0)
        return true;
    json_t *now;
    bool gone = overtaken(c, id, race, &now);
    json_decref(now);
    return gone;
}

/* RACE may be NULL; when it is lost, nothing is printed. */
static int finish(const struct cli *c, json_t *v, const char *made, struct cli_race *race)
{
    char id[65], object[65] = "";
    snprintf(id, sizeof id, "%s", cli_text(v, "id"));
    if (made != NULL) {
        uint8_t hash[32];
        if (poa_unhex(id, hash, 32) == POA_OK) {
            poa_object_id(hash, 0, hash);
            poa_hex(hash, 32, object);
        }
    }
    bool final = c->option[CLI_NO_WAIT] == NULL;
    int rc = 0;
    if (final) {
        json_decref(v);
        v = NULL;
        rc = wait_final(c, id, &v);
        if (rc != 0)
            return rc;
        if (lost(c, id, v, race)) {
            race->lost = true;
            json_decref(v);
            return 1;
        }
        if (strcmp(cli_text(v, "state"), "dropped") == 0)
            rc = cli_fail("%s was accepted, then dropped: %s (%s)", id, cli_text(v, "why"),
                          cli_text(v, "result"));
        else if (cli_number(v, "code") != 0)
            rc = cli_fail("%s was skipped in block %s: %s", id, cli_text(v, "height"),
                          cli_text(v, "why"));
    }
    if (made != NULL && json_is_object(v))
        json_object_set_new(v, made, json_string(object));
    if (c->json) {
        int printed = cli_print_json(v);
        return rc != 0 ? rc : printed;
    }
    printf("%s\n", id);
    if (made != NULL && rc == 0)
        printf("%s %s\n", made, object);
    if (final && rc == 0)
        printf("final in block %s%s\n", cli_text(v, "height"),
               json_is_object(json_object_get(v, "hold"))
                   ? ", and waits for grade 2: `poa tx ID` shows what is missing"
                   : "");
    json_decref(v);
    return rc;
}

int cli_submitted(const struct cli *c, json_t *v, const char *made)
{
    return finish(c, v, made, NULL);
}

/* The id of D, or "" when it is damaged. */
static void id_of(const uint8_t chain32[32], const struct cli_draft *d, char id[65])
{
    struct poa_tx_view view;
    id[0] = 0;
    if (poa_tx_parse(chain32, poa_slice(d->bytes, d->n), &view) == POA_OK)
        poa_hex(view.id, 32, id);
}

/* Who sends again what is in a block, after a lost answer for example, is told that its nonce is
 * used. Whoever then makes it anew pays twice. */
static bool sent_before(const struct cli *c, const char *id, json_t **out)
{
    struct poa_why why = {{0}};
    if (get_tx(c, id, out, &why) != POA_OK)
        return false;
    if (strcmp(cli_text(*out, "state"), "dropped") != 0)
        return true;
    json_decref(*out);
    *out = NULL;
    return false;
}

/* It was refused for WHY: another transaction has its nonce. */
static int refused(const struct cli *c, const struct cli_draft *d, const char *made,
                   struct cli_race *race, const char *why)
{
    char id[65];
    json_t *v;
    id_of(race->chain, d, id);
    if (!id[0])
        return cli_fail("%s", why);
    race->lost = overtaken(c, id, race, &v);
    if (race->lost)
        return 1;
    if (v != NULL) { /* it is on its way all the same */
        json_decref(v);
        return finish(c, json_pack("{s:s}", "id", id), made, race);
    }
    return cli_fail("%s; whether %s was lost to another one is not known yet: `poa tx` tells", why,
                    id);
}

/* Whose balance is too low for D, and by how much. */
static int too_low(const struct cli *c, const uint8_t chain32[32], const struct cli_draft *d)
{
    struct poa_tx_view tx;
    char address[POA_ADDRESS_TEXT_BYTES];
    const char *label = c->option[CLI_FROM];
    json_t *v;
    if (poa_tx_parse(chain32, poa_slice(d->bytes, d->n), &tx) != POA_OK)
        return cli_fail("%s (TX_BALANCE)", poa_error_text(POA_E_TX_BALANCE));
    poa_address_to_text(tx.tx.sender, address);
    if (cli_call(c, "poa_account_get", json_pack("{s:s}", "address", address), &v) != POA_OK)
        return 1;
    uint64_t has = cli_number(v, "balance");
    json_decref(v);
    return cli_fail("%s (TX_BALANCE): %s%s%s has %" PRIu64 " and this takes %" PRIu64 "%s",
                    poa_error_text(POA_E_TX_BALANCE), label != NULL ? label : "",
                    label != NULL ? ", " : "", address, has, tx.cost,
                    has < tx.cost ? ": `poa send` to it, or on a test network `poa faucet`"
                                  : ", but its other transactions wait, or it lacks an asset");
}

int cli_send_draft(const struct cli *c, const uint8_t chain32[32], const struct cli_draft *d,
                   const char *made, struct cli_race *race)
{
    json_t *v;
    struct poa_why why = {{0}};
    struct poa_rpc_client *client = NULL;
    char *hex = malloc(2 * d->n + 1);
    if (hex == NULL)
        return cli_fail("out of memory");
    poa_hex(d->bytes, d->n, hex);
    int rc = cli_client(c, cli_timeout_ms(c), &client);
    if (rc != POA_OK) {
        free(hex);
        return 1;
    }
    rc = poa_rpc_client_call(client, "poa_tx_send", json_pack("{s:s}", "tx", hex), &v, &why);
    poa_rpc_client_free(client);
    free(hex);
    if (rc == POA_OK)
        return finish(c, v, made, race);
    if (rc == POA_E_TX_BALANCE)
        return too_low(c, chain32, d);
    json_t *known = NULL;
    char id[65];
    id_of(chain32, d, id);
    if (rc == POA_E_TIMEOUT && id[0])
        return cli_fail("%s; %s may be executed all the same: `poa tx %s` tells, and the very same "
                        "transaction is never executed twice",
                        why.text, id, id);
    bool used = rc == POA_E_TX_NONCE_USED || rc == POA_E_TX_REPLACE || rc == POA_E_TX_DUPLICATE;
    if (used && race != NULL)
        return refused(c, d, made, race, why.text);
    if (used && id[0] && sent_before(c, id, &known)) {
        fprintf(stderr, "poa: this very transaction was sent before\n");
        return finish(c, known, made, NULL);
    }
    return cli_fail("%s%s", why.text,
                    rc == POA_E_TX_NONCE_USED ? ": make it anew, without --nonce" : "");
}
