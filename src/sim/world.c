/* Clock, event queue, network, nodes and the effects of their cores. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void trace(struct poa_sim *s, const struct node *n, const char *format, ...)
{
    va_list args;
    if (!s->config.trace)
        return;
    fprintf(s->config.trace, "%9.3f ms  node %-2u  ", (double)s->now / 1000.0, n->id);
    va_start(args, format);
    vfprintf(s->config.trace, format, args);
    va_end(args);
    fputc('\n', s->config.trace);
}

#define EVENTS_MAX 8000000u /* of a run; most have some ten thousand */

/* --- events --------------------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void event_push(struct poa_sim *s, struct event e)
{
    if (s->events == s->heap_cap) {
        s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 1024;
        s->heap = realloc(s->heap, s->heap_cap * sizeof *s->heap);
        POA_ASSERT(s->heap);
    }
    e.order = s->order++;
    size_t i = s->events++;
    while (i && before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct event event_pop(struct poa_sim *s)
{
    struct event top = s->heap[0], last = s->heap[--s->events];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->events)
            break;
        if (child + 1 < s->events && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/* --- nodes ---------------------------------------------------------------------------- */

struct poa_now node_now(const struct poa_sim *s, const struct node *n)
{
    return (struct poa_now){
        .us = s->now, .wall_ms = (uint64_t)((int64_t)(s->genesis_ms + s->now / 1000) + n->skew_ms)};
}

/* Indices of the committee that the core of N goes by. */
static void members(struct poa_sim *s, struct node *n)
{
    const struct poa_committee *c = poa_core_committee(n->core);
    if (n->epoch == c->epoch)
        return;
    n->epoch = c->epoch;
    n->members = c->members.count;
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX; i++)
        n->node_of[i] = -1;
    for (uint32_t i = 0; i < s->nodes; i++) {
        n->member[i] = -1;
        if (!s->node[i].has_key)
            continue;
        int at = poa_committee_find(c, s->node[i].key);
        if (at >= 0) {
            n->member[i] = at;
            n->node_of[at] = (int32_t)i;
        }
    }
}

static void send_now(struct poa_sim *s, struct node *n, const uint8_t to[16], uint32_t epoch,
                     struct message *m)
{
    members(s, n);
    if (epoch != n->epoch)
        return; /* the committee that it was for is gone */
    struct poa_slice bytes = poa_slice(m->bytes, m->n);
    if (m->type == POA_MSG_VOTE && n->kind == HONEST)
        check_sent_vote(s, n, bytes);
    else if (m->type == POA_MSG_PROPOSAL && n->kind == HONEST)
        check_sent_proposal(s, n, bytes);
    else if (m->type == POA_MSG_BATCH && n->kind == HONEST)
        check_sent_batch(s, n, bytes);
    for (uint32_t i = 0; i < n->members; i++) {
        if (!((unsigned)to[i / 8] >> (i % 8) & 1u) || n->node_of[i] < 0)
            continue;
        uint32_t peer = (uint32_t)n->node_of[i];
        if (n->kind != HONEST && peer != n->id)
            byzantine_send(s, n, peer, m);
        else
            network(s, n->id, peer, m);
    }
}

static const char *const kind_name[] = {"notarize", "nullify", "finalize"};

/* Blocks are called A, B, C, ... in the order in which they are first seen. */
static const char *name_of(struct poa_sim *s, const uint8_t hash[32])
{
    static char text[4][8];
    static int turn;
    struct pair *at = pair_at(&s->names, poa_le64(hash));
    char *out = text[turn++ % 4];
    uint64_t i;
    if (!at->used) {
        at->used = true;
        poa_put_le64(at->hash, s->named++);
    }
    i = poa_le64(at->hash);
    if (i < 26)
        snprintf(out, sizeof text[0], "%c", (char)('A' + (int)i));
    else
        snprintf(out, sizeof text[0], "%c%u", (char)('A' + (int)(i % 26)),
                 (unsigned)(i / 26 % 10000));
    return out;
}

static const char *message_name(uint16_t type)
{
    switch (type) {
#define NAME_ROW(name, number, prio, record, text)                                                 \
    case number:                                                                                   \
        return #name;
        POA_MESSAGES(NAME_ROW)
#undef NAME_ROW
    default:
        return "?";
    }
}

