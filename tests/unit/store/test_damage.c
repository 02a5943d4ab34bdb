/* Nobody opens it twice, a torn log loses only its end, damage is named. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support.h"

TestSuite(damage, .init = fresh_dir, .fini = remove_dir);

Test(damage, refuses_a_second_process)
{
    struct poa_store *s = must_open();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct poa_store *t = NULL;
        int rc = try_open(chain_a, true, &t);
        char want[32];
        snprintf(want, sizeof want, "by process %ld", (long)getppid());
        _exit(rc == POA_E_LOCKED && strstr(why.text, want) ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    poa_store_close(s);
    poa_store_close(must_open()); /* free again */
}

Test(damage, refuses_another_chain_and_format)
{
    poa_store_close(must_open());
    struct poa_store *s = NULL;
    cr_assert_eq(try_open(chain_b, true, &s), POA_E_STORE_CHAIN);
    cr_assert(strstr(why.text, "belongs to chain 01000000"), "%s", why.text);
    cr_assert_eq(try_open(NULL, false, &s), POA_OK, "tools open any chain");
    cr_assert_eq(poa_store_chain(s)[0], 1);
    struct poa_store_batch *b = group(s);
    poa_store_put_meta(b, "format", poa_slice("\x09\x00", 2));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_VERSION);
    cr_assert(strstr(why.text, "store format 9"), "%s", why.text);
}

Test(damage, needs_a_database_unless_asked_to_create)
{
    struct poa_store *s = NULL;
    cr_assert_eq(try_open(chain_a, false, &s), POA_E_NOT_FOUND);
    char path[300];
    snprintf(path, sizeof path, "%s/file", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    strcat(dir, "/file");
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_IO);
    *strrchr(dir, '/') = 0;
}

/* Power went away while the log was written: every cut of the last group
 * leaves the groups before it, and a database that opens. */
Test(damage, torn_log_loses_only_its_end)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    poa_store_put_record(b, 1, 2, text("durable"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    char path[600];
    newest(".log", path, sizeof path);
    struct stat before, after;
    cr_assert_eq(stat(path, &before), 0);
    poa_store_put_record(b, 2, 2, text("torn, because the machine lost its power here"));
    put_numbered(b, 3, 1);
    cr_assert_eq(poa_store_write(b, false), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_gt(after.st_size, before.st_size + 40);

    char saved[300], command[1200];
    snprintf(saved, sizeof saved, "%s.saved", dir);
    snprintf(command, sizeof command, "cp -a '%s' '%s'", dir, saved);
    cr_assert_eq(system(command), 0);
    for (off_t cut = before.st_size; cut < after.st_size; cut += 11) {
        snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", dir, saved, dir);
        cr_assert_eq(system(command), 0);
        cr_assert_eq(truncate(path, cut), 0);
        s = must_open();
        struct seen seen = records(s);
        cr_assert_eq(seen.n, 1, "cut at %ld", (long)cut);
        cr_assert_str_eq(seen.line[0], "1 2 durable");
        poa_store_close(s);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", saved);
    cr_assert_eq(system(command), 0);
}

static void flip_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    uint8_t byte = 0;
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(damage, damage_in_the_log_is_refused)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    for (uint64_t i = 1; i <= 3; i++) {
        poa_store_put_record(b, i, 2, text("a record of some length"));
        cr_assert_eq(poa_store_write(b, true), POA_OK);
    }
    char path[600];
    newest(".log", path, sizeof path);
    poa_store_batch_free(b);
    poa_store_close(s);
    flip_byte(path, 30);
    int rc = try_open(chain_a, true, &s);
    cr_assert_eq(rc, POA_E_STORE_CORRUPT, "%s %s", poa_error_name(rc), why.text);
    cr_assert(strstr(why.text, ".log") || strstr(why.text, "db"), "%s", why.text);
}

Test(damage, a_missing_log_is_damage)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    char command[300];
    poa_store_put_record(b, 1, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    snprintf(command, sizeof command, "rm '%s'/db/*.log", dir);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_CORRUPT);
    cr_assert(strstr(why.text, "log"), "%s", why.text);
}

static void say(struct poa_store *s, uint64_t seq)
{
    struct poa_store_batch *b = group(s);
    poa_store_put_record(b, seq, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
}

/* The newest log, cut to each of some lengths, is refused, and left alone; whole, it is taken. */
static void refuse_cuts(int votes)
{
    char path[600], command[1300];
    struct stat st;
    struct poa_store *s = NULL;
    newest(".log", path, sizeof path);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert(st.st_size > 7);
    snprintf(command, sizeof command, "cp -a '%s' '%s/saved'", path, dir);
    cr_assert_eq(system(command), 0);
    const off_t cut[] = {0, 5, st.st_size / 2, st.st_size - 1};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        struct stat now;
        cr_assert_eq(truncate(path, cut[i]), 0);
        why.text[0] = 0;
        cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_CORRUPT, "%ld", (long)cut[i]);
        cr_assert(strstr(why.text, ".log is damaged"), "%s", why.text);
        cr_assert(stat(path, &now) == 0 && now.st_size == cut[i]);
        snprintf(command, sizeof command, "cp -a '%s/saved' '%s'", dir, path);
        cr_assert_eq(system(command), 0);
    }
    s = must_open();
    cr_assert_eq(records(s).n, votes);
    poa_store_close(s);
}

