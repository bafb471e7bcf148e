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
gcloud services enable apigateway.googleapis.com iam.googleapis.com pubsub.googleapis.com run.googleapis.com servicecontrol.googleapis.com servicemanagement.googleapis.com storage.googleapis.com

# Identities of their own, which may only what is granted below.
there gcloud iam service-accounts describe "fraud-run@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-run --display-name 'runs fraud'
there gcloud iam service-accounts describe "fraud-push@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-push --display-name 'delivers to fraud'
there gcloud iam service-accounts describe "fraud-gate@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create fraud-gate --display-name 'calls fraud for the gateway'

# What the function may do with what is there.
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

# Pub/Sub itself puts messages aside, and takes them from their subscription for that.
grant gcloud pubsub topics add-iam-policy-binding fraud-dead \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.publisher
grant gcloud iam service-accounts add-iam-policy-binding "fraud-push@$PROJECT.iam.gserviceaccount.com" \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/iam.serviceAccountTokenCreator

# Requests, one a message.
there gcloud pubsub topics describe fraud-queue ||
  gcloud pubsub topics create fraud-queue
flags=(
  --push-endpoint "$URL/events"
  --push-auth-service-account "fraud-push@$PROJECT.iam.gserviceaccount.com"
  --push-auth-token-audience="$URL"
  --ack-deadline 300
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic fraud-dead --max-delivery-attempts 5
  --message-retention-duration 7d --expiration-period never
)
if there gcloud pubsub subscriptions describe fraud-queue; then
  gcloud pubsub subscriptions update fraud-queue "${flags[@]}"
else
  gcloud pubsub subscriptions create fraud-queue --topic fraud-queue "${flags[@]}"
fi
grant gcloud pubsub subscriptions add-iam-policy-binding fraud-queue \
  --member "serviceAccount:service-$NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role roles/pubsub.subscriber

# The gateway. What it is configured by cannot be changed, so it is named after its content.
grant gcloud run services add-iam-policy-binding fraud --region "$REGION" \
  --member "serviceAccount:fraud-gate@$PROJECT.iam.gserviceaccount.com" \
  --role roles/run.invoker
OPENAPI=$(mktemp -d)/openapi.yaml
sed -E "s#^( *(address|jwt_audience): )SERVICE_URL\$#\1$URL#" openapi.yaml >"$OPENAPI"
CONFIG=fraud-$(sha256sum "$OPENAPI" | cut -c1-12)
there gcloud api-gateway apis describe fraud ||
  gcloud api-gateway apis create fraud
there gcloud api-gateway api-configs describe "$CONFIG" --api fraud ||
  gcloud api-gateway api-configs create "$CONFIG" --api fraud \
  --openapi-spec "$OPENAPI" \
  --backend-auth-service-account "fraud-gate@$PROJECT.iam.gserviceaccount.com"
if there gcloud api-gateway gateways describe fraud --location "$REGION"; then
  gcloud api-gateway gateways update fraud --location "$REGION" --api fraud --api-config "$CONFIG"
else
  gcloud api-gateway gateways create fraud --location "$REGION" --api fraud --api-config "$CONFIG"
fi
URL=https://$(gcloud api-gateway gateways describe fraud --location "$REGION" --format='value(defaultHostname)')

echo "$URL"
