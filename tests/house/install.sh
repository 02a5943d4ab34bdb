#!/bin/bash
# make install puts the programs under DESTDIR and PREFIX, runnable, and make
# uninstall takes them away again.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
run() { "${MAKE:-make}" --no-print-directory BUILD="${BUILD:-build}" PROFILE="${PROFILE:-release}" DESTDIR="$tmp" PREFIX=/opt/poa "$@" >/dev/null; }
run install || exit 1
count=0
for program in "$tmp"/opt/poa/bin/*; do
    [ -x "$program" ] || { echo "FAIL: $program is not executable"; exit 1; }
    "$program" --help >"$tmp/help" 2>&1 || { echo "FAIL: $program --help: exit code $?"; cat "$tmp/help"; exit 1; }
    count=$((count + 1))
done
run uninstall || exit 1
left=$(find "$tmp/opt" -type f)
[ -z "$left" ] || { echo "FAIL: left after uninstall: $left"; exit 1; }
echo "ok: $count programs installed, run and removed"
