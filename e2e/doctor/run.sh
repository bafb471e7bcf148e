#!/usr/bin/env bash
# Every fault that the doctor names for a real reason, first made to fail where it would: by the kernel, the dynamic
# linker, ONNX Runtime's own load, podman, or the packaged program. Then the doctor is asked about the same bytes, and about
# good packages, which it must let pass. Needs root for chroot, podman and control groups.
source "$(dirname "$0")/../lib.sh"
for tool in gcc unzip podman runc; do command -v $tool >/dev/null || deb gcc libc6-dev unzip podman runc; done
godwit=${GODWIT:-$root/bin/godwit} bad=0 faults=0 kinds=$work/kinds
: >"$kinds"
export ORT_DISABLE_TELEMETRY=1
python=$(venv doctor "$here/doctor/requirements.txt")
old=$(ls "$cache"/doctor/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.* 2>/dev/null | head -1) || :

cd "$work"
"$godwit" package "$root/examples/digits" --target edge --arch amd64 --no-bake -o edge --quiet >/dev/null
"$godwit" package "$root/examples/digits" --target awslambda --arch amd64 --no-bake -o good.zip --quiet >/dev/null
mkdir lambda && (cd lambda && unzip -q ../good.zip)
ort=$(basename "$(ls edge/lib/libonnxruntime.so.*)")
gcc -O1 -I "$root/runtime/ort/include" -o load "$here/doctor/load.c" -ldl
mkdir models && (cd "$root" && go run ./e2e/doctor/models "$work/models")

# fresh KIND: a copy of a good package without its manifest, in ./p; the C++ library beside ONNX Runtime.
fresh() {
	rm -rf p && cp -r "$1" p
	[ "${2:-}" = manifest ] || rm -f p/godwit.manifest.json
	for lib in libstdc++.so.6 libgcc_s.so.1; do [ -e p/lib/$lib ] || [ -n "${2:-}" ] || cp "$(gcc -print-file-name=$lib)" p/lib/; done
}

# serves [TARGET]: starts the program in p as a deployed one is; whoever is still there after a while serves.
serves() {
	local rc=0
	(cd / && env -i PATH=/usr/bin:/bin PORT=0 GODWIT_TARGET="${1:-cloudrun}" ${2:+$2} timeout 8 "$work/p/fn-server") >out 2>&1 || rc=$?
	[ $rc = 124 ]
}

# fails CODE TARGET WHAT SAYS COMMAND...: COMMAND must fail and say SAYS; then the doctor must name CODE in ./p, or in $subject.
fails() {
	local code=$1 target=$2 what=$3 says=$4 rc=0 said
	shift 4
	: >out
	"$@" >>out 2>&1 || rc=$?
	faults=$((faults + 1))
	if [ $rc = 0 ] || ! grep -qiE -- "$says" out; then
		bad=1 && printf 'NOT SHOWN  %-16s %s: exit %d\n' "$code" "$what" $rc && tail -5 out
		return 0
	fi
	said=$(grep -iE -m1 -- "$says" out | cut -c1-150)
	"$godwit" doctor "${subject:-p}" --target "$target" --json >report.json 2>/dev/null || :
	if grep -q "\"code\": \"$code\"" report.json; then
		printf 'ok  %-16s %-46s exit %-3d %s\n' "$code" "$what" $rc "$said" && echo "$code" >>"$kinds"
	else
		bad=1 && printf 'NOT NAMED  %-16s %s\n' "$code" "$what" && grep '"code"' report.json
	fi
}
run() { "$python" -c 'import os, sys; os.execve(sys.argv[1], sys.argv[1:], {})' "$@"; }        # the kernel's execve, without a shell's help
open() { "$python" -c 'import ctypes, sys; [ctypes.CDLL(p, ctypes.RTLD_GLOBAL) for p in sys.argv[1:]]' "$@"; } # the dynamic linker's dlopen
dies() { # says how a command ended that a signal may end
	local rc=0
	"$@" || rc=$?
	echo "exit $rc" && return $rc
}
ortload() { "$work/load" "$work/edge/lib/$ort" "$@"; }

