#!/bin/bash
# Proves that a fresh Debian 12 with git and make needs nothing else.
#
# Makes a minimal Debian 12 in a directory (debootstrap), clones this checkout
# into it and runs commands there, as root, in namespaces of their own: when
# the script ends, every mount and process of it is gone. What is committed is
# what is tested. Packages come from where this machine's apt gets them.
#
# usage: tools/clean-room.sh [--dir DIR] [--keep] [--base FILE] [COMMAND...]
#   --dir DIR    work there (default: a new directory under $TMPDIR)
#   --keep       leave the directory behind, and use the system in it again
#   --base FILE  tar archive of the minimal system; written when missing
#   COMMAND      default: 'make devnet DEVNET_ARGS="--for 20s"' 'make check'
# Needs root and debootstrap.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
suite=bookworm
die() {
    echo "clean-room: $*" >&2
    exit 1
}

if [ "${1:-}" = --inside ]; then
    # In the namespaces now: mounts, then the commands in the chroot.
    room=$2
    shift 2
    mount -t proc proc "$room/proc"
    mount -t tmpfs -o mode=755 tmpfs "$room/dev"
    for node in null zero full random urandom tty; do
        touch "$room/dev/$node"
        mount --bind "/dev/$node" "$room/dev/$node"
    done
    mkdir "$room/dev/shm" "$room/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$room/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$room/dev/pts"
    ln -s pts/ptmx "$room/dev/ptmx"
    ln -s /proc/self/fd "$room/dev/fd"
    for command in "$@"; do
        echo "clean-room: $command"
        started=$SECONDS
        chroot "$room" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI=true \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            ${no_proxy:+no_proxy="$no_proxy"} \
            /bin/sh -ec "cd /root/poa && $command" </dev/null ||
            die "failed after $((SECONDS - started)) s: $command"
        echo "clean-room: done in $((SECONDS - started)) s: $command"
    done
    exit 0
fi

dir=
base=
keep=false
while [ $# -gt 0 ]; do
    case $1 in
    --dir) dir=$2 && shift 2 ;;
    --base) base=$2 && shift 2 ;;
    --keep) keep=true && shift ;;
    --help | -h) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- 'make devnet DEVNET_ARGS="--for 20s"' 'make check'
[ "$(id -u)" -eq 0 ] || die "needs root (chroot and namespaces)"
command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"

[ -n "$dir" ] || dir=$(mktemp -d "${TMPDIR:-/tmp}/poa-clean-room.XXXXXX")
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
room=$dir/debian
$keep || trap 'rm -rf --one-file-system "$room"; rmdir "$dir" 2>/dev/null || :' EXIT

if [ ! -e "$room/etc/debian_version" ]; then
    mkdir -p "$room"
    if [ -n "$base" ] && [ -e "$base" ]; then
        tar -xf "$base" -C "$room"
    else
        # shellcheck disable=SC2016 # apt expands these
        mirror=$(apt-get indextargets --format '$(RELEASE) $(CODENAME) $(SITE)' 2>/dev/null |
            awk -v s=$suite '!n && ($1 == s || $2 == s) { print $NF; n = 1 }') # to the end: SIGPIPE fails here
        [ -n "$mirror" ] || die "this machine's apt names no mirror for $suite"
        debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$room" "$mirror" >"$dir/debootstrap.log" ||
            die "debootstrap failed, see $dir/debootstrap.log"
        [ -z "$base" ] || tar -cf "$base" -C "$room" .
    fi
    # The same sources, keys and proxies as here.
    rm -rf "$room/etc/apt/sources.list" "$room/etc/apt/sources.list.d"
    for f in sources.list sources.list.d apt.conf.d auth.conf auth.conf.d keyrings trusted.gpg trusted.gpg.d; do
        [ ! -e "/etc/apt/$f" ] || cp -rL --remove-destination "/etc/apt/$f" "$room/etc/apt/"
    done
    for f in /usr/share/keyrings /usr/local/share/ca-certificates; do
        [ ! -d "$f" ] || { mkdir -p "$room$f" && cp -rL "$f/." "$room$f/"; }
    done
    chroot "$room" update-ca-certificates >/dev/null 2>&1 || :
    # No service starts in a chroot.
    printf '#!/bin/sh\nexit 101\n' >"$room/usr/sbin/policy-rc.d"
    chmod +x "$room/usr/sbin/policy-rc.d"
fi
cp -L --remove-destination /etc/resolv.conf /etc/hosts "$room/etc/"

rm -rf "$room/root/poa"
git clone -q --no-hardlinks "file://$root" "$room/root/poa"
echo "clean-room: $(git -C "$room/root/poa" log -1 --format='%h %s') on Debian $(cat "$room/etc/debian_version"), $(chroot "$room" dpkg-query -f '.\n' -W | wc -l) packages"
unshare --mount --propagation private --pid --fork --kill-child "$0" --inside "$room" "$@"
