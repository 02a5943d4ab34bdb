#!/bin/bash
# tools/install-packages.sh: asks for what is missing only, with one clear line
# where it cannot install. apt-get, dpkg-query, sudo and id are replaced here
# by scripts that record their calls; tools/clean-room.sh uses the real ones.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0
mkdir "$tmp/bin" "$tmp/sudo"
# POA_HAVE are the installed packages, POA_UID who we are.
cat >"$tmp/bin/dpkg-query" <<'S'
#!/bin/sh
for last; do :; done
case " $POA_HAVE " in *" $last "*) printf 'install ok installed' ;; *) exit 1 ;; esac
S
cat >"$tmp/bin/id" <<'S'
#!/bin/sh
echo "$POA_UID"
S
cat >"$tmp/bin/apt-get" <<'S'
#!/bin/sh
echo "apt-get $*" >>"$POA_LOG"
case "$*" in *" update") exit "${POA_UPDATE:-0}" ;; *) exit "${POA_INSTALL:-0}" ;; esac
S
cat >"$tmp/sudo/sudo" <<'S'
#!/bin/sh
[ "$1" != -n ] || shift
echo "sudo $*" >>"$POA_LOG"
exec "$@"
S
chmod +x "$tmp"/bin/* "$tmp/sudo/sudo"
# Only what the script needs, so that a sudo of this machine is not found.
for tool in sh env awk dirname true; do ln -s "$(type -P $tool)" "$tmp/bin/$tool"; done

packages() { awk -v g="$1" '$1 == g { print $2 }' "$root/tools/packages.txt" | paste -sd ' '; }
build=$(packages build)

# try NAME RC PATTERN VARIABLE=VALUE... : PATTERN must match the log of calls
# and output, joined.
try() {
    local name=$1 want=$2 pattern=$3 rc=0 path=$tmp/bin
    shift 3
    : >"$tmp/log"
    case " $* " in *" SUDO=yes "*) path=$tmp/sudo:$path ;; esac
    env -i "PATH=$path" "POA_LOG=$tmp/log" "$@" "$root/tools/install-packages.sh" build >"$tmp/out" 2>&1 </dev/null || rc=$?
    cat "$tmp/log" >>"$tmp/out"
    if [ $rc -eq "$want" ] && [[ $(tr '\n' '|' <"$tmp/out") =~ $pattern ]]; then
        echo "ok: $name"
    else
        echo "FAIL: $name (exit code $rc, expected $want and \"$pattern\")"
        cat "$tmp/out"
        status=1
    fi
}

try "nothing missing: silence" 0 '^$' POA_UID=1000 "POA_HAVE=$build"
try "root installs what is missing only" 0 'apt-get .* update\|apt-get .* install gcc\|$' POA_UID=0 "POA_HAVE=${build#gcc }"
try "a user with sudo" 0 'sudo env DEBIAN_FRONTEND=noninteractive apt-get .*install .*gcc' POA_UID=1000 SUDO=yes POA_HAVE=
try "neither root nor sudo: one line, with the command" 1 '^[^|]*As root, run: apt-get update && apt-get install [^|]*libsodium-dev[^|]*\|$' POA_UID=1000 POA_HAVE=
try "no network but a cache" 0 'trying with the lists .*install gcc' POA_UID=0 "POA_HAVE=${build#gcc }" POA_UPDATE=100
try "apt-get fails" 1 'could not be installed' POA_UID=0 POA_HAVE= POA_INSTALL=100
try "left alone on request" 0 '^$' POA_UID=1000 POA_HAVE= POA_PACKAGES=skip
rm "$tmp/bin/apt-get"
try "not Debian" 1 'no apt.*POA_PACKAGES=skip' POA_UID=0 POA_HAVE=

# Every line of the list has a known group, a package and a reason.
awk '!/^#/ && NF && !(NF >= 3 && $1 ~ /^(build|test|fuzz|model|browser|package|firmware|optional)$/) { print "FAIL: tools/packages.txt: " $0; bad = 1 } END { exit bad }' \
    "$root/tools/packages.txt" || status=1
exit $status
