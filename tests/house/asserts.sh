#!/bin/bash
# Criterion 2.4.1 (criterion/internal/assert/op.h) takes gt(T, a, b) for "not
# a < b", which equal values pass. Tests say lt(T, b, a) instead.
set -u
cd "$(dirname "$0")/../.." || exit 1
if grep -rnE '\bgt\([a-z]' tests --include='*.[ch]'; then
    echo "asserts: gt() of Criterion accepts equal values; write lt(T, b, a)"
    exit 1
fi
echo "asserts: none that equal values pass"
