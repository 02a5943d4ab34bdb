#!/bin/bash
# The replay of fuzz inputs fails when it must and names the input.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0
cat >"$tmp/planted.c" <<'C'
#include "fuzz.h"
#include <unistd.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *volatile lost;
    volatile uint8_t past = size > 2 && !memcmp(data, "ove", 3) ? data[size] : 0;
    if (size > 2 && !memcmp(data, "los", 3)) {
        for (int i = 0; i < 100; i++) /* a word of the stack may happen to look like one */
            lost = malloc(10);
        lost = NULL;
    }
    FUZZ_CHECK(size < 3 || memcmp(data, "bad", 3));
    if (size > 2 && !memcmp(data, "seg", 3))
        *(volatile int *)8 = past;
    return 0;
}
void fuzz_seeds(void)
{
    fuzz_seed("good", "good", 4);
    fuzz_seed("empty", "", 0);
}
C
for kind in '' -fsanitize=address,undefined; do
    # shellcheck disable=SC2086
    gcc -std=c11 -D_GNU_SOURCE -g $kind -iquote src/base -iquote tests/fuzz "$tmp/planted.c" \
        tests/fuzz/fuzz.c tests/fuzz/replay.c -o "$tmp/fuzz_planted$kind" || exit 1
done
# expect NAME PROGRAM RC-IS-ZERO TEXT INPUT
expect() {
    local rc=0 log
    rm -rf "$tmp/corpus"
    mkdir -p "$tmp/corpus/planted"
    "$tmp/fuzz_planted" --seeds "$tmp/corpus/planted" || status=1
    [ -z "$5" ] || printf %s "$5" >"$tmp/corpus/planted/planted-input"
    log=$(POA_CORPUS=$tmp/corpus tests/runner/run.sh "fuzz:$tmp/$2" 2>&1) || rc=$?
    if [ $((rc == 0)) -eq "$3" ] && grep -qE -- "$4" <<<"$log"; then echo "ok: $1"; else
        echo "FAIL: $1: exit code $rc, expected \"$4\""
        sed 's/^/    /' <<<"$log"
        status=1
    fi
}
again='died on this input; again: .*/corpus/planted/planted-input'
mv "$tmp/fuzz_planted-fsanitize=address,undefined" "$tmp/asan"
mkdir "$tmp/a" && mv "$tmp/asan" "$tmp/a/fuzz_planted"
expect "seeds run" fuzz_planted 1 '^ok    fuzz fuzz_planted .*2 inputs' ''
expect "a broken promise" fuzz_planted 0 "$again" bad
expect "a crash" fuzz_planted 0 "$again" seg
expect "under the sanitizer: seeds run" a/fuzz_planted 1 '2 inputs' ''
expect "a broken promise" a/fuzz_planted 0 "$again" bad
expect "a crash" a/fuzz_planted 0 "$again" seg
expect "a byte past the input" a/fuzz_planted 0 "$again" over
expect "a leak" a/fuzz_planted 0 'LeakSanitizer' lost
mkdir -p "$tmp/corpus/nothing"
if "$tmp/fuzz_planted" "$tmp/corpus/nothing" >/dev/null; then
    echo "FAIL: no input at all is no success"
    status=1
fi
exit $status
