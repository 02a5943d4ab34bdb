/* The genesis record: its rules, and the state that it describes. */
#include "ledger.h"
#include "poa_assign.h"

void poa_genesis_chain_id(struct poa_slice encoded, uint8_t out32[32])
{
    poa_hash(POA_DOMAIN_CHAIN, encoded.p, encoded.n, out32);
}

static bool is_zero(const uint8_t p[32])
{
    static const uint8_t zero[32];
    return !memcmp(p, zero, 32);
}

/* Numbers of grade 2; whether the devices can meet them is checked with them. */
static const char *check_grade(const struct poa_genesis *g)
{
    if (!g->grade2_seals)
        return g->hold_above ? "hold_above needs grade 2: set grade2_seals" : NULL;
    if (g->policy != POA_POLICY_VRF)
        return "grade 2 needs policy vrf: set grade2_seals to 0";
    if (!g->grade2_span || g->grade2_span > POA_SPAN_MAX || g->grade2_seals > POA_SPAN_MAX)
        return "grade2_span must be 1 to 255, grade2_seals at most 255";
    if (g->grade2_makers > 16 || g->grade2_regions > 16)
        return "grade2_makers and grade2_regions must not exceed 16";
    if (g->grade2_seals > g->grade2_span * g->seats_per_slot)
        return "grade2_seals is more than all seats of the span (grade2_span * seats_per_slot)";
    if (g->hold_slots < g->grade2_span + g->seal_slots)
        return "hold_slots must be at least grade2_span + seal_slots, when the last seal may come";
    return NULL;
}

const char *poa_genesis_parameters(const struct poa_genesis *g)
{
    if (g->version != 1)
        return "version must be 1";
    if (!poa_name_ok(g->name))
        return "name must be 1 to 64 bytes of text";
    if (g->slot_ms < 10 || g->slot_ms > 86400000)
        return "slot_ms must be 10 to 86400000";
    if (g->block_min_ms > g->slot_ms)
        return "block_min_ms must not exceed slot_ms";
    if (!g->heartbeat_ms || g->heartbeat_ms > g->slot_ms)
        return "heartbeat_ms must be 1 to slot_ms, else slots stay empty";
    if (!g->timeout_ms || g->timeout_max_ms < g->timeout_ms)
        return "timeout_ms must be 1 to timeout_max_ms";
    if (g->epoch_views < 4 || g->epoch_views > (uint64_t)1 << 40)
        return "epoch_views must be 4 to 2^40";
    if (g->window_slots < 4 || g->window_slots > 4096 ||
        (g->window_slots & (g->window_slots - 1)) != 0)
        return "window_slots must be a power of two from 4 to 4096";
    if (!g->seats_per_slot || g->seats_per_slot > 16)
        return "seats_per_slot must be 1 to 16";
    if (!g->seal_slots || g->seal_slots > 512)
        return "seal_slots must be 1 to 512";
    if ((uint32_t)g->miner_bp + g->sealers_bp + g->witnesses_bp + g->data_bp > 10000)
        return "miner_bp, sealers_bp, witnesses_bp and data_bp must not exceed 10000 together";
    if (g->fee_per_kib > (uint64_t)1 << 56 || g->fee_min > (uint64_t)1 << 62)
        return "fee_per_kib must not exceed 2^56, fee_min 2^62";
    if (g->risk_p_ppb > 1000000000 || g->risk_offline_ppb > 1000000000 ||
        g->risk_device_p_ppb > 1000000000 || g->risk_device_offline_ppb > 1000000000)
        return "risk_*_ppb must not exceed 1000000000";
    const char *grade = check_grade(g);
    if (grade)
        return grade;
    if (is_zero(g->treasury))
        return "treasury must be an address";
    return NULL;
}

/* All that can ever be issued fits beside the initial balances, so that no
 * addition to a balance can overflow. */
static bool supply_fits(const struct poa_genesis *g, uint64_t balances)
{
    uint64_t slots = g->halving_slots ? g->halving_slots : POA_SUBSIDY_SLOTS / 2;
    if (slots > UINT64_MAX / 2)
        return false;
    return !g->subsidy || (UINT64_MAX - balances) / g->subsidy >= 2 * slots;
}

static const char *check_accounts(const struct poa_genesis *g)
{
    struct poa_list_iter it = poa_list_begin(&g->accounts);
    struct poa_genesis_account a;
    uint8_t last[32];
    uint64_t sum = 0;
    for (bool first = true; poa_genesis_account_next(&it, &a); first = false) {
        if (!first && memcmp(a.address, last, 32) <= 0)
            return "accounts must be in ascending order of their addresses, each once";
        if (a.balance > UINT64_MAX - sum)
            return "the balances overflow";
        sum += a.balance;
        memcpy(last, a.address, 32);
    }
    if (!supply_fits(g, sum))
        return "subsidy is so high that balances could overflow";
    return NULL;
}

static bool maker_of(const struct poa_genesis *g, uint32_t id, struct poa_op_maker *out)
{
    struct poa_list_iter it = poa_list_begin(&g->makers);
    while (poa_op_maker_next(&it, out))
        if (out->maker == id)
            return true;
    return false;
}

