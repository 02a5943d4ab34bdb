/* The dispatcher against the specification's examples, bad parameters, garbage,
 * and calls that end later and elsewhere. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"
#include "spec_examples.h"

/* --- a method table as the examples assume --------------------------------------- */

static void subtract(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    poa_rpc_result(call, json_integer(json_integer_value(param[0]) - json_integer_value(param[1])));
}

static void sum(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    json_int_t total = 0;
    for (size_t i = 0; i < json_array_size(param[0]); i++)
        total += json_integer_value(json_array_get(param[0], i));
    poa_rpc_result(call, json_integer(total));
}

static void get_data(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    (void)param;
    poa_rpc_result(call, json_pack("[s, i]", "hello", 5));
}

static int notified;
static void notify(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    (void)param;
    notified++;
    poa_rpc_result(call, json_null());
}

static void refused(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    (void)param;
    poa_rpc_fail(call, POA_E_TX_NONCE_USED);
}

/* Answers what it was given, for the types of parameters. */
static void echo(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    poa_rpc_result(call, json_pack("[O?, O?, O?, O?]", param[0], param[1], param[2], param[3]));
}

static struct poa_rpc_call *kept[16];
static size_t kept_n;
static void finish(struct poa_rpc_call *call, int code, const uint8_t *id32)
{
    if (code != POA_OK)
        poa_rpc_fail(call, code);
    else
        poa_rpc_result(call, poa_json_hex(id32, 32));
}
static void later(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    (void)ctx;
    (void)param;
    poa_rpc_defer(call, finish);
    kept[kept_n++] = call;
}

static const struct poa_rpc_method table[] = {
    {"subtract", "minuend:any subtrahend:any", subtract, "a - b", POA_RPC_READ, POA_RPC_FRESH},
    {"sum", "*", sum, "adds", POA_RPC_READ, POA_RPC_FRESH},
    {"get_data", "", get_data, "data", POA_RPC_READ, POA_RPC_FRESH},
    {"update", "*", notify, "", POA_RPC_SUBMIT, POA_RPC_FRESH},
    {"notify_hello", "*", notify, "", POA_RPC_READ, POA_RPC_FRESH},
    {"notify_sum", "*", notify, "", POA_RPC_READ, POA_RPC_FRESH},
    {"refused", "", refused, "", POA_RPC_READ, POA_RPC_FRESH},
    {"echo", "n:u32 big:u64? id:hash? to:address?", echo, "", POA_RPC_READ, POA_RPC_FRESH},
    {"bytes", "raw:bytes flag:bool? name:text?", echo, "", POA_RPC_READ, POA_RPC_FRESH},
    {"later", "", later, "", POA_RPC_READ, POA_RPC_FRESH},
};
static const struct poa_rpc_methods methods = {.method = table,
                                               .n = sizeof table / sizeof table[0]};

/* --- help ---------------------------------------------------------------------------- */

struct reply {
    int calls;
    bool nothing;
    json_t *value;
};
static void take(void *ctx, const char *text, size_t n)
{
    struct reply *r = ctx;
    r->calls++;
    r->nothing = text == NULL;
    if (text != NULL) {
        r->value = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(r->value, "not JSON: %.*s", (int)n, text);
    }
}

static struct reply ask_bytes(const char *text, size_t n, struct poa_rpc_inbox *box)
{
    struct reply r = {0, false, NULL};
    poa_rpc_dispatch(&methods, NULL, box, text, n, take, &r);
    return r;
}

static json_t *ask(const char *text)
{
    struct reply r = ask_bytes(text, strlen(text), NULL);
    cr_assert_eq(r.calls, 1, "%s: replied %d times", text, r.calls);
    return r.value;
}

static int code_of(json_t *v)
{
    return (int)json_integer_value(json_object_get(json_object_get(v, "error"), "code"));
}

/* Batches may be answered in any order. */
static bool same(json_t *want, json_t *got)
{
    if (!json_is_array(want))
        return json_equal(want, got);
    if (!json_is_array(got) || json_array_size(want) != json_array_size(got))
        return false;
    json_t *left = json_copy(got);
    for (size_t i = 0; i < json_array_size(want); i++) {
        size_t k = 0;
        while (k < json_array_size(left) &&
               !json_equal(json_array_get(want, i), json_array_get(left, k)))
            k++;
        if (k == json_array_size(left)) {
            json_decref(left);
            return false;
        }
        json_array_remove(left, k);
    }
    json_decref(left);
    return true;
}

