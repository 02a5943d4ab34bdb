#!/bin/sh
# libsodium for a Cortex-M4, from Debian's source package with its patches, into
# DIR: libsodium.a, include/ and the compiler's call graphs. Nothing of it is
# kept in this repository. POA_LIBSODIUM=DIRECTORY takes unpacked sources instead.
# usage: firmware/libsodium.sh DIR "CC and flags"
set -eu
out=$1
cc=$2
if [ -e "$out/libsodium.a" ] && [ "$(cat "$out/command")" = "$cc" ]; then
    exit 0
fi
mkdir -p "$out/apt/lists/partial" "$out/apt/cache/archives/partial" "$out/obj"
out=$(cd "$out" && pwd)

if [ -z "${POA_LIBSODIUM:-}" ]; then
    # The sources come from where the packages of this system come from; apt's own
    # configuration stays as it is. Not every mirror of security updates has
    # sources, and the release itself takes them over.
    cat >"$out/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$out/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$out/apt/lists";
Dir::Cache "$out/apt/cache";
CONF
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' | sort -u >"$out/apt/all.list"
    fetch() { # a list of archives
        [ -s "$1" ] || return 1
        cp "$1" "$out/apt/sources.list"
        (
            cd "$out/apt"
            export APT_CONFIG="$out/apt/apt.conf"
            apt-get -q update && apt-get -q source --download-only libsodium &&
                dpkg-source -x libsodium_*.dsc "$out/source"
        ) >>"$out/apt/log" 2>&1
    }
    grep -v -- '-security\|-updates' "$out/apt/all.list" >"$out/apt/release.list" || :
    [ -d "$out/source" ] || fetch "$out/apt/release.list" || fetch "$out/apt/all.list" || {
        cat "$out/apt/log" >&2
        echo "firmware/libsodium.sh: libsodium's source package could not be fetched; set POA_LIBSODIUM to unpacked sources" >&2
        exit 1
    }
    POA_LIBSODIUM=$out/source
fi

# What its configure would find out about this target.
src=$POA_LIBSODIUM/src/libsodium
rm -rf "$out/include"
cp -r "$src/include" "$out/include"
version=$(sed -n 's/^AC_INIT(\[libsodium\],\[\([0-9.]*\)\].*/\1/p' "$POA_LIBSODIUM/configure.ac")
major=$(sed -n 's/^SODIUM_LIBRARY_VERSION_MAJOR=//p' "$POA_LIBSODIUM/configure.ac")
minor=$(sed -n 's/^SODIUM_LIBRARY_VERSION_MINOR=//p' "$POA_LIBSODIUM/configure.ac")
sed -e "s/@VERSION@/$version/;s/@SODIUM_LIBRARY_VERSION_MAJOR@/$major/" \
    -e "s/@SODIUM_LIBRARY_VERSION_MINOR@/$minor/;s/@SODIUM_LIBRARY_MINIMAL_DEF@//" \
    "$src/include/sodium/version.h.in" >"$out/include/sodium/version.h"
# Randomness is the board's: randombytes_set_implementation before sodium_init.
set -f
find "$src" -name '*.c' | while read -r f; do
    o=$out/obj/$(printf %s "${f#"$src"/}" | tr / _)
    # shellcheck disable=SC2086 # a command with its flags
    $cc -w -std=gnu99 -DCONFIGURED=1 -DNDEBUG -DNATIVE_LITTLE_ENDIAN=1 \
        -DRANDOMBYTES_CUSTOM_IMPLEMENTATION \
        '-DRANDOMBYTES_DEFAULT_IMPLEMENTATION=((const randombytes_implementation *)0)' \
        -I"$out/include" -I"$out/include/sodium" -c "$f" -o "${o%.c}.o"
done
set +f
rm -f "$out/libsodium.tmp" "$out/libsodium.a"
arm-none-eabi-ar rcs "$out/libsodium.tmp" "$out"/obj/*.o
printf %s "$cc" >"$out/command"
mv "$out/libsodium.tmp" "$out/libsodium.a"
