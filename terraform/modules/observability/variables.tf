variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the alarms' topic."
  type        = string
}

variable "alarm_emails" {
  description = "Addresses that alarms go to; each has to confirm."
  type        = set(string)
  default     = []
}

variable "kafka_cluster_name" {
  description = "The MSK cluster."
  type        = string
}

variable "kafka_broker_count" {
  description = "How many brokers it has."
  type        = number
}

variable "consumer_group" {
  description = "Consumer group of the workers."
  type        = string
  default     = "fraudstream"
}

variable "transactions_topic" {
  description = "Topic of transactions."
  type        = string
  default     = "transactions"
}

variable "redis_nodes" {
  description = "Names of the Redis nodes."
  type        = list(string)
}

variable "redis_node_count" {
  description = "How many they are, known before they exist."
  type        = number
}

variable "database_identifier" {
  description = "MLflow's database."
  type        = string
}

variable "lag_seconds" {
  description = "Seconds that the workers may be behind."
  type        = number
  default     = 60
  validation {
    condition     = var.lag_seconds >= 10
    error_message = "lag_seconds must be at least 10: MSK tells it once a minute."
  }
}
