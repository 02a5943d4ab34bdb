#!/bin/bash
# Power cuts at random moments of a real LevelDB under the store: whatever was
# promised is there, and nothing is half there. POA_CUTS (400), POA_CUT_STEPS
# (1500), POA_SEED; the soak does 10,000.
set -eu
bin=$POA_BIN/tests/crash
work=$POA_TMP/work
mkdir -p "$work"
cd "$POA_TMP"
LD_PRELOAD=$bin/shim.so POA_SHIM_DIR=$work/db POA_SHIM_TRACE=$POA_TMP/trace \
    "$bin/writer" "$work" "${POA_CUT_STEPS:-1500}"
"$bin/cuts" trace disk "${POA_CUTS:-400}" "${POA_SEED:-20261121}"

echo "# the test sees a disk that forgets what was synced"
# Without the records of syncs nothing was ever durable.
perl -0777 -ne 'my ($at, $out) = (0, "");
    while ($at < length) { my ($op, $file, $n) = unpack("LLL", substr($_, $at, 12));
        $out .= substr($_, $at, 12 + $n) unless $op == 4; $at += 12 + $n }
    print $out' trace >forgetful
! "$bin/cuts" forgetful disk 50 1 >out || { echo "FAIL: it did not"; exit 1; }
cat out
echo ok
