/* Reads as plain GET: /v1/account/poa1... is poa_account_get. Everything follows from the
 * method table: `poa_X_get`, `poa_X_list` and the like are /v1/X, parts of the path are
 * parameters in their order, and the query has them by name. */
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

/* Methods that change nothing, by their last word; what follows it is not in the path. */
static const char *const endings[] = {"_get", "_list"};
static const char *const others[] = {"poa_status", "poa_supply_audit"};

/* "account" for poa_account_get; 0: not a read. */
static size_t resource(const char *method, const char **start)
{
    size_t n = strlen(method);
    if (n <= 4 || strncmp(method, "poa_", 4) != 0)
        return 0;
    *start = method + 4;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t end = strlen(endings[i]);
        if (n > 4 + end && strcmp(method + n - end, endings[i]) == 0)
            return n - 4 - end;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(method, others[i]) == 0)
            return n - 4;
    return 0;
}

static const struct poa_rpc_method *find(const struct poa_rpc_methods *all, const char *name,
                                         size_t n)
{
    const char *start = NULL;
    for (size_t i = 0; i < all->n; i++)
        if (resource(all->method[i].name, &start) == n && n > 0 && memcmp(start, name, n) == 0)
            return &all->method[i];
    return NULL;
}

/* Name of the I-th parameter of M, and whether it is a bool; NULL: it has fewer. */
static const char *parameter(const struct poa_rpc_method *m, size_t i, char name[64], bool *is_bool)
{
    const char *at = m->params;
    while (i > 0 && *at != 0) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
        i--;
    }
    size_t n = strcspn(at, ":");
    if (at[0] == 0 || at[n] == 0 || n >= 64)
        return NULL;
    memcpy(name, at, n);
    name[n] = 0;
    *is_bool = strncmp(at + n, ":bool", 5) == 0;
    return name;
}

static json_t *value_of(const char *text, bool is_bool)
{
    if (is_bool && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || text[0] == 0))
        return json_true();
    if (is_bool && (strcmp(text, "false") == 0 || strcmp(text, "0") == 0))
        return json_false();
    json_t *v = json_string(text);
    return v != NULL ? v : json_null(); /* not UTF-8 */
}

/* False: it was there already, and nobody can say which one counts. */
static bool set_once(json_t *params, const char *name, json_t *value)
{
    bool new = json_object_get(params, name) == NULL;
    json_object_set_new(params, name, value);
    return new;
}

/* PARTS: what follows the resource in the path; it is cut up. NULL: something is there
 * twice. */
static json_t *params_of(const struct poa_rpc_method *m, char *parts, const struct evkeyvalq *query)
{
    json_t *params = json_object();
    char name[64];
    bool is_bool = false, once = true;
    char *rest = NULL;
    size_t i = 0;
    for (char *part = strtok_r(parts, "/", &rest); part != NULL;
         part = strtok_r(NULL, "/", &rest), i++)
        once &= set_once(params, parameter(m, i, name, &is_bool) ? name : part,
                         value_of(part, is_bool));
    for (const struct evkeyval *kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
        size_t k = 0;
        is_bool = false;
        while (parameter(m, k, name, &is_bool) != NULL && strcmp(name, kv->key) != 0)
            k++;
        once &= set_once(params, kv->key, value_of(kv->value, is_bool));
    }
    if (once)
        return params;
    json_decref(params);
    return NULL;
}

/* --- answers -------------------------------------------------------------------------- */

int poa_rpc_http_status(const json_t *error, const char **reason)
{
    const json_t *data = json_object_get(error, "data");
    const char *name = json_string_value(json_object_get(data, "name"));
    const char *class = json_string_value(json_object_get(data, "class"));
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    int status = 422;
    if (code == POA_RPC_BAD_PARAMS)
        status = 400;
    else if (code == POA_RPC_NO_METHOD)
        status = 404;
    else if (code == POA_RPC_INTERNAL || error == NULL)
        status = 500;
    else if (name != NULL &&
             (strcmp(name, "NOT_FOUND") == 0 || strcmp(name, "DEVICE_UNKNOWN") == 0))
        status = 404;
    else if (name != NULL && strcmp(name, "FORBIDDEN") == 0)
        status = 403;
    else if (name != NULL && (strcmp(name, "UNSUPPORTED") == 0 || strcmp(name, "NO_GATEWAY") == 0))
        status = 501;
    else if (class != NULL && (strcmp(class, "retry") == 0 || strcmp(class, "resource") == 0))
        status = 503;
    *reason = status == 400   ? "Bad Request"
              : status == 403 ? "Forbidden"
              : status == 404 ? "Not Found"
              : status == 422 ? "Unprocessable Content"
              : status == 501 ? "Not Implemented"
              : status == 503 ? "Service Unavailable"
                              : "Internal Server Error";
    return status;
}

/* GET /v1 itself. */
static json_t *directory(const struct poa_rpc_methods *all)
{
    json_t *list = json_array();
    for (size_t i = 0; i < all->n; i++) {
        const char *start = NULL;
        size_t n = resource(all->method[i].name, &start);
        if (n > 0)
            json_array_append_new(list,
                                  json_pack("{s:o, s:s, s:s, s:s}", "path",
                                            json_sprintf("/v1/%.*s", (int)n, start), "method",
                                            all->method[i].name, "params", all->method[i].params,
                                            "help", all->method[i].help));
    }
    return list;
}

void poa_rpc_get(const struct poa_rpc_methods *methods, void *ctx, struct poa_rpc_inbox *box,
                 const char *path, const char *query,
                 void (*reply)(void *reply_ctx, json_t *result, json_t *error), void *reply_ctx)
{
    size_t prefix = strlen("/v1");
    path += prefix + (path[prefix] == '/');
    char *rest = evhttp_uridecode(path, 0, NULL);
    struct evkeyvalq pairs = {NULL, &pairs.tqh_first};
    size_t n = rest != NULL ? strcspn(rest, "/") : 0;
    const struct poa_rpc_method *m = rest != NULL ? find(methods, rest, n) : NULL;
    json_t *result = NULL, *error = NULL, *params = NULL;
    /* Decoded, that ends the text: what follows would be ignored without a word. */
    if (strstr(path, "%00") != NULL || (query != NULL && strstr(query, "%00") != NULL))
        error = json_pack("{s:i, s:s}", "code", POA_RPC_BAD_PARAMS, "message",
                          "%00 is in no path or query");
    else if (path[0] == 0)
        result = directory(methods);
    else if (rest != NULL && m == NULL)
        error = json_pack("{s:i, s:s}", "code", POA_RPC_NO_METHOD, "message",
                          "no such resource; GET /v1 lists them");
    else if (query != NULL && evhttp_parse_query_str(query, &pairs) != 0)
        error = json_pack("{s:i, s:s}", "code", POA_RPC_BAD_PARAMS, "message",
                          "the query is not name=value&...");
    else if (m != NULL && (params = params_of(m, rest + n, &pairs)) == NULL)
        error = json_pack("{s:i, s:s}", "code", POA_RPC_BAD_PARAMS, "message",
                          "a parameter is given twice");
    if (params != NULL)
        poa_rpc_call_method(methods, ctx, box, m->name, params, reply, reply_ctx);
    else
        reply(reply_ctx, result, error);
    json_decref(result);
    json_decref(error);
    evhttp_clear_headers(&pairs);
    free(rest);
}