/* LevelDB would go on without what was written last. */
Test(damage, a_log_that_was_emptied_or_cut_is_damage)
{
    struct poa_store *s = must_open();
    say(s, 1);
    say(s, 2);
    poa_store_close(s);
    refuse_cuts(2);
}

Test(damage, the_log_that_was_begun_last_is_watched_too)
{
    struct poa_store *s = must_open();
    static char filler[30000];
    uint8_t d[32];
    for (uint32_t i = 0; i < 40; i++) { /* several times what one log takes */
        struct poa_store_batch *b = group(s);
        digest_of(i, d);
        cr_assert_eq(poa_store_put_batch(b, 0, 5, d, poa_slice(filler, sizeof filler)), POA_OK);
        cr_assert_eq(poa_store_write(b, true), POA_OK);
        poa_store_batch_free(b);
    }
    say(s, 1);
    poa_store_close(s);
    refuse_cuts(1);
}

/* LevelDB passes over what reads as zeros, and over a last record that says it is longer. */
Test(damage, a_log_that_is_not_whole_up_to_what_was_synced_is_damage)
{
    char path[600], command[1300];
    struct stat st;
    struct poa_store *s = must_open();
    off_t at[4];
    newest(".log", path, sizeof path);
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert_eq(stat(path, &st), 0);
        at[i] = st.st_size;
        say(s, i + 1);
    }
    poa_store_close(s);
    cr_assert_eq(stat(path, &st), 0);
    snprintf(command, sizeof command, "cp -a '%s' '%s/saved'", path, dir);
    cr_assert_eq(system(command), 0);
    for (size_t i = 0; i < 6; i++) {
        bool longer = i == 5;
        off_t from = i < 4 ? at[i] : longer ? at[3] + 5 : 0;
        int fd = open(path, O_RDWR);
        cr_assert_geq(fd, 0);
        for (off_t k = from; k < (longer ? from + 1 : st.st_size); k++)
            cr_assert_eq(pwrite(fd, longer ? "\x7f" : "", 1, k), 1);
        close(fd);
        why.text[0] = 0;
        cr_assert_eq(try_open(chain_a, true, &s), POA_E_STORE_CORRUPT, "%zu", i);
        cr_expect(strstr(why.text, ".log is damaged"), "%s", why.text);
        snprintf(command, sizeof command, "cp -a '%s/saved' '%s'", dir, path);
        cr_assert_eq(system(command), 0);
    }
    s = must_open();
    cr_expect_eq(records(s).n, 4);
    poa_store_close(s);
}

/* A start that is killed before it writes leaves a new log, which is empty. */
Test(damage, a_log_that_nothing_was_written_to_is_none)
{
    char path[600], command[700];
    struct stat st;
    struct poa_store *s = must_open();
    say(s, 1);
    poa_store_close(s);
    for (int i = 0; i < 3; i++) {
        s = must_open();
        cr_assert_eq(records(s).n, 1);
        poa_store_close(s);
        newest(".log", path, sizeof path);
        cr_assert(stat(path, &st) == 0 && st.st_size == 0, "%s", path);
    }
    /* What says how long the log is may be lost, or damaged, with a power cut. */
    s = must_open();
    say(s, 2);
    poa_store_close(s);
    flip_byte((snprintf(path, sizeof path, "%s/db/WRITTEN", dir), path), 9);
    s = must_open();
    cr_assert_eq(records(s).n, 2);
    say(s, 3);
    poa_store_close(s);
    snprintf(command, sizeof command, ": >'%s/db/WRITTEN'", dir);
    cr_assert_eq(system(command), 0);
    s = must_open();
    cr_assert_eq(records(s).n, 3);
    poa_store_close(s);
}

