#!/bin/bash
# The firmware in docs/device.md compiles as the library does: freestanding C99
# with the same warnings.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
awk '/^```c example/ { on = 1; next } /^```/ { on = 0 } on' docs/device.md >"$tmp/example.c"
[ "$(wc -l <"$tmp/example.c")" -gt 50 ] || { echo "FAIL: no example in docs/device.md"; exit 1; }
for module in device ledger witness session vrf base; do
    flags+=(-iquote "src/$module")
done
"${CC:-gcc}" -std=c99 -O2 -ffreestanding -Wall -Wextra -Werror -pedantic "${flags[@]}" \
    -c "$tmp/example.c" -o "$tmp/example.o"
echo "the example compiles"
