#!/bin/bash
# The RPC beyond loopback: TLS by a certificate, bearer tokens, pages of other sites, and what
# is refused at the start, with real sockets and curl.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
cd "$POA_TMP"
node=
trap '[ -z "$node" ] || kill $node 2>/dev/null; wait' EXIT
req() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=node -addext "$1" -keyout "$2.key" -out "$2.pem" 2>/dev/null; }
req subjectAltName=IP:127.0.0.1,DNS:localhost good
req subjectAltName=DNS:other.example other
# One that has expired, signed by itself.
mkdir ca && touch ca/index && echo 01 >ca/serial
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=ca/index\nserial=ca/serial\nnew_certs_dir=ca\ndefault_md=sha256\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n' >ca.conf
openssl req -new -key good.key -subj /CN=old -out old.csr
openssl ca -batch -config ca.conf -selfsign -keyfile good.key -startdate 20200101000000Z -enddate 20200201000000Z -in old.csr -out old.pem 2>/dev/null
openssl ca -batch -config ca.conf -selfsign -keyfile good.key -startdate 20600101000000Z -enddate 20610201000000Z -in old.csr -out early.pem 2>/dev/null
chmod 600 ./*.key

"$poa" keys new node --kind node --no-passphrase --keys . >/dev/null
"$poa" keys new boss --no-passphrase --keys keys >/dev/null
"$poa" genesis new "node=$("$poa" keys show node --keys . --json | jq -r .public)@127.0.0.1:7640" --steering boss --keys keys --output n.json >/dev/null
"$poa" genesis create n.json --output genesis.poa >/dev/null
options=(--data-dir data --key node.json --genesis genesis.poa --listen off --ready-file ready)

# What does not do is said in one line, and nothing starts.
refused() {
    local want=$1
    shift
    [[ " $* " = *" --rpc "* ]] || set -- --rpc 127.0.0.1:0 "$@"
    local code=0
    timeout 120 "$poad" "${options[@]}" "$@" >out 2>err || code=$?
    case $want in *early* | 'not valid before'*) [ $code -eq 1 ] ;; *) [ $code -eq 2 ] ;; esac || fail "$*: exit code $code: $(cat err)"
    [ "$(grep -c '^poad: ' err)" = 1 ] && grep -q "^poad: .*$want" err || fail "$*: no line with '$want': $(cat err)"
}
: >empty
cp good.key open.key && chmod 644 open.key
openssl ec -in good.key -aes128 -passout pass:x -out locked.key 2>/dev/null && chmod 600 locked.key
refused 'needs rpc_tls_key too' --rpc-tls-cert good.pem
refused 'rpc-tls-cert: none.pem: No such file' --rpc-tls-cert none.pem --rpc-tls-key good.key
refused 'rpc-tls-key: none.key: No such file' --rpc-tls-cert good.pem --rpc-tls-key none.key
refused 'rpc-tls-cert: empty: no certificate' --rpc-tls-cert empty --rpc-tls-key good.key
refused 'rpc-tls-key: empty: others may read\|rpc-tls-key: empty: no private key' --rpc-tls-cert good.pem --rpc-tls-key empty
refused 'not the key of the certificate good.pem' --rpc-tls-cert good.pem --rpc-tls-key other.key
refused 'expired on 2020-02-01' --rpc-tls-cert old.pem --rpc-tls-key good.key
refused 'not valid before 2060-01-01' --rpc-tls-cert early.pem --rpc-tls-key good.key
refused 'others may read it (mode 644): chmod 600' --rpc-tls-cert good.pem --rpc-tls-key open.key
refused 'no private key in PEM form without a passphrase' --rpc-tls-cert good.pem --rpc-tls-key locked.key
refused 'reachable from other machines: give rpc_tls_cert' --rpc 0.0.0.0:0
refused 'No such file' --rpc-tokens none
refused 'HASH RIGHT LABEL' --rpc-tokens n.json
refused 'none of nothing, read, submit, operate' --rpc-anonymous all
if [ "$(id -u)" -ne 0 ]; then
    cp good.key shut.key && chmod 000 shut.key
    refused 'shut.key: Permission denied' --rpc-tls-cert good.pem --rpc-tls-key shut.key
fi

[ ! -e data ] || fail "a database was made before the RPC was looked at"

for right in read submit operate; do "$poa" token new "$right" --right $right --tokens tokens >$right.token && chmod 600 $right.token; done
! grep -qf read.token tokens || fail "the file has a token in plain text"
pids=()
for i in 1 2 3 4 5 6 7 8; do "$poa" token new "at-once-$i" --tokens several >/dev/null & pids+=($!); done
for p in "${pids[@]}"; do wait "$p" || fail "token new, eight at once"; done
[ "$("$poa" token list --tokens several | wc -l)" -eq 8 ] || fail "tokens are lost: $("$poa" token list --tokens several)"
"$poad" "${options[@]}" --rpc 0.0.0.0:0 --rpc-tls-cert good.pem --rpc-tls-key good.key --rpc-tokens tokens \
    --rpc-anonymous nothing --rpc-cors https://wallet.example >log 2>&1 &
node=$!
wait_for 60 test -s ready || fail "it does not start: $(cat log)"
port=$(sed -n 's/^rpc .*:\([0-9]*\)$/\1/p' ready)
[ -n "$port" ] || fail "it does not start"
url=https://127.0.0.1:$port
get() { curl -s --max-time 60 --cacert good.pem "$@"; }
code() { get -o /dev/null -w '%{http_code}' "$@"; }
bearer() { printf 'Authorization: Bearer %s' "$(cat "$1.token")"; }

# TLS: nothing in plain text, nobody else's certificate, no old version.
! curl -s --max-time 10 "http://127.0.0.1:$port/healthz" || fail "it answers in plain text"
! curl -s --cacert other.pem "$url/healthz" || fail "a certificate of another was accepted"
! get --tls-max 1.1 "$url/healthz" || fail "TLS 1.1"
[ "$(get "$url/healthz")" = ok ] || fail "no health"
# Who connects and says nothing, or nonsense, does not stand in the way.
exec 5<>"/dev/tcp/127.0.0.1/$port" 6<>"/dev/tcp/127.0.0.1/$port"
# It may be gone before all is said (SIGPIPE).
(printf 'GET / HTTP/1.1\r\n\r\n' >&6) 2>/dev/null || true
[ "$(code "$url/healthz")" = 200 ] || fail "a silent connection is in the way"
exec 5>&- 6>&-

# The other scheme than the node's is named.
! "$poa" status --rpc "http://127.0.0.1:$port" >out 2>err || fail "status over http"
[ "$(wc -l <err)" -eq 1 ] && grep -q 'does not answer over http: is it https?' err || fail "http to https: $(cat err)"

# Tokens.
[ "$(code "$url/v1/status")" = 401 ] || fail "reads without a token"
get -i "$url/v1/status" | grep -qi '^WWW-Authenticate: Bearer' || fail "no challenge"
[ "$(code "$url/metrics")" = 401 ] || fail "metrics without a token"
[ "$(code "$url/v1/events")" = 401 ] || fail "events without a token"
[ "$(code -H 'Authorization: Bearer poa_0000' "$url/v1/status")" = 401 ] || fail "a wrong token"
[ "$(code -H "$(bearer read)x" "$url/v1/status")" = 401 ] || fail "a token and more"
[ "$(code -H "$(bearer read)" "$url/v1/status")" = 200 ] || fail "a token to read"
[ "$(code -H "$(bearer read)" "$url/v1/peers")" = 403 ] || fail "peers with a token to read"
[ "$(code -H "$(bearer operate)" "$url/v1/peers")" = 200 ] || fail "peers with a token to operate"
call() { get -H "$(bearer "$1")" -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"poa_tx_send\",\"params\":[\"00\"]}" "$url/" | jq -r .error.data.name; }
[ "$(call read)" = FORBIDDEN ] || fail "a token to read sends: $(call read)"
[ "$(call submit)" != FORBIDDEN ] || fail "a token to submit does not send"

# Events, for longer than a request takes.
curl -sN --cacert good.pem -H "$(bearer read)" --max-time 300 "$url/v1/events?topics=block" >events &
reader=$!
sleep 4
two() { [ "$(grep -c '^event: block' events)" -ge 2 ]; }
wait_for 50 two || fail "events over TLS: $(head -3 events)"
kill $reader
wait $reader || true

# Pages of other sites.
[ "$(code -H 'Origin: https://evil.example' -H "$(bearer read)" "$url/v1/status")" = 403 ] || fail "a foreign page"
get -i -H 'Origin: https://wallet.example' -H "$(bearer read)" "$url/v1/status" | grep -qi '^Access-Control-Allow-Origin: https://wallet.example' || fail "a page that is allowed"
[ "$(code -X OPTIONS -H 'Origin: https://wallet.example' "$url/")" = 204 ] || fail "its preflight"
[ "$(code -X OPTIONS -H 'Origin: https://evil.example' "$url/")" = 403 ] || fail "a foreign preflight"

# The command line.
cli() { "$poa" status --rpc "$url" --json "$@" 2>err; }
cli --cacert good.pem --token-file read.token | jq -en 'input | .height' >/dev/null || fail "poa: $(cat err)"
pin=$(openssl x509 -in good.pem -noout -fingerprint -sha256 | cut -d= -f2)
cli --pin "$pin" --token-file read.token | jq -en 'input | .height' >/dev/null || fail "poa --pin: $(cat err)"
! cli --pin "$(tr A-F0-9 0-9A-F <<<"$pin")" --token-file read.token || fail "another pin"
grep -q 'not trusted' err || fail "another pin: $(cat err)"
! cli --token-file read.token || fail "trusted for nothing"
grep -q 'not trusted.*--cacert' err || fail "no advice: $(cat err)"
! cli --cacert good.pem || fail "without a token"
grep -q 'wants a token' err || fail "no advice: $(cat err)"
! "$poa" status --rpc http://192.0.2.1:7645 --token-file read.token 2>err || fail "a token in plain text"
grep -q 'plain text: use https' err || fail "no advice: $(cat err)"
chmod 644 read.token
! cli --cacert good.pem --token-file read.token || fail "a token that others may read"
chmod 600 read.token

# The certificate and the tokens may change while it runs; what does not do changes nothing.
"$poa" token revoke read --tokens tokens >/dev/null
cp good.key first.key
cp other.key good.key
kill -HUP $node
wait_for 60 grep -q 'not reloaded' log || fail "nothing is said of a reload that failed"
[ "$(code -H "$(bearer read)" "$url/v1/status")" = 200 ] || fail "a reload that failed took the token"
cp good.pem first.pem && cp other.pem good.pem
kill -HUP $node
wait_for 60 grep -q 'read again' log || fail "it does not reload"
curl -s --max-time 20 --cacert other.pem --resolve "other.example:$port:127.0.0.1" "https://other.example:$port/healthz" | grep -q ok || fail "the new certificate is not in use"
[ "$(curl -s -o /dev/null -w '%{http_code}' -k -H "$(bearer read)" "$url/v1/status")" = 401 ] || fail "the revoked token is still good"
kill $node
wait $node || fail "it did not stop cleanly"
node=

# So many requests of one address, and no more. The loopback has no limit, so in a network of
# its own the address is another one.
cat >rate.sh <<'END'
set -eu
ip link set lo up
ip address add 192.0.2.1/32 dev lo
rm -f ready
"$@" &
trap "kill $!; wait" EXIT
for _ in $(seq 600); do [ -s ready ] && break; sleep 0.1; done
port=$(sed -n 's/^rpc .*:\([0-9]*\)$/\1/p' ready)
many() { for _ in $(seq 60); do echo "url = $1"; echo "output = /dev/null"; done | curl -s -k -K - -w '%{http_code}\n' | sort | uniq -c | tr -s ' \n' ' '; }
echo "far: $(many "https://192.0.2.1:$port/healthz")"
echo "near: $(many "https://127.0.0.1:$port/healthz")"
END
cp first.pem good.pem && openssl pkey -in first.key -out good.key && chmod 600 good.key
if unshare -rn true 2>/dev/null; then
    unshare -rn bash rate.sh "$poad" "${options[@]}" --rpc 0.0.0.0:0 --rpc-tls-cert good.pem --rpc-tls-key good.key --rpc-rate 5 >rates 2>log
    grep -q '^far: .* [0-9]* 429' rates || fail "no limit: $(cat rates)"
    grep -q '^far: *[0-9]* 200' rates || fail "no more than a limit: $(cat rates)"
    grep -q '^near: *60 200' rates || fail "a limit of the loopback: $(cat rates)"
fi
echo ok
