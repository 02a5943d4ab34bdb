/* Requests of strangers to a node whose state is anything at all: every answer is
 * JSON-RPC 2.0, and every request is answered exactly once. */
#include "fuzz.h"
#include "poa_rpc_json.h"

/* Whatever the node has stored is the rest of the input. */
struct world {
    struct poa_slice bytes;
    int replies;
    struct poa_rpc_call *open[POA_RPC_BATCH_MAX];
    size_t opens;
};

static void world_status(void *ctx, struct poa_rpc_status *out)
{
    const struct world *w = ctx;
    memset(out, 0, sizeof *out);
    out->version = "fuzz";
    out->core.height = w->bytes.n;
    out->first_block_ms = POA_NEVER;
}
static int world_read(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                      struct poa_writer *out)
{
    const struct world *w = ctx;
    (void)key;
    FUZZ_CHECK(key_n <= 32);
    if (w->bytes.n % 3 == 0 && table != POA_STATE_GLOBAL)
        return POA_E_NOT_FOUND;
    poa_write(out, w->bytes.p, w->bytes.n);
    return POA_OK;
}
static int world_block(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out)
{
    static const struct poa_tx_result results[2] = {{.code = POA_OK},
                                                    {.code = POA_E_TX_NONCE_USED}};
    const struct world *w = ctx;
    (void)hash32;
    if (height > 1000)
        return POA_E_NOT_FOUND;
    size_t head = w->bytes.n < POA_HEADER_BYTES ? w->bytes.n : POA_HEADER_BYTES;
    out->header = poa_slice(w->bytes.p, head);
    out->body = out->cert = poa_slice(w->bytes.p + head, w->bytes.n - head);
    out->tx = results;
    out->txs = 2;
    return POA_OK;
}
static int world_tx(void *ctx, const uint8_t id32[32], struct poa_rpc_tx *out)
{
    const struct world *w = ctx;
    out->state = id32[0] & 1 ? POA_RPC_TX_FINAL : POA_RPC_TX_PENDING;
    out->code = -(int)id32[1];
    out->raw = w->bytes;
    return POA_OK;
}
static void keep(struct world *w, struct poa_rpc_call *call)
{
    FUZZ_CHECK(w->opens < POA_RPC_BATCH_MAX);
    w->open[w->opens++] = call;
}
static void world_submit(void *ctx, struct poa_slice raw, struct poa_rpc_call *call)
{
    FUZZ_CHECK(raw.n <= POA_TX_BYTES_MAX);
    keep(ctx, call);
}
static void world_faucet(void *ctx, const uint8_t address32[32], uint64_t amount,
                         struct poa_rpc_call *call)
{
    (void)address32;
    (void)amount;
    keep(ctx, call);
}
static void world_latency(void *ctx, struct poa_histogram *out)
{
    poa_histogram_add(out, ((const struct world *)ctx)->bytes.n);
}

