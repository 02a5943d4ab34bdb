/* Joining: a node without a database fetches a snapshot from several servers at once
 * before it starts.
 *
 *   who has which ──> the proof, of one of them ──> parts, of all that have the same
 *     └── and whom do you know
 *
 * It believes nothing: the proof leads from genesis to the state root, the manifest's
 * hashes make that root, and each part its hash (poa_snapshot.h). So whoever lies is
 * known with the answer, and costs that answer; whoever stalls costs a wait for
 * the same part from another one. Which part is asked of whom: parts.c; how long
 * everything is waited for: waits.c; what is said meanwhile: joining.c.
 *
 * What was fetched stays in a file of its place: after a kill whatever is true in
 * there is not fetched again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "node.h"
#include "poa_book.h"
#include "poa_node_parts.h"
#include "poa_node_waits.h"
#include "poa_snapshot.h"

#define PROOF_FILE "fetched.proof"
#define STATE_FILE "fetched.state"
/* Different manifests that are looked at, at a time. */
#define GROUPS 4
/* Beside those of the configuration: servers that these know. */
#define FOUND_MAX 8u
#define TOLD_MAX  4u /* of one of them */
/* Questions that one refuses about what it offered, and gives nothing between. */
#define REFUSED_MAX 16u
#define WAIT_MS     100

enum kind { KNOWN, OFFER, PIECE, PART };

struct answer {
    struct answer *next;
    struct joining *j;
    enum kind kind;
    uint32_t peer, id, round;
    int error;
    uint16_t type;
    size_t n;
    uint8_t *bytes;
};

struct server {
    int at; /* in the mesh */
    uint8_t key[32];
    char address[POA_P2P_ADDRESS_MAX];
    bool hearsay; /* nobody answered there yet */
    int group;    /* whose manifest it has, or -1 */
    bool asked, telling, out, tried, slow;
    uint64_t ask_us;
    uint32_t silent, gave, refused;
};

enum phase { LOOK, PROVE, FETCH };

struct joining {
    struct poa_node *node;
    struct poa_p2p *p2p;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct answer *first, **last; /* MUTEX: what came */
    struct server *server;
    uint32_t servers, cap;
    struct poa_snapshot group[GROUPS]; /* no parts: free */
    enum phase phase;
    uint32_t round; /* answers of an earlier one come too late */
    int chosen;
    struct node_waits waits;
    /* The proof. */
    char proof_path[POA_CONFIG_TEXT_MAX + 32];
    FILE *proof;
    uint32_t giver, piece;
    bool piece_asked;
    uint64_t proof_bytes;
    /* The state. */
    char state_path[POA_CONFIG_TEXT_MAX + 32];
    int state;
    struct node_parts parts;
    uint64_t held_bytes, had_bytes;
    struct node_joining_pace pace;
};

/* --- servers ------------------------------------------------------------------------- */

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

static void blame(struct joining *j, struct server *s, enum poa_p2p_fault fault, const char *what,
                  const char *why)
{
    char key[17];
    poa_hex(s->key, 8, key);
    POA_LOG_WARN(NODE, "snapshot: peer %s... at %s %s%s%s", key, s->address, what,
                 why[0] ? ": " : "", why);
    poa_p2p_blame(j->p2p, s->key, fault);
    keep_fault(j->node, s->key, fault);
}

static void stalled(struct joining *j, struct server *s)
{
    if (s->hearsay)
        return;
    blame(j, s, POA_P2P_FAULT_STALLED, "does not answer", "");
}

static void leave(struct joining *j, struct server *s)
{
    if (j->phase == FETCH && s->group == j->chosen)
        node_parts_leave(&j->parts, s->at);
    s->group = -1;
}

static void lied(struct joining *j, struct server *s, const char *what, const char *why)
{
    leave(j, s);
    s->out = true;
    blame(j, s, POA_P2P_FAULT_FORGED, what, why);
}

/* It has a newer one, once in a while. */
static void refused(struct joining *j, struct server *s)
{
    leave(j, s);
    if (++s->refused < REFUSED_MAX)
        return;
    s->out = true;
    blame(j, s, POA_P2P_FAULT_STALLED, "refuses what it offers", "");
}

