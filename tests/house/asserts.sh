#!/bin/bash
# Checks that cannot fail where they should:
# - Criterion 2.4.1 (criterion/internal/assert/op.h) takes gt(T, a, b) for "not
#   a < b", which equal values pass. Tests say lt(T, b, a) instead.
# - jq 1.6 exits with 0 when -e gets no input at all, as after a command that
#   failed. Tests say jq -en 'input | ...' instead.
set -u
cd "$(dirname "$0")/../.." || exit 1
if grep -rnE '\bgt\([a-z]' tests --include='*.[ch]'; then
    echo "asserts: gt() of Criterion accepts equal values; write lt(T, b, a)"
    exit 1
fi
if grep -rnE '\bjq (-[a-mo-z]*e[a-mo-z]*|--exit-status) ' tests docs README.md --include='*.sh' --include='*.md' | grep -v '^tests/house/asserts.sh'; then
    echo "asserts: jq -e takes no input for true; write jq -en 'input | ...'"
    exit 1
fi
echo "asserts: none that cannot fail"
