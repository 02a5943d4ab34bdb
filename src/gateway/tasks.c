/* Epochs to all, tasks to the assigned. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static struct poa_slice link_at(struct poa_slice links, size_t i)
{
    return poa_slice(links.p + i * POA_HEADER_BYTES, POA_HEADER_BYTES);
}

/* --- certificates for devices that hold no such committee ---------------------------
 *
 * They get every member with its signature, a few at a time. */

/* The committee of EPOCH; OUT may borrow from BYTES. */
static int committee_of(struct poa_gateway *g, uint32_t epoch,
                        uint8_t bytes[POA_COMMITTEE_BYTES_MAX], struct poa_committee *out)
{
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_writer w = poa_writer_over(bytes, POA_COMMITTEE_BYTES_MAX);
    uint8_t key[4];
    if (g->have_epoch && epoch == g->epoch.epoch)
        return poa_committee_decode(g->committee, out);
    poa_put_le32(key, epoch);
    int e = b->state_get(b->ctx, POA_STATE_COMMITTEE, poa_slice(key, sizeof key), &w);
    return e ? e : poa_committee_decode(poa_written(&w), out);
}

bool tasks_in_parts(struct conn *c, struct poa_slice cert_bytes)
{
    uint8_t bytes[POA_COMMITTEE_BYTES_MAX];
    struct poa_committee committee;
    struct poa_cert cert;
    return c->committee_max < POA_COMMITTEE_MAX && !poa_cert_decode(cert_bytes, &cert) &&
           !committee_of(c->g, cert.epoch, bytes, &committee) &&
           committee.members.count > c->committee_max;
}

static bool send_parts(struct conn *c, const struct poa_edge_final *final)
{
    uint8_t bytes[POA_COMMITTEE_BYTES_MAX], part[POA_EDGE_PART_WITNESSES * 107];
    struct poa_committee committee;
    struct poa_cert cert;
    struct poa_sig sig;
    if (poa_cert_decode(final->cert, &cert) || committee_of(c->g, cert.epoch, bytes, &committee))
        return false;
    struct poa_list_iter sigs = poa_list_begin(&cert.sigs);
    uint32_t n = committee.members.count;
    struct poa_edge_final_head head = {final->header, committee.quorum, (uint8_t)n};
    bool ok = CONN_SEND(c, FINAL_HEAD, edge_final_head, &head);
    for (uint32_t i = 0; ok && i < n;) {
        struct poa_writer w = poa_writer_over(part, sizeof part);
        struct poa_edge_final_part m = {{{NULL, 0}, 0}};
        for (; i < n && m.witnesses.count < POA_EDGE_PART_WITNESSES; i++, m.witnesses.count++) {
            struct poa_edge_witness witness = {.sig = {NULL, 0}};
            memcpy(witness.member, committee.members.bytes.p + (size_t)i * POA_MEMBER_BYTES,
                   POA_MEMBER_BYTES);
            if (cert.signers[i / 8] >> i % 8 & 1 && poa_sig_next(&sigs, &sig))
                witness.sig = poa_slice(sig.sig, sizeof sig.sig);
            if (poa_edge_witness_encode(&w, &witness))
                return false;
        }
        m.witnesses.bytes = poa_written(&w);
        ok = CONN_SEND(c, FINAL_PART, edge_final_part, &m);
    }
    return ok;
}

static bool send_final(struct conn *c, const struct poa_edge_final *final)
{
    return tasks_in_parts(c, final->cert) ? send_parts(c, final)
                                          : CONN_SEND(c, FINAL, edge_final, final);
}

static bool send_committee(struct conn *c, struct poa_slice encoded)
{
    struct poa_committee committee;
    struct poa_edge_committee_id id;
    if (c->committee_max == POA_COMMITTEE_MAX)
        return conn_send_raw(c, POA_EDGE_COMMITTEE, encoded);
    if (poa_committee_decode(encoded, &committee))
        return false;
    if (committee.members.count <= c->committee_max)
        return conn_send_raw(c, POA_EDGE_COMMITTEE, encoded);
    id.epoch = committee.epoch;
    id.members = (uint8_t)committee.members.count;
    poa_committee_hash(&committee, id.hash);
    return CONN_SEND(c, COMMITTEE_ID, edge_committee_id, &id);
}

