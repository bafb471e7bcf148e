#!/bin/sh
# Makes a base image for `godwit package --base oci:DIR` out of Debian 12's packages: glibc, libgcc, libstdc++,
# certificates and time zones, nobody's account and no shell; for tests and where no registry can be reached.
#   base.sh DIR [amd64|arm64]
# The same packages give the same bytes: their versions are in the image, in /var/lib/dpkg/status.d.
set -eu
export LC_ALL=C
[ $# -ge 1 ] && [ -n "$1" ] || { echo "base.sh DIR [amd64|arm64]" >&2; exit 2; }
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
arch=${2:-$(dpkg --print-architecture)}
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$tmp" # apt's own user reads there
mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$tmp/debs" "$tmp/root/tmp" "$tmp/root/home/nonroot"
: >"$tmp/status"
apt() { # with lists of its own: needs no root, and another architecture leaves the machine as it is
	apt-get -qq -o Dir::State="$tmp/state" -o Dir::State::status="$tmp/status" -o Dir::Cache="$tmp/cache" \
		-o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User="$(id -un)" -o APT::Default-Release=bookworm "$@" >&2
}
apt update
(cd "$tmp/debs" && apt download base-files libc6 libgcc-s1 gcc-12-base libstdc++6 ca-certificates tzdata)
root=$tmp/root
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in "$tmp"/debs/*.deb; do
	dpkg-deb -x "$deb" "$root"
	dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
done
# What packages do when they are installed, and what none of it needs at run time.
mkdir -p "$root/etc/ssl/certs"
find "$root/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat >"$root/etc/ssl/certs/ca-certificates.crt"
ln -s ../usr/lib/os-release "$root/etc/os-release" 2>/dev/null || :
ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
find "$root" -type d -name gconv -prune -exec rm -rf {} +
rm -rf "$root"/usr/share/man "$root"/usr/share/lintian "$root"/usr/share/bug "$root"/usr/share/zoneinfo/right "$root"/usr/sbin "$root"/usr/bin
find "$root/usr/share/doc" ! -name copyright ! -type d -delete
go run ./scripts/base "$root" "$arch" "$out"
