/* Joining: a node without a database fetches a snapshot from several servers at once
 * before it starts.
 *
 *   who has which ──> the proof, of one of them ──> parts, of all that have the same
 *     └── and whom do you know
 *
 * It believes nothing: the proof leads from genesis to the state root, the manifest's
 * hashes make that root, and each part its hash (poa_snapshot.h). So whoever lies is
 * known with the answer, and costs that answer; whoever stalls costs a wait for
 * the same part from another one. Who is asked, and what wrong answers cost: givers.c; which
 * part is asked of whom: parts.c; how long everything is waited for: waits.c; what is said
 * meanwhile: joining.c. Here: which snapshot, its proof, its parts, and the database.
 *
 * What was fetched stays in a file of its place: after a kill whatever is true in
 * there is not fetched again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node.h"
#include "poa_node_givers.h"
#include "poa_snapshot.h"

#define PROOF_FILE "fetched.proof"
#define STATE_FILE "fetched.state"
/* Different manifests that are looked at, at a time. */
#define GROUPS 4
/* Beside those of the configuration: servers that these know. */
#define FOUND_MAX 8u

enum phase { LOOK, PROVE, FETCH };

struct joining {
    struct poa_node *node;
    struct poa_p2p *p2p;
    struct node_givers givers;
    struct poa_snapshot group[GROUPS]; /* no parts: free */
    enum phase phase;
    /* The proof. */
    char proof_path[POA_CONFIG_TEXT_MAX + 32];
    FILE *proof; /* of the giver whose turn it is, as far as it came */
    uint64_t proof_bytes;
    /* The state. */
    char state_path[POA_CONFIG_TEXT_MAX + 32];
    int state;
    uint64_t held_bytes, had_bytes;
    struct node_joining_pace pace;
};

/* --- the mesh -------------------------------------------------------------------------- */

/* The mesh of the node that starts is to know it too: once, however often it was, because that
 * one does not see what has faded meanwhile. */
static void keep_fault(struct poa_node *n, const uint8_t key32[32], enum poa_p2p_fault fault)
{
    for (uint32_t i = 0; i < n->faults_n; i++)
        if (n->faults[i].fault == fault && memcmp(n->faults[i].key, key32, 32) == 0)
            return;
    struct node_fault *f = realloc(n->faults, (n->faults_n + 1) * sizeof *f);
    if (!f)
        return;
    n->faults = f;
    memcpy(f[n->faults_n].key, key32, 32);
    f[n->faults_n++].fault = fault;
}

static void do_blame(void *ctx, const struct node_giver *s, enum poa_p2p_fault fault,
                     const char *what, const char *why)
{
    struct joining *j = ctx;
    char key[17];
    poa_hex(s->key, 8, key);
    POA_LOG_WARN(NODE, "snapshot: peer %s... at %s %s%s%s", key, s->address, what,
                 why[0] ? ": " : "", why);
    poa_p2p_blame(j->p2p, s->key, fault);
    keep_fault(j->node, s->key, fault);
}

static int do_know(void *ctx, const uint8_t key32[32], const char *address, bool hearsay, int *at)
{
    const struct joining *j = ctx;
    return poa_p2p_peer_set(j->p2p, key32, address, NULL, hearsay ? POA_P2P_HEARSAY : 0, at);
}

static int do_ask(void *ctx, int at, uint16_t type, struct poa_slice bytes, uint32_t timeout_ms,
                  poa_p2p_answer_fn *on_answer, void *answer)
{
    const struct joining *j = ctx;
    return poa_p2p_request(j->p2p, at, type, bytes, timeout_ms, on_answer, answer);
}

static void refuse_all(void *ctx, const struct poa_p2p_message *m)
{
    struct joining *j = ctx;
    if (m->token)
        (void)!poa_p2p_refuse(j->p2p, m->token, POA_E_AGAIN);
}

/* --- who has which ------------------------------------------------------------------------ */

static const struct poa_snapshot *chosen(const struct joining *j)
{
    return j->givers.chosen >= 0 ? &j->group[j->givers.chosen] : NULL;
}

/* The group of manifest S of SERVER, which it takes over; -1: there are too many. */
static int group_of(struct joining *j, uint32_t server, struct poa_snapshot *s)
{
    for (int i = 0; i < GROUPS; i++)
        if (j->group[i].parts && memcmp(j->group[i].id, s->id, 32) == 0) {
            poa_snapshot_close(s);
            return i;
        }
    int room = node_givers_room(&j->givers, server, GROUPS);
    if (room < 0) {
        poa_snapshot_close(s);
        return -1;
    }
    poa_snapshot_close(&j->group[room]);
    j->group[room] = *s;
    return room;
}

