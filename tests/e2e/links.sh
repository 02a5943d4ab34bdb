#!/bin/bash
# Four witnesses in network namespaces, with a network between them that delays
# and loses IP packets (tests/e2e/link.c): with 50 ms one way a block is final
# within 3.3 delays of its proposal, plus what it takes without any delay, measured
# in the same run; a tenth of all packets lost stops nothing; a partition, two
# against two, heals without help, and so does one witness that was away. Over
# IPv4 and, the last pair of witnesses, IPv6. tests/soak/links.sh does it longer.
#
# Environment: POA_BIN, POA_TMP, LINK_SECONDS (of each measurement), LINK_CUT_S
# (of the partition), LINK_SLACK_MS (for other work on the machine).
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
seconds=${LINK_SECONDS:-5}
cut_s=${LINK_CUT_S:-6}
slack=${LINK_SLACK_MS:-60}
if [ "$(id -u)" != 0 ]; then
    unshare -Urn true 2>/dev/null || { echo "skipped: no network namespaces for this user"; exit 0; }
    exec unshare -Ur "$0"
fi
[ -w /dev/net/tun ] || { echo "skipped: no /dev/net/tun"; exit 0; }
logs=("$POA_TMP/log-*")

"$poa" devnet --ledgers 4 --trusted 0 --devices 0 --policy random --for 1s --data-dir "$dir" --json >made.json || fail "exit code $?"
rm -rf "$dir"/ledger-*/data "$dir"/keys/*.joined-*
for i in 0 1 2 3; do
    {
        grep -v '^listen\|^rpc\|^peer\|^faucet' "$dir/ledger-$i/poad.conf"
        # The last two know each other by their IPv6 addresses.
        [ $i -ge 2 ] && echo "listen = [::]:7640" || echo "listen = 10.77.0.$((i + 1)):7640"
        echo "rpc = 127.0.0.1:7645"
        for k in 0 1 2 3; do
            key=$("$poa" genesis show "$dir/genesis.poa" | jq -r ".witnesses[] | select(.name == \"ledger-$k\") | .key")
            [ $k = $i ] && continue
            [ $i -ge 2 ] && [ $k -ge 2 ] && echo "peer = $key@[fd77::$((k + 1))]:7640" || echo "peer = $key@10.77.0.$((k + 1)):7640"
        done
    } >"$POA_TMP/conf-$i"
done
mkfifo orders
"$POA_BIN/tests/e2e/link" 4 bash -c "exec '$POA_BIN/poad' --config '$POA_TMP/conf-%' 2>'$POA_TMP/log-%' >/dev/null" \
    <orders >pids 2>link.err &
link=$!
exec 3>orders
trap 'exec 3>&-; wait $link 2>/dev/null || true' EXIT
order() { echo "$*" >&3; }
four() { [ "$(wc -l <pids)" -eq 4 ]; }
wait_for 60 four || fail "no namespaces: $(cat link.err)"
inside() { # I COMMAND...
    local pid
    pid=$(awk -v i="$1" '$1 == i { print $2 }' pids)
    shift
    nsenter -t "$pid" -n "$@"
}
height() { inside "$1" "$poa" status --rpc http://127.0.0.1:7645 --json | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
wait_for 60 above 0 3 || fail "no blocks"

# Median milliseconds from the proposal's time to when node I tells of the final block.
finality() { # I SECONDS
    inside "$1" timeout "$2" curl -sN 'http://127.0.0.1:7645/v1/events?topics=block' | while IFS= read -r line; do
        now=${EPOCHREALTIME/./}
        [[ $line =~ \"time_ms\":\"([0-9]+)\" ]] && echo $((now / 1000 - BASH_REMATCH[1]))
    done | sort -n >delays || true
    [ "$(wc -l <delays)" -ge 5 ] || fail "only $(wc -l <delays) blocks in $2 s"
    sed -n "$((($(wc -l <delays) + 1) / 2))p" delays
}
agree() { # all at one height
    local h hash i
    h=$(height 0)
    hash=$(inside 0 "$poa" block "$h" --rpc http://127.0.0.1:7645 --json | jq -r .hash)
    for i in 1 2 3; do
        wait_for 60 above "$i" $((h - 1)) || fail "node $i stays behind"
        [ "$(inside $i "$poa" block "$h" --rpc http://127.0.0.1:7645 --json | jq -r .hash)" = "$hash" ] || fail "node $i differs at $h"
    done
}

# Other work on the machine may begin between the two: it only adds, so the least of some counts.
limit=0 delayed=1
for _ in 1 2 3 4 5 6 7 8; do
    [ "$delayed" -gt "$limit" ] || break
    order delay 0
    sleep 1
    floor=$(finality 0 "$seconds")
    order delay 50
    sleep 1
    delayed=$(finality 0 "$seconds")
    limit=$((floor + 165 + slack))
done
echo "a block is final after $floor ms without delay, $delayed ms with 50 ms one way: $(((delayed - floor) * 10 / 50)) tenths of a delay"
[ "$delayed" -ge 150 ] || fail "faster than three delays: the network does not delay"
[ "$delayed" -le $limit ] || fail "more than $limit ms"

order delay 5
order loss 10
sleep 1
before=$(height 0)
lossy=$(finality 0 "$seconds")
echo "a tenth of the packets lost: final after $lossy ms, $(($(height 0) - before)) blocks in $seconds s"
[ "$(height 0)" -gt "$before" ] || fail "10 % loss stops it"
order loss 0

order cut 3
before=$(height 0)
wait_for 60 above 0 $((before + 5)) || fail "three of four do not go on"
order cut 2
sleep "$cut_s"
before=$(height 0)
sleep 2
[ "$(height 0)" = "$before" ] || fail "two of four make blocks"
order join 2
order join 3
begin=$EPOCHREALTIME
wait_for 90 above 0 $((before + 3)) || fail "the partition does not heal"
echo "a partition of $cut_s s: blocks again after $(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
agree
exec 3>&-
wait $link || fail "link: exit code $?"
trap - EXIT
cat link.err
