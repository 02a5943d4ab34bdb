#!/bin/bash
# A devnet of real processes: agreement, rewards and conserved supply under load;
# a killed ledger server; a second start; no orphan, not even after SIGKILL.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")
devnet=
# JSON FILTER: the filter must be true of the last line of JSON.
expect() {
    local json=$1 filter=$2
    tail -n 1 "$json" | jq -en "input | $filter" >/dev/null || {
        tail -n 1 "$json" >&2
        fail "not true: $filter"
    }
}
# Processes that have $dir on their command line; grep itself must not.
printf '%s' "$dir" >"$POA_TMP/pattern"
processes() {
    { grep -lzsF -f "$POA_TMP/pattern" /proc/[0-9]*/cmdline || true; } | wc -l
}
none_left() {
    [ "$(processes)" -eq 0 ]
}

echo "# under load"
"$poa" devnet --ledgers 4 --trusted 2 --devices 6 --load 50 --for 14s --data-dir "$dir" --json \
    >first.json || fail "exit code $?"
expect first.json '.healthy and .agreement and .supply_conserved'
expect first.json '.offered_txs >= 400 and .committed_txs >= 0.95 * .offered_txs'
expect first.json '.rejected_txs == 0 and .failed_txs == 0 and .restarts == 0'
expect first.json '.devices_rewarded > 0 and .anchors > 0'
expect first.json '.finality_ms_p50 > 0 and .finality_ms_p99 >= .finality_ms_p50'
expect first.json '.first_block_ms > 0 and .rss_idle_bytes > 0'
none_left || fail "processes are left"
height=$(tail -n 1 first.json | jq .finalized_height)

echo "# other sizes are refused"
! "$poa" devnet --ledgers 7 --for 1s --data-dir "$dir" 2>err || fail "other size accepted"
grep -q "was made with 4 ledgers" err || fail "no reason: $(cat err)"

echo "# again in the same directory, idle, with a killed server, stopped from outside"
"$poa" devnet --data-dir "$dir" --json >second.json 2>second.err &
devnet=$!
wait_for 60 "$poa" devnet status --data-dir "$dir"
rpc() { "$poa" devnet status --data-dir "$dir" --json | jq -r ".processes[] | select(.name == \"$1\") | .$2"; }
wait_for 60 sh -c "$poa devnet status --data-dir $dir --json | jq -en 'input | [.processes[] | select(.rpc)] | all(.ready)'" ||
    fail "not ready: $(cat second.err)"
url=$(rpc ledger-0 rpc)
now=$("$poa" block --rpc "$url" --json | jq -r .header.height)
[ "$now" -gt "$height" ] || fail "the chain did not continue: $now after $height"

export POA_RPC=$url POA_KEYS=$dir/keys
before=$("$poa" balance bob --json | jq -r .balance)
"$poa" send bob 1234 --from alice >/dev/null || fail "send"
after=$("$poa" balance bob --json | jq -r .balance)
[ $((after - before)) -eq 1234 ] || fail "balance of bob: $before, then $after"
"$poa" faucet bob 99 >/dev/null || fail "faucet"
! "$poa" faucet bob 99999999999 2>err || fail "the faucet is emptied"
grep -q "at most 10000000 at once" err && [ "$(wc -l <err)" -eq 1 ] || fail "faucet: $(cat err)"
# Eight terminals send the same at once, over two nodes: each pays, once.
before=$("$poa" balance bob --json | jq -r .balance)
sends=()
for i in 1 2 3 4 5 6 7 8; do
    "$poa" send bob 7 --from alice --timeout 120 --rpc "$(rpc ledger-$((i % 2)) rpc)" >"race-$i" 2>&1 &
    sends+=($!)
done
for pid in "${sends[@]}"; do wait "$pid" || fail "of sends at once: $(cat race-*)"; done
after=$("$poa" balance bob --json | jq -r .balance)
[ $((after - before)) -eq 56 ] || fail "eight times 7: $before, then $after"
! "$poa" send bob 7 --from alice --nonce 0 2>err || fail "a nonce that was chosen is changed"
# An address whose key is elsewhere has a label.
"$poa" keys watch shop "$("$poa" keys show bob --json | jq -r .address)" >/dev/null || fail "watch"
[ "$("$poa" balance shop --json | jq -r .balance)" = "$after" ] || fail "balance of a watched address"
"$poa" send shop 1 --from alice >/dev/null || fail "send to a watched address"
! "$poa" send bob 1 --from shop 2>err || fail "a watched address pays"
grep -q "only watched: its key is not here" err || fail "watched: $(cat err)"
# A copy of a used transaction, and more than there is.
! "$poa" send bob 1 --from alice --nonce 0 2>err || fail "used nonce accepted"
grep -q TX_NONCE_USED err || fail "nonce: $(cat err)"
! "$poa" send bob 18446744073709551615 --from alice 2>err || fail "overspend accepted"
grep -Eq "TX_BALANCE|TX_OVERFLOW" err || fail "balance: $(cat err)"
! "$poa" devnet --for 1s --data-dir "$dir" 2>err || fail "two devnets in one directory"
grep -q "is running" err || fail "no reason: $(cat err)"

