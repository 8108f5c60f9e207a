# The chart, with the secrets that it refers to. They are in the state, too: it is encrypted, and to be read by few.

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
      "pod-security.kubernetes.io/warn"    = "restricted"
    }
  }
}

locals {
  kafka_users = toset(["worker", "api", "topics"])
  redis_users = toset(["worker", "api"])
}

resource "kubernetes_secret_v1" "kafka" {
  for_each = local.kafka_users
  metadata {
    name      = "fraudstream-kafka-${each.key}"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data = {
    username = each.key
    password = var.kafka.passwords[each.key]
  }
}

resource "kubernetes_secret_v1" "redis" {
  for_each = local.redis_users
  metadata {
    name      = "fraudstream-redis-${each.key}"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data = {
    url = var.redis_urls[each.key]
  }
}

resource "helm_release" "this" {
  name      = "fraudstream"
  namespace = kubernetes_namespace_v1.this.metadata[0].name
  chart     = var.chart
  atomic    = false
  # Workers are ready once there is a model, and the first one is trained after this: a release does not wait for it.
  wait = false
  values = concat([yamlencode({
    image    = { repository = var.images.worker, tag = var.images.tag }
    training = { image = { repository = var.images.training, tag = var.images.tag } }
    kafka = {
      bootstrapServers = nonsensitive(var.kafka.bootstrap_servers)
      securityProtocol = "SASL_SSL"
      saslMechanism    = "SCRAM-SHA-512"
    }
    mlflow = { trackingUri = var.mlflow_tracking_uri }
    secrets = {
      worker = { kafka = kubernetes_secret_v1.kafka["worker"].metadata[0].name, redis = kubernetes_secret_v1.redis["worker"].metadata[0].name }
      api    = { kafka = kubernetes_secret_v1.kafka["api"].metadata[0].name, redis = kubernetes_secret_v1.redis["api"].metadata[0].name }
      topics = { kafka = kubernetes_secret_v1.kafka["topics"].metadata[0].name }
    }
    networkPolicy = {
      egressPorts = { kafka = [9096], redis = [6379], mlflow = [5000] }
    }
  })], var.values)
}
