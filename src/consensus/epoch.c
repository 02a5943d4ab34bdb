/* Epochs: committee, order of leaders, hand-over. */
#include "core.h"

/* Index below N, unbiased, from a hash chain over the epoch's seed. */
static uint32_t draw(const uint8_t seed[32], uint32_t *counter, uint32_t n)
{
    for (;;) {
        uint8_t in[36], h[32];
        memcpy(in, seed, 32);
        poa_put_le32(in + 32, (*counter)++);
        poa_hash(POA_DOMAIN_LEADERS, in, sizeof in, h);
        uint64_t x = poa_le64(h);
        if (x < UINT64_MAX - UINT64_MAX % n)
            return (uint32_t)(x % n);
    }
}

/* Everybody leads once in n views, in an order that the seed shuffles: any f+1
 * consecutive views have an honest leader. */
void core_order_leaders(struct poa_core *c)
{
    uint32_t counter = 0;
    for (uint32_t i = 0; i < c->n; i++)
        c->order[i] = (uint8_t)i;
    for (uint32_t i = c->n; i > 1; i--) {
        uint32_t j = draw(c->epoch_seed, &counter, i);
        uint8_t t = c->order[i - 1];
        c->order[i - 1] = c->order[j];
        c->order[j] = t;
    }
}

int core_epoch_load(struct poa_core *c, uint32_t epoch)
{
    struct poa_st_epoch st;
    struct poa_lottery lottery;
    struct poa_committee committee;
    struct poa_member m;
    int e = poa_ledger_epoch(c->ledger, POA_STATE_BASE, epoch, &st, &committee, &lottery);
    if (e)
        return e;
    if (!committee.members.count || committee.members.count > POA_COMMITTEE_MAX ||
        committee.members.bytes.n > POA_COMMITTEE_BYTES_MAX)
        return POA_E_RANGE;
    memcpy(c->committee_bytes, committee.members.bytes.p, committee.members.bytes.n);
    c->committee = committee;
    c->committee.members.bytes.p = c->committee_bytes;
    c->epoch = epoch;
    c->n = (uint16_t)committee.members.count;
    c->q = committee.quorum;
    if (c->mutant == POA_MUTANT_QUORUM_LESS) {
        c->q--;
        c->committee.quorum--;
    }
    c->f = poa_committee_faults(c->n);
    memcpy(c->epoch_seed, st.seed, 32);
    c->self = -1;
    struct poa_list_iter it = poa_list_begin(&c->committee.members);
    for (uint32_t i = 0; poa_member_next(&it, &m); i++) {
        memcpy(c->keys[i], m.key, 32);
        if (c->has_key && hash_eq(m.key, c->key))
            c->self = (int32_t)i;
    }
    core_order_leaders(c);
    return POA_OK;
}

void core_epoch_log(struct poa_core *c)
{
    struct poa_wal_epoch r = {.epoch = c->epoch, .from_view = c->vote_from};
    uint8_t buffer[128];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    memcpy(r.chain, c->chain, 32);
    memcpy(r.key, c->key, 32);
    POA_ASSERT(poa_wal_epoch_encode(&w, &r) == POA_OK);
    c->epoch_seq = core_persist(c, POA_WAL_EPOCH, poa_written(&w));
    c->epoch_logged = true;
}

void core_epoch_remember(struct poa_core *c)
{
    c->prev_epoch = c->epoch;
    c->prev_n = c->n;
    memcpy(c->prev_keys, c->keys, sizeof c->keys);
}

/* The closing block is the tip; its committee has done its work, but keeps
 * what stragglers need (CERT, the blocks) until the next epoch ends. */
void core_epoch_enter(struct poa_core *c, const uint8_t *cert, uint32_t cert_n)
{
    core_epoch_remember(c);
    core_give_later(c, c->prev_cert);
    c->prev_cert = (uint8_t *)(uintptr_t)cert;
    c->prev_cert_n = cert_n;
    int e = core_epoch_load(c, c->epoch + 1);
    if (e) {
        core_halt(c, e, "the next epoch's committee is not in the state");
        return;
    }
    c->tip_view = 0;
    c->tip_kind = POA_BLOCK_NORMAL;
    c->view = 1;
    c->final_view = 0;
    c->beacon_view = c->beacon_told = 0;
    core_slots_reset(c);
    core_recovery_reset(c);
    core_blocks_reset(c);
    memset(c->convicted, 0, sizeof c->convicted);
    memset(c->helped_us, 0, sizeof c->helped_us);
    c->bundle.n = 0;
    /* A node that lost its log may have voted in the epoch that it then joins;
     * only an epoch that begins before its eyes is safe. */
    if (c->abstain && c->live_handover)
        c->abstain = c->amnesia = false;
    if (c->self >= 0 && !c->restoring && !c->abstain)
        core_epoch_log(c);
    core_batches_epoch(c);
    core_simplex_start(c);
    c->stand_us = c->now.us + (uint64_t)c->genesis->timeout_ms * 1000;
    c->more = true;
}
