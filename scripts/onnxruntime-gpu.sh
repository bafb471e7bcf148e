#!/bin/sh
# Puts ONNX Runtime with its CUDA provider for linux/amd64 into a folder, of which `godwit package` makes images for GPUs:
# 310 MB out of a wheel of 256 MB, whose digest is pinned here and whose files' digests are in internal/pack/gpu.go.
#   onnxruntime-gpu.sh DIR
set -eu
version=1.31.1
wheel=05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7
[ $# = 1 ] && [ -n "$1" ] || { echo "onnxruntime-gpu.sh DIR" >&2; exit 2; }
mkdir -p "$1"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
echo "onnxruntime-gpu==$version --hash=sha256:$wheel" >"$tmp/want"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --platform manylinux_2_28_x86_64 \
	--implementation cp --python-version 3.12 --dest "$tmp" -r "$tmp/want" >&2
python3 - "$tmp"/*.whl "$1" $version <<'END'
import os, shutil, sys, zipfile
wheel, out, version = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    for name in ("libonnxruntime.so." + version, "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"):
        with z.open("onnxruntime/capi/" + name) as src, open(os.path.join(out, name), "wb") as dst:
            shutil.copyfileobj(src, dst, 1 << 20)
END
echo "$1"
