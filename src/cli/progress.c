/* How far a command is, on standard error: a bar on a terminal, lines elsewhere. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "poa_cli.h"

#define BAR "##############################"

void cli_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct cli_progress *t = ctx;
    struct timespec now;
    char text[POA_PROGRESS_TEXT_MAX];
    bool terminal = isatty(2);
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (!poa_progress_due(&t->progress, what, now_us, terminal))
        return;
    poa_progress_text(&t->progress, now_us, done, total, text);
    t->said = terminal;
    if (!terminal) {
        fprintf(stderr, "poa: %s: %s\n", what, text);
        return;
    }
    int width = (int)sizeof BAR - 1, full = 0;
    if (total)
        full = (int)((double)(done < total ? done : total) / (double)total * width);
    fprintf(stderr, "\r\033[Kpoa: %s ", what);
    if (total)
        fprintf(stderr, "[%.*s%*s] ", full, BAR, width - full, "");
    fputs(text, stderr);
    fflush(stderr);
}

void cli_progress_end(struct cli_progress *t)
{
    if (t->said)
        fprintf(stderr, "\r\033[K");
    t->said = false;
}
