/* grade: how far a block is beyond the committee's word.
 *
 * Grade 1 is a finality certificate. Grade 2 adds seals of devices, drawn by
 * their own VRF and attested by their makers: see docs/assignment.md. Two ways
 * to know it, both pure:
 *
 *   poa_grade_of     what the state of a node says, and what is still missing
 *   poa_grade_begin  a client that trusts no node checks it by itself: headers,
 *   _next, _seal     seals, tickets, registrations. A committee that signs a
 *                    second chain can give it grade 1, not the devices' seals
 */
#ifndef POA_GRADE_H
#define POA_GRADE_H

#include "poa_ledger.h"

/* --- from the state --------------------------------------------------------------- */

struct poa_grade {
    uint8_t grade;                                    /* 1 or 2 */
    bool on;                                          /* the network has grade 2 */
    uint64_t first_slot, last_slot;                   /* whose seals count */
    uint32_t devices, makers, regions;                /* counted so far */
    uint32_t need_devices, need_makers, need_regions; /* what grade 2 takes */
    bool closed;                                      /* nothing can be added any more */
    bool expired; /* the slots are no longer in the state: the counts say nothing */
};

/* Reads the value of (TABLE, KEY) into OUT; NOT_FOUND. */
typedef int poa_grade_read(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                           struct poa_writer *out);
/* Of the final block of HEIGHT and TIME_MS. G: the parameters that hold.
 * Errors: READ's. */
POA_MUST_USE int poa_grade_of(const struct poa_genesis *g, poa_grade_read *read, void *ctx,
                              uint64_t height, uint64_t time_ms, struct poa_grade *out);

/* --- by oneself --------------------------------------------------------------------- */

/* What a client holds of an epoch: checked when it began, or before. All of it is
 * borrowed. */
struct poa_grade_view {
    const struct poa_suite *suite;
    const struct poa_genesis *genesis; /* parameters that hold */
    uint8_t chain[32];
    const struct poa_committee *committee;
    uint8_t seed[32]; /* R_e */
    uint32_t eligible;
    uint64_t first_slot;
    /* State root whose registry it believes: of a block that had grade 2, or of
     * genesis. A root that the committee alone vouches for would make the devices
     * its invention. */
    uint8_t registry[32];
};

struct poa_grade_client {
    const struct poa_grade_view *view;
    uint8_t hash[32]; /* of the last header */
    uint64_t height, slot, time_ms;
    uint64_t start; /* slot of the block in question */
    bool there;     /* a seal of that slot was counted: then the span starts there */
    uint32_t devices, makers, regions;
    uint8_t device[POA_SPAN_MAX][32];
    uint32_t maker[16];
    uint32_t region[16];
};

/* HEADER is the block in question, CERT its finality. Errors: poa_final_check. */
POA_MUST_USE int poa_grade_begin(struct poa_grade_client *c, const struct poa_grade_view *view,
                                 const struct poa_header *header, const struct poa_cert *cert);
/* The child of the last header. BLOCK_PARENT, EPOCH, BLOCK_INVALID. */
POA_MUST_USE int poa_grade_next(struct poa_grade_client *c, const struct poa_header *header);
/* A seal of the last header. TICKET: of its device for the slot's window; NULL in
 * the first window of the epoch, whose seats are public. DEVICE and PROOF: its
 * registry entry under the view's root.
 * Errors: SEAL_FORK (for another block than the last header), SEAL_LATE (slot
 * after the span), SIGNATURE, PROOF (registry or ticket), DEVICE_SUSPENDED,
 * DEVICE_TOO_NEW, TICKET_WINDOW, SEAL_NOT_ASSIGNED, SEAL_DEPENDENT, DUPLICATE
 * (counted already). Nothing is counted then. */
POA_MUST_USE int poa_grade_seal(struct poa_grade_client *c, const struct poa_seal *seal,
                                const struct poa_ticket *ticket, struct poa_slice device,
                                struct poa_slice proof);
/* 1 or 2. */
uint8_t poa_grade_reached(const struct poa_grade_client *c);

#endif
