#!/bin/bash
# Hostile peers, with real sockets against a real network under honest load: each
# attack of tests/e2e/hostile.c in turn on ledger-0. Through each of them blocks
# become final, honest transfers keep their rate (measured right before, in the
# same run), no node grows beyond its limit, and the log names the culprit and
# the reason a few times, not a million. A short version: tests/soak/hostile.sh
# runs each for longer, at half of what the network can do.
#
# Environment: POA_BIN, POA_TMP, HOSTILE_SECONDS (per attack), HOSTILE_LOAD
# (honest transfers per second), HOSTILE_KEEP (percent of its rate that honest
# traffic must keep), HOSTILE_ONLY (names of attacks).
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/ledger-0/log")
hostile=$POA_BIN/tests/e2e/hostile
seconds=${HOSTILE_SECONDS:-2}
load=${HOSTILE_LOAD:-60}
keep=${HOSTILE_KEEP:-60}
only=${HOSTILE_ONLY:-}
limit_kib=$((320 * 1024))
# The honest load is signed before it begins, for so long.
read -ra these <<<"${only:-1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24}"
lasts=$((90 + (${#these[@]} + 4) * (2 * seconds + 16)))
# Catching up takes its time on a busy machine, whatever SECONDS.
[[ -n $only && " $only " != *" forged "* ]] || lasts=$((lasts + 150))
# No longer than the test: signing takes its time, too.
[ -n "${HOSTILE_SECONDS:-}" ] || [ $lasts -le $((${POA_E2E_TIMEOUT:-400} + 20)) ] || lasts=$((${POA_E2E_TIMEOUT:-400} + 20))
devnet=

# Four honest witnesses and one that is not: its key is the attacker's.
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --policy random --for 1s --data-dir "$dir" --json >made.json || fail "exit code $?"
"$poa" keys new evil --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" --json >evil.made || fail "no key"
evil=$(jq -r .public evil.made)
"$poa" genesis show "$dir/genesis.poa" | jq --arg key "$evil" \
    '.epoch_views = "120" | .witnesses += [.witnesses[3] + {key: $key, name: "evil", region: 9, provider: 9}]
     | .risk_p_ppb = "1"' >evil-net.json
"$poa" genesis create evil-net.json --output evil.poa >chain || fail "no genesis"
rm -rf "$dir"/ledger-*/data "$dir"/trusted-*/data
cp evil.poa "$dir/genesis.poa"
jq --arg chain "$(cat chain)" '.chain = $chain' "$dir/devnet.json" >spec && cp spec "$dir/devnet.json"
"$poa" devnet --data-dir "$dir" --load "$load" --for "$lasts"s >run.out 2>run.err &
devnet=$!
ready() { "$poa" devnet status --data-dir "$dir" --json >status.json && jq -en 'input | [.processes[] | select(.rpc)] | length == 5 and all(.ready)' status.json; }
wait_for 300 ready || fail "not ready: $(cat run.err)"
rpc() { jq -r --arg name "$1" '.processes[] | select(.name == $name) | .rpc' status.json; }
POA_RPC=$(rpc ledger-0)
export POA_RPC
at() { # NAME: who is attacked
    victim=$1
    mesh=127.0.0.1:$(sed -n 's/^listen = .*://p' "$dir/$1/poad.conf")
    node=$("$poa" status --rpc "$(rpc "$1")" --json | jq -r .key)
    to=(--mesh "$mesh" --node "$node" --chain "$(cat chain)" --seconds "$seconds")
}
at ledger-0

metric() { curl -sf "$POA_RPC/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }
finals() { curl -sf "$1" -d '{"jsonrpc":"2.0","id":1,"method":"poa_latency_get"}' | jq -r .result.count; }
# Honest transfers that became final: those that came over RPC.
honest() {
    local sum=0 i n
    for i in 0 1 2 3; do
        until n=$(finals "$(rpc ledger-$i)") && [ -n "$n" ]; do sleep 0.2; done
        sum=$((sum + n))
    done
    echo $sum
}
height() { # an empty word in a sum would end the script's line in silence
    until "$poa" status --json >height.json; do sleep 0.2; done
    jq -r .height height.json
}
rate() { # SECONDS: transfers per 100 s
    local from to_ begin end
    begin=$(date +%s%N)
    from=$(honest)
    sleep "$1"
    to_=$(honest)
    end=$(date +%s%N)
    echo $(((to_ - from) * 100000000000 / (end - begin)))
}
largest() { # KiB of the largest ledger server so far
    local pid max=0 kib
    for pid in $(jq -r '.processes[] | select(.name | startswith("ledger")) | .pid' status.json); do
        kib=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
        [ "$kib" -le $max ] || max=$kib
    done
    echo $max
}
loaded() { [ "$(finals "$POA_RPC")" -gt 20 ]; }
# What is offered is signed before: some thousands per second.
wait_for $((300 + load * lasts / 1000)) loaded || fail "no load"

printf '%-24s %9s %9s %5s %7s %9s\n' attack "before/s" "during/s" keep MiB "log lines"
source=10
baseline=
tries=0
# NAME WHO ARGUMENTS...; WHO: what the log calls the culprit ("" : nobody to name). The attack
# goes on until the log does: on a busy machine it may do too little for that in its time.
attack() {
    local name=$1 who=$2 kind=${1%% *} lasts=$seconds lines before during after pid all=("$@")
    shift 2
    [ -z "$only" ] || [[ " $only " == *" $kind "* ]] || return 0
    source=$((source + 1))
    who=${who//SOURCE/127.0.0.$source}
    lines=$(wc -l <"$dir/$victim/log")
    # At length: before each attack; else once, and anew when the machine got slower.
    before=${baseline:-$(rate "$seconds")}
    [ -n "${HOSTILE_SECONDS:-}" ] || baseline=$before
    after=$(height)
    [ -z "$who" ] || lasts=$((seconds + 120))
    # Its own work is not to be what slows the servers down: it has the same cores.
    nice -n 5 "$hostile" "$kind" "${to[@]}" --seconds $lasts --from 127.0.0.$source "$@" >attack.out 2>attack.err &
    pid=$!
    case $kind in lowfee) wait_for 180 grep -q ready attack.out || fail "$name: $(cat attack.err)" ;; esac
    during=$(rate "$seconds")
    after=$(($(height) - after))
    if [ -n "$who" ]; then
        named() { tail -n +$((lines + 1)) "$dir/$victim/log" | grep -q "$who"; }
        wait_for 110 named || true
        kill -TERM $pid 2>/dev/null || true
    fi
    wait $pid || fail "$name: $(cat attack.err)"
    tail -n +$((lines + 1)) "$dir/$victim/log" >log.new
    lines=$(wc -l <log.new)
    if [ $((during * 100)) -lt $((before * keep)) ] && [ -z "${HOSTILE_SECONDS:-}" ]; then
        sleep 1
        before=$(rate "$seconds")
        baseline=$before
        # Other work may have come and gone meanwhile. Who has a name stays banned.
        if [ $((during * 100)) -lt $((before * keep)) ] && [ $tries -lt 3 ] && [[ $who != node* ]]; then
            tries=$((tries + 1))
            attack "${all[@]}"
            return
        fi
    fi
    tries=0
    [ "$before" -gt 0 ] || before=1
    printf '%-24s %9s %9s %4d%% %7d %9d  %s\n' "$name" $((before / 100)) $((during / 100)) \
        $((during * 100 / before)) $(($(largest) / 1024)) "$lines" "$(tail -n 1 attack.out)"
    [ $after -gt 0 ] || fail "$name: nothing became final"
    [ $((during * 100)) -ge $((before * keep)) ] || fail "$name: honest traffic kept $((during * 100 / before)) %"
    [ "$(largest)" -lt $limit_kib ] || fail "$name: $(largest) KiB"
    [ "$lines" -le 60 ] || fail "$name: $lines log lines"
    [ -z "$who" ] || grep -q "$who" log.new || fail "$name: the log does not name $who"
    [ -z "$who" ] || shown "$who" || fail "$name: poa peers does not show it: $(cat peers)"
}
# What the log said of the culprit, poa peers says too: who, that it is banned and for how
# long, and why.
shown() { # WHO
    "$poa" peers --rpc "$(rpc "$victim")" --json >peers
    jq -en --arg from "127.0.0.$source" --arg evil "$evil" --arg line "$(grep -m1 "$1" log.new)" 'input | any(.[];
        (.address == $from or .key == $evil or .role == "stranger") and .bans >= 1 and
        (if .banned then .ban_ms | tonumber > 0 else true end) and (.reason | length > 0) and
        (.reason as $why | $line | contains($why)))' peers >/dev/null
}
banned="address SOURCE is banned"
attack preamble "$banned"
attack garbage "$banned"
attack silent "$banned.*no session"
attack slowloris "$banned"
attack giant "$banned"
attack tiny "$banned"
attack tiny-session "$banned"
attack invalid "is banned"
attack replay "$banned"
attack unread "$banned"
attack "lowfee" "" --payer "$dir/keys/alice.json"
# Through a node where nobody else submits.
at trusted-0
attack "lowfee follower" "" --payer "$dir/keys/bob.json"
at ledger-0
attack "lowfee again" "stranger .* is banned.*known" --payer "$dir/keys/steering.json" --mode again
# With the key of a witness.
attack "tiny-session witness" "node ${evil:0:8} is banned" --key "$POA_TMP/evil.json" --mode witness
long_past() { [ "$(metric poa_epoch)" -ge 2 ]; }
wait_for 90 long_past || fail "epoch $(metric poa_epoch)"
at ledger-1
attack old-epoch "node ${evil:0:8} is banned" --key "$POA_TMP/evil.json"

at ledger-2
# Sync peers that lie or stall, one for each MODE: a new follower knows them and as
# many honest servers.
"$poa" keys new evil-2 --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" --json >evil-2.made || fail "no key"
liars=("$evil" "$(jq -r .public evil-2.made)")
honest=("$node@$mesh" "$("$poa" status --rpc "$(rpc ledger-3)" --json | jq -r .key)@127.0.0.1:$(sed -n 's/^listen = .*://p' "$dir/ledger-3/poad.conf")")
forged() { # MODE...
    [ -z "$only" ] || [[ " $only " == *" forged "* ]] || return 0
    f=$POA_TMP/follower-$(IFS=-; echo "$*")
    local begin=$SECONDS peers=() pids=() i=0 pid mode key
    mkdir "$f"
    "$poa" keys new follower --kind node --type ed25519 --no-passphrase --keys "$f" >/dev/null
    for mode in "$@"; do
        key=$POA_TMP/evil.json
        [ $i = 0 ] || key=$POA_TMP/evil-2.json
        "$hostile" forged "${to[@]}" --seconds 600 --key "$key" --mode "$mode" \
            --listen 127.0.0.1:0 >"$f/attack-$i" 2>"$f/attack-$i.err" &
        pids+=($!)
        wait_for 60 grep -q ready "$f/attack-$i" || fail "forged $mode: $(cat "$f/attack-$i.err")"
        peers+=(--peer "${liars[i]}@127.0.0.1:$(sed -n 's/^ready //p' "$f/attack-$i")" --peer "${honest[i]}")
        i=$((i + 1))
    done
    "$POA_BIN/poad" --data-dir "$f/data" --genesis "$dir/genesis.poa" --key "$f/follower.json" \
        --role trusted --listen off --rpc 127.0.0.1:0 --ready-file "$f/ready" \
        "${peers[@]}" >"$f/out" 2>"$f/log" &
    pid=$!
    follower() { "$poa" status --rpc "http://$(sed -n 's/^rpc //p' "$f/ready")" --json; }
    caught_up() {
        follower >"$f/status" && jq -r 'select(.sync) | .sync | tojson' "$f/status" >>"$f/sync"
        [ "$(jq -r .height "$f/status")" -ge "$(($(height) - 50))" ]
    }
    wait_for $((60 + $(height) / 100)) caught_up || fail "forged $*: the follower does not catch up: $(tail -n 5 "$f/log")"
    # Nothing of the lies got into what it serves.
    local h hash
    h=$(follower | jq -r .height)
    # What is executed may still be on its way to the disk.
    stored() { "$poa" block "$h" --rpc "http://$(sed -n 's/^rpc //p' "$f/ready")" --json >"$f/block" 2>"$f/block.err"; }
    wait_for 60 stored || fail "forged $*: $(cat "$f/block.err")"
    hash=$(jq -r .hash "$f/block")
    [ "$hash" = "$("$poa" block "$h" --json | jq -r .hash)" ] || fail "forged $*: block $h differs"
    [ $# = 1 ] || wait_for 60 grep -q "following: caught up" "$f/log" || fail "forged $*: it does not say that it caught up"
    kill $pid "${pids[@]}"
    wait $pid "${pids[@]}" || true
    printf '%-24s caught up after %s s; %s\n' "forged: $*" $((SECONDS - begin)) \
        "$(grep -m1 -o 'is banned.*\|following: peer .*\|following: wrong epoch' "$f/log" || echo 'asked the honest one first')"
}
forged block
forged junk
# Two at once: each costs its own range, and both honest ones give the rest.
# On a busy machine one of the four may come too late, or an honest one take too long.
for _ in 1 2 3; do
    rm -rf "$POA_TMP/follower-signature-stall"
    forged signature stall
    [ -e "${f:-}/log" ] || break
    took=$(sed -n 's/.*caught up at .* in \([0-9]*\) ms.*/\1/p' "$f/log" | head -n 1)
    { [ "${took:?}" -lt 3000 ] || grep -q "peer ${liars[1]:0:16}... does not answer" "$f/log"; } &&
        grep -q "caught up at .* from [2-9] servers" "$f/log" &&
        ! grep "following: peer" "$f/log" | grep -qv "${liars[0]:0:16}\|${liars[1]:0:16}" && break
done
if [ -e "${f:-}/log" ]; then
    grep -q "peer ${liars[0]:0:16}... sent blocks that are wrong" "$f/log" || fail "the liar is not named: $(cat "$f/log")"
    # Who answers nothing costs 3 s, if it was asked at all before the others had given everything.
    took=$(sed -n 's/.*caught up at .* in \([0-9]*\) ms.*/\1/p' "$f/log" | head -n 1)
    [ "${took:?}" -lt 3000 ] || grep -q "peer ${liars[1]:0:16}... does not answer" "$f/log" || fail "the staller is not named: $(cat "$f/log")"
    grep -o "caught up at .* from [2-9] servers" "$f/log" || fail "not from both honest servers: $(grep following "$f/log")"
    # Whoever has to wait is told for how long.
    if [ "$(sed -n 's/.*caught up at .* blocks in \([0-9]*\) ms.*/\1/p' "$f/log" | head -n 1)" -gt 12000 ]; then
        grep -o "following: \[#*\.*\] .* s left" "$f/log" || fail "no progress in the log: $(cat "$f/log")"
        jq -en '[inputs] | any(.[]; (.target | tonumber) > 0 and .left_s != null)' "$f/sync" >/dev/null || fail "no progress in the status: $(cat "$f/sync")"
        tail -n 1 "$f/sync"
    fi
    ! grep "following: peer" "$f/log" | grep -v "${liars[0]:0:16}\|${liars[1]:0:16}" || fail "an honest one is blamed: $(grep following "$f/log")"
fi
