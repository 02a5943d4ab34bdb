/* Requests and answers over real sockets. */
#include <inttypes.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

Test(server, pages)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    cr_expect_eq(ask(r, GET("/healthz"), "", out, sizeof out), 200);
    cr_expect_eq(ask(r, GET("/readyz"), "", out, sizeof out), 503);
    cr_expect_not_null(strstr(out, "height 41 of 50"));
    __atomic_store_n(&fake.ready, true, __ATOMIC_SEQ_CST);
    cr_expect_eq(ask(r, GET("/readyz?x=1"), "", out, sizeof out), 200);
    cr_expect_eq(ask(r, GET("/"), "", out, sizeof out), 200);
    cr_expect_eq(ask(r, GET("/nothing"), "", out, sizeof out), 404);
    cr_expect_eq(ask(r, "POST /healthz HTTP/1.1\r\n" HOST, "{}", out, sizeof out), 404);
    cr_expect_eq(ask(r, "DELETE / HTTP/1.1\r\n" HOST, "", out, sizeof out), 501);
    cr_expect_eq(ask(r, GET("/metrics"), "", out, sizeof out), 200);
    cr_expect_not_null(
        strstr(out, "\n# TYPE poa_finalized_height gauge\npoa_finalized_height 41\n"));
    cr_expect_not_null(strstr(out, "\npoa_finality_seconds_bucket{le=\"0.001024\"} 24\n"));
    cr_expect_not_null(strstr(out, "\npoa_finality_seconds_bucket{le=\"+Inf\"} 1000\n"));
    cr_expect_not_null(strstr(out, "\npoa_finality_seconds_count 1000\n"));
    stop(r);
}

static void joins_as(const char *want)
{
    static char out[65536];
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    cr_expect_eq(
        ask(r, POST, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_status\"}", out, sizeof out),
        200);
    cr_expect_not_null(strstr(out, want), "%s", out);
    stop(r);
}

Test(server, status_says_how_far_a_snapshot_is)
{
    joins_as("\"snapshot\":null");
    fake.join = (struct poa_rpc_join){.doing = "proving", .height = 40, .offered = 3};
    joins_as(
        "\"snapshot\":{\"doing\":\"proving\",\"height\":\"40\",\"offered\":3,\"parts\":0,"
        "\"parts_held\":0,\"bytes\":\"0\",\"bytes_held\":\"0\",\"servers\":0,\"left_s\":null}");
    fake.join = (struct poa_rpc_join){.doing = "fetching",
                                      .height = 40,
                                      .offered = 3,
                                      .parts = 27,
                                      .parts_held = 11,
                                      .bytes = UINT64_C(5000000000),
                                      .bytes_held = 700,
                                      .servers = 2,
                                      .left_s = 9};
    joins_as("\"snapshot\":{\"doing\":\"fetching\",\"height\":\"40\",\"offered\":3,\"parts\":27,"
             "\"parts_held\":11,\"bytes\":\"5000000000\",\"bytes_held\":\"700\",\"servers\":2,"
             "\"left_s\":\"9\"}");
}

static uint64_t who_submits(const struct poa_rpc *r, const char *from, const char *token)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_tx_send\",\"params\":[\"00\"]}";
    char text[1024], out[1024];
    int fd = dial_from(r, from);
    uint32_t before = fake.submitted;
    int n =
        snprintf(text, sizeof text, POST "%s%s%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                 token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "",
                 strlen(body), body);
    put(fd, text, (size_t)n);
    get(fd, out, sizeof out, PATIENCE_MS);
    close(fd);
    cr_assert_eq(fake.submitted, before + 1, "%s", out);
    return fake.who;
}

