#!/bin/bash
# A transaction may be handed to any node: it is final whoever its home server and
# the leader are, and it survives the death of its home server.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")
devnet=
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --data-dir "$dir" >run.out 2>run.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 5 ||
    fail "not ready: $(cat run.err)"
export POA_KEYS=$dir/keys
"$poa" devnet status --data-dir "$dir" --json >status.json
mapfile -t url < <(jq -r '.processes[] | select(.rpc) | .rpc' status.json)
pid=$(jq -r '.processes[] | select(.name == "ledger-3") | .pid' status.json)
[ "${#url[@]}" -eq 5 ] && [ "$pid" -gt 0 ] || fail "$(cat status.json)"

echo "# twelve accounts, so that every server is the home of some"
senders=12
for i in $(seq $senders); do
    "$poa" keys new "s$i" --no-passphrase >/dev/null
    "$poa" faucet "s$i" 1000000 --rpc "${url[0]}" --timeout 120 >/dev/null || fail "faucet $i"
done

send() { # SENDER URL: prints the id
    "$poa" send bob 7 --from "s$1" --rpc "$2" --no-wait --json | jq -r .id
}
final() { # ID URL
    wait_for 60 sh -c "$poa tx $1 --rpc $2 --json | jq -en 'input | .state == \"final\"'" ||
        fail "$1 is not final at $2: $("$poa" tx "$1" --rpc "$2" --json 2>&1)"
}
bob() { "$poa" balance bob --json --rpc "${url[0]}" | jq -r .balance; }

echo "# through every node, the trusted one too, and seen at every other"
before=$(bob)
ids=()
for i in $(seq $senders); do
    ids+=("$(send "$i" "${url[$((i % 5))]}")") || fail "send $i"
done
for i in $(seq $senders); do
    final "${ids[$((i - 1))]}" "${url[$(((i + 2) % 5))]}"
done
wait_for 60 sh -c "[ \$($poa balance bob --json --rpc ${url[0]} | jq -r .balance) -eq $((before + 7 * senders)) ]" ||
    fail "bob has $(bob), not $((before + 7 * senders))"

echo "# what is accepted and can never be in a block any more is told, at a server and a follower"
for node in 1 4; do # the second one is the trusted node
    if "$poa" send bob 7 --from "s$node" --rpc "${url[$node]}" --nonce 99 --valid-for 4 \
        --timeout 60 >late.out 2>late.err; then
        fail "node $node: a transfer with a nonce that nobody used was final"
    fi
    grep -q 'was accepted, then dropped: valid_until has passed (TX_EXPIRED)' late.err ||
        fail "node $node: $(cat late.err)"
    id=$(grep -o '[0-9a-f]\{64\}' late.err)
    "$poa" tx "$id" --rpc "${url[$node]}" --json >late.json || fail "tx: exit code $?"
    jq -en 'input | .state == "dropped" and .result == "TX_EXPIRED" and (.why | length > 0)' late.json >/dev/null ||
        fail "$(cat late.json)"
done

echo "# a server dies with what was sent to it"
kill -STOP $devnet # it would start the server again
ids=()
for i in $(seq $((senders / 2))); do
    ids+=("$(send "$i" "${url[$((i % 3))]}")") || fail "send $i"
done
kill -KILL "$pid"
for i in $(seq $((senders / 2 + 1)) $senders); do
    ids+=("$(send "$i" "${url[$((i % 3))]}")") || fail "send $i to a network with a dead server"
done
for id in "${ids[@]}"; do
    final "$id" "${url[0]}"
done
wait_for 60 sh -c "[ \$($poa balance bob --json --rpc ${url[0]} | jq -r .balance) -eq $((before + 14 * senders)) ]" ||
    fail "bob has $(bob), not $((before + 14 * senders))"

kill -CONT $devnet
kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"
devnet=
