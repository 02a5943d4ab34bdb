/* Nodes: their effects, and what happens to each. */
#include "world.h"

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
    else if (m->type == POA_MSG_BATCH_ACK && n->kind == HONEST)
        check_sent_ack(s, n, bytes);
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
              trace_name(s, e->commit->hash), (unsigned long long)n->height, e->commit->batches,
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
    case POA_EFFECT_GONE:
        load_gone(s, n, e->gone, e->gone_n);
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

void node_event(struct poa_sim *s, struct node *n, const struct event *ev)
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
    case EV_EVE:
    case EV_DISASTER:
    case EV_OPERATORS:
        break;
    }
}
