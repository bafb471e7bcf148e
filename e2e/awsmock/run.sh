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

cp -r "$root/examples/digits" "$work/digits"
cat >"$work/digits/godwit.yaml" <<'EOT'
model: digits.onnx
triggers: [objects, queue]
batch:
  input: rows/
  output: scores/
  passThrough: [id]
  timeout: 60s
  claims: dynamodb://godwit-claims
  split: {queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/rows", parts: 1}
targets: {awslambda: {}}
EOT
"$godwit" package "$work/digits" --target awslambda --arch "$arch" -o "$work/digits.zip" --quiet >/dev/null
"$work/godwit-cdk" -function "$work/digits" -package "$work/digits.zip" -o "$work/assembly"
unzip -q "$work/digits.zip" -d "$work/package"
start_moto
"$(venv moto "$here/fetch/requirements.txt")" -c 'from moto.cloudformation.parsing import get_model_map
print(*get_model_map(), sep="\n")' >"$work/types"
mkdir "$work/logs"
"$work/awsmock" -moto "$moto" -types "$work/types" -assembly "$work/assembly" -package "$work/package" -work "$work/logs"
