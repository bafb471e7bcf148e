#!/usr/bin/env bash
# godwit render for AWS Lambda, with the real godwit-cdk: both examples give the same folder elsewhere and again; AWS's own
# command, of the version that the folder pins, reads it with Node.js alone and stops where it asks for an account; what
# would be deployed is the package that answers as recorded.
source "$(dirname "$0")/../lib.sh"
godwit=${GODWIT:-$root/bin/godwit}
make -s -C "$root" cdk
export PATH=$root/bin:$PATH # where godwit-cdk is, if it is not beside godwit
cd "$work"
node=$(dirname "$(command -v node)")
# Who deploys has Node.js, npm and a shell; no Go and no godwit.
bare() { env -i HOME="$work/bare" PATH="$work/tools:/usr/bin:/bin" AWS_EC2_METADATA_DISABLED=true AWS_REGION=eu-central-1 "$@"; }
mkdir -p bare tools
for tool in node npm npx; do ln -s "$node/$tool" "tools/$tool"; done
if bare sh -c 'command -v go || command -v godwit-cdk'; then echo "want neither Go nor godwit-cdk on the path" >&2 && exit 1; fi

for example in digits penguins; do
	cp -r "$root/examples/$example" "$example" && rm -f "$example/godwit.lock"
	"$godwit" render "$example" --target awslambda -o "$example-aws" --quiet >/dev/null
	mkdir "elsewhere $example" home
	cp -r "$example" "elsewhere $example/function"
	(export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}" # with ONNX Runtime
		umask 077 && cd "elsewhere $example" && HOME=$work/home TZ=Asia/Tokyo LC_ALL=C "$godwit" render function --target awslambda -o out/aws --json >said.json)
	rm -rf home
	diff -r "$example-aws" "elsewhere $example/out/aws"
	diff <(cd "$example-aws" && find . -printf '%P %m\n' | sort) <(cd "elsewhere $example/out/aws" && find . -printf '%P %m\n' | sort)
	if grep -rIl -e "$work" -e "$root" -e "$HOME" "$example-aws"; then echo "want no path of this machine" >&2 && exit 1; fi

	digest=$(sed -n 's/.*"package": "sha256:\(.*\)",/\1/p' "$example-aws/package.json")
	zip=$(sha256sum "$example-aws"/cdk.out/asset.*.zip | sed -n "s/^$digest  //p")
	[ -n "$zip" ] || { echo "want the package $digest among the assets" >&2 && exit 1; }
	"$godwit" verify "$zip" | tail -1

	cd "$example-aws"
	bare npm install --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	[ "$(bare npx cdk --version | cut -d' ' -f1)" = "$(sed -n 's/.*"aws-cdk": "\(.*\)".*/\1/p' package.json)" ]
	bare npx cdk ls | tee "$work/stacks"
	grep -qx "$example" "$work/stacks"
	bare npx cdk synth --quiet >/dev/null
	if bare npx cdk deploy --all --require-approval never >"$work/deploy.log" 2>&1; then echo "want no account here" >&2 && exit 1; fi
	grep -q 'Unable to resolve AWS account' "$work/deploy.log" || { cat "$work/deploy.log" >&2 && exit 1; }
	cd ..
	"$godwit" deploy "$example" --target awslambda -o "$example-aws" --package "$zip" --dry-run | tail -2 >"$work/lines"
	[ "$(cut -d' ' -f1 "$work/lines" | xargs)" = "npm npx" ] || { cat "$work/lines" >&2 && exit 1; }
	code=0 # as far as one comes without an account
	bare env PATH="$root/bin:$work/tools:/usr/bin:/bin" "$godwit" deploy "$example" --target awslambda -o "$example-aws" --package "$zip" --yes >"$work/deploy.log" 2>&1 || code=$?
	{ [ $code = 1 ] && grep -q 'Unable to resolve AWS account' "$work/deploy.log" && grep -q '^npx cdk deploy --all --require-approval never' "$work/deploy.log"; } || { cat "$work/deploy.log" >&2 && exit 1; }
	"$godwit" render "$example" --target awslambda -o "$example-aws" --package "$zip" --quiet >/dev/null
	bare sh -c "cd $example-aws && npx cdk ls" >/dev/null # what npm installed is still there
	echo "$example: $(stat -c %s "$example-aws"/cdk.out/*.template.json) bytes of template, $(grep -c '"Type": "AWS::' "$example-aws/cdk.out/$example.template.json") resources"
done

# SageMaker in each of its modes, and answers kept at the edge: CDK compares them with CloudFormation's schemas, and moto
# makes of SageMaker's what it can.
python=$(venv moto "$here/fetch/requirements.txt")
image=123456789012.dkr.ecr.eu-central-1.amazonaws.com/digits
digest=sha256:$(printf digits | sha256sum | cut -d' ' -f1)
while read -r name target; do
	cp -r "$root/examples/digits" "sage-$name" && rm -f "sage-$name/godwit.lock"
	printf 'model: digits.onnx\nimage: %s\nbatch: {input: "s3://rows/in/", output: "s3://scores/out/"}\ntargets: {sagemaker: {%s}}\n' "$image" "$target" >"sage-$name/godwit.yaml"
	printf 'version: 1\npackages:\n  "sagemaker": {digest: "%s", image: "%s", platforms: ["linux/amd64"]}\n' "$digest" "$image" >"sage-$name/godwit.lock"
	"$godwit" render "sage-$name" --target sagemaker -o "sage-$name-aws" --quiet >/dev/null
	printf '%s: ' "$name"
	AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x "$python" "$here/render/sagemaker.py" "sage-$name-aws/cdk.out/digits-sagemaker.template.json" "$image@$digest" </dev/null 2>said || { cat said >&2 && exit 1; }
done <<'EOT'
realtime maxInstances: 3, kmsKey: "arn:aws:kms:eu-central-1:123456789012:key/12345678-1234-1234-1234-123456789012"
serverless mode: serverless
async mode: async, asyncOutput: "s3://answers/digits/", minInstances: 0, maxInstances: 2
transform mode: transform
EOT
cp -r "$root/examples/digits" edge && rm -f edge/godwit.lock
sed -i 's/^targets:.*/targets: {awslambda: {api: url, edgeCache: {maxAge: 1h, keyGroup: 98c6a1ff-4a0b-4c7e-9d3d-0a2b7c1d9e10, accessLogs: true}}}/' edge/godwit.yaml
"$godwit" render edge --target awslambda --package "$(ls digits-aws/cdk.out/asset.*.zip)" -o edge-aws --quiet >/dev/null
grep -q AWS::CloudFront::Distribution edge-aws/cdk.out/digits.template.json

# What cannot be made says why.
sed -i 's/^targets:.*/auth: none\ntargets: {awslambda: {api: url, secrets: {AB: "a:b:c"}}}/' digits/godwit.yaml
if "$godwit" render digits --target awslambda -o no 2>said; then echo "want it refused" >&2 && exit 1; else code=$?; fi
[ $code = 12 ] && grep -q '^Error: godwit-cdk: .*secrets' said && grep -q '^Try: ' said || { cat said >&2 && exit 1; }
mkdir nothing && cp -r "$root/examples/digits" plain
if PATH=$root/bin:$work/nothing "$godwit" render plain --target awslambda -o no 2>said; then echo "want it refused without Node.js" >&2 && exit 1; fi
grep -q 'want Node.js' said || { cat said >&2 && exit 1; }
[ ! -e no ]
