/* Cores with signatures, workers, disks and a network between them, for core.c: an input
 * says what happens when. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <sys/mman.h>

#include "ledger.h"
#include "poa_consensus.h"

#define CORES   3
#define QUEUE   96
#define HEIGHTS 256
#define MEMORY  ((size_t)400 << 20) /* per core: address space that it reserves */
#define TXS_MAX 64
#define STEPS   600 /* per input */

/* --- memory --------------------------------------------------------------------- */

static struct {
    size_t bytes;
    bool in_step;
} memory;

/* Large blocks are mapped, with a page behind them that nobody may touch:
 * untouched pages cost nothing, and the sanitizer's own calloc would. */
#define MAPPED ((size_t)64 << 10)
#define PAGE   ((size_t)4096)
struct chunk {
    size_t n;
    max_align_t bytes[];
};
static size_t map_size(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE + PAGE;
}
static void *counted_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    FUZZ_CHECK(!memory.in_step);
    size_t n = sizeof(struct chunk) + bytes;
    struct chunk *c;
    if (n < MAPPED) {
        c = calloc(1, n);
        FUZZ_CHECK(c != NULL);
    } else {
        c = mmap(NULL, map_size(n), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        FUZZ_CHECK(c != MAP_FAILED);
        FUZZ_CHECK(!mprotect((char *)c + map_size(n) - PAGE, PAGE, PROT_NONE));
    }
    c->n = bytes;
    memory.bytes += bytes;
    return c->bytes;
}
static void counted_free(void *ctx, void *p)
{
    (void)ctx;
    FUZZ_CHECK(!memory.in_step);
    if (!p)
        return;
    struct chunk *c = (struct chunk *)(void *)((char *)p - offsetof(struct chunk, bytes));
    size_t n = sizeof *c + c->n;
    memory.bytes -= c->n;
    if (n < MAPPED)
        free(c);
    else
        FUZZ_CHECK(!munmap(c, map_size(n)));
}

/* --- signatures that only their owners make ---------------------------------------- */

static void tag(uint8_t what, const uint8_t pk[32], const void *msg, size_t n, uint8_t out[64])
{
    uint8_t head[33] = {what};
    memcpy(head + 1, pk, 32);
    poa_hash2(POA_DOMAIN_SIM, head, sizeof head, msg, n, out);
    memset(out + 32, 0, 32);
}
static int sound_verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    uint8_t want[64];
    tag(1, pk32, msg, n, want);
    return memcmp(want, sig64, 64) ? POA_E_SIGNATURE : POA_OK;
}
static void sound_sign(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg, size_t n,
                       uint8_t sig64[64])
{
    (void)seed32;
    tag(1, pk32, msg, n, sig64);
}
static int sound_vrf_verify(const uint8_t pk32[32], const void *alpha, size_t n,
                            const uint8_t pi80[80], uint8_t beta64[64])
{
    uint8_t want[64];
    tag(2, pk32, alpha, n, want);
    if (memcmp(want, pi80, 64))
        return POA_E_PROOF;
    poa_blake2b(want, 64, pk32, 32, beta64, 64);
    return POA_OK;
}
static int sound_vrf_prove(const uint8_t seed32[32], const uint8_t pk32[32], const void *alpha,
                           size_t n, uint8_t pi80[80])
{
    (void)seed32;
    memset(pi80, 0, 80);
    tag(2, pk32, alpha, n, pi80);
    return POA_OK;
}
static const struct poa_suite sound_suite = {sound_verify, sound_sign, sound_vrf_verify,
                                             sound_vrf_prove, sound_vrf_verify};

/* --- the world -------------------------------------------------------------------------- */

struct mail {
    uint16_t from, type; /* FROM: member, or POA_PEER_OTHER */
    uint8_t to;          /* core */
    uint64_t wait;       /* until the sender's write is durable */
    uint8_t *bytes;
    size_t n;
};

/* A checked batch, as a worker hands it over. */
struct checked {
    struct poa_checked_batch batch;
    struct checked *next;
    bool released;
    uint8_t *bytes;
    struct poa_tx_view *views;
};

struct node {
    struct poa_core *core;
    uint8_t seed[32], key[32];
    uint64_t persisted, durable;
    uint64_t height;
    struct checked *checked;
    bool halted;
};

static struct {
    const struct poa_suite *suite;
    bool sound, late;
    unsigned cores, members, steps;
    uint8_t chain[32];
    struct poa_slice genesis;
    struct poa_now now;
    struct node node[CORES];
    struct mail mail[QUEUE];
    unsigned mails;
    uint8_t hash[HEIGHTS][32];
    bool final[HEIGHTS];
    uint64_t nonce[FUZZ_ACCOUNTS];
} w;
static uint8_t recent[16][32]; /* header hashes of proposals that passed by */
static unsigned recents;

