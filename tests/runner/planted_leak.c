/* Must fail under AddressSanitizer's leak detection: see planted.sh. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(planted, leak)
{
    char *volatile lost = malloc(100);
    cr_assert_not_null(lost);
    lost = NULL;
}
