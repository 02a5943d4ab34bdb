#!/bin/bash
# Two devices talk to one another through a gateway, real processes and sockets. The
# gateway writes down what it passes on, changes it, repeats it, and dies: it learns no
# word, nobody hears what was not said, and the devices find one another again. Then it goes on
# answering and keeps every epoch and task to itself: its device leaves it for the other one.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$POA_TMP/*.log")
device=$POA_BIN/poa-device
chaos=$POA_TMP/chaos
devnet_up 3 --ledgers 1 --trusted 2 --devices 3 --epoch-views 60
for i in 0 1 2; do
    pid=$(pid_of device-0$i)
    kill -STOP "$pid"
    key[i]=$(public device-0$i)
done
g0=$(gateway trusted-0)
g1=$(gateway trusted-1)
rpc=$(process trusted-0 rpc)
# The gateway's place is taken by one that misbehaves.
victim=$(pid_of trusted-0)
kill -STOP $devnet # it would start the gateway again
kill -KILL "$victim"
wait_for 60 dead "$victim" || fail "the gateway does not die"
echo hear >"$chaos"
lie() {
    POA_CHAOS_FILE=$chaos "$POA_BIN/tests/chaos/poad" --config "$dir/trusted-0/poad.conf" >>"$POA_TMP/liar.log" 2>&1 &
    liar=$!
    wait_for 60 curl -sf "$rpc/readyz" || fail "the gateway does not start: $(tail -n 3 "$POA_TMP/liar.log")"
}
lie

pids=()
start() { # NUMBER NAME OPTIONS...
    "$device" --key "$POA_KEYS/device-0$1.json" --genesis "$dir/genesis.poa" --gateway "$g0,$g1" --log-level debug \
        --source none --state "$POA_TMP/state-$1" --json "${@:3}" >"$POA_TMP/$2.out" 2>"$POA_TMP/$2.log" &
    pids[$1]=$!
}
stop() { # NUMBER
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || fail "exit code $?"
}
heard() { # NAME FROM TEXT
    jq -en --arg from "$2" --arg text "$3" '[inputs] | any(.[]; .from == $from and .said == $text)' "$POA_TMP/$1.out"
}
connected() { [ "$(grep -c "connected; this device is active" "$POA_TMP/$1.log")" -ge "$2" ]; }
said='the kettle is on: 4711'

echo "# through a gateway that writes it down"
start 0 ear --talk "${key[1]}"
wait_for 60 connected ear 1 || fail "it does not connect"
start 1 mouth --talk "${key[0]}" --say "$said"
wait_for 60 heard ear "${key[1]}" "$said" || fail "not heard: $(cat "$POA_TMP"/ear.* "$POA_TMP/mouth.log")"
[ "$(stat -c %s "$chaos.heard")" -gt 200 ] || fail "the gateway passed nothing on"
! grep -q kettle "$chaos.heard" || fail "the gateway has read it"
! grep -aq kettle "$POA_TMP/liar.log" || fail "the gateway has logged it"
stop 1

echo "# somebody who is not listened to"
start 2 stranger --talk "${key[0]}" --say "let me in"
wait_for 60 grep -q "is not listened to" "$POA_TMP/ear.log" || fail "nobody knocked: $(cat "$POA_TMP/stranger.log")"
stop 2
! grep -q "let me in" "$POA_TMP/ear.out" || fail "it was listened to"

echo "# both speak at once, and everything comes twice"
stop 0
echo repeat >"$chaos"
start 0 left --talk "${key[1]}" --say "to the right"
start 1 right --talk "${key[0]}" --say "to the left"
wait_for 90 heard right "${key[0]}" "to the right" || fail "right heard nothing: $(cat "$POA_TMP/left.log")"
wait_for 90 heard left "${key[1]}" "to the left" || fail "left heard nothing: $(cat "$POA_TMP/right.log")"
stop 1
for side in left right; do
    [ "$(grep -c said "$POA_TMP/$side.out")" = 1 ] || fail "$side heard it twice: $(cat "$POA_TMP/$side.out")"
done

echo "# changed on the way: not heard until it comes as it was said"
echo tamper >"$chaos"
start 1 late --talk "${key[0]}" --say "as it was said"
wait_for 60 grep -q "what the gateway relayed is not taken" "$POA_TMP/left.log" || fail "not noticed: $(tail -n 3 "$POA_TMP/left.log")"
! grep -q "session with" "$POA_TMP/late.log" || fail "a session through a gateway that changes all"
! grep -q "as it was" "$POA_TMP/left.out" || fail "heard"
echo honest >"$chaos"
wait_for 120 heard left "${key[1]}" "as it was said" || fail "not heard: $(tail -n 3 "$POA_TMP/late.log")"
stop 1

echo "# the gateway dies: through the other one"
kill -KILL $liar
wait_for 90 connected left 2 || fail "it does not go to the other gateway"
start 1 after --talk "${key[0]}" --say "still there?"
wait_for 90 heard left "${key[1]}" "still there?" || fail "not heard: $(tail -n 3 "$POA_TMP/after.log" "$POA_TMP/left.log")"
curl -sf "$(process trusted-1 rpc)/metrics" | awk '$1 == "poa_gateway_relays_total" { n = $2 } END { exit !(n >= 4) }' || fail "not counted"
stop 1
stop 0

echo "# it answers and withholds what is new"
lie
at_first() { [ "$(curl -sf "$rpc/metrics" | awk '$1 == "poa_gateway_devices" { print $2 }')" = 1 ]; }
for try in 1 2 3; do # on a busy machine its node may fall behind and say so
    echo honest >"$chaos"
    start 2 quiet
    wait_for 60 grep -q "trusts the committee of epoch" "$POA_TMP/quiet.log" || fail "no epoch: $(cat "$POA_TMP/quiet.log")"
    withheld=$SECONDS
    if at_first; then
        echo withhold >"$chaos"
        wait_for 120 connected quiet 2 || fail "it stays: $(tail -n 3 "$POA_TMP/quiet.log")"
        ! grep -q "has no news: .*; another one is asked" "$POA_TMP/quiet.log" || break
    fi
    [ $try -lt 3 ] || fail "it went for another reason: $(grep -v sealed "$POA_TMP/quiet.log" | tail -n 5)"
    stop 2
done
echo "# left after $((SECONDS - withheld)) s:$(grep -o "has no news: [^;]*" "$POA_TMP/quiet.log" | cut -d: -f2)"
was=$(wc -l <"$POA_TMP/quiet.log")
mines() { [ "$(tail -n +"$was" "$POA_TMP/quiet.log" | grep -c "sealed slot")" -gt 5 ]; }
wait_for 60 mines || fail "it does not mine: $(tail -n 3 "$POA_TMP/quiet.log")"
stop 2

echo "# refused before anything is dialed"
code=0
"$device" --key "$POA_KEYS/device-00.json" --gateway "$g1" --talk "${key[0]}" 2>refused || code=$?
[ $code = 2 ] && grep -q -- "--talk: this device itself" refused || fail "code $code: $(cat refused)"
code=0
"$device" --key "$POA_KEYS/device-00.json" --gateway "$g1" --say hello 2>refused || code=$?
[ $code = 2 ] && grep -q -- "--talk: missing" refused || fail "code $code: $(cat refused)"
kill -CONT $devnet
