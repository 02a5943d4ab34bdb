/* Answers that stay right until the state changes: the same request of many readers is worked
 * out once. The same are those that differ in the number of their id alone, as clients count
 * their calls; all other bytes are equal. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define ENTRIES     512 /* a power of two */
#define TEXT_MAX    ((size_t)16 << 10)
#define REQUEST_MAX ((size_t)4 << 10)

struct entry {
    uint8_t key[16];
    uint64_t version, until_us;
    char *text; /* N bytes, and POA_RPC_ID_MAX more */
    size_t n;
    size_t id; /* where that of the request stands in TEXT, up to its last brace; 0: as it is */
};
struct rpc_cache {
    uint8_t secret[16]; /* so that nobody can aim at the entry of another request */
    struct entry entry[ENTRIES];
};

static uint64_t version_of(const struct poa_rpc *r)
{
    return r->node.backend->version(r->node.backend->ctx);
}

static struct entry *at(struct rpc_cache *c, const uint8_t key[16])
{
    return &c->entry[(key[0] | (size_t)key[1] << 8) & (ENTRIES - 1)];
}

int rpc_cache_start(struct poa_rpc *r)
{
    if (r->node.backend->version == NULL)
        return POA_OK; /* without it nothing is kept */
    r->cache = calloc(1, sizeof *r->cache);
    if (r->cache == NULL)
        return POA_E_NO_MEMORY;
    poa_random(r->cache->secret, sizeof r->cache->secret);
    return POA_OK;
}

void rpc_cache_stop(struct poa_rpc *r)
{
    for (size_t i = 0; r->cache != NULL && i < ENTRIES; i++)
        free(r->cache->entry[i].text);
    free(r->cache);
    r->cache = NULL;
}

/* Of REQUEST with a byte that is in no JSON for its id. */
static void key_of(const struct rpc_cache *c, const char *request, size_t n, struct poa_slice id,
                   uint8_t key[16])
{
    char text[REQUEST_MAX];
    size_t before = id.n > 0 ? (size_t)((const char *)id.p - request) : n;
    memcpy(text, request, before);
    if (id.n == 0) {
        poa_siphash(c->secret, text, n, key);
        return;
    }
    text[before] = 1;
    memcpy(text + before + 1, request + before + id.n, n - before - id.n);
    poa_siphash(c->secret, text, n - id.n + 1, key);
}

bool rpc_cache_find(struct poa_rpc *r, const char *request, size_t n, struct rpc_asked *asked,
                    struct poa_slice *answer)
{
    asked->keep_us = 0;
    if (r->cache == NULL || n > REQUEST_MAX)
        return false;
    asked->version = version_of(r);
    asked->id = poa_rpc_request_id(request, n);
    key_of(r->cache, request, n, asked->id, asked->key);
    asked->key[15] ^= (uint8_t)r->methods.has; /* who may less is told something else */
    asked->keep_us = UINT64_MAX;
    struct entry *e = at(r->cache, asked->key);
    if (e->text == NULL || e->version != asked->version ||
        memcmp(e->key, asked->key, sizeof e->key) != 0 ||
        (e->until_us != UINT64_MAX && e->until_us < poa_clock_monotonic_us(poa_clock_system())))
        return false;
    if (e->id > 0) {
        memcpy(e->text + e->id, asked->id.p, asked->id.n);
        e->n = e->id + asked->id.n;
        e->text[e->n++] = '}';
    }
    *answer = poa_slice(e->text, e->n);
    return true;
}

void rpc_cache_keep(struct poa_rpc *r, const struct rpc_asked *asked, const char *text, size_t n)
{
    if (asked->keep_us == 0 || n > TEXT_MAX)
        return;
    struct entry *e = at(r->cache, asked->key);
    /* The id is what an answer ends with. */
    size_t id = asked->id.n > 0 && n > asked->id.n ? n - 1 - asked->id.n : 0;
    if (id > 0 && memcmp(text + id, asked->id.p, asked->id.n) != 0)
        return;
    char *copy = realloc(e->text, n + POA_RPC_ID_MAX);
    if (copy == NULL)
        return;
    memcpy(copy, text, n);
    e->id = id;
    memcpy(e->key, asked->key, sizeof e->key);
    e->text = copy;
    e->n = n;
    e->version = asked->version;
    e->until_us = asked->keep_us == UINT64_MAX
                      ? UINT64_MAX
                      : poa_clock_monotonic_us(poa_clock_system()) + asked->keep_us;
}
