#!/usr/bin/env bash
# What is rendered for Azure, as the goldens of infra/azure have it. Every file of Bicep, read by a parser of other
# people's, says what the ARM template beside it says; checkov's rules over them, exceptions.txt with what stays and why;
# Azure's own library reads the files of az ml, and would send what Bicep says. No registry has a Bicep compiler. With
# BICEP_TYPES=DIR, the folder generated of a checkout of Azure/bicep-types-az, the templates are checked against the
# types that Bicep itself is built with.
source "$(dirname "$0")/../lib.sh"

python=$(venv bicep "$here/bicep/requirements.txt")
"$python" "$here/bicep/check.py" "$root/infra/azure/testdata"
check=$(dirname "$(venv checkov "$here/cdk/checkov.txt")")
"$check/checkov" --directory "$root/infra/azure/testdata/golden" --framework bicep --output json --compact --skip-download >"$work/checkov.json" 2>"$work/checkov.err" || [ -s "$work/checkov.json" ] || { cat "$work/checkov.err" >&2 && exit 1; }
"$python" "$here/bicep/lint.py" "$here/bicep/exceptions.txt" "$work/checkov.json"
"$(venv azureml "$here/bicep/azureml.txt")" -W ignore "$here/bicep/azureml.py" "$root/infra/azure/testdata" 2>"$work/azureml.err" || { cat "$work/azureml.err" >&2 && exit 1; }
[ -z "${BICEP_TYPES:-}" ] || "$python" "$here/bicep/bicep_types.py" "$BICEP_TYPES" "$root/infra/azure/testdata"
