/* A poa-device that misbehaves: the product's program, whose frames to the gateway
 * go through here (ld --wrap). POA_CHAOS_FILE says what it does (mode.h):
 *
 *   lie     signs another block than the final one, then the true one as well
 *   forge   seals and tickets with a wrong signature or proof, in a stranger's name,
 *           of windows and slots that are not its own; nothing true
 *   replay  says its old seals and tickets again with each new one
 *
 * Anything else: honest. What it signed falsely is evidence; the rest convicts nobody. */
#include "mode.h"
#include "poa_device.h"

#define OLD_SEALS 16

static const struct poa_device_config *config;

int __real_poa_device_init(struct poa_device *d, const struct poa_device_config *c);
int __wrap_poa_device_init(struct poa_device *d, const struct poa_device_config *c);
int __real_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out);
int __wrap_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out);

int __wrap_poa_device_init(struct poa_device *d, const struct poa_device_config *c)
{
    int e = __real_poa_device_init(d, c);
    config = &d->config;
    return e;
}

/* One more frame when there is room for it. */
static void also(struct poa_session *s, uint8_t type, const struct poa_record *rec, const void *r,
                 struct poa_writer *out)
{
    int e = __real_poa_edge_put(s, type, rec, r, out);
    (void)e;
}

static void sign(struct poa_seal *seal)
{
    uint8_t digest[32];
    poa_seal_digest(config->chain32, seal, digest);
    config->suite->sign(config->seed32, config->key32, digest, sizeof digest, seal->sig);
}

/* For who compares: this device did what evidence is made of. */
static void tell(const char *what, uint64_t slot)
{
    fprintf(stderr, "chaos: %s slot %llu\n", what, (unsigned long long)slot);
}

static int put_seal(struct poa_session *s, const struct poa_record *rec, const struct poa_seal *r,
                    struct poa_writer *out)
{
    static struct poa_seal old[OLD_SEALS];
    static size_t olds, count;
    struct poa_seal seal = *r;
    if (chaos_is("lie")) {
        tell("lied about", r->slot);
        seal.hash[0] ^= 1;
        sign(&seal);
        also(s, POA_EDGE_SEAL, rec, &seal, out);
    } else if (chaos_is("forge")) {
        seal.slot += 1000000; /* no such slot yet */
        sign(&seal);
        also(s, POA_EDGE_SEAL, rec, &seal, out);
        if (++count % 4 == 0) { /* the gateway hangs up on that */
            seal = *r;
            seal.device[0] ^= 1;
            return __real_poa_edge_put(s, POA_EDGE_SEAL, rec, &seal, out);
        }
        seal = *r;
        seal.sig[0] ^= 1;
        return __real_poa_edge_put(s, POA_EDGE_SEAL, rec, &seal, out);
    } else if (chaos_is("replay")) {
        for (size_t i = 0; i < OLD_SEALS && i < olds; i++)
            also(s, POA_EDGE_SEAL, rec, &old[i], out);
        also(s, POA_EDGE_SEAL, rec, r, out);
    }
    old[olds++ % OLD_SEALS] = *r;
    return __real_poa_edge_put(s, POA_EDGE_SEAL, rec, r, out);
}

static int put_ticket(struct poa_session *s, const struct poa_record *rec,
                      const struct poa_ticket *r, struct poa_writer *out)
{
    static struct poa_ticket old;
    struct poa_ticket ticket = *r;
    if (chaos_is("forge")) {
        ticket.window += 5;
        also(s, POA_EDGE_TICKET, rec, &ticket, out);
        ticket = *r;
        ticket.proof[40] ^= 1;
        return __real_poa_edge_put(s, POA_EDGE_TICKET, rec, &ticket, out);
    }
    if (chaos_is("replay")) {
        if (old.window)
            also(s, POA_EDGE_TICKET, rec, &old, out);
        also(s, POA_EDGE_TICKET, rec, r, out);
    }
    old = *r;
    return __real_poa_edge_put(s, POA_EDGE_TICKET, rec, r, out);
}

int __wrap_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out)
{
    if (type == POA_EDGE_SEAL)
        return put_seal(s, rec, r, out);
    if (type == POA_EDGE_TICKET)
        return put_ticket(s, rec, r, out);
    return __real_poa_edge_put(s, type, rec, r, out);
}
