#!/bin/bash
# poa-vectors passes the published vectors in tests/vectors, and those in
# $POA_VECTORS when it is set; and it fails, naming the file, when one digit of
# one of them is another.
set -u
status=0
run() { "$POA_BIN/poa-vectors" "$@" 2>&1; }
complain() {
    echo "FAIL: $1"
    shift
    printf '%s\n' "$@"
    status=1
}

for dir in "$POA_ROOT/tests/vectors" ${POA_VECTORS:+"$POA_VECTORS"}; do
    log=$(run "$dir") || complain "poa-vectors $dir: exit code $?" "$log"
    echo "$log"
    grep -qE 'passed [1-9][0-9]* failed 0' <<<"$log" || complain "$dir: nothing passed"
    ! grep -qE 'failed [1-9]' <<<"$log" || complain "$dir: failures, but exit code 0"
done

# spoil FILE FIELD: flips the last hex digit of the first value of FIELD.
spoil() {
    local copy=$POA_TMP/spoiled file=$1 log rc=0
    rm -rf "$copy"
    cp -r "$POA_ROOT/tests/vectors" "$copy"
    chmod -R u+w "$copy"
    case $file in
    *.csv) sed -i '2s/0A,TRUE/0B,TRUE/' "$copy/$file" ;;
    *) flip "$copy/$file" "$2" ;;
    esac
    cmp -s "$copy/$file" "$POA_ROOT/tests/vectors/$file" && complain "$file: nothing was spoiled"
    log=$(run "$copy") || rc=$?
    if [ $rc -ne 1 ] || ! grep -qE "${file##*/}.* failed [1-9]" <<<"$log"; then
        complain "$file with a wrong $2: exit code $rc" "$log"
    fi
}
flip() { # file, field: the first occurrence only
    awk -v field="\"$2\":" '
        !done && index($0, field) && match($0, /[0-9a-f]",?$/) {
            digit = substr($0, RSTART, 1)
            $0 = substr($0, 1, RSTART - 1) (digit == "0" ? "1" : "0") substr($0, RSTART + 1)
            done = 1
        }
        { print }' "$1" >"$1.new" && mv "$1.new" "$1"
}
spoil vrf/rfc9381_b3_edwards25519_sha512_tai.json pi
spoil vrf/rfc9381_b3_edwards25519_sha512_tai.json beta
spoil vrf/rfc9381_b4_edwards25519_sha512_ell2.json pi
spoil ed25519/rfc8032_ed25519.json sig
spoil noise/ik_xx_blake2b.json ciphertext
spoil noise/ik_xx_blake2b.json handshake_hash
spoil bip340/test-vectors.csv signature

# What is not there, or is no vector file, is an error too.
mkdir "$POA_TMP/empty"
run "$POA_TMP/empty" >/dev/null && complain "an empty folder passes"
run "$POA_TMP/nothing" >/dev/null && complain "a missing folder passes"
exit $status
