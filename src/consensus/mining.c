/* Tickets, seals and evidence that wait for a block. They ride along: a leader
 * lists what its parent's state accepts, and never proposes because of them. */
#include "core.h"

static uint64_t fnv(uint64_t h, const void *bytes, size_t n)
{
    const uint8_t *p = (const uint8_t *)bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t ticket_key(const struct poa_ticket *t)
{
    uint64_t h = fnv(0xcbf29ce484222325u, t->device, 32);
    h = fnv(h, &t->epoch, sizeof t->epoch);
    return fnv(h, &t->window, sizeof t->window) | 1u;
}

static uint64_t seal_key(const struct poa_seal *s)
{
    uint64_t h = fnv(0x84222325cbf29ce4u, s->device, 32);
    h = fnv(h, &s->slot, sizeof s->slot);
    return fnv(h, s->hash, 32) & ~(uint64_t)1;
}

int core_mining_new(struct poa_core *c)
{
    c->pending = (struct pending *)c->alloc.alloc(c->alloc.ctx,
                                                  c->limits.pending_mining * sizeof *c->pending);
    if (!c->pending)
        return POA_E_NO_MEMORY;
    return POA_OK;
}

void core_mining_free(struct poa_core *c)
{
    if (c->pending)
        c->alloc.free(c->alloc.ctx, c->pending);
}

static struct pending *pending_find(const struct poa_core *c, uint64_t key)
{
    struct pending *p = c->pending_bucket[key / 2 % PENDING_BUCKETS];
    while (p && p->key != key)
        p = p->next;
    return p;
}

static void pending_drop(struct poa_core *c, struct pending *p)
{
    struct pending **at = &c->pending_bucket[p->key / 2 % PENDING_BUCKETS];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->older)
        p->older->newer = p->newer;
    else
        c->pending_head = p->newer;
    if (p->newer)
        p->newer->older = p->older;
    else
        c->pending_tail = p->older;
    memset(p, 0, sizeof *p);
    p->next = c->pending_free;
    c->pending_free = p;
    c->pending_n--;
}

/* The oldest goes when there is no room: it has been waiting for so long that
 * its deadline is probably over. */
static struct pending *pending_add(struct poa_core *c, uint64_t key)
{
    if (!c->pending_free && c->pending_fresh < c->limits.pending_mining)
        c->pending_free = &c->pending[c->pending_fresh++];
    if (!c->pending_free && c->pending_head)
        pending_drop(c, c->pending_head);
    struct pending *p = c->pending_free;
    if (!p)
        return NULL;
    c->pending_free = p->next;
    memset(p, 0, sizeof *p);
    p->used = true;
    p->key = key;
    p->since_us = c->now.us;
    p->next = c->pending_bucket[key / 2 % PENDING_BUCKETS];
    c->pending_bucket[key / 2 % PENDING_BUCKETS] = p;
    p->older = c->pending_tail;
    if (c->pending_tail)
        c->pending_tail->newer = p;
    else
        c->pending_head = p;
    c->pending_tail = p;
    c->pending_n++;
    return p;
}

/* S was refused as being of another block. Alone it convicts its device when it
 * contradicts the final block of its height; or together with another seal of the
 * same slot that waits here. Otherwise somebody was shown the wrong block. */
static void accuse_sealer(struct poa_core *c, const struct poa_seal *s)
{
    uint8_t first[POA_SEAL_BYTES], second[POA_SEAL_BYTES];
    struct poa_writer a = poa_writer_over(first, sizeof first),
                      b = poa_writer_over(second, sizeof second);
    if (poa_seal_encode(&a, s))
        return;
    struct poa_evidence e = {.kind = POA_EVIDENCE_FORK, .first = poa_written(&a)};
    memcpy(e.author, s->device, 32);
    if (c->mutant != POA_MUTANT_ACCUSE_REPLAYS &&
        poa_ledger_try_evidence(c->ledger, POA_STATE_BASE, &e)) {
        const struct pending *p = c->pending_head;
        while (p && !(p->is_seal && p->u.seal.slot == s->slot &&
                      hash_eq(p->u.seal.device, s->device) && !hash_eq(p->u.seal.hash, s->hash)))
            p = p->newer;
        if (!p || poa_seal_encode(&b, &p->u.seal))
            return;
        e.kind = POA_EVIDENCE_SEALS;
        e.second = poa_written(&b);
        if (poa_ledger_try_evidence(c->ledger, POA_STATE_BASE, &e))
            return;
    }
    core_accuse(c, e.kind, e.author, e.first, e.second);
}