static void trace_message(struct poa_sim *s, struct node *n, const char *what, uint16_t type,
                          struct poa_slice bytes)
{
    struct poa_vote v;
    struct poa_cert c;
    struct poa_proposal p;
    struct poa_header h;
    struct poa_recover r;
    struct poa_recovered rd;
    uint8_t hash[32];
    if (!s->config.trace)
        return;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &v)) {
        trace(s, n, "%s vote: %s view %u.%llu%s%s", what, kind_name[v.kind], v.epoch,
              (unsigned long long)v.view, v.kind == POA_VOTE_NULLIFY ? "" : ", block ",
              v.kind == POA_VOTE_NULLIFY ? "" : name_of(s, v.hash));
    } else if (type == POA_MSG_CERT && !poa_cert_decode(bytes, &c)) {
        trace(s, n, "%s certificate: %s view %u.%llu%s%s, %u signatures", what, kind_name[c.kind],
              c.epoch, (unsigned long long)c.view, c.kind == POA_VOTE_NULLIFY ? "" : ", block ",
              c.kind == POA_VOTE_NULLIFY ? "" : name_of(s, c.hash), c.sigs.count);
    } else if (type == POA_MSG_PROPOSAL && !poa_proposal_decode(bytes, &p) &&
               !poa_header_decode(p.header, &h)) {
        static const char *const kind[] = {"block", "closing block", "filler"};
        poa_header_hash(&h, hash);
        trace(s, n, "%s proposal: %s %s, height %llu, view %u.%llu on view %llu, %u certificates",
              what, kind[h.kind], name_of(s, hash), (unsigned long long)h.height, h.epoch,
              (unsigned long long)h.view, (unsigned long long)h.parent_view, p.just.count);
    } else if (type == POA_MSG_RECOVER && !poa_recover_decode(bytes, &r)) {
        trace(s, n, "%s: views %u.%llu and %llu are skipped", what, r.epoch,
              (unsigned long long)r.view, (unsigned long long)r.view + 1);
    } else if (type == POA_MSG_RECOVERED && !poa_recovered_decode(bytes, &rd)) {
        trace(s, n, "%s certificate: views %u.%llu and %llu are skipped, %u signatures", what,
              rd.epoch, (unsigned long long)rd.view, (unsigned long long)rd.view + 1,
              rd.sigs.count);
    } else {
        trace(s, n, "%s %s, %zu bytes", what, message_name(type), bytes.n);
    }
}

static void effect_send(struct poa_sim *s, struct node *n, const struct poa_effect *e)
{
    struct message *m = message_new(n->id, e->type, e->bytes);
    struct poa_header h;
    struct poa_proposal p;
    trace_message(s, n, "sends", e->type, e->bytes);
    if (e->type == POA_MSG_PROPOSAL && !poa_proposal_decode(e->bytes, &p) &&
        !poa_header_decode(p.header, &h) && h.leader == (uint16_t)n->member[n->id]) {
        uint8_t hash[32];
        poa_header_hash(&h, hash);
        struct pair *at = pair_at(&s->proposed, poa_le64(hash));
        if (!at->used) {
            at->used = true;
            poa_put_le64(at->hash, s->now);
            poa_put_le64(at->hash + 8, h.parent_view);
            memcpy(at->hash + 16, h.parent, 16);
            if (s->last_proposal_us && h.view > 4) {
                s->period_sum += (double)(s->now - s->last_proposal_us);
                s->period_n++;
            }
            s->last_proposal_us = s->now;
        }
    }
    members(s, n);
    if (e->wait <= n->durable || s->config.sim_mutant == POA_SIM_MUTANT_SEND_EARLY) {
        send_now(s, n, e->to, n->epoch, m);
        message_free(m);
        return;
    }
    if (n->waits == n->wait_cap) {
        n->wait_cap = n->wait_cap ? n->wait_cap * 2 : 64;
        n->wait = realloc(n->wait, n->wait_cap * sizeof *n->wait);
        POA_ASSERT(n->wait);
    }
    struct waiting *w = &n->wait[n->waits++];
    w->seq = e->wait;
    w->epoch = n->epoch;
    w->m = m;
    memcpy(w->to, e->to, 16);
}

static void release_waiting(struct poa_sim *s, struct node *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->waits; i++) {
        struct waiting w = n->wait[i];
        if (w.seq > n->durable) {
            n->wait[kept++] = w;
            continue;
        }
        send_now(s, n, w.to, w.epoch, w.m);
        message_free(w.m);
    }
    n->waits = kept;
}

