#!/bin/bash
# The commands in the documents. Every line of a ```sh block must name programs,
# targets and files that exist; a block marked ```sh test is run, in a fresh
# directory per document where build/release holds the programs, and must
# succeed within BLOCK_LIMIT seconds. A process that a block starts ends with the block.
set -u
cd "$POA_ROOT" || exit 2
status=0
targets=$("${MAKE:-make}" --no-print-directory help | awk "/^  / { print \$1 }")
work=${POA_TMP:-$(mktemp -d)}/docs
BLOCK_LIMIT=240

complain() {
    echo "FAIL: $1"
    status=1
}

# run_block DIRECTORY BLOCK, its output in $work/log. What takes too long is shown where it is.
run_block() {
    local rc=0
    (
        cd "$1" || exit 2
        exec timeout --foreground -k 30 $BLOCK_LIMIT bash -euo pipefail -c "
            trap 'kill \$(jobs -p) 2>/dev/null || :; wait' EXIT
            trap 'echo \"in: \$BASH_COMMAND\"; ps -eo pid,ppid,etimes,stat,wchan:20,args | grep [p]oa; exit 124' TERM
            $2"
    ) >"$work/log" 2>&1 </dev/null || rc=$?
    case $rc in
    124 | 137)
        {
            echo "no end after $BLOCK_LIMIT s"
            tail -n 5 "$1"/*/*.log 2>/dev/null
        } >>"$work/log"
        ;;
    esac
    return $rc
}

# known FILE:LINE WORDS...
known() {
    local at=$1 word=$2 arg
    shift 2
    case $word in
    '' | '#'*) ;;
    git | cd | cp | curl | jq | sudo | kill | sleep | cat | echo | mkdir | ls | gdb | export) ;;
    . | until | while | *=* | *'()') ;; # of the shell
    make)
        for arg; do
            case $arg in
            *=* | "#"*) break ;; # a variable, whose value may hold spaces; a comment
            esac
            grep -qxF -- "$arg" <<<"$targets" || complain "$at: make has no target $arg"
        done
        ;;
    build/*/tests/unit_*)
        [ -d "tests/unit/${word##*/unit_}" ] || complain "$at: no unit tests $word"
        ;;
    build/*/poa* | poa | poad | poa-*)
        local program=$POA_BIN/${word##*/}
        [ -x "$program" ] || { complain "$at: no program $word" && return; }
        # A subcommand must be one that the help names.
        case ${1:-} in
        [a-z]*)
            [ "${word##*/}" != poa ] || "$program" --help 2>&1 | grep -qw -- "$1" || complain "$at: poa --help does not name $1"
            ;;
        esac
        ;;
    *)
        [ -x "$word" ] || complain "$at: unknown command $word"
        ;;
    esac
}

for doc in README.md CONTRIBUTING.md docs/*.md; do
    number=0 run=0 inside='' block='' text=''
    while IFS= read -r line; do
        number=$((number + 1))
        case $inside:$line in
        ':```sh') inside=plain continued= ;;
        ':```sh test') inside=test continued='' block='' first=$number ;;
        plain:'```') inside= ;;
        test:'```')
            inside=
            run=$((run + 1))
            dir=$work/${doc//\//_}
            mkdir -p "$dir/build"
            ln -sfn "$POA_BIN" "$dir/build/release"
            if ! run_block "$dir" "$block"; then
                complain "$doc:$first: this block failed:"
                printf '%s\n' "$block" "--- its output:"
                cat "$work/log"
            fi
            ;;
        plain:* | test:*)
            block+=$line$'\n'
            # Only the first line of a continued command names a program, and what
            # goes into a file (<<'END') none.
            if [ -n "$text" ]; then
                [ "$line" != "$text" ] || text=
                continue
            fi
            [[ $line != *"<<'"*"'" ]] || { text=${line##*"<<'"} && text=${text%"'"}; }
            if [ -z "$continued" ]; then
                read -ra words <<<"${line#\$ }"
                known "$doc:$number" "${words[@]:-}"
            fi
            [[ $line == *\\ ]] && continued=yes || continued=
            ;;
        esac
    done <"$doc"
    [ -z "$inside" ] || complain "$doc: a block is not closed"
    echo "$doc: $run blocks run"
done

# Links between the documents lead somewhere.
while IFS=: read -r doc link; do
    link=${link%%#*}
    [ -z "$link" ] || [ -e "$(dirname "$doc")/$link" ] || complain "$doc: link to $link, which is not there"
done < <(grep -oE '\]\([^):]+\)' README.md CONTRIBUTING.md docs/*.md | sed 's/\](\(.*\))$/\1/')
exit $status
