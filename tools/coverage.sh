#!/bin/bash
# Line coverage per module and file, from what the programs under DIR recorded.
# usage: tools/coverage.sh DIR      (make cov calls it)
set -euo pipefail
dir=$1
notes=$(find "$dir/src" -name '*.gcno' | sort)
[ -n "$notes" ] || { echo "tools/coverage.sh: nothing was built under $dir" >&2; exit 1; }
# gcov names a source, then its share: File 'src/base/hash.c' / Lines executed:97.10% of 69
# shellcheck disable=SC2086 # one file per word
gcov --no-output --relative-only --source-prefix "$PWD" $notes 2>/dev/null | awk '
    /^File / { file = $2; gsub(/\x27/, "", file); next }
    /^Lines executed:/ && file ~ /^src\// {
        split($2, part, /[:%]/)
        lines[file] = $NF; hit[file] = part[2] * $NF / 100
        file = ""
    }
    /^No executable lines/ { file = "" }
    END {
        for (f in lines) {
            split(f, path, "/")
            module_lines[path[2]] += lines[f]; module_hit[path[2]] += hit[f]
            all_lines += lines[f]; all_hit += hit[f]
            printf "%-12s %6.1f %% of %5d lines  %s\n", path[2], 100 * hit[f] / lines[f], lines[f], f | "sort -k1,1 -k6"
        }
        close("sort -k1,1 -k6")
        for (m in module_lines)
            printf "%-12s %6.1f %% of %5d lines\n", m, 100 * module_hit[m] / module_lines[m], module_lines[m] | "sort"
        close("sort")
        if (all_lines) printf "%-12s %6.1f %% of %5d lines\n", "all", 100 * all_hit / all_lines, all_lines
    }'
