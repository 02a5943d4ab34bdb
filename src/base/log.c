#include "poa_log.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct poa_log_config config = {.fd = STDERR_FILENO, .level = POA_LOG_INFO};
/* Read without the lock: a message that is off must cost nothing. */
static int level_now = POA_LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
static const char *const level_labels[] = {"ERROR", "WARN ", "INFO ", "DEBUG", "TRACE"};

void poa_log_setup(const struct poa_log_config *c)
{
    pthread_mutex_lock(&lock);
    config = *c;
    __atomic_store_n(&level_now, (int)c->level, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

bool poa_log_on(enum poa_log_level level)
{
    return (int)level <= __atomic_load_n(&level_now, __ATOMIC_RELAXED);
}

const char *poa_log_level_name(enum poa_log_level level)
{
    return level_names[level];
}

int poa_log_level_parse(const char *name, enum poa_log_level *level)
{
    for (int i = POA_LOG_ERROR; i <= POA_LOG_TRACE; i++)
        if (strcasecmp(name, level_names[i]) == 0) {
            *level = (enum poa_log_level)i;
            return POA_OK;
        }
    return POA_E_INVALID;
}

/* A full disk must not stop the node: what cannot be written is lost. A full pipe
 * makes the caller wait unless FD is non-blocking. */
static void write_line(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static void format_time(uint64_t wall_ms, char out[32])
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    char date[24];
    gmtime_r(&s, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
}

static void emit_text(int fd, const char *when, enum poa_log_level level, const char *module,
                      const char *message)
{
    char line[POA_LOG_MESSAGE_MAX * 4 + 128];
    int head = snprintf(line, 120, "%s %s %.40s: ", when, level_labels[level], module);
    size_t n = (size_t)head;
    for (const char *m = message; *m != '\0'; m++) {
        unsigned char ch = (unsigned char)*m;
        if (ch < 0x20 || ch == 0x7f)
            n += (size_t)snprintf(line + n, 5, "\\x%02x", ch);
        else
            line[n++] = *m;
    }
    line[n++] = '\n';
    write_line(fd, line, n);
}

static void emit_json(int fd, const char *when, enum poa_log_level level, const char *module,
                      char *message)
{
    json_t *text = json_string(message);
    if (text == NULL) { /* not UTF-8 */
        for (char *m = message; *m != '\0'; m++)
            if ((unsigned char)*m >= 0x80)
                *m = '?';
        text = json_string(message);
    }
    json_t *o = json_pack("{s:s, s:s, s:s, s:o}", "time", when, "level", level_names[level],
                          "module", module, "message", text);
    char *line = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    if (line != NULL) {
        size_t n = strlen(line);
        line[n] = '\n'; /* over the terminator */
        write_line(fd, line, n + 1);
    } else {
        emit_text(fd, when, level, module, message);
    }
    free(line);
    json_decref(o);
}

static void emit(enum poa_log_level level, const char *module, uint64_t suppressed,
                 const char *format, va_list ap)
{
    char message[POA_LOG_MESSAGE_MAX + 64], when[32];
    int n = vsnprintf(message, POA_LOG_MESSAGE_MAX, format, ap);
    if (n < 0)
        n = snprintf(message, sizeof message, "(message with a bad format)");
    size_t end = (size_t)n;
    if (n >= POA_LOG_MESSAGE_MAX) {
        end = POA_LOG_MESSAGE_MAX - 1;
        memcpy(message + end - 3, "...", 3);
    }
    if (suppressed > 0)
        snprintf(message + end, sizeof message - end, " (%llu like this suppressed)",
                 (unsigned long long)suppressed);

    pthread_mutex_lock(&lock);
    const struct poa_clock *clock = config.clock != NULL ? config.clock : poa_clock_system();
    format_time(poa_clock_wall_ms(clock), when);
    if (config.json)
        emit_json(config.fd, when, level, module, message);
    else
        emit_text(config.fd, when, level, module, message);
    pthread_mutex_unlock(&lock);
}

void poa_log(enum poa_log_level level, const char *module, const char *format, ...)
{
    va_list ap;
    if (!poa_log_on(level))
        return;
    va_start(ap, format);
    emit(level, module, 0, format, ap);
    va_end(ap);
}

void poa_log_limited(struct poa_log_limit *state, uint32_t interval_ms, enum poa_log_level level,
                     const char *module, const char *format, ...)
{
    va_list ap;
    if (!poa_log_on(level))
        return;
    pthread_mutex_lock(&lock);
    const struct poa_clock *clock = config.clock != NULL ? config.clock : poa_clock_system();
    uint64_t now_us = poa_clock_monotonic_us(clock), suppressed = 0;
    bool due = now_us >= state->next_us;
    if (due) {
        suppressed = state->suppressed;
        state->suppressed = 0;
        state->next_us = now_us + (uint64_t)interval_ms * 1000;
    } else {
        state->suppressed++;
    }
    pthread_mutex_unlock(&lock);
    if (!due)
        return;
    va_start(ap, format);
    emit(level, module, suppressed, format, ap);
    va_end(ap);
}

void poa_panic(const char *what, const char *file, int line)
{
    /* No lock, no allocation: whatever is broken, this line must come out. */
    char text[512];
    int fd = config.fd;
    int n = snprintf(text, sizeof text,
                     "poa: internal error: %s is false at %s:%d: stopping. "
                     "Please report this line.\n",
                     what, file, line);
    if (n > 0) {
        size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
        write_line(fd, text, len);
        if (fd != STDERR_FILENO)
            write_line(STDERR_FILENO, text, len);
    }
    abort();
}
