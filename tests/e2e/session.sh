#!/bin/bash
# A device's session takes one round trip and at most six scalar multiplications, and none
# when it comes back to a gateway: counted below libsodium in real devices that connect, lose
# their gateway, connect to another one, and come back to one that was killed and started again.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/device-*/log")
count=$POA_TMP/count
mkdir "$count"
POA_SESSION_COUNT=$count LD_PRELOAD=$POA_BIN/tests/e2e/preload/session_count.so \
    "$poa" devnet --ledgers 1 --trusted 2 --devices 4 --data-dir "$dir" >run.out 2>run.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 3 || fail "not ready: $(cat run.err)"
devices() { # NAME: connected to this gateway
    curl -sf "$(process_of "$dir" "$1" rpc)/metrics" | awk '$1 == "poa_gateway_devices" { print $2 }'
}
connected() {
    local a b
    a=$(devices trusted-0) b=$(devices trusted-1)
    [ $((${a:-0} + ${b:-0})) -ge "$1" ]
}
wait_for 60 connected 4 || fail "the devices do not connect"
# A gateway dies, and its devices go to the other one.
had=$(devices trusted-0)
kill -KILL "$(process_of "$dir" trusted-0 pid)"
wait_for 90 connected 4 || fail "the devices do not come back"
kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"
cat "$count"/poa-device.*
[ "$(cat "$count"/poa-device.* | wc -l)" -ge $((4 + had)) ] || fail "not every connection counted: $had were lost"
awk '$2 > 6 || $4 > 1 { bad = 1 } END { exit bad }' "$count"/poa-device.* || fail "too expensive"

echo "# back without a handshake"
dir=$POA_TMP/one
logs+=("$dir/device-*/log")
rm -rf "$count"
mkdir "$count"
POA_SESSION_COUNT=$count LD_PRELOAD=$POA_BIN/tests/e2e/preload/session_count.so \
    "$poa" devnet --ledgers 1 --trusted 1 --devices 4 --data-dir "$dir" >run.out 2>run.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 2 || fail "not ready: $(cat run.err)"
metric() { curl -sf "$(process_of "$dir" trusted-0 rpc)/metrics" | awk -v m="poa_gateway_$1" '$1 == m { print $2 }'; }
all_back() { [ "$(metric devices)" = 4 ] && [ "$(metric resumed_total)" -ge "$1" ]; }
wait_for 90 all_back 0 || fail "the devices do not connect"
kill -KILL "$(process_of "$dir" trusted-0 pid)"
wait_for 120 all_back 4 || fail "the devices do not come back: $(metric devices) of 4, $(metric resumed_total) by their pass"
[ "$(metric handshakes_total)" -eq 0 ] || fail "$(metric handshakes_total) handshakes after the restart"
kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"
cat "$count"/poa-device.*
[ "$(cat "$count"/poa-device.* | grep -c "multiplications 0 ")" -ge 4 ] || fail "they came back with multiplications"
