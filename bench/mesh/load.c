#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_mesh.h"
#include "poa_keys.h"
#include "poa_p2p.h"

#define FEE        20u /* of a devnet: 10, and 10 per KiB */
#define TX_ROOM    400
#define REQUEST    256 /* transfers at a time to one server */
#define RUN        2   /* of one account in a row */
#define TIMEOUT_MS 20000
#define BYTES_MAX  (REQUEST * TX_ROOM)

/* --- signing --------------------------------------------------------------------------- */

struct signer {
    pthread_t thread;
    struct load *load;
    const struct net *net;
    uint32_t nonce, from, to; /* accounts */
};

static void *sign_some(void *arg)
{
    struct signer *s = arg;
    struct load *l = s->load;
    for (uint32_t a = s->from; a < s->to; a++) {
        uint8_t sk[32], body[128], list[160], tx[TX_ROOM], id[32];
        struct poa_op_transfer t = {.amount = 1};
        net_secret(s->net, l->first + a, sk);
        net_address(s->net, l->first + (a + 1) % l->accounts, t.to);
        struct poa_writer bw = poa_writer_over(body, sizeof body);
        bench_must(poa_op_transfer_encode(&bw, &t), "load");
        struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&bw)};
        struct poa_writer lw = poa_writer_over(list, sizeof list);
        bench_must(poa_op_encode(&lw, &op), "load");
        struct poa_list ops = {poa_written(&lw), 1};
        struct poa_writer out =
            poa_writer_over(l->bytes + (size_t)a * l->each * TX_ROOM, (size_t)l->each * TX_ROOM);
        for (uint32_t k = 0; k < l->each; k++) {
            struct poa_writer w = poa_writer_over(tx, sizeof tx);
            size_t before = out.n;
            bench_must(
                poa_tx_sign(s->net->chain, POA_KEY_BIP340, sk, s->nonce + k, FEE, 0, &ops, &w, id),
                "load");
            struct poa_raw_tx raw = {.tx = poa_written(&w)};
            bench_must(poa_raw_tx_encode(&out, &raw), "load");
            l->piece[(size_t)a * l->each + k] = poa_slice(out.p + before, out.n - before);
        }
    }
    return NULL;
}

