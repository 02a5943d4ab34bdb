/* poa_peers_list: each field of the table, as `poa peers` reads it. */
#include "support.h"

static json_t *peers(void)
{
    static char out[65536];
    struct poa_rpc_config c = {.port = 0};
    struct poa_rpc *r = start(&c);
    cr_assert_eq(ask(r, GET("/v1/peers"), "", out, sizeof out), 200, "%s", out);
    json_t *v = json_loads(strstr(out, "\r\n\r\n") + 4, 0, NULL);
    stop(r);
    cr_assert(json_is_array(v));
    return v;
}

Test(peers, every_field_of_the_table)
{
    struct poa_rpc_peer full = {.has_key = true,
                                .key = {0xab},
                                .name = "hall",
                                .role = "witness",
                                .address = "192.0.2.1:7640",
                                .member = 2,
                                .direction = "both",
                                .connected_ms = 61000,
                                .heard_ms = 5,
                                .height = UINT64_C(1) << 60,
                                .received_bytes = 1,
                                .sent_bytes = 2,
                                .queued_bytes = 123456,
                                .rtt_us = 900,
                                .score = 10,
                                .connected = true,
                                .outbound = true,
                                .trouble = "nothing answers there",
                                .banned = true,
                                .ban_ms = 7,
                                .bans = 3,
                                .reason = "replay"};
    struct poa_rpc_peer bare = {.role = "address",
                                .address = "192.0.2.2",
                                .member = -1,
                                .direction = "none",
                                .connected_ms = POA_NEVER,
                                .heard_ms = POA_NEVER,
                                .trouble = "",
                                .reason = ""};
    fake.peer[0] = full;
    fake.peer[1] = bare;
    fake.peers = 2;
    json_t *v = peers();
    char key[65] = "ab00000000000000000000000000000000000000000000000000000000000000";
    json_t *want = json_pack(
        "[{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:s, "
        "s:b, s:s, s:i, s:s},"
        " {s:n, s:s, s:s, s:s, s:n, s:s, s:n, s:n, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:s, "
        "s:b, s:s, s:i, s:s}]",
        "key", key, "name", "hall", "role", "witness", "address", "192.0.2.1:7640", "member", 2,
        "direction", "both", "connected_ms", "61000", "heard_ms", "5", "height",
        "1152921504606846976", "received_bytes", "1", "sent_bytes", "2", "queued_bytes", "123456",
        "rtt_us", 900, "score", 10, "connected", 1, "outbound", 1, "trouble",
        "nothing answers there", "banned", 1, "ban_ms", "7", "bans", 3, "reason", "replay", "key",
        "name", "", "role", "address", "address", "192.0.2.2", "member", "direction", "none",
        "connected_ms", "heard_ms", "height", "0", "received_bytes", "0", "sent_bytes", "0",
        "queued_bytes", "0", "rtt_us", 0, "score", 0, "connected", 0, "outbound", 0, "trouble", "",
        "banned", 0, "ban_ms", "0", "bans", 0, "reason", "");
    cr_assert_not_null(want);
    cr_assert(json_equal(v, want), "%s", json_dumps(v, JSON_INDENT(1)));
#define ROW(name, kind, head, width, text)                                                         \
    cr_assert_not_null(json_object_get(json_array_get(v, 0), #name));
    POA_RPC_PEER_TABLE(ROW)
#undef ROW
    json_decref(want);
    json_decref(v);
}

Test(peers, nobody)
{
    json_t *v = peers();
    cr_assert_eq(json_array_size(v), 0);
    json_decref(v);
}
