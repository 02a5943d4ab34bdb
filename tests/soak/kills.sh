#!/bin/bash
# 1,000 times SIGKILL and restart: tests/e2e/kills.sh, longer.
set -eu
POA_TMP=$(mktemp -d "${TMPDIR:-/tmp}/poa-kills.XXXXXX")
trap 'rm -rf "$POA_TMP"' EXIT
export POA_TMP POA_KILLS="${POA_KILLS:-1000}"
"$(dirname "$0")/../e2e/kills.sh"