static bool step(unsigned i, const struct poa_event *e); /* false: enough for one input */

static void drop(unsigned i)
{
    free(w.mail[i].bytes);
    memmove(&w.mail[i], &w.mail[i + 1], (w.mails - i - 1) * sizeof w.mail[0]);
    w.mails--;
}

static void post(uint16_t from, unsigned to, uint16_t type, struct poa_slice bytes, uint64_t wait)
{
    if (w.mails == QUEUE)
        drop(0);
    w.mail[w.mails++] = (struct mail){.from = from,
                                      .to = (uint8_t)to,
                                      .type = type,
                                      .wait = wait,
                                      .bytes = fuzz_copy(bytes.p, bytes.n),
                                      .n = bytes.n};
}

static void deliver_bytes(uint16_t from, unsigned to, uint16_t type, struct poa_slice bytes)
{
    uint8_t *exact = fuzz_copy(bytes.p, bytes.n);
    const struct poa_event e = {
        .kind = POA_EVENT_MESSAGE, .peer = from, .type = type, .bytes = poa_slice(exact, bytes.n)};
    step(to, &e);
    free(exact);
}

/* A message that its sender may send already; false: there is none. */
static bool deliver(unsigned i)
{
    for (; i < w.mails; i++) {
        struct mail m = w.mail[i];
        if (m.from < w.cores && m.wait > w.node[m.from].durable)
            continue;
        w.mail[i].bytes = NULL;
        drop(i);
        deliver_bytes(m.from, m.to, m.type, poa_slice(m.bytes, m.n));
        free(m.bytes);
        return true;
    }
    return false;
}

static struct checked *check_batch(struct poa_slice bytes, const struct poa_committee *c,
                                   bool trusted)
{
    struct checked *k = calloc(1, sizeof *k);
    struct poa_batch b;
    FUZZ_CHECK(k != NULL);
    k->bytes = fuzz_copy(bytes.p, bytes.n);
    struct poa_slice own = poa_slice(k->bytes, bytes.n);
    uint32_t txs = poa_batch_decode(own, &b) ? 0 : b.txs.count;
    k->views = calloc(txs ? txs : 1, sizeof *k->views);
    FUZZ_CHECK(k->views != NULL);
    k->batch = (struct poa_checked_batch){.bytes = own, .tx = k->views, .txs = txs, .token = k};
    poa_batch_digest(own, k->batch.digest);
    int tx_code = POA_OK;
    struct poa_list_iter it = poa_list_begin(&b.txs);
    struct poa_raw_tx raw;
    (void)c;
    for (uint32_t i = 0; txs && poa_raw_tx_next(&it, &raw) && !tx_code; i++)
        tx_code = trusted ? poa_tx_parse(w.chain, raw.tx, &k->views[i])
                          : poa_tx_check(w.chain, raw.tx, &k->views[i]);
    k->batch.code = txs ? tx_code : POA_E_BATCH_INVALID;
    return k;
}

static void checked_free(struct checked *k)
{
    free(k->bytes);
    free(k->views);
    free(k);
}

static void tx_event(unsigned i, uint16_t peer, struct poa_slice list)
{
    struct poa_tx_view *views = calloc(TXS_MAX, sizeof *views);
    int codes[TXS_MAX];
    struct poa_txs txs;
    struct poa_raw_tx raw;
    uint32_t n = 0;
    FUZZ_CHECK(views != NULL);
    if (!poa_txs_decode(list, &txs)) {
        struct poa_list_iter it = poa_list_begin(&txs.txs);
        while (n < TXS_MAX && poa_raw_tx_next(&it, &raw))
            if (!poa_tx_check(w.chain, raw.tx, &views[n]))
                codes[n++] = 1;
    }
    const struct poa_event e = {
        .kind = POA_EVENT_TX, .peer = peer, .tx = views, .txs = n, .codes = codes};
    if (n && step(i, &e))
        for (uint32_t k = 0; k < n; k++)
            FUZZ_CHECK(codes[k] <= 0 || w.node[i].halted); /* each has its answer */
    free(views);
}

static void commit(struct node *n, const struct poa_commit *c)
{
    uint8_t hash[32];
    uint64_t h = c->header->height;
    poa_header_hash(c->header, hash);
    FUZZ_CHECK(!memcmp(hash, c->hash, 32) && h == n->height + 1);
    FUZZ_CHECK(c->header_bytes.n == POA_HEADER_BYTES);
    n->height = h;
    if (!w.sound || h >= HEIGHTS)
        return;
    if (w.final[h])
        FUZZ_CHECK(!memcmp(w.hash[h], hash, 32)); /* agreement */
    w.final[h] = true;
    memcpy(w.hash[h], hash, 32);
}

