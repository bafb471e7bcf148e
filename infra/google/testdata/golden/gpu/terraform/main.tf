# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = google_service_account.run.email
  labels = {
    function    = "resnet"
    rendered-by = "godwit"
  }
}

# What is used here has to be switched on once.
resource "google_project_service" "this" {
  for_each = toset([
    "iam.googleapis.com",
    "run.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_service_account" "run" {
  project      = var.project
  account_id   = "resnet-run"
  display_name = "runs resnet"
}

resource "google_cloud_run_v2_service" "this" {
  project              = var.project
  name                 = "resnet"
  location             = var.region
  description          = "resnet, a function of the Open Inference Protocol"
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
    timeout                          = "600s"
    max_instance_request_concurrency = 4
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    gpu_zonal_redundancy_disabled    = true

    scaling {
      max_instance_count = var.max_instances
    }

    node_selector {
      accelerator = "nvidia-l4"
    }

    containers {
      image = var.image

      env {
        name  = "GODWIT_TARGET"
        value = "cloudrun"
      }

      resources {
        limits = {
          cpu              = "8"
          memory           = "32Gi"
          "nvidia.com/gpu" = "1"
        }
        cpu_idle          = false
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
