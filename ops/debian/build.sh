#!/bin/bash
# Makes BUILD/poa_VERSION_ARCH.deb from what `make programs man` built. `make deb` calls it.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
version=$(sed -n 's/^#define POA_VERSION "\(.*\)"$/\1/p' src/base/poa_version.h)
arch=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-poa maintainers} <${DEBEMAIL:-maintainers@poa.invalid}>"
# The same sources give the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
work=$build/deb
root=$work/root
rm -rf "$work"
mkdir -p "$root/DEBIAN" "$work/debian"
${MAKE:-make} --no-print-directory -s BUILD="$build" PROFILE=release DESTDIR="$root" PREFIX=/usr \
    ZSH_COMPLETIONS=share/zsh/vendor-completions UNITS=../lib/systemd/system install

for program in "$root"/usr/bin/*; do
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$program"
done
find "$root/usr/share/man" -type f -exec gzip -9n {} +
doc=$root/usr/share/doc/poa
install -d "$doc" "$root/etc/poa" "$root/usr/share/lintian/overrides"
install -m 644 README.md docs/*.md docs/*.png docs/*.svg "$doc"
# Pages lie side by side there; what else they link stays in the sources.
for page in "$doc"/*.md; do
    sed -Ezi 's#\]\(docs/#](#g; s#\[([^]]*)\]\((\.\./|model/|tools/|tests/|CONTRIBUTING|CHANGELOG|LICENSE)[^)]*\)#\1#g' "$page"
done
install -m 644 ops/debian/copyright "$doc/copyright"
install -m 644 ops/debian/lintian-overrides "$root/usr/share/lintian/overrides/poa"
printf 'poa (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/poa/README.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -uRd "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
"$build/release/poad" --print-config --data-dir /var/lib/poa --genesis /etc/poa/genesis.poa \
    --key /var/lib/poa/node.json >"$root/etc/poa/poad.conf"

# What the programs link, as versions of Debian packages.
printf 'Source: poa\n\nPackage: poa\nArchitecture: any\n' >"$work/debian/control"
programs=$(find "$root/usr/bin" -type f -printf '-eroot/usr/bin/%f ')
# shellcheck disable=SC2086 # a list of words
depends=$(cd "$work" && dpkg-shlibdeps -O $programs 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@MAINTAINER@/$maintainer/; s/@DEPENDS@/$depends/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root" | cut -f1)/" ops/debian/control >"$root/DEBIAN/control"
echo /etc/poa/poad.conf >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "ops/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f ! -path ./etc/poa/poad.conf -printf '%P\n' | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$root"
dpkg-deb --root-owner-group --build "$root" "$build/poa_${version}_$arch.deb" >/dev/null
echo "$build/poa_${version}_$arch.deb"
