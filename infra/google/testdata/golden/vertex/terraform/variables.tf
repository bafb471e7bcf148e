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
