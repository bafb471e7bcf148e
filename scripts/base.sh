#!/bin/sh
# Makes a base image for `godwit package --base oci:DIR` out of Debian 12's packages: glibc, libgcc, libstdc++,
# certificates and time zones, nobody's account and no shell; for tests and where no registry can be reached.
#   base.sh DIR [ARCH...]        amd64, arm64 or both; this machine's without one
# The same packages give the same bytes: their versions are in the image, in /var/lib/dpkg/status.d.
set -eu
export LC_ALL=C
case ${1:-} in '') echo "base.sh DIR [ARCH...]" >&2 && exit 2 ;; /*) out=$1 ;; *) out=$PWD/$1 ;; esac
shift
[ $# -gt 0 ] || set -- "$(dpkg --print-architecture)"
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
apt() { # with lists of its own: needs no root, and another architecture leaves the machine as it is
	apt-get -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o APT::Architecture="$arch" \
		-o APT::Architectures="$arch" -o APT::Sandbox::User="$(id -un)" -o APT::Default-Release=bookworm "$@" >&2
}
for arch; do
	work=$tmp/$arch root=$tmp/$arch/root
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$root/tmp" "$root/home/nonroot" "$root/var/lib/dpkg/status.d" "$root/etc/ssl/certs"
	: >"$work/status" && apt update
	(cd "$work/debs" && apt download base-files libc6 libgcc-s1 gcc-12-base libstdc++6 ca-certificates tzdata)
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$root"
		dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
	done
	# What packages do when they are installed, and what none of it needs at run time.
	find "$root/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat >"$root/etc/ssl/certs/ca-certificates.crt"
	ln -sf ../usr/lib/os-release "$root/etc/os-release" && ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
	printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: nonroot:x:65532: >"$root/etc/group"
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
	find "$root" -type d -name gconv -prune -exec rm -rf {} +
	rm -rf "${root:?}"/usr/bin "$root"/usr/sbin "$root"/etc/update-motd.d "$root"/usr/share/gcc "$root"/usr/share/gdb "$root"/usr/share/doc/*/examples \
		"$root"/usr/share/man "$root"/usr/share/lintian "$root"/usr/share/bug "$root"/usr/share/zoneinfo/right
	find "$root/usr/share/doc" ! -name copyright ! -type d -delete
done
go run ./scripts/base "$out" $(for arch; do echo "$arch=$tmp/$arch/root"; done)
