/* The server over real sockets, with a backend that the test controls. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "poa_rpc_client.h"
#include "poa_rpc_json.h"
#include "poa_rpc_tokens.h"

/* For what comes at once, unless the machine is busy: only a failure takes so long. */
#define PATIENCE_MS 60000

/* --- a backend ----------------------------------------------------------------------- */

static struct {
    bool ready;
    int submit_code;
    bool hold; /* keep submitted calls */
    struct poa_rpc_call *held;
    uint8_t raw[64];
    size_t raw_n;
    uint32_t submitted;
    uint64_t who; /* of the last one */
    bool pays;    /* every block has a payment to the account that its height names */
    uint8_t chain[32], sender[32];
} fake;

static void *end_call(void *arg)
{
    uint8_t id[32];
    memset(id, 7, sizeof id);
    poa_rpc_done(arg, fake.submit_code, fake.submit_code == POA_OK ? id : NULL);
    return NULL;
}

static void fake_status(void *ctx, struct poa_rpc_status *out)
{
    (void)ctx;
    out->version = "test";
    out->core.height = 41;
    out->ready = __atomic_load_n(&fake.ready, __ATOMIC_SEQ_CST);
    out->first_block_ms = POA_NEVER;
    strcpy(out->why, "height 41 of 50");
}

/* One account and an empty device registry. */
static int fake_read(void *ctx, enum poa_state_table table, const void *key, size_t n,
                     struct poa_writer *out)
{
    (void)ctx;
    if (table == POA_STATE_ACCOUNT && n == 32 && ((const uint8_t *)key)[0] == 9) {
        struct poa_st_account a = {UINT64_MAX, 3};
        return poa_st_account_encode(out, &a);
    }
    if (table == POA_STATE_GLOBAL) {
        struct poa_st_global g;
        memset(&g, 0, sizeof g);
        return poa_st_global_encode(out, &g);
    }
    return POA_E_NOT_FOUND;
}

/* Ends the call in another thread, as a node does. */
static void fake_submit(void *ctx, struct poa_slice raw, struct poa_rpc_call *call)
{
    (void)ctx;
    fake.submitted++;
    fake.who = poa_rpc_who(call);
    fake.raw_n = raw.n < sizeof fake.raw ? raw.n : sizeof fake.raw;
    memcpy(fake.raw, raw.p, fake.raw_n);
    if (fake.hold) {
        __atomic_store_n(&fake.held, call, __ATOMIC_SEQ_CST);
        return;
    }
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, end_call, call), 0);
    pthread_detach(thread);
}

static void fake_latency(void *ctx, struct poa_histogram *out)
{
    (void)ctx;
    for (uint64_t us = 1000; us < 2000; us++)
        poa_histogram_add(out, us);
}

#define BLOCKS 8000 /* each with one seal */
static int fake_block(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out)
{
    static uint8_t header_bytes[512], body_bytes[1024], seal_bytes[512];
    (void)ctx;
    if (hash32 != NULL || height > BLOCKS)
        return POA_E_NOT_FOUND;
    struct poa_header h = {.version = 1, .height = height, .view = height + 5};
    struct poa_seal seal = {.device = {1, 2, 3}, .slot = height - 1, .height = height - 1};
    struct poa_writer w = poa_writer_over(seal_bytes, sizeof seal_bytes);
    cr_assert_eq(poa_seal_encode(&w, &seal), POA_OK);
    struct poa_body body = {.seals = {poa_written(&w), 1}};
    w = poa_writer_over(body_bytes, sizeof body_bytes);
    cr_assert_eq(poa_body_encode(&w, &body), POA_OK);
    out->body = poa_written(&w);
    w = poa_writer_over(header_bytes, sizeof header_bytes);
    cr_assert_eq(poa_header_encode(&w, &h), POA_OK);
    out->header = poa_written(&w);
    out->hash[0] = (uint8_t)height;
    static const struct poa_tx_result paid;
    out->tx = &paid;
    out->txs = fake.pays;
    return POA_OK;
}

static void account_of(uint64_t height, uint8_t out32[32])
{
    memset(out32, 0xac, 32);
    out32[31] = (uint8_t)height;
}

