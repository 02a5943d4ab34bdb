#!/bin/bash
# Fuzzes targets with libFuzzer, one after another.
# usage: tests/fuzz/run.sh SECONDS TARGET...   (what `make fuzz` calls)
#
# Starts from tests/fuzz/corpus/TARGET and from what earlier runs found, which
# stays in $BUILD/fuzz/corpus/TARGET. Whatever crashes, leaks, hangs or breaks a
# promise stops its target; its input is kept, and the commands that run it
# again are printed. Exit 1 when there was any.
set -u
cd "$(dirname "$0")/../.." || exit 2
seconds=$1
shift
build=${BUILD:-build}
bad=()
for t in "$@"; do
    program=$build/fuzz/tests/fuzz_$t
    found=$build/fuzz/corpus/$t
    crashes=$build/fuzz/crashes
    log=$build/fuzz/$t.log
    mkdir -p "$found" "$crashes"
    echo "fuzz $t: $seconds s; log: $log"
    # Compared values guide parsers well; where a run takes long they only cost.
    case $t in core | gateway | mesh | talk) profile=0 ;; *) profile=1 ;; esac
    # libFuzzer says INITED, pulse and REDUCE lines: show the pulse.
    nice "$program" -max_total_time="$seconds" -timeout=25 -malloc_limit_mb=512 -rss_limit_mb=2048 \
        -max_len=16384 -use_value_profile=$profile -print_final_stats=1 -reload=0 -verbosity=1 \
        -artifact_prefix="$crashes/$t-" ${FUZZ_FLAGS:-} "$found" "tests/fuzz/corpus/$t" >"$log" 2>&1 &
    fuzzer=$!
    trap 'kill $fuzzer 2>/dev/null; exit 130' INT TERM
    while kill -0 $fuzzer 2>/dev/null; do
        sleep 5 &
        wait -n $fuzzer $! 2>/dev/null
        grep -a 'cov: ' "$log" | tail -n 1 | sed "s/^/  $t /"
    done
    if ! wait $fuzzer; then
        sed -n '/ERROR:\|runtime error\|fuzz: \|internal error\|SUMMARY/,$p' "$log" | head -n 60
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "fuzz $t: FAILED; log: $log"
        if [ -n "$input" ]; then
            echo "  again:             $program $input"
            echo "  without libFuzzer: make PROFILE=asan fuzz-build && $build/asan/tests/fuzz_$t $input"
        fi
        bad+=("$t")
    fi
done
if [ ${#bad[@]} -gt 0 ]; then
    echo "fuzz: failed: ${bad[*]}"
    exit 1
fi
echo "fuzz: nothing found in $# targets"
