#!/bin/bash
# Fairness by the product's own draws: equal devices get equal shares, and leaders
# that bend the seed get no more than the bound.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
simulate() { # FILTER ARGUMENTS...
    local filter=$1
    shift
    "$poa" lottery simulate "$@" --json >out.json || fail "exit code $? for $*"
    jq -en "input | $filter" out.json >/dev/null || fail "$*: not true: $filter: $(cat out.json)"
    echo "# $* $(jq -c '[.chi2_p, .gini, .longest_drought_slots, .malicious_share, .malicious_bound, .seconds]' out.json)"
}
fair='.chi2_p >= 0.001 and .chi2_p <= 0.999'
for policy in vrf random weighted; do
    simulate "$fair and .slots == 100000 and .devices == 10000 and .gini < 0.2" \
        --devices 10000 --slots 100000 --policy $policy
done
for policy in vrf random weighted; do
    for run in 1 2 3; do
        simulate "$fair and .policy == \"$policy\"" --devices 400 --slots 8000 --policy $policy --run $run
    done
    simulate "$fair and .malicious_share < .malicious_bound and .malicious_share > 0.08" \
        --devices 1000 --slots 20000 --policy $policy --malicious 0.1
done
simulate "$fair and .real_vrf and (.seats_per_slot - 3 | fabs) < 0.4" \
    --devices 30 --slots 600 --policy vrf --real-vrf
simulate '.chi2_dof == 1' --devices 2 --slots 10
for wrong in "--malicious 2" "--malicious x" "--policy chance" "--devices 1" "--slots 0"; do
    # shellcheck disable=SC2086
    ! "$poa" lottery simulate $wrong 2>err || fail "$wrong is accepted"
    [ "$(wc -l <err)" -eq 1 ] || fail "$wrong: $(cat err)"
done
echo ok
