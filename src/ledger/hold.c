/* Holds: transfers that wait for grade 2.
 *
 *   held in slot s   HOLD[transaction], in group HOLDS[s'] : s' = s when its block
 *                    seals s, else s + 1: the first slot whose seals commit to it
 *   seal of a slot   in s' .. s' + span - 1 counts its device for the group;
 *                    the one that completes it releases all of it
 *   s' + hold_slots  passed: refunded
 *
 * Groups form a list by HOLDS.next: from hold_first (what readers may still ask
 * about) over hold_open (what may still change) to hold_last. */
#include "ledger.h"

#define MARKS_MAX POA_SPAN_MAX
/* Transfers that a block may have to release: those of a span's groups. */
#define HELD_MAX 262144u
/* Groups that a block refunds, holds that it forgets: never much at once. */
#define REFUNDS_PER_BLOCK 8
#define PRUNE_PER_BLOCK   64

static const uint8_t nobody[32];

static int read_group(const struct exec *x, uint64_t slot, struct poa_st_holds *out)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    return poa_exec_read(x, POA_STATE_HOLDS, key, sizeof key, out);
}

static void put_group(struct exec *x, uint64_t slot, const struct poa_st_holds *group)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    poa_exec_put(x, POA_STATE_HOLDS, key, sizeof key, group);
}

/* --- what an account sent ------------------------------------------------------------ */

/* Its sum over the span that ends with SLOT. It was limited when it was sent, so
 * it cannot overflow. */
static uint64_t sent_within(const struct poa_genesis *g, const struct poa_st_outgoing *out,
                            uint64_t slot)
{
    struct poa_list_iter it = poa_list_begin(&out->sent);
    struct poa_sent sent;
    uint64_t sum = 0;
    while (poa_sent_next(&it, &sent))
        if (sent.slot + g->grade2_span > slot)
            sum += sent.amount;
    return sum;
}

/* Writes OUT without what is older than the span, and with AMOUNT more. */
static void put_outgoing(struct exec *x, const uint8_t address[32], struct poa_st_outgoing *out,
                         uint64_t amount)
{
    uint8_t bytes[(POA_SPAN_MAX + 1) * 16];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_list_iter it = poa_list_begin(&out->sent);
    struct poa_sent sent;
    uint32_t count = 0;
    while (poa_sent_next(&it, &sent)) {
        if (sent.slot + x->g->grade2_span <= x->slot)
            continue;
        if (sent.slot == x->slot) {
            amount += sent.amount;
            continue;
        }
        int e = poa_sent_encode(&w, &sent);
        POA_ASSERT(e == POA_OK);
        count++;
    }
    if (amount) {
        sent = (struct poa_sent){x->slot, amount};
        int e = poa_sent_encode(&w, &sent);
        POA_ASSERT(e == POA_OK);
        count++;
    }
    out->sent = (struct poa_list){poa_written(&w), count};
    if (count || out->held)
        poa_exec_put(x, POA_STATE_OUTGOING, address, 32, out);
    else
        poa_exec_delete(x, POA_STATE_OUTGOING, address, 32);
}

void poa_hold_count(struct exec *x, const uint8_t sender[32], uint64_t amount)
{
    struct poa_st_outgoing out = {.held = 0};
    if (!x->g->hold_above || !amount)
        return;
    int e = poa_exec_read(x, POA_STATE_OUTGOING, sender, 32, &out);
    POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
    put_outgoing(x, sender, &out, amount);
}

/* --- holding -------------------------------------------------------------------------- */

static bool native_transfer(const struct poa_op *op)
{
    struct poa_op_transfer t;
    return op->kind == POA_OP_TRANSFER && !poa_op_transfer_decode(op->body, &t) && !t.asset;
}

int poa_hold_judge(const struct judge *j, const struct poa_tx_view *tx, uint64_t amount, bool *held)
{
    const struct poa_genesis *g = j->g;
    struct poa_st_outgoing out = {.held = 0};
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    bool others = false;
    *held = false;
    while (poa_op_next(&it, &op))
        *held |= op.kind == POA_OP_HOLD;
    if (*held && !g->grade2_seals)
        return POA_E_TX_HOLD_OFF;
    if (g->hold_above && amount && !*held) {
        int e = poa_state_read(j->l, j->o, POA_STATE_OUTGOING, tx->tx.sender, 32, &out);
        if (e && e != POA_E_NOT_FOUND)
            return e;
        uint64_t sum = sent_within(g, &out, j->slot);
        *held = amount > g->hold_above || sum > g->hold_above - amount;
    }
    it = poa_list_begin(&tx->tx.ops);
    while (*held && poa_op_next(&it, &op))
        others |= op.kind != POA_OP_HOLD && !native_transfer(&op);
    return *held && (others || !amount) ? POA_E_TX_HOLD_OPS : POA_OK;
}