static uint32_t members(const struct joining *j, int group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->servers; i++)
        n += !j->server[i].out && j->server[i].group == group;
    return n;
}

/* --- questions ------------------------------------------------------------------------- */

static void refuse_all(void *ctx, const struct poa_p2p_message *m)
{
    struct joining *j = ctx;
    if (m->token)
        (void)!poa_p2p_refuse(j->p2p, m->token, POA_E_AGAIN);
}

static void came(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct answer *a = ctx;
    struct joining *j = a->j;
    a->error = error;
    a->type = type;
    a->n = bytes.n;
    a->bytes = error ? NULL : malloc(bytes.n + 1);
    if (!error && !a->bytes)
        a->error = POA_E_NO_MEMORY;
    else if (!error && bytes.n)
        memcpy(a->bytes, bytes.p, bytes.n);
    pthread_mutex_lock(&j->mutex);
    *j->last = a;
    j->last = &a->next;
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->mutex);
}

static int ask(struct joining *j, enum kind kind, uint32_t server, uint32_t id, uint16_t type,
               struct poa_slice bytes, uint32_t timeout_ms)
{
    struct answer *a = calloc(1, sizeof *a);
    if (!a)
        return POA_E_NO_MEMORY;
    *a = (struct answer){.j = j, .kind = kind, .peer = server, .id = id, .round = j->round};
    int rc = poa_p2p_request(j->p2p, j->server[server].at, type, bytes, timeout_ms, came, a);
    if (rc)
        free(a);
    return rc;
}

static void ask_offers(struct joining *j, uint64_t now_us)
{
    uint8_t buffer[16];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_snapshot_ask r = {.base = j->chosen >= 0 ? j->group[j->chosen].base : 0};
    POA_ASSERT(!poa_snapshot_ask_encode(&w, &r));
    for (uint32_t i = 0; i < j->servers; i++) {
        struct server *s = &j->server[i];
        if (s->out || s->asked || s->group >= 0 || now_us < s->ask_us)
            continue;
        s->ask_us = now_us + node_waits_again_us(0);
        s->asked = !ask(j, OFFER, i, 0, POA_MSG_REQ_SNAPSHOT, poa_written(&w), NODE_PATIENCE_MS);
    }
}

static int ask_get(struct joining *j, enum kind kind, uint32_t server, uint32_t id, uint32_t part,
                   uint64_t offset, uint32_t timeout_ms)
{
    uint8_t buffer[64];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_snapshot_get r = {.part = part, .offset = offset};
    memcpy(r.manifest, j->group[j->chosen].id, 32);
    POA_ASSERT(!poa_snapshot_get_encode(&w, &r));
    return ask(j, kind, server, id, POA_MSG_REQ_PART, poa_written(&w), timeout_ms);
}

/* --- who knows whom ------------------------------------------------------------------------ */

static bool is_known(const struct joining *j, const uint8_t key32[32])
{
    bool known = memcmp(key32, j->node->key, 32) == 0;
    for (uint32_t i = 0; i < j->servers; i++)
        known |= memcmp(j->server[i].key, key32, 32) == 0;
    return known;
}

static void know(struct joining *j, const uint8_t key32[32], const char *address, bool hearsay)
{
    struct server *s = &j->server[j->servers];
    *s = (struct server){.hearsay = hearsay, .group = -1};
    memcpy(s->key, key32, 32);
    snprintf(s->address, sizeof s->address, "%s", address);
    if (!poa_p2p_peer_set(j->p2p, key32, address, NULL, hearsay ? POA_P2P_HEARSAY : 0, &s->at))
        j->servers++;
}

