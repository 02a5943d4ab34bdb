#!/bin/bash
# Seven witnesses as real processes on the loopback, under load, while up to two
# at a time are killed (SIGKILL, started again by `poa devnet`) or cut off
# (SIGSTOP, SIGCONT later). Epochs are short, so hand-overs fall in between.
#
# At the end: everybody answers and is ready again without anybody's help, all
# hashes agree up to the lowest common height, every transaction that any node
# ever called final is final at every node, in the same block, supply is
# conserved, and nobody died who was not killed.
#
# Environment: POA_BIN (programs), SOAK_SECONDS (600), SOAK_LOAD (20 transfers
# per second by the devnet; four more clients wait for each of theirs),
# SOAK_SEED (random: the sequence of faults), SOAK_EPOCH_VIEWS (150), SOAK_DIR (a
# temporary folder; it is kept when something failed).
set -u
. "$(dirname "$0")/../runner/e2e.sh"
bin=$POA_BIN
seconds=${SOAK_SECONDS:-600}
load=${SOAK_LOAD:-20}
seed=${SOAK_SEED:-$((RANDOM * 32768 + RANDOM))}
views=${SOAK_EPOCH_VIEWS:-150}
dir=${SOAK_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/poa-soak.XXXXXX")} && mkdir -p "$dir" || exit 2
net=$dir/net
n=7
back_s=60     # a node that was hit is ready again
progress_s=30 # something becomes final, with two nodes hit
wait_least=0  # these are limits, not patience
passed=0
failed=0
kills=0
cuts=0
devnet=
clients=()
stopped=() # pids that have SIGSTOP
RANDOM=$((seed % 32768))

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }
check() { # TEXT COMMAND...
    local text=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok    $text"
    else
        failed=$((failed + 1))
        echo "FAIL  $text"
    fi
}
finish() {
    local p
    for p in ${stopped[@]+"${stopped[@]}"}; do kill -CONT "$p" 2>/dev/null; done
    touch "$dir/stop"
    if [ -n "$devnet" ] && kill -TERM "$devnet" 2>/dev/null; then
        wait "$devnet"
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM
give_up() {
    failed=$((failed + 1))
    echo "FAIL  $*"
    echo "$passed passed, $failed failed; seed $seed, logs in $net/*/log"
    exit 1
}

# All of these read the list of processes that the devnet keeps.
status() { "$poa" devnet status --data-dir "$net" --json; }
all_ready() { status | jq -en "input | [.processes[] | select(.ready)] | length == $n"; }
pid_of() { jq -r ".processes[$1].pid" "$net/devnet.lock"; }
call() { # NODE METHOD [PARAMS]
    curl -s --max-time 10 "${url[$1]}" -d '{"jsonrpc":"2.0","id":1,"method":"'"$2"'","params":'"${3:-[]}"'}'
}
height_of() { call "$1" poa_status | jq -enr 'input | .result.height'; }
highest() {
    local i h max=0
    for ((i = 0; i < n; i++)); do
        h=$(curl -s --max-time 1 "${url[$i]}" -d '{"jsonrpc":"2.0","id":1,"method":"poa_status"}' | jq -r .result.height)
        [ "${h:-0}" -le $max ] || max=$h
    done
    echo $max
}
beyond() { [ "$(highest)" -gt "$1" ]; }

# --- a network with short epochs ----------------------------------------------
"$poa" devnet --ledgers $n --trusted 0 --devices 0 --epoch-views "$views" --load "$load" --for "$((seconds + 600))s" \
    --data-dir "$net" --json >"$dir/report.json" 2>"$dir/devnet.log" &
devnet=$!
wait_for 60 all_ready || give_up "the network does not start: $(tail -n 3 "$dir/devnet.log")"
mapfile -t url < <(status | jq -r '.processes[].rpc')
say "$n witnesses, $load transfers/s, epochs of $views views, $seconds s, seed $seed"

# --- clients that wait until each of their transfers is final -------------------
for k in 0 1 2 3; do
    "$poa" keys new "soak-$k" --keys "$net/keys" --no-passphrase >/dev/null &&
        "$poa" send "soak-$k" 100000000 --from alice --keys "$net/keys" --rpc "${url[0]}" >/dev/null ||
        give_up "cannot fund soak-$k"
done
client() { # K: one transfer after another, each through another node
    local i=$1
    while [ ! -e "$dir/stop" ]; do
        i=$(((i + 1) % n))
        "$poa" send bob 1 --from "soak-$1" --keys "$net/keys" --rpc "${url[$i]}" --timeout 8 --json \
            >>"$dir/final-$1.jsonl" 2>>"$dir/client-$1.log" || sleep 0.3
    done
}
for k in 0 1 2 3; do
    client $k &
    clients+=($!)
done

# --- faults ---------------------------------------------------------------------
hit() { # NODE: kills it or cuts it off for a while
    local pid
    pid=$(pid_of "$1")
    [ "${pid:-0}" -gt 1 ] || return 0
    if [ $((RANDOM % 2)) -eq 0 ]; then
        kill -KILL "$pid" && kills=$((kills + 1))
        what="$what, ledger-$1 killed"
    else
        kill -STOP "$pid" || return 0
        stopped+=("$pid")
        cuts=$((cuts + 1))
        what="$what, ledger-$1 cut off"
    fi
}
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
    sleep $((RANDOM % 3)).$((RANDOM % 10))
    before=$(highest)
    what=
    a=$((RANDOM % n))
    hit $a
    if [ $((RANDOM % 2)) -eq 0 ]; then
        sleep 0.$((RANDOM % 10))
        hit $(((a + 1 + RANDOM % (n - 1)) % n))
    fi
    say "height $before${what}; $(cat "$dir"/final-*.jsonl 2>/dev/null | wc -l) transfers final"
    wait_for $progress_s beyond $((before + 2)) || give_up "nothing became final for $progress_s s after height $before"
    [ ${#stopped[@]} -eq 0 ] || sleep $((RANDOM % 7)).5
    for p in ${stopped[@]+"${stopped[@]}"}; do kill -CONT "$p"; done
    stopped=()
    wait_for $back_s all_ready || give_up "not all nodes came back within $back_s s: $(status | jq -c '[.processes[] | {name, pid, restarts, height, ready}]')"
done
touch "$dir/stop"
wait "${clients[@]}"

# --- what must be true now ------------------------------------------------------
say "$kills kills, $cuts cuts; looking at what is left"
wait_for $back_s all_ready || give_up "not all nodes came back"
lowest=$(for ((i = 0; i < n; i++)); do height_of $i; done | sort -n | head -n 1)
epoch=$(call 0 poa_status | jq .result.state.epoch)
say "lowest common height $lowest, epoch $epoch"
agree() { # the last 200 heights, and 200 over all of them
    local h i step=$((lowest / 200 + 1)) heights bad=0
    heights=$({ seq 1 $step "$lowest"; seq $((lowest > 200 ? lowest - 200 : 1)) "$lowest"; } | sort -nu)
    for ((i = 0; i < n; i++)); do
        for h in $heights; do printf '{"jsonrpc":"2.0","id":%d,"method":"poa_block_get","params":["%d"]}\n' "$h" "$h"; done |
            jq -s . | curl -s --max-time 60 "${url[$i]}" -d @- | jq -rS 'sort_by(.id)[] | "\(.id) \(.result.hash // .error.message)"' >"$dir/hashes-$i"
        [ "$(grep -Ec '^[0-9]+ [0-9a-f]{64}$' "$dir/hashes-$i")" -eq "$(echo "$heights" | wc -w)" ] ||
            { echo "ledger-$i lacks blocks: $(grep -Ev ' [0-9a-f]{64}$' "$dir/hashes-$i" | head -n 3)"; bad=1; }
        cmp "$dir/hashes-0" "$dir/hashes-$i" || bad=1
    done
    return $bad
}
none_lost() {
    local i bad=0 ids total missing
    ids=$(cat "$dir"/final-*.jsonl | jq -r .id | sort)
    total=$(echo "$ids" | grep -c .)
    say "$total transfers were reported final to a client"
    [ "$total" -gt 0 ] || return 1
    for ((i = 0; i < n; i++)); do
        echo "$ids" | split -l 500 - "$dir/ids-"
        for part in "$dir"/ids-*; do
            jq -R '{jsonrpc: "2.0", id: ., method: "poa_tx_get", params: [.]}' "$part" | jq -s . |
                curl -s --max-time 60 "${url[$i]}" -d @- |
                jq -r '.[] | "\(.id) \(.result.state // .error.message) \(.result.height // "-")"'
        done | sort >"$dir/txs-$i"
        rm -f "$dir"/ids-*
        missing=$(grep -cv ' final ' "$dir/txs-$i")
        [ "$missing" -eq 0 ] && [ "$(wc -l <"$dir/txs-$i")" -eq "$total" ] ||
            { echo "ledger-$i: $missing of $total not final: $(grep -v ' final ' "$dir/txs-$i" | head -n 3)"; bad=1; }
        cmp "$dir/txs-0" "$dir/txs-$i" || bad=1
    done
    return $bad
}
conserved() {
    local i
    for ((i = 0; i < n; i++)); do call $i poa_supply_audit | jq -en input.result.conserved >/dev/null || return 1; done
}
no_other_deaths() {
    local restarts
    restarts=$(status | jq '[.processes[].restarts] | add')
    [ "$restarts" -eq $kills ] || { echo "$restarts restarts, $kills kills"; return 1; }
    ! grep -hE 'halted|AddressSanitizer' "$net"/ledger-*/log
}
check "hashes agree up to height $lowest" agree
check "what was final stays final, everywhere" none_lost
check "supply is conserved at every node" conserved
check "no node died or halted by itself" no_other_deaths
check "epochs passed" [ "$epoch" -gt 0 ]
"$poa" devnet down --data-dir "$net" >/dev/null
wait "$devnet"
rc=$?
devnet=
jq -c '{healthy, wrong, offered_txs, committed_txs, finality_ms_p50, finality_ms_p99, restarts}' "$dir/report.json" 2>/dev/null
check "the devnet's own report" [ $rc -eq 0 ]
echo "$passed passed, $failed failed"
if [ $failed -gt 0 ]; then
    echo "seed $seed, logs in $net/*/log"
    exit 1
fi
[ -n "${SOAK_DIR:-}" ] || rm -rf "$dir"
