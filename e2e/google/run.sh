#!/usr/bin/env bash
# What is rendered for Google, as the goldens of infra/google have it: shellcheck reads every script, checkov's rules over
# the Terraform modules and gateways, exceptions.txt with what stays and why. Where gcloud is installed, its own code reads
# every command that the scripts run, and what it would send for `gcloud run deploy …` is what it would send for
# service.yaml. With TERRAFORM_MIRROR=DIR, a file system mirror with the providers google and google-beta, terraform
# validates each module and runs its tests; no registry that is reached from here has the providers.
source "$(dirname "$0")/../lib.sh"

golden=$root/infra/google/testdata/golden
command -v shellcheck >/dev/null || deb shellcheck
shellcheck "$golden"/*/*.sh
check=$(dirname "$(venv checkov "$here/cdk/checkov.txt")")
"$check/checkov" --directory "$golden" --framework terraform openapi --output json --compact --skip-download >"$work/checkov.json" 2>"$work/checkov.err" || [ -s "$work/checkov.json" ] || { cat "$work/checkov.err" >&2 && exit 1; }
python3 "$here/bicep/lint.py" "$here/google/exceptions.txt" "$work/checkov.json"

if command -v gcloud >/dev/null; then
	(cd "$root" && GODWIT_GCLOUD_CALLS=$work/calls go test -count=1 -run 'Deploy' ./infra/google)
	CLOUDSDK_CONFIG=$work/gcloud python3 "$here/google/gcloud.py" "$(dirname "$(dirname "$(readlink -f "$(command -v gcloud)")")")" "$golden" "$work/calls"
else
	echo "no gcloud here: its own code was not asked"
fi

if [ -n "${TERRAFORM_MIRROR:-}" ]; then
	printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$TERRAFORM_MIRROR" >"$work/terraformrc"
	export TF_CLI_CONFIG_FILE=$work/terraformrc CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
	for module in "$golden"/*/terraform; do
		rm -rf "$work/module"
		cp -r "$module" "$work/module"
		(cd "$work/module" && terraform init -no-color >/dev/null && terraform validate -no-color >/dev/null && terraform test -no-color | tail -n 1)
	done
fi
