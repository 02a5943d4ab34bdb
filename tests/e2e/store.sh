#!/bin/bash
# The database of a node: checked, compacted, exported, imported, restored from a
# snapshot; in use, full of damage, or of another chain it is refused by name.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("log" "log-*")
pid=
refused() { # WORDS COMMAND...
    local words=$1
    shift
    ! "$@" >out 2>why || fail "accepted: $*"
    [ "$(wc -l <why)" -eq 1 ] && grep -q "$words" why || fail "$* says: $(cat why)"
}
cd "$POA_TMP"
"$poa" devnet --ledgers 1 --trusted 0 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "15" | .heartbeat_ms = 40' >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >/dev/null
conf=$dir/ledger-0/poad.conf
start() { # DATA_DIR OPTION...
    local data=$1
    shift
    "$POA_BIN/poad" --config "$conf" --genesis genesis.poa --listen 127.0.0.1:0 --rpc 127.0.0.1:0 \
        --data-dir "$data" --checkpoint-s 1 --ready-file ready "$@" >>log 2>&1 &
    pid=$!
    wait_for 60 test -e ready || fail "no start in $data"
    POA_RPC=http://$(sed -n 's/^rpc //p' ready)
    export POA_RPC POA_KEYS=$dir/keys
}
stop() {
    kill -TERM $pid
    wait $pid || fail "exit code $?"
    pid=
}
height() { "$poa" status --json | jq -r .height; }
beyond() { [ "$(height)" -gt "$1" ]; }
rm -f "$dir"/keys/*.joined-*
start data
for i in $(seq 8); do "$poa" send bob "$i" --from alice >/dev/null || fail send; done
"$poa" send bob 1 --from alice >/dev/null || fail send
epoch() { [ "$("$poa" status --json | jq .consensus.epoch)" -ge 3 ]; }
wait_for 120 epoch || fail "no third epoch"
saved() { curl -s "$POA_RPC/metrics" | grep -Eq '^poa_checkpoints_total [1-9]'; }
wait_for 60 saved || fail "no checkpoint"
at=$(height)
wait_for 60 beyond $((at + 2))

echo "# nodes that only follow, and prune, are sound when they stop, and start again"
# Their log has batches only: too few to be trimmed before the blocks that list them go.
declare -A follower
follow() { # ROLE
    rm -f "$1.ready"
    "$POA_BIN/poad" --config "$1.conf" >"log-$1" 2>&1 &
    follower[$1]=$!
    wait_for 60 test -e "$1.ready" || fail "the $1 follower does not start"
}
follower_at() { "$poa" status --rpc "http://$(sed -n 's/^rpc //p' "$1.ready")" --json | jq -r .height; }
follower_beyond() { [ "$(follower_at "$1")" -gt "$2" ]; }
pruned() { ! "$poa" block 100 --rpc "http://$(sed -n 's/^rpc //p' "$1.ready")" 2>pruned.err; }
for role in ledger trusted; do
    "$poa" keys new $role --kind node --no-passphrase --keys follower-keys >/dev/null || fail "keys new"
    printf '%s\n' "role = $role" "genesis = genesis.poa" "key = follower-keys/$role.json" "data_dir = $role" \
        "listen = 127.0.0.1:0" "rpc = 127.0.0.1:0" "workers = 1" "prune = 100" "checkpoint_s = 4" \
        "snapshot_blocks = 20" "ready_file = $role.ready" \
        "peer = $(jq -r .public "$dir/keys/ledger-0.json")@$(sed -n 's/^mesh //p' ready)" >$role.conf
    follow $role
done
wait_for 120 beyond 300 || fail "the chain stops at $(height)"
for role in ledger trusted; do
    wait_for 120 follower_beyond $role 300 || fail "the $role follower stops at $(follower_at $role)"
    wait_for 120 pruned $role || fail "the $role follower prunes nothing"
    grep -q "^poa: block 100: blocks below [0-9]* are not kept here: deleted (prune)" pruned.err || fail "$(cat pruned.err)"
    kill -TERM "${follower[$role]}"
    wait "${follower[$role]}" || fail "the $role follower: exit code $?"
    # The same state makes the same snapshot: once is enough.
    grep -q "snapshot of height .* for peers" log-$role || fail "the $role follower makes no snapshot"
    [ -z "$(grep -o "snapshot of height [0-9]* for peers" log-$role | sort | uniq -d)" ] ||
        fail "a snapshot was made again: $(grep "for peers" log-$role)"
    "$poa" store check $role --json >check.json || fail "the pruned $role follower: $(cat check.json)"
    jq -en 'input | .sound and (.first | tonumber) > 100' check.json >/dev/null || fail "$(cat check.json)"
    at=$(height)
    follow $role
    wait_for 60 follower_beyond $role "$at" || fail "the $role follower does not go on"
    kill -TERM "${follower[$role]}"
    wait "${follower[$role]}" || fail "the $role follower: exit code $?"
done
bob=$("$poa" balance bob --json | jq -r .balance)
refused "does not answer over https: is it http?" "$poa" status --rpc "https://${POA_RPC#http://}"

echo "# in use"
for c in "check data" "compact data" "export data --output x"; do
    # shellcheck disable=SC2086
    refused "in use by process $pid" "$poa" store $c
done
stop
echo "# outputs never replace anything"
mkfifo pipe
ln -s nowhere link
echo mine >file
echo mine >late.part
for c in "store export data" "snapshot create data" "chain export" "genesis create genesis.json"; do
    for f in pipe link file; do
        # shellcheck disable=SC2086
        refused "$f already exists" "$poa" $c --output $f
    done
    # shellcheck disable=SC2086
    refused "not to standard output" "$poa" $c --output -
    [ -p pipe ] && [ -L link ] && [ ! -e nowhere ] && [ "$(cat file)" = mine ] || fail "$c replaced something"
    [ ! -e pipe.part ] && [ ! -e link.part ] && [ ! -e file.part ] && [ ! -e - ] && [ ! -e -.part ] || fail "$c left something"
done
for c in "store export" "snapshot create"; do
    # shellcheck disable=SC2086
    refused "late.part already exists" "$poa" $c data --output late
done
[ ! -e late ] && [ "$(cat late.part)" = mine ] || fail "late.part was replaced"

chain=$("$poa" genesis check genesis.poa --json | jq -r .chain)
trust=(--genesis genesis.poa)

echo "# check, compact"
"$poa" store check data --json >check.json || fail "check: $(cat check.json)"
jq -en 'input | .sound and .faults == [] and .first == "1" and .last == .proven and (.checkpoint | tonumber) > 0
    and (.transactions | tonumber) >= 9' check.json >/dev/null || fail "$(cat check.json)"
"$poa" store compact data >/dev/null || fail compact
"$poa" store check data >/dev/null || fail "check after compact"
"$poa" store check data "${trust[@]}" >/dev/null || fail "check against its genesis"
refused "of another chain" "$poa" store check data --genesis "$dir/genesis.poa"
refused "holds no database" "$poa" store check nothing
[ ! -e nothing ] || fail "check made a directory"

echo "# export, import: the same bytes again, and a node goes on from them"
"$poa" store export data --output one >/dev/null || fail export
"$poa" store export data --output two >/dev/null && cmp one two || fail "two exports differ"
"$poa" store import one imported "${trust[@]}" >/dev/null || fail import
"$poa" store check imported >/dev/null || fail "check of the import"
"$poa" store export imported --output three >/dev/null && cmp one three || fail "the import exports otherwise"
refused "holds a database already" "$poa" store import one imported "${trust[@]}"
refused "say which chain" "$poa" store import one other
refused "of another chain" "$poa" store import one other --genesis "$dir/genesis.poa"
refused "no archive of poa" "$poa" store import genesis.poa other "${trust[@]}"
[ ! -e other ] || fail "failed imports leave $(ls -A other)"
mkdir other && : >other/mine
refused "no archive of poa" "$poa" store import genesis.poa other "${trust[@]}"
[ "$(ls -A other)" = mine ] || fail "what was there is gone, or more is there: $(ls -A other)"
rm -r other
refused "it is an archive: .poa store import" "$poa" verify chain one "${trust[@]}"
[ ! -e other/db ] || fail "a refused import left something"

echo "# a snapshot"
# A node that stopped with a checkpoint has no block after it: it says what to do.
for _ in 1 2 3 4 5; do
    "$poa" snapshot create data --output state --json >snapshot.json 2>create.err && break
    grep -q "start the node for a moment" create.err || fail "snapshot: $(cat create.err)"
    start data
    at=$(height)
    wait_for 60 beyond "$at" || fail "no further block"
    stop
done
[ -e state ] || fail "snapshot: $(cat create.err)"
base=$(jq -r .base snapshot.json)
[ "$base" -gt 1 ] || fail "base $base"
"$poa" snapshot restore state restored --chain "$chain" >/dev/null || fail restore
"$poa" store check restored --json >check.json || fail "$(cat check.json)"
jq -en --arg b "$base" 'input | .sound and .first == $b' check.json >/dev/null || fail "$(cat check.json)"
for d in imported restored; do
    start $d
    [ "$("$poa" balance bob --json | jq -r .balance)" = "$bob" ] || fail "balance of bob in $d"
    stop
done

echo "# every part of a file that is changed, or cut, is refused"
n=$(stat -c %s state)
for i in $(seq 0 40); do
    cp state bad
    at=$((n * i / 41))
    printf '%b' "\\x$(printf %02x $((0x$(od -An -tx1 -j $at -N1 state | tr -d ' ') ^ 0x10)))" |
        dd of=bad bs=1 seek=$at conv=notrunc 2>/dev/null
    refused "bad" "$poa" snapshot restore bad other "${trust[@]}" || fail "changed at $at"
    head -c $at state >bad
    refused "bad" "$poa" snapshot restore bad other "${trust[@]}" || fail "cut at $at"
done
[ ! -e other/db ] || fail "a refused snapshot left something"

echo "# without CURRENT, LevelDB would begin anew and delete the rest"
cp -r data hurt
rm hurt/db/CURRENT
ls hurt/db >before
refused "CURRENT is missing" "$poa" store check hurt
! "$POA_BIN/poad" --config "$conf" --genesis genesis.poa --listen 127.0.0.1:0 --rpc 127.0.0.1:0 \
    --data-dir hurt >>log 2>why || fail "poad starts without CURRENT"
tail -n 1 why | grep -q "^poad: .*CURRENT is missing" || fail "poad says: $(cat why)"
ls hurt/db | cmp - before || fail "files are gone, or more are there"

echo "# damage in the database is named, by check and by the node"
files=$(ls data/db | grep -E 'ldb|log|MANIFEST|CURRENT')
for f in $files; do
    rm -rf hurt
    cp -r data hurt
    n=$(stat -c %s "hurt/db/$f")
    [ "$n" -gt 0 ] || continue
    printf '\377\377\377\377\377\377\377\377' | dd of="hurt/db/$f" bs=1 seek=$((n / 2)) conv=notrunc 2>/dev/null
    if "$poa" store check hurt >out 2>why; then
        # A log's torn end is what a power cut leaves: it is dropped, and peers
        # bring it again. Nothing else may pass.
        [[ $f == *.log ]] || fail "damage in $f is not seen"
    else
        [ "$(wc -l <why)" -eq 1 ] || fail "damage in $f: $(cat why)"
        [ -s out ] || grep -q "move hurt/db aside .*docs/store.md" why || fail "not said what to do: $(cat why)"
        grep -Eq "damaged|orruption|corrupt|CURRENT|MANIFEST" why || fail "damage in $f: $(cat why)"
    fi
done
for f in MANIFEST- .ldb; do
    rm -rf hurt
    cp -r data hurt
    for g in hurt/db/*"$f"*; do truncate -s 0 "$g"; done
    ! "$POA_BIN/poad" --config "$conf" --genesis genesis.poa --listen 127.0.0.1:0 --rpc 127.0.0.1:0 \
        --data-dir hurt >out 2>why || fail "poad starts with damaged $f"
    tail -n 1 why | grep -q "^poad: .*the database is damaged: move hurt/db aside .*docs/store.md" || fail "$f: $(cat why)"
done
echo ok
