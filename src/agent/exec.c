/* Readings that a command prints: see poa_agent.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poa_agent.h"
#include "poa_log.h"

#define OUTPUT_MAX 8192
/* A command that takes longer is killed: its readings would be of the past. */
#define EXEC_MS  30000
#define UNIT_MAX 16
/* Reads in one call: others have their turn too. */
#define READS 16

struct agent_exec {
    char *command;
    pid_t pid; /* 0: not running */
    int fd;    /* its output; -1 */
    uint64_t started_ms, time_ms;
    char text[OUTPUT_MAX + 1];
    size_t n;
    struct agent_reading reading[AGENT_EXEC_READINGS];
    char unit[AGENT_EXEC_READINGS][UNIT_MAX];
};

int agent_exec_open(const char *command, struct agent_exec **out, struct poa_why *why)
{
    if (!*command)
        return poa_because(why, POA_E_CONFIG, "source exec: has no command");
    struct agent_exec *e = calloc(1, sizeof *e);
    if (e)
        e->command = strdup(command);
    if (!e || !e->command) {
        free(e);
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    }
    e->fd = -1;
    *out = e;
    return POA_OK;
}

static void reap(struct agent_exec *e, bool force, int *status)
{
    *status = 0;
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
    if (!e->pid)
        return;
    /* It closed its output: what it still does is not waited for. */
    if (force || waitpid(e->pid, status, WNOHANG) != e->pid) {
        for (int i = 0; !force && i < 50 && waitpid(e->pid, status, WNOHANG) != e->pid; i++)
            usleep(1000);
        kill(-e->pid, SIGKILL);
        while (waitpid(e->pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    e->pid = 0;
}

void agent_exec_close(struct agent_exec *e)
{
    int status;
    if (!e)
        return;
    reap(e, true, &status);
    free(e->command);
    free(e);
}

int agent_exec_fd(const struct agent_exec *e)
{
    return e->fd;
}

static void run(const struct agent_exec *e, int out)
{
    int in = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(126);
    execl("/bin/sh", "sh", "-c", e->command, (char *)NULL);
    _exit(127);
}

void agent_exec_start(struct agent_exec *e, uint64_t mono_ms, uint64_t wall_ms)
{
    int pipes[2];
    if (e->pid)
        return;
    if (pipe2(pipes, O_CLOEXEC)) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source", "no pipe: %s", strerror(errno));
        return;
    }
    pid_t pid = fork();
    if (!pid)
        run(e, pipes[1]);
    close(pipes[1]);
    if (pid < 0) {
        close(pipes[0]);
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source", "no process: %s", strerror(errno));
        return;
    }
    setpgid(pid, pid);
    (void)fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    e->pid = pid;
    e->fd = pipes[0];
    e->started_ms = mono_ms;
    e->time_ms = wall_ms;
    e->n = 0;
}

/* "NAME VALUE [UNIT]", also with '=' or ',' between: false when it is not. */
static bool parse(struct agent_exec *e, char *line, size_t i)
{
    struct agent_reading *r = &e->reading[i];
    char *word[3] = {NULL, NULL, NULL}, *save = NULL;
    for (int k = 0; k < 3; k++, line = NULL)
        word[k] = strtok_r(line, " \t=,;\r", &save);
    int code = word[1] && strlen(word[1]) < sizeof r->number
                   ? poa_json_number(word[1], strlen(word[1]))
                   : POA_E_TEXT;
    if (code == POA_E_RANGE) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source",
                        "a reading is left out: %s is too large for a number", word[1]);
        return false;
    }
    if (code || (word[2] && strlen(word[2]) >= UNIT_MAX)) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source",
                        "the command printed a line that is not NAME VALUE [UNIT]");
        return false;
    }
    memset(r, 0, sizeof *r);
    agent_name(word[0], i + 1, r->name);
    strcpy(r->number, word[1]);
    r->time_ms = e->time_ms;
    if (word[2]) {
        strcpy(e->unit[i], word[2]);
        r->unit = e->unit[i];
    }
    return true;
}

static size_t parse_all(struct agent_exec *e)
{
    char *save = NULL;
    size_t n = 0;
    e->text[e->n] = 0;
    for (char *line = strtok_r(e->text, "\n", &save); line && n < AGENT_EXEC_READINGS;
         line = strtok_r(NULL, "\n", &save))
        n += parse(e, line, n);
    return n;
}

/* Takes what there is, but not without end; true: there will be no more. */
static bool drained(struct agent_exec *e)
{
    for (int i = 0; i < READS; i++) {
        char rest[512];
        bool room = e->n < OUTPUT_MAX;
        ssize_t got =
            read(e->fd, room ? e->text + e->n : rest, room ? OUTPUT_MAX - e->n : sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return false;
        if (got <= 0)
            return true;
        if (room)
            e->n += (size_t)got;
    }
    return false;
}

int agent_exec_read(struct agent_exec *e, uint64_t mono_ms, const struct agent_reading **out,
                    size_t *n)
{
    int status;
    *n = 0;
    if (e->fd < 0)
        return POA_E_AGAIN;
    if (mono_ms - e->started_ms >= EXEC_MS) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source",
                        "the command runs for more than %d s: killed", EXEC_MS / 1000);
        reap(e, true, &status);
        return POA_OK;
    }
    if (!drained(e))
        return POA_E_AGAIN;
    reap(e, false, &status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "source",
                        "the command failed, %s %d: its readings are left out",
                        WIFEXITED(status) ? "exit status" : "signal",
                        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        return POA_OK;
    }
    *n = parse_all(e);
    *out = e->reading;
    return POA_OK;
}