static int fake_block_txs(void *ctx, uint64_t height, int (*visit)(void *v, struct poa_slice raw),
                          void *v)
{
    uint8_t secret[32] = {1}, pk[32], id[32], body[64], op_bytes[128], tx[512];
    struct poa_op_transfer pay = {.amount = height};
    struct poa_writer b = poa_writer_over(body, sizeof body);
    struct poa_writer o = poa_writer_over(op_bytes, sizeof op_bytes);
    struct poa_writer t = poa_writer_over(tx, sizeof tx);
    (void)ctx;
    account_of(height, pay.to);
    cr_assert_eq(poa_key_public(POA_KEY_ED25519, secret, pk), POA_OK);
    poa_address_of_key(POA_KEY_ED25519, pk, fake.sender);
    cr_assert_eq(poa_op_transfer_encode(&b, &pay), POA_OK);
    struct poa_op op = {POA_OP_TRANSFER, poa_written(&b)};
    cr_assert_eq(poa_op_encode(&o, &op), POA_OK);
    struct poa_list ops = {poa_written(&o), 1};
    cr_assert_eq(
        poa_tx_sign(fake.chain, POA_KEY_ED25519, secret, height, 10, UINT64_MAX, &ops, &t, id),
        POA_OK);
    return visit(v, poa_written(&t));
}

static const struct poa_rpc_backend backend = {.status = fake_status,
                                               .read = fake_read,
                                               .block = fake_block,
                                               .block_txs = fake_block_txs,
                                               .submit = fake_submit,
                                               .latency = fake_latency};

/* --- help ---------------------------------------------------------------------------- */

static struct poa_rpc *start(const struct poa_rpc_config *base)
{
    static uint8_t genesis_bytes[1024];
    struct poa_genesis genesis = {.version = 1, .name = poa_slice("test", 4)};
    struct poa_writer w = poa_writer_over(genesis_bytes, sizeof genesis_bytes);
    struct poa_rpc_config c = *base;
    cr_assert_eq(poa_genesis_encode(&w, &genesis), POA_OK);
    c.genesis = poa_written(&w);
    poa_genesis_chain_id(c.genesis, fake.chain);
    struct poa_why why;
    struct poa_rpc *r = NULL;
    c.backend = &backend;
    int rc = poa_rpc_start(&c, &r, &why);
    cr_assert_eq(rc, POA_OK, "%s", why.text);
    return r;
}

static void stop(struct poa_rpc *r)
{
    poa_rpc_stop(r);
    poa_rpc_free(r);
}

static int dial_from(const struct poa_rpc *r, const char *from)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in self = {.sin_family = AF_INET};
    cr_assert_eq(inet_pton(AF_INET, from, &self.sin_addr), 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)&self, sizeof self), 0, "%s", strerror(errno));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(poa_rpc_port(r))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0, "%s", strerror(errno));
    return fd;
}

static int dial(const struct poa_rpc *r)
{
    return dial_from(r, "127.0.0.1");
}

static void put(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return; /* the server may close early: the answer tells */
        text += k;
        n -= (size_t)k;
    }
}

/* Reads until the peer closes, N bytes have come, or nothing does for WAIT_MS. */
static size_t get(int fd, char *out, size_t cap, int wait_ms)
{
    size_t n = 0;
    while (n + 1 < cap) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, wait_ms) <= 0)
            break;
        ssize_t k = recv(fd, out + n, cap - 1 - n, 0);
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    out[n] = 0;
    return n;
}

/* Reads until WHAT has come, or nothing more does. */
static bool get_until(int fd, char *out, size_t cap, const char *what)
{
    size_t n = 0;
    out[0] = 0;
    while (n + 1 < cap && strstr(out, what) == NULL) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t k = poll(&p, 1, PATIENCE_MS) == 1 ? recv(fd, out + n, cap - 1 - n, 0) : 0;
        if (k <= 0)
            return false;
        n += (size_t)k;
        out[n] = 0;
    }
    return true;
}

/* One request on a connection of its own; the status code. */
static int ask(const struct poa_rpc *r, const char *head, const char *body, char *out, size_t cap)
{
    int fd = dial(r);
    char text[1024];
    int n = snprintf(text, sizeof text, "%sConnection: close\r\nContent-Length: %zu\r\n\r\n", head,
                     strlen(body));
    put(fd, text, (size_t)n);
    put(fd, body, strlen(body));
    get(fd, out, cap, PATIENCE_MS);
    close(fd);
    return strncmp(out, "HTTP/1.1 ", 9) == 0 ? atoi(out + 9) : 0;
}

