#!/usr/bin/env bash
# The template that godwit-cdk makes of examples/digits, deployed into moto by CloudFormation: objects and messages through
# what moto made of it and the packaged function, a bad one to the dead letters, a prefix by the state machine; and each
# permission of its roles taken away once, without which something has to fail.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"
command -v unzip >/dev/null || deb unzip
command -v node >/dev/null || deb nodejs
godwit=$(realpath "${GODWIT:-$root/bin/godwit}")
arch=$(dpkg --print-architecture)
"$root/scripts/functions.sh" --out "$(dirname "$godwit")" "$arch" >/dev/null
(cd "$root" && go build -o "$work/awsmock" ./e2e/awsmock)
(cd "$root/cdk" && go build -o "$work/godwit-cdk" ./cmd/godwit-cdk)

# stack NAME: packages examples/digits with the godwit.yaml on stdin, makes a template of it, and unpacks it
stack() {
	mkdir -p "$work/$1/logs"
	cp -r "$root/examples/digits" "$work/$1/digits"
	cat >"$work/$1/digits/godwit.yaml"
	"$godwit" package "$work/$1/digits" --target awslambda --arch "$arch" -o "$work/$1/digits.zip" --quiet >/dev/null
	"$work/godwit-cdk" -function "$work/$1/digits" -package "$work/$1/digits.zip" -o "$work/$1/assembly"
	unzip -q "$work/$1/digits.zip" -d "$work/$1/package"
}
# played NAME [FLAG...]
played() {
	local at=$work/$1
	shift
	"$work/awsmock" -moto "$moto" -types "$work/types" -assembly "$at/assembly" -package "$at/package" -work "$at/logs" "$@"
}
start_moto
"$(venv moto "$here/fetch/requirements.txt")" -c 'from moto.cloudformation.parsing import get_model_map
print(*get_model_map(), sep="\n")' >"$work/types"

stack made <<'EOT'
model: digits.onnx
triggers: [objects, queue, topic, events]
batch:
  input: rows/
  output: scores/
  passThrough: [id]
  timeout: 60s
  claims: dynamodb://godwit-claims
  split: {queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/rows", parts: 1}
targets: {awslambda: {}}
EOT
played made

# A bucket that was there before, and a folder in it for what failed. (With a bus of its own too, moto would put the bucket's events on both.)
stack there <<'EOT'
name: there
model: digits.onnx
triggers: [objects]
batch: {input: s3://lake/rows/, output: s3://lake/scores/, passThrough: [id], timeout: 60s, deadLetter: true}
targets: {awslambda: {api: none}}
EOT
played there -name there -bucket lake -only object,kept,prefix
