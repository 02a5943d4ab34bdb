#!/bin/bash
# A devnet with each policy of assignment that devnet.sh does not run: devices are
# rewarded, supply is conserved, everybody agrees.
set -eu
for policy in random weighted; do
    echo "# $policy"
    "$POA_BIN/poa" devnet --ledgers 4 --trusted 1 --devices 5 --policy $policy --for 11s \
        --data-dir "$POA_TMP/$policy" --json >out.json 2>err || { cat err >&2; exit 1; }
    tail -n 1 out.json | jq -en 'input | .healthy and .agreement and .supply_conserved and
        .devices_rewarded > 0' >/dev/null || { cat out.json err >&2; exit 1; }
done
echo "# grade 2: what is above the limit waits, is shown, and arrives"
poa=$POA_BIN/poa dir=$POA_TMP/graded
"$poa" devnet --ledgers 4 --trusted 1 --devices 6 --data-dir "$dir" --json >graded.json 2>err &
devnet=$!
trap 'kill -KILL $devnet 2>/dev/null || true' EXIT
fail() {
    echo "FAIL: $*" >&2
    cat err >&2
    tail -n 5 "$dir"/*/log >&2
    exit 1
}
wait_for() { # SECONDS COMMAND...
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}
wait_for 30 sh -c "$poa devnet status --data-dir $dir --json | jq -en 'input | [.processes[] | select(.rpc)] | length == 5 and all(.ready)'" ||
    fail "not ready: $(cat err)"
export POA_KEYS=$dir/keys
POA_RPC=$("$poa" devnet status --data-dir "$dir" --json | jq -r '[.processes[] | select(.rpc)][0].rpc')
export POA_RPC
wait_for 30 sh -c "$poa devices --json | jq -en 'input | [.. | .sealed? // empty | tonumber] | add > 0'" || fail "no device seals"
id=$("$poa" send bob 700000000000 --from alice | head -n 1)
asked=$("$poa" send alice 7 --from bob --hold --json | jq -r .id)
"$poa" tx "$id" --json | jq -en 'input | .grade == 1 and .hold.state == "held" or .hold.state == "released"' >/dev/null ||
    fail "not held: $("$poa" tx "$id" --json)"
wait_for 60 sh -c "$poa tx $id --json | jq -en 'input | .hold.state == \"released\" and .grade == 2'" ||
    fail "not released: $("$poa" tx "$id")"
wait_for 60 sh -c "$poa tx $asked --json | jq -en 'input | .hold.state == \"released\"'" || fail "$("$poa" tx "$asked")"
"$poa" tx "$id" | grep -q "^grade      2: seals of" || fail "$("$poa" tx "$id")"
"$poa" balance alice --json | jq -en 'input | .held == "0" and .balance == "299999999987"' >/dev/null ||
    fail "$("$poa" balance alice --json)"
"$poa" balance bob --json | jq -en 'input | (.balance | tonumber) > 1699999999900' >/dev/null || fail "$("$poa" balance bob)"
"$poa" devnet down --data-dir "$dir" >/dev/null
wait $devnet || fail "exit code $?: $(cat err)"
tail -n 1 graded.json | jq -en 'input | .agreement and .supply_conserved' >/dev/null || fail "$(cat graded.json)"

! "$POA_BIN/poa" devnet --policy chance --for 1s --data-dir "$POA_TMP/x" 2>err || exit 1
grep -q -- "--policy is vrf, random or weighted" err
echo ok
