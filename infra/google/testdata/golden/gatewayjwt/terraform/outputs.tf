output "uri" {
  description = "The service's URL."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account" {
  description = "What the service runs as."
  value       = local.service_account
}

output "gateway" {
  description = "The gateway's URL."
  value       = "https://${google_api_gateway_gateway.this.default_hostname}"
}