kill -KILL "$(rpc ledger-3 pid)"
at=$("$poa" block --json | jq -r .header.height)
wait_for 60 sh -c "[ \"\$($poa block --json | jq -r .header.height)\" -gt $((at + 5)) ]" ||
    fail "finality stopped when one of four died"
"$poa" send bob 1 --from alice >/dev/null || fail "send with one server down"
wait_for 60 sh -c "$poa devnet status --data-dir $dir --json |
    jq -en 'input | .processes[] | select(.name == \"ledger-3\") | .ready and .restarts == 1'" ||
    fail "the killed server did not come back"
"$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
wait $devnet || fail "exit code $? after down: $(cat second.err)"
expect second.json '.healthy and .agreement and .supply_conserved and .restarts == 1'
none_left || fail "processes are left"

echo "# one of four has a damaged store: the others start, and say who is missing"
mv "$dir/ledger-2/data/db/CURRENT" current
echo "not a manifest" >"$dir/ledger-2/data/db/CURRENT"
"$poa" devnet --data-dir "$dir" --json >damaged.json 2>damaged.err &
devnet=$!
going_on() { grep -q "going on without ledger-2.*remove $dir/ledger-2/data" damaged.err; }
wait_for 60 going_on || fail "not without ledger-2: $(cat damaged.err)"
POA_RPC=$(rpc ledger-0 rpc) # another devnet may have the ports of before
wait_for 60 "$poa" send bob 1 --from alice || fail "three of four do not go on: $(cat damaged.err)"
all_but_one() {
    "$poa" devnet status --data-dir "$dir" --json | jq -en 'input | (.processes | map(select(.rpc)) |
        (map(select(.ready)) | length) == length - 1) and ([.processes[] | select(.rpc | not) | .pid > 0] | all)'
}
wait_for 60 all_but_one || fail "the others do not all run: $(cat damaged.err)"
"$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
! wait $devnet || fail "a node was missing, and that is well"
expect damaged.json '.healthy == false and .wrong == "a node does not answer"'
# Nothing is said of who was not asked.
expect damaged.json '.nodes == 6 and .nodes_asked < 6 and .agreement != false and .supply_conserved != false'
mv current "$dir/ledger-2/data/db/CURRENT"
none_left || fail "processes are left"

echo "# the supervisor is killed"
"$poa" devnet --data-dir "$dir" --json >third.json 2>third.err &
devnet=$!
wait_for 60 "$poa" devnet status --data-dir "$dir"
ready() { curl -sf "$(rpc ledger-0 rpc)/readyz"; }
wait_for 60 ready || fail "not ready"
# Nothing writes the list of processes any more.
all_run() { "$poa" devnet status --data-dir "$dir" --json | jq -en 'input | [.processes[].pid > 0] | all'; }
wait_for 60 all_run || fail "they do not all run: $(cat third.err)"
kill -STOP $devnet
! "$poa" devnet down --data-dir "$dir" 2>err || fail "a stopped process ended"
grep -q "^waiting for process $devnet, which is stopped by a signal and the .* that it ends: ledger-0, " err &&
    tail -n 1 err | grep -q "kill -CONT $devnet" || fail "down: $(cat err)"
kill -KILL $devnet
wait $devnet 2>/dev/null || true
wait_for 60 none_left || fail "$(processes) orphans"

echo "# too few of four are left: it ends, and says who is missing and why"
echo "not a manifest" >"$dir/ledger-0/data/db/CURRENT"
mv "$dir/ledger-1/data" removed
"$poa" devnet --data-dir "$dir" --json >few.json 2>few.err &
devnet=$!
! "$poa" devnet status --data-dir "$dir" --wait 60m 2>err || fail "status: all are ready"
! wait $devnet || fail "two of four"
grep -Eq "the devnet in .* ended|no devnet runs" err || fail "status: $(cat err)"
tail -n 1 few.err | grep -q "3 of 4 ledger servers must vote. Did not start .*: ledger-0. May not vote, .*: ledger-1. " ||
    fail "who is missing: $(cat few.err)"
grep -q "it said: .*the database is damaged" few.err || fail "no reason: $(cat few.err)"
! grep "remove [^ ]*/data" few.err || fail "it says to remove what is needed"
head -c 1000 "$dir/genesis.poa" >genesis && mv genesis "$dir/genesis.poa"
! "$poa" devnet --data-dir "$dir" 2>err || fail "with half of a genesis record"
grep -q "is no genesis record: .* put it back" err && [ "$(wc -l <err)" -eq 1 ] || fail "genesis: $(cat err)"
none_left || fail "processes are left"
echo "ok"
