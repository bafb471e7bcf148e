# terraform init && terraform test: nothing is made, and no account is needed.

mock_provider "google" {}

variables {
  project = "my-project"
  region  = "europe-west1"
}

run "as_godwit_yaml_says" {
  command = plan

  assert {
    condition     = google_vertex_ai_endpoint.this.name == "1425652805"
    error_message = "Want the endpoint that deploy.sh deploys to."
  }
}

run "a_zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}
