output "url" {
  description = "The whole URL, password included: FRAUDSTREAM_REDIS_URL."
  value       = local.url
  sensitive   = true
}

output "secret_arn" {
  description = "Secret that holds the URL."
  value       = aws_secretsmanager_secret.url.arn
}

output "member_clusters" {
  description = "Names of the nodes, for their metrics."
  value       = aws_elasticache_replication_group.this.member_clusters
}
