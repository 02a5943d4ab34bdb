/* What must hold of devices, whatever they and their gateways do: who is convicted, and
 * who is paid. Numbers are those of docs/sim.md. */
#include "world.h"

/* A seal that a final block carries is of the final block that it names, by a device of
 * the registry that signed it. */
void check_seal(struct poa_sim *s, struct node *n, const struct poa_seal *x)
{
    const struct poa_suite *suite = s->config.real_crypto ? &poa_suite_ed25519 : &poa_suite_sim;
    struct device *d = NULL;
    for (uint32_t i = 0; i < s->config.devices; i++)
        if (!memcmp(s->device[i].key, x->device, 32))
            d = &s->device[i];
    if (!d || poa_seal_check(suite, s->chain, x)) {
        violation(s, n, "[18] a forged seal of slot %llu counts", (unsigned long long)x->slot);
        return;
    }
    const struct sim_block *b =
        x->height && x->height <= s->blocks ? s->block[x->height - 1] : NULL;
    if (!b || memcmp(b->hash, x->hash, 32))
        violation(s, n, "[18] a seal of another block counts for slot %llu",
                  (unsigned long long)x->slot);
    d->counted++;
}

/* At the end. N may be some blocks behind the newest. */
void check_devices(struct poa_sim *s, struct node *n)
{
    const struct poa_ledger *l = poa_core_ledger(n->core);
    const struct poa_genesis *g = poa_ledger_genesis(l);
    for (uint32_t i = 0; i < s->config.devices; i++) {
        const struct device *d = &s->device[i];
        struct poa_st_device st;
        struct poa_st_account payout = {.balance = 0};
        if (poa_ledger_read(l, POA_STATE_BASE, POA_STATE_DEVICE, d->key, 32, &st)) {
            violation(s, n, "device %u has left the registry", i);
            continue;
        }
        int e = poa_ledger_read(l, POA_STATE_BASE, POA_STATE_ACCOUNT, d->payout, 32, &payout);
        POA_ASSERT(!e || e == POA_E_NOT_FOUND);
        if (st.status && !d->liar)
            violation(s, n, "[17] honest device %u is suspended", i);
        if (st.sealed > d->counted)
            violation(s, n, "[18] device %u has %llu seals, blocks have %llu of it", i,
                      (unsigned long long)st.sealed, (unsigned long long)d->counted);
        if (st.earned > st.sealed * (g->subsidy * g->miner_bp / 10000))
            violation(s, n, "[18] device %u earned %llu with %llu seals", i,
                      (unsigned long long)st.earned, (unsigned long long)st.sealed);
        if (payout.balance != st.earned)
            violation(s, n, "[18] device %u earned %llu, its account has %llu", i,
                      (unsigned long long)st.earned, (unsigned long long)payout.balance);
    }
}
