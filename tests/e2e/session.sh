#!/bin/bash
# A device's session takes one round trip and at most six scalar multiplications:
# counted below libsodium in real devices that connect, lose their gateway, and
# connect to another one.
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
connected() { [ $(($(devices trusted-0) + $(devices trusted-1))) -ge "$1" ]; }
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
