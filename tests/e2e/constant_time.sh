#!/bin/bash
# Nothing that runs on a secret takes a branch or reads an address that depends on it:
# identities, handshakes, frames, rekeying, lanes, resumed sessions, VRF proofs, boxes
# at rest and comparisons, in the machine code of this build and of libsodium
# (constant_time.c, under valgrind). And the check can fail.
#
# Not looked at: Argon2id, whose second half reads addresses that depend on the passphrase
# by design; BIP340, because Debian's libsecp256k1 is built without its own marks for this
# check; verification, which sees no secret.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
here=$POA_ROOT/tests/e2e
command -v valgrind >/dev/null || fail "valgrind is missing: tools/install-packages.sh test"
reports() { # PART: prints how many
    local code=0
    valgrind -q --suppressions="$here/constant_time.supp" "$POA_BIN/tests/e2e/constant_time" "$1" >"$1.out" 2>"$1.err" || code=$?
    [ $code -le 1 ] || fail "$1: exit code $code: $(cat "$1.err")"
    sed -n "s/^$1: //p" "$1.out"
}
for part in identities sessions lottery boxes comparison; do
    n=$(reports $part)
    [ "$n" = 0 ] || fail "$part depends on secrets in $n places: $(head -n 20 $part.err)"
    echo "$part: nothing depends on secrets"
done
for part in planted-branch planted-table; do
    [ "$(reports $part)" -ge 1 ] || fail "$part is not found"
done