Test(server, tells_who_submits)
{
    static struct poa_rpc_tokens tokens;
    char path[] = "/tmp/poa-who-XXXXXX", token[2][POA_RPC_TOKEN_TEXT];
    struct poa_why why = {""};
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    unlink(path);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(poa_rpc_tokens_add(&tokens, i ? "b" : "a", POA_RPC_SUBMIT, token[i]), POA_OK);
    cr_assert_eq(poa_rpc_tokens_write(path, &tokens, &why), POA_OK, "%s", why.text);
    struct poa_rpc_config c = {.port = 0, .tokens = path, .anonymous = POA_RPC_SUBMIT};
    struct poa_rpc *r = start(&c);
    uint64_t here = who_submits(r, "127.0.0.1", NULL), there = who_submits(r, "127.0.0.2", NULL);
    uint64_t a = who_submits(r, "127.0.0.1", token[0]), b = who_submits(r, "127.0.0.1", token[1]);
    cr_expect(here != there && a != b && a != here && b != here);
    cr_expect_eq(who_submits(r, "127.0.0.1", NULL), here);
    cr_expect_eq(who_submits(r, "127.0.0.2", token[0]), a, "wherever it comes from");
    stop(r);
    unlink(path);
}

Test(server, calls)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", poa_rpc_port(r));
    struct poa_rpc_client *client;
    struct poa_why why;
    json_t *v = NULL;
    cr_assert_eq(poa_rpc_client_new(url, NULL, PATIENCE_MS, &client, &why), POA_OK);
    cr_assert_eq(poa_rpc_client_call(client, "poa_status", NULL, &v, &why), POA_OK, "%s", why.text);
    cr_expect_str_eq(json_string_value(json_object_get(v, "height")), "41");
    json_decref(v);

    uint8_t key[32] = {9};
    cr_assert_eq(poa_rpc_client_call(client, "poa_account_get",
                                     json_pack("{s:o}", "address", poa_json_address(key)), &v,
                                     &why),
                 POA_OK, "%s", why.text);
    cr_expect_str_eq(json_string_value(json_object_get(v, "balance")), "18446744073709551615");
    json_decref(v);
    key[0] = 1; /* an account that nobody used */
    cr_assert_eq(poa_rpc_client_call(client, "poa_account_get",
                                     json_pack("{s:o}", "address", poa_json_address(key)), &v,
                                     &why),
                 POA_OK);
    cr_expect_str_eq(json_string_value(json_object_get(v, "balance")), "0");
    json_decref(v);

    fake.submit_code = POA_OK;
    cr_assert_eq(
        poa_rpc_client_call(client, "poa_tx_send", json_pack("{s:s}", "tx", "00ff10"), &v, &why),
        POA_OK, "%s", why.text);
    cr_expect_eq(fake.raw_n, 3);
    cr_expect_eq(memcmp(fake.raw, "\x00\xff\x10", 3), 0);
    cr_expect_eq(strncmp(json_string_value(json_object_get(v, "id")), "070707", 6), 0);
    json_decref(v);
    static const int codes[] = {POA_E_TX_SIGNATURE, POA_E_TX_CHAIN,       POA_E_TX_NONCE_USED,
                                POA_E_TX_BALANCE,   POA_E_TX_AMOUNT_ZERO, POA_E_TX_OVERFLOW,
                                POA_E_TX_TRUNCATED, POA_E_TX_TRAILING};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        fake.submit_code = codes[i];
        cr_expect_eq(
            poa_rpc_client_call(client, "poa_tx_send", json_pack("{s:s}", "tx", "00"), &v, &why),
            codes[i]);
        cr_expect_not_null(strstr(why.text, poa_error_name(codes[i])), "%s", why.text);
    }
    static const struct {
        const char *method, *params;
        int code;
    } refusals[] = {
        {"poa_device_get",
         "{\"device\":\"" /* 64 digits */
         "0000000000000000000000000000000000000000000000000000000000000000\"}",
         POA_E_DEVICE_UNKNOWN},
        {"poa_tx_get",
         "{\"id\":\"" /* 64 digits */
         "0000000000000000000000000000000000000000000000000000000000000000\"}",
         POA_E_UNSUPPORTED},
        {"poa_faucet", "{}", POA_E_UNSUPPORTED},
        {"poa_supply_audit", "{}", POA_E_UNSUPPORTED},
        {"poa_epoch_get", "{}", POA_E_NOT_FOUND},
        {"poa_slot_get", "{\"slot\":\"1\"}", POA_E_NOT_FOUND},
        {"poa_maker_get", "{\"maker\":1}", POA_E_NOT_FOUND},
        {"poa_nothing", "{}", POA_E_INVALID},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        json_t *params = json_loads(refusals[i].params, 0, NULL);
        if (strcmp(refusals[i].method, "poa_faucet") == 0)
            json_object_set_new(params, "address", poa_json_address(key));
        int rc = poa_rpc_client_call(client, refusals[i].method, params, &v, &why);
        cr_expect_eq(rc, refusals[i].code, "%s: %d %s", refusals[i].method, rc, why.text);
    }
    fake.first = 3;
    json_t *below = json_pack("{s:s}", "height", "2"),
           *above = json_pack("{s:s}", "height", "999999");
    cr_expect_eq(poa_rpc_client_call(client, "poa_block_get", below, &v, &why), POA_E_NOT_FOUND);
    cr_expect_not_null(strstr(why.text, "blocks below 3 are not kept here"), "%s", why.text);
    cr_expect_eq(poa_rpc_client_call(client, "poa_block_get", above, &v, &why), POA_E_NOT_FOUND);
    cr_expect_str_eq(why.text, "not found (NOT_FOUND)");
    fake.first = 0;
    static const char *const empty[] = {"poa_devices_list", "poa_witnesses_list"};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(poa_rpc_client_call(client, empty[i], NULL, &v, &why), POA_OK);
        cr_expect_eq(json_array_size(json_object_get(v, "items")), 0);
        json_decref(v);
    }
    cr_assert_eq(poa_rpc_client_call(client, "poa_latency_get", NULL, &v, &why), POA_OK);
    cr_expect_str_eq(json_string_value(json_object_get(v, "count")), "1000");
    json_decref(v);
    poa_rpc_client_free(client);
    stop(r);
}

