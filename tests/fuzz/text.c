/* Short texts from people and files: addresses, hex, numbers, host:port.
 * What is accepted has one meaning and can be written again. */
#include <ctype.h>
#include <math.h>
#include <unistd.h>

#include "fuzz.h"
#include "poa_config.h"
#include "poa_edge.h"
#include "poa_keystore.h"
#include "poa_log.h"

enum mode { ADDRESS, HEX, NUMBER, HOST_PORT, SENML, LOG, LABEL, MODES };

static void address(const char *text)
{
    uint8_t a[32];
    char again[POA_ADDRESS_TEXT_BYTES];
    enum poa_address_fault fault;
    int e = poa_address_from_text(text, a, &fault);
    FUZZ_CHECK(e == POA_OK || e == POA_E_TEXT);
    FUZZ_CHECK((e == POA_OK) == (fault == POA_ADDRESS_FINE));
    FUZZ_CHECK(poa_address_fault_text(fault) != NULL);
    if (e)
        return;
    poa_address_to_text(a, again);
    FUZZ_CHECK(strlen(text) == strlen(again));
    for (size_t i = 0; text[i]; i++)
        FUZZ_CHECK(tolower((unsigned char)text[i]) == again[i]);
}

static void hex(const char *text)
{
    uint8_t bytes[64];
    char again[129];
    size_t n = strlen(text) / 2;
    if (n > sizeof bytes || poa_unhex(text, bytes, n))
        return;
    FUZZ_CHECK(strlen(text) == 2 * n);
    poa_hex(bytes, n, again);
    for (size_t i = 0; text[i]; i++)
        FUZZ_CHECK(tolower((unsigned char)text[i]) == again[i]);
    FUZZ_CHECK(poa_unhex(text, bytes, n + 1) == POA_E_TEXT);
}

static void host_port(const char *text)
{
    char host[64];
    uint16_t port;
    struct poa_why why;
    int e = poa_config_address(text, host, sizeof host, &port, &why);
    FUZZ_CHECK(e == POA_OK || (e == POA_E_CONFIG && why.text[0]));
    if (!e)
        FUZZ_CHECK(host[0] && strlen(host) < sizeof host && strstr(text, host));
}

static void senml(struct fuzz_in *in)
{
    uint8_t buffer[300];
    struct poa_writer w = poa_writer_over(buffer, fuzz_u16(in) % sizeof buffer);
    struct poa_senml s;
    uint8_t kind = fuzz_u8(in);
    uint64_t base = 1700000000000 + fuzz_u32(in);
    size_t before = w.n;
    poa_senml_begin(&s, &w, "urn:dev:poa:0:", base);
    for (unsigned i = 0; i < 8 && in->n; i++) {
        char name[24], unit[12], number[24];
        struct poa_slice text = fuzz_slice(in, fuzz_u8(in) % sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)text.n, text.n ? (const char *)text.p : "");
        text = fuzz_slice(in, fuzz_u8(in) % sizeof unit);
        snprintf(unit, sizeof unit, "%.*s", (int)text.n, text.n ? (const char *)text.p : "");
        before = w.n;
        int e;
        if (kind & 1) {
            uint64_t at = base + fuzz_u32(in);
            int64_t value = (int64_t)fuzz_u64(in);
            e = poa_senml_add(&s, name, unit[0] ? unit : NULL, at, value, fuzz_u8(in) % 24);
        } else {
            text = fuzz_slice(in, fuzz_u8(in) % sizeof number);
            e = poa_senml_add_text(&s, name, unit[0] ? unit : NULL, base + fuzz_u32(in),
                                   (const char *)text.p, text.n);
        }
        FUZZ_CHECK(e == POA_OK || (e == POA_E_BUFFER && w.n == before) || w.n == before);
        kind = (uint8_t)(kind >> 1 | kind << 7);
    }
    int e = poa_senml_end(&s);
    FUZZ_CHECK((e == POA_OK) == (s.count > 0));
    FUZZ_CHECK(!w.overflow || !s.count);
    if (!e)
        FUZZ_CHECK(w.n > 4 && buffer[0] == '[' && buffer[w.n - 1] == ']');
}

