#!/bin/bash
# The tests of the device library on QEMU's Cortex-M4 board. Called by `make qemu`.
# usage: firmware/qemu.sh DIR CC-AND-FLAGS SOURCE...
set -euo pipefail
dir=$1/qemu cc=$2 lib=$1/libsodium
shift 2
cd "$(dirname "$0")/.."
flags="-std=c99 -ffreestanding -Wall -Wextra -Werror -I$lib/include -iquote firmware"
for m in device ledger witness session vrf base; do flags+=" -iquote src/$m"; done
rm -rf "$dir"
mkdir -p "$dir"
for s in "$@" firmware/board.c firmware/tests.c; do
    # shellcheck disable=SC2086 # lists of flags
    $cc $flags -fno-tree-loop-distribute-patterns -c "$s" -o "$dir/$(tr / _ <<<"${s%.c}").o"
done
# shellcheck disable=SC2086
$cc -nostartfiles -Wl,--gc-sections -T firmware/mps2-an386.ld --specs=nosys.specs -o "$dir/tests.elf" \
    "$dir"/*.o "$lib/libsodium.a" 2>"$dir/link.log" || { cat "$dir/link.log"; exit 1; }
rc=0
timeout 300 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial null \
    -semihosting-config enable=on,target=native -kernel "$dir/tests.elf" </dev/null || rc=$?
[ "$rc" -ne 124 ] || echo "FAIL: not done after 300 s"
exit "$rc"
