#!/bin/bash
# Nothing crosses the mesh or the device edge unencrypted: a capture of the
# loopback of a running devnet, searched for what its messages are full of. The
# same search finds them in the RPC traffic and on disk, so it can fail.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net

# A network namespace of its own: no other traffic, and no need to be root.
if [ -z "${POA_CAPTURE_INSIDE:-}" ]; then
    how=(unshare --net)
    [ "$(id -u)" -eq 0 ] || how=(unshare --user --map-current-user --keep-caps --net)
    if ! "${how[@]}" true 2>/dev/null; then
        [ "$(id -u)" -eq 0 ] || { echo "skipped: neither root nor user namespaces"; exit 0; }
        how=(env) # root without namespaces, as in some containers
    fi
    exec env POA_CAPTURE_INSIDE=1 "${how[@]}" "$0"
fi
ip link set lo up 2>/dev/null || true
keep=() # as root tcpdump would change to a user who may not write here
[ "$(id -u)" -ne 0 ] || keep=(-Z root)

tcpdump -i lo -s 0 -B 65536 "${keep[@]}" -U -w all.pcap tcp 2>tcpdump.log &
tcpdump=$!
wait_for 60 grep -q "listening on" tcpdump.log || fail "no capture: $(cat tcpdump.log)"

"$poa" devnet --ledgers 4 --trusted 1 --devices 4 --data-dir "$dir" --json >net.json 2>net.err &
devnet=$!
wait_for 120 devnet_ready "$dir" 5 || fail "the devnet is not ready: $(cat net.err)"
export POA_KEYS=$dir/keys
POA_RPC=$("$poa" devnet status --data-dir "$dir" --json | jq -r '.processes[0].rpc')
export POA_RPC
"$poa" send bob 4711 --from alice >/dev/null || fail "send"
sleep 6 # windows of the lottery, packs
anchored() { "$poa" status --json | jq -en 'input | .state.anchors | tonumber > 0'; }
wait_for 60 anchored || fail "no usage data is anchored: $("$poa" status --json)"
"$poa" devnet down --data-dir "$dir" >/dev/null || fail "down"
wait $devnet || fail "devnet: exit code $?: $(tail -n 1 net.json)"
tail -n 1 net.json | jq -en 'input | .anchors > 0' >/dev/null || fail "no usage data was anchored"
kill -INT $tcpdump
wait $tcpdump || true
grep -Eq "^0 packets dropped" tcpdump.log || fail "capture: $(cat tcpdump.log)"

# Ports by what listens there.
ports() { grep -hE "^$1 = " "$dir"/*/poad.conf | sed 's/.*://' | sort -un; }
filter() { printf ' or tcp port %s' "$@" | cut -c5-; }
mesh=()
for p in $(ports listen); do mesh+=("$p" "$((p + 1))"); done
mapfile -t edge < <(ports gateway)
mapfile -t http < <(ports rpc)
tcpdump "${keep[@]}" -r all.pcap -w mesh.pcap "$(filter "${mesh[@]}")" 2>/dev/null
tcpdump "${keep[@]}" -r all.pcap -w edge.pcap "$(filter "${edge[@]}")" 2>/dev/null
tcpdump "${keep[@]}" -r all.pcap -w http.pcap "$(filter "${http[@]}")" 2>/dev/null
for f in mesh edge http; do
    [ "$(stat -c %s $f.pcap)" -gt 20000 ] || fail "$f.pcap holds next to nothing"
done

# has FILE HEX: the bytes occur in it. Not grep: they may hold a line's end.
has() { perl -0777 -e 'exit !(index(<STDIN>, pack("H*", $ARGV[0])) >= 0)' "$2" <"$1"; }
text_hex() { printf %s "$1" | od -An -tx1 | tr -d ' \n'; }
chain=$("$poa" genesis check "$dir/genesis.poa" --json | jq -r .chain)
[ ${#chain} -eq 64 ] || fail "no chain id: $chain"
sender=$("$poa" keys show alice --json | jq -r .public)
[ ${#sender} -eq 64 ] || fail "no public key: $sender"

# The header of every block carries the chain id, the transfer its sender's key,
# every pack the name of its device.
senml=$(text_hex '"bn":"urn:')
on_disk() { find "$dir" -name '*.log' -o -name '*.ldb' | while read -r f; do has "$f" "$1" && echo "$f"; done | grep -q .; }
on_disk "$chain" || fail "the search does not find the chain id on disk"
on_disk "$sender" || fail "the search does not find the sender on disk"
on_disk "$senml" || fail "the search does not find the packs on disk"
has http.pcap "$(text_hex "$chain")" || has http.pcap "$(text_hex '"jsonrpc"')" ||
    fail "the search does not find plain text in the capture of the RPC"
for f in mesh edge; do
    ! has $f.pcap "$chain" || fail "$f: the chain id crossed in the clear"
    ! has $f.pcap "$sender" || fail "$f: a transaction crossed in the clear"
    ! has $f.pcap "$senml" || fail "$f: usage data crossed in the clear"
done
echo "ok: $(stat -c %s mesh.pcap) bytes of mesh, $(stat -c %s edge.pcap) of edge"
