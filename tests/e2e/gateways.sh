#!/bin/bash
# Gateways whose node is cut off or behind: they tell their devices to come back and answer
# nothing, /readyz says why, and everything goes on when the node has its peers again. One of two
# that lost its peers: the other one, which never saw these devices, serves them.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/trusted-*/log")
devnet_up 3 --ledgers 1 --trusted 2 --devices 6
metric() { curl -sf --max-time 5 "$(process "$1" rpc)/metrics" | awk -v m="poa_gateway_$2" '$1 == m { printf "%d\n", $2 }'; } # NODE NAME
served() {
    local a b
    a=$(metric trusted-0 devices) b=$(metric trusted-1 devices)
    [ -n "$a" ] && [ -n "$b" ] && [ $((a + b)) -eq "$1" ]
}
ready() { curl -s --max-time 5 "$(process "$1" rpc)/readyz"; }
wait_for 60 served 6 || fail "not all devices are served"

echo "# the only ledger server is gone"
g0=$(gateway trusted-0)
supervisor=$(jq .pid "$dir/devnet.lock")
kill -STOP "$supervisor" # it would start it again
kill -KILL "$(pid_of ledger-0)"
wait_for 90 served 0 || fail "devices stay with gateways that know nothing new"
for i in 0 1; do
    cut_off() { ready trusted-$i | grep -q "no block came for [0-9]* s; peers connected: 0"; }
    wait_for 60 cut_off || fail "trusted-$i: $(ready trusted-$i)"
    wait_for 60 grep -q "devices are sent away, because their answers would be old" "$dir/trusted-$i/log" || fail "trusted-$i does not say so"
    told() { [ "$(metric trusted-$i sent_away_total)" -gt 0 ]; }
    wait_for 60 told || fail "trusted-$i told nobody"
done
"$poa" keys new asker --kind device --type ed25519 --no-passphrase >/dev/null
code=0
"$POA_BIN/poa-device" --key "$POA_KEYS/asker.json" --genesis "$dir/genesis.poa" --gateway "$g0" --for 12s \
    --check "$(public device-00)" >answer 2>err || code=$?
[ $code -eq 1 ] && grep -q "the gateway closes: " err || fail "exit code $code: $(cat answer err)"
kill -CONT "$supervisor"
wait_for 120 served 6 || fail "the devices do not come back: $(metric trusted-0 devices) and $(metric trusted-1 devices)"
is_ready() { [ "$(ready "$1")" = ready ]; }
for i in 0 1; do
    wait_for 60 is_ready trusted-$i || fail "trusted-$i is not ready: $(ready trusted-$i)"
    wait_for 60 grep -q "devices are served" "$dir/trusted-$i/log" || fail "trusted-$i does not say so"
done

echo "# one of two gateways starts and finds no peer"
conf=$dir/trusted-1/poad.conf
cp "$conf" whole
sed -i 's/^\(peer = [0-9a-f]*@127.0.0.1:\)[0-9]*/\11/; s/^listen = .*/listen = off/' "$conf"
echo "peers_wanted = 0" >>"$conf" # nor anybody of its address book
before=$(metric trusted-0 devices)
kill -KILL "$(pid_of trusted-1)"
over() { [ "$(metric trusted-0 devices)" -eq 6 ]; }
wait_for 60 over || fail "trusted-0 serves $(metric trusted-0 devices), before $before"
sealed() { curl -sf "$(process trusted-0 rpc)/metrics" | awk '$1 == "poa_seals_total" { printf "%d\n", $2 }'; }
known() { was=$(sealed) && [ -n "$was" ]; }
wait_for 60 known || fail "no metrics of trusted-0"
more() { [ "$(sealed)" -gt $((was + 6)) ]; }
wait_for 60 more || fail "nobody seals at trusted-0"
alone() { ready trusted-1 | grep -q "no peer has said its own yet"; }
wait_for 60 alone || fail "trusted-1: $(ready trusted-1)"
[ "$(metric trusted-1 devices)" = 0 ] || fail "trusted-1 serves although it knows nothing"
cp whole "$conf"
kill -KILL "$(pid_of trusted-1)"
wait_for 60 is_ready trusted-1 || fail "trusted-1: $(ready trusted-1)"
devnet_down
echo ok
