#!/bin/bash
# Who serves changes while the network runs: a fifth witness is admitted by the
# steering committee, serves from the next epoch on and is needed for its quorum;
# then one of the first four leaves. Nobody's configuration changes for either.
# Meanwhile transfers become final. A node that was away for epochs, and one that
# starts from nothing, catch up over these hand-overs.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
net=$POA_TMP/net
logs=("$net/*.log")
keys=$POA_TMP/seed/keys
take_ports
declare -A pid=()
load=
url() { echo "http://127.0.0.1:$((base + 12 + $1))"; }
status() { "$poa" status --rpc "$(url "$1")" --json; }
height() { status "$1" | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
says() { status "$1" | jq -en "input | $2" >/dev/null; }
epoch() { status "$1" | jq .consensus.epoch; }
public() { jq -r .public "$net/key-$1.json"; }
serving() { # EPOCH: keys of its committee
    curl -sf "$(url 0)" -d '{"jsonrpc":"2.0","id":1,"method":"poa_epoch_get","params":['"$1"']}' | jq -r '.result.committee.members[].key'
}

echo "# four witnesses; the epochs take seconds; node 4 follows, nobody lists it"
"$poa" devnet --ledgers 5 --trusted 0 --devices 0 --for 500ms --data-dir "$POA_TMP/seed" >/dev/null 2>&1 ||
    fail "no seed network"
mkdir "$net"
cp "$POA_TMP/seed/keys/ledger-4.json" "$net/key-4.json"
"$poa" genesis show "$POA_TMP/seed/genesis.poa" |
    jq --arg five "$(jq -r .public "$net/key-4.json")" \
        '.epoch_views = "40" | .heartbeat_ms = 60 | .witnesses |= map(select(.key != $five))' >"$net/genesis.json"
"$poa" genesis create "$net/genesis.json" --output "$net/genesis.poa" >/dev/null || fail "genesis"
for i in 0 1 2 3 4; do
    cp "$POA_TMP/seed/keys/ledger-$i.json" "$net/key-$i.json"
    {
        echo "data_dir = $net/data-$i"
        echo "genesis = $net/genesis.poa"
        echo "key = $net/key-$i.json"
        echo "listen = 127.0.0.1:$((base + 2 * i))"
        echo "rpc = 127.0.0.1:$((base + 12 + i))"
        echo "ready_file = $net/ready-$i"
        echo "checkpoint_s = 2"
    } >"$net/$i.conf"
    for k in 0 1 2 3; do
        [ $i = $k ] || echo "peer = $(jq -r .public "$POA_TMP/seed/keys/ledger-$k.json")@127.0.0.1:$((base + 2 * k))" >>"$net/$i.conf"
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
for i in 0 1 2 3 4; do start $i; done
wait_for 120 above 4 20 || fail "no progress: $(height 4)"
says 0 '.consensus.members == 4 and .consensus.quorum == 3' || fail "$(status 0)"
says 4 '.consensus.member == -1' || fail "node 4 serves already"
"$poa" send steering 1000000 --from alice --keys "$keys" --rpc "$(url 0)" --timeout 60 >/dev/null || fail "no money"
while [ ! -e "$POA_TMP/enough" ]; do
    # bob's: alice is who is refused below, and two senders of one account race for its nonce
    "$poa" send alice 1 --from bob --keys "$keys" --rpc "$(url 1)" --timeout 60 --json 2>>"$POA_TMP/load.err" || sleep 0.2
done >"$POA_TMP/sent" &
load=$!

echo "# not by just anybody, not a bad key, not twice"
govern() { "$poa" witness "$@" --keys "$keys" --rpc "$(url 0)" --timeout 60; }
refused() { # PATTERN ARGUMENTS...
    local want=$1
    shift
    ! govern "$@" >out 2>err || fail "taken: $*"
    grep -q "$want" err && [ "$(wc -l <err)" -eq 1 ] || fail "$*: $(cat err)"
}
refused "sender may not do this" admit ledger-4 --from alice
refused "sender may not do this" leave ledger-1 --from alice
refused "is neither a node key" admit nobody --from steering
refused "is not HOST:PORT" admit ledger-4 --mesh 127.0.0.1 --from steering
refused "on the ledger" admit ledger-0 --from steering
refused "not found" leave ledger-4 --from steering

echo "# a fifth witness: q follows n at the epoch's end"
before=$(epoch 0)
govern admit ledger-4 --mesh "127.0.0.1:$((base + 8))" --maker 9 --from steering >/dev/null || fail "not admitted"
wait_for 120 says 0 '.consensus.members == 5 and .consensus.quorum == 4' || fail "no committee of five: $(status 0)"
for i in 0 1 2 3 4; do wait_for 120 says $i '.consensus.members == 5 and .consensus.member >= 0' || fail "node $i: $(status $i)"; done
# From the ledger or from its other peers; the log may be a moment behind what the node answers.
for i in 0 1 2 3; do wait_for 60 grep -q "at 127.0.0.1:$((base + 8))\$" "$net/$i.log" || fail "node $i does not know it"; done
joined=$(epoch 0)
wait_for 120 above 0 $(($(height 0) + 20)) || fail "five do not go on"
kill -STOP "${pid[2]}" # four must sign: now the new one has to
h=$(height 0)
wait_for 120 above 0 $((h + 10)) || fail "the new witness does not vote: $(status 4)"
kill -CONT "${pid[2]}"
serving "$joined" | grep -qx "$(public 4)" || fail "not in the committee of epoch $joined"
# Not of the epoch before JOINED: on a busy machine that may be its second one already.
! serving "$before" | grep -qx "$(public 4)" || fail "it served before"

echo "# one of the first leaves: it serves its epoch to the end, then follows"
stop 3 # and one is away for epochs
govern leave ledger-1 --from steering >/dev/null || fail "it may not leave"
refused "not found" leave ledger-1 --from steering
refused "on the ledger" admit ledger-1 --from steering
wait_for 120 says 0 '.consensus.members == 4 and .consensus.quorum == 3' || fail "no committee of four: $(status 0)"
wait_for 120 says 1 '.consensus.member == -1' || fail "it serves on: $(status 1)"
! serving "$(epoch 0)" | grep -qx "$(public 1)" || fail "it is in the committee"
h=$(height 0)
wait_for 120 above 0 $((h + 20)) || fail "0, 2 and 4 do not go on without 1 and 3: $(height 0)"
wait_for 120 above 1 $((h + 20)) || fail "the one that left does not follow: $(height 1)"
stop 1
wait_for 120 above 0 $(($(height 0) + 20)) || fail "it is still needed"

echo "# away for epochs; and from nothing, over every hand-over, while blocks become final"
e=$(epoch 0)
wait_for 120 says 0 ".consensus.epoch >= $((e + 3))" || fail "no epochs: $(status 0)"
start 3
h=$(height 0)
wait_for 120 above 3 "$h" || fail "node 3 does not catch up: $(height 3) of $h"
wait_for 120 says 3 '.consensus.member >= 0 and (.consensus.abstaining | not)' || fail "node 3: $(status 3)"
rm -rf "$net/data-1"
start 1
h=$(height 0)
wait_for 120 above 1 "$h" || fail "node 1 does not catch up from nothing: $(height 1) of $h"
wait_for 120 above 0 $((h + 5)) || fail "the network stopped meanwhile"

echo "# no transfer was lost, one chain, and it verifies over all committees"
touch "$POA_TMP/enough"
wait "$load" || true
load=
[ "$(jq -rs length "$POA_TMP/sent")" -gt 10 ] || fail "hardly any transfer: $(tail -n 2 "$POA_TMP/load.err")"
h=$(height 0)
for i in 0 1 2 3 4; do wait_for 120 above $i "$h" || fail "node $i: $(height $i)"; done
for id in $(jq -r .id "$POA_TMP/sent"); do
    "$poa" tx "$id" --rpc "$(url 1)" --json | jq -en 'input | .state == "final"' >/dev/null || fail "$id is not final at node 1"
done
for k in 1 $((h / 2)) "$h"; do
    for i in 0 1 2 3 4; do "$poa" block "$k" --rpc "$(url $i)" --json | jq -r .hash; done | sort -u >hashes
    [ "$(wc -l <hashes)" -eq 1 ] || fail "height $k: $(cat hashes)"
done
"$poa" chain export --rpc "$(url 1)" --output chain.poa >/dev/null || fail "export"
"$poa" verify chain chain.poa --genesis "$net/genesis.poa" --json | jq -en "input | .verified and .hand_overs >= $((e + 3))" >/dev/null ||
    fail "not verified"
for i in 0 1 2 3 4; do stop $i; done
! grep -h "halted" "$net"/*.log || fail "a node halted"
echo ok
