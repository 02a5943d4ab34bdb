/* What befalls nodes from outside: crashes, logs that are lost, and the operators
 * who get the chain going when too many were. */
#include "world.h"

static void forget(struct poa_sim *s, struct node *n)
{
    n->lost = true;
    s->lost_logs++;
    trace(s, n, "loses its log");
    poa_sim_wipe_log(s, n->id);
}

/* With the liars, no more than f members may be out of the vote. */
static void lose_log(struct poa_sim *s, struct node *n)
{
    if (!s->losses || n->lost || below(&s->random, 3))
        return;
    s->losses--;
    forget(s, n);
}

void faults_chaos(struct poa_sim *s)
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

/* --- a disaster, and what the operators do about it: docs/consensus.md, Lost logs --- */

#define OPERATORS_US 150000u

/* Nothing becomes final for a while, so that there is much to forget. */
void faults_eve(struct poa_sim *s)
{
    uint64_t until = s->now + between(&s->random, 1000, 500000);
    if (below(&s->random, 3))
        s->cut[1] = (struct cut){.until = until,
                                 .from = UINT32_MAX,
                                 .to = UINT32_MAX,
                                 .types = 1u << POA_MSG_VOTE,
                                 .kinds = 1u << POA_VOTE_FINALIZE};
    event_push(s, (struct event){.at = until, .kind = EV_DISASTER});
}

/* Several lose their logs at once, so that no quorum remembers what it said. For
 * a while they may not hear from the others what they had said. */
void faults_disaster(struct poa_sim *s)
{
    uint32_t from = below(&s->random, s->config.nodes), left = s->config.disaster, who = 0;
    for (uint32_t i = 0; i < s->config.nodes && left; i++) {
        struct node *n = &s->node[(from + i) % s->config.nodes];
        if (n->kind != HONEST || n->lost)
            continue;
        left--;
        who |= 1u << n->id;
        if (n->up) {
            poa_sim_kill(s, n->id);
            event_push(s, (struct event){.at = s->now + between(&s->random, 20000, 800000),
                                         .kind = EV_START,
                                         .node = n->id});
        }
        forget(s, n);
    }
    if (below(&s->random, 3))
        s->cut[0] = (struct cut){.until = s->now + between(&s->random, 200000, 2000000),
                                 .from = ~who,
                                 .to = who,
                                 .types = UINT32_MAX,
                                 .kinds = UINT32_MAX};
    event_push(s, (struct event){.at = s->now + OPERATORS_US, .kind = EV_OPERATORS});
}

/* Whether the chain stands still as far as anybody sees. They do not wait as
 * long as docs/node.md tells them to, and some not at all: an order too many
 * does no harm. */
static bool stands_still(struct poa_sim *s)
{
    uint64_t patience = s->config.seed % 2;
    bool any = false;
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        struct poa_core_status st;
        if (!s->node[i].up || s->node[i].kind != HONEST)
            continue;
        if (!patience)
            patience = poa_stall_us(poa_ledger_genesis(poa_core_ledger(s->node[i].core))) / 3;
        poa_core_status(s->node[i].core, &st);
        if (st.member >= 0 && st.final_us < patience)
            return false;
        any = any || st.member >= 0;
    }
    return any;
}

static uint32_t latest_epoch(const struct poa_sim *s)
{
    uint32_t latest = 0;
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        struct poa_core_status st;
        if (!s->node[i].up || s->node[i].kind != HONEST)
            continue;
        poa_core_status(s->node[i].core, &st);
        latest = st.epoch > latest ? st.epoch : latest;
    }
    return latest;
}

/* Tells everybody, not all at once and again after a crash, under a token that is
 * drawn after the last log was lost. Some crash over it. */
void faults_operators(struct poa_sim *s)
{
    if (s->now < s->config.end_us)
        event_push(s, (struct event){.at = s->now + OPERATORS_US, .kind = EV_OPERATORS});
    if (s->config.sim_mutant == POA_SIM_MUTANT_NO_ORDER || !stands_still(s))
        return;
    uint32_t epoch = latest_epoch(s);
    if (s->operators.lost_logs != s->lost_logs || s->operators.epoch < epoch) {
        s->operators.lost_logs = s->lost_logs;
        s->operators.epoch = epoch;
        memset(s->operators.told, 0, sizeof s->operators.told);
        for (int i = 0; i < 4; i++)
            poa_put_le64(s->operators.token + 8 * i, sim_random(&s->random));
    }
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        struct node *n = &s->node[i];
        struct poa_core_status st;
        if (!n->up || s->operators.told[i] == n->life || below(&s->random, 3) == 0)
            continue;
        poa_core_status(n->core, &st);
        if (st.epoch < epoch) /* a node keeps the order until it has caught up */
            continue;
        s->operators.told[i] = n->life;
        (void)poa_sim_recover(s, i, s->operators.token);
        if (s->operators.crashes < 4 && below(&s->random, 4) == 0) {
            s->operators.crashes++;
            event_push(s, (struct event){.at = s->now + between(&s->random, 100, 30000),
                                         .kind = EV_CRASH,
                                         .node = i,
                                         .life = n->life});
        }
    }
}