/* What waits was checked, signatures included, whoever sent it: else a forged item
 * would take the place of the true one, which comes later.
 * LOCAL: from our gateway or a request; answered with codes, and what is new and
 * good is passed on to the other members. */
int core_on_mining(struct poa_core *c, const struct poa_event *ev, bool local)
{
    struct poa_mining m;
    struct poa_ticket t;
    struct poa_seal s;
    uint64_t time_ms = c->tip_time > c->now.wall_ms ? c->tip_time : c->now.wall_ms;
    uint32_t i = 0;
    int e = poa_mining_decode(ev->bytes, &m);
    if (e)
        return e;
    uint8_t *good = local ? core_out_take(c, ev->bytes.n) : NULL;
    struct poa_writer w = poa_writer_over(good, good ? ev->bytes.n : 0);
    struct poa_mining fresh = {.tickets = {.count = 0}};
    struct poa_list_iter it = poa_list_begin(&m.tickets);
    for (; poa_ticket_next(&it, &t); i++) {
        uint64_t key = ticket_key(&t);
        int code = pending_find(c, key) ? POA_E_TICKET_DUPLICATE : POA_OK;
        if (!code)
            code = poa_ledger_try_ticket(c->ledger, POA_STATE_BASE, time_ms, &t);
        struct pending *p = !code && c->self >= 0 ? pending_add(c, key) : NULL;
        if (p)
            p->u.ticket = t;
        if (!code && good && !poa_ticket_encode(&w, &t))
            fresh.tickets.count++;
        if (ev->codes)
            ev->codes[i] = code;
    }
    fresh.tickets.bytes = poa_written(&w);
    it = poa_list_begin(&m.seals);
    for (; poa_seal_next(&it, &s); i++) {
        uint64_t key = seal_key(&s);
        int code = pending_find(c, key) ? POA_E_SEAL_DUPLICATE : POA_OK;
        if (!code)
            code = poa_ledger_try_seal(c->ledger, POA_STATE_BASE, time_ms, &s);
        if ((code == POA_E_SEAL_FORK ||
             (code == POA_E_SEAL_DUPLICATE && c->mutant == POA_MUTANT_ACCUSE_REPLAYS)) &&
            c->self >= 0)
            accuse_sealer(c, &s);
        struct pending *p = !code && c->self >= 0 ? pending_add(c, key) : NULL;
        if (p) {
            p->is_seal = true;
            p->u.seal = s;
        }
        if (!code && good && !poa_seal_encode(&w, &s))
            fresh.seals.count++;
        if (ev->codes)
            ev->codes[i] = code;
    }
    if (!fresh.tickets.count && !fresh.seals.count)
        return POA_OK;
    fresh.seals.bytes = poa_slice(w.p + fresh.tickets.bytes.n, w.n - fresh.tickets.bytes.n);
    struct poa_slice bytes = core_encode(c, &poa_mining_record, &fresh);
    if (bytes.n && c->self >= 0) {
        core_send_all(c, POA_MSG_MINING, bytes, false, 0);
        return POA_OK;
    }
    struct poa_effect *out = bytes.n ? core_effect_add(c, POA_EFFECT_SUBMIT, false) : NULL;
    if (!out)
        return POA_E_FULL;
    out->type = POA_MSG_REQ_MINING;
    out->bytes = bytes;
    return POA_OK;
}

/* What a later block may still take: everything else is thrown away. */
static bool may_come(int code)
{
    return code == POA_E_SLOT_UNKNOWN || code == POA_E_TICKET_WINDOW || code == POA_E_EPOCH ||
           poa_error_class(code) == POA_CLASS_RETRY;
}

void core_mining_distrust(struct poa_core *c, const struct poa_body *body)
{
    struct poa_list_iter it = poa_list_begin(&body->tickets);
    struct poa_ticket t;
    bool alone = body->tickets.count == 1;
    c->one_ticket = true;
    while (alone && poa_ticket_next(&it, &t)) {
        struct pending *p = pending_find(c, ticket_key(&t));
        if (p)
            pending_drop(c, p);
    }
}

