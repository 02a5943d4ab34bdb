/* The address book and its file. */
#include "poa_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

#define RETRY_MAX_S 86400
#define HEADER      "poa address book 1\n"
#define FILE_MAX    ((size_t)512 << 10)

#define F(k, n, m, s, d) POA_FIELD_ROW_(peers_ask, k, n, m, s, d)
POA_RECORD_DEFINE(peers_ask, POA_PEERS_ASK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(known_node, k, n, m, s, d)
POA_RECORD_DEFINE(known_node, POA_KNOWN_NODE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(peers_told, k, n, m, s, d)
POA_RECORD_DEFINE(peers_told, POA_PEERS_TOLD_TABLE)
#undef F

bool poa_book_address_ok(struct poa_slice address)
{
    char text[129], url[MESH_URL_MAX], push[MESH_URL_MAX];
    if (address.n == 0 || address.n >= sizeof text || memchr(address.p, 0, address.n) != NULL)
        return false;
    memcpy(text, address.p, address.n);
    text[address.n] = 0;
    const char *colon = strrchr(text, ':');
    return mesh_urls(text, NULL, url, push) == POA_OK && strtoul(colon + 1, NULL, 10) != 0;
}

static struct poa_book_entry *find(struct poa_book *b, const uint8_t key32[32])
{
    for (unsigned i = 0; i < b->n; i++)
        if (memcmp(b->entry[i].key, key32, 32) == 0)
            return &b->entry[i];
    return NULL;
}

const struct poa_book_entry *poa_book_find(const struct poa_book *b, const uint8_t key32[32])
{
    for (unsigned i = 0; i < b->n; i++)
        if (memcmp(b->entry[i].key, key32, 32) == 0)
            return &b->entry[i];
    return NULL;
}

static void set_address(struct poa_book *b, struct poa_book_entry *e, struct poa_slice address)
{
    memcpy(e->address, address.p, address.n);
    e->address[address.n] = 0;
    e->good_s = e->next_s = 0;
    e->fails = 0;
    b->changed = true;
}

/* What is worth least makes room: never there, and looked for most often. */
static struct poa_book_entry *room(struct poa_book *b)
{
    struct poa_book_entry *least = NULL;
    if (b->n < POA_BOOK_MAX)
        return &b->entry[b->n++];
    for (unsigned i = 0; i < b->n; i++) {
        struct poa_book_entry *e = &b->entry[i];
        if (least == NULL || e->good_s < least->good_s ||
            (e->good_s == least->good_s && e->fails > least->fails))
            least = e;
    }
    return least->good_s == 0 || least->fails > 0 ? least : NULL;
}

bool poa_book_learn(struct poa_book *b, const uint8_t key32[32], struct poa_slice address,
                    const uint8_t teller32[32])
{
    struct poa_book_entry *e = find(b, key32);
    bool itself = memcmp(key32, teller32, 32) == 0;
    unsigned told = 0;
    if (!poa_book_address_ok(address))
        return false;
    if (e != NULL) {
        bool same =
            strlen(e->address) == address.n && memcmp(e->address, address.p, address.n) == 0;
        if (same || (!itself && e->good_s != 0 && e->fails < 3))
            return same;
        memcpy(e->teller, teller32, 32);
        set_address(b, e, address);
        return true;
    }
    for (unsigned i = 0; i < b->n; i++)
        told += b->entry[i].good_s == 0 && memcmp(b->entry[i].teller, teller32, 32) == 0;
    e = told < POA_BOOK_PER_TELLER ? room(b) : NULL;
    if (e == NULL)
        return false;
    memset(e, 0, sizeof *e);
    memcpy(e->key, key32, 32);
    memcpy(e->teller, teller32, 32);
    set_address(b, e, address);
    return true;
}

void poa_book_good(struct poa_book *b, const uint8_t key32[32], const char *address, uint64_t now_s)
{
    struct poa_book_entry *e = find(b, key32);
    struct poa_slice text = poa_slice(address, strlen(address));
    if (!poa_book_address_ok(text))
        return;
    if (e == NULL) {
        e = room(b);
        if (e == NULL)
            return;
        memset(e, 0, sizeof *e);
        memcpy(e->key, key32, 32);
        memcpy(e->teller, key32, 32);
    }
    if (strcmp(e->address, address) != 0)
        set_address(b, e, text);
    /* Once in a while is enough for the file. */
    if (e->good_s + 3600 < now_s || e->fails > 0)
        b->changed = true;
    e->good_s = e->tried_s = now_s;
    e->next_s = 0;
    e->fails = 0;
}

void poa_book_failed(struct poa_book *b, const uint8_t key32[32], uint64_t now_s, uint32_t random)
{
    struct poa_book_entry *e = find(b, key32);
    uint64_t wait_s = POA_BOOK_RETRY_S;
    if (e == NULL)
        return;
    for (uint32_t i = 0; i < e->fails && wait_s < RETRY_MAX_S; i++)
        wait_s *= 2;
    if (wait_s > RETRY_MAX_S)
        wait_s = RETRY_MAX_S;
    e->fails++;
    e->tried_s = now_s;
    e->next_s = now_s + wait_s / 2 + random % (wait_s + 1);
    b->changed = true;
}

const struct poa_book_entry *poa_book_pick(const struct poa_book *b, uint64_t now_s,
                                           uint32_t random,
                                           bool (*skip)(void *ctx, const uint8_t key32[32]),
                                           void *ctx)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct poa_book_entry *e = &b->entry[(random + i) % b->n];
        if (e->next_s <= now_s && !skip(ctx, e->key))
            return e;
    }
    return NULL;
}