/* --- the specification ------------------------------------------------------------------- */

Test(dispatch, specification_examples)
{
    for (size_t i = 0; i < sizeof spec_examples / sizeof spec_examples[0]; i++) {
        json_t *got = ask(spec_examples[i].request);
        if (spec_examples[i].response == NULL) {
            cr_expect_null(got, "%s: something was sent back", spec_examples[i].name);
        } else {
            json_t *want = json_loads(spec_examples[i].response, 0, NULL);
            char *text = json_dumps(got, JSON_COMPACT);
            cr_assert_not_null(want);
            cr_expect(same(want, got), "%s: got %s", spec_examples[i].name, text);
            free(text);
            json_decref(want);
        }
        json_decref(got);
    }
    cr_expect_eq(notified, 4);
}

Test(dispatch, a_caller_with_fewer_rights)
{
    struct poa_rpc_methods limited = methods;
    limited.limited = true;
    static const char text[] =
        "[{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42, 23], \"id\": 1},"
        "{\"jsonrpc\": \"2.0\", \"method\": \"update\", \"id\": 2}]";
    for (int right = POA_RPC_READ; right <= POA_RPC_SUBMIT; right++) {
        struct reply r = {0, false, NULL};
        limited.has = (enum poa_rpc_right)right;
        poa_rpc_dispatch(&limited, NULL, NULL, text, strlen(text), take, &r);
        const char *name = json_string_value(json_object_get(
            json_object_get(json_object_get(json_array_get(r.value, 1), "error"), "data"), "name"));
        cr_expect_not_null(json_object_get(json_array_get(r.value, 0), "result"));
        if (right == POA_RPC_READ)
            cr_expect_str_eq(name ? name : "", "FORBIDDEN");
        else
            cr_expect_null(name);
        json_decref(r.value);
    }
}

Test(dispatch, invalid_requests)
{
    static const char *const requests[] = {
        "1",
        "\"text\"",
        "null",
        "{}",
        "{\"jsonrpc\":\"1.0\",\"method\":\"sum\",\"id\":1}",
        "{\"method\":\"sum\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":5,\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"params\":null,\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":[1]}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":true}",
        "{\"jsonrpc\":2.0,\"method\":\"sum\",\"id\":1}",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        json_t *v = ask(requests[i]);
        cr_expect_eq(code_of(v), POA_RPC_INVALID_REQUEST, "%s", requests[i]);
        json_decref(v);
    }
}

Test(dispatch, ids_come_back_as_they_were)
{
    static const char *const ids[] = {"1", "-7", "\"x\"", "null", "1.5", "9007199254740993"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"get_data\",\"id\":%s}",
                 ids[i]);
        json_t *v = ask(text);
        json_t *want = json_loads(ids[i], JSON_DECODE_ANY, NULL);
        cr_expect(json_equal(want, json_object_get(v, "id")), "%s", ids[i]);
        cr_expect_not_null(json_object_get(v, "result"));
        json_decref(want);
        json_decref(v);
    }
}

Test(dispatch, what_is_not_json)
{
    static const char *const texts[] = {
        "",
        "{",
        "]",
        "{}{}",
        "{\"a\":1,\"a\":2}",
        "[1,]",
        "nul",
        "\"\\u0000\"",
        "\"\xff\"",
        "{\"jsonrpc\":\"2.0\",\"method\":\"sum\",\"id\":99999999999999999999999}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *v = ask(texts[i]);
        int code = code_of(v);
        cr_expect(code == POA_RPC_PARSE || code == POA_RPC_INVALID_REQUEST, "%s: %d", texts[i],
                  code);
        cr_expect(json_is_null(json_object_get(v, "id")));
        json_decref(v);
    }
    /* Nesting ends long before the stack does. */
    size_t n = 200000;
    char *deep = malloc(n);
    memset(deep, '[', n);
    struct reply r = ask_bytes(deep, n, NULL);
    cr_expect_eq(code_of(r.value), POA_RPC_PARSE);
    json_decref(r.value);
    free(deep);
}

