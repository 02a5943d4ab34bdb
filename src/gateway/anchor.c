/* Packs of readings: kept in the blob store, anchored many at a time.
 *
 *   pack -> store -> wait -> tree over all that wait -> ANCHOR transaction
 *        -> final -> receipt (path to the root) to the store and the device
 *
 * One anchor is under way at a time: its nonce is the account's, so nothing of
 * it needs to survive a restart. A device keeps a pack until it has the
 * receipt and sends it again after a reconnect; the id makes that harmless. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* An anchor that no block took within this time is built anew. */
#define ANCHOR_VALID_MS 10000
#define ANCHOR_DEVICES  64u /* that an anchor names */
/* After a refusal. */
#define ANCHOR_PAUSE_MS 2000
/* A reading may be this much ahead of our clock. */
#define PACK_FUTURE_MS 60000

static int compare_ids(const void *a, const void *b)
{
    return memcmp(((const struct stored_pack *)a)->id, ((const struct stored_pack *)b)->id, 32);
}

int anchor_init(struct poa_gateway *g, struct poa_why *why)
{
    const struct poa_gateway_config *c = &g->config;
    uint8_t pk[32];
    if (!c->anchor_key_type)
        return POA_OK;
    enum poa_key_type type = (enum poa_key_type)c->anchor_key_type;
    int e = poa_key_public(type, c->anchor_secret32, pk);
    if (e)
        return poa_because(why, e, "the key of the gateway's account is not valid");
    poa_address_of_key(type, pk, g->anchor.address);
    return POA_OK;
}

/* --- taking packs --------------------------------------------------------------- */

static int add_waiting(struct poa_gateway *g, const uint8_t id[32], uint32_t index,
                       const struct poa_pack *p)
{
    struct anchor *a = &g->anchor;
    if (a->wait_n == a->wait_cap) {
        size_t cap = a->wait_cap ? a->wait_cap * 2 : 64;
        struct stored_pack **more = realloc(a->wait, cap * sizeof *more);
        if (!more)
            return POA_E_NO_MEMORY;
        a->wait = more;
        a->wait_cap = cap;
    }
    struct stored_pack *s = malloc(sizeof *s);
    if (!s)
        return POA_E_NO_MEMORY;
    memcpy(s->id, id, 32);
    memcpy(s->device, p->device, 32);
    s->index = index;
    s->from_ms = p->from_ms;
    s->to_ms = p->to_ms;
    if (!tsearch(s, &a->known, compare_ids)) {
        free(s);
        return POA_E_NO_MEMORY;
    }
    a->wait[a->wait_n++] = s;
    return POA_OK;
}

static bool is_known(const struct poa_gateway *g, const uint8_t id[32])
{
    return tfind(id, (void *const *)&g->anchor.known, compare_ids);
}

/* A pack that was anchored before, by this run or an earlier one. */
static bool send_old_receipt(struct conn *c, const uint8_t id[32])
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_edge_pack_result ok = {.code = 0};
    struct poa_edge_receipt r;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    if (b->blob_get(b->ctx, POA_BLOB_RECEIPT, id, &w) ||
        poa_edge_receipt_decode(poa_written(&w), &r))
        return false;
    memcpy(ok.id, id, 32);
    if (CONN_SEND(c, PACK_RESULT, edge_pack_result, &ok))
        CONN_SEND(c, RECEIPT, edge_receipt, &r);
    return true;
}

/* *FRESH: it was not kept before. */
static int keep_pack(struct conn *c, struct poa_slice encoded, const struct poa_pack *p,
                     const uint8_t id[32], bool *fresh)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    uint8_t kept[POA_PACK_BYTES_MAX];
    struct poa_writer w = poa_writer_over(kept, sizeof kept);
    if (p->to_ms > poa_clock_wall_ms(g->clock) + PACK_FUTURE_MS)
        return POA_E_DATA_FUTURE;
    if (g->anchor.wait_n + g->anchor.sent_n >= g->config.limits.packs_waiting)
        return POA_E_FULL;
    /* After a restart devices send again what is here and waits for its anchor. */
    int e = b->blob_get(b->ctx, POA_BLOB_PACK, id, &w);
    *fresh = e == POA_E_NOT_FOUND;
    if (*fresh)
        e = usage_keep(g, p, id, encoded);
    if (!e && g->config.anchor_key_type)
        e = add_waiting(g, id, c->device, p);
    return e;
}

