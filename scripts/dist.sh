#!/bin/sh
# Makes dist/godwit-VERSION-OS.tar.gz: godwit, what functions for linux/amd64 and linux/arm64 are packaged from, and
# ONNX Runtime, so that nobody who unpacks it needs Go or a compiler. The same commit gives the same bytes.
#   dist.sh [--out DIR]
set -eu
cd "$(dirname "$0")/.."
out=dist names=''
[ "${1:-}" != --out ] || out=$2
case $out in /*) ;; *) out=$PWD/$out ;; esac
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
parts=$out/.parts
trap 'rm -rf "$parts"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$out"
scripts/functions.sh --out "$parts" --programs fn-lambda,fn-server,godwit amd64 arm64
# What makes templates for AWS, with AWS CDK in it: no C, but Node.js where it runs.
for arch in amd64 arm64; do
	(cd cdk && CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$parts/linux-$arch/godwit-cdk" ./cmd/godwit-cdk)
done

# The licences of everything that is linked.
mkdir -p "$parts/licenses/go"
cp "$(go env GOROOT)/LICENSE" "$parts/licenses/go/"
mkdir "$parts/licenses/onnxruntime"
cp internal/pack/notices/onnxruntime-*/* "$parts/licenses/onnxruntime/"
cp "$(scripts/libstdcxx.sh --platform linux-amd64)/copyright" "$parts/licenses/libstdc++-libgcc.txt"
deps() { GOOS=linux go list -deps -f '{{with .Module}}{{if and (not .Main) (ne .Path "godwit.dev")}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/...; }
{ CGO_ENABLED=1 deps && cd cdk && CGO_ENABLED=0 deps; } | sort -u |
	while read -r module dir; do
		mkdir -p "$parts/licenses/$module"
		find "$dir" -maxdepth 1 -type f \( -iname 'LICEN[SC]E*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) -exec cp {} "$parts/licenses/$module/" \;
		chmod 644 "$parts/licenses/$module"/* || { echo "dist: want the licence of $module in $dir, got none" >&2 && exit 1; }
	done

for arch in amd64 arm64; do
	name=godwit-$version-linux-$arch names="$names godwit-$version-linux-$arch"
	rm -rf "${out:?}/$name" && mkdir -p "$out/$name"
	for part in amd64 arm64; do
		mkdir "$out/$name/linux-$part"
		cp -R "$parts/linux-$part/fn-lambda" "$parts/linux-$part/fn-server" "$parts/linux-$part/lib" "$out/$name/linux-$part/"
	done
	cp -R "$parts/linux-$arch/godwit" "$parts/linux-$arch/godwit-cdk" "$parts/licenses" LICENSE README.md "$out/$name/"
	ln -s "linux-$arch/lib" "$out/$name/lib" # godwit's own ONNX Runtime is the functions'
done
# shellcheck disable=SC2086 # a list of names
CGO_ENABLED=0 go run ./scripts/dist "$out" $names
for name in $names; do rm -rf "${out:?}/$name"; done
