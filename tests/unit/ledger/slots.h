/* What tests of slots, seals and convictions share: one chain, one body, and questions
 * about the chain's finalized state. Each test has a process of its own. */
#ifndef LEDGER_SLOTS_H
#define LEDGER_SLOTS_H

#include "support.h"

extern struct chain c;
extern struct body b;

void open_with(struct setup s);
struct poa_st_slot slot_of(uint64_t slot);
struct poa_st_seat seat_at(const struct poa_st_slot *s, uint32_t i);
uint32_t device_of_key(const uint8_t key[32]);
struct poa_st_device device_state(uint32_t d);
struct poa_st_global global_state(void);
/* What executing the body in a block TIME ms after genesis says; nothing stays. */
int refusal(uint64_t time);
struct poa_seal seal_for(uint32_t device, uint64_t slot);
int refused_seal(const struct poa_seal *s, uint64_t time);

#endif
