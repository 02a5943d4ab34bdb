#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "poa_node_parallel.h"

/* The receivers are pseudo-random and the same in every run. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

#define SHARE 256u

struct maker {
    const struct world *world;
    const struct load_kind *kind;
    uint8_t *out; /* room for one transaction each */
    size_t room;
    size_t *n;
};

static void make_one(const struct maker *m, uint32_t i)
{
    const struct load_kind *k = m->kind;
    uint8_t list[64 * 64], body[64], sk[32], id[32];
    struct poa_writer lw = poa_writer_over(list, sizeof list);
    uint32_t signer = k->first_signer + i % k->signers;
    for (uint32_t j = 0; j < k->ops; j++) {
        struct poa_op_transfer t = {.amount = 1};
        struct poa_writer bw = poa_writer_over(body, sizeof body);
        world_address(m->world, mix((uint64_t)k->seq << 40 | (uint64_t)i * 64 | j) % k->accounts,
                      t.to);
        bench_must(poa_op_transfer_encode(&bw, &t), "load");
        struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&bw)};
        bench_must(poa_op_encode(&lw, &op), "load");
    }
    struct poa_list ops = {poa_written(&lw), k->ops};
    struct poa_writer w = poa_writer_over(m->out + i * m->room, m->room);
    world_secret(signer, sk);
    bench_must(
        poa_tx_sign(m->world->chain, POA_KEY_BIP340, sk, i / k->signers, FEE, 0, &ops, &w, id),
        "load");
    m->n[i] = w.n;
}

static void make_some(void *arg, uint32_t share)
{
    const struct maker *m = arg;
    for (uint32_t i = share * SHARE; i < m->kind->txs && i < (share + 1) * SHARE; i++)
        make_one(m, i);
}

static struct poa_slice batch_of(const struct world *w, struct poa_list txs, uint32_t seq,
                                 uint8_t *out, size_t cap)
{
    uint8_t digest[32], signed32[32];
    struct poa_batch b = {.epoch = 0, .author = 0, .seq = seq, .expires_ms = UINT64_MAX};
    struct poa_writer ow = poa_writer_over(out, cap);
    b.txs = txs;
    bench_must(poa_batch_encode(&ow, &b), "batch");
    POA_ASSERT(ow.n <= POA_BATCH_BYTES_MAX);
    poa_batch_digest(poa_written(&ow), digest);
    poa_batch_sig_digest(w->chain, digest, signed32);
    poa_suite_ed25519.sign(w->witness[0].seed, w->witness[0].key, signed32, 32,
                           out + ow.n - POA_SIG_BYTES);
    return poa_written(&ow);
}

void load_make(struct load *l, const struct world *w, const struct load_kind *kind)
{
    size_t room = 256 + 64 * (size_t)kind->ops;
    uint8_t *txs = malloc(kind->txs * room);
    size_t *n = malloc(kind->txs * sizeof *n);
    uint32_t per = kind->ops > 1 ? 100 : BATCH_TXS;
    memset(l, 0, sizeof *l);
    l->batches = (kind->txs + per - 1) / per;
    l->txs = kind->txs;
    l->transfers = kind->txs * kind->ops;
    size_t batch_room = per * (room + 4) + 256;
    l->bytes = malloc(l->batches * batch_room);
    l->batch = malloc(l->batches * sizeof *l->batch);
    uint8_t *list = malloc(batch_room);
    bench_must(txs && n && l->bytes && l->batch && list ? POA_OK : POA_E_NO_MEMORY, "load");
    struct maker m = {.world = w, .kind = kind, .out = txs, .room = room, .n = n};
    node_parallel(NULL, make_some, &m, (kind->txs + SHARE - 1) / SHARE);
    for (uint32_t b = 0; b < l->batches; b++) {
        uint32_t first = b * per, end = first + per < kind->txs ? first + per : kind->txs;
        struct poa_writer lw = poa_writer_over(list, batch_room);
        for (uint32_t i = first; i < end; i++) {
            struct poa_raw_tx raw = {.tx = poa_slice(txs + i * room, n[i])};
            bench_must(poa_raw_tx_encode(&lw, &raw), "load");
            l->wire_bytes += n[i];
        }
        l->batch[b] = batch_of(w, (struct poa_list){poa_written(&lw), end - first}, kind->seq + b,
                               l->bytes + b * batch_room, batch_room);
    }
    free(list);
    free(txs);
    free(n);
}

void load_free(struct load *l)
{
    free(l->bytes);
    free(l->batch);
}

/* --- without signatures ------------------------------------------------------------- */

#define PLAIN_BYTES 320

void plain_make(struct plain *p, const struct world *w, uint64_t accounts, uint64_t first,
                uint32_t txs, uint32_t signers, uint32_t nonce)
{
    static const uint8_t auth[100];
    p->txs = txs;
    p->bytes = malloc((size_t)txs * PLAIN_BYTES);
    p->view = malloc(txs * sizeof *p->view);
    bench_must(p->bytes && p->view ? POA_OK : POA_E_NO_MEMORY, "load");
    for (uint32_t i = 0; i < txs; i++) {
        uint8_t body[64], list[80];
        uint64_t at = first + i, sender = at * UINT64_C(7368787) % accounts;
        struct poa_writer bw = poa_writer_over(body, sizeof body);
        struct poa_writer lw = poa_writer_over(list, sizeof list);
        struct poa_writer out = poa_writer_over(p->bytes + (size_t)i * PLAIN_BYTES, PLAIN_BYTES);
        struct poa_op_transfer t = {.amount = 1};
        world_address(w, mix(at) % accounts, t.to);
        bench_must(poa_op_transfer_encode(&bw, &t), "load");
        struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&bw)};
        bench_must(poa_op_encode(&lw, &op), "load");
        struct poa_tx tx = {.chain = poa_le32(w->chain),
                            .nonce = at / accounts + (sender < signers ? nonce : 0),
                            .fee = FEE,
                            .ops = {poa_written(&lw), 1},
                            .auth = poa_slice(auth, sizeof auth)};
        world_address(w, sender, tx.sender);
        bench_must(poa_tx_encode(&out, &tx), "load");
        bench_must(poa_tx_parse(w->chain, poa_written(&out), &p->view[i]), "load");
    }
}

void plain_free(struct plain *p)
{
    free(p->bytes);
    free(p->view);
}
