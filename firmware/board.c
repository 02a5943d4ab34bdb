/* What a program needs on QEMU's mps2-an386: vectors, memory, a way to print and
 * to end (semihosting). Unaligned accesses trap, as on cores without them. */
#include "board.h"

#include <string.h>

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
extern uint8_t stack_low[], stack_top[];
int main(void);
void reset(void);
static void fault(void);

__attribute__((section(".vectors"), used)) static const struct {
    const void *top;
    void (*handler[15])(void);
} vectors = {stack_top, {reset, fault, fault, fault, fault, fault}};

static uint32_t semihost(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_print(const char *text)
{
    semihost(4, text); /* SYS_WRITE0 */
}

void board_number(uint32_t n)
{
    char digits[11];
    size_t i = sizeof digits - 1;
    digits[i] = 0;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    board_print(digits + i);
}

void board_exit(int status)
{
    const uint32_t why[2] = {0x20026, (uint32_t)status}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, why);                                 /* SYS_EXIT_EXTENDED */
    for (;;)
        continue;
}

static void fault(void)
{
    board_print("FAIL: a fault of the processor (unaligned access?)\n");
    board_exit(1);
}

/* --- how deep the stack gets ---------------------------------------------------------- */

#define PAINT 0xa5u

void board_paint(void)
{
    uint8_t *here = (uint8_t *)__builtin_frame_address(0) - 64;
    for (volatile uint8_t *p = stack_low; p < here; p++)
        *p = PAINT;
}

uint32_t board_depth(const void *from)
{
    const uint8_t *p = stack_low;
    while (*p == PAINT)
        p++;
    return (uint32_t)((const uint8_t *)from - p);
}

/* --- the C library's share, without its unaligned tricks ------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (n--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if (t <= f)
        return memcpy(to, from, n);
    while (n--)
        t[n] = f[n];
    return to;
}

void *memset(void *to, int value, size_t n)
{
    uint8_t *t = to;
    while (n--)
        *t++ = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

void poa_panic(const char *what, const char *file, int line)
{
    (void)what;
    (void)file;
    board_print("FAIL: an assertion, line ");
    board_number((uint32_t)line);
    board_print("\n");
    board_exit(1);
}

__attribute__((naked)) void reset(void)
{
    __asm__ volatile("ldr r0, =start\n bx r0");
}

__attribute__((used)) void start(void)
{
    volatile uint32_t *ccr = (volatile uint32_t *)0xe000ed14;
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    *ccr |= 1u << 3; /* UNALIGN_TRP */
    board_exit(main());
}
