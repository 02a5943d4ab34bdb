/* Mining: slots, seats, tickets, seals, settlement.
 *
 *   slot s begins with a block       SLOT[s] gets its sealing block and seats
 *   devices seal it                  within seal_slots, in any later block
 *   slot > s + seal_slots            SLOT[s] is settled: paid or burned
 *
 * Slots with a sealing block form a list (SLOT.next) from `oldest` over
 * `unsettled` to `slot`, so that settlement and pruning never search. */
#include "ledger.h"
#include "poa_assign.h"

#define SEAT_BYTES 48u

uint64_t poa_slot_of(const struct poa_genesis *g, uint64_t time_ms)
{
    return time_ms < g->time_ms ? 0 : (time_ms - g->time_ms) / g->slot_ms;
}

uint32_t poa_epoch_of_next(const struct poa_st_global *g)
{
    return g->epoch + (g->kind == POA_BLOCK_CLOSING);
}

uint32_t poa_ledger_next_epoch(const struct poa_ledger *l, poa_state_id s)
{
    struct poa_st_global g;
    poa_ledger_global(l, s, &g);
    return poa_epoch_of_next(&g);
}

/* --- amounts --------------------------------------------------------------------- */

uint64_t poa_share(uint64_t amount, uint16_t bp)
{
    return amount / 10000 * bp + amount % 10000 * bp / 10000;
}

static uint64_t subsidy_of(const struct poa_genesis *g, uint64_t slot)
{
    if (!g->halving_slots)
        return slot < POA_SUBSIDY_SLOTS ? g->subsidy : 0;
    uint64_t halvings = slot / g->halving_slots;
    return halvings < 64 ? g->subsidy >> halvings : 0;
}

/* Per seal, so small that all seals of a slot can have it from what miner and
 * sealers leave. */
static uint64_t tip_of(const struct poa_genesis *g, uint64_t slot)
{
    uint64_t subsidy = subsidy_of(g, slot), most;
    most = (subsidy - poa_share(subsidy, g->miner_bp) - poa_share(subsidy, g->sealers_bp) -
            poa_share(subsidy, g->witnesses_bp) - poa_share(subsidy, g->data_bp)) /
           POA_SLOT_SEATS_MAX;
    return g->tip < most ? g->tip : most;
}

/* --- slot records ------------------------------------------------------------------ */

static int read_slot(const struct poa_ledger *l, const struct overlay *o, uint64_t slot,
                     struct poa_st_slot *out)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    return poa_state_read(l, o, POA_STATE_SLOT, key, sizeof key, out);
}

static void put_slot(struct exec *x, uint64_t slot, const struct poa_st_slot *s)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    poa_exec_put(x, POA_STATE_SLOT, key, sizeof key, s);
}

static void delete_slot(struct exec *x, uint64_t slot)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    poa_exec_delete(x, POA_STATE_SLOT, key, sizeof key);
}

