/* Between the files of src/device. */
#ifndef POA_DEVICE_INTERNAL_H
#define POA_DEVICE_INTERNAL_H

#include "poa_device.h"

/* device.c */

struct poa_device_event poa_device_event_of(enum poa_device_event_kind kind, int code);
void poa_device_tell(const struct poa_device *d, const struct poa_device_event *e);
/* The gateway showed that it is broken or hostile: tell, and end with CODE. */
POA_MUST_USE int poa_device_alarm(const struct poa_device *d, int code, struct poa_slice header);
/* Appends a message to the send buffer. */
POA_MUST_USE int poa_device_put(struct poa_device *d, uint8_t type, const struct poa_record *rec,
                                const void *r);
#define PUT(d, NAME, rec, r) poa_device_put(d, POA_EDGE_##NAME, &poa_##rec##_record, r)
/* Best known time now, and the slot of a time. */
uint64_t poa_device_wall(const struct poa_device *d);
uint64_t poa_device_slot(const struct poa_device *d, uint64_t ms);
void poa_device_set_clock(struct poa_device *d, uint64_t gateway_ms);

/* receive.c: one message of the gateway. */

POA_MUST_USE int poa_device_receive(struct poa_device *d, uint8_t type, struct poa_slice in);

/* trust.c: certificates, links, the committee. Handlers of messages take the
 * decoded record. */

POA_MUST_USE int poa_device_on_final(struct poa_device *d, const void *edge_final);
POA_MUST_USE int poa_device_on_final_head(struct poa_device *d, const void *edge_final_head);
POA_MUST_USE int poa_device_on_final_part(struct poa_device *d, const void *edge_final_part);
POA_MUST_USE int poa_device_on_link(struct poa_device *d, const void *edge_link);
POA_MUST_USE int poa_device_on_committee(struct poa_device *d, struct poa_slice bytes);
POA_MUST_USE int poa_device_on_committee_id(struct poa_device *d, const void *edge_committee_id);
POA_MUST_USE int poa_device_on_epoch(struct poa_device *d, const void *edge_epoch);
/* HEADER is final by CERT: its facts go to d->fin, d->proven is set and it is
 * the top. After an alarm, or an error that ends the connection, it says so;
 * POA_E_EPOCH: certified by a committee that we do not have. */
POA_MUST_USE int poa_device_prove(struct poa_device *d, struct poa_slice header,
                                  struct poa_slice cert, bool filler_ok);
/* Wants the hand-over when the gateway is ahead of our committee. */
void poa_device_plan_handover(struct poa_device *d);
/* Asks for it when that is due and possible. */
void poa_device_ask_handover(struct poa_device *d);

/* mine.c: tickets, tasks, seals. */

/* Draws and sends the ticket for the next window when it is time; returns the
 * wall time of the next thing to do, UINT64_MAX: nothing to wait for. */
uint64_t poa_device_run_tickets(struct poa_device *d);
/* The ticket goes out again: its result never came, or said "later". */
void poa_device_reopen_ticket(struct poa_device *d);
/* Seals that were not sent on this connection yet. */
void poa_device_send_seals(struct poa_device *d);
POA_MUST_USE int poa_device_on_task(struct poa_device *d, const void *edge_task);
POA_MUST_USE int poa_device_on_ticket_result(struct poa_device *d, const void *edge_ticket_result);
POA_MUST_USE int poa_device_on_seal_result(struct poa_device *d, const void *edge_seal_result);

/* assign.c */

/* The epoch whose number is EPOCH, as announced or stored, or NULL. */
const struct poa_edge_epoch *poa_device_epoch(const struct poa_device *d, uint32_t epoch);
/* The draw of (E, WINDOW), from the cache or by one VRF evaluation: index in
 * d->draw, or POA_E_PROOF. */
POA_MUST_USE int poa_device_draw(struct poa_device *d, const struct poa_edge_epoch *e,
                                 uint32_t window);
/* How many seats draw number I won. */
uint32_t poa_device_draw_seats(const struct poa_device *d, const struct poa_edge_epoch *e, int i);
/* Evaluates the VRF for SLOT when a task for it may be sealed and the draw is not
 * in the cache. Not part of poa_device_assigned, so that the deepest stack of the
 * crypto library does not lie on top of that of a message. */
void poa_device_prepare(struct poa_device *d, uint64_t slot);
/* Whether the lottery gave SLOT of epoch E to this device: POA_OK,
 * POA_E_SEAL_NOT_ASSIGNED. Call poa_device_prepare before. */
POA_MUST_USE int poa_device_assigned(const struct poa_device *d, const struct poa_edge_epoch *e,
                                     uint64_t slot);

/* store.c */

POA_MUST_USE int poa_device_load(struct poa_device *d);
/* Takes T as the trust record and stores it; T's committee may borrow from the
 * receive buffer, which is overwritten, or from d->trust. On error the old
 * record is still in force. */
POA_MUST_USE int poa_device_trust(struct poa_device *d, const struct poa_edge_trust *t);
/* The record in force, decoded. */
void poa_device_trusted(const struct poa_device *d, struct poa_edge_trust *t);
POA_MUST_USE int poa_device_mark(struct poa_device *d, uint64_t slot, uint64_t height,
                                 const uint8_t hash32[32]);

#endif