int poa_book_tell(const struct poa_book *b, uint64_t now_s, uint32_t random,
                  const uint8_t except32[32], struct poa_writer *out)
{
    uint8_t room_[POA_BOOK_TOLD_MAX * (32 + 4 + 128)];
    struct poa_writer w = poa_writer_over(room_, sizeof room_);
    struct poa_peers_told told = {.nodes = {.count = 0}};
    int rc = POA_OK;
    for (unsigned i = 0; rc == POA_OK && i < b->n && told.nodes.count < POA_BOOK_TOLD_MAX; i++) {
        const struct poa_book_entry *e = &b->entry[(random + i) % b->n];
        struct poa_known_node node = {.address = poa_slice(e->address, strlen(e->address))};
        if (e->good_s == 0 || e->fails > 0 || e->good_s + POA_BOOK_FRESH_S < now_s ||
            memcmp(e->key, except32, 32) == 0)
            continue;
        memcpy(node.key, e->key, 32);
        rc = poa_known_node_encode(&w, &node);
        told.nodes.count++;
    }
    told.nodes.bytes = poa_written(&w);
    return rc != POA_OK ? rc : poa_peers_told_encode(out, &told);
}

/* --- the file ------------------------------------------------------------------------ */

static void sum_of(const char *text, size_t n, char hex[65])
{
    uint8_t digest[32];
    poa_hash(POA_DOMAIN_BOOK, text, n, digest);
    poa_hex(digest, 32, hex);
}

static bool read_line(struct poa_book *b, const char *line, size_t n)
{
    char key[65], address[129], rest[2];
    uint64_t good = 0;
    uint32_t fails = 0;
    char text[300];
    if (n >= sizeof text || b->n == POA_BOOK_MAX)
        return false;
    memcpy(text, line, n);
    text[n] = 0;
    struct poa_book_entry *e = &b->entry[b->n];
    memset(e, 0, sizeof *e);
    if (sscanf(text, "%64s %128s %" SCNu64 " %" SCNu32 "%1s", key, address, &good, &fails, rest) !=
            4 ||
        strlen(key) != 64 || poa_unhex(key, e->key, 32) != POA_OK ||
        !poa_book_address_ok(poa_slice(address, strlen(address))))
        return false;
    memcpy(e->address, address, sizeof address);
    memcpy(e->teller, e->key, 32); /* who told it is not kept */
    e->good_s = good;
    e->fails = fails;
    b->n++;
    return true;
}

int poa_book_read(struct poa_book *b, const char *path, struct poa_why *why)
{
    char *text = NULL, hex[65];
    size_t n = 0, head = strlen(HEADER);
    memset(b, 0, sizeof *b);
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, why);
    if (rc == POA_E_NOT_FOUND || rc == POA_E_NO_MEMORY)
        return rc;
    /* ... "sum HEX\n" at the end. */
    bool ok = rc == POA_OK && n >= head + 69 && memcmp(text, HEADER, head) == 0 &&
              memcmp(text + n - 69, "sum ", 4) == 0;
    if (ok) {
        sum_of(text, n - 69, hex);
        ok = memcmp(text + n - 65, hex, 64) == 0 && text[n - 1] == '\n';
    }
    for (const char *at = text + head; ok && at < text + n - 69;) {
        const char *end = memchr(at, '\n', (size_t)(text + n - 69 - at));
        ok = end != NULL && read_line(b, at, (size_t)(end - at));
        at = end != NULL ? end + 1 : at;
    }
    free(text);
    if (ok)
        return POA_OK;
    memset(b, 0, sizeof *b);
    return poa_because(why, POA_E_CONFIG,
                       "the address book %s is damaged: starting from the configured peers", path);
}

int poa_book_write(struct poa_book *b, const char *path, struct poa_why *why)
{
    char *text = NULL, hex[65], key[65];
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    fputs(HEADER, f);
    for (unsigned i = 0; i < b->n; i++) {
        const struct poa_book_entry *e = &b->entry[i];
        poa_hex(e->key, 32, key);
        fprintf(f, "%s %s %" PRIu64 " %" PRIu32 "\n", key, e->address, e->good_s, e->fails);
    }
    fflush(f);
    sum_of(text, n, hex);
    fprintf(f, "sum %s\n", hex);
    int rc = fclose(f) == 0 ? poa_file_write(path, text, n, 0600, 0, why) : POA_E_NO_MEMORY;
    free(text);
    if (rc == POA_OK)
        b->changed = false;
    return rc;
}
