#!/bin/bash
# A chain of several epochs is exported from a running network and verified
# offline, trusting nothing but genesis; every damaged or forged copy is refused
# with one line.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/*/log")

echo "# committees of 4 of 7, drawn anew every few seconds"
"$poa" devnet --ledgers 7 --trusted 0 --devices 0 --for 500ms --data-dir "$dir" --json >made.json ||
    fail "exit code $?"
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "25" | .committee_size = 4' >short.json
cp "$dir/genesis.poa" other.poa
"$poa" genesis create short.json --output genesis.poa >chain
rm -rf "$dir"/ledger-*/data "$dir"/keys/*.joined-*
cp genesis.poa "$dir/genesis.poa"
jq --arg chain "$(cat chain)" '.chain = $chain' "$dir/devnet.json" >spec && cp spec "$dir/devnet.json"
"$poa" devnet --data-dir "$dir" >run.out 2>run.err &
devnet=$!
wait_for 60 devnet_ready "$dir" 7 ||
    fail "not ready: $(cat run.err)"
POA_RPC=$("$poa" devnet status --data-dir "$dir" --json | jq -r '.processes[0].rpc')
export POA_RPC
wait_for 120 sh -c "[ \$($poa status --json | jq .consensus.epoch) -ge 4 ]" || fail "no fourth epoch"

echo "# export: everything, and the hand-overs with everything from epoch 3 on"
"$poa" chain export --output chain.poa --json >export.json || fail "export"
"$poa" chain export --output late.poa --from-epoch 3 >/dev/null || fail "export from epoch 3"
[ ! -e chain.poa.part ] || fail "a part is left"
[ "$(stat -c %s late.poa)" -lt "$(stat -c %s chain.poa)" ] || fail "hand-overs alone are not shorter"
hash=$("$poa" block "$(jq .height export.json)" --json | jq -r .hash)
[ "$hash" = "$(jq -r .hash export.json)" ] || fail "exported another block: $(cat export.json)"
! "$poa" chain export --output none.poa --from-epoch 100000 2>err || fail "an epoch to come"
[ "$(wc -l <err)" -eq 1 ] && [ ! -e none.poa ] && [ ! -e none.poa.part ] || fail "$(cat err; ls)"
kill -INT $devnet
wait $devnet || fail "devnet: exit code $?: $(tail -n 3 run.err)"

echo "# verified offline, from a file and from standard input"
"$poa" verify chain chain.poa --genesis genesis.poa --from-epoch 0 --json >verified.json || fail "verify"
jq -en --slurpfile x export.json 'input | .verified and .height == $x[0].height and .hash == $x[0].hash
    and .hand_overs >= 4 and .headers >= .height and .certificates >= 4' verified.json >/dev/null ||
    fail "$(cat verified.json)"
"$poa" verify chain --genesis genesis.poa --from-epoch 0 <chain.poa | grep -q "^verified .* hand-overs" || fail "from standard input"
"$poa" verify chain late.poa --genesis genesis.poa --from-epoch 3 --json | jq -en 'input | .hand_overs >= 4' >/dev/null ||
    fail "from epoch 3"

refused() { # PATTERN ARGUMENTS...
    local want=$1 rc=0
    shift
    "$poa" verify chain "$@" >out 2>err || rc=$?
    [ $rc -eq 1 ] || fail "$*: exit code $rc: $(cat out err)"
    [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] || fail "$*: not one line: $(cat out err)"
    grep -q "$want" err || fail "$*: $(cat err)"
}
echo "# refused: another genesis, too little of the chain, no chain"
refused "is of another chain than the genesis" chain.poa --genesis other.poa
refused "export it with --from-epoch 0" late.poa --genesis genesis.poa --from-epoch 0
refused "is no exported chain" genesis.poa --genesis genesis.poa
refused "is no genesis record" chain.poa --genesis chain.poa
refused "No such file" none.poa --genesis genesis.poa

echo "# refused: every damaged or forged copy"
mkdir bad
"$POA_BIN/tests/e2e/tamper" chain.poa bad >names
for name in $(cat names); do
    refused "^poa: bad/$name" "bad/$name" --genesis genesis.poa --from-epoch 0
done
echo "$(wc -l <names) copies refused"
reason() { refused "$2" "bad/$1" --genesis genesis.poa; }
reason header-missing "headers are missing"
reason headers-exchanged "headers are missing"
reason last-header-missing "certificate does not finalize"
reason one-signature-too-few "too few signatures"
reason a-signature-twice "a signature that no member of the committee gave"
reason certificate-of-another-run "certificate does not finalize"
reason no-certificate "certificate is damaged"
reason committee-of-another-epoch "not the one that the closing header names"
reason committee-with-another-key "not the one that the closing header names"
reason no-committee "the next committee is missing"
reason without-run-1 "not of the epoch\|headers are missing"
reason cut-before-run-1 "are missing: it should reach"
reason one-byte-more "ends in the middle"
