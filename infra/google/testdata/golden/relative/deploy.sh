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
BUCKET=${BUCKET:-$PROJECT-fraud}

# What is used here has to be switched on once.
gcloud services enable iam.googleapis.com pubsub.googleapis.com run.googleapis.com storage.googleapis.com

# Identities of their own, which may only what is granted below.
there gcloud iam service-accounts describe "fraud-run@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-run --display-name 'runs fraud'
there gcloud iam service-accounts describe "fraud-push@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-push --display-name 'delivers to fraud'

# Rows come here, and scores go here.
there gcloud storage buckets describe "gs://$BUCKET" ||
  gcloud storage buckets create "gs://$BUCKET" \
  --location "$REGION" \
  --uniform-bucket-level-access \
  --public-access-prevention

# What the function may do with what is there.
grant gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" \
  --member "serviceAccount:fraud-run@$PROJECT.iam.gserviceaccount.com" \
  --role roles/storage.objectViewer
grant gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" \
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

# Pub/Sub itself puts messages aside, and takes them from their subscription for that.
grant gcloud pubsub topics add-iam-policy-binding fraud-dead \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
grant gcloud iam service-accounts add-iam-policy-binding "fraud-push@$PROJECT.iam.gserviceaccount.com" \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/iam.serviceAccountTokenCreator

# What the bucket tells of new objects.
there gcloud pubsub topics describe fraud-objects ||
  gcloud pubsub topics create fraud-objects
flags=(
  --push-endpoint "$URL/events"
  --push-auth-service-account "fraud-push@$PROJECT.iam.gserviceaccount.com"
  --push-auth-token-audience="$URL"
  --ack-deadline 300
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic fraud-dead --max-delivery-attempts 5
  --message-retention-duration 7d --expiration-period never
)
if there gcloud pubsub subscriptions describe fraud-objects; then
  gcloud pubsub subscriptions update fraud-objects "${flags[@]}"
else
  gcloud pubsub subscriptions create fraud-objects --topic fraud-objects "${flags[@]}"
fi
grant gcloud pubsub subscriptions add-iam-policy-binding fraud-objects \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.subscriber

# Cloud Storage's own account is there once it was asked for.
gcloud storage service-agent >/dev/null

# The bucket tells of new objects below rows/, and of no others.
grant gcloud pubsub topics add-iam-policy-binding fraud-objects \
  --member "serviceAccount:service-$NUMBER@gs-project-accounts.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
[[ "$(gcloud storage buckets notifications list "gs://$BUCKET") " == *"/topics/fraud-objects"[[:space:]]* ]] ||
  gcloud storage buckets notifications create "gs://$BUCKET" \
  --topic fraud-objects \
  --event-types OBJECT_FINALIZE \
  --object-prefix=rows/ \
  --skip-topic-setup

echo "$URL"
