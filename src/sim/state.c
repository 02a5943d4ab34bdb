/* States that a node saved: a checkpoint is what changed since the one before,
 * durable after the blocks up to it; a node that starts reads the state, and
 * replays the blocks after it. */
#include "world.h"

struct saving {
    uint8_t *bytes;
    size_t n, cap;
};

static int add_entry(void *ctx, const struct poa_entry *e)
{
    struct saving *v = ctx;
    size_t need = 36 + e->value.n;
    if (v->cap - v->n < need) {
        v->cap = 2 * v->cap + need + 4096;
        v->bytes = realloc(v->bytes, v->cap);
        POA_ASSERT(v->bytes);
    }
    memcpy(v->bytes + v->n, e->key, 32);
    poa_put_le32(v->bytes + v->n + 32, (uint32_t)e->value.n);
    if (e->value.n)
        memcpy(v->bytes + v->n + 36, e->value.p, e->value.n);
    v->n += need;
    return POA_OK;
}

void state_save(struct poa_sim *s, struct node *n)
{
    /* A core that made its ledger is alone with it between steps. */
    struct poa_ledger *l = n->ledger;
    struct poa_st_global g;
    struct saving v = {0};
    poa_ledger_global(l, POA_STATE_BASE, &g);
    if (!g.height)
        return;
    POA_ASSERT(poa_ledger_changes(l, add_entry, &v) == POA_OK);
    poa_ledger_checkpointed(l);
    trace(s, n, "saves its state of height %llu", (unsigned long long)g.height);
    struct disk_op op = {.kind = OP_STATE, .bytes = v.bytes, .n = v.n, .height = g.height};
    poa_ledger_root(l, POA_STATE_BASE, op.root);
    disk_append(s, n, op);
}

static struct state_entry *entry_at(struct disk *d, const uint8_t key[32])
{
    for (size_t i = 0; i < d->entries; i++)
        if (!memcmp(d->entry[i].key, key, 32))
            return &d->entry[i];
    return NULL;
}

/* OP is durable: it becomes part of the stored state. */
void state_synced(struct disk *d, const struct disk_op *op)
{
    for (size_t at = 0; at < op->n;) {
        const uint8_t *key = op->bytes + at;
        uint32_t n = poa_le32(key + 32);
        struct state_entry *e = entry_at(d, key);
        at += 36 + (size_t)n;
        if (!e && !n)
            continue;
        if (!e) {
            if (d->entries == d->entry_cap) {
                d->entry_cap = d->entry_cap ? 2 * d->entry_cap : 256;
                d->entry = realloc(d->entry, d->entry_cap * sizeof *d->entry);
                POA_ASSERT(d->entry);
            }
            e = &d->entry[d->entries++];
            *e = (struct state_entry){0};
            memcpy(e->key, key, 32);
        }
        free(e->value);
        e->value = NULL;
        if (!n) {
            *e = d->entry[--d->entries];
            continue;
        }
        e->value = malloc(n);
        POA_ASSERT(e->value);
        memcpy(e->value, key + 36, n);
        e->n = n;
    }
    d->state_height = op->height;
    memcpy(d->state_root, op->root, 32);
}

/* What is stored goes into L, which is new. */
int state_load(const struct disk *d, struct poa_ledger *l)
{
    int e = poa_ledger_restore_begin(l);
    for (size_t i = 0; !e && i < d->entries; i++) {
        struct poa_entry x = {.value = poa_slice(d->entry[i].value, d->entry[i].n)};
        memcpy(x.key, d->entry[i].key, 32);
        e = poa_ledger_restore_put(l, &x);
    }
    return e ? e : poa_ledger_restore_end(l, d->state_root);
}

void state_free(struct disk *d)
{
    for (size_t i = 0; i < d->entries; i++)
        free(d->entry[i].value);
    free(d->entry);
}
