/* What a device shows to its owner: its registration, signed by itself. */
#include <ctype.h>
#include <string.h>

#include "poa_agent.h"

#define PREFIX     "POA:PAIR:"
#define MAKER_SIG  128 /* from the end: left out, the maker signs last */
#define RECORD_MAX 600

int agent_pair_text(const uint8_t chain32[32], const uint8_t seed32[32], struct poa_op_device *d,
                    char text[AGENT_PAIR_TEXT])
{
    uint8_t bytes[RECORD_MAX], maker[32], device[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_ed25519_public(seed32, d->device);
    memset(d->maker_sig, 0, sizeof d->maker_sig);
    poa_attest_digests(chain32, d, maker, device);
    poa_suite_ed25519.sign(seed32, d->device, device, sizeof device, d->device_sig);
    int e = poa_op_device_encode(&w, d);
    if (e)
        return e;
    size_t at = w.n - MAKER_SIG;
    memmove(bytes + at, bytes + at + 64, 64);
    strcpy(text, PREFIX);
    poa_hex(bytes, w.n - 64, text + strlen(PREFIX));
    for (char *p = text; *p; p++) /* the letters for which QR has a short form */
        *p = (char)toupper((unsigned char)*p);
    return POA_OK;
}

int agent_pair_parse(const char *text, uint8_t buffer[AGENT_PAIR_BYTES], struct poa_op_device *out)
{
    size_t n = strlen(text);
    if (n <= strlen(PREFIX) || strncasecmp(text, PREFIX, strlen(PREFIX)) != 0)
        return POA_E_TEXT;
    text += strlen(PREFIX);
    n = strlen(text);
    if (n % 2 || n / 2 < 64 || n / 2 + 64 > AGENT_PAIR_BYTES || poa_unhex(text, buffer, n / 2))
        return POA_E_TEXT;
    n /= 2;
    memmove(buffer + n, buffer + n - 64, 64);
    memset(buffer + n - 64, 0, 64);
    return poa_op_device_decode(poa_slice(buffer, n + 64), out) ? POA_E_TEXT : POA_OK;
}
