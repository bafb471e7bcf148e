#!/bin/sh
# Puts the pinned libstdc++.so.6 and libgcc_s.so.1, and their copyright, into the user's cache and prints the folder,
# the only line on stdout.
#   libstdcxx.sh --platform linux-amd64|linux-arm64
# apt fetches the packages from the mirrors that this machine knows; root is not needed, and nothing is installed.
# Without apt: put the files of libstdcxx.lock's packages into that folder yourself.
set -eu

say() { echo "libstdcxx: $*" >&2; }
die() { say "$@"; exit 1; }
sum() { { sha256sum "$1" || shasum -a 256 "$1"; } 2>/dev/null; }
fetch() { # package sha256: leaves it as $tmp/deb
	for mirror in $(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sort -u); do
		/usr/lib/apt/apt-helper -qq download-file "$mirror$1" "$tmp/deb" "SHA256:$2" >/dev/null 2>&1 && return
	done
	return 1
}

[ "${1:-}" = --platform ] && [ $# = 2 ] || die "the arguments are \"$*\", wanted --platform linux-amd64 or linux-arm64"
lock=$(dirname "$0")/libstdcxx.lock cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}} # as Go's os.UserCacheDir
case $(uname -s) in Darwin) cache=${HOME:+$HOME/Library/Caches} ;; esac
case $cache in /*) ;; *) die "the cache folder is \"$cache\", wanted an absolute path; set HOME" ;; esac
grep -q "^$2 " "$lock" || die "--platform is \"$2\", wanted linux-amd64 or linux-arm64"
dir=$cache/godwit/libstdcxx/10.2.1-6/$2
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
while read -r on package deb want member; do
	[ "$on" = "$2" ] || continue
	name=${member##*/} && name=${name%.0.28} # the name that programs ask for
	[ ! -f "$dir/$name" ] || case $(sum "$dir/$name") in "$want "*) continue ;; esac
	fetch "$package" "$deb" || die "want ${package##*/} (sha256 $deb), which no Debian mirror of this machine's apt gave;" \
		"put its $member into $dir as $name"
	dpkg-deb --fsys-tarfile "$tmp/deb" | tar -xO "./$member" >"$tmp/file"
	got=$(sum "$tmp/file")
	[ "${got%% *}" = "$want" ] || die "$name has sha256 ${got%% *}, wanted $want ($lock); nothing was installed"
	chmod 755 "$tmp/file" && mv -f "$tmp/file" "$dir/$name"
	rm -f "$tmp/deb"
done <"$lock"
echo "$dir"
