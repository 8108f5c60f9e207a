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
  description = "Brokers for SCRAM over TLS, user and password."
  type = object({
    bootstrap_servers = string
    username          = string
    password          = string
  })
  sensitive = true
}

variable "redis_url" {
  description = "The whole URL, password included."
  type        = string
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
