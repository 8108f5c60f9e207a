# CloudWatch alarms of what AWS runs. What the workers themselves tell is in the chart: Prometheus rules and Grafana's dashboards.

data "aws_region" "current" {}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = var.alarm_emails
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  redis_nodes = { for index in range(var.redis_node_count) : tostring(index) => index }
  alarms = {
    lag = {
      description = "Workers are behind: alerts are late."
      namespace   = "AWS/Kafka"
      metric      = "EstimatedMaxTimeLag"
      dimensions  = { "Cluster Name" = var.kafka_cluster_name, "Consumer Group" = var.consumer_group, Topic = var.transactions_topic }
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      threshold   = var.lag_seconds
      missing     = "notBreaching"
    }
    kafka-controllers = {
      description = "Kafka has not exactly one controller."
      namespace   = "AWS/Kafka"
      metric      = "ActiveControllerCount"
      dimensions  = { "Cluster Name" = var.kafka_cluster_name }
      statistic   = "Maximum"
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    }
    kafka-offline = {
      description = "Partitions are offline: their payments are not decided."
      namespace   = "AWS/Kafka"
      metric      = "OfflinePartitionsCount"
      dimensions  = { "Cluster Name" = var.kafka_cluster_name }
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "breaching"
    }
    database-disk = {
      description = "MLflow's database has less than 2 GiB left."
      namespace   = "AWS/RDS"
      metric      = "FreeStorageSpace"
      dimensions  = { DBInstanceIdentifier = var.database_identifier }
      statistic   = "Minimum"
      comparison  = "LessThanThreshold"
      threshold   = 2147483648
      missing     = "breaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "kafka_disk" {
  for_each            = toset([for broker in range(1, var.kafka_broker_count + 1) : tostring(broker)])
  alarm_name          = "${var.name}-kafka-disk-${each.key}"
  alarm_description   = "A broker's disk is filling up, though it should grow by itself: full, it stops all."
  namespace           = "AWS/Kafka"
  metric_name         = "KafkaDataLogsDiskUsed"
  dimensions          = { "Cluster Name" = var.kafka_cluster_name, "Broker ID" = each.key }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 75
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# With noeviction, a Redis that is full refuses writes: the workers stop.
resource "aws_cloudwatch_metric_alarm" "redis_memory" {
  for_each            = local.redis_nodes
  alarm_name          = "${var.name}-redis-memory-${each.key}"
  alarm_description   = "Redis is filling up: at its limit it refuses writes, and the workers stop."
  namespace           = "AWS/ElastiCache"
  metric_name         = "DatabaseMemoryUsagePercentage"
  dimensions          = { CacheClusterId = sort(var.redis_nodes)[each.value] }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 75
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, alarm in [for name, alarm in local.alarms : merge(alarm, { name = name })] : {
      type   = "metric"
      x      = (index % 2) * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = alarm.description
        region  = data.aws_region.current.region
        stat    = alarm.statistic
        period  = 60
        metrics = [concat([alarm.namespace, alarm.metric], flatten([for key, value in alarm.dimensions : [key, value]]))]
      }
    }]
  })
}