bool tasks_proof(struct conn *c, const struct poa_gateway_proof *block)
{
    size_t links = block->links.n / POA_HEADER_BYTES;
    struct poa_edge_final top = {links ? link_at(block->links, 0) : block->header, block->cert};
    bool ok = send_final(c, &top);
    for (size_t i = 1; ok && i <= links; i++) {
        struct poa_edge_link link = {i < links ? link_at(block->links, i) : block->header};
        ok = CONN_SEND(c, LINK, edge_link, &link);
    }
    return ok;
}

/* --- hand-over ------------------------------------------------------------------ */

/* The committee of the current epoch, with the proof when the device has the
 * one before. */
static bool hand_over_current(struct conn *c)
{
    struct poa_gateway *g = c->g;
    bool known = c->epoch != POA_EPOCH_NONE;
    if (known && !tasks_proof(c, &g->closing))
        return false;
    if (!send_committee(c, g->committee))
        return false;
    c->epoch = g->epoch.epoch;
    return true;
}

void tasks_handover(struct conn *c, uint32_t epoch)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    /* An answer that crossed with an announcement was given already. */
    if (c->epoch != POA_EPOCH_NONE && epoch != POA_EPOCH_NONE && epoch < c->epoch)
        return;
    c->epoch = epoch;
    if (epoch == g->epoch.epoch) {
        tasks_catch_up(c);
        return;
    }
    if (epoch == POA_EPOCH_NONE ||
        (epoch < g->epoch.epoch && epoch + 1 == g->epoch.epoch && g->closing.header.n)) {
        if (hand_over_current(c))
            tasks_catch_up(c);
        return;
    }
    if (epoch > g->epoch.epoch)
        return; /* this node is behind the device */

    uint8_t header_bytes[POA_HEADER_BYTES], cert_bytes[POA_CERT_BYTES_MAX];
    uint8_t links_bytes[POA_GATEWAY_LINKS_MAX * POA_HEADER_BYTES];
    uint8_t committee_bytes[POA_COMMITTEE_BYTES_MAX];
    struct poa_writer header = poa_writer_over(header_bytes, sizeof header_bytes);
    struct poa_writer links = poa_writer_over(links_bytes, sizeof links_bytes);
    struct poa_writer cert = poa_writer_over(cert_bytes, sizeof cert_bytes);
    struct poa_writer committee = poa_writer_over(committee_bytes, sizeof committee_bytes);
    int e = b->handover(b->ctx, epoch, &header, &links, &cert, &committee);
    if (e) {
        /* Pruned here; another gateway may have it. */
        conn_bye(c, POA_E_NOT_FOUND, 10 * GATEWAY_RETRY_MS);
        return;
    }
    struct poa_gateway_proof proof = {poa_written(&header), poa_written(&links),
                                      poa_written(&cert)};
    if (tasks_proof(c, &proof) && send_committee(c, poa_written(&committee)))
        c->epoch = epoch + 1;
    if (c->epoch == g->epoch.epoch)
        tasks_catch_up(c);
}

void tasks_epoch(struct poa_gateway *g, struct post *p)
{
    if (g->have_epoch && p->epoch.info.epoch < g->epoch.epoch) {
        free(p);
        return;
    }
    uint8_t *old = g->epoch_bytes;
    g->epoch = p->epoch.info;
    g->closing = p->epoch.closing;
    g->committee = p->epoch.committee;
    g->epoch_bytes = (uint8_t *)p; /* kept: the slices point into it */
    g->have_epoch = true;
    free(old);
    STAT_ADD(g, epochs, 1);
    g->tell_at = 0;
    g->tell_again = false;
    tasks_tell(g);
}

