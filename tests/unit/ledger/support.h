/* A small chain to test on: genesis with known keys, blocks built and executed
 * one by one. Signatures are keyed hashes unless a test asks for real ones. */
#ifndef LEDGER_SUPPORT_H
#define LEDGER_SUPPORT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "poa_ledger.h"

extern const struct poa_suite fake_suite; /* hashes instead of signatures */

/* calloc that counts what is out, and can be told to fail. */
struct counting {
    size_t live, calls, fail_at; /* fail_at: number of the call that fails, 0 = none */
};
struct poa_alloc counting_alloc(struct counting *c);
extern unsigned txs_checked; /* by a ledger, where it looks into batches itself */

#define USERS     6
#define DEVICES   64 /* keys; genesis has the first few */
#define MAKERS    3
#define WITNESSES 8

struct key {
    uint8_t seed[32], pk[32];
};

struct setup { /* what a test may change before chain_open */
    const struct poa_suite *suite;
    uint8_t policy;
    uint32_t witnesses, devices;
    struct poa_genesis g; /* parameters; the lists are made */
};
struct setup setup_default(void);

struct chain {
    struct counting memory;
    struct poa_ledger *l;
    struct setup s;
    const struct poa_suite *suite;
    uint8_t genesis[65536], id[32];
    size_t genesis_n;
    struct key user[USERS], device[DEVICES], maker[MAKERS], witness[WITNESSES];
    uint8_t address[USERS][32]; /* user 0 is the steering committee, 5 the treasury */
    uint64_t view;
    bool fresh;       /* the next block begins an epoch: no filler after the closing block */
    uint64_t time_ms; /* of the last block */
    struct poa_header header; /* of the last block */
    uint8_t hash[32];
};

void chain_open(struct chain *c, const struct setup *s);
void chain_close(struct chain *c);
/* Encodes the genesis of S with C's keys into C->genesis. */
void genesis_make(struct chain *c, const struct setup *s);

/* Operations, into a list that transactions take. */
struct ops {
    uint8_t bytes[65536];
    size_t n;
    uint32_t count;
};
void op_transfer(struct ops *o, const uint8_t to[32], uint64_t amount);
void op_raw(struct ops *o, uint16_t kind, const struct poa_record *record, const void *value);
void op_anchor(struct ops *o, uint8_t mark);
/* Registration of device D, attested by maker M (real signatures). */
struct poa_op_device device_of(const struct chain *c, uint32_t d, uint32_t m);
void op_device(struct ops *o, const struct poa_op_device *d);

#define BODY_TXS 2048
struct body { /* what the next block carries */
    uint8_t bytes[1 << 20];
    size_t used;
    struct poa_tx_view view[BODY_TXS];
    const struct poa_tx_view *tx[BODY_TXS];
    struct poa_tx_result result[BODY_TXS];
    uint32_t txs;
    uint8_t tickets[512 * 120], seals[512 * 148], evidence[4096];
    uint32_t ticket_n, seal_n, evidence_n;
    size_t evidence_bytes;
};
/* Signed transaction of USER with NONCE; checked unless CHECK is false. */
void body_tx(struct body *b, const struct chain *c, uint32_t user, uint64_t nonce, uint64_t fee,
             const struct ops *o);
void body_seal(struct body *b, const struct poa_seal *s);
void body_ticket(struct body *b, const struct poa_ticket *t);
void body_reset(struct body *b);

struct poa_seal seal_make(const struct chain *c, uint32_t device, uint64_t slot, uint64_t height,
                          uint32_t epoch, const uint8_t hash[32]);
struct poa_ticket ticket_make(const struct chain *c, uint32_t device, uint32_t epoch,
                              uint32_t window);

/* A valid header on state S for BODY (NULL: empty), TIME ms after genesis. */
struct poa_header header_next(const struct chain *c, poa_state_id s, const struct body *b,
                              uint64_t time, struct poa_slice *body);
/* Executes it; the new state in *OUT. */
int block_try(struct chain *c, poa_state_id s, const struct poa_header *h, struct poa_slice body,
              const struct body *b, poa_state_id *out, struct poa_block_result *r);
/* Builds, executes on the base and applies a block; asserts success. */
struct poa_block_result block_add(struct chain *c, struct body *b, uint64_t time);

/* A block with one transaction of USER with O, TIME ms after the last one; its code.
 * Asserts that the home server says what the chain says, that a refusal leaves no
 * trace and that the supply is conserved. The id in ID32, which may be NULL. */
int chain_run(struct chain *c, uint32_t user, uint64_t fee, const struct ops *o, uint64_t time,
              uint8_t id32[32]);
uint64_t chain_nonce(const struct chain *c, uint32_t user);
uint64_t asset_of(const struct chain *c, uint32_t asset, const uint8_t address[32]);
uint64_t balance_of(const struct chain *c, const uint8_t address[32]);
void root_of(const struct chain *c, poa_state_id s, uint8_t out[32]);
bool audit(const struct chain *c);

/* xorshift: the same everywhere, from a printed seed. */
struct random {
    uint64_t s;
};
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t n);

#endif
