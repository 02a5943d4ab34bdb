/* Who the members of the committee are on the mesh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

static bool is_witness(struct poa_node *n, const uint8_t key[32])
{
    struct poa_slice value;
    return poa_ledger_get(n->ledger, POA_STATE_BASE, POA_STATE_WITNESS, key, 32, &value) == POA_OK;
}

unsigned node_peer_flags(struct poa_node *n, const uint8_t key32[32])
{
    return is_witness(n, n->key) && is_witness(n, key32) ? POA_P2P_MESH : 0;
}

/* --- members that the configuration does not name ------------------------------ */

/* Where the metadata W say that a witness listens, as HOST:PORT in OUT. */
static bool mesh_address(const struct poa_st_witness *w, char *out, size_t out_n)
{
    static const char word[] = POA_WITNESS_META_MESH;
    char text[256], host[128], *rest = NULL;
    struct poa_why why;
    uint16_t port;
    snprintf(text, sizeof text, "%.*s", (int)w->meta.n, (const char *)w->meta.p);
    for (char *at = strtok_r(text, " \t\n", &rest); at; at = strtok_r(NULL, " \t\n", &rest))
        if (!strncmp(at, word, sizeof word - 1)) {
            at += sizeof word - 1;
            return !poa_config_address(at, host, sizeof host, &port, &why) && port &&
                   (size_t)snprintf(out, out_n, "%s", at) < out_n;
        }
    return false;
}

/* Where the admitted witness KEY listens, by its metadata or by what others say; "": nobody does.
 */
static void witness_address(struct poa_node *n, const uint8_t key[32], char *out, size_t out_n)
{
    struct poa_st_witness w;
    out[0] = 0;
    if (poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_WITNESS, key, 32, &w))
        return;
    if (!mesh_address(&w, out, out_n) && !node_discover_address(n, key, out, out_n))
        out[0] = 0;
}

/* KEY was admitted after this node was configured: its metadata say where it is.
 * What governance admitted is all that is dialed. */
static int learn_peer(struct poa_node *n, const uint8_t key[32])
{
    struct node_peer p = {.known = true};
    char hex[17];
    int at = -1;
    witness_address(n, key, p.address, sizeof p.address);
    p.flags = node_peer_flags(n, key);
    memcpy(p.key, key, 32);
    poa_hex(key, 8, hex);
    if (!p.flags)
        return -1;
    if (poa_p2p_peer_set(n->p2p, key, p.address[0] ? p.address : NULL, NULL, p.flags, &at)) {
        POA_LOG_WARN(NODE, "no room for witness %s... among the peers", hex);
        return -1;
    }
    n->peer[at] = p;
    POA_LOG_INFO(NODE, "witness %s... is in the committee; %s%s", hex,
                 p.address[0] ? "it listens at "
                              : "its metadata have no mesh address, so it must "
                                "dial, or be a peer in the configuration",
                 p.address);
    return at;
}

/* Governance may have admitted somebody since the last epoch. With peers_mutex. */
static void renew_flags(struct poa_node *n)
{
    for (int i = 0; n->p2p && i < POA_P2P_PEERS_MAX; i++) {
        int at = -1;
        struct node_peer *p = &n->peer[i];
        unsigned flags = p->known ? node_peer_flags(n, p->key) : 0;
        if (!flags && p->found)
            flags = POA_P2P_HEARSAY;
        /* A peer that only dialed us so far: as a witness it has to hear from us too. */
        bool learnt = false;
        if (p->known && flags & POA_P2P_MESH && !p->address[0]) {
            witness_address(n, p->key, p->address, sizeof p->address);
            learnt = p->address[0];
        }
        if (!p->known || (flags == p->flags && !learnt))
            continue;
        if (!poa_p2p_peer_set(n->p2p, p->key, p->address[0] ? p->address : NULL, NULL, flags, &at))
            p->flags = flags;
    }
}

int node_request(struct poa_node *n, int peer, const uint8_t key32[32], uint16_t type,
                 struct poa_slice bytes, uint32_t timeout_ms, poa_p2p_answer_fn *on_answer,
                 void *ctx)
{
    pthread_mutex_lock(&n->peers_mutex); /* nobody loses his place inside */
    const struct node_peer *p = &n->peer[peer];
    int rc = p->known && memcmp(p->key, key32, 32) == 0
                 ? poa_p2p_request(n->p2p, peer, type, bytes, timeout_ms, on_answer, ctx)
                 : POA_E_NOT_FOUND;
    pthread_mutex_unlock(&n->peers_mutex);
    return rc;
}

