/* The JSON-RPC 2.0 dispatcher.
 *
 * An exchange is one HTTP request: a call, or a batch of them. Calls end in any
 * order; the exchange is answered when the last one has. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

struct exchange {
    void (*reply)(void *ctx, const char *text, size_t n);
    void (*reply_value)(void *ctx, json_t *result, json_t *error); /* instead */
    void *reply_ctx;
    size_t open;
    bool batch, failed; /* FAILED: memory was short */
    /* The answer; of a batch in the order of completion, and not closed yet. */
    char *text;
    size_t n, cap;
    char small[800]; /* where TEXT begins: together a block that malloc has at hand */
};

struct poa_rpc_call {
    struct exchange *exchange;
    struct poa_rpc_inbox *box;
    json_t *id; /* NULL: notification */
    uint64_t who;
    void (*finish)(struct poa_rpc_call *call, int code, const uint8_t *id32);
    struct poa_rpc_call *next; /* in the inbox */
    int code;
    bool has_id32;
    uint8_t id32[32];
    uint8_t *bytes; /* malloc'ed */
    size_t bytes_n;
};

struct poa_rpc_inbox {
    pthread_mutex_t lock;
    struct poa_rpc_call *first, **last;
    bool closed;
    void (*wake)(void *ctx);
    void *ctx;
};

/* --- exchanges --------------------------------------------------------------------- */

static struct exchange *exchange_new(void *reply_ctx)
{
    struct exchange *x = malloc(sizeof *x);
    if (x == NULL)
        return NULL;
    memset(x, 0, offsetof(struct exchange, small));
    x->reply_ctx = reply_ctx;
    x->open = 1;
    x->text = x->small;
    x->cap = sizeof x->small;
    return x;
}

static void exchange_send(struct exchange *x)
{
    static const char short_of_memory[] =
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"Internal error\","
        "\"data\":\"out of memory\"},\"id\":null}";
    if (x->reply_value != NULL) /* told already */
        return;
    if (x->failed)
        x->reply(x->reply_ctx, short_of_memory, sizeof short_of_memory - 1);
    else if (x->n > 0)
        x->reply(x->reply_ctx, x->text, x->n);
    else
        /* "If there are no Response objects contained within the Response array as it
         * is to be sent to the client, the server MUST NOT return an empty Array and
         * should return nothing at all." */
        x->reply(x->reply_ctx, NULL, 0);
}

static void exchange_free(struct exchange *x)
{
    if (x->text != x->small)
        free(x->text);
    free(x);
}

/* N more bytes fit. */
static bool exchange_room(struct exchange *x, size_t n)
{
    size_t cap = x->cap;
    while (cap - x->n < n)
        cap *= 2;
    if (cap == x->cap)
        return true;
    char *text = realloc(x->text != x->small ? x->text : NULL, cap);
    if (text == NULL) {
        x->failed = true;
        return false;
    }
    if (x->text == x->small)
        memcpy(text, x->small, x->n);
    x->text = text;
    x->cap = cap;
    return true;
}

static void exchange_put(struct exchange *x, const char *text)
{
    size_t n = strlen(text);
    if (!exchange_room(x, n))
        return;
    memcpy(x->text + x->n, text, n);
    x->n += n;
}

static void exchange_put_json(struct exchange *x, const json_t *v)
{
    const size_t flags = POA_RPC_DUMP | JSON_ENCODE_ANY;
    size_t n = json_dumpb(v, x->text + x->n, x->cap - x->n, flags);
    if (n > x->cap - x->n) {
        if (!exchange_room(x, n))
            return;
        n = json_dumpb(v, x->text + x->n, x->cap - x->n, flags);
    }
    x->failed |= n == 0; /* what cannot be written: memory was short when it was made */
    x->n += n;
}

/* One part of X is done. */
static void exchange_close(struct exchange *x)
{
    if (--x->open > 0)
        return;
    if (x->batch && x->n > 0)
        exchange_put(x, "]");
    exchange_send(x);
    exchange_free(x);
}

static const char *code_text(enum poa_rpc_code code)
{
    switch (code) {
    case POA_RPC_PARSE:
        return "Parse error";
    case POA_RPC_INVALID_REQUEST:
        return "Invalid Request";
    case POA_RPC_NO_METHOD:
        return "Method not found";
    case POA_RPC_BAD_PARAMS:
        return "Invalid params";
    case POA_RPC_INTERNAL:
        return "Internal error";
    case POA_RPC_APPLICATION:
        return "Refused";
    }
    return "Internal error";
}

