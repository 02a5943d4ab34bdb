/* Grade 2 with real keys, certificates, VRFs and proofs: a committee that signs a
 * second chain gets a client to grade 1 there and no further. */
#include "poa_grade.h"

#include "slots.h"

#define FLEET 12
#define SPAN  16

static struct poa_grade_view view;
static struct poa_committee committee;

/* Registry entries as of genesis, and their proofs. */
static struct {
    uint8_t value[512], proof[2048];
    struct poa_writer v, p;
} entry[FLEET];
static struct poa_ticket ticket[FLEET];

/* The honest chain from the block in question on, and who sealed it. */
static struct poa_header header[64];
static struct poa_seal seals[64][POA_SLOT_SEATS_MAX];
static uint32_t headers, seal_n[64];

static void open_net(bool with_devices)
{
    struct setup s = setup_default();
    s.suite = &poa_suite_ed25519;
    s.devices = FLEET;
    s.g.grade2_seals = 5;
    s.g.grade2_span = SPAN;
    s.g.grade2_makers = 2;
    s.g.grade2_regions = 3;
    s.g.hold_slots = 40;
    chain_open(&c, &s);
    body_reset(&b);
    struct poa_st_epoch epoch;
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, &epoch, &committee, NULL), POA_OK);
    view = (struct poa_grade_view){.suite = &poa_suite_ed25519,
                                   .genesis = poa_ledger_genesis(c.l),
                                   .committee = &committee,
                                   .eligible = epoch.eligible,
                                   .first_slot = epoch.first_slot};
    memcpy(view.chain, c.id, 32);
    memcpy(view.seed, epoch.seed, 32);
    root_of(&c, POA_STATE_BASE, view.registry);
    for (uint32_t d = 0; d < FLEET; d++) {
        struct poa_slice value;
        entry[d].v = poa_writer_over(entry[d].value, sizeof entry[d].value);
        entry[d].p = poa_writer_over(entry[d].proof, sizeof entry[d].proof);
        cr_assert_eq(
            poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_DEVICE, c.device[d].pk, 32, &value),
            POA_OK);
        poa_write(&entry[d].v, value.p, value.n);
        cr_assert_eq(poa_ledger_prove(c.l, POA_STATE_DEVICE, c.device[d].pk, 32, &entry[d].p),
                     POA_OK);
        ticket[d] = ticket_make(&c, d, 0, 1);
        if (with_devices &&
            !poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 100, &ticket[d]))
            body_ticket(&b, &ticket[d]);
    }
    block_add(&c, &b, 100);
    body_reset(&b);
    block_add(&c, NULL, 15900);
}

/* Slots 16..: a block each, whose devices seal it; the block in question is the
 * first one. */
static void run(uint32_t slots, bool with_devices)
{
    headers = 0;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t slot = 16 + i;
        block_add(&c, b.seal_n ? &b : NULL, slot * 1000 + 100);
        body_reset(&b);
        header[headers] = c.header;
        seal_n[headers] = 0;
        struct poa_st_slot s = slot_of(slot);
        struct poa_list_iter it = poa_list_begin(&s.seats);
        struct poa_st_seat seat;
        while (with_devices && poa_st_seat_next(&it, &seat)) {
            struct poa_seal x =
                seal_make(&c, device_of_key(seat.device), slot, s.height, 0, s.hash);
            seals[headers][seal_n[headers]++] = x;
            body_seal(&b, &x);
        }
        headers++;
    }
    block_add(&c, b.seal_n ? &b : NULL, (16 + slots) * 1000 + 100);
    body_reset(&b);
}

/* The certificate of the first Q witnesses of the committee. */
static struct poa_cert certify(const struct poa_header *h, uint32_t q)
{
    static uint8_t sigs[WITNESSES * 64];
    struct poa_cert cert = {.kind = POA_VOTE_FINALIZE, .epoch = h->epoch, .view = h->view};
    uint8_t digest[32], key[32];
    poa_header_hash(h, cert.hash);
    poa_vote_digest(c.id, cert.kind, cert.epoch, cert.view, cert.hash, digest);
    for (uint32_t i = 0; i < q; i++) {
        uint32_t w = 0;
        cr_assert_eq(poa_committee_key(&committee, i, key), POA_OK);
        while (memcmp(c.witness[w].pk, key, 32))
            w++;
        poa_suite_ed25519.sign(c.witness[w].seed, key, digest, 32, sigs + 64 * (size_t)i);
        cert.signers[i / 8] |= (uint8_t)(1 << i % 8);
    }
    cert.sigs = (struct poa_list){poa_slice(sigs, 64 * (size_t)q), q};
    return cert;
}

static int show(struct poa_grade_client *g, const struct poa_seal *s)
{
    uint32_t d = device_of_key(s->device);
    return poa_grade_seal(g, s, &ticket[d], poa_written(&entry[d].v), poa_written(&entry[d].p));
}

