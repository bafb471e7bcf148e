variable "project" {
  type        = string
  description = "The project that everything is in."
}

variable "region" {
  type        = string
  description = "The region, such as europe-west1."
}

provider "google" {
  project = var.project
}

module "fraud" {
  source = "../.."

  project = var.project
  region  = var.region
}
