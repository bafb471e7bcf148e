variable "project" {
  type        = string
  description = "The project that everything is in."
}

provider "google" {
  project = var.project
}

module "fraud" {
  source = "../.."

  project = var.project
}
