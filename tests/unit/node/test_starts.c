/* The count of a node's starts: what each state of its file and of its database means. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_error.h"
#include "poa_node_starts.h"

static char dir[] = "/tmp/poa-starts-XXXXXX", path[64];
static struct node_starts file;

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/node.json.joined-0123456789abcdef", dir);
}

static void tear_down(void)
{
    if (rmdir(path))
        unlink(path);
    rmdir(dir);
}

TestSuite(starts, .init = set_up, .fini = tear_down);

static void holds(const char *bytes, size_t n)
{
    cr_assert_eq(poa_file_write(path, bytes, n, 0600, 0, NULL), POA_OK);
    cr_assert_eq(node_starts_read(path, &file), POA_OK);
}

static enum node_starts_found is(bool known, uint64_t stored)
{
    return node_starts_compare(&file, known, stored);
}

Test(starts, a_count_comes_back)
{
    static const uint64_t counts[] = {0, 1, 9, 10, NODE_STARTS_UNSURE + 1, NODE_STARTS_MAX - 1};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cr_assert_eq(node_starts_write(path, counts[i], NULL), POA_OK);
        cr_assert_eq(node_starts_read(path, &file), POA_OK);
        cr_expect_eq(file.file, NODE_STARTS_READ, "%zu", i);
        cr_expect_eq(file.count, counts[i], "%zu", i);
    }
}

Test(starts, a_first_start_has_no_file)
{
    cr_assert_eq(node_starts_read(path, &file), POA_OK);
    cr_expect_eq(file.file, NODE_STARTS_ABSENT);
    cr_expect_eq(is(false, 0), NODE_STARTS_FIRST);
}

/* Its first start was interrupted: before the database knew it, and after. */
Test(starts, a_first_start_may_be_interrupted)
{
    holds("0\n", 2);
    cr_expect_eq(is(false, 0), NODE_STARTS_FIRST);
    cr_expect_eq(is(true, 1), NODE_STARTS_WHOLE);
}

/* The next start of a node that lost nothing has a file: it was there before the database. */
Test(starts, a_database_without_its_file_may_be_an_older_copy)
{
    cr_assert_eq(node_starts_read(path, &file), POA_OK);
    cr_expect_eq(is(true, 1), NODE_STARTS_NOT_SURE);
    cr_expect_eq(is(true, 12), NODE_STARTS_NOT_SURE);
    cr_expect(strstr(file.why.text, "joined-0123456789abcdef is missing"), "%s", file.why.text);
}

Test(starts, a_count_and_a_database)
{
    holds("17\n", 3);
    cr_expect_eq(is(false, 0), NODE_STARTS_LOST);
    cr_expect_eq(is(true, 16), NODE_STARTS_OLDER);
    cr_expect_eq(is(true, 17), NODE_STARTS_WHOLE);
    cr_expect_eq(is(true, 18), NODE_STARTS_WHOLE);
}

Test(starts, what_is_no_count_tells_nothing)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *why;
    } bad[] = {
        {"", 0, "is empty"},
        {"\n", 1, "holds no count"},
        {"1", 1, "holds no count"}, /* the beginning of 17 */
        {"17", 2, "holds no count"},
        {"17\n\n", 4, "holds no count"},
        {"17 \n", 4, "holds no count"},
        {" 17\n", 4, "holds no count"},
        {"017\n", 4, "holds no count"},
        {"-1\n", 3, "holds no count"},
        {"+1\n", 3, "holds no count"},
        {"17x\n", 4, "holds no count"},
        {"rubbish\n", 8, "holds no count"},
        {"\0\0\0", 3, "holds no count"},
        {"17\0\n", 4, "holds no count"},
        {"4611686018427387904\n", 20, "holds no count"}, /* NODE_STARTS_MAX */
        {"18446744073709551615\n", 21, "holds no count"},
        {"99999999999999999999\n", 21, "holds no count"},
        {"00000000000000000000000000000000000017\n", 39, "is larger than"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        holds(bad[i].bytes, bad[i].n);
        cr_expect_eq(file.file, NODE_STARTS_NO_COUNT, "%zu", i);
        cr_expect_eq(file.count, 0, "%zu", i);
        cr_expect(strstr(file.why.text, bad[i].why), "%zu: %s", i, file.why.text);
        cr_expect(strstr(file.why.text, path), "%zu: %s", i, file.why.text);
        cr_expect_eq(is(true, 12), NODE_STARTS_NOT_SURE, "%zu", i);
        cr_expect_eq(is(false, 0), NODE_STARTS_LOST, "%zu", i);
    }
}

Test(starts, what_cannot_be_read_tells_nothing)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(node_starts_read(path, &file), POA_OK);
    cr_expect_eq(file.file, NODE_STARTS_NO_COUNT);
    cr_expect(strstr(file.why.text, path), "%s", file.why.text);
    cr_expect_eq(is(true, 12), NODE_STARTS_NOT_SURE);
    cr_expect_eq(is(false, 0), NODE_STARTS_LOST);
}
