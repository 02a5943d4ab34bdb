/* The address book: who gets in, when somebody is looked for, the file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "poa_book.h"

static struct poa_book book;
static char path[256];

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    memset(&book, 0, sizeof book);
    snprintf(path, sizeof path, "%s/poa-book.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(path));
    strcat(path, "/peers.book");
}

static void teardown(void)
{
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
}

static const uint8_t *key(unsigned i)
{
    static uint8_t k[4][32];
    static unsigned at;
    uint8_t *p = k[at++ % 4];
    memset(p, 0, 32);
    memcpy(p, &i, sizeof i);
    return p;
}

static struct poa_slice text(const char *t)
{
    return poa_slice(t, strlen(t));
}

static bool nobody(void *ctx, const uint8_t key32[32])
{
    (void)ctx;
    (void)key32;
    return false;
}

Test(book, addresses)
{
    static const char *const good[] = {"10.0.0.1:1", "host.example:65534", "[::1]:7640",
                                       "[fd77::3]:7640"};
    static const char *const bad[] = {
        "",      ":1",     "host",       "host:",    "host:0", "host:65535x",
        "a b:1", "[::1:2", "host:99999", "tcp://x:1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(poa_book_address_ok(text(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!poa_book_address_ok(text(bad[i])), "%s", bad[i]);
    cr_assert(!poa_book_address_ok(poa_slice("a\0b:1", 5)));
}

Test(book, nobody_fills_it_alone, .init = setup, .fini = teardown)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < 500; i++)
        taken += poa_book_learn(&book, key(100 + i), text("10.0.0.1:1"), key(1));
    cr_assert_eq(taken, POA_BOOK_PER_TELLER);
    cr_assert(poa_book_learn(&book, key(9000), text("10.0.0.2:1"), key(2)));
    for (unsigned teller = 3; teller < 60; teller++)
        for (unsigned i = 0; i < POA_BOOK_PER_TELLER; i++)
            (void)poa_book_learn(&book, key(10000 + 100 * teller + i), text("10.0.0.3:1"),
                                 key(teller));
    cr_assert_eq(book.n, POA_BOOK_MAX);
    /* Who proved to be there gets in, and is not pushed out. */
    poa_book_good(&book, key(7), "10.0.0.7:1", 1000);
    for (unsigned i = 0; i < 5000; i++)
        (void)poa_book_learn(&book, key(50000 + i), text("10.0.0.4:1"), key(70 + i));
    const struct poa_book_entry *e = poa_book_find(&book, key(7));
    cr_assert(e && e->good_s == 1000);
}

Test(book, hearsay_does_not_move_a_good_node)
{
    poa_book_good(&book, key(7), "10.0.0.7:1", 1000);
    cr_assert(!poa_book_learn(&book, key(7), text("10.6.6.6:6"), key(2)));
    cr_assert_str_eq(poa_book_find(&book, key(7))->address, "10.0.0.7:1");
    cr_assert(poa_book_learn(&book, key(7), text("10.0.0.8:1"), key(7)), "it says so itself");
    cr_assert_str_eq(poa_book_find(&book, key(7))->address, "10.0.0.8:1");
    cr_assert_eq(poa_book_find(&book, key(7))->good_s, 0, "to be proven again");
}

/* Longer each time, and never the same time for all. */
Test(book, back_off_with_jitter)
{
    uint64_t now = 1000, least = UINT64_MAX, most = 0;
    cr_assert(poa_book_learn(&book, key(7), text("10.0.0.7:1"), key(2)));
    for (unsigned i = 0; i < 20; i++) {
        const struct poa_book_entry *e = poa_book_pick(&book, now, i, nobody, NULL);
        cr_assert(e);
        uint64_t wait = (uint64_t)POA_BOOK_RETRY_S << (i < 13 ? i : 13);
        wait = wait < 86400 ? wait : 86400;
        poa_book_failed(&book, key(7), now, i * 7919);
        e = poa_book_find(&book, key(7));
        cr_assert(e->next_s >= now + wait / 2 && e->next_s <= now + wait / 2 + wait, "%u", i);
        cr_assert_null(poa_book_pick(&book, e->next_s - 1, i, nobody, NULL));
        now = e->next_s;
    }
    for (unsigned i = 0; i < 100; i++) {
        struct poa_book b = {.n = 0};
        cr_assert(poa_book_learn(&b, key(7), text("10.0.0.7:1"), key(2)));
        poa_book_failed(&b, key(7), 0, i * 1237);
        uint64_t next = poa_book_find(&b, key(7))->next_s;
        least = next < least ? next : least;
        most = next > most ? next : most;
    }
    cr_assert_gt(most, least + POA_BOOK_RETRY_S / 2);
    poa_book_good(&book, key(7), "10.0.0.7:1", now);
    cr_assert(poa_book_pick(&book, now, 0, nobody, NULL), "there again: at once");
}