static void take_offer(struct joining *j, const struct node_answer *a, uint64_t now_us)
{
    struct poa_snapshot m;
    int rc = a->type == POA_MSG_ANS_SNAPSHOT ? poa_snapshot_open(poa_slice(a->bytes, a->n), &m)
                                             : POA_E_INVALID;
    if (!rc)
        node_givers_offered(&j->givers, a->server, group_of(j, a->server, &m), now_us);
    else if (rc != POA_E_NO_MEMORY)
        node_givers_lied(&j->givers, a->server, "offers a snapshot that contradicts itself", "");
}

/* What was chosen is of no use any more: looks for another one. */
static void look(struct joining *j)
{
    if (j->givers.chosen >= 0)
        poa_snapshot_close(&j->group[j->givers.chosen]);
    if (j->proof)
        fclose(j->proof);
    if (j->state >= 0)
        close(j->state);
    j->proof = NULL;
    j->state = -1;
    j->phase = LOOK;
    node_givers_again(&j->givers);
}

/* The one that most have, the newest of those; false: nobody has any. */
static bool choose(struct joining *j, uint64_t now_us, bool *wait)
{
    struct node_givers *g = &j->givers;
    uint32_t most = 0;
    *wait = node_givers_hope(g, now_us);
    if (*wait)
        return false;
    for (int i = 0; i < GROUPS; i++) {
        uint32_t n = j->group[i].parts ? node_givers_members(g, i) : 0;
        if (n) /* more than all of those who were slow, or gave nothing */
            n += node_givers_fresh(g, i) * POA_P2P_PEERS_MAX;
        bool newer = g->chosen >= 0 && j->group[i].base > j->group[g->chosen].base;
        if (n > most || (n && n == most && newer)) {
            most = n;
            g->chosen = i;
        }
    }
    if (!most)
        return false;
    const struct poa_snapshot *s = chosen(j);
    POA_LOG_INFO(NODE, "snapshot of height %llu: %llu bytes in %u parts, %u servers have it",
                 (unsigned long long)s->base, (unsigned long long)s->bytes, s->parts,
                 node_givers_members(g, g->chosen));
    j->phase = PROVE;
    return true;
}

/* --- how far it is ----------------------------------------------------------------------- */

static struct poa_rpc_join so_far(const struct joining *j, const char *doing)
{
    const struct poa_snapshot *s = chosen(j);
    const struct node_parts *parts = &j->givers.parts;
    struct poa_rpc_join join = {.doing = doing, .servers = node_givers_gave(&j->givers)};
    if (s) {
        join.height = s->base;
        join.offered = node_givers_members(&j->givers, j->givers.chosen);
        join.parts = s->parts;
        join.bytes = s->bytes;
    }
    if (s && parts->n) {
        join.parts_held = parts->held;
        join.bytes_held = j->held_bytes;
    }
    return join;
}

static bool has_parts(const struct joining *j)
{
    return j->givers.parts.held == j->givers.parts.n;
}

static void say(struct joining *j, uint64_t now_us)
{
    static const char *const doing[] = {
        [LOOK] = "looking", [PROVE] = "proving", [FETCH] = "fetching"};
    struct poa_rpc_join join = so_far(j, doing[j->phase]);
    node_joining_say(j->node, &j->pace, &join, node_givers_silent(&j->givers), now_us);
}

static void tell(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct joining *j = ctx;
    bool whole = j->givers.parts.n && has_parts(j);
    struct poa_rpc_join join = so_far(j, whole ? "loading" : "proving");
    node_joining_tell(j->node, &j->pace, &join, what, done, total);
}

/* --- the proof ---------------------------------------------------------------------------- */

static int ask_piece(struct joining *j, uint64_t now_us)
{
    if (!j->proof && !node_givers_next(&j->givers, now_us)) {
        /* Only now: however many stall, the others have their turn within a minute. */
        node_waits_round(&j->givers.waits);
        look(j);
        return POA_OK;
    }
    if (!j->proof) {
        j->proof_bytes = 0;
        j->proof = fopen(j->proof_path, "w+b");
    }
    if (!j->proof)
        return POA_E_IO;
    node_givers_ask_piece(&j->givers, chosen(j)->id, j->proof_bytes);
    return POA_OK;
}

