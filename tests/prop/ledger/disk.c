#include "disk.h"

#define DISK 20000
static struct disk_row {
    uint8_t key[32];
    uint8_t *value;
    size_t n;
    bool used;
} disk[DISK];

static int disk_put(void *ctx, const struct poa_entry *e)
{
    (void)ctx;
    size_t i = poa_le32(e->key) % DISK;
    while (disk[i].used && memcmp(disk[i].key, e->key, 32))
        i = (i + 1) % DISK;
    free(disk[i].value);
    disk[i].used = true;
    memcpy(disk[i].key, e->key, 32);
    disk[i].n = e->value.n;
    disk[i].value = e->value.n ? malloc(e->value.n) : NULL;
    if (e->value.n)
        memcpy(disk[i].value, e->value.p, e->value.n);
    return POA_OK;
}

void disk_clear(void)
{
    for (size_t i = 0; i < DISK; i++)
        free(disk[i].value);
    memset(disk, 0, sizeof disk);
}

void disk_checkpoint(struct poa_ledger *l)
{
    cr_assert_eq(poa_ledger_changes(l, disk_put, NULL), POA_OK);
    poa_ledger_checkpointed(l);
}

struct poa_ledger *disk_restore(const struct chain *c, struct counting *memory, uint64_t salt,
                                const uint8_t root[32])
{
    struct poa_ledger *l;
    struct poa_ledger_config config = {.suite = c->suite,
                                       .alloc = counting_alloc(memory),
                                       .genesis = poa_slice(c->genesis, c->genesis_n),
                                       .salt = salt};
    cr_assert_eq(poa_ledger_new(&config, &l), POA_OK);
    cr_assert_eq(poa_ledger_restore_begin(l), POA_OK);
    for (size_t i = 0; i < DISK; i++) {
        struct poa_entry e = {.value = poa_slice(disk[i].value, disk[i].n)};
        memcpy(e.key, disk[i].key, 32);
        if (disk[i].used && disk[i].n)
            cr_assert_eq(poa_ledger_restore_put(l, &e), POA_OK);
    }
    cr_assert_eq(poa_ledger_restore_end(l, root), POA_OK);
    return l;
}

void disk_check(const struct chain *c, uint64_t salt)
{
    struct counting memory = {0};
    uint8_t root[32], again[32];
    poa_ledger_root(c->l, POA_STATE_BASE, root);
    struct poa_ledger *l = disk_restore(c, &memory, salt, root);
    poa_ledger_root(l, POA_STATE_BASE, again);
    cr_assert_arr_eq(root, again, 32);
    poa_ledger_free(l);
    cr_assert_eq(memory.live, 0);
}
