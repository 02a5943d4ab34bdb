/* A wrong clock: programs with POA_CLOCK_OF in their command line are told a time that is
 * POA_CLOCK_S seconds ahead (behind, when negative). */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static time_t ahead_s;

__attribute__((constructor)) static void begin(void)
{
    char text[4096];
    const char *of = getenv("POA_CLOCK_OF"), *s = getenv("POA_CLOCK_S");
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (of && s && memmem(text, n, of, strlen(of)))
        ahead_s = atoi(s);
    if (f)
        fclose(f);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int (*real)(clockid_t, struct timespec *);
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, t);
    if (!rc && clock == CLOCK_REALTIME)
        t->tv_sec += ahead_s;
    return rc;
}
