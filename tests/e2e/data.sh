#!/bin/bash
# Usage data kept: a CSV file goes through a device into packs, the packs under anchors, and
# `poa data verify` proves each of its readings; only the owner, the device and who has a
# grant get them; and none of it can be forged.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log" "$POA_TMP/*.log")
device=$POA_BIN/poa-device
devnet= stopped=
devnet_up 2 --ledgers 1 --trusted 1 --devices 3
gateway=$(gateway trusted-0)
POA_RPC=$(process trusted-0 rpc)
export POA_RPC
trust=(--genesis "$dir/genesis.poa")

# device NUMBER CSV NAME: all of the file through that device, whose own process rests.
replay() {
    stopped=$(pid_of "device-0$1")
    kill -STOP "$stopped"
    "$device" --key "$POA_KEYS/device-0$1.json" --genesis "$dir/genesis.poa" --gateway "$gateway" \
        --source "csv:$2" --interval 0 --state "$POA_TMP/$3.state" --once --for 300s --json \
        >"$POA_TMP/$3.json" 2>"$POA_TMP/$3.log" || fail "$3: $(tail -n 1 "$POA_TMP/$3.log")"
    jq -en 'input | .packs_waiting == 0 and .packs_refused == 0 and .readings > 0 and
        .receipts == .packs' "$POA_TMP/$3.json" >/dev/null || fail "$3: $(cat "$POA_TMP/$3.json")"
    kill -CONT "$stopped"
}
proves() { # CSV NAME ARGUMENTS...
    local csv=$1 name=$2
    shift 2
    "$poa" data verify "$csv" "$@" --json >proof.json 2>err || fail "$name is not proven: $(cat err)"
    jq -en --argjson n "$(jq .readings "$POA_TMP/$name.json")" \
        'input | .valid and .proven == $n and .packs > 0 and .anchors > 0' proof.json >/dev/null ||
        fail "$name: $(cat proof.json)"
}
refuses() { # WORDS COMMAND...
    local words=$1 code=0
    shift
    "$@" >out 2>err || code=$?
    [ $code -ne 0 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "$words" err || fail "exit code $code and $(cat err) for $*"
}

echo "# each reading of a file is proven"
{
    echo "timestamp,power,voltage"
    awk 'BEGIN { for (i = 0; i < 900; i++)
        printf "2020-01-01 %02d:%02d:%02d,%d,230.%d\n", i / 3600, i / 60 % 60, i % 60, i % 7 ? i : "", i % 10 }'
} >meter.csv
replay 1 "$PWD/meter.csv" own
one=$(public device-01)
proves meter.csv own --device "$one" --from owner "${trust[@]}"
"$poa" data get "$one" --from device-01 --output own.packs >/dev/null || fail "the device may not read its own"
# Offline: no node is asked.
POA_RPC=http://127.0.0.1:1 proves meter.csv own own.packs "${trust[@]}"
POA_RPC=http://127.0.0.1:1 "$poa" data verify own.packs "${trust[@]}" >/dev/null || fail "the packs alone"

echo "# who may read"
refuses "does not let this key" "$poa" data get "$one" --from alice --output alice.packs
[ ! -e alice.packs ] || fail "something was written"
refuses "say who asks" "$poa" data get "$one" --output alice.packs
"$poa" data grant "$one" --from owner --reader alice --days 1 --output alice.grant >/dev/null || fail "grant"
"$poa" data get "$one" --from alice --grant alice.grant --output alice.packs >/dev/null || fail "alice has a grant"
proves meter.csv own alice.packs "${trust[@]}"
refuses "does not let this key" "$poa" data get "$one" --from bob --grant alice.grant --output bob.packs
refuses "bob does not own the device" "$poa" data grant "$one" --from bob --output forged.grant
[ ! -e forged.grant ] || fail "something was written"
sed "s/$(public alice)/$(public bob)/" alice.grant >forged.grant
! cmp -s alice.grant forged.grant || fail "the grant was not changed"
refuses "signature is not valid" "$poa" data get "$one" --from bob --grant forged.grant --output bob.packs
refuses "does not let this key" "$poa" data get "$(public device-02)" --from alice --grant alice.grant --output bob.packs
"$poa" data grant "$one" --from owner --output any.grant >/dev/null || fail "grant for anybody"
"$poa" data get "$one" --from bob --grant any.grant --output bob.packs >/dev/null || fail "a grant for anybody"

