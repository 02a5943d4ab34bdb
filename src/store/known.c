/* The batch index, as the writer asks it.
 *
 * Nearly every batch that is put is a new one. LevelDB counts a lookup that passes a table
 * without finding the key as a seek that a compaction would save, whatever the table's
 * filter says, and after a hundred of them merges that table with all that lie below it:
 * a megabyte of new entries with the whole index of transactions. Iterators are not
 * counted; and what was put lately is looked up in memory. */
#include <string.h>

#include "store_internal.h"

static struct known *slot_of(struct poa_store *s, const uint8_t digest32[32])
{
    return &s->known[poa_le64(digest32) % KNOWN_SLOTS];
}

void store_know(struct poa_store *s, const uint8_t digest32[32], uint64_t number, uint64_t height)
{
    struct known *k = slot_of(s, digest32);
    memcpy(k->digest, digest32, 32);
    k->number = number;
    k->height = height;
}

void store_unknow(struct poa_store *s, const uint8_t digest32[32])
{
    struct known *k = slot_of(s, digest32);
    if (!memcmp(k->digest, digest32, 32))
        memset(k, 0, sizeof *k);
}

static int seek(struct poa_store *s, const uint8_t digest32[32], uint64_t *number, uint64_t *height)
{
    struct key k = key_bytes(SPACE_DIGEST, digest32, 32);
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, s->read);
    int rc = POA_E_NOT_FOUND;
    size_t n = 0;
    leveldb_iter_seek(it, k.p, k.n);
    const char *found = leveldb_iter_valid(it) ? leveldb_iter_key(it, &n) : NULL;
    if (found && n == k.n && !memcmp(found, k.p, n)) {
        const uint8_t *value = (const uint8_t *)leveldb_iter_value(it, &n);
        rc = n == DIGEST_VALUE_BYTES ? POA_OK : store_corrupt(s, SPACE_DIGEST, "an entry");
        if (!rc) {
            *number = poa_le64(value);
            *height = poa_le64(value + 8);
        }
    }
    char *message = NULL;
    leveldb_iter_get_error(it, &message);
    leveldb_iter_destroy(it);
    return message ? store_error(s, SPACE_DIGEST, "reading", message) : rc;
}

int store_known(struct poa_store *s, const uint8_t digest32[32], uint64_t *number, uint64_t *height)
{
    const struct known *k = slot_of(s, digest32);
    if (!k->number || memcmp(k->digest, digest32, 32) != 0)
        return seek(s, digest32, number, height);
    *number = k->number;
    *height = k->height;
    return POA_OK;
}
