#!/bin/bash
# poad itself, with epochs of a few seconds: four servers agree over hand-overs,
# a node that comes late catches up, one that is killed or loses its disk comes
# back, restarts continue the chain, and what is wrong is said in one line.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
net=$POA_TMP/net
logs=("$net/*.log")
take_ports
declare -A pid=()
rpc_port() { echo $((base + 10 + $1)); }
block() { "$poa" block --rpc "http://127.0.0.1:$(rpc_port "$1")" --json ${2:+$2}; }
height() { block "$1" | jq -r .header.height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
status() { "$poa" status --rpc "http://127.0.0.1:$(rpc_port "$1")" --json; }
same_hash() { # HEIGHT NODE...
    local h=$1 want
    shift
    wait_for 60 block "$1" "$h" || fail "node $1 has no block $h"
    want=$(block "$1" "$h" | jq -r .hash)
    for n in "$@"; do
        wait_for 60 block "$n" "$h" || fail "node $n has no block $h"
        [ "$(block "$n" "$h" | jq -r .hash)" = "$want" ] || fail "node $n differs at height $h"
    done
}

echo "# a genesis with short epochs"
"$poa" devnet --ledgers 4 --trusted 1 --devices 1 --for 500ms --data-dir "$POA_TMP/seed" >/dev/null 2>&1 ||
    fail "no seed network"
mkdir "$net"
"$poa" genesis show "$POA_TMP/seed/genesis.poa" | jq '.epoch_views = "30" | .heartbeat_ms = 60' >"$net/genesis.json"
"$poa" genesis create "$net/genesis.json" --output "$net/genesis.poa" >/dev/null || fail "genesis"
for i in 0 1 2 3 4; do
    role=ledger
    name=ledger-$i
    [ $i -lt 4 ] || { role=trusted name=trusted-0; }
    cp "$POA_TMP/seed/keys/$name.json" "$net/key-$i.json"
    {
        echo "data_dir = $net/data-$i"
        echo "genesis = $net/genesis.$([ $i = 1 ] && echo json || echo poa)"
        echo "key = $net/key-$i.json"
        echo "role = $role"
        [ $i = 4 ] && echo "listen = off" || echo "listen = 127.0.0.1:$((base + 2 * i))"
        echo "rpc = 127.0.0.1:$(rpc_port $i)"
        echo "ready_file = $net/ready-$i"
        echo "checkpoint_s = 3"
    } >"$net/$i.conf"
done
for i in 0 1 2 3 4; do
    for k in 0 1 2 3; do
        [ $i = $k ] ||
            echo "peer = $(jq -r .public "$net/key-$k.json")@127.0.0.1:$((base + 2 * k))" >>"$net/$i.conf"
    done
done
start() {
    rm -f "$net/ready-$1"
    "$poad" --config "$net/$1.conf" >>"$net/$1.log" 2>&1 &
    pid[$1]=$!
    wait_for 60 test -f "$net/ready-$1" || fail "node $1 is not ready"
}
stop() {
    kill -TERM "${pid[$1]}"
    wait "${pid[$1]}" || fail "node $1: exit code $?"
    unset "pid[$1]"
}

echo "# four servers over several epochs"
for i in 0 1 2 3; do start $i; done
wait_for 60 above 0 70 || fail "no progress: $(height 0)"
[ "$(status 0 | jq -r .consensus.epoch)" -ge 2 ] || fail "no new epoch: $(status 0)"

echo "# the directory is in use; so is the port"
! "$poad" --config "$net/0.conf" >"$POA_TMP/out" 2>&1 || fail "two processes in one directory"
grep -q "is in use by process ${pid[0]}" "$POA_TMP/out" || fail "$(cat "$POA_TMP/out")"
not_here() { # LISTEN TEXT
    ! "$poad" --config "$net/0.conf" --data-dir "$net/other" --rpc 127.0.0.1:0 --listen "$1" >"$POA_TMP/out" 2>&1 || fail "it listens on $1"
    grep -q "^poad: listen: $2" "$POA_TMP/out" || fail "not «$2»: $(cat "$POA_TMP/out")"
}
not_here "127.0.0.1:$((base + 2))" "127.0.0.1:$((base + 2)): in use by another process"
not_here "127.0.0.1:$((base + 9))" "127.0.0.1:$((base + 10)): in use by another process (.*two ports"
not_here "192.0.2.9:$((base + 60))" "192.0.2.9:$((base + 60)): this machine has no such address"

echo "# one that comes late is not ready before it is where the others are"
readyz() { curl -s --max-time 5 -o "$POA_TMP/readyz" -w '%{http_code}' "http://127.0.0.1:$(rpc_port "$1")/readyz"; }
ready() { [ "$(readyz "$1")" = 200 ]; }
for i in 0 1 2 3; do wait_for 60 ready $i || fail "server $i is not ready: $(cat "$POA_TMP/readyz")"; done
h=$(height 0)
servers=("${pid[@]}")
kill -STOP "${servers[@]}"
start 4
code=$(readyz 4)
[ "$code" = 503 ] && grep -q "no peer has said" "$POA_TMP/readyz" ||
    fail "it heard of nobody, and says $code $(cat "$POA_TMP/readyz")"
status 4 | jq -en 'input | (.ready | not) and .height == "0"' >/dev/null || fail "$(status 4)"
kill -CONT "${servers[@]}"
wait_for 60 ready 4 || fail "the follower is not ready: $(cat "$POA_TMP/readyz")"
above 4 $((h - 3)) || fail "ready at $(height 4) of more than $h"

echo "# one that hears of nothing any more has old blocks"
kill -STOP "${servers[@]}"
old() { ! ready 4 && grep -q "^no block came for .* s; peers connected: " "$POA_TMP/readyz"; }
wait_for 90 old || fail "it has lost its peers, and says $(cat "$POA_TMP/readyz")"
kill -CONT "${servers[@]}"
wait_for 60 ready 4 || fail "not ready again: $(cat "$POA_TMP/readyz")"

echo "# one that is killed"
kill -KILL "${pid[3]}"
wait "${pid[3]}" 2>/dev/null || true
wait_for 60 above 4 $(($(height 0) + 20)) || fail "the follower does not follow: $(height 4)"
start 3
h=$(height 0)
wait_for 60 above 3 "$h" || fail "the killed server does not catch up: $(height 3)"
wait_for 60 above 4 "$h" || fail "the follower stopped: $(height 4)"
same_hash "$h" 0 1 2 3 4

echo "# a lost disk: abstains, follows, votes again in a later epoch"
stop 3
rm -rf "$net/data-3"
start 3
grep -q "abstaining until the next epoch" "$net/3.log" || fail "does not notice"
wait_for 60 above 3 "$h" || fail "does not catch up from nothing: $(height 3)"
wait_for 60 sh -c "$poa status --rpc http://127.0.0.1:$(rpc_port 3) --json | jq -en 'input | .consensus.abstaining | not'" ||
    fail "abstains for ever: $(status 3)"
same_hash "$h" 0 3

echo "# a count of starts that is damaged: abstains, and counts anew once it votes again"
stop 3
count=$(ls "$net"/key-3.json.joined-*)
echo rubbish >"$count"
start 3
grep -q "WARN.*${count##*/} is damaged: .*abstaining until the next epoch" "$net/3.log" || fail "does not notice"
counts() { grep -Eqx '[0-9]{10,}' "$count"; }
wait_for 60 counts || fail "it has no new count: $(cat "$count")"
stop 3
before=$(wc -l <"$net/3.log")
start 3
! tail -n "+$((before + 1))" "$net/3.log" | grep "abstaining" || fail "it lost nothing"
counts || fail "the count: $(cat "$count")"

echo "# a disk that is full halts the node, with a reason; the others go on"
stop 3
rc=0
(
    ulimit -f 320
    exec "$poad" --config "$net/3.conf" 2>&1 | cat >"$POA_TMP/full"
    exit "${PIPESTATUS[0]}"
) || rc=$?
[ $rc -eq 1 ] || fail "exit code $rc with a full disk: $(cat "$POA_TMP/full")"
grep -Eq "^poad: cannot (open|write to) $net/data-3.*File too large" "$POA_TMP/full" ||
    fail "no reason: $(cat "$POA_TMP/full")"
h=$(height 0)
wait_for 60 above 0 $((h + 5)) || fail "the others stopped"
start 3
wait_for 60 above 3 "$h" || fail "does not come back with space: $(height 3)"

echo "# everything stops and goes on"
h=$(height 0)
for i in 4 0 1 2 3; do stop $i; done
for i in 0 1 2 3 4; do start $i; done
wait_for 60 above 0 $((h + 10)) || fail "the chain does not go on: $(height 0) after $h"
wait_for 60 above 4 $((h + 10)) || fail "the follower does not go on: $(height 4) after $h"
same_hash "$h" 0 1 2 3 4
same_hash $((h + 10)) 0 1 2 4
for i in 0 1 2 3 4; do stop $i; done
! grep -h "halted" "$net"/*.log || fail "a node halted"

echo "# one clear line each"
refused() { # [CODE] PATTERN ARGUMENTS...: 2: wrong options or configuration
    local code=1 want rc=0
    case $1 in [0-9]) code=$1; shift ;; esac
    want=$1
    shift
    "$poad" "$@" >"$POA_TMP/out" 2>&1 || rc=$?
    [ $rc -eq $code ] || fail "exit code $rc of poad $*"
    [ "$(grep -vc ' INFO ' "$POA_TMP/out")" -eq 1 ] || fail "not one line: $(cat "$POA_TMP/out")"
    grep -q "$want" "$POA_TMP/out" || fail "$(cat "$POA_TMP/out") lacks $want"
}
refused 2 "no such file\|cannot\|No such" --config "$net/none.conf"
refused 2 "workers: \"x\" is not a number" --workers x
refused 2 "poa keys new" --config "$net/0.conf" --key "$net/none.json"
refused 2 "belongs to another node key" --config "$net/0.conf" --key "$net/key-1.json"
refused 2 "genesis" --config "$net/0.conf" --genesis "$net/key-0.json"
jq '.epoch_views = "31"' "$net/genesis.json" >"$net/other.json"
refused 2 "belongs to chain" --config "$net/0.conf" --genesis "$net/other.json"
jq '.slot_ms = 0' "$net/genesis.json" >"$net/bad.json"
refused 2 "bad.json: " --config "$net/0.conf" --genesis "$net/bad.json"
refused "listen" --config "$net/0.conf" --listen 203.0.113.1:1
"$poad" --config "$net/0.conf" --print-config >"$net/printed.conf" || fail "--print-config"
"$poad" --config "$net/printed.conf" --print-config | diff - "$net/printed.conf" || fail "printed differs"
echo ok
