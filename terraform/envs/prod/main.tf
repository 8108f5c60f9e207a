# Every zone stands alone: a NAT gateway, a broker and a copy of each partition in each; Redis and database fail over.

locals {
  name = terraform.workspace == "default" ? "fraudstream-prod" : "fraudstream-prod-${terraform.workspace}"
}

module "fraudstream" {
  source         = "../../modules/stack"
  name           = local.name
  image_tag      = var.image_tag
  administrators = var.administrators
  alarm_emails   = var.alarm_emails
  api            = var.api
  network = {
    availability_zones = var.availability_zones
    nat_per_zone       = true
  }
  brokers  = { instance_type = "kafka.m7g.large", disk_gib = 500 }
  redis    = { node_type = "cache.r7g.large", replicas = 2 }
  database = { instance_class = "db.m7g.large", disk_gib = 50 }
  nodes    = { instance_types = ["m7i.xlarge"], minimum = 3, maximum = 8 }
  chart_values = [yamlencode({
    topics = { partitions = 24, replication = 3 }
    worker = { replicas = 3, autoscaling = { kind = "hpa", minReplicas = 3, maxReplicas = 12 } }
  })]
}
