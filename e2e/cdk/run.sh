#!/usr/bin/env bash
# The app as AWS's own program synthesises it, with no network and no credentials: the same template as without that
# program. Then cfn-lint's and checkov's rules over every golden template; exceptions.txt has what stays, with the reason.
source "$(dirname "$0")/../lib.sh"
command -v npm >/dev/null || deb nodejs npm
version=2.1148.1
cdk=$cache/npm/node_modules/.bin/cdk
[ "$(node -p 'require(process.argv[1]).version' "$cache/npm/node_modules/aws-cdk/package.json" 2>/dev/null)" = $version ] || npm_install aws-cdk@$version
lint=$(dirname "$(venv cfnlint "$here/cdk/cfn-lint.txt")")
check=$(dirname "$(venv checkov "$here/cdk/checkov.txt")")
echo "aws-cdk $("$cdk" --version), node $(node --version), $("$lint/cfn-lint" --version), checkov $("$check/checkov" --version)"

godwit=$(realpath "${GODWIT:-$root/bin/godwit}")
"$root/scripts/functions.sh" --out "$(dirname "$godwit")" "$(dpkg --print-architecture)" >/dev/null
(cd "$root/cdk" && go build -o "$work/godwit-cdk" ./cmd/godwit-cdk)
alone=(env -i "PATH=$PATH" "HOME=$HOME" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true CDK_DISABLE_CLI_TELEMETRY=true)
"${alone[@]}" "$work/godwit-cdk" --help >/dev/null 2>&1 # fills the cache of CDK's library
if [ "$(id -u)" = 0 ]; then alone=(unshare --net "${alone[@]}"); else alone=(unshare --user --map-root-user --net "${alone[@]}"); fi

# synth FUNCTION PACKAGE OUT: by AWS's program.
synth() {
	(cd "$root/cdk" && "${alone[@]}" "$cdk" synth --app "$work/godwit-cdk" -c "function=$1" -c "package=$2" --output "$3" --quiet --no-notices --ci 2>&1)
}

for yaml in "$root"/examples/*/godwit.yaml; do
	example=$(basename "$(dirname "$yaml")")
	start=$SECONDS
	"$godwit" package "$root/examples/$example" --target awslambda -o "$work/$example.zip" --quiet >/dev/null
	synth "$root/examples/$example" "$work/$example.zip" "$work/$example.cli"
	"${alone[@]}" "$work/godwit-cdk" --function "$root/examples/$example" --package "$work/$example.zip" -o "$work/$example.own"
	"$lint/python" "$here/cdk/lint.py" same "$work/$example.cli/$example.template.json" "$work/$example.own/$example.template.json"
	echo "$example: cdk synth without network and credentials, in $((SECONDS - start)) s with its package"
done

# What the rules of a profile forbid is refused by cdk synth itself, with what to say instead.
mkdir "$work/refused"
cp "$root/examples/digits/digits.onnx" "$work/refused/"
printf 'model: digits.onnx\ncompliance: hipaa\nauth: none\ntargets: {awslambda: {}}\n' >"$work/refused/godwit.yaml"
! synth "$work/refused" "$work/digits.zip" "$work/refused.cli" >"$work/refused.log" || { echo "want compliance with auth: none refused" >&2 && exit 1; }
grep -q 'Try: Use auth: platform' "$work/refused.log" || { cat "$work/refused.log" >&2 && exit 1; }
echo "refused: compliance hipaa with auth: none"

templates=("$root"/cdk/testdata/golden/*.json)
"$lint/cfn-lint" --format json "${templates[@]}" >"$work/cfn-lint.json" & # exits with what it found
linting=$!
"$check/checkov" --directory "$root/cdk/testdata/golden" --framework cloudformation --output json --compact --skip-download >"$work/checkov.json" 2>"$work/checkov.err" || [ -s "$work/checkov.json" ] || { cat "$work/checkov.err" >&2 && exit 1; }
wait $linting || [ -s "$work/cfn-lint.json" ]
"$lint/python" "$here/cdk/lint.py" findings "$here/cdk/exceptions.txt" "$work/cfn-lint.json" "$work/checkov.json" "${#templates[@]}"
