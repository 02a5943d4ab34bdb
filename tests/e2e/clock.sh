#!/bin/bash
# A witness whose clock is wrong: the chain goes on, its own log and that of another one
# name it, and /metrics tells by how much. The clocks of the others are no matter.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/ledger-3/log")
POA_CLOCK_OF=ledger-3 POA_CLOCK_S=5 LD_PRELOAD=$POA_BIN/tests/e2e/preload/clock.so \
    "$poa" devnet --ledgers 4 --trusted 0 --devices 0 --data-dir "$dir" >run.out 2>run.err &
running() { "$poa" devnet status --data-dir "$dir" --json >status.json 2>/dev/null && jq -en 'input | .processes | length == 4' status.json; }
wait_for 60 running || fail "$(cat run.err)"
ahead() { # NAME: seconds, by its own word
    curl -sf "$(jq -r --arg name "$1" '.processes[] | select(.name == $name) | .rpc' status.json)/metrics" |
        awk '$1 == "poa_clock_ahead_seconds" { print $2 }'
}
told() { awk -v s="$(ahead ledger-3)" 'BEGIN { exit !(s > 4.5 && s < 6) }'; }
wait_for 90 told || fail "its own clock is $(ahead ledger-3) s ahead"
grep -q "clock: this machine's is [0-9]* ms ahead" "$dir/ledger-3/log" || fail "it does not say so"
named() { grep -hq "clock: witness .* proposed a block [0-9]* ms ahead" "$dir"/ledger-[012]/log; }
wait_for 60 named || fail "nobody names it"
right() { other=$(ahead ledger-0) && awk -v s="$other" 'BEGIN { exit !(s != "" && s > -1 && s < 1.5) }'; }
wait_for 60 right || fail "the clock of ledger-0: $other s"
! grep -q "clock: this machine's" "$dir/ledger-0/log" || fail "ledger-0 blames its own clock"
echo "ahead by its own word: $(ahead ledger-3) s, ledger-0: $other s"