static void effect_check(struct poa_sim *s, struct node *n, const struct poa_effect *e)
{
    struct event ev = {.at = s->now + (e->trusted ? s->config.check_us / 8 : s->config.check_us),
                       .node = n->id,
                       .life = n->life,
                       .peer = e->peer};
    if (e->type == POA_MSG_BATCH) {
        ev.kind = EV_BATCH;
        ev.batch = batch_get(s, e->bytes);
        if (!ev.batch)
            return;
    } else {
        ev.kind = EV_TXS;
        ev.m = message_new(n->id, e->type, e->bytes);
    }
    event_push(s, ev);
}

/* A server that N, which is no member, can submit to. */
static uint32_t random_member(struct poa_sim *s, struct node *n)
{
    uint32_t from = below(&s->random, s->config.nodes);
    members(s, n);
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        uint32_t k = (from + i) % s->config.nodes;
        if (s->node[k].up && n->member[k] >= 0)
            return k;
    }
    return from;
}

static void trace_convictions(struct poa_sim *s, const struct node *n, struct poa_slice bytes)
{
    struct poa_body body;
    struct poa_evidence ev;
    if (!s->config.trace || poa_body_decode(bytes, &body))
        return;
    struct poa_list_iter it = poa_list_begin(&body.evidence);
    while (poa_evidence_next(&it, &ev))
        for (uint32_t i = 0; i < s->config.nodes; i++)
            if (!memcmp(s->node[i].key, ev.author, 32))
                trace(s, n, "convicts node %u: it signed what contradicts itself", i);
}

static void effect(struct poa_sim *s, struct node *n, const struct poa_effect *e)
{
    struct disk_op op = {.kind = OP_RECORD, .type = e->type, .seq = e->seq};
    switch (e->kind) {
    case POA_EFFECT_PERSIST:
        op.bytes = malloc(e->bytes.n ? e->bytes.n : 1);
        POA_ASSERT(op.bytes);
        memcpy(op.bytes, e->bytes.p, e->bytes.n);
        op.n = e->bytes.n;
        if (e->type == POA_WAL_RECOVERED && n->kind == HONEST)
            check_recovered(s, n, e->bytes);
        if (e->type == POA_WAL_CERT) {
            if (n->kind == HONEST)
                check_cert(s, n, e->bytes);
            trace_message(s, n, "has", POA_MSG_CERT, e->bytes);
        }
        disk_append(s, n, op);
        break;
    case POA_EFFECT_SEND:
        effect_send(s, n, e);
        break;
    case POA_EFFECT_SUBMIT: {
        struct event ev = {
            .at = s->now + between(&s->random, s->config.delay_min_us, s->config.delay_max_us),
            .kind = EV_SUBMIT,
            .node = random_member(s, n)};
        ev.m = message_new(n->id, e->type, e->bytes);
        event_push(s, ev);
        break;
    }
    case POA_EFFECT_COMMIT:
        op.kind = OP_COMMIT;
        op.block = check_commit(s, n, e->commit);
        n->height = e->commit->header->height;
        if (e->commit->cert.n) {
            op.bytes = malloc(e->commit->cert.n);
            POA_ASSERT(op.bytes);
            memcpy(op.bytes, e->commit->cert.p, e->commit->cert.n);
            op.n = e->commit->cert.n;
        }
        if (e->commit->fillers.n) {
            op.fillers = malloc(e->commit->fillers.n);
            POA_ASSERT(op.fillers);
            memcpy(op.fillers, e->commit->fillers.p, e->commit->fillers.n);
            op.fillers_bytes = e->commit->fillers.n;
            op.fillers_n = e->commit->fillers_n;
        }
        trace(s, n, "commits block %s, height %llu, %u batches, %u transactions",
              name_of(s, e->commit->hash), (unsigned long long)n->height, e->commit->batches,
              e->commit->txs);
        trace_convictions(s, n, e->commit->body);
        disk_append(s, n, op);
        load_committed(s, n, e->commit);
        break;
    case POA_EFFECT_CHECK:
        effect_check(s, n, e);
        break;
    case POA_EFFECT_RELEASE:
        break; /* batches are shared and live to the end */
    case POA_EFFECT_FORGET:
        op.kind = OP_FORGET;
        disk_append(s, n, op);
        break;
    case POA_EFFECT_BEHIND:
        trace(s, n, "is behind: others are at height %llu or beyond",
              (unsigned long long)e->height);
        n->behind = true;
        break;
    case POA_EFFECT_CONFLICT:
        trace(s, n, "has evidence");
        if (n->kind == HONEST)
            check_evidence(s, n, e->bytes);
        break;
    case POA_EFFECT_HALT:
        trace(s, n, "halts: %s", e->text);
        if (n->kind == HONEST)
            violation(s, n, "halted: %s (%s)", e->text, poa_error_name(e->code));
        break;
    }
}

