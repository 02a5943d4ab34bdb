#!/bin/bash
# Finding peers: a follower that knows one server finds the others and keeps their
# addresses on disk; without its seed it finds the network again from the book; a
# damaged book is one clear line, and the configured peer is enough.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("log-*")

"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --policy random --data-dir "$dir" >run.out 2>run.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 5 || fail "not ready: $(cat run.err)"
rpc=$(process_of "$dir" ledger-2 rpc)
seed=$("$poa" status --rpc "$rpc" --json | jq -r .key)@127.0.0.1:$(sed -n 's/^listen = .*://p' "$dir/ledger-2/poad.conf")
"$poa" keys new follower --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" >key.made

start() { # LOG ARGUMENTS...
    local log=$1
    shift
    rm -f ready
    "$POA_BIN/poad" --data-dir "$POA_TMP/data" --genesis "$dir/genesis.poa" --key "$POA_TMP/follower.json" \
        --role trusted --listen 127.0.0.1:0 --rpc 127.0.0.1:0 --ready-file "$POA_TMP/ready" "$@" >"$log.out" 2>"$log" &
    pid=$!
    wait_for 60 test -s ready || fail "$log: it does not start"
    mine=http://$(sed -n 's/^rpc //p' ready)
}
stop() {
    kill $pid
    wait $pid || fail "exit code $?"
}
outbound() { "$poa" peers --rpc "$mine" --json | jq '[.[] | select(.outbound)] | length'; }
found() { [ "$(outbound)" -ge "$1" ]; }

# A peer where nobody listens, a wrong key at a server's address, and the node itself.
"$poa" keys new ghost --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" >ghost.made
"$poa" keys new wrong --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" >wrong.made
public() { jq -r .public "$POA_TMP/$1.json"; }
start log-first --peer "$seed" --peer "$(public ghost)@127.0.0.1:1" \
    --peer "$(public wrong)@${seed#*@}" --peer "$(public follower)@127.0.0.1:2"
wait_for 60 found 4 || fail "found only $(outbound) peers"
"$poa" peers --rpc "$mine"
"$poa" peers --rpc "$mine" | head -n 1 | grep -Eq ' for +heard +height +in +out +queue +rtt +score$' || fail "the headings"
seats() { # of those that it found
    "$poa" peers --rpc "$mine" --json |
        jq -en 'input | [.[] | select(.role == "witness" and .member != null and .name != "")] | length == 4' >/dev/null
}
wait_for 60 seats || fail "who is in the committee: $("$poa" peers --rpc "$mine")"
grep -q "has this node's own key and is passed over" log-first || fail "its own key is taken for a peer"
wait_for 60 grep -q "at 127.0.0.1:1 has not been reached for .*connection refused" log-first || fail "nobody says that a peer is dead"
wait_for 60 grep -q "at ${seed#*@} has not been reached for .*another key" log-first || fail "nobody says that a key is wrong"
[ "$(grep -c "has not been reached" log-first)" -le 4 ] || fail "it says so again and again"
"$poa" peers --rpc "$mine" | grep -A1 127.0.0.1:1 | grep -q "connection refused" || fail "poa peers does not say why"
caught_up() { [ "$("$poa" status --rpc "$mine" --json | jq -r .height)" -gt 5 ]; }
wait_for 60 caught_up || fail "it does not follow"
stop
[ "$(grep -c '^[0-9a-f]* 127.0.0.1:' data/peers.book)" -ge 4 ] || fail "the book: $(cat data/peers.book)"

# The seed is gone: the book knows the others.
start log-book --peer "${seed%@*}@127.0.0.1:9"
wait_for 60 found 3 || fail "without its seed it found $(outbound) peers"
stop

printf 'poa address book 1\nnonsense\n' >data/peers.book
start log-damaged --peer "$seed"
[ "$(grep -c 'address book .* is damaged: starting from the configured peers' log-damaged)" = 1 ] || fail "no line about the damaged book"
wait_for 60 found 4 || fail "after the damage it found $(outbound) peers"

# Whoever it found and is gone makes room; whoever the configuration names stays.
gone() { "$poa" peers --rpc "$mine" --json | jq -en --arg key "$1" 'input | any(.[]; .key == $key) | not'; }
victim=$(process_of "$dir" ledger-3 pid)
key=$("$poa" status --rpc "$(process_of "$dir" ledger-3 rpc)" --json | jq -r .key)
there() { ! gone "$1"; }
wait_for 60 there "$key" || fail "ledger-3 is not among the peers"
kill -STOP $devnet # it would start the server again
kill -KILL "$victim"
wait_for 60 gone "$key" || fail "a peer that was found and is gone keeps its place"
gone "${seed%@*}" && fail "the configured peer is gone"
kill -CONT $devnet
stop
head -n 1 data/peers.book | grep -q 'poa address book 1' && ! grep -q nonsense data/peers.book || fail "the book was not made anew"
kill -INT $devnet
wait $devnet || fail "devnet: exit code $?"
echo "found the network from one seed, from the book without it, and from the seed when the book was damaged"