void load_sign(struct load *l, const struct net *net, uint32_t first, uint32_t accounts,
               uint32_t each, uint32_t nonce, unsigned threads)
{
    struct signer s[BENCH_CORES_MAX];
    size_t count = (size_t)accounts * each;
    double begin = bench_now();
    memset(l, 0, sizeof *l);
    l->first = first;
    l->accounts = accounts;
    l->each = each;
    l->bytes = malloc(count * TX_ROOM); /* pages that are not written cost nothing */
    l->piece = malloc(count * sizeof *l->piece);
    bench_must(l->bytes && l->piece ? POA_OK : POA_E_NO_MEMORY, "load");
    for (unsigned i = 0; i < threads; i++) {
        s[i] = (struct signer){.load = l,
                               .net = net,
                               .nonce = nonce,
                               .from = accounts * i / threads,
                               .to = accounts * (i + 1) / threads};
        bench_must(pthread_create(&s[i].thread, NULL, sign_some, &s[i]) ? POA_E_NO_MEMORY : POA_OK,
                   "thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(s[i].thread, NULL);
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += l->piece[i].n;
    l->tx_bytes = count ? sum / count : 0;
    l->sign_s = bench_now() - begin;
}

void load_free(struct load *l)
{
    free(l->bytes);
    free(l->piece);
}

/* --- over the mesh ------------------------------------------------------------------------ */

/* What one server is asked: it has every N-th account. */
struct lane {
    struct offer *offer;
    int peer;
    bool asked;
    uint32_t next; /* account */
    uint32_t accounts;
    uint32_t account[REQUEST], count[REQUEST]; /* in the request under way */
    uint32_t txs;
};

struct offer {
    struct load *load;
    struct poa_p2p *p2p;
    struct lane lane[NODES_MAX];
    unsigned lanes;
    uint32_t window, request;
    double per_s, begin;
    uint32_t *next; /* transfer of each account */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stop;
    uint64_t sent, accepted, refused, final;
    int first_refusal;
};

/* Takes the transfers that were accepted, one account after the other; what a
 * refused one leaves behind is offered again. With the mutex. */
static void take_codes(struct lane *l, const struct poa_codes *r)
{
    struct offer *o = l->offer;
    struct poa_list_iter it = poa_list_begin(&r->codes);
    for (uint32_t i = 0; i < l->accounts; i++) {
        bool fine = true;
        for (uint32_t k = 0; k < l->count[i]; k++) {
            struct poa_code c = {.code = 1};
            if (!poa_code_next(&it, &c))
                return;
            int code = -(int)c.code;
            fine = fine && (!code || code == POA_E_TX_DUPLICATE);
            o->next[l->account[i]] += fine;
            o->accepted += fine;
            o->refused += !fine;
            if (!fine && !o->first_refusal)
                o->first_refusal = code;
        }
    }
}

static void answered(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct lane *l = ctx;
    struct offer *o = l->offer;
    struct poa_codes r;
    pthread_mutex_lock(&o->mutex);
    if (!error && type == POA_MSG_ANS_SUBMIT && !poa_codes_decode(bytes, &r))
        take_codes(l, &r);
    else if (!o->first_refusal)
        o->first_refusal = error ? error : POA_E_INVALID;
    o->sent -= l->txs;
    l->asked = false;
    pthread_cond_broadcast(&o->cond);
    pthread_mutex_unlock(&o->mutex);
}

/* With the mutex. False: nothing left for this server. */
static bool ask_one(struct offer *o, unsigned k)
{
    static uint8_t list[BYTES_MAX], record[BYTES_MAX + 64];
    struct lane *l = &o->lane[k];
    const struct load *load = o->load;
    size_t n = 0;
    l->accounts = l->txs = 0;
    for (uint32_t tried = 0; tried < load->accounts && l->txs < o->request; tried += o->lanes) {
        uint32_t a = l->next;
        l->next = a + o->lanes < load->accounts ? a + o->lanes : k;
        uint32_t from = o->next[a], count = load->each - from < RUN ? load->each - from : RUN;
        if (count > o->request - l->txs)
            count = o->request - l->txs;
        if (!count)
            continue;
        for (uint32_t i = 0; i < count; i++) {
            const struct poa_slice *p = &load->piece[(size_t)a * load->each + from + i];
            memcpy(list + n, p->p, p->n);
            n += p->n;
        }
        l->account[l->accounts] = a;
        l->count[l->accounts++] = count;
        l->txs += count;
    }
    if (!l->txs)
        return false;
    struct poa_txs r = {.txs = {.bytes = poa_slice(list, n), .count = l->txs}};
    struct poa_writer w = poa_writer_over(record, sizeof record);
    bench_must(poa_txs_encode(&w, &r), "load");
    if (poa_p2p_request(o->p2p, l->peer, POA_MSG_REQ_SUBMIT, poa_written(&w), TIMEOUT_MS, answered,
                        l))
        return true;
    l->asked = true;
    o->sent += l->txs;
    return true;
}

static void *offer_all(void *arg)
{
    struct offer *o = arg;
    pthread_mutex_lock(&o->mutex);
    while (!o->stop) {
        bool idle = true, left = false;
        for (unsigned k = 0; k < o->lanes; k++) {
            struct lane *l = &o->lane[k];
            uint64_t out = o->accepted + o->sent;
            double due = (bench_now() - o->begin) * o->per_s;
            left |= l->asked;
            if (l->asked || out - o->final + o->request > o->window ||
                (o->per_s > 0 && (double)out > due)) {
                left = true;
                continue;
            }
            bool asked = ask_one(o, k);
            left |= asked;
            idle &= !l->asked;
        }
        if (!left)
            break;
        if (idle) {
            struct timespec t;
            clock_gettime(CLOCK_REALTIME, &t);
            t.tv_nsec += o->per_s > 0 ? 1000000 : 20000000;
            t.tv_sec += t.tv_nsec / 1000000000;
            t.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&o->cond, &o->mutex, &t);
        }
    }
    pthread_mutex_unlock(&o->mutex);
    return NULL;
}

static void nobody(void *ctx, const struct poa_p2p_message *m)
{
    (void)ctx;
    (void)m;
}

struct offer *offer_start(struct net *net, struct load *l, uint32_t window, double per_s)
{
    struct offer *o = calloc(1, sizeof *o);
    bench_must(o ? POA_OK : POA_E_NO_MEMORY, "load");
    struct poa_p2p_config c = {
        .seed32 = net->submitter, .chain32 = net->chain, .ctx = o, .on_message = nobody};
    bench_must(poa_p2p_open(&o->p2p, &c), "mesh");
    o->load = l;
    o->window = window;
    o->per_s = per_s;
    o->begin = bench_now();
    o->lanes = net->n;
    o->request = REQUEST;
    if (per_s > 0 && per_s < 100.0 * REQUEST * net->n)
        o->request = 1 + (uint32_t)(per_s / 100 / net->n);
    o->next = calloc(l->accounts, sizeof *o->next);
    bench_must(o->next ? POA_OK : POA_E_NO_MEMORY, "load");
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->cond, NULL);
    for (unsigned k = 0; k < o->lanes; k++) {
        o->lane[k].offer = o;
        o->lane[k].next = k;
        bench_must(poa_p2p_peer_set(o->p2p, net->node[k].key, net->node[k].mesh, NULL, 0,
                                    &o->lane[k].peer),
                   "mesh");
    }
    bench_must(pthread_create(&o->thread, NULL, offer_all, o) ? POA_E_NO_MEMORY : POA_OK, "thread");
    return o;
}

