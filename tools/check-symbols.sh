#!/bin/bash
# Checks what object files and archives need from outside against a list.
# usage: tools/check-symbols.sh LIST FILE...
#
# A line of LIST is an extended regular expression that a whole symbol must
# match, then a reason; a line that starts with ! forbids what it matches, even
# when another line allows it. `defined` allows what the files themselves
# define.
set -u
list=$1
shift
status=0
allow=$(sed -n 's/^\([^!# ][^ ]*\).*/\1/p' "$list" | paste -sd '|')
deny=$(sed -n 's/^!\([^ ]*\).*/\1/p' "$list" | paste -sd '|')

# In the order FILE[:MEMBER], symbol. With several archives nm also names each
# on a line of its own.
needed=$(nm --undefined-only --print-file-name "$@" | awk 'NF > 1'; exit "${PIPESTATUS[0]}") || exit 2
defined=$(nm --defined-only --extern-only --no-sort "$@" | awk 'NF == 3 { print $3 }' | sort -u) || exit 2
[ -n "$defined" ] || { echo "tools/check-symbols.sh: no symbols in: $*" >&2; exit 2; }

while read -r symbol; do
    if grep -qxF -- "$symbol" <<<"$defined" && ! grep -qxE -- "${deny:-^$}" <<<"$symbol"; then
        continue
    fi
    if grep -qxE -- "$allow" <<<"$symbol" && ! grep -qxE -- "${deny:-^$}" <<<"$symbol"; then
        continue
    fi
    awk -v s="$symbol" -v list="$list" '$NF == s { sub(/: *U? *$/, "", $1); print $1 " needs " s ", which " list " does not allow" }' <<<"$needed"
    status=1
done < <(awk '{ print $NF }' <<<"$needed" | sort -u)
exit $status
