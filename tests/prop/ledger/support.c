/* The small chain of the unit tests. */
#include "../../unit/ledger/support.c"
