# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = "scoring@acme.iam.gserviceaccount.com"
  labels = {
    function    = "fraud"
    rendered-by = "godwit"
  }
}

# What is used here has to be switched on once.
resource "google_project_service" "this" {
  for_each = toset([
    "aiplatform.googleapis.com",
    "cloudkms.googleapis.com",
    "iam.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project
}

# Who keeps model and endpoint under the key.
resource "google_kms_crypto_key_iam_member" "agents" {
  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-aiplatform.iam.gserviceaccount.com"
}

# A number names it, as Vertex AI wants: the same that deploy.sh has.
resource "google_vertex_ai_endpoint" "this" {
  project                    = var.project
  name                       = "1425652805"
  location                   = var.region
  display_name               = "fraud"
  description                = "fraud, a function of the Open Inference Protocol"
  labels                     = local.labels
  dedicated_endpoint_enabled = true

  encryption_spec {
    kms_key_name = var.kms_key
  }

  # What is deployed is deploy.sh's.
  lifecycle {
    ignore_changes = [traffic_split]
  }

  depends_on = [
    google_project_service.this,
    google_kms_crypto_key_iam_member.agents,
  ]
}
