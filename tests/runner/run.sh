#!/bin/bash
# Runs test items one after another and counts tests.
#
#   build:TARGET  make TARGET; counts only when it fails
#   make:TARGET   make TARGET is one test
#   script:FILE   FILE is one test
#   unit:PROGRAM  a Criterion program: as many tests as its synthesis line says
#   fuzz:PROGRAM  a fuzz target (fuzz_NAME) over tests/fuzz/corpus/NAME is one test
#   e2e:FILE      FILE is one test, with the environment described below
#
# Prints one line per item with its time, the whole log of every item that
# failed, and `N passed, N failed` as the last line. Exit 0 only when something
# passed and nothing failed.
#
# An end-to-end test starts in a fresh directory $POA_TMP of its own, finds the
# programs in $POA_BIN and the checkout in $POA_ROOT, has POA_E2E_TIMEOUT
# seconds (default 300), and must leave no process behind.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 2
MAKE=${MAKE:-make}
BUILD=${BUILD:-build}
PROFILE=${PROFILE:-release}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac
export BUILD PROFILE POA_ROOT=$root POA_BIN=$BUILD/$PROFILE
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poa-check.XXXXXX") || exit 2
trap 'kill -KILL $(leftovers) 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
log=$tmp/log
passed=0
failed=0
broken=()

# A jobserver above us hands out the slots; else take them ourselves.
make_flags=(--no-print-directory "BUILD=$BUILD" "PROFILE=$PROFILE")
case ${MAKEFLAGS:-} in
*jobserver*) ;;
*) make_flags+=("-j${JOBS:-1}") ;;
esac

count() { # passed failed
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# Processes that inherited the directory of the running end-to-end test.
leftovers() {
    grep -lzsxF "POA_TMP=$tmp/e2e" /proc/[0-9]*/environ | cut -d/ -f3
}

run_e2e() { # file
    local dir=$tmp/e2e rc=0 pid left
    rm -rf "$dir"
    mkdir -p "$dir"
    (
        cd "$dir" || exit 2
        POA_TMP=$dir TMPDIR=$dir exec timeout --foreground -k 10 "${POA_E2E_TIMEOUT:-300}" "$root/$1"
    ) >"$log" 2>&1 </dev/null || rc=$?
    [ $rc -ne 124 ] || echo "no end after ${POA_E2E_TIMEOUT:-300} s" >>"$log"
    left=$(leftovers)
    for pid in $left; do
        echo "left behind: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")" >>"$log"
        kill -KILL "$pid" 2>/dev/null
        [ $rc -ne 0 ] || rc=1
    done
    return $rc
}

for item in "$@"; do
    kind=${item%%:*}
    what=${item#*:}
    name=${what##*/}
    note=
    started=${EPOCHREALTIME/[.,]/}
    rc=0
    case $kind in
    build | make)
        "$MAKE" "${make_flags[@]}" "$what" >"$log" 2>&1 </dev/null || rc=$?
        ;;
    script)
        "./$what" >"$log" 2>&1 </dev/null || rc=$?
        ;;
    fuzz)
        "$what" "${POA_CORPUS:-tests/fuzz/corpus}/${name#fuzz_}" >"$log" 2>&1 </dev/null || rc=$?
        note=", $(tail -n 1 "$log")"
        [ $rc -eq 0 ] || note=
        ;;
    e2e)
        run_e2e "$what" || rc=$?
        ;;
    unit)
        "$what" >"$log" 2>&1 </dev/null || rc=$?
        # [====] Synthesis: Tested: 6 | Passing: 5 | Failing: 1 | Crashing: 0
        # Crashing ones are among the failing.
        sums=$(sed -n 's/.*Synthesis: Tested:[^0-9]*\([0-9]*\).*Passing:[^0-9]*\([0-9]*\).*Failing:[^0-9]*\([0-9]*\).*/\1 \2 \3/p' "$log" | tail -n 1)
        read -r tested pass fail <<<"${sums:-0 0 0}"
        if [ "$tested" -eq 0 ]; then
            rc=1
            echo "no test ran" >>"$log"
        elif [ "$fail" -gt 0 ] && [ $rc -eq 0 ]; then
            rc=1
        fi
        note=", $pass of $tested"
        # A program that fails without a failing test is a failure too.
        [ $rc -eq 0 ] || [ "$fail" -gt 0 ] || fail=1
        count "$pass" "$fail"
        ;;
    *)
        echo "$0: unknown item $item" >&2
        exit 2
        ;;
    esac
    took=$((${EPOCHREALTIME/[.,]/} - started))
    seconds=$(printf '%d.%02d s' $((took / 1000000)) $((took / 10000 % 100)))
    if [ $rc -eq 0 ]; then
        echo "ok    $kind $name ($seconds$note)"
        case $kind in make | script | fuzz | e2e) count 1 0 ;; esac
    else
        echo "FAIL  $kind $name ($seconds$note), exit code $rc; its log:"
        sed 's/^/    /' "$log"
        case $kind in build | make | script | fuzz | e2e) count 0 1 ;; esac
        broken+=("$kind $name")
    fi
done

if [ ${#broken[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${broken[@]}"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
