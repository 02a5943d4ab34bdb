#!/bin/bash
# Two trusted nodes that keep a hundred blocks, beside four ledger servers under load, over many
# short epochs. One is admitted to the committee, is needed for its quorum, is killed with SIGKILL
# again and again, and leaves; the other one follows, and is admitted later; a ledger server
# leaves in between. Devices of both go on sealing. tests/soak/pruned.sh does it longer and looks whether memory, disk, descriptors and
# tables grow.
#
# Environment: POA_BIN, POA_TMP, PRUNED_SECONDS (of the rounds, 40), PRUNED_LOAD (transfers per
# second, 20), PRUNED_EPOCH_VIEWS (60), PRUNED_BOUND (yes: growth fails), PRUNED_TABLE (where the
# samples are kept).
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$dir/trusted-*/log")
seconds=${PRUNED_SECONDS:-40}
load=${PRUNED_LOAD:-20}
table=${PRUNED_TABLE:-$POA_TMP/samples}
devnet_up 6 --ledgers 4 --trusted 2 --devices 4 --epoch-views "${PRUNED_EPOCH_VIEWS:-60}" --prune 100 \
    --load "$load" --for "$((seconds + 900))s"
url0=$(process ledger-0 rpc)
url1=$(process trusted-1 rpc)
gate=$(process trusted-0 rpc)
mesh_of() { awk '$1 == "listen" { print $3 }' "$dir/$1/poad.conf"; }
mesh=$(mesh_of trusted-0)
mesh1=$(mesh_of trusted-1)
says() { "$poa" status --rpc "$1" --json | jq -en "input | $2"; } # URL FILTER
height() { "$poa" status --rpc "$1" --json | jq -r .height; }
above() { [ "$(height "$1")" -gt "$2" ]; }
metric() { curl -sf --max-time 5 "$1/metrics" | awk -v m="$2" '$1 == m { printf "%d\n", $2 }'; } # URL NAME
govern() { "$poa" witness "$@" --from steering --rpc "$url0" --timeout 60 >/dev/null; }
members() { says "$url0" ".consensus.members == $1"; }
votes() { says "$gate" '.ready and .consensus.member >= 0 and (.consensus.abstaining | not)'; }
follows() { says "$gate" '.ready and .consensus.member == -1'; }

# One line: seconds, node, KiB of memory, descriptors, bytes of disk without the devices' packs,
# files of the database, height, epoch.
begin=$SECONDS
sample() { # NAME URL
    local pid packs
    pid=$(process "$1" pid)
    packs=$(metric "$2" poa_gateway_pack_store_bytes) || return 0
    [ "${pid:-0}" -gt 0 ] && [ -n "$packs" ] || return 0
    echo "$((SECONDS - begin)) $1 $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" \
        "$(find "/proc/$pid/fd" -type l 2>/dev/null | wc -l)" \
        "$(($(du -sb "$dir/$1/data" | cut -f 1) - packs))" "$(find "$dir/$1/data/db" -type f | wc -l)" \
        "$(metric "$2" poa_finalized_height) $(metric "$2" poa_epoch)" >>"$table"
}
: >"$table"

echo "# a node that keeps a hundred blocks is admitted, and needed for the quorum"
govern admit trusted-0 --mesh "$mesh" --maker 9 || fail "not admitted"
wait_for 120 members 5 || fail "no committee of five"
wait_for 120 votes || fail "it does not vote: $("$poa" status --rpc "$gate")"
stopped=$(pid_of ledger-3)
kill -STOP "$stopped"
h=$(height "$url0")
wait_for 120 above "$url0" $((h + 10)) || fail "four of five do not go on: it does not vote"
kill -CONT "$stopped"

echo "# rounds"
round=0
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
    round=$((round + 1))
    until=$((SECONDS + seconds / 6))
    while [ $SECONDS -lt $until ]; do
        sample trusted-0 "$gate"
        sample trusted-1 "$url1"
        sleep $((seconds / 100 + 1))
    done
    seals=$(metric "$url0" poa_seals_total)
    kill -KILL "$(pid_of trusted-0)"
    case $round in
    1) govern leave ledger-3 || fail "ledger-3 may not leave" ;;
    2) govern admit trusted-1 --mesh "$mesh1" --maker 10 || fail "trusted-1 is not admitted" ;;
    3) govern leave trusted-0 || fail "trusted-0 may not leave" ;;
    esac
    [ $round -gt 3 ] || wait_for 120 members $((round == 2 ? 5 : 4)) || fail "round $round: $("$poa" status --rpc "$url0")"
    [ $round -gt 2 ] || wait_for 120 votes || fail "round $round: it does not vote: $("$poa" status --rpc "$gate")"
    [ $round -le 2 ] || wait_for 120 follows || fail "round $round: it does not follow: $("$poa" status --rpc "$gate")"
    sealing() { [ "$(metric "$url0" poa_seals_total)" -ge $((seals + 4)) ]; }
    wait_for 120 sealing || fail "round $round: devices do not seal"
