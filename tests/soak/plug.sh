#!/bin/bash
# The plug is pulled on a device 20 times at every step: tests/e2e/plug.sh, longer.
set -eu
POA_TMP=$(mktemp -d "${TMPDIR:-/tmp}/poa-plug.XXXXXX")
trap 'rm -rf "$POA_TMP"' EXIT
export POA_TMP POA_PLUG_ROUNDS="${POA_PLUG_ROUNDS:-20}"
test=$(realpath "$(dirname "$0")/../e2e/plug.sh")
cd "$POA_TMP"
"$test"
