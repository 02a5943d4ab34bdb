/* Must fail under UBSan: see planted.sh. */
#include <criterion/criterion.h>
#include <limits.h>

Test(planted, overflow)
{
    volatile int n = INT_MAX;
    n = n + 1;
}
