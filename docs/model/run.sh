#!/bin/bash
# Runs spin over the models: every configuration below exhaustively, and every
# mutant until it is caught. One line each, `N passed, N failed` as the last.
# usage: docs/model/run.sh [NAME...]   only configurations and mutants so named
#        docs/model/run.sh --list      their names
# MODEL_DEEP=1 adds stuck-2x2 and recovery-3x1, MODEL_MEMORY_MB (7500) is what a search may take.
set -u
here=$(cd "$(dirname "$0")" && pwd)
list=
[ "${1:-}" != --list ] || { list=1; shift; MODEL_DEEP=1; }
work=${BUILD:-$here/../../build}/model
memory_mb=${MODEL_MEMORY_MB:-7500}
[ -n "$list" ] || { mkdir -p "$work" && cd "$work"; } || exit 2
[ -n "$list" ] || command -v spin >/dev/null || { echo "spin is not installed" >&2; exit 2; }
only=("$@")
passed=0
failed=0

wanted() { # KIND NAME
    [ -z "$list" ] || { echo "$1 $2"; return 1; }
    [ ${#only[@]} -eq 0 ] && return 0
    local n
    for n in "${only[@]}"; do [ "$n" != "$2" ] || return 0; done
    return 1
}

# MODEL FLAGS...: searches it; the output of pan is in ./out.
search() {
    local model=$1
    shift
    rm -f pan.* pan out ./*.trail
    spin "$@" -a "$here/$model.pml" >out 2>&1 &&
        ${CC:-gcc} -O2 -w -DSAFETY -DMEMLIM="$memory_mb" -o pan pan.c >>out 2>&1 || return 2
    nice ./pan -m100000 -n -w24 2>&1 | awk -v name="$name" '
        /^Depth=/ { if (++n % 2 == 0) { printf "      %s: %d million states\n", name, n >"/dev/stderr" } next }
        { print }' >out
    return "${PIPESTATUS[0]}"
}

report() { # 0|1 TEXT
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok    $2"
    else
        failed=$((failed + 1))
        echo "FAIL  $2; spin says:"
        sed 's/^/    /' out
    fi
}

model() { # NAME MODEL FLAGS...
    local name=$1 states seconds
    shift
    wanted model "$name" || return 0
    echo "      $name: searching"
    search "$@"
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
    seconds=$(sed -n 's/^pan: elapsed time \(.*\) seconds/\1/p' out)
    grep -q 'errors: 0$' out &&
        ! grep -Eq 'Search not completed|max search depth too small|out of memory|aborted' out
    report $? "model $name ($(printf '%.0f' "${states:-0}") states, ${seconds:-?} s)"
}

mutant() { # NAME ERROR MODEL FLAGS...
    local name=$1 error=$2 macro=${1^^}
    shift 2
    wanted mutant "$name" || return 0
    search "$@" "-DMUTANT_${macro//-/_}"
    grep -q "^pan:1: $error" out
    report $? "mutant $name caught"
}

# NAME-VxX: V views, X values that a leader may propose in each.
model safety-1x2-n7 safety -DVIEWS=1 -DVALUES=2 -DHONEST=5 -DFAULTY=2
model safety-2x1-n7 safety -DVIEWS=2 -DVALUES=1 -DHONEST=5 -DFAULTY=2
model safety-2x2 safety -DVIEWS=2 -DVALUES=2
model safety-3x1 safety -DVIEWS=3 -DVALUES=1
model restart-1x2 safety -DVIEWS=1 -DVALUES=2 -DRESTART
model restart-2x1 safety -DVIEWS=2 -DVALUES=1 -DRESTART
model stuck-2x1 stuck -DVIEWS=2 -DVALUES=1
model stuck-2x1-bodies stuck -DVIEWS=2 -DVALUES=1 -DBODIES
model live-2x1 stuck -DVIEWS=2 -DVALUES=1 -DLAST_HONEST
model live-2x1-bodies stuck -DVIEWS=2 -DVALUES=1 -DLAST_HONEST -DBODIES
model safety-3x2 safety -DVIEWS=3 -DVALUES=2
[ -z "${MODEL_DEEP:-}" ] || model stuck-2x2 stuck -DVIEWS=2 -DVALUES=2
[ -z "${MODEL_DEEP:-}" ] || model recovery-3x1 recovery -DVALUES=1

broken='assertion violated'
mutant vote-twice "$broken" safety
mutant final-after-null "$broken" safety
mutant null-after-final "$broken" safety
mutant forget-votes "$broken" safety
mutant forget-notarize "$broken" safety
mutant forget-nullify "$broken" safety
mutant quorum-less-one "$broken" safety
mutant unchecked-gap "$broken" safety
mutant commit-on-notarize "$broken" safety
mutant send-before-persist "$broken" safety -DVIEWS=1 -DRESTART
mutant recover-alone "$broken" recovery
mutant recover-soon "$broken" recovery

stuck='invalid end state'
mutant no-relay "$stuck" stuck
mutant ignore-late-notar "$stuck" stuck
mutant no-nullify "$stuck" stuck
mutant no-fetch "$stuck" stuck -DLAST_HONEST -DBODIES

[ -z "$list" ] || exit 0
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