static void arm(struct poa_sim *s, struct node *n)
{
    uint64_t at = poa_core_deadline_us(n->core);
    if (at == NEVER)
        return;
    if (at < s->now)
        at = s->now;
    if (at >= n->tick_at && n->tick_at > s->now)
        return;
    n->tick_at = at;
    event_push(s, (struct event){.at = at, .kind = EV_TICK, .node = n->id, .life = n->life});
}

int node_step(struct poa_sim *s, struct node *n, const struct poa_event *e)
{
    struct poa_effects effects;
    uint32_t life = n->life;
    bool commits = false;
    POA_ASSERT(poa_core_reserve(n->core) == POA_OK);
    int code = poa_core_step(n->core, e, node_now(s, n), &effects);
    for (size_t i = 0; i < effects.n && n->life == life; i++) {
        commits |= effects.effect[i].kind == POA_EFFECT_COMMIT;
        effect(s, n, &effects.effect[i]);
        if (n->kind == HONEST && n->restored && s->now < s->config.gst_us &&
            chance(&s->random, s->config.crash_ppm / 1000)) {
            /* Between two effects of one step. */
            poa_sim_kill(s, n->id);
            event_push(s, (struct event){.at = s->now + between(&s->random, 20000, 400000),
                                         .kind = EV_START,
                                         .node = n->id});
        }
    }
    if (n->up && n->life == life && n->restored && commits && s->config.save_ppm &&
        chance(&s->random, s->config.save_ppm))
        state_save(s, n);
    if (n->up && n->life == life)
        arm(s, n);
    return code;
}

int poa_sim_recover(struct poa_sim *s, uint32_t node, const uint8_t token32[32])
{
    struct node *n = &s->node[node];
    struct poa_core_status st;
    if (!n->up)
        return POA_E_CLOSED;
    poa_core_status(n->core, &st);
    struct poa_event e = {
        .kind = POA_EVENT_RECOVER, .seq = st.epoch, .bytes = poa_slice(token32, 32)};
    trace(s, n, "is told to recover");
    return node_step(s, n, &e);
}

uint32_t random_up(struct poa_sim *s)
{
    uint32_t from = below(&s->random, s->config.nodes);
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        uint32_t k = (from + i) % s->config.nodes;
        if (s->node[k].up && s->node[k].kind == HONEST)
            return k;
    }
    return from;
}

/* --- the events one by one --------------------------------------------------------------- */

static void deliver(struct poa_sim *s, struct node *n, struct message *m)
{
    struct poa_event e = {.kind = POA_EVENT_MESSAGE,
                          .type = m->type,
                          .peer = POA_PEER_OTHER,
                          .bytes = poa_slice(m->bytes, m->n)};
    members(s, n);
    if (n->member[m->from] >= 0)
        e.peer = (uint16_t)n->member[m->from];
    (void)node_step(s, n, &e);
}

static uint32_t parse_txs(struct poa_sim *s, const struct poa_list *txs, struct poa_tx_view *out)
{
    struct poa_raw_tx raw;
    uint32_t n = 0;
    struct poa_list_iter it = poa_list_begin(txs);
    while (poa_raw_tx_next(&it, &raw)) {
        int e = s->config.real_crypto ? poa_tx_check(s->chain, raw.tx, &out[n])
                                      : poa_tx_parse(s->chain, raw.tx, &out[n]);
        n += e == POA_OK;
    }
    return n;
}

