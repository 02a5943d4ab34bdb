#!/bin/bash
# The firmwares in docs/device.md, bare metal and under an RTOS, compile as the library
# does: freestanding C99 with the same warnings.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for module in device ledger witness session vrf base; do
    flags+=(-iquote "src/$module")
done
for name in example rtos; do
    awk -v start="^\`\`\`c $name" '$0 ~ start { on = 1; next } /^```/ { on = 0 } on' docs/device.md >"$tmp/$name.c"
    [ "$(wc -l <"$tmp/$name.c")" -gt 50 ] || { echo "FAIL: no $name in docs/device.md"; exit 1; }
    "${CC:-gcc}" -std=c99 -O2 -ffreestanding -Wall -Wextra -Werror -pedantic "${flags[@]}" \
        -c "$tmp/$name.c" -o "$tmp/$name.o"
done
echo "the examples compile"
