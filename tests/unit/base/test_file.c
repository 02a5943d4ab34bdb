/* The lock of a file: who asks whether somebody has it is in nobody's way. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poa_file.h"

#define LOOKERS 4
#define TAKES   3000

static char path[] = "/tmp/poa-lock-XXXXXX";

static int open_it(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static void make(void)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void drop(void)
{
    unlink(path);
}

static pid_t look_for_ever(void)
{
    pid_t pid = fork();
    while (pid == 0) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        poa_file_locked(fd);
        close(fd);
    }
    return pid;
}

Test(file_lock, taken_while_others_look, .init = make, .fini = drop)
{
    pid_t looker[LOOKERS];
    unsigned refused = 0;
    for (size_t i = 0; i < LOOKERS; i++)
        cr_assert_gt(looker[i] = look_for_ever(), 0);
    for (unsigned i = 0; i < TAKES; i++) {
        int fd = open_it();
        refused += poa_file_lock(fd, NULL) != POA_OK;
        close(fd);
    }
    for (size_t i = 0; i < LOOKERS; i++) {
        kill(looker[i], SIGKILL);
        waitpid(looker[i], NULL, 0);
    }
    cr_assert_eq(refused, 0, "%u of %d", refused, TAKES);
}

Test(file_lock, one_at_a_time, .init = make, .fini = drop)
{
    int first = open_it(), second = open_it();
    cr_assert_not(poa_file_locked(first));
    cr_assert_eq(poa_file_lock(first, NULL), POA_OK);
    cr_assert_not(poa_file_locked(first), "its own lock does not count");
    cr_assert(poa_file_locked(second));
    cr_assert_eq(poa_file_lock(second, NULL), POA_E_LOCKED);
    close(first);
    cr_assert_not(poa_file_locked(second));
    cr_assert_eq(poa_file_lock(second, NULL), POA_OK);
    close(second);
}
