/* Cores in any order of events. Real cores talk to one another through a
 * network that the input rules; the input also changes, repeats, drops and
 * invents messages, and speaks for one member and for strangers.
 *
 *   flags bit 0   one core that is its own committee, else three of four
 *   flags bit 1   the input cannot forge the signatures of the real cores: then
 *                 they must never commit two blocks of one height, nor halt
 *   flags bit 2   writes become durable late
 *
 * Always: no panic, no allocation in a step, memory within a bound, effects of
 * the documented shape. */
#include <sys/mman.h>

#include "ledger.h"
#include "poa_consensus.h"

#define CORES   3
#define QUEUE   96
#define HEIGHTS 256
#define MEMORY  ((size_t)400 << 20) /* per core: address space that it reserves */
#define TXS_MAX 64
#define BUNDLES 8
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

/* --- what the input says ------------------------------------------------------------------ */

#define BYZANTINE 3 /* committee index of the member without a core */

/* Signs as the member without a core, or, when anybody can forge, as anybody. */
static uint16_t author(struct fuzz_in *in)
{
    uint16_t m = fuzz_u8(in) % (w.members + 1);
    return w.members == 1 ? 0 : w.sound || m >= w.members ? BYZANTINE : m;
}
static void sign_as(uint16_t member, const uint8_t digest[32], uint8_t sig[64])
{
    uint8_t seed[32], key[32];
    fuzz_identity((uint8_t)(member + 1), seed, key);
    if (w.members == 1 && w.sound)
        key[0] ^= 1; /* no member is ours */
    w.suite->sign(seed, key, digest, 32, sig);
}
static uint64_t view_near(struct fuzz_in *in)
{
    struct poa_core_status s;
    poa_core_status(w.node[0].core, &s);
    return s.view + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
}
static uint32_t epoch_near(uint8_t op)
{
    struct poa_core_status s;
    poa_core_status(w.node[0].core, &s);
    return s.epoch + (op >> 7);
}
static void hash_near(struct fuzz_in *in, uint8_t hash[32])
{
    uint8_t i = fuzz_u8(in);
    if (i < 200)
        memcpy(hash, recent[i % 16], 32);
    else
        memset(hash, i, 32);
}
/* From outside: nobody else speaks under a core's own number, which a driver
 * gives only to what the core sent itself. */
static void inject(uint16_t from, unsigned to, uint16_t type, struct poa_slice bytes)
{
    deliver_bytes(from == to || from >= w.members ? POA_PEER_OTHER : from, to, type, bytes);
}
static void to_all(uint16_t from, uint16_t type, struct poa_slice bytes)
{
    for (unsigned i = 0; i < w.cores; i++)
        inject(from, i, type, bytes);
}

static void vote(struct fuzz_in *in, uint8_t op)
{
    uint8_t bytes[256], digest[32];
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_vote v = {.kind = (op >> 4) % 3, .epoch = epoch_near(op), .voter = author(in)};
    v.view = view_near(in);
    if (v.kind != POA_VOTE_NULLIFY)
        hash_near(in, v.hash);
    poa_vote_digest(w.chain, v.kind, v.epoch, v.view, v.hash, digest);
    sign_as(v.voter, digest, v.sig);
    FUZZ_CHECK(!poa_vote_encode(&o, &v));
    to_all(v.voter, POA_MSG_VOTE, poa_written(&o));
}

static void cert(struct fuzz_in *in, uint8_t op)
{
    static uint8_t sigs[64 * 4];
    uint8_t bytes[512], digest[32];
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_cert c = {.kind = (op >> 4) % 3, .epoch = epoch_near(op)};
    c.view = view_near(in);
    if (c.kind != POA_VOTE_NULLIFY)
        hash_near(in, c.hash);
    c.signers[0] = fuzz_u8(in) & 15;
    poa_vote_digest(w.chain, c.kind, c.epoch, c.view, c.hash, digest);
    for (uint16_t m = 0; m < 4; m++)
        if (c.signers[0] >> m & 1)
            sign_as(w.sound ? BYZANTINE : m, digest, sigs + 64 * c.sigs.count++);
    c.sigs.bytes = poa_slice(sigs, (size_t)64 * c.sigs.count);
    FUZZ_CHECK(!poa_cert_encode(&o, &c));
    to_all(fuzz_u8(in) & 1 ? BYZANTINE : POA_PEER_OTHER, POA_MSG_CERT, poa_written(&o));
}