#define HOST      "Host: 127.0.0.1\r\n"
#define POST      "POST / HTTP/1.1\r\n" HOST
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST

/* --- tests ----------------------------------------------------------------------------- */

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

static const char keep_alive[] = GET("/healthz") "\r\n";

/* Whether FD is served. */
static bool served(int fd)
{
    static char out[4096];
    put(fd, keep_alive, sizeof keep_alive - 1);
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, PATIENCE_MS) == 1 && recv(fd, out, sizeof out, 0) > 0;
}

/* Whether the server closes FD. */
static bool closed(int fd)
{
    char out[64];
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, PATIENCE_MS) == 1 && recv(fd, out, sizeof out, 0) <= 0;
}

/* A crowd that says nothing costs itself its oldest connections, and nobody else any. */
Test(server, idle_connections_make_room)
{
    struct poa_rpc_config c = {.port = 0, .connections_max = 16};
    struct poa_rpc *r = start(&c);
    enum { crowd = 100, share = 8 };
    int fd[crowd];
    int other = dial_from(r, "127.0.0.2");
    cr_expect(served(other), "before");
    for (int i = 0; i < crowd; i++)
        fd[i] = dial(r);
    int next = dial(r);
    cr_expect(served(next), "a new one of the same address");
    cr_expect(served(other), "one of another address that was there before");
    for (int i = 0; i < crowd - share + 1; i++)
        cr_expect(closed(fd[i]), "connection %d of the crowd is open", i);
    cr_expect(served(fd[crowd - 1]), "the newest of the crowd");
    int late = dial_from(r, "127.0.0.3");
    cr_expect(served(late), "one of a third address");
    for (int i = 0; i < crowd; i++)
        close(fd[i]);
    close(next);
    close(other);
    close(late);
    stop(r);
}

/* All are in use by many addresses: the one that has most of them pays. */
Test(server, the_fullest_address_makes_room)
{
    struct poa_rpc_config c = {.port = 0, .connections_max = 8};
    struct poa_rpc *r = start(&c);
    int fd[4], single[4];
    char from[32];
    for (int i = 0; i < 4; i++)
        cr_expect(served(fd[i] = dial(r)));
    for (int i = 0; i < 4; i++) {
        snprintf(from, sizeof from, "127.0.1.%d", i + 1);
        cr_expect(served(single[i] = dial_from(r, from)));
    }
    int late = dial_from(r, "127.0.2.1");
    cr_expect(served(late));
    cr_expect(closed(fd[0]));
    for (int i = 0; i < 4; i++)
        cr_expect(served(single[i]), "address %d", i);
    for (int i = 0; i < 4; i++) {
        close(fd[i]);
        close(single[i]);
    }
    close(late);
    stop(r);
}