static void put_seats(struct exec *x, uint64_t slot, struct poa_st_slot *s,
                      const struct poa_seat_list *list)
{
    uint8_t bytes[POA_SLOT_SEATS_MAX * SEAT_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    for (uint32_t i = 0; i < list->n; i++) {
        int e = poa_st_seat_encode(&w, &list->seat[i]);
        POA_ASSERT(e == POA_OK);
    }
    s->seats = (struct poa_list){poa_written(&w), list->n};
    put_slot(x, slot, s);
}

/* --- a new slot ----------------------------------------------------------------------- */

/* What the public draws ask about a device. */
static bool pool_device(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight)
{
    const struct exec *x = ctx;
    struct poa_digest device;
    struct poa_st_device st;
    if (poa_state_read_u32(x->l, x->o, POA_STATE_DEVICE_INDEX, index, &device) ||
        poa_exec_read(x, POA_STATE_DEVICE, device.digest, 32, &st) || st.status)
        return false;
    memcpy(key32, device.digest, 32);
    if (weight) {
        struct poa_st_account payout = {.balance = 0};
        int e = poa_exec_read(x, POA_STATE_ACCOUNT, st.payout, 32, &payout);
        POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
        *weight = poa_assign_weight(&st, payout.balance, x->slot).sum;
    }
    return true;
}

/* WEIGHTS has room for each draw: later nobody could tell what a device weighed now. */
static struct poa_slice draw_public(struct exec *x, const struct poa_st_epoch *epoch,
                                    struct poa_seat_list *list,
                                    uint8_t weights[POA_ASSIGN_DRAWS_MAX])
{
    struct poa_assign_draw draw[POA_ASSIGN_DRAWS_MAX];
    struct poa_assign_pool pool = {x, epoch->eligible, pool_device};
    enum poa_policy_kind policy =
        x->g->policy == POA_POLICY_WEIGHTED ? POA_POLICY_WEIGHTED : POA_POLICY_RANDOM;
    uint32_t n = poa_assign_public(policy, x->l->chain, epoch->seed, x->slot, x->g->seats_per_slot,
                                   &pool, list, draw);
    for (uint32_t i = 0; i < n; i++)
        weights[i] = (uint8_t)draw[i].weight;
    return poa_slice(weights, n);
}

static void count_assigned(struct exec *x, const struct poa_seat_list *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        struct poa_st_device d;
        if (poa_exec_read(x, POA_STATE_DEVICE, list->seat[i].device, 32, &d))
            continue;
        d.assigned++;
        poa_exec_put(x, POA_STATE_DEVICE, list->seat[i].device, 32, &d);
    }
}

/* Slots that passed without a block: their seats, if any, are void. Tickets
 * reach at most to the end of the window after the last block's. */
static void clear_skipped(struct exec *x, uint64_t last)
{
    uint64_t end = last + 2 * (uint64_t)x->g->window_slots;
    struct poa_st_slot ignored;
    if (end > x->slot)
        end = x->slot;
    for (uint64_t s = last + 1; s < end; s++)
        if (!read_slot(x->l, x->o, s, &ignored))
            delete_slot(x, s);
}

/* A few per slot, so that no block has to delete many. */
static void prune(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_slot s;
    for (int i = 0; i < 8; i++) {
        if (g->oldest == UINT64_MAX || g->oldest + POA_SLOTS_KEPT >= x->slot ||
            read_slot(x->l, x->o, g->oldest, &s) || !s.settled)
            return;
        delete_slot(x, g->oldest);
        g->oldest = s.next;
    }
}

void poa_mining_slot(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_epoch epoch;
    struct poa_st_slot s, last;
    struct poa_seat_list list = {.n = 0};
    uint8_t weights[POA_ASSIGN_DRAWS_MAX];
    struct poa_slice drawn = poa_slice(NULL, 0);
    if (g->slot != UINT64_MAX && x->slot <= g->slot)
        return;
    int e = poa_state_read_u32(x->l, x->o, POA_STATE_EPOCH, x->header->epoch, &epoch);
    POA_ASSERT(e == POA_OK);
    if (g->slot != UINT64_MAX)
        clear_skipped(x, g->slot);
    bool ticketed = x->g->policy == POA_POLICY_VRF && x->slot >= epoch.first_slot &&
                    (x->slot - epoch.first_slot) / x->g->window_slots > 0;
    if (!ticketed)
        drawn = draw_public(x, &epoch, &list, weights);
    else if (!read_slot(x->l, x->o, x->slot, &s) && s.epoch == x->header->epoch)
        poa_seats_unpack(&s, &list);
    s = (struct poa_st_slot){.height = x->header->height,
                             .epoch = x->header->epoch,
                             .next = UINT64_MAX,
                             .weights = drawn};
    memcpy(s.hash, x->hash, 32);
    put_seats(x, x->slot, &s, &list);
    count_assigned(x, &list);
    if (g->slot != UINT64_MAX && !read_slot(x->l, x->o, g->slot, &last)) {
        last.next = x->slot;
        put_slot(x, g->slot, &last);
    }
    g->slot = x->slot;
    if (g->unsettled == UINT64_MAX)
        g->unsettled = x->slot;
    if (g->oldest == UINT64_MAX)
        g->oldest = x->slot;
    prune(x);
}

