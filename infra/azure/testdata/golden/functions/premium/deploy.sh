#!/bin/sh
# Deploys the package into what main.bicep has made, whose outputs are in the environment.
# azd up runs it; README.md says how it is run without azd.
set -eu
in_group() { "$@" --resource-group "$AZURE_RESOURCE_GROUP" ${AZURE_SUBSCRIPTION_ID:+--subscription "$AZURE_SUBSCRIPTION_ID"}; }

az storage blob upload --auth-mode login --account-name "$AZURE_STORAGE_NAME" --container-name packages --name "$AZURE_PACKAGE_NAME" --file fraud.zip --overwrite
in_group az functionapp restart --name "$AZURE_FUNCTION_NAME"

# API Management asks the host for a key, so it had to run first.
in_group az deployment group create --name gateway --template-file infra/gateway.bicep \
  --parameters appName="$AZURE_FUNCTION_NAME" publisherEmail="$PUBLISHER_EMAIL"
