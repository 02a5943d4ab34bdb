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
offered=${HOSTILE_OFFERED:-3000}
# More is offered than fits: that it says so is no failure here.
"$POA_BIN/poa" devnet --ledgers 4 --trusted 0 --devices 0 --load "$offered" --for 20s \
    --data-dir "$tmp/net" --json >"$tmp/capacity.json" || true
capacity=$(jq --argjson offered "$offered" '.committed_txs * $offered / .offered_txs | floor' "$tmp/capacity.json")
echo "capacity: $capacity transfers per second"
cd "$tmp/run"
POA_TMP=$tmp/run HOSTILE_SECONDS=${HOSTILE_SECONDS:-20} HOSTILE_KEEP=${HOSTILE_KEEP:-80} \
    HOSTILE_LOAD=$((capacity / 2)) "$here/../e2e/hostile.sh"
