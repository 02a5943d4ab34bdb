#!/bin/bash
# Full, failing and read-only disks, and every file of the database damaged in turn:
# the node stops, or does not start, with one line that says why; what it answers is
# never other than before; nothing final is lost.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("log")
shim=$POA_BIN/tests/crash/shim.so
pid=
cd "$POA_TMP"
"$poa" devnet --ledgers 1 --trusted 0 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
rm -f "$dir"/keys/*.joined-*
conf=$dir/ledger-0/poad.conf
key=$dir/keys/ledger-0.json
options=(--listen 127.0.0.1:0 --rpc 127.0.0.1:0 --checkpoint-s 1 --store-write-buffer-kib 64 --ready-file ready --log-level warn)
launch() { # DATA_DIR
    rm -f ready
    "$POA_BIN/poad" --config "$conf" --data-dir "$1" "${options[@]}" >out 2>log &
    pid=$!
}
up_or_down() { [ -e ready ] || ! kill -0 $pid; }
start() {
    launch "$1"
    wait_for 60 up_or_down && [ -e ready ] || fail "no start in $1"
    POA_RPC=http://$(sed -n 's/^rpc //p' ready)
    export POA_RPC POA_KEYS=$dir/keys
}
stop() {
    kill -TERM $pid
    wait $pid || fail "exit code $?"
}
gone() { ! kill -0 $pid; }
# The node ended by itself: WORDS are in the one line that it leaves.
ended() { # WORDS
    wait_for 60 gone || fail "it goes on: $1"
    ! wait $pid || fail "exit code 0: $1"
    [ "$(grep -ac '^poad: ' log)" -eq 1 ] || fail "not one line: $(cat log)"
    grep -a '^poad: ' log | grep -aq "$1" || fail "not \"$1\" in: $(grep -a '^poad: ' log)"
}
spend() { # until the node is gone; ids of what was final
    until gone 2>/dev/null; do
        "$poa" send bob 1 --from alice --timeout 5 --json >>final 2>/dev/null || sleep 0.1
    done
}
all_final() {
    jq -r .id final | while read -r id; do
        "$poa" tx "$id" --json | jq -en 'input | .state == "final" and .code == 0' >/dev/null || { echo "$id"; break; }
    done
}
start data
"$poa" send bob 1 --from alice --json >final || fail send
stop

for case in "FULL=250000 No space left" "SICK=25 Input/output error"; do
    echo "# ${case#* }"
    words=${case#* }
    cp -r data sick
    export LD_PRELOAD=$shim POA_SHIM_DIR=sick/db "POA_SHIM_${case%% *}"
    launch sick
    unset LD_PRELOAD POA_SHIM_DIR POA_SHIM_FULL POA_SHIM_SICK
    if wait_for 60 up_or_down && [ -e ready ]; then
        POA_RPC=http://$(sed -n 's/^rpc //p' ready)
        spend
    fi
    ended "$words"
    start sick
    lost=$(all_final)
    [ -z "$lost" ] || fail "$words: $lost was final and is lost"
    stop
    "$poa" store check sick >check 2>&1 || fail "$words: $(cat check)"
    rm -rf data
    mv sick data # what alice spent there must not be spent again
done

echo "# full before it has started"
cp -r data compact
"$poa" store compact compact >/dev/null
for full in 20 100 150 200; do # in turn: a new manifest, the log
    rm -rf sick
    cp -r compact sick
    export LD_PRELOAD=$shim POA_SHIM_DIR=sick/db POA_SHIM_FULL=$full
    launch sick
    unset LD_PRELOAD POA_SHIM_DIR POA_SHIM_FULL
    ended "sick/db/[^ ]*: No space left on device: free about 3[0-9] MB there first"
done

rm -rf sick
cp -r data sick
! LD_PRELOAD=$shim POA_SHIM_DIR=sick/db POA_SHIM_FULL=100 "$poa" store compact sick 2>err || fail "rewritten without room"
grep -q "No space left on device: free about 3[0-9] MB there first" err && [ "$(wc -l <err)" -eq 1 ] || fail "compact: $(cat err)"

echo "# the log of a node that was killed, emptied"
rm -rf sick
cp -r data sick
start sick
kill -KILL $pid
wait $pid 2>/dev/null || true
log=$(find sick/db -name '*.log' -size +0 | sort | tail -n 1)
[ -n "$log" ] || fail "no log"
cp "$log" whole
: >"$log"
launch sick
ended "$(basename "$log") is damaged: 0 bytes are whole of"
cp whole "$log"
start sick
stop
rm -rf data
mv sick data # a copy of before this start would be told as one

echo "# read-only"
before=$(find data -type f ! -name LOCK ! -name LOG* -exec cksum {} + | sort)
export LD_PRELOAD=$shim POA_SHIM_DIR=data/db POA_SHIM_READONLY=1
launch data
unset LD_PRELOAD POA_SHIM_DIR POA_SHIM_READONLY
ended "Read-only file system"
[ "$(find data -type f ! -name LOCK ! -name LOG* -exec cksum {} + | sort)" = "$before" ] || fail "something was changed"

echo "# every file damaged in turn, at three places"
start data
tip=$("$poa" status --json | jq -r .height)
hashes() { # one line per block: height, hash or error
    seq 1 "$tip" | jq '{jsonrpc: "2.0", id: ., method: "poa_block_get", params: [tostring]}' | jq -s . |
        curl -s --max-time 60 "$POA_RPC" -d @- | jq -r 'sort_by(.id)[] | "\(.id) \(.result.hash // "error")"'
}
[ "$tip" -lt 900 ] || tip=900
hashes >good
bob=$("$poa" balance bob --json | jq -r .balance)
stop
"$poa" store compact data >/dev/null
refused=0
for f in $(find data/db -type f ! -name LOCK ! -name 'LOG*' -size +0 | sort); do
    for part in 10 50 90; do
        rm -rf hurt
        cp -r data hurt
        at=$(($(stat -c %s "$f") * part / 100))
        printf '\x5a\xa5\x5a\xa5\x5a\xa5\x5a\xa5' | dd of="hurt/${f#data/}" bs=1 seek=$at conv=notrunc 2>/dev/null
        launch hurt
        wait_for 60 up_or_down || fail "$f: neither up nor down"
        if [ ! -e ready ]; then
            ended "."
            grep -a '^poad: ' log | grep -aEqi "corrupt|damaged|CURRENT|MANIFEST" || fail "$f: $(cat log)"
            refused=$((refused + 1))
            continue
        fi
        # What is damaged may be an old block that nobody has read yet: it is an
        # error when somebody does.
        POA_RPC=http://$(sed -n 's/^rpc //p' ready)
        hashes >now
        join good now | awk '$3 != $2 && $3 != "error" {exit 1}' || fail "$f at $part %: another block is served"
        [ "$("$poa" balance bob --json | jq -r .balance)" = "$bob" ] || fail "$f at $part %: another balance is served"
        kill -KILL $pid
        wait $pid 2>/dev/null || true
    done
done
[ $refused -gt 0 ] || fail "no damage was noticed"
echo "ok: $refused times refused"
