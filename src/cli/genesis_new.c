/* poa genesis new: the JSON form of a genesis, from the witnesses of a first network. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_cli.h"
#include "poa_ledger.h"
#include "poa_risk.h"
#include "poa_rpc_json.h"

#define WITNESSES_MAX 128
/* What the steering committee's account holds at first: a thousandth of what fits. */
#define SUPPLY      1000000000000000ull
#define CAP         ((size_t)1 << 20)
#define P_BAD       "0.01"
#define P_OFFLINE   "0.01"
#define EXP_LARGEST 15

/* NAME=KEY@HOST:PORT. Servers of different makers, regions and providers until somebody
 * says otherwise: caps and bounds then concern each by itself. */
static json_t *witness(const char *text, unsigned number)
{
    uint8_t key[32], payout[32];
    char name[65], hex[65], mesh[192], mesh_hex[2 * sizeof mesh];
    const char *equals = strchr(text, '='), *at = strchr(text, '@');
    if (equals == NULL || at == NULL || at != equals + 65 || strchr(at + 1, ':') == NULL) {
        cli_misuse("%.80s is not NAME=KEY@HOST:PORT with a key of 64 hex digits", text);
        return NULL;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    snprintf(hex, sizeof hex, "%.64s", equals + 1);
    if ((size_t)snprintf(mesh, sizeof mesh, POA_WITNESS_META_MESH "%s", at + 1) >= sizeof mesh ||
        poa_unhex(hex, key, 32) != POA_OK) {
        cli_misuse("%.80s: the key is not hex, or the address is too long", text);
        return NULL;
    }
    poa_address_of_key(POA_KEY_ED25519, key, payout);
    poa_hex((const uint8_t *)mesh, strlen(mesh), mesh_hex);
    return json_pack("{s:s, s:i, s:i, s:i, s:o, s:s, s:s}", "key", hex, "maker", (int)number,
                     "region", (int)number, "provider", (int)number, "payout",
                     poa_json_address(payout), "name", name, "meta", mesh_hex);
}

/* A network of servers over the internet, devices that may take seconds. */
static json_t *parameters(const char *name, const uint8_t steering32[32])
{
    static const struct {
        const char *name;
        unsigned value;
    } number[] = {
        {"version", 1},
        {"devnet", 0},
        {"slot_ms", 1000},
        {"block_min_ms", 50},
        {"heartbeat_ms", 1000},
        {"timeout_ms", 1000},
        {"timeout_max_ms", 30000},
        {"drift_ms", 500},
        {"committee_size", 0},
        {"quorum_extra", 0},
        {"cap_maker", 0},
        {"cap_region", 0},
        {"cap_provider", 0},
        {"policy", 0},
        {"window_slots", 64},
        {"seats_per_slot", 3},
        {"seal_slots", 64},
        {"miner_bp", 5000},
        {"sealers_bp", 3000},
        {"witnesses_bp", 500},
        {"data_bp", 1000},
        {"commerce_bp", 100},
        {"grade2_seals", 0},
        {"grade2_span", 0},
        {"grade2_makers", 0},
        {"grade2_regions", 0},
        {"hold_slots", 0},
        {"epoch_views", 20000},
        {"subsidy", 1000000},
        {"halving_slots", 0},
        {"tip", 1000},
        {"fee_min", 10},
        {"fee_per_kib", 10},
        {"hold_above", 0},
    };
    json_t *v = json_object();
    json_object_set_new(v, "name", json_string(name));
    json_object_set_new(v, "time_ms", poa_json_u64(poa_clock_wall_ms(poa_clock_system())));
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
        json_object_set_new(v, number[i].name, json_integer(number[i].value));
    json_object_set_new(v, "steering", poa_json_address(steering32));
    json_object_set_new(v, "treasury", poa_json_address(steering32));
    return v;
}

static bool fraction(const struct cli *c, int option, const char *name, const char *usual,
                     json_t *into, const char *key)
{
    const char *text = c->option[option] != NULL ? c->option[option] : usual;
    char *end = NULL;
    double p = strtod(text, &end);
    if (end == text || *end != 0 || !(p >= 0 && p <= 0.5)) {
        cli_misuse("--%s: %s is not a fraction from 0 to 0.5", name, text);
        return false;
    }
    json_object_set_new(into, key, poa_json_u64((uint64_t)llround(p * 1e9)));
    return true;
}

/* Sets the smallest targets, in powers of ten, that the committee meets. */
static int state_targets(json_t *v, struct poa_risk *risk)
{
    uint8_t *scratch = malloc(CAP);
    struct poa_genesis g;
    struct poa_why why = {{0}};
    const char *broken = NULL;
    int rc = scratch != NULL ? 0 : cli_fail("out of memory");
    struct poa_writer w = poa_writer_over(scratch, CAP);
    json_object_set_new(v, "risk_target_exp", json_integer(1));
    json_object_set_new(v, "risk_stall_exp", json_integer(1));
    if (rc == 0 && poa_json_to_record(&poa_genesis_record, v, &w, &g, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    else if (rc == 0 && poa_genesis_check(&g, &broken) != POA_OK)
        rc = cli_fail("%s", broken != NULL ? broken : "a rule of the genesis is broken");
    if (rc == 0) {
        poa_risk_planned(&g, risk);
        g.risk_target_exp = g.risk_stall_exp = EXP_LARGEST;
        while (g.risk_target_exp > 1 &&
               risk->bounds.fork.value > pow(10, -(double)g.risk_target_exp))
            g.risk_target_exp--;
        while (g.risk_stall_exp > 1 &&
               risk->bounds.stall.value > pow(10, -(double)g.risk_stall_exp))
            g.risk_stall_exp--;
        if (poa_risk_check(&g, risk, &why) != POA_OK)
            rc = cli_fail("%s", why.text);
        json_object_set_new(v, "risk_target_exp", json_integer(g.risk_target_exp));
        json_object_set_new(v, "risk_stall_exp", json_integer(g.risk_stall_exp));
    }
    free(scratch);
    return rc;
}

int cli_genesis_new(const struct cli *c)
{
    const char *out = c->option[CLI_OUTPUT];
    uint8_t steering[32];
    if (out == NULL)
        return cli_misuse("say where to: --output FILE.json");
    if (cli_new_file(out) != 0)
        return 1;
    if (c->option[CLI_STEERING] == NULL)
        return cli_misuse("say who governs and holds the first coins: --steering ADDRESS");
    if (c->arguments > WITNESSES_MAX)
        return cli_misuse("at most %d witnesses", WITNESSES_MAX);
    if (cli_address(c, c->option[CLI_STEERING], steering) != POA_OK)
        return 1;
    json_t *v = parameters(c->option[CLI_NAME] != NULL ? c->option[CLI_NAME] : "poa", steering);
    json_t *witnesses = json_array();
    json_object_set_new(v, "makers", json_array());
    json_object_set_new(v, "devices", json_array());
    json_object_set_new(v, "witnesses", witnesses);
    json_object_set_new(v, "accounts",
                        json_pack("[{s:o, s:o}]", "address", poa_json_address(steering), "balance",
                                  poa_json_u64(SUPPLY)));
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->arguments; i++) {
        json_t *w = witness(c->argument[i], (unsigned)i + 1);
        if (w == NULL)
            rc = 2;
        else
            json_array_append_new(witnesses, w);
    }
    if (rc == 0 && (!fraction(c, CLI_P, "p", P_BAD, v, "risk_p_ppb") ||
                    !fraction(c, CLI_OFFLINE, "offline", P_OFFLINE, v, "risk_offline_ppb")))
        rc = 2;
    json_object_set_new(v, "risk_device_p_ppb", json_integer(0));
    json_object_set_new(v, "risk_device_offline_ppb", json_integer(0));
    struct poa_risk risk;
    struct poa_why why = {{0}};
    if (rc == 0)
        rc = state_targets(v, &risk);
    char *text = rc == 0 ? json_dumps(v, JSON_INDENT(2)) : NULL;
    if (rc == 0 && text == NULL)
        rc = cli_fail("out of memory");
    if (rc == 0 && poa_file_write(out, text, strlen(text), 0644, POA_FILE_NEW, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    if (rc == 0 && c->json)
        rc = cli_print_json(json_pack("{s:s, s:i, s:i, s:f, s:f}", "file", out, "witnesses",
                                      (int)risk.n, "quorum", (int)risk.q, "fork",
                                      risk.bounds.fork.value, "stall", risk.bounds.stall.value));
    else if (rc == 0)
        printf(
            "%s: %u witnesses, quorum %u; fork %.2g, stall %.2g when each is bad with p = %g "
            "and offline with %g\nLook at it, then: poa genesis create %s --output genesis.poa\n",
            out, risk.n, risk.q, risk.bounds.fork.value, risk.bounds.stall.value, risk.p,
            risk.offline, out);
    free(text);
    json_decref(v);
    return rc;
}
