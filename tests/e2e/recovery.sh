#!/bin/bash
# More witnesses than the quorum can spare lose their logs: the chain stands still
# and says why; the operators' order (docs/node.md, Recovery) gets it going again
# within the epoch, and nobody contradicts what it forgot. A data directory from a
# backup is noticed.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
net=$POA_TMP/net
logs=("$net/*.log")
take_ports
declare -A pid=()
url() { echo "http://127.0.0.1:$((base + 10 + $1))"; }
status() { "$poa" status --rpc "$(url "$1")" --json; }
height() { status "$1" | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
says() { status "$1" | jq -en "input | $2" >/dev/null; }
hash_at() { "$poa" block "$2" --rpc "$(url "$1")" --json | jq -r .hash; }

echo "# four witnesses, one epoch for hours"
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --for 500ms --data-dir "$POA_TMP/seed" >/dev/null 2>&1 ||
    fail "no seed network"
mkdir "$net"
"$poa" genesis show "$POA_TMP/seed/genesis.poa" | jq '.epoch_views = "1000000" | .heartbeat_ms = 60' >"$net/genesis.json"
"$poa" genesis create "$net/genesis.json" --output "$net/genesis.poa" >/dev/null || fail "genesis"
for i in 0 1 2 3 4; do
    name=ledger-$i
    [ $i -lt 4 ] || name=trusted-0
    cp "$POA_TMP/seed/keys/$name.json" "$net/key-$i.json"
    {
        echo "data_dir = $net/data-$i"
        echo "genesis = $net/genesis.poa"
        echo "key = $net/key-$i.json"
        [ $i -lt 4 ] || echo "role = trusted"
        echo "listen = $([ $i = 4 ] && echo off || echo "127.0.0.1:$((base + 2 * i))")"
        echo "rpc = 127.0.0.1:$((base + 10 + i))"
        echo "ready_file = $net/ready-$i"
        echo "checkpoint_s = 2"
    } >"$net/$i.conf"
done
for i in 0 1 2 3 4; do
    for k in 0 1 2 3; do
        [ $i = $k ] ||
            echo "peer = $(jq -r .public "$net/key-$k.json")@127.0.0.1:$((base + 2 * k))" >>"$net/$i.conf"
    done
done
start() { # NODE OPTIONS...
    local i=$1
    shift
    rm -f "$net/ready-$i"
    "$poad" --config "$net/$i.conf" "$@" >>"$net/$i.log" 2>&1 &
    pid[$i]=$!
    wait_for 60 test -f "$net/ready-$i" || fail "node $i is not ready"
}
stop() {
    kill -TERM "${pid[$1]}"
    wait "${pid[$1]}" || fail "node $1: exit code $?"
    unset "pid[$1]"
}
crash() {
    kill -KILL "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}
for i in 0 1 2 3; do start $i; done
wait_for 60 above 0 20 || fail "no progress: $(height 0)"
! "$poa" witness recovery --rpc "$(url 0)" 2>err || fail "an order without need"
grep -q "not stalled" err && [ "$(wc -l <err)" -eq 1 ] || fail "$(cat err)"

echo "# one that is not in the committee has no vote to wait for"
start 4 --restored yes
says 4 '.consensus.abstaining and .consensus.member == -1' || fail "$(status 4)"
"$poa" status --rpc "$(url 4)" | grep -q "^votes *no: this node lost its log.*; it is not in the committee" || fail "it promises to vote"
! "$poa" witness recovery --rpc "$(url 4)" 2>err || fail "an order without need"
grep -q "(ask a witness)" err && [ "$(wc -l <err)" -eq 1 ] || fail "$(cat err)"
stop 4

echo "# two lose their disks while they vote"
crash 2
crash 3
rm -rf "$net/data-2" "$net/data-3"
before=$(height 0)
start 2
start 3
wait_for 60 says 0 '.consensus.silent | length == 2' || fail "no stall is reported: $(status 0)"
says 2 '.consensus.abstaining' && says 3 '.consensus.abstaining' || fail "they vote: $(status 2)"
"$poa" status --rpc "$(url 0)" | grep -q "^stalled .* 2 of 4 members vote, 3 must" || fail "not in status"
"$poa" status --rpc "$(url 0)" | grep -q "^ready *no: stalled: nothing became final" || fail "ready: $(status 0)"
[ "$(curl -s -o readyz -w '%{http_code}' "$(url 0)/readyz")" = 503 ] && grep -q "^stalled: " readyz || fail "/readyz: $(cat readyz)"
"$poa" status --rpc "$(url 0)" | grep -q "silent *$(jq -r .public "$net/key-2.json")" || fail "who is silent?"
"$poa" status --rpc "$(url 2)" | grep -q "^votes *no: this node lost its log" || fail "node 2 does not say why"
wait_for 60 grep -q "stalled: nothing became final .*2 of 4 members vote and 3 must; silent: .*connected: did it lose its log" \
    "$net/0.log" || fail "not in the log"
grep -q "abstaining until the next epoch" "$net/2.log" || fail "node 2 does not know"
wait_for 60 above 2 $((before - 1)) || fail "node 2 does not catch up: $(height 2) of $before"
wait_for 60 above 3 $((before - 1)) || fail "node 3 does not catch up: $(height 3) of $before"
h=$(height 0)
sleep 3
[ "$(height 0)" -eq "$h" ] || fail "it goes on with two of four"

echo "# restarts alone change nothing, nor does an order to too few"
stop 3
start 3
order=$("$poa" witness recovery --rpc "$(url 0)" --json | jq -r .recover)
wait_for 60 says 3 '.consensus.abstaining' || fail "node 3 does not abstain"
! "$poa" witness recovery --rpc "$(url 3)" >out 2>err || fail "an order of a node that abstains"
grep -q "this node .*lost its log" err && [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] || fail "$(cat out err)"
"$poa" witness recovery --rpc "$(url 0)" | grep -q "at least 2 witnesses that have their logs" || fail "no advice"
for i in 2 3; do
    stop $i
    start $i --recover "$order"
done
sleep 4
[ "$(height 0)" -eq "$h" ] || fail "those who forgot decided alone"
says 2 '.consensus.abstaining and .consensus.recovering' || fail "node 2: $(status 2)"

echo "# the order to everybody: the chain goes on"
for i in 0 1; do
    stop $i
    start $i --recover "$order"
done
for i in 0 1 2 3; do
    wait_for 60 above $i $((h + 20)) || fail "node $i stays at $(height $i) after $h"
    wait_for 60 says $i '(.consensus.abstaining | not) and (.consensus.recovering | not)' || fail "node $i: $(status $i)"
done
wait_for 60 grep -q "recover: by the operators' order" "$net/0.log" || fail "not in the log"
wait_for 60 grep -q "this node votes again" "$net/2.log" || fail "node 2 does not say that it votes"

echo "# and does without the two that kept their logs being both there"
h=$(height 2)
crash 0
wait_for 60 above 2 $((h + 10)) || fail "1, 2 and 3 are no quorum: $(height 2)"
start 0
for i in 2 3; do # what they said after the recovery is in their logs
    crash $i
    start $i
    wait_for 60 says $i '(.consensus.abstaining | not)' || fail "node $i abstains again"
done
h=$(height 1)
for i in 0 1 2 3; do wait_for 60 above $i $((h + 10)) || fail "node $i: $(height $i)"; done

for i in 0 1; do # an order is followed once
    stop $i
    start $i --recover "$order"
    wait_for 60 grep -q "recover: this order was carried out" "$net/$i.log" || fail "node $i follows an old order"
done
h=$(height 1)
for i in 0 1 2 3; do wait_for 60 above $i $((h + 10)) || fail "node $i: $(height $i)"; done

echo "# one chain, as everybody has it and as the certificates say"
for k in 1 $((before / 2)) "$before" $((before + 1)) $((before + 2)) "$h"; do
    for i in 0 1 2 3; do hash_at $i "$k"; done | sort -u >hashes
    [ "$(wc -l <hashes)" -eq 1 ] || fail "height $k: $(cat hashes)"
done
for i in 0 2; do
    "$poa" chain export --rpc "$(url $i)" --output chain-$i.poa >/dev/null || fail "export of node $i"
    "$poa" verify chain chain-$i.poa --genesis "$net/genesis.poa" --json | jq -en "input | .verified and .height >= $h" >/dev/null ||
        fail "node $i: not verified"
done
says 0 '.consensus.evidence_pending == 0' || fail "evidence: $(status 0)"
! grep -h "halted\|evidence" "$net"/*.log || fail "a node halted, or was accused"

echo "# a log whose end was torn loses its end only: no abstaining"
crash 3
h=$(height 0)
wait_for 60 above 0 $((h + 20)) || fail "the others stopped"
log=$(ls -t "$net"/data-3/db/*.log | head -n 1)
head -c 20 "$log" >"$POA_TMP/torn" # a record that was not written to its end; what was synced stays
cat "$POA_TMP/torn" >>"$log"
start 3
wait_for 60 above 3 $((h + 20)) || fail "node 3 does not come back with a torn log: $(height 3)"
says 3 '.consensus.abstaining | not' || fail "it abstains"
crash 0
h=$(height 3)
wait_for 60 above 3 $((h + 5)) || fail "node 3 does not vote: $(status 3)"
start 0

take_back() { # NODE: stopped, with the database that it had before it went on
    stop "$1"
    cp -a "$net/data-$1" "$net/backup"
    start "$1"
    h=$(height 0)
    wait_for 60 above "$1" $((h + 5)) || fail "node $1 does not go on"
    stop "$1"
    rm -rf "$net/data-$1"
    mv "$net/backup" "$net/data-$1"
}

echo "# a data directory from a backup is noticed"
take_back 3
start 3
grep -q "is a copy from before this node's last start" "$net/3.log" || fail "not noticed"
says 3 .consensus.abstaining || fail "it votes"
stop 3
start 3
says 3 .consensus.abstaining || fail "it forgot that it forgot"
h=$(height 0)
wait_for 60 above 3 $((h + 5)) || fail "the others do not go on, or node 3 does not follow"
! "$poad" --config "$net/3.conf" --recover 3-xyz 2>err || fail "a bad order is taken"
grep -q "recover: \"3-xyz\" is no token" err && [ "$(wc -l <err)" -eq 1 ] || fail "$(cat err)"

echo "# nor is one trusted whose count of starts is lost"
take_back 2
count=$(ls "$net"/key-2.json.joined-*)
: >"$count"
start 2
grep -q "WARN.*${count##*/} is empty.*: abstaining until the next epoch" "$net/2.log" || fail "not noticed"
says 2 .consensus.abstaining || fail "it votes"
stop 2
start 2
says 2 .consensus.abstaining || fail "it forgot that it forgot"

echo "# a count that is put back tells what it told before"
stop 0
mv "$net"/key-0.json.joined-* "$POA_TMP/count"
for i in 1 2; do # it stays as it was
    start 0
    grep -q "WARN.*/key-0.json.joined-.* is missing.*: abstaining until the next epoch" "$net/0.log" || fail "not noticed"
    says 0 .consensus.abstaining || fail "it votes without its count"
    stop 0
done
mv "$POA_TMP/count" "$net/key-0${count##*/key-2}"
start 0
says 0 '.consensus.abstaining | not' || fail "it abstains with its count: $(status 0)"
for i in 0 1 2 3; do stop $i; done
echo ok
