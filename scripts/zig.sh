#!/bin/sh
# Puts the Zig that zig.lock names into the user's cache, once, and prints the program's path, the only line on stdout.
# About 100 MB come over the network and 410 MB stay.
set -eu

say() { echo "zig: $*" >&2; }
die() { say "$@"; exit 1; }
sum() { { sha256sum "$1" || shasum -a 256 "$1"; } 2>/dev/null; }

cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}} # as Go's os.UserCacheDir
case $(uname -sm) in
'Linux x86_64') host=linux-amd64 ;;
'Linux aarch64') host=linux-arm64 ;;
'Darwin arm64') host=darwin-arm64 cache=${HOME:+$HOME/Library/Caches} ;;
*) die "no Zig is pinned for $(uname -sm)" ;;
esac
case $cache in /*) ;; *) die "the cache folder is \"$cache\", wanted an absolute path; set HOME" ;; esac
read -r version wheel want <<EOF
$(sed -n "s/^$host  *//p" "$(dirname "$0")/zig.lock")
EOF
dir=$cache/godwit/zig/$version
[ ! -x "$dir/zig" ] || { echo "$dir/zig" && exit; }
python3 -c 'import pip' 2>/dev/null || die "want python3 with pip to fetch Zig $version, got none; install it and try again"
mkdir -p "$cache/godwit/zig"
tmp=$(mktemp -d "$cache/godwit/zig/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
if [ -t 2 ]; then exec 3>&2; else exec 3>/dev/null; fi # pip's progress
say "fetching $version for $host through pip"
python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --platform "$wheel" \
	--dest "$tmp" "ziglang==$version" >&3 || die "pip could not fetch it; see above, and try again"
got=$(sum "$tmp"/*.whl)
[ "${got%% *}" = "$want" ] || die "pip gave a package with sha256 ${got%% *}, wanted $want (scripts/zig.lock); nothing was installed"
python3 -c 'import sys, zipfile as z; z.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$tmp"/*.whl "$tmp/out"
chmod 755 "$tmp/out/ziglang/zig"
mv "$tmp/out/ziglang" "$dir" 2>/dev/null || [ -x "$dir/zig" ] || die "$dir is in the way; remove it and try again" # another was faster
say "ready: $dir/zig"
echo "$dir/zig"
