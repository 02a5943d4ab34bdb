/* Bundles: final blocks from a peer or the own store, proven by one
 * certificate. */
#include "core.h"

/* --- bundles -------------------------------------------------------------------------------------
 */

/* Checks links and the certificate of a bundle once and remembers the hashes. */
static int bundle_check(struct poa_core *c, const struct poa_blocks *bundle)
{
    struct poa_list_iter it = poa_list_begin(&bundle->blocks);
    struct poa_block raw;
    struct poa_header h;
    struct poa_cert cert;
    uint8_t hash[32], body[32];
    uint32_t n = 0;
    int e = poa_cert_decode(bundle->cert, &cert);
    if (e)
        return e;
    if (cert.epoch != c->epoch)
        return cert.epoch < c->epoch ? POA_E_DUPLICATE : POA_E_EPOCH;
    c->bundle.n = 0;
    while (poa_block_next(&it, &raw)) {
        e = core_header_decode(c, raw.header, &h);
        if (e)
            return e;
        poa_body_hash(raw.body, body);
        if (!hash_eq(body, h.body))
            return POA_E_BLOCK_INVALID;
        poa_header_hash(&h, c->bundle.hash[n]);
        if (n && (h.height != c->bundle.first + n || !hash_eq(h.parent, hash)))
            return POA_E_BLOCK_INVALID;
        if (h.height > c->height && h.epoch != c->epoch)
            return POA_E_EPOCH;
        if (!n)
            c->bundle.first = h.height;
        if (h.height == c->height && !hash_eq(c->bundle.hash[n], c->tip))
            return POA_E_BLOCK_INVALID;
        if (h.height == c->height + 1 && !hash_eq(h.parent, c->tip))
            return POA_E_BLOCK_INVALID;
        memcpy(hash, c->bundle.hash[n++], 32);
    }
    if (!n || c->bundle.first > c->height + 1)
        return POA_E_BLOCK_PARENT;
    if (h.height <= c->height)
        return POA_E_DUPLICATE;
    if (cert.kind != POA_VOTE_FINALIZE || !hash_eq(cert.hash, hash) || cert.view != h.view)
        return POA_E_BLOCK_INVALID;
    e = core_cert_verify(c, &cert);
    if (e)
        return e;
    c->bundle.n = n;
    return POA_OK;
}

/* Where the bundle lay may be another one by now: its blocks are told by their hashes, and the
 * certificate by its own. */
static void cert_hash(struct poa_slice cert, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_OBJECT, cert.p, cert.n, out);
}

static bool cert_is_there(const struct poa_core *c)
{
    uint8_t hash[32];
    cert_hash(c->bundle.cert, hash);
    return hash_eq(hash, c->bundle.cert_hash);
}

/* A quorum checked the proof before it voted. */
static void beacon_take(struct poa_core *c, struct block *b)
{
    uint8_t alpha[32];
    if (b->beacon_ok || b->h.leader >= c->n)
        return;
    poa_beacon_alpha(c->chain, c->epoch, b->h.view, c->epoch_seed, alpha);
    b->beacon_ok = c->suite->vrf_output(c->keys[b->h.leader], alpha, sizeof alpha, b->h.beacon,
                                        b->beta) == POA_OK;
}

/* Executes one block of a checked bundle on the tip and commits it. LAST: the
 * certificate is for it. */
static int bundle_block(struct poa_core *c, const struct poa_block *raw, const struct poa_header *h,
                        const uint8_t hash[32], const struct poa_checked_batch *batch,
                        struct poa_slice cert, struct poa_slice fillers, uint32_t fillers_n)
{
    struct block *b = core_block_find(c, hash);
    if (b && b->exec == EXEC_INVALID)
        b->exec = EXEC_NONE; /* certified: look again, with the batches at hand */
    if (!b) {
        static const uint8_t no_sig[64];
        b = core_block_insert(c, hash, h, raw->header, no_sig, raw->body);
        if (!b)
            return POA_E_AGAIN;
    }
    struct poa_list_iter it = poa_list_begin(&b->b.batches);
    struct poa_digest d;
    uint32_t txs = 0;
    for (uint32_t i = 0; poa_digest_next(&it, &d); i++) {
        if (!hash_eq(batch[i].digest, d.digest))
            return POA_E_BATCH_INVALID;
        if (batch[i].code)
            return batch[i].code;
        if (batch[i].txs > BLOCK_TXS - txs)
            return POA_E_BATCH_INVALID;
        for (uint32_t k = 0; k < batch[i].txs; k++)
            c->gather[txs++] = &batch[i].tx[k];
    }
    if (b->exec == EXEC_NONE) {
        struct parent p;
        beacon_take(c, b);
        if (!core_parent_find(c, h->parent, h->parent_view, &p))
            return POA_E_BLOCK_PARENT;
        int e = core_block_rules(c, b, &p);
        enum verdict v = e ? V_INVALID : core_block_run(c, b, &p, txs);
        if (v == V_WAIT)
            return POA_E_AGAIN;
        if (v == V_INVALID) {
            core_halt(c, e ? e : POA_E_BLOCK_INVALID,
                      e == POA_E_STATE_ROOT ? "a certified block has another state root than ours"
                                            : "a certified block breaks a rule here");
            return e ? e : POA_E_BLOCK_INVALID;
        }
    }
    it = poa_list_begin(&b->b.batches);
    for (uint32_t i = 0; poa_digest_next(&it, &d) && !c->restoring; i++) {
        const struct batch *x = core_batch_find(c, d.digest);
        if (!x || !x->seq)
            (void)core_persist(c, POA_WAL_BATCH, batch[i].bytes);
    }
    return core_block_commit(c, b, cert, fillers, fillers_n) ? POA_OK : POA_E_AGAIN;
}

