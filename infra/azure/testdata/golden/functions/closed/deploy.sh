#!/bin/sh
# Deploys the package into what main.bicep has made, whose outputs are in the environment.
# azd up runs it; README.md says how it is run without azd.
set -eu
in="--resource-group $AZURE_RESOURCE_GROUP${AZURE_SUBSCRIPTION_ID:+ --subscription $AZURE_SUBSCRIPTION_ID}"

# shellcheck disable=SC2086 # several words
az functionapp deployment source config-zip $in --name "$AZURE_FUNCTION_NAME" --src fraud.zip

# Event Grid asks for the functions it calls, so they had to be there first.
# shellcheck disable=SC2086 # several words
az deployment group create $in --name events --template-file infra/events.bicep \
  --parameters appName="$AZURE_FUNCTION_NAME" storageName="$AZURE_STORAGE_NAME"
