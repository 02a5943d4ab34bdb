#!/bin/sh
# Installs what is missing of the given groups of tools/packages.txt; says and
# does nothing when all is there. POA_PACKAGES=skip leaves packages alone, for
# systems that provide the libraries in another way.
# usage: tools/install-packages.sh GROUP...
set -eu
list=$(dirname "$0")/packages.txt

[ "${POA_PACKAGES:-}" != skip ] || exit 0
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This system has no apt: install what tools/packages.txt names, then run again with POA_PACKAGES=skip." >&2
    exit 1
fi

missing=
for group in "$@"; do
    wanted=$(awk -v g="$group" '$1 == g { print $2 }' "$list")
    if [ -z "$wanted" ]; then
        echo "tools/install-packages.sh: no group '$group' in tools/packages.txt" >&2
        exit 2
    fi
    for p in $wanted; do
        # shellcheck disable=SC2016 # dpkg-query expands ${Status}
        case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || :) in
        'install ok installed') ;;
        *) missing="$missing $p" ;;
        esac
    done
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root='sudo env'
else
    echo "Missing packages, and neither root nor sudo to install them. As root, run: apt-get update && $install" >&2
    exit 1
fi

echo "Installing:$missing"
as_root="$as_root DEBIAN_FRONTEND=noninteractive"
lock='-o DPkg::Lock::Timeout=300'
# Old lists name packages that the mirrors no longer have. Without a network
# the packages may still be in the local cache, so the install decides.
# shellcheck disable=SC2086 # lists of words
$as_root apt-get $lock -q update || echo "apt-get update failed; trying with the lists that are here" >&2
# shellcheck disable=SC2086
if ! $as_root apt-get $lock -q -y --no-install-recommends install $missing </dev/null; then
    echo "The packages could not be installed. As root, try: apt-get update && $install" >&2
    exit 1
fi
