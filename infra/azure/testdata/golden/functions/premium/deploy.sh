#!/bin/sh
# Deploys the package into what main.bicep has made, whose outputs are in the environment.
# azd up runs it; README.md says how it is run without azd.
set -eu
in="--resource-group $AZURE_RESOURCE_GROUP${AZURE_SUBSCRIPTION_ID:+ --subscription $AZURE_SUBSCRIPTION_ID}"

az storage blob upload --auth-mode login --account-name "$AZURE_STORAGE_NAME" --container-name packages --name "$AZURE_PACKAGE_NAME" --file fraud.zip --overwrite
# shellcheck disable=SC2086 # several words
az functionapp restart $in --name "$AZURE_FUNCTION_NAME"