/* Takes DATA (may be NULL). */
static json_t *error_json(int code, const char *message, json_t *data)
{
    return json_pack("{s:i, s:s, s:o*}", "code", code, "message", message, "data", data);
}

/* RESULT or else ERROR, which are taken, for the request with ID (NULL: none can be told). */
static void exchange_put_answer(struct exchange *x, json_t *result, json_t *error, const json_t *id)
{
    if (x->batch)
        exchange_put(x, x->n > 0 ? "," : "[");
    exchange_put(x, "{\"jsonrpc\":\"2.0\",");
    exchange_put(x, result != NULL ? "\"result\":" : "\"error\":");
    exchange_put_json(x, result != NULL ? result : error);
    exchange_put(x, ",\"id\":");
    exchange_put_json(x, id != NULL ? id : json_null());
    exchange_put(x, "}");
}

/* A batch is answered as a whole, so what its answers take together is bounded: past that,
 * calls of it get an error instead. */
static void exchange_answer(struct exchange *x, json_t *result, json_t *error, const json_t *id)
{
    size_t before = x->n;
    if (x->reply_value != NULL)
        x->reply_value(x->reply_ctx, result, error);
    else
        exchange_put_answer(x, result, error, id);
    json_decref(result);
    json_decref(error);
    if (x->reply_value != NULL || !x->batch || x->n <= POA_RPC_ANSWERS_MAX)
        return;
    x->n = before;
    error = error_json(POA_RPC_APPLICATION, code_text(POA_RPC_APPLICATION),
                       json_string("the answers of this batch are too long together"));
    exchange_put_answer(x, NULL, error, id);
    json_decref(error);
}

static void exchange_refuse(struct exchange *x, enum poa_rpc_code code, json_t *data,
                            const json_t *id)
{
    exchange_answer(x, NULL, error_json(code, code_text(code), data), id);
}

/* --- calls --------------------------------------------------------------------------- */

/* Takes RESULT, or else ERROR. */
static void call_end(struct poa_rpc_call *call, json_t *result, json_t *error)
{
    struct exchange *x = call->exchange;
    if (call->id != NULL) { /* notifications get no answer, not even an error */
        exchange_answer(x, result, error, call->id);
    } else {
        json_decref(result);
        json_decref(error);
    }
    json_decref(call->id);
    free(call->bytes);
    free(call);
    exchange_close(x);
}

void poa_rpc_result(struct poa_rpc_call *call, json_t *result)
{
    if (result == NULL) {
        poa_rpc_refuse(call, POA_RPC_INTERNAL, "out of memory");
        return;
    }
    call_end(call, result, NULL);
}

static const char *class_name(enum poa_error_class class)
{
    switch (class) {
    case POA_CLASS_NONE:
        return "none";
    case POA_CLASS_CALLER:
        return "caller";
    case POA_CLASS_PEER:
        return "peer";
    case POA_CLASS_CORRUPT:
        return "corrupt";
    case POA_CLASS_RESOURCE:
        return "resource";
    case POA_CLASS_RETRY:
        return "retry";
    }
    return "none";
}

static void fail_with(struct poa_rpc_call *call, int error, const char *text)
{
    json_t *data = json_pack("{s:i, s:s, s:s}", "code", -error, "name", poa_error_name(error),
                             "class", class_name(poa_error_class(error)));
    call_end(call, NULL, error_json(POA_RPC_APPLICATION, text, data));
}

void poa_rpc_fail(struct poa_rpc_call *call, int error)
{
    fail_with(call, error, poa_error_text(error));
}

void poa_rpc_fail_why(struct poa_rpc_call *call, int error, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_with(call, error, text);
}

void poa_rpc_refuse(struct poa_rpc_call *call, enum poa_rpc_code code, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    call_end(call, NULL, error_json(code, code_text(code), json_string(text)));
}

void poa_rpc_defer(struct poa_rpc_call *call,
                   void (*finish)(struct poa_rpc_call *call, int code, const uint8_t *id32))
{
    call->finish = finish;
}