static void txs_arrive(struct poa_sim *s, struct node *n, const struct event *ev)
{
    struct poa_txs txs;
    struct poa_slice bytes = poa_slice(ev->m->bytes, ev->m->n);
    if (poa_txs_decode(bytes, &txs))
        return;
    struct poa_tx_view *views = malloc((txs.txs.count + 1) * sizeof *views);
    POA_ASSERT(views);
    struct poa_event e = {.kind = POA_EVENT_TX, .peer = ev->peer, .tx = views};
    e.txs = parse_txs(s, &txs.txs, views);
    if (e.txs)
        (void)node_step(s, n, &e);
    free(views);
}

static void submitted(struct poa_sim *s, struct node *n, const struct event *ev)
{
    if (ev->m->type == POA_MSG_REQ_SUBMIT) {
        struct event tx = *ev;
        tx.peer = POA_PEER_OTHER;
        txs_arrive(s, n, &tx);
        return;
    }
    struct poa_event e = {.kind = POA_EVENT_MINING, .bytes = poa_slice(ev->m->bytes, ev->m->n)};
    (void)node_step(s, n, &e);
}

/* Whoever is no member follows a server all the time, a member when its core
 * says that it is behind. */
static void follow(struct poa_sim *s, struct node *n)
{
    uint32_t from = random_up(s);
    struct node *server = &s->node[from];
    bool cut = s->partitioned && s->side[from] != s->side[n->id];
    members(s, n);
    n->follow_at = s->now + 10000 + 2 * (uint64_t)s->config.delay_max_us;
    event_push(
        s, (struct event){.at = n->follow_at, .kind = EV_FOLLOW, .node = n->id, .life = n->life});
    if ((n->member[n->id] >= 0 && !n->behind) || !server->up || from == n->id || cut)
        return;
    struct message *m = bundle_make(s, server, n->height);
    n->behind = false;
    if (m)
        event_push(s, (struct event){.at = s->now + between(&s->random, s->config.delay_min_us,
                                                            s->config.delay_max_us),
                                     .kind = EV_BUNDLE,
                                     .node = n->id,
                                     .life = n->life,
                                     .m = m});
}

void poa_sim_kill(struct poa_sim *s, uint32_t node)
{
    struct node *n = &s->node[node];
    if (!n->up)
        return;
    trace(s, n, "crashes");
    check_memory(s, n);
    n->up = false;
    n->life++;
    poa_core_free(n->core);
    n->core = NULL;
    region_reset(&n->memory);
    for (size_t i = 0; i < n->waits; i++)
        message_free(n->wait[i].m);
    n->waits = 0;
    n->tick_at = NEVER;
    n->follow_at = NEVER;
    disk_crash(s, n);
}

void poa_sim_start(struct poa_sim *s, uint32_t node)
{
    struct node *n = &s->node[node];
    if (n->up)
        return;
    n->up = true;
    n->life++;
    n->tick_at = NEVER;
    n->follow_at = NEVER;
    n->epoch = UINT32_MAX;
    if (n->started)
        s->result.restarts++;
    n->started = true;
    trace(s, n, "starts");
    int e = node_open(s, n);
    if (e) {
        violation(s, n, "cannot start: %s", poa_error_name(e));
        n->up = false;
        return;
    }
    if (!n->up)
        return; /* crashed in its first step */
    n->behind = false;
    if (n->kind == HONEST)
        byzantine_restarted(s, n->id);
    follow(s, n);
}

/* With the liars, no more than f members may be out of the vote. */
static void lose_log(struct poa_sim *s, struct node *n)
{
    if (!s->losses || n->lost || below(&s->random, 3))
        return;
    s->losses--;
    n->lost = true;
    trace(s, n, "loses its log");
    poa_sim_wipe_log(s, n->id);
}

static void chaos(struct poa_sim *s)
{
    const struct poa_sim_config *c = &s->config;
    for (uint32_t i = 0; i < c->nodes; i++)
        if (s->node[i].up && s->node[i].kind == HONEST && chance(&s->random, c->crash_ppm)) {
            poa_sim_kill(s, i);
            lose_log(s, &s->node[i]);
            event_push(s, (struct event){.at = s->now + between(&s->random, 20000, 800000),
                                         .kind = EV_START,
                                         .node = i});
        }
    if (s->now < c->gst_us)
        event_push(s, (struct event){.at = s->now + 50000, .kind = EV_CHAOS});
}