static const char *check_makers(const struct poa_genesis *g)
{
    struct poa_list_iter it = poa_list_begin(&g->makers);
    struct poa_op_maker m;
    uint32_t last = 0;
    while (poa_op_maker_next(&it, &m)) {
        if (m.maker <= last)
            return "makers must be in ascending order of their ids, from 1, each once";
        if (!poa_name_ok(m.name))
            return "a maker's name must be 1 to 64 bytes of text";
        if (poa_point_check(m.key))
            return "a maker's key is not an Ed25519 key";
        last = m.maker;
    }
    return NULL;
}

static const char *check_witnesses(const struct poa_genesis *g)
{
    struct poa_list_iter it = poa_list_begin(&g->witnesses);
    struct poa_op_witness w, other;
    if (!g->witnesses.count)
        return "at least one witness is needed";
    for (uint32_t i = 0; poa_op_witness_next(&it, &w); i++) {
        if (!poa_name_ok(w.name))
            return "a witness's name must be 1 to 64 bytes of text";
        if (poa_point_check(w.key))
            return "a witness's key is not an Ed25519 key";
        struct poa_list_iter before = poa_list_begin(&g->witnesses);
        for (uint32_t k = 0; k < i && poa_op_witness_next(&before, &other); k++)
            if (!memcmp(w.key, other.key, 32))
                return "a witness is listed twice";
    }
    return NULL;
}

static const char *check_devices(const struct poa_suite *suite, const struct poa_genesis *g)
{
    static const uint8_t no_chain[32];
    struct poa_list_iter it = poa_list_begin(&g->devices);
    struct poa_op_device d;
    struct poa_op_maker m;
    uint8_t last[32];
    for (bool first = true; poa_op_device_next(&it, &d); first = false) {
        if (!first && memcmp(d.device, last, 32) <= 0)
            return "devices must be in ascending order of their keys, each once";
        if (!maker_of(g, d.maker, &m) || memcmp(m.key, d.maker_key, 32))
            return "a device's maker is not among the makers";
        if (poa_device_attest_check(suite, no_chain, &d))
            return "a device's attestation is not valid";
        memcpy(last, d.device, 32);
    }
    return NULL;
}

/* Whether the hardware of MAKER holds so many seats of a committee that is the
 * whole pool that no quorum is left without it: its devices add nothing then. */
static bool maker_rules(const struct poa_genesis *g, uint32_t maker)
{
    uint32_t n = g->witnesses.count, others = 0;
    struct poa_list_iter it = poa_list_begin(&g->witnesses);
    struct poa_op_witness w;
    if (g->committee_size && g->committee_size < n)
        return false; /* a draw decides, within the caps */
    while (poa_op_witness_next(&it, &w))
        others += w.maker != maker;
    uint32_t quorum = n - poa_committee_faults(n) + g->quorum_extra;
    return others < (quorum < n ? quorum : n);
}

static void add_id(uint32_t *ids, uint32_t *n, uint32_t id)
{
    for (uint32_t i = 0; i < *n; i++)
        if (ids[i] == id)
            return;
    if (*n < 16)
        ids[(*n)++] = id;
}

/* Whether the devices can give the seals that grade 2 asks for. */
static const char *check_grade_devices(const struct poa_genesis *g)
{
    struct poa_list_iter it = poa_list_begin(&g->devices);
    struct poa_op_device d;
    uint32_t devices = 0, makers = 0, regions = 0, maker[16], region[16];
    bool ruled = false, rules = false;
    for (uint32_t last = 0; g->grade2_seals && poa_op_device_next(&it, &d); last = d.maker) {
        rules = d.maker == last ? rules : maker_rules(g, d.maker);
        ruled |= rules;
        if (rules)
            continue;
        devices++;
        add_id(maker, &makers, d.maker);
        add_id(region, &regions, d.region);
    }
    if (devices < g->grade2_seals)
        return ruled ? "grade2_seals is more than the devices whose maker does not rule the "
                       "committee too"
                     : "grade2_seals is more than there are devices: nothing could reach grade 2";
    if (makers < g->grade2_makers)
        return "grade2_makers is more than the devices' manufacturers";
    return regions < g->grade2_regions ? "grade2_regions is more than the devices' regions" : NULL;
}

int poa_genesis_check_suite(const struct poa_suite *suite, const struct poa_genesis *g,
                            const char **why)
{
    *why = poa_genesis_parameters(g);
    if (!*why)
        *why = check_accounts(g);
    if (!*why)
        *why = check_makers(g);
    if (!*why)
        *why = check_witnesses(g);
    if (!*why)
        *why = check_devices(suite, g);
    if (!*why)
        *why = check_grade_devices(g);
    return *why ? POA_E_CONFIG : POA_OK;
}

int poa_genesis_check(const struct poa_genesis *g, const char **why)
{
    return poa_genesis_check_suite(&poa_suite_ed25519, g, why);
}

/* --- the first state -------------------------------------------------------------- */

