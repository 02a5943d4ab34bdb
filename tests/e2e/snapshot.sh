#!/bin/bash
# A new node joins from a snapshot that it fetches from its peers, parts of it from each.
# Honest servers have the same parts. Servers that forge (a part, the proof, a whole state)
# or stall (at a part, at everything) are named, cost only what they were asked for, and
# no honest one is blamed. What a killed attempt had fetched is not fetched again. The node
# has the same blocks and state as the others, without the blocks before.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
logs=("$POA_TMP/log-*")
hostile=$POA_BIN/tests/e2e/hostile
pids=()
cd "$POA_TMP"
"$poa" devnet --ledgers 4 --trusted 1 --devices 0 --for 500ms --data-dir "$dir" >setup 2>&1 || fail "$(cat setup)"
# A state that is worth cutting.
"$poa" genesis show "$dir/genesis.poa" | jq '.epoch_views = "30"' | with_accounts 13000 >genesis.json
"$poa" genesis create genesis.json --output genesis.poa >chain || fail "no genesis"
rm -rf "$dir"/*/data "$dir"/keys/*.joined-*
# Ports of our own: those of the devnet may be taken again.
take_ports
names=(ledger-0 ledger-1 ledger-2 ledger-3 trusted-0)
for i in 0 1 2 3 4; do
    sed "s/^genesis = .*/genesis = genesis.poa/; s/^listen = .*/listen = 127.0.0.1:$((base + 2 * i))/; s/^rpc = .*/rpc = 127.0.0.1:$((base + 50 + i))/; s/^gateway = .*/gateway = off/" \
        "$dir/${names[$i]}/poad.conf" >"conf-$i"
    for k in 0 1 2 3 4; do
        port=$(sed -n 's/^listen = 127.0.0.1://p' "$dir/${names[$k]}/poad.conf")
        sed -i "s/^\(peer = .*@127.0.0.1:\)$port\$/\1$((base + 2 * k))/" "conf-$i"
    done
    url[i]=http://127.0.0.1:$((base + 50 + i))
    data[i]=$(sed -n 's/^data_dir = //p' "conf-$i")
done
each_s=(1 1 86400 1 1) # the third saves nothing but snapshots
start() { # NODE OPTION...
    local i=$1
    shift
    "$POA_BIN/poad" --config "conf-$i" --checkpoint-s "${each_s[$i]}" "$@" >>"log-$i" 2>&1 &
    pids[$i]=$!
}
height() { curl -s --max-time 5 "${url[$1]}" -d '{"jsonrpc":"2.0","id":1,"method":"poa_status"}' | jq -enr 'input | .result.height'; }
ready() { curl -sf --max-time 2 "${url[$1]}/readyz"; }
for i in 0 1 2 3; do start $i --snapshot-blocks 40; done
for i in 0 1 2 3; do wait_for 60 ready $i || fail "node $i does not start"; done
export POA_RPC=${url[2]} POA_KEYS=$dir/keys
"$poa" send bob 4321 --from alice >/dev/null || fail send

echo "# honest servers make the same parts"
files() { (cd "${data[$1]}" && ls peers-*.snapshot); }
# The entries and the manifest, without the proof between them.
content() {
    local f=${data[$1]}/$2 entries proof manifest
    read -r entries proof manifest < <(tail -c 64 "$f" | od -An -v -t u8 -N 24 -w24)
    { head -c "$entries" "$f"; tail -c $((64 + manifest)) "$f" | head -c "$manifest"; } | sha256sum
}
same() {
    local name i
    for name in $(files 0); do
        [ "$(content 0 "$name")" = "$(content 1 "$name")" ] && [ "$(content 0 "$name")" = "$(content 2 "$name")" ] &&
            [ "$(content 0 "$name")" = "$(content 3 "$name")" ] && return 0
    done 2>/dev/null
    return 1
}
wait_for 180 same || fail "not the same parts: $(for i in 0 1 2 3; do files $i; done)"
for i in 0 1 2 3; do [ "$(files $i | wc -l)" -le 2 ] || fail "node $i keeps $(files $i)"; done

