#!/bin/bash
# A mesh over IPv6 alone, between real processes: four witnesses make blocks, a follower
# that knows one of them finds the others and has the same chain, a witness that was away
# comes back. Not one connection of the mesh is of IPv4, and addresses are told as they
# are written in the configuration.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$POA_TMP/log-*")
pids=()
cd "$POA_TMP"
[ -e /proc/net/if_inet6 ] && grep -q "^0\{31\}1 " /proc/net/if_inet6 || { echo "skipped: no IPv6 here"; exit 0; }
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
rm -rf "$dir"/*/data "$dir"/keys/*.joined-*
take_ports
names=(ledger-0 ledger-1 ledger-2 ledger-3 trusted-0)
for i in 0 1 2 3 4; do
    {
        grep -v '^listen\|^rpc\|^gateway\|^peer' "$dir/${names[i]}/poad.conf"
        echo "gateway = off"
        echo "listen = [::1]:$((base + 2 * i))"
        echo "rpc = [::1]:$((base + 50 + i))"
        for k in 0 1 2 3; do
            # The follower knows one.
            if [ $k = $i ] || { [ $i = 4 ] && [ $k != 1 ]; }; then continue; fi
            key=$("$poa" genesis show "$dir/genesis.poa" | jq -r ".witnesses[] | select(.name == \"${names[k]}\") | .key")
            echo "peer = $key@[::1]:$((base + 2 * k))"
        done
    } >"conf-$i"
    url[i]="http://[::1]:$((base + 50 + i))"
done
start() { # NODE
    "$poad" --config "conf-$1" >>"log-$1" 2>&1 &
    pids[$1]=$!
}
ready() { curl -gsf --max-time 2 "${url[$1]}/readyz"; }
height() { "$poa" status --rpc "${url[$1]}" --json | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
for i in 0 1 2 3 4; do start $i; done
for i in 0 1 2 3 4; do wait_for 60 ready $i || fail "node $i does not start: $(tail -n 3 "log-$i")"; done
export POA_RPC=${url[2]} POA_KEYS=$dir/keys
"$poa" send bob 4321 --from alice >/dev/null || fail send

echo "# everybody is connected, and only over IPv6"
found() { "$poa" peers --rpc "${url[4]}" --json >peers.json && jq -en 'input | [.[] | select(.outbound)] | length >= 4' peers.json; }
wait_for 60 found || fail "the follower found $(cat peers.json)"
jq -en 'input | all(.[] | select(.outbound); .address | startswith("[::1]:"))' peers.json >/dev/null || fail "$(cat peers.json)"
for i in 0 1 2 3; do
    both() { "$poa" peers --rpc "${url[i]}" --json >peers-$i.json && jq -en 'input | [.[] | select(.direction == "both")] | length >= 3' peers-$i.json; }
    wait_for 60 both || fail "node $i: $(cat "peers-$i.json")"
done
listening() { # FILE: how many of the mesh's ports
    awk '$4 == "0A" { split($2, a, ":"); print a[2] }' "$1" | while read -r port; do
        [ $((16#$port)) -lt "$base" ] || [ $((16#$port)) -ge $((base + 10)) ] || echo "$port"
    done | wc -l
}
[ "$(listening /proc/net/tcp6)" -ge 10 ] && [ "$(listening /proc/net/tcp)" = 0 ] || fail "$(listening /proc/net/tcp6) and $(listening /proc/net/tcp) ports"

echo "# one goes and comes back"
kill -KILL "${pids[3]}"
wait "${pids[3]}" 2>/dev/null || true
at=$(height 0)
wait_for 60 above 0 $((at + 5)) || fail "three of four do not go on"
start 3
wait_for 60 ready 3 || fail "it does not come back: $(tail -n 3 log-3)"
at=$(height 0)
for i in 3 4; do
    wait_for 60 above $i "$at" || fail "node $i stays behind"
    [ "$("$poa" block "$at" --rpc "${url[i]}" --json | jq -r .hash)" = "$("$poa" block "$at" --json | jq -r .hash)" ] || fail "node $i has another block $at"
done
[ "$("$poa" balance bob --rpc "${url[4]}" --json)" = "$("$poa" balance bob --json)" ] || fail "another balance"
for i in 0 1 2 3 4; do kill -TERM "${pids[i]}"; done
for i in 0 1 2 3 4; do wait "${pids[i]}" || fail "node $i: exit code $?"; done
grep -q ' \[::1\]:' "$(sed -n 's/^data_dir = //p' conf-4)/peers.book" || fail "the book: $(cat "$(sed -n 's/^data_dir = //p' conf-4)/peers.book")"
echo "a mesh of IPv6, a follower that found it, and a witness that came back"