static void take_known(struct joining *j, const struct answer *a)
{
    struct poa_peers_told r;
    struct poa_known_node k;
    uint32_t told = 0;
    j->server[a->peer].telling = false;
    if (a->error || a->type != POA_MSG_ANS_PEERS ||
        poa_peers_told_decode(poa_slice(a->bytes, a->n), &r))
        return;
    struct poa_list_iter it = poa_list_begin(&r.nodes);
    while (j->servers < j->cap && told < TOLD_MAX && poa_known_node_next(&it, &k)) {
        char address[POA_P2P_ADDRESS_MAX];
        if (is_known(j, k.key) || !poa_book_address_ok(k.address))
            continue;
        snprintf(address, sizeof address, "%.*s", (int)k.address.n, (const char *)k.address.p);
        know(j, k.key, address, true);
        told++;
    }
}

static void ask_known(struct joining *j)
{
    uint8_t buffer[8];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_peers_ask r = {.address = poa_slice("", 0)};
    POA_ASSERT(!poa_peers_ask_encode(&w, &r));
    for (uint32_t i = 0; i < j->servers; i++)
        j->server[i].telling =
            !ask(j, KNOWN, i, 0, POA_MSG_REQ_PEERS, poa_written(&w), NODE_PATIENCE_MS);
}

/* --- who has which ------------------------------------------------------------------------ */

/* The group of manifest S, which it takes over; -1: there are too many. */
static int group_of(struct joining *j, struct poa_snapshot *s)
{
    int free_ = -1;
    for (int g = 0; g < GROUPS; g++) {
        if (j->group[g].parts && memcmp(j->group[g].id, s->id, 32) == 0) {
            poa_snapshot_close(s);
            return g;
        }
        if (!j->group[g].parts || (g != j->chosen && !members(j, g)))
            free_ = g;
    }
    if (free_ < 0) {
        poa_snapshot_close(s);
        return -1;
    }
    poa_snapshot_close(&j->group[free_]);
    j->group[free_] = *s;
    return free_;
}

static void take_offer(struct joining *j, const struct answer *a, uint64_t now_us)
{
    struct server *s = &j->server[a->peer];
    struct poa_snapshot m;
    s->asked = false;
    if (s->out)
        return;
    if (a->error == POA_E_TIMEOUT) {
        if (!s->silent)
            stalled(j, s);
        s->ask_us = now_us + node_waits_again_us(s->silent++);
    }
    s->hearsay = s->hearsay && (a->error == POA_E_TIMEOUT || a->error == POA_E_CLOSED);
    if (a->error)
        return;
    s->silent = 0;
    int rc = a->type == POA_MSG_ANS_SNAPSHOT ? poa_snapshot_open(poa_slice(a->bytes, a->n), &m)
                                             : POA_E_INVALID;
    if (rc == POA_E_NO_MEMORY)
        return;
    if (rc) {
        lied(j, s, "offers a snapshot that contradicts itself", "");
        return;
    }
    s->group = group_of(j, &m);
    if (s->group >= 0)
        node_waits_offer(&j->waits, now_us);
}

static void forget_group(struct joining *j, int g)
{
    for (uint32_t i = 0; i < j->servers; i++)
        if (j->server[i].group == g)
            leave(j, &j->server[i]);
    poa_snapshot_close(&j->group[g]);
}

/* What was chosen is of no use any more: looks for another one. */
static void look(struct joining *j)
{
    int g = j->chosen;
    if (g >= 0)
        forget_group(j, g);
    if (j->proof)
        fclose(j->proof);
    if (j->state >= 0)
        close(j->state);
    j->proof = NULL;
    j->state = -1;
    node_parts_free(&j->parts);
    j->phase = LOOK;
    j->round++;
    j->chosen = -1;
    j->piece_asked = false;
    bool there = false;
    for (uint32_t i = 0; i < j->servers; i++) {
        j->server[i].ask_us = 0;
        j->server[i].tried = false;
        there |= j->server[i].group >= 0;
    }
    node_waits_again(&j->waits, there);
}