static int may_publish(const struct conn *c)
{
    switch ((enum poa_edge_status)c->status) {
    case POA_EDGE_ACTIVE:
        break;
    case POA_EDGE_SUSPENDED:
        return POA_E_DEVICE_SUSPENDED;
    case POA_EDGE_UNREGISTERED:
        return POA_E_DEVICE_UNKNOWN;
    }
    return POA_OK;
}

int anchor_pack(struct conn *c, struct poa_slice encoded)
{
    struct poa_gateway *g = c->g;
    struct poa_pack p;
    struct poa_edge_pack_result m;
    bool fresh = false;
    int e = poa_pack_decode(encoded, &p);
    if (!e && memcmp(p.device, c->key, 32))
        e = POA_E_KEY;
    if (e)
        return e;
    poa_pack_id(encoded, m.id);
    int code = POA_OK;
    if (!is_known(g, m.id)) {
        if (send_old_receipt(c, m.id))
            return POA_OK;
        code = may_publish(c);
        /* Strangers cost no signature check, and what is known had its own. */
        if (!code) {
            e = poa_pack_check(&poa_suite_ed25519, g->config.chain, encoded, &p);
            if (e)
                return e;
            code = keep_pack(c, encoded, &p, m.id, &fresh);
        }
        if (code)
            STAT_ADD(g, packs_refused, 1);
        else if (fresh)
            STAT_ADD(g, packs, 1);
    }
    m.code = gateway_code(code);
    CONN_SEND(c, PACK_RESULT, edge_pack_result, &m);
    return POA_OK;
}

/* --- anchoring --------------------------------------------------------------------- */

static void count_waiting(struct poa_gateway *g)
{
    STAT_SET(g, packs_waiting, g->anchor.wait_n + g->anchor.sent_n);
}

/* The anchor under way came to nothing: its packs wait again. */
static void give_up(struct poa_gateway *g, uint64_t pause_ms)
{
    struct anchor *a = &g->anchor;
    /* Both lists are bounded by packs_waiting, so this is rare and small. */
    struct stored_pack **all = malloc((a->sent_n + a->wait_n) * sizeof *all);
    a->next_ms = gateway_now_ms(g) + pause_ms;
    if (!all)
        return; /* still under way: the next tick gives up again */
    memcpy(all, a->sent, a->sent_n * sizeof *all);
    if (a->wait_n)
        memcpy(all + a->sent_n, a->wait, a->wait_n * sizeof *all);
    free(a->wait);
    a->wait = all;
    a->wait_n += a->sent_n;
    a->wait_cap = a->wait_n;
    free(a->sent);
    free(a->tree);
    a->sent = NULL;
    a->tree = NULL;
    a->sent_n = 0;
    a->open = false;
    STAT_ADD(g, anchors_failed, 1);
}

static int account_nonce(struct poa_gateway *g, uint64_t *nonce)
{
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_st_account account;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    int e = b->state_get(b->ctx, POA_STATE_ACCOUNT, poa_slice(g->anchor.address, 32), &w);
    if (!e)
        e = poa_st_account_decode(poa_written(&w), &account);
    if (!e)
        *nonce = account.nonce;
    return e == POA_E_NOT_FOUND ? POA_E_TX_BALANCE : e;
}

/* The fee of an anchor by the parameters that hold now; it always fits in one KiB. */
static uint64_t anchor_fee(struct poa_gateway *g)
{
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_genesis now = *g->config.genesis;
    struct poa_st_global global;
    struct poa_st_params params;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    int e = b->state_get(b->ctx, POA_STATE_GLOBAL, poa_slice(NULL, 0), &w);
    if (!e)
        e = poa_st_global_decode(poa_written(&w), &global);
    w = poa_writer_over(g->state, sizeof g->state);
    if (!e)
        e = b->state_get(b->ctx, POA_STATE_PARAMS, poa_slice(NULL, 0), &w);
    if (!e && !poa_st_params_decode(poa_written(&w), &params))
        poa_params_apply(&now, &params, global.epoch + (global.kind == POA_BLOCK_CLOSING));
    return poa_fee_min(&now, 1024);
}

