/* Random operations of every family, many of which fail. */
#ifndef RANDOM_OPS_H
#define RANDOM_OPS_H

#include "../../unit/ledger/support.h"

/* Appends one of the value, governance or data operations to O. */
void random_value_op(struct ops *o, const struct chain *c, struct random *rnd, uint32_t user);
/* What transaction ID made, for later operations to name; O as it was signed. */
void random_note(const struct ops *o, const uint8_t id32[32]);
void random_forget(void); /* before another chain */
/* Of all operations that were made, how often each was executed. */
struct tally {
    uint64_t made[0x700], done[0x700];
};
void random_tally(struct tally *t, const struct poa_tx_view *tx, int code);

#endif
