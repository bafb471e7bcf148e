# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = google_service_account.run.email
  labels = {
    function    = "fraud"
    rendered-by = "godwit"
  }
}

# What is used here has to be switched on once.
resource "google_project_service" "this" {
  for_each = toset([
    "aiplatform.googleapis.com",
    "iam.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_service_account" "run" {
  project      = var.project
  account_id   = "fraud-vertex"
  display_name = "runs fraud on Vertex AI"
}

# A number names it, as Vertex AI wants: the same that deploy.sh has.
resource "google_vertex_ai_endpoint" "this" {
  project      = var.project
  name         = "1425652805"
  location     = var.region
  display_name = "fraud"
  description  = "fraud, a function of the Open Inference Protocol"
  labels       = local.labels
  network      = "projects/123456789/global/networks/models"

  # What is deployed is deploy.sh's.
  lifecycle {
    ignore_changes = [traffic_split]
  }

  depends_on = [google_project_service.this]
}
