#!/bin/bash
# Checks every #include against the layers.
# usage: tools/check-layers.sh 'module NAME DEPS' 'program MAIN MODULES'
#            'test NAME MODULES'... 'bench NAME MODULES'...
# as the Makefile derives them, modules in the order of the layers.
#
# - A module depends only on modules above it in the list, a device only on
#   what a microcontroller links.
# - It includes only its own headers and public ones (named poa_*.h) of the
#   modules that it names as its dependencies; so do programs and tests.
# - A foreign library is included only by its wrapper; tests may use one to
#   check what we made.
set -u
status=0

declare -A deps rank home
order=()
complain() {
    echo "$1"
    status=1
}

# Headers of libraries and who wraps them.
foreign=(
    '<sodium(/.*)?\.h> src/base/(crypto|sealed)\.c'
    '<secp256k1.*\.h> src/base/keys\.c'
    '<(openssl/.*|event2/bufferevent_ssl\.h)> src/rpc/tls\.c'
    '<leveldb/.*> src/store/.*'
    '<nng/.*> src/p2p/.*'
    '<(ev(ent|http|dns|util|rpc)|event2/.*)\.h> (src/(gateway|rpc|agent)|bench/rpc)/.*'
    '<qrencode\.h> src/agent/qr\.c'
    '<jansson\.h> src/base/(keystore|log)\.c|src/(rpc|cli|node|vectors|agent|gateway)/.*|bench/rpc/.*'
)

for line in "$@"; do
    read -r kind name list <<<"$line"
    [ "$kind" = module ] || continue
    order+=("$name")
    rank[$name]=${#order[@]}
    deps[$name]=$list
done

for m in "${order[@]}"; do
    for d in ${deps[$m]}; do
        if [ -z "${rank[$d]:-}" ]; then
            complain "src/$m/module.mk: no module $d"
        elif [ "${rank[$d]}" -ge "${rank[$m]}" ]; then
            complain "src/$m/module.mk: $m may not depend on $d, which comes after it"
        elif [ "$m" = device ] && [[ ! $d =~ ^(base|vrf|session|witness)$ ]]; then
            complain "src/$m/module.mk: a device links only base, vrf, session and witness, not $d"
        fi
    done
    for h in src/"$m"/*.h; do
        [ -e "$h" ] || continue
        h=${h##*/}
        [ -z "${home[$h]:-}" ] || complain "src/$m/$h: src/${home[$h]} has a header of this name"
        home[$h]=$m
    done
done

# check_file FILE OWNER ALLOWED: OWNER's private headers are allowed too.
check_file() {
    local file=$1 owner=$2 allowed=" $3 " where inc header m
    while IFS=: read -r where inc; do
        if [[ $inc == \"* ]]; then
            header=${inc//\"/}
            if [[ $header == */* ]]; then
                complain "$file:$where: includes $header by path; name the file only"
                continue
            fi
            m=${home[$header]:-}
            # Not a header of src: the folder's own, or a test's helper.
            [ -n "$m" ] || continue
            [ "$m" != "$owner" ] || continue
            if [[ $allowed != *" $m "* ]]; then
                complain "$file:$where: includes $header of $m, which is not among its modules ($3)"
            elif [[ $header != poa_*.h ]]; then
                complain "$file:$where: includes $header, which is private to $m"
            fi
        elif [ "$owner" != - ]; then
            foreign_ok "$inc" "$file" || complain "$file:$where: includes $inc, which only its wrapper may"
        fi
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include' "$file" |
        sed -nE 's/^([0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*(["<][^">]*[">]).*/\1:\2/p')
}

# Headers of no listed library are fine; those of one need a matching wrapper.
foreign_ok() {
    local row pattern known=1
    for row in "${foreign[@]}"; do
        pattern=${row%% *}
        [[ $1 =~ ^$pattern$ ]] || continue
        known=0
        [[ $2 =~ ^(${row#* })$ ]] && return 0
    done
    return $((1 - known))
}

for line in "$@"; do
    read -r kind name list <<<"$line"
    case $kind in
    module)
        for f in src/"$name"/*.[ch]; do
            [ -e "$f" ] || continue
            # A program's main file is checked with what the program links.
            case " $* " in *"program $f "*) continue ;; esac
            check_file "$f" "$name" "${deps[$name]}"
        done
        ;;
    program)
        owner=${name#src/}
        [ -e "$name" ] || complain "$name: a program's main file that is not there"
        [ -e "$name" ] || continue
        check_file "$name" "${owner%%/*}" "$list"
        ;;
    test)
        for f in tests/unit/"$name"/*.[ch]; do
            [ -e "$f" ] && check_file "$f" - "$list"
        done
        ;;
    bench)
        for f in bench/shared/*.[ch] bench/"$name"/*.[ch]; do
            check_file "$f" - "$list"
        done
        ;;
    esac
done
exit $status