/* The list of TX's transfers as a hold keeps it; BYTES takes 64 of them. */
static struct poa_list transfers_of(const struct poa_tx_view *tx, uint8_t *bytes, size_t n)
{
    struct poa_writer w = poa_writer_over(bytes, n);
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    uint32_t count = 0;
    while (poa_op_next(&it, &op)) {
        struct poa_op_transfer t;
        struct poa_held held;
        if (op.kind != POA_OP_TRANSFER)
            continue;
        int e = poa_op_transfer_decode(op.body, &t);
        POA_ASSERT(e == POA_OK);
        memcpy(held.to, t.to, 32);
        held.amount = t.amount;
        e = poa_held_encode(&w, &held);
        POA_ASSERT(e == POA_OK);
        count++;
    }
    return (struct poa_list){poa_written(&w), count};
}

/* The group that the block in work adds to; it is made when it is the first. */
static uint64_t open_group(struct exec *x, struct poa_st_holds *group)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_slot s;
    uint8_t key[8];
    poa_put_le64(key, x->slot);
    bool seals =
        !poa_exec_read(x, POA_STATE_SLOT, key, sizeof key, &s) && s.height == x->header->height;
    uint64_t slot = x->slot + !seals;
    if (!read_group(x, slot, group))
        return slot;
    struct poa_st_holds last;
    if (g->hold_first == UINT64_MAX) {
        g->hold_first = slot;
    } else if (!read_group(x, g->hold_last, &last)) {
        last.next = slot;
        put_group(x, g->hold_last, &last);
    }
    if (g->hold_open == UINT64_MAX)
        g->hold_open = slot;
    g->hold_last = slot;
    *group = (struct poa_st_holds){.next = UINT64_MAX};
    return slot;
}

int poa_hold_add(struct exec *x, const struct poa_tx_view *tx, uint64_t amount)
{
    uint8_t bytes[64 * 40];
    struct poa_st_holds group;
    struct poa_st_outgoing out = {.held = 0};
    struct poa_st_hold hold = {.height = x->header->height,
                               .amount = amount,
                               .transfers = transfers_of(tx, bytes, sizeof bytes)};
    hold.slot = open_group(x, &group);
    if (group.transfers + hold.transfers.count > HELD_MAX / x->g->grade2_span)
        return POA_E_TX_HOLD_FULL;
    memcpy(hold.sender, tx->tx.sender, 32);
    memcpy(hold.next, group.first, 32);
    memcpy(group.first, tx->id, 32);
    group.transfers += hold.transfers.count;
    poa_exec_put(x, POA_STATE_HOLD, tx->id, 32, &hold);
    put_group(x, hold.slot, &group);
    int e = poa_exec_read(x, POA_STATE_OUTGOING, hold.sender, 32, &out);
    POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
    out.held += amount;
    put_outgoing(x, hold.sender, &out, 0);
    x->global.held += amount;
    return POA_OK;
}

/* --- releasing and refunding ------------------------------------------------------------- */

static void end_hold(struct exec *x, const struct poa_st_hold *hold, enum poa_hold_status how)
{
    struct poa_st_outgoing out;
    struct poa_list_iter it = poa_list_begin(&hold->transfers);
    struct poa_held t;
    while (how == POA_HOLD_RELEASED && poa_held_next(&it, &t))
        poa_exec_credit(x, t.to, t.amount);
    if (how == POA_HOLD_REFUNDED)
        poa_exec_credit(x, hold->sender, hold->amount);
    if (!poa_exec_read(x, POA_STATE_OUTGOING, hold->sender, 32, &out)) {
        out.held -= hold->amount;
        put_outgoing(x, hold->sender, &out, 0);
    }
    x->global.held -= hold->amount;
}

/* Ends every hold of GROUP; the caller writes the group. */
static void end_group(struct exec *x, struct poa_st_holds *group, enum poa_hold_status how)
{
    struct poa_st_hold hold;
    uint8_t id[32];
    memcpy(id, group->first, 32);
    while (memcmp(id, nobody, 32) && !x->full && !poa_exec_read(x, POA_STATE_HOLD, id, 32, &hold)) {
        end_hold(x, &hold, how);
        memcpy(id, hold.next, 32);
    }
    group->status = (uint8_t)how;
    group->height = x->header->height;
}