/* --- settlement --------------------------------------------------------------------------- */

/* A seat's outcome: its device's history, and what it earned. */
static void close_seat(struct exec *x, const struct poa_st_seat *seat, uint64_t amount)
{
    struct poa_st_device d;
    int e = poa_exec_read(x, POA_STATE_DEVICE, seat->device, 32, &d);
    POA_ASSERT(e == POA_OK); /* devices never leave the registry */
    d.history = d.history << 1 | (seat->sealed != 0);
    d.earned += amount;
    poa_exec_credit(x, d.payout, amount);
    poa_exec_put(x, POA_STATE_DEVICE, seat->device, 32, &d);
}

/* The witness whose turn SLOT is, by its number: nobody gains by hurrying or
 * holding back a block. One that was suspended loses its turns. */
static uint64_t pay_witness(struct exec *x, uint64_t slot, uint32_t epoch, uint64_t amount)
{
    struct poa_committee c;
    struct poa_st_witness w;
    uint8_t key[32];
    if (!amount || poa_state_read_u32(x->l, x->o, POA_STATE_COMMITTEE, epoch, &c) ||
        poa_committee_key(&c, (uint32_t)(slot % c.members.count), key) ||
        poa_exec_read(x, POA_STATE_WITNESS, key, 32, &w) || w.status == 1)
        return 0;
    poa_exec_credit(x, w.payout, amount);
    return amount;
}

/* Equal parts of AMOUNT to the devices that published. */
static uint64_t pay_publishers(struct exec *x, const struct poa_list *publishers, uint64_t amount)
{
    struct poa_list_iter it = poa_list_begin(publishers);
    uint64_t each = publishers->count ? amount / publishers->count : 0, paid = 0;
    struct poa_mark m;
    while (each && poa_mark_next(&it, &m)) {
        struct poa_digest key;
        struct poa_st_device d;
        if (poa_state_read_u32(x->l, x->o, POA_STATE_DEVICE_INDEX, m.id, &key) ||
            poa_exec_read(x, POA_STATE_DEVICE, key.digest, 32, &d) || d.status)
            continue;
        d.earned += each;
        poa_exec_credit(x, d.payout, each);
        poa_exec_put(x, POA_STATE_DEVICE, key.digest, 32, &d);
        paid += each;
    }
    return paid;
}

/* Whether DEVICE may be paid: who is convicted before a slot is settled gets nothing
 * of it, however good that seal was. */
static bool in_good_standing(const struct exec *x, const uint8_t device32[32])
{
    struct poa_st_device d;
    return !poa_exec_read(x, POA_STATE_DEVICE, device32, 32, &d) && !d.status;
}

