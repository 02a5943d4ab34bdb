#!/bin/bash
# What make builds again: nothing when nothing changed, a module when its flags,
# sources or headers did.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0
target=$tmp/debug/lib/libpoa_base.a
run() { "${MAKE:-make}" --no-print-directory BUILD="$tmp" PROFILE=debug V=1 "$@" "$target" 2>&1; }
expect() { # name pattern text
    if grep -qE -- "$2" <<<"$3"; then echo "ok: $1"; else
        echo "FAIL: $1"
        echo "$3"
        status=1
    fi
}
expect "first build" 'error\.o' "$(run)"
expect "nothing to do" '^$|up to date|Nothing to be done' "$(run)"
expect "other flags" '-DPLANTED=1 .*error\.o' "$(run CFLAGS=-DPLANTED=1)"
expect "the same flags again" '^$|up to date|Nothing to be done' "$(run CFLAGS=-DPLANTED=1)"
expect "a source taken out" 'ar rcs' "$(run CFLAGS=-DPLANTED=1 base_SRC=error.c)"
expect "and only that one stays" '^1$' "$(ar t "$target" | wc -l)"
run base_SRC=error.c CFLAGS='-DPLANTED=1,2 -DLATER=1' >/dev/null
expect "flags behind a comma" '-DLATER=2 .*error\.o' "$(run base_SRC=error.c CFLAGS='-DPLANTED=1,2 -DLATER=2')"
exit $status
