/* A store in a directory of its own. */
#ifndef NODE_TEST_SUPPORT_H
#define NODE_TEST_SUPPORT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_store.h"

static char test_dir[256];

static inline struct poa_store *test_store_open(void)
{
    static const uint8_t chain[32] = {1};
    struct poa_store *s = NULL;
    struct poa_why why = {""};
    struct poa_store_config c = {.dir = test_dir,
                                 .chain32 = chain,
                                 .create = true,
                                 .write_buffer_bytes = 1 << 20,
                                 .cache_bytes = 1 << 18,
                                 .max_open_files = 64};
    cr_assert_eq(poa_store_open(&c, &s, &why), POA_OK, "%s", why.text);
    return s;
}

static inline struct poa_store *test_store_new(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(test_dir, sizeof test_dir, "%s/poa-node.XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(test_dir));
    return test_store_open();
}

static inline void test_store_remove(struct poa_store *s)
{
    char command[300];
    poa_store_close(s);
    snprintf(command, sizeof command, "rm -rf '%s'", test_dir);
    cr_assert_eq(system(command), 0);
}

#endif
