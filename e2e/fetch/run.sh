#!/usr/bin/env bash
# Models from elsewhere, with the built programs: moto's S3 behind TLS, that nobody has named as his own and that
# somebody has; out of the cache when the store is gone; a cache on a full disk, on one that is mounted read-only, and
# a home that is; packaged, and the package verified where there is no store and no cache. Needs root for the mounts.
source "$(dirname "$0")/../lib.sh"

godwit=${GODWIT:-$root/bin/godwit}
python=$(venv moto "$here/fetch/requirements.txt")
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key" -out "$work/cert" 2>/dev/null
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m moto.server -H 127.0.0.1 -p "$port" -c "$work/cert" -k "$work/key" >"$work/moto.log" 2>&1 &
moto=$! && pids+=("$moto")
store=https://127.0.0.1:$port
s3() { curl -sSf --cacert "$work/cert" -o /dev/null "$@"; }
for _ in $(seq 300); do s3 "$store/" 2>/dev/null && break; sleep 0.1; done
s3 -X PUT "$store/models"
s3 -T "$root/examples/digits/digits.onnx" "$store/models/a%20b/digits.onnx"

dir=$work/digits
cp -R "$root/examples/digits" "$dir" && rm "$dir/digits.onnx"
sum=$(sha256sum <"$root/examples/digits/digits.onnx" | cut -c1-64)
sed -i "s|^model: .*|models: [{name: digits, path: 's3://models/a b/digits.onnx', sha256: $sum}]|" "$dir/godwit.yaml"
sed -i '/^targets:/d' "$dir/godwit.yaml" # the platforms that verify plays give programs an environment of their own
grep -q "$sum" "$dir/godwit.yaml"
GODWIT_ONNXRUNTIME=$("$root/scripts/onnxruntime.sh") # which is in the cache of the home that there is now
export GODWIT_ONNXRUNTIME HOME=$work/home XDG_CACHE_HOME= AWS_ENDPOINT_URL_S3=$store SSL_CERT_FILE=$work/cert AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret
mkdir "$HOME"

# fails WANT COMMAND...: the command fails and says WANT
fails() {
	local want=$1
	shift
	if "$@" >"$work/out" 2>&1 || ! grep -q "$want" "$work/out"; then
		cat "$work/out" >&2
		echo "want a failure with $want" >&2
		return 1
	fi
	echo "ok: $(grep -m1 "$want" "$work/out")"
}
fails 'want a public address, got 127.0.0.1' "$godwit" predict "$dir" "$dir/requests/digits/1.json"
export GODWIT_MODEL_PRIVATE_HOSTS=127.0.0.1:$port
"$godwit" predict "$dir" "$dir/requests/digits/1.json"
[ "$(ls "$HOME/.cache/godwit/models")" = "$sum.onnx" ]

mkdir "$work/full" "$work/fixed"
mount -t tmpfs -o size=16k,mode=700 tmpfs "$work/full"
mount -t tmpfs -o ro,mode=700 tmpfs "$work/fixed"
trap 'umount "$work/full" "$work/fixed"; finish' EXIT
GODWIT_MODEL_CACHE=$work/full fails 'a full disk' "$godwit" predict "$dir" "$dir/requests/digits/1.json"
GODWIT_MODEL_CACHE=$work/fixed fails 'read-only file system' "$godwit" predict "$dir" "$dir/requests/digits/1.json"
HOME=$work/fixed "$godwit" predict "$dir" "$dir/requests/digits/1.json"
[ -e "${TMPDIR:-/tmp}/godwit-models-$(id -u)/$sum.onnx" ] && rm "${TMPDIR:-/tmp}/godwit-models-$(id -u)/$sum.onnx"

"$godwit" package "$dir" --target awslambda -o "$work/digits.zip"
unzip -l "$work/digits.zip"
kill "$moto" && wait "$moto" || :
"$godwit" predict "$dir" "$dir/requests/digits/1.json" # out of the cache
rm -r "$HOME/.cache/godwit/models"
fails 'connection refused' "$godwit" predict "$dir" "$dir/requests/digits/1.json"
"$godwit" verify "$work/digits.zip"
