#!/bin/bash
# A devnet with each policy of assignment that devnet.sh does not run: devices are
# rewarded, supply is conserved, everybody agrees.
set -eu
for policy in random weighted; do
    echo "# $policy"
    "$POA_BIN/poa" devnet --ledgers 4 --trusted 1 --devices 5 --policy $policy --for 11s \
        --data-dir "$POA_TMP/$policy" --json >out.json 2>err || { cat err >&2; exit 1; }
    tail -n 1 out.json | jq -e '.healthy and .agreement and .supply_conserved and
        .devices_rewarded > 0' >/dev/null || { cat out.json err >&2; exit 1; }
done
! "$POA_BIN/poa" devnet --policy chance --for 1s --data-dir "$POA_TMP/x" 2>err || exit 1
grep -q -- "--policy is vrf, random or weighted" err
echo ok