Test(dispatch, batch_limit)
{
    size_t cap = 32 * (POA_RPC_BATCH_MAX + 2), n = 0;
    char *text = malloc(cap);
    text[n++] = '[';
    for (int i = 0; i <= POA_RPC_BATCH_MAX; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s1", i ? "," : "");
    text[n++] = ']';
    struct reply r = ask_bytes(text, n, NULL);
    cr_expect(json_is_object(r.value));
    cr_expect_eq(code_of(r.value), POA_RPC_INVALID_REQUEST);
    json_decref(r.value);
    free(text);
}

/* Each answer repeats a megabyte: those past the limit are errors, with their ids. */
Test(dispatch, batch_answers_are_bounded)
{
    const size_t one = 1 << 20;
    const int calls = 20;
    char *text = malloc((one + 128) * (size_t)calls), *p = text;
    *p++ = '[';
    for (int i = 0; i < calls; i++) {
        p += sprintf(
            p, "%s{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"bytes\",\"params\":[\"00\",true,\"",
            i ? "," : "", i);
        memset(p, 'x', one);
        p += one;
        p += sprintf(p, "\"]}");
    }
    *p++ = ']';
    struct reply r = ask_bytes(text, (size_t)(p - text), NULL);
    cr_assert_eq(json_array_size(r.value), (size_t)calls);
    int refused_calls = 0;
    for (int i = 0; i < calls; i++) {
        const json_t *a = json_array_get(r.value, (size_t)i);
        cr_expect_eq(json_integer_value(json_object_get(a, "id")), i);
        refused_calls += json_object_get(a, "error") != NULL;
    }
    cr_expect_eq(refused_calls, calls - 15);
    json_decref(r.value);
    free(text);
}

/* --- parameters and errors ------------------------------------------------------------------ */

Test(dispatch, parameters_are_checked)
{
    char address[POA_ADDRESS_TEXT_BYTES], good[512];
    static const uint8_t zero[32];
    poa_address_to_text(zero, address);
    snprintf(good, sizeof good,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"n\":7,\"big\":"
             "\"18446744073709551615\",\"id\":\"%064d\",\"to\":\"%s\"}}",
             0, address);
    json_t *v = ask(good);
    json_t *big = json_array_get(json_object_get(v, "result"), 1);
    cr_assert_eq(poa_rpc_u64(big, 0), UINT64_MAX);
    json_decref(v);

    static const char *const bad[] = {
        "echo\",\"params\":[]",
        "echo\",\"params\":[-1]",
        "echo\",\"params\":[4294967296]",
        "echo\",\"params\":[\"\"]",
        "echo\",\"params\":[\"01\"]",
        "echo\",\"params\":[\"1 \"]",
        "echo\",\"params\":[1.5]",
        "echo\",\"params\":[1,\"18446744073709551616\"]",
        "echo\",\"params\":[1,1,\"00\"]",
        "echo\",\"params\":[1,1,null,\"poa1qqqq\"]",
        "echo\",\"params\":[1,1,null,7]",
        "echo\",\"params\":[1,1,null,null,1]",
        "echo\",\"params\":{\"n\":1,\"other\":2}",
        "echo\",\"params\":{\"m\":1}",
        "bytes\",\"params\":[\"abc\"]",
        "bytes\",\"params\":[\"zz\"]",
        "bytes\",\"params\":[\"00\",1]",
        "bytes\",\"params\":[\"00\",true,1]",
        "get_data\",\"params\":[1]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s}", bad[i]);
        v = ask(text);
        cr_expect_eq(code_of(v), POA_RPC_BAD_PARAMS, "%s", bad[i]);
        cr_expect(json_is_string(json_object_get(json_object_get(v, "error"), "data")), "%s",
                  bad[i]);
        json_decref(v);
    }
}

Test(dispatch, application_errors_carry_their_number)
{
    json_t *v = ask("{\"jsonrpc\":\"2.0\",\"method\":\"refused\",\"id\":1}");
    json_t *error = json_object_get(v, "error");
    json_t *data = json_object_get(error, "data");
    cr_expect_eq(code_of(v), POA_RPC_APPLICATION);
    cr_expect_eq(json_integer_value(json_object_get(data, "code")), 203);
    cr_expect_str_eq(json_string_value(json_object_get(data, "name")), "TX_NONCE_USED");
    cr_expect_str_eq(json_string_value(json_object_get(error, "message")),
                     poa_error_text(POA_E_TX_NONCE_USED));
    json_decref(v);
}

