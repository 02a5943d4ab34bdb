/* Must fail under AddressSanitizer's leak detection: see planted.sh. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(planted, leak)
{
    char *volatile lost;
    /* Many: any word of the stack or a register may happen to look like one of them. */
    for (int i = 0; i < 100; i++) {
        lost = malloc(100);
        cr_assert_not_null(lost);
    }
    lost = NULL;
}