/* --- the inbox ------------------------------------------------------------------------- */

struct poa_rpc_inbox *poa_rpc_inbox_new(void (*wake)(void *ctx), void *ctx)
{
    struct poa_rpc_inbox *box = calloc(1, sizeof *box);
    if (box == NULL)
        return NULL;
    pthread_mutex_init(&box->lock, NULL);
    box->last = &box->first;
    box->wake = wake;
    box->ctx = ctx;
    return box;
}

/* CALL ends unanswered: the server is gone. */
static void call_drop(struct poa_rpc_call *call)
{
    struct exchange *x = call->exchange;
    json_decref(call->id);
    free(call->bytes);
    free(call);
    if (--x->open == 0)
        exchange_free(x);
}

uint64_t poa_rpc_who(const struct poa_rpc_call *call)
{
    return call->who;
}

struct poa_slice poa_rpc_bytes(const struct poa_rpc_call *call)
{
    return poa_slice(call->bytes, call->bytes_n);
}

static void call_ended(struct poa_rpc_call *call, int code)
{
    struct poa_rpc_inbox *box = call->box;
    POA_ASSERT(box != NULL && call->finish != NULL);
    call->code = code;
    call->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool wake = false;
    if (box->closed) {
        /* Under the lock: calls of one exchange may end in several threads. */
        call_drop(call);
    } else {
        wake = box->first == NULL;
        *box->last = call;
        box->last = &call->next;
    }
    /* Under the lock too: the server closes the box before it lets go of what
     * WAKE uses. */
    if (wake)
        box->wake(box->ctx);
    pthread_mutex_unlock(&box->lock);
}

void poa_rpc_done(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    call->has_id32 = id32 != NULL;
    if (id32 != NULL)
        memcpy(call->id32, id32, sizeof call->id32);
    call_ended(call, code);
}

void poa_rpc_done_bytes(struct poa_rpc_call *call, int code, uint8_t *bytes, size_t n)
{
    call->bytes = bytes;
    call->bytes_n = n;
    call_ended(call, code);
}

static struct poa_rpc_call *inbox_take(struct poa_rpc_inbox *box)
{
    struct poa_rpc_call *first = box->first;
    box->first = NULL;
    box->last = &box->first;
    return first;
}

void poa_rpc_inbox_drain(struct poa_rpc_inbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct poa_rpc_call *call = inbox_take(box);
    pthread_mutex_unlock(&box->lock);
    while (call != NULL) {
        struct poa_rpc_call *next = call->next;
        call->finish(call, call->code, call->has_id32 ? call->id32 : NULL);
        call = next;
    }
}

void poa_rpc_inbox_close(struct poa_rpc_inbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    struct poa_rpc_call *call = inbox_take(box);
    while (call != NULL) {
        struct poa_rpc_call *next = call->next;
        call_drop(call);
        call = next;
    }
    pthread_mutex_unlock(&box->lock);
}

void poa_rpc_inbox_free(struct poa_rpc_inbox *box)
{
    if (box == NULL)
        return;
    pthread_mutex_destroy(&box->lock);
    free(box);
}

/* --- parameters ------------------------------------------------------------------------- */

struct param {
    char name[32];
    char type[16];
    bool optional;
};

/* The rows of a table are constants, so a malformed one is our own defect. */
static size_t params_parse(const char *spec, struct param out[POA_RPC_PARAMS_MAX])
{
    size_t n = 0;
    while (*spec != 0) {
        size_t len = strcspn(spec, " ");
        const char *colon = memchr(spec, ':', len);
        POA_ASSERT(n < POA_RPC_PARAMS_MAX && colon != NULL);
        struct param *p = &out[n++];
        p->optional = spec[len - 1] == '?';
        size_t name_n = (size_t)(colon - spec);
        size_t type_n = len - name_n - 1 - (p->optional ? 1 : 0);
        POA_ASSERT(name_n < sizeof p->name && type_n < sizeof p->type);
        memcpy(p->name, spec, name_n);
        p->name[name_n] = 0;
        memcpy(p->type, colon + 1, type_n);
        p->type[type_n] = 0;
        spec += len;
        spec += strspn(spec, " ");
    }
    return n;
}

