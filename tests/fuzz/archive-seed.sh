#!/bin/bash
# archive-seed.sh ARCHIVE: the archive as an input of the fuzz target, on standard
# output: without checksums, which the target puts back.
set -eu
perl -0777 -ne 'my $at = 8; print "\0";
    while ($at < length) { my ($kind, $n) = unpack("CV", substr($_, $at, 5));
        print pack("C", $kind), substr(pack("V", $n), 0, 3), substr($_, $at + 5, $n); $at += 5 + $n + 32 }' "$1"
