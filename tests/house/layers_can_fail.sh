#!/bin/bash
# Plants violations in a copy of the sources: the layer, symbol and freestanding
# checks must name each of them, and pass again without it.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0
mkdir "$tmp/copy"
cp -r "$root/Makefile" "$root/src" "$root/tools" "$tmp/copy/" || exit 2
mkdir -p "$tmp/copy/tests" && cp -r "$root/tests/unit" "$tmp/copy/tests/"
cd "$tmp/copy" || exit 2

run() { # make target and arguments
    "${MAKE:-make}" --no-print-directory BUILD="$tmp/build" PROFILE=release "$@" 2>&1
}

# plant NAME FILE LINE TEXT-IN-THE-COMPLAINT MAKE-ARGUMENTS...
plant() {
    local name=$1 file=$2 line=$3 expected=$4 log rc=0
    shift 4
    cp "$file" "$tmp/saved"
    printf '%s\n' "$line" >>"$file"
    log=$(run "$@") || rc=$?
    cp "$tmp/saved" "$file"
    if [ $rc -ne 0 ] && grep -qE -- "$expected" <<<"$log"; then
        echo "ok: $name"
    else
        echo "FAIL: $name (exit code $rc, expected \"$expected\")"
        echo "$log"
        status=1
    fi
}

clean() { # name, make arguments
    local name=$1 log
    shift
    log=$(run "$@") && echo "ok: $name" && return
    echo "FAIL: $name"
    echo "$log"
    status=1
}

clean "the sources as they are" check-includes
plant "a module includes one that it does not name" src/base/error.c '#include "poa_vrf.h"' \
    'src/base/error.c:[0-9]+: includes poa_vrf.h of vrf' check-includes
touch src/session/planted.h
plant "a private header" src/witness/check.c '#include "planted.h"' 'planted.h, which is private to session' check-includes
rm src/session/planted.h
plant "a header by path" src/session/session.c '#include "../vrf/poa_vrf.h"' 'by path' check-includes
plant "a library outside its wrapper" src/vrf/vrf.c '#include <sodium.h>' 'includes <sodium.h>' check-includes
plant "an older name of a library" src/base/error.c '#include <event.h>' 'includes <event.h>' check-includes
plant "a dependency on a later module" src/vrf/module.mk 'vrf_DEPS += witness' 'vrf may not depend on witness' check-includes
plant "a dependency that does not exist" src/vrf/module.mk 'vrf_DEPS += sun' 'no module sun' check-includes
plant "a device on the ledger" src/device/module.mk 'device_DEPS += ledger' 'device links only' check-includes

one="CORE_MODULES=vrf"
device="DEVICE_MODULES=base vrf"
clean "the core without allocation" check-layers "$one"
plant "allocation in the core" src/vrf/vrf.c 'void *planted(void); void *planted(void) { extern void *malloc(unsigned long); return malloc(1); }' \
    'needs malloc' check-layers "$one"
plant "randomness in the core" src/vrf/vrf.c 'void planted(void); void planted(void) { extern void poa_random(void *, unsigned long); poa_random(0, 0); }' \
    'needs poa_random' check-layers "$one"
plant "a clock in the core" src/vrf/vrf.c 'long planted(void); long planted(void) { extern long time(long *); return time(0); }' \
    'needs time' check-layers "$one"
plant "stdio on a device" src/vrf/vrf.c 'int planted(void); int planted(void) { extern int puts(const char *); return puts(""); }' \
    'needs puts' check-freestanding "$device"
plant "C11 on a device" src/vrf/vrf.c 'extern int planted; int planted = _Generic(1, int: 1);' 'ISO C99' check-freestanding "$device"
exit $status