/* A request in work is not closed for a newcomer, who is refused instead. */
Test(server, open_calls_keep_their_connection)
{
    struct poa_rpc_config c = {.port = 0, .connections_max = 2};
    struct poa_rpc *r = start(&c);
    static const char call[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"],"
        "\"id\":1}";
    char text[512];
    int n = snprintf(text, sizeof text, POST "Content-Length: %zu\r\n\r\n%s", strlen(call), call);
    fake.hold = true;
    int fd = dial(r);
    put(fd, text, (size_t)n);
    for (int i = 0; i < PATIENCE_MS && __atomic_load_n(&fake.held, __ATOMIC_SEQ_CST) == NULL; i++)
        usleep(1000);
    struct poa_rpc_call *held = __atomic_exchange_n(&fake.held, NULL, __ATOMIC_SEQ_CST);
    cr_assert_not_null(held);
    int late = dial(r);
    cr_expect(closed(late));
    fake.submit_code = POA_OK;
    end_call(held);
    static char out[4096];
    struct pollfd p = {fd, POLLIN, 0};
    cr_expect_eq(poll(&p, 1, PATIENCE_MS), 1);
    cr_expect(recv(fd, out, sizeof out, 0) > 0 && strstr(out, "070707") != NULL);
    close(fd);
    close(late);
    stop(r);
}

Test(server, idle_connections_time_out)
{
    struct poa_rpc_config c = {.port = 0, .timeout_s = 1};
    struct poa_rpc *r = start(&c);
    char out[64];
    int fd = dial(r);
    struct pollfd p = {fd, POLLIN, 0};
    cr_expect_eq(poll(&p, 1, 10000), 1);
    cr_expect_eq(recv(fd, out, sizeof out, 0), 0);
    close(fd);
    stop(r);
}

/* The stream of events: what a reader asked for, framed, and what it missed. */
Test(server, events)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    cr_expect_eq(ask(r, GET("/v1/events?topics=blo"), "", out, sizeof out), 400);
    cr_expect_not_null(strstr(out, "topics: block"));
    cr_expect_eq(ask(r, GET("/v1/events?account=poa2"), "", out, sizeof out), 400);
    cr_expect_eq(ask(r, GET("/v1/events?other=1"), "", out, sizeof out), 400);
    int fd = dial(r);
    static const char some[] = GET("/v1/events?topics=status,block,seal") "\r\n";
    put(fd, some, sizeof some - 1);
    cr_expect(get_until(fd, out, sizeof out, "event: status\ndata: {"), "%s", out);
    cr_expect_not_null(strstr(out, "Content-Type: text/event-stream"), "%s", out);
    cr_expect_not_null(strstr(out, "event: block\nid: 41\ndata: {\"height\":\"41\""), "%s", out);
    poa_rpc_tip(r, 42);
    cr_expect(get_until(fd, out, sizeof out, "event: seal\nid: 42\ndata: {"), "%s", out);
    cr_expect_not_null(strstr(out, "event: block\nid: 42\ndata: {"), "%s", out);
    cr_expect_not_null(strstr(out, "\"device\":\"010203"), "%s", out);
    cr_expect_null(strstr(out, "event: finality"), "%s", out);
    close(fd);
    /* Who comes back gets what it missed. */
    poa_rpc_tip(r, 50);
    fd = dial(r);
    static const char back[] = GET("/v1/events?topics=block") "Last-Event-ID: 45\r\n\r\n";
    put(fd, back, sizeof back - 1);
    cr_expect(get_until(fd, out, sizeof out, "id: 50\ndata: {"), "%s", out);
    cr_expect_not_null(strstr(out, "id: 46\n"));
    cr_expect_null(strstr(out, "id: 45\n"));
    close(fd);
    cr_expect_eq(ask(r, GET("/healthz"), "", out, sizeof out), 200);
    stop(r);
}

static int nobody(void *v, struct poa_slice raw)
{
    (void)v;
    (void)raw;
    return POA_OK;
}

static int watch(const struct poa_rpc *r, const uint8_t (*account)[32], size_t n)
{
    char text[1024] = "GET /v1/events?topics=block", address[POA_ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < n; i++) {
        poa_address_to_text(account[i], address);
        strcat(strcat(text, "&account="), address);
    }
    strcat(text, " HTTP/1.1\r\n" HOST "\r\n");
    int fd = dial(r);
    put(fd, text, strlen(text));
    return fd;
}

static size_t times(const char *text, const char *what)
{
    size_t n = 0;
    while ((text = strstr(text, what)) != NULL) {
        text++;
        n++;
    }
    return n;
}

/* A transaction goes once to each reader that watches an account in it, and to no other. */
Test(server, transactions_go_to_who_watches)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[3][65536];
    uint8_t want[3][3][32];
    int fd[3];
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++)
            account_of(k == 2 ? 99 : 42 + i, want[i][k]); /* one of them twice */
    fake.pays = true;
    (void)fake_block_txs(NULL, 1, nobody, NULL); /* names the sender */
    memcpy(want[2][1], fake.sender, 32);
    for (size_t i = 0; i < 3; i++) {
        fd[i] = watch(r, (const uint8_t(*)[32])want[i], 3);
        cr_assert(get_until(fd[i], out[i], sizeof out[i], "event: block\nid: 41\n"));
    }
    for (uint64_t tip = 42; tip <= 46; tip++)
        poa_rpc_tip(r, tip);
    /* Block 46 is told before its transaction. */
    static const char *const last[] = {"event: block\nid: 46\n", "event: block\nid: 46\n",
                                       "\"amount\":\"46\""};
    for (size_t i = 0; i < 3; i++)
        cr_assert(get_until(fd[i], out[i], sizeof out[i], last[i]));
    cr_expect_eq(times(out[0], "event: tx"), 1);
    cr_expect_eq(times(out[0], "\"amount\":\"42\""), 1);
    cr_expect_eq(times(out[1], "event: tx"), 1);
    cr_expect_eq(times(out[1], "\"amount\":\"43\""), 1);
    cr_expect_eq(times(out[2], "\"amount\":\"44\""), 1, "sender and payee, once all the same");
    cr_expect_eq(times(out[2], "\"amount\":\"45\""), 1);
    close(fd[0]);
    close(fd[2]);
    /* Who is gone is not looked for, who stays is. */
    cr_expect_eq(ask(r, GET("/healthz"), "", out[0], sizeof out[0]), 200);
    poa_rpc_tip(r, 47);
    cr_assert(get_until(fd[1], out[1], sizeof out[1], "event: block\nid: 47\n"));
    close(fd[1]);
    fake.pays = false;
    stop(r);
}

