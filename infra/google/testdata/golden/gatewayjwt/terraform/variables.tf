variable "project" {
  type        = string
  description = "The project that everything is in."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,28}[a-z0-9]$", var.project))
    error_message = "Want a project's id, not its name or number."
  }
}

variable "region" {
  type        = string
  description = "The region, such as europe-west1."
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Want a region such as europe-west1."
  }
}

variable "image" {
  type        = string
  description = "The function's image, by its digest."
  default     = "europe-docker.pkg.dev/acme/models/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  nullable    = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Want an image by its digest, REPOSITORY@sha256:…: a tag may be another image tomorrow."
  }
}

variable "min_instances" {
  type        = number
  description = "Instances that are kept, of all revisions together."
  default     = 0
  nullable    = false

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "Want a whole number, 0 or more."
  }
}

variable "max_instances" {
  type        = number
  description = "The most instances: a bound on cost."
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_instances >= 1 && floor(var.max_instances) == var.max_instances
    error_message = "Want a whole number, 1 or more."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete the service."
  default     = true
  nullable    = false
}
