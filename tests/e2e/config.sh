#!/bin/bash
# What is wrong with the configuration of poad, or with a file that it names, is one line with
# the place where it stands, exit code 2, and nothing was opened or written. The same for the
# options of poa-device.
set -eu
. "$(dirname "$0")/../runner/e2e.sh"
device=$POA_BIN/poa-device
cd "$POA_TMP"
"$poa" keys new node --kind node --no-passphrase --keys . >/dev/null
"$poa" keys new account --no-passphrase --keys . >/dev/null
"$poa" keys new kettle --kind device --no-passphrase --keys . >/dev/null
echo secret >pass && chmod 600 pass
"$poa" keys new locked --kind node --passphrase-file pass --keys . >/dev/null
"$poa" keys new locked-account --passphrase-file pass --keys . >/dev/null
"$poa" genesis new "node=$(jq -r .public node.json)@127.0.0.1:7640" --steering account --keys . --output n.json >/dev/null
"$poa" genesis create n.json --output genesis.poa >/dev/null
echo wrong >wrong && chmod 600 wrong
echo secret >open-pass && chmod 644 open-pass
cp node.json open.json && chmod 644 open.json
echo '{' >damaged.json && chmod 600 damaged.json
mkdir directory
: >empty
head -c 300 genesis.poa >cut.poa

n=0
one_line() { # PREFIX WORDS
    [ "$(grep -c '' err)" -eq 1 ] || fail "not one line: $(cat err)"
    [[ $(cat err) == "$1"* ]] || fail "does not begin with '$1': $(cat err)"
    grep -q -- "$2" err || fail "lacks '$2': $(cat err)"
    n=$((n + 1))
}
# wrong KEY VALUE WORDS [LINE...]: in a file, then as an option; LINEs are before it.
wrong() {
    local key=$1 value=$2 words=$3 rc=0 lines
    shift 3
    printf '%s\n' "# a comment" "data_dir = data" "genesis = genesis.poa" "rpc = off" "listen = off" "$@" >conf
    printf '%s\n' "$@" | grep -q '^key = ' || echo "key = node.json" >>conf
    sed -i "/^$key = /d" conf
    lines=$(($(grep -c '' conf) + 1))
    echo "$key = $value" >>conf
    "$poad" --config conf >out 2>err || rc=$?
    grep -v ' INFO ' err >lines || :
    mv lines err
    [ $rc -eq 2 ] || fail "$key = $value: exit code $rc: $(cat err)"
    one_line "poad: conf:$lines: $key: " "$words"
    sed -i '$d' conf
    rc=0
    "$poad" --config conf "--${key//_/-}" "$value" >out 2>err || rc=$?
    grep -v ' INFO ' err >lines || :
    mv lines err
    [ $rc -eq 2 ] || fail "--$key $value: exit code $rc: $(cat err)"
    one_line "poad: --${key//_/-}: " "$words"
    [ ! -e data ] && [ ! -e ready ] && [ -z "$(ls ./*.joined-* 2>/dev/null)" ] || fail "$key: something was written: $(ls)"
}

echo "# files that poad needs"
wrong genesis none.poa "poa genesis create"
wrong genesis empty "not a genesis"
wrong genesis cut.poa "not a genesis"
wrong genesis directory "not a regular file"
wrong genesis node.json "node.json"
wrong key none.json "poa keys new node --kind node"
wrong key open.json "chmod 600"
wrong key damaged.json "not a key file"
wrong key account.json "not the key of a node"
wrong key kettle.json "not the key of a node"
wrong key locked.json "passphrase_file"
wrong passphrase_file none "No such file" "key = locked.json"
wrong passphrase_file open-pass "chmod 600" "key = locked.json"
wrong passphrase_file wrong "wrong passphrase" "key = locked.json"
wrong passphrase_file directory "not a regular file"
wrong anchor_key none.json "No such file"
wrong anchor_key open.json "chmod 600" "role = ledger, trusted" "gateway = 127.0.0.1:0"
wrong anchor_key locked-account.json "no-passphrase"
wrong faucet_key account.json "only test networks"
wrong rpc_tokens none "No such file"
wrong rpc_tokens n.json "HASH RIGHT LABEL"
wrong rpc_tls_cert none.pem "No such file" "rpc_tls_key = node.json"
wrong rpc_tls_cert empty "no certificate" "rpc_tls_key = node.json"
wrong data_dir none/data "make it first"
wrong data_dir empty "not a directory"
wrong ready_file none/ready "make it first"
wrong ready_file directory "no file"
if [ "$(id -u)" -ne 0 ]; then
    chmod 500 directory
    wrong data_dir directory/data "must be able to write"
    wrong ready_file directory/ready "must be able to write"
    cp node.json directory.json && chmod 000 directory.json
    wrong key directory.json "Permission denied"
