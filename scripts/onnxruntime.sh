#!/bin/sh
# Puts the pinned ONNX Runtime library into the user's cache and prints its path.
#   onnxruntime.sh [--platform linux-amd64|linux-arm64|darwin-arm64] [--dest DIR] [--via npm|pip|auto] [--print]
# --print only says where the file belongs. GODWIT_ONNXRUNTIME wins when no platform, folder or source is asked for.
# What is accepted stands in onnxruntime.lock. stdout carries the path and nothing else.
set -eu

say() { echo "onnxruntime: $*" >&2; }
die() { say "$@"; exit 1; }
sum() { # openssl uses the processor's SHA instructions: 5 times faster than the others
	{ openssl dgst -sha256 -r "$1" || sha256sum "$1" || shasum -a 256 "$1" || echo none; } 2>/dev/null | cut -c1-64
}

platform='' dest='' via=auto print='' asked=''
while [ $# -gt 0 ]; do
	case $1 in
	--platform | --dest | --via) [ $# -gt 1 ] || die "$1 wants a value" ;;
	esac
	case $1 in
	--platform) platform=$2 asked=1; shift 2 ;;
	--dest) dest=$2 asked=1; shift 2 ;;
	--via) via=$2 asked=1; shift 2 ;;
	--print) print=1; shift ;;
	*) die "unknown argument \"$1\"; use [--platform P] [--dest DIR] [--via npm|pip|auto] [--print]" ;;
	esac
done
case $via in npm | pip | auto) ;; *) die "--via is \"$via\", wanted npm, pip or auto" ;; esac

if [ -n "${GODWIT_ONNXRUNTIME:-}" ] && [ -z "$asked" ]; then
	[ -f "$GODWIT_ONNXRUNTIME" ] || die "GODWIT_ONNXRUNTIME is \"$GODWIT_ONNXRUNTIME\", which is not a file; correct it, or unset it and run: make onnxruntime"
	echo "$(cd "$(dirname "$GODWIT_ONNXRUNTIME")" && pwd)/$(basename "$GODWIT_ONNXRUNTIME")"
	exit
fi
if [ -z "$platform" ]; then
	case $(uname -sm) in
	'Linux x86_64') platform=linux-amd64 ;;
	'Linux aarch64') platform=linux-arm64 ;;
	'Darwin arm64') platform=darwin-arm64 ;;
	*) die "no library is pinned for $(uname -sm); get one and set GODWIT_ONNXRUNTIME to its path" ;;
	esac
fi
here=$(cd "$(dirname "$0")" && pwd)
lock=$(grep "^$platform " "$here/onnxruntime.lock") || die "platform is \"$platform\", wanted linux-amd64, linux-arm64 or darwin-arm64"
[ "$via" = auto ] || lock=$(echo "$lock" | grep " $via ")
version=$(echo "$lock" | awk 'NR == 1 { print $3 }')
case $platform in darwin-*) name=libonnxruntime.$version.dylib ;; *) name=libonnxruntime.so.$version ;; esac
if [ -z "$dest" ]; then
	cache=${XDG_CACHE_HOME:-${HOME:?is not set; give --dest DIR}/.cache}
	[ "$(uname -s)" != Darwin ] || cache=$HOME/Library/Caches # as Go's os.UserCacheDir
	dest=$cache/godwit/onnxruntime/$version/$platform
fi
case $dest in /*) ;; *) dest=$PWD/$dest ;; esac
file=$dest/$name
if [ -n "$print" ]; then echo "$file"; exit; fi
if [ -f "$file" ]; then
	case $lock in *" $(sum "$file") "*) echo "$file"; exit ;; esac
	say "$file is not the pinned file; fetching it again"
fi

mkdir -p "$dest"
find "$dest"/.fetch.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || : # left by killed runs
tmp=$(mktemp -d "$dest/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
quiet=--quiet npmlevel=--silent
[ ! -t 2 ] || quiet='' npmlevel=--loglevel=error
fetch() { # via version tag member: leaves the library in $tmp/lib
	case $1 in
	pip)
		# shellcheck disable=SC2086 # $quiet is one word or none
		python3 -m pip download $quiet --disable-pip-version-check --no-deps --only-binary=:all: --platform "$3" \
			--implementation cp --python-version 3.12 --dest "$tmp" "onnxruntime==$2" >&2 &&
			python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$tmp"/*.whl "$4" >"$tmp/lib"
		;;
	npm) (cd "$tmp" && npm pack "$npmlevel" "onnxruntime-node@$2" >/dev/null && tar -xzOf ./*.tgz "$4" >lib) ;;
	esac
}
tried=''
while read -r _ by v tag want member; do
	case $by in
	pip) python3 -m pip --version ;;
	npm) npm --version ;;
	esac >/dev/null 2>&1 || continue
	tried="$tried $by"
	say "fetching $v for $platform through $by"
	fetch "$by" "$v" "$tag" "$member" </dev/null || { say "$by could not fetch it"; continue; }
	got=$(sum "$tmp/lib")
	[ "$got" = "$want" ] || die "$by gave a library with sha256 $got, wanted $want; nothing was installed: see $here/onnxruntime.lock"
	chmod 755 "$tmp/lib"
	mv -f "$tmp/lib" "$file"
	say "ready: $file"
	echo "$file"
	exit
done <<LOCK
$lock
LOCK
[ -n "$tried" ] || die "neither npm nor python3 with pip is here; install one of them, or set GODWIT_ONNXRUNTIME to a library's path"
die "could not fetch the library through$tried; check the network, or set GODWIT_ONNXRUNTIME to a library's path"
