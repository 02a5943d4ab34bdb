#!/bin/bash
# 10,000 simulated power cuts: tests/e2e/power.sh, longer.
set -eu
POA_TMP=$(mktemp -d "${TMPDIR:-/tmp}/poa-power.XXXXXX")
trap 'rm -rf "$POA_TMP"' EXIT
export POA_TMP POA_CUTS="${POA_CUTS:-10000}" POA_CUT_STEPS="${POA_CUT_STEPS:-4000}"
"$(dirname "$0")/../e2e/power.sh"