/* The one that most have, the newest of those; false: nobody has any. */
static bool choose(struct joining *j, uint64_t now_us, bool *wait)
{
    uint32_t pending = 0, most = 0;
    for (uint32_t i = 0; i < j->servers; i++)
        pending += !j->server[i].out && (j->server[i].asked || j->server[i].telling);
    *wait = pending && node_waits_for_offers(&j->waits, now_us);
    if (*wait)
        return false;
    for (int g = 0; g < GROUPS; g++) {
        uint32_t n = j->group[g].parts ? members(j, g) : 0;
        for (uint32_t i = 0; n && i < j->servers; i++) /* more than all of the slow ones */
            n += j->server[i].group == g && !j->server[i].slow ? POA_P2P_PEERS_MAX : 0;
        bool newer = j->chosen >= 0 && j->group[g].base > j->group[j->chosen].base;
        if (n > most || (n && n == most && newer)) {
            most = n;
            j->chosen = g;
        }
    }
    if (!most) {
        j->chosen = -1;
        return false;
    }
    most = members(j, j->chosen);
    POA_LOG_INFO(NODE, "snapshot of height %llu: %llu bytes in %u parts, %u servers have it",
                 (unsigned long long)j->group[j->chosen].base,
                 (unsigned long long)j->group[j->chosen].bytes, j->group[j->chosen].parts, most);
    j->phase = PROVE;
    return true;
}

/* --- how far it is ----------------------------------------------------------------------- */

static unsigned givers(const struct joining *j)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < j->servers; i++)
        n += j->server[i].gave > 0;
    return n;
}

static struct poa_rpc_join so_far(const struct joining *j, const char *doing)
{
    const struct poa_snapshot *s = j->chosen >= 0 ? &j->group[j->chosen] : NULL;
    struct poa_rpc_join join = {.doing = doing, .servers = givers(j)};
    if (s) {
        join.height = s->base;
        join.offered = members(j, j->chosen);
        join.parts = s->parts;
        join.bytes = s->bytes;
    }
    if (s && j->parts.n) {
        join.parts_held = j->parts.held;
        join.bytes_held = j->held_bytes;
    }
    return join;
}

static void say(struct joining *j, uint64_t now_us)
{
    static const char *const doing[] = {
        [LOOK] = "looking", [PROVE] = "proving", [FETCH] = "fetching"};
    struct poa_rpc_join join = so_far(j, doing[j->phase]);
    node_joining_say(j->node, &j->pace, &join, now_us);
}

static void tell(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct joining *j = ctx;
    bool whole = j->parts.n && j->parts.held == j->parts.n;
    struct poa_rpc_join join = so_far(j, whole ? "loading" : "proving");
    node_joining_tell(j->node, &j->pace, &join, what, done, total);
}

/* --- the proof ---------------------------------------------------------------------------- */

/* The next one that was not tried yet. */
static bool next_giver(struct joining *j)
{
    for (uint32_t i = 0; i < j->servers; i++) {
        struct server *s = &j->server[i];
        if (s->out || s->tried || s->group != j->chosen)
            continue;
        s->tried = true;
        j->giver = i;
        j->proof_bytes = 0;
        node_waits_proof(&j->waits, poa_clock_monotonic_us(j->node->clock));
        j->proof = fopen(j->proof_path, "w+b");
        return true;
    }
    return false;
}

static int ask_piece(struct joining *j)
{
    if (j->piece_asked)
        return POA_OK;
    if (!j->proof && !next_giver(j)) {
        /* Only now: however many stall, the others have their turn within a minute. */
        node_waits_round(&j->waits);
        look(j);
        return POA_OK;
    }
    if (!j->proof)
        return POA_E_IO;
    j->piece++;
    j->piece_asked = !ask_get(j, PIECE, j->giver, j->piece, POA_SNAPSHOT_PROOF, j->proof_bytes,
                              j->waits.patience_ms);
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
    const struct poa_snapshot *s = &j->group[j->chosen];
    struct stat st;
    uint8_t *bytes = malloc(POA_SNAPSHOT_PART_BYTES);
    j->state = open(j->state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = bytes ? node_parts_init(&j->parts, s->parts) : POA_E_NO_MEMORY;
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
            node_parts_have(&j->parts, i);
            j->held_bytes += p->bytes;
        }
        if (node_told_to_stop())
            rc = POA_E_CLOSED;
        tell(j, "looking at what is there", p->at, s->bytes);
    }
    free(bytes);
    j->had_bytes = j->held_bytes;
    if (j->held_bytes)
        POA_LOG_INFO(NODE, "snapshot: %u of %u parts are here already", j->parts.held, s->parts);
    uint64_t now_us = poa_clock_monotonic_us(j->node->clock);
    node_waits_parts(&j->waits, now_us);
    j->pace = (struct node_joining_pace){
        .begun_us = now_us, .at_us = now_us, .had = j->held_bytes, .at = j->held_bytes};
    j->phase = FETCH;
    return rc;
}