/* Checks the bundle in EV, or finds where it stopped when it is the one before. */
static int bundle_begin(struct poa_core *c, const struct poa_event *ev)
{
    struct poa_blocks bundle;
    if (c->bundle.n && c->bundle.bytes.p == ev->bytes.p && c->bundle.bytes.n == ev->bytes.n &&
        c->bundle.batches <= ev->batches)
        return POA_OK;
    int e = poa_blocks_decode(ev->bytes, &bundle);
    if (!e && !bundle.blocks.count)
        e = POA_E_DUPLICATE;
    if (!e)
        e = bundle_check(c, &bundle);
    if (e)
        return e;
    c->bundle.bytes = ev->bytes;
    c->bundle.cert = bundle.cert;
    cert_hash(bundle.cert, c->bundle.cert_hash);
    c->bundle.next = poa_list_begin(&bundle.blocks);
    c->bundle.at = c->bundle.batches = 0;
    return POA_OK;
}

/* Executes the block RAW of the bundle, after which IT stands, unless it is final
 * already. */
static int bundle_next(struct poa_core *c, const struct poa_event *ev, const struct poa_block *raw,
                       const struct poa_list_iter *it, bool *closed)
{
    struct poa_header h;
    struct poa_body body;
    uint8_t hash[32];
    if (core_header_decode(c, raw->header, &h) || poa_body_decode(raw->body, &body))
        return POA_E_BLOCK_INVALID;
    if (body.batches.count > ev->batches - c->bundle.batches)
        return POA_E_BATCH_MISSING;
    const struct poa_checked_batch *batch = ev->batch + c->bundle.batches;
    int e = POA_OK;
    if (h.height > c->height) {
        poa_header_hash(&h, hash);
        if (!hash_eq(hash, c->bundle.hash[c->bundle.at]))
            return POA_E_BLOCK_INVALID;
        poa_body_hash(raw->body, hash);
        if (!hash_eq(hash, h.body))
            return POA_E_BLOCK_INVALID;
        *closed = h.kind == POA_BLOCK_CLOSING;
        bool last = it->left == 0 || *closed;
        if (last && !cert_is_there(c))
            return POA_E_BLOCK_INVALID;
        e = bundle_block(c, raw, &h, c->bundle.hash[c->bundle.at], batch,
                         last ? c->bundle.cert : poa_slice(NULL, 0),
                         *closed ? it->rest : poa_slice(NULL, 0), *closed ? it->left : 0);
        if (e)
            return e;
        core_final_advance(c);
        if (it->left && !*closed) {
            c->more = true;
            e = POA_E_AGAIN;
        }
    }
    c->bundle.next = *it;
    c->bundle.at++;
    c->bundle.batches += body.batches.count;
    return e;
}

int core_on_bundle(struct poa_core *c, const struct poa_event *ev)
{
    int e = bundle_begin(c, ev);
    if (e)
        return e == POA_E_DUPLICATE ? POA_OK : e;
    bool closed = false;
    while (!closed) {
        struct poa_list_iter it = c->bundle.next;
        struct poa_block raw;
        if (!poa_block_next(&it, &raw))
            break;
        e = bundle_next(c, ev, &raw, &it, &closed);
        if (e && e != POA_E_AGAIN)
            c->bundle.n = 0;
        if (e)
            return e;
    }
    struct poa_slice cert = c->bundle.cert;
    bool whole = closed || (c->bundle.at == c->bundle.n && cert_is_there(c));
    c->bundle.n = 0;
    if (!whole)
        return POA_E_BLOCK_INVALID;
    if (closed) {
        c->live_handover = false;
        core_hand_over(c, cert);
        core_final_advance(c);
        c->live_handover = true;
    } else {
        (void)core_cert_take(c, cert, true, POA_PEER_OTHER);
        if (c->view <= c->tip_view) {
            c->view = c->tip_view + 1;
            core_simplex_start(c);
        }
    }
    core_log_trim(c);
    core_progress(c);
    return POA_OK;
}
