# ElastiCache: TLS, a user for each component with the rights of docs/rights.md, a replica in another zone, and never an eviction: state that Redis drops by itself would be wrong without a word.

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = var.client_security_group_ids
  security_group_id            = aws_security_group.this.id
  description                  = "Redis over TLS, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = 6379
  to_port                      = 6379
  ip_protocol                  = "tcp"
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "redis7"
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "random_password" "user" {
  for_each = local.rights
  length   = 64
  special  = false
}

resource "aws_elasticache_user" "this" {
  for_each      = local.rights
  user_id       = "${var.name}-${each.key}"
  user_name     = each.key
  engine        = "redis"
  access_string = "on ${each.value}"
  passwords     = [random_password.user[each.key].result]
}

# A group needs a user of this name; as it is made by itself, it may do all without a password.
resource "aws_elasticache_user" "default" {
  user_id              = "${var.name}-default"
  user_name            = "default"
  engine               = "redis"
  access_string        = "off -@all"
  no_password_required = true
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "redis"
  user_ids      = concat([aws_elasticache_user.default.user_id], [for user in aws_elasticache_user.this : user.user_id])
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "State of the fraud features"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.node_type
  num_cache_clusters         = var.replicas + 1
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  port                       = 6379
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  multi_az_enabled           = true
  automatic_failover_enabled = true
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  snapshot_retention_limit   = var.snapshot_days
  auto_minor_version_upgrade = true
  apply_immediately          = false
}

resource "aws_secretsmanager_secret" "url" {
  #checkov:skip=CKV2_AWS_57:the pods read the URL when they start; it is rotated by a plan, not by a timer
  for_each   = local.rights
  name       = "${var.name}/redis-url-${each.key}"
  kms_key_id = var.kms_key_arn
}

resource "aws_secretsmanager_secret_version" "url" {
  for_each      = local.rights
  secret_id     = aws_secretsmanager_secret.url[each.key].id
  secret_string = local.urls[each.key]
}

locals {
  # As in docs/rights.md: a test holds the two together.
  rights = {
    worker = "~{${var.consumer_group}:* -@all +watch +unwatch +multi +exec +mget +set +mset +hset +hmget +expire +unlink +scan +info +ping +select +client +command +cluster"
    api    = "~{${var.consumer_group}:* -@all +mget +hmget +info +ping +select +client +command +cluster"
  }
  urls = {
    for user in keys(local.rights) : user =>
    "rediss://${user}:${random_password.user[user].result}@${aws_elasticache_replication_group.this.primary_endpoint_address}:6379/0"
  }
}
