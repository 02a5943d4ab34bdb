/* Requests of strangers to a node whose state is anything at all, by POST and by GET: every
 * answer is JSON-RPC 2.0 or the body that goes with its status, names the request that it
 * answers, and every request is answered exactly once. */
#include "fuzz.h"
#include "poa_rpc_json.h"

/* Whatever the node has stored is the rest of the input. */
struct world {
    struct poa_slice bytes;
    int replies;
    struct poa_rpc_call *open[POA_RPC_BATCH_MAX];
    bool proof[POA_RPC_BATCH_MAX]; /* wants the bytes of one */
    size_t opens;
    size_t wanted; /* answers, of a batch */
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

/* Bytes of the world, malloc'ed, for calls that the node answers later or hands over. */
static uint8_t *some(const struct world *w, size_t *n)
{
    *n = w->bytes.n;
    return fuzz_copy(w->bytes.p, w->bytes.n);
}
static int world_run(void *ctx, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last)
{
    *bytes = some(ctx, n);
    *last = after;
    return POA_OK;
}
static int world_hand_over(void *ctx, uint32_t epoch, uint8_t **bytes, size_t *n, uint64_t *last)
{
    if (epoch > 10)
        return POA_E_NOT_FOUND;
    *bytes = some(ctx, n);
    *last = 7;
    return POA_OK;
}
static void world_prove(void *ctx, enum poa_state_table table, struct poa_slice key,
                        struct poa_rpc_call *call)
{
    struct world *w = ctx;
    (void)table;
    FUZZ_CHECK(key.n <= 255);
    FUZZ_CHECK(w->opens < POA_RPC_BATCH_MAX);
    w->proof[w->opens] = true;
    keep(w, call);
}
static size_t world_peers(void *ctx, struct poa_rpc_peer *out, size_t max)
{
    (void)ctx;
    (void)max;
    memset(out, 0, 2 * sizeof *out);
    out[0].role = out[1].role = "stranger";
    out[0].direction = out[1].direction = "none";
    out[0].reason = out[1].reason = out[0].trouble = out[1].trouble = "";
    out[1].has_key = true;
    return 2;
}
static int world_packs(void *ctx, struct poa_slice request, uint64_t from, uint32_t max,
                       int (*visit)(void *v, const struct poa_rpc_pack *pack), void *v,
                       uint64_t *count, uint64_t *next)
{
    const struct world *w = ctx;
    struct poa_rpc_pack p = {.number = from, .pack = w->bytes};
    FUZZ_CHECK(max > 0 && request.n <= 512);
    *count = 1000;
    for (uint32_t i = 0; i < 2 && i < max; i++, p.receipt = w->bytes)
        FUZZ_CHECK(visit(v, &p) == POA_OK);
    *next = from < 1000 ? from + 2 : from;
    return POA_OK;
}
static int world_presence(void *ctx, const uint8_t device32[32], uint64_t *since_ms, bool *shared)
{
    (void)ctx;
    *since_ms = device32[1];
    *shared = true;
    return device32[0] == 0 ? POA_E_NO_GATEWAY : device32[0] & 1 ? POA_OK : POA_E_NOT_FOUND;
}
static int world_audit(void *ctx, bool *conserved, uint64_t *height)
{
    *conserved = true;
    *height = ((const struct world *)ctx)->bytes.n;
    return POA_OK;
}

static void check_error(const json_t *error)
{
    FUZZ_CHECK(json_is_integer(json_object_get(error, "code")) &&
               json_is_string(json_object_get(error, "message")));
}
static void check_one(const json_t *v)
{
    const char *version = json_string_value(json_object_get(v, "jsonrpc"));
    const json_t *error = json_object_get(v, "error"), *id = json_object_get(v, "id");
    FUZZ_CHECK(version != NULL && strcmp(version, "2.0") == 0);
    FUZZ_CHECK((error != NULL) != (json_object_get(v, "result") != NULL));
    FUZZ_CHECK(json_is_string(id) || json_is_number(id) || json_is_null(id));
    if (error != NULL)
        check_error(error);
}
/* What a reader of VALUE's text has. */
static json_t *again(const json_t *value)
{
    char *text = json_dumps(value, POA_RPC_DUMP);
    FUZZ_CHECK(text != NULL);
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    return v;
}
static void on_get(void *ctx, json_t *result, json_t *error)
{
    const char *reason = NULL;
    ((struct world *)ctx)->replies++;
    FUZZ_CHECK((result == NULL) != (error == NULL));
    json_t *v = again(result != NULL ? result : error);
    FUZZ_CHECK(json_is_object(v) || json_is_array(v));
    if (error != NULL) {
        check_error(v);
        int status = poa_rpc_http_status(v, &reason);
        FUZZ_CHECK(status >= 400 && status < 600 && reason != NULL);
    }
    json_decref(v);
}
/* Those of REQUEST that want an answer, when it is JSON; a request that is none wants one. */
static size_t wanted(const char *text, size_t n)
{
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    size_t calls = json_is_array(v) ? json_array_size(v) : 0, count = 0;
    if (calls == 0 || calls > POA_RPC_BATCH_MAX)
        calls = 0;
    for (size_t i = 0; i < calls; i++) {
        const json_t *one = json_array_get(v, i), *name = json_object_get(one, "method");
        const json_t *params = json_object_get(one, "params");
        const char *version = json_string_value(json_object_get(one, "jsonrpc"));
        bool valid = json_is_object(one) && version != NULL && strcmp(version, "2.0") == 0 &&
                     json_is_string(name) &&
                     (params == NULL || json_is_array(params) || json_is_object(params));
        count += !valid || json_object_get(one, "id") != NULL;
    }
    json_decref(v);
    return count;
}
static void on_reply(void *ctx, const char *text, size_t n)
{
    ((struct world *)ctx)->replies++;
    if (text == NULL)
        return;
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(v != NULL);
    FUZZ_CHECK(!json_is_array(v) || json_array_size(v) > 0);
    FUZZ_CHECK(!json_is_array(v) || json_array_size(v) == ((struct world *)ctx)->wanted);
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

/* A single call that is answered with a result. */
struct kept {
    char *text;
    size_t n;
};
static void on_kept(void *ctx, const char *text, size_t n)
{
    static const char fine[] = "{\"jsonrpc\":\"2.0\",\"result\"";
    struct kept *k = ctx;
    if (text != NULL && n > sizeof fine && memcmp(text, fine, sizeof fine - 1) == 0) {
        k->text = (char *)fuzz_copy(text, n);
        k->n = n;
    }
}
/* What the server keeps of an answer: that of a request with another id is the same but for the
 * id at its end. */
static void ask_again(const struct poa_rpc_methods *methods, struct poa_rpc_node *node,
                      const char *text, size_t n)
{
    static const char other[] = "-424242";
    struct poa_slice id = poa_rpc_request_id(text, n);
    struct kept a = {NULL, 0}, b = {NULL, 0};
    struct poa_rpc_backend reads = *node->backend;
    struct poa_rpc_node same = *node;
    if (id.n == 0)
        return;
    FUZZ_CHECK(id.n <= POA_RPC_ID_MAX);
    reads.submit = NULL; /* nothing that is answered later is kept */
    reads.prove = NULL;
    reads.faucet = NULL;
    same.backend = &reads;
    size_t before = (size_t)((const char *)id.p - text), after = n - before - id.n;
    char *again = malloc(n + sizeof other);
    FUZZ_CHECK(again != NULL);
    memcpy(again, text, n);
    memcpy(again + before, other, sizeof other - 1);
    memcpy(again + before + sizeof other - 1, text + before + id.n, after);
    poa_rpc_dispatch(methods, &same, NULL, text, n, on_kept, &a);
    poa_rpc_dispatch(methods, &same, NULL, again, before + sizeof other - 1 + after, on_kept, &b);
    FUZZ_CHECK((a.text == NULL) == (b.text == NULL));
    if (a.text != NULL) {
        size_t same_n = a.n - id.n - 1;
        FUZZ_CHECK(a.n > id.n + 1 && b.n == same_n + sizeof other);
        FUZZ_CHECK(memcmp(a.text, b.text, same_n) == 0);
        FUZZ_CHECK(memcmp(a.text + same_n, id.p, id.n) == 0 && a.text[a.n - 1] == '}');
        FUZZ_CHECK(memcmp(b.text + same_n, "-424242}", sizeof other) == 0);
    }
    free(again);
    free(a.text);
    free(b.text);
}

/* REQUEST is "/v1/path?query" when FLAGS say GET, else the body of a POST. */
static void ask(struct world *w, uint8_t flags, struct poa_slice request, struct poa_rpc_node *node,
                struct poa_rpc_inbox *box)
{
    struct poa_rpc_methods methods = poa_rpc_node_methods;
    enum poa_rpc_keep keep = POA_RPC_STATE;
    methods.keep = &keep;
    methods.limited = (flags & 16) != 0;
    methods.has = POA_RPC_READ;
    if ((flags & 8) == 0) {
        char *text = (char *)fuzz_copy(request.p, request.n);
        w->wanted = wanted(text, request.n);
        poa_rpc_dispatch(&methods, node, box, text, request.n, on_reply, w);
        ask_again(&methods, node, text, request.n);
        free(text);
        return;
    }
    char *path = strndup((const char *)request.p, request.n);
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = 0;
    if (strcmp(path, "/v1") == 0 || strncmp(path, "/v1/", 4) == 0)
        poa_rpc_get(&methods, node, box, path, query, on_get, w);
    else
        w->replies++; /* the server has other pages there, or none */
    free(path);
}

static void end(struct world *w, size_t i, uint8_t flags)
{
    uint8_t id[32] = {flags};
    int code = flags & 2 ? POA_E_TX_BALANCE : POA_OK;
    size_t n = 0;
    if (!w->proof[i])
        poa_rpc_done(w->open[i], code, flags & 4 ? id : NULL);
    else if (code != POA_OK)
        poa_rpc_done_bytes(w->open[i], code, NULL, 0);
    else {
        uint8_t *bytes = some(w, &n);
        poa_rpc_done_bytes(w->open[i], code, bytes, n);
    }
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
                                      .run = world_run,
                                      .hand_over = world_hand_over,
                                      .tx = world_tx,
                                      .submit = world_submit,
                                      .prove = world_prove,
                                      .faucet = world_faucet,
                                      .latency = world_latency,
                                      .peers = world_peers,
                                      .packs = world_packs,
                                      .presence = world_presence,
                                      .audit = world_audit};
    struct poa_rpc_node node = {.backend = &backend, .genesis = w.bytes};
    struct poa_rpc_inbox *box = poa_rpc_inbox_new(no_wake, NULL);
    FUZZ_CHECK(box != NULL);
    ask(&w, flags, request, &node, box);
    FUZZ_CHECK(w.replies == (w.opens == 0));
    if (flags & 1)
        poa_rpc_inbox_close(box); /* the server stops first */
    for (size_t i = w.opens; i-- > 0;)
        end(&w, i, flags);
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

/* By GET: paths, queries, what is escaped, what there is not. */
static const char *const gets[] = {
    "/v1",
    "/v1/status",
    "/v1/block/7",
    "/v1/block?hash=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "/v1/block/7/8",
    "/v1/devices?from=1&limit=0",
    "/v1/witnesses?limit=%32",
    "/v1/account/poa1x?proof=true&asset=1",
    "/v1/asset/1?proof=true",
    "/v1/proof/account/00ff",
    "/v1/packs/00ff?from=1",
    "/v1/handover/1",
    "/v1/chain/7",
    "/v1/%74x/%ff%00",
    "/v1/peers?",
    "/v1/supply_audit?=&&",
    "/v1/tx_send/00",
    "/v1/no/such",
};

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
    seed("id-last", 0,
         " {\"jsonrpc\":\"2.0\",\"params\":{\"id\":[]},\"method\":\"poa_status\",\"id\" : 77 }",
         poa_slice(world, 5));
    seed("id-within", 0,
         "{\"jsonrpc\":\"2.0\",\"x\":{\"id\":5},\"method\":\"poa_status\",\"\\u0069d\":\"7\"}",
         poa_slice(world, 5));
    seed("id-in-text", 0,
         "{\"jsonrpc\":\"2.0\",\"x\":\"\\\"id\\\":1\",\"method\":\"poa_status\",\"id\":-1}",
         poa_slice(world, 5));
    for (size_t i = 0; i < sizeof gets / sizeof gets[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "get-%zu", i);
        seed(name, (uint8_t)(8 + 4 * (i % 2) + 16 * (i % 3 == 0)), gets[i],
             poa_slice(world, 100 + i));
    }
    seed("batch", 5,
         "[{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"],\"id\":1},"
         "{\"jsonrpc\":\"2.0\",\"method\":\"poa_status\"},1]",
         poa_slice(world, 10));
    seed("notification", 2, "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"00\"]}",
         poa_slice(world, 0));
}
