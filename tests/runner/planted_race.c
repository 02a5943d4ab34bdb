/* Must fail under ThreadSanitizer: see planted.sh. */
#include <criterion/criterion.h>
#include <pthread.h>

static int shared;

static void *bump(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++)
        shared++;
    return NULL;
}

Test(planted, race)
{
    pthread_t a, b;
    cr_assert_eq(pthread_create(&a, NULL, bump, NULL), 0);
    cr_assert_eq(pthread_create(&b, NULL, bump, NULL), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
}
