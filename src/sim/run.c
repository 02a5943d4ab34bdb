/* Many seeds on many cores: worker processes take the next seed and hand the
 * result back, which the caller sees in the order of the seeds. So nothing
 * depends on the number of workers, and an assertion that fails in one seed is
 * a finding of that seed. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poa_sim.h"

struct shared {
    _Atomic uint64_t next;                      /* offset of the next seed */
    _Atomic uint64_t working[POA_SIM_JOBS_MAX]; /* offset, or UINT64_MAX */
};

struct outcome {
    uint64_t offset;
    struct poa_sim_result result;
};

struct job {
    uint64_t from, n;
    poa_sim_configure configure;
    poa_sim_done done;
    void *ctx;
    struct shared *shared;
    struct outcome *held; /* results that came before their turn */
    size_t helds, held_cap;
    uint64_t turn;
};

void poa_sim_whole(const struct poa_sim_config *c, struct poa_sim_result *out)
{
    struct poa_sim *s = poa_sim_new(c);
    memset(out, 0, sizeof *out);
    if (!s) {
        out->violations = 1;
        snprintf(out->first, sizeof out->first, "cannot build the network");
        return;
    }
    poa_sim_run(s, c->end_us);
    poa_sim_finish(s);
    *out = *poa_sim_result(s);
    poa_sim_free(s);
}

static void work(struct job *j, uint32_t worker, int out)
{
    struct outcome o;
    struct poa_sim_config c;
    memset(&o, 0, sizeof o);
    while ((o.offset = atomic_fetch_add(&j->shared->next, 1)) < j->n) {
        atomic_store(&j->shared->working[worker], o.offset);
        j->configure(j->ctx, j->from + o.offset, &c);
        poa_sim_whole(&c, &o.result);
        /* Short enough for a pipe to keep in one piece. */
        if (write(out, &o, sizeof o) != (ssize_t)sizeof o)
            _exit(3);
        atomic_store(&j->shared->working[worker], UINT64_MAX);
    }
    _exit(0);
}

static void take(struct job *j, const struct outcome *o)
{
    if (j->helds == j->held_cap) {
        j->held_cap = j->held_cap ? j->held_cap * 2 : 64;
        j->held = realloc(j->held, j->held_cap * sizeof *j->held);
        POA_ASSERT(j->held);
    }
    j->held[j->helds++] = *o;
    for (size_t i = 0; i < j->helds;) {
        if (j->held[i].offset != j->turn) {
            i++;
            continue;
        }
        j->done(j->ctx, j->from + j->turn, &j->held[i].result);
        j->held[i] = j->held[--j->helds];
        j->turn++;
        i = 0;
    }
}

/* A worker that died took its seed with it: that is the finding. */
static void died(struct job *j, uint32_t worker, int status)
{
    struct outcome o;
    memset(&o, 0, sizeof o);
    o.offset = atomic_load(&j->shared->working[worker]);
    if (o.offset >= j->n)
        return;
    o.result.violations = 1;
    snprintf(o.result.first, sizeof o.result.first, "the process died (%s %d)",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    atomic_store(&j->shared->working[worker], UINT64_MAX);
    take(j, &o);
}

static int round_of_workers(struct job *j, uint32_t jobs)
{
    pid_t pid[POA_SIM_JOBS_MAX];
    int fd[2], status;
    struct outcome o;
    ssize_t n;
    if (pipe(fd))
        return POA_E_IO;
    fflush(NULL);
    for (uint32_t i = 0; i < jobs; i++) {
        atomic_store(&j->shared->working[i], UINT64_MAX);
        pid[i] = fork();
        if (pid[i] == 0) {
            close(fd[0]);
            work(j, i, fd[1]);
        }
    }
    close(fd[1]);
    while ((n = read(fd[0], &o, sizeof o)) == (ssize_t)sizeof o || (n < 0 && errno == EINTR))
        if (n > 0)
            take(j, &o);
    close(fd[0]);
    bool none = true;
    for (uint32_t i = 0; i < jobs; i++) {
        if (pid[i] < 0)
            continue;
        none = false;
        while (waitpid(pid[i], &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            died(j, i, status);
    }
    return none ? POA_E_IO : POA_OK;
}

int poa_sim_seeds(uint64_t from, uint64_t to, uint32_t jobs, poa_sim_configure configure,
                  poa_sim_done done, void *ctx)
{
    struct job j = {
        .from = from, .n = to - from + 1, .configure = configure, .done = done, .ctx = ctx};
    if (jobs > POA_SIM_JOBS_MAX)
        jobs = POA_SIM_JOBS_MAX;
    if (jobs > j.n)
        jobs = (uint32_t)j.n;
    j.shared =
        mmap(NULL, sizeof *j.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (j.shared == MAP_FAILED)
        return POA_E_NO_MEMORY;
    int e = POA_OK;
    while (!e && j.turn < j.n)
        e = round_of_workers(&j, jobs);
    munmap(j.shared, sizeof *j.shared);
    free(j.held);
    return e;
}
