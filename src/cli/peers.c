/* poa peers: who a node talks with, and who misbehaved. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "poa_cli.h"

/* One line per node, 100 characters with an address of 21. */
#define HEAD "%-8s %-8s %-8s %-21s %4s %-4s %4s %5s %6s %5s %5s %5s %5s\n"

/* With the largest unit of UNITS that it fills; STEP[i] of unit i are the next one. */
static void scaled(char out[24], uint64_t n, const char *units, const uint64_t *full,
                   const uint64_t *step)
{
    unsigned i = 0;
    for (; units[i + 1] != 0 && n >= full[i]; i++)
        n /= step[i];
    snprintf(out, 24, "%" PRIu64 "%c", n, units[i]);
}

static void bytes_text(char out[24], const json_t *p, const char *field)
{
    static const uint64_t full[] = {10000, 10000, 10000, 10000}, step[] = {1024, 1024, 1024, 1024};
    scaled(out, cli_number(p, field), "BKMGT", full, step);
}

static void time_text(char out[24], const json_t *p, const char *field)
{
    static const uint64_t full[] = {60, 60, 24}, step[] = {60, 60, 24};
    if (json_is_null(json_object_get(p, field)))
        snprintf(out, 24, "-");
    else
        scaled(out, cli_number(p, field) / 1000, "smhd", full, step);
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

static void print_peer(const json_t *p)
{
    const json_t *member = json_object_get(p, "member");
    const char *key = json_string_value(json_object_get(p, "key"));
    char short_key[9] = "-", seat[16] = "-", height[24] = "-", rtt[24] = "-", score[24];
    char name[9], since[24], heard[24], in[24], out[24];
    if (key)
        snprintf(short_key, sizeof short_key, "%.8s", key);
    if (json_is_integer(member))
        snprintf(seat, sizeof seat, "%d", (int)json_integer_value(member));
    if (cli_number(p, "height") > 0)
        snprintf(height, sizeof height, "%" PRIu64, cli_number(p, "height"));
    if (cli_number(p, "rtt_us") > 0)
        snprintf(rtt, sizeof rtt, "%.1f", (double)cli_number(p, "rtt_us") / 1000);
    snprintf(score, sizeof score, "%" PRIu64, cli_number(p, "score"));
    time_text(since, p, "connected_ms");
    time_text(heard, p, "heard_ms");
    bytes_text(in, p, "received_bytes");
    bytes_text(out, p, "sent_bytes");
    snprintf(name, sizeof name, "%.8s", cli_text(p, "name"));
    printf(HEAD, short_key, name, cli_text(p, "role"), cli_text(p, "address"), seat,
           cli_text(p, "direction"), since, heard, height, in, out, rtt, score);
    print_notes(p);
}

int cli_peers(const struct cli *c)
{
    json_t *v;
    if (cli_call(c, "poa_peers_list", NULL, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    printf(HEAD, "key", "name", "role", "address", "seat", "way", "for", "heard", "height", "in",
           "out", "rtt", "score");
    for (size_t i = 0; i < json_array_size(v); i++)
        print_peer(json_array_get(v, i));
    json_decref(v);
    return 0;
}
