#!/usr/bin/env bash
# AWS's own Runtime Interface Emulator, which aws-sam-cli's wheel carries, beside ours: the same events reach the
# handler as equal bytes, and the answers are equal; also with several invocations at a time, as Managed Instances have.
source "$(dirname "$0")/../lib.sh"
version=1.170.0
arch=$(uname -m | sed 's/aarch64/arm64/')
rie=$cache/rie-$version/aws-lambda-rie
if [ ! -x "$rie" ]; then
	python=$(venv rie "$here/rie/requirements.txt")
	"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work/wheel" "aws-sam-cli==$version"
	"$python" -m zipfile -e "$work"/wheel/*.whl "$work/sam"
	mkdir -p "$(dirname "$rie")"
	install -m 755 "$work/sam/samcli/local/rapid/aws-lambda-rie-$arch" "$rie"
fi
cd "$root"
go build -tags lambda.norpc -o "$work/function" ./e2e/rie
"$work/function" -rie "$rie" -fn "${FN_LAMBDA:-$root/bin/fn-lambda}" -folder "$root/examples/digits" -work "$work"