static bool integer_within(const json_t *v, uint64_t max)
{
    if (json_is_integer(v))
        return json_integer_value(v) >= 0 && (uint64_t)json_integer_value(v) <= max;
    const char *text = json_string_value(v);
    size_t n = json_string_length(v);
    if (text == NULL || n == 0 || n > 20 || strspn(text, "0123456789") != n ||
        (text[0] == '0' && n > 1))
        return false;
    uint64_t u = 0;
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(u, (uint64_t)10, &u) ||
            __builtin_add_overflow(u, (uint64_t)(text[i] - '0'), &u))
            return false;
    return u <= max;
}

static bool hex_digits(const json_t *v, size_t want)
{
    const char *text = json_string_value(v);
    size_t n = json_string_length(v);
    if (text == NULL || (want != 0 ? n != want : n % 2 != 0))
        return false;
    return strspn(text, "0123456789abcdefABCDEF") == n;
}

/* NULL when V has TYPE, else what it must be; of an address, what is wrong with it. */
static const char *type_fault(const char *type, const json_t *v)
{
    if (strcmp(type, "any") == 0)
        return NULL;
    if (strcmp(type, "u32") == 0)
        return integer_within(v, UINT32_MAX) ? NULL : "a number from 0 to 4294967295";
    if (strcmp(type, "u64") == 0)
        return integer_within(v, UINT64_MAX) ? NULL : "a number from 0 to 2^64-1, best as a string";
    if (strcmp(type, "hash") == 0)
        return hex_digits(v, 64) ? NULL : "64 hex digits";
    if (strcmp(type, "bytes") == 0)
        return hex_digits(v, 0) ? NULL : "an even number of hex digits";
    if (strcmp(type, "text") == 0)
        return json_is_string(v) ? NULL : "a string";
    if (strcmp(type, "bool") == 0)
        return json_is_boolean(v) ? NULL : "true or false";
    if (strcmp(type, "address") == 0) {
        const char *text = json_string_value(v);
        enum poa_address_fault fault;
        uint8_t address[32];
        if (text == NULL)
            return "an address is a string like poa1...";
        return poa_address_from_text(text, address, &fault) == POA_OK
                   ? NULL
                   : poa_address_fault_text(fault);
    }
    POA_ASSERT(!"a type of the method table");
    return NULL;
}

uint64_t poa_rpc_u64(const json_t *v, uint64_t absent)
{
    if (v == NULL)
        return absent;
    return json_is_integer(v) ? (uint64_t)json_integer_value(v)
                              : strtoull(json_string_value(v), NULL, 10);
}

/* Checked before a handler runs. */
void poa_rpc_hash(const json_t *v, uint8_t out32[32])
{
    int rc = poa_unhex(json_string_value(v), out32, 32);
    POA_ASSERT(rc == POA_OK);
}

void poa_rpc_address(const json_t *v, uint8_t out32[32])
{
    int rc = poa_address_from_text(json_string_value(v), out32, NULL);
    POA_ASSERT(rc == POA_OK);
}

/* Fills PARAM; false when the call was refused. */
static bool bind_params(const struct poa_rpc_method *m, json_t *given, json_t **param,
                        struct poa_rpc_call *call)
{
    if (strcmp(m->params, "*") == 0) {
        param[0] = given;
        return true;
    }
    struct param spec[POA_RPC_PARAMS_MAX];
    size_t n = params_parse(m->params, spec);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        param[i] =
            json_is_array(given) ? json_array_get(given, i) : json_object_get(given, spec[i].name);
        if (param[i] != NULL)
            used++;
        if (json_is_null(param[i]) && spec[i].optional)
            param[i] = NULL;
        if (param[i] == NULL) {
            if (spec[i].optional)
                continue;
            poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "%s needs the parameter %s (%s)", m->name,
                           spec[i].name, spec[i].type);
            return false;
        }
        const char *want = type_fault(spec[i].type, param[i]);
        if (want != NULL) {
            poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "%s: %s%s", spec[i].name,
                           strcmp(spec[i].type, "address") == 0 ? "" : "must be ", want);
            return false;
        }
    }
    size_t got = json_is_array(given) ? json_array_size(given) : json_object_size(given);
    if (got > used) {
        poa_rpc_refuse(call, POA_RPC_BAD_PARAMS, "%s takes: %s", m->name,
                       m->params[0] ? m->params : "no parameters");
        return false;
    }
    return true;
}

