/* Parameters: what governance may change of genesis, and from when on. */
#include "ledger.h"
#include "poa_bounds.h"

/* --- one parameter ------------------------------------------------------------- */

static int set_number(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min || value > max ? POA_E_TX_PARAM : POA_OK;
}

static int set_one(struct poa_genesis *g, const struct poa_param_change *c)
{
    static const uint8_t zero[32];
#define SET_U16(field, min, max)                                                                   \
    if (memcmp(c->address, zero, 32) || set_number(c->value, min, max))                            \
        return POA_E_TX_PARAM;                                                                     \
    g->field = (uint16_t)c->value;                                                                 \
    return POA_OK;
#define SET_U64(field, min, max)                                                                   \
    if (memcmp(c->address, zero, 32) || set_number(c->value, min, max))                            \
        return POA_E_TX_PARAM;                                                                     \
    g->field = c->value;                                                                           \
    return POA_OK;
#define SET_FIX(field, min, max)                                                                   \
    if (c->value || !memcmp(c->address, zero, 32))                                                 \
        return POA_E_TX_PARAM;                                                                     \
    memcpy(g->field, c->address, 32);                                                              \
    return POA_OK;
    switch (c->param) {
#define ROW(name, number, kind, field, min, max, unit, text)                                       \
    case number:                                                                                   \
        SET_##kind(field, min, max)
        POA_PARAMS(ROW)
#undef ROW
    default:
        return POA_E_TX_PARAM;
    }
}

int poa_params_change(struct poa_genesis *g, const struct poa_list *changes)
{
    struct poa_list_iter it = poa_list_begin(changes);
    struct poa_param_change c;
    uint16_t last = 0;
    if (!changes->count)
        return POA_E_TX_PARAM;
    while (poa_param_change_next(&it, &c)) {
        if (c.param <= last || set_one(g, &c))
            return POA_E_TX_PARAM;
        last = c.param;
    }
    return POA_OK;
}

/* --- what holds when ------------------------------------------------------------- */

static void apply_list(struct poa_genesis *g, const struct poa_list *changes)
{
    int e = changes->count ? poa_params_change(g, changes) : POA_OK;
    POA_ASSERT(e == POA_OK); /* judged before it came into the state */
}

void poa_params_apply(struct poa_genesis *g, const struct poa_st_params *st, uint32_t epoch)
{
    if (st)
        apply_list(g, epoch >= st->from ? &st->next : &st->now);
}

void poa_params_at(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                   struct poa_genesis *out)
{
    struct poa_st_params st;
    *out = l->genesis;
    if (!poa_state_read(l, o, POA_STATE_PARAMS, NULL, 0, &st))
        poa_params_apply(out, &st, epoch);
}

void poa_ledger_params(const struct poa_ledger *l, poa_state_id s, uint32_t epoch,
                       struct poa_genesis *out)
{
    poa_params_at(l, poa_state_overlay(l, s), epoch, out);
}

/* --- changes ------------------------------------------------------------------------ */

static bool bound_met(const struct poa_genesis *g, uint32_t witnesses)
{
    uint32_t n = g->committee_size ? g->committee_size : POA_COMMITTEE_MAX;
    if (n > witnesses)
        n = witnesses;
    uint32_t q = n - poa_committee_faults(n) + g->quorum_extra;
    return poa_bounds_met(n, q < n ? q : n, g->risk_p_ppb, g->risk_offline_ppb, g->risk_target_exp,
                          g->risk_stall_exp ? g->risk_stall_exp : g->risk_target_exp);
}

static bool same_bound(const struct poa_genesis *a, const struct poa_genesis *b)
{
    return a->committee_size == b->committee_size && a->quorum_extra == b->quorum_extra &&
           a->risk_p_ppb == b->risk_p_ppb && a->risk_offline_ppb == b->risk_offline_ppb &&
           a->risk_target_exp == b->risk_target_exp && a->risk_stall_exp == b->risk_stall_exp;
}

int poa_params_check(const struct poa_genesis *genesis, const struct poa_genesis *before,
                     const struct poa_genesis *g, uint32_t witnesses, const char **why)
{
    *why = poa_genesis_parameters(g);
    if (!*why && g->subsidy > genesis->subsidy)
        *why = "the subsidy must not exceed that of genesis, which bounds the supply";
    if (!*why && !g->devnet && (!g->risk_target_exp || !g->risk_p_ppb))
        *why = "risk_p_ppb and risk_target_exp must be stated";
    if (*why)
        return POA_E_TX_PARAM;
    if (g->devnet || (before && same_bound(before, g)) || bound_met(g, witnesses))
        return POA_OK;
    *why = "the committee would fork or stall more often than the network's own target";
    return POA_E_TX_BOUND;
}

