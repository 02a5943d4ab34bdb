#!/bin/bash
# The witness bound on real processes: committees of 4 drawn from 7 witnesses, one
# epoch after the other, are drawn again from the chain; a network that misses its
# own target does not start, and says which committee would.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")

echo "# keys and configuration of seven servers"
"$poa" devnet --ledgers 7 --trusted 0 --devices 0 --for 1s --data-dir "$dir" --json >made.json ||
    fail "exit code $?"
"$poa" genesis show "$dir/genesis.poa" >first.json

echo "# a network that misses its target is refused"
jq '.devnet = 0 | .risk_p_ppb = "50000000" | .risk_offline_ppb = "10000000" | .risk_target_exp = 12' \
    first.json >bad.json
! "$poa" genesis create bad.json --output bad.poa 2>err || fail "created"
grep -q "forks with probability .* 70 members with quorum 47 would meet it" err || fail "$(cat err)"
[ "$(wc -l <err)" -eq 1 ] || fail "more than a line: $(cat err)"
[ ! -e bad.poa ] || fail "written all the same"
sed "s|^genesis = .*|genesis = $PWD/bad.json|" "$dir/ledger-0/poad.conf" >bad.conf
! timeout 120 "$POA_BIN/poad" --config bad.conf 2>err || fail "poad started"
grep -q "70 members with quorum 47 would meet it" err || fail "$(cat err)"
jq '.risk_target_exp = 0' bad.json >silent.json
! "$poa" genesis create silent.json --output silent.poa 2>err || fail "created without a target"
grep -q "risk_target_exp" err || fail "$(cat err)"

echo "# a devnet is not, and says so"
jq '.devnet = 1' bad.json >devnet.json
"$poa" genesis create devnet.json --output devnet.poa >/dev/null
"$poa" genesis check devnet.poa | grep -q "MISSED, allowed: this is a devnet" || fail "not said"
"$poa" genesis check devnet.poa --json |
    jq -en 'input | .witness | .met == false and .devnet and .members == 7 and .fork > 1e-12' >/dev/null ||
    fail "not in JSON"

echo "# short epochs, committees of 4 of 7, at most one per maker of three"
jq '.devnet = 1 | .epoch_views = "12" | .committee_size = 4 | .cap_maker = 1 | .risk_target_exp = 2 | .risk_stall_exp = 1
    | .witnesses |= (to_entries | map(.value + {maker: (101 + .key % 3)}))' first.json >short.json
"$poa" genesis create short.json --output short.poa >chain
rm -rf "$dir"/ledger-*/data
cp short.poa "$dir/genesis.poa"
jq --arg chain "$(cat chain)" '.chain = $chain' "$dir/devnet.json" >spec && cp spec "$dir/devnet.json"
"$poa" devnet --data-dir "$dir" >run.out 2>run.err &
devnet=$!
status() { "$poa" devnet status --data-dir "$dir" --json; }
wait_for 60 devnet_ready "$dir" 7 ||
    fail "not ready: $(cat run.err)"
POA_RPC=$(status | jq -r '.processes[] | select(.name == "ledger-0") | .rpc')
export POA_RPC
wait_for 120 sh -c "[ \$($poa status --json | jq .consensus.epoch) -ge 5 ]" || fail "no fifth epoch"

for epoch in 0 1 2 3 4 5; do
    "$poa" witness draw --epoch $epoch --seed --json >draw.json || fail "epoch $epoch: $(cat draw.json)"
    jq -en "input | .equal and .state and .seed and .n == 4 and .q == 3 and (.members | length) == 4
        and .closing == (if $epoch > 0 then true else null end) and .relaxed == 1" draw.json >/dev/null ||
        fail "epoch $epoch: $(cat draw.json)"
    jq -c '[.members[].key]' draw.json
done >committees
[ "$(sort -u committees | wc -l)" -ge 3 ] || fail "always the same: $(cat committees)"
"$poa" witness draw --epoch 3 | grep -q "^closing    the same" || fail "no closing block"
! "$poa" witness draw --epoch 4000000 2>err || fail "an epoch to come"
grep -q "has not begun" err || fail "$(cat err)"

echo "# every server gives the same answer, and the bound is seen everywhere"
for url in $(status | jq -r '.processes[] | select(.rpc) | .rpc'); do
    "$poa" witness draw --epoch 3 --json --rpc "$url" | jq -c .hash
done | sort -u >hashes
[ "$(wc -l <hashes)" -eq 1 ] || fail "$(cat hashes)"
"$poa" status --json | jq -en 'input | .witness | .members == 4 and .quorum == 3 and .fork > 0.05 and .met == false
    and .target == 0.01 and .stall_target == 0.1 and .relaxed == 1 and .group.maker == 2 and .devnet' >/dev/null || fail "status"
"$poa" status | grep -q "targets 0.01 and 0.1 MISSED (devnet)" || fail "not in status"
"$poa" status | grep -q "had to raise the caps by 1" || fail "no warning in status"
curl -sf "$POA_RPC/metrics" >metrics
grep -qx "poa_witness_target_met 0" metrics || fail "no metric"
grep -qx "poa_witness_caps_raised 1" metrics || fail "no metric of the caps"
grep -q "^poa_witness_fork_probability 0.05" metrics || fail "no metric of the bound"
grep -q "WARN .*the draw had to raise the caps by 1" "$dir/ledger-0/log" || fail "no warning in the log"
grep -q "WARN .*the targets are 0.01 and 0.1 (a devnet)" "$dir/ledger-0/log" || fail "no bound in the log"

kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"