/* --- requests ----------------------------------------------------------------------------- */

static const struct poa_rpc_method *find(const struct poa_rpc_methods *methods, const char *name)
{
    for (size_t i = 0; i < methods->n; i++)
        if (strcmp(methods->method[i].name, name) == 0)
            return &methods->method[i];
    return NULL;
}

/* "id: An identifier established by the Client that MUST contain a String,
 * Number, or NULL value if included." */
static bool id_valid(const json_t *id)
{
    return id == NULL || json_is_string(id) || json_is_number(id) || json_is_null(id);
}

static void one(const struct poa_rpc_methods *methods, void *ctx, struct poa_rpc_inbox *box,
                struct exchange *x, json_t *request)
{
    json_t *id = json_object_get(request, "id");
    json_t *name = json_object_get(request, "method");
    json_t *params = json_object_get(request, "params");
    const char *version = json_string_value(json_object_get(request, "jsonrpc"));
    if (!json_is_object(request) || version == NULL || strcmp(version, "2.0") != 0 ||
        !json_is_string(name) || !id_valid(id) ||
        (params != NULL && !json_is_array(params) && !json_is_object(params))) {
        exchange_refuse(x, POA_RPC_INVALID_REQUEST, NULL,
                        json_is_object(request) && id_valid(id) ? id : NULL);
        exchange_close(x);
        return;
    }
    struct poa_rpc_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        exchange_refuse(x, POA_RPC_INTERNAL, NULL, id);
        exchange_close(x);
        return;
    }
    call->exchange = x;
    call->box = box;
    call->who = methods->who;
    call->id = json_incref(id);
    const struct poa_rpc_method *m = find(methods, json_string_value(name));
    if (m == NULL) {
        call_end(call, NULL, error_json(POA_RPC_NO_METHOD, code_text(POA_RPC_NO_METHOD), NULL));
        return;
    }
    if (methods->keep != NULL && m->keep < *methods->keep)
        *methods->keep = m->keep;
    if (methods->limited && m->right > methods->has) {
        poa_rpc_fail(call, POA_E_FORBIDDEN);
        return;
    }
    json_t *param[POA_RPC_PARAMS_MAX] = {NULL};
    if (bind_params(m, params, param, call))
        m->handler(ctx, param, call);
}

/* --- the id of a request that is not parsed yet ---------------------------------------------- */

/* The end of the string that begins at I with a quote. */
static size_t string_end(const char *text, size_t n, size_t i)
{
    for (i++; i < n && text[i] != '"'; i++)
        i += text[i] == '\\';
    return i < n ? i + 1 : n;
}

static size_t blank(const char *text, size_t n, size_t i)
{
    while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n'))
        i++;
    return i;
}

/* The length of the whole number at I, as it is written in one way only, and the member of an
 * object ends with it; 0: it is something else. */
static size_t number_at(const char *text, size_t n, size_t i)
{
    size_t k = i + (i < n && text[i] == '-'), first = k;
    while (k < n && text[k] >= '0' && text[k] <= '9')
        k++;
    size_t end = blank(text, n, k);
    bool plain = k > first && (text[first] != '0' || (k == first + 1 && first == i));
    bool ends = end < n && (text[end] == ',' || text[end] == '}');
    return plain && ends && k - i <= POA_RPC_ID_MAX ? k - i : 0;
}

struct poa_slice poa_rpc_request_id(const char *text, size_t n)
{
    struct poa_slice id = {NULL, 0};
    size_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '{' || text[i] == '[')
            depth++;
        else if (text[i] == '}' || text[i] == ']')
            depth--;
        if (text[i] != '"')
            continue;
        size_t end = string_end(text, n, i), colon = blank(text, n, end);
        if (depth == 1 && text[0] == '{' && colon < n && text[colon] == ':' && end - i == 4 &&
            memcmp(text + i, "\"id\"", 4) == 0) {
            size_t at = blank(text, n, colon + 1), digits = number_at(text, n, at);
            if (id.n > 0 || digits == 0)
                return poa_slice(NULL, 0);
            id = poa_slice((const uint8_t *)text + at, digits);
        }
        i = end - 1;
    }
    return id;
}

/* --- texts --------------------------------------------------------------------------------------
 */

/* Whether TEXT nests at most DEPTH deep, outside of strings: jansson recurses up
 * to 2,048 levels, and freeing does too. */