# Two of four stand still, and so does the chain: what the others have to give stays.
hold() { kill -STOP "${pids[0]}" "${pids[1]}"; }
go_on() { kill -CONT "${pids[0]}" "${pids[1]}"; }
key_of() { "$poa" genesis show genesis.poa | jq -r ".witnesses[] | select(.name == \"ledger-$1\") | .key"; }
honest=("$(key_of 2)" "$(key_of 3)")
liars=() bad=() peers=() made=0
liar() { # MODE: a server that asks ledger-2 and changes the answers
    local n=$((made++)) key
    "$poa" keys new "bad-$n" --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" --json >"bad-$n.made" || fail "no key"
    key=$(jq -r .public "bad-$n.made")
    bad+=("$key")
    "$hostile" forged --mesh "127.0.0.1:$((base + 4))" --node "${honest[0]}" --chain "$(cat chain)" --seconds 900 \
        --key "bad-$n.json" --mode "$1" --listen 127.0.0.1:0 >"bad-$n.out" 2>"bad-$n.err" &
    liars+=($!)
    wait_for 60 grep -q ready "bad-$n.out" || fail "$1: $(cat "bad-$n.err")"
    peers+=("$key@127.0.0.1:$(sed -n 's/^ready //p' "bad-$n.out")")
}
new_node() { # NAME PEER...: node 4 with these peers only
    local p
    rm -rf "${data[4]}"
    logs=("$POA_TMP/log-4")
    { grep -v '^peer' "$dir/trusted-0/poad.conf" | sed "s/^genesis = .*/genesis = genesis.poa/; s/^listen = .*/listen = 127.0.0.1:$((base + 8))/; s/^rpc = .*/rpc = 127.0.0.1:$((base + 54))/; s/^gateway = .*/gateway = off/"
        for p in "${@:2}"; do echo "peer = $p"; done; } >conf-4
    mv log-4 "log-4-before-$1" 2>/dev/null || true
    start 4 --snapshot yes
}
at2=${honest[0]}@127.0.0.1:$((base + 4)) at3=${honest[1]}@127.0.0.1:$((base + 6))
joined() { grep -q "snapshot of height .*verified from genesis on" log-4; }
named() { # KEY WORDS
    grep "snapshot: peer ${1:0:16}\.\.\." log-4 | grep -q "$2"
}
nobody_else() { # KEY...: nobody but these is blamed
    local k
    grep "snapshot: peer" log-4 >blamed || true
    for k in "$@"; do
        grep -v "peer ${k:0:16}" blamed >rest || true
        mv rest blamed
    done
    [ ! -s blamed ] || fail "an honest one is blamed: $(cat blamed)"
}
end_liars() {
    [ ${#liars[@]} = 0 ] || kill "${liars[@]}" 2>/dev/null || true
    liars=() bad=() peers=()
}
stop_4() {
    kill -TERM "${pids[4]}"
    wait "${pids[4]}" || fail "node 4: exit code $?"
}

# Meanwhile one that nobody answers: it waits for a minute (see the end).
"$poa" keys new lone --kind node --type ed25519 --no-passphrase --keys "$POA_TMP" --json >lone.made || fail "no key"
grep -v '^peer\|^key\|^data_dir' conf-4 >conf-lone
printf '%s\n' "key = $POA_TMP/lone.json" "data_dir = $POA_TMP/lone-data" "peer = ${honest[0]}@127.0.0.1:$((base + 90))" >>conf-lone
"$POA_BIN/poad" --config conf-lone --listen 127.0.0.1:$((base + 92)) --rpc 127.0.0.1:0 --snapshot yes >log-lone 2>&1 &
pids[5]=$!

echo "# from two honest ones, of which it is told one"
hold
new_node honest "$at2"
wait_for 90 joined || fail "no snapshot was used: $(cat log-4)"
nobody_else
grep -o "snapshot: .* parts, .* from 2 servers" log-4 || fail "not from both: $(grep snapshot log-4)"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
"$poa" status --rpc "${url[4]}" --json | jq -en 'input | .snapshot == null' >/dev/null || fail "it still joins"

echo "# it has what they have"
at=$(height 4)
more() { [ "$(height 4)" -gt $((at + 3)) ]; }
wait_for 60 more || fail "the new node stops at $at"
block() { "$poa" block "$1" --rpc "${url[$2]}" --json | jq -c '[.hash, .header.state]'; }
[ "$(block $((at + 2)) 4)" = "$(block $((at + 2)) 2)" ] || fail "another block"
[ "$("$poa" balance bob --rpc "${url[4]}" --json)" = "$("$poa" balance bob --json)" ] || fail "another balance"
! "$poa" block 1 --rpc "${url[4]}" >/dev/null 2>&1 || fail "it has block 1: that was no snapshot"
"$poa" proof account bob --rpc "${url[4]}" --json | "$poa" verify proof --genesis genesis.poa >/dev/null || fail "its proofs do not verify"
stop_4
"$poa" store check "${data[4]}" >check || fail "$(cat check)"

echo "# one that answers late is waited for"
hold
kill -STOP "${pids[3]}"
new_node late "$at3"
wait_for 60 named "${honest[1]}" "does not answer" || fail "nothing is said: $(cat log-4)"
waits() { "$poa" status --rpc "${url[4]}" | grep -q '^ready *no: joining: looks for a snapshot; 1 server does not answer yet'; }
wait_for 60 waits || fail "$("$poa" status --rpc "${url[4]}" 2>&1; cat log-4)"
kill -CONT "${pids[3]}"
wait_for 90 joined || fail "no snapshot was used: $(cat log-4)"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
stop_4

echo "# an honest server whose file is damaged does not lie, and makes it anew"
calm() { # the newest file of node 2 is of the state in its store
    local at
    hold
    sleep 1
    name=$(files 2 | tail -n 1)
    made=$((10#$(tr -dc 0-9 <<<"$name")))
    at=$(height 2)
    [ "$at" -gt "$made" ] && [ "$at" -lt $((made + 35)) ] && return 0
    go_on
    sleep 1
    return 1
}
wait_for 120 calm || fail "the chain does not stop between two snapshots"
times() { grep -c "snapshot of height $made for peers: [0-9]* bytes" log-2; }
before=$(times) was=$(content 2 "$name")
for at in $(seq 100 20000 "$(tail -c 64 "${data[2]}/$name" | od -An -v -t u8 -N 8)"); do
    printf damage | dd of="${data[2]}/$name" bs=1 seek="$at" conv=notrunc status=none
done
[ "$(content 2 "$name")" != "$was" ] || fail "nothing is damaged"
new_node damaged "$at2"
wait_for 90 joined || fail "no snapshot was used: $(cat log-4)"
nobody_else
[ "$(grep -c "snapshot of height $made for peers: .*damaged on the disk" log-2)" = 1 ] || fail "it does not say so: $(grep snapshot log-2)"
anew() { [ "$(times)" -gt "$before" ]; }
wait_for 60 anew || fail "it is not made anew: $(grep snapshot log-2)"
[ "$(content 2 "$name")" = "$was" ] || fail "it is another one now"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
stop_4

echo "# one forges a part, one does not send any: beside two honest ones"
hold
liar part
liar nopart
new_node parts "${peers[@]}" "$at2" "$at3"
# Killed while it waits for the one that stalls: the next attempt goes on from there.
wait_for 60 named "${bad[0]}" "part of the state that is wrong" || fail "the forger is not named: $(cat log-4)"
kill -KILL "${pids[4]}"
wait "${pids[4]}" 2>/dev/null || true
! joined || fail "it did not wait"
start 4 --snapshot yes
wait_for 90 joined || fail "no snapshot was used: $(cat log-4)"
grep -o "[1-9][0-9]* of [0-9]* parts are here already" log-4 || fail "it begins anew: $(grep snapshot log-4)"
named "${bad[1]}" "does not answer" || fail "the staller is not named: $(grep snapshot log-4)"
nobody_else "${bad[@]}"
[ ! -e "${data[4]}/fetched.state" ] && [ ! -e "${data[4]}/fetched.proof" ] || fail "files are left"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
# Its mesh knows them as well.
"$poa" peers --rpc "${url[4]}" --json >peers.json || fail peers
jq -en --arg key "${bad[0]}" 'input | .. | objects | select(.key? == $key) | .banned or .bans > 0' peers.json >/dev/null ||
    fail "the forger is not banned: $(cat peers.json)"
stop_4
end_liars

echo "# false proofs, a false state, silence: beside one honest one"
hold
liar proof
liar state
liar stall
new_node whole "${peers[@]}" "$at3"
wait_for 90 joined || fail "no snapshot was used: $(cat log-4)"
nobody_else "${bad[@]}"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
stop_4

echo "# one that does not send more than four parts is waited for: status and log say how far it is"
hold
liar few
new_node waiting "${peers[@]: -1}"
status() { "$poa" status --rpc "${url[4]}" "$@" >status.out 2>&1; }
joins() { # CONDITION over .snapshot
    status --json && jq -en "input | .ready == false and (.why | startswith(\"joining: 4 of \")) and (.snapshot | $1)" <status.out >/dev/null
}
wait_for 60 joins '.doing == "fetching" and .parts_held == 4 and .parts > 4 and .servers == 1 and .offered == 1 and
    (.bytes_held | tonumber) > 0 and (.bytes_held | tonumber) < (.bytes | tonumber) and
    (.height | tonumber) % 40 == 0 and (.left_s | tonumber) > 0' || fail "$(cat status.out log-4)"
status || fail "$(cat status.out)"
grep -E '^snapshot   \[#* *\] [1-9][0-9]? %, 4 of [0-9]+ parts, [0-9]+ of [0-9]+ bytes of height [0-9]+ from 1 server, about [0-9]+ s left$' status.out ||
    fail "$(cat status.out)"
grep '^ready      no: joining: 4 of ' status.out || fail "$(cat status.out)"
curl -s --max-time 5 "${url[4]}/readyz" | grep -q "^joining: 4 of" || fail "$(curl -s --max-time 5 "${url[4]}/readyz")"
! "$poa" balance bob --rpc "${url[4]}" >asked 2>&1 || fail "a balance without a state: $(cat asked)"
grep -q "not ready yet" asked || fail "$(cat asked)"
wait_for 60 grep -o "fetching: \[[#.]*\] 4 of [0-9]* parts, .* from 1 server, about [0-9]* s left" log-4 || fail "$(cat log-4)"
echo "# SIGTERM ends that"
kill -TERM "${pids[4]}"
wait "${pids[4]}" || fail "node 4: exit code $?"
grep -q "stopped" log-4 || fail "it was not stopped: $(cat log-4)"
unset "peers[-1]"
go_on

echo "# one that has nothing of what it offers is left after a while: the node begins at genesis"
hold
liar takeback
new_node takeback "${peers[@]: -1}"
wait_for 60 grep -q "no peer gave a snapshot .*: starting from genesis" log-4 || fail "$(tail log-4)"
named "${bad[-1]}" "and does not give it\|does not answer" || fail "it is not named: $(grep snapshot log-4)"
[ "$(grep -c "servers have it" log-4)" -le 20 ] || fail "it is asked $(grep -c "servers have it" log-4) times"
kill -KILL "${pids[4]}"
wait "${pids[4]}" 2>/dev/null || true
unset "peers[-1]"
go_on

echo "# one whose proof does not end is left for another one"
hold
liar drip
new_node drip "${peers[@]: -1}" "$at3"
wait_for 120 joined || fail "no snapshot was used: $(cat log-4)"
named "${bad[-1]}" "does not answer" || fail "who drips is not named: $(grep snapshot log-4)"
nobody_else "${bad[-1]}"
go_on
wait_for 60 ready 4 || fail "the new node does not start"
stop_4
unset "peers[-1]"

echo "# nobody but liars, and one that never gives what it offers: it says so and begins at genesis"
hold
liar empty
new_node liars "${peers[0]}" "${peers[1]}" "${peers[-1]}"
wait_for 240 grep -q "starting from genesis" log-4 || fail "it does not give up: $(cat log-4)"
named "${bad[0]}" "proof that is wrong" || fail "the forger of proofs is not named: $(grep snapshot log-4)"
named "${bad[1]}" "not the chain's" || fail "the forger of states is not named: $(grep snapshot log-4)"
named "${bad[-1]}" "and does not give it" || fail "who gives no part is not named: $(grep snapshot log-4)"
[ "$(grep -c "servers have it" log-4)" -lt 60 ] || fail "it asks again and again"
go_on
kill -KILL "${pids[4]}"
wait "${pids[4]}" 2>/dev/null || true
end_liars

echo "# where no server answers, it begins at genesis after a minute, and says which"
wait_for 90 grep -q "no peer gave a snapshot (no server answered: ${honest[0]:0:16}\.\.\. at 127.0.0.1:$((base + 90))): starting from genesis" log-lone ||
    fail "$(cat log-lone)"
kill -KILL "${pids[5]}"
wait "${pids[5]}" 2>/dev/null || true

# A server that starts again has them still.
has_files() { [ -n "$(files 3)" ]; }
wait_for 60 has_files || fail "no files"
kill -TERM "${pids[3]}"
wait "${pids[3]}" || fail "node 3: exit code $?"
kept=$(files 3)
start 3 --snapshot-blocks 1000000
wait_for 60 ready 3 || fail "node 3 does not come back"
[ "$(files 3)" = "$kept" ] || fail "what it had is gone: $kept"
for i in 0 1 2 3; do kill -TERM "${pids[$i]}"; done
for i in 0 1 2 3; do wait "${pids[$i]}" || fail "node $i: exit code $?"; done
echo ok