POA_RPC=$(process ledger-0 rpc) refuses "ask the gateway of the device" "$poa" data get "$one" --from owner --output no.packs
POA_RPC=$(process ledger-0 rpc) refuses "ask the gateway of the device" "$poa" device presence "$one"

echo "# an owner with several keys"
for key in mum dad; do "$poa" keys new $key --no-passphrase >/dev/null || fail "a key"; done
"$poa" multisig new family mum dad --m 2 >/dev/null || fail "an account of two keys"
family=$("$poa" multisig show family --json | jq -r .address)
"$poa" send "$family" 100000 --from alice >/dev/null || fail "funds"
# A key whose start, all digits, looks like a number.
while :; do
    "$poa" keys new kettle --kind device --type ed25519 --no-passphrase >/dev/null || fail "a key"
    [[ ! $(public kettle) =~ ^[1-9][0-9]{3} ]] || break
    rm "$POA_KEYS/kettle.json"
done
kettle=("$device" --key "$POA_KEYS/kettle.json" "${trust[@]}")
code=$("${kettle[@]}" --pair "$family" --maker "1@$(public maker-1)" --json | jq -r .pair)
sig=$("$poa" device attest "$code" --maker-key maker-1) || fail "attest"
"$poa" device pair "$code" --attestation "$sig" --from family >/dev/null || fail "pair"
start=$(public kettle | cut -c 1-4)
[ "$("$poa" devices "$start" --json | jq -r .device)" = "$(public kettle)" ] || fail "$start is not taken for a start"
[ "$("$poa" devices 1 --json | jq .index)" = 1 ] || fail "1 is a number"
refuses "no device 999" "$poa" devices 999
"$poa" device presence "$start" >out || fail "presence"
grep -q "presence  *not connected" out || fail "$(cat out)"
present() { "$poa" device presence "$one" | grep -q "presence  *connected"; }
wait_for 60 present || fail "device-01 is not said to be there"
replay_as() { # KEY CSV NAME: of a device that no process of the devnet runs
    "$device" --key "$POA_KEYS/$1.json" "${trust[@]}" --gateway "$gateway" --source "csv:$2" --interval 0 \
        --state "$POA_TMP/$3.state" --once --for 300s --json >"$POA_TMP/$3.json" 2>"$POA_TMP/$3.log" ||
        fail "$3: $(tail -n 1 "$POA_TMP/$3.log")"
}
head -n 101 meter.csv >kettle.csv
replay_as kettle "$PWD/kettle.csv" shared
two=$(public kettle)
proves kettle.csv shared --device "$two" --from family "${trust[@]}"
refuses "does not let this key" "$poa" data get "$two" --from mum --output mum.packs
"$poa" data grant "$two" --from family --sign mum --reader mum --output mum.grant >out || fail "grant"
grep -q "1 of 2 signatures" out || fail "$(cat out)"
refuses "1 of 2 signatures" "$poa" data get "$two" --from mum --grant mum.grant --output mum.packs
refuses "has signed already" "$poa" data sign mum.grant --sign mum
refuses "not a key of this account" "$poa" data sign mum.grant --sign alice
"$poa" data sign mum.grant --sign dad --json | jq -en 'input | .complete' >/dev/null || fail "sign"
refuses "has all of its 2 signatures" "$poa" data sign mum.grant --sign dad
"$poa" data get "$two" --from mum --grant mum.grant --output mum.packs >/dev/null || fail "mum has a grant of both"
proves kettle.csv shared mum.packs "${trust[@]}"
mv "$POA_KEYS/dad.json" "$POA_TMP/dad.json"
refuses "reads with 2 signatures and 1 of its keys" "$poa" data get "$two" --from family --output family.packs

