/* Who did what wrong: points that fade, and bans. A node on the list has its
 * standing with it; others are remembered by their key and by the address that
 * they come from. An address where a node on the list lives has no standing:
 * strangers there must not keep that node out. */
#include <string.h>

#include "mesh.h"

#define FADE_PER_S   10 /* points */
#define BAN_MAX_MS   3600000
#define FORGET_US    ((uint64_t)2 * 3600 * 1000000) /* earlier bans, after so long without */
#define IPV6_NETWORK 8                              /* bytes of it that are one party */

static const struct {
    uint32_t points;
    const char *text;
} faults[] = {
#define ROW(name, points, text) {points, text},
    POA_P2P_FAULTS(ROW)
#undef ROW
};

void mesh_fade(struct standing *s, uint64_t now_us)
{
    uint64_t gone = (now_us - s->at_us) / (1000000 / FADE_PER_S);
    s->points -= gone < s->points ? (uint32_t)gone : s->points;
    s->at_us += gone * (1000000 / FADE_PER_S);
    if (s->bans > 0 && now_us > s->banned_until_us + FORGET_US)
        s->bans = 0;
}

bool mesh_banned(const struct standing *s, uint64_t now_us)
{
    return s->banned_until_us > now_us;
}

/* The ban that S has from now on, in ms. */
static uint32_t ban(const struct poa_p2p *p, struct standing *s, const char *reason,
                    uint64_t now_us)
{
    uint64_t ms = p->config.ban_ms;
    for (unsigned i = 0; i < s->bans && ms < BAN_MAX_MS; i++)
        ms *= 2;
    ms = ms < BAN_MAX_MS ? ms : BAN_MAX_MS;
    s->bans++;
    s->points = 0;
    s->reason = reason;
    s->banned_until_us = now_us + ms * 1000;
    return (uint32_t)ms;
}

/* True: S is banned now, for *MS, and was not before. */
static bool add(const struct poa_p2p *p, struct standing *s, enum poa_p2p_fault fault,
                uint64_t now_us, uint32_t *ms)
{
    mesh_fade(s, now_us);
    if (mesh_banned(s, now_us))
        return false;
    s->points += faults[fault].points;
    s->reason = faults[fault].text;
    if (s->points < POA_P2P_BAN_POINTS)
        return false;
    *ms = ban(p, s, faults[fault].text, now_us);
    return true;
}

/* --- nodes on the list ----------------------------------------------------------- */

static void shut_out(struct peer *peer, uint32_t ms)
{
    mesh_sessions_end(peer->p, peer, peer->x25519);
    mesh_link_lost(peer, POA_E_PEER_UNKNOWN);
    peer->p->totals.bans++;
    POA_LOG_WARN("p2p", "%s is banned for %u s: %s", peer->name, (ms + 999) / 1000,
                 peer->standing.reason);
}

void mesh_peer_ban(struct peer *peer, const char *reason, uint32_t ms)
{
    uint64_t now_us = mesh_now_us();
    if (mesh_banned(&peer->standing, now_us))
        return;
    peer->standing.bans++;
    peer->standing.reason = reason;
    peer->standing.banned_until_us = now_us + (uint64_t)ms * 1000;
    shut_out(peer, ms);
}

static void blame_peer(struct peer *peer, enum poa_p2p_fault fault)
{
    uint32_t ms = 0;
    if (add(peer->p, &peer->standing, fault, mesh_now_us(), &ms))
        shut_out(peer, ms);
}

/* --- others ------------------------------------------------------------------------ */

static void address_id(const uint8_t from[16], uint8_t id[32])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memset(id, 0, 32);
    memcpy(id, from, memcmp(from, mapped, sizeof mapped) == 0 ? 16 : IPV6_NETWORK);
}

struct offender *mesh_offender(struct poa_p2p *p, enum offender_kind kind, const uint8_t id[32])
{
    for (unsigned i = 0; i < p->offenders_n; i++)
        if (p->offender[i].kind == kind && memcmp(p->offender[i].id, id, 32) == 0)
            return &p->offender[i];
    return NULL;
}

/* Whoever is least worth remembering makes room. */
static struct offender *need(struct poa_p2p *p, enum offender_kind kind, const uint8_t id[32],
                             uint64_t now_us)
{
    struct offender *o = mesh_offender(p, kind, id), *least = NULL;
    if (o != NULL)
        return o;
    for (unsigned i = 0; i < p->offenders_n; i++) {
        struct standing *s = &p->offender[i].standing, *l = least != NULL ? &least->standing : NULL;
        mesh_fade(s, now_us);
        if (l == NULL || s->banned_until_us < l->banned_until_us ||
            (s->banned_until_us == l->banned_until_us && s->points < l->points))
            least = &p->offender[i];
    }
    if (p->offenders_n < OFFENDERS_MAX)
        least = &p->offender[p->offenders_n++];
    memset(least, 0, sizeof *least);
    least->kind = kind;
    least->standing.at_us = now_us;
    memcpy(least->id, id, 32);
    return least;
}

