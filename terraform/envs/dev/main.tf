# Small, and one NAT gateway. A workspace other than `default` is a copy beside it, as for a change under review.

locals {
  name = terraform.workspace == "default" ? "fraudstream-dev" : "fraudstream-dev-${terraform.workspace}"
}

module "fraudstream" {
  source         = "../../modules/stack"
  name           = local.name
  image_tag      = var.image_tag
  administrators = var.administrators
  alarm_emails   = var.alarm_emails
  api            = var.api
  protected      = false # to be taken down again
  network = {
    availability_zones = var.availability_zones
    nat_per_zone       = false
  }
  brokers  = { instance_type = "kafka.t3.small", disk_gib = 50 }
  redis    = { node_type = "cache.t4g.small", replicas = 1 }
  database = { multi_az = false, backup_days = 3, deletion_protection = false }
  nodes    = { instance_types = ["t3.large"], minimum = 2, maximum = 3 }
  chart_values = [yamlencode({
    topics = { partitions = 6 }
    worker = { replicas = 1, autoscaling = { kind = "hpa", minReplicas = 1, maxReplicas = 3 } }
  })]
}
