# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = google_service_account.run.email
  pusher          = google_service_account.push.email
  openapi         = replace(file("${path.module}/openapi.yaml"), "/(?m)^( *(?:address|jwt_audience): )SERVICE_URL$/", "$${1}${google_cloud_run_v2_service.this.uri}")
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
    "apigateway.googleapis.com",
    "iam.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "servicecontrol.googleapis.com",
    "servicemanagement.googleapis.com",
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

resource "google_service_account" "gate" {
  project      = var.project
  account_id   = "fraud-gate"
  display_name = "calls fraud for the gateway"
}

resource "google_storage_bucket_iam_member" "reads" {
  for_each = toset(["scored"])

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

# What is published here is delivered to the service.
resource "google_pubsub_topic" "push" {
  for_each = toset(["fraud-queue"])

  project = var.project
  name    = each.value
  labels  = local.labels
}

resource "google_pubsub_subscription" "push" {
  for_each = google_pubsub_topic.push

  project                    = var.project
  name                       = each.key
  topic                      = each.value.id
  labels                     = local.labels
  ack_deadline_seconds       = 300
  message_retention_duration = "604800s"

  # It never ends.
  expiration_policy {
    ttl = ""
  }

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.this.uri}/events"

    oidc_token {
      service_account_email = local.pusher
      audience              = google_cloud_run_v2_service.this.uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 5
  }
}

resource "google_pubsub_subscription_iam_member" "push" {
  for_each = google_pubsub_subscription.push

  project      = var.project
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_service_account_iam_member" "push" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_cloud_run_v2_service_iam_member" "gate" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.gate.email}"
}

resource "google_api_gateway_api" "this" {
  provider = google-beta
  project  = var.project
  api_id   = "fraud"

  depends_on = [google_project_service.this]
}

# What a gateway is configured by cannot be changed: each has a name of its own.
resource "google_api_gateway_api_config" "this" {
  provider      = google-beta
  project       = var.project
  api           = google_api_gateway_api.this.api_id
  api_config_id = "fraud-${substr(sha256(local.openapi), 0, 12)}"

  openapi_documents {
    document {
      path     = "openapi.yaml"
      contents = base64encode(local.openapi)
    }
  }

  gateway_config {
    backend_config {
      google_service_account = google_service_account.gate.email
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_api_gateway_gateway" "this" {
  provider   = google-beta
  project    = var.project
  region     = var.region
  gateway_id = "fraud"
  api_config = google_api_gateway_api_config.this.id
  labels     = local.labels
}
