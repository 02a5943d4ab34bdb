/* Between the files of src/device. */
#ifndef POA_DEVICE_INTERNAL_H
#define POA_DEVICE_INTERNAL_H

#include "poa_device.h"

/* assign.c */

/* The draw of (E, WINDOW), from the cache or by one VRF evaluation: index in
 * d->draw, or POA_E_PROOF. */
POA_MUST_USE int poa_device_draw(struct poa_device *d, const struct poa_edge_epoch *e,
                                 uint32_t window);
/* Seats of draw number I. */
size_t poa_device_draw_seats(const struct poa_device *d, const struct poa_edge_epoch *e, int i,
                             struct poa_seat seats[POA_DRAWS_MAX]);
/* Whether the lottery gave SLOT of epoch E to this device: POA_OK,
 * POA_E_SEAL_NOT_ASSIGNED. */
POA_MUST_USE int poa_device_assigned(struct poa_device *d, const struct poa_edge_epoch *e,
                                     uint64_t slot);

/* store.c */

POA_MUST_USE int poa_device_load(struct poa_device *d);
/* Takes T as the trust record and stores it; slices of T may borrow from
 * d->trust. On error the old record is still in force. */
POA_MUST_USE int poa_device_trust(struct poa_device *d, const struct poa_edge_trust *t);
/* The record in force, decoded. */
void poa_device_trusted(const struct poa_device *d, struct poa_edge_trust *t);
POA_MUST_USE int poa_device_mark(struct poa_device *d, uint64_t slot, uint64_t height,
                                 const uint8_t hash32[32]);

#endif
