#!/bin/bash
# Over RPC: what breaks a rule is refused with its own error, or, when only the
# state can tell, skipped with it; and leaves the state as it was. No device
# registers without its manufacturer.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
"$poa" devnet --ledgers 4 --trusted 1 --devices 1 --data-dir "$dir" --json >net.json 2>net.err &
devnet=$!
wait_for 120 devnet_ready "$dir" 5 || fail "not ready: $(cat net.err)"
url=$(process_of "$dir" ledger-0 rpc)
export POA_RPC=$url POA_KEYS=$dir/keys
call() { # METHOD PARAMS
    curl -s -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}" "$url"
}

# A first one, so that there is a used nonce.
"$poa" send bob 1 --from alice >/dev/null || fail "no good transfer: $(cat net.err)"
account() { "$poa" balance alice --json; }
registry() { call poa_devices_list '[]' | jq -c '[.result.total, (.result.items | map(.device))]'; }
# Sent again, as after a lost answer, it is the same payment: nobody is told to make it anew.
"$poa" send bob 1 --from alice --nonce "$("$poa" balance alice --json | jq -r .nonce)" --output once.tx >/dev/null
"$poa" tx submit once.tx >first.out || fail "no second transfer"
"$poa" tx submit once.tx >again.out 2>again.err || fail "sent again: $(cat again.err)"
cmp -s first.out again.out && grep -q "sent before" again.err || fail "sent again: $(cat again.out again.err)"
before=$(account)
devices=$(registry)
"$POA_BIN/tests/e2e/forge" "$POA_KEYS" "$dir/genesis.poa" "$(jq -r .nonce <<<"$before")" >cases
[ "$(wc -l <cases)" -ge 27 ] || fail "too few cases: $(wc -l <cases)"

n=0
while read -r want name hex; do
    [ "$want" != OK ] || break
    answer=$(call poa_tx_send "[\"$hex\"]")
    got=$(jq -r '.error.data.name // empty' <<<"$answer")
    if [ -z "$got" ]; then # accepted: its fate is in a block
        id=$(jq -r .result.id <<<"$answer")
        for _ in $(seq 1200); do
            got=$(call poa_tx_get "[\"$id\"]" | jq -r 'select(.result.state == "final") | .result.result')
            [ -z "$got" ] || break
            sleep 0.05
        done
    fi
    [ "$got" = "$want" ] || fail "$name: $got instead of $want: $answer"
    [ "$(jq -r '.error.code // -32000' <<<"$answer")" = -32000 ] || fail "$name: $answer"
    n=$((n + 1))
done <cases
[ "$(account)" = "$before" ] || fail "alice had $before and has $(account)"
[ "$(registry)" = "$devices" ] || fail "devices were $devices and are $(registry)"

# What is no hex, or no parameter at all, is a mistake of JSON-RPC.
for params in '["zz"]' '["0"]' '[7]' '{}' '{"tx":"00","more":1}'; do
    [ "$(call poa_tx_send "$params" | jq .error.code)" = -32602 ] || fail "$params"
done

# The same key can still send, with the nonce that nobody used.
hex=$(awk '$1 == "OK" { print $3 }' cases)
id=$(call poa_tx_send "[\"$hex\"]" | jq -r .result.id)
for _ in $(seq 1200); do
    [ "$("$poa" tx "$id" --json 2>/dev/null | jq -r .result)" != OK ] || break
    sleep 0.05
done
[ "$("$poa" tx "$id" --json | jq -r .result)" = OK ] || fail "the good one: $("$poa" tx "$id" --json)"
got=$(call poa_tx_send "[\"$hex\"]" | jq -r .error.data.name)
[[ $got =~ ^TX_(DUPLICATE|NONCE_USED)$ ]] || fail "sent twice: $got"

# A buyer's wrong file is not taken for a wrong delivery of the seller.
made() { jq -enr "input | .$1"; }
printf '%064d\n' 7 >wrong.key
chmod 600 wrong.key
echo "time,watts" >may.csv
"$poa" data seal may.csv --output may.sealed --data-key may.key >/dev/null
offer=$("$poa" data offer may.sealed --data-key may.key --price 500 --title May --slots 400 --dispute-slots 200 --from bob --json | made offer)
sale=$("$poa" data buy "$offer" may.sealed --secret-file once.key --from alice --json | made sale)
"$poa" data deliver "$sale" --data-key may.key --from bob >/dev/null
! "$poa" data open "$sale" may.sealed --secret-file wrong.key --output bought.csv 2>said || fail "opened with a wrong key"
grep -q "wrong.key is not the key that this sale was bought with" said || fail "$(cat said)"
! "$poa" data dispute "$sale" --secret-file wrong.key --from alice 2>said || fail "disputed with a wrong key"
"$poa" data open "$sale" may.sealed --secret-file once.key --output bought.csv >/dev/null || fail "open"
cmp -s may.csv bought.csv || fail "what was bought is not what was sold"
"$poa" devnet down --data-dir "$dir" >/dev/null
wait $devnet || fail "devnet: exit code $?: $(cat net.err)"
tail -n 1 net.json | jq -en input.supply_conserved >/dev/null || fail "supply: $(cat net.json)"
echo "$n cases"
