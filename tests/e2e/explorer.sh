#!/bin/bash
# The explorer and the stream of events of a live network, with curl: every file is there and
# names no other host; what becomes final arrives; an idle crowd keeps nobody out.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
dir=$POA_TMP/net
devnet= reader= crowd=
"$poa" devnet --ledgers 1 --trusted 0 --devices 0 --data-dir "$dir" --json >out 2>err &
devnet=$!
url_of() { "$poa" devnet status --data-dir "$dir" --json | jq -enr 'input | .processes[] | select(.ready) | .rpc'; }
wait_for 60 url_of || fail "no node: $(cat err)"
url=$(url_of)

echo "# files"
curl -sf -H 'Accept: text/html' "$url/" -o index.html || fail "no page"
curl -sf "$url/" | grep -q "JSON-RPC" || fail "what is no browser gets a page"
curl -sfI -H 'Accept: text/html' "$url/" | grep -qi "content-security-policy: default-src 'none'" || fail "no policy"
mkdir files
grep -oE '/explorer/[a-z]+\.(js|css)' index.html | sort -u >names
grep -ohE "from '\./[a-z]+\.js'" "$POA_ROOT"/src/explorer/*.js | sed "s|from '\./|/explorer/|; s|'||" | sort -u >>names
[ "$(wc -l <names)" -ge 5 ] || fail "few files: $(cat names)"
while read -r path; do
    curl -sf "$url$path" -o "files/$(basename "$path")" || fail "$path is missing"
done <names
! grep -lE "https?://" index.html $(find files -type f ! -name 'dygraph.*') || fail "another host is named"

echo "# events"
export POA_RPC=$url POA_KEYS=$dir/keys
bob=$("$poa" keys show bob --json | jq -r .address)
curl -sN "$url/v1/events?topics=block,finality,status&account=$bob" >events &
reader=$!
wait_for 60 grep -q '^event: block' events || fail "no block"
wait_for 60 grep -q '^event: finality' events || fail "no certificate"
wait_for 60 grep -q '^event: status' events || fail "no status"
"$poa" send bob 77 --from alice >sent || fail "send: $(cat sent)"
wait_for 60 grep -q '^event: tx' events || fail "no transaction: $(tail -3 events)"
that() { grep -A2 '^event: tx' events | grep -q '"amount":"77"'; }
wait_for 60 that || fail "not that transaction"
height=$(curl -sf "$url/v1/status" | jq -r .height)
[ "$(curl -sf "$url/v1/block/$height" | jq -r .header.height)" = "$height" ] || fail "block by GET"

echo "# a read with its proof, which verifies offline"
curl -sf -m 60 "$url/v1/account/$bob?proof=true" >read.json || fail "no proof by GET"
jq -en --arg bob "$bob" 'input | .address == $bob and .balance == .proof.entry.balance and .proof.present' read.json \
    >/dev/null || fail "read with proof: $(cat read.json)"
jq .proof read.json >proof.json
"$poa" verify proof proof.json --genesis "$dir/genesis.poa" >verified 2>&1 || fail "proof: $(cat verified)"
curl -sf -m 60 "$url/v1/maker/77?proof=true" | jq -en 'input | .maker == 77 and (.proof.present | not)' >/dev/null ||
    fail "absence by GET"
"$poa" asset create 7 Watthour --max 1000 --supply 10 --from alice >/dev/null || fail "no asset"
escrow=$("$poa" escrow open bob 100 --slots 1000 --from alice --json | jq -r '.escrow // .id')
for what in "asset/7 .supply" "escrow/$escrow .amount"; do
    read -r path field <<<"$what"
    curl -sf -m 60 "$url/v1/$path?proof=true" >read.json || fail "$path: no proof"
    jq -en "input | $field == .proof.entry$field and $field != null and .proof.present" read.json >/dev/null || fail "$path: $(cut -c1-300 read.json)"
    jq .proof read.json | "$poa" verify proof --genesis "$dir/genesis.poa" >verified 2>&1 || fail "$path: $(cat verified)"
done
curl -sf -m 60 "$url/v1/offer/$escrow?proof=true" | jq -en 'input | .proof.present | not' >/dev/null || fail "an offer that there is not"

echo "# a crowd that says nothing, and bodies that are too long"
cat >crowd.py <<'PY'
import resource, signal, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
host, port = sys.argv[1].removeprefix('http://').split(':')
crowd = [socket.create_connection((host, int(port))) for _ in range(3000)]
print(len(crowd), flush=True)
signal.pause()
PY
if command -v python3 >/dev/null && [ "$(ulimit -Hn)" -gt 4000 ]; then
    python3 crowd.py "$url" >crowded &
    crowd=$!
    wait_for 60 grep -q 3000 crowded || fail "no crowd"
    curl -sf -m 20 "$url/v1/status" >/dev/null || fail "a crowd keeps others out"
    kill $crowd
fi
head -c 10000000 /dev/zero >big
code=$(curl -s -m 60 -o answer -w '%{http_code}' -H 'Expect:' --data-binary @big "$url/") || fail "10 MB: curl $?"
[ "$code" = 413 ] || fail "10 MB: $code"
kill $devnet
wait $devnet || true
devnet=
echo "ok"
