/* A poad whose gateway misbehaves: the product's program, where node and gateway
 * meet through here (ld --wrap). POA_CHAOS_FILE says what it does (mode.h):
 *
 *   drop    no task reaches a device, nothing of a device reaches the node; every
 *           submission looks accepted
 *   double  everything is said twice, in both directions
 *
 * Anything else: honest. */
#include "mode.h"
#include "poa_gateway.h"

static struct poa_gateway_backend node;

int __real_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why);
int __wrap_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why);
void __real_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e);
void __wrap_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e);
void __real_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n);
void __wrap_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n);
void __real_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code);
void __wrap_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code);

/* --- from devices to the node --- */

static int submit_ticket(void *ctx, uint64_t token, const struct poa_ticket *ticket)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_ticket(ctx, token, ticket))
        return POA_E_AGAIN;
    return node.submit_ticket(ctx, token, ticket);
}

static int submit_seal(void *ctx, uint64_t token, const struct poa_seal *seal)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_seal(ctx, token, seal))
        return POA_E_AGAIN;
    return node.submit_seal(ctx, token, seal);
}

static int submit_tx(void *ctx, uint64_t token, struct poa_slice tx)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_tx(ctx, token, tx))
        return POA_E_AGAIN;
    return node.submit_tx(ctx, token, tx);
}

int __wrap_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why)
{
    struct poa_gateway_config c = *config;
    node = c.backend;
    c.backend.submit_ticket = submit_ticket;
    c.backend.submit_seal = submit_seal;
    c.backend.submit_tx = submit_tx;
    return __real_poa_gateway_new(&c, out, why);
}

/* --- from the node to devices --- */

void __wrap_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e)
{
    /* Not dropped: it would keep devices out when the fault is long over. */
    __real_poa_gateway_epoch(g, e);
    if (chaos_is("double"))
        __real_poa_gateway_epoch(g, e);
}

void __wrap_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n)
{
    if (chaos_is("drop"))
        return;
    __real_poa_gateway_slot(g, slot, block, seats, seats_n);
    if (chaos_is("double"))
        __real_poa_gateway_slot(g, slot, block, seats, seats_n);
}

void __wrap_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code)
{
    if (chaos_is("drop"))
        return;
    __real_poa_gateway_result(g, token, code);
    if (chaos_is("double"))
        __real_poa_gateway_result(g, token, code);
}