Test(server, a_batch_is_one_request)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    char url[64];
    struct poa_rpc_client *client;
    struct poa_why why;
    json_t *all = NULL;
    snprintf(url, sizeof url, "http://127.0.0.1:%u", poa_rpc_port(r));
    cr_assert_eq(poa_rpc_client_new(url, NULL, PATIENCE_MS, &client, &why), POA_OK);
    uint8_t key[32] = {9}, other[32] = {1};
    json_t *params = json_pack("[{s:o}, {s:o}]", "address", poa_json_address(other), "address",
                               poa_json_address(key));
    cr_assert_eq(poa_rpc_client_batch(client, "poa_account_get", params, &all, &why), POA_OK, "%s",
                 why.text);
    cr_assert_eq(json_array_size(all), 2);
    static const char *const balance[] = {"0", "18446744073709551615"};
    for (size_t i = 0; i < 2; i++)
        cr_expect_str_eq(json_string_value(json_object_get(json_array_get(all, i), "balance")),
                         balance[i]);
    json_decref(all);
    /* One that is refused: its error, and no results. */
    all = NULL;
    params = json_pack("[{s:o}, {s:s}]", "address", poa_json_address(key), "address", "poa1nobody");
    cr_expect_eq(poa_rpc_client_batch(client, "poa_account_get", params, &all, &why),
                 POA_E_INVALID);
    cr_expect_null(all);
    cr_expect_not_null(strstr(why.text, "address"), "%s", why.text);
    /* Refused as a whole: an empty batch. */
    cr_expect_eq(poa_rpc_client_batch(client, "poa_status", json_array(), &all, &why),
                 POA_E_INVALID);
    poa_rpc_client_free(client);
    stop(r);
}

