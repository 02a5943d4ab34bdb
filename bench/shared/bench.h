/* What every benchmark measures itself against. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#include "poa_error.h"

#define BENCH_CORES_MAX 64

double bench_now(void);        /* seconds, monotonic */
double bench_cpu(void);        /* seconds of CPU that this process has used */
double bench_thread_cpu(void); /* of CPU that this thread has used */
unsigned bench_cores(void);
/* Every thread of this process, from now on, on the first CORES cores. */
void bench_pin(unsigned cores);

/* The limit: BIP340 verification on CORES threads that do nothing else, for
 * SECONDS. Wall time feels other work on the machine, CPU time hardly. */
struct bench_limit {
    double per_s;  /* all threads together */
    double cpu_us; /* of one */
};
struct bench_limit bench_verify(unsigned cores, double seconds);

/* Ends the program with one line when RC is an error. */
void bench_must(int rc, const char *what);

/* Median of the N numbers in V, which is sorted by it. */
double bench_median(double *v, unsigned n);

#endif