# stub NAME VERSION SYMBOL: a library that has SYMBOL at VERSION, to link against.
stub() {
	mkdir -p stubs && echo "$2 { global: $3; };" >stubs/map && echo "int $3(void) { return 0; }" >stubs/stub.c
	gcc -shared -nostdlib -fPIC -Wl,-soname,"$1" -Wl,--version-script,stubs/map -o "stubs/$1" stubs/stub.c
}

echo "== the kernel"
fresh lambda && cp /bin/true p/bootstrap && chmod 644 p/bootstrap
fails not-executable awslambda "bootstrap without its bit" "permission" run "$work/p/bootstrap"
fresh lambda && mv p/bootstrap p/fn-lambda
fails no-program awslambda "bootstrap under another name" "no such file" run "$work/p/bootstrap"
fresh lambda && mkdir p/fraud && mv p/bootstrap p/fraud/
fails no-program awslambda "bootstrap one folder down" "no such file" run "$work/p/bootstrap"
fresh lambda && echo 'echo hello' >p/bootstrap
fails exec-format awslambda "bootstrap that is text" "exec format" run "$work/p/bootstrap"
fresh lambda && printf '#!/bin/sh\r\necho\r\n' >p/bootstrap
fails exec-format awslambda "bootstrap from Windows" "no such file" run "$work/p/bootstrap"
fresh lambda && printf '\xb7' | dd of=p/bootstrap bs=1 seek=18 conv=notrunc status=none
fails architecture awslambda "bootstrap for arm64" "exec format" run "$work/p/bootstrap"
fresh lambda && echo 'int main(void) { return 0; }' >t.c && gcc -o p/bootstrap t.c -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1
fails interpreter awslambda "bootstrap for musl" "no such file" run "$work/p/bootstrap"

echo "== the dynamic linker"
stub libc.so.6 GLIBC_2.99 newer_call
echo 'int newer_call(void); void _start(void) { newer_call(); }' >t.c
fresh lambda && gcc -nostdlib -o p/bootstrap t.c stubs/libc.so.6
fails glibc awslambda "a symbol of glibc 2.99" "version .GLIBC_2.99' not found" run "$work/p/bootstrap"
stub libstdc++.so.6 GLIBCXX_3.4.99 newer_cxx
echo 'int newer_cxx(void); int user(void) { return newer_cxx(); }' >t.c
fresh lambda && gcc -shared -fPIC -o p/lib/libuser.so t.c stubs/libstdc++.so.6 -Wl,-rpath,'$ORIGIN' -Wl,--enable-new-dtags
fails libstdcxx awslambda "a symbol of a newer libstdc++" "version .GLIBCXX_3.4.99' not found" open "$work/p/lib/libuser.so"
stub libonnxruntime.so.1 VERS_1.99.0 newer_ort
echo 'int newer_ort(void); int user(void) { return newer_ort(); }' >t.c
fresh lambda && gcc -shared -fPIC -o p/lib/libuser.so t.c stubs/libonnxruntime.so.1 -Wl,-rpath,'$ORIGIN' -Wl,--enable-new-dtags
fails symbol-version awslambda "a symbol of another ONNX Runtime" "version .VERS_1.99.0' not found" open "$work/p/lib/$ort" "$work/p/lib/libuser.so"
stub libnowhere.so.1 V1 nowhere
echo 'int nowhere(void); int user(void) { return nowhere(); }' >t.c
fresh lambda && gcc -shared -fPIC -o p/lib/libuser.so t.c stubs/libnowhere.so.1
fails library-missing awslambda "a library that is nowhere" "cannot open shared object file" open "$work/p/lib/libuser.so"
fresh lambda && "$python" - <<'PY'
import struct
head = b'\x7fELF\x01\x01\x01' + bytes(9) + struct.pack('<HHIIIIIHHHHHH', 3, 3, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0)
open('p/lib/libuser.so', 'wb').write(head + bytes(4096))
PY
fails architecture awslambda "a library for 32 bits" "wrong ELF class" open "$work/p/lib/libuser.so"
fresh lambda && truncate -s 40 p/lib/$ort
fails elf-damaged awslambda "a library of 40 bytes" "file too short" open "$work/p/lib/$ort"
fresh lambda && truncate -s 1000000 p/lib/$ort
fails elf-damaged awslambda "a library that is cut off" "exit 135" dies "$work/load" "$work/p/lib/$ort" digits.onnx
fresh lambda && printf 'version https://git-lfs.github.com/spec/v1\n' >p/lib/$ort
fails elf-damaged awslambda "a pointer of Git LFS" "invalid ELF header|file too short" open "$work/p/lib/$ort"

