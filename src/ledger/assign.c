/* The public draws of a slot and the seats that come of any policy. */
#include "poa_assign.h"

#include <string.h>

static const struct {
    enum poa_policy_kind kind;
    const char *name;
} kinds[] = {
#define KIND_ROW(name, number, text) {POA_POLICY_##name, text},
    POA_POLICY_KINDS(KIND_ROW)
#undef KIND_ROW
};

const char *poa_policy_kind_name(enum poa_policy_kind kind)
{
    return kind < sizeof kinds / sizeof kinds[0] ? kinds[kind].name : "unknown";
}

int poa_policy_kind_of(const char *name, enum poa_policy_kind *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(name, kinds[i].name)) {
            *out = kinds[i].kind;
            return POA_OK;
        }
    return POA_E_NOT_FOUND;
}

static bool before(uint64_t rank, const uint8_t device[32], const struct poa_st_seat *b)
{
    return rank != b->rank ? rank < b->rank : memcmp(device, b->device, 32) < 0;
}

bool poa_seats_fit(const struct poa_seat_list *list, uint64_t rank, const uint8_t device32[32])
{
    return list->n < POA_SLOT_SEATS_MAX || before(rank, device32, &list->seat[list->n - 1]);
}

void poa_seats_insert(struct poa_seat_list *list, uint64_t rank, const uint8_t device32[32])
{
    uint32_t i = list->n < POA_SLOT_SEATS_MAX ? list->n++ : POA_SLOT_SEATS_MAX - 1;
    for (; i && before(rank, device32, &list->seat[i - 1]); i--)
        list->seat[i] = list->seat[i - 1];
    list->seat[i] = (struct poa_st_seat){.rank = rank};
    memcpy(list->seat[i].device, device32, 32);
}

int poa_seats_find(const struct poa_seat_list *list, const uint8_t device32[32])
{
    for (uint32_t i = 0; i < list->n; i++)
        if (!memcmp(list->seat[i].device, device32, 32))
            return (int)i;
    return -1;
}

void poa_seats_unpack(const struct poa_st_slot *slot, struct poa_seat_list *out)
{
    struct poa_list_iter it = poa_list_begin(&slot->seats);
    out->n = 0;
    while (out->n < POA_SLOT_SEATS_MAX && poa_st_seat_next(&it, &out->seat[out->n]))
        out->n++;
}

static uint32_t bits(uint64_t v)
{
    uint32_t n = 0;
    for (; v; v >>= 1)
        n++;
    return n;
}

static uint32_t ones(uint32_t v)
{
    uint32_t n = 0;
    for (; v; v &= v - 1)
        n++;
    return n;
}

struct poa_weight poa_assign_weight(const struct poa_st_device *d, uint64_t balance, uint64_t slot)
{
    struct poa_weight w = {
        .base = 16, .reliability = ones(d->history), .balance = bits(balance) / 8};
    uint32_t age = slot > d->since ? bits(slot - d->since) / 3 : 0;
    w.age = age < 8 ? age : 8;
    w.sum = w.base + w.reliability + w.age + w.balance;
    return w;
}

uint32_t poa_assign_public(enum poa_policy_kind policy, const uint8_t chain32[32],
                           const uint8_t seed32[32], uint64_t slot, uint32_t seats,
                           const struct poa_assign_pool *pool, struct poa_seat_list *out,
                           struct poa_assign_draw *draws)
{
    uint32_t j = 0, max = poa_assign_draws_max(policy);
    bool weighted = policy == POA_POLICY_WEIGHTED;
    out->n = 0;
    for (; pool->eligible && j < max && out->n < seats; j++) {
        struct poa_assign_draw d = {.weight = POA_LOTS};
        uint8_t key[32];
        d.lot = poa_random_seat(chain32, seed32, slot, j, pool->eligible, &d.index, &d.rank);
        if (!pool->device(pool->ctx, d.index, key, weighted ? &d.weight : NULL))
            d.weight = 0;
        else if ((!weighted || d.lot < d.weight) && poa_seats_find(out, key) < 0) {
            poa_seats_insert(out, d.rank, key);
            d.seated = true;
        }
        if (draws)
            draws[j] = d;
    }
    return j;
}