/* The proof is here: is it one, and is the manifest true? */
static int proven(struct joining *j)
{
    const struct poa_snapshot *s = &j->group[j->chosen];
    struct server *giver = &j->server[j->giver];
    struct poa_archive_progress progress = {.tell = tell, .ctx = j};
    struct poa_archive_info info;
    struct poa_why why = {""};
    int rc = fflush(j->proof) ? POA_E_IO : POA_OK;
    if (!rc)
        rc = poa_archive_verify(j->proof, "its proof", j->node->chain, &progress, &info, &why);
    node_waits_moved(&j->waits, poa_clock_monotonic_us(j->node->clock)); /* our own time */
    if (rc == POA_E_IO || rc == POA_E_NO_MEMORY)
        return rc;
    next_proof(j);
    if (rc || info.head.base != s->base || info.end.entries) {
        lied(j, giver, "gave a proof that is wrong",
             rc ? why.text : "it is of another height than the state that it offered");
        return POA_OK;
    }
    if (memcmp(info.head.root, s->root, 32) != 0) {
        for (uint32_t i = 0; i < j->servers; i++)
            if (j->server[i].group == j->chosen)
                lied(j, &j->server[i], "offered a state that is not the chain's", "");
        look(j);
        return POA_OK;
    }
    if (!fits(j, s->bytes)) {
        POA_LOG_WARN(NODE, "snapshot: %llu bytes do not fit on this disk",
                     (unsigned long long)s->bytes);
        for (uint32_t i = 0; i < j->servers; i++)
            j->server[i].out |= j->server[i].group == j->chosen;
        look(j);
        return POA_OK;
    }
    return begin_parts(j);
}

static bool others(const struct joining *j, uint32_t than)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->servers; i++)
        n += i != than && !j->server[i].out && j->server[i].group >= 0;
    return n > 0;
}

static int take_piece(struct joining *j, const struct answer *a, uint64_t now_us)
{
    struct server *s = &j->server[a->peer];
    if (a->round != j->round || j->phase != PROVE || !j->piece_asked || a->id != j->piece)
        return POA_OK;
    j->piece_asked = false;
    if (a->error || a->type != POA_MSG_ANS_PART) {
        next_proof(j);
        if (a->error == POA_E_TIMEOUT) {
            stalled(j, s);
        } else if (!a->error) {
            lied(j, s, "does not answer what it was asked for", "");
        } else if (a->error == POA_E_CLOSED) {
            leave(j, s);
        } else {
            refused(j, s);
        }
        return POA_OK;
    }
    if (a->n > POA_SNAPSHOT_PIECE_BYTES || j->proof_bytes + a->n > POA_SNAPSHOT_PROOF_MAX) {
        next_proof(j);
        lied(j, s, "gave a proof that is too long", "");
        return POA_OK;
    }
    if (!fits(j, j->proof_bytes)) { /* whether it is too long, or our disk is full */
        POA_LOG_WARN(NODE, "snapshot: a proof does not fit on this disk: %llu bytes did",
                     (unsigned long long)j->proof_bytes);
        next_proof(j);
        leave(j, s);
        s->out = true;
        return POA_OK;
    }
    if (a->n && fwrite(a->bytes, 1, a->n, j->proof) != a->n)
        return POA_E_IO;
    j->proof_bytes += a->n;
    node_waits_moved(&j->waits, now_us);
    if (a->n < POA_SNAPSHOT_PIECE_BYTES)
        return proven(j);
    if (node_waits_proof_late(&j->waits, now_us, others(j, a->peer))) {
        s->slow = true;
        next_proof(j);
        stalled(j, s);
    }
    return POA_OK;
}

