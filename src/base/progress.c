#include "poa_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US UINT64_C(1000000)

bool poa_progress_due(struct poa_progress *p, const char *what, uint64_t now_us, bool terminal)
{
    if (!p->said_us || strncmp(p->what, what, sizeof p->what - 1) != 0) {
        *p = (struct poa_progress){.begun_us = now_us, .said_us = now_us};
        snprintf(p->what, sizeof p->what, "%s", what);
    }
    uint64_t pause_us = (p->said_us - p->begun_us) / 10;
    pause_us = pause_us < 2 * SECOND_US ? 2 * SECOND_US : pause_us;
    pause_us = pause_us > 60 * SECOND_US ? 60 * SECOND_US : pause_us;
    if (now_us - p->said_us < (terminal ? SECOND_US : pause_us))
        return false;
    p->said_us = now_us;
    return true;
}

static void write_left(uint64_t seconds, char *out, size_t n)
{
    if (seconds < 120)
        snprintf(out, n, "%" PRIu64 " s", seconds);
    else if (seconds < 7200)
        snprintf(out, n, "%" PRIu64 " min", seconds / 60);
    else
        snprintf(out, n, "%" PRIu64 " h", seconds / 3600);
}

void poa_progress_text(const struct poa_progress *p, uint64_t now_us, uint64_t done, uint64_t total,
                       char out[POA_PROGRESS_TEXT_MAX])
{
    char left[32];
    if (!total) {
        snprintf(out, POA_PROGRESS_TEXT_MAX, "%" PRIu64, done);
        return;
    }
    done = done > total ? total : done;
    double share = (double)done / (double)total;
    if (!done || now_us - p->begun_us < SECOND_US) {
        snprintf(out, POA_PROGRESS_TEXT_MAX, "%.0f %%", share * 100);
        return;
    }
    double age_s = (double)(now_us - p->begun_us) / (double)SECOND_US;
    double left_s = age_s / share * (1 - share) + 0.5;
    write_left(left_s < 1e12 ? (uint64_t)left_s : (uint64_t)1e12, left, sizeof left);
    snprintf(out, POA_PROGRESS_TEXT_MAX, "%.0f %%, %s left", share * 100, left);
}
