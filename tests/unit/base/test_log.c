/* Log lines as they reach the descriptor, with a clock of our own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_base.h"

static int fds[2];
static uint64_t now_us;

static uint64_t test_us(void *ctx)
{
    (void)ctx;
    return now_us;
}

static uint64_t test_ms(void *ctx)
{
    (void)ctx;
    return 1795246973123u; /* 2026-11-21T07:42:53.123Z */
}

static const struct poa_clock test_clock = {test_us, test_ms, NULL};

static void set_up(void)
{
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    now_us = 1000000;
}

static void start(enum poa_log_level level, bool json)
{
    const struct poa_log_config c = {fds[1], level, json, &test_clock};
    poa_log_setup(&c);
}

static void tear_down(void)
{
    const struct poa_log_config c = {STDERR_FILENO, POA_LOG_INFO, false, NULL};
    poa_log_setup(&c);
    close(fds[0]);
    close(fds[1]);
}

TestSuite(base_log, .init = set_up, .fini = tear_down);

static const char *written(void)
{
    static char text[60000];
    ssize_t n = read(fds[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

Test(base_log, text_line)
{
    start(POA_LOG_INFO, false);
    poa_log(POA_LOG_WARN, "node", "peer %d is slow", 7);
    cr_assert_str_eq(written(), "2026-11-21T07:42:53.123Z WARN  node: peer 7 is slow\n");
}

Test(base_log, levels_filter)
{
    enum poa_log_level level;
    start(POA_LOG_WARN, false);
    POA_LOG_INFO("node", "not this");
    POA_LOG_DEBUG("node", "nor this");
    cr_assert_str_empty(written());
    POA_LOG_ERROR("node", "this");
    cr_assert_str_not_empty(written());
    cr_assert(poa_log_on(POA_LOG_ERROR));
    cr_assert_not(poa_log_on(POA_LOG_TRACE));
    cr_assert_eq(poa_log_level_parse("DEBUG", &level), POA_OK);
    cr_assert_eq(level, POA_LOG_DEBUG);
    cr_assert_eq(poa_log_level_parse("verbose", &level), POA_E_INVALID);
}

Test(base_log, a_peer_cannot_forge_a_line)
{
    start(POA_LOG_INFO, false);
    poa_log(POA_LOG_INFO, "p2p", "name %s", "a\n2026 ERROR x\x1b[31m");
    cr_assert_str_eq(written(),
                     "2026-11-21T07:42:53.123Z INFO  p2p: name a\\x0a2026 ERROR x\\x1b[31m\n");
}

Test(base_log, json_lines_parse)
{
    static const char *const messages[] = {"plain", "quote \" and \\ and \n", "caf\xc3\xa9",
                                           "broken \xff\xfe", ""};
    start(POA_LOG_INFO, true);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        poa_log(POA_LOG_INFO, "node", "%s", messages[i]);
        const char *line = written();
        cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1, "one line");
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(o, "%s", line);
        cr_assert_str_eq(json_string_value(json_object_get(o, "level")), "info");
        cr_assert_str_eq(json_string_value(json_object_get(o, "module")), "node");
        cr_assert_str_eq(json_string_value(json_object_get(o, "time")), "2026-11-21T07:42:53.123Z");
        if (i < 3)
            cr_assert_str_eq(json_string_value(json_object_get(o, "message")), messages[i]);
        json_decref(o);
    }
}

Test(base_log, long_messages_are_cut)
{
    char big[5000];
    memset(big, '\x01', sizeof big); /* the worst to escape */
    big[sizeof big - 1] = '\0';
    start(POA_LOG_INFO, false);
    poa_log(POA_LOG_INFO, "node", "%s", big);
    const char *line = written();
    cr_assert_not_null(strstr(line, "...\n"));
    cr_assert_lt(strlen(line), 4 * POA_LOG_MESSAGE_MAX + 100);
}

static void repeat(struct poa_log_limit *limit, int times)
{
    for (int i = 0; i < times; i++)
        poa_log_limited(limit, 1000, POA_LOG_WARN, "node", "again");
}

Test(base_log, repeated_events_are_counted)
{
    struct poa_log_limit limit = {0, 0};
    start(POA_LOG_INFO, false);
    repeat(&limit, 10);
    cr_assert_str_eq(written(), "2026-11-21T07:42:53.123Z WARN  node: again\n");
    now_us += 999999;
    repeat(&limit, 5);
    cr_assert_str_empty(written());
    now_us += 1;
    repeat(&limit, 2);
    cr_assert_str_eq(written(),
                     "2026-11-21T07:42:53.123Z WARN  node: again (14 like this suppressed)\n");
}

static void *log_often(void *arg)
{
    for (int i = 0; i < 50; i++) {
        poa_log(POA_LOG_INFO, "node", "%s", (const char *)arg);
        POA_LOG_LIMITED(1000, POA_LOG_INFO, "node", "limited");
    }
    return NULL;
}

Test(base_log, lines_of_threads_do_not_mix)
{
    static char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    pthread_t ta, tb;
    start(POA_LOG_INFO, false);
    cr_assert_eq(pthread_create(&ta, NULL, log_often, a), 0);
    cr_assert_eq(pthread_create(&tb, NULL, log_often, b), 0);
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    char *text = strdup(written()), *rest = text, *line;
    int lines = 0, limited = 0;
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        const char *message = strstr(line, "node: ");
        cr_assert_not_null(message);
        message += 6;
        lines++;
        if (strncmp(message, "limited", 7) == 0)
            limited++;
        else
            cr_assert(strcmp(message, a) == 0 || strcmp(message, b) == 0, "%s", message);
    }
    cr_assert_eq(limited, 1);
    cr_assert_eq(lines, 101);
    free(text);
}

Test(base_log, panic_says_where_and_aborts, .signal = SIGABRT)
{
    start(POA_LOG_INFO, false);
    POA_ASSERT(1 + 1 == 3);
}
