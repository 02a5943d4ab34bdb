#!/bin/bash
# Drives the explorer of a live devnet with a headless Chromium. Needs npm and chromium, which
# nothing else does: that is why it is not part of `make check` (tests/e2e/explorer.sh is).
# usage: POA_BIN=build/release tests/browser/run.sh [SCREENSHOT_DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$POA_BIN" && pwd)
for tool in node npm chromium jq; do
    command -v $tool >/dev/null || { echo "browser: $tool is missing: apt-get install $tool" >&2; exit 1; }
done
tmp=$(mktemp -d)
devnet=
stop() {
    [ -z "$devnet" ] || { kill "$devnet" && wait "$devnet"; } 2>/dev/null || true
    rm -rf "$tmp"
}
trap stop EXIT
shots=${1:-$tmp}
(cd "$here" && npm ci --no-audit --no-fund --silent)
"$bin/poa" devnet --ledgers 4 --trusted 2 --devices 8 --load 5 --for 10m --data-dir "$tmp/net" \
    --json >"$tmp/out" 2>"$tmp/err" &
devnet=$!
rpc_of() {
    for _ in $(seq 300); do
        url=$("$bin/poa" devnet status --data-dir "$tmp/net" --json 2>/dev/null |
            jq -r --arg name "$1" '.processes[] | select(.name == $name and .ready) | .rpc' || true)
        [ -z "$url" ] || { echo "$url"; return; }
        sleep 0.2
    done
    cat "$tmp/err" >&2
    return 1
}
url=$(rpc_of ledger-0)
gateway=$(rpc_of trusted-0)

# Readings of a device of that gateway, once some are anchored; a lie about them; a grant.
export POA_KEYS=$tmp/net/keys POA_RPC=$gateway
for _ in $(seq 300); do
    device=$("$bin/poa" devices --json | jq -r '.items[].device' | while read -r d; do
        [ "$("$bin/poa" device presence "$d" --json | jq .connected)" != true ] || { echo "$d"; break; }
    done)
    rm -f "$tmp/packs"
    [ -n "$device" ] && "$bin/poa" data get "$device" --from owner --output "$tmp/packs" >"$tmp/got" 2>&1 &&
        [ "$(jq '[.packs[] | select(.receipt)] | length' "$tmp/packs")" -gt 2 ] && break
    sleep 1
done
jq -c '.packs[0].pack |= (if endswith("0") then .[:-1] + "1" else .[:-1] + "0" end)' "$tmp/packs" >"$tmp/lie"
"$bin/poa" data grant "$device" --from owner --output "$tmp/grant" >/dev/null

cd "$here"
node explorer.mjs "$url" "$shots" "$gateway" "$device" "$tmp"