static void next_proof(struct joining *j)
{
    fclose(j->proof);
    j->proof = NULL;
}

/* Room for the parts, and for the database that comes of them. */
static bool fits(const struct joining *j, uint64_t size)
{
    struct statvfs v;
    struct stat st;
    uint64_t have = stat(j->state_path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
    return !statvfs(j->node->config.data_dir, &v) &&
           size < (uint64_t)v.f_bavail * v.f_frsize / 4 + have;
}

/* What an earlier attempt left there stays when it is true. */
static int begin_parts(struct joining *j)
{
    const struct poa_snapshot *s = chosen(j);
    struct node_parts *parts = &j->givers.parts;
    struct stat st;
    uint8_t *bytes = malloc(POA_SNAPSHOT_PART_BYTES);
    j->state = open(j->state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = bytes ? node_parts_init(parts, s->parts) : POA_E_NO_MEMORY;
    if (!rc && (j->state < 0 || fstat(j->state, &st)))
        rc = POA_E_IO;
    bool there = !rc && (uint64_t)st.st_size == s->bytes;
    if (!rc && !there && (ftruncate(j->state, 0) || ftruncate(j->state, (off_t)s->bytes)))
        rc = POA_E_IO;
    j->held_bytes = 0;
    for (uint32_t i = 0; !rc && there && i < s->parts; i++) {
        const struct poa_snapshot_at *p = &s->part[i];
        if (pread(j->state, bytes, p->bytes, (off_t)p->at) == (ssize_t)p->bytes &&
            !poa_snapshot_check(s, i, poa_slice(bytes, p->bytes))) {
            node_parts_have(parts, i);
            j->held_bytes += p->bytes;
        }
        if (node_told_to_stop())
            rc = POA_E_CLOSED;
        tell(j, "looking at what is there", p->at, s->bytes);
    }
    free(bytes);
    j->had_bytes = j->held_bytes;
    if (j->held_bytes)
        POA_LOG_INFO(NODE, "snapshot: %u of %u parts are here already", parts->held, s->parts);
    uint64_t now_us = poa_clock_monotonic_us(j->node->clock);
    node_waits_parts(&j->givers.waits, now_us);
    j->pace = (struct node_joining_pace){
        .begun_us = now_us, .at_us = now_us, .had = j->held_bytes, .at = j->held_bytes};
    j->phase = FETCH;
    return rc;
}

/* The proof is here: is it one, and is the manifest true? */
static int proven(struct joining *j)
{
    const struct poa_snapshot *s = chosen(j);
    struct node_givers *g = &j->givers;
    struct poa_archive_progress progress = {.tell = tell, .ctx = j};
    struct poa_archive_info info;
    struct poa_why why = {""};
    int rc = fflush(j->proof) ? POA_E_IO : POA_OK;
    if (!rc)
        rc = poa_archive_verify(j->proof, "its proof", j->node->chain, &progress, &info, &why);
    node_waits_moved(&g->waits, poa_clock_monotonic_us(j->node->clock)); /* our own time */
    if (rc == POA_E_IO || rc == POA_E_NO_MEMORY)
        return rc;
    next_proof(j);
    if (rc || info.head.base != s->base || info.end.entries) {
        node_givers_lied(g, g->giver, "gave a proof that is wrong",
                         rc ? why.text : "it is of another height than the state that it offered");
        return POA_OK;
    }
    if (memcmp(info.head.root, s->root, 32) != 0) {
        for (uint32_t i = 0; i < g->n; i++)
            if (g->server[i].group == g->chosen)
                node_givers_lied(g, i, "offered a state that is not the chain's", "");
        look(j);
        return POA_OK;
    }
    if (!fits(j, s->bytes)) {
        POA_LOG_WARN(NODE, "snapshot: %llu bytes do not fit on this disk",
                     (unsigned long long)s->bytes);
        for (uint32_t i = 0; i < g->n; i++)
            if (g->server[i].group == g->chosen)
                node_givers_drop(g, i);
        look(j);
        return POA_OK;
    }
    return begin_parts(j);
}

static int take_piece(struct joining *j, const struct node_answer *a, uint64_t now_us)
{
    struct node_givers *g = &j->givers;
    if (a->error) {
        next_proof(j);
        return POA_OK;
    }
    if (a->type != POA_MSG_ANS_PART) {
        next_proof(j);
        node_givers_lied(g, a->server, "does not answer what it was asked for", "");
        return POA_OK;
    }
    if (a->n > POA_SNAPSHOT_PIECE_BYTES || j->proof_bytes + a->n > POA_SNAPSHOT_PROOF_MAX) {
        next_proof(j);
        node_givers_lied(g, a->server, "gave a proof that is too long", "");
        return POA_OK;
    }
    if (!fits(j, j->proof_bytes)) { /* whether it is too long, or our disk is full */
        POA_LOG_WARN(NODE, "snapshot: a proof does not fit on this disk: %llu bytes did",
                     (unsigned long long)j->proof_bytes);
        next_proof(j);
        node_givers_drop(g, a->server);
        return POA_OK;
    }
    if (a->n && fwrite(a->bytes, 1, a->n, j->proof) != a->n)
        return POA_E_IO;
    j->proof_bytes += a->n;
    node_waits_moved(&g->waits, now_us);
    if (a->n < POA_SNAPSHOT_PIECE_BYTES)
        return proven(j);
    if (node_givers_late(g, now_us))
        next_proof(j);
    return POA_OK;
}

/* --- the parts ------------------------------------------------------------------------------ */

static void ask_parts(struct joining *j, uint64_t now_us)
{
    bool there = node_givers_ask_parts(&j->givers, chosen(j)->id, now_us);
    if (there && node_givers_slow(&j->givers, j->held_bytes - j->had_bytes, now_us)) {
        POA_LOG_INFO(NODE, "snapshot: that is slow: those who have another one are tried");
        there = false;
    }
    if (!there)
        look(j);
}

static int take_part(struct joining *j, const struct node_answer *a, uint64_t now_us)
{
    const struct poa_snapshot *s = chosen(j);
    int rc = POA_E_PROOF;
    if (a->type == POA_MSG_ANS_PART)
        rc = poa_snapshot_check(s, a->part, poa_slice(a->bytes, a->n));
    if (!rc && pwrite(j->state, a->bytes, a->n, (off_t)s->part[a->part].at) != (ssize_t)a->n)
        return POA_E_IO;
    node_givers_part(&j->givers, a, rc, now_us);
    if (!rc)
        j->held_bytes += a->n;
    return POA_OK;
}

/* --- the loop --------------------------------------------------------------------------------- */

static int take(struct joining *j, struct node_answer *a)
{
    uint64_t now_us = poa_clock_monotonic_us(j->node->clock);
    if (!node_givers_take(&j->givers, a, now_us))
        return POA_OK;
    switch (a->kind) {
    case NODE_GIVE_PEERS:
        return POA_OK;
    case NODE_GIVE_OFFER:
        take_offer(j, a, now_us);
        return POA_OK;
    case NODE_GIVE_PIECE:
        return take_piece(j, a, now_us);
    case NODE_GIVE_PART:
        return take_part(j, a, now_us);
    }
    return POA_E_INVALID;
}

static int take_all(struct joining *j, struct node_answer *a)
{
    int rc = POA_OK;
    while (a) {
        struct node_answer *next = a->next;
        if (!rc)
            rc = take(j, a);
        node_answer_free(a);
        a = next;
    }
    return rc;
}

static int fetch(struct joining *j)
{
    int rc = POA_OK;
    while (!rc) {
        uint64_t now_us = poa_clock_monotonic_us(j->node->clock);
        bool wait = false;
        if (node_told_to_stop())
            return POA_E_CLOSED;
        if (node_waits_given_up(&j->givers.waits, now_us))
            return POA_E_TIMEOUT;
        node_givers_ask_offers(&j->givers, chosen(j) ? chosen(j)->base : 0, now_us);
        if (j->phase == LOOK && !choose(j, now_us, &wait) && !wait)
            return POA_E_NOT_FOUND;
        if (j->phase == PROVE)
            rc = ask_piece(j, now_us);
        if (j->phase == FETCH && has_parts(j))
            return POA_OK;
        if (j->phase == FETCH)
            ask_parts(j, now_us);
        say(j, now_us);
        if (!rc)
            rc = take_all(j, node_givers_wait(&j->givers));
    }
    return rc;
}

static int load(struct joining *j)
{
    const struct poa_snapshot *s = chosen(j);
    struct poa_node *n = j->node;
    struct poa_archive_progress progress = {.tell = tell, .ctx = j};
    struct poa_archive_info info;
    struct poa_why why = {""};
    uint64_t took_us = poa_clock_monotonic_us(n->clock) - j->givers.waits.begun_us;
    POA_LOG_INFO(NODE, "snapshot: %u parts, %llu bytes in %llu ms from %u servers", s->parts,
                 (unsigned long long)(j->held_bytes - j->had_bytes),
                 (unsigned long long)(took_us / 1000), node_givers_gave(&j->givers));
    int rc = poa_snapshot_load(j->proof_path, j->state_path, s, n->config.data_dir, n->chain,
                               n->config.tx_index, &progress, &info, &why);
    if (rc)
        POA_LOG_WARN(NODE, "snapshot: %s", why.text[0] ? why.text : poa_error_text(rc));
    else
        POA_LOG_INFO(NODE, "snapshot of height %llu: verified from genesis on",
                     (unsigned long long)info.head.last);
    return rc;
}

/* Those of the configuration whose address is known, and those that they know. */
static void know_servers(struct joining *j)
{
    const struct poa_config *k = &j->node->config;
    for (uint32_t i = 0; i < k->peers; i++)
        if (k->peer[i].address[0])
            node_givers_know(&j->givers, k->peer[i].key, k->peer[i].address);
    if (k->peers_wanted)
        node_givers_ask_peers(&j->givers);
}

static void begin_without(const struct joining *j, int rc)
{
    char why[512];
    if (rc == POA_E_NOT_FOUND || rc == POA_E_TIMEOUT)
        node_givers_why(&j->givers, why, sizeof why);
    else
        snprintf(why, sizeof why, "%s", poa_error_text(rc));
    POA_LOG_WARN(NODE, "no peer gave a snapshot (%s): starting from genesis", why);
}

static void close_all(struct joining *j)
{
    if (j->p2p)
        poa_p2p_close(j->p2p);
    node_givers_close(&j->givers);
    if (j->proof)
        fclose(j->proof);
    if (j->state >= 0)
        close(j->state);
    for (int g = 0; g < GROUPS; g++)
        poa_snapshot_close(&j->group[g]);
    free(j);
}

bool node_snapshot_wanted(const struct poa_node *n)
{
    char db[POA_CONFIG_TEXT_MAX + 32];
    snprintf(db, sizeof db, "%s/db", n->config.data_dir);
    return n->config.snapshot && access(db, F_OK) != 0;
}

int node_snapshot_fetch(struct poa_node *n)
{
    if (!n->config.snapshot)
        return POA_OK;
    struct joining *j = calloc(1, sizeof *j);
    if (!j)
        return POA_E_NO_MEMORY;
    snprintf(j->proof_path, sizeof j->proof_path, "%s/" PROOF_FILE, n->config.data_dir);
    snprintf(j->state_path, sizeof j->state_path, "%s/" STATE_FILE, n->config.data_dir);
    if (!node_snapshot_wanted(n)) { /* what is left of an attempt is of no use any more */
        unlink(j->proof_path);
        unlink(j->state_path);
        free(j);
        return POA_OK;
    }
    struct poa_p2p_config c = {.seed32 = n->seed,
                               .chain32 = n->chain,
                               .message_max_bytes = POA_P2P_PAYLOAD_MAX,
                               .ctx = j,
                               .on_message = refuse_all};
    const struct node_givers_mesh mesh = {
        .ctx = j, .know = do_know, .ask = do_ask, .blame = do_blame};
    uint32_t cap = n->config.peers + (n->config.peers_wanted ? FOUND_MAX : 0);
    if (node_givers_open(&j->givers, &mesh, n->key, cap, poa_clock_monotonic_us(n->clock))) {
        free(j);
        return POA_E_NO_MEMORY;
    }
    j->node = n;
    j->state = -1;
    (void)!mkdir(n->config.data_dir, 0700);
    int rc = poa_p2p_open(&j->p2p, &c);
    if (!rc) {
        know_servers(j);
        rc = fetch(j);
    }
    if (rc == POA_E_IO)
        POA_LOG_WARN(NODE, "snapshot: cannot write to %s: %s", n->config.data_dir, strerror(errno));
    if (!rc)
        rc = load(j);
    if (rc && rc != POA_E_CLOSED)
        begin_without(j, rc);
    if (rc != POA_E_CLOSED) { /* who was stopped goes on with it at the next start */
        unlink(j->proof_path);
        unlink(j->state_path);
    }
    close_all(j);
    const struct poa_rpc_join join = {.doing = "starting"};
    node_joining_set(n, &join, "starting: loads the state");
    return rc == POA_E_CLOSED ? rc : POA_OK;
}
