#!/usr/bin/env bash
# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.
#
# Makes what is missing and brings what is there up to date, so run it after every change.
#
#   PROJECT=my-project REGION=europe-west1 ./deploy.sh
set -euo pipefail
cd "$(dirname "$0")"

die() {
  echo "deploy.sh: $*" >&2
  exit 2
}

PROJECT=${PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}
[[ $PROJECT =~ ^[a-z][a-z0-9-]{2,28}[a-z0-9]$ ]] || die "want a project in PROJECT, got '$PROJECT'"
REGION=${REGION:-$(gcloud config get-value run/region 2>/dev/null || true)}
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

NUMBER=$(gcloud projects describe "$PROJECT" --format='value(projectNumber)')

# What is used here has to be switched on once.
gcloud services enable eventarc.googleapis.com iam.googleapis.com pubsub.googleapis.com run.googleapis.com storage.googleapis.com

# Identities of their own, which may only what is granted below.
there gcloud iam service-accounts describe "fraud-run@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-run --display-name 'runs fraud'
there gcloud iam service-accounts describe "fraud-push@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-push --display-name 'delivers to fraud'

# What the function may do with what is there.
grant gcloud storage buckets add-iam-policy-binding gs://lake \
  --member "serviceAccount:fraud-run@$PROJECT.iam.gserviceaccount.com" \
  --role roles/storage.objectViewer
grant gcloud storage buckets add-iam-policy-binding gs://scored \
  --member "serviceAccount:fraud-run@$PROJECT.iam.gserviceaccount.com" \
  --role roles/storage.objectViewer
grant gcloud storage buckets add-iam-policy-binding gs://scored \
  --member "serviceAccount:fraud-run@$PROJECT.iam.gserviceaccount.com" \
  --role roles/storage.objectCreator

# The service. The account's address has the project in it.
sed "s/^\( *serviceAccountName: .*\)@PROJECT_ID\./\1@$PROJECT./" service.yaml |
  gcloud run services replace - --region "$REGION"
URL=$(gcloud run services describe fraud --region "$REGION" --format='value(status.url)')

# Who may call: INVOKERS="group:models@example.com serviceAccount:…"
for member in ${INVOKERS:-}; do
  grant gcloud run services add-iam-policy-binding fraud --region "$REGION" --member "$member" --role roles/run.invoker
done

# Deliveries are calls like all others.
grant gcloud run services add-iam-policy-binding fraud --region "$REGION" \
  --member "serviceAccount:fraud-push@$PROJECT.iam.gserviceaccount.com" \
  --role roles/run.invoker

# What failed for good waits here for a week: godwit score --redrive brings it back.
there gcloud pubsub topics describe fraud-dead ||
  gcloud pubsub topics create fraud-dead
if there gcloud pubsub subscriptions describe fraud-dead; then
  gcloud pubsub subscriptions update fraud-dead --message-retention-duration 7d --expiration-period never
else
  gcloud pubsub subscriptions create fraud-dead --topic fraud-dead --message-retention-duration 7d --expiration-period never
fi

# Cloud Storage's own account is there once it was asked for.
gcloud storage service-agent >/dev/null

# Eventarc tells of every new object of the bucket. It delivers through a subscription
# that it makes itself, which gets the same dead letters as others.
grant gcloud projects add-iam-policy-binding "$PROJECT" --condition None \
  --member "serviceAccount:fraud-push@$PROJECT.iam.gserviceaccount.com" \
  --role roles/eventarc.eventReceiver
grant gcloud projects add-iam-policy-binding "$PROJECT" --condition None \
  --member "serviceAccount:service-$NUMBER@gs-project-accounts.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
LOCATION=$(gcloud storage buckets describe gs://lake --format='value(location)' | tr '[:upper:]' '[:lower:]')
there gcloud eventarc triggers describe fraud --location "$LOCATION" ||
  gcloud eventarc triggers create fraud \
  --location "$LOCATION" \
  --event-filters type=google.cloud.storage.object.v1.finalized,bucket=lake \
  --destination-run-service fraud \
  --destination-run-region "$REGION" \
  --destination-run-path /events \
  --service-account "fraud-push@$PROJECT.iam.gserviceaccount.com"
SUBSCRIPTION=$(gcloud eventarc triggers describe fraud --location "$LOCATION" --format='value(transport.pubsub.subscription)')
gcloud pubsub subscriptions update "$SUBSCRIPTION" \
  --ack-deadline 300 \
  --dead-letter-topic fraud-dead \
  --max-delivery-attempts 5
grant gcloud pubsub topics add-iam-policy-binding fraud-dead \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
grant gcloud pubsub subscriptions add-iam-policy-binding "$SUBSCRIPTION" \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.subscriber

echo "$URL"