echo "== a root file system with nothing but glibc"
mkdir -p base/lib64 base/lib/x86_64-linux-gnu base/godwit
for lib in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do cp -L "$(gcc -print-file-name=$lib)" base/lib/x86_64-linux-gnu/; done
cp -L /lib64/ld-linux-x86-64.so.2 base/lib64/
fresh lambda && rm -f p/lib/libstdc++.so.6 p/lib/libgcc_s.so.1 && rm -rf base/godwit && cp -r p base/godwit && cp load base/load
fails library-unknown awslambda "no C++ library in package or base" "libstdc\+\+.so.6: cannot open" chroot base /load "/godwit/lib/$ort" /godwit/digits.onnx
fresh edge && ln -s /opt/shared/config.json p/config.json && rm -rf base/godwit && cp -r p base/godwit && cp load base/load
fails link-escapes edge "a link out of the package" "no such file" "$python" -c 'import os; os.chroot("base"); open("/godwit/config.json")'

echo "== archives and file systems"
fresh edge && mkfifo p/pipe
fails special-file edge "a pipe" "124" sh -c 'timeout 1 cat p/pipe; rc=$?; echo "exit $rc"; exit $rc'
rm -f dup.zip && "$python" -W ignore - <<'PY'
import zipfile
with zipfile.ZipFile('dup.zip', 'w') as z:
    z.writestr('bootstrap', 'one'); z.writestr('bootstrap', 'two')
PY
subject=dup.zip fails duplicate awslambda "a name twice" "differ" sh -c 'rm -rf a && mkdir a && unzip -qn dup.zip -d a 2>/dev/null; "$0" -m zipfile -e dup.zip b; cmp a/bootstrap b/bootstrap' "$python"
head -c 3000 good.zip >cut.zip
subject=cut.zip fails archive awslambda "an archive that is cut off" "end-of-central-directory|cannot find" unzip -q cut.zip -d c

echo "== the packaged program"
fresh edge && serves || { bad=1 && echo "NOT GOOD: the package that the faults are put into" && cat out; }
fresh edge && rm p/lib/libonnxruntime*
fails runtime-missing edge "no ONNX Runtime" "want ONNX Runtime" serves
if [ -n "$old" ]; then
	fresh edge && cp "$old" "p/lib/$ort"
	fails runtime-version edge "an ONNX Runtime of 2026-02" "want ONNX Runtime 1\.[0-9]+ or newer" serves