static void map_peers(struct poa_node *n)
{
    const struct poa_committee *c = poa_core_committee(n->core);
    struct poa_list_iter it = poa_list_begin(&c->members);
    struct poa_member m;
    int i = 0;
    pthread_mutex_lock(&n->peers_mutex);
    renew_flags(n);
    for (int k = 0; k < POA_P2P_PEERS_MAX; k++) {
        n->peer_member[k] = -1;
        n->peer[k].member = false;
    }
    for (int k = 0; k < POA_COMMITTEE_MAX; k++)
        n->member_peer[k] = -1;
    for (; poa_member_next(&it, &m); i++) {
        int at = -1;
        if (memcmp(m.key, n->key, 32) == 0 || !n->p2p)
            continue;
        if (poa_p2p_peer_find(n->p2p, m.key, &at) && (at = learn_peer(n, m.key)) < 0)
            continue;
        n->member_peer[i] = at;
        n->peer_member[at] = i;
        n->peer[at].member = true;
    }
    for (int k = 0; k < POA_P2P_PEERS_MAX; k++) {
        struct poa_st_witness w;
        struct node_peer *p = &n->peer[k];
        p->witness = p->known &&
                     !poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_WITNESS, p->key, 32, &w);
        if (p->witness)
            snprintf(p->name, sizeof p->name, "%.*s", (int)w.name.n, (const char *)w.name.p);
    }
    struct poa_st_witness own;
    if (!n->config.name[0] &&
        !poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_WITNESS, n->key, 32, &own))
        snprintf(n->name, sizeof n->name, "%.*s", (int)own.name.n, (const char *)own.name.p);
    pthread_mutex_unlock(&n->peers_mutex);
}

bool node_woke(struct poa_node *n, uint64_t now_us)
{
    pthread_mutex_lock(&n->status_mutex);
    uint64_t woke_us = n->status.woke_us;
    pthread_mutex_unlock(&n->status_mutex);
    return now_us < woke_us + poa_stall_us(&n->genesis);
}

#define STALL_LOG_US 30000000u

void node_stall_tell(struct poa_node *n, const struct poa_core_status *s, uint64_t now_us)
{
    if (s->member < 0 || s->final_us < poa_stall_us(&n->genesis) || now_us < n->stall_log_us ||
        node_woke(n, now_us))
        return;
    n->stall_log_us = now_us + STALL_LOG_US;
    struct poa_list_iter it = poa_list_begin(&poa_core_committee(n->core)->members);
    struct poa_member m;
    char text[320] = "", hex[17];
    size_t at = 0;
    uint32_t heard = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; poa_member_next(&it, &m); i++) {
        int peer = n->member_peer[i];
        if (s->heard[i / 8] >> (i % 8) & 1) {
            heard++;
            continue;
        }
        poa_hex(m.key, 8, hex);
        if (at + 80 < sizeof text)
            at +=
                (size_t)snprintf(text + at, sizeof text - at, "%s%s... (%s)", at ? ", " : "", hex,
                                 i == s->member                  ? "this node, it abstains"
                                 : peer >= 0 && n->peer[peer].up ? "connected: did it lose its log?"
                                                                 : "not connected");
    }
    pthread_mutex_unlock(&n->peers_mutex);
    POA_LOG_WARN(
        NODE,
        "stalled: nothing became final for %llu s; in view %llu of epoch %u %u of %u members "
        "vote and %u must; silent: %s; see Recovery in docs/node.md",
        (unsigned long long)(s->final_us / 1000000), (unsigned long long)s->view, s->epoch, heard,
        s->members, s->quorum, at ? text : "none");
}

void node_map(struct poa_node *n)
{
    struct poa_core_status core;
    poa_core_status(n->core, &core);
    n->self = core.member;
    bool found = atomic_exchange(&n->peer_found, false);
    if (n->mapped && core.epoch == n->mapped_epoch) {
        if (found) /* who it is in the committee shows at once */
            map_peers(n);
        return;
    }
    n->mapped = true;
    n->mapped_epoch = core.epoch;
    map_peers(n);
    node_roster_set(n);
    node_risk_epoch(n);
}
