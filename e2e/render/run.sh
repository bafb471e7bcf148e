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
	"$godwit" render "$example" --target awslambda -o "$example-aws" --package "$zip" --quiet >/dev/null
	bare sh -c "cd $example-aws && npx cdk ls" >/dev/null # what npm installed is still there
	echo "$example: $(stat -c %s "$example-aws"/cdk.out/*.template.json) bytes of template, $(grep -c '"Type": "AWS::' "$example-aws/cdk.out/$example.template.json") resources"
done

# What cannot be made says why.
sed -i 's/^targets:.*/auth: none\ntargets: {awslambda: {api: url, secrets: {A: "a:b:c"}}}/' digits/godwit.yaml
if "$godwit" render digits --target awslambda -o no 2>said; then echo "want it refused" >&2 && exit 1; else code=$?; fi
[ $code = 12 ] && grep -q '^Error: godwit-cdk: .*secrets' said && grep -q '^Try: ' said || { cat said >&2 && exit 1; }
mkdir nothing && cp -r "$root/examples/digits" plain
if PATH=$root/bin:$work/nothing "$godwit" render plain --target awslambda -o no 2>said; then echo "want it refused without Node.js" >&2 && exit 1; fi
grep -q 'want Node.js' said || { cat said >&2 && exit 1; }
[ ! -e no ]
