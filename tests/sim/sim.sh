#!/bin/bash
# poa-sim finds nothing in the core, and something in every core that has a rule
# broken. SIM_SEEDS are the seeds (make sim: 1..2000; make check: 1..40), and
# SIM_MUTANTS the mutants: "all" with 200 seeds each, or NAME:SEEDS ...
set -u
cd "$(dirname "$0")/../.." || exit 1
sim=${POA_BIN:-build/release}/poa-sim
seeds=${SIM_SEEDS:-1..40}
mutants=${SIM_MUTANTS:-vote-twice:1..60 quorum-less-one:1..10 no-nullify:1..20 any-seal:1..20 accuse-replays:1..20}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

field() { # name, JSON line
    sed -nE 's/.*"'"$1"'":([0-9.]+).*/\1/p' <<<"$2"
}

line=$("$sim" --seeds "$seeds" --json 2>"$log")
status=$?
[ "$status" = 0 ] || { grep -v ' of .*bad' "$log"; failed=1; }
echo "$line"
for want in violations:0 stuck:0 false_accusations:0 finality_delays:3.00 period_delays:2.00; do
    [ "$(field "${want%:*}" "$line")" = "${want#*:}" ] || { echo "sim: not $want"; failed=1; }
done
# The same seeds on one processor say the same, but for the time they take.
few=${seeds%%..*}
few=$few..$((few + 7))
same() { "$sim" --seeds "$few" --jobs "$1" --json 2>/dev/null | sed 's/,"jobs".*//'; }
[ "$(same 1)" = "$(same 3)" ] || { echo "sim: seeds $few differ with --jobs"; failed=1; }

# Seeds that once found something: a liar's batch that counted as packed, a withheld
# one that blocked those after it, and a restart that forgot the committee before.
for seed in 342 35555 37637 40037; do
    "$sim" --replay $seed >"$log" 2>&1 || { grep "^seed" "$log"; echo "sim: seed $seed"; failed=1; }
done

# Devices and gateways that do wrong in every run.
for fault in offline lying replaying forging dropped doubled; do
    "$sim" --devices $fault --seeds "${SIM_DEVICES:-1..6}" >"$log" 2>&1 || { grep "^seed\|rerun" "$log"; echo "sim: devices $fault"; failed=1; }
done

[ "$mutants" != all ] || mutants=$("$sim" --list-mutants | sed 's/$/:1..200/')
for m in $mutants; do
    line=$("$sim" --mutant "${m%%:*}" --seeds "${m#*:}" --json 2>/dev/null)
    status=$?
    echo "${m%%:*}: $(field bad_seeds "$line") of $(field seeds "$line") seeds see it"
    if [ "$status" != 1 ] || [ "$(field bad_seeds "$line")" = 0 ]; then
        echo "sim: exit status $status: no checker sees the mutant ${m%%:*}"
        failed=1
    fi
done
exit "$failed"
