output "endpoint" {
  description = "The endpoint, to which deploy.sh deploys the model."
  value       = google_vertex_ai_endpoint.this.id
}

output "service_account" {
  description = "What the model's containers run as."
  value       = local.service_account
}

output "dns" {
  description = "The endpoint's own name."
  value       = google_vertex_ai_endpoint.this.dedicated_endpoint_dns
}
