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
url=
for _ in $(seq 300); do
    url=$("$bin/poa" devnet status --data-dir "$tmp/net" --json 2>/dev/null |
        jq -r '.processes[] | select(.name == "ledger-0" and .ready) | .rpc' || true)
    [ -z "$url" ] || break
    sleep 0.2
done
[ -n "$url" ] || { cat "$tmp/err" >&2; exit 1; }

cd "$here"
node explorer.mjs "$url" "$shots"
