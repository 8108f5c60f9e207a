output "cluster_name" {
  description = "Name of the cluster, for its metrics."
  value       = aws_msk_cluster.this.cluster_name
}

output "bootstrap_servers" {
  description = "Brokers for SCRAM over TLS: FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "broker_count" {
  description = "Number of brokers, known before they exist."
  value       = local.zones * var.brokers.per_zone
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_msk_cluster.this.arn
}

output "passwords" {
  description = "SCRAM password of each user: worker, api, topics, rules, operator."
  value       = { for user, password in random_password.scram : user => password.result }
  sensitive   = true
}

output "secret_arns" {
  description = "Secret of each user, with its name and password."
  value       = { for user, secret in aws_secretsmanager_secret.scram : user => secret.arn }
}
