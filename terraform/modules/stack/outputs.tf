output "repositories" {
  description = "Where to push the images."
  value       = module.registry.repositories
}

output "kafka_bootstrap_servers" {
  description = "Brokers for SCRAM over TLS."
  value       = module.kafka.bootstrap_servers
}

output "mlflow_tracking_uri" {
  description = "URL of MLflow, inside the VPC."
  value       = module.mlflow.tracking_uri
}

output "cluster" {
  description = "The cluster: name, address and certificate, for the providers of Kubernetes and Helm."
  value = {
    name           = module.kubernetes.name
    endpoint       = module.kubernetes.endpoint
    ca_certificate = module.kubernetes.ca_certificate
  }
}

output "api_url" {
  description = "Address of the API behind API Gateway; null where there is none."
  value       = one([for api in module.api : api.url])
}
