/* What befalls nodes from outside: crashes, logs that are lost. */
#include "world.h"

/* With the liars, no more than f members may be out of the vote. */
static void lose_log(struct poa_sim *s, struct node *n)
{
    if (!s->losses || n->lost || below(&s->random, 3))
        return;
    s->losses--;
    n->lost = true;
    trace(s, n, "loses its log");
    poa_sim_wipe_log(s, n->id);
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