/* --- calls that end later ------------------------------------------------------------------ */

static void wake(void *ctx)
{
    __atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
}

static void *end_all(void *arg)
{
    (void)arg;
    uint8_t id[32];
    memset(id, 0xab, sizeof id);
    for (size_t i = 0; i < kept_n; i++)
        poa_rpc_done(kept[i], i % 2 ? POA_E_TX_BALANCE : POA_OK, i % 2 ? NULL : id);
    return NULL;
}

static const char three[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"later\",\"id\":1},"
                            "{\"jsonrpc\":\"2.0\",\"method\":\"get_data\",\"id\":2},"
                            "{\"jsonrpc\":\"2.0\",\"method\":\"later\"},"
                            "{\"jsonrpc\":\"2.0\",\"method\":\"later\",\"id\":3}]";

Test(dispatch, batch_waits_for_calls_of_other_threads)
{
    int woken = 0;
    struct poa_rpc_inbox *box = poa_rpc_inbox_new(wake, &woken);
    struct reply r = {0, false, NULL};
    poa_rpc_dispatch(&methods, NULL, box, three, strlen(three), take, &r);
    cr_assert_eq(r.calls, 0);
    cr_assert_eq(kept_n, 3);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, end_all, NULL), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(woken, 1); /* once until it is drained */
    cr_assert_eq(r.calls, 0);
    poa_rpc_inbox_drain(box);
    cr_assert_eq(r.calls, 1);
    cr_expect_eq(json_array_size(r.value), 3);
    json_decref(r.value);
    poa_rpc_inbox_close(box);
    poa_rpc_inbox_free(box);
}

Test(dispatch, closed_inbox_drops_answers)
{
    int woken = 0;
    struct poa_rpc_inbox *box = poa_rpc_inbox_new(wake, &woken);
    struct reply r = {0, false, NULL};
    poa_rpc_dispatch(&methods, NULL, box, three, strlen(three), take, &r);
    cr_assert_eq(kept_n, 3);
    poa_rpc_done(kept[0], POA_OK, (const uint8_t[32]){0});
    poa_rpc_inbox_close(box);
    poa_rpc_done(kept[1], POA_OK, (const uint8_t[32]){0});
    poa_rpc_done(kept[2], POA_E_TIMEOUT, NULL);
    cr_expect_eq(r.calls, 0);
    cr_expect_eq(woken, 1);
    poa_rpc_inbox_free(box);
}

/* --- garbage ------------------------------------------------------------------------------- */

/* Mutations of good requests: every answer is JSON-RPC or nothing. */
Test(dispatch, mutated_requests)
{
    const char *print = getenv("POA_SEED");
    uint64_t seed = print != NULL ? strtoull(print, NULL, 0) : 0x9e3779b97f4a7c15u, s = seed;
    for (int round = 0; round < 20000; round++) {
        size_t pick = (size_t)(round % (int)(sizeof spec_examples / sizeof spec_examples[0]));
        char text[1024];
        size_t n = strlen(spec_examples[pick].request);
        memcpy(text, spec_examples[pick].request, n);
        for (int m = 0; m < 1 + round % 4; m++) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            size_t at = (size_t)(s % n);
            if (s >> 32 & 1)
                text[at] = (char)(s >> 40);
            else if (n > 2) {
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            }
        }
        struct reply r = ask_bytes(text, n, NULL);
        cr_assert_eq(r.calls, 1, "round %d: POA_SEED=%" PRIu64, round, seed);
        json_decref(r.value);
    }
}

Test(dispatch, openrpc_has_every_method)
{
    json_t *v = poa_rpc_openrpc(&poa_rpc_node_methods, "poa", "1");
    cr_assert_not_null(v);
    json_t *list = json_object_get(v, "methods");
    cr_expect_eq(json_array_size(list), poa_rpc_node_methods.n);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *m = json_array_get(list, i);
        cr_expect(json_string_length(json_object_get(m, "summary")) > 10);
        cr_expect(json_is_array(json_object_get(m, "params")));
    }
    json_decref(v);
}
