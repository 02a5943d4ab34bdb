# What the end-to-end and soak scripts share; source it after `set -eu`:
#
#   . "$(dirname "$0")/../runner/e2e.sh"
#
# Everything that the script started in the background ends with it, killed.
poa=${POA_BIN:?}/poa
poad=$POA_BIN/poad
# Files whose ends `fail` prints; patterns.
logs=()

end_jobs() {
    local pid
    for pid in $(jobs -p); do
        kill -CONT "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
    done
}
trap end_jobs EXIT

fail() { # WORDS...
    echo "FAIL: $*" >&2
    # shellcheck disable=SC2086
    [ ${#logs[@]} -eq 0 ] || tail -n 5 ${logs[*]} >&2 2>/dev/null || true
    exit 1
}

# wait_for SECONDS COMMAND...: until it succeeds. What takes a moment may take a hundred times as
# long on a busy machine: never less than wait_least.
wait_least=180
wait_for() {
    local until=$((SECONDS + ($1 > wait_least ? $1 : wait_least)))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}

# Whether FILTER is true of the JSON value in FILE (its last line).
true_of() { tail -n 1 "$1" | jq -en "input | $2" >/dev/null; }
expect() { # FILE FILTER
    true_of "$1" "$2" || fail "not true: $2: $(tail -n 1 "$1")"
}

# All N nodes of the devnet in DIR are ready.
devnet_ready() { # DIR N
    "$poa" devnet status --data-dir "$1" --json |
        jq -en "input | [.processes[] | select(.rpc)] | length == $2 and all(.ready)"
}
process_of() { # DIR NAME FIELD: of a devnet's process
    "$poa" devnet status --data-dir "$1" --json | jq -r ".processes[] | select(.name == \"$2\") | .$3"
}
# A process that is no child of ours has ended, though nobody may have taken note of it: what it
# had locked is free when none of its threads is left.
dead() { # PID
    [ ! -e "/proc/$1" ] ||
        { grep -q '^State:.*Z' "/proc/$1/status" && [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]; }
}
public() { # LABEL: a key of $POA_KEYS
    "$poa" keys show "$1" --json | jq -r .public
}

# devnet_up NODES OPTIONS...: a devnet in $dir, until its NODES are ready; its keys are used.
# What it prints in the end is in $POA_TMP/net.json.
devnet_up() {
    local nodes=$1
    shift
    "$poa" devnet --data-dir "$dir" --json "$@" >"$POA_TMP/net.json" 2>"$POA_TMP/net.err" &
    devnet=$!
    export POA_KEYS=$dir/keys
    wait_for 120 devnet_ready "$dir" "$nodes" || fail "not ready: $(cat "$POA_TMP/net.err")"
}
devnet_down() { # it must have been healthy
    "$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
    wait "$devnet" || fail "the devnet: exit code $?: $(tail -n 1 "$POA_TMP/net.json")"
}
process() { process_of "$dir" "$1" "$2"; } # NAME FIELD
# A pid of 0, of a process that is not there, would mean our own process group.
pid_of() { # NAME: of a devnet's process that runs
    local pid
    wait_for 30 sh -c "$poa devnet status --data-dir $dir --json | jq -en 'input | .processes[] | select(.name == \"$1\") | .pid > 0'" ||
        fail "$1 does not run"
    pid=$(process "$1" pid)
    [ "$pid" -gt 0 ] || fail "$1 has pid $pid"
    echo "$pid"
}
with_accounts() { # N: the genesis on standard input (JSON) with so many accounts more
    perl -e 'my @c = split //, "qpzry9x8gf2tvdw0s3jn54khce6mua7l"; # an address as text: BIP 350
        sub mod { my $k = 1;
            for (@_) { my $t = $k >> 25; $k = (($k & 0x1ffffff) << 5) ^ $_;
                my @g = (0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3);
                for my $i (0 .. 4) { $k ^= $g[$i] if $t >> $i & 1 } }
            $k }
        my @hrp = map { ord } split //, "poa";
        for my $n (1 .. shift) {
            my $bits = sprintf("%032b", $n * 60000) . "01101001" x 28 . "0000";
            my @d = map { oct "0b$_" } $bits =~ /.{5}/g;
            my $m = mod((map { $_ >> 5 } @hrp), 0, (map { $_ & 31 } @hrp), @d, (0) x 6) ^ 0x2bc830a3;
            print "poa1", join("", map { $c[$_] } @d, map { $m >> 5 * (5 - $_) & 31 } 0 .. 5), "\n" }' "$1" |
        jq -R '{address: ., balance: "5"}' | jq -s . >more-accounts.json
    jq --slurpfile more more-accounts.json '
        ("qpzry9x8gf2tvdw0s3jn54khce6mua7l" | explode | to_entries | map({key: ([.value] | implode), value: .key}) | from_entries) as $digit |
        .accounts = (.accounts + $more[0] | sort_by(.address[4:56] | explode | map($digit[[.] | implode])))'
}
gateway() { echo "$(public "$1")@127.0.0.1:$(process "$1" gateway)"; } # NAME: as devices dial it

# take_ports: $base and the 99 ports after it belong to this script until it ends,
# and nobody listens there. Below what the kernel gives to outgoing connections,
# above what devnets take. A block is its lock file's, so two scripts that choose at the
# same time cannot choose the same; processes that outlive the script keep the lock.
take_ports() {
    local locks=${POA_PORT_LOCKS:-/tmp/poa-ports} block at fd
    mkdir -p -m 1777 "$locks" 2>/dev/null || true
    for ((block = 0; block < 100; block++)); do
        base=$((22000 + 100 * ((block + $$) % 100)))
        { exec {fd}<>"$locks/$base"; } 2>/dev/null || continue # another user's
        if flock -n "$fd"; then
            # 0A: listening; ports in hexadecimal
            at=$(awk '$4 == "0A" { split($2, a, ":"); print a[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null |
                while read -r port; do [ $((16#$port / 100 * 100)) -ne $base ] || echo "$port"; done)
            [ -n "$at" ] || return 0
        fi
        exec {fd}>&-
    done
    fail "no block of ports is free from 22000 to 31999"
}
# The nodes of the devnet in $dir, which is down, get ports of this script: another devnet may
# take those that they had.
own_ports() {
    local first
    first=$(jq .port_base "$dir/devnet.json")
    take_ports
    perl -pi -e 's/(?<=127\.0\.0\.1:)(\d+)/$1 - '"$first + $base"'/e' "$dir"/*/poad.conf
}
