#!/bin/bash
# Every signature of the protocol is verified once per node, and not by the core
# thread: counted below libsodium's own function in the processes of a devnet
# with devices, load and short epochs. Also counted from inside, with the proofs.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")
count=$POA_TMP/count
mkdir "$count"

"$poa" devnet --ledgers 4 --trusted 1 --devices 6 --for 1s --data-dir "$dir" --json >made.json || fail "exit code $?"
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "40" | .window_slots = 8' >short.json
"$poa" genesis create short.json --output short.poa >chain
rm -rf "$dir"/ledger-*/data "$dir"/trusted-*/data "$dir"/device-*/state*
cp short.poa "$dir/genesis.poa"
jq --arg chain "$(cat chain)" '.chain = $chain' "$dir/devnet.json" >spec && cp spec "$dir/devnet.json"
POA_VERIFY_COUNT=$count LD_PRELOAD=$POA_BIN/tests/e2e/preload/verify_count.so \
    "$poa" devnet --data-dir "$dir" --load 100 --for 400s >run.out 2>run.err &
devnet=$!
status() { "$poa" devnet status --data-dir "$dir" --json; }
wait_for 60 devnet_ready "$dir" 5 ||
    fail "not ready: $(cat run.err)"
POA_RPC=$(status | jq -r '.processes[] | select(.name == "ledger-0") | .rpc')
export POA_RPC
metric() { curl -sf "$POA_RPC/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }
enough() {
    [ "$(metric poa_seals_total)" -ge 10 ] && [ "$(metric poa_epoch)" -ge 3 ] &&
        [ "$(metric poa_signatures_verified_total)" -ge 2000 ]
}
wait_for 300 enough || fail "seals $(metric poa_seals_total), epoch $(metric poa_epoch), verified $(metric poa_signatures_verified_total)"
all=$(metric poa_signatures_verified_total)
workers=$(metric poa_signatures_verified_by_workers_total)
echo "ledger-0: $all signatures and proofs verified, $workers by workers, $(metric poa_signatures_remembered_total) remembered"
[ $((workers * 100)) -ge $((all * 90)) ] || fail "too many on the core thread"

kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"
cat "$count"/poad.*
[ "$(cat "$count"/poad.* | wc -l)" -eq 5 ] || fail "not every node counted"
# Genesis attests six devices, with two signatures each, and is judged twice: as a
# file and as the first state. What is on its way while an epoch begins belongs to
# a committee that the workers do not know yet.
awk '{ if ($3 < 500 || $5 > 12 || $7 * 10 > $3) bad = 1 } END { exit bad }' "$count"/poad.* ||
    fail "verified twice, or by the core thread"