struct poa_committee_rule poa_genesis_rule(const struct poa_genesis *g)
{
    return (struct poa_committee_rule){.size = g->committee_size,
                                       .quorum_extra = g->quorum_extra,
                                       .cap_maker = g->cap_maker,
                                       .cap_region = g->cap_region,
                                       .cap_provider = g->cap_provider};
}

void poa_put_maker(struct exec *x, const struct poa_op_maker *m)
{
    uint8_t key[4];
    struct poa_st_maker st = {.name = m->name, .meta = m->meta};
    memcpy(st.key, m->key, 32);
    poa_put_le32(key, m->maker);
    poa_exec_put(x, POA_STATE_MAKER, key, sizeof key, &st);
}

void poa_put_witness(struct exec *x, const struct poa_op_witness *w)
{
    uint8_t key[4];
    struct poa_digest index;
    struct poa_st_witness st = {.index = x->global.witnesses,
                                .maker = w->maker,
                                .region = w->region,
                                .provider = w->provider,
                                .name = w->name,
                                .meta = w->meta};
    memcpy(st.payout, w->payout, 32);
    memcpy(index.digest, w->key, 32);
    poa_put_le32(key, x->global.witnesses++);
    poa_exec_put(x, POA_STATE_WITNESS, w->key, 32, &st);
    poa_exec_put(x, POA_STATE_WITNESS_INDEX, key, sizeof key, &index);
}

void poa_put_device(struct exec *x, const struct poa_op_device *d)
{
    uint8_t key[4], maker_key[4];
    struct poa_digest index;
    struct poa_st_maker maker;
    struct poa_st_device st = {.index = x->global.devices,
                               .maker = d->maker,
                               .region = d->region,
                               .height = x->header ? x->header->height : 0,
                               .since = x->slot,
                               .history = POA_HISTORY_NEW,
                               .meta = d->meta};
    memcpy(st.owner, d->owner, 32);
    memcpy(st.payout, d->payout, 32);
    memcpy(index.digest, d->device, 32);
    poa_put_le32(key, x->global.devices++);
    poa_put_le32(maker_key, d->maker);
    poa_exec_put(x, POA_STATE_DEVICE, d->device, 32, &st);
    poa_exec_put(x, POA_STATE_DEVICE_INDEX, key, sizeof key, &index);
    if (!poa_exec_read(x, POA_STATE_MAKER, maker_key, sizeof maker_key, &maker)) {
        maker.devices++;
        poa_exec_put(x, POA_STATE_MAKER, maker_key, sizeof maker_key, &maker);
    }
}

int poa_genesis_apply(struct exec *x)
{
    const struct poa_genesis *g = x->g;
    struct poa_list_iter it = poa_list_begin(&g->accounts);
    struct poa_genesis_account a;
    struct poa_op_maker m;
    struct poa_op_witness w;
    struct poa_op_device d;
    uint8_t zero[4] = {0}, first[4] = {0};
    x->global = (struct poa_st_global){.time_ms = g->time_ms,
                                       .slot = UINT64_MAX,
                                       .unsettled = UINT64_MAX,
                                       .oldest = UINT64_MAX,
                                       .hold_first = UINT64_MAX,
                                       .hold_open = UINT64_MAX};
    memcpy(x->global.hash, x->l->chain, 32);
    while (poa_genesis_account_next(&it, &a)) {
        struct poa_st_account st = {.balance = a.balance};
        x->global.genesis_supply += a.balance;
        poa_exec_put(x, POA_STATE_ACCOUNT, a.address, 32, &st);
    }
    it = poa_list_begin(&g->makers);
    while (poa_op_maker_next(&it, &m))
        poa_put_maker(x, &m);
    it = poa_list_begin(&g->witnesses);
    while (poa_op_witness_next(&it, &w))
        poa_put_witness(x, &w);
    it = poa_list_begin(&g->devices);
    while (poa_op_device_next(&it, &d))
        poa_put_device(x, &d);
    if (x->full) /* what is missing now cannot be drawn from */
        return POA_E_FULL;

    struct poa_st_epoch epoch = {.first_height = 1,
                                 .devices = x->global.devices,
                                 .eligible = x->global.devices,
                                 .witnesses = x->global.witnesses};
    struct poa_committee committee;
    struct poa_writer buffer = poa_writer_over(x->value + POA_VALUE_MAX, POA_VALUE_MAX);
    poa_hash(POA_DOMAIN_SEED, x->l->chain, 32, epoch.seed);
    int relaxed = poa_draw_committee(x->l, x->o, 0, x->global.witnesses, x->global.witnesses,
                                     epoch.seed, &buffer, &committee);
    if (relaxed < 0)
        return relaxed;
    epoch.relaxed = (uint16_t)relaxed;
    poa_exec_put(x, POA_STATE_EPOCH, zero, sizeof zero, &epoch);
    poa_exec_put(x, POA_STATE_COMMITTEE, first, sizeof first, &committee);
    memcpy(x->global.beacon, epoch.seed, 32);
    poa_exec_put(x, POA_STATE_GLOBAL, NULL, 0, &x->global);
    return POA_OK;
}