static int read_base(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                     struct poa_writer *out)
{
    struct poa_slice value;
    (void)ctx;
    int e = poa_ledger_get(c.l, POA_STATE_BASE, table, key, key_n, &value);
    if (!e)
        poa_write(out, value.p, value.n);
    return e;
}

static struct poa_grade grade_of(const struct poa_header *h)
{
    struct poa_grade g;
    cr_assert_eq(poa_grade_of(view.genesis, read_base, NULL, h->height, h->time_ms, &g), POA_OK);
    return g;
}

Test(grade, an_honest_chain_reaches_it)
{
    struct poa_grade_client g;
    open_net(true);
    run(SPAN, true);
    struct poa_cert cert = certify(&header[0], 3);
    cr_assert_eq(poa_grade_begin(&g, &view, &header[0], &cert), POA_OK);
    cr_assert_eq(poa_grade_reached(&g), 1);
    uint32_t at = 0, again = 0;
    for (uint32_t i = 0; i < headers; i++) {
        if (i)
            cr_assert_eq(poa_grade_next(&g, &header[i]), POA_OK);
        for (uint32_t k = 0; k < seal_n[i]; k++) {
            int e = show(&g, &seals[i][k]);
            cr_assert(e == POA_OK || e == POA_E_DUPLICATE, "%s", poa_error_name(e));
            again += e == POA_E_DUPLICATE;
        }
        if (!at && poa_grade_reached(&g) == 2)
            at = i + 1;
    }
    cr_assert_gt(at, 0);
    cr_assert_gt(again, 0); /* the same device, twice in the span */
    /* The state says the same, from the same seals. */
    struct poa_grade s = grade_of(&header[0]);
    cr_assert_eq(s.grade, 2);
    cr_assert_eq(s.devices, g.devices);
    cr_assert_eq(s.makers, g.makers);
    cr_assert_eq(s.regions, g.regions);
    cr_assert_eq(s.first_slot, 16);
    cr_assert_eq(s.last_slot, 31);
    /* The last block has nothing but its own slot's seals. */
    s = grade_of(&header[headers - 1]);
    cr_assert_eq(s.grade, 1);
    cr_assert_eq(s.devices, seal_n[headers - 1]);
    cr_assert_not(s.closed);
    chain_close(&c);
}

/* The committee's quorum is corrupt and signs another chain from the block in
 * question on, with two devices of twelve in its pay. */
Test(grade, a_second_chain_of_the_quorum_is_refused)
{
    struct poa_grade_client g;
    struct poa_header fork[SPAN];
    open_net(true);
    run(SPAN, true);
    for (uint32_t i = 0; i < SPAN; i++) {
        fork[i] = header[i];
        memset(fork[i].body, 0xee, 32); /* other transactions */
        if (i)
            poa_header_hash(&fork[i - 1], fork[i].parent);
    }
    struct poa_cert cert = certify(&fork[0], 2);
    cr_assert_eq(poa_grade_begin(&g, &view, &fork[0], &cert), POA_E_QUORUM);
    cert = certify(&fork[0], 3);
    cr_assert_eq(poa_grade_begin(&g, &view, &fork[0], &cert), POA_OK, "grade 1: q signatures");

    uint32_t bought = 0, honest = 0;
    for (uint32_t i = 0; i < SPAN; i++) {
        if (i)
            cr_assert_eq(poa_grade_next(&g, &fork[i]), POA_OK);
        uint8_t hash[32];
        poa_header_hash(&fork[i], hash);
        for (uint32_t k = 0; k < seal_n[i]; k++, honest++) {
            const struct poa_seal *s = &seals[i][k];
            uint32_t d = device_of_key(s->device);
            cr_assert_eq(show(&g, s), POA_E_SEAL_FORK); /* the honest ones, replayed */
            struct poa_seal x = *s;                     /* and with the other hash */
            memcpy(x.hash, hash, 32);
            int e = show(&g, &x);
            cr_assert(e == POA_E_SIGNATURE || (d < 2 && e == POA_E_DUPLICATE), "%s",
                      poa_error_name(e));
        }
        for (uint32_t d = 0; d < 2; d++) { /* the bought ones seal whatever they are shown */
            struct poa_seal x = seal_make(&c, d, 16 + i, fork[i].height, 0, hash);
            int e = show(&g, &x);
            cr_assert(e == POA_OK || e == POA_E_DUPLICATE || e == POA_E_SEAL_NOT_ASSIGNED, "%s",
                      poa_error_name(e));
            bought += e == POA_OK;
            /* not with the ticket of another, */
            int other = poa_grade_seal(&g, &x, &ticket[5], poa_written(&entry[d].v),
                                       poa_written(&entry[d].p));
            cr_assert_eq(other,
                         e == POA_E_SEAL_NOT_ASSIGNED ? POA_E_TICKET_WINDOW : POA_E_DUPLICATE);
        }
        /* nor with devices that nobody attested: the registry does not have them. */
        struct poa_seal made_up = seal_make(&c, FLEET + 1, 16 + i, fork[i].height, 0, hash);
        cr_assert_eq(poa_grade_seal(&g, &made_up, &ticket[0], poa_written(&entry[0].v),
                                    poa_written(&entry[0].p)),
                     POA_E_PROOF);
    }
    cr_assert_gt(honest, 20);
    cr_assert_leq(bought, 2);
    cr_assert_eq(g.devices, bought);
    cr_assert_eq(poa_grade_reached(&g), 1);
    chain_close(&c);
}

