/* What each device brought: the list of its packs, and its share of a day. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define DAY_MS UINT64_C(86400000)

#define F(k, n, m, s, d) POA_FIELD_ROW_(pack_entry, k, n, m, s, d)
POA_RECORD_DEFINE(pack_entry, POA_PACK_ENTRY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(pack_usage, k, n, m, s, d)
POA_RECORD_DEFINE(pack_usage, POA_PACK_USAGE_TABLE)
#undef F

/* Kept in memory once known: the store takes what it is given a little later. */
struct usage {
    uint8_t device[32]; /* first: what the tree compares */
    struct poa_pack_usage u;
};

static int compare_devices(const void *a, const void *b)
{
    return memcmp(((const struct usage *)a)->device, ((const struct usage *)b)->device, 32);
}

void poa_gateway_index_key(const uint8_t device32[32], uint64_t n, uint8_t out32[32])
{
    uint8_t le[8];
    poa_put_le64(le, n);
    poa_hash2(POA_DOMAIN_PACK_INDEX, device32, 32, le, sizeof le, out32);
}

/* Its record, made when it has none; NULL: no memory, or the store fails. */
static struct usage *usage_of(struct poa_gateway *g, const uint8_t device32[32])
{
    const struct poa_gateway_backend *b = &g->config.backend;
    void *at = tfind(device32, &g->usage, compare_devices);
    if (at)
        return *(struct usage **)at;
    struct usage *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    memcpy(s->device, device32, 32);
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    int e = b->blob_get(b->ctx, POA_BLOB_USAGE, device32, &w);
    if (!e)
        e = poa_pack_usage_decode(poa_written(&w), &s->u);
    if ((e && e != POA_E_NOT_FOUND) || !tsearch(s, &g->usage, compare_devices)) {
        free(s);
        return NULL;
    }
    return s;
}

static uint32_t today(const struct poa_gateway *g)
{
    return (uint32_t)(poa_clock_wall_ms(g->clock) / DAY_MS);
}

int usage_keep(struct poa_gateway *g, const struct poa_pack *p, const uint8_t id32[32],
               struct poa_slice encoded)
{
    const struct poa_gateway_backend *b = &g->config.backend;
    struct usage *s = usage_of(g, p->device);
    struct poa_pack_entry entry = {.from_ms = p->from_ms, .to_ms = p->to_ms};
    uint8_t listed[64], counted[64], key[32];
    struct poa_writer list_w = poa_writer_over(listed, sizeof listed);
    struct poa_writer count_w = poa_writer_over(counted, sizeof counted);
    if (!s)
        return POA_E_NO_MEMORY;
    struct poa_pack_usage u = s->u;
    if (u.day != today(g))
        u.day_bytes = 0;
    u.day = today(g);
    if (u.day_bytes + encoded.n > (uint64_t)g->config.limits.day_kib * 1024)
        return POA_E_FULL;
    u.day_bytes += encoded.n;
    memcpy(entry.id, id32, 32);
    poa_gateway_index_key(p->device, u.packs++, key);
    int e = poa_pack_entry_encode(&list_w, &entry);
    if (!e)
        e = poa_pack_usage_encode(&count_w, &u);
    /* Together, so that a pack that is kept is listed and counted, once. */
    const struct poa_gateway_blob blob[POA_GATEWAY_BLOBS] = {
        {POA_BLOB_USAGE, p->device, poa_written(&count_w)},
        {POA_BLOB_INDEX, key, poa_written(&list_w)},
        {POA_BLOB_PACK, id32, encoded}};
    if (!e)
        e = b->blob_put(b->ctx, blob, POA_GATEWAY_BLOBS);
    if (!e)
        s->u = u;
    return e;
}

void usage_clear(struct poa_gateway *g)
{
    tdestroy(g->usage, free);
    g->usage = NULL;
}
