#!/bin/bash
# What /metrics says is what Prometheus reads, on a server and on a gateway; the alert rules
# and the dashboard name metrics that there are. With promtool (Debian's prometheus) it judges.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
devnet=
"$poa" devnet --ledgers 1 --trusted 1 --devices 1 --data-dir "$dir" --json >out 2>err &
devnet=$!
ready() { "$poa" devnet status --data-dir "$dir" --json | jq -en 'input | [.processes[] | select(.rpc)] | length == 2 and all(.ready)'; }
wait_for 120 ready || fail "not ready: $(cat err)"
# NNG's threads are counted: as many as the kernel knows by their names.
for name in ledger-0 trusted-0; do
    pid=$(process_of "$dir" $name pid)
    # Some of them may just begin or end.
    as_counted() {
        threads=$(cat "/proc/$pid/task/"*/comm | grep -c '^nng:')
        counted=$(curl -sf "$(process_of "$dir" $name rpc)/metrics" | awk '$1 == "poa_mesh_nng_threads" { print $2 }')
        [ "$threads" -gt 0 ] && [ "$counted" = "$threads" ]
    }
    wait_for 30 as_counted || fail "$name: $counted threads of NNG, not $threads"
done
for url in $("$poa" devnet status --data-dir "$dir" --json | jq -r '.processes[] | select(.rpc) | .rpc'); do
    curl -sf "$url/metrics" >page
    cat page >>all
    # A metric is described once, and its samples follow.
    twice=$(grep '^# TYPE' page | sort | uniq -d)
    [ -z "$twice" ] || fail "described twice: $twice"
    ! grep -vE '^(#|[a-z_]+(\{[^}]*\})? [-+0-9.eINFa]+$)' page || fail "these lines are no samples"
    ! grep -E '^# TYPE [a-z_]+ counter' page | grep -v '_total counter' || fail "a counter ends in _total"
    ! command -v promtool >/dev/null || promtool check metrics <page || fail "promtool refuses $url/metrics"
done
names=$(grep -ohE 'poa_[a-z0-9_]+' "$POA_ROOT"/ops/alerts.yml "$POA_ROOT"/ops/grafana.json | sort -u)
[ "$(echo "$names" | wc -l)" -gt 15 ] || fail "no names"
for name in $names; do
    grep -q "^$name[ {]" all || fail "no metric $name"
done
jq -en 'input | .panels | length > 5' "$POA_ROOT/ops/grafana.json" >/dev/null || fail "the dashboard is no JSON"
if command -v promtool >/dev/null; then
    promtool check rules "$POA_ROOT/ops/alerts.yml" || fail "promtool refuses the rules"
fi
if systemd-analyze security --help 2>/dev/null | grep -q -- --offline; then
    for unit in poad.service poa-device@.service; do
        level=$(systemd-analyze security --offline=true --no-pager "$POA_ROOT/ops/$unit" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
        awk -v l="$level" 'BEGIN { exit !(l != "" && l <= 2.0) }' || fail "exposure of $unit: $level"
        echo "exposure of $unit: $level"
    done
fi
kill $devnet
wait $devnet || true
devnet=
echo ok
