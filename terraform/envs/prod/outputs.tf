output "repositories" {
  description = "Where to push the images."
  value       = module.fraudstream.repositories
}

output "kafka_bootstrap_servers" {
  description = "Brokers for SCRAM over TLS."
  value       = module.fraudstream.kafka_bootstrap_servers
}

output "mlflow_tracking_uri" {
  description = "URL of MLflow, inside the VPC."
  value       = module.fraudstream.mlflow_tracking_uri
}

output "cluster_name" {
  description = "The cluster, for `aws eks update-kubeconfig`."
  value       = module.fraudstream.cluster.name
}

output "api_url" {
  description = "Address of the API behind API Gateway, or null."
  value       = module.fraudstream.api_url
}
