#!/bin/bash
# A devnet with each policy of assignment that devnet.sh does not run: devices are
# rewarded, supply is conserved, everybody agrees.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
logs=("$POA_TMP/*/*/log" err)

echo "# random"
"$poa" devnet --ledgers 4 --trusted 1 --devices 5 --policy random --for 15s \
    --data-dir "$POA_TMP/random" --json >out.json 2>err || fail "exit code $?"
expect out.json '.healthy and .agreement and .supply_conserved and .devices_rewarded > 0'

echo "# weighted, and why: the draws of old slots, by the weights that they had"
dir=$POA_TMP/weighted
"$poa" devnet --ledgers 4 --trusted 1 --devices 5 --policy weighted --data-dir "$dir" --json >out.json 2>err &
devnet=$!
wait_for 60 devnet_ready "$dir" 5 || fail "not ready"
POA_RPC=$(process_of "$dir" ledger-0 rpc)
export POA_RPC
reached() { [ "$("$poa" why 0 --json | jq -r .slot)" -gt "$1" ]; }
wait_for 60 reached 45 || fail "slot 45 does not come"
# The first slot of FROM.. that has a block: a busy machine may miss some.
slot_from() {
    local slot=$1
    until "$poa" why 0 --slot "$slot" --json | jq -en 'input | .seats' >/dev/null; do
        slot=$((slot + 1))
        [ "$slot" -lt $(($1 + 25)) ] || fail "no slot from $1 on has a block"
    done
    echo "$slot"
}
for slot in $(slot_from 2) $(slot_from 12) $(slot_from 30); do
    for device in 0 1 2 3 4; do
        "$poa" why $device --slot "$slot" --json >why.json || fail "why $device --slot $slot"
        jq -en 'input | .drawn_by == "weighted" and .weights_recorded and .index as $i |
            .assigned == ([.draws[] | select(.index == $i and .seated)] | length == 1) and
            ([.draws[] | select(.seated) | .lot < .weight] | all) and
            ([.draws[] | select(.seated)] | length) == (.seats | length) and
            ([.draws[] | .weight >= 16 and .weight <= 64] | all) and
            .weight_now.sum == .weight_now.base + .weight_now.reliability + .weight_now.age + .weight_now.balance' \
            why.json >/dev/null || fail "$(cat why.json)"
    done
done
# Of what is to come nothing is said but that.
"$poa" why 0 --slot 99999999 --json >why.json || fail "why of a slot to come"
jq -en 'input | (.because | contains("has not begun")) and .epoch == null and (.assigned | not)' why.json >/dev/null ||
    fail "$(cat why.json)"
# Weights have moved since, or the recorded ones would prove nothing.
"$poa" devices --json | jq -en 'input | [.items[] | .history != 1431655765] | any' >/dev/null || fail "nothing moved"
"$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
wait $devnet || fail "exit code $?"
expect out.json '.healthy and .agreement and .supply_conserved and .devices_rewarded > 0'

echo "# grade 2: what is above the limit waits, is shown, and arrives"
dir=$POA_TMP/graded
"$poa" devnet --ledgers 4 --trusted 1 --devices 6 --data-dir "$dir" --json >graded.json 2>err &
devnet=$!
wait_for 60 devnet_ready "$dir" 5 || fail "not ready"
export POA_KEYS=$dir/keys
POA_RPC=$(process_of "$dir" ledger-0 rpc)
export POA_RPC
wait_for 60 sh -c "$poa devices --json | jq -en 'input | [.. | .sealed? // empty | tonumber] | add > 0'" || fail "no device seals"
id=$("$poa" send bob 700000000000 --from alice | head -n 1)
asked=$("$poa" send alice 7 --from bob --hold --json | jq -r .id)
"$poa" tx "$id" --json | jq -en 'input | .grade == 1 and .hold.state == "held" or .hold.state == "released"' >/dev/null ||
    fail "not held: $("$poa" tx "$id" --json)"
wait_for 60 sh -c "$poa tx $id --json | jq -en 'input | .hold.state == \"released\" and .grade == 2'" ||
    fail "not released: $("$poa" tx "$id")"
wait_for 60 sh -c "$poa tx $asked --json | jq -en 'input | .hold.state == \"released\"'" || fail "$("$poa" tx "$asked")"
"$poa" tx "$id" | grep -q "^grade      2: seals of" || fail "$("$poa" tx "$id")"
"$poa" balance alice --json | jq -en 'input | .held == "0" and .balance == "299999999987"' >/dev/null ||
    fail "$("$poa" balance alice --json)"
"$poa" balance bob --json | jq -en 'input | (.balance | tonumber) > 1699999999900' >/dev/null || fail "$("$poa" balance bob)"
echo "# why a device was assigned, or was not"
# The answer for a slot agrees with its seats, for every device, by public draw
# (window 0) and by ticket.
wait_for 60 sh -c "[ \$($poa why 0 --json | jq -r .slot) -gt 60 ]" || fail "slot 60 does not come"
first=$(slot_from 4)
for slot in $first $(slot_from 33); do
    for device in 0 1 2 3 4 5; do
        "$poa" why $device --slot "$slot" --json >why.json || fail "why $device --slot $slot"
        jq -en 'input | .registered and .eligible and .status == "active" and (.because | length > 10) and
            .assigned == ([.device as $d | .seats[] | select(.device == $d)] | length == 1)' why.json \
            >/dev/null || fail "$(cat why.json)"
        if [ "$slot" -eq "$first" ]; then
            jq -en 'input | .drawn_by == "random" and .index as $i |
                .assigned == ([.draws[] | select(.index == $i and .seated)] | length == 1)' why.json \
                >/dev/null || fail "$(cat why.json)"
        else
            jq -en 'input | .drawn_by == "ticket" and (.threshold | length > 0) and (.ticket == null or
                (.ticket.proof_verifies and .slot as $s |
                 .assigned == ([.ticket.won[] | select(.slot == $s)] | length == 1)))' why.json \
                >/dev/null || fail "$(cat why.json)"
        fi
    done
done
jq -en 'input | [.seats[] | select(.sealed)] | all(.slots_later | tonumber <= 16)' why.json >/dev/null ||
    fail "$(cat why.json)"
"$poa" why 0 --slot "$first" | grep -q "^because " || fail "$("$poa" why 0 --slot "$first")"
"$poa" why "$(printf '%064d' 7)" --json | jq -en 'input | .registered == false' >/dev/null || fail "a stranger"
"$poa" why 0 --slot 99999 >/dev/null || fail "a slot to come"

"$poa" devnet down --data-dir "$dir" >/dev/null
wait $devnet || fail "exit code $?: $(cat err)"
tail -n 1 graded.json | jq -en 'input | .agreement and .supply_conserved' >/dev/null || fail "$(cat graded.json)"

! "$POA_BIN/poa" devnet --policy chance --for 1s --data-dir "$POA_TMP/x" 2>err || exit 1
grep -q -- "--policy is vrf, random or weighted" err
echo ok
