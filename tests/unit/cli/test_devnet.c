/* The lock of a devnet: who looks whether one runs is in nobody's way. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devnet.h"

#define LOOKERS 4
#define STARTS  3000

static void silence(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(null, 0);
    dup2(null, 2);
    close(null);
}

static pid_t look_for_ever(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            devnet_check_idle(dir);
    return pid;
}

Test(devnet, starts_while_others_look)
{
    static struct devnet d = {.dir = "/tmp/poa-devnet-XXXXXX"};
    pid_t looker[LOOKERS];
    cr_assert_not_null(mkdtemp(d.dir));
    silence();
    for (size_t i = 0; i < LOOKERS; i++)
        cr_assert_gt(looker[i] = look_for_ever(d.dir), 0);
    unsigned refused = 0;
    for (unsigned i = 0; i < STARTS; i++) {
        refused += devnet_lock(&d) != 0;
        if (d.lock_fd >= 0)
            close(d.lock_fd);
    }
    for (size_t i = 0; i < LOOKERS; i++) {
        kill(looker[i], SIGKILL);
        waitpid(looker[i], NULL, 0);
    }
    char path[sizeof d.dir + 16];
    snprintf(path, sizeof path, "%s/devnet.lock", d.dir);
    unlink(path);
    rmdir(d.dir);
    cr_assert_eq(refused, 0, "%u of %u", refused, STARTS);
}

Test(devnet, one_at_a_time)
{
    static struct devnet first = {.dir = "/tmp/poa-devnet-XXXXXX"}, second;
    cr_assert_not_null(mkdtemp(first.dir));
    silence();
    second = first;
    cr_assert_eq(devnet_check_idle(first.dir), 0);
    cr_assert_eq(devnet_lock(&first), 0);
    cr_assert_neq(devnet_lock(&second), 0);
    cr_assert_lt(second.lock_fd, 0);
    cr_assert_neq(devnet_check_idle(first.dir), 0);
    close(first.lock_fd);
    cr_assert_eq(devnet_check_idle(first.dir), 0);
    cr_assert_eq(devnet_lock(&second), 0);
    close(second.lock_fd);
    char path[sizeof first.dir + 16];
    snprintf(path, sizeof path, "%s/devnet.lock", first.dir);
    unlink(path);
    rmdir(first.dir);
}
