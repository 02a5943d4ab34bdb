/* Configurations: quiet, clean, and everything drawn from a seed. */
#include "world.h"

void poa_sim_config_default(struct poa_sim_config *c)
{
    memset(c, 0, sizeof *c);
    c->seed = 1;
    c->nodes = 4;
    c->accounts = 16;
    c->devices = 0;
    c->window_slots = 8;
    c->seal_slots = 16;
    c->seats_per_slot = 2;
    c->delay_min_us = c->delay_max_us = 5000;
    c->fsync_min_us = c->fsync_max_us = 500;
    c->check_us = 300;
    c->gst_us = 0;
    c->end_us = 10000000;
    c->load_us = 6666666;
    c->block_min_ms = 1;
    c->heartbeat_ms = 100;
    c->timeout_ms = 60;
    c->timeout_max_ms = 2000;
    c->drift_ms = 500;
    c->slot_ms = 250;
    c->epoch_views = 100000;
    c->policy = POA_POLICY_RANDOM;
    c->limits = (struct poa_core_limits){
        .pending_batches = 512,
        .pending_batch_bytes = 8u << 20,
        .pending_mining = 512,
        .mempool = {.txs = 4096, .per_account = 64, .bytes = 2u << 20},
        .log_records = 24,
        .arena_bytes = 16u << 20,
    };
}

void poa_sim_config_clean(struct poa_sim_config *c, uint32_t nodes)
{
    poa_sim_config_default(c);
    c->nodes = nodes ? nodes : 7;
    c->delay_min_us = c->delay_max_us = 20000;
    c->fsync_min_us = c->fsync_max_us = 0;
    c->check_us = 0;
    c->heartbeat_ms = 1;
    c->timeout_ms = 200;
    c->end_us = 20000000;
    c->load_us = 13333333;
    c->txs_per_s = 50;
}

/* Small numbers everywhere, so that every edge is met within seconds. */
void poa_sim_config_random(struct poa_sim_config *c, uint64_t seed, uint32_t nodes)
{
    uint64_t r = seed * 0x9e3779b97f4a7c15u + 7;
    uint32_t unit = between(&r, 1000, 8000); /* one delay */
    poa_sim_config_default(c);
    c->seed = seed;
    c->nodes = nodes ? nodes : between(&r, 0, 3) ? between(&r, 4, 7) : between(&r, 1, 10);
    c->joiners = c->nodes > 4 && below(&r, 3) == 0 ? between(&r, 1, 2) : 0;
    c->leavers = c->nodes - c->joiners > 4 && below(&r, 3) == 0;
    uint32_t f = (c->nodes - c->joiners - c->leavers - 1) / 3;
    c->byzantine = f && below(&r, 3) ? between(&r, 1, f) : 0;
    c->followers = below(&r, 3) == 0;
    c->accounts = between(&r, 4, 24);
    c->devices = below(&r, 2) ? between(&r, 2, 12) : 0;
    c->policy = below(&r, 2) ? POA_POLICY_VRF : POA_POLICY_RANDOM;
    c->delay_min_us = unit / between(&r, 1, 10);
    c->delay_max_us = unit;
    c->fsync_min_us = 50;
    c->fsync_max_us = between(&r, 50, 4000);
    c->check_us = between(&r, 0, 2000);
    c->loss_ppm = below(&r, 4) ? below(&r, 300000) : 0;
    c->dup_ppm = below(&r, 100000);
    c->spike_ppm = below(&r, 50000);
    c->spike_us = unit * between(&r, 5, 60);
    c->loss_after_ppm = below(&r, 2) ? below(&r, 20000) : 0;
    c->crash_ppm = below(&r, 3) ? below(&r, 60000) : 0;
    c->partition_ppm = below(&r, 3) ? below(&r, 700000) : 0;
    c->cut_ppm = below(&r, 3) ? below(&r, 400000) : 0;
    c->save_ppm = below(&r, 2) ? below(&r, 300000) : 0;
    c->losses = c->crash_ppm && below(&r, 3) == 0;
    c->skew_ms = below(&r, 2) ? below(&r, 200) : 0;
    c->real_crypto = seed % 50 == 0;
    c->settle = seed % 16 != 5; /* else it runs on, for what goes wrong late */
    c->gst_us = c->real_crypto ? between(&r, 300000, 900000)
                : c->settle    ? between(&r, 500000, 2500000)
                               : between(&r, 500000, 6000000);
    c->end_us = c->gst_us + 9000000;
    c->load_us = c->settle ? between(&r, 100000, 600000) : 6000000;
    c->txs_per_s = below(&r, 4) ? between(&r, 5, 150) : 0;
    c->block_min_ms = between(&r, 0, 10);
    c->heartbeat_ms = between(&r, 10, 120);
    c->timeout_ms = (3 * unit + c->fsync_max_us * 3) / 1000 + between(&r, 10, 60);
    c->timeout_max_ms = c->timeout_ms * between(&r, 4, 20);
    c->drift_ms = 400 + c->skew_ms;
    c->slot_ms = c->heartbeat_ms + between(&r, 10, 200);
    c->epoch_views = below(&r, 3) ? between(&r, 4, 40) : 100000;
    c->committee_size = c->nodes > 4 && below(&r, 3) == 0 ? (uint16_t)between(&r, 4, c->nodes) : 0;
    if (c->committee_size && (c->committee_size - 1u) / 3 < f)
        f = (c->committee_size - 1u) / 3;
    c->byzantine = c->byzantine < f ? c->byzantine : f;
    c->losses = c->losses && c->byzantine < f;
    if (below(&r, 2)) {
        c->limits.batch_flush_us = between(&r, 200, 20000);
        c->limits.batch_flush_bytes = between(&r, 2048, 16384);
        c->limits.pending_batches = between(&r, 32, 512);
        c->limits.pending_mining = between(&r, 8, 256);
        c->limits.mempool.txs = between(&r, 64, 1024);
        c->limits.mempool.per_account = between(&r, 16, 64);
        c->limits.log_records = between(&r, 8, 64);
    }
    /* From numbers of their own: the rest of a seed stays what it was. */
    uint64_t of_devices = seed * 0xd1342543de82ef95u + 11;
    if (below(&of_devices, 2))
        c->device_fault = (uint8_t)below(&of_devices, POA_SIM_DEVICES_FAULTS);
    if (c->policy == POA_POLICY_RANDOM && below(&of_devices, 3) == 0)
        c->policy = POA_POLICY_WEIGHTED;
    /* Beyond the assumption of f: without liars, and n-q+1 keep their logs. */
    if (c->nodes > 3 && below(&r, 8) == 0) {
        uint32_t kept = (c->nodes - 1) / 3 + 1;
        c->disaster = between(&r, kept, c->nodes - kept);
        c->byzantine = c->losses = c->joiners = c->leavers = c->committee_size = 0;
        c->end_us += 6000000;
    }
}