/* --- the parts ------------------------------------------------------------------------------ */

/* Whether those of the chosen height are slow, while others, who were not found so yet, have
 * another one. */
static bool leave_slow(struct joining *j, uint64_t now_us)
{
    bool other = false;
    for (uint32_t i = 0; i < j->servers; i++) {
        const struct server *s = &j->server[i];
        other |= !s->out && !s->slow && s->group >= 0 && s->group != j->chosen;
    }
    if (!other || !node_waits_slow(&j->waits, now_us, j->held_bytes - j->had_bytes))
        return false;
    for (uint32_t i = 0; i < j->servers; i++)
        j->server[i].slow |= j->server[i].group == j->chosen;
    POA_LOG_INFO(NODE, "snapshot: that is slow: those who have another one are tried");
    return true;
}

static void ask_parts(struct joining *j, uint64_t now_us)
{
    struct node_parts_question q;
    int at[POA_P2P_PEERS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->servers; i++)
        if (!j->server[i].out && j->server[i].group == j->chosen)
            at[n++] = j->server[i].at;
    while (node_parts_next(&j->parts, now_us, at, n, &q)) {
        uint32_t i = 0;
        while (j->server[i].at != q.server)
            i++;
        if (ask_get(j, PART, i, q.id, q.part, 0, q.timeout_ms))
            (void)node_parts_answered(&j->parts, q.id, POA_E_CLOSED, now_us);
    }
    if ((!n && j->parts.held < j->parts.n) || leave_slow(j, now_us))
        look(j);
}

/* The part that question ID asked for. */
static uint32_t part_of(const struct joining *j, uint32_t id)
{
    for (uint32_t i = 0; i < NODE_PARTS_ASKED; i++)
        if (j->parts.flight[i].used && j->parts.flight[i].id == id)
            return j->parts.flight[i].part;
    return UINT32_MAX;
}

static int take_part(struct joining *j, const struct answer *a, uint64_t now_us)
{
    struct server *s = &j->server[a->peer];
    bool current = a->round == j->round && j->phase == FETCH;
    uint32_t part = current ? part_of(j, a->id) : UINT32_MAX;
    if (part == UINT32_MAX)
        return POA_OK; /* given up meanwhile */
    const struct poa_snapshot *m = &j->group[j->chosen];
    int rc = a->error;
    if (!rc)
        rc = a->type == POA_MSG_ANS_PART ? poa_snapshot_check(m, part, poa_slice(a->bytes, a->n))
                                         : POA_E_PROOF;
    if (!rc && pwrite(j->state, a->bytes, a->n, (off_t)m->part[part].at) != (ssize_t)a->n)
        return POA_E_IO;
    bool first = node_parts_answered(&j->parts, a->id, rc, now_us);
    if (!rc) {
        s->gave++;
        s->refused = 0;
        j->held_bytes += a->n;
        node_waits_moved(&j->waits, now_us);
    } else if (!a->error && rc != POA_E_NO_MEMORY) {
        lied(j, s, "sent a part of the state that is wrong", "");
    } else if (rc == POA_E_TIMEOUT && first) {
        stalled(j, s);
    } else if (rc == POA_E_NOT_FOUND) {
        refused(j, s);
    }
    return POA_OK;
}

/* --- the loop --------------------------------------------------------------------------------- */

/* What came, in order; after WAIT_MS nothing. */
static struct answer *take_answers(struct joining *j)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += WAIT_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&j->mutex);
    while (!j->first && !pthread_cond_timedwait(&j->cond, &j->mutex, &t))
        ;
    struct answer *a = j->first;
    j->first = NULL;
    j->last = &j->first;
    pthread_mutex_unlock(&j->mutex);
    return a;
}

static int take(struct joining *j, const struct answer *a)
{
    uint64_t now_us = poa_clock_monotonic_us(j->node->clock);
    switch (a->kind) {
    case KNOWN:
        take_known(j, a);
        return POA_OK;
    case OFFER:
        take_offer(j, a, now_us);
        return POA_OK;
    case PIECE:
        return take_piece(j, a, now_us);
    case PART:
        return take_part(j, a, now_us);
    }
    return POA_E_INVALID;
}

