/* The list for people: everybody that the mesh knows something about. */
#include <stdio.h>
#include <string.h>

#include "mesh.h"

/* Who dialed us pings every POA_P2P_PING_MS, and needs POA_P2P_DEAD_MS to see that we are gone. */
#define SILENT_US ((uint64_t)2 * POA_P2P_DEAD_MS * 1000)

bool mesh_session_works(struct poa_p2p *p, const struct session *s, uint64_t now_us)
{
    return s->promoted && s->ends_us == 0 && now_us < s->used_us + SILENT_US &&
           (mesh_pipe_find(p, s->pipe_rep) != NULL || mesh_pipe_find(p, s->pipe_pull) != NULL);
}

static void tell(struct standing *s, uint64_t now_us, struct poa_p2p_contact *out)
{
    mesh_fade(s, now_us);
    out->score = s->points;
    out->bans = s->bans;
    out->reason = s->reason != NULL ? s->reason : "";
    out->banned = mesh_banned(s, now_us);
    out->ban_ms = out->banned ? (s->banned_until_us - now_us) / 1000 : 0;
}

static void times(struct poa_p2p_contact *out, uint64_t since_us, uint64_t heard_us,
                  uint64_t now_us)
{
    if (out->outbound || out->inbound)
        out->connected_ms = now_us > since_us ? (now_us - since_us) / 1000 + 1 : 1;
    out->heard_ms = heard_us == 0 ? UINT64_MAX : now_us > heard_us ? (now_us - heard_us) / 1000 : 0;
}

static void tell_peer(struct poa_p2p *p, struct peer *peer, uint64_t now_us,
                      struct poa_p2p_contact *out)
{
    out->kind = POA_P2P_LISTED;
    out->index = peer->index;
    memcpy(out->key, peer->key, 32);
    if (peer->req_url[0] != 0)
        snprintf(out->address, sizeof out->address, "%s", peer->req_url + strlen("tcp://"));
    else if (peer->have_from)
        mesh_ip_text(peer->from, out->address);
    out->outbound = peer->reported_up;
    uint64_t since_us = out->outbound && peer->reach.up_us != 0 ? peer->reach.up_us : now_us;
    uint64_t heard_us = peer->heard_us;
    for (const struct session *s = p->session_list; s != NULL; s = s->next)
        if (memcmp(s->key, peer->key, 32) == 0 && mesh_session_works(p, s, now_us)) {
            if (s->peer == NULL) { /* it began before we knew the node */
                out->bytes_in += s->bytes_in;
                out->bytes_out += s->bytes_out;
            }
            out->inbound = true;
            since_us = s->since_us < since_us ? s->since_us : since_us;
            heard_us = s->used_us > heard_us ? s->used_us : heard_us;
        }
    out->bytes_in += peer->stats.bytes_in;
    out->bytes_out += peer->stats.bytes_out;
    out->queued_bytes = peer->stats.queued_bytes;
    out->rtt_us = out->outbound ? peer->stats.rtt_us : 0;
    const char *why = mesh_reach_why(peer, now_us);
    out->trouble = mesh_is_doubled(peer, now_us) ? "two nodes run with this key" : why;
    if (out->trouble == NULL)
        out->trouble = "";
    times(out, since_us, heard_us, now_us);
    tell(&peer->standing, now_us, out);
}

static void tell_session(struct poa_p2p *p, const struct session *s, uint64_t now_us,
                         struct poa_p2p_contact *out)
{
    struct offender *o = mesh_offender(p, OFFENDER_KEY, s->key);
    out->kind = POA_P2P_UNLISTED;
    out->index = POA_P2P_STRANGER;
    memcpy(out->key, s->key, 32);
    mesh_ip_text(s->from, out->address);
    out->inbound = true;
    out->bytes_in = s->bytes_in;
    out->bytes_out = s->bytes_out;
    out->trouble = out->reason = "";
    times(out, s->since_us, s->used_us, now_us);
    if (o != NULL)
        tell(&o->standing, now_us, out);
}

static bool is_listed(const struct poa_p2p *p, const uint8_t key32[32])
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL && memcmp(p->peer[i]->key, key32, 32) == 0)
            return true;
    return false;
}

static bool has_session(struct poa_p2p *p, const uint8_t key32[32], uint64_t now_us)
{
    const struct session *s = p->session_list;
    while (s != NULL && (memcmp(s->key, key32, 32) != 0 || !mesh_session_works(p, s, now_us)))
        s = s->next;
    return s != NULL;
}

size_t poa_p2p_contacts(struct poa_p2p *p, struct poa_p2p_contact *out, size_t max)
{
    size_t n = 0;
    memset(out, 0, max * sizeof *out);
    pthread_mutex_lock(&p->lock);
    uint64_t now_us = mesh_now_us(); /* not earlier than what was noted under the lock */
    for (int i = 0; i < POA_P2P_PEERS_MAX && n < max; i++)
        if (p->peer[i] != NULL)
            tell_peer(p, p->peer[i], now_us, &out[n++]);
    for (const struct session *s = p->session_list; s != NULL && n < max; s = s->next)
        if (s->peer == NULL && !is_listed(p, s->key) && mesh_session_works(p, s, now_us))
            tell_session(p, s, now_us, &out[n++]);
    for (unsigned i = 0; i < p->offenders_n && n < max; i++) {
        struct offender *o = &p->offender[i];
        mesh_fade(&o->standing, now_us);
        if ((o->standing.points == 0 && !mesh_banned(&o->standing, now_us)) ||
            (o->kind == OFFENDER_KEY && has_session(p, o->id, now_us)))
            continue;
        out[n].trouble = "";
        out[n].heard_ms = UINT64_MAX;
        out[n].kind = o->kind == OFFENDER_KEY ? POA_P2P_UNLISTED : POA_P2P_ADDRESS;
        out[n].index = POA_P2P_STRANGER;
        if (o->kind == OFFENDER_KEY)
            memcpy(out[n].key, o->id, 32);
        mesh_ip_text(o->from, out[n].address);
        tell(&o->standing, now_us, &out[n++]);
    }
    pthread_mutex_unlock(&p->lock);
    return n;
}
