#!/bin/bash
# Proves that the test runners can fail: planted defects must be caught by the
# profile that looks for them, planted good tests must pass everywhere.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build}
status=0

build() { # profile
    case ${MAKEFLAGS:-} in
    *jobserver*) set -- "$1" ;;
    *) set -- "$1" "-j${JOBS:-1}" ;;
    esac
    "${MAKE:-make}" --no-print-directory BUILD="$BUILD" PROFILE="$1" "${@:2}" planted-build >/dev/null || exit 1
}

expect() { # profile program pass|fail [text that the log must hold]
    local log rc=0
    log=$("$BUILD/$1/tests/planted_$2" 2>&1) || rc=$?
    if { [ "$3" = pass ] && [ $rc -eq 0 ]; } ||
        { [ "$3" = fail ] && [ $rc -ne 0 ] && grep -qE -- "$4" <<<"$log"; }; then
        echo "ok: $1: $2 must $3"
        return
    fi
    echo "FAIL: $1: $2 must $3 (exit code $rc${4:+, expected \"$4\"})"
    echo "$log"
    status=1
}

bad='Tested: 8 .* Passing: 0 .* Failing: 8 '
good='Tested: 7 '
for profile in release asan tsan; do
    build $profile
    expect $profile good pass
    expect $profile bad fail "$bad"
    "$BUILD/$profile/tests/planted_good" 2>&1 | grep -q "$good" || {
        echo "FAIL: $profile: planted_good must run 7 tests"
        status=1
    }
done
expect tsan race fail 'ThreadSanitizer: data race'
expect asan leak fail 'LeakSanitizer: detected memory leaks'
expect asan overrun fail 'AddressSanitizer: heap-buffer-overflow'
expect asan undefined fail 'signed integer overflow'
# And each of them is invisible to the profiles that do not look.
expect release race pass
expect release leak pass
exit $status