static void node_event(struct poa_sim *s, struct node *n, const struct event *ev)
{
    struct poa_event e = {.kind = POA_EVENT_TICK};
    switch (ev->kind) {
    case EV_DELIVER:
        deliver(s, n, ev->m);
        break;
    case EV_TICK:
        if (ev->at != n->tick_at)
            break;
        n->tick_at = NEVER;
        (void)node_step(s, n, &e);
        break;
    case EV_FSYNC:
        disk_synced(s, n, ev->value);
        release_waiting(s, n);
        e.kind = POA_EVENT_PERSISTED;
        e.seq = n->durable;
        (void)node_step(s, n, &e);
        break;
    case EV_BATCH:
        e.kind = POA_EVENT_BATCH;
        e.batch = &ev->batch->checked;
        e.batches = 1;
        (void)node_step(s, n, &e);
        break;
    case EV_TXS:
        txs_arrive(s, n, ev);
        break;
    case EV_SUBMIT:
        submitted(s, n, ev);
        break;
    case EV_FOLLOW:
        if (ev->at == n->follow_at)
            follow(s, n);
        break;
    case EV_BUNDLE:
        (void)bundle_feed(s, n, poa_slice(ev->m->bytes, ev->m->n));
        break;
    case EV_CRASH:
        poa_sim_kill(s, n->id);
        event_push(s, (struct event){.at = s->now + between(&s->random, 500, 20000),
                                     .kind = EV_START,
                                     .node = n->id});
        break;
    case EV_START:
    case EV_CHAOS:
    case EV_PARTITION:
    case EV_CUT:
    case EV_LOAD:
        break;
    }
}

static bool life_matters(enum event_kind k)
{
    return k == EV_CRASH || k == EV_TICK || k == EV_FSYNC || k == EV_BATCH || k == EV_TXS ||
           k == EV_FOLLOW || k == EV_BUNDLE;
}

void poa_sim_run(struct poa_sim *s, uint64_t until_us)
{
    while (s->events && s->heap[0].at <= until_us && !s->result.violations && !s->settled) {
        struct event ev = event_pop(s);
        struct node *n = &s->node[ev.node];
        s->now = ev.at;
        if (s->order > EVENTS_MAX) {
            violation(s, n, "[10] %u events and no end", EVENTS_MAX);
            break;
        }
        if (!s->healed && s->now >= s->config.gst_us) {
            s->healed = true;
            s->partitioned = false;
            s->healed_height = s->blocks;
        }
        if (ev.kind == EV_START)
            poa_sim_start(s, ev.node);
        else if (ev.kind == EV_CHAOS)
            chaos(s);
        else if (ev.kind == EV_PARTITION)
            network_partition(s);
        else if (ev.kind == EV_CUT)
            network_cuts(s);
        else if (ev.kind == EV_LOAD)
            load_tick(s);
        else if (n->up && (!life_matters(ev.kind) || ev.life == n->life))
            node_event(s, n, &ev);
        message_free(ev.m);
    }
    if (s->now < until_us && !s->result.violations && !s->settled)
        s->now = until_us;
}

/* --- construction --------------------------------------------------------------------------- */

/* The more there is to find for it, the more often. */
static enum byzantine_kind byzantine_draw(struct poa_sim *s)
{
    static const enum byzantine_kind kind[] = {
        BYZ_SILENT, BYZ_EQUIVOCATE, BYZ_EQUIVOCATE, BYZ_EQUIVOCATE, BYZ_HALF,   BYZ_LATE,
        BYZ_FORGE,  BYZ_FORGE,      BYZ_REPLAY,     BYZ_WITHHOLD,   BYZ_GAP,    BYZ_GAP,
        BYZ_GAP,    BYZ_SLEEPER,    BYZ_STRIKE,     BYZ_STRIKE,     BYZ_STRIKE,
    };
    return kind[below(&s->random, sizeof kind / sizeof kind[0])];
}

