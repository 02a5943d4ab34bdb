#!/bin/bash
# How long a new node takes for the state of a snapshot from one, two and three servers
# whose lines are the bottleneck: each sends JOIN_KIB per second (1,024) with 10 ms one
# way (tests/e2e/link.c). Each server more must save time. Needs root, or `unshare -Ur`.
#
# Environment: POA_BIN, JOIN_KIB, JOIN_ACCOUNTS (40,000).
set -eu
if [ "$(id -u)" != 0 ]; then
    exec unshare -Ur "$0"
fi
here=$(cd "$(dirname "$0")" && pwd)
POA_TMP=$(mktemp -d "${TMPDIR:-/tmp}/poa-join.XXXXXX")
export POA_TMP
. "$here/../runner/e2e.sh"
cd "$POA_TMP"
dir=$POA_TMP/net
kib=${JOIN_KIB:-1024}
logs=("$POA_TMP/log-*")
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --policy random --for 1s --data-dir "$dir" --json >made.json || fail "exit code $?"
"$poa" genesis show "$dir/genesis.poa" | with_accounts "${JOIN_ACCOUNTS:-40000}" >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >/dev/null || fail "no genesis"
rm -rf "$dir"/*/data "$dir"/keys/*.joined-*
key() { "$poa" genesis show genesis.poa | jq -r ".witnesses[] | select(.name == \"ledger-$1\") | .key"; }
for i in 0 1 2 3; do key $i >key-$i; done
conf() { # FILE FROM I PEER...
    {
        grep -v '^listen\|^rpc\|^peer\|^faucet\|^gateway\|^genesis' "$dir/$2/poad.conf"
        echo "genesis = $POA_TMP/genesis.poa"
        echo "listen = 10.77.0.$(($3 + 1)):7640"
        echo "rpc = 127.0.0.1:7645"
        for k in "${@:4}"; do [ "$k" = "$3" ] || echo "peer = $(cat key-$k)@10.77.0.$((k + 1)):7640"; done
    } >"$1"
}
for i in 0 1 2 3; do conf conf-$i ledger-$i $i 0 1 2 3; done
mkfifo orders
"$POA_BIN/tests/e2e/link" 5 bash -c "i=%; [ \$i = 4 ] && exec sleep 3600; exec '$poad' --config '$POA_TMP/conf-'\$i --snapshot-blocks 300 2>'$POA_TMP/log-'\$i >/dev/null" \
    <orders >pids 2>link.err &
link=$!
exec 3>orders
trap 'exec 3>&-; wait $link 2>/dev/null || true; rm -rf "$POA_TMP"' EXIT
made() { [ "$(grep -l "for peers" log-0 log-1 log-2 log-3 2>/dev/null | wc -l)" -eq 4 ]; }
wait_for 200 made || fail "no snapshots: $(cat link.err)"
echo "delay 10" >&3
for i in 0 1 2 3; do echo "rate $i $kib" >&3; done
space=$(awk '$1 == 4 { print $2 }' pids)
joined() { grep -q "verified from genesis on" log-join; }
before=0
for n in 1 2 3; do
    peers=(1 2 3)
    conf conf-join trusted-0 4 "${peers[@]:0:n}"
    rm -rf "$dir"/trusted-0/data
    nsenter -t "$space" -n "$poad" --config conf-join --snapshot yes 2>log-join >/dev/null &
    pid=$!
    wait_for 120 joined || fail "$n servers: $(cat log-join)"
    kill -TERM $pid
    wait $pid || fail "exit code $?: $(cat log-join)"
    read -r bytes ms < <(sed -n 's/.* parts, \([0-9]*\) bytes in \([0-9]*\) ms.*/\1 \2/p' log-join)
    echo "from $n: $bytes bytes in $ms ms, $((bytes * 1000 / ms / 1024)) KiB/s of $((n * kib))"
    grep -q "ms from $n servers" log-join || fail "not from $n: $(cat log-join)"
    [ $before = 0 ] || [ "$ms" -lt $before ] || fail "no faster than with $((n - 1))"
    before=$ms
done