/* Appends ID to LIST, copied to BYTES, unless it is there or there are MAX. */
static void mark(struct poa_list *list, uint32_t id, uint32_t max, uint8_t *bytes)
{
    struct poa_list_iter it = poa_list_begin(list);
    struct poa_mark m;
    while (poa_mark_next(&it, &m))
        if (m.id == id)
            return;
    if (list->count == max)
        return;
    if (list->bytes.n)
        memcpy(bytes, list->bytes.p, list->bytes.n);
    poa_put_le32(bytes + list->bytes.n, id);
    *list = (struct poa_list){poa_slice(bytes, list->bytes.n + 4), list->count + 1};
}

static void count_seal(struct exec *x, uint64_t slot, struct poa_st_holds *group,
                       const struct poa_st_device *device)
{
    uint8_t devices[MARKS_MAX * 4], makers[16 * 4], regions[16 * 4];
    const struct poa_genesis *g = x->g;
    mark(&group->devices, device->index, MARKS_MAX, devices);
    mark(&group->makers, device->maker, 16, makers);
    mark(&group->regions, device->region, 16, regions);
    if (group->devices.count >= g->grade2_seals && group->makers.count >= g->grade2_makers &&
        group->regions.count >= g->grade2_regions)
        end_group(x, group, POA_HOLD_RELEASED);
    put_group(x, slot, group);
}

void poa_hold_seal(struct exec *x, const struct poa_seal *s, const struct poa_st_device *device)
{
    const struct poa_st_global *g = &x->global;
    struct poa_committee c;
    if (g->hold_open == UINT64_MAX || !x->g->grade2_seals)
        return; /* switched off meanwhile: what waits goes back */
    uint64_t from = s->slot < x->g->grade2_span ? 0 : s->slot - x->g->grade2_span + 1;
    uint64_t to = s->slot < g->hold_last ? s->slot : g->hold_last;
    if (from < g->hold_open)
        from = g->hold_open;
    if (from > to || poa_state_read_u32(x->l, x->o, POA_STATE_COMMITTEE, s->epoch, &c) ||
        !poa_committee_independent(&c, s->device, device->maker))
        return;
    for (uint64_t slot = from; slot <= to && !x->full; slot++) {
        struct poa_st_holds group;
        if (!read_group(x, slot, &group) && group.status == POA_HOLD_OPEN)
            count_seal(x, slot, &group, device);
    }
}

static void refund(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_holds group;
    for (int i = 0; i < REFUNDS_PER_BLOCK && g->hold_open != UINT64_MAX && !x->full; i++) {
        if (x->slot < g->hold_open || x->slot - g->hold_open <= x->g->hold_slots ||
            read_group(x, g->hold_open, &group))
            return;
        if (group.status == POA_HOLD_OPEN) {
            end_group(x, &group, POA_HOLD_REFUNDED);
            put_group(x, g->hold_open, &group);
        }
        g->hold_open = group.next;
    }
}

/* Forgets what ended long ago. */
static void prune(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_holds group;
    struct poa_st_hold hold;
    if (g->hold_first == UINT64_MAX || g->hold_first == g->hold_open || x->slot < g->hold_first ||
        x->slot - g->hold_first <= x->g->hold_slots + (uint64_t)POA_SLOTS_KEPT ||
        read_group(x, g->hold_first, &group))
        return;
    for (int i = 0; i < PRUNE_PER_BLOCK && memcmp(group.first, nobody, 32); i++) {
        uint8_t id[32];
        memcpy(id, group.first, 32);
        if (poa_exec_read(x, POA_STATE_HOLD, id, 32, &hold))
            return;
        memcpy(group.first, hold.next, 32);
        poa_exec_delete(x, POA_STATE_HOLD, id, 32);
    }
    if (memcmp(group.first, nobody, 32)) {
        put_group(x, g->hold_first, &group);
        return;
    }
    uint8_t key[8];
    poa_put_le64(key, g->hold_first);
    poa_exec_delete(x, POA_STATE_HOLDS, key, sizeof key);
    g->hold_first = group.next;
}

void poa_hold_expire(struct exec *x)
{
    refund(x);
    prune(x);
}
