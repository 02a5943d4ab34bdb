#!/bin/bash
# Installs the package, starts what it installs, removes, installs again and purges it: on
# this system, so run it in a chroot or container that may be broken:
#   tools/clean-room.sh 'make deb' 'ops/debian/test.sh'
# Needs root. With systemd running the service is started by it, else by hand as its user.
set -eu
cd "$(dirname "$0")/../.."
deb=$(find "$PWD/${BUILD:-build}" -maxdepth 1 -name "poa_*.deb" | head -1)
fail() {
    echo "FAIL: $*" >&2
    exit 1
}
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@" </dev/null; }
booted=false
[ ! -d /run/systemd/system ] || booted=true
getent passwd | sort >/tmp/users-before
apt_get install "$deb" >/tmp/log 2>&1 || { cat /tmp/log && fail "apt install"; }
apt_get install -f >/dev/null
[ "$(stat -c '%U:%G %a' /var/lib/poa)" = "poa:poa 700" ] || fail "/var/lib/poa: $(stat -c '%U:%G %a' /var/lib/poa)"
getent passwd poa | grep -q nologin || fail "no user poa, or one that can log in"
[ "$(readlink /etc/systemd/system/multi-user.target.wants/poad.service)" = /lib/systemd/system/poad.service ] || fail "the unit is not enabled"
[ -z "$(dpkg --verify poa)" ] || fail "dpkg --verify: $(dpkg --verify poa)"

# A network of this machine alone, as docs/operating.md says, and its first block.
as() { setpriv --reuid poa --regid poa --init-groups env HOME=/var/lib/poa "$@"; }
as poa keys new node --kind node --no-passphrase --keys /var/lib/poa >/dev/null
as poa keys new steering --no-passphrase --keys /var/lib/poa/keys >/dev/null
key=$(as poa keys show node --keys /var/lib/poa --json | sed -n 's/.*"public": *"\([0-9a-f]*\)".*/\1/p')
poa genesis new "node=$key@127.0.0.1:17640" --steering "$(as poa keys show steering --keys /var/lib/poa/keys --json | sed -n 's/.*"address": *"\([a-z0-9]*\)".*/\1/p')" --output /tmp/network.json
poa genesis create /tmp/network.json --output /etc/poa/genesis.poa
# The usual ports may be in use outside of a chroot.
sed -i 's|^listen = .*|listen = 127.0.0.1:17640|; s|^rpc = .*|rpc = 127.0.0.1:17645|' /etc/poa/poad.conf
export POA_RPC=http://127.0.0.1:17645
started=
if $booted; then
    systemctl start poad
else
    (exec setpriv --reuid poa --regid poa --init-groups poad --config /etc/poa/poad.conf) >/tmp/poad.log 2>&1 &
    started=$!
fi
height() { poa status --json 2>/dev/null | sed -n 's/.*"height": *"\{0,1\}\([0-9]*\).*/\1/p' | head -1; }
for _ in $(seq 300); do
    [ "$(height || true)" -gt 1 ] 2>/dev/null && break
    sleep 0.1
done
[ "$(height)" -gt 1 ] || fail "no block: $(tail -3 /tmp/poad.log 2>/dev/null || journalctl -u poad | tail -3)"
echo "ok: installed and running, height $(height)"
! $booted || systemctl show poad -p User -p ActiveState -p MainPID
[ -z "$started" ] || { kill "$started" && wait "$started"; }

apt_get remove poa >/dev/null 2>&1
[ ! -e /usr/bin/poad ] || fail "removed, but /usr/bin/poad is there"
for f in /var/lib/poa/node.json /etc/poa/genesis.poa; do [ -e $f ] || fail "remove took $f"; done
! $booted || ! systemctl is-active -q poad || fail "removed, but it runs"
apt_get install "$deb" >/dev/null 2>&1
[ -e /etc/systemd/system/multi-user.target.wants/poad.service ] || fail "not enabled after the second installation"
apt_get purge poa >/tmp/log 2>&1 || { cat /tmp/log && fail "purge"; }
getent passwd | sort >/tmp/users-after
diff /tmp/users-before /tmp/users-after || fail "users differ"
# What it depends on stays; of poa nothing does.
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /root -o -path /tmp -o -path /run -o -path /var/cache -o -path /var/log \) -prune -o \
    \( -name 'poa' -o -name 'poad*' -o -name 'poa.*' -o -name 'poa-*' \) -print)
[ -z "$left" ] || fail "left behind: $left"
echo "ok: removed, installed again, purged; nothing left"
