#!/bin/bash
# How much flash, RAM and stack a Cortex-M4 needs for the library: links the
# firmware of docs/device.md and looks at what the linker kept and at the compiler's
# call graphs. Called by `make footprint`.
# usage: firmware/footprint.sh DIR CC-AND-FLAGS SOURCE...
#
# Budgets of our own code, in bytes. RAM is the struct, both buffers and the
# deepest stack; the crypto library's flash and stack are reported beside it.
set -euo pipefail
budget_flash=24576 budget_ram=8192 budget_stack=1500
# Of Atonomi's SDK, which makes sessions and signatures; and all of it with the
# lottery's VRF, which comes to that and libsodium's variable-base multiplication.
budget_crypto_stack=4400 budget_vrf_stack=6000

dir=$1 cc=$2
shift 2
cd "$(dirname "$0")/.."
lib=$dir/libsodium
include="-I$lib/include"
for m in device ledger witness session vrf base; do include+=" -iquote src/$m"; done
warn="-Wall -Wextra -Wconversion -Werror -pedantic"
awk '/^```c example/ { on = 1; next } /^```/ { on = 0 } on' docs/device.md >"$dir/example.c"

# $1 name, $2 more flags, rest: sources. Leaves $dir/$1/{firmware.elf,map,own/...}.
build() {
    local name=$1 flags=$2 s o
    shift 2
    rm -rf "${dir:?}/$name"
    for s in "$@"; do
        o=$dir/$name/own/${s#src/}
        mkdir -p "${o%/*}"
        # shellcheck disable=SC2086 # lists of flags
        $cc -std=c99 -ffreestanding $flags $warn $include -c "$s" -o "${o%.c}.o"
    done
    # shellcheck disable=SC2086
    for s in "$dir/example.c" firmware/stub.c; do
        $cc -std=c99 -ffreestanding $flags ${warn/-Wconversion/} $include -c "$s" -o "$dir/$name/$(basename "$s" .c).o"
    done
    # shellcheck disable=SC2086
    $cc -nostartfiles -Wl,--gc-sections -Wl,-e,reset -Wl,-Map="$dir/$name/map" --specs=nosys.specs \
        -o "$dir/$name/firmware.elf" $(find "$dir/$name" -name '*.o') "$lib/libsodium.a" 2>"$dir/$name/log" ||
        { cat "$dir/$name/log"; exit 1; }
    awk -f firmware/map.awk "$dir/$name/map" | sort >"$dir/$name/parts"
}
own() { awk -v c="$2" '$1 !~ /^(libsodium|toolchain|application)$/ { n += $c } END { print n + 0 }' "$dir/$1/parts"; }
# Static RAM of the firmware that is the library's: its data, the struct, the buffers.
ram() {
    arm-none-eabi-nm -S "$dir/$1/firmware.elf" |
        awk '$4 == "device" || $4 == "rx" || $4 == "tx" { print $2, $4 }' |
        while read -r hex name; do echo "$name $((16#$hex))"; done
    echo "library $(own "$1" 3)"
}
# $1 0: without, 1: with the crypto library; $2: functions at which to look no further
deepest() {
    { cat firmware/calls.txt; [ -z "${2:-}" ] || echo "without $2"; } >"$dir/calls.txt"
    awk -v port="$1" -f firmware/stack.awk "$dir/calls.txt" \
        $(find "$dir/held/own" -name '*.ci') "$lib"/obj/*.ci >"$dir/stacks" || exit 1
    sort -n "$dir/stacks" | tail -1
}

build held "" "$@"
build streaming "-DPOA_DEVICE_COMMITTEE_MAX=0" "$@"

echo "flash and static RAM per part (Cortex-M4, -Os, firmware of docs/device.md, committees up to 31 held)"
printf '%-12s %8s %8s\n' part flash ram
while read -r p f r; do
    case $p in libsodium | toolchain | application) continue ;; esac
    printf '%-12s %8d %8d\n' "$p" "$f" "$r"
done <"$dir/held/parts"
flash=$(own held 2)
static=$(ram held | awk '{ n += $2 } END { print n }')
printf '%-12s %8d %8d  with the struct and the buffers below\n' 'our own' "$flash" "$static"
for p in libsodium toolchain application; do
    awk -v p=$p '$1 == p { printf "%-12s %8d %8d\n", p, $2, $3 }' "$dir/held/parts"
done
echo
echo "RAM of the firmware's objects"
ram held | while read -r name n; do printf '%-12s %8d\n' "$name" "$n"; done
streaming=$(ram streaming | awk '{ n += $2 } END { print n }')
echo
echo "deepest stack, bytes"
read -r stack way <<<"$(deepest 0)"
echo "  $stack our own: $way"
read -r crypto_stack way <<<"$(deepest 1 vrf_prove)"
echo "  $crypto_stack with libsodium, sessions, signatures, certificates: $way"
read -r vrf_stack way <<<"$(deepest 1)"
echo "  $vrf_stack with libsodium and the lottery's VRF: $way"
ram=$((static + stack))
echo
echo "RAM: $static + $stack of stack = $ram; streaming certificates (no committee held): $streaming + $stack = $((streaming + stack))"

status=0
check() { # what, value, budget
    [ "$2" -le "$3" ] || { echo "OVER BUDGET: $1 $2 bytes, at most $3"; status=1; }
}
check "flash of our own code" "$flash" $budget_flash
check "RAM with stack" "$ram" $budget_ram
check "stack of our own code" "$stack" $budget_stack
check "stack without the VRF" "$crypto_stack" $budget_crypto_stack
check "stack with the VRF" "$vrf_stack" $budget_vrf_stack
echo "{\"flash_bytes\":$flash,\"ram_bytes\":$ram,\"stack_bytes\":$stack,\"crypto_flash_bytes\":$(awk '$1 == "libsodium" { print $2 }' "$dir/held/parts"),\"crypto_stack_bytes\":$crypto_stack,\"vrf_stack_bytes\":$vrf_stack,\"streaming_ram_bytes\":$((streaming + stack))}"
exit $status