/* The devices whose packs are in A->sent, each once, as many as an anchor names. */
static struct poa_list name_devices(const struct anchor *a, uint8_t bytes[ANCHOR_DEVICES * 4])
{
    struct poa_list list = {poa_slice(bytes, 0), 0};
    for (size_t i = 0; i < a->sent_n && list.count < ANCHOR_DEVICES; i++) {
        uint32_t k = 0;
        while (k < list.count && poa_le32(bytes + 4 * (size_t)k) != a->sent[i]->index)
            k++;
        if (k == list.count)
            poa_put_le32(bytes + 4 * (size_t)list.count++, a->sent[i]->index);
    }
    list.bytes.n = 4 * (size_t)list.count;
    return list;
}

/* Builds, signs and submits the anchor of what is in a->sent. */
static int submit(struct poa_gateway *g)
{
    struct anchor *a = &g->anchor;
    const struct poa_gateway_backend *b = &g->config.backend;
    uint32_t n = (uint32_t)a->sent_n;
    struct poa_op_anchor anchor = {.packs = n, .from_ms = UINT64_MAX, .to_ms = 0};
    uint8_t body[64 + ANCHOR_DEVICES * 4], ops[128 + ANCHOR_DEVICES * 4], tx[1024], id[32];
    uint8_t devices[ANCHOR_DEVICES * 4];
    struct poa_writer body_w = poa_writer_over(body, sizeof body);
    struct poa_writer ops_w = poa_writer_over(ops, sizeof ops);
    struct poa_writer tx_w = poa_writer_over(tx, sizeof tx);
    uint64_t nonce = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct stored_pack *s = a->sent[i];
        memcpy(a->tree[i], s->id, 32);
        anchor.from_ms = s->from_ms < anchor.from_ms ? s->from_ms : anchor.from_ms;
        anchor.to_ms = s->to_ms > anchor.to_ms ? s->to_ms : anchor.to_ms;
    }
    poa_pack_tree(a->tree, n);
    memcpy(a->root, a->tree[poa_pack_tree_size(n) - 1], 32);
    memcpy(anchor.root, a->root, 32);
    anchor.devices = name_devices(a, devices);
    a->valid_ms = poa_clock_wall_ms(g->clock) + ANCHOR_VALID_MS;
    int e = account_nonce(g, &nonce);
    if (!e)
        e = poa_op_anchor_encode(&body_w, &anchor);
    struct poa_op op = {POA_OP_ANCHOR, poa_written(&body_w)};
    if (!e)
        e = poa_op_encode(&ops_w, &op);
    struct poa_list list = {poa_written(&ops_w), 1};
    uint64_t fee = anchor_fee(g);
    if (!e)
        e = poa_tx_sign(g->config.chain, g->config.anchor_key_type, g->config.anchor_secret32,
                        nonce, fee, a->valid_ms, &list, &tx_w, id);
    if (!e)
        e = token_new(g, NULL, TOKEN_ANCHOR, 0, 0, &a->token);
    if (e)
        return e;
    e = b->submit_tx(b->ctx, a->token, poa_written(&tx_w));
    if (e)
        token_free(g, a->token);
    return e;
}

static void refused(struct poa_gateway *g, int e)
{
    char address[POA_ADDRESS_TEXT_BYTES];
    poa_address_to_text(g->anchor.address, address);
    POA_LOG_LIMITED(30000, POA_LOG_WARN, "gateway", "%zu packs wait for their anchor: %s%s%s",
                    g->anchor.sent_n + g->anchor.wait_n, poa_error_text(e),
                    e == POA_E_TX_BALANCE ? "; send to the gateway's account, " : "",
                    e == POA_E_TX_BALANCE ? address : "");
    give_up(g, ANCHOR_PAUSE_MS);
}

