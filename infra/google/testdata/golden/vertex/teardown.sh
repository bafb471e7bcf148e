#!/usr/bin/env bash
# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.
#
# Takes away endpoint, model and account. The image and the key stay.
#
#   PROJECT=my-project REGION=europe-west1 ./teardown.sh
set -euo pipefail
cd "$(dirname "$0")"

die() {
  echo "teardown.sh: $*" >&2
  exit 2
}

PROJECT=${PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}
[[ $PROJECT =~ ^[a-z][a-z0-9-]{2,28}[a-z0-9]$ ]] || die "want a project in PROJECT, got '$PROJECT'"
REGION=${REGION:-$(gcloud config get-value run/region 2>/dev/null || true)}
[[ $REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die "want a region such as europe-west1 in REGION, got '$REGION'"
export CLOUDSDK_CORE_PROJECT=$PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1

IDS=$(gcloud ai endpoints describe 1425652805 --region "$REGION" --format='csv[no-heading](deployedModels.id.flatten(separator=" "))' 2>/dev/null || true)
for id in $IDS; do
  gcloud ai endpoints undeploy-model 1425652805 --region "$REGION" --deployed-model-id "$id"
done
if gcloud ai endpoints describe 1425652805 --region "$REGION" >/dev/null 2>&1; then
  gcloud ai endpoints delete 1425652805 --region "$REGION"
fi
if gcloud ai models describe fraud --region "$REGION" >/dev/null 2>&1; then
  gcloud ai models delete fraud --region "$REGION"
fi
if gcloud iam service-accounts describe "fraud-vertex@$PROJECT.iam.gserviceaccount.com" >/dev/null 2>&1; then
  gcloud iam service-accounts delete "fraud-vertex@$PROJECT.iam.gserviceaccount.com"
fi
