/* poad: runs a node. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "poa_base.h"
#include "poa_node.h"
#include "poa_store.h"

/* One heap for all threads but one, and large blocks go back to the system: the
 * memory of a burst must not stay. */
#define ARENAS         2
#define MMAP_THRESHOLD (128 * 1024)
#define DESCRIPTORS    65536

/* Exit codes, as of poa; the second: what a restart does not cure. */
#define FAILED       1
#define USED_WRONGLY 2

struct watcher {
    pthread_t thread;
    sigset_t set;
    struct poa_node *node;
};

/* Signals are taken by a thread, so that no code runs in a handler. */
static void *watch(void *arg)
{
    struct watcher *w = arg;
    for (;;) {
        int sig = 0;
        if (sigwait(&w->set, &sig))
            continue;
        if (sig == SIGHUP) {
            poa_node_reload(w->node);
            continue;
        }
        if (sig == SIGUSR1) /* main ends by itself */
            return NULL;
        POA_LOG_INFO("node", "%s: stopping", strsignal(sig));
        poa_node_wake(w->node);
        return NULL;
    }
}

static int fail(const char *text)
{
    fprintf(stderr, "poad: %s\n", text);
    return FAILED;
}

static int run(const struct poa_config *config, uint64_t started_us, sigset_t set)
{
    struct poa_node *node = NULL;
    struct poa_why why = {""};
    char addresses[1024];
    int rc = poa_node_start(config, started_us, &node, &why);
    if (rc == POA_E_CLOSED) { /* asked to stop while it started */
        POA_LOG_INFO("node", "%s", why.text);
        return 0;
    }
    if (rc) {
        if (rc == POA_E_STORE_CORRUPT)
            fprintf(stderr, "poad: %s: the database is damaged: " POA_STORE_MEND "\n", why.text,
                    config->data_dir);
        else
            fail(why.text);
        return rc == POA_E_CONFIG ? USED_WRONGLY : FAILED;
    }
    struct watcher w = {.set = set, .node = node};
    if (pthread_create(&w.thread, NULL, watch, &w)) {
        poa_node_stop(node);
        return fail("cannot start a thread");
    }
    poa_node_addresses(node, addresses, sizeof addresses);
    if (config->ready_file[0])
        rc = poa_file_write(config->ready_file, addresses, strlen(addresses), 0644, 0, &why);
    if (!rc) {
        printf("%sready\n", addresses);
        fflush(stdout);
        rc = poa_node_wait(node, &why);
    }
    pthread_kill(w.thread, SIGUSR1);
    pthread_join(w.thread, NULL);
    poa_node_stop(node);
    if (config->ready_file[0])
        unlink(config->ready_file);
    return rc ? fail(why.text) : 0;
}

/* Connections and tables are descriptors; the usual soft limit is there for select(2). */
static void allow_descriptors(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= DESCRIPTORS)
        return;
    files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    static struct poa_config config;
    uint64_t started_us = poa_clock_monotonic_us(poa_clock_system());
    struct poa_log_config log = {.fd = STDERR_FILENO};
    const char *broken = "";
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD);
    switch (poa_config_arguments(&config, argc, argv)) {
    case POA_CONFIG_RUN:
        break;
    case POA_CONFIG_DONE:
        return 0;
    case POA_CONFIG_ERROR:
        return USED_WRONGLY;
    }
    if (poa_log_level_parse(config.log_level, &log.level))
        return USED_WRONGLY;
    log.json = config.log_json;
    poa_log_setup(&log);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    allow_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write over a limit fails, and we say so */
    if (poa_crypto_init() || poa_crypto_selftest(&broken)) {
        fprintf(stderr, "poad: cryptographic self-test failed: %s; update libsodium\n", broken);
        return 1;
    }
    return run(&config, started_us, set);
}
