#!/bin/bash
# The runbook of docs/operating.md: every command of its `sh runbook` blocks, in order. A
# machine is a folder with etc/poa and var/lib/poa, an address of its own on the loopback
# (192.0.2.N in the document), and functions for what only a real one has: sudo, systemctl,
# apt, chown. What the document says in words between the blocks is checked after them.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
doc=$POA_ROOT/docs/operating.md
net=$POA_TMP/net
logs=("$net/*/log")
# Addresses and ports that other runs of this machine do not use.
a=$((1 + $$ % 250)) b=$((1 + $$ / 250 % 250))
port=$((20000 + $$ % 500 * 20))
stop_all() {
    for pid in "$net"/*/pid; do [ ! -s "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || true; done
    wait
}
trap stop_all EXIT
address() { echo "127.$a.$b.$1"; }
rpc() { echo "http://$(address "$1"):$((port + 5))"; }
status() { "$poa" status --rpc "$(rpc "$1")" --json; }
says() { status "$1" | jq -en "input | $2" >/dev/null; }

# --- a machine ------------------------------------------------------------------------
machine() { # NUMBER: as after the installation of the package
    local dir=$net/$1
    mkdir -p "$dir/etc/poa" "$dir/var/lib/poa" "$dir/home"
    "$poad" --print-config --data-dir "$dir/var/lib/poa" --genesis "$dir/etc/poa/genesis.poa" \
        --key "$dir/var/lib/poa/node.json" --rpc "$(address "$1"):$((port + 5))" >"$dir/etc/poa/poad.conf"
    [ ! -e "$net/desk/genesis.poa" ] || cp "$net/desk/genesis.poa" "$dir/home"
}
mkdir -p "$net/desk/home"
cat >"$net/functions" <<'END'
sudo() {
    [ "$1" != -u ] || shift 2
    "$@"
}
chown() { :; }
start() {
    # The file, as the service had it when it started.
    cp "$dir/etc/poa/poad.conf" "$dir/conf"
    rm -f "$dir/ready"
    "$POA_BIN/poad" --config "$dir/conf" --ready-file "$dir/ready" >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
    for _ in $(seq 1800); do [ ! -s "$dir/ready" ] || return 0; sleep 0.1; done
    return 1
}
stop() {
    local pid
    pid=$(cat "$dir/pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    : >"$dir/pid"
}
systemctl() {
    [ "$2" = poad ]
    case $1 in
    start) start ;;
    stop) stop ;;
    restart) stop && start ;;
    reload) kill -HUP "$(cat "$dir/pid")" ;;
    *) return 1 ;;
    esac
}
# The package restarts the service.
apt() {
    case $1 in
    install) systemctl restart poad ;;
    clean) ;;
    *) return 1 ;;
    esac
}
journalctl() { :; } # nothing of this machine
poa() {
    case "$1 ${2:-}" in
    "keys new"*) [[ $* = *--no-passphrase* ]] || set -- "$@" --no-passphrase ;; # it would ask
    esac
    "$POA_BIN/poa" "$@"
}
# Paths of this machine.
tar() { command tar "${@/#\//$dir/}"; }
END

# run WHERE TEXT: the commands of a block, one by one.
run() {
    local where=$1 dir=$net/$1 line
    printf '%s\n' "$2" | sed -e "s|/etc/poa|$net/$where/etc/poa|g; s|/var/lib/poa|$net/$where/var/lib/poa|g" \
        -e "s|192\.0\.2\.N:7640|$(address "${where/desk/0}"):$port|g; s|192\.0\.2\.\([0-9]\):7640|127.$a.$b.\1:$port|g" >"$net/block"
    for n in 1 2 3 4 5 6; do
        [ ! -e "$net/$n/key" ] || sed -i "s|KEY$n|$(cat "$net/$n/key")|g" "$net/block"
    done
    while IFS= read -r line; do
        echo "  $line" | cut -c1-160
        (
            cd "$net/$where/home"
            export POA_KEYS=$net/$where/keys POA_RPC
            POA_RPC=$(rpc "${where/desk/1}")
            # shellcheck source=/dev/null
            . "$net/functions"
            set -eo pipefail
            eval "$line"
        ) >"$net/out" 2>&1 </dev/null || fail "$where: $line: $(cat "$net/out")"
    done <"$net/block"
}

votes() { curl -sf "$(rpc "$1")/metrics" | grep -qx 'poa_abstaining 0'; }

# --- after a block, what the document says comes of it ----------------------------------
final() { says 1 ".height > $1"; }
everybody_ready() {
    local n
    for n in 1 2 3 4; do wait_for 100 says $n '.ready and .height > 2' || fail "machine $n: $(status $n)"; done
}
member() { wait_for 150 says "$1" '.consensus.member >= 0' || fail "machine $1 is no witness: $(status "$1" | jq -c .consensus)"; }
heading_done() {
    case $1 in
    'A first network of four machines')
        everybody_ready
        says 1 '.consensus.members == 4 and .consensus.quorum == 3' || fail "not a committee of four"
        wait_for 60 says 1 '.name == "one"' || fail "machine 1 does not say its name: $(status 1)"
        ;;
    'Adding a witness') member 5 ;;
    'Replacing a dead machine')
        member 6
        wait_for 100 says 1 '.consensus.members == 5' || fail "the dead one is still a member"
        ;;
    'Backup and restore')
        wait_for 100 says 3 '.ready' || fail "machine 3: $(status 3)"
        grep -q abstain "$net/3/log" || fail "machine 3 did not abstain"
        wait_for 150 votes 3 || fail "machine 3 does not vote again"
        ;;
    'Upgrade' | 'Disk full') wait_for 100 says 4 '.ready' || fail "machine 4: $(status 4)" ;;
    'Key compromise') wait_for 100 says 1 '.consensus.members == 4' || fail "machine 4 is still a member" ;;
    esac
    echo "ok: $1"
}
# Before it: what happened to the machines.
heading_begins() {
    case $1 in
    'Adding a witness') machine 5 ;;
    'Replacing a dead machine')
        machine 6
        kill -KILL "$(cat "$net/2/pid")"
        : >"$net/2/pid"
        ;;
    esac
}

for n in 1 2 3 4; do machine $n; done
heading='' block='' inside='' blocks=0 commands=0
while IFS= read -r line; do
    case $inside:$line in
    ':### '*)
        [ -z "$heading" ] || heading_done "$heading"
        heading=${line#\#\#\# }
        echo "# $heading"
        heading_begins "$heading"
        ;;
    ':## '*)
        [ -z "$heading" ] || heading_done "$heading"
        heading=
        ;;
    ':```sh runbook')
        inside=yes block='' where=
        ;;
    'yes:```')
        inside=
        blocks=$((blocks + 1))
        case $where in
        'at the desk') places=desk ;;
        'on machine '?) places=${where##* } ;;
        'on machines '*) places=${where#on machines } ;;
        'on machine 3, with an empty disk')
            places=3
            mv "$net/3/var/lib/poa/chain.archive" "$net/3/home"
            kill -KILL "$(cat "$net/3/pid")"
            rm -rf "$net/3/var/lib/poa" "$net/3/etc/poa"
            mkdir -p "$net/3/var/lib/poa"
            ;;
        *) fail "a block begins with '$where'" ;;
        esac
        for place in $places; do run "$place" "${block%$'\n'}"; done
        for n in 1 2 3 4 5 6; do
            [ ! -e "$net/$n/var/lib/poa/node.json" ] || jq -r .public "$net/$n/var/lib/poa/node.json" >"$net/$n/key"
        done
        # For a test epochs are short; the document says to look at the file.
        if [ -e "$net/desk/home/network.json" ] && [ ! -e "$net/desk/genesis.poa" ]; then
            jq '.epoch_views = "60" | .heartbeat_ms = 100 | .block_min_ms = 10' "$net/desk/home/network.json" >"$net/quick.json"
            "$poa" genesis create "$net/quick.json" --output "$net/desk/genesis.poa" >/dev/null
            for n in 1 2 3 4; do cp "$net/desk/genesis.poa" "$net/$n/home"; done
        fi
        ;;
    'yes:# '*) [ -z "$where" ] && where=${line#\# } || block+=$line$'\n' ;;
    yes:*)
        block+=$line$'\n'
        commands=$((commands + 1))
        ;;
    esac
done <"$doc"
[ $blocks -gt 15 ] && [ $commands -gt 40 ] || fail "only $blocks blocks, $commands commands"
echo "ok: $blocks blocks, $commands commands"
