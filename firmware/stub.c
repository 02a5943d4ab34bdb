/* The board of the example in docs/device.md, as small as it can be: what is
 * measured is the library. */
#include <stddef.h>
#include <stdint.h>

#include "poa_error.h"

int board_tcp_open(const char *host, unsigned port);
int board_tcp_state(void);
int board_tcp_read(uint8_t *bytes, size_t cap);
int board_tcp_write(const uint8_t *bytes, size_t n);
void board_tcp_close(void);
uint64_t board_ms(void);
void board_sleep_ms(uint64_t ms);
void board_random(uint8_t *out, size_t n);
int board_flash_load(int record, uint8_t *buffer, size_t cap, size_t *n);
int board_flash_store(int record, const uint8_t *bytes, size_t n);
int board_watts(void);
void board_lamp(int on);
int board_peer(uint8_t key32[32]);
void board_open_to(const uint8_t key32[32], uint64_t sealed);
int board_bill(uint8_t address32[32], uint64_t *amount);
void device_main(void);
void reset(void);

const uint8_t device_seed[32] = {1}, device_key[32] = {2};
/* A register of the board: the compiler must not know what comes of it. */
static volatile uint32_t port;

#define VALUE ((int)port)
int board_tcp_open(const char *host, unsigned number)
{
    (void)host;
    port = number;
    return VALUE;
}
int board_tcp_state(void)
{
    return VALUE;
}
int board_tcp_read(uint8_t *bytes, size_t cap)
{
    bytes[0] = (uint8_t)port;
    return VALUE + (int)cap;
}
int board_tcp_write(const uint8_t *bytes, size_t n)
{
    port = bytes[0];
    return VALUE + (int)n;
}
void board_tcp_close(void)
{
    port = 0;
}
uint64_t board_ms(void)
{
    return port;
}
void board_sleep_ms(uint64_t ms)
{
    port = (uint32_t)ms;
}
void board_random(uint8_t *out, size_t n)
{
    while (n--)
        *out++ = (uint8_t)port;
}
int board_flash_load(int record, uint8_t *buffer, size_t cap, size_t *n)
{
    buffer[0] = (uint8_t)(port + cap);
    *n = port;
    return record + VALUE;
}
int board_flash_store(int record, const uint8_t *bytes, size_t n)
{
    port = bytes[n - 1];
    return record + VALUE;
}
int board_watts(void)
{
    return VALUE;
}
void board_lamp(int on)
{
    port = (uint32_t)on;
}
int board_peer(uint8_t key32[32])
{
    key32[0] = (uint8_t)port;
    return VALUE;
}
void board_open_to(const uint8_t key32[32], uint64_t sealed)
{
    port = key32[0] + (uint32_t)sealed;
}
int board_bill(uint8_t address32[32], uint64_t *amount)
{
    address32[0] = (uint8_t)port;
    *amount = port;
    return VALUE;
}

void poa_panic(const char *what, const char *file, int line)
{
    (void)what;
    (void)file;
    (void)line;
    for (;;)
        port = 0;
}

void reset(void)
{
    device_main();
}
