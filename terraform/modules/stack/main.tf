# All modules as one platform; an environment is a call of this with its sizes.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:the policy of a key speaks of that key alone
  #checkov:skip=CKV_AWS_111:the policy of a key speaks of that key alone
  #checkov:skip=CKV_AWS_356:the policy of a key speaks of that key alone
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
  statement {
    sid       = "Services"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "sns.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
  # Log groups are known to a key by their ARN, not by the account.
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.current.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:aws:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:*"]
    }
  }
  # Disks of the nodes are made by the autoscaling service.
  statement {
    sid       = "Disks"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "Data, secrets and logs of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

locals {
  clients = merge(
    { kubernetes = module.kubernetes.security_group_id },
    { for name, api in module.api : "api" => api.security_group_id },
  )
}

module "network" {
  source             = "../network"
  name               = var.name
  cidr               = var.network.cidr
  availability_zones = var.network.availability_zones
  nat_per_zone       = var.network.nat_per_zone
  kms_key_arn        = aws_kms_key.this.arn
}

module "kafka" {
  source                    = "../kafka"
  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = local.clients
  brokers                   = var.brokers
  kms_key_arn               = aws_kms_key.this.arn
}

module "redis" {
  source                    = "../redis"
  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = local.clients
  node_type                 = var.redis.node_type
  replicas                  = var.redis.replicas
  kms_key_arn               = aws_kms_key.this.arn
}

module "registry" {
  source      = "../registry"
  name        = var.name
  kms_key_arn = aws_kms_key.this.arn
}

module "mlflow" {
  source                    = "../mlflow"
  name                      = var.name
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = local.clients
  image                     = "${module.registry.repositories["mlflow"]}:${var.image_tag}"
  database                  = var.database
  kms_key_arn               = aws_kms_key.this.arn
}

module "kubernetes" {
  source         = "../kubernetes"
  name           = var.name
  subnet_ids     = module.network.private_subnet_ids
  nodes          = var.nodes
  administrators = var.administrators
  kms_key_arn    = aws_kms_key.this.arn
}

module "chart" {
  source = "../chart"
  chart  = "${path.module}/../../../helm/fraudstream"
  images = {
    worker   = module.registry.repositories["worker"]
    training = module.registry.repositories["training"]
    tag      = var.image_tag
  }
  kafka = {
    bootstrap_servers = module.kafka.bootstrap_servers
    passwords         = module.kafka.passwords
  }
  redis_urls          = module.redis.urls
  mlflow_tracking_uri = module.mlflow.tracking_uri
  values              = var.chart_values
}

module "api" {
  source          = "../api"
  for_each        = var.api == null ? {} : { this = var.api }
  name            = var.name
  vpc_id          = module.network.vpc_id
  vpc_cidr        = module.network.cidr
  subnet_ids      = module.network.private_subnet_ids
  image           = "${module.registry.repositories["worker"]}:${var.image_tag}"
  certificate_arn = each.value.certificate_arn
  domain_name     = each.value.domain_name
  keys_secret_arn = each.value.keys_secret_arn
  size            = each.value.size
  kms_key_arn     = aws_kms_key.this.arn
  environment = {
    FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS = module.kafka.bootstrap_servers
    FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL = "SASL_SSL"
    FRAUDSTREAM_KAFKA_SASL_USERNAME     = "api"
    FRAUDSTREAM_MLFLOW_TRACKING_URI     = module.mlflow.tracking_uri
    FRAUDSTREAM_LOG_FORMAT              = "json"
  }
  secrets = {
    FRAUDSTREAM_KAFKA_SASL_PASSWORD = "${module.kafka.secret_arns["api"]}:password::"
    FRAUDSTREAM_REDIS_URL           = module.redis.secret_arns["api"]
  }
  secret_arns = [module.kafka.secret_arns["api"], module.redis.secret_arns["api"]]
}

module "observability" {
  source              = "../observability"
  name                = var.name
  kafka_cluster_name  = module.kafka.cluster_name
  kafka_broker_count  = module.kafka.broker_count
  redis_nodes         = module.redis.member_clusters
  redis_node_count    = var.redis.replicas + 1
  database_identifier = module.mlflow.database_identifier
  alarm_emails        = var.alarm_emails
  kms_key_arn         = aws_kms_key.this.arn
}

# What holds data is neither removed nor made anew by a plan, which is refused then. An own resource, for `prevent_destroy` takes no variable. To take
# it away: `terraform state rm 'module.fraudstream.terraform_data.guard[0]'`, and `protected = false`.
resource "terraform_data" "guard" {
  count            = var.protected ? 1 : 0
  triggers_replace = [module.kafka.arn, module.redis.arn, module.mlflow.bucket_arn, aws_kms_key.this.arn]
  lifecycle {
    prevent_destroy = true
  }
}
