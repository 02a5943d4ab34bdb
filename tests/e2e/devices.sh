#!/bin/bash
# A device of our own on a running devnet: the plug is pulled again and again,
# gateways die, impostors answer; no slot is sealed twice, no reading is lost.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log" "$POA_TMP/agent*.log")
device=$POA_BIN/poa-device
devnet= agent=

devnet_up 6 --ledgers 4 --trusted 2 --devices 3
# Its own process rests; ours takes its key, and a state file of its own.
stopped=$(pid_of device-02)
kill -STOP "$stopped"
g0=$(gateway trusted-0)
g1=$(gateway trusted-1)
start() { # SECONDS GATEWAYS ARGUMENTS...: in place of this shell
    local seconds=$1 gateways=$2
    shift 2
    exec "$device" --key "$POA_KEYS/device-02.json" --genesis "$dir/genesis.poa" --gateway "$gateways" \
        --log-level debug --for "${seconds}s" "$@"
}
run() {
    (start "$@")
}

echo "# the plug is pulled"
rows=4000
{
    echo "timestamp,power,voltage"
    awk -v n=$rows 'BEGIN { for (i = 0; i < n; i++)
        printf "2020-01-01T%02d:%02d:%02d,%d,230.%d\n", i / 3600, i / 60 % 60, i % 60, i, i % 10 }'
} >"$POA_TMP/meter.csv"
csv=(--source "csv:$POA_TMP/meter.csv" --interval 0.002 --pack-every 0.2 --state "$POA_TMP/state")
sealed() { grep -o "sealed slot [0-9]*" "$POA_TMP/agent.log"; }
pulled=0
# On a busy machine it takes more of them until something was sealed.
while [ $pulled -lt 12 ] || { [ $pulled -lt 60 ] && [ "$(sealed | wc -l)" -lt 5 ]; }; do
    pulled=$((pulled + 1))
    start 300 "$g0,$g1" "${csv[@]}" 2>>"$POA_TMP/agent.log" &
    agent=$!
    sleep "$((pulled / 13)).$((RANDOM % 7 + 2))"
    kill -KILL $agent
    wait $agent 2>/dev/null || true
done
run 300 "$g0,$g1" --source "csv:$POA_TMP/meter.csv" --interval 0 --pack-every 0.2 \
    --state "$POA_TMP/state" --once --json >last.json 2>>"$POA_TMP/agent.log" ||
    fail "the last run: $(tail -n 1 "$POA_TMP/agent.log")"
jq -en 'input | .packs_waiting == 0 and .packs_refused == 0 and .alarms == 0' last.json >/dev/null ||
    fail "packs are left: $(cat last.json)"
[ "$(sealed | wc -l)" -ge 5 ] || fail "it sealed next to nothing: $(sealed | wc -l)"
[ -z "$(sealed | sort | uniq -d)" ] || fail "sealed twice: $(sealed | sort | uniq -d)"

echo "# a gateway dies"
start 300 "$g0,$g1" --source none --state "$POA_TMP/state" 2>"$POA_TMP/agent2.log" &
agent=$!
connected() { [ "$(grep -c "connected; this device is active" "$POA_TMP/agent2.log")" -ge "$1" ]; }
wait_for 60 connected 1 || fail "not connected"
online() { "$poa" device presence "$(public device-02)" --rpc "$(process "$1" rpc)" --json | jq -r .connected; }
there() { [ "$(online trusted-0)$(online trusted-1)" = truefalse ]; }
wait_for 60 there || fail "trusted-0 does not say that it is there"
kill -KILL "$(pid_of trusted-0)"
wait_for 60 connected 2 || fail "it did not go to the other gateway"
elsewhere() { [ "$(online trusted-1)" = true ]; }
wait_for 60 elsewhere || fail "trusted-1 does not say that it is there"
before=$(grep -c "sealed slot" "$POA_TMP/agent2.log" || true)
wait_for 60 sh -c "[ \$(grep -c 'sealed slot' $POA_TMP/agent2.log) -gt $((before + 2)) ]" ||
    fail "it stopped sealing"
