#!/bin/bash
# A gateway that lies, a real process with real sockets, and a device that has no other:
# forged certificates, a committee of its own choice, stale blocks, forged proofs, a
# flattering balance and reputation, an answer of yesterday. The device notices each by itself, seals nothing
# that was forged, and serves again as soon as the gateway is honest.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/trusted-0/log" "$POA_TMP/*.log")
device=$POA_BIN/poa-device
chaos=$POA_TMP/chaos
# Short epochs, so that a committee hands over soon.
"$poa" devnet --ledgers 4 --trusted 1 --devices 2 --epoch-views 120 --data-dir "$dir" --json >net.json 2>net.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 5 || fail "not ready: $(cat net.err)"
export POA_KEYS=$dir/keys

# The gateway's place is taken by one that lies; one device's by ours.
honest=$(process_of "$dir" trusted-0 pid)
rpc=$(process_of "$dir" trusted-0 rpc)
gateway=$(public trusted-0)@127.0.0.1:$(process_of "$dir" trusted-0 gateway)
rested=$(process_of "$dir" device-01 pid)
[ "$honest" -gt 0 ] && [ "$rested" -gt 0 ] || fail "no processes"
kill -STOP "$rested" $devnet # it would start the gateway again
kill -KILL "$honest"
wait_for 60 dead "$honest" || fail "the gateway does not die"
echo honest >"$chaos"
POA_CHAOS_FILE=$chaos "$POA_BIN/tests/chaos/poad" --config "$dir/trusted-0/poad.conf" >"$POA_TMP/liar.log" 2>&1 &
wait_for 60 curl -sf "$rpc/metrics" || fail "the gateway does not start: $(tail -n 3 "$POA_TMP/liar.log")"

agent=
agent() { # NAME OPTIONS...
    "$device" --key "$POA_KEYS/device-01.json" --genesis "$dir/genesis.poa" --gateway "$gateway" --log-level debug \
        --source none --state "$POA_TMP/state" --json "${@:2}" >"$POA_TMP/$1.json" 2>"$POA_TMP/$1.log" &
    agent=$!
}
says() { grep -q "$2" "$POA_TMP/$1.log"; }
sealed() { grep -c "sealed slot" "$POA_TMP/$1.log" || true; }
rest() {
    kill -TERM $agent
    wait $agent || fail "exit code $?"
}

echo "# honest first"
agent honest
wait_for 60 says honest "sealed slot" || fail "nothing to seal: $(tail -n 3 "$POA_TMP/honest.log")"
rest

lie() { # MODE WORDS: a fresh connection, so that nothing true is under way
    echo "$1" >"$chaos"
    sleep 1 # what was told before is on its way
    agent "$1"
    wait_for 90 says "$1" "$2" || fail "$1 was not noticed"
}
echo "# a stale header"
lie stale "slot has no sealing block"
[ "$(grep -c 'broken or hostile' "$POA_TMP/stale.log")" -eq 0 ] || fail "what can be an accident is no alarm"
rest

ask() { # MODE: exit code and alarms of a question about another device
    local code times="15 90" words="broken or hostile" seconds
    [ "$1" != honest ] || times=150 # until it is answered
    [ "$1" != old ] || words="no answer yet"
    echo "$1" >"$chaos"
    for seconds in $times; do # on a busy machine the first one may not get as far as the lie
        code=0
        timeout 200 "$device" --key "$POA_KEYS/device-01.json" --genesis "$dir/genesis.poa" --gateway "$gateway" \
            --state "$POA_TMP/state" --for "${seconds}s" --log-level debug --check "${2:-$(public device-00)}" --json >"$POA_TMP/$1.json" 2>"$POA_TMP/$1.log" || code=$?
        [ $code -eq 1 ] && ! says "$1" "$words" || break
    done
    echo $code
}
echo "# who is that device?"
asked=$SECONDS
[ "$(ask honest)" -eq 0 ] || fail "no answer: $(cat "$POA_TMP/honest.json" "$POA_TMP/honest.log")"
for mode in proof entry; do
    echo "# a lie: $mode"
    [ "$(ask $mode)" -eq 1 ] || fail "it was believed: $(cat "$POA_TMP/$mode.json")"
    says $mode "broken or hostile: bad proof" || fail "$mode: not noticed"
done

echo "# a balance"
alice=$("$poa" keys show alice --json | jq -r .address)
[ "$(ask honest "$alice")" -eq 0 ] || fail "no answer: $(cat "$POA_TMP/honest.json" "$POA_TMP/honest.log")"
expect "$POA_TMP/honest.json" ".account == \"$alice\" and (.balance | tonumber) > 0"
[ "$(ask entry "$alice")" -eq 1 ] || fail "it was believed: $(cat "$POA_TMP/entry.json")"
says entry "broken or hostile: bad proof" || fail "the balance: not noticed"

echo "# a forged certificate"
lie cert "broken or hostile: bad signature"
forged=$(sealed cert)
wait_for 60 sh -c "[ \$(grep -c 'broken or hostile' $POA_TMP/cert.log) -ge 2 ]" || fail "noticed once only"
[ "$(sealed cert)" -eq "$forged" ] || fail "it sealed what was forged"
rest
expect "$POA_TMP/cert.json" '.alarms >= 2'

# Tasks that were forged before are said again for as long as they may be sealed.
echo "# the wrong committee"
lie committee "broken or hostile: bad proof"
rest

# True once, certified, and of the same question; a minute is what an answer may be old. An
# epoch later its committee is gone too.
echo "# a stale answer"
# What a gateway says of an epoch it says until the next: that one has to be true again.
epoch() { "$poa" status --rpc "$rpc" --json | jq .consensus.epoch; }
echo honest >"$chaos"
forged=$(epoch)
next_epoch() { [ "$(epoch)" -gt "$forged" ]; }
wait_for 120 next_epoch || fail "no epoch after $forged"
rest_s=$((asked + 70 - SECONDS))
[ $rest_s -le 0 ] || sleep $rest_s
[ "$(ask old)" -eq 1 ] || fail "it was believed: $(cat "$POA_TMP/old.json")"
says old "no answer yet: timed out" || says old "no answer yet: .*epoch" || fail "why not? $(tail -n 5 "$POA_TMP/old.log")"

echo "# honest again"
echo honest >"$chaos"
agent again
wait_for 120 says again "sealed slot" || fail "it does not come back: $(tail -n 3 "$POA_TMP/again.log")"
rest

# As a microcontroller does with a committee that is too large for it.
echo "# certificates in parts: honest, then forged"
agent parts --streaming
wait_for 120 says parts "sealed slot" || fail "it does not seal: $(tail -n 3 "$POA_TMP/parts.log")"
rest
expect "$POA_TMP/parts.json" '.alarms == 0'
echo cert >"$chaos"
sleep 1
agent forged-parts --streaming
wait_for 90 says forged-parts "broken or hostile: bad signature" || fail "not noticed: $(tail -n 3 "$POA_TMP/forged-parts.log")"
rest
[ -z "$(grep -ho "sealed slot [0-9]*" "$POA_TMP"/*.log | sort | uniq -d)" ] || fail "sealed twice"
