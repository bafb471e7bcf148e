#!/bin/sh
# Puts a pinned ONNX Runtime library into the user's cache and prints its path, the only line on stdout.
#   onnxruntime.sh [--platform linux-amd64|linux-arm64|darwin-arm64] [--dest DIR] [--via npm|pip|auto] [--print]
# --print says where the preferred file belongs, and fetches nothing. GODWIT_ONNXRUNTIME wins unless a platform, a
# folder or a source is asked for. onnxruntime.lock says what is accepted: the first line that this machine can serve.
set -eu

say() { echo "onnxruntime: $*" >&2; }
die() { say "$@"; exit 1; }
sum() { { openssl dgst -sha256 -r "$1" || sha256sum "$1" || shasum -a 256 "$1"; } 2>/dev/null; } # the fastest first
has() { case $1 in pip) python3 -c 'import pip' ;; npm) command -v npm ;; esac >/dev/null 2>&1; }
fetch() { # via version wheel member: leaves the library in $tmp/lib
	case $1 in
	pip)
		python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --platform "$3" \
			--implementation cp --python-version 3.12 --dest "$tmp" "onnxruntime==$2" >&3 &&
			python3 -c 'import sys, zipfile as z; open(sys.argv[3], "wb").write(z.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
				"$tmp"/*.whl "$4" "$tmp/lib"
		;;
	npm) (cd "$tmp" && npm pack --loglevel=error --no-update-notifier "onnxruntime-node@$2" >&3 && tar -xzOf ./*.tgz "$4" >lib) ;;
	esac
}

platform='' dest='' via=auto print='' own=${GODWIT_ONNXRUNTIME:-} machine=$(uname -sm) here=$(dirname "$0")
while [ $# -gt 0 ]; do
	case $1 in
	--print) print=1 ;;
	--platform | --dest | --via)
		[ $# -gt 1 ] || die "$1 wants a value"
		case $1 in --platform) platform=$2 ;; --dest) dest=$2 ;; --via) via=$2 ;; esac
		own='' && shift ;;
	*) die "argument is \"$1\", wanted --platform P, --dest DIR, --via npm|pip|auto or --print" ;;
	esac
	shift
done
case $via in npm | pip | auto) ;; *) die "--via is \"$via\", wanted npm, pip or auto" ;; esac
if [ -n "$own" ]; then
	[ -f "$own" ] || die "GODWIT_ONNXRUNTIME is \"$own\", which is not a file; correct it, or unset it and run: make onnxruntime"
	case $own in /*) echo "$own" ;; *) echo "$PWD/$own" ;; esac && exit
fi
case $platform:$machine in
:'Linux x86_64') platform=linux-amd64 ;;
:'Linux aarch64') platform=linux-arm64 ;;
:'Darwin arm64') platform=darwin-arm64 ;;
:*) die "no library is pinned for $machine; set GODWIT_ONNXRUNTIME to the path of your own" ;;
esac
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}} # as Go's os.UserCacheDir
case $machine in Darwin*) cache=${HOME:+$HOME/Library/Caches} ;; esac
case $dest in '' | /*) ;; *) dest=$PWD/$dest ;; esac
case ${dest:-$cache} in /*) ;; *) die "the cache folder is \"$cache\", wanted an absolute path; set HOME, or give --dest DIR" ;; esac

best='' tried='' tmp=''
if [ -t 2 ]; then exec 3>&2; else exec 3>/dev/null; fi # the tools' progress
trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
while read -r on by version wheel want member; do
	[ "$on" = "$platform" ] || continue
	best=${best:-$version}
	case $via in auto | "$by") ;; *) continue ;; esac
	dir=${dest:-$cache/godwit/onnxruntime/$version/$platform}
	case $platform in darwin-*) file=$dir/libonnxruntime.$version.dylib ;; *) file=$dir/libonnxruntime.so.$version ;; esac
	[ -z "$print" ] || { echo "$file" && exit; }
	[ ! -f "$file" ] || case $(sum "$file") in "$want "*) echo "$file" && exit ;; esac
	has "$by" || continue
	tried="$tried $by"
	mkdir -p "$dir"
	find "$dir"/.fetch.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || : # left by killed runs
	tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
	say "fetching $version for $platform through $by"
	fetch "$by" "$version" "$wheel" "$member" </dev/null || { say "$by could not fetch it" && rm -rf "$tmp" && continue; }
	got=$(sum "$tmp/lib")
	[ "${got%% *}" = "$want" ] || die "$by gave a library with sha256 ${got%% *}, wanted $want ($here/onnxruntime.lock); nothing was installed"
	chmod 755 "$tmp/lib" && mv -f "$tmp/lib" "$file"
	say "ready: $file"
	[ "$version" = "$best" ] || say "version $version has memory-safety bugs that $best fixes: load only models that you trust, or install python3 with pip and run make onnxruntime"
	echo "$file" && exit
done <"$here/onnxruntime.lock"
[ -n "$best" ] || die "--platform is \"$platform\", wanted linux-amd64, linux-arm64 or darwin-arm64"
[ -n "$tried" ] || die "neither python3 with pip nor npm is here; install one, or set GODWIT_ONNXRUNTIME to the path of your own library"
die "could not fetch the library through$tried; see above, then run make onnxruntime again, or set GODWIT_ONNXRUNTIME"