/* False: not now, its trunk has not read what it was sent. */
static bool tell(struct conn *c)
{
    struct poa_gateway *g = c->g;
    if (c->trunk && c->trunk->out && evbuffer_get_length(c->trunk->out) > GATEWAY_TRUNK_SLOW)
        return false;
    c->told = g->epoch.epoch;
    if ((serve_status(c) && !serve_welcome(c)) || !CONN_SEND(c, EPOCH, edge_epoch, &g->epoch))
        return true;
    /* Who follows gets the new committee unasked; who is further behind is
     * asking already. */
    if (c->epoch != POA_EPOCH_NONE && c->epoch + 1 == g->epoch.epoch && g->closing.header.n)
        (void)hand_over_current(c);
    return true;
}

void tasks_tell(struct poa_gateway *g)
{
    /* In parts: with very many devices seals must not wait for all of it. */
    uint32_t n = 0;
    for (; g->tell_at < g->high && n < GATEWAY_TELL; g->tell_at++) {
        struct conn *c = g->conn[g->tell_at];
        if (!c || c->state != CONN_GREETED || c->told == g->epoch.epoch)
            continue;
        n++;
        if (!tell(c))
            g->tell_again = true;
    }
    struct timeval soon = {0, GATEWAY_TELL_MS * 1000};
    if (g->tell_at >= g->high && g->tell_again) {
        g->tell_at = 0;
        g->tell_again = false;
        soon.tv_usec = GATEWAY_TICK_MS * 1000;
    }
    if (g->tell_at < g->high)
        event_add(&g->tell_ev, &soon);
}

/* --- tasks ------------------------------------------------------------------------- */

static bool send_task(struct conn *c, const struct task *t)
{
    struct poa_edge_task m = {t->slot, t->block.header, t->block.cert};
    if (t->block.links.n || tasks_in_parts(c, t->block.cert)) {
        if (!tasks_proof(c, &t->block))
            return false;
        m.cert = poa_slice(NULL, 0);
    }
    if (!CONN_SEND(c, TASK, edge_task, &m))
        return false;
    STAT_ADD(c->g, tasks, 1);
    return true;
}

void tasks_slot(struct poa_gateway *g, struct post *p)
{
    struct poa_header h;
    if (poa_header_decode(p->proof.header, &h) || p->proof.links.n % POA_HEADER_BYTES) {
        POA_LOG_ERROR("gateway", "slot %llu has no proper header", (unsigned long long)p->slot);
        free(p);
        return;
    }
    struct task *t = &g->task[g->task_next];
    g->task_next = (g->task_next + 1) % GATEWAY_TASKS;
    free(t->bytes);
    t->bytes = (uint8_t *)p; /* kept: the slices point into it */
    t->slot = p->slot;
    t->block = p->proof;
    t->seats = p->seats;
    t->seats_n = p->seats_n;
    t->epoch = h.epoch;
    if (p->slot > g->newest_slot)
        g->newest_slot = p->slot;
    for (size_t i = 0; i < t->seats_n; i++) {
        struct conn *c = conn_of_device(g, t->seats[i]);
        if (c && c->epoch == t->epoch)
            (void)send_task(c, t);
    }
}

void tasks_catch_up(struct conn *c)
{
    struct poa_gateway *g = c->g;
    for (size_t k = 0; k < GATEWAY_TASKS; k++) {
        const struct task *t = &g->task[(g->task_next + k) % GATEWAY_TASKS];
        if (!t->bytes || t->epoch != c->epoch ||
            t->slot + g->config.genesis->seal_slots <= g->newest_slot)
            continue;
        for (size_t i = 0; i < t->seats_n; i++) {
            if (memcmp(t->seats[i], c->key, 32))
                continue;
            if (!send_task(c, t))
                return;
            break;
        }
    }
}

void tasks_clear(struct poa_gateway *g)
{
    for (size_t i = 0; i < GATEWAY_TASKS; i++)
        free(g->task[i].bytes);
    memset(g->task, 0, sizeof g->task);
    free(g->epoch_bytes);
    g->epoch_bytes = NULL;
}