static void remember(struct poa_slice proposal)
{
    struct poa_proposal p;
    struct poa_header h;
    if (poa_proposal_decode(proposal, &p) || poa_header_decode(p.header, &h))
        return;
    poa_header_hash(&h, recent[recents++ % 16]);
}

/* A check that a worker does, kept until the effects have been read. */
struct todo {
    uint16_t type, peer;
    bool trusted;
    uint8_t *bytes;
    size_t n;
};

static bool step(unsigned i, const struct poa_event *event)
{
    struct node *n = &w.node[i];
    struct poa_effects out;
    struct todo todo[64];
    unsigned todos = 0;
    if (w.steps++ > STEPS)
        return false;
    FUZZ_CHECK(!poa_core_reserve(n->core));
    memory.in_step = true;
    int e = poa_core_step(n->core, event, w.now, &out);
    memory.in_step = false;
    FUZZ_CHECK(e <= 0 && memory.bytes <= w.cores * MEMORY);
    for (size_t k = 0; k < out.n; k++) {
        const struct poa_effect *x = &out.effect[k];
        switch (x->kind) {
        case POA_EFFECT_PERSIST:
            FUZZ_CHECK(x->seq > n->persisted && x->bytes.n);
            n->persisted = x->seq;
            break;
        case POA_EFFECT_SEND:
            FUZZ_CHECK(x->wait <= n->persisted);
            if (x->type == POA_MSG_PROPOSAL)
                remember(x->bytes);
            for (unsigned m = 0; m < w.cores; m++)
                if (x->to[m / 8] >> m % 8 & 1)
                    post((uint16_t)i, m, x->type, x->bytes, x->wait);
            break;
        case POA_EFFECT_COMMIT:
            commit(n, x->commit);
            break;
        case POA_EFFECT_CHECK:
            if (todos < 64)
                todo[todos++] = (struct todo){x->type, x->peer, x->trusted,
                                              fuzz_copy(x->bytes.p, x->bytes.n), x->bytes.n};
            break;
        case POA_EFFECT_RELEASE: {
            struct checked **at = &n->checked;
            while (*at && *at != x->token)
                at = &(*at)->next;
            FUZZ_CHECK(*at && !(*at)->released); /* ours, and given back once */
            (*at)->released = true;
            break;
        }
        case POA_EFFECT_HALT:
            n->halted = true;
            if (w.sound)
                fprintf(stderr, "halted: %s (%s)\n", x->text, poa_error_name(x->code));
            FUZZ_CHECK(x->code < 0 && x->text && !w.sound);
            break;
        case POA_EFFECT_GONE:
            for (uint32_t g = 0; g < x->gone_n; g++)
                FUZZ_CHECK(x->gone[g].code < 0);
            break;
        case POA_EFFECT_SUBMIT:
        case POA_EFFECT_FORGET:
        case POA_EFFECT_BEHIND:
        case POA_EFFECT_CONFLICT:
            break;
        }
    }
    /* The effects are executed: what was released may go. */
    for (struct checked **at = &n->checked; *at;) {
        struct checked *k = *at;
        if (k->released) {
            *at = k->next;
            checked_free(k);
        } else {
            at = &k->next;
        }
    }
    if (!w.late && n->persisted > n->durable && event->kind != POA_EVENT_PERSISTED) {
        n->durable = n->persisted;
        const struct poa_event p = {.kind = POA_EVENT_PERSISTED, .seq = n->durable};
        step(i, &p);
    }
    for (unsigned k = 0; k < todos; k++) {
        struct poa_slice bytes = poa_slice(todo[k].bytes, todo[k].n);
        if (todo[k].type == POA_MSG_BATCH) {
            struct checked *c = check_batch(bytes, poa_core_committee(n->core), todo[k].trusted);
            c->next = n->checked;
            n->checked = c;
            const struct poa_event b = {.kind = POA_EVENT_BATCH, .batch = &c->batch, .batches = 1};
            step(i, &b);
        } else {
            tx_event(i, todo[k].peer, bytes);
        }
        free(todo[k].bytes);
    }
    return true;
}

static void durable(unsigned i)
{
    struct node *n = &w.node[i];
    if (n->durable == n->persisted)
        return;
    n->durable = n->persisted;
    const struct poa_event p = {.kind = POA_EVENT_PERSISTED, .seq = n->durable};
    step(i, &p);
}

