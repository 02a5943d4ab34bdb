/* Messages and what the network does to them. */
#include "world.h"

/* --- messages ---------------------------------------------------------------------- */

struct message *message_new(uint32_t from, uint16_t type, struct poa_slice bytes)
{
    struct message *m = malloc(sizeof *m + bytes.n);
    POA_ASSERT(m);
    m->refs = 1;
    m->from = from;
    m->type = type;
    m->n = bytes.n;
    if (bytes.n)
        memcpy(m->bytes, bytes.p, bytes.n);
    return m;
}

void message_free(struct message *m)
{
    if (m && !--m->refs)
        free(m);
}

void network_at(struct poa_sim *s, uint32_t to, struct message *m, uint64_t at)
{
    m->refs++;
    event_push(s, (struct event){.at = at, .kind = EV_DELIVER, .node = to, .m = m});
}

/* --- cuts: what an adversary that knows the protocol would keep back --------------------- */

static uint32_t vote_kinds(const struct message *m)
{
    struct poa_vote v;
    return m->type == POA_MSG_VOTE && !poa_vote_decode(poa_slice(m->bytes, m->n), &v) ? 1u << v.kind
                                                                                      : 0;
}

static bool is_cut(const struct poa_sim *s, uint32_t from, uint32_t to, const struct message *m)
{
    for (uint32_t i = 0; i < CUTS; i++) {
        const struct cut *c = &s->cut[i];
        if (c->until <= s->now || !(c->from >> from & 1u) || !(c->to >> to & 1u) ||
            !(c->types >> (m->type & 31u) & 1u))
            continue;
        if (m->type != POA_MSG_VOTE || (c->kinds & vote_kinds(m)))
            return true;
    }
    return false;
}

static uint32_t some_nodes(struct poa_sim *s)
{
    return (uint32_t)sim_random(&s->random) & (uint32_t)sim_random(&s->random);
}

/* One link, one node's ears, or one kind of message between some nodes. */
static void cut_draw(struct poa_sim *s, struct cut *c)
{
    static const uint16_t type[] = {POA_MSG_VOTE,      POA_MSG_VOTE,      POA_MSG_VOTE,
                                    POA_MSG_CERT,      POA_MSG_PROPOSAL,  POA_MSG_PROPOSAL,
                                    POA_MSG_BATCH,     POA_MSG_BATCH_ACK, POA_MSG_GET_CERTS,
                                    POA_MSG_GET_BLOCK, POA_MSG_GET_BATCH};
    c->until = s->now + between(&s->random, 20000, 400000);
    c->types = c->kinds = UINT32_MAX;
    switch (below(&s->random, 4)) {
    case 0:
        c->from = c->to = 1u << below(&s->random, s->nodes) | 1u << below(&s->random, s->nodes);
        break;
    case 1:
        c->to = 1u << below(&s->random, s->nodes);
        c->from = ~some_nodes(s);
        break;
    default:
        c->types = 1u << type[below(&s->random, sizeof type / sizeof type[0])];
        c->kinds = 1u << below(&s->random, 3);
        c->from = ~some_nodes(s);
        c->to = ~some_nodes(s);
        break;
    }
}

void network_cuts(struct poa_sim *s)
{
    struct cut *c = &s->cut[below(&s->random, CUTS)];
    if (c->until <= s->now && chance(&s->random, s->config.cut_ppm))
        cut_draw(s, c);
    if (s->now < s->config.gst_us)
        event_push(s, (struct event){.at = s->now + 20000, .kind = EV_CUT});
}

void network_partition(struct poa_sim *s)
{
    s->partitioned = s->now < s->config.gst_us && chance(&s->random, s->config.partition_ppm);
    for (uint32_t i = 0; i < s->nodes; i++)
        s->side[i] = (uint8_t)below(&s->random, 2);
    if (s->now < s->config.gst_us)
        event_push(s, (struct event){.at = s->now + 200000, .kind = EV_PARTITION});
}

/* --- carrying ------------------------------------------------------------------------------ */

void network(struct poa_sim *s, uint32_t from, uint32_t to, struct message *m)
{
    const struct poa_sim_config *c = &s->config;
    bool chaos = s->now < c->gst_us;
    s->result.messages++;
    if (from == to) {
        network_at(s, to, m, s->now);
        return;
    }
    if (s->filter && !s->filter(s->filter_ctx, from, to, m->type, poa_slice(m->bytes, m->n)))
        return;
    if ((s->partitioned && s->side[from] != s->side[to]) || (chaos && is_cut(s, from, to, m)))
        return;
    if (chance(&s->random, chaos ? c->loss_ppm : c->loss_after_ppm))
        return;
    uint64_t delay = between(&s->random, c->delay_min_us, c->delay_max_us);
    if (chaos && c->spike_ppm && chance(&s->random, c->spike_ppm))
        delay += below(&s->random, c->spike_us);
    network_at(s, to, m, s->now + delay);
    if (chaos && c->dup_ppm && chance(&s->random, c->dup_ppm))
        network_at(s, to, m, s->now + delay + below(&s->random, 4 * (uint64_t)c->delay_max_us + 1));
}
