#!/usr/bin/env bash
# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.
#
# Takes away what deploy.sh has made. Buckets, secrets, keys and the image stay.
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

# gone runs the second command if what the first one describes is there.
gone() {
  local kind=$1 what=$2
  shift 2
  # shellcheck disable=SC2086 # kind is several words
  if gcloud $kind describe "$what" "$@" >/dev/null 2>&1; then gcloud $kind delete "$what" "$@"; fi
}

gone "api-gateway gateways" fraud --location "$REGION"
for config in $(gcloud api-gateway api-configs list --api fraud --format='value(name.basename())' 2>/dev/null); do
  gcloud api-gateway api-configs delete "$config" --api fraud
done
gone "api-gateway apis" fraud
gone "pubsub subscriptions" fraud-queue
gone "pubsub topics" fraud-queue
gone "pubsub subscriptions" fraud-dead
gone "pubsub topics" fraud-dead
gone "run services" fraud --region "$REGION"
gone "iam service-accounts" "fraud-run@$PROJECT.iam.gserviceaccount.com"
gone "iam service-accounts" "fraud-push@$PROJECT.iam.gserviceaccount.com"
gone "iam service-accounts" "fraud-gate@$PROJECT.iam.gserviceaccount.com"
