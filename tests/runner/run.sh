#!/bin/bash
# Runs test items, one after another, and counts tests.
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
# Of the unit and end-to-end items that fail, POA_RETRIES (default 0) run once more, alone, in
# the end: for machines whose other work nobody controls. The log of the first time is printed all
# the same, and who needed the second is told; where more failed, none is tried again.
#
# A Criterion program has POA_UNIT_TIMEOUT seconds (default 600, and 900 under a sanitizer).
#
# An end-to-end test starts in a fresh directory $POA_TMP of its own, finds the
# programs in $POA_BIN and the checkout in $POA_ROOT, has POA_E2E_TIMEOUT
# seconds (default 600), and must leave no process behind. They wait most of the
# time, so POA_E2E_JOBS of those that follow one another run at once (default: 3,
# and 1 where JOBS is 1).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 2
MAKE=${MAKE:-make}
BUILD=${BUILD:-build}
PROFILE=${PROFILE:-release}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac
export BUILD PROFILE POA_ROOT=$root POA_BIN=$BUILD/$PROFILE
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poa-check.XXXXXX") || exit 2
number=0 running=0
trap end_all EXIT
trap 'exit 130' INT TERM HUP
log=$tmp/log
passed=0
failed=0
broken=()
again=() flaky=() retrying=
POA_UNIT_TIMEOUT=${POA_UNIT_TIMEOUT:-$([ "$PROFILE" = release ] && echo 600 || echo 900)}
declare -A counted # passing tests of a unit item

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

# Processes that inherited the directory of an end-to-end test.
leftovers() { # number of the item
    grep -lzsxF "POA_TMP=$tmp/e2e$1" /proc/[0-9]*/environ | cut -d/ -f3
}

# Whoever starts processes goes first; they may start others while they are looked for.
end_all() {
    local pids i
    exec 2>/dev/null # who was killed is no news
    pids=$(jobs -p)
    while :; do
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null
        pids=$(for ((i = 1; i <= number; i++)); do leftovers "$i"; done)
        [ -n "$pids" ] || break
    done
    rm -rf "$tmp"
}

e2e_jobs=${POA_E2E_JOBS:-$((${JOBS:-1} < 2 ? 1 : 3))}

run_e2e() { # file, number
    local dir=$tmp/e2e$2 log=$tmp/log$2 rc=0 pid left try
    mkdir -p "$dir"
    (
        cd "$dir" || exit 2
        POA_TMP=$dir TMPDIR=$dir exec timeout --foreground -k 10 "${POA_E2E_TIMEOUT:-600}" "$root/$1"
    ) >"$log" 2>&1 </dev/null || rc=$?
    [ $rc -ne 124 ] || echo "no end after ${POA_E2E_TIMEOUT:-600} s" >>"$log"
    for try in {1..200}; do # who was killed last may still be ending, but nobody who sleeps
        left=$(leftovers "$2")
        [ -n "$left" ] || break
        # shellcheck disable=SC2046,SC2086
        [ "$try" -lt 60 ] || ! grep -qs '^State:.[ST]' $(printf '/proc/%s/status ' $left) || break
        sleep 0.1
    done
    for pid in $left; do
        echo "left behind: $pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" >>"$log"
        kill -KILL "$pid" 2>/dev/null
        [ $rc -ne 0 ] || rc=1
    done
    rm -rf "$dir"
    echo "$rc $((${EPOCHREALTIME/[.,]/} - $3))" >"$log.rc.new"
    mv "$log.rc.new" "$log.rc"
}

verdict() { # kind, what, exit code, microseconds, log, note
    local kind=$1 what=$2 name=${2##*/} rc=$3 took=$4 log=$5 note=$6 seconds
    seconds=$(printf '%d.%02d s' $((took / 1000000)) $((took / 10000 % 100)))
    [ -z "$retrying" ] || [ "$rc" -ne 0 ] || flaky+=("$kind $name")
    if [ "$rc" -eq 0 ]; then
        echo "ok    $kind $name ($seconds$note)"
        case $kind in make | script | fuzz | e2e) count 1 0 ;; esac
    else
        echo "FAIL  $kind $name ($seconds$note), exit code $rc; its log:"
        # What failed, before everything that a long log has of what did not.
        [ "$kind" != unit ] || grep -a '^\[----]\|^\[FAIL]\|assertion failed\|^no end' "$log" | sed 's/^/    /'
        sed 's/^/    /' "$log"
        case $kind in build | make | script | fuzz | e2e) count 0 1 ;; esac
        broken+=("$kind $name")
        case $kind in unit | e2e) again+=("$kind:$what") ;; esac
    fi
}

# Waits until fewer than N end-to-end tests run, and says what the others found.
e2e_below() { # N
    local i rc took alive
    while [ "$running" -ge "$1" ]; do
        sleep 0.2
        for ((i = 1; i <= number; i++)); do
            [ -n "${e2e_pid[i]}" ] || continue
            kill -0 "${e2e_pid[i]}" 2>/dev/null && alive=1 || alive=0
            rc=137 took=0 # killed, or out of disk
            if [ -s "$tmp/log$i.rc" ]; then
                read -r rc took <"$tmp/log$i.rc"
            elif [ $alive = 1 ]; then
                continue
            fi
            verdict e2e "${e2e_what[i]}" "$rc" "$took" "$tmp/log$i" ""
            rm -f "$tmp/log$i" "$tmp/log$i.rc"
            e2e_pid[i]=
            running=$((running - 1))
        done
    done
}
e2e_what=() e2e_pid=()

run_item() { # KIND:WHAT
    local item=$1 kind=${1%%:*} what=${1#*:} name note='' rc=0
    name=${what##*/}
    if [ "$kind" != e2e ]; then
        e2e_below 1
        started=${EPOCHREALTIME/[.,]/}
    fi
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
        e2e_below "$e2e_jobs"
        started=${EPOCHREALTIME/[.,]/}
        number=$((number + 1)) running=$((running + 1))
        e2e_what[number]=$what
        run_e2e "$what" "$number" "$started" &
        e2e_pid[number]=$!
        return
        ;;
    unit)
        timeout -k 10 "$POA_UNIT_TIMEOUT" "$what" >"$log" 2>&1 </dev/null || rc=$?
        [ $rc -ne 124 ] || echo "no end after $POA_UNIT_TIMEOUT s" >>"$log"
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
        counted[$item]=$pass
        ;;
    *)
        echo "$0: unknown item $item" >&2
        exit 2
        ;;
    esac
    verdict "$kind" "$what" "$rc" "$((${EPOCHREALTIME/[.,]/} - started))" "$log" "$note"
}

for item in "$@"; do
    run_item "$item"
done
e2e_below 1

# All that failed may be tried again: then only what fails again has failed.
if [ ${#again[@]} -gt 0 ] && [ ${#again[@]} -eq ${#broken[@]} ] && [ ${#again[@]} -le "${POA_RETRIES:-0}" ]; then
    retry=("${again[@]}") broken=() retrying=yes e2e_jobs=1 failed=0
    echo "failed, and run once more: ${retry[*]}"
    for item in "${retry[@]}"; do
        passed=$((passed - ${counted[$item]:-0}))
        run_item "$item"
        e2e_below 1
    done
fi

[ ${#flaky[@]} -eq 0 ] || printf 'passed only at the second try: %s\n' "${flaky[@]}"
if [ ${#broken[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${broken[@]}"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
