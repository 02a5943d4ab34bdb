/* poa peers: who a node talks with, and who misbehaved. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "poa_cli.h"
#include "poa_rpc.h"

#define CELL 160

/* With the largest unit of UNITS that it fills; STEP[i] of unit i are the next one. */
static void scaled(char out[CELL], uint64_t n, const char *units, const uint64_t *full,
                   const uint64_t *step)
{
    unsigned i = 0;
    for (; units[i + 1] != 0 && n >= full[i]; i++)
        n /= step[i];
    snprintf(out, CELL, "%" PRIu64 "%c", n, units[i]);
}

/* --- one cell of each kind ------------------------------------------------------------- */

static void text_cell(char out[CELL], const json_t *p, const char *field)
{
    snprintf(out, CELL, "%s", cli_text(p, field));
}

static void short_cell(char out[CELL], const json_t *p, const char *field)
{
    const char *text = json_string_value(json_object_get(p, field));
    snprintf(out, CELL, "%.8s", text != NULL ? text : "-");
}

static void number_cell(char out[CELL], const json_t *p, const char *field)
{
    snprintf(out, CELL, "%" PRIu64, cli_number(p, field));
}

static void height_cell(char out[CELL], const json_t *p, const char *field)
{
    if (cli_number(p, field) > 0)
        number_cell(out, p, field);
}

static void rtt_cell(char out[CELL], const json_t *p, const char *field)
{
    if (cli_number(p, field) > 0)
        snprintf(out, CELL, "%.1f", (double)cli_number(p, field) / 1000);
}

static void seat_cell(char out[CELL], const json_t *p, const char *field)
{
    const json_t *seat = json_object_get(p, field);
    if (json_is_integer(seat))
        snprintf(out, CELL, "%d", (int)json_integer_value(seat));
}

static void bytes_cell(char out[CELL], const json_t *p, const char *field)
{
    static const uint64_t full[] = {10000, 10000, 10000, 10000}, step[] = {1024, 1024, 1024, 1024};
    scaled(out, cli_number(p, field), "BKMGT", full, step);
}

static void time_cell(char out[CELL], const json_t *p, const char *field)
{
    static const uint64_t full[] = {60, 60, 24}, step[] = {60, 60, 24};
    if (!json_is_null(json_object_get(p, field)))
        scaled(out, cli_number(p, field) / 1000, "smhd", full, step);
}

static void flag_cell(char out[CELL], const json_t *p, const char *field)
{
    snprintf(out, CELL, "%s", json_is_true(json_object_get(p, field)) ? "yes" : "no");
}

#define KEY     short_cell
#define NAME    short_cell
#define TEXT    text_cell
#define ADDRESS text_cell
#define SEAT    seat_cell
#define TIME    time_cell
#define HEIGHT  height_cell
#define BYTES   bytes_cell
#define RTT     rtt_cell
#define COUNT   number_cell
#define NUMBER  number_cell
#define FLAG    flag_cell
static const struct column {
    const char *field, *head; /* head NULL: in the notes */
    int width;
    void (*cell)(char out[CELL], const json_t *p,
                 const char *field); /* "-" when it writes nothing */
} column[] = {
#define ROW(name, kind, head, width, text) {#name, head, width, kind},
    POA_RPC_PEER_TABLE(ROW)
#undef ROW
};
#define COLUMNS (sizeof column / sizeof column[0])

/* P NULL: the headings. */
static void print_line(const json_t *p)
{
    for (const struct column *c = column; c < column + COLUMNS; c++) {
        char cell[CELL] = "-";
        if (c->head == NULL)
            continue;
        if (p != NULL)
            c->cell(cell, p, c->field);
        printf("%s%*s", c == column ? "" : " ", c->width, p != NULL ? cell : c->head);
    }
    putchar('\n');
}

static void print_notes(const json_t *p)
{
    bool banned = json_is_true(json_object_get(p, "banned"));
    uint64_t bans = cli_number(p, "bans");
    const char *reason = cli_text(p, "reason");
    if (cli_text(p, "trouble")[0] != 0 && !banned)
        printf("    %s\n", cli_text(p, "trouble"));
    if (banned)
        printf("    banned for %" PRIu64 " s, ban %" PRIu64 ": %s\n",
               (cli_number(p, "ban_ms") + 999) / 1000, bans, reason);
    else if (bans > 0)
        printf("    banned %" PRIu64 " %s before: %s\n", bans, bans == 1 ? "time" : "times",
               reason);
    else if (reason[0] != 0)
        printf("    %s\n", reason);
}

int cli_peers(const struct cli *c)
{
    json_t *v;
    if (cli_call(c, "poa_peers_list", NULL, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    print_line(NULL);
    for (size_t i = 0; i < json_array_size(v); i++) {
        print_line(json_array_get(v, i));
        print_notes(json_array_get(v, i));
    }
    json_decref(v);
    return 0;
}
