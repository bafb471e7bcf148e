#!/bin/sh
# Makes bin/linux-ARCH with what functions are packaged from: fn-lambda, fn-server and lib/, for glibc 2.28 and newer.
#   functions.sh [--out DIR] [--programs P,P] ARCH...      amd64, arm64; --out is instead of bin
set -eu
cd "$(dirname "$0")/.."
bin=bin programs=fn-lambda,fn-server
[ "${1:-}" != --out ] || { bin=$2 && shift 2; }
[ "${1:-}" != --programs ] || { programs=$2 && shift 2; }
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
scripts/zig.sh >/dev/null
for arch; do
	case $arch in amd64 | arm64) ;; *) echo "functions: ARCH is \"$arch\", wanted amd64 or arm64" >&2 && exit 1 ;; esac
	runtime=$(scripts/onnxruntime.sh --platform "linux-$arch")
	cxx=$(scripts/libstdcxx.sh --platform "linux-$arch")
	CGO_ENABLED=0 go run ./scripts/functions -arch "$arch" -out "$bin/linux-$arch" -version "$version" -programs "$programs" \
		"$runtime" "$cxx/libstdc++.so.6" "$cxx/libgcc_s.so.1"
done
