#!/bin/bash
# Proofs of the state from a running network with short epochs: checked offline,
# down from the genesis file alone; changed ones are refused.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")
devnet=
cd "$POA_TMP"
"$poa" devnet --ledgers 4 --trusted 1 --devices 1 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
rm -rf "$dir"/{ledger,trusted}-*/data "$dir"/{ledger,trusted}-*/log "$dir"/device-*/state "$dir"/keys/*.joined-*
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "20"' >genesis.json
rm "$dir/genesis.poa"
"$poa" genesis create genesis.json --output "$dir/genesis.poa" >/dev/null
"$poa" devnet --ledgers 4 --trusted 1 --devices 1 --data-dir "$dir" --json >report 2>err &
devnet=$!
wait_for 60 "$poa" devnet status --data-dir "$dir" || fail "$(cat err)"
rpc() { "$poa" devnet status --data-dir "$dir" --json | jq -r ".processes[$1].rpc"; }
POA_RPC=$(rpc 0)
export POA_RPC POA_KEYS=$dir/keys
epoch() { "$poa" status --json | jq .consensus.epoch; }
second_epoch() { [ "$(epoch)" -ge 2 ]; }
wait_for 120 second_epoch || fail "no second epoch"
"$poa" send bob 77 --from alice >/dev/null || fail "send"
chain=$("$poa" genesis check "$dir/genesis.poa" --json | jq -r .chain)
trust=(--genesis "$dir/genesis.poa")

echo "# present, absent, every table"
"$poa" proof account alice --json >alice.json || fail "no proof"
"$poa" verify proof alice.json "${trust[@]}" --json >checked.json || fail "alice"
[ "$(jq -r .entry.balance checked.json)" = "$("$poa" balance alice --json | jq -r .balance)" ] || fail "balance"
jq -en 'input | .valid and .present and .epoch >= 2' checked.json >/dev/null || fail "$(cat checked.json)"
"$poa" keys new nobody --no-passphrase >/dev/null
"$poa" proof account nobody --json | "$poa" verify proof --chain "$chain" --json >checked.json || fail "nobody"
jq -en 'input | .valid and (.present | not)' checked.json >/dev/null || fail "$(cat checked.json)"
key=$("$poa" devices --json | jq -r .items[0].device)
zero=0000000000000000000000000000000000000000000000000000000000000000
for what in global "device $key" "device_index 0" "maker 1" "witness $zero" "witness_index 0" "slot 1" \
    "committee $(epoch)" "epoch 0" "anchor $zero"; do
    # shellcheck disable=SC2086
    "$poa" proof $what --json | "$poa" verify proof "${trust[@]}" >text || fail "$what"
done

echo "# header and certificate by themselves"
jq -r .header alice.json >header
jq -r .certificate alice.json >cert
"$poa" verify proof alice.json --header header --cert "$(cat cert)" >text || fail "header and certificate"
grep -q "trusted    chain $chain, as --header says; nothing else" text || fail "$(cat text)"

echo "# what does not follow from the trusted chain is refused, in one line"
refused() { # WORDS COMMAND...
    local words=$1
    shift
    ! "$@" >out 2>why || fail "accepted: $*"
    [ "$(wc -l <why)" -eq 1 ] && grep -q "$words" why || fail "$* says: $(cat why)"
}
refused "say which chain you trust" "$poa" verify proof alice.json
refused "another chain" "$poa" verify proof alice.json --chain $zero
refused "another chain" "$poa" verify proof alice.json "${trust[@]}" --chain $zero
jq '.value |= (if .[:2] == "ff" then "00" else "ff" end) + .[2:]' alice.json >bad.json
refused "not valid: bad proof" "$poa" verify proof bad.json "${trust[@]}"
jq '.value = ""' alice.json >bad.json
refused "not valid" "$poa" verify proof bad.json "${trust[@]}"
jq '.handovers |= .[1:]' alice.json >bad.json
refused "hand-over from epoch 0 is not valid" "$poa" verify proof bad.json "${trust[@]}"
jq '.handovers |= .[:1]' alice.json >bad.json
refused "no hand-over from epoch 1" "$poa" verify proof bad.json "${trust[@]}"
jq '.certificate |= .[:-1] + (if .[-1:] == "0" then "1" else "0" end)' alice.json >bad.json
refused "not valid: its certificate holds a signature that no member" "$poa" verify proof bad.json "${trust[@]}"
jq 'del(.header)' alice.json >bad.json
refused 'no "header"' "$poa" verify proof bad.json "${trust[@]}"
echo "# every member, changed one by one: also those that are for people only"
jq '.more = 1' alice.json >bad.json
refused '"more", which none has' "$poa" verify proof bad.json "${trust[@]}"
jq '.entry.balance = "1"' alice.json >bad.json
refused '"entry" is not what it proves' "$poa" verify proof bad.json "${trust[@]}"
jq '.handovers += [.handovers[0]]' alice.json >bad.json
refused '"handovers"' "$poa" verify proof bad.json "${trust[@]}"
tried=0
for name in $(jq -r 'keys[]' alice.json); do
    for value in 5 null true '"zz"' '"00"' '[]' '{}' '"DEL"'; do
        jq --arg n "$name" ".[\$n] = $value" alice.json >bad.json
        [ "$(jq -S . bad.json)" != "$(jq -S . alice.json)" ] || continue
        refused . "$poa" verify proof bad.json "${trust[@]}"
        tried=$((tried + 1))
    done
done
[ $tried -gt 100 ] || fail "only $tried changes"
for name in table key value proof header certificate handovers; do
    jq "del(.$name)" alice.json >bad.json
    refused . "$poa" verify proof bad.json "${trust[@]}"
done
jq 'del(.entry, .height, .epoch, .present, .chain, .genesis)' alice.json >bare.json
"$poa" verify proof bare.json "${trust[@]}" >text || fail "what is for people only is needed"
head -c 3000000 /dev/zero | tr '\0' '[' >bad.json
refused . "$poa" verify proof bad.json "${trust[@]}"
"$poa" chain export --output chain.poa >/dev/null || fail "export"
refused "poa verify chain" "$poa" verify proof chain.poa "${trust[@]}"
refused "poa verify chain" "$poa" store import chain.poa fresh "${trust[@]}"
[ ! -e fresh ] || fail "a failed import leaves $(ls -A fresh)"
refused "poa verify chain" "$poa" genesis check chain.poa
refused "poa genesis show" "$poa" verify chain "$dir/genesis.poa" "${trust[@]}"
refused "no exported chain; it is JSON" "$poa" verify chain alice.json "${trust[@]}"
echo '[]' >bad.json
refused "is no proof" "$poa" verify proof bad.json "${trust[@]}"
refused "no table" "$poa" proof nothing
kill -TERM $devnet
wait $devnet || fail "devnet: exit code $?"
devnet=
echo ok
