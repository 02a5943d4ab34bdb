#!/bin/bash
# A server that was stopped for a while, as a machine that is moved: it says so, accuses nobody
# of a stall, and goes on. The others do not notice.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/ledger-*/log")
# A stall is ten timeouts without a block: with those of a devnet a busy machine has one now and then.
"$poa" devnet --ledgers 4 --trusted 0 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
"$poa" genesis show "$dir/genesis.poa" | jq '.timeout_ms = 1000' >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >chain || fail "genesis"
rm -rf "$dir"/ledger-*/data "$dir"/ledger-*/log "$dir"/keys/*.joined-*
cp genesis.poa "$dir/genesis.poa"
jq --arg chain "$(cat chain)" '.chain = $chain' "$dir/devnet.json" >spec && cp spec "$dir/devnet.json"
devnet_up 4 --for 300s
url=$(process_of "$dir" ledger-1 rpc)
height() { "$poa" status --rpc "$1" --json | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
ready() { curl -sf --max-time 5 "$url/readyz"; }
stopped=$(process_of "$dir" ledger-1 pid)
log=$dir/ledger-1/log
other=$(process_of "$dir" ledger-0 rpc)
wait_for 60 ready || fail "not ready"
kill -STOP "$stopped"
sleep 15 # longer than a stall takes to be one
h=$(height "$other")
kill -CONT "$stopped"
wait_for 60 grep -q "this process stood still for [1-9][0-9] s" "$log" || fail "it does not say that it stood still: $(tail -n 5 "$log")"
wait_for 60 above "$url" "$h" || fail "it does not go on: $(height "$url") of $h"
wait_for 60 ready || fail "not ready again"
! grep "stalled: " "$log" || fail "it calls others silent"
! grep "stalled: " "$dir"/ledger-[023]/log || fail "others do"