/* A proposal that passed by, with fields of the header and the body replaced,
 * signed again. */
static void proposal(struct fuzz_in *in, uint8_t op)
{
    static uint8_t body[8192], bytes[32768];
    uint8_t header[POA_HEADER_BYTES], hash[32], digest[32], seed[32], key[32], alpha[32];
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    struct poa_lottery lottery;
    struct poa_writer hw = poa_writer_over(header, sizeof header);
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_proposal p;
    struct poa_header h;
    const struct mail *m = NULL;
    for (unsigned i = 0; i < w.mails && !m; i++)
        if (w.mail[i].type == POA_MSG_PROPOSAL)
            m = &w.mail[i];
    if (!m || poa_proposal_decode(poa_slice(m->bytes, m->n), &p) || poa_header_decode(p.header, &h))
        return;
    for (unsigned i = op >> 4; i; i--) {
        switch (fuzz_u8(in) % 12) {
        case 0:
            h.kind = fuzz_u8(in) % 3;
            break;
        case 1:
            h.view = view_near(in);
            break;
        case 2:
            h.height += (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
            break;
        case 3:
            hash_near(in, h.parent);
            break;
        case 4:
            h.parent_view = view_near(in);
            break;
        case 5:
            h.time_ms += (uint64_t)(int64_t)(int32_t)fuzz_u32(in);
            break;
        case 6:
            h.state[0] ^= fuzz_u8(in);
            break;
        case 7:
            h.closing_height = fuzz_u8(in);
            break;
        case 8:
            hash_near(in, h.next_committee);
            break;
        case 9:
            h.time_ms = fuzz_u64(in);
            break;
        case 10:
        case 11: { /* any body that can be decoded */
            struct poa_body b;
            struct poa_slice s = fuzz_chunk(in);
            if (s.n <= sizeof body && !poa_body_decode(s, &b)) {
                memcpy(body, s.p, s.n);
                p.body = poa_slice(body, s.n);
                poa_body_hash(p.body, h.body);
            }
            break;
        }
        }
    }
    h.leader = author(in);
    fuzz_identity((uint8_t)(h.leader + 1), seed, key);
    if (!poa_ledger_epoch(poa_core_ledger(w.node[0].core), POA_STATE_BASE, h.epoch, &epoch,
                          &committee, &lottery)) {
        poa_beacon_alpha(w.chain, h.epoch, h.view, epoch.seed, alpha);
        (void)w.suite->vrf_prove(seed, key, alpha, sizeof alpha, h.beacon);
    }
    if (poa_header_encode(&hw, &h))
        return;
    poa_header_hash(&h, hash);
    memcpy(recent[recents++ % 16], hash, 32);
    poa_proposal_digest(hash, digest);
    sign_as(h.leader, digest, p.sig);
    p.header = poa_written(&hw);
    if (!poa_proposal_encode(&o, &p))
        to_all(h.leader, POA_MSG_PROPOSAL, poa_written(&o));
}

/* A list of transactions, valid ones of account OP and perhaps a broken one. */
static uint32_t transfers(struct fuzz_in *in, uint8_t op, struct poa_writer *o)
{
    uint32_t n = 1u + (op >> 4 & 3);
    uint8_t account = (op >> 6) % FUZZ_ACCOUNTS;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t tx[512], id[32], how = fuzz_u8(in);
        uint64_t nonce = how & 1 ? how >> 1 : w.nonce[account]++;
        size_t size = fuzz_transfer(w.chain, account, nonce, 1u + how, tx, sizeof tx, id);
        if (how == 255)
            tx[fuzz_u16(in) % size] ^= 1;
        const struct poa_raw_tx raw = {poa_slice(tx, size)};
        FUZZ_CHECK(!poa_raw_tx_encode(o, &raw));
    }
    return n;
}