/* LevelDB would begin anew, and delete what is there. */
Test(damage, a_missing_current_is_damage)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    char command[600];
    poa_store_put_record(b, 1, 2, text("vote"));
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    poa_store_close(s);
    snprintf(command, sizeof command, "mv '%s/db/CURRENT' '%s/away'", dir, dir);
    cr_assert_eq(system(command), 0);
    for (int create = 0; create <= 1; create++) {
        why.text[0] = 0;
        cr_assert_eq(try_open(chain_a, create, &s), POA_E_STORE_CORRUPT);
        cr_assert(strstr(why.text, "CURRENT is missing"), "%s", why.text);
    }
    snprintf(command, sizeof command, "mv '%s/away' '%s/db/CURRENT'", dir, dir);
    cr_assert_eq(system(command), 0);
    s = must_open();
    cr_assert_eq(records(s).n, 1);
    poa_store_close(s);
    /* One that a crash kept from being made has a first manifest, and nothing else. */
    snprintf(command, sizeof command, "cd '%s/db' && rm -f * && : >MANIFEST-000001 && : >LOG", dir);
    cr_assert_eq(system(command), 0);
    poa_store_close(must_open());
}

/* LevelDB calls these an I/O error. */
Test(damage, a_file_that_is_empty_or_gone_is_damage)
{
    for (int gone = 0; gone < 2; gone++) {
        struct poa_store *s = must_open();
        char path[600];
        cr_assert_eq(poa_store_compact(s), POA_OK);
        poa_store_close(s);
        newest(".ldb", path, sizeof path);
        cr_assert_eq(gone ? unlink(path) : truncate(path, 0), 0);
        int rc = try_open(chain_a, true, &s);
        cr_expect_eq(rc, POA_E_STORE_CORRUPT, "%d: %s %s", gone, poa_error_name(rc), why.text);
        remove_dir();
        fresh_dir();
    }
    struct poa_store *s = must_open();
    char command[300];
    poa_store_close(s);
    snprintf(command, sizeof command, "rm '%s'/db/MANIFEST-*", dir);
    cr_assert_eq(system(command), 0);
    int rc = try_open(chain_a, true, &s);
    cr_expect_eq(rc, POA_E_STORE_CORRUPT, "%s %s", poa_error_name(rc), why.text);
}

Test(damage, damage_in_a_table_names_the_key_space)
{
    struct poa_store *s = must_open();
    struct poa_store_batch *b = group(s);
    static char filler[3000];
    memset(filler, 'f', sizeof filler);
    uint8_t d[32];
    for (uint32_t i = 0; i < 40; i++) {
        digest_of(i, d);
        cr_assert_eq(poa_store_put_batch(b, 0, 5, d, poa_slice(filler, sizeof filler)), POA_OK);
    }
    cr_assert_eq(poa_store_write(b, true), POA_OK);
    poa_store_batch_free(b);
    cr_assert_eq(poa_store_compact(s), POA_OK);
    poa_store_close(s);
    char path[600];
    newest(".ldb", path, sizeof path);
    flip_byte(path, 5000);
    s = must_open();
    struct poa_store_value v;
    int bad = 0;
    for (uint64_t i = 1; i <= 40; i++) {
        int rc = poa_store_get_batch_at(s, i, &v);
        poa_store_value_free(&v);
        if (rc == POA_OK)
            continue;
        cr_assert_eq(rc, POA_E_STORE_CORRUPT);
        struct poa_why text_of;
        poa_store_why(s, &text_of);
        cr_assert(strstr(text_of.text, "reading batches"), "%s", text_of.text);
        bad++;
    }
    cr_assert_gt(bad, 0);
    cr_assert_lt(bad, 5);
    poa_store_close(s);
}
