/* Addresses as text: bech32m, BIP350 and BIP173. */
#include "poa_keys.h"

#include <string.h>

#define DATA_DIGITS     52 /* 256 bits in fives, padded with 4 zero bits */
#define CHECKSUM_DIGITS 6
#define HRP_CHARS       (sizeof POA_ADDRESS_HRP - 1)
#define TEXT_CHARS      (HRP_CHARS + 1 + DATA_DIGITS + CHECKSUM_DIGITS)
#define BECH32M_CONST   0x2bc830a3u

static const char digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t polymod_step(uint32_t c, uint8_t value)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                          0x2a1462b3};
    uint32_t top = c >> 25;
    c = (c & 0x1ffffff) << 5 ^ value;
    for (int i = 0; i < 5; i++)
        c ^= generator[i] & (0u - (top >> i & 1)); /* a branch would be a coin's */
    return c;
}

static uint32_t polymod_hrp(void)
{
    uint32_t c = 1;
    for (size_t i = 0; i < HRP_CHARS; i++)
        c = polymod_step(c, (uint8_t)(POA_ADDRESS_HRP[i] >> 5));
    c = polymod_step(c, 0);
    for (size_t i = 0; i < HRP_CHARS; i++)
        c = polymod_step(c, POA_ADDRESS_HRP[i] & 31);
    return c;
}

void poa_address_to_text(const uint8_t address32[32], char text[POA_ADDRESS_TEXT_BYTES])
{
    uint32_t c = polymod_hrp(), bits = 0;
    unsigned have = 0;
    size_t in = 0;
    char *out = text;

    memcpy(out, POA_ADDRESS_HRP "1", HRP_CHARS + 1);
    out += HRP_CHARS + 1;
    for (int i = 0; i < DATA_DIGITS; i++) {
        if (have < 5) {
            bits = bits << 8 | (in < 32 ? address32[in] : 0);
            in++;
            have += 8;
        }
        have -= 5;
        uint8_t v = bits >> have & 31;
        c = polymod_step(c, v);
        *out++ = digits[v];
    }
    for (int i = 0; i < CHECKSUM_DIGITS; i++)
        c = polymod_step(c, 0);
    c ^= BECH32M_CONST;
    for (int i = 0; i < CHECKSUM_DIGITS; i++)
        *out++ = digits[c >> 5 * (5 - i) & 31];
    *out = '\0';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static enum poa_address_fault parse(const char *text, uint8_t address32[32])
{
    static const char prefix[] = POA_ADDRESS_HRP "1";
    bool upper = false, lower = false;
    uint32_t c = polymod_hrp(), bits = 0;
    unsigned have = 0;
    size_t n = 0, out = 0;

    while (n <= TEXT_CHARS && text[n] != '\0')
        n++;
    for (size_t i = 0; i < n; i++) {
        upper = upper || is_upper(text[i]);
        lower = lower || (text[i] >= 'a' && text[i] <= 'z');
    }
    for (size_t i = 0; i < sizeof prefix - 1; i++)
        if (i >= n || (is_upper(text[i]) ? text[i] - 'A' + 'a' : text[i]) != prefix[i])
            return POA_ADDRESS_PREFIX;
    if (n != TEXT_CHARS)
        return POA_ADDRESS_LENGTH;
    if (upper && lower)
        return POA_ADDRESS_CASE;
    for (size_t i = sizeof prefix - 1; i < n; i++) {
        char low = (char)(is_upper(text[i]) ? text[i] - 'A' + 'a' : text[i]);
        const char *d = strchr(digits, low);
        if (d == NULL)
            return POA_ADDRESS_CHARACTER;
        uint8_t v = (uint8_t)(d - digits);
        c = polymod_step(c, v);
        if (i >= sizeof prefix - 1 + DATA_DIGITS)
            continue;
        bits = bits << 5 | v;
        have += 5;
        if (have >= 8 && out < 32) {
            have -= 8;
            address32[out++] = (uint8_t)(bits >> have);
        }
    }
    if (c != BECH32M_CONST)
        return POA_ADDRESS_CHECKSUM;
    return (bits & 0xf) == 0 ? POA_ADDRESS_FINE : POA_ADDRESS_PADDING;
}

int poa_address_from_text(const char *text, uint8_t address32[32], enum poa_address_fault *fault)
{
    enum poa_address_fault f = parse(text, address32);
    if (fault != NULL)
        *fault = f;
    return f == POA_ADDRESS_FINE ? POA_OK : POA_E_TEXT;
}

const char *poa_address_fault_text(enum poa_address_fault fault)
{
    switch (fault) {
    case POA_ADDRESS_FINE:
        return "a valid address";
    case POA_ADDRESS_LENGTH:
        return "an address has 62 characters: check that it was copied whole";
    case POA_ADDRESS_PREFIX:
        return "an address starts with poa1";
    case POA_ADDRESS_CHARACTER:
        return "an address has only digits and letters, and none of 1, b, i, o after poa1";
    case POA_ADDRESS_CASE:
        return "an address is written in one case, all lower or all upper";
    case POA_ADDRESS_CHECKSUM:
        return "the address is mistyped: its checksum does not fit";
    case POA_ADDRESS_PADDING:
        return "the address was made by a faulty encoder: its padding is not zero";
    }
    return "not an address";
}
