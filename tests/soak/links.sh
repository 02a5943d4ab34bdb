#!/bin/bash
# tests/e2e/links.sh at length: each measurement 30 s, a partition of 60 s, and no
# slack for other work on the machine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poa-links.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
POA_BIN=${POA_BIN:?} POA_TMP=$tmp LINK_SECONDS=${LINK_SECONDS:-30} LINK_CUT_S=${LINK_CUT_S:-60} \
    LINK_SLACK_MS=${LINK_SLACK_MS:-0} "$here/../e2e/links.sh"