Test(server, notification_has_no_content)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    cr_expect_eq(ask(r, POST, "{\"jsonrpc\":\"2.0\",\"method\":\"poa_status\"}", out, sizeof out),
                 204);
    cr_expect_eq(ask(r, POST, "garbage", out, sizeof out), 200);
    cr_expect_not_null(strstr(out, "-32700"));
    cr_expect_eq(ask(r, POST, "", out, sizeof out), 200);
    stop(r);
}

Test(server, other_sites_are_refused)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    cr_expect_eq(ask(r, "POST / HTTP/1.1\r\nHost: evil.example\r\n", "{}", out, sizeof out), 403);
    cr_expect_eq(ask(r, POST "Origin: http://evil.example\r\n", "{}", out, sizeof out), 403);
    cr_expect_eq(ask(r, POST "Origin: null\r\n", "{}", out, sizeof out), 403);
    cr_expect_eq(ask(r, POST "Origin: http://127.0.0.1\r\n", "{}", out, sizeof out), 200);
    cr_expect_eq(ask(r, "POST / HTTP/1.1\r\nHost: localhost:9\r\n", "{}", out, sizeof out), 200);
    stop(r);
}

Test(server, oversized_requests)
{
    struct poa_rpc_config c = {.port = 0, .body_max = 10000};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    static char big[20001];
    memset(big, ' ', sizeof big - 1);
    /* The answer is read although the client sends its whole body first, a little or a lot. */
    cr_expect_eq(ask(r, POST, big, out, sizeof out), 413);
    static char huge[10000001];
    memset(huge, ' ', sizeof huge - 1);
    cr_expect_eq(ask(r, POST, huge, out, sizeof out), 413);
    /* But not for ever. */
    static const char endless[] = POST "Content-Length: 99999999999\r\n\r\n";
    int sink = dial(r);
    put(sink, endless, sizeof endless - 1);
    ssize_t sent = 1;
    for (int i = 0; sent > 0 && i < 1000; i++)
        sent = send(sink, huge, sizeof huge - 1, MSG_NOSIGNAL);
    cr_expect(sent <= 0, "10 GB were read");
    close(sink);
    /* A length that is only claimed, and headers without end. */
    int fd = dial(r);
    static const char claim[] = POST "Content-Length: 99999999999999\r\n\r\nx";
    put(fd, claim, sizeof claim - 1);
    size_t n = get(fd, out, sizeof out, 2000);
    cr_expect(n == 0 || strncmp(out, "HTTP/1.1 4", 10) == 0, "%s", out);
    close(fd);
    fd = dial(r);
    put(fd, "GET / HTTP/1.1\r\nX: ", 19);
    for (int i = 0; i < 10; i++)
        put(fd, big, 10000);
    n = get(fd, out, sizeof out, 2000);
    cr_expect(n == 0 || strncmp(out, "HTTP/1.1 4", 10) == 0, "%s", out);
    close(fd);
    big[9000] = 0; /* within the limit */
    cr_expect_eq(ask(r, POST, big, out, sizeof out), 200);
    stop(r);
}

/* Two answers on one connection: the first one has headers only. */
Test(server, head_has_no_body)
{
    static const struct {
        const char *path;
        const char *first; /* of its headers */
    } pages[] = {
        {"/healthz", "HTTP/1.1 200"},   {"/metrics", "HTTP/1.1 200"},
        {"/v1/status", "HTTP/1.1 200"}, {"/v1/block/x", "HTTP/1.1 400"},
        {"/nothing", "HTTP/1.1 404"},   {"/explorer/app.js", "HTTP/1.1 200"},
    };
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        static char out[65536];
        char text[256];
        int n =
            snprintf(text, sizeof text,
                     "HEAD %s HTTP/1.1\r\n" HOST "\r\n" GET("/healthz") "Connection: close\r\n\r\n",
                     pages[i].path);
        int fd = dial(r);
        put(fd, text, (size_t)n);
        get(fd, out, sizeof out, PATIENCE_MS);
        close(fd);
        cr_expect_eq(strncmp(out, pages[i].first, 12), 0, "%s: %s", pages[i].path, out);
        const char *end = strstr(out, "\r\n\r\n"), *length = strstr(out, "Content-Length: ");
        cr_assert(end != NULL && length != NULL && length < end, "%s: %s", pages[i].path, out);
        cr_expect(atoi(length + 16) > 0, "%s: what GET would send", pages[i].path);
        cr_expect_eq(strncmp(end + 4, "HTTP/1.1 200", 12), 0, "%s: %s", pages[i].path, out);
    }
    stop(r);
}