void offer_final(struct offer *o, uint64_t txs)
{
    pthread_mutex_lock(&o->mutex);
    o->final = txs;
    pthread_cond_broadcast(&o->cond);
    pthread_mutex_unlock(&o->mutex);
}

void offer_stats(struct offer *o, struct offered *out)
{
    pthread_mutex_lock(&o->mutex);
    *out = (struct offered){.accepted = o->accepted,
                            .refused = o->refused,
                            .first_refusal = o->first_refusal,
                            .all = o->accepted == (uint64_t)o->load->accounts * o->load->each};
    pthread_mutex_unlock(&o->mutex);
}

void offer_stop(struct offer *o)
{
    pthread_mutex_lock(&o->mutex);
    o->stop = true;
    pthread_cond_broadcast(&o->cond);
    pthread_mutex_unlock(&o->mutex);
    pthread_join(o->thread, NULL);
    poa_p2p_close(o->p2p);
    free(o->next);
    free(o);
}

/* --- over RPC --------------------------------------------------------------------------------- */

struct trickle {
    struct poa_rpc_load *rpc;
    struct poa_rpc_load_item *item;
    char **body;
    uint32_t items;
    const char *url[NODES_MAX];
};

struct trickle *trickle_start(struct net *net, const struct load *l, double per_s)
{
    struct trickle *t = calloc(1, sizeof *t);
    uint32_t items = l->accounts * l->each;
    struct poa_why why;
    size_t urls = 0;
    bench_must(t ? POA_OK : POA_E_NO_MEMORY, "load");
    t->item = calloc(items, sizeof *t->item);
    t->body = calloc(items, sizeof *t->body);
    bench_must(t->item && t->body ? POA_OK : POA_E_NO_MEMORY, "load");
    for (uint32_t i = 0; i < items; i++) {
        uint32_t a = i % l->accounts;
        char hex[2 * TX_ROOM + 1];
        struct poa_list one = {l->piece[(size_t)a * l->each + i / l->accounts], 1};
        struct poa_list_iter it = poa_list_begin(&one);
        struct poa_raw_tx raw = {.tx = {NULL, 0}};
        bench_must(poa_raw_tx_next(&it, &raw) ? POA_OK : POA_E_INVALID, "load");
        poa_hex(raw.tx.p, raw.tx.n, hex);
        int n = asprintf(&t->body[i],
                         "{\"jsonrpc\":\"2.0\",\"method\":\"poa_tx_send\",\"params\":[\"%s\"],"
                         "\"id\":%u}",
                         hex, i);
        bench_must(n < 0 ? POA_E_NO_MEMORY : POA_OK, "load");
        t->item[i] = (struct poa_rpc_load_item){t->body[i], (uint32_t)n, a};
    }
    t->items = items;
    for (unsigned i = 0; i < net->n; i++)
        if (!net->node[i].dead)
            t->url[urls++] = net->node[i].url;
    struct poa_rpc_load_config c = {.url = t->url,
                                    .urls = urls,
                                    .item = t->item,
                                    .items = items,
                                    .lanes = l->accounts,
                                    .per_second = per_s,
                                    .window = 256,
                                    .timeout_ms = TIMEOUT_MS,
                                    .retries = 2};
    bench_must(poa_rpc_load_start(&c, &t->rpc, &why), "RPC load");
    return t;
}

void trickle_stop(struct trickle *t, uint64_t *accepted)
{
    struct poa_rpc_load_stats s;
    (void)poa_rpc_load_stats(t->rpc, &s);
    *accepted = s.accepted;
    poa_rpc_load_free(t->rpc);
    for (uint32_t i = 0; i < t->items; i++)
        free(t->body[i]);
    free(t->body);
    free(t->item);
    free(t);
}