fi

echo "# the file and the options themselves"
refused() { # PREFIX WORDS COMMAND...
    local prefix=$1 words=$2 rc=0
    shift 2
    "$@" >out 2>err || rc=$?
    [ $rc -eq 2 ] || fail "exit code $rc of $*: $(cat err)"
    one_line "$prefix" "$words"
}
printf 'data_dir = data\nno line\n' >conf
refused "poad: conf:2: " "is not KEY = VALUE" "$poad" --config conf
printf 'data_dir = data\ncolour = blue\n' >conf
refused "poad: conf:2: " "is not a key" "$poad" --config conf
refused "poad: --config: " "No such file" "$poad" --config none.conf
refused "poad: --config: " "not a regular file" "$poad" --config directory
printf 'a\0b\n' >binary
refused "poad: " "not a text file" "$poad" --config binary
refused "poad: --workers: " "given twice" "$poad" --workers 1 --workers 1
refused "poad: --colour " "not an option" "$poad" --colour blue
refused "poad: --workers " "needs an argument" "$poad" --workers

echo "# poa-device"
gateway=$(jq -r .public node.json)@127.0.0.1:9
given() { # OPTION VALUE WORDS [ARGUMENT...]: beside what it needs
    local option=$1 value=$2 words=$3 all=(--key kettle.json --gateway "$gateway" --genesis genesis.poa --state state --for 100ms) args=()
    shift 3
    for ((i = 0; i < ${#all[@]}; i += 2)); do
        [ "${all[i]}" = "$option" ] || [ "${all[i]}" = "${1:-}" ] || args+=("${all[i]}" "${all[i + 1]}")
    done
    refused "poa-device: $option: " "$words" "$device" "${args[@]}" "$@" "$option" "$value"
    [ ! -e state ] || fail "$option: something was written"
}
given --key none.json "poa keys new"
given --key open.json "chmod 600"
given --key damaged.json "not a key file"
given --key account.json "not the key of a device"
given --key locked.json "passphrase-file"
given --passphrase-file none "No such file" --key locked.json
given --passphrase-file wrong "wrong passphrase" --key locked.json
given --gateway nonsense "KEY@HOST:PORT"
given --gateway "$(jq -r .public node.json)@h:0" "KEY@HOST:PORT"
given --genesis none.poa "No such file"
given --genesis node.json "no genesis"
given --genesis empty "no genesis"
given --chain zz "64 hex digits"
given --trust-days -1 "0 to 36500"
given --trust-days x "0 to 36500"
given --source carrier-pigeon "procfs, csv:FILE"
given --source csv:none.csv "No such file"
given --interval -1 "seconds"
given --interval 1e9 "seconds"
given --pack-every x "seconds"
given --state none/state "make it first"
given --queue 1 "2 to"
given --queue x "2 to"
given --for forever "30s, 5m"
given --check poa1x "64 hex digits"
given --pair poa1x "character\|short\|address"
given --maker 1 "ID@KEY"
given --region 65536 "0 to 65535"
given --log-level loud "error, warn"
refused "poa-device: --queue: " "given twice" "$device" --key kettle.json --queue 2 --queue 2
refused "poa-device: --key: " "missing" "$device" --gateway "$gateway"
refused "poa-device: --gateway: " "missing" "$device" --key kettle.json
refused "poa-device: --colour" "no such option" "$device" --colour
echo "ok: $n lines"
