output "urls" {
  description = "The whole URL of each user, worker and api, password included: FRAUDSTREAM_REDIS_URL."
  value       = local.urls
  sensitive   = true
}

output "secret_arns" {
  description = "Secret that holds the URL of each user."
  value       = { for user, secret in aws_secretsmanager_secret.url : user => secret.arn }
}

output "arn" {
  description = "ARN of the replication group."
  value       = aws_elasticache_replication_group.this.arn
}

output "member_clusters" {
  description = "Names of the nodes, for their metrics."
  value       = aws_elasticache_replication_group.this.member_clusters
}
