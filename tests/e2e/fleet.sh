#!/bin/bash
# Many devices in one process on real nodes: everybody connects, seals and publishes; a
# gateway is killed and everybody comes back, none seals twice, every receipt is on the
# ledger; a gateway that stops in order sends its devices elsewhere; and the same behind shared
# connections.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
logs=("$POA_TMP/*.err")
run() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$poa" fleet simulate --json --data-dir "$POA_TMP/$name" "$@" >"$POA_TMP/$name.json" 2>"$POA_TMP/$name.err" ||
        fail "$name: exit code $?: $(cat "$POA_TMP/$name.json")"
}
holds() { # NAME CONDITION
    jq -en "input | $2" "$POA_TMP/$1.json" >/dev/null || fail "$1: not $2: $(cat "$POA_TMP/$1.json")"
}
# On a busy machine a seal may come too late for its block.
sound='.healthy and .double_seals == 0 and .alarms == 0 and .packs_lost == 0 and
    .seals_lost * 20 <= .seals and .roots > 0 and .roots_missing == 0 and .seals > 0 and .packs_anchored >= .connected'

echo "# a gateway of two is killed"
run killed --devices 120 --gateways 2 --for 16s --pack-every 3s --kill
holds killed ".connected == 120 and .sockets == 120 and .storm.lost >= 40 and $sound"
# Most are served by the other one, which never saw them, before theirs is started again.
holds killed ".storm.elsewhere * 2 >= .storm.lost"
holds killed ".vrf_per_device_hour > 100 and .vrf_per_device_hour < 1000 and .bytes_per_device_hour > 0"

echo "# a gateway of two is stopped in order"
run drained --devices 120 --gateways 2 --ledgers 1 --for 12s --pack-every 3s --epoch-views 60 --drain
holds drained ".connected == 120 and .storm.lost >= 54 and $sound"

echo "# behind shared connections"
run shared --devices 150 --per-trunk 60 --ledgers 1 --for 8s --pack-every 3s
holds shared ".connected == 150 and .sockets == 3 and $sound"

echo "# what is wrong is said in one line"
says() { # [CODE] WORDS ARGUMENTS...
    local want=2 code=0 words
    case $1 in [0-9]) want=$1; shift ;; esac
    words=$1
    shift
    "$poa" fleet simulate "$@" >out 2>err || code=$?
    [ $code -eq $want ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "$words" err || fail "exit code $code and $(cat err) for $*"
}
says "devices" --devices 0
says "epoch-views" --epoch-views 9
says "duration" --for never
says "from 1s to 24h" --pack-every 1ms
dir=$POA_TMP/busy
devnet_up 1 --ledgers 1 --trusted 0 --devices 0
says 1 "a devnet is running" --data-dir "$dir" --devices 4
devnet_down
(ulimit -n 64 && says "file descriptors" --devices 500)
echo ok