fi
fresh edge && rm p/digits.onnx
fails model-missing edge "no model" "digits.onnx" serves
fresh edge && truncate -s 20000 p/digits.onnx
fails model-damaged edge "a model that is cut off" "digits.onnx" serves
fresh edge && printf 'models:\n- {path: digits.onnx, sha256: "%064d"}\n' 0 >p/godwit.yaml
fails model-digest edge "a model with another digest" "want sha256:" serves
fresh edge && printf 'model: digits.onnx\ntargets: {knative: {gpu: 1, mesh: istio}, edge: {architecture: amd64, provider: cuda}}\n' >p/godwit.yaml
fails gpu-libraries edge "a GPU without its libraries" "cuda|provider" serves knative
fresh edge && printf 'modle: digits.onnx\n' >p/godwit.yaml
fails spec edge "a key that there is not" "unknown key" serves
fresh edge && printf 'model: digits.onnx\ntargets: {awslambda: {env: {AWS_REGION: x}}}\n' >p/godwit.yaml
fails spec edge "a variable that the platform sets" "AWS_REGION" serves
fresh edge && printf 'model: digits.onnx\n' >p/godwit.yaml
fails auth-platform knative "auth: platform on Knative without a mesh" "mesh" serves knative
fresh edge && printf 'model: digits.onnx\ntargets: {edge: {architecture: amd64, listen: "0.0.0.0:18080"}}\n' >p/godwit.yaml
fails auth-platform edge "auth: platform on a device" "platform" serves edge
fresh edge && cp models/complex.onnx p/digits.onnx && rm -r p/requests
fails signature edge "a type that the protocol cannot carry" "complex" serves
fresh edge && printf '{' >p/requests/digits/1.json
fails requests edge "a recorded request that is none" "requests|1.json" "$godwit" verify p --quiet
fresh edge && rm -r p/requests
fails no-requests edge "no recorded request" "request" "$godwit" verify p --quiet
fresh edge manifest && printf '# more\n' >>p/godwit.yaml
fails manifest-changed edge "a packaged file that was changed" "godwit.yaml.*want" serves
fresh edge manifest && rm p/requests/digits/1.want.json
fails manifest-missing edge "a packaged file that is gone" "1.want.json" serves
fresh edge manifest && printf '{' >p/godwit.manifest.json
fails manifest edge "a damaged manifest" "manifest" serves

echo "== ONNX Runtime's own load"
model() { fresh edge && cp "models/$1" p/digits.onnx && rm -r p/requests; }
model ir.onnx && fails ir-version edge "IR version 14" "ir.version|IR" ortload p/digits.onnx
model opset.onnx && fails opset edge "opset 27" "opset" ortload p/digits.onnx
model ml.onnx && fails opset edge "ai.onnx.ml 6" "opset" ortload p/digits.onnx
model custom.onnx && fails custom-ops edge "an operator of a domain of its own" "not a registered|domain|schema" ortload p/digits.onnx
model external.onnx && fails external-data edge "data that are not there" "m.bin|external" ortload p/digits.onnx
model external.onnx && head -c 100 models/m.bin >p/m.bin
fails external-data edge "data that are too short" "m.bin|external|bytes|size" ortload p/digits.onnx
model escaping.onnx && cp models/m.bin m.bin
fails external-data edge "data outside of the folder" "external|escape|director" ortload p/digits.onnx
fresh edge && ortload models/good.onnx save p/m.ort >/dev/null && rm -r p/requests
"$python" - <<'PY'
import struct
b = bytearray(open('p/m.ort', 'rb').read())
t, = struct.unpack_from('<I', b, 0)
v = t - struct.unpack_from('<i', b, t)[0]
f = t + struct.unpack_from('<H', b, v + 4)[0]
s = f + struct.unpack_from('<I', b, f)[0]
assert struct.unpack_from('<I', b, s)[0] == 1
b[s + 4] = ord('7')
open('p/m.ort', 'wb').write(b)
PY
printf 'model: m.ort\n' >p/godwit.yaml
fails ort-version edge "ONNX Runtime's format of version 7" "not supported" ortload p/m.ort

echo "== limits"
fresh edge && cp models/row.onnx p/digits.onnx && rm -r p/requests && printf 'model: digits.onnx\nauth: none\nlimits: {body: 1KiB}\n' >p/godwit.yaml
serve "$work/p"
"$python" -c 'print("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,4096],\"datatype\":\"FP32\",\"data\":[" + ",".join(["0"] * 4096) + "]}]}")' >body.json
fails body-limit edge "an input beyond limits.body" "413" curl -sSf -d @body.json "http://$address/v2/models/digits/infer"
fresh edge && cp models/wide.onnx p/wide.onnx && rm -r p/requests && printf 'model: wide.onnx\ntargets: {edge: {architecture: amd64, memory: 100MiB}}\n' >p/godwit.yaml
group=/sys/fs/cgroup/godwit-doctor.$$ limit=memory.max
[ ! -d /sys/fs/cgroup/memory ] || group=/sys/fs/cgroup/memory/godwit-doctor.$$ limit=memory.limit_in_bytes
mkdir "$group" && echo $((100 << 20)) >"$group/$limit"
limited() {
	local rc=0 # without the file's own check of what there is, which would refuse it before
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$work/load" "$work/p/lib/$ort" p/wide.onnx || rc=$?
	echo "exit $rc" && return $rc
}
fails memory edge "100 MB of weights in 100 MiB" "exit 137" limited
rmdir "$group"

