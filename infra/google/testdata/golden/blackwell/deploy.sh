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

# What is used here has to be switched on once.
gcloud services enable iam.googleapis.com run.googleapis.com

# Identities of their own, which may only what is granted below.
there gcloud iam service-accounts describe "llm-run@$PROJECT.iam.gserviceaccount.com" ||
  gcloud iam service-accounts create llm-run --display-name 'runs llm'

# The service. The account's address has the project in it.
sed "s/^\( *serviceAccountName: .*\)@PROJECT_ID\./\1@$PROJECT./" service.yaml |
  gcloud run services replace - --region "$REGION"
URL=$(gcloud run services describe llm --region "$REGION" --format='value(status.url)')

echo "$URL"