static void end_address(struct poa_p2p *p, const uint8_t from[16])
{
    uint8_t id[32], other[32];
    address_id(from, id);
    for (struct pipe *pipe = p->pipe_list; pipe != NULL; pipe = pipe->next) {
        address_id(pipe->from, other);
        if (!pipe->listed && memcmp(id, other, 32) == 0) {
            pipe->since_us = 0; /* long ago: the worker closes it */
            if (pipe->known)
                p->unknown_n[pipe->pull][pipe->listed]++;
            pipe->known = false;
        }
    }
    mesh_wake(p);
}

void mesh_blame_address(struct poa_p2p *p, const uint8_t from[16], enum poa_p2p_fault fault)
{
    static const uint8_t nobody[16];
    char text[INET6_ADDRSTRLEN];
    uint8_t id[32];
    uint32_t ms = 0;
    uint64_t now_us = mesh_now_us();
    if (memcmp(from, nobody, 16) == 0 || mesh_listed(p, from))
        return;
    address_id(from, id);
    struct offender *o = need(p, OFFENDER_ADDRESS, id, now_us);
    memcpy(o->from, from, 16);
    if (!add(p, &o->standing, fault, now_us, &ms))
        return;
    mesh_ip_text(from, text);
    p->totals.bans++;
    POA_LOG_WARN("p2p", "address %s is banned for %u s: %s", text, (ms + 999) / 1000,
                 o->standing.reason);
    end_address(p, from);
}

static void blame_stranger(struct poa_p2p *p, const uint8_t key32[32], enum poa_p2p_fault fault)
{
    char hex[9];
    uint32_t ms = 0;
    uint64_t now_us = mesh_now_us();
    struct offender *o = need(p, OFFENDER_KEY, key32, now_us);
    bool banned = add(p, &o->standing, fault, now_us, &ms);
    struct session *s = p->session_list;
    while (s != NULL && memcmp(s->key, key32, 32) != 0)
        s = s->next;
    if (s != NULL)
        memcpy(o->from, s->from, 16);
    if (banned) {
        poa_hex(key32, 4, hex);
        p->totals.bans++;
        POA_LOG_WARN("p2p", "stranger %s is banned for %u s: %s", hex, (ms + 999) / 1000,
                     o->standing.reason);
    }
    if (s != NULL) {
        /* Keys cost nothing; the address is what it cannot change as fast. */
        mesh_blame_address(p, s->from, fault);
        if (banned)
            mesh_sessions_end(p, NULL, s->x25519);
    }
}

bool mesh_address_banned(struct poa_p2p *p, const uint8_t from[16])
{
    uint8_t id[32];
    address_id(from, id);
    const struct offender *o = mesh_offender(p, OFFENDER_ADDRESS, id);
    return o != NULL && mesh_banned(&o->standing, mesh_now_us());
}

bool mesh_key_banned(struct poa_p2p *p, const uint8_t key32[32])
{
    const struct offender *o = mesh_offender(p, OFFENDER_KEY, key32);
    return o != NULL && mesh_banned(&o->standing, mesh_now_us());
}

/* --- the owner's ---------------------------------------------------------------------- */

void mesh_blame(struct poa_p2p *p, const uint8_t key32[32], enum poa_p2p_fault fault)
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++)
        if (p->peer[i] != NULL && memcmp(p->peer[i]->key, key32, 32) == 0) {
            blame_peer(p->peer[i], fault);
            return;
        }
    blame_stranger(p, key32, fault);
}

void poa_p2p_blame(struct poa_p2p *p, const uint8_t key32[32], enum poa_p2p_fault fault)
{
    pthread_mutex_lock(&p->lock);
    mesh_blame(p, key32, fault);
    pthread_mutex_unlock(&p->lock);
}

void poa_p2p_ban(struct poa_p2p *p, int index, const char *reason, uint32_t ms)
{
    pthread_mutex_lock(&p->lock);
    if (index >= 0 && index < POA_P2P_PEERS_MAX && p->peer[index] != NULL)
        mesh_peer_ban(p->peer[index], reason, ms);
    pthread_mutex_unlock(&p->lock);
}