/* Reads by GET answer what the method of that name does. */
Test(server, rest)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    uint8_t key[32] = {9};
    char head[256], address[POA_ADDRESS_TEXT_BYTES];
    poa_address_to_text(key, address);
    cr_expect_eq(ask(r, GET("/v1"), "", out, sizeof out), 200);
    cr_expect_not_null(strstr(out, "\"path\":\"/v1/block\",\"method\":\"poa_block_get\""));
    cr_expect_null(strstr(out, "tx_send"));
    snprintf(head, sizeof head, "GET /v1/account/%s HTTP/1.1\r\n" HOST, address);
    cr_expect_eq(ask(r, head, "", out, sizeof out), 200);
    cr_expect_not_null(strstr(out, "\"balance\":\"18446744073709551615\""), "%s", out);
    snprintf(head, sizeof head, "GET /v1/account?address=%s HTTP/1.1\r\n" HOST, address);
    cr_expect_eq(ask(r, head, "", out, sizeof out), 200);
    cr_expect_eq(ask(r, GET("/v1/block/7"), "", out, sizeof out), 200);
    cr_expect_not_null(strstr(out, "\"height\":\"7\""));
    static const struct {
        const char *head;
        int code;
        const char *says;
    } wrong[] = {
        {GET("/v1/account/poa2"), 400, "address: an address starts with poa1"},
        {GET("/v1/account"), 400, "needs the parameter address"},
        {GET("/v1/account/a/b"), 400, ""},
        {GET("/v1/account/%ff"), 400, ""},
        {GET("/v1/block/x"), 400, "height: must be a number"},
        {GET("/v1/block/7%00x"), 400, "%00 is in no path"},
        {GET("/v1/block?height=7%00x"), 400, "%00 is in no path"},
        {GET("/v1/block?colour=red"), 400, "takes:"},
        {GET("/v1/block?height=7&height=8"), 400, "a parameter is given twice"},
        {GET("/v1/block/7?height=7"), 400, "a parameter is given twice"},
        {GET("/v1/devices?limit=0"), 400, "limit: must be at least 1"},
        {GET("/v1/witnesses?limit=0"), 400, "limit: must be at least 1"},
        {GET("/v1/packs/00?limit=0"), 400, "limit: must be at least 1"},
        {GET("/v1/block/9000"), 404, "NOT_FOUND"},
        {GET("/v1/supply_audit"), 501, "UNSUPPORTED"},
        {GET("/v1/tx_send/00"), 404, "no such resource"},
        {GET("/v1/faucet"), 404, "no such resource"},
        {GET("/v1/rpc.discover"), 404, "no such resource"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(ask(r, wrong[i].head, "", out, sizeof out), wrong[i].code, "%s: %s",
                     wrong[i].head, out);
        cr_expect_not_null(strstr(out, wrong[i].says), "%s: %s", wrong[i].head, out);
    }
    stop(r);
}

static uint64_t fake_version(void *ctx)
{
    (void)ctx;
    return 1;
}
static uint32_t lists;
static int counted_read(void *ctx, enum poa_state_table table, const void *key, size_t n,
                        struct poa_writer *out)
{
    lists += table == POA_STATE_GLOBAL;
    return backend.read(ctx, table, key, n, out);
}

