/* poa send when a node says that another transaction has the nonce: who believes that of one
 * that is in a block pays twice. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_cli.h"
#include "poa_rpc_json.h"

static uint8_t genesis_bytes[512], chain[32];
static struct {
    int code;       /* what the first one submitted is told */
    bool has_first; /* and yet a block has it */
    uint32_t submitted, final;
    uint32_t unused; /* questions for the account until its nonce is seen to be used */
    uint64_t nonce;
    uint8_t id[8][32]; /* that blocks have */
} fake;

static int fake_read(void *ctx, enum poa_state_table table, const void *key, size_t n,
                     struct poa_writer *out)
{
    (void)ctx;
    (void)key;
    (void)n;
    if (table == POA_STATE_GLOBAL) {
        struct poa_st_global g = {.epoch = 1};
        return poa_st_global_encode(out, &g);
    }
    if (table == POA_STATE_ACCOUNT) {
        if (fake.submitted && fake.unused && !--fake.unused)
            fake.nonce++;
        struct poa_st_account a = {1000000, fake.nonce};
        return poa_st_account_encode(out, &a);
    }
    return POA_E_NOT_FOUND;
}

static void fake_status(void *ctx, struct poa_rpc_status *out)
{
    (void)ctx;
    out->version = "x";
}

static void fake_submit(void *ctx, struct poa_slice raw, struct poa_rpc_call *call)
{
    struct poa_tx_view view;
    (void)ctx;
    int code = poa_tx_parse(chain, raw, &view);
    bool first = fake.submitted++ == 0;
    if (!code && (!first || fake.has_first) && fake.final < 8)
        memcpy(fake.id[fake.final++], view.id, 32);
    if (!code && first)
        code = fake.code;
    else if (!code && view.tx.nonce != fake.nonce)
        code = POA_E_TX_NONCE_GAP;
    poa_rpc_done(call, code, code ? NULL : view.id);
}

static int fake_tx(void *ctx, const uint8_t id32[32], struct poa_rpc_tx *out)
{
    (void)ctx;
    for (uint32_t i = 0; i < fake.final; i++)
        if (memcmp(fake.id[i], id32, 32) == 0) {
            *out = (struct poa_rpc_tx){.state = POA_RPC_TX_FINAL, .height = 7};
            return POA_OK;
        }
    return POA_E_NOT_FOUND;
}

static const struct poa_rpc_backend backend = {
    .status = fake_status, .read = fake_read, .submit = fake_submit, .tx = fake_tx};

static int run(int n, const char *const *words)
{
    char *argv[16] = {(char *)"poa"};
    for (int i = 0; i < n; i++)
        argv[1 + i] = (char *)words[i];
    return cli_main(1 + n, argv);
}
#define RUN(...)                                                                                   \
    run((int)(sizeof(const char *[]){__VA_ARGS__} / sizeof(char *)), (const char *[]){__VA_ARGS__})

/* What `poa send` ends with when the first submission is refused with CODE. */
static int send_refused(int code, bool has_first, uint32_t unused)
{
    struct poa_genesis g = {.version = 1, .name = poa_slice("t", 1), .devnet = 1};
    struct poa_writer w = poa_writer_over(genesis_bytes, sizeof genesis_bytes);
    struct poa_rpc *r = NULL;
    struct poa_why why = {{0}};
    char dir[] = "/tmp/poa-nonce-XXXXXX", url[64], command[64];
    memset(&fake, 0, sizeof fake);
    fake.code = code;
    fake.has_first = has_first;
    fake.unused = unused;
    cr_assert_not_null(freopen("/dev/null", "w", stdout));
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(poa_genesis_encode(&w, &g), POA_OK);
    poa_genesis_chain_id(poa_written(&w), chain);
    struct poa_rpc_config c = {.genesis = poa_written(&w), .backend = &backend};
    cr_assert_eq(poa_rpc_start(&c, &r, &why), POA_OK, "%s", why.text);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)poa_rpc_port(r));
    setenv("POA_RPC", url, 1);
    setenv("POA_KEYS", dir, 1);
    cr_assert_eq(RUN("keys", "new", "a", "--no-passphrase"), 0);
    cr_assert_eq(RUN("keys", "new", "b", "--no-passphrase"), 0);
    int rc = RUN("send", "b", "5", "--from", "a", "--timeout", unused ? "60" : "3");
    poa_rpc_stop(r);
    poa_rpc_free(r);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    return rc;
}

Test(nonce, a_payment_that_is_in_a_block_is_not_made_again)
{
    static const int codes[] = {POA_E_TX_NONCE_USED, POA_E_TX_REPLACE, POA_E_TX_DUPLICATE};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        cr_expect_eq(send_refused(codes[i], true, 4), 0);
        cr_expect_eq(fake.submitted, 1, "%s: it was made %u times", poa_error_name(codes[i]),
                     fake.submitted);
    }
}

Test(nonce, one_whose_nonce_another_one_used_is_made_again)
{
    cr_expect_eq(send_refused(POA_E_TX_REPLACE, false, 4), 0);
    cr_expect_eq(fake.submitted, 2);
    cr_expect_eq(fake.final, 1);
}

Test(nonce, none_is_made_while_the_nonce_is_not_used)
{
    cr_expect_eq(send_refused(POA_E_TX_NONCE_USED, false, 0), 1);
    cr_expect_eq(fake.submitted, 1);
}