static void settle(struct exec *x, uint64_t slot, struct poa_st_slot *s)
{
    uint64_t subsidy = subsidy_of(x->g, slot), rest = subsidy;
    struct poa_seat_list list;
    uint32_t sealed = 0, paid = 0, miner = POA_SLOT_SEATS_MAX;
    bool pays[POA_SLOT_SEATS_MAX];
    poa_seats_unpack(s, &list);
    for (uint32_t i = list.n; i-- > 0;) {
        sealed += list.seat[i].sealed != 0;
        pays[i] = list.seat[i].sealed && in_good_standing(x, list.seat[i].device);
        paid += pays[i];
        if (pays[i])
            miner = i; /* the lowest rank comes last */
    }
    s->settled = 1;
    if (paid)
        memcpy(s->miner, list.seat[miner].device, 32);
    put_seats(x, slot, s, &list);
    uint64_t tips = sealed * tip_of(x->g, slot); /* paid when the seals came */
    uint64_t won = poa_share(subsidy, x->g->miner_bp);
    uint64_t each = paid > 1 ? poa_share(subsidy, x->g->sealers_bp) / (paid - 1) : 0;
    x->global.issued += subsidy - tips;
    rest -= tips;
    for (uint32_t i = 0; i < list.n; i++) {
        uint64_t amount = !pays[i] ? 0 : i == miner ? won : each;
        rest -= amount;
        close_seat(x, &list.seat[i], amount);
    }
    if (!paid) {
        x->global.burned += rest;
        return;
    }
    rest -= pay_witness(x, slot, s->epoch, poa_share(subsidy, x->g->witnesses_bp));
    rest -= pay_publishers(x, &s->publishers, poa_share(subsidy, x->g->data_bp));
    poa_exec_credit(x, x->g->treasury, rest);
}

void poa_mining_publish(struct exec *x, const struct poa_list *devices)
{
    uint8_t bytes[POA_PUBLISHERS_MAX * 4];
    struct poa_list_iter it = poa_list_begin(devices);
    struct poa_st_slot s;
    struct poa_mark m;
    if (!x->g->data_bp || !devices->count || read_slot(x->l, x->o, x->slot, &s))
        return;
    uint32_t before = s.publishers.count;
    if (before)
        memcpy(bytes, s.publishers.bytes.p, s.publishers.bytes.n);
    while (s.publishers.count < POA_PUBLISHERS_MAX && poa_mark_next(&it, &m)) {
        uint32_t i = 0;
        struct poa_digest key;
        struct poa_st_device d;
        while (i < s.publishers.count && poa_le32(bytes + 4 * (size_t)i) != m.id)
            i++;
        if (i < s.publishers.count ||
            poa_state_read_u32(x->l, x->o, POA_STATE_DEVICE_INDEX, m.id, &key) ||
            poa_exec_read(x, POA_STATE_DEVICE, key.digest, 32, &d) || d.status)
            continue;
        poa_put_le32(bytes + 4 * (size_t)s.publishers.count++, m.id);
    }
    if (s.publishers.count == before)
        return;
    s.publishers.bytes = poa_slice(bytes, 4 * (size_t)s.publishers.count);
    put_slot(x, x->slot, &s);
}

void poa_mining_settle(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    struct poa_st_slot s;
    while (g->unsettled != UINT64_MAX && g->unsettled + x->g->seal_slots < x->slot && !x->full) {
        int e = read_slot(x->l, x->o, g->unsettled, &s);
        POA_ASSERT(e == POA_OK);
        uint64_t next = s.next;
        settle(x, g->unsettled, &s);
        g->unsettled = next;
    }
}

/* --- tickets ------------------------------------------------------------------------------- */

int poa_ticket_judge(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                     uint64_t slot, const struct poa_ticket *t, struct seats *out)
{
    struct poa_st_epoch st;
    uint8_t beta[64];
    if (l->genesis.policy != POA_POLICY_VRF || t->epoch != epoch ||
        poa_state_read_u32(l, o, POA_STATE_EPOCH, epoch, &st) || slot < st.first_slot)
        return POA_E_TICKET_WINDOW;
    uint64_t window = (slot - st.first_slot) / l->genesis.window_slots + 1;
    if (t->window != window)
        return POA_E_TICKET_WINDOW;
    if (poa_state_read(l, o, POA_STATE_DEVICE, t->device, 32, &out->device))
        return POA_E_DEVICE_UNKNOWN;
    if (out->device.status)
        return POA_E_DEVICE_SUSPENDED;
    if (out->device.index >= st.eligible)
        return POA_E_DEVICE_TOO_NEW;
    if (out->device.ticket == ((uint64_t)t->epoch << 32 | t->window))
        return POA_E_TICKET_DUPLICATE;
    int e = poa_ticket_check(l->config.suite, l->chain, st.seed, t, beta);
    if (e)
        return e;
    struct poa_lottery lottery = {st.eligible, l->genesis.seats_per_slot, l->genesis.window_slots};
    size_t n = poa_ticket_seats(&lottery, beta, out->seat);
    if (!n)
        return POA_E_TICKET_LOST;
    out->first_slot = st.first_slot + window * l->genesis.window_slots;
    out->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct poa_st_slot s;
        struct poa_seat_list list = {.n = 0};
        if (!read_slot(l, o, out->first_slot + out->seat[i].slot, &s) && s.epoch == epoch)
            poa_seats_unpack(&s, &list);
        if (poa_seats_fit(&list, out->seat[i].rank, t->device))
            out->seat[out->n++] = out->seat[i];
    }
    return out->n ? POA_OK : POA_E_SLOT_FULL;
}

