#!/bin/bash
# Keeps what fuzzing found: of the inputs in $BUILD/fuzz/corpus/TARGET, those
# that reach what the stored ones do not, smallest first.
# usage: tests/fuzz/keep.sh BYTES TARGET...    at most BYTES and 100 files more per target
set -eu
cd "$(dirname "$0")/../.."
budget=$1
shift
build=${BUILD:-build}
for t in "$@"; do
    stored=tests/fuzz/corpus/$t
    merged=$(mktemp -d)
    cp "$stored"/* "$merged"
    "$build/fuzz/tests/fuzz_$t" -merge=1 -max_len=4096 "$merged" "$build/fuzz/corpus/$t" >/dev/null 2>&1
    left=$budget
    n=0
    # New ones are named by their hash.
    while read -r size file; do
        [ -e "$stored/${file##*/}" ] && continue
        left=$((left - size))
        [ $left -ge 0 ] && [ $n -lt 100 ] || break
        cp "$file" "$stored/"
        n=$((n + 1))
    done < <(find "$merged" -type f -printf '%s %p\n' | sort -n)
    rm -rf "$merged"
    echo "$t: $n inputs more"
done
