# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = google_service_account.run.email
  openapi         = replace(file("${path.module}/openapi.yaml"), "/(?m)^( *(?:address|jwt_audience): )SERVICE_URL$/", "$${1}${google_cloud_run_v2_service.this.uri}")
  labels = {
    function    = "fraud"
    rendered-by = "godwit"
  }
}

# What is used here has to be switched on once.
resource "google_project_service" "this" {
  for_each = toset([
    "apigateway.googleapis.com",
    "iam.googleapis.com",
    "run.googleapis.com",
    "servicecontrol.googleapis.com",
    "servicemanagement.googleapis.com",
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

resource "google_cloud_run_v2_service" "this" {
  project              = var.project
  name                 = "fraud"
  location             = var.region
  description          = "fraud, a function of the Open Inference Protocol"
  labels               = local.labels
  ingress              = "INGRESS_TRAFFIC_ALL"
  invoker_iam_disabled = true
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
        name           = "h2c"
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
