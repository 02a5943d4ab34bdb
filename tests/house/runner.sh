#!/bin/bash
# The runner: what fails once is told and fails, unless a second try was asked for; what
# fails twice, or where too much fails, has failed with any number of tries.
set -u
cd "$(dirname "$0")/../.." || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
status=0

# Items are named from the checkout.
up=$(printf '../%.0s' $(seq "$(tr -cd / <<<"$PWD" | wc -c)"))
up=${up%/}

make_test() { # NAME < SCRIPT
    { echo '#!/bin/bash' && cat; } >"$work/$1" && chmod +x "$work/$1"
}
make_test good.sh <<<'exit 0'
make_test bad.sh <<<'echo always; exit 1'
make_test once.sh <<<"[ -e $work/mark ] && exit 0; touch $work/mark; echo the first time; exit 1"
make_test left.sh <<<'sleep 60 & exit 0'
make_test unit <<<"[ -e $work/mark_unit ] && fail=0 || fail=1; touch $work/mark_unit
echo \"[====] Synthesis: Tested: 6 | Passing: \$((6 - fail)) | Failing: \$fail | Crashing: 0\"; exit \$fail"

runs() { # RETRIES EXIT LAST-LINE PATTERN ITEMS...
    local retries=$1 want=$2 last=$3 pattern=$4 rc=0 log
    shift 4
    rm -f "$work"/mark*
    log=$(POA_RETRIES=$retries MAKEFLAGS='' tests/runner/run.sh "$@" 2>&1) || rc=$?
    [ $rc -eq "$want" ] && [ "$(tail -n 1 <<<"$log")" = "$last" ] && grep -q "$pattern" <<<"$log" && return
    echo "FAIL: with $retries retries, $*: exit code $rc, wanted $want and \"$last\""
    echo "$log"
    status=1
}
t=e2e:$up$work
u=unit:$work/unit

runs 0 0 '1 passed, 0 failed' '^ok    e2e good.sh' "$t/good.sh"
runs 0 1 '1 passed, 1 failed' '    the first time' "$t/once.sh" "$t/good.sh"
runs 0 1 '0 passed, 1 failed' 'left behind: [0-9]* sleep 60' "$t/left.sh"
runs 0 1 '5 passed, 1 failed' '^FAIL  unit unit' "$u"
runs 2 0 '8 passed, 0 failed' '^passed only at the second try: unit unit' "$t/good.sh" "$u" "$t/once.sh"
runs 2 0 '2 passed, 0 failed' '    the first time' "$t/once.sh" "$t/good.sh"
runs 2 1 '1 passed, 1 failed' '^failed: e2e bad.sh' "$t/bad.sh" "$t/once.sh"
runs 1 1 '0 passed, 2 failed' '^failed: e2e once.sh' "$t/bad.sh" "$t/once.sh"
runs 2 1 '0 passed, 2 failed' '^failed: make no-such-target' make:no-such-target "$t/once.sh"
exit $status