done

echo "# what is left"
h=$(height "$url0")
wait_for 60 above "$gate" $((h - 1)) || fail "trusted-0 stays behind"
epoch=$(metric "$url0" poa_epoch)
[ "$epoch" -ge $((round + 3)) ] || fail "only $epoch epochs"
for url in "$gate" "$url1"; do
    ! "$poa" block 1 --rpc "$url" >/dev/null 2>&1 || fail "$url still has the first block"
done
"$poa" block 1 --rpc "$url0" >/dev/null || fail "a ledger server lacks the first block"

echo "# a new node with no other peers says that nobody has the first blocks any more, and what to do"
"$poa" keys new late --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" --json >"$POA_TMP/late.made" || fail "no key"
{
    awk '$1 == "genesis"' "$dir/trusted-0/poad.conf"
    printf '%s\n' "key = $POA_TMP/late.json" "data_dir = $POA_TMP/late" "role = trusted" "listen = off" "rpc = 127.0.0.1:0" \
        "ready_file = $POA_TMP/late.ready" "peers_wanted = 0"
    for i in 0 1; do
        echo "peer = $(jq -r .public "$dir/keys/trusted-$i.json")@$([ $i = 0 ] && echo "$mesh" || echo "$mesh1")"
    done
} >"$POA_TMP/late.conf"
"$poad" --config "$POA_TMP/late.conf" >"$POA_TMP/late.log" 2>&1 &
late=$!
told() { grep -q "WARN.*following: no peer keeps block 1 any more ([12] asked), .* $POA_TMP/late/db .*snapshot = yes, or give it a peer" "$POA_TMP/late.log"; }
wait_for 120 told || fail "$(cat "$POA_TMP/late.log")"
says_so() {
    "$poa" status --rpc "http://$(sed -n 's/^rpc //p' "$POA_TMP/late.ready")" |
        grep -q '^ready *no: no peer keeps block 1 (asked: [12]): start with snapshot = yes and without DATA_DIR/db, or add a peer with prune = 0$'
}
wait_for 60 says_so || fail "$("$poa" status --rpc "http://$(sed -n 's/^rpc //p' "$POA_TMP/late.ready")" 2>&1)"
kill -TERM $late
wait $late || fail "the new node: exit code $?"
ledger=$(du -sb "$dir/ledger-0/data" | cut -f 1)
awk -v ledger="$ledger" -v rounds=$round -v epochs="$epoch" -v bound="${PRUNED_BOUND:-}" '
    { t[NR] = $1; row[NR] = $0; last = $1 > last ? $1 : last }
    END {
        # Disk goes up and down: what was deleted is given back when there is enough of it, and
        # while tables are rewritten, old and new ones are there. So what is left between is
        # looked at (the least) and, more generously, the most.
        n = split("most memory KiB,most descriptors,least disk bytes,most disk bytes,most files", name, ",")
        split("3 4 5 5 6", column, " "); split("1.15 1.10 1.25 2 1.5", more, " "); split("4096 8 2097152 8388608 10", plus, " ")
        for (i = 1; i <= NR; i++) {
            split(row[i], v, " ")
            if (v[1] < last / 10) continue # caches fill
            half = v[1] < last * 0.55 ? 1 : 2
            for (k = 1; k <= n; k++) {
                x = v[column[k]] + 0; at = v[2] SUBSEP k SUBSEP half
                if (!(at in peak) || (name[k] ~ /^most/ ? x > peak[at] : x < peak[at])) peak[at] = x
            }
            node[v[2]] = 1
        }
        printf "%d s, %d rounds, %d epochs, a ledger server has %d bytes\n", last, rounds, epochs, ledger
        for (m in node)
            for (k = 1; k <= n; k++) {
                a = peak[m, k, 1]; b = peak[m, k, 2]
                printf "%s: %s in the first half %d, in the second %d\n", m, name[k], a, b
                if (b > a * more[k] + plus[k]) { print "it grows"; bad = bad || bound == "yes" }
            }
        exit bad
    }' "$table" || fail "a pruned node grows, see $table"
devnet_down
expect "$POA_TMP/net.json" '.agreement and .supply_conserved and .devices_rewarded > 0 and .anchors > 0'
for i in 0 1; do
    "$poa" store check "$dir/trusted-$i/data" --json >"$POA_TMP/check.json" || fail "$(cat "$POA_TMP/check.json")"
done
echo ok
