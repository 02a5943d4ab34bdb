#!/bin/bash
# make install puts the programs under DESTDIR and PREFIX, runnable, and make
# uninstall takes them away again.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
run() { "${MAKE:-make}" --no-print-directory BUILD="${BUILD:-build}" PROFILE="${PROFILE:-release}" DESTDIR="$tmp" PREFIX=/opt/poa "$@" >/dev/null; }
run install || exit 1
count=0
for program in "$tmp"/opt/poa/bin/*; do
    [ -x "$program" ] || { echo "FAIL: $program is not executable"; exit 1; }
    "$program" --help >"$tmp/help" 2>&1 || { echo "FAIL: $program --help: exit code $?"; cat "$tmp/help"; exit 1; }
    count=$((count + 1))
done
# What is not installed is named, with where it is.
"$tmp/opt/poa/bin/poa" devnet --chaos devices --data-dir "$tmp/net" >"$tmp/out" 2>&1 && { echo "FAIL: chaos from an installed package"; exit 1; }
[ ! -e "$tmp/net" ] && [ "$(grep -c '' "$tmp/out")" = 1 ] && grep -q 'in the source tree, run .make' "$tmp/out" || { echo "FAIL: --chaos says: $(cat "$tmp/out")"; exit 1; }
# Completion, as the shells load it.
complete_bash() {
    (
        # shellcheck source=/dev/null
        . "$tmp/opt/poa/share/bash-completion/completions/$1"
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        "_$1"
        echo "${COMPREPLY[*]}"
    )
}
expect() {
    local want=$1
    shift
    [ "$(complete_bash "$@")" = "$want" ] || { echo "FAIL: '$*' completes to '$(complete_bash "$@")', not '$want'"; exit 1; }
}
expect send poa se
expect "open release refund show" poa escrow ""
expect "--nonce --note --no-wait" poa send --no
expect --devices poa devnet --de
expect --data-dir poad --data
expect --gateway poa-device --ga
if command -v fish >/dev/null; then
    got=$(HOME=$tmp fish --no-config -c "source $tmp/opt/poa/share/fish/vendor_completions.d/poa.fish; complete -C 'poa escrow r'; complete -C 'poa send --no-w'" | cut -f1 | paste -sd ' ')
    [ "$got" = "refund release --no-wait" ] || { echo "FAIL: fish completes '$got'"; exit 1; }
fi
! command -v zsh >/dev/null || for f in "$tmp"/opt/poa/share/zsh/site-functions/_*; do
    zsh -n "$f" || { echo "FAIL: zsh does not read $f"; exit 1; }
done
# Every verb and each of its options is in the manual page and in each completion.
poa=$tmp/opt/poa/bin/poa
sed 's/\\-/-/g' "$tmp/opt/poa/share/man/man1/poa.1" >"$tmp/page"
verbs=0
while read -r words; do
    grep -qF "poa $words" "$tmp/page" || { echo "FAIL: poa $words is not in the manual page"; exit 1; }
    # shellcheck disable=SC2086
    for option in $("$poa" $words --help | sed -n 's/^  --\([a-z0-9-]*\) .*/\1/p'); do
        for file in page "opt/poa/share/bash-completion/completions/poa" "opt/poa/share/zsh/site-functions/_poa" \
            "opt/poa/share/fish/vendor_completions.d/poa.fish"; do
            grep -qw -- "$option" "$tmp/$file" || { echo "FAIL: poa $words --$option is not in $file"; exit 1; }
        done
    done
    verbs=$((verbs + 1))
done < <("$poa" help | sed -n '/^commands:/,$s/^  \([a-z]* \{0,1\}[a-z]*\)  .*/\1/p')
[ $verbs -gt 70 ] || { echo "FAIL: only $verbs verbs"; exit 1; }
# Every program explains itself with examples, in its help and its page of the manual.
for program in "$tmp"/opt/poa/bin/*; do
    name=${program##*/}
    [ "$name" = poa ] || "$program" --help 2>&1 | grep -qx 'examples:' || { echo "FAIL: $name --help has no examples"; exit 1; }
    page=$(find "$tmp/opt/poa/share/man" -name "$name.[18]")
    grep -q '^\.SH EXAMPLES' "$page" || { echo "FAIL: no page $name, or no examples in it"; exit 1; }
done
run uninstall || exit 1
left=$(find "$tmp/opt" -type f)
[ -z "$left" ] || { echo "FAIL: left after uninstall: $left"; exit 1; }
echo "ok: $count programs installed, run and removed"