echo "# nothing is believed"
# The first one, which is left out or changed below, is to be of the file: the device's own
# process may have sent packs before it rested, smaller ones.
jq -c '.packs |= sort_by(-(.pack | length))' own.packs >sorted.packs && mv sorted.packs own.packs
sed '2s/,0,/,7,/; 3s/,1,/,8,/' meter.csv >changed.csv
cmp -s meter.csv changed.csv && fail "the file was not changed"
refuses "is in no pack" "$poa" data verify changed.csv own.packs "${trust[@]}"
cat meter.csv <(tail -n 1 meter.csv) >longer.csv
refuses "is in no pack" "$poa" data verify longer.csv own.packs "${trust[@]}"
jq -c 'del(.packs[0])' own.packs >less.packs
refuses "is in no pack" "$poa" data verify meter.csv less.packs "${trust[@]}"
tamper() { # FILTER WORDS
    jq -c "$1" own.packs >bad.packs
    cmp -s own.packs bad.packs && fail "$1 changed nothing"
    refuses "$2" "$poa" data verify bad.packs "${trust[@]}"
}
flip='if endswith("0") then .[:-1] + "1" else .[:-1] + "0" end'
tamper ".packs[0].pack |= ($flip)" "is not valid"
tamper ".packs[0].receipt |= ($flip)" "does not lead\|not in hex\|is not proven"
tamper '.anchors |= with_entries(select(false))' "is proven to be"
tamper ".anchors |= with_entries(.value.value |= ($flip))" "not valid"
tamper ".anchors |= with_entries(.value.certificate |= ($flip))" "not valid"
tamper '.anchors |= with_entries(.key |= (if startswith("00") then "01" else "00" end) + .[2:])' "another one"
refuses "cannot open none.packs: No such file" "$poa" data verify meter.csv none.packs "${trust[@]}"
refuses "cannot open none.packs: No such file" "$poa" data verify none.packs "${trust[@]}"
refuses "/ is a directory" "$poa" data verify meter.csv / "${trust[@]}"
refuses "not a file of .poa data get" "$poa" data verify meter.csv meter.csv "${trust[@]}"
# One pack that proves nothing is named; the others still do.
packs=$(jq '.packs | length' own.packs)
jq -c ".packs[0].pack |= ($flip)" own.packs >bad.packs
refuses "place 0 of the file is not valid.*; $((packs - 1)) other packs" "$poa" data verify bad.packs "${trust[@]}"
code=0
"$poa" data verify meter.csv bad.packs "${trust[@]}" --json >proof.json 2>err || code=$?
[ $code -eq 1 ] || fail "exit code $code"
jq -en --argjson n "$(jq .readings "$POA_TMP/own.json")" --argjson packs "$packs" 'input |
    (.valid | not) and .packs == $packs - 1 and (.bad | length) == 1 and .proven > 0 and .proven < $n' proof.json >/dev/null ||
    fail "$(cat proof.json err)"
grep -q "$(jq .proven proof.json) of its $(jq .readings "$POA_TMP/own.json") readings are proven" err || fail "$(cat err)"
refuses "another chain" "$poa" data verify own.packs --chain "$(printf '%064d' 7)"

echo "# what no pack may hold, and what comes too early"
odd() { # CODE CSV: through device 2, whose own process rests
    local code=0
    stopped=$(pid_of device-02)
    kill -STOP "$stopped"
    "$device" --key "$POA_KEYS/device-02.json" "${trust[@]}" --gateway "$gateway" --source "csv:$2" --interval 0 \
        --state "$POA_TMP/odd.$2.state" --once --for 300s --json >odd.json 2>odd.log || code=$?
    kill -CONT "$stopped"
    [ $code -eq "$1" ] || fail "exit code $code for $2: $(cat odd.log)"
}
printf 'time,v\n2020-01-01,NaN\n2020-01-02,1e400\n2020-01-03,18446744073709551615\n' >large.csv
odd 0 large.csv
grep -q "too large" odd.log || fail "left out in silence: $(cat odd.log)"
"$poa" data verify large.csv --device "$(public device-02)" --from owner "${trust[@]}" --json >proof.json 2>err || fail "$(cat err)"
jq -en 'input | .valid and .proven == 1 and .too_large == 1' proof.json >/dev/null || fail "$(cat proof.json)"
printf 'time,v\n2999-01-02,1\n' >early.csv
odd 1 early.csv
grep -q "^poa-device: 1 packs were refused for good: .*future" odd.log || fail "$(cat odd.log)"

devnet_down