static void tick(unsigned i)
{
    const struct poa_event e = {.kind = POA_EVENT_TICK};
    step(i, &e);
}

/* One thing that a fair network would do next: a message, else time passes up
 * to the first deadline. */
static void run_once(void)
{
    if (deliver(0))
        return;
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < w.cores; i++) {
        uint64_t d = poa_core_deadline_us(w.node[i].core);
        next = d < next ? d : next;
        durable(i);
    }
    if (next == UINT64_MAX)
        return;
    if (next > w.now.us) {
        w.now.wall_ms += (next - w.now.us) / 1000;
        w.now.us = next;
    }
    for (unsigned i = 0; i < w.cores; i++)
        if (poa_core_deadline_us(w.node[i].core) <= w.now.us)
            tick(i);
}

static void begin(uint8_t flags)
{
    memset(&w, 0, sizeof w);
    recents = 0;
    w.cores = flags & 1 ? 1 : CORES;
    w.members = flags & 1 ? 1 : 4;
    w.sound = flags & 2;
    w.late = flags & 4;
    w.suite = w.sound ? &sound_suite : &fuzz_suite;
    static uint8_t bytes[2][2][16384];
    static size_t bytes_n[2][2];
    uint8_t *own = bytes[w.sound][flags & 1];
    size_t *own_n = &bytes_n[w.sound][flags & 1];
    if (!*own_n) {
        struct poa_writer g = poa_writer_over(own, sizeof bytes[0][0]);
        fuzz_genesis_write(w.suite, (uint8_t)w.members, &g);
        *own_n = g.n;
    }
    w.genesis = poa_slice(own, *own_n);
    poa_genesis_chain_id(w.genesis, w.chain);
    w.now = (struct poa_now){.us = 1000000, .wall_ms = FUZZ_GENESIS_MS + 10};
    for (unsigned i = 0; i < w.cores; i++) {
        struct node *n = &w.node[i];
        const struct poa_alloc alloc = {counted_alloc, counted_free, NULL};
        const struct poa_ledger_config l = {
            .suite = w.suite, .alloc = alloc, .genesis = w.genesis, .salt = i + 1};
        struct poa_core_config c = {
            .suite = w.suite, .alloc = alloc, .seed32 = n->seed, .key32 = n->key};
        fuzz_identity((uint8_t)(i + 1), n->seed, n->key);
        c.limits = (struct poa_core_limits){.pending_batches = 64,
                                            .pending_batch_bytes = 1 << 20,
                                            .pending_mining = 64,
                                            .mempool = {256, 64, 1 << 18},
                                            .batch_flush_bytes = 4096,
                                            .arena_bytes = 8 << 20};
        FUZZ_CHECK(!poa_ledger_new(&l, &c.ledger));
        FUZZ_CHECK(!poa_core_new(&c, w.now, &n->core));
    }
}

static void restore(struct fuzz_in *in, uint8_t flags)
{
    for (unsigned i = 0; i < w.cores; i++) {
        uint8_t record[128];
        struct poa_writer r = poa_writer_over(record, sizeof record);
        FUZZ_CHECK(!poa_core_init_record(w.chain, w.node[i].key, &r));
        struct poa_event e = {
            .kind = POA_EVENT_RESTORE, .type = POA_WAL_EPOCH, .seq = 1, .bytes = poa_written(&r)};
        step(i, &e);
        if (flags & 8 && !i) /* a log with anything in it */
            while (in->n > 2 && fuzz_u8(in) & 1) {
                e.type = 1 + fuzz_u8(in) % 7;
                e.seq++;
                struct poa_slice s = fuzz_chunk(in);
                uint8_t *exact = fuzz_copy(s.p, s.n);
                e.bytes = poa_slice(exact, s.n);
                step(i, &e);
                free(exact);
            }
        w.node[i].persisted = w.node[i].durable = e.seq;
        e = (struct poa_event){.kind = POA_EVENT_RESTORED};
        step(i, &e);
    }
}

static void end(void)
{
    while (w.mails)
        drop(0);
    for (unsigned i = 0; i < w.cores; i++) {
        struct poa_core_status s;
        bool conserved = false;
        poa_core_status(w.node[i].core, &s);
        FUZZ_CHECK(s.height == w.node[i].height);
        FUZZ_CHECK(!poa_ledger_audit(poa_core_ledger(w.node[i].core), &conserved) && conserved);
        poa_core_free(w.node[i].core);
        while (w.node[i].checked) {
            struct checked *k = w.node[i].checked;
            w.node[i].checked = k->next;
            checked_free(k);
        }
    }
    FUZZ_CHECK(!memory.bytes);
}

#endif
