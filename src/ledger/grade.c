/* Grade 2, from the state and from proofs: see poa_grade.h. */
#include "poa_grade.h"

#include <string.h>

#include "poa_assign.h"

/* Adds ID unless it is there; sixteen are as many as genesis can ask for. */
static void note(uint32_t *ids, uint32_t *n, uint32_t id)
{
    for (uint32_t i = 0; i < *n; i++)
        if (ids[i] == id)
            return;
    if (*n < 16)
        ids[(*n)++] = id;
}

/* --- from the state ------------------------------------------------------------------- */

#define VALUE_MAX 8192

struct reader {
    const struct poa_genesis *g;
    poa_grade_read *read;
    void *ctx;
    uint8_t seen[POA_SPAN_MAX][32];
    uint32_t maker[16], region[16];
    uint8_t slot_bytes[VALUE_MAX], other_bytes[VALUE_MAX], committee_bytes[VALUE_MAX];
    struct poa_committee committee;
    bool have_committee;
};

static int get(struct reader *r, enum poa_state_table table, const void *key, size_t key_n,
               uint8_t buffer[VALUE_MAX], const struct poa_record *record, void *out)
{
    struct poa_writer w = poa_writer_over(buffer, VALUE_MAX);
    int e = r->read(r->ctx, table, key, key_n, &w);
    if (!e && w.overflow)
        e = POA_E_BUFFER;
    return e ? e : poa_record_decode(record, poa_written(&w), out);
}

static int get_slot(struct reader *r, uint64_t slot, struct poa_st_slot *out)
{
    uint8_t key[8];
    poa_put_le64(key, slot);
    return get(r, POA_STATE_SLOT, key, sizeof key, r->slot_bytes, &poa_st_slot_record, out);
}

static int get_committee(struct reader *r, uint32_t epoch)
{
    uint8_t key[4];
    if (r->have_committee && r->committee.epoch == epoch)
        return POA_OK;
    poa_put_le32(key, epoch);
    r->have_committee = false;
    int e = get(r, POA_STATE_COMMITTEE, key, sizeof key, r->committee_bytes, &poa_committee_record,
                &r->committee);
    r->have_committee = !e;
    return e;
}

static int count_device(struct reader *r, const uint8_t device[32], struct poa_grade *out)
{
    struct poa_st_device d;
    for (uint32_t i = 0; i < out->devices; i++)
        if (!memcmp(r->seen[i], device, 32))
            return POA_OK;
    int e = get(r, POA_STATE_DEVICE, device, 32, r->other_bytes, &poa_st_device_record, &d);
    if (e || out->devices == POA_SPAN_MAX ||
        !poa_committee_independent(&r->committee, device, d.maker))
        return e;
    memcpy(r->seen[out->devices++], device, 32);
    note(r->maker, &out->makers, d.maker);
    note(r->region, &out->regions, d.region);
    return POA_OK;
}

static int count_slot(struct reader *r, uint64_t slot, struct poa_grade *out)
{
    struct poa_st_slot s;
    struct poa_seat_list list;
    int e = get_slot(r, slot, &s);
    if (e || !s.height)
        return e == POA_E_NOT_FOUND ? POA_OK : e; /* it passed without a block */
    e = get_committee(r, s.epoch);
    if (e)
        return e == POA_E_NOT_FOUND ? POA_OK : e;
    poa_seats_unpack(&s, &list);
    for (uint32_t i = 0; i < list.n && !e; i++)
        if (list.seat[i].sealed)
            e = count_device(r, list.seat[i].device, out);
    return e;
}

int poa_grade_of(const struct poa_genesis *g, poa_grade_read *read, void *ctx, uint64_t height,
                 uint64_t time_ms, struct poa_grade *out)
{
    struct reader r = {.g = g, .read = read, .ctx = ctx};
    struct poa_st_global global;
    struct poa_st_slot s;
    uint64_t slot = poa_slot_of(g, time_ms);
    *out = (struct poa_grade){.grade = 1, .on = g->grade2_seals != 0};
    if (!out->on)
        return POA_OK;
    out->need_devices = g->grade2_seals;
    out->need_makers = g->grade2_makers;
    out->need_regions = g->grade2_regions;
    int e = get(&r, POA_STATE_GLOBAL, "", 0, r.other_bytes, &poa_st_global_record, &global);
    if (!e)
        e = get_slot(&r, slot, &s);
    if (e == POA_E_NOT_FOUND || (!e && global.oldest != UINT64_MAX && slot < global.oldest)) {
        out->expired = true;
        return POA_OK;
    }
    if (e)
        return e;
    out->first_slot = slot + (s.height != height);
    out->last_slot = out->first_slot + g->grade2_span - 1;
    out->closed = global.slot != UINT64_MAX && global.slot > out->last_slot + g->seal_slots;
    for (uint64_t i = out->first_slot; !e && i <= out->last_slot && i <= global.slot; i++)
        e = count_slot(&r, i, out);
    if (!e && out->devices >= out->need_devices && out->makers >= out->need_makers &&
        out->regions >= out->need_regions)
        out->grade = 2;
    return e;
}

/* --- by oneself ------------------------------------------------------------------------- */

static void step_to(struct poa_grade_client *c, const struct poa_header *h)
{
    poa_header_hash(h, c->hash);
    c->height = h->height;
    c->time_ms = h->time_ms;
    c->slot = poa_slot_of(c->view->genesis, h->time_ms);
}

