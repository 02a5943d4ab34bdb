#!/bin/bash
# A new node joins from a snapshot that it fetches from its peers: the first lies, the
# second stalls, the third serves. It names them, goes on from the snapshot, and has
# the same blocks and state as they have, without the blocks before.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$POA_TMP/log-*")
pids=()
cd "$POA_TMP"
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "30"' >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >/dev/null
rm -rf "$dir"/*/data "$dir"/keys/*.joined-*
# Ports of our own: those of the devnet may be taken again.
take_ports
names=(ledger-0 ledger-1 ledger-2 ledger-3 trusted-0)
for i in 0 1 2 3 4; do
    sed "s/^genesis = .*/genesis = genesis.poa/; s/^listen = .*/listen = 127.0.0.1:$((base + 2 * i))/; s/^rpc = .*/rpc = 127.0.0.1:$((base + 50 + i))/; s/^gateway = .*/gateway = off/" \
        "$dir/${names[$i]}/poad.conf" >"conf-$i"
    for k in 0 1 2 3 4; do
        port=$(sed -n 's/^listen = 127.0.0.1://p' "$dir/${names[$k]}/poad.conf")
        sed -i "s/^\(peer = .*@127.0.0.1:\)$port\$/\1$((base + 2 * k))/" "conf-$i"
    done
    url[i]=http://127.0.0.1:$((base + 50 + i))
done
start() { # NODE OPTION...
    local i=$1
    shift
    "$POA_BIN/poad" --config "conf-$i" --checkpoint-s 1 "$@" >>"log-$i" 2>&1 &
    pids[$i]=$!
}
height() { curl -s --max-time 5 "${url[$1]}" -d '{"jsonrpc":"2.0","id":1,"method":"poa_status"}' | jq -enr 'input | .result.height'; }
ready() { curl -sf --max-time 2 "${url[$1]}/readyz"; }
for i in 0 1 2 3; do start $i --snapshot-blocks 40; done
for i in 0 1 2 3; do wait_for 60 ready $i || fail "node $i does not start"; done
export POA_RPC=${url[2]} POA_KEYS=$dir/keys
"$poa" send bob 4321 --from alice >/dev/null || fail send
for i in 0 1 2; do wait_for 120 test -s "$(sed -n 's/^data_dir = //p' conf-$i)/peers.snapshot" || fail "node $i makes no snapshot"; done

echo "# one lies, one stalls"
liar=$(sed -n 's/^data_dir = //p' conf-0)/peers.snapshot
# It keeps the file open; no newer one is made.
kill -STOP "${pids[1]}"
kill -KILL "${pids[0]}"
wait "${pids[0]}" 2>/dev/null || true
start 0 --snapshot-blocks 1
wait_for 60 ready 0 || fail "node 0 does not come back"
wait_for 60 grep -q "for peers" log-0
spoil() { # whatever it has, and will have
    while [ -e spoiling ]; do
        n=$(stat -c %s "$liar" 2>/dev/null || echo 0)
        [ "$n" -lt 1000 ] || printf 'lies' | dd of="$liar" bs=1 seek=$((n - 500)) conv=notrunc 2>/dev/null
        sleep 0.02
    done
}
touch spoiling
spoil &
spoiler=$!
sleep 1.5
start 4 --snapshot yes
wait_for 90 ready 4 || fail "the new node does not start"
rm spoiling
wait $spoiler
grep -q "snapshot from peer .*verified from genesis on" log-4 || fail "no snapshot was used: $(cat log-4)"
[ "$(grep -c 'no snapshot from peer' log-4)" -eq 2 ] || fail "not two peers are named: $(grep snapshot log-4)"
kill -CONT "${pids[1]}"

echo "# it has what they have"
at=$(height 4)
more() { [ "$(height 4)" -gt $((at + 3)) ]; }
wait_for 60 more || fail "the new node stops at $at"
block() { "$poa" block "$1" --rpc "${url[$2]}" --json | jq -c '[.hash, .header.state]'; }
[ "$(block $((at + 2)) 4)" = "$(block $((at + 2)) 2)" ] || fail "another block"
[ "$("$poa" balance bob --rpc "${url[4]}" --json)" = "$("$poa" balance bob --json)" ] || fail "another balance"
! "$poa" block 1 --rpc "${url[4]}" >/dev/null 2>&1 || fail "it has block 1: that was no snapshot"
"$poa" proof account bob --rpc "${url[4]}" --json | "$poa" verify proof --genesis genesis.poa >/dev/null || fail "its proofs do not verify"
for i in 0 1 2 3 4; do kill -TERM "${pids[$i]}"; done
for i in 0 1 2 3 4; do wait "${pids[$i]}" || fail "node $i: exit code $?"; done
"$poa" store check "$(sed -n 's/^data_dir = //p' conf-4)" >check || fail "$(cat check)"
echo ok
