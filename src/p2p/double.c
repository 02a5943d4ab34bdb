/* Two nodes with one key: each displaces the other's sessions. Renewed sessions and lost
 * connections look like it once, so only what happens again and again is told. */
#include "mesh.h"

#define TIMES     3
#define WITHIN_US ((uint64_t)90 * 1000000) /* a displaced session lives on for ten seconds */
#define SAY_US    ((uint64_t)60 * 1000000)
#define HEARD_US  ((uint64_t)POA_P2P_DEAD_MS * 1000)

/* Whether to say it. */
static bool again(struct doubled *d, uint64_t now_us)
{
    if (d->n == 0 || now_us > d->since_us + WITHIN_US) {
        d->n = 0;
        d->since_us = now_us;
    }
    if (++d->n < TIMES || (d->said_us != 0 && now_us < d->said_us + SAY_US))
        return false;
    d->n = 0;
    d->said_us = now_us;
    return true;
}

void mesh_doubled(struct poa_p2p *p, const struct session *s, const struct session *old)
{
    char here[INET6_ADDRSTRLEN], there[INET6_ADDRSTRLEN];
    uint64_t now_us = mesh_now_us();
    /* Its first frame came on either port. */
    bool rep = s->pipe_rep != 0;
    uint32_t mine = rep ? s->pipe_rep : s->pipe_pull, its = rep ? old->pipe_rep : old->pipe_pull;
    if (s->peer == NULL || mine == its || now_us > old->used_us + HEARD_US ||
        mesh_pipe_find(p, its) == NULL || !again(&s->peer->its, now_us))
        return;
    mesh_ip_text(old->from, there);
    mesh_ip_text(s->from, here);
    POA_LOG_ERROR("p2p",
                  "two nodes run with the key of %s, at %s and at %s: each ends the other's "
                  "sessions. Stop one of them: a witness that votes twice is punished",
                  s->peer->name, there, here);
}

bool mesh_is_doubled(const struct peer *peer, uint64_t now_us)
{
    return peer->its.said_us != 0 && now_us < peer->its.said_us + 2 * WITHIN_US;
}

void mesh_given_up(struct peer *peer)
{
    if (again(&peer->ours, mesh_now_us()))
        POA_LOG_ERROR("p2p",
                      "%s ends this node's sessions again and again: another node seems to run "
                      "with this node's key. Stop one of them: a witness that votes twice is "
                      "punished",
                      peer->name);
}
