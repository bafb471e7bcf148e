# terraform init && terraform test: nothing is made, and no account is needed.

mock_provider "google" {}

mock_provider "google-beta" {}

variables {
  project = "my-project"
  region  = "europe-west1"
}

run "as_godwit_yaml_says" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].image == "europe-docker.pkg.dev/acme/models/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    error_message = "Want the image that was packaged."
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].max_instance_request_concurrency == 80
    error_message = "Want the concurrency of godwit.yaml."
  }

  assert {
    condition     = google_cloud_run_v2_service.this.invoker_iam_disabled == false
    error_message = "Want callers checked as auth says."
  }

  assert {
    condition     = alltrue([for s in google_pubsub_subscription.push : length(s.dead_letter_policy) == 1])
    error_message = "Want dead letters for every subscription."
  }
}

run "an_image_by_its_tag_is_refused" {
  command = plan

  variables {
    image = "europe-docker.pkg.dev/my-project/models/fraud:latest"
  }

  expect_failures = [var.image]
}

run "no_instances_are_refused" {
  command = plan

  variables {
    max_instances = 0
  }

  expect_failures = [var.max_instances]
}

run "everybody_is_refused" {
  command = plan

  variables {
    invokers = ["allUsers"]
  }

  expect_failures = [var.invokers]
}
