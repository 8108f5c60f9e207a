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

resource "kubernetes_secret_v1" "kafka" {
  metadata {
    name      = "fraudstream-kafka"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data = {
    username = var.kafka.username
    password = var.kafka.password
  }
}

resource "kubernetes_secret_v1" "redis" {
  metadata {
    name      = "fraudstream-redis"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data = {
    url = var.redis_url
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
      existingSecret   = kubernetes_secret_v1.kafka.metadata[0].name
    }
    redis  = { existingSecret = kubernetes_secret_v1.redis.metadata[0].name }
    mlflow = { trackingUri = var.mlflow_tracking_uri }
    networkPolicy = {
      egressPorts = [9096, 6379, 5000]
    }
  })], var.values)
}