/* What is kept is told again with the id of who asks, and to nobody who asks for something else. */
Test(server, kept_answers_carry_the_id_of_the_request)
{
    static const struct {
        const char *body, *id;
        bool worked; /* out anew */
    } calls[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_devices_list\"}", "1", true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_devices_list\"}", "1", false},
        {"{\"jsonrpc\":\"2.0\",\"id\":123456789012345678,\"method\":\"poa_devices_list\"}",
         "123456789012345678", false},
        {"{\"jsonrpc\":\"2.0\",\"id\":-7,\"method\":\"poa_devices_list\"}", "-7", false},
        {"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"poa_devices_list\"}", "0", false},
        /* Not whole numbers as everybody writes them: by themselves. */
        {"{\"jsonrpc\":\"2.0\",\"id\":-0,\"method\":\"poa_devices_list\"}", "0", true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"poa_devices_list\"}", "1.5", true},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"poa_devices_list\"}", "\"1\"", true},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"poa_devices_list\"}", "null", true},
        {"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"poa_devices_list\"}", NULL, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_devices_list\",\"id\":2}", NULL, false},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":1,\"method\":\"poa_devices_list\",\"id\":2}", NULL,
         false},
        /* Another request. */
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_devices_list\",\"params\":[7]}", "1",
         true},
        {"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"poa_devices_list\",\"params\":[8]}", "9",
         true},
        {"{\"jsonrpc\":\"2.0\",\"params\":[8],\"method\":\"poa_devices_list\" , \"id\" : 31 }",
         "31", true},
        {"{\"jsonrpc\":\"2.0\",\"params\":[8],\"method\":\"poa_devices_list\" , \"id\" : 4 }", "4",
         false},
    };
    struct poa_rpc_backend kept = backend;
    struct poa_rpc_config c = {.port = 0, .backend = &kept};
    struct poa_rpc *r = NULL;
    struct poa_why why;
    static char out[4096];
    char tail[64];
    kept.version = fake_version;
    kept.read = counted_read;
    cr_assert_eq(poa_rpc_start(&c, &r, &why), POA_OK, "%s", why.text);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        uint32_t before = lists;
        cr_expect_eq(ask(r, POST, calls[i].body, out, sizeof out), 200, "%s", calls[i].body);
        snprintf(tail, sizeof tail, "\"id\":%s}", calls[i].id != NULL ? calls[i].id : "null");
        const char *at = strstr(out, tail);
        cr_expect(at != NULL && at[strlen(tail)] == 0, "%s: %s", calls[i].body, out);
        cr_expect_eq(strstr(out, "\"error\"") == NULL, calls[i].id != NULL, "%s: %s", calls[i].body,
                     out);
        cr_expect_eq(lists - before, calls[i].worked ? 1 : 0, "%s", calls[i].body);
    }
    stop(r);
}

Test(server, beyond_loopback_needs_the_flag)
{
    struct poa_rpc_config c = {.host = "0.0.0.0", .backend = &backend};
    struct poa_rpc *r = NULL;
    struct poa_why why;
    cr_expect_eq(poa_rpc_start(&c, &r, &why), POA_E_CONFIG);
    cr_expect_not_null(strstr(why.text, "TLS"));
    const char *at = "";
    cr_expect_eq(poa_rpc_files_check("", "", "", &at, &why), POA_OK);
    cr_expect_eq(poa_rpc_files_check("", "", "/no/such/file", &at, &why), POA_E_NOT_FOUND);
    cr_expect(strstr(why.text, "/no/such/file") && strcmp(at, "rpc_tokens") == 0);
    cr_expect_eq(poa_rpc_files_check("/no/cert", "/no/key", "", &at, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "/no/cert") && strcmp(at, "rpc_tls_cert") == 0);
    c.host = "node.example";
    cr_expect_eq(poa_rpc_start(&c, &r, &why), POA_E_CONFIG);
    c = (struct poa_rpc_config){.port = 0};
    struct poa_rpc *first = start(&c);
    c.port = poa_rpc_port(first);
    c.backend = &backend;
    cr_expect_eq(poa_rpc_start(&c, &r, &why), POA_E_LOCKED, "%s", why.text);
    stop(first);
}
