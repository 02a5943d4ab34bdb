#!/bin/bash
# SIGKILL and restart under load: three of four ledger servers are killed in turn, at
# random moments also while they start, the fourth never. At the end all of them
# have the same blocks and state, and every transaction that a client was told is
# final is final at each. POA_KILLS (10); the soak does 1,000. POA_SEED.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
kills=${POA_KILLS:-10}
seed=${POA_SEED:-$((RANDOM * 32768 + RANDOM))}
dir=$POA_TMP/net
logs=("$POA_TMP/log-*")
n=4
pids=()
clients=()
RANDOM=$((seed % 32768))
echo "# POA_SEED=$seed"
cd "$POA_TMP"
"$poa" devnet --ledgers $n --trusted 0 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "100"' >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >/dev/null
rm -rf "$dir"/ledger-*/data "$dir"/keys/*.joined-*

# Ports of our own: those of the devnet may be taken again.
take_ports
for i in $(seq 0 $((n - 1))); do
    sed "s/^genesis = .*/genesis = genesis.poa/; s/^listen = .*/listen = 127.0.0.1:$((base + 2 * i))/; s/^rpc = .*/rpc = 127.0.0.1:$((base + 50 + i))/" \
        "$dir/ledger-$i/poad.conf" >"conf-$i"
    for k in $(seq 0 $((n - 1))); do
        port=$(sed -n 's/^listen = 127.0.0.1://p' "$dir/ledger-$k/poad.conf")
        sed -i "s/^\(peer = .*@127.0.0.1:\)$port\$/\1$((base + 2 * k))/" "conf-$i"
    done
    url[i]=http://127.0.0.1:$((base + 50 + i))
done
start() {
    "$POA_BIN/poad" --config "conf-$1" --checkpoint-s 1 --store-write-buffer-kib 128 >>"log-$1" 2>&1 &
    pids[$1]=$!
}
call() { # NODE METHOD [PARAMS]
    curl -s --max-time 60 "${url[$1]}" -d '{"jsonrpc":"2.0","id":1,"method":"'"$2"'","params":'"${3:-[]}"'}'
}
ready() { curl -sf --max-time 2 "${url[$1]}/readyz"; }
for i in $(seq 0 $((n - 1))); do start "$i"; done
for i in $(seq 0 $((n - 1))); do wait_for 60 ready "$i" || fail "node $i does not start"; done
for k in 0 1; do
    "$poa" keys new "client-$k" --keys keys --no-passphrase >/dev/null
    "$poa" send "$("$poa" keys show "client-$k" --keys keys --json | jq -r .address)" 10000000 --from alice \
        --keys "$dir/keys" --rpc "${url[3]}" >/dev/null || fail "funding"
done
client() { # K: one transfer after another through the node that lives
    while [ ! -e "$POA_TMP/stop" ]; do
        "$poa" send client-$((1 - $1)) 1 --from "client-$1" --keys keys --rpc "${url[3]}" --timeout 20 --json \
            >>"final-$1" 2>>"client-$1.log" || sleep 0.1
    done
}
for k in 0 1; do
    client $k &
    clients+=($!)
done
height() { call "$1" poa_status | jq -enr 'input | .result.height'; }
for k in $(seq "$kills"); do
    victim=$((RANDOM % (n - 1)))
    # Now and then before it is back from the last time.
    [ $((RANDOM % 4)) -eq 0 ] || wait_for 60 ready $victim || fail "node $victim does not come back, kill $k"
    sleep 0.$((RANDOM % 3))$((RANDOM % 10))
    kill -0 "${pids[$victim]}" 2>/dev/null || fail "node $victim died by itself before kill $k"
    kill -KILL "${pids[$victim]}"
    wait "${pids[$victim]}" 2>/dev/null || true
    start $victim
done
loaded() { [ "$(cat final-* | wc -l)" -gt 3 ]; }
wait_for 60 loaded || fail "no load: $(tail -n 1 client-*.log)"
touch stop
wait "${clients[@]}" || true
clients=()
for i in $(seq 0 $((n - 1))); do wait_for 90 ready "$i" || fail "node $i does not come back"; done

echo "# what was final is final everywhere, and nothing else is different"
cat final-* | jq -r .id | sort >ids
[ "$(wc -l <ids)" -gt 3 ] || fail "no load: $(wc -l <ids) transfers"
tip=$(height 3)
has_all() { [ "$(height "$1")" -ge "$tip" ]; }
for i in 0 1 2 3; do
    wait_for 60 has_all "$i" || fail "node $i stays behind"
    # The header after the tip has the state root after it.
    wait_for 60 sh -c "[ \$(curl -s ${url[$i]} -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_status\"}' | jq -r .result.height) -gt $tip ]" || fail "node $i stops"
    call "$i" poa_block_get "[\"$((tip + 1))\"]" | jq -c '[.result.hash, .result.header.state, .result.header.parent]' >"tip-$i"
    cmp tip-0 "tip-$i" || fail "node $i has another block $((tip + 1)): $(cat tip-0 "tip-$i")"
    split -l 500 ids part-
    for part in part-*; do
        jq -R '{jsonrpc: "2.0", id: ., method: "poa_tx_get", params: [.]}' "$part" | jq -s . |
            curl -s --max-time 60 "${url[$i]}" -d @- | jq -r '.[] | "\(.id) \(.result.state) \(.result.height) \(.result.code)"'
    done | sort >"txs-$i"
    rm -f part-*
    [ "$(grep -c ' final [0-9]* 0$' "txs-$i")" -eq "$(wc -l <ids)" ] || fail "node $i lost: $(grep -v ' final ' "txs-$i" | head -n 3)"
    cmp txs-0 "txs-$i" || fail "node $i has them elsewhere"
    call "$i" poa_supply_audit | jq -en 'input | .result.conserved' >/dev/null || fail "supply at node $i"
done
for i in $(seq 0 $((n - 1))); do kill -TERM "${pids[$i]}"; done
for i in $(seq 0 $((n - 1))); do wait "${pids[$i]}" || fail "node $i: exit code $?"; done
pids=()
for i in 0 1 2 3; do
    data=$(sed -n 's/^data_dir = //p' "conf-$i")
    "$poa" store check "$data" >check 2>&1 || fail "store of node $i: $(cat check)"
done
echo "ok: $kills kills, $(wc -l <ids) transfers final, height $tip, seed $seed"
