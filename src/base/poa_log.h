/* Log: one line per event, to a file descriptor.
 *
 *   2026-11-21T07:42:53.123Z INFO  node: listening on 127.0.0.1:7000
 *   {"time":"2026-11-21T07:42:53.123Z","level":"info","module":"node","message":"..."}
 *
 * Each line is one write, so lines of several threads and processes do not mix.
 * Control characters are escaped: what a peer sends cannot forge a line. Never
 * pass a secret. All functions are thread-safe.
 */
#ifndef POA_LOG_H
#define POA_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "poa_clock.h"
#include "poa_error.h"

enum poa_log_level {
    POA_LOG_ERROR, /* needs a person */
    POA_LOG_WARN,  /* works, but something is wrong */
    POA_LOG_INFO,  /* what an operator wants to see: a few lines per minute */
    POA_LOG_DEBUG,
    POA_LOG_TRACE,
};

/* Longer messages are cut and end in "...". */
#define POA_LOG_MESSAGE_MAX 1500

struct poa_log_config {
    int fd; /* borrowed */
    enum poa_log_level level;
    bool json;
    const struct poa_clock *clock; /* NULL: the system's; else borrowed */
};

/* Until it is called: standard error, INFO, text, system clock. */
void poa_log_setup(const struct poa_log_config *config);
bool poa_log_on(enum poa_log_level level);
/* MODULE is a short static name. */
void poa_log(enum poa_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *poa_log_level_name(enum poa_log_level level); /* "error" ... "trace" */
/* POA_E_INVALID for another name. */
POA_MUST_USE int poa_log_level_parse(const char *name, enum poa_log_level *level);

#define POA_LOG_ERROR(module, ...) poa_log(POA_LOG_ERROR, module, __VA_ARGS__)
#define POA_LOG_WARN(module, ...)  poa_log(POA_LOG_WARN, module, __VA_ARGS__)
#define POA_LOG_INFO(module, ...)  poa_log(POA_LOG_INFO, module, __VA_ARGS__)
/* Arguments are evaluated only when the level is on. */
#define POA_LOG_DEBUG(module, ...)                                                                 \
    do {                                                                                           \
        if (poa_log_on(POA_LOG_DEBUG))                                                             \
            poa_log(POA_LOG_DEBUG, module, __VA_ARGS__);                                           \
    } while (0)
#define POA_LOG_TRACE(module, ...)                                                                 \
    do {                                                                                           \
        if (poa_log_on(POA_LOG_TRACE))                                                             \
            poa_log(POA_LOG_TRACE, module, __VA_ARGS__);                                           \
    } while (0)

/* For events that a peer or a full disk can repeat thousands of times: at most
 * one line per INTERVAL_MS from each place in the source (each STATE); the next
 * line says how many were suppressed. */
struct poa_log_limit {
    uint64_t next_us; /* zero-initialise */
    uint64_t suppressed;
};
void poa_log_limited(struct poa_log_limit *state, uint32_t interval_ms, enum poa_log_level level,
                     const char *module, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
#define POA_LOG_LIMITED(interval_ms, level, module, ...)                                           \
    do {                                                                                           \
        static struct poa_log_limit poa_log_limit_;                                                \
        poa_log_limited(&poa_log_limit_, interval_ms, level, module, __VA_ARGS__);                 \
    } while (0)

#endif