void poa_mining_ticket(struct exec *x, const struct poa_ticket *t, struct seats *seats)
{
    seats->device.ticket = (uint64_t)t->epoch << 32 | t->window;
    poa_exec_put(x, POA_STATE_DEVICE, t->device, 32, &seats->device);
    for (size_t i = 0; i < seats->n; i++) {
        uint64_t slot = seats->first_slot + seats->seat[i].slot;
        struct poa_st_slot s;
        struct poa_seat_list list = {.n = 0};
        if (!read_slot(x->l, x->o, slot, &s) && s.epoch == t->epoch)
            poa_seats_unpack(&s, &list);
        poa_seats_insert(&list, seats->seat[i].rank, t->device);
        s = (struct poa_st_slot){.epoch = t->epoch, .next = UINT64_MAX};
        put_seats(x, slot, &s, &list);
    }
}

/* --- seals ---------------------------------------------------------------------------------------
 */

int poa_seal_judge(const struct poa_ledger *l, const struct overlay *o, uint64_t slot,
                   const struct poa_seal *s)
{
    struct poa_st_slot st;
    struct poa_st_device device;
    struct poa_seat_list list;
    if (s->slot < slot && slot - s->slot > l->genesis.seal_slots)
        return POA_E_SEAL_LATE;
    if (read_slot(l, o, s->slot, &st) || !st.height)
        return POA_E_SLOT_UNKNOWN;
    if (s->epoch != st.epoch || s->height != st.height || memcmp(s->hash, st.hash, 32))
        return POA_E_SEAL_FORK;
    poa_seats_unpack(&st, &list);
    int seat = poa_seats_find(&list, s->device);
    if (seat < 0)
        return POA_E_SEAL_NOT_ASSIGNED;
    if (list.seat[seat].sealed)
        return POA_E_SEAL_DUPLICATE;
    if (poa_state_read(l, o, POA_STATE_DEVICE, s->device, 32, &device))
        return POA_E_DEVICE_UNKNOWN;
    if (device.status)
        return POA_E_DEVICE_SUSPENDED;
    return poa_seal_check(l->config.suite, l->chain, s);
}

void poa_mining_seal(struct exec *x, const struct poa_seal *s)
{
    struct poa_st_slot st;
    struct poa_st_device device;
    struct poa_seat_list list;
    uint64_t tip = tip_of(x->g, s->slot);
    if (read_slot(x->l, x->o, s->slot, &st) ||
        poa_exec_read(x, POA_STATE_DEVICE, s->device, 32, &device))
        return; /* judged before: unreachable */
    poa_seats_unpack(&st, &list);
    list.seat[poa_seats_find(&list, s->device)].sealed = x->header->height;
    put_seats(x, s->slot, &st, &list);
    device.sealed++;
    poa_exec_put(x, POA_STATE_DEVICE, s->device, 32, &device);
    poa_hold_seal(x, s, &device);
    x->global.seals++;
    x->global.issued += tip;
    x->fees += tip;
}
