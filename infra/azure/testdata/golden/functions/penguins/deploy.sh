#!/bin/sh
# Deploys the package into what main.bicep has made, whose outputs are in the environment.
# azd up runs it; README.md says how it is run without azd.
set -eu
in_group() { "$@" --resource-group "$AZURE_RESOURCE_GROUP" ${AZURE_SUBSCRIPTION_ID:+--subscription "$AZURE_SUBSCRIPTION_ID"}; }

in_group az functionapp deployment source config-zip --name "$AZURE_FUNCTION_NAME" --src penguins.zip
