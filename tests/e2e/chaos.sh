#!/bin/bash
# Devices that are away, replay, forge and lie, and gateways that freeze, drop and
# double everything, as real processes: the chain keeps its speed, nobody is paid
# but the devices' registered accounts, who lied is suspended on what it signed, and
# nobody else is.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log" net.err)

start() { # KIND DEVICES
    "$poa" devnet --ledgers 4 --trusted 2 --devices "$2" --chaos "$1" --data-dir "$dir" --json >net.json 2>net.err &
    devnet=$!
    wait_for 60 devnet_ready "$dir" 6 || fail "not ready: $(cat net.err)"
    POA_RPC=$(process_of "$dir" ledger-0 rpc)
    export POA_RPC POA_KEYS=$dir/keys
}
stop() {
    "$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
    wait $devnet || fail "exit code $?: $(tail -n 1 net.json)"
    expect net.json '.healthy and .agreement and .supply_conserved'
}
# Keys of the devices whose logs say that they signed something false.
liars() {
    local log
    for log in $(grep -l "^chaos: lied" "$dir"/device-*/log); do
        public "$(basename "$(dirname "$log")")"
    done | sort
}
suspended() { "$poa" devices --json | jq -r '.items[] | select(.status != "0" and .status != 0) | .device' | sort; }
same() { [ -n "$(suspended)" ] && [ "$(liars)" = "$(suspended)" ]; }
# What the ledger says a device earned is what its registered account holds: devices'
# accounts start empty, and pay nothing.
check_payouts() {
    local before after balance payout
    # Asked before and after: more may be paid at any moment, never less.
    for payout in $("$poa" devices --json | jq -r '.items[].payout'); do
        before=$(earned_by "$payout")
        balance=$("$poa" balance "$payout" --json | jq -r .balance)
        after=$(earned_by "$payout")
        [ "$before" -le "$balance" ] && [ "$balance" -le "$after" ] ||
            fail "$payout has $balance, its device earned $before to $after"
    done
}
earned_by() { "$poa" devices --json | jq -r ".items[] | select(.payout == \"$1\") | .earned"; }

echo "# everything in turns; half of the devices never do wrong"
start devices 8
turn() { grep -q "^chaos: $1," net.err; }
for fault in calm offline gateways-frozen replaying forging dropped doubled lying; do
    wait_for 60 turn $fault || fail "no turn: $fault"
done
# Tickets that were dropped leave a window without seats: who had none to lie about lies in
# the next round.
wait_for 180 same || fail "suspended are $(suspended) and liars $(liars)"
for device in $(suspended); do
    "$poa" why "$device" --json | jq -en 'input | .status == "suspended" and (.because | test("block [0-9]+"))' \
        >/dev/null || fail "$("$poa" why "$device" --json)"
done
for i in 0 2 4 6; do
    ! suspended | grep -q "$(public device-0$i)" || fail "device-0$i is honest and suspended"
done
# No seal counts twice, whoever said it again.
"$poa" devices --json | jq -en 'input | [.items[] | (.sealed | tonumber) <= (.assigned | tonumber)] | all' >/dev/null ||
    fail "more seals than seats: $("$poa" devices --json)"
check_payouts
stop
expect net.json '.devices_rewarded >= 4 and .chaos.faults.dropped.seals_per_s < .chaos.faults.calm.seals_per_s'
# Idle, the heartbeat sets the pace: a busy machine moves it, devices must not.
expect net.json '.chaos.chaos_blocks_per_s > 0.5 * .chaos.calm_blocks_per_s and ([.chaos.faults[].blocks_per_s > 0] | all)'
calm=$(tail -n 1 net.json | jq .chaos.calm_blocks_per_s)
grep "^chaos:" net.err

echo "# all of them lie"
rm -rf "$dir"
start liars 4
all_suspended() { [ "$(suspended | wc -l)" -eq 4 ]; }
wait_for 90 all_suspended || fail "suspended are only $(suspended)"
same || fail "suspended are $(suspended) and liars $(liars)"
wait_for 60 turn lying || fail "no report"
# Their true seals of the same slots are settled by slot 30: nobody is paid.
settled() { [ "$("$poa" why "$(suspended | head -n 1)" --json | jq -r '.slot | tonumber')" -gt 40 ]; }
wait_for 60 settled || fail "slot 40 does not come"
"$poa" devices --json | jq -en 'input | [.items[].earned | tonumber] | add == 0' >/dev/null ||
    fail "a liar was paid: $("$poa" devices --json)"
stop
expect net.json '.devices_rewarded == 0'
lying=$(tail -n 1 net.json | jq .chaos.chaos_blocks_per_s)
half() { jq -en "$lying > 0.5 * $calm" >/dev/null; }
if ! half; then # the machine may be slower than before: without liars as well
    rm -rf "$dir"
    start devices 4
    wait_for 60 turn calm || fail "no report"
    stop
    calm=$(tail -n 1 net.json | jq .chaos.calm_blocks_per_s)
    half || fail "$lying blocks per second with liars, $calm without"
fi
echo "$lying blocks per second with liars, $calm without"
echo ok
