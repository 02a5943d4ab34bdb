#!/bin/bash
# tests/e2e/pruned.sh at length: SOAK_SECONDS (900), and what a pruned node takes in the second
# half may not exceed the first by more than: memory 15 % and 4 MiB; disk without packs, at least,
# 25 % and 2 MiB, and at most, as much again and 8 MiB; descriptors a tenth and 8; files of the
# database a half and 10. SOAK_DIR keeps the folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=${SOAK_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/poa-pruned.XXXXXX")}
[ -n "${SOAK_DIR:-}" ] || trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"
cd "$tmp"
POA_BIN=${POA_BIN:?} POA_TMP=$tmp PRUNED_SECONDS=${SOAK_SECONDS:-900} PRUNED_BOUND=yes \
    PRUNED_EPOCH_VIEWS=${SOAK_EPOCH_VIEWS:-150} "$here/../e2e/pruned.sh"
