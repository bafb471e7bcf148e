output "uri" {
  description = "The service's URL."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account" {
  description = "What the service runs as."
  value       = local.service_account
}

output "dead_letters" {
  description = "The subscription with what failed for good."
  value       = google_pubsub_subscription.dead.id
}

output "topics" {
  description = "The topics whose messages are delivered, by name."
  value       = { for name, topic in google_pubsub_topic.push : name => topic.id }
}

output "gateway" {
  description = "The gateway's URL."
  value       = "https://${google_api_gateway_gateway.this.default_hostname}"
}
