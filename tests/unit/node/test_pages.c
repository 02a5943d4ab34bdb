/* Memory for ledgers: zeroed, apart from each other, counted, given back. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_node_pages.h"

#define PIECES 400

Test(pages, give_zeroed_memory_and_take_it_back)
{
    struct node_pages pages = {0};
    struct poa_alloc a = node_pages_alloc(&pages);
    static uint8_t *piece[PIECES];
    static size_t size[PIECES];
    uint64_t seed = 7;
    for (int round = 0; round < 3; round++) {
        size_t sum = 0;
        for (int i = 0; i < PIECES; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* Small, as the ledger's slabs, and once as a table of millions. */
            size[i] = i == 300 ? (size_t)70 << 20 : (seed >> 33) % (i % 2 ? 1000 : 700000) + 1;
            piece[i] = a.alloc(a.ctx, size[i]);
            cr_assert_not_null(piece[i]);
            for (size_t k = 0; k < size[i]; k += 97)
                cr_assert_eq(piece[i][k], 0, "piece %d is not zero", i);
            cr_assert_eq(piece[i][size[i] - 1], 0);
            memset(piece[i], i % 255 + 1, i == 300 ? 4096 : size[i]);
            sum += size[i];
        }
        cr_assert_geq(pages.bytes, sum);
        cr_assert_leq(pages.bytes, sum + PIECES * 5000u);
        cr_assert_not_null(pages.regions, "no huge pages for %zu bytes", sum);
        for (int i = 0; i < PIECES; i++)
            cr_assert(piece[i][0] == i % 255 + 1 &&
                          (i == 300 || piece[i][size[i] - 1] == i % 255 + 1),
                      "piece %d was written to by another", i);
        for (int i = 0; i < PIECES; i++) /* some from the middle first */
            a.free(a.ctx, piece[(i * 7) % PIECES]);
        cr_assert_eq(pages.bytes, 0);
        cr_assert_null(pages.regions);
    }
}

Test(pages, small_states_stay_in_ordinary_memory)
{
    struct node_pages pages = {0};
    struct poa_alloc a = node_pages_alloc(&pages);
    void *p[8];
    for (int i = 0; i < 8; i++)
        cr_assert_not_null((p[i] = a.alloc(a.ctx, (size_t)1 << 20)));
    cr_assert_null(pages.regions);
    for (int i = 0; i < 8; i++)
        a.free(a.ctx, p[i]);
    cr_assert_eq(pages.bytes, 0);
}
