/* Runs Criterion tests without Criterion's process machinery.
 *
 * Criterion starts every test in a sandbox process of its own making, which
 * aborts under ThreadSanitizer and loses LeakSanitizer's verdict. This runner
 * is linked in front of libcriterion in the sanitizer and coverage profiles:
 * the same test objects, the same assertions, but main and the functions that
 * end a test are the ones below. Every test runs in a plain forked child that
 * leaves through exit(), so that the sanitizers' exit hooks run and their
 * exit code (99, no test expects it) fails the test.
 *
 * Honoured: fixtures of suite and test, .disabled, .signal, .exit_code,
 * .timeout, parameterised tests, cr_skip. Not: theories, report hooks.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SANITIZER_EXIT    99
#define JOBS_MAX          16
#define TIMEOUT_DEFAULT_S 300.0
/* Instrumented code is slower: a test's own .timeout is stretched. */
#define TIMEOUT_STRETCH 10.0

/* The sanitizers ask for these; a line in *SAN_OPTIONS still wins. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
const char *__tsan_default_suppressions(void);
const char *__asan_default_options(void)
{
    return "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1";
}
const char *__tsan_default_options(void)
{
    return "exitcode=99:second_deadlock_stack=1";
}
const char *__ubsan_default_options(void)
{
    return "exitcode=99:print_stacktrace=1";
}
/* Criterion's own: not() never frees its node. NNG 1.5.2's: a message given to a
 * connection in the moment when it closes stays with its send aio, and a dialer
 * that is closed while it agrees on a connection stays with that. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libcriterion.so\nleak:mesh_msg_new\nleak:nng_dialer_create";
}

/* NNG counts who holds a dialer with atomics of its own, which are not instrumented: that the
 * last one destroys its mutex after all others is not seen. */
const char *__tsan_default_suppressions(void)
{
    return "race_top:pthread_mutex_destroy";
}

/* The linker delimits a section that is named like a C identifier. */
extern struct criterion_test *__start_cr_tst[] __attribute__((weak, visibility("hidden")));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak, visibility("hidden")));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak, visibility("hidden")));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak, visibility("hidden")));

/* What a child tells the runner, in shared memory. */
struct verdict {
    int failed; /* assertions */
    int skipped;
};

struct job {
    pid_t pid; /* 0: free */
    FILE *log;
    struct verdict *verdict;
    const struct criterion_test *test;
    size_t param;
    double started_s;
    double limit_s;
    bool timed_out;
};

struct totals {
    unsigned tested;
    unsigned failing; /* as in Criterion, the crashing ones too */
    unsigned crashing;
};

/* The test of this process, set in the child before it starts. */
static struct {
    const struct criterion_test *test;
    const struct criterion_suite *suite;
    void *param;
    struct verdict *verdict;
    pthread_t thread;
    jmp_buf end;
} now;

static bool verbose;

/* --- what test objects call; these come before libcriterion's ---------------- */

void criterion_send_assert(struct criterion_assert_stats *s)
{
    if (s->passed)
        return;
    __atomic_add_fetch(&now.verdict->failed, 1, __ATOMIC_RELAXED);
    printf("%s:%u: assertion failed: %s\n", s->file, s->line, s->message ? s->message : "");
    fflush(stdout);
}

/* The assertions of criterion/new/assert.h report a tree: what failed, and
 * inside it the values or what failed deeper. Printed with its depth. */
static void print_node(const struct cri_assert_node *n, int depth)
{
    if (n->repr)
        printf("%*s%s\n", depth * 2, "", n->repr);
    if (n->message && n->message[0])
        printf("%*s%s\n", depth * 2, "", n->message);
    for (size_t i = 0; i < CRI_ASSERT_MAX_PARAMS; i++) {
        const struct cri_assert_param *p = &n->params[i];
        if (p->name && p->data && p->type == CRI_ASSERT_RT_STR)
            printf("%*s%s: %s\n", depth * 2 + 2, "", p->name, (const char *)p->data);
    }
    for (uint32_t i = 0; i < n->nchild; i++)
        if (!n->children[i].pass)
            print_node(&n->children[i], depth + 1);
}

void cri_assert_node_send(const char *file, size_t line, struct cri_assert_node *tree)
{
    if (tree->pass)
        return;
    __atomic_add_fetch(&now.verdict->failed, 1, __ATOMIC_RELAXED);
    printf("%s:%zu: assertion failed\n", file, line);
    print_node(tree, 1);
    fflush(stdout);
}

