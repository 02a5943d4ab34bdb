#!/bin/bash
# Blocks that no saved state covers: a start executes them again. Whoever asks meanwhile is
# answered, SIGTERM ends it, and it happens once: the state is saved after a long replay and
# after a catch-up, however long the regular time is.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
logs=("$POA_TMP/log-*")
blocks=1600 # above what is not worth a state (WORK_TXS and BLOCK_TXS of src/node/saving.c)
cd "$POA_TMP"
"$poa" devnet --ledgers 1 --trusted 1 --devices 0 --for 500ms --data-dir net >setup 2>&1 || fail "$(cat setup)"
"$poa" genesis show net/genesis.poa | jq '.epoch_views = "1000" | .heartbeat_ms = 3' >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >/dev/null || fail "genesis"
rm -rf net/*/data net/keys/*.joined-*
take_ports
key=$(jq -r .public net/keys/ledger-0.json)
for i in 0 1; do
    name=ledger-0
    [ $i = 0 ] || name=trusted-0
    {
        echo "data_dir = $POA_TMP/data-$i"
        echo "genesis = genesis.poa"
        echo "key = net/keys/$name.json"
        echo "rpc = 127.0.0.1:$((base + 10 + i))"
        echo "ready_file = $POA_TMP/ready-$i"
        echo "checkpoint_s = 86400"
        echo "checkpoint_blocks = 1000000"
    } >"conf-$i"
    url[i]=http://127.0.0.1:$((base + 10 + i))
done
printf 'role = ledger\nlisten = 127.0.0.1:%s\n' "$base" >>conf-0
printf 'role = trusted\nlisten = off\npeer = %s@127.0.0.1:%s\n' "$key" "$base" >>conf-1
launch() { # NODE
    rm -f "ready-$1"
    "$poad" --config "conf-$1" >"log-$1" 2>&1 &
    pid[$1]=$!
}
start() {
    launch "$1"
    wait_for 60 test -f "ready-$1" || fail "node $1 does not start"
}
killed() {
    kill -KILL "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null || true
}
height() { "$poa" status --rpc "${url[$1]}" --json | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
first_replayed() { sed -n 's/.*replaying blocks \([0-9]*\) to.*/\1/p' "log-$1"; }

echo "# a chain of $blocks blocks, and no saved state"
start 0
wait_for 120 above 0 $blocks || fail "height $(height 0)"
killed 0
cp -r data-0 kept

echo "# a start replays it: who asks is told so, and SIGTERM ends it"
seen=no
for _ in 1 2 3 4 5 6 7 8; do # the replay may be over before anybody asks
    rm -rf data-0
    cp -r kept data-0
    launch 0
    for _ in $(seq 500); do
        curl -s --max-time 2 -w ' %{http_code}\n' "${url[0]}/readyz" >readyz && break
    done
    if grep -q "^starting: block [0-9]* of the [0-9]* stored here is executed again" readyz && grep -q '503$' readyz; then
        [ "$(curl -s --max-time 5 "${url[0]}/healthz")" = ok ] || fail "it does not say that it lives"
        seen=yes
    fi
    before=$(date +%s)
    kill -TERM "${pid[0]}"
    wait "${pid[0]}" || fail "exit code $?"
    [ $(($(date +%s) - before)) -le 60 ] || fail "SIGTERM was obeyed after $(($(date +%s) - before)) s"
    [ "$seen" = yes ] && grep -q "stopped while replaying" log-0 && break
    seen=no
done
[ $seen = yes ] || fail "never seen while it replays: $(cat readyz)"

echo "# it is replayed once: the state is saved then"
rm -rf data-0
cp -r kept data-0
once() { # NODE: whether a start needs no longer begin at block 1
    start "$1"
    sleep 1
    killed "$1"
    [ "$(first_replayed "$1")" != 1 ]
}
start 0
killed 0
[ "$(first_replayed 0)" = 1 ] || fail "there was a state: $(cat log-0)"
wait_for 120 once 0 || fail "each start begins at block 1: $(cat log-0)"

echo "# and once it has caught up"
start 0
start 1
wait_for 120 grep -q "following: caught up at .* from 1 server$" log-1 || fail "it does not catch up"
# The state is written by another thread, after the line: killed too soon it may be missing.
given() { curl -sf "${url[1]}/metrics" | grep -q '^poa_checkpoints_total [1-9]'; }
wait_for 60 given || fail "no state is saved"
sleep 3
killed 1
start 1
[ "$(first_replayed 1)" != 1 ] || fail "what was fetched is replayed from block 1: $(cat log-1)"
kill -TERM "${pid[0]}" "${pid[1]}"
wait "${pid[0]}" "${pid[1]}" || fail "exit code $?"
