#!/bin/bash
# make deb: the package has what it should, twice the same bytes, and no error of lintian
# (when that is installed). ops/debian/test.sh installs and purges it, in a chroot.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
fail() {
    echo "FAIL: $*"
    exit 1
}
command -v dpkg-shlibdeps >/dev/null || { echo "skipped: no dpkg-dev" && exit 0; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
build=${BUILD:-build}
[ -x "$build/release/poa" ] || { echo "skipped: no release build in $build" && exit 0; }
one() { POA_PACKAGES=skip "${MAKE:-make}" --no-print-directory BUILD="$build" PROFILE=release deb >"$tmp/log" 2>&1 || { cat "$tmp/log" && fail "make deb"; }; }
one
deb=$(tail -1 "$tmp/log")
cp "$deb" "$tmp/first.deb"
one
cmp -s "$deb" "$tmp/first.deb" || fail "two builds differ"
dpkg-deb -c "$deb" | awk '{ print $6 }' >"$tmp/files"
for f in bin/poad bin/poa bin/poa-device share/man/man8/poad.8.gz share/man/man1/poa.1.gz share/doc/poa/operating.md \
    share/bash-completion/completions/poa share/zsh/vendor-completions/_poa share/fish/vendor_completions.d/poa.fish share/poa/alerts.yml; do
    grep -qx "./usr/$f" "$tmp/files" || fail "no /usr/$f"
done
grep -qx ./lib/systemd/system/poad.service "$tmp/files" || fail "no unit"
mkdir "$tmp/root"
dpkg-deb -x "$deb" "$tmp/root"
doc=$tmp/root/usr/share/doc/poa
grep -oE '\]\([^)]*\)' "$doc"/*.md | sed -E 's/^.*\]\(([^)#]*).*$/\1/' | sort -u | while read -r link; do
    [[ -z $link || $link == *://* || -e $doc/$link ]] || echo "$link"
done >"$tmp/dead"
[ ! -s "$tmp/dead" ] || fail "the documents link what the package does not have: $(xargs <"$tmp/dead")"
# The conffile is what the program prints, and it reads it back.
"$tmp/root/usr/bin/poad" --config "$tmp/root/etc/poa/poad.conf" --print-config | cmp -s - "$tmp/root/etc/poa/poad.conf" || fail "poad.conf does not read back"
for page in "$tmp"/root/usr/share/man/man?/*.gz; do
    zcat "$page" | grep -q '^\.SH EXAMPLES' || fail "$page has no examples"
    ! command -v man >/dev/null || [ -z "$(LC_ALL=C.UTF-8 man --warnings -l -Tutf8 "$page" 2>&1 >/dev/null)" ] || fail "$page: $(man --warnings -l -Tutf8 "$page" 2>&1 >/dev/null | head -3)"
done
if command -v lintian >/dev/null; then
    (cd "$tmp" && lintian --allow-root --fail-on error "$root/$deb" 2>&1) | tee "$tmp/lintian"
    [ "${PIPESTATUS[0]}" -eq 0 ] || fail "lintian"
fi
echo "ok: $(du -k "$deb" | cut -f1) KiB, $(wc -l <"$tmp/files") entries"
