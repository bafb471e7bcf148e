# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = google_service_account.run.email
  pusher          = google_service_account.push.email
  labels = {
    function    = "fraud"
    rendered-by = "godwit"
  }
}

data "google_project" "this" {
  project_id = var.project
}

# What is used here has to be switched on once.
resource "google_project_service" "this" {
  for_each = toset([
    "eventarc.googleapis.com",
    "iam.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "storage.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_service_account" "run" {
  project      = var.project
  account_id   = "fraud-run"
  display_name = "runs fraud"
}

resource "google_service_account" "push" {
  project      = var.project
  account_id   = "fraud-push"
  display_name = "delivers to fraud"
}

resource "google_storage_bucket_iam_member" "reads" {
  for_each = toset(["lake", "scored"])

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.service_account}"
}

resource "google_storage_bucket_iam_member" "writes" {
  for_each = toset(["scored"])

  bucket = each.value
  role   = "roles/storage.objectCreator"
  member = "serviceAccount:${local.service_account}"
}

resource "google_cloud_run_v2_service" "this" {
  project              = var.project
  name                 = "fraud"
  location             = var.region
  description          = "fraud, a function of the Open Inference Protocol"
  labels               = local.labels
  ingress              = "INGRESS_TRAFFIC_ALL"
  invoker_iam_disabled = false
  deletion_protection  = var.deletion_protection

  # Of all revisions together.
  scaling {
    min_instance_count = var.min_instances
    max_instance_count = var.max_instances
  }

  template {
    labels                           = local.labels
    service_account                  = local.service_account
    timeout                          = "300s"
    max_instance_request_concurrency = 80
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      env {
        name  = "GODWIT_TARGET"
        value = "cloudrun"
      }

      resources {
        limits = {
          cpu    = "1"
          memory = "1Gi"
        }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      ports {
        name           = "http1"
        container_port = 8080
      }

      # The port opens when every model is loaded and answers.
      startup_probe {
        period_seconds    = 240
        timeout_seconds   = 240
        failure_threshold = 1

        tcp_socket {
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/v2/health/live"
          port = 8080
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  depends_on = [google_project_service.this]
}

# Who may call.
resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = var.invokers
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.value
}

# Deliveries are calls like all others.
resource "google_cloud_run_v2_service_iam_member" "push" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.pusher}"
}

# What failed for good waits here for a week: godwit score --redrive brings it back.
resource "google_pubsub_topic" "dead" {
  project = var.project
  name    = "fraud-dead"
  labels  = local.labels
}

resource "google_pubsub_subscription" "dead" {
  project                    = var.project
  name                       = "fraud-dead"
  topic                      = google_pubsub_topic.dead.id
  labels                     = local.labels
  message_retention_duration = "604800s"

  # It never ends.
  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself puts messages aside, and takes them from their subscription for that.
resource "google_pubsub_topic_iam_member" "dead" {
  project = var.project
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

data "google_storage_project_service_account" "this" {
  project = var.project
}

# Eventarc tells of every new object of the bucket.
resource "google_project_iam_member" "receiver" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = "serviceAccount:${local.pusher}"
}

resource "google_project_iam_member" "bucket" {
  project = var.project
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}

data "google_storage_bucket" "rows" {
  name = "lake"
}

# Its own subscription gets its dead letters from deploy.sh: no resource knows of it.
resource "google_eventarc_trigger" "rows" {
  project         = var.project
  name            = "fraud"
  location        = lower(data.google_storage_bucket.rows.location)
  service_account = local.pusher
  labels          = local.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.storage.object.v1.finalized"
  }

  matching_criteria {
    attribute = "bucket"
    value     = "lake"
  }

  destination {
    cloud_run_service {
      service = google_cloud_run_v2_service.this.name
      region  = var.region
      path    = "/events"
    }
  }

  depends_on = [
    google_project_iam_member.bucket,
    google_project_iam_member.receiver,
  ]
}