static void check_one(const json_t *v)
{
    const char *version = json_string_value(json_object_get(v, "jsonrpc"));
    const json_t *error = json_object_get(v, "error"), *id = json_object_get(v, "id");
    FUZZ_CHECK(version != NULL && strcmp(version, "2.0") == 0);
    FUZZ_CHECK((error != NULL) != (json_object_get(v, "result") != NULL));
    FUZZ_CHECK(json_is_string(id) || json_is_number(id) || json_is_null(id));
    FUZZ_CHECK(error == NULL || (json_is_integer(json_object_get(error, "code")) &&
                                 json_is_string(json_object_get(error, "message"))));
}
static void on_reply(void *ctx, const char *text, size_t n)
{
    ((struct world *)ctx)->replies++;
    if (text == NULL)
        return;
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(v != NULL);
    FUZZ_CHECK(!json_is_array(v) || json_array_size(v) > 0);
    for (size_t i = 0; i < json_array_size(v); i++)
        check_one(json_array_get(v, i));
    if (!json_is_array(v))
        check_one(v);
    json_decref(v);
}
static void no_wake(void *ctx)
{
    (void)ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    struct poa_slice request = fuzz_chunk(&in);
    struct world w = {.bytes = {in.p, in.n < 6000 ? in.n : 6000}};
    struct poa_rpc_backend backend = {.ctx = &w,
                                      .status = world_status,
                                      .read = world_read,
                                      .block = world_block,
                                      .tx = world_tx,
                                      .submit = world_submit,
                                      .faucet = world_faucet,
                                      .latency = world_latency};
    struct poa_rpc_node node = {.backend = &backend, .genesis = w.bytes};
    struct poa_rpc_inbox *box = poa_rpc_inbox_new(no_wake, NULL);
    FUZZ_CHECK(box != NULL);
    uint8_t *text = fuzz_copy(request.p, request.n);
    poa_rpc_dispatch(&poa_rpc_node_methods, &node, box, (const char *)text, request.n, on_reply,
                     &w);
    free(text);
    FUZZ_CHECK(w.replies == (w.opens == 0));
    uint8_t id[32] = {flags};
    if (flags & 1)
        poa_rpc_inbox_close(box); /* the server stops first */
    for (size_t i = w.opens; i-- > 0;)
        poa_rpc_done(w.open[i], flags & 2 ? POA_E_TX_BALANCE : POA_OK, flags & 4 ? id : NULL);
    poa_rpc_inbox_drain(box);
    FUZZ_CHECK(w.replies == (w.opens == 0 || !(flags & 1)));
    poa_rpc_inbox_close(box);
    poa_rpc_inbox_free(box);
    return 0;
}

static void seed(const char *name, uint8_t flags, const char *request, struct poa_slice world)
{
    static uint8_t buffer[16384];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write_u8(&w, flags);
    fuzz_put_chunk(&w, poa_slice(request, strlen(request)));
    poa_write(&w, world.p, world.n);
    fuzz_seed(name, buffer, w.n);
}

/* A parameter of TYPE as a stranger would write it. */
static const char *sample(const char *type)
{
    if (strncmp(type, "hash", 4) == 0)
        return "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"";
    if (strncmp(type, "bytes", 5) == 0)
        return "\"00ff\"";
    if (strncmp(type, "address", 7) == 0) {
        static char text[POA_ADDRESS_TEXT_BYTES + 2];
        static const uint8_t zero[32];
        text[0] = '"';
        poa_address_to_text(zero, text + 1);
        strcat(text, "\"");
        return text;
    }
    return "7";
}

void fuzz_seeds(void)
{
    uint8_t world[1024];
    memset(world, 1, sizeof world);
    for (size_t i = 0; i < poa_rpc_node_methods.n; i++) {
        const struct poa_rpc_method *m = &poa_rpc_node_methods.method[i];
        char request[1024], params[700] = "", name[64];
        for (const char *p = m->params; *p != 0;) {
            const char *type = strchr(p, ':') + 1;
            /* Optional ones one after another: block_get wants one of two. */
            if (type[strcspn(type, " ?")] == '?' && params[0] != 0)
                break;
            size_t n = strlen(params);
            snprintf(params + n, sizeof params - n, "%s%s", n ? "," : "", sample(type));
            p = type + strcspn(type, " ");
            p += strspn(p, " ");
        }
        snprintf(request, sizeof request,
                 "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"%s\",\"params\":[%s]}", i, m->name,
                 params);
        snprintf(name, sizeof name, "%s", m->name);
        for (char *c = name; *c != 0; c++)
            if (*c == '.')
                *c = '-';
        seed(name, 4, request, poa_slice(world, 100 + i));
    }
    seed("batch", 5,
         "[{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"],\"id\":1},"
         "{\"jsonrpc\":\"2.0\",\"method\":\"poa_status\"},1]",
         poa_slice(world, 10));
    seed("notification", 2, "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"]}",
         poa_slice(world, 0));
}
