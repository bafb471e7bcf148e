# Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
# Change godwit.yaml and render again rather than this file.

locals {
  service_account = "scoring@acme.iam.gserviceaccount.com"
  pusher          = "push@acme.iam.gserviceaccount.com"
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
    "cloudkms.googleapis.com",
    "iam.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

# Those who keep something under the key.
resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = toset(["serverless-robot-prod", "gcp-sa-pubsub"])

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@${each.value}.iam.gserviceaccount.com"
}

# What the function may do with what is there.
resource "google_secret_manager_secret_iam_member" "reads" {
  for_each = toset(["fraud-keys", "fraud-token"])

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${local.service_account}"
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
  ingress              = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
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
    timeout                          = "900s"
    max_instance_request_concurrency = 20
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.kms_key

    scaling {
      max_instance_count = var.max_instances
    }

    vpc_access {
      egress = "ALL_TRAFFIC"

      network_interfaces {
        network    = "models"
        subnetwork = "models-europe"
      }
    }

    containers {
      image = var.image

      env {
        name  = "GODWIT_TARGET"
        value = "cloudrun"
      }

      env {
        name  = "GREETING"
        value = "say \"hello\", $USER # and, more"
      }

      env {
        name = "GODWIT_API_KEYS"

        value_source {
          secret_key_ref {
            secret  = "fraud-keys"
            version = "latest"
          }
        }
      }

      env {
        name = "TOKEN"

        value_source {
          secret_key_ref {
            secret  = "fraud-token"
            version = "7"
          }
        }
      }

      resources {
        limits = {
          cpu    = "2"
          memory = "3Gi"
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

  depends_on = [
    google_project_service.this,
    google_secret_manager_secret_iam_member.reads,
    google_kms_crypto_key_iam_member.agents,
  ]
}

# What failed for good waits here for a week: godwit score --redrive brings it back.
resource "google_pubsub_topic" "dead" {
  project      = var.project
  name         = "rejected"
  labels       = local.labels
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_pubsub_subscription" "dead" {
  project                    = var.project
  name                       = "rejected"
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
  for_each = toset(["fraud-objects", "parts", "fraud-topic"])

  project      = var.project
  name         = each.value
  labels       = local.labels
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_pubsub_subscription" "push" {
  for_each = google_pubsub_topic.push

  project                    = var.project
  name                       = each.key
  topic                      = each.value.id
  labels                     = local.labels
  ack_deadline_seconds       = 90
  message_retention_duration = "604800s"

  # It never ends.
  expiration_policy {
    ttl = ""
  }

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.this.uri}/events"

    oidc_token {
      service_account_email = local.pusher
      audience              = "fraud"
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 7
  }
}

resource "google_pubsub_subscription_iam_member" "push" {
  for_each = google_pubsub_subscription.push

  project      = var.project
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# The function sends parts of large objects to its own queue.
resource "google_pubsub_topic_iam_member" "parts" {
  project = var.project
  topic   = google_pubsub_topic.push["parts"].name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${local.service_account}"
}

# The function puts aside what failed for good, with the reason.
resource "google_pubsub_topic_iam_member" "aside" {
  project = var.project
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${local.service_account}"
}

data "google_storage_project_service_account" "this" {
  project = var.project
}

# The bucket tells of new objects below its prefix, and of no others.
resource "google_pubsub_topic_iam_member" "bucket" {
  project = var.project
  topic   = google_pubsub_topic.push["fraud-objects"].name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}

resource "google_storage_notification" "rows" {
  bucket             = "lake"
  topic              = google_pubsub_topic.push["fraud-objects"].id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = "rows/"

  depends_on = [google_pubsub_topic_iam_member.bucket]
}

# Each task scores its share of what lies below the prefix.
resource "google_cloud_run_v2_job" "this" {
  project             = var.project
  name                = "fraud-score"
  location            = var.region
  labels              = local.labels
  deletion_protection = var.deletion_protection

  template {
    labels      = local.labels
    task_count  = 16
    parallelism = 8

    template {
      service_account       = local.service_account
      timeout               = "7200s"
      max_retries           = 2
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      encryption_key        = var.kms_key

      vpc_access {
        egress = "ALL_TRAFFIC"

        network_interfaces {
          network    = "models"
          subnetwork = "models-europe"
        }
      }

      containers {
        image = var.image

        env {
          name  = "GODWIT_TARGET"
          value = "cloudrun"
        }

        env {
          name  = "GREETING"
          value = "say \"hello\", $USER # and, more"
        }

        env {
          name = "GODWIT_API_KEYS"

          value_source {
            secret_key_ref {
              secret  = "fraud-keys"
              version = "latest"
            }
          }
        }

        env {
          name = "TOKEN"

          value_source {
            secret_key_ref {
              secret  = "fraud-token"
              version = "7"
            }
          }
        }

        resources {
          limits = {
            cpu    = "2"
            memory = "3Gi"
          }
        }
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_secret_manager_secret_iam_member.reads,
    google_kms_crypto_key_iam_member.agents,
  ]
}