static int take_all(struct joining *j, struct answer *a)
{
    int rc = POA_OK;
    while (a) {
        struct answer *next = a->next;
        if (!rc)
            rc = take(j, a);
        free(a->bytes);
        free(a);
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
        if (node_waits_given_up(&j->waits, now_us))
            return POA_E_TIMEOUT;
        ask_offers(j, now_us);
        if (j->phase == LOOK && !choose(j, now_us, &wait) && !wait)
            return POA_E_NOT_FOUND;
        if (j->phase == PROVE)
            rc = ask_piece(j);
        if (j->phase == FETCH && j->parts.held == j->parts.n)
            return POA_OK;
        if (j->phase == FETCH)
            ask_parts(j, now_us);
        say(j, now_us);
        if (!rc)
            rc = take_all(j, take_answers(j));
    }
    return rc;
}

static int load(struct joining *j)
{
    const struct poa_snapshot *s = &j->group[j->chosen];
    struct poa_node *n = j->node;
    struct poa_archive_progress progress = {.tell = tell, .ctx = j};
    struct poa_archive_info info;
    struct poa_why why = {""};
    uint64_t took_us = poa_clock_monotonic_us(n->clock) - j->waits.begun_us;
    POA_LOG_INFO(NODE, "snapshot: %u parts, %llu bytes in %llu ms from %u servers", s->parts,
                 (unsigned long long)(j->held_bytes - j->had_bytes),
                 (unsigned long long)(took_us / 1000), givers(j));
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
static int know_servers(struct joining *j)
{
    const struct poa_config *k = &j->node->config;
    j->cap = k->peers + (k->peers_wanted ? FOUND_MAX : 0);
    j->server = calloc(j->cap + 1, sizeof *j->server);
    if (!j->server)
        return POA_E_NO_MEMORY;
    for (uint32_t i = 0; i < k->peers; i++)
        if (k->peer[i].address[0] && !is_known(j, k->peer[i].key))
            know(j, k->peer[i].key, k->peer[i].address, false);
    if (k->peers_wanted)
        ask_known(j);
    return POA_OK;
}

static void open_queue(struct joining *j)
{
    pthread_condattr_t attr;
    j->last = &j->first;
    pthread_mutex_init(&j->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void close_all(struct joining *j)
{
    if (j->p2p)
        poa_p2p_close(j->p2p);
    while (j->first) { /* nobody calls back any more */
        struct answer *a = j->first;
        j->first = a->next;
        free(a->bytes);
        free(a);
    }
    if (j->proof)
        fclose(j->proof);
    if (j->state >= 0)
        close(j->state);
    node_parts_free(&j->parts);
    for (int g = 0; g < GROUPS; g++)
        poa_snapshot_close(&j->group[g]);
    free(j->server);
    pthread_mutex_destroy(&j->mutex);
    pthread_cond_destroy(&j->cond);
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
    j->node = n;
    j->chosen = j->state = -1;
    node_waits_begin(&j->waits, poa_clock_monotonic_us(n->clock));
    open_queue(j);
    (void)!mkdir(n->config.data_dir, 0700);
    int rc = poa_p2p_open(&j->p2p, &c);
    if (!rc)
        rc = know_servers(j);
    if (!rc)
        rc = fetch(j);
    if (rc == POA_E_IO)
        POA_LOG_WARN(NODE, "snapshot: cannot write to %s: %s", n->config.data_dir, strerror(errno));
    if (!rc)
        rc = load(j);
    if (rc && rc != POA_E_CLOSED)
        POA_LOG_WARN(NODE, "no peer gave a snapshot (%s): starting from genesis",
                     poa_error_text(rc));
    if (rc != POA_E_CLOSED) { /* who was stopped goes on with it at the next start */
        unlink(j->proof_path);
        unlink(j->state_path);
    }
    close_all(j);
    const struct poa_rpc_join join = {.doing = "starting"};
    node_joining_set(n, &join, "starting: loads the state");
    return rc == POA_E_CLOSED ? rc : POA_OK;
}