Test(book, tells_only_what_was_there_lately)
{
    uint8_t bytes[16384];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_peers_told r;
    struct poa_known_node k;
    poa_book_good(&book, key(1), "10.0.0.1:1", 100000);
    poa_book_good(&book, key(2), "10.0.0.2:1", 100000);
    poa_book_good(&book, key(3), "10.0.0.3:1", 1000); /* long ago */
    poa_book_good(&book, key(4), "10.0.0.4:1", 100000);
    poa_book_failed(&book, key(4), 100001, 0);
    cr_assert(poa_book_learn(&book, key(5), text("10.0.0.5:1"), key(1)));
    cr_assert_eq(poa_book_tell(&book, 100002, 3, key(2), &w), POA_OK);
    cr_assert_eq(poa_peers_told_decode(poa_written(&w), &r), POA_OK);
    cr_assert_eq(r.nodes.count, 1);
    struct poa_list_iter it = poa_list_begin(&r.nodes);
    cr_assert(poa_known_node_next(&it, &k));
    cr_assert_eq(memcmp(k.key, key(1), 32), 0);
}

Test(book, file, .init = setup, .fini = teardown)
{
    struct poa_why why = {""};
    static struct poa_book again;
    cr_assert_eq(poa_book_read(&again, path, &why), POA_E_NOT_FOUND);
    for (unsigned i = 0; i < 300; i++)
        poa_book_good(&book, key(i), i % 2 ? "[fd77::3]:7640" : "host.example:7640", 1000 + i);
    poa_book_failed(&book, key(5), 2000, 1);
    cr_assert(book.changed);
    cr_assert_eq(poa_book_write(&book, path, &why), POA_OK, "%s", why.text);
    cr_assert(!book.changed);
    cr_assert_eq(poa_book_read(&again, path, &why), POA_OK, "%s", why.text);
    cr_assert_eq(again.n, 300);
    cr_assert_eq(poa_book_find(&again, key(5))->fails, 1);
    cr_assert_eq(poa_book_find(&again, key(7))->good_s, 1007);
    cr_assert_str_eq(poa_book_find(&again, key(7))->address, "[fd77::3]:7640");
    struct stat st;
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 077) == 0);
}

/* Whatever is cut off or flipped: refused in one line, and nothing is taken. */
Test(book, damaged_file, .init = setup, .fini = teardown)
{
    struct poa_why why = {""};
    static char bytes[4096];
    for (unsigned i = 0; i < 5; i++)
        poa_book_good(&book, key(i), "10.0.0.1:7640", 1000);
    cr_assert_eq(poa_book_write(&book, path, &why), POA_OK);
    FILE *f = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t at = 0; at <= n; at++) {
        char changed[4096];
        memcpy(changed, bytes, n);
        if (at < n)
            changed[at] ^= 4;
        f = fopen(path, "wb");
        fwrite(changed, 1, at < n ? n : n - 1, f);
        fclose(f);
        static struct poa_book b;
        cr_assert_eq(poa_book_read(&b, path, &why), POA_E_CONFIG, "byte %zu", at);
        cr_assert_eq(b.n, 0);
        cr_assert(strstr(why.text, "is damaged: starting from the configured peers"));
    }
    for (size_t cut = 0; cut < n; cut += 7) {
        cr_assert_eq(truncate(path, 0), 0);
        f = fopen(path, "wb");
        fwrite(bytes, 1, cut, f);
        fclose(f);
        static struct poa_book b;
        cr_assert_eq(poa_book_read(&b, path, &why), POA_E_CONFIG, "cut at %zu", cut);
    }
}
