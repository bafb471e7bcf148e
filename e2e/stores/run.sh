#!/usr/bin/env bash
# The drivers of stores against servers of their protocols, each a process: the suite that says what a store is.
source "$(dirname "$0")/../lib.sh"
source "$here/servers/lib.sh"

export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secretsecret AWS_REGION=us-east-1
start_versitygw
start_moto
start_gcs
start_azurite
mkdir "$work/versitygw/godwit-e2e" # a folder is a bucket of the posix backend
curl -sSf -o /dev/null -X PUT "http://$moto/godwit-e2e"
curl -sSf -o /dev/null -H 'Content-Type: application/json' -d '{"name":"godwit-e2e"}' "http://$gcs/storage/v1/b?project=e2e"
azure_container godwit-e2e
export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=$azure_account;AccountKey=$azure_key;BlobEndpoint=http://$azure_blob/$azure_account;"
export VERSITYGW=$versitygw MOTO=$moto GCS=$gcs
cd "$root"
go test -tags e2e -count=1 "$@" ./e2e/stores
