#!/bin/bash
# The plug is pulled (SIGKILL) on poa-device at every step of a seal and of an anchor: before,
# in the middle of and after each write, sync, send and receipt. It seals no slot and no height
# twice, and every reading that it accepted is on the ledger, once. POA_PLUG_ROUNDS: how often
# each step (soak: many).
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log" "$POA_TMP/agent.log")
rounds=${POA_PLUG_ROUNDS:-1}
devnet= agent=

devnet_up 3 --ledgers 1 --trusted 2 --devices 2
stopped=$(pid_of device-01)
kill -STOP "$stopped"
gateways=$(gateway trusted-0),$(gateway trusted-1)
device=("$POA_BIN/poa-device" --key "$POA_KEYS/device-01.json" --genesis "$dir/genesis.poa"
    --gateway "$gateways" --log-level debug)
own=(--state "$POA_TMP/state" --source "csv:$POA_TMP/meter.csv")
rows=$((6000 * rounds))
{
    echo "timestamp,power"
    awk -v n=$rows 'BEGIN { for (i = 0; i < n; i++)
        printf "2020-01-%02d %02d:%02d:%02d,%d\n", 1 + i / 86400, i / 3600 % 24, i / 60 % 60, i % 60, i }'
} >"$POA_TMP/meter.csv"

steps="mark:before mark:torn mark:after sync-mark:after send-mark:before send-mark:torn send-mark:after recv-mark:after
pack:before pack:torn pack:after sync-pack:after send-pack:before send-pack:torn send-pack:after recv-pack:after
done:before done:torn done:after trust:before trust:torn sync-trust:after"
kills=0
for round in $(seq "$rounds"); do
    for step in $steps; do
        # The trust record is written once per epoch: at the first start, or on a new file.
        case $step in
        *trust*)
            POA_KILL="$step:1" POA_KILL_SEEN="$POA_TMP/seen" LD_PRELOAD="$POA_BIN/tests/e2e/preload/kill_at.so" \
                "${device[@]}" --state "$POA_TMP/fresh" --source none --for 300s 2>>"$POA_TMP/trust.log" &
            ;;
        *)
            POA_KILL="$step:$((RANDOM % (2 * round) + 1))" POA_KILL_SEEN="$POA_TMP/seen" \
                LD_PRELOAD="$POA_BIN/tests/e2e/preload/kill_at.so" \
                "${device[@]}" "${own[@]}" --interval 0.01 --pack-every 0.1 --for 300s 2>>"$POA_TMP/agent.log" &
            ;;
        esac
        agent=$!
        code=0
        { wait $agent; } 2>/dev/null || code=$?
        agent=
        [ $code -eq 137 ] || fail "step $step: exit code $code, it was not killed"
        kills=$((kills + 1))
        rm -f "$POA_TMP/fresh"
    done
done
[ "$(wc -l <"$POA_TMP/seen")" -eq $kills ] || fail "$kills kills, but $(wc -l <"$POA_TMP/seen") were at their step"
for step in $steps; do
    grep -qx "$step" "$POA_TMP/seen" || fail "step $step was never reached"
done

"${device[@]}" "${own[@]}" --interval 0 --once --for 300s --json >last.json 2>>"$POA_TMP/agent.log" ||
    fail "the last run: $(tail -n 1 "$POA_TMP/agent.log")"
jq -en 'input | .packs_waiting == 0 and .packs_refused == 0 and .alarms == 0' last.json >/dev/null ||
    fail "packs are left: $(cat last.json)"
seals=$(grep -c "sealed slot" "$POA_TMP/agent.log")
[ "$seals" -ge $((4 * rounds)) ] || fail "it sealed next to nothing: $seals"
[ -z "$(grep -o "sealed slot [0-9]*" "$POA_TMP/agent.log" | sort | uniq -d)" ] || fail "a slot was sealed twice"
[ -z "$(grep -o "height [0-9]*" <(grep "sealed slot" "$POA_TMP/agent.log") | sort | uniq -d)" ] || fail "a height was sealed twice"

# What two gateways keep together is the whole file, each reading once.
for i in 0 1; do
    "$poa" data get "$(public device-01)" --from owner --rpc "$(process trusted-$i rpc)" --output "$i.packs" >/dev/null || fail "packs of trusted-$i"
done
"$poa" data verify "$POA_TMP/meter.csv" 0.packs 1.packs --genesis "$dir/genesis.poa" --json >proof.json 2>err ||
    fail "a reading is lost: $(cat err)"
jq -en --argjson n $rows 'input | .proven == $n' proof.json >/dev/null || fail "$(cat proof.json)"
# The device's own process may have sent readings before it was stopped; none of them is "power".
power=$(jq -r '.packs[].pack' 0.packs 1.packs | grep -o "$(printf '"power"' | od -An -tx1 | tr -d ' \n')" | wc -l)
[ "$power" -eq $rows ] || fail "$power readings were kept, not $rows: $(cat proof.json)"
status=$("$poa" devices "$(public device-01)" --rpc "$(process ledger-0 rpc)" --json | jq -r .status)
[ "$status" = 0 ] || fail "the device is suspended: it contradicted itself"
echo "# $kills kills, $seals seals, $rows readings"

kill -CONT "$stopped"
devnet_down
echo ok
