#!/bin/bash
# shellcheck disable=SC2001,SC2016
# tests/runner/run.sh counts what it should and fails when it must.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d -p tests/house driver.XXXXXX) # items are named from the checkout
trap 'rm -rf "$tmp"' EXIT
status=0

item() { # name, script
    printf '#!/bin/bash\n%s\n' "$2" >"$tmp/$1"
    chmod +x "$tmp/$1"
}
# expect NAME RC LAST-LINE TEXT ITEMS...
expect() {
    local name=$1 want=$2 last=$3 text=$4 log rc=0
    shift 4
    log=$(POA_RETRIES=${tries:-0} POA_E2E_TIMEOUT=${limit:-60} tests/runner/run.sh "$@" 2>&1) || rc=$?
    if [ $rc -eq "$want" ] && [ "$(tail -n 1 <<<"$log")" = "$last" ] && grep -qE -- "$text" <<<"$log"; then
        echo "ok: $name"
    else
        echo "FAIL: $name: exit code $rc, expected $want, \"$last\" and \"$text\""
        sed 's/^/    /' <<<"$log"
        status=1
    fi
}

synthesis='echo "[====] Synthesis: Tested:'
item three "$synthesis 3 | Passing: 3 | Failing: 0 | Crashing: 0 \""
item two_of_five "$synthesis 5 | Passing: 2 | Failing: 3 | Crashing: 1 \"; exit 1"
item lies "$synthesis 2 | Passing: 1 | Failing: 1 | Crashing: 0 \""
item none "$synthesis 0 | Passing: 0 | Failing: 0 | Crashing: 0 \""
item dies 'kill -SEGV $$'
item late "$synthesis 2 | Passing: 2 | Failing: 0 | Crashing: 0 \"; exit 66"
item good 'exit 0'
item bad 'echo its reason; exit 3'
# The sleeps are told apart from others' by their odd lengths.
orphan=61.$$ hang=62.$$
item orphan "setsid sleep $orphan & exit 0"
item hangs "sleep $hang"
item place 'test "$PWD" = "$POA_TMP" && test -d "$POA_ROOT/tests" && test -n "$POA_BIN" && test -z "$(ls -A)"'

expect "sums over kinds" 0 "5 passed, 0 failed" 'unit three .*3 of 3' "unit:$tmp/three" "script:$tmp/good" "e2e:$tmp/good"
expect "failing and crashing tests" 1 "5 passed, 3 failed" 'FAIL  unit two_of_five' "unit:$tmp/three" "unit:$tmp/two_of_five"
expect "a failing test with exit code 0" 1 "1 passed, 1 failed" 'FAIL  unit lies' "unit:$tmp/lies"
expect "a program without tests" 1 "0 passed, 1 failed" 'no test ran' "unit:$tmp/none"
expect "a program that dies" 1 "3 passed, 1 failed" 'FAIL  unit dies' "unit:$tmp/dies" "unit:$tmp/three"
expect "a program that fails after its tests" 1 "2 passed, 1 failed" 'FAIL  unit late' "unit:$tmp/late"
expect "a program that is not there" 1 "0 passed, 1 failed" 'FAIL  unit gone' "unit:$tmp/gone"
expect "the log of what failed" 1 "1 passed, 1 failed" '^    its reason' "script:$tmp/bad" "script:$tmp/good"
expect "a target that does not exist" 1 "1 passed, 1 failed" 'FAIL  build nothing-here' build:nothing-here "script:$tmp/good"
expect "a place of its own" 0 "1 passed, 0 failed" 'ok    e2e place' "e2e:$tmp/place"
expect "a process left behind" 1 "0 passed, 1 failed" "left behind: .*sleep $orphan" "e2e:$tmp/orphan"
limit=2 expect "a test that hangs" 1 "0 passed, 1 failed" 'no end after 2 s' "e2e:$tmp/hangs"

# A second try, where it was asked for, for few failures, all of which may have it.
item once "[ -e $PWD/$tmp/mark ] && exit 0; touch $PWD/$tmp/mark; echo its reason; exit 1"
item unit_once "[ -e $PWD/$tmp/unit_mark ] && n=6 || n=5; touch $PWD/$tmp/unit_mark
$synthesis 6 | Passing: \$n | Failing: \$((6 - n)) | Crashing: 0 \"; [ \$n = 6 ]"
again() { # TRIES EXPECT...
    rm -f "$tmp"/*mark
    tries=$1 expect "${@:2}"
}
again 0 "no second try" 1 "1 passed, 1 failed" '^    its reason' "e2e:$tmp/once" "e2e:$tmp/good"
again 2 "a second try is told" 0 "8 passed, 0 failed" '^passed only at the second try: unit unit_once' \
    "e2e:$tmp/good" "unit:$tmp/unit_once" "e2e:$tmp/once"
again 2 "and why it was needed" 0 "1 passed, 0 failed" '^    its reason' "e2e:$tmp/once"
again 2 "what fails twice" 1 "1 passed, 1 failed" '^failed: e2e bad' "e2e:$tmp/bad" "e2e:$tmp/once"
again 1 "too much fails" 1 "0 passed, 2 failed" '^failed: e2e once' "e2e:$tmp/bad" "e2e:$tmp/once"
again 2 "what has no second try fails" 1 "0 passed, 2 failed" '^failed: e2e once' build:nothing-here "e2e:$tmp/once"

expect "nothing at all is no success" 1 "0 passed, 0 failed" ''
for pid in /proc/[0-9]*; do
    case $(tr '\0' ' ' <"$pid/cmdline" 2>/dev/null) in
    "sleep $orphan " | "sleep $hang ")
        # A zombie has no command line.
        echo "FAIL: ${pid#/proc/} was not ended"
        status=1
        ;;
    esac
done
exit $status