static void begin(struct poa_gateway *g)
{
    struct anchor *a = &g->anchor;
    const struct poa_gateway_backend *b = &g->config.backend;
    size_t n = a->wait_n < GATEWAY_ANCHOR_MAX ? a->wait_n : GATEWAY_ANCHOR_MAX;
    a->next_ms = gateway_now_ms(g) + (g->config.anchor_ms ? g->config.anchor_ms : 1000);
    a->sent = malloc(n * sizeof *a->sent);
    a->tree = malloc(poa_pack_tree_size((uint32_t)n) * sizeof *a->tree);
    if (!a->sent || !a->tree) {
        free(a->sent);
        free(a->tree);
        a->sent = NULL;
        a->tree = NULL;
        return;
    }
    memcpy(a->sent, a->wait, n * sizeof *a->sent);
    memmove(a->wait, a->wait + n, (a->wait_n - n) * sizeof *a->wait);
    a->wait_n -= n;
    a->sent_n = n;
    a->open = true;
    /* What an anchor commits to must not be lost by a power cut. */
    int e = b->blob_sync(b->ctx);
    if (!e)
        e = submit(g);
    if (e)
        refused(g, e);
}

static void finish(struct poa_gateway *g, uint64_t height)
{
    struct anchor *a = &g->anchor;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_edge_receipt r;
    uint8_t path_bytes[32 * POA_EDGE_PATH_MAX], bytes[32 + 32 + 8 + 4 + 4 + 2 + sizeof path_bytes];
    memcpy(r.root, a->root, 32);
    r.height = height;
    r.packs = (uint32_t)a->sent_n;
    /* Counted first: who has a receipt finds it in the figures. */
    STAT_ADD(g, receipts, a->sent_n);
    STAT_ADD(g, anchors, 1);
    STAT_SET(g, packs_waiting, a->wait_n);
    for (uint32_t i = 0; i < r.packs; i++) {
        struct stored_pack *s = a->sent[i];
        struct poa_writer path = poa_writer_over(path_bytes, sizeof path_bytes);
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        memcpy(r.id, s->id, 32);
        r.index = i;
        int e = poa_pack_path((const uint8_t(*)[32])a->tree, r.packs, i, &path);
        r.path = poa_written(&path);
        if (!e)
            e = poa_edge_receipt_encode(&w, &r);
        const struct poa_gateway_blob blob = {POA_BLOB_RECEIPT, s->id, poa_written(&w)};
        if (!e)
            e = b->blob_put(b->ctx, &blob, 1);
        /* Without a stored receipt the device still gets it now; should it ask
         * again later, the pack is anchored once more. */
        if (e)
            POA_LOG_LIMITED(10000, POA_LOG_WARN, "gateway", "receipt not stored: %s",
                            poa_error_text(e));
        struct conn *c = conn_of_device(g, s->device);
        if (c)
            CONN_SEND(c, RECEIPT, edge_receipt, &r);
        tdelete(s, &a->known, compare_ids);
        free(s);
    }
    free(a->sent);
    free(a->tree);
    a->sent = NULL;
    a->tree = NULL;
    a->sent_n = 0;
    a->open = false;
}

/* Whether the anchor under way is on the ledger, or never will be. */
static void look(struct poa_gateway *g)
{
    struct anchor *a = &g->anchor;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_st_anchor st;
    struct poa_st_global global;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    if (!b->state_get(b->ctx, POA_STATE_ANCHOR, poa_slice(a->root, 32), &w) &&
        !poa_st_anchor_decode(poa_written(&w), &st)) {
        finish(g, st.height);
        return;
    }
    if (poa_clock_wall_ms(g->clock) <= a->valid_ms)
        return;
    w = poa_writer_over(g->state, sizeof g->state);
    if (!b->state_get(b->ctx, POA_STATE_GLOBAL, poa_slice(NULL, 0), &w) &&
        !poa_st_global_decode(poa_written(&w), &global) && global.time_ms > a->valid_ms)
        give_up(g, 0);
}

void anchor_tick(struct poa_gateway *g)
{
    struct anchor *a = &g->anchor;
    if (a->open)
        look(g);
    if (!a->open && a->wait_n && gateway_now_ms(g) >= a->next_ms)
        begin(g);
    count_waiting(g);
}

void anchor_result(struct poa_gateway *g, uint64_t token, int code)
{
    if (code && g->anchor.open && token == g->anchor.token)
        refused(g, code);
}

static void free_pack(void *p)
{
    free(p);
}

void anchor_clear(struct poa_gateway *g)
{
    struct anchor *a = &g->anchor;
    tdestroy(a->known, free_pack);
    free(a->wait);
    free(a->sent);
    free(a->tree);
    memset(a, 0, sizeof *a);
}