void core_mining_list(struct poa_core *c, poa_state_id state, uint64_t time_ms,
                      struct poa_body *body, struct poa_writer *w)
{
    uint32_t tried = 0;
    size_t start = w->n;
    for (int seals = 0; seals < 2; seals++) {
        uint32_t count = 0;
        for (struct pending *p = c->pending_head, *next; p; p = next) {
            next = p->newer;
            if (p->is_seal != (seals == 1))
                continue;
            uint32_t most = seals ? LIST_SEALS : c->one_ticket ? 1 : LIST_TICKETS;
            if (count == most || tried == LIST_SEALS + LIST_TICKETS)
                break;
            tried++;
            int e = seals ? poa_ledger_try_seal(c->ledger, state, time_ms, &p->u.seal)
                          : poa_ledger_try_ticket(c->ledger, state, time_ms, &p->u.ticket);
            if (e == POA_E_SEAL_DUPLICATE || e == POA_E_TICKET_DUPLICATE) {
                if (state == POA_STATE_BASE)
                    pending_drop(c, p);
                continue; /* an ancestor that may not become final has it */
            }
            if (e == POA_E_SEAL_FORK)
                accuse_sealer(c, &p->u.seal);
            if (e) {
                if (!may_come(e) || ++p->tries > 16)
                    pending_drop(c, p);
                continue;
            }
            int full = seals ? poa_seal_encode(w, &p->u.seal) : poa_ticket_encode(w, &p->u.ticket);
            POA_ASSERT(full == POA_OK);
            count++;
        }
        struct poa_list list = {.bytes = poa_slice(w->p + start, w->n - start), .count = count};
        if (seals)
            body->seals = list;
        else
            body->tickets = list;
        start = w->n;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < EVIDENCE; i++) {
        const struct accusation *a = &c->accusation[i];
        if (!a->used || a->tries > 8 || poa_ledger_try_evidence(c->ledger, state, &a->e) ||
            w->n + a->e.first.n + a->e.second.n > SCRATCH_BYTES / 4)
            continue;
        c->accusation[i].tries++;
        POA_ASSERT(poa_evidence_encode(w, &a->e) == POA_OK);
        count++;
    }
    body->evidence =
        (struct poa_list){.bytes = poa_slice(w->p + start, w->n - start), .count = count};
}

void core_mining_final(struct poa_core *c, const struct poa_body *body)
{
    struct poa_list_iter it = poa_list_begin(&body->tickets);
    struct poa_ticket t;
    struct poa_seal s;
    struct poa_evidence ev;
    c->one_ticket = false;
    while (poa_ticket_next(&it, &t)) {
        struct pending *p = pending_find(c, ticket_key(&t));
        if (p)
            pending_drop(c, p);
    }
    it = poa_list_begin(&body->seals);
    while (poa_seal_next(&it, &s)) {
        struct pending *p = pending_find(c, seal_key(&s));
        if (p)
            pending_drop(c, p);
    }
    it = poa_list_begin(&body->evidence);
    while (poa_evidence_next(&it, &ev))
        for (uint32_t i = 0; i < EVIDENCE; i++) {
            struct accusation *a = &c->accusation[i];
            if (a->used && hash_eq(a->e.author, ev.author)) {
                core_give_later(c, a->bytes);
                a->used = false;
            }
        }
}

/* Keeps two signed objects that convict their author, for the next block. */
void core_accuse(struct poa_core *c, uint8_t kind, const uint8_t author32[32],
                 struct poa_slice first, struct poa_slice second)
{
    struct accusation *a = NULL;
    for (uint32_t i = 0; i < EVIDENCE; i++) {
        if (c->accusation[i].used && hash_eq(c->accusation[i].e.author, author32))
            return;
        if (!c->accusation[i].used)
            a = &c->accusation[i];
    }
    uint8_t *bytes = a ? core_arena_take(&c->arena, first.n + second.n) : NULL;
    if (!bytes)
        return;
    memset(a, 0, sizeof *a);
    a->used = true;
    a->bytes = bytes;
    memcpy(bytes, first.p, first.n);
    if (second.n)
        memcpy(bytes + first.n, second.p, second.n);
    a->e.kind = kind;
    memcpy(a->e.author, author32, 32);
    a->e.first = poa_slice(bytes, first.n);
    a->e.second = poa_slice(bytes + first.n, second.n);
    struct poa_slice encoded = core_encode(c, &poa_evidence_record, &a->e);
    struct poa_effect *out = encoded.n ? core_effect_add(c, POA_EFFECT_CONFLICT, false) : NULL;
    if (out)
        out->bytes = encoded;
}