Test(grade, seals_are_judged_one_by_one)
{
    struct poa_grade_client g;
    open_net(true);
    run(SPAN, true);
    struct poa_cert cert = certify(&header[0], 3);
    cr_assert_eq(poa_grade_begin(&g, &view, &header[0], &cert), POA_OK);
    struct poa_header alien = header[1];
    alien.parent[0] ^= 1;
    cr_assert_eq(poa_grade_next(&g, &alien), POA_E_BLOCK_PARENT);
    cr_assert_eq(poa_grade_next(&g, &header[2]), POA_E_BLOCK_PARENT);
    alien = header[1];
    alien.epoch = 1;
    cr_assert_eq(poa_grade_next(&g, &alien), POA_E_EPOCH);
    alien = header[1];
    alien.time_ms = header[0].time_ms;
    cr_assert_eq(poa_grade_next(&g, &alien), POA_E_BLOCK_INVALID);
    uint32_t i = 0;
    while (!seal_n[i]) {
        i++;
        cr_assert_eq(poa_grade_next(&g, &header[i]), POA_OK);
    }
    struct poa_seal s = seals[i][0], x;
    uint32_t d = device_of_key(s.device);
    struct poa_slice value = poa_written(&entry[d].v), proof = poa_written(&entry[d].p);
    struct poa_ticket t = ticket[d];
    cr_assert_eq(poa_grade_seal(&g, &s, NULL, value, proof), POA_E_TICKET_WINDOW);
    t.window = 2;
    cr_assert_eq(poa_grade_seal(&g, &s, &t, value, proof), POA_E_TICKET_WINDOW);
    t.window = 1;
    t.proof[5] ^= 1;
    cr_assert_eq(poa_grade_seal(&g, &s, &t, value, proof), POA_E_PROOF);
    x = s;
    x.sig[9] ^= 1;
    cr_assert_eq(show(&g, &x), POA_E_SIGNATURE);
    x = s;
    x.slot++;
    cr_assert_eq(show(&g, &x), POA_E_SEAL_FORK);
    uint32_t other = (d + 1) % FLEET;
    cr_assert_eq(poa_grade_seal(&g, &s, &ticket[d], poa_written(&entry[other].v), proof),
                 POA_E_PROOF);
    uint8_t root = view.registry[0];
    view.registry[0] ^= 1;
    cr_assert_eq(show(&g, &s), POA_E_PROOF);
    view.registry[0] = root;
    view.eligible = 1; /* all but device 0 came too late */
    cr_assert_eq(show(&g, &s), d ? POA_E_DEVICE_TOO_NEW : POA_OK);
    view.eligible = FLEET;
    if (d)
        cr_assert_eq(show(&g, &s), POA_OK);
    cr_assert_eq(show(&g, &s), POA_E_DUPLICATE);
    /* A committee in which nobody but the device's maker is left to witness. */
    struct poa_committee narrow = committee;
    narrow.quorum = 4;
    view.committee = &narrow;
    g.devices = 0;
    cr_assert_eq(show(&g, &s), POA_E_SEAL_DEPENDENT);
    view.committee = &committee;
    g.start = 0; /* the block in question is much older */
    cr_assert_eq(show(&g, &s), POA_E_SEAL_LATE);
    chain_close(&c);
}

Test(grade, without_devices_nothing_reaches_it)
{
    struct poa_grade_client g;
    open_net(false);
    run(40, false);
    struct poa_cert cert = certify(&header[0], 4);
    cr_assert_eq(poa_grade_begin(&g, &view, &header[0], &cert), POA_OK);
    for (uint32_t i = 1; i < headers; i++) {
        cr_assert_eq(poa_grade_next(&g, &header[i]), POA_OK);
        cr_assert_eq(poa_grade_reached(&g), 1);
    }
    struct poa_grade s = grade_of(&header[0]);
    cr_assert_eq(s.grade, 1);
    cr_assert(s.on && s.closed && !s.devices && !s.expired);
    cr_assert_eq(s.need_devices, 5);
    chain_close(&c);
}

Test(grade, a_network_without_it_says_so)
{
    struct setup s = setup_default();
    chain_open(&c, &s);
    view.genesis = poa_ledger_genesis(c.l);
    block_add(&c, NULL, 100);
    struct poa_grade g = grade_of(&c.header);
    cr_assert(!g.on && g.grade == 1);
    chain_close(&c);
}
