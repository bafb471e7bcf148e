#!/usr/bin/env bash
# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.
#
# Makes what is missing, uploads the model if it is another, and deploys it in place of the last one.
Everything may be called again, also after terraform/ has made the endpoint.
#
#   PROJECT=my-project ./deploy.sh
set -euo pipefail
cd "$(dirname "$0")"

die() {
  echo "deploy.sh: $*" >&2
  exit 2
}

PROJECT=${PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}
[[ $PROJECT =~ ^[a-z][a-z0-9-]{2,28}[a-z0-9]$ ]] || die "want a project in PROJECT, got '$PROJECT'"
REGION=${REGION:-europe-west4}
[[ $REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die "want a region such as europe-west1 in REGION, got '$REGION'"
export CLOUDSDK_CORE_PROJECT=$PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1

# there says whether what a command describes is there.
there() { "$@" >/dev/null 2>&1; }

# grant tries again, as an account that was just made is not known everywhere at once.
grant() {
  local pause
  for pause in 2 4 8 16; do
    if "$@" >/dev/null; then return; fi
    sleep "$pause"
  done
  "$@" >/dev/null
}

# post sends a file to the API and waits until it is done. gcloud has no flags for
# dedicated endpoints, their time limit, and a model's key.
API=https://$REGION-aiplatform.googleapis.com/v1
post() {
  local method=$1 path=$2 file=$3 answer name
  answer=$(curl -fsS -X "$method" -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    -H 'Content-Type: application/json' --data-binary @"$file" "$API/$path")
  name=$(sed -nE 's#^ *"name": *"(.*/operations/[^"]*)".*#\1#p' <<<"$answer" | head -n 1)
  [[ -n $name ]] || return 0
  until [[ $answer == *'"done": true'* ]]; do
    sleep "${PAUSE:-5}"
    answer=$(curl -fsS -H "Authorization: Bearer $(gcloud auth print-access-token)" "$API/$name")
  done
  [[ $answer != *'"error": {'* ]] || die "$answer"
}
HOME_OF=projects/$PROJECT/locations/$REGION

# What is used here has to be switched on once.
gcloud services enable aiplatform.googleapis.com cloudkms.googleapis.com iam.googleapis.com

# Who keeps model and endpoint under the key.
NUMBER=$(gcloud projects describe "$PROJECT" --format='value(projectNumber)')
grant gcloud kms keys add-iam-policy-binding projects/acme/locations/europe-west4/keyRings/models/cryptoKeys/fraud \
  --member "serviceAccount:service-$NUMBER@gcp-sa-aiplatform.iam.gserviceaccount.com" \
  --role roles/cloudkms.cryptoKeyEncrypterDecrypter

# The endpoint.
if ! there gcloud ai endpoints describe 1425652805 --region "$REGION"; then
  post POST "$HOME_OF/endpoints?endpointId=1425652805" endpoint.json
else
  post PATCH "$HOME_OF/endpoints/1425652805?updateMask=client_connection_config,description,labels" endpoint.json
fi

# The model: a version for each image.
REQUEST=$(mktemp)
IMAGE=$(gcloud ai models describe fraud --region "$REGION" --format='value(containerSpec.imageUri)' 2>/dev/null || true)
if [[ -z $IMAGE ]]; then
  printf '{"modelId": "fraud", "model": %s}' "$(cat model.json)" >"$REQUEST"
  post POST "$HOME_OF/models:upload" "$REQUEST"
elif [[ $IMAGE != europe-docker.pkg.dev/acme/models/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 ]]; then
  printf '{"parentModel": "%s", "model": %s}' "$HOME_OF/models/fraud" "$(cat model.json)" >"$REQUEST"
  post POST "$HOME_OF/models:upload" "$REQUEST"
fi

# All traffic goes to what is deployed here, and what was deployed before is taken away.
DEPLOYED=$(gcloud ai endpoints describe 1425652805 --region "$REGION" --format='csv[no-heading](deployedModels.displayName.flatten(separator=" "))')
if [[ " $DEPLOYED " != *" fraud-b3bf2b0d5bad "* ]]; then
  BEFORE=$(gcloud ai endpoints describe 1425652805 --region "$REGION" --format='csv[no-heading](deployedModels.id.flatten(separator=" "))')
  gcloud ai endpoints deploy-model 1425652805 \
  --region "$REGION" \
  --model fraud \
  --display-name fraud-b3bf2b0d5bad \
  --machine-type g2-standard-8 \
  --min-replica-count 2 \
  --max-replica-count 4 \
  --accelerator count=1,type=nvidia-l4 \
  --service-account scoring@acme.iam.gserviceaccount.com \
  --traffic-split 0=100
  for id in $BEFORE; do
    gcloud ai endpoints undeploy-model 1425652805 --region "$REGION" --deployed-model-id "$id"
  done
fi

echo "$API/$HOME_OF/endpoints/1425652805"
