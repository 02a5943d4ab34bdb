/* QEMU's mps2-an386, for the tests of the device library on a Cortex-M4. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

void board_print(const char *text);
void board_number(uint32_t n);
void board_exit(int status) __attribute__((noreturn));
/* Fills the unused stack; board_depth then says how far below FROM it was used. */
void board_paint(void);
uint32_t board_depth(const void *from);

#endif
