/* Clock, event queue, construction. */
#include "world.h"

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
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
            faults_chaos(s);
        else if (ev.kind == EV_PARTITION)
            network_partition(s);
        else if (ev.kind == EV_CUT)
            network_cuts(s);
        else if (ev.kind == EV_LOAD)
            load_tick(s);
        else if (ev.kind == EV_EVE)
            faults_eve(s);
        else if (ev.kind == EV_DISASTER)
            faults_disaster(s);
        else if (ev.kind == EV_OPERATORS)
            faults_operators(s);
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
    s->suite = config->real_crypto                             ? &poa_suite_ed25519
               : config->sim_mutant == POA_SIM_MUTANT_ANY_SEAL ? &sim_suite_any
                                                               : &poa_suite_sim;
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
    if (config->disaster)
        event_push(
            s, (struct event){.at = between(&s->random, 100000, (uint32_t)(config->gst_us * 3 / 4)),
                              .kind = EV_EVE});
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

void poa_sim_durable(struct poa_sim *s, uint32_t node, uint16_t type, struct poa_slice bytes)
{
    check_durable(&s->node[node], type, bytes);
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
