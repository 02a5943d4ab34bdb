/* Must fail under AddressSanitizer: see planted.sh. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(planted, overrun)
{
    char *volatile bytes = calloc(1, 16);
    cr_assert_not_null(bytes);
    char *past = bytes + 16;
    cr_expect_neq(*past, 'x');
    free(bytes);
}
