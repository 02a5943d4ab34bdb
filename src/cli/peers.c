/* poa peers: who a node talks with, and who misbehaved. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "poa_cli.h"

static void print_bytes(uint64_t n)
{
    static const char unit[] = "BKMGT";
    unsigned i = 0;
    while (n >= 10000 && i + 2 < sizeof unit) {
        n /= 1024;
        i++;
    }
    printf(" %5" PRIu64 "%c", n, unit[i]);
}

static void print_peer(const json_t *p)
{
    const json_t *member = json_object_get(p, "member");
    const char *key = json_string_value(json_object_get(p, "key"));
    char committee[16] = "-", rtt[24] = "-";
    if (json_is_integer(member))
        snprintf(committee, sizeof committee, "%d", (int)json_integer_value(member));
    if (cli_number(p, "rtt_us") > 0)
        snprintf(rtt, sizeof rtt, "%.2f", (double)cli_number(p, "rtt_us") / 1000);
    printf("%-12.12s %-10.10s %-8s %-22s %4s %-4s", key ? key : "-", cli_text(p, "name"),
           cli_text(p, "role"), cli_text(p, "address"), committee, cli_text(p, "direction"));
    print_bytes(cli_number(p, "received_bytes"));
    print_bytes(cli_number(p, "sent_bytes"));
    print_bytes(cli_number(p, "queued_bytes"));
    printf(" %8s %5" PRIu64, rtt, cli_number(p, "score"));
    if (json_is_true(json_object_get(p, "banned")))
        printf("  banned for %" PRIu64 " s", (cli_number(p, "ban_ms") + 999) / 1000);
    if (cli_text(p, "reason")[0] != 0)
        printf("%s %s", json_is_true(json_object_get(p, "banned")) ? ":" : " ",
               cli_text(p, "reason"));
    printf("\n");
}

int cli_peers(const struct cli *c)
{
    json_t *v;
    if (cli_call(c, "poa_peers_list", NULL, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    printf("%-12s %-10s %-8s %-22s %4s %-4s %6s %6s %6s %8s %5s\n", "key", "name", "role",
           "address", "seat", "way", "in", "out", "queue", "rtt ms", "score");
    for (size_t i = 0; i < json_array_size(v); i++)
        print_peer(json_array_get(v, i));
    json_decref(v);
    return 0;
}
