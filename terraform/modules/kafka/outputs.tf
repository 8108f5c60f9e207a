output "cluster_name" {
  description = "Name of the cluster, for its metrics."
  value       = aws_msk_cluster.this.cluster_name
}

output "bootstrap_servers" {
  description = "Brokers for SCRAM over TLS: FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "username" {
  description = "SCRAM user."
  value       = local.username
}

output "password" {
  description = "SCRAM password."
  value       = random_password.scram.result
  sensitive   = true
}

output "secret_arn" {
  description = "Secret with user and password."
  value       = aws_secretsmanager_secret.scram.arn
}
