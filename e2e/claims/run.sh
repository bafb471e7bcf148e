#!/usr/bin/env bash
# Claims in a table of moto's DynamoDB: the suite for tables; the server of our tests and moto asked the same, with the
# same answers; three processes that share a table do the work of each item once, though each gets every item, and one is
# killed ten times in the middle. And what parts of an object are handed out on: SQS by moto, Google's pstest, Azurite.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"
export AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret
(cd "$root" && go build -o "$work/claims" ./e2e/claims)
start_moto
start_pubsub
start_azurite
export AWS_ENDPOINT_URL=http://$moto AWS_ENDPOINT_URL_DYNAMODB=http://$moto PUBSUB=$pubsub
export AZURE_QUEUE=$azure_queue AZURE_STORAGE_ACCOUNT=$azure_account AZURE_STORAGE_KEY=$azure_key
"$work/claims" suite
"$work/claims" alike
"$work/claims" processes "$work"
"$work/claims" queues
