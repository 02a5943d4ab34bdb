/* Signals of conditions in test programs, see wake.c. */
#ifndef WAKE_H
#define WAKE_H

#include <stdatomic.h>

/* So many of the next signals wake nobody, of those for a condition on which several
 * threads wait. */
extern _Atomic int wake_lose;

#endif
