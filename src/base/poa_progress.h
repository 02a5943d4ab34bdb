/* progress: when long work says how far it is, and with what words. Pure: whoever
 * works has the clock. */
#ifndef POA_PROGRESS_H
#define POA_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POA_PROGRESS_TEXT_MAX 64

struct poa_progress { /* starts as zero bytes */
    char what[48];    /* part of the work: another one begins anew */
    uint64_t begun_us, said_us;
};

/* Whether it is time to say something of WHAT: on a TERMINAL, where a line replaces
 * the one before, every second; in a log after 2 s, then each time another tenth of the
 * work's age has passed, at most a minute. */
bool poa_progress_due(struct poa_progress *p, const char *what, uint64_t now_us, bool terminal);
/* DONE of TOTAL: "43 %, 2 min left", or only DONE when the total is not known (0). */
void poa_progress_text(const struct poa_progress *p, uint64_t now_us, uint64_t done, uint64_t total,
                       char out[POA_PROGRESS_TEXT_MAX]);

#endif
