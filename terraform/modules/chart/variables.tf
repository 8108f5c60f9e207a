variable "namespace" {
  description = "Namespace of the release."
  type        = string
  default     = "fraudstream"
}

variable "chart" {
  description = "Folder of the chart, or its address in a registry."
  type        = string
}

variable "images" {
  description = "Repositories of the images `worker` and `training`, and their tag."
  type = object({
    worker   = string
    training = string
    tag      = string
  })
}

variable "kafka" {
  description = "Brokers for SCRAM over TLS, and the passwords of the users worker, api and topics."
  type = object({
    bootstrap_servers = string
    passwords         = map(string)
  })
  sensitive = true
}

variable "redis_urls" {
  description = "The whole URLs of worker and api, passwords included."
  type        = map(string)
  sensitive   = true
}

variable "mlflow_tracking_uri" {
  description = "URL of MLflow."
  type        = string
}

variable "values" {
  description = "More values of the chart, as YAML; they win."
  type        = list(string)
  default     = []
}