static void txs(struct fuzz_in *in, uint8_t op, bool message)
{
    static uint8_t list[4096], bytes[4200];
    struct poa_writer l = poa_writer_over(list, sizeof list),
                      o = poa_writer_over(bytes, sizeof bytes);
    uint32_t n = transfers(in, op, &l);
    const struct poa_txs t = {{poa_written(&l), n}};
    FUZZ_CHECK(!poa_txs_encode(&o, &t));
    unsigned to = fuzz_u8(in) % w.cores;
    if (message)
        inject(BYZANTINE, to, POA_MSG_TX, poa_written(&o));
    else
        tx_event(to, POA_PEER_OTHER, poa_written(&o));
}

static void batch(struct fuzz_in *in, uint8_t op)
{
    static uint8_t list[4096], bytes[4400];
    uint8_t digest[32], signed32[32];
    struct poa_writer l = poa_writer_over(list, sizeof list),
                      o = poa_writer_over(bytes, sizeof bytes);
    uint32_t n = transfers(in, op, &l);
    struct poa_batch b = {
        .epoch = epoch_near(0), .author = author(in), .txs = {poa_written(&l), n}};
    b.seq = fuzz_u16(in);
    b.expires_ms = w.now.wall_ms + (uint64_t)(int64_t)(int32_t)fuzz_u32(in);
    FUZZ_CHECK(!poa_batch_encode(&o, &b));
    poa_batch_digest(poa_written(&o), digest);
    poa_batch_sig_digest(w.chain, digest, signed32);
    sign_as(b.author, signed32, b.sig);
    o.n = 0;
    FUZZ_CHECK(!poa_batch_encode(&o, &b));
    to_all(b.author, POA_MSG_BATCH, poa_written(&o));
    if (fuzz_u8(in) & 1) { /* and says that it holds it */
        struct poa_writer a = poa_writer_over(list, sizeof list);
        const struct poa_batch_ack ack = {b.epoch, {poa_slice(digest, 32), 1}};
        FUZZ_CHECK(!poa_batch_ack_encode(&a, &ack));
        to_all(BYZANTINE, POA_MSG_BATCH_ACK, poa_written(&a));
    }
}

static void mining(struct fuzz_in *in, uint8_t op)
{
    uint8_t tickets[1024], seals[1024], bytes[4096], digest[32], alpha[32], seed[32];
    struct poa_writer t = poa_writer_over(tickets, sizeof tickets),
                      s = poa_writer_over(seals, sizeof seals),
                      o = poa_writer_over(bytes, sizeof bytes);
    struct poa_mining m = {.tickets = {.count = op >> 4 & 3}, .seals = {.count = op >> 6}};
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    struct poa_lottery lottery;
    struct poa_core_status status;
    poa_core_status(w.node[0].core, &status);
    if (poa_ledger_epoch(poa_core_ledger(w.node[0].core), POA_STATE_BASE, status.epoch, &epoch,
                         &committee, &lottery))
        return;
    for (uint32_t i = 0; i < m.tickets.count; i++) {
        struct poa_ticket x = {.epoch = status.epoch, .window = fuzz_u8(in) % 4};
        fuzz_identity((uint8_t)(30 + fuzz_u8(in) % (FUZZ_DEVICES + 1)), seed, x.device);
        poa_ticket_alpha(w.chain, epoch.seed, x.epoch, x.window, alpha);
        (void)w.suite->vrf_prove(seed, x.device, alpha, sizeof alpha, x.proof);
        FUZZ_CHECK(!poa_ticket_encode(&t, &x));
    }
    for (uint32_t i = 0; i < m.seals.count; i++) {
        struct poa_seal x = {.epoch = status.epoch, .slot = fuzz_u8(in) % 32};
        struct poa_st_slot slot;
        uint8_t key[8];
        uint8_t device = fuzz_u8(in);
        poa_put_le64(key, x.slot);
        fuzz_identity((uint8_t)(30 + device % (FUZZ_DEVICES + 1)), seed, x.device);
        if (!poa_ledger_read(poa_core_ledger(w.node[0].core), POA_STATE_BASE, POA_STATE_SLOT, key,
                             sizeof key, &slot)) {
            struct poa_st_seat seat;
            x.height = slot.height;
            x.epoch = slot.epoch;
            memcpy(x.hash, slot.hash, 32);
            if (device > 128 && slot.seats.count &&
                !poa_list_at(&poa_st_seat_record, &slot.seats, device % slot.seats.count, &seat))
                memcpy(x.device, seat.device, 32);
        }
        poa_seal_digest(w.chain, &x, digest);
        w.suite->sign(seed, x.device, digest, 32, x.sig);
        FUZZ_CHECK(!poa_seal_encode(&s, &x));
    }
    m.tickets.bytes = poa_written(&t);
    m.seals.bytes = poa_written(&s);
    FUZZ_CHECK(!poa_mining_encode(&o, &m));
    int codes[8] = {0};
    const struct poa_event e = {
        .kind = POA_EVENT_MINING, .peer = POA_PEER_OTHER, .bytes = poa_written(&o), .codes = codes};
    step(fuzz_u8(in) % w.cores, &e);
}

