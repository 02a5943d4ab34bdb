/* Transfers that a devnet offers to its own nodes, signed beforehand. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devnet.h"

#define WINDOW     4096
#define RETRIES    200
#define TIMEOUT_MS 5000
/* Each asks for all accounts, one after the other, and one answer that is late ends it. */
#define NONCE_TRIES 5

struct devnet_load {
    struct poa_rpc_load *load;
    struct poa_rpc_load_item *item;
    char **body;
    uint64_t count;
    uint64_t nonce[DEVNET_ACCOUNTS]; /* at prepare */
    uint8_t secret[DEVNET_ACCOUNTS][32], address[DEVNET_ACCOUNTS][32];
    char (*url)[64];
    const char **urls;
};

/* Nonces of all accounts, from the first ledger server that answers; false: none
 * does. */
static bool fetch_nonces(struct devnet *d, const struct devnet_load *l, uint64_t *nonce)
{
    for (uint32_t k = 0; k < d->ledgers; k++) {
        uint32_t i = 0;
        for (; i < DEVNET_ACCOUNTS; i++) {
            json_t *v = devnet_ask(&d->process[k], "poa_account_get",
                                   json_pack("{s:o}", "address", poa_json_address(l->address[i])));
            if (v == NULL)
                break;
            nonce[i] = cli_number(v, "nonce");
            json_decref(v);
        }
        if (i == DEVNET_ACCOUNTS)
            return true;
    }
    return false;
}

/* The K-th transfer of account I. */
static int sign_one(const struct devnet *d, struct devnet_load *l, uint64_t index, uint32_t i,
                    uint64_t nonce)
{
    uint8_t body[128], list[160], tx[600], id[32];
    char hex[2 * sizeof tx + 1];
    struct poa_op_transfer transfer;
    memset(&transfer, 0, sizeof transfer);
    memcpy(transfer.to, l->address[(i + 1) % DEVNET_ACCOUNTS], 32);
    transfer.amount = 1 + index % 1000;
    struct poa_writer w = poa_writer_over(body, sizeof body),
                      ops = poa_writer_over(list, sizeof list);
    int rc = poa_op_transfer_encode(&w, &transfer);
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    if (rc == POA_OK)
        rc = poa_op_encode(&ops, &op);
    struct poa_list one = {poa_written(&ops), 1};
    struct poa_writer out = poa_writer_over(tx, sizeof tx);
    if (rc == POA_OK)
        rc = poa_tx_sign(d->chain, POA_KEY_BIP340, l->secret[i], nonce,
                         DEVNET_FEE_MIN + DEVNET_FEE_PER_KIB, 0, &one, &out, id);
    if (rc != POA_OK)
        return rc;
    poa_hex(tx, out.n, hex);
    int n = asprintf(&l->body[index],
                     "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"%s\"],"
                     "\"id\":%" PRIu64 "}",
                     hex, index);
    if (n < 0) {
        l->body[index] = NULL;
        return POA_E_NO_MEMORY;
    }
    l->item[index] = (struct poa_rpc_load_item){l->body[index], (uint32_t)n, i};
    return POA_OK;
}

int devnet_load_prepare(struct devnet *d, uint64_t count, struct devnet_load **out)
{
    struct devnet_load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return cli_fail("out of memory");
    l->count = count;
    l->item = calloc(count + 1, sizeof *l->item);
    l->body = calloc(count + 1, sizeof *l->body);
    int rc = l->item != NULL && l->body != NULL ? 0 : cli_fail("out of memory");
    for (uint32_t i = 0; i < DEVNET_ACCOUNTS; i++)
        devnet_account(d, i, l->secret[i], l->address[i]);
    bool known = false;
    for (int tries = 0; rc == 0 && tries < NONCE_TRIES && !known; tries++)
        known = fetch_nonces(d, l, l->nonce);
    if (rc == 0 && !known)
        rc = cli_fail("no ledger server answers");
    /* Round robin over the accounts, so that home servers share the work. */
    for (uint64_t k = 0; k < count && rc == 0; k++) {
        uint32_t i = (uint32_t)(k % DEVNET_ACCOUNTS);
        int error = sign_one(d, l, k, i, l->nonce[i] + k / DEVNET_ACCOUNTS);
        if (error != POA_OK)
            rc = cli_fail("cannot sign transfers: %s", poa_error_text(error));
    }
    poa_wipe(l->secret, sizeof l->secret);
    if (rc != 0) {
        devnet_load_free(l);
        return rc;
    }
    *out = l;
    return 0;
}

int devnet_load_start(struct devnet *d, struct devnet_load *l, double per_second)
{
    l->url = calloc(d->ledgers, sizeof *l->url);
    l->urls = calloc(d->ledgers, sizeof *l->urls);
    if (l->url == NULL || l->urls == NULL)
        return cli_fail("out of memory");
    for (uint32_t i = 0; i < d->ledgers; i++) {
        snprintf(l->url[i], sizeof l->url[i], "http://127.0.0.1:%u", d->process[i].rpc);
        l->urls[i] = l->url[i];
    }
    struct poa_why why = {{0}};
    struct poa_rpc_load_config config = {.url = l->urls,
                                         .urls = d->ledgers,
                                         .item = l->item,
                                         .items = l->count,
                                         .lanes = DEVNET_ACCOUNTS,
                                         .per_second = per_second,
                                         .window = WINDOW,
                                         .timeout_ms = TIMEOUT_MS,
                                         .retries = RETRIES};
    if (poa_rpc_load_start(&config, &l->load, &why) != POA_OK)
        return cli_fail("%s", why.text);
    return 0;
}

bool devnet_load_stats(const struct devnet_load *l, struct poa_rpc_load_stats *out)
{
    memset(out, 0, sizeof *out);
    return l->load == NULL || poa_rpc_load_stats(l->load, out);
}

void devnet_load_stop(struct devnet_load *l)
{
    poa_rpc_load_free(l->load);
    l->load = NULL;
}

uint64_t devnet_load_committed(struct devnet *d, const struct devnet_load *l)
{
    uint64_t now[DEVNET_ACCOUNTS], sum = 0;
    if (!fetch_nonces(d, l, now))
        return 0;
    for (uint32_t i = 0; i < DEVNET_ACCOUNTS; i++)
        sum += now[i] - l->nonce[i];
    return sum;
}

void devnet_load_free(struct devnet_load *l)
{
    if (l == NULL)
        return;
    devnet_load_stop(l);
    for (uint64_t i = 0; l->body != NULL && i < l->count; i++)
        free(l->body[i]);
    free(l->body);
    free(l->item);
    free(l->url);
    free(l->urls);
    free(l);
}
