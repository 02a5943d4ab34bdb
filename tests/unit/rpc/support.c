#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a backend ----------------------------------------------------------------------- */

struct fake fake;

void *end_call(void *arg)
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
    out->join = fake.join;
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

static uint64_t fake_first(void *ctx)
{
    (void)ctx;
    return fake.first;
}

static int fake_block(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out)
{
    static uint8_t header_bytes[512], body_bytes[1024], seal_bytes[512];
    (void)ctx;
    if (hash32 != NULL || height > BLOCKS || height < fake.first)
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

void account_of(uint64_t height, uint8_t out32[32])
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

static size_t fake_peers(void *ctx, struct poa_rpc_peer *out, size_t max)
{
    (void)ctx;
    cr_assert(max >= fake.peers);
    if (fake.peers > 0)
        memcpy(out, fake.peer, fake.peers * sizeof *out);
    return fake.peers;
}

const struct poa_rpc_backend backend = {.status = fake_status,
                                        .read = fake_read,
                                        .block = fake_block,
                                        .first = fake_first,
                                        .block_txs = fake_block_txs,
                                        .submit = fake_submit,
                                        .peers = fake_peers,
                                        .latency = fake_latency};

/* --- help ---------------------------------------------------------------------------- */

struct poa_rpc *start(const struct poa_rpc_config *base)
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

void stop(struct poa_rpc *r)
{
    poa_rpc_stop(r);
    poa_rpc_free(r);
}

int dial_from(const struct poa_rpc *r, const char *from)
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

int dial(const struct poa_rpc *r)
{
    return dial_from(r, "127.0.0.1");
}

void put(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return; /* the server may close early: the answer tells */
        text += k;
        n -= (size_t)k;
    }
}

size_t get(int fd, char *out, size_t cap, int wait_ms)
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

bool get_until(int fd, char *out, size_t cap, const char *what)
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

int ask(const struct poa_rpc *r, const char *head, const char *body, char *out, size_t cap)
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
