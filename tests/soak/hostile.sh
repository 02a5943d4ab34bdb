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
offered=${HOSTILE_OFFERED:-4000}
"$POA_BIN/poa" devnet --ledgers 4 --trusted 0 --devices 0 --load "$offered" --for 20s \
    --data-dir "$tmp/net" --json >"$tmp/capacity.json"
# Offered for 20 s less settling and draining.
capacity=$(jq '.committed_txs / ((.duration_ms - 4000) / 1000) | floor' "$tmp/capacity.json")
echo "capacity: $capacity transfers per second"
cd "$tmp/run"
POA_TMP=$tmp/run HOSTILE_SECONDS=${HOSTILE_SECONDS:-20} HOSTILE_KEEP=${HOSTILE_KEEP:-80} \
    HOSTILE_LOAD=$((capacity / 2)) "$here/../e2e/hostile.sh"
