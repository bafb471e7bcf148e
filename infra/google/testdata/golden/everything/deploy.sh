#!/usr/bin/env bash
# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.
#
# Makes what is missing and brings what is there up to date, so run it after every change.
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
REGION=${REGION:-europe-west1}
[[ $REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die "want a region such as europe-west1 in REGION, got '$REGION'"
export CLOUDSDK_CORE_PROJECT=$PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1
[[ $PROJECT == acme ]] || die "godwit.yaml names projects/acme/topics/parts, so want project acme, got $PROJECT"

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
gcloud services enable cloudkms.googleapis.com iam.googleapis.com pubsub.googleapis.com run.googleapis.com secretmanager.googleapis.com storage.googleapis.com

# Those who keep something under the key.
grant gcloud kms keys add-iam-policy-binding projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud \
  --member "serviceAccount:service-$NUMBER@serverless-robot-prod.iam.gserviceaccount.com" \
  --role roles/cloudkms.cryptoKeyEncrypterDecrypter
grant gcloud kms keys add-iam-policy-binding projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/cloudkms.cryptoKeyEncrypterDecrypter

# What the function may do with what is there.
grant gcloud secrets add-iam-policy-binding fraud-keys \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/secretmanager.secretAccessor
grant gcloud secrets add-iam-policy-binding fraud-token \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/secretmanager.secretAccessor
grant gcloud storage buckets add-iam-policy-binding gs://lake \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/storage.objectViewer
grant gcloud storage buckets add-iam-policy-binding gs://scored \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/storage.objectViewer
grant gcloud storage buckets add-iam-policy-binding gs://scored \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/storage.objectCreator

# The service. The account's address has the project in it.
sed "s/^\( *serviceAccountName: .*\)@PROJECT_ID\./\1@$PROJECT./" service.yaml |
  gcloud run services replace - --region "$REGION"
URL=$(gcloud run services describe fraud --region "$REGION" --format='value(status.url)')

# What failed for good waits here for a week: godwit score --redrive brings it back.
there gcloud pubsub topics describe rejected ||
  gcloud pubsub topics create rejected --topic-encryption-key projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud
if there gcloud pubsub subscriptions describe rejected; then
  gcloud pubsub subscriptions update rejected --message-retention-duration 7d --expiration-period never
else
  gcloud pubsub subscriptions create rejected --topic rejected --message-retention-duration 7d --expiration-period never
fi

# Pub/Sub itself puts messages aside, and takes them from their subscription for that.
grant gcloud pubsub topics add-iam-policy-binding rejected \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher

# What the bucket tells of new objects.
there gcloud pubsub topics describe fraud-objects ||
  gcloud pubsub topics create fraud-objects --topic-encryption-key projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud
flags=(
  --push-endpoint "$URL/events"
  --push-auth-service-account push@acme.iam.gserviceaccount.com
  --push-auth-token-audience=fraud
  --ack-deadline 90
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic rejected --max-delivery-attempts 7
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

# Parts of large objects, and requests, one a message.
there gcloud pubsub topics describe parts ||
  gcloud pubsub topics create parts --topic-encryption-key projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud
flags=(
  --push-endpoint "$URL/events"
  --push-auth-service-account push@acme.iam.gserviceaccount.com
  --push-auth-token-audience=fraud
  --ack-deadline 90
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic rejected --max-delivery-attempts 7
  --message-retention-duration 7d --expiration-period never
)
if there gcloud pubsub subscriptions describe parts; then
  gcloud pubsub subscriptions update parts "${flags[@]}"
else
  gcloud pubsub subscriptions create parts --topic parts "${flags[@]}"
fi
grant gcloud pubsub subscriptions add-iam-policy-binding parts \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.subscriber

# Requests, one a message.
there gcloud pubsub topics describe fraud-topic ||
  gcloud pubsub topics create fraud-topic --topic-encryption-key projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud
flags=(
  --push-endpoint "$URL/events"
  --push-auth-service-account push@acme.iam.gserviceaccount.com
  --push-auth-token-audience=fraud
  --ack-deadline 90
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic rejected --max-delivery-attempts 7
  --message-retention-duration 7d --expiration-period never
)
if there gcloud pubsub subscriptions describe fraud-topic; then
  gcloud pubsub subscriptions update fraud-topic "${flags[@]}"
else
  gcloud pubsub subscriptions create fraud-topic --topic fraud-topic "${flags[@]}"
fi
grant gcloud pubsub subscriptions add-iam-policy-binding fraud-topic \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.subscriber

# The function itself sends parts of large objects, and what failed for good.
grant gcloud pubsub topics add-iam-policy-binding parts \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/pubsub.publisher
grant gcloud pubsub topics add-iam-policy-binding rejected \
  --member serviceAccount:scoring@acme.iam.gserviceaccount.com \
  --role roles/pubsub.publisher

# Cloud Storage's own account is there once it was asked for.
gcloud storage service-agent >/dev/null

# The bucket tells of new objects below rows/, and of no others.
grant gcloud pubsub topics add-iam-policy-binding fraud-objects \
  --member "serviceAccount:service-$NUMBER@gs-project-accounts.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
[[ "$(gcloud storage buckets notifications list gs://lake) " == *"/topics/fraud-objects"[[:space:]]* ]] ||
  gcloud storage buckets notifications create gs://lake \
  --topic fraud-objects \
  --event-types OBJECT_FINALIZE \
  --object-prefix=rows/ \
  --skip-topic-setup

# The job. To run it: gcloud run jobs execute fraud-score
sed "s/^\( *serviceAccountName: .*\)@PROJECT_ID\./\1@$PROJECT./" job.yaml |
  gcloud run jobs replace - --region "$REGION"

echo "$URL"
