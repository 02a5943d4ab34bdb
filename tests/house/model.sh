#!/bin/bash
# The model is about this code: its mutants exist in poa-sim too, its page names
# all of them, and what the page's table names is there, in model and code.
set -eu
cd "$(dirname "$0")/../.."
page=docs/model/README.md
bad=0
fail() {
    echo "FAIL: $*"
    bad=1
}
mutants=$(docs/model/run.sh --list | sed -n 's/^mutant //p')
[ "$(echo "$mutants" | wc -w)" -ge 7 ] || fail "too few mutants: $mutants"
sim=$("${POA_BIN:-build/release}/poa-sim" --list-mutants)
for m in $mutants; do
    grep -q "\`$m\`" $page || fail "$page does not name the mutant $m"
    grep -qxF "$m" <<<"$sim" || fail "poa-sim has no mutant $m"
    macro=MUTANT_$(tr a-z- A-Z_ <<<"$m")
    grep -qw "$macro" docs/model/*.pml || fail "no model has $macro"
done
for m in $(docs/model/run.sh --list | sed -n 's/^model //p'); do
    grep -q "^| $m |" $page || fail "$page has no row for $m"
done

# | rule | names in the model | `file` `name`... | mutant |
table=$(sed -n '/^## Rule, line, code/,/^## What is left/p' $page | grep '^| [A-Z]')
[ "$(echo "$table" | wc -l)" -ge 10 ] || fail "the table has no rows"
names() { grep -o '`[^`]*`' <<<"$1" | tr -d '`'; }
while IFS='|' read -r _ rule model code _; do
    for name in $(names "$model"); do
        grep -qw "${name%()}" docs/model/*.pml || fail "$rule: no model has $name"
    done
    for name in $(names "$code"); do
        case $name in
        *.c) [ -f "src/consensus/$name" ] || fail "$rule: no file $name" ;;
        *) grep -qw "${name#*->}" src/consensus/*.[ch] || fail "$rule: no $name in src/consensus" ;;
        esac
    done
done <<<"$table"
[ $bad -eq 0 ] && echo "$(echo "$mutants" | wc -w) mutants, $(echo "$table" | wc -l) rules"
