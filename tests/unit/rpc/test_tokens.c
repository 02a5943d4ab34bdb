/* Bearer tokens: what a file may say, and what a token gives. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_rpc_client.h"
#include "poa_rpc_tokens.h"

static char path[64];
static struct poa_rpc_tokens tokens, again;

static void fresh(void)
{
    strcpy(path, "/tmp/poa-tokens-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void clean(void)
{
    unlink(path);
}

Test(tokens, round_trip, .init = fresh, .fini = clean)
{
    char text[3][POA_RPC_TOKEN_TEXT];
    struct poa_why why = {""};
    static const char *const label[] = {"scraper", "wallet", "owner"};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(poa_rpc_tokens_add(&tokens, label[i], (enum poa_rpc_right)(i + 1), text[i]),
                     POA_OK);
    cr_assert_eq(poa_rpc_tokens_write(path, &tokens, &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_rpc_tokens_read(path, &again, &why), POA_OK, "%s", why.text);
    cr_expect_eq(again.n, 3);
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(text[i]);
        cr_expect_eq(n, POA_RPC_TOKEN_TEXT - 1);
        cr_expect_eq(poa_rpc_tokens_right(&again, text[i], n), (enum poa_rpc_right)(i + 1));
        cr_expect_eq(poa_rpc_tokens_right(&again, text[i], n - 1), POA_RPC_NOTHING);
        text[i][7] ^= 1;
        cr_expect_eq(poa_rpc_tokens_right(&again, text[i], n), POA_RPC_NOTHING);
    }
    cr_expect_eq(poa_rpc_tokens_right(&again, "", 0), POA_RPC_NOTHING);
    cr_expect_eq(poa_rpc_tokens_add(&again, "wallet", POA_RPC_READ, text[0]), POA_E_EXISTS);
    cr_expect_eq(poa_rpc_tokens_add(&again, "two words", POA_RPC_READ, text[0]), POA_E_CONFIG);
    cr_expect_eq(poa_rpc_tokens_add(&again, "", POA_RPC_READ, text[0]), POA_E_CONFIG);
}

Test(tokens, a_full_file, .init = fresh, .fini = clean)
{
    char text[POA_RPC_TOKEN_TEXT], label[16];
    struct poa_why why = {""};
    for (int i = 0; i < POA_RPC_TOKENS_MAX; i++) {
        snprintf(label, sizeof label, "t%d", i);
        cr_assert_eq(poa_rpc_tokens_add(&tokens, label, POA_RPC_READ, text), POA_OK);
    }
    cr_expect_eq(poa_rpc_tokens_add(&tokens, "more", POA_RPC_READ, text), POA_E_LIMIT);
    cr_assert_eq(poa_rpc_tokens_write(path, &tokens, &why), POA_OK);
    cr_assert_eq(poa_rpc_tokens_read(path, &again, &why), POA_OK, "%s", why.text);
    cr_expect_eq(again.n, POA_RPC_TOKENS_MAX);
}

Test(tokens, bad_lines_are_named, .init = fresh, .fini = clean)
{
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const char *const bad[] = {
        HASH,
        HASH " read",
        HASH " write x",
        "0011 read x",
        HASH " read x y",
        HASH " read x\n" HASH " read x",
        "zz" HASH " read x",
    };
    struct poa_why why = {""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char file[512];
        int n = snprintf(file, sizeof file, "# a comment\n\n%s\n", bad[i]);
        cr_assert_eq(poa_file_write(path, file, (size_t)n, 0600, 0, &why), POA_OK);
        cr_expect_eq(poa_rpc_tokens_read(path, &tokens, &why), POA_E_CONFIG, "%s", bad[i]);
        cr_expect_not_null(strstr(why.text, ":"), "%s", why.text);
    }
    unlink(path);
    cr_expect_eq(poa_rpc_tokens_read(path, &tokens, &why), POA_E_NOT_FOUND);
}

/* A name that begins like an address of the loopback may be anybody's. */
Test(tokens, none_leaves_the_machine_in_plain_text)
{
    static const struct {
        const char *url;
        int rc;
    } row[] = {{"http://127.0.0.1:7645", POA_OK},
               {"http://127.9.9.9:7645", POA_OK},
               {"http://localhost:7645", POA_OK},
               {"http://[::1]:7645", POA_OK},
               {"https://192.0.2.1:7645", POA_OK},
               {"http://192.0.2.1:7645", POA_E_CONFIG},
               {"http://127.example.org:7645", POA_E_CONFIG},
               {"http://127.0.0.1.example.org:7645", POA_E_CONFIG},
               {"http://localhost.example.org:7645", POA_E_CONFIG}};
    struct poa_rpc_trust trust = {.token = "poa_00"};
    struct poa_why why = {""};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct poa_rpc_client *c = NULL;
        cr_expect_eq(poa_rpc_client_new(row[i].url, &trust, 1000, &c, &why), row[i].rc, "%s",
                     row[i].url);
        poa_rpc_client_free(c);
    }
}
