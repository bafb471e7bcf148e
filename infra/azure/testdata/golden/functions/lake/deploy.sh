#!/bin/sh
# Deploys the package into what main.bicep has made, whose outputs are in the environment.
# azd up runs it; README.md says how it is run without azd.
set -eu
in_group() { "$@" --resource-group "$AZURE_RESOURCE_GROUP" ${AZURE_SUBSCRIPTION_ID:+--subscription "$AZURE_SUBSCRIPTION_ID"}; }

in_group az functionapp deployment source config-zip --name "$AZURE_FUNCTION_NAME" --src fraud.zip

# Event Grid asks for the functions it calls, so they had to be there first.
in_group az deployment group create --name events --template-file infra/events.bicep \
  --parameters appName="$AZURE_FUNCTION_NAME" storageName="$AZURE_STORAGE_NAME" batchResourceGroup="$AZURE_BATCH_RESOURCE_GROUP" ${ALERT_ACTION_GROUP:+alertActionGroupId="$ALERT_ACTION_GROUP"}
