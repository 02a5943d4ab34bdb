#!/bin/bash
# tests/e2e/hostile.sh at length: each attack for HOSTILE_SECONDS (20), honest
# traffic at half of what these servers take over RPC on this machine (measured
# first), and it must keep 80 % of its rate. Wants a quiet machine.
set -eu
export POA_BIN=${POA_BIN:?}
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poa-hostile.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/run"
offered=${HOSTILE_OFFERED:-6000}
net=$tmp/net
"$POA_BIN/poa" devnet --ledgers 4 --trusted 0 --devices 0 --load "$offered" --for 24s \
    --data-dir "$net" --json >"$tmp/capacity.json" 2>"$tmp/capacity.err" &
devnet=$!
# Transfers over RPC that are final, of all servers.
finals() {
    "$POA_BIN/poa" devnet status --data-dir "$net" --json 2>/dev/null >"$tmp/status" || { echo 0; return; }
    for rpc in $(jq -r '.processes[].rpc' "$tmp/status"); do
        curl -sf "$rpc" -d '{"jsonrpc":"2.0","id":1,"method":"poa_latency_get"}' | jq -r .result.count
    done | awk '{ sum += $1 } END { print sum + 0 }'
}
for _ in $(seq 300); do
    [ "$(finals)" -lt $((2 * offered)) ] || break
    sleep 0.2
done
from=$(finals) begin=$(date +%s%N)
sleep 8
to=$(finals) end=$(date +%s%N)
# More is offered than fits: that it says so is no failure here.
wait $devnet || true
capacity=$(((to - from) * 1000000000 / (end - begin)))
echo "capacity: $capacity transfers per second"
cd "$tmp/run"
POA_TMP=$tmp/run HOSTILE_SECONDS=${HOSTILE_SECONDS:-20} HOSTILE_KEEP=${HOSTILE_KEEP:-80} \
    HOSTILE_LOAD=$((capacity / 2)) "$here/../e2e/hostile.sh"
