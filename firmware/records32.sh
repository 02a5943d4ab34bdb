#!/bin/bash
# Every record through its codec in a 32-bit build: the fuzz target of the records
# over its stored inputs. Called by `make check-32bit`.
# usage: firmware/records32.sh DIR MODULE...
set -euo pipefail
out=$1
shift
cd "$(dirname "$0")/.."
mkdir -p "$out/records32"
# Where Debian puts the kernel's headers of this machine, which 32-bit code needs too.
flags=(-isystem "/usr/include/$(gcc -print-multiarch)" -iquote "$out/tests/fuzz")
sources=(src/base/{codec,error,print,log,clock}.c)
for m in "$@"; do
    flags+=(-iquote "src/$m")
    mapfile -t -O ${#sources[@]} sources < <(grep -l POA_RECORD_DEFINE "src/$m"/*.c || true)
done
gcc -m32 -Wno-psabi -std=c11 -D_GNU_SOURCE -O1 -pthread -ffunction-sections -fdata-sections -Wl,--gc-sections "${flags[@]}" \
    -o "$out/records32/records" "${sources[@]}" tests/fuzz/{records,fuzz,replay}.c
file=$(od -An -tu1 -j4 -N1 "$out/records32/records")
[ "$file" -eq 1 ] || { echo "FAIL: not a 32-bit program"; exit 1; }
"$out/records32/records" tests/fuzz/corpus/records