/* It costs the server a bounded backlog, and then its connection; others go on. */
Test(server, a_reader_that_does_not_read_is_dropped)
{
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    static char out[65536];
    static const char all[] = GET("/v1/events?topics=block,seal") "\r\n";
    int slow = dial(r);
    int small = 4096;
    setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    put(slow, all, sizeof all - 1);
    int fd = dial(r);
    put(fd, all, sizeof all - 1);
    cr_expect(get_until(fd, out, sizeof out, "event: seal\nid: 41\n"));
    /* Blocks of half a kilobyte in events: far more than sockets and backlog take. */
    uint64_t tip = 41;
    while (tip < BLOCKS) {
        char want[64];
        poa_rpc_tip(r, ++tip);
        snprintf(want, sizeof want, "event: seal\nid: %" PRIu64 "\n", tip);
        cr_assert(get_until(fd, out, sizeof out, want), "block %" PRIu64, tip);
    }
    static char rest[8 << 20];
    size_t n = get(slow, rest, sizeof rest, PATIENCE_MS);
    char last[64];
    snprintf(last, sizeof last, "id: %" PRIu64 "\n", tip);
    cr_expect(n < sizeof rest - 1);
    cr_expect_null(strstr(rest, last), "%zu bytes", n);
    close(slow);
    close(fd);
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
    return fake_read(ctx, table, key, n, out);
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

/* A client that goes away, or a server that stops, while a call is open. */
Test(server, open_calls_survive_their_client_and_the_server)
{
    struct poa_rpc_config c = {.port = 0};
    fake.hold = true;
    static const char call[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"],"
        "\"id\":1}";
    char text[512];
    int n = snprintf(text, sizeof text, POST "Content-Length: %zu\r\n\r\n%s", strlen(call), call);
    static char out[4096];
    for (int stopped = 0; stopped < 2; stopped++) {
        struct poa_rpc *r = start(&c);
        int fd = dial(r);
        put(fd, text, (size_t)n);
        for (int i = 0; i < PATIENCE_MS && __atomic_load_n(&fake.held, __ATOMIC_SEQ_CST) == NULL;
             i++)
            usleep(1000);
        struct poa_rpc_call *held = __atomic_exchange_n(&fake.held, NULL, __ATOMIC_SEQ_CST);
        cr_assert_not_null(held);
        if (stopped) {
            poa_rpc_stop(r);
            end_call(held);
            poa_rpc_free(r);
        } else {
            close(fd);
            usleep(20000);
            end_call(held);
            cr_expect_eq(ask(r, GET("/healthz"), "", out, sizeof out), 200);
            stop(r);
            fd = -1;
        }
        if (fd >= 0)
            close(fd);
    }
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

/* --- the client ---------------------------------------------------------------------------- */

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
    struct poa_rpc_load_config lc = {urls, 2, item, 500, 500, 5000, 100, 2000, 20};
    struct poa_rpc_load *load;
    struct poa_why why;
    cr_assert_eq(poa_rpc_load_start(&lc, &load, &why), POA_OK, "%s", why.text);
    struct poa_rpc_load_stats s;
    for (int i = 0; i < 2000 && !poa_rpc_load_stats(load, &s); i++)
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
    for (int i = 0; i < 2000 && !poa_rpc_load_stats(load, &s); i++)
        usleep(5000);
    cr_expect_eq(s.rejected, 500);
    cr_expect_eq(s.first_error, POA_E_TX_BALANCE);
    poa_rpc_load_free(load);
    stop(alive);
}