! run 5 "$g1" --source none --state "$POA_TMP/state" 2>err || fail "one state file, two processes"
grep -q "another poa-device uses" err || fail "no reason: $(cat err)"
kill -TERM $agent
wait $agent || fail "exit code $? after SIGTERM"
[ -z "$(grep -ho "sealed slot [0-9]*" "$POA_TMP"/agent*.log | sort | uniq -d)" ] || fail "sealed twice"

echo "# an impostor"
wrong=$(public ledger-0)@${g1#*@}
run 2 "$wrong" --source none --state "$POA_TMP/state" --json >impostor.json 2>err || fail "$(cat err)"
jq -en 'input | .sealed == 0' impostor.json >/dev/null || fail "sealed for an impostor"
! grep -q "connected" err || fail "it talked to an impostor"
: >suspect.log
start 300 "$wrong" --source exec:false --interval 0.5 --state "$POA_TMP/state" 2>suspect.log &
agent=$!
suspected() { grep -q "has ended 3 handshakes: it may have another key" suspect.log; }
wait_for 100 suspected || fail "nobody says that the key may be wrong: $(cat suspect.log)"
wait_for 60 grep -q "the command failed, exit status 1" suspect.log || fail "nobody says that the command failed: $(cat suspect.log)"
kill -TERM $agent
wait $agent || fail "exit code $? after SIGTERM"
[ "$(grep -c "ended 3 handshakes" suspect.log)" -eq 1 ] || fail "said again"

echo "# who is who"
ask() { run 90 "$g1" --state "$POA_TMP/asker" "$@"; }
ask --check "$(public device-00)" --json >peer.json 2>err || fail "check: $(cat err)"
jq -en 'input | .status == "active" and .height > 0 and .maker > 0' peer.json >/dev/null || fail "$(cat peer.json)"
code=0
ask --check "$(public alice)" >unknown 2>err || code=$?
[ $code -eq 3 ] || fail "an unknown device gave exit code $code"

echo "# a new device is paired"
maker=$("$poa" keys show maker-1 --json | jq -r .public)
owner=$("$poa" keys show alice --json | jq -r .address)
"$poa" keys new kettle --kind device --type ed25519 --no-passphrase >/dev/null || fail "a key"
pair() { "$device" --key "$POA_KEYS/kettle.json" --genesis "$dir/genesis.poa" --pair "$owner" --maker "1@$maker" "$@"; }
export POA_RPC=$(process ledger-0 rpc)
pair >qr || fail "no pairing code"
code=$(grep -o "POA:PAIR:[0-9A-F]*" qr)
[ "$(grep -c "█" qr)" -ge 25 ] || fail "no QR code: $(cat qr)"
[ "$(pair --json | jq -r .pair)" = "$code" ] || fail "text and JSON differ"
refused() { # WORDS ARGUMENTS...
    local words=$1
    shift
    ! "$poa" "$@" >out 2>err || fail "it was not refused: $*"
    grep -q "$words" err || fail "$(cat err) for $*"
}
refused "maker's signature is missing" device pair "$code" --from alice
refused "which maker-2 is not" device attest "$code" --maker-key maker-2
refused "its owner is" device pair "$code" --maker-key maker-1 --from bob
refused "no pairing code" device pair "POA:PAIR:00" --from alice
sig=$("$poa" device attest "$code" --maker-key maker-1) || fail "attest"
refused "signed for another network\|maker's signature" device pair "$(tr 0-8 1-9 <<<"${code:0:60}")${code:60}" --attestation "$sig" --from alice
"$poa" device pair "$code" --attestation "$sig" --from alice >/dev/null || fail "pair"
kettle=$(public kettle)
# The gateway may be a block behind the server that said that it is final.
paired() { run 90 "$g1" --state "$POA_TMP/asker2" --check "$kettle" --json 2>err >peer.json; }
wait_for 60 paired || fail "check: $(cat err)"
jq -en --arg owner "$owner" 'input | .status == "active" and .maker == 1 and .owner == $owner' peer.json >/dev/null ||
    fail "$(cat peer.json)"
owner_text=$("$poa" keys new poor --no-passphrase --json | jq -r .address)
code=$("$device" --key "$POA_KEYS/kettle.json" --genesis "$dir/genesis.poa" --pair "$owner_text" --maker "1@$maker" --json | jq -r .pair)
refused "balance too low (TX_BALANCE): poor, $owner_text has 0 and this takes [1-9][0-9]*: .*poa faucet" \
    device pair "$code" --maker-key maker-1 --from poor
code=$(pair --json | jq -r .pair)
refused "already registered" device pair "$code" --attestation "$sig" --from alice
unset POA_RPC

echo "# readings of a command"
for seconds in 12 30 60; do # on a busy machine an anchor takes its time
    start 300 "$g1" --state "$POA_TMP/state" --source "exec:echo power \$((20 + 1)) W; echo junk" --interval 0.2 --pack-every 1 \
        --json >exec.json 2>"$POA_TMP/exec.log" &
    agent=$!
    sleep $seconds
    kill -TERM $agent
    wait $agent || fail "exit code $? after SIGTERM"
    ! jq -en 'input | .readings >= 4 and .packs > 0 and .receipts > 0' exec.json >/dev/null || break
done
jq -en 'input | .readings >= 4 and .packs > 0 and .receipts > 0' exec.json >/dev/null || fail "$(cat exec.json)"

echo "# what is wrong is said in one line"
says() { # [CODE] WORDS ARGUMENTS...
    local want=1 code=0 words
    case $1 in [0-9]) want=$1; shift ;; esac
    words=$1
    shift
    "$device" "$@" >out 2>err || code=$?
    [ $code -eq $want ] && [ "$(grep -vc ' INFO \| WARN ' err)" -eq 1 ] && grep -q "$words" err ||
        fail "exit code $code and $(cat err) for $*"
}
key=$POA_KEYS/device-02.json
says 2 "key: missing" --gateway "$g1"
says 2 "gateway: missing" --key "$key"
says 2 "KEY@HOST:PORT" --key "$key" --gateway 127.0.0.1:1
says 2 "no such option" --tea
says 2 "needs a value" --key
says 2 "not a time such as" --key "$key" --gateway "$g1" --for never
says 2 "ed25519" --key "$POA_KEYS/alice.json" --gateway "$g1" --state "$POA_TMP/x"
mv "$POA_TMP/state" "$POA_TMP/whole" # emptied: it could seal a slot twice
: >"$POA_TMP/state"
says "seal a slot twice" --key "$key" --gateway "$g1" --state "$POA_TMP/state"
[ ! -s "$POA_TMP/state" ] || fail "a new memory was made of an emptied one"
mv "$POA_TMP/whole" "$POA_TMP/state"
says "another chain" --key "$key" --gateway "$g1" --state "$POA_TMP/state" --chain "$(printf '%064d' 7)"
says "another device" --key "$POA_KEYS/device-01.json" --gateway "$g1" --state "$POA_TMP/state"
says "stopped before the end: [1-9][0-9]* packs wait" --key "$key" --gateway "$wrong" --state "$POA_TMP/waits" \
    --source "csv:$POA_TMP/meter.csv" --interval 0 --once --for 5s
says 2 "no row with a time" --key "$key" --gateway "$g1" --state "$POA_TMP/state" --source csv:/etc/passwd
"$device" --help | grep -q -- "--gateway" || fail "help"

kill -CONT "$stopped"
devnet_down
tail -n 1 "$POA_TMP/net.json" | jq -en 'input | .agreement and .supply_conserved and .anchors > 0' >/dev/null ||
    fail "$(tail -n 1 "$POA_TMP/net.json")"
for data in "$dir"/trusted-*/data; do
    "$poa" store check "$data" --json >"$POA_TMP/check.json" || fail "$(cat "$POA_TMP/check.json")"
    expect "$POA_TMP/check.json" '.sound and (.packs_bytes | tonumber) > 0 and .packs_bytes == .packs_bytes_said'
done
echo ok
