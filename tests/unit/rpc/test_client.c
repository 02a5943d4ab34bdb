/* The client of the RPC against real servers. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

Test(client, errors_say_what_to_do)
{
    struct poa_rpc_client *client = NULL;
    struct poa_why why;
    static const char *const bad[] = {"", "127.0.0.1", "http://", "ftp://x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(poa_rpc_client_new(bad[i], NULL, 1000, &client, &why), POA_E_CONFIG, "%s",
                     bad[i]);
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", poa_rpc_port(r));
    stop(r);
    json_t *v;
    cr_assert_eq(poa_rpc_client_new(url, NULL, 1000, &client, &why), POA_OK);
    cr_expect_eq(poa_rpc_client_call(client, "poa_status", NULL, &v, &why), POA_E_CLOSED);
    cr_expect_not_null(strstr(why.text, "is the node running"));
    poa_rpc_client_free(client);
}

/* A node that was started again on the same port: the kept connection is dead. */
Test(client, survives_a_restart_of_the_node)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc_client *client = NULL;
    struct poa_why why;
    json_t *v = NULL;
    char url[64];
    struct poa_rpc *r = start(&c);
    c.port = poa_rpc_port(r);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", c.port);
    cr_assert_eq(poa_rpc_client_new(url, NULL, PATIENCE_MS, &client, &why), POA_OK);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(poa_rpc_client_call(client, "poa_status", NULL, &v, &why), POA_OK, "%d: %s", i,
                     why.text);
        json_decref(v);
        stop(r);
        r = start(&c);
    }
    stop(r);
    poa_rpc_client_free(client);
}

Test(client, load_goes_around_a_dead_node)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *alive = start(&c), *dead = start(&c);
    char url[2][64];
    snprintf(url[0], sizeof url[0], "http://127.0.0.1:%u", poa_rpc_port(dead));
    snprintf(url[1], sizeof url[1], "http://127.0.0.1:%u", poa_rpc_port(alive));
    stop(dead);
    const char *urls[] = {url[0], url[1]};
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"],"
        "\"id\":1}";
    static struct poa_rpc_load_item item[500];
    for (size_t i = 0; i < 500; i++)
        item[i] = (struct poa_rpc_load_item){body, sizeof body - 1, (uint32_t)i};
    struct poa_rpc_load_config lc = {urls, 2, item, 500, 500, 5000, 100, PATIENCE_MS, 20};
    struct poa_rpc_load *load;
    struct poa_why why;
    cr_assert_eq(poa_rpc_load_start(&lc, &load, &why), POA_OK, "%s", why.text);
    struct poa_rpc_load_stats s;
    for (int i = 0; i < PATIENCE_MS / 5 && !poa_rpc_load_stats(load, &s); i++)
        usleep(5000);
    cr_expect_eq(s.offered, 500);
    cr_expect_eq(s.accepted, 500);
    cr_expect_eq(s.failed + s.rejected, 0);
    cr_expect(s.rerouted > 0);
    cr_expect(fake.submitted == 500);
    poa_rpc_load_free(load);
    fake.submit_code = POA_E_TX_BALANCE;
    lc.url = urls + 1;
    lc.urls = 1;
    cr_assert_eq(poa_rpc_load_start(&lc, &load, &why), POA_OK);
    for (int i = 0; i < PATIENCE_MS / 5 && !poa_rpc_load_stats(load, &s); i++)
        usleep(5000);
    cr_expect_eq(s.rejected, 500);
    cr_expect_eq(s.first_error, POA_E_TX_BALANCE);
    poa_rpc_load_free(load);
    stop(alive);
}