static bool shallow(const char *text, size_t n, unsigned depth)
{
    unsigned level = 0;
    bool string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '[' || c == '{') {
            if (++level > depth)
                return false;
        } else if ((c == ']' || c == '}') && level > 0) {
            level--;
        }
    }
    return true;
}

void poa_rpc_dispatch(const struct poa_rpc_methods *methods, void *ctx, struct poa_rpc_inbox *box,
                      const char *text, size_t n,
                      void (*reply)(void *reply_ctx, const char *text, size_t n), void *reply_ctx)
{
    struct exchange *x = exchange_new(reply_ctx);
    if (x == NULL) {
        reply(reply_ctx, NULL, 0);
        return;
    }
    x->reply = reply;
    json_t *request = shallow(text, n, POA_RPC_DEPTH_MAX)
                          ? json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL)
                          : NULL;
    size_t calls = json_array_size(request);
    if (request == NULL) {
        exchange_refuse(x, POA_RPC_PARSE, NULL, NULL);
        exchange_close(x);
    } else if (!json_is_array(request)) {
        one(methods, ctx, box, x, request);
    } else if (calls == 0 || calls > POA_RPC_BATCH_MAX) {
        json_t *why =
            calls > 0 ? json_sprintf("at most %d calls in a batch", POA_RPC_BATCH_MAX) : NULL;
        exchange_refuse(x, POA_RPC_INVALID_REQUEST, why, NULL);
        exchange_close(x);
    } else {
        x->batch = true;
        x->open = calls;
        for (size_t i = 0; i < calls; i++)
            one(methods, ctx, box, x, json_array_get(request, i));
    }
    json_decref(request);
}

void poa_rpc_call_method(const struct poa_rpc_methods *methods, void *ctx,
                         struct poa_rpc_inbox *box, const char *method, json_t *params,
                         void (*reply)(void *reply_ctx, json_t *result, json_t *error),
                         void *reply_ctx)
{
    struct exchange *x = exchange_new(reply_ctx);
    json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 0, "method", method,
                                "params", params);
    if (x == NULL || request == NULL) {
        free(x);
        reply(reply_ctx, NULL, NULL);
    } else {
        x->reply_value = reply;
        one(methods, ctx, box, x, request);
    }
    json_decref(request);
}

/* --- OpenRPC ------------------------------------------------------------------------------ */

static json_t *schema(const char *type)
{
    if (strcmp(type, "any") == 0)
        return json_object();
    if (strcmp(type, "u32") == 0)
        return json_pack("{s:s, s:i, s:I}", "type", "integer", "minimum", 0, "maximum",
                         (json_int_t)UINT32_MAX);
    if (strcmp(type, "u64") == 0)
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^(0|[1-9][0-9]{0,19})$");
    if (strcmp(type, "hash") == 0)
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9a-fA-F]{64}$");
    if (strcmp(type, "bytes") == 0)
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^([0-9a-fA-F]{2})*$");
    if (strcmp(type, "bool") == 0)
        return json_pack("{s:s}", "type", "boolean");
    if (strcmp(type, "address") == 0)
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^poa1[02-9ac-hj-np-z]{58}$");
    return json_pack("{s:s}", "type", "string");
}

json_t *poa_rpc_openrpc(const struct poa_rpc_methods *methods, const char *title,
                        const char *version)
{
    json_t *list = json_array();
    for (size_t i = 0; i < methods->n; i++) {
        const struct poa_rpc_method *m = &methods->method[i];
        json_t *params = json_array();
        struct param spec[POA_RPC_PARAMS_MAX];
        size_t n = strcmp(m->params, "*") == 0 ? 0 : params_parse(m->params, spec);
        for (size_t k = 0; k < n; k++)
            json_array_append_new(params,
                                  json_pack("{s:s, s:b, s:o}", "name", spec[k].name, "required",
                                            !spec[k].optional, "schema", schema(spec[k].type)));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:{s:s, s:{}}}", "name", m->name,
                                              "summary", m->help, "params", params, "result",
                                              "name", "result", "schema"));
    }
    return json_pack("{s:s, s:{s:s, s:s}, s:o}", "openrpc", "1.2.6", "info", "title", title,
                     "version", version, "methods", list);
}