echo "== images under podman with runc"
base=$cache/base-amd64
[ -f "$base/index.json" ] || "$root/scripts/base.sh" "$base" amd64 >/dev/null
with_podman
cp -r "$root/examples/digits" function
"$godwit" package function --target cloudrun --arch amd64 --base "oci:$base" -o server.tar --quiet >/dev/null
sed -i 's/awslambda: {}/awslambda: {package: image}/' function/godwit.yaml
"$godwit" package function --target awslambda --arch amd64 --base "oci:$base" -o lambda.tar --quiet >/dev/null

# edited CHANGE: ./image is server.tar's layout after CHANGE, Python that is given the configuration c.
edited() {
	rm -rf image && mkdir image && tar -xf server.tar -C image && "$python" - "$1" <<'PY'
import hashlib, json, sys
def load(digest): return json.load(open('image/blobs/sha256/' + digest[7:]))
def store(doc, entry):
    b = json.dumps(doc).encode()
    entry['digest'], entry['size'] = 'sha256:' + hashlib.sha256(b).hexdigest(), len(b)
    open('image/blobs/sha256/' + entry['digest'][7:], 'wb').write(b)
index = json.load(open('image/index.json'))
manifest = load(index['manifests'][0]['digest'])
c = load(manifest['config']['digest'])
exec(sys.argv[1])
store(c, manifest['config'])
store(manifest, index['manifests'][0])
json.dump(index, open('image/index.json', 'w'))
PY
	tar -cf image.tar -C image .
}
contain() { # TAR [OPTION...]
	local tar=$1 image
	shift
	image=$("${podman[@]}" load --quiet --input "$tar" | sed -n 's/^Loaded image: //p')
	timeout 30 "${podman[@]}" run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --env PORT=8080 "$@" "$image"
}
edited 'c["config"]["Entrypoint"] = ["/app/fn-server"]'
subject=image fails entrypoint cloudrun "an entrypoint that is not in the image" "no such file" contain image.tar
edited 'c["config"].setdefault("Env", []).append("GODWIT_TARGET=awslambda")'
subject=image fails reserved-env cloudrun "an image that names another target" "GODWIT_TARGET" contain image.tar
subject=lambda.tar fails wrong-program cloudrun "Lambda's program in a container" "Lambda" contain lambda.tar --env GODWIT_TARGET=cloudrun
for image in server.tar:cloudrun server.tar:sagemaker lambda.tar:awslambda; do
	(cd function && "$godwit" doctor "../${image%:*}" --target "${image#*:}" --json) >report.json || bad=1
	if grep -E '"level": "(error|warning)"' -B1 report.json; then bad=1; fi
	echo "ok  ${image%:*} for ${image#*:}: no alarm"
done

echo "== good ones"
for target in awslambda azurefunctions edge; do
	for example in digits penguins; do
		out=good-$target-$example && [ $target != awslambda ] || out=$out.zip
		"$godwit" package "$root/examples/$example" --target $target --arch amd64 -o "$out" --quiet >/dev/null
		"$godwit" doctor "$out" --target $target --json >report.json || bad=1
		if grep -E '"level": "(error|warning)"' -B1 report.json | grep '"code"' | grep -v library-unknown; then bad=1; fi
		echo "ok  $out: no error"
	done
done
count=$(sort -u "$kinds" | wc -l)
echo "$count kinds of fault in $faults faults, each shown to fail and named"
[ $count -ge 25 ] && [ $bad = 0 ]
