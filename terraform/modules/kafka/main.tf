# MSK: TLS only, SCRAM for clients (the program has no IAM for Kafka), records kept for as long as a rebuild needs. A user for each component:
# as long as a topic has no ACL, MSK lets each of them do all with it; docs/rights.md has the ACLs, `operator` is the user to set them with. `rules`
# is for the people who change rules and lists: no process of ours runs as it, and it may write nothing else.

locals {
  zones   = length(var.subnet_ids)
  copies  = min(var.topic_defaults.replication_factor, local.zones * var.brokers.per_zone)
  in_step = min(var.topic_defaults.min_insync_replicas, local.copies)
  users   = toset(["worker", "api", "topics", "rules", "operator"])
}

resource "aws_security_group" "this" {
  name        = "${var.name}-kafka"
  description = "Kafka brokers"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-kafka" }
}

resource "aws_vpc_security_group_ingress_rule" "scram" {
  for_each                     = var.client_security_group_ids
  security_group_id            = aws_security_group.this.id
  description                  = "SCRAM over TLS, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = 9096
  to_port                      = 9096
  ip_protocol                  = "tcp"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_msk_configuration" "this" {
  name           = "${var.name}-${replace(var.kafka_version, ".", "-")}"
  kafka_versions = [var.kafka_version]
  # Topics made by hand, with the partitions that they must have: see `fraudstream topics`.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=${local.copies}
    min.insync.replicas=${local.in_step}
    unclean.leader.election.enable=false
    log.retention.hours=${var.topic_defaults.retention_hours}
    message.max.bytes=4194304
    group.initial.rebalance.delay.ms=0
  PROPERTIES
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = local.zones * var.brokers.per_zone
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"

  broker_node_group_info {
    instance_type   = var.brokers.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]
    storage_info {
      ebs_storage_info {
        volume_size = var.brokers.disk_gib
      }
    }
  }
  # The autoscaling below makes the disks larger.
  lifecycle {
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }

  client_authentication {
    sasl {
      scram = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }
      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }
}

resource "aws_appautoscaling_target" "disk" {
  service_namespace  = "kafka"
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  min_capacity       = 1
  max_capacity       = var.brokers.disk_gib * 4
}

# Full disks stop all. They only grow: MSK makes none smaller.
resource "aws_appautoscaling_policy" "disk" {
  name               = "disk"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.disk.service_namespace
  resource_id        = aws_appautoscaling_target.disk.resource_id
  scalable_dimension = aws_appautoscaling_target.disk.scalable_dimension
  target_tracking_scaling_policy_configuration {
    target_value     = 60
    disable_scale_in = true
    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

resource "random_password" "scram" {
  for_each = local.users
  length   = 32
  special  = false
}

# MSK takes only secrets whose names begin so, encrypted with a key of the customer's.
resource "aws_secretsmanager_secret" "scram" {
  #checkov:skip=CKV2_AWS_57:MSK reads the password when it changes, the pods when they start; it is rotated by a plan, not by a timer
  for_each   = local.users
  name       = "AmazonMSK_${var.name}_${each.key}"
  kms_key_id = var.kms_key_arn
}

resource "aws_secretsmanager_secret_version" "scram" {
  for_each      = local.users
  secret_id     = aws_secretsmanager_secret.scram[each.key].id
  secret_string = jsonencode({ username = each.key, password = random_password.scram[each.key].result })
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [for secret in aws_secretsmanager_secret.scram : secret.arn]
  depends_on      = [aws_secretsmanager_secret_version.scram]
}