static void number(const char *text, size_t n)
{
    char copy[4097];
    int e = poa_json_number(text, n);
    FUZZ_CHECK(!e || e == POA_E_TEXT || e == POA_E_RANGE);
    if (e == POA_E_TEXT)
        return;
    FUZZ_CHECK(n < sizeof copy);
    memcpy(copy, text, n);
    copy[n] = 0;
    FUZZ_CHECK((fabs(strtod(copy, NULL)) < 1e308) == !e);
    FUZZ_CHECK(n && (text[0] == '-' || isdigit((unsigned char)text[0])));
    FUZZ_CHECK(isdigit((unsigned char)text[n - 1]));
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(isdigit((unsigned char)text[i]) || strchr("+-.eE", text[i]));
}

/* One line each, whatever is in it. */
static void log_line(const char *text, bool json)
{
    static FILE *sink;
    char line[16384];
    if (!sink)
        sink = tmpfile();
    FUZZ_CHECK(sink && !ftruncate(fileno(sink), 0));
    rewind(sink);
    const struct poa_log_config to = {.fd = fileno(sink), .level = POA_LOG_INFO, .json = json};
    const struct poa_log_config back = {.fd = 2, .level = POA_LOG_INFO};
    poa_log_setup(&to);
    poa_log(POA_LOG_ERROR, "fuzz", "%s", text);
    poa_log_setup(&back);
    ssize_t n = pread(fileno(sink), line, sizeof line, 0);
    FUZZ_CHECK(n > 0 && n < (ssize_t)sizeof line);
    for (ssize_t i = 0; i < n; i++)
        FUZZ_CHECK((line[i] == '\n') == (i == n - 1) &&
                   (line[i] == '\n' || (unsigned char)line[i] >= 0x20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t first = fuzz_u8(&in);
    enum mode mode = first % MODES;
    char *text = malloc(in.n + 1);
    FUZZ_CHECK(text != NULL);
    if (in.n)
        memcpy(text, in.p, in.n);
    text[in.n] = 0;
    switch (mode) {
    case ADDRESS:
        address(text);
        break;
    case HEX:
        hex(text);
        break;
    case NUMBER: {
        char *exact = (char *)fuzz_copy(in.p, in.n);
        number(exact, in.n);
        free(exact);
        break;
    }
    case HOST_PORT:
        host_port(text);
        break;
    case SENML:
        senml(&in);
        break;
    case LOG:
        log_line(text, first & 128);
        break;
    case LABEL: {
        char path[256];
        struct poa_why why;
        if (!poa_keystore_path("d", text, path, sizeof path, &why))
            FUZZ_CHECK(!strchr(text, '/') && text[0] != '.' && strlen(path) == strlen(text) + 7);
        break;
    }
    case MODES:
        break;
    }
    free(text);
    return 0;
}

static void seed(const char *name, enum mode mode, const char *text)
{
    char buffer[256];
    buffer[0] = (char)mode;
    snprintf(buffer + 1, sizeof buffer - 1, "%s", text);
    fuzz_seed(name, buffer, 1 + strlen(text));
}

void fuzz_seeds(void)
{
    uint8_t a[32];
    char text[POA_ADDRESS_TEXT_BYTES];
    memset(a, 0x5a, sizeof a);
    poa_address_to_text(a, text);
    seed("address", ADDRESS, text);
    for (char *c = text; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    seed("address-upper", ADDRESS, text);
    seed("hex", HEX, "00ffAb");
    seed("number", NUMBER, "-12.5e+3");
    seed("number-zero", NUMBER, "0.10");
    seed("host", HOST_PORT, "127.0.0.1:7645");
    seed("host-v6", HOST_PORT, "[::1]:80");
    seed("log", LOG, "a line\n2026 ERROR forged \x1b[31m \xff \xc3\xa4");
    fuzz_seed("log-json",
              "\xfd"
              "a \"line\"\n\xff",
              11);
    seed("label", LABEL, "wallet-1");
    static const uint8_t readings[] = {SENML, 200, 0,   2,   0,   0,   0,   0,   5,   'p', 'o', 'w',
                                       'e',   'r', 1,   'W', 4,   '1', '2', '.', '5', 1,   0,   0,
                                       0,     4,   't', 'e', 'm', 'p', 3,   'C', 'e', 'l', 9,   0,
                                       0,     0,   200, 0,   0,   0,   0,   0,   0,   0,   1};
    fuzz_seed("readings", readings, sizeof readings);
}
