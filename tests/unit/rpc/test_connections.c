/* Whose connections stay, and who watches what happens on one. */
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

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
Test(connections, idle_connections_make_room)
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
Test(connections, the_fullest_address_makes_room)
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
Test(connections, open_calls_keep_their_connection)
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

Test(connections, idle_connections_time_out)
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
Test(connections, events)
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
Test(connections, transactions_go_to_who_watches)
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
    (void)backend.block_txs(NULL, 1, nobody, NULL); /* names the sender */
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
Test(connections, a_reader_that_does_not_read_is_dropped)
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

/* A client that goes away, or a server that stops, while a call is open. */
Test(connections, open_calls_survive_their_client_and_the_server)
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