/* Blocks of a server that is not to be trusted. */
static void bundle(struct fuzz_in *in)
{
    struct poa_slice s = fuzz_chunk(in);
    struct poa_blocks r;
    struct poa_block blk;
    struct checked *held[BUNDLES];
    struct poa_checked_batch batches[BUNDLES];
    uint32_t n = 0;
    uint8_t *exact = fuzz_copy(s.p, s.n);
    if (!poa_blocks_decode(poa_slice(exact, s.n), &r)) {
        struct poa_list_iter it = poa_list_begin(&r.blocks);
        bool whole = true;
        while (poa_block_next(&it, &blk)) {
            struct poa_list_iter raws = poa_list_begin(&blk.batches);
            struct poa_raw_batch raw;
            while (poa_raw_batch_next(&raws, &raw)) {
                struct poa_batch b;
                if (n == BUNDLES || poa_batch_decode(raw.batch, &b)) {
                    whole = false; /* a node gives such a bundle up */
                    continue;
                }
                held[n] = check_batch(raw.batch, NULL, true);
                batches[n] = held[n]->batch;
                n++;
            }
        }
        const struct poa_event e = {.kind = POA_EVENT_BLOCK,
                                    .peer = POA_PEER_OTHER,
                                    .bytes = poa_slice(exact, s.n),
                                    .batch = batches,
                                    .batches = n};
        if (whole)
            step(0, &e);
        for (uint32_t i = 0; i < n; i++)
            checked_free(held[i]);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    begin(flags);
    restore(&in, flags);
    while (in.n && w.steps < STEPS) {
        uint8_t op = fuzz_u8(&in);
        switch (op & 15) {
        case 0:
            for (unsigned k = 1u + (op >> 4) * 4; k; k--)
                run_once();
            break;
        case 1:
            deliver(fuzz_u8(&in) % QUEUE);
            break;
        case 2: { /* a message changed on its way */
            unsigned i = fuzz_u8(&in), to = fuzz_u8(&in) % w.cores;
            uint16_t at = fuzz_u16(&in);
            uint8_t change = fuzz_u8(&in);
            if (!w.mails)
                break;
            struct mail *m = &w.mail[i % w.mails];
            uint8_t *copy = fuzz_copy(m->bytes, m->n);
            size_t n = op & 16 ? at % (m->n + 1) : m->n;
            if (n)
                copy[at % n] ^= change;
            uint16_t from = op & 32 ? m->from : op & 64 ? POA_PEER_OTHER : BYZANTINE;
            uint16_t type = op & 128 ? fuzz_u8(&in) : m->type;
            inject(from, to, type, poa_slice(copy, n));
            free(copy);
            break;
        }
        case 3: {
            uint16_t type = fuzz_u8(&in);
            uint16_t from = op & 16 ? POA_PEER_OTHER : fuzz_u8(&in) % w.members;
            unsigned to = op >> 5 & 1 ? 0 : fuzz_u8(&in) % w.cores;
            inject(from, to, type, fuzz_chunk(&in));
            break;
        }
        case 4:
            txs(&in, op, false);
            break;
        case 5:
            txs(&in, op, true);
            break;
        case 6:
            vote(&in, op);
            break;
        case 7:
            cert(&in, op);
            break;
        case 8:
            proposal(&in, op);
            break;
        case 9:
            batch(&in, op);
            break;
        case 10:
            mining(&in, op);
            break;
        case 11:
            if (w.mails)
                drop(fuzz_u8(&in) % w.mails);
            break;
        case 12: {
            uint32_t us = fuzz_u32(&in) >> (op >> 4);
            w.now.us += us;
            w.now.wall_ms += us / 1000;
            tick(fuzz_u8(&in) % w.cores);
            break;
        }
        case 13:
            bundle(&in);
            break;
        case 14:
            if (w.mails) {
                struct mail *m = &w.mail[fuzz_u8(&in) % w.mails];
                uint8_t *copy = fuzz_copy(m->bytes, m->n);
                size_t n = m->n;
                uint16_t from = m->from, type = m->type;
                deliver_bytes(from, m->to, type, poa_slice(copy, n)); /* twice */
                to_all(from, type, poa_slice(copy, n));
                free(copy);
            }
            break;
        case 15:
            durable((op >> 4) % w.cores);
            break;
        }
    }
    end();
    return 0;
}

void fuzz_seeds(void)
{
    for (uint8_t flags = 0; flags < 8; flags++) {
        /* Blocks; transfers; a ticket and seals; votes, certificates, proposals,
         * batches of the last member; a changed, a dropped and a doubled message. */
        uint8_t ops[] = {flags, 0x70, 0x34, 2,    4,   6,    0,    0xf0, 0x7a, 1,    0,    2,
                         1,     3,    2,    1,    200, 0,    0xf0, 0x06, 3,    1,    0,    0x40,
                         0x17,  1,    1,    15,   1,   0x40, 0x18, 5,    100,  0,    0,    0,
                         3,     0x40, 0x29, 2,    4,   6,    3,    1,    0,    255,  255,  0,
                         0,     1,    0xf0, 0x22, 0,   1,    9,    0,    4,    0x40, 0x0b, 0,
                         0x0e,  1,    0x0c, 0,    0,   32,   0,    1,    0xf0, 0xf0};
        char name[] = "mixed-0";
        name[6] = (char)('0' + flags);
        fuzz_seed(name, ops, sizeof ops);
        uint8_t calm[12];
        memset(calm, 0xf0, sizeof calm);
        calm[0] = flags;
        name[0] = 'c', name[1] = 'a', name[2] = 'l', name[3] = 'm', name[4] = '-';
        name[5] = (char)('0' + flags), name[6] = 0;
        fuzz_seed(name, calm, sizeof calm);
    }
    /* Every message type, by a member and a stranger, in a minimal encoding. */
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {
#define ROW(NAME, number, prio, rec, text) {#NAME, number},
        POA_MESSAGES(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint8_t ops[200] = {1, 0x30, 3, types[i].type, 0, 0, 120, 0};
        char name[40];
        snprintf(name, sizeof name, "zeros-%s", types[i].name);
        fuzz_seed(name, ops, 8 + 120);
    }
    /* Views up to the last number there is. */
    uint8_t certs[40];
    struct poa_writer o = poa_writer_over(certs, sizeof certs);
    poa_write(&o, (const uint8_t[]){0, 3, POA_MSG_GET_CERTS, BYZANTINE, 0, 20, 0}, 7);
    poa_write_u32(&o, 0);
    poa_write_u64(&o, UINT64_MAX - 63);
    poa_write_u64(&o, UINT64_MAX);
    fuzz_seed("get-certs-to-the-end", certs, o.n);
}