int poa_grade_begin(struct poa_grade_client *c, const struct poa_grade_view *view,
                    const struct poa_header *header, const struct poa_cert *cert)
{
    memset(c, 0, sizeof *c);
    c->view = view;
    int e = poa_final_check(view->suite, view->chain, view->committee, header, cert);
    if (e)
        return e;
    step_to(c, header);
    c->start = c->slot;
    return POA_OK;
}

int poa_grade_next(struct poa_grade_client *c, const struct poa_header *header)
{
    if (memcmp(header->parent, c->hash, 32) || header->height != c->height + 1)
        return POA_E_BLOCK_PARENT;
    if (header->epoch != c->view->committee->epoch)
        return POA_E_EPOCH; /* its seed is not in this view */
    if (header->kind == POA_BLOCK_FILLER || header->time_ms <= c->time_ms ||
        memcmp(header->chain, c->view->chain, 32))
        return POA_E_BLOCK_INVALID;
    step_to(c, header);
    return POA_OK;
}

/* A seat of a ticket in the window of SLOT. */
static int check_ticket(const struct poa_grade_view *v, const struct poa_seal *seal,
                        const struct poa_ticket *t, uint64_t window, uint64_t rest)
{
    struct poa_lottery lottery = {v->eligible, v->genesis->seats_per_slot,
                                  v->genesis->window_slots};
    struct poa_seat seats[POA_DRAWS_MAX];
    uint8_t beta[64];
    if (!t || t->epoch != seal->epoch || t->window != window || memcmp(t->device, seal->device, 32))
        return POA_E_TICKET_WINDOW;
    int e = poa_ticket_check(v->suite, v->chain, v->seed, t, beta);
    if (e)
        return e;
    for (size_t n = poa_ticket_seats(&lottery, beta, seats); n-- > 0;)
        if (seats[n].slot == rest)
            return POA_OK;
    return POA_E_SEAL_NOT_ASSIGNED;
}

/* The public draw of the first window, as if nobody was suspended: who is would
 * make room for others, so that this refuses some and accepts nobody else. */
static int check_public(const struct poa_grade_view *v, uint64_t slot, uint32_t index)
{
    uint32_t seen[POA_DRAWS_MAX], n = 0;
    for (uint32_t j = 0; j < POA_DRAWS_MAX && n < v->genesis->seats_per_slot; j++) {
        uint32_t drawn, k = 0;
        uint64_t rank;
        poa_random_seat(v->chain, v->seed, slot, j, v->eligible, &drawn, &rank);
        if (drawn == index)
            return POA_OK;
        while (k < n && seen[k] != drawn)
            k++;
        if (k == n)
            seen[n++] = drawn;
    }
    return POA_E_SEAL_NOT_ASSIGNED;
}

static int check_seal(const struct poa_grade_client *c, const struct poa_seal *seal,
                      const struct poa_ticket *ticket, const struct poa_st_device *d)
{
    const struct poa_grade_view *v = c->view;
    if (d->status)
        return POA_E_DEVICE_SUSPENDED;
    if (d->index >= v->eligible)
        return POA_E_DEVICE_TOO_NEW;
    if (!poa_committee_independent(v->committee, seal->device, d->maker))
        return POA_E_SEAL_DEPENDENT;
    int e = poa_seal_check(v->suite, v->chain, seal);
    if (e || seal->slot < v->first_slot)
        return e ? e : POA_E_EPOCH;
    uint64_t window = (seal->slot - v->first_slot) / v->genesis->window_slots;
    uint64_t rest = (seal->slot - v->first_slot) % v->genesis->window_slots;
    return window ? check_ticket(v, seal, ticket, window, rest)
                  : check_public(v, seal->slot, d->index);
}

int poa_grade_seal(struct poa_grade_client *c, const struct poa_seal *seal,
                   const struct poa_ticket *ticket, struct poa_slice device, struct poa_slice proof)
{
    const struct poa_genesis *g = c->view->genesis;
    struct poa_st_device d;
    if (seal->height != c->height || memcmp(seal->hash, c->hash, 32) || seal->slot != c->slot ||
        seal->epoch != c->view->committee->epoch)
        return POA_E_SEAL_FORK;
    uint64_t from = c->start + (c->slot != c->start && !c->there);
    if (c->slot - from >= g->grade2_span)
        return POA_E_SEAL_LATE;
    for (uint32_t i = 0; i < c->devices; i++)
        if (!memcmp(c->device[i], seal->device, 32))
            return POA_E_DUPLICATE;
    int e = poa_proof_check(c->view->registry, POA_STATE_DEVICE, seal->device, 32, device, proof);
    if (!e)
        e = poa_st_device_decode(device, &d);
    if (!e)
        e = check_seal(c, seal, ticket, &d);
    if (e || c->devices == POA_SPAN_MAX)
        return e;
    memcpy(c->device[c->devices++], seal->device, 32);
    note(c->maker, &c->makers, d.maker);
    note(c->region, &c->regions, d.region);
    c->there |= c->slot == c->start;
    return POA_OK;
}

uint8_t poa_grade_reached(const struct poa_grade_client *c)
{
    const struct poa_genesis *g = c->view->genesis;
    return g->grade2_seals && c->devices >= g->grade2_seals && c->makers >= g->grade2_makers &&
                   c->regions >= g->grade2_regions
               ? 2
               : 1;
}