/* A failed assertion ends the test; from another thread only the process can
 * end, because longjmp must not leave a foreign stack. */
CR_NORETURN static void end_test(void)
{
    fflush(stdout);
    if (!pthread_equal(pthread_self(), now.thread))
        _exit(1);
    longjmp(now.end, 1);
}

void criterion_abort_test(void)
{
    end_test();
}

void criterion_continue_test(void)
{
}

void criterion_skip_test(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    now.verdict->skipped = 1;
    end_test();
}

void criterion_test_die(const char *msg, ...)
{
    va_list ap;
    va_start(ap, msg);
    vprintf(msg, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    now.verdict->failed++;
    _exit(1);
}

static void call(void (*fn)(void))
{
    if (fn)
        fn();
}

void criterion_internal_test_setup(void)
{
    if (now.suite && now.suite->data)
        call(now.suite->data->init);
    call(now.test->data->init);
}

void criterion_internal_test_main(void (*fn)(void))
{
    if (setjmp(now.end) != 0)
        return;
    if (now.test->data->kind_ == CR_TEST_PARAMETERIZED)
        ((void (*)(void *))(void *)fn)(now.param);
    else
        fn();
}

void criterion_internal_test_teardown(void)
{
    call(now.test->data->fini);
    if (now.suite && now.suite->data)
        call(now.suite->data->fini);
}

/* --- running ------------------------------------------------------------------ */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const struct criterion_suite *suite_of(const struct criterion_test *t)
{
    for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++)
        if (*s && strcmp((*s)->name, t->category) == 0)
            return *s;
    return NULL;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void start(struct job *j, const struct criterion_test *t, size_t param, void *param_p)
{
    const struct criterion_suite *suite = suite_of(t);
    double limit_s = t->data->timeout;
    if (!(limit_s > 0) && suite && suite->data)
        limit_s = suite->data->timeout;
    j->limit_s = limit_s > 0 ? limit_s * TIMEOUT_STRETCH : TIMEOUT_DEFAULT_S;
    j->test = t;
    j->param = param;
    j->timed_out = false;
    memset(j->verdict, 0, sizeof *j->verdict);
    j->log = tmpfile();
    if (!j->log)
        die("tmpfile");
    fflush(NULL);
    j->started_s = now_s();
    pid_t runner = getpid();
    j->pid = fork();
    if (j->pid < 0)
        die("fork");
    if (j->pid > 0) {
        setpgid(j->pid, j->pid);
        return;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(1);
    dup2(fileno(j->log), STDOUT_FILENO);
    dup2(fileno(j->log), STDERR_FILENO);
    now.test = t;
    now.suite = suite;
    now.param = param_p;
    now.verdict = j->verdict;
    now.thread = pthread_self();
    t->test();
    exit(0);
}

static void print_log(FILE *log)
{
    char buf[4096];
    size_t n;
    rewind(log);
    while ((n = fread(buf, 1, sizeof buf, log)) > 0)
        fwrite(buf, 1, n, stdout);
}

static void finish(struct job *j, int status, struct totals *sum)
{
    const struct criterion_test_extra_data *d = j->test->data;
    const struct criterion_suite *suite = suite_of(j->test);
    int want_signal = d->signal, want_exit = d->exit_code;
    if (suite && suite->data) {
        want_signal = want_signal ? want_signal : suite->data->signal;
        want_exit = want_exit ? want_exit : suite->data->exit_code;
    }
    char why[96] = "";
    bool crash = false;
    if (j->timed_out) {
        snprintf(why, sizeof why, "no end after %.0f s", j->limit_s);
        crash = true;
    } else if (WIFSIGNALED(status) && WTERMSIG(status) != want_signal) {
        snprintf(why, sizeof why, "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
        crash = true;
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == SANITIZER_EXIT) {
        snprintf(why, sizeof why, "a sanitizer objects");
        crash = true;
    } else if (j->verdict->failed) {
        snprintf(why, sizeof why, "%d failed assertion(s)", j->verdict->failed);
    } else if (WIFEXITED(status) && want_signal) {
        snprintf(why, sizeof why, "ended without the expected signal %d", want_signal);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != want_exit && !j->verdict->skipped) {
        snprintf(why, sizeof why, "exit code %d instead of %d", WEXITSTATUS(status), want_exit);
    }
    /* Whatever the test started and left goes with it. */
    kill(-j->pid, SIGKILL);

    const char *tag = "PASS";
    if (j->verdict->skipped && !why[0]) {
        tag = "SKIP";
    } else {
        sum->tested++;
        if (crash)
            sum->crashing++;
        if (why[0]) {
            sum->failing++;
            tag = "FAIL";
        }
    }
    if (why[0] || verbose) {
        print_log(j->log);
        printf("[%s] %s::%s", tag, j->test->category, j->test->name);
        if (d->kind_ == CR_TEST_PARAMETERIZED)
            printf(" (parameter %zu)", j->param);
        printf(": %s%s(%.2f s)\n", why, why[0] ? " " : "", now_s() - j->started_s);
        fflush(stdout);
    }
    fclose(j->log);
    j->pid = 0;
}

/* Waits until a job is free (ALL: until all are) and books what ended. */
static struct job *reap(struct job *jobs, unsigned n, bool all, struct totals *sum)
{
    for (;;) {
        struct job *idle = NULL;
        unsigned busy = 0;
        for (unsigned i = 0; i < n; i++) {
            struct job *j = &jobs[i];
            int status;
            if (j->pid == 0) {
                idle = j;
                continue;
            }
            pid_t got = waitpid(j->pid, &status, WNOHANG);
            if (got < 0 && errno != EINTR)
                die("waitpid");
            if (got == j->pid) {
                finish(j, status, sum);
                idle = j;
                continue;
            }
            busy++;
            if (!j->timed_out && now_s() - j->started_s > j->limit_s) {
                j->timed_out = true;
                kill(-j->pid, SIGKILL);
            }
        }
        if (all ? busy == 0 : idle != NULL)
            return idle;
        poll(NULL, 0, 2);
    }
}

static bool selected(const struct criterion_test *t, const char *filter)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", t->category, t->name);
    return !filter || fnmatch(filter, name, 0) == 0;
}

static int usage(FILE *to, const char *self)
{
    fprintf(to, "usage: %s [--filter SUITE/TEST-GLOB] [--jobs N] [--list] [--verbose]\n", self);
    return to == stderr ? 2 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"filter", required_argument, NULL, 'f'}, {"jobs", required_argument, NULL, 'j'},
        {"list", no_argument, NULL, 'l'},         {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    const char *filter = NULL;
    long jobs_n = sysconf(_SC_NPROCESSORS_ONLN);
    bool list = false;
    int c;
    while ((c = getopt_long(argc, argv, "f:j:lvh", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            filter = optarg;
            break;
        case 'j':
            jobs_n = strtol(optarg, NULL, 10);
            break;
        case 'l':
            list = true;
            break;
        case 'v':
            verbose = true;
            break;
        case 'h':
            return usage(stdout, argv[0]);
        default:
            return usage(stderr, argv[0]);
        }
    }
    if (jobs_n < 1)
        jobs_n = 1;
    if (jobs_n > JOBS_MAX)
        jobs_n = JOBS_MAX;

    struct job jobs[JOBS_MAX];
    memset(jobs, 0, sizeof jobs);
    struct verdict *verdicts = mmap(NULL, sizeof *verdicts * JOBS_MAX, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED)
        die("mmap");
    for (unsigned i = 0; i < JOBS_MAX; i++)
        jobs[i].verdict = &verdicts[i];

    struct totals sum = {0, 0, 0};
    for (struct criterion_test **p = __start_cr_tst; p < __stop_cr_tst; p++) {
        const struct criterion_test *t = *p;
        if (!t || !selected(t, filter))
            continue;
        if (list) {
            printf("%s/%s\n", t->category, t->name);
            continue;
        }
        const struct criterion_suite *suite = suite_of(t);
        if (t->data->disabled || (suite && suite->data && suite->data->disabled))
            continue;
        if (t->data->kind_ != CR_TEST_PARAMETERIZED) {
            start(reap(jobs, (unsigned)jobs_n, false, &sum), t, 0, NULL);
            continue;
        }
        struct criterion_test_params set = t->data->param_();
        for (size_t i = 0; i < set.length; i++)
            start(reap(jobs, (unsigned)jobs_n, false, &sum), t, i,
                  (char *)set.params + i * set.size);
        /* The children hold copies, so the parameters may go. */
        if (set.cleanup)
            set.cleanup(&set);
    }
    if (list)
        return 0;
    reap(jobs, (unsigned)jobs_n, true, &sum);
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n", sum.tested,
           sum.tested - sum.failing, sum.failing, sum.crashing);
    return sum.failing == 0 && sum.tested > 0 ? 0 : 1;
}