struct poa_sim *poa_sim_new(const struct poa_sim_config *config)
{
    struct poa_sim *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = *config;
    s->suite = config->real_crypto ? &poa_suite_ed25519 : &poa_suite_sim;
    s->random = config->seed * 0x2545f4914f6cdd1du + 1;
    s->genesis_ms = 1700000000000u;
    s->nodes = config->nodes + config->followers;
    s->losses = config->losses;
    s->strike.at = between(&s->random, 100000, (uint32_t)config->gst_us + 300000);
    s->batch_buckets = 4096;
    s->batch = calloc(s->batch_buckets, sizeof *s->batch);
    s->tx = calloc(4096, sizeof *s->tx);
    POA_ASSERT(s->nodes <= POA_SIM_NODES_MAX && s->batch && s->tx);
    for (uint32_t i = 0; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        n->id = i;
        n->has_key = i < config->nodes;
        memset(n->seed, (int)i + 1, 32);
        poa_put_le64(n->seed, (uint64_t)i * 7919u + 17);
        sim_public(SIM_KEY_NODE, i, n->seed, n->key);
        n->tick_at = n->follow_at = NEVER;
        if (config->skew_ms)
            n->skew_ms = (int64_t)below(&s->random, 2 * config->skew_ms + 1) - config->skew_ms;
        if (n->has_key && i >= config->nodes - config->byzantine)
            n->kind = byzantine_draw(s);
    }
    if (load_genesis(s)) {
        poa_sim_free(s);
        return NULL;
    }
    for (uint32_t i = 0; i < s->nodes; i++)
        event_push(s, (struct event){.at = 0, .kind = EV_START, .node = i});
    if (config->crash_ppm)
        event_push(s, (struct event){.at = 100000, .kind = EV_CHAOS});
    if (config->partition_ppm)
        event_push(s, (struct event){.at = 100000, .kind = EV_PARTITION});
    if (config->cut_ppm)
        event_push(s, (struct event){.at = 100000, .kind = EV_CUT});
    event_push(s, (struct event){.at = 10000, .kind = EV_LOAD});
    return s;
}

void poa_sim_free(struct poa_sim *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        poa_core_free(n->core);
        region_drop(&n->memory);
        for (size_t k = 0; k < n->waits; k++)
            message_free(n->wait[k].m);
        for (uint32_t k = 0; k < n->last_n && k < 16; k++)
            message_free(n->last[k]);
        for (uint32_t k = 0; k < n->pairs && k < PAIRS; k++) {
            message_free(n->pair[k][0]);
            message_free(n->pair[k][1]);
        }
        free(n->wait);
        free(n->seen);
        free(n->vote_tag);
        disk_free(&n->disk);
    }
    for (size_t i = 0; i < s->events; i++)
        message_free(s->heap[i].m);
    free(s->heap);
    load_free(s);
    free(s->genesis);
    free(s->notarized.pair);
    free(s->cleared.pair);
    free(s->finalized.pair);
    free(s->committed.pair);
    free(s->certs.pair);
    free(s->seeds.pair);
    free(s->once.pair);
    free(s->proposed.pair);
    free(s->names.pair);
    free(s);
}

const struct poa_sim_result *poa_sim_result(const struct poa_sim *s)
{
    return &s->result;
}

uint64_t poa_sim_now_us(const struct poa_sim *s)
{
    return s->now;
}

struct poa_core *poa_sim_core(struct poa_sim *s, uint32_t node)
{
    return s->node[node].up ? s->node[node].core : NULL;
}

uint64_t poa_sim_height(const struct poa_sim *s, uint32_t node)
{
    return s->node[node].height;
}

const uint8_t *poa_sim_hash(const struct poa_sim *s, uint32_t node, uint64_t height)
{
    const struct disk *d = &s->node[node].disk;
    return height && height <= d->height ? d->block[height - 1].block->hash : NULL;
}

void poa_sim_filter(struct poa_sim *s,
                    bool (*filter)(void *ctx, uint32_t from, uint32_t to, uint16_t type,
                                   struct poa_slice bytes),
                    void *ctx)
{
    s->filter = filter;
    s->filter_ctx = ctx;
}

void poa_sim_inject(struct poa_sim *s, uint32_t from, uint32_t to, uint16_t type,
                    struct poa_slice bytes)
{
    struct message *m = message_new(from, type, bytes);
    network_at(s, to, m, s->now + s->config.delay_min_us);
    message_free(m);
}

const uint8_t *poa_sim_key(const struct poa_sim *s, uint32_t node)
{
    return s->node[node].key;
}

const uint8_t *poa_sim_seed(const struct poa_sim *s, uint32_t node)
{
    return s->node[node].seed;
}

const struct poa_suite *poa_sim_suite(const struct poa_sim *s)
{
    return s->suite;
}

const uint8_t *poa_sim_account(const struct poa_sim *s, uint32_t index)
{
    return s->account[index].address;
}