bool poa_params_payable(const struct poa_genesis *before, const struct poa_genesis *g,
                        uint64_t balance)
{
    bool dearer = g->fee_min > before->fee_min || g->fee_per_kib > before->fee_per_kib ||
                  memcmp(g->steering, before->steering, 32);
    return !dearer || poa_fee_min(g, 1024) <= balance / POA_STEERING_TXS;
}

uint32_t poa_witnesses_active(const struct poa_ledger *l, const struct overlay *o)
{
    struct poa_st_witness w;
    struct poa_digest key;
    uint32_t active = 0;
    for (uint32_t i = 0;
         i < POA_WITNESSES_MAX && !poa_state_read_u32(l, o, POA_STATE_WITNESS_INDEX, i, &key); i++)
        active += !poa_state_read(l, o, POA_STATE_WITNESS, key.digest, 32, &w) && !w.status;
    return active;
}

int poa_params_judge(const struct judge *j, const struct poa_op_params *op)
{
    struct poa_genesis before, g;
    struct poa_st_account steering = {.balance = 0};
    const char *why;
    if (memcmp(j->sender, j->g->steering, 32))
        return POA_E_TX_NOT_ALLOWED;
    /* Onto what was decided before for the next epoch. */
    poa_params_at(j->l, j->o, j->epoch + 1, &before);
    g = before;
    int e = poa_params_change(&g, &op->changes);
    if (!e)
        e = poa_params_check(&j->l->genesis, &before, &g, poa_witnesses_active(j->l, j->o), &why);
    if (e)
        return e;
    /* The sender's entry is as before this transaction: what that costs is gone. */
    if (!memcmp(g.steering, j->sender, 32))
        steering.balance = j->left;
    else if ((e = poa_state_read(j->l, j->o, POA_STATE_ACCOUNT, g.steering, 32, &steering)) &&
             e != POA_E_NOT_FOUND)
        return e;
    return poa_params_payable(&before, &g, steering.balance) ? POA_OK : POA_E_TX_PARAM;
}

int poa_leave_judge(const struct judge *j)
{
    struct poa_genesis g;
    uint32_t active = poa_witnesses_active(j->l, j->o);
    if (active <= 1)
        return POA_E_LIMIT;
    poa_params_at(j->l, j->o, j->epoch + 1, &g);
    return g.devnet || bound_met(&g, active - 1) ? POA_OK : POA_E_TX_BOUND;
}

/* A's entries, those that B has too being replaced by B's, in order. */
static struct poa_list merge(const struct poa_list *a, const struct poa_list *b,
                             struct poa_writer *w)
{
    struct poa_list_iter ia = poa_list_begin(a), ib = poa_list_begin(b);
    struct poa_param_change ca, cb;
    struct poa_list out = {.count = 0};
    bool more_a = poa_param_change_next(&ia, &ca), more_b = poa_param_change_next(&ib, &cb);
    while (more_a || more_b) {
        bool from_b = more_b && (!more_a || cb.param <= ca.param);
        bool both = more_a && more_b && ca.param == cb.param;
        int e = poa_param_change_encode(w, from_b ? &cb : &ca);
        POA_ASSERT(e == POA_OK); /* room for every parameter */
        out.count++;
        if (!from_b || both)
            more_a = poa_param_change_next(&ia, &ca);
        if (from_b)
            more_b = poa_param_change_next(&ib, &cb);
    }
    out.bytes = poa_written(w);
    return out;
}

void poa_params_put(struct exec *x, const struct poa_op_params *op)
{
    struct poa_st_params st = {.from = 0};
    uint8_t now[POA_PARAMS_MAX * 42], next[POA_PARAMS_MAX * 42];
    const struct poa_list none = {.count = 0};
    uint32_t epoch = x->header->epoch;
    int e = poa_exec_read(x, POA_STATE_PARAMS, NULL, 0, &st);
    POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
    struct poa_list before = e ? none : epoch >= st.from ? st.next : st.now;
    struct poa_list later = e ? none : st.next;
    struct poa_writer now_w = poa_writer_over(now, sizeof now);
    struct poa_writer next_w = poa_writer_over(next, sizeof next);
    st = (struct poa_st_params){.from = epoch + 1,
                                .now = merge(&before, &none, &now_w),
                                .next = merge(&later, &op->changes, &next_w)};
    poa_exec_put(x, POA_STATE_PARAMS, NULL, 0, &st);
}