echo "# files of others"
if [ -n "${POA_VECTORS:-}" ] && [ -d "$POA_VECTORS/iot" ]; then
    devnet_up 2
    gateway=$(gateway trusted-0)
    POA_RPC=$(process trusted-0 rpc)
    # What was kept before the restart is there.
    proves meter.csv own --device "$one" --from owner "${trust[@]}"
    replay 0 "$POA_VECTORS/iot/nab_ambient_temperature.csv" nab
    proves "$POA_VECTORS/iot/nab_ambient_temperature.csv" nab --device "$(public device-00)" --from owner "${trust[@]}"
    replay 2 "$POA_VECTORS/iot/tracebase/water_kettle.csv" kettle
    proves "$POA_VECTORS/iot/tracebase/water_kettle.csv" kettle --device "$(public device-02)" --from owner "${trust[@]}"
    devnet_down
fi

echo "# a full store"
# Two days of readings; with what is there they do not fit into the gateway's store.
{
    echo "timestamp,power,voltage"
    awk 'BEGIN { for (i = 0; i < 4000; i++)
        printf "2021-01-%02d %02d:%02d:%02d,%d,230.%d\n", 1 + i / 2000, i % 2000 / 100, i / 2 % 50, i % 2 * 30, i, i % 10 }'
} >full.csv
own_ports
port_of() { sed -n "s/^$2 = 127.0.0.1://p" "$dir/$1/poad.conf"; } # NAME KEY
gateway=$(public trusted-0)@127.0.0.1:$(port_of trusted-0 gateway)
POA_RPC=http://127.0.0.1:$(port_of trusted-0 rpc)
server() { # NAME OPTIONS...
    local name=$1
    shift
    "$poad" --config "$dir/$name/poad.conf" --ready-file "$POA_TMP/$name.ready" "$@" 2>>"$POA_TMP/$name.log" &
}
metric() { curl -sf "$POA_RPC/metrics" | awk -v n="$1" '$1 == n { print $2; found = 1 } END { exit !found }'; }
server ledger-0
server trusted-0
trusted=$!
wait_for 60 metric poa_gateway_pack_store_bytes || fail "the gateway does not answer"
wait_for 60 "$poa" status || fail "no status"
taken=$(metric poa_gateway_pack_store_bytes)
[ "$taken" -gt 20000 ] || fail "the store is said to take $taken bytes"
kill -TERM $trusted
wait $trusted || fail "exit code $? of the gateway"
kib=$((taken / 1024 + 20))
server trusted-0 --pack-store-kib $kib
trusted=$!
wait_for 60 metric poa_gateway_pack_store_bytes || fail "the gateway does not answer"
run_full() { # ARGUMENTS...
    "$device" --key "$POA_KEYS/device-02.json" --genesis "$dir/genesis.poa" --gateway "$gateway" \
        --source csv:full.csv --interval 0 --state "$POA_TMP/full.state" --json "$@" 2>>"$POA_TMP/full.log"
}
run_full --for 20s >full.json || fail "exit code $?"
jq -en 'input | .packs_waiting > 0 and .packs_refused == 0 and .receipts > 0' full.json >/dev/null || fail "$(cat full.json)"
grep -q "packs wait here, the gateway takes none: full" "$POA_TMP/full.log" || fail "the device does not say why"
grep -q "no room for packs: they take [0-9]* of $kib KiB" "$POA_TMP/trusted-0.log" || fail "the gateway does not say why"
[ "$(metric poa_gateway_pack_store_limit_bytes)" -eq $((kib * 1024)) ] || fail "the limit is not in the metrics"
# What was accepted while it filled is there, with receipts: they go beyond, by 300 bytes a pack.
[ "$(metric poa_gateway_pack_store_bytes)" -lt $((kib * 1024 + 20000)) ] || fail "it grew beyond its limit"
kill -TERM $trusted
wait $trusted || fail "exit code $? of the gateway"
server trusted-0
wait_for 60 metric poa_gateway_pack_store_bytes || fail "the gateway does not answer"
run_full --once --for 300s >full.json || fail "exit code $?"
jq -en 'input | .packs_waiting == 0 and .packs_refused == 0' full.json >/dev/null || fail "$(cat full.json)"
"$poa" data verify full.csv --device "$(public device-02)" --from owner "${trust[@]}" --json >proof.json 2>err ||
    fail "a reading was lost to the full store: $(cat err)"
jq -en 'input | .proven == 8000' proof.json >/dev/null || fail "$(cat proof.json)"
echo ok
